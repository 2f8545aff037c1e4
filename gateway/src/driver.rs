//! The driver: one loop that carries what arrives into the core and what the core says out.
//!
//! No decision is made here, and none is preferred: a flood on one side must not starve the others.

use crate::addresses;
use crate::ingest::{self, SourceControl};
pub use crate::link::LinkEvent;
use crate::turn_transport::{self, TurnTransportEvent};
use crate::udp::{Arrived, Udp};
use bytes::Bytes;
use porthole_gateway_core::camera::{CameraCommand, SourceEvent};
use porthole_gateway_core::{
    Core, Datagram, IceServerEndpoint, Output, TurnClientId, TurnTransportCommand,
};
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::rpc::Message;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, trace, warn};

/// Packets that may wait for the loop: 100 ms of a hundred cameras of 4 Mbit/s.
const SOURCE_QUEUE: usize = 4096;

/// Datagrams from TURN servers that may wait for the loop.
const TURN_QUEUE: usize = 4096;

/// Messages that may wait for the link; beyond that the server is not reading.
pub(crate) const LINK_QUEUE: usize = 1024;

/// Names under way; each takes a thread of the runtime.
const RESOLVE_QUEUE: usize = 16;

/// What one source may put in before the network is looked at again.
const BATCH: usize = 64;

/// How often the machine's addresses are looked at: a walk out of the Wi-Fi is noticed in time
/// for ICE, which waits 5 s before it gives a path up.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(3);

/// How long the sessions may say goodbye.
const DRAIN: Duration = Duration::from_millis(300);

/// The longest sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// A camera's running source.
struct RunningSource {
    control: mpsc::Sender<SourceControl>,
    stop: CancellationToken,
    /// Tells a source from the one that ran before it.
    generation: u64,
}

/// Where cameras are; the core knows only what they are called.
pub type Sources = HashMap<CameraId, ingest::Source>;

/// What is tied together.
pub struct Driver<C> {
    core: C,
    udp: Udp,
    sources: Sources,
    running: HashMap<CameraId, RunningSource>,
    generation: u64,
    source_events: Channel<(CameraId, u64, SourceEvent)>,
    turn_transports: HashMap<TurnClientId, mpsc::Sender<Bytes>>,
    turn_transport_events: Channel<(TurnClientId, TurnTransportEvent)>,
    resolved: Channel<(IceServerEndpoint, Vec<SocketAddr>)>,
    link: mpsc::Sender<Message>,
    link_events: mpsc::Receiver<LinkEvent>,
    tasks: JoinSet<()>,
    outgoing: Vec<Datagram>,
    /// Offer loopback addresses: the server, and so perhaps the viewer, is on this machine.
    with_loopback: bool,
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
    /// Binds the UDP port; 0 picks one. What the core says to the server goes to `link`.
    ///
    /// # Errors
    /// When the port cannot be used.
    pub fn new(
        core: C,
        udp_port: u16,
        sources: Sources,
        link: mpsc::Sender<Message>,
        link_events: mpsc::Receiver<LinkEvent>,
        with_loopback: bool,
    ) -> io::Result<Self> {
        Ok(Self {
            core,
            udp: Udp::bind(udp_port)?,
            sources,
            running: HashMap::new(),
            generation: 0,
            source_events: Channel::new(SOURCE_QUEUE),
            turn_transports: HashMap::new(),
            turn_transport_events: Channel::new(TURN_QUEUE),
            resolved: Channel::new(RESOLVE_QUEUE),
            link,
            link_events,
            tasks: JoinSet::new(),
            outgoing: Vec::new(),
            with_loopback,
        })
    }

    /// Runs until told to stop, then lets every session say goodbye.
    ///
    /// # Errors
    /// When the UDP port breaks.
    pub async fn run(mut self, stop: CancellationToken) -> io::Result<()> {
        let mut address_timer = tokio::time::interval(ADDRESS_INTERVAL);
        let mut arrived = Vec::new();
        loop {
            self.apply_outputs();
            let due = self.core.poll_timeout().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                () = stop.cancelled() => break,
                received = self.udp.receive(&mut arrived) => {
                    received?;
                    self.handle_datagrams(&mut arrived);
                }
                Some(event) = self.turn_transport_events.rx.recv() => self.handle_turn_transport(event),
                Some(event) = self.source_events.rx.recv() => self.handle_source(event),
                Some(event) = self.link_events.recv() => self.handle_link(event),
                Some((server, addresses)) = self.resolved.rx.recv() => {
                    self.core.handle_resolved(Instant::now(), &server, &addresses);
                }
                _ = address_timer.tick() => self.refresh_addresses(),
                () = tokio::time::sleep_until(due.into()) => {
                    self.core.handle_timeout(Instant::now());
                }
                Some(_) = self.tasks.join_next() => {}
            }
        }
        self.finish().await;
        Ok(())
    }

    fn handle_datagrams(&mut self, arrived: &mut Vec<Arrived>) {
        let now = Instant::now();
        for datagram in arrived.drain(..) {
            self.core.handle_datagram(now, datagram.local, datagram.from, &datagram.bytes);
        }
    }

    fn handle_turn_transport(&mut self, first: (TurnClientId, TurnTransportEvent)) {
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
            next = if count < BATCH { self.turn_transport_events.rx.try_recv().ok() } else { None };
        }
    }

    fn handle_source(&mut self, first: (CameraId, u64, SourceEvent)) {
        let now = Instant::now();
        let mut next = Some(first);
        let mut count = 0;
        while let Some((camera, generation, event)) = next {
            let current = self.running.get(&camera).is_some_and(|r| r.generation == generation);
            if current {
                if matches!(event, SourceEvent::Ended { .. }) {
                    self.running.remove(&camera);
                }
                self.core.handle_source(now, &camera, event);
            }
            count += 1;
            next = if count < BATCH { self.source_events.rx.try_recv().ok() } else { None };
        }
    }

    fn handle_link(&mut self, event: LinkEvent) {
        let now = Instant::now();
        match event {
            LinkEvent::Online => self.core.handle_online(now),
            LinkEvent::Offline => self.core.handle_offline(now),
            LinkEvent::Message(message) => self.core.handle_message(now, message),
        }
    }

    fn refresh_addresses(&mut self) {
        if let Some(found) = addresses::local(self.udp.port(), self.with_loopback) {
            self.core.set_addresses(Instant::now(), found);
        }
    }

    /// Carries out what the core says, until it is silent.
    fn apply_outputs(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Datagram(datagram) => self.outgoing.push(datagram),
                Output::Signal(message) => {
                    if self.link.try_send(message).is_err() {
                        warn!("the signaling server does not read; a message to it is lost");
                    }
                }
                Output::TurnTransport(key, command) => self.apply_turn_transport(key, command),
                Output::Camera(camera, command) => self.apply_camera(&camera, command),
                Output::Resolve(server) => self.resolve(server),
            }
        }
        self.udp.send(&self.outgoing);
        self.outgoing.clear();
    }

    fn apply_turn_transport(&mut self, key: TurnClientId, command: TurnTransportCommand) {
        match command {
            TurnTransportCommand::Open(server) => {
                let (tx, rx) = mpsc::channel(turn_transport::QUEUE);
                self.turn_transports.insert(key.clone(), tx);
                self.tasks.spawn(turn_transport::run(
                    key,
                    server,
                    rx,
                    self.turn_transport_events.tx.clone(),
                ));
            }
            TurnTransportCommand::Send(bytes) => {
                let full =
                    self.turn_transports.get(&key).is_some_and(|tx| tx.try_send(bytes).is_err());
                if full {
                    trace!(session = %key.session, "a datagram for TURN is dropped");
                }
            }
            TurnTransportCommand::Close => drop(self.turn_transports.remove(&key)),
        }
    }

    fn apply_camera(&mut self, camera: &CameraId, command: CameraCommand) {
        match command {
            CameraCommand::Start => self.start_camera(camera),
            CameraCommand::Stop => {
                if let Some(running) = self.running.remove(camera) {
                    running.stop.cancel();
                }
            }
            CameraCommand::KeyFrame => {
                if let Some(running) = self.running.get(camera) {
                    // A source that is asked already will send one.
                    let _ = running.control.try_send(SourceControl::RequestKeyFrame);
                }
            }
        }
    }

    fn start_camera(&mut self, camera: &CameraId) {
        let Some(source) = self.sources.get(camera).cloned() else { return };
        self.generation += 1;
        let generation = self.generation;
        let (control, commands) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let id = camera.clone();
        let events = self.source_events.tx.clone();
        let running = RunningSource { control, stop: stop.clone(), generation };
        if let Some(old) = self.running.insert(id.clone(), running) {
            old.stop.cancel();
        }
        self.tasks.spawn(async move {
            let (feed, mut packets) = mpsc::channel(ingest::EVENT_QUEUE);
            let ingest = ingest::run(&source, feed, commands, stop.clone());
            let label = id.clone();
            let forward = async {
                while let Some(event) = packets.recv().await {
                    if events.send((label.clone(), generation, event)).await.is_err() {
                        return;
                    }
                }
            };
            let (ended, ()) = tokio::join!(ingest, forward);
            let ended = match ended {
                Ok(()) => SourceEvent::Ended {
                    reason: "the camera ended the stream".to_owned(),
                    needs_a_person: false,
                },
                Err(error) => SourceEvent::Ended {
                    reason: error.to_string(),
                    needs_a_person: error.needs_a_person(),
                },
            };
            // Nobody listens once the gateway stops.
            let _ = events.send((id, generation, ended)).await;
        });
    }

    fn resolve(&mut self, server: IceServerEndpoint) {
        let resolved = self.resolved.tx.clone();
        self.tasks.spawn(async move {
            let addresses = resolve_host(&server).await;
            // Nobody listens once the gateway stops.
            let _ = resolved.send((server, addresses)).await;
        });
    }

    /// Every session says goodbye, and what it says still leaves.
    async fn finish(&mut self) {
        self.core.close(Instant::now());
        self.apply_outputs();
        for running in self.running.values() {
            running.stop.cancel();
        }
        self.turn_transports.clear();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(DRAIN, ended).await.is_err() {
            self.tasks.abort_all();
        }
    }
}

async fn resolve_host(server: &IceServerEndpoint) -> Vec<SocketAddr> {
    match tokio::net::lookup_host((server.host.as_str(), server.port)).await {
        Ok(found) => found.collect(),
        Err(error) => {
            debug!("the name of a STUN server is not found: {error}");
            Vec::new()
        }
    }
}
