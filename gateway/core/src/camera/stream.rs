//! One stream of a camera: connects to its source while it is wanted, and feeds its tracks to
//! viewers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use porthole_signaling_proto::{CameraId, CameraState, SessionId, SoundReport, StreamReport};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tracing::{debug, info, warn};

use super::diagnosis::{Diagnosis, Finding, Problem, Warning};
use super::rate::RateMeter;
use super::{SourceCommand, SourceEvent, StreamId};
use crate::backoff::Backoff;
use crate::media::{
    AudioCodec, AudioDescription, AudioFeed, CLOCK_RATE, ClockReport, Feed, FeedOutput, Format,
    LipSync, MediaKind, MediaPacket, RtpPacket,
};

/// Time a stream stays connected after its last viewer has left, so that a viewer who returns soon
/// does not wait again.
const LINGER: Duration = Duration::from_secs(15);

/// Minimum time before the second attempt if only a person can fix the problem. It may be over by
/// itself, as that of a camera that refuses the right password while it starts.
const PERSON_INTERVAL: Duration = Duration::from_secs(30);

/// Minimum time between all further attempts: cameras lock an account after a handful of wrong
/// passwords in some minutes. A change of the camera's entry is an attempt at once.
const LONG_PERSON_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// Minimum time between two key frame requests to the source, for all viewers together.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunState {
    Stopped,
    Starting,
    /// Connected, and packets arrive.
    Live,
    /// Waiting until the time of the next attempt.
    Retry(Instant),
}

/// A section of a viewer's session, which a stream feeds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Viewer {
    /// The session of the viewer.
    pub session: SessionId,
    /// Index of the section in the session.
    pub section: usize,
}

/// A stream and its connection. After each `handle_…` drain [`Self::poll_command`] and
/// [`Self::poll_packet`].
#[derive(Debug)]
pub struct Stream {
    id: StreamId,
    /// True: connect only while somebody watches.
    on_demand: bool,
    /// The feed of the video track.
    feed: Feed,
    /// The feed of the sound.
    audio: AudioFeed,
    lip_sync: LipSync,
    state: RunState,
    viewers: BTreeSet<Viewer>,
    /// The sections that the sound goes to.
    listeners: BTreeSet<Viewer>,
    /// The sections that show another stream of the camera, and may need this one at any moment.
    standby: BTreeSet<Viewer>,
    rate: RateMeter,
    /// Time at which to disconnect, unless somebody watches again.
    disconnect_at: Option<Instant>,
    backoff: Backoff,
    /// The problem since the stream was last live that only a person can fix: its reason, and the
    /// earliest time of the next attempt, whoever watches.
    lasting: Option<(Instant, String)>,
    rng: StdRng,
    /// The reason why there is no picture.
    reason: Option<String>,
    /// The problem that `reason` tells, if it does.
    problem: Option<Problem>,
    /// The problem that spoils the picture, while there is one.
    warning: Option<Warning>,
    diagnosis: Diagnosis,
    /// The packets are of a kind that cannot be forwarded, which `reason` says.
    is_refused: bool,
    /// A key frame has arrived since the gateway started, so the next one can be expected soon.
    has_played: bool,
    format: Option<Format>,
    last_key_frame_request: Option<Instant>,
    command: Option<SourceCommand>,
    changed: bool,
}

impl Stream {
    /// Creates a stream, which connects at once unless it is on demand. `seed` randomizes its
    /// retries.
    pub fn new(id: StreamId, on_demand: bool, seed: u64) -> Self {
        let mut stream = Self {
            id,
            on_demand,
            feed: Feed::new(),
            audio: AudioFeed::default(),
            lip_sync: LipSync::default(),
            state: RunState::Stopped,
            viewers: BTreeSet::new(),
            listeners: BTreeSet::new(),
            standby: BTreeSet::new(),
            rate: RateMeter::default(),
            disconnect_at: None,
            backoff: Backoff::default(),
            lasting: None,
            rng: StdRng::seed_from_u64(seed),
            reason: None,
            problem: None,
            warning: None,
            diagnosis: Diagnosis::default(),
            is_refused: false,
            has_played: false,
            format: None,
            last_key_frame_request: None,
            command: None,
            changed: true,
        };
        if !stream.on_demand {
            stream.start();
        }
        stream
    }

    /// Connects from now on only while somebody watches, or all the time.
    pub fn set_on_demand(&mut self, now: Instant, on_demand: bool) {
        if std::mem::replace(&mut self.on_demand, on_demand) == on_demand {
            return;
        }
        if on_demand {
            self.disconnect_at = (!self.is_wanted()).then_some(now + LINGER);
        } else {
            self.disconnect_at = None;
            if self.state == RunState::Stopped {
                self.start_or_wait();
            }
        }
    }

    /// Adds a viewer, and connects if necessary.
    pub fn add_viewer(&mut self, viewer: Viewer) {
        self.standby.remove(&viewer);
        self.viewers.insert(viewer);
        self.changed = true;
        self.want();
    }

    /// Adds a section that may need the stream at any moment, and connects if necessary. If the
    /// stream feeds it, it no longer does.
    pub fn add_standby(&mut self, viewer: Viewer) {
        if self.standby.contains(&viewer) {
            return;
        }
        self.changed |= self.viewers.remove(&viewer);
        self.standby.insert(viewer);
        self.want();
    }

    /// Returns true while somebody watches the stream or may need it.
    fn is_wanted(&self) -> bool {
        !self.viewers.is_empty() || !self.standby.is_empty()
    }

    fn want(&mut self) {
        self.disconnect_at = None;
        if self.state == RunState::Stopped {
            self.start_or_wait();
        }
    }

    /// Adds a section that the sound goes to. Its session watches the stream as well.
    pub fn add_listener(&mut self, listener: Viewer) {
        self.listeners.insert(listener);
        self.audio.set_wanted(true);
    }

    /// Removes the viewers of a session; after the last one the stream stays connected for a while.
    pub fn remove_session(&mut self, now: Instant, session: &SessionId) {
        self.listeners.retain(|listener| listener.session != *session);
        self.audio.set_wanted(!self.listeners.is_empty());
        let before = (self.viewers.len(), self.standby.len());
        self.viewers.retain(|viewer| viewer.session != *session);
        self.standby.retain(|viewer| viewer.session != *session);
        if (self.viewers.len(), self.standby.len()) == before {
            return;
        }
        self.changed |= self.viewers.len() != before.0;
        if !self.is_wanted() && self.on_demand {
            self.disconnect_at = Some(now + LINGER);
        }
    }

    /// Returns the id of the stream.
    pub fn id(&self) -> &StreamId {
        &self.id
    }

    /// Returns the sections that the stream feeds.
    pub fn viewers(&self) -> &BTreeSet<Viewer> {
        &self.viewers
    }

    /// Returns the sections that may need the stream at any moment.
    pub fn standby(&self) -> &BTreeSet<Viewer> {
        &self.standby
    }

    /// Returns the rate of the video in bits per second, with all headers; `None` until it is
    /// known.
    pub fn bits_per_second(&self) -> Option<u64> {
        self.rate.bits_per_second()
    }

    /// Returns the sections that the sound goes to.
    pub fn listeners(&self) -> &BTreeSet<Viewer> {
        &self.listeners
    }

    /// Handles an event from the source.
    pub fn handle_source(&mut self, now: Instant, event: SourceEvent) {
        match event {
            SourceEvent::Connected(description) => {
                self.feed.handle_description(&description.video);
                self.describe_sound(description.audio.as_ref());
                self.diagnosis = Diagnosis::new(self.feed.statistics());
                self.is_refused = false;
            }
            SourceEvent::Packet { track, arrival, packet } => match track {
                MediaKind::Video => self.handle_packet(arrival, packet),
                MediaKind::Audio => {
                    let before = self.audio.codec();
                    self.audio.handle_packet(arrival, packet);
                    self.changed |= self.audio.codec() != before;
                }
            },
            SourceEvent::Clock { track, report } => self.handle_clock(track, report),
            SourceEvent::Silent => self.handle_silence(),
            SourceEvent::Ended { reason, needs_a_person } => {
                self.handle_ended(now, reason, needs_a_person);
            }
        }
    }

    fn describe_sound(&mut self, description: Option<&AudioDescription>) {
        self.lip_sync = LipSync::default();
        self.feed.set_reference(None);
        let before = self.sound();
        self.audio.handle_description(description);
        self.changed |= self.sound() != before;
        if let Some((codec, Some(problem))) = self.audio.sound() {
            warn!(camera = %self.id, codec, "{problem}");
        }
    }

    /// Handles the clock of a sender report.
    fn handle_clock(&mut self, track: MediaKind, report: ClockReport) {
        let clock_rate = match track {
            MediaKind::Video => Some(CLOCK_RATE),
            MediaKind::Audio => self.audio.clock_rate(),
        };
        if let Some(clock_rate) = clock_rate {
            self.lip_sync.handle_report(track, report, clock_rate);
        }
    }

    fn handle_packet(&mut self, arrival: Instant, packet: RtpPacket) {
        if self.lip_sync.handle_picture(arrival, packet.header.timestamp) {
            self.feed.set_reference(self.lip_sync.reference(MediaKind::Video));
            self.audio.set_reference(self.lip_sync.reference(MediaKind::Audio));
        }
        match self.feed.handle_packet(arrival, packet) {
            Ok(()) => {}
            Err(error) if error.is_lasting() => {
                self.is_refused = true;
                self.set_reason(Some(error.to_string()));
            }
            Err(error) => debug!(camera = %self.id, "packet dropped: {error}"),
        }
        self.diagnose(arrival);
    }

    /// Returns true while the source is, or may be, connected.
    fn is_connected(&self) -> bool {
        matches!(self.state, RunState::Starting | RunState::Live)
    }

    /// Finds out why there is no picture, or a bad one.
    fn diagnose(&mut self, now: Instant) {
        if !self.is_connected() {
            return;
        }
        let statistics = self.feed.statistics();
        let finding = self.diagnosis.examine(now, &statistics, self.feed.gop().is_too_large());
        let (problem, warning) = match finding {
            Finding::Fine => (None, None),
            Finding::NoPicture(problem) => (Some(problem), None),
            Finding::Spoiled(warning) => (None, Some(warning)),
        };
        let is_new = problem != self.problem;
        if let Some(problem) = problem
            && is_new
            && self.state == RunState::Starting
            && !self.is_refused
        {
            self.set_reason(Some(problem.to_string()));
            self.problem = Some(problem);
        }
        if self.warning != warning {
            if let Some(warning) = &warning
                && self.warning.is_none()
            {
                warn!(camera = %self.id, "{warning}");
            }
            self.warning = warning;
            self.changed = true;
        }
    }

    fn handle_silence(&mut self) {
        if self.is_connected() {
            self.state = RunState::Starting;
            let reason = "no packets of the described stream arrive: check what sends to this \
                          port, and with which payload type";
            self.set_reason(Some(reason.to_owned()));
        }
    }

    fn handle_ended(&mut self, now: Instant, reason: String, needs_a_person: bool) {
        self.forget_connection();
        if self.state == RunState::Stopped {
            return;
        }
        let wait = self.backoff.next(self.rng.random());
        let wait = match (needs_a_person, &self.lasting) {
            (false, _) => wait,
            (true, None) => wait.max(PERSON_INTERVAL),
            (true, Some(_)) => LONG_PERSON_INTERVAL,
        };
        if needs_a_person {
            self.lasting = Some((now + wait, reason.clone()));
        }
        self.state = RunState::Retry(now + wait);
        self.set_reason(Some(reason));
    }

    /// Forgets what belongs to a connection that has ended.
    fn forget_connection(&mut self) {
        self.feed.handle_end();
        self.audio.handle_end();
        self.diagnosis = Diagnosis::new(self.feed.statistics());
        self.warning = None;
    }

    fn set_reason(&mut self, reason: Option<String>) {
        self.problem = None;
        if self.reason == reason {
            return;
        }
        match &reason {
            Some(reason) => warn!(camera = %self.id, "{reason}"),
            None => info!(camera = %self.id, "live"),
        }
        self.reason = reason;
        self.changed = true;
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retry = match self.state {
            RunState::Retry(at) => Some(at),
            RunState::Stopped | RunState::Starting | RunState::Live => None,
        };
        let diagnosis = self.diagnosis.poll_timeout().filter(|_| self.is_connected());
        let feeds = [self.feed.poll_timeout(), self.audio.poll_timeout()];
        let due = [retry, self.disconnect_at, feeds[0], feeds[1], diagnosis];
        due.into_iter().flatten().min()
    }

    /// Retries, disconnects, or forwards packets that have waited, if that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.feed.handle_timeout(now);
        self.audio.handle_timeout(now);
        if self.diagnosis.poll_timeout().is_some_and(|at| at <= now) {
            self.diagnose(now);
        }
        if self.disconnect_at.is_some_and(|at| at <= now) {
            self.stop();
        }
        if matches!(self.state, RunState::Retry(at) if at <= now) {
            self.start();
        }
    }

    /// Disconnects from the source.
    pub fn stop(&mut self) {
        self.disconnect_at = None;
        self.forget_connection();
        self.state = RunState::Stopped;
        self.command = Some(SourceCommand::Stop);
        self.backoff.reset();
        self.set_reason(None);
        self.changed = true;
    }

    /// Starts, unless a person has not had the time to fix what ended the last attempt.
    fn start_or_wait(&mut self) {
        match self.lasting.clone() {
            Some((at, reason)) => {
                self.state = RunState::Retry(at);
                self.set_reason(Some(reason));
            }
            None => self.start(),
        }
    }

    fn start(&mut self) {
        self.state = RunState::Starting;
        self.command = Some(SourceCommand::Start);
        self.changed = true;
    }

    /// Requests a key frame for a viewer, unless one was requested less than 500 ms ago.
    pub fn request_key_frame(&mut self, now: Instant) {
        let recently = |at: Instant| now.saturating_duration_since(at) < KEY_FRAME_INTERVAL;
        if self.state == RunState::Live && !self.last_key_frame_request.is_some_and(recently) {
            self.last_key_frame_request = Some(now);
            self.command.get_or_insert(SourceCommand::KeyFrame);
        }
    }

    /// Returns the command for the driver, if there is one.
    pub fn poll_command(&mut self) -> Option<SourceCommand> {
        self.command.take()
    }

    /// Returns the next packet for every viewer.
    pub fn poll_packet(&mut self) -> Option<MediaPacket> {
        while let Some(output) = self.feed.poll_output() {
            match output {
                FeedOutput::Format(format) => {
                    self.format = Some(format);
                    self.changed = true;
                }
                FeedOutput::Packet(packet) => {
                    self.has_played |= packet.starts_key_frame;
                    self.rate.add(packet.arrival, packet.payload.len());
                    if self.state == RunState::Starting {
                        self.state = RunState::Live;
                        self.lasting = None;
                        self.backoff.reset();
                        self.set_reason(None);
                        self.changed = true;
                    }
                    return Some(packet);
                }
            }
        }
        None
    }

    /// Returns the next packet for every listener.
    pub fn poll_audio(&mut self) -> Option<MediaPacket> {
        self.audio.poll_output()
    }

    /// Returns the codec of the sound, if there is any that can be heard. It stays known while the
    /// camera is disconnected.
    pub fn audio_codec(&self) -> Option<AudioCodec> {
        self.audio.codec()
    }

    /// Returns the sound as it is reported.
    pub fn sound(&self) -> Option<SoundReport> {
        let (codec, problem) = self.audio.sound()?;
        Some(SoundReport { codec: codec.to_owned(), reason: problem.map(ToString::to_string) })
    }

    /// Returns the reason why a viewer would see nothing now, if it is known.
    pub fn failure(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| self.state() == CameraState::Failed)
    }

    /// Returns true if a viewer can be promised a picture: the format is known, and a key frame has
    /// arrived since the gateway started.
    pub fn is_proven(&self) -> bool {
        self.format.is_some() && self.has_played
    }

    /// Returns true if a new viewer has to wait for the next key frame because the group of
    /// pictures is too large to be cached.
    pub fn is_group_too_large(&self) -> bool {
        self.feed.gop().is_too_large()
    }

    /// Returns the packets a new viewer starts from: the last key frame and all since.
    pub fn group_of_pictures(&self) -> &[MediaPacket] {
        self.feed.gop().packets()
    }

    /// Returns the format of the video; `None` until it is known. It stays known while the camera
    /// is disconnected.
    pub fn format(&self) -> Option<&Format> {
        self.format.as_ref()
    }

    /// Returns true if the report has changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Returns the state that is reported.
    pub fn state(&self) -> CameraState {
        match (self.state, &self.reason) {
            (RunState::Stopped, _) => CameraState::Idle,
            (RunState::Live, _) => CameraState::Live,
            (RunState::Starting | RunState::Retry(_), Some(_)) => CameraState::Failed,
            (RunState::Starting | RunState::Retry(_), None) => CameraState::Connecting,
        }
    }

    /// Returns the stream's part of its camera's report; `id` is its profile token.
    pub fn report(&self, id: CameraId) -> StreamReport {
        let state = self.state();
        StreamReport {
            id,
            role: self.id.role,
            state,
            reason: match state {
                CameraState::Failed => self.reason.clone(),
                CameraState::Live => self.warning.map(|warning| warning.to_string()),
                CameraState::Idle | CameraState::Connecting | CameraState::Offline => None,
            },
            codec: self.format.as_ref().map(|f| f.codec.encoding_name().to_owned()),
            width: self.format.as_ref().map(|f| f.width),
            height: self.format.as_ref().map(|f| f.height),
        }
    }
}

#[cfg(test)]
mod tests;
