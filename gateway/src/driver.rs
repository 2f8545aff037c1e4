//! The driver: one loop that passes inputs to a core and applies its outputs.
//!
//! It makes no decisions and gives no input priority: a flood of one kind must not starve the
//! others.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use porthole_gateway_core::camera::{ControlFacts, SourceCommand, SourceEvent, StreamId};
use porthole_gateway_core::ice_servers::AllowedIceServer;
use porthole_gateway_core::onvif::control::Command;
use porthole_gateway_core::question::{Question, QuestionEvent, QuestionId, QuestionOutput};
use porthole_gateway_core::{
    Core, Datagram, IceServerEndpoint, Output, TurnClientId, TurnTransportCommand,
};
use porthole_metrics::{Tally, TimeHistogram};
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::rpc::{Fault, Message, code};
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tracing::{debug, trace, warn};

use crate::cameras::Update;
use crate::ice_servers::IceServerResolver;
use crate::ingest::{EventSender, SourceBatch, SourceControl};
use crate::metrics::{Ask, Measures, Metrics, Queue};
use crate::port_mapping::State;
use crate::turn_transport::TurnTransportEvent;
use crate::udp::{ReceivedDatagram, Udp};
use crate::{addresses, ingest, metrics, tls, turn_transport};

pub use crate::link::LinkEvent;

/// Capacity of the queue of events from TURN transports.
const TURN_QUEUE: usize = 4096;

/// Capacity of the queues to and from the link; when it is full, the server has stopped reading.
pub(crate) const LINK_QUEUE: usize = 1024;

/// Capacity of the queues of questions and answers: a burst of questions, the ends of all of them,
/// and all provisional cameras at once.
pub(crate) const QUESTION_QUEUE: usize = 256;

/// Capacity of the queue of resolved names.
const RESOLVE_QUEUE: usize = 16;

/// Limit of events of one kind that are handled before the loop looks at the other inputs again.
const BATCH: usize = 64;

/// Interval at which the machine's addresses are read: short enough that a change of network is
/// noticed before ICE gives up a path, which takes 5 s.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(3);

/// Time for tasks to end and the last messages to be sent after the loop has stopped.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);

/// Longest sleep of the loop when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// The running source of a stream.
struct RunningSource {
    stream: StreamId,
    control: mpsc::Sender<SourceControl>,
    stop: CancellationToken,
}

/// The driver's ends of the channels to the rest of the gateway.
#[derive(Debug)]
pub struct Channels {
    /// Messages of the core for the signaling server.
    pub link: mpsc::Sender<Message>,
    /// Doubts of the core whether that server can still be reached.
    pub doubts: Arc<Notify>,
    /// Events of the connection to the signaling server.
    pub link_events: mpsc::Receiver<LinkEvent>,
    /// Changes of the cameras.
    pub changes: mpsc::Receiver<Vec<Update>>,
    /// Questions of the signaling server, for whoever answers them.
    pub questions: mpsc::Sender<QuestionOutput>,
    /// Answers to them.
    pub answers: mpsc::Receiver<QuestionEvent>,
    /// Requests to move a camera, or about its presets, for its controls.
    pub controls: mpsc::Sender<(QuestionId, CameraId, Command)>,
    /// The facts that the controls of cameras have found out.
    pub facts: mpsc::Receiver<(CameraId, ControlFacts)>,
    /// The state of the port that the router forwards.
    pub mapped: watch::Receiver<State>,
    /// The limit of what viewers outside the local network get in all, in bits per second.
    pub max_uplink: watch::Receiver<Option<u64>>,
}

/// Owns the sockets, tasks and clock, and runs the core.
pub struct Driver<C> {
    core: C,
    udp: Udp,
    /// The sources of all streams; the core knows streams by their ids only.
    sources: HashMap<StreamId, ingest::Source>,
    /// The running sources by the number of their start, which tells a source's events from those
    /// of its predecessor.
    running: HashMap<u64, RunningSource>,
    starts: u64,
    source_events: Channel<SourceBatch>,
    turn_transports: HashMap<TurnClientId, mpsc::Sender<Bytes>>,
    turn_events: Channel<(TurnClientId, TurnTransportEvent)>,
    resolved: Channel<(IceServerEndpoint, Vec<SocketAddr>)>,
    /// The requests for the numbers of what runs here.
    asks: Channel<Ask>,
    /// The times by which timers of the loop were late.
    lag: TimeHistogram,
    ice_servers: Arc<IceServerResolver>,
    /// The settings of TLS to TURN servers.
    tls: TlsConnector,
    channels: Channels,
    tasks: JoinSet<()>,
    outgoing: Vec<Datagram>,
    /// Use loopback addresses too: the server, and so perhaps the viewer, is on this machine.
    with_loopback: bool,
}

/// The STUN and TURN servers that may be contacted and trusted beside those that anybody may.
#[derive(Debug, Default)]
pub struct IceServerAccess {
    /// Servers that are neither public nor on the signaling server's machine.
    pub allowed: Vec<AllowedIceServer>,
    /// Certificates of authorities beside those that browsers trust.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl<C> std::fmt::Debug for Driver<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("udp_port", &self.udp.port()).finish_non_exhaustive()
    }
}

struct Channel<T> {
    tx: mpsc::Sender<T>,
    rx: mpsc::Receiver<T>,
}

impl<T> Channel<T> {
    fn new(capacity: usize) -> Self {
        let (tx, rx) = mpsc::channel(capacity);
        Self { tx, rx }
    }
}

impl<C: Core> Driver<C> {
    /// Binds the UDP port; 0 picks a free one. STUN and TURN servers that are neither public nor on
    /// the signaling server's machine must be allowed.
    ///
    /// # Errors
    /// Returns an error if the port cannot be bound.
    pub fn new(
        core: C,
        udp_port: u16,
        channels: Channels,
        with_loopback: bool,
        IceServerAccess { allowed, authorities }: IceServerAccess,
    ) -> io::Result<Self> {
        let tls = tls::to_servers(&authorities).map_err(io::Error::other)?;
        Ok(Self {
            core,
            udp: Udp::bind(udp_port)?,
            sources: HashMap::new(),
            running: HashMap::new(),
            starts: 0,
            source_events: Channel::new(ingest::BATCH_QUEUE),
            turn_transports: HashMap::new(),
            turn_events: Channel::new(TURN_QUEUE),
            resolved: Channel::new(RESOLVE_QUEUE),
            asks: Channel::new(metrics::ASK_QUEUE),
            lag: metrics::no_lag(),
            ice_servers: Arc::new(IceServerResolver::new(allowed)),
            tls: turn_transport::connector(tls),
            channels,
            tasks: JoinSet::new(),
            outgoing: Vec::new(),
            with_loopback,
        })
    }

    /// Returns the UDP port.
    pub fn udp_port(&self) -> u16 {
        self.udp.port()
    }

    /// Runs until `stop` is cancelled, then closes the core and sends its last messages.
    ///
    /// # Errors
    /// Returns an error if the UDP socket fails.
    pub async fn run(mut self, stop: CancellationToken) -> io::Result<()> {
        let mut address_timer = tokio::time::interval(ADDRESS_INTERVAL);
        let mut datagrams = Vec::new();
        let mut timer = pin!(sleep_until(TokioInstant::now() + IDLE));
        loop {
            self.apply_outputs();
            let due = self.core.poll_timeout().map(TokioInstant::from);
            let due = due.unwrap_or_else(|| TokioInstant::now() + IDLE);
            // It mostly stays the same, and costs more than a packet to set.
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                received = self.udp.receive(&mut datagrams) => {
                    received?;
                    self.handle_datagrams(&mut datagrams);
                }
                Some(event) = self.turn_events.rx.recv() => self.handle_turn_event(event),
                Some(batch) = self.source_events.rx.recv() => self.handle_source_batch(batch),
                Some(event) = self.channels.link_events.recv() => self.handle_link_event(event),
                Some(updates) = self.channels.changes.recv() => self.change_cameras(updates),
                Some(event) = self.channels.answers.recv() => self.handle_question_event(event),
                Some((camera, facts)) = self.channels.facts.recv() => {
                    self.core.handle_control(Instant::now(), &camera, facts);
                }
                Some((server, addresses)) = self.resolved.rx.recv() => {
                    self.core.handle_resolved(Instant::now(), &server, &addresses);
                }
                Ok(()) = self.channels.mapped.changed() => self.refresh_mapping(),
                Ok(()) = self.channels.max_uplink.changed() => self.refresh_max_uplink(),
                _ = address_timer.tick() => self.refresh_addresses(),
                Some(ask) = self.asks.rx.recv() => self.answer(ask),
                () = &mut timer => {
                    let now = TokioInstant::now();
                    self.lag.record(now.saturating_duration_since(timer.deadline()));
                    self.core.handle_timeout(now.into_std());
                }
                Some(_) = self.tasks.join_next() => {}
            }
        }
        self.close().await;
        Ok(())
    }

    /// Returns a handle to the numbers of what runs here.
    pub fn metrics(&self) -> Metrics {
        Metrics::new(self.asks.tx.clone())
    }

    /// Answers with the numbers of this moment.
    fn answer(&self, ask: Ask) {
        let mut queues = Tally::default();
        let link = &self.channels.link;
        for (queue, length) in [
            (Queue::Sources, self.source_events.rx.len()),
            (Queue::Turn, self.turn_events.rx.len()),
            (Queue::FromServer, self.channels.link_events.len()),
            (Queue::ToServer, link.max_capacity() - link.capacity()),
        ] {
            queues.add(queue, length as u64);
        }
        let measures = Measures {
            stats: self.core.stats(),
            queues,
            lag: self.lag.clone(),
            tasks: self.tasks.len() as u64,
        };
        // Fails if nobody waits for it any more.
        let _ = ask.send(measures);
    }

    fn handle_datagrams(&mut self, received: &mut Vec<ReceivedDatagram>) {
        let now = Instant::now();
        for datagram in received.drain(..) {
            self.core.handle_datagram(now, datagram.local, datagram.from, &datagram.bytes);
        }
    }

    fn handle_turn_event(&mut self, first: (TurnClientId, TurnTransportEvent)) {
        let now = Instant::now();
        let mut next = Some(first);
        let mut count = 0;
        while let Some((key, event)) = next {
            match event {
                TurnTransportEvent::Opened => self.core.handle_turn_transport_opened(now, &key),
                TurnTransportEvent::Data(bytes) => {
                    self.core.handle_turn_transport_data(now, &key, &bytes)
                }
                TurnTransportEvent::Closed => {
                    self.turn_transports.remove(&key);
                    self.core.handle_turn_transport_closed(now, &key);
                }
            }
            count += 1;
            next = if count < BATCH { self.turn_events.rx.try_recv().ok() } else { None };
        }
    }

    fn handle_source_batch(&mut self, first: SourceBatch) {
        let now = Instant::now();
        let mut next = Some(first);
        let mut count = 0;
        while let Some(batch) = next {
            count += batch.events.len();
            let ends = matches!(batch.events.last(), Some(SourceEvent::Ended { .. }));
            if let Some(running) = self.running.get(&batch.source) {
                self.core.handle_source_events(now, &running.stream, batch.events);
            }
            if ends {
                self.running.remove(&batch.source);
            }
            next = if count < BATCH { self.source_events.rx.try_recv().ok() } else { None };
        }
    }

    /// Gives the core changes of its cameras, and keeps their new sources.
    pub(crate) fn change_cameras(&mut self, updates: Vec<Update>) {
        for Update { change, sources } in updates {
            if let Some(sources) = sources {
                self.sources.retain(|stream, _| stream.camera != *change.camera());
                self.sources.extend(sources);
            }
            self.core.change_camera(Instant::now(), change);
        }
    }

    /// Passes an answer to the core, after the changes that were made before it: a camera that it
    /// names exists.
    fn handle_question_event(&mut self, event: QuestionEvent) {
        while let Ok(updates) = self.channels.changes.try_recv() {
            self.change_cameras(updates);
        }
        self.core.handle_question_event(Instant::now(), event);
    }

    fn handle_link_event(&mut self, event: LinkEvent) {
        let now = Instant::now();
        match event {
            LinkEvent::Online { server } => {
                if let Some(server) = server {
                    self.ice_servers.set_signaling_server(server);
                }
                self.core.handle_online(now);
            }
            LinkEvent::Offline => self.core.handle_offline(now),
            LinkEvent::Message(message) => self.core.handle_message(now, message),
        }
    }

    /// Passes the port that the router forwards to the core.
    fn refresh_mapping(&mut self) {
        let mapping = match *self.channels.mapped.borrow_and_update() {
            State::Mapped(mapping) => Some(mapping),
            State::Unknown | State::NotNeeded | State::Unmapped(_) => None,
        };
        self.core.set_mapping(Instant::now(), mapping);
    }

    /// Passes the limit of the uplink to the core.
    fn refresh_max_uplink(&mut self) {
        let max_uplink = *self.channels.max_uplink.borrow_and_update();
        self.core.set_max_uplink(Instant::now(), max_uplink);
    }

    fn refresh_addresses(&mut self) {
        if let Some(found) = addresses::local(self.udp.port(), self.with_loopback) {
            self.core.set_addresses(Instant::now(), found);
        }
    }

    /// Applies the outputs of the core until there are no more.
    fn apply_outputs(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Datagram(datagram) => self.outgoing.push(datagram),
                Output::Signal(message) => {
                    if self.channels.link.try_send(message).is_err() {
                        warn!(
                            "the signaling server has stopped reading; a message to it is dropped"
                        );
                    }
                }
                Output::TurnTransport(key, command) => self.apply_turn_transport(key, command),
                Output::Source(stream, command) => self.apply_source(&stream, command),
                Output::Question(output) => self.apply_question(output),
                Output::DoubtLink => self.channels.doubts.notify_one(),
                Output::Resolve(server) => self.resolve(server),
            }
        }
        self.udp.send(&self.outgoing);
        self.outgoing.clear();
    }

    /// Passes a question on. If nobody can take it, it is answered with a fault.
    fn apply_question(&mut self, output: QuestionOutput) {
        if let QuestionOutput::Forgotten(camera) = &output {
            self.sources.retain(|stream, _| stream.camera != *camera);
        }
        let refused = if let QuestionOutput::Ask(id, Question::Control(camera, command)) = output {
            self.channels.controls.try_send((id, camera, command)).is_err().then_some(id)
        } else if let Err(refused) = self.channels.questions.try_send(output)
            && let QuestionOutput::Ask(id, _) = refused.into_inner()
        {
            Some(id)
        } else {
            None
        };
        if let Some(id) = refused {
            let text = "this gateway cannot answer because of a defect: restart it, and report \
                        what its log says";
            let fault = Fault::new(code::INTERNAL_ERROR, text);
            let event = QuestionEvent::Answered(id, Err(fault));
            self.core.handle_question_event(Instant::now(), event);
        }
    }

    fn apply_turn_transport(&mut self, key: TurnClientId, command: TurnTransportCommand) {
        match command {
            TurnTransportCommand::Open(server) => {
                let (tx, rx) = mpsc::channel(turn_transport::QUEUE);
                self.turn_transports.insert(key.clone(), tx);
                let (ice_servers, events) =
                    (Arc::clone(&self.ice_servers), self.turn_events.tx.clone());
                let way = (ice_servers, self.tls.clone());
                self.tasks.spawn(turn_transport::run(key, server, way, rx, events));
            }
            TurnTransportCommand::Send(bytes) => {
                let full =
                    self.turn_transports.get(&key).is_some_and(|tx| tx.try_send(bytes).is_err());
                if full {
                    trace!(session = %key.session, "the queue to the TURN server is full");
                }
            }
            TurnTransportCommand::Close => drop(self.turn_transports.remove(&key)),
        }
    }

    fn apply_source(&mut self, stream: &StreamId, command: SourceCommand) {
        let number = self.running.iter().find(|(_, r)| r.stream == *stream).map(|(n, _)| *n);
        match command {
            SourceCommand::Start | SourceCommand::Stop => {
                if let Some(old) = number.and_then(|number| self.running.remove(&number)) {
                    old.stop.cancel();
                }
                if command == SourceCommand::Start {
                    self.start_source(stream);
                }
            }
            SourceCommand::KeyFrame => {
                if let Some(running) = number.and_then(|number| self.running.get(&number)) {
                    // Fails if a request is pending already; that one suffices.
                    let _ = running.control.try_send(SourceControl::RequestKeyFrame);
                }
            }
        }
    }

    fn start_source(&mut self, stream: &StreamId) {
        let Some(source) = self.sources.get(stream).cloned() else { return };
        self.starts += 1;
        let (control, requests) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let running = RunningSource { stream: stream.clone(), control, stop: stop.clone() };
        self.running.insert(self.starts, running);
        let events = EventSender::new(self.starts, self.source_events.tx.clone());
        self.tasks.spawn(async move {
            let ended = ingest::run_to_end(&source, events.clone(), requests, stop).await;
            // Fails once the gateway is stopping; the event does not matter then.
            let _ = events.send(ended).await;
        });
    }

    fn resolve(&mut self, server: IceServerEndpoint) {
        let (ice_servers, resolved) = (Arc::clone(&self.ice_servers), self.resolved.tx.clone());
        self.tasks.spawn(async move {
            let addresses = ice_servers.resolve(&server).await.unwrap_or_else(|error| {
                debug!("a STUN server cannot be asked: {error}");
                Vec::new()
            });
            // Fails once the gateway is stopping; the event does not matter then.
            let _ = resolved.send((server, addresses)).await;
        });
    }

    /// Closes the core, applies its last outputs and ends all tasks.
    async fn close(&mut self) {
        self.core.close(Instant::now());
        self.apply_outputs();
        for running in self.running.values() {
            running.stop.cancel();
        }
        self.turn_transports.clear();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            self.tasks.abort_all();
        }
    }
}
