//! The gateway's core: its cameras and the sessions of their viewers.

mod admission;
mod cameras;
mod caps;
mod count;
mod ladder;
mod lost;
mod network;
mod questions;
mod signaling;
mod timed;
mod uplink;
mod watching;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use porthole_signaling_proto::method::{Report, ReportParams};
use porthole_signaling_proto::rpc::RequestId;
use porthole_signaling_proto::{CameraId, SessionId, rpc};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tracing::{error, info};

use crate::camera::{Camera, CameraChange, ControlFacts, SourceEvent, Stream, StreamId, Viewer};
use crate::congestion::Uplink;
use crate::dtls_srtp::Identity;
use crate::ice::LocalBase;
use crate::media::{MediaPacket, TrackCodec};
use crate::port_mapping::Mapping;
use crate::question::{QuestionEvent, Registry};
use crate::reflexive::ReflexiveGatherer;
use crate::session::{Section, Session, SessionOutput};
use crate::stats::{EndReason, Stats};
use crate::{Core, IceServerEndpoint, Output, TurnClientId};
use network::Remotes;
use timed::Timed;

/// Limit of sessions. At 2 Mbit/s each they fill a gigabit; a home uplink is full long before.
const MAX_SESSIONS: usize = 500;

/// Limit of the cameras in one message of a report, in bytes of JSON: the sessions and what is
/// around them have room beside it in what a server accepts.
const MAX_REPORTED_BYTES: usize = 40 * 1024;
/// Limit of sessions named in a report, which must fit into one message together with the cameras.
/// With more sessions the report names none.
const MAX_REPORTED_SESSIONS: usize = 250;
/// Limit of sessions that a report names as not started yet. The server takes the others for
/// started, so that they do not have to make room for new ones.
const MAX_REPORTED_STARTING: usize = 64;

/// Time for which changes are collected before a report, so that a flapping camera does not flood
/// the server.
const REPORT_DELAY: Duration = Duration::from_millis(50);

/// Configuration of a [`Gateway`].
#[derive(Debug)]
pub struct GatewayConfig {
    /// The DTLS certificate of all sessions.
    pub identity: Identity,
    /// Use relayed candidates only, so that the addresses of this network stay private.
    pub turn_only: bool,
    /// Limit of everything that viewers outside the local network get, in bits per second.
    pub max_uplink: Option<u64>,
    /// Seed of the generator for credentials, SSRCs and the like. Must be unpredictable in
    /// production.
    pub seed: u64,
}

/// The core of a gateway. See [`Core`] for how to drive it.
#[derive(Debug)]
pub struct Gateway {
    identity: Identity,
    turn_only: bool,
    rng: StdRng,
    cameras: Timed<CameraId, Camera>,
    sessions: Timed<SessionId, Session>,
    reflexive: ReflexiveGatherer,
    addresses: Vec<SocketAddr>,
    /// The port that the router forwards to the shared port.
    mapping: Option<Mapping>,
    online: bool,
    report_at: Option<Instant>,
    /// Our requests to the signaling server that have no response yet, by id.
    pending: HashMap<i64, PendingRequest>,
    next_request: i64,
    /// WHEP offers whose answer waits for our candidates, and below restarts whose fragment does.
    pending_whep_answers: HashMap<SessionId, RequestId>,
    pending_whep_restarts: HashMap<SessionId, RequestId>,
    /// Viewers waiting for a camera whose format is not known yet, in order of arrival.
    pending_viewers: VecDeque<admission::PendingViewer>,
    remotes: Remotes,
    /// The uplink of the viewers outside the local network.
    uplink: Uplink<SessionId>,
    /// The limits of those who watch with an access token or a share link.
    caps: caps::Caps,
    /// Time at which what is seen is compared with the caps.
    cap_at: Option<Instant>,
    /// The questions of the server that belong to no session.
    questions: Registry,
    /// Cameras that were probed and not added, each with the last time at which it was found or
    /// known to be watched.
    provisional: BTreeMap<CameraId, Instant>,
    /// The facts that the controls of cameras have found out. They are told before and after a
    /// camera is known here, and forgotten when the driver says so.
    facts: BTreeMap<CameraId, ControlFacts>,
    /// Cameras that fail, each with the time at which it is told to be lost.
    lost: BTreeMap<CameraId, Instant>,
    /// The numbers of what has happened.
    stats: Stats,
    outbox: VecDeque<Output>,
}

/// A request of this gateway to the signaling server that has no response yet.
#[derive(Debug, Clone)]
enum PendingRequest {
    Report,
    Invite(SessionId),
}

impl Gateway {
    /// Creates a gateway without cameras that is not connected to the signaling server yet.
    pub fn new(config: GatewayConfig) -> Self {
        Self {
            identity: config.identity,
            turn_only: config.turn_only,
            rng: StdRng::seed_from_u64(config.seed),
            cameras: Timed::default(),
            sessions: Timed::default(),
            reflexive: ReflexiveGatherer::default(),
            addresses: Vec::new(),
            mapping: None,
            online: false,
            report_at: None,
            pending: HashMap::new(),
            next_request: 0,
            pending_whep_answers: HashMap::new(),
            pending_whep_restarts: HashMap::new(),
            pending_viewers: VecDeque::new(),
            remotes: Remotes::default(),
            uplink: Uplink::new(config.max_uplink),
            caps: caps::Caps::default(),
            cap_at: None,
            questions: Registry::default(),
            provisional: BTreeMap::new(),
            facts: BTreeMap::new(),
            lost: BTreeMap::new(),
            stats: Stats::default(),
            outbox: VecDeque::new(),
        }
    }

    fn stream_ids(&self) -> Vec<StreamId> {
        let streams = self.cameras.values().flat_map(Camera::streams);
        streams.map(|stream| stream.id().clone()).collect()
    }

    fn stream(&self, id: &StreamId) -> Option<&Stream> {
        self.cameras.get(&id.camera)?.stream(id.role)
    }

    fn stream_mut(&mut self, id: &StreamId) -> Option<&mut Stream> {
        self.cameras.get_mut(&id.camera)?.stream_mut(id.role)
    }

    /// Runs `act` on a session and processes its outputs. A panic ends that session and no other.
    fn with_session(&mut self, now: Instant, id: &SessionId, act: impl FnOnce(&mut Session)) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if catch_panic(|| act(session)).is_none() {
            return self.end_session(now, id, EndReason::Fault, PANIC_REASON);
        }
        self.process_session_outputs(now, id);
    }

    /// Processes the outputs of a session.
    fn process_session_outputs(&mut self, now: Instant, id: &SessionId) {
        while let Some(output) = self.next_session_output(id) {
            let Some(session) = self.sessions.get(id) else { return };
            match output {
                SessionOutput::Datagram(datagram) => {
                    self.outbox.push_back(Output::Datagram(datagram));
                }
                SessionOutput::TurnTransport(index, command) => {
                    let key = TurnClientId { session: id.clone(), index };
                    self.outbox.push_back(Output::TurnTransport(key, command));
                }
                SessionOutput::Offer(offer) => {
                    // An ICE restart: the mapped address may have changed.
                    self.reflexive.refresh(now, session.ice_servers());
                    self.send_invite(id, offer);
                }
                SessionOutput::Answer(answer) => self.send_answer(id, answer),
                SessionOutput::Fragment(fragment) => self.send_fragment(id, fragment),
                SessionOutput::Trickle(candidate) => self.send_trickle(id, candidate),
                SessionOutput::Started => self.start_watching(now, id),
                SessionOutput::KeyFrame { section } => self.send_key_frame(now, id, section),
                SessionOutput::Quiet => self.outbox.push_back(Output::DoubtLink),
                SessionOutput::Line => self.follow_line(now, id),
                SessionOutput::FirstPacket(time) => self.stats.note_first_packet(time),
                SessionOutput::Ended(reason, words) => {
                    return self.end_session(now, id, reason, &words);
                }
            }
        }
    }

    /// Passes on the datagrams of a session, up to its next other output. A frame is many
    /// datagrams on one path, so neither the session nor the path is looked up for each of them.
    fn next_session_output(&mut self, id: &SessionId) -> Option<SessionOutput> {
        let session = self.sessions.get_mut(id)?;
        let mut noted = None;
        loop {
            let output = session.poll_output()?;
            let SessionOutput::Datagram(datagram) = output else { return Some(output) };
            let remote = (LocalBase::Socket(datagram.from), datagram.to);
            if noted != Some(remote) {
                self.remotes.note(remote, id);
                noted = Some(remote);
            }
            self.outbox.push_back(Output::Datagram(datagram));
        }
    }

    /// Returns the stream that feeds a section.
    fn source_of(&self, id: &SessionId, section: usize) -> Option<StreamId> {
        self.sessions.get(id)?.sections().get(section).map(|section| section.source().clone())
    }

    /// Ends a session for this reason; the viewer is told the `words`.
    fn end_session(&mut self, now: Instant, id: &SessionId, reason: EndReason, words: &str) {
        let Some(mut session) = self.sessions.remove(id) else { return };
        self.count_end(now, id, &session, reason, words);
        // The session may have panicked; flushing its remaining output is best effort.
        let remaining = catch_panic(|| {
            session.close(now);
            std::iter::from_fn(|| session.poll_output()).collect::<Vec<_>>()
        });
        for output in remaining.unwrap_or_default() {
            if let SessionOutput::Datagram(datagram) = output {
                self.outbox.push_back(Output::Datagram(datagram));
            } else if let SessionOutput::TurnTransport(index, command) = output {
                let key = TurnClientId { session: id.clone(), index };
                self.outbox.push_back(Output::TurnTransport(key, command));
            }
        }
        self.remotes.forget(id);
        self.uplink.remove(id);
        self.caps.remove(id);
        self.pending_whep_answers.remove(id);
        self.pending_whep_restarts.remove(id);
        self.send_close(id, words);
        for source in session.sections().iter().map(Section::source) {
            if let Some(camera) = self.cameras.get_mut(&source.camera) {
                camera.remove_session(now, id);
            }
            self.collect_stream_outputs(source);
        }
    }

    /// Queues the commands of a stream and returns its packets.
    fn collect_stream_outputs(&mut self, id: &StreamId) -> Vec<MediaPacket> {
        let camera = self.cameras.get_mut(&id.camera);
        let Some(stream) = camera.and_then(|camera| camera.stream_mut(id.role)) else {
            return Vec::new();
        };
        let packets = std::iter::from_fn(|| stream.poll_packet()).collect();
        while let Some(command) = stream.poll_command() {
            self.outbox.push_back(Output::Source(id.clone(), command));
        }
        packets
    }

    /// Returns the codec of a section; `None` if its session has not started, or if the viewer has
    /// not taken the section.
    fn negotiated_codec(&self, id: &SessionId, section: usize) -> Option<TrackCodec> {
        let session = self.sessions.get(id).filter(|session| session.is_started())?;
        session.sections().get(section)?.codec()
    }

    /// Sends the sound of a stream to all of its listeners. One that has negotiated another codec
    /// goes on seeing the picture.
    fn fan_out_audio(&mut self, now: Instant, id: &StreamId) {
        let Some(stream) = self.stream_mut(id) else { return };
        let packets: Vec<_> = std::iter::from_fn(|| stream.poll_audio()).collect();
        let codec = stream.audio_codec().map(TrackCodec::from);
        if packets.is_empty() {
            return;
        }
        let listeners: Vec<_> = stream.listeners().iter().cloned().collect();
        for Viewer { session: id, section } in listeners {
            let negotiated = self.negotiated_codec(&id, section);
            if negotiated.is_some() && negotiated == codec {
                self.with_session(now, &id, |session| session.send_packets(now, section, &packets));
            }
        }
    }

    /// Sends packets of a stream to all of its viewers.
    fn fan_out(&mut self, now: Instant, id: &StreamId, packets: &[MediaPacket]) {
        if packets.is_empty() {
            return;
        }
        let Some(stream) = self.stream(id) else { return };
        let codec = stream.format().map(|format| TrackCodec::from(format.codec));
        let viewers: Vec<_> = stream.viewers().iter().cloned().collect();
        for Viewer { session: id, section } in viewers {
            let negotiated = self.negotiated_codec(&id, section);
            if negotiated.is_none() {
                continue;
            }
            if negotiated == codec {
                self.with_session(now, &id, |session| session.send_packets(now, section, packets));
            } else {
                // The viewer connects again and is offered what the camera sends now.
                self.end_session(
                    now,
                    &id,
                    EndReason::Codec,
                    "the camera now sends another codec than was negotiated",
                );
            }
        }
        self.go_up(now, id, packets);
    }

    /// Schedules a report to the signaling server if a camera has changed.
    fn schedule_report(&mut self, now: Instant) {
        let mut changed = false;
        self.cameras.take_touched(|camera| {
            for stream in camera.streams_mut() {
                changed |= stream.take_changed();
            }
        });
        if changed {
            self.note_failing(now);
            self.report_at.get_or_insert(now + REPORT_DELAY);
        }
    }

    fn send_report(&mut self) {
        self.report_at = None;
        let reports = self.cameras.iter().map(|(id, camera)| camera.report(self.facts.get(id)));
        let (mut cameras, mut bytes) = (Vec::new(), 0);
        for report in reports.collect::<Vec<_>>() {
            let length = rpc::write(&report).to_string().len();
            if bytes + length > MAX_REPORTED_BYTES && !cameras.is_empty() {
                let part = std::mem::take(&mut cameras);
                let part = ReportParams { cameras: part, more: true, ..ReportParams::default() };
                self.request::<Report>(&part, PendingRequest::Report);
                bytes = 0;
            }
            bytes += length;
            cameras.push(report);
        }
        let fits = self.sessions.len() <= MAX_REPORTED_SESSIONS;
        let sessions = fits.then(|| self.sessions.keys().cloned().collect());
        let starting = self.sessions.iter().filter(|(_, session)| !session.is_started());
        let starting = starting.map(|(id, _)| id.clone()).take(MAX_REPORTED_STARTING).collect();
        let starting = fits.then_some(starting);
        let report = ReportParams { cameras, more: false, sessions, starting };
        self.request::<Report>(&report, PendingRequest::Report);
    }
}

/// The reason given for the end of a session that panicked.
const PANIC_REASON: &str = "a fault in the gateway";

/// Runs `act` on input that a peer controls. A panic ends that session, not the gateway; returns
/// `None` then.
fn catch_panic<T>(act: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(act)).ok();
    if done.is_none() {
        error!("a session panicked and is ended; please report this bug");
    }
    done
}

impl Core for Gateway {
    fn handle_online(&mut self, now: Instant) {
        self.online = true;
        self.pending.clear();
        self.report_at = Some(now);
        // The report has all of them.
        self.cameras.take_touched(|camera| {
            for stream in camera.streams_mut() {
                stream.take_changed();
            }
        });
        for id in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.with_session(now, &id, |session| session.handle_signaling_restored(now));
        }
        self.handle_timeout(now);
    }

    fn handle_offline(&mut self, _now: Instant) {
        // Running sessions go on; new ones need the signaling server.
        self.online = false;
        self.pending.clear();
        self.cancel_questions();
    }

    fn handle_message(&mut self, now: Instant, message: rpc::Message) {
        self.dispatch(now, message);
        self.schedule_report(now);
    }

    fn handle_datagram(&mut self, now: Instant, local: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        self.route_datagram(now, local, from, bytes);
        self.schedule_report(now);
    }

    fn handle_turn_transport_opened(&mut self, now: Instant, key: &TurnClientId) {
        self.with_session(now, &key.session, |session| {
            session.handle_turn_transport_opened(now, key.index);
        });
    }

    fn handle_turn_transport_data(&mut self, now: Instant, key: &TurnClientId, bytes: &[u8]) {
        self.with_session(now, &key.session, |session| {
            session.handle_turn_transport_data(now, key.index, bytes);
        });
        self.schedule_report(now);
    }

    fn handle_turn_transport_closed(&mut self, now: Instant, key: &TurnClientId) {
        self.with_session(now, &key.session, |session| {
            session.handle_turn_transport_closed(now, key.index);
        });
    }

    fn handle_resolved(
        &mut self,
        now: Instant,
        server: &IceServerEndpoint,
        addresses: &[SocketAddr],
    ) {
        self.reflexive.handle_resolved(now, server, addresses);
        self.process_reflexive_outputs(now);
    }

    fn handle_source_events(&mut self, now: Instant, id: &StreamId, events: Vec<SourceEvent>) {
        let Some(stream) = self.stream_mut(id) else { return };
        let mut packets = Vec::with_capacity(events.len());
        for event in events {
            stream.handle_source(now, event);
            packets.extend(std::iter::from_fn(|| stream.poll_packet()));
        }
        self.collect_stream_outputs(id);
        // All of them to one viewer, then to the next: they leave together.
        self.fan_out(now, id, &packets);
        self.fan_out_audio(now, id);
        self.admit_pending_viewers(now);
        self.schedule_report(now);
    }

    fn change_camera(&mut self, now: Instant, change: CameraChange) {
        self.apply_camera_change(now, change);
    }

    fn handle_question_event(&mut self, now: Instant, event: QuestionEvent) {
        Self::handle_question_event(self, now, event);
    }

    fn handle_control(&mut self, now: Instant, camera: &CameraId, facts: ControlFacts) {
        let before = if facts == ControlFacts::default() {
            self.facts.remove(camera)
        } else {
            self.facts.insert(camera.clone(), facts.clone())
        };
        if before.unwrap_or_default() != facts {
            self.report_at.get_or_insert(now + REPORT_DELAY);
        }
    }

    fn set_addresses(&mut self, now: Instant, addresses: Vec<SocketAddr>) {
        if self.addresses == addresses {
            return;
        }
        info!(count = addresses.len(), "the addresses of this machine have changed");
        self.addresses.clone_from(&addresses);
        self.reflexive.set_bases(addresses);
        for id in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.gather(now, &id);
        }
    }

    fn set_mapping(&mut self, now: Instant, mapping: Option<Mapping>) {
        self.mapping = mapping;
        for id in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.with_session(now, &id, |session| session.set_mapping(now, mapping));
        }
    }

    fn set_max_uplink(&mut self, now: Instant, max_uplink: Option<u64>) {
        self.set_cap(now, max_uplink);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let report = self.report_at.filter(|_| self.online);
        let pending = self.pending_viewers.iter().map(|viewer| viewer.deadline).min();
        let parts = [
            self.cameras.poll_timeout(),
            self.sessions.poll_timeout(),
            self.reflexive.poll_timeout(),
            report,
            pending,
            self.questions.poll_timeout(),
            self.next_forgotten(),
            self.next_lost(),
            self.next_cap(),
        ];
        parts.into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        for id in self.cameras.due(now) {
            let streams = self.cameras.get(&id).into_iter().flat_map(Camera::streams);
            for id in streams.map(|stream| stream.id().clone()).collect::<Vec<_>>() {
                if let Some(stream) = self.stream_mut(&id) {
                    stream.handle_timeout(now);
                }
                let packets = self.collect_stream_outputs(&id);
                self.fan_out(now, &id, &packets);
                self.fan_out_audio(now, &id);
            }
        }
        for id in self.sessions.due(now) {
            self.with_session(now, &id, |session| session.handle_timeout(now));
        }
        self.keep_to_cap(now);
        self.reflexive.handle_timeout(now);
        self.process_reflexive_outputs(now);
        self.admit_pending_viewers(now);
        self.give_up_questions(now);
        self.forget_unwatched(now);
        self.tell_lost(now);
        self.schedule_report(now);
        if self.online && self.report_at.is_some_and(|at| at <= now) {
            self.send_report();
        }
    }

    fn close(&mut self, now: Instant) {
        self.cancel_questions();
        for id in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.end_session(now, &id, EndReason::Stopping, "the gateway is stopping");
        }
    }

    fn stats(&self) -> Stats {
        self.current_stats()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }
}

#[cfg(test)]
mod tests;
