//! The core of one camera: connects it while it is wanted, and feeds its video to viewers.

use std::time::{Duration, Instant};

use porthole_signaling_proto::{CameraId, CameraReport, CameraState};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::media::{Feed, FeedOutput, Format, RtpPacket, StreamDescription, VideoPacket};

/// Time a camera stays connected after its last viewer has left, so that a viewer who returns soon
/// does not wait again.
const LINGER: Duration = Duration::from_secs(15);

/// Minimum time between two attempts if only a person can fix the problem: a camera locks an
/// account after a handful of wrong passwords in a minute.
const PERSON_INTERVAL: Duration = Duration::from_secs(30);

/// Minimum time between two key frame requests to the source, for all viewers together.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Name and connection policy of a camera. Only the driver knows its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraSettings {
    /// The camera's id.
    pub id: CameraId,
    /// The name that people see.
    pub name: String,
    /// True: connect only while somebody watches. False: stay connected.
    pub on_demand: bool,
}

/// An event from the source of a camera.
#[derive(Debug)]
pub enum SourceEvent {
    /// The source is connected, or listening, and will send this stream.
    Connected(StreamDescription),
    /// An RTP packet.
    Packet {
        /// Time at which the packet arrived.
        arrival: Instant,
        /// The packet itself.
        packet: RtpPacket,
    },
    /// No packet has arrived for a while at a port that the source listens on.
    Silent,
    /// The connection has ended.
    Ended {
        /// The cause, in one sentence.
        reason: String,
        /// True if only a person can fix the cause.
        needs_a_person: bool,
    },
}

/// A command to the driver for a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameraCommand {
    /// Connect to the camera.
    Start,
    /// Disconnect from the camera.
    Stop,
    /// Request a key frame from the camera.
    KeyFrame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunState {
    Stopped,
    Starting,
    /// Connected, and packets arrive.
    Live,
    /// Waiting until the time of the next attempt.
    Retry(Instant),
}

/// A camera and its connection. After each `handle_…` drain [`Self::poll_command`] and
/// [`Self::poll_packet`].
#[derive(Debug)]
pub struct Camera {
    settings: CameraSettings,
    feed: Feed,
    state: RunState,
    viewers: u32,
    /// Time at which to disconnect, unless somebody watches again.
    disconnect_at: Option<Instant>,
    backoff: Backoff,
    rng: StdRng,
    reason: Option<String>,
    format: Option<Format>,
    last_key_frame_request: Option<Instant>,
    command: Option<CameraCommand>,
    changed: bool,
}

impl Camera {
    /// Creates a camera, which connects at once unless it is on demand. `seed` randomizes its
    /// retries.
    pub fn new(settings: CameraSettings, seed: u64) -> Self {
        let mut camera = Self {
            feed: Feed::new(),
            state: RunState::Stopped,
            viewers: 0,
            disconnect_at: None,
            backoff: Backoff::default(),
            rng: StdRng::seed_from_u64(seed),
            reason: None,
            format: None,
            last_key_frame_request: None,
            command: None,
            changed: true,
            settings,
        };
        if !camera.settings.on_demand {
            camera.start();
        }
        camera
    }

    /// Counts one more viewer, and connects if necessary.
    pub fn add_viewer(&mut self) {
        self.viewers = self.viewers.saturating_add(1);
        self.disconnect_at = None;
        self.changed = true;
        if self.state == RunState::Stopped {
            self.start();
        }
    }

    /// Counts one viewer less; after the last one the camera stays connected for a while.
    pub fn remove_viewer(&mut self, now: Instant) {
        self.viewers = self.viewers.saturating_sub(1);
        self.changed = true;
        if self.viewers == 0 && self.settings.on_demand {
            self.disconnect_at = Some(now + LINGER);
        }
    }

    /// Handles an event from the source.
    pub fn handle_source(&mut self, now: Instant, event: SourceEvent) {
        match event {
            SourceEvent::Connected(description) => self.feed.handle_description(&description),
            SourceEvent::Packet { arrival, packet } => self.handle_packet(arrival, packet),
            SourceEvent::Silent => self.handle_silence(),
            SourceEvent::Ended { reason, needs_a_person } => {
                self.handle_ended(now, reason, needs_a_person);
            }
        }
    }

    fn handle_packet(&mut self, arrival: Instant, packet: RtpPacket) {
        match self.feed.handle_packet(arrival, packet) {
            Ok(()) => {}
            Err(error) if error.is_lasting() => self.set_reason(Some(error.to_string())),
            Err(error) => debug!(camera = %self.settings.id, "packet dropped: {error}"),
        }
    }

    fn handle_silence(&mut self) {
        if matches!(self.state, RunState::Live | RunState::Starting) {
            self.state = RunState::Starting;
            self.set_reason(Some("no packets arrive: check what sends to this port".to_owned()));
        }
    }

    fn handle_ended(&mut self, now: Instant, reason: String, needs_a_person: bool) {
        self.feed.handle_end();
        if self.state == RunState::Stopped {
            return;
        }
        let wait = self.backoff.next(self.rng.random());
        let wait = if needs_a_person { wait.max(PERSON_INTERVAL) } else { wait };
        self.state = RunState::Retry(now + wait);
        self.set_reason(Some(reason));
    }

    fn set_reason(&mut self, reason: Option<String>) {
        if self.reason == reason {
            return;
        }
        match &reason {
            Some(reason) => warn!(camera = %self.settings.id, "{reason}"),
            None => info!(camera = %self.settings.id, "live"),
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
        [retry, self.disconnect_at, self.feed.poll_timeout()].into_iter().flatten().min()
    }

    /// Retries, disconnects, or forwards packets that have waited, if that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.feed.handle_timeout(now);
        if self.disconnect_at.is_some_and(|at| at <= now) {
            self.disconnect_at = None;
            self.feed.handle_end();
            self.state = RunState::Stopped;
            self.command = Some(CameraCommand::Stop);
            self.backoff.reset();
            self.set_reason(None);
            self.changed = true;
        }
        if matches!(self.state, RunState::Retry(at) if at <= now) {
            self.start();
        }
    }

    fn start(&mut self) {
        self.state = RunState::Starting;
        self.command = Some(CameraCommand::Start);
        self.changed = true;
    }

    /// Requests a key frame for a viewer, unless one was requested less than 500 ms ago.
    pub fn request_key_frame(&mut self, now: Instant) {
        let recently = |at: Instant| now.saturating_duration_since(at) < KEY_FRAME_INTERVAL;
        if self.state == RunState::Live && !self.last_key_frame_request.is_some_and(recently) {
            self.last_key_frame_request = Some(now);
            self.command.get_or_insert(CameraCommand::KeyFrame);
        }
    }

    /// Returns the command for the driver, if there is one.
    pub fn poll_command(&mut self) -> Option<CameraCommand> {
        self.command.take()
    }

    /// Returns the next packet for every viewer.
    pub fn poll_packet(&mut self) -> Option<VideoPacket> {
        while let Some(output) = self.feed.poll_output() {
            match output {
                FeedOutput::Format(format) => {
                    self.format = Some(format);
                    self.changed = true;
                }
                FeedOutput::Packet(packet) => {
                    if self.state == RunState::Starting {
                        self.state = RunState::Live;
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

    /// Returns the packets a new viewer starts from: the last key frame and all since.
    pub fn group_of_pictures(&self) -> &[VideoPacket] {
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

    /// Returns the report for the signaling server.
    pub fn report(&self) -> CameraReport {
        let state = match (self.state, &self.reason) {
            (RunState::Stopped, _) => CameraState::Idle,
            (RunState::Live, _) => CameraState::Live,
            (RunState::Starting | RunState::Retry(_), Some(_)) => CameraState::Failed,
            (RunState::Starting | RunState::Retry(_), None) => CameraState::Connecting,
        };
        CameraReport {
            id: self.settings.id.clone(),
            name: self.settings.name.clone(),
            state,
            reason: self.reason.clone().filter(|_| state == CameraState::Failed),
            codec: self.format.as_ref().map(|f| f.codec.encoding_name().to_owned()),
            width: self.format.as_ref().map(|f| f.width),
            height: self.format.as_ref().map(|f| f.height),
            viewers: self.viewers,
        }
    }
}

#[cfg(test)]
mod tests;
