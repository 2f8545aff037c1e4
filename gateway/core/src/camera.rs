//! One camera: whether it is wanted, what it is doing, and its video.

use crate::backoff::Backoff;
use crate::media::{Feed, FeedOutput, Format, RtpPacket, StreamDescription, VideoPacket};
use porthole_signaling_proto::{CameraId, CameraReport, CameraState};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// How long a camera stays connected after its last viewer: who looks twice waits once.
const LINGER: Duration = Duration::from_secs(15);

/// Between two tries when only a person can help: a camera locks an account after a handful of
/// wrong passwords in a minute.
const PERSON_INTERVAL: Duration = Duration::from_secs(30);

/// The source cannot be asked for key frames more often than this, whoever asks.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// What a camera is called and when it is reached. Where it is, only the driver knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraSettings {
    /// Its token.
    pub id: CameraId,
    /// What people call it.
    pub name: String,
    /// Connect when somebody watches, not always.
    pub on_demand: bool,
}

/// What the source of a camera says.
#[derive(Debug)]
pub enum SourceEvent {
    /// Connected, or listening; this is what will come.
    Connected(StreamDescription),
    /// An RTP packet.
    Packet {
        /// When it came.
        arrival: Instant,
        /// What came.
        packet: RtpPacket,
    },
    /// Nothing has come for a while on a port that is only listened on.
    Silent,
    /// Over; the driver says so when the source returns.
    Ended {
        /// Why, as one sentence.
        reason: String,
        /// Whether only a person can mend it.
        needs_a_person: bool,
    },
}

/// What the driver must do for a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameraCommand {
    /// Connect to it.
    Start,
    /// Disconnect from it.
    Stop,
    /// Ask it for a key frame.
    KeyFrame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Stopped,
    Starting,
    Live,
    Retry(Instant),
}

/// One camera. After each `handle_…` drain [`Self::poll_command`] and [`Self::poll_packet`].
#[derive(Debug)]
pub struct Camera {
    settings: CameraSettings,
    feed: Feed,
    run: Run,
    viewers: u32,
    /// When it may be left alone, if nobody watches.
    leave_at: Option<Instant>,
    backoff: Backoff,
    rng: StdRng,
    reason: Option<String>,
    format: Option<Format>,
    key_frame_asked: Option<Instant>,
    command: Option<CameraCommand>,
    changed: bool,
}

impl Camera {
    /// A camera; one that is always wanted is connected to at once. The seed spreads its retries.
    pub fn new(settings: CameraSettings, seed: u64) -> Self {
        let mut camera = Self {
            feed: Feed::new(),
            run: Run::Stopped,
            viewers: 0,
            leave_at: None,
            backoff: Backoff::default(),
            rng: StdRng::seed_from_u64(seed),
            reason: None,
            format: None,
            key_frame_asked: None,
            command: None,
            changed: true,
            settings,
        };
        if !camera.settings.on_demand {
            camera.start();
        }
        camera
    }

    /// One more watches.
    pub fn add_viewer(&mut self) {
        self.viewers = self.viewers.saturating_add(1);
        self.leave_at = None;
        self.changed = true;
        if self.run == Run::Stopped {
            self.start();
        }
    }

    /// One less watches.
    pub fn remove_viewer(&mut self, now: Instant) {
        self.viewers = self.viewers.saturating_sub(1);
        self.changed = true;
        if self.viewers == 0 && self.settings.on_demand {
            self.leave_at = Some(now + LINGER);
        }
    }

    /// Something from the source.
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
            Err(error) => debug!(camera = %self.settings.id, "a packet is left out: {error}"),
        }
    }

    fn handle_silence(&mut self) {
        if matches!(self.run, Run::Live | Run::Starting) {
            self.run = Run::Starting;
            self.set_reason(Some("nothing comes in: check what sends to this port".to_owned()));
        }
    }

    fn handle_ended(&mut self, now: Instant, reason: String, needs_a_person: bool) {
        self.feed.handle_end();
        if self.run == Run::Stopped {
            return;
        }
        let wait = self.backoff.next(self.rng.random());
        let wait = if needs_a_person { wait.max(PERSON_INTERVAL) } else { wait };
        self.run = Run::Retry(now + wait);
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

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retry = match self.run {
            Run::Retry(at) => Some(at),
            Run::Stopped | Run::Starting | Run::Live => None,
        };
        [retry, self.leave_at, self.feed.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.feed.handle_timeout(now);
        if self.leave_at.is_some_and(|at| at <= now) {
            self.leave_at = None;
            self.feed.handle_end();
            self.run = Run::Stopped;
            self.command = Some(CameraCommand::Stop);
            self.backoff.reset();
            self.set_reason(None);
            self.changed = true;
        }
        if matches!(self.run, Run::Retry(at) if at <= now) {
            self.start();
        }
    }

    fn start(&mut self) {
        self.run = Run::Starting;
        self.command = Some(CameraCommand::Start);
        self.changed = true;
    }

    /// A viewer needs a key frame.
    pub fn request_key_frame(&mut self, now: Instant) {
        let recently = |at: Instant| now.saturating_duration_since(at) < KEY_FRAME_INTERVAL;
        if self.run == Run::Live && !self.key_frame_asked.is_some_and(recently) {
            self.key_frame_asked = Some(now);
            self.command.get_or_insert(CameraCommand::KeyFrame);
        }
    }

    /// What the driver must do.
    pub fn poll_command(&mut self) -> Option<CameraCommand> {
        self.command.take()
    }

    /// The next packet for every viewer.
    pub fn poll_packet(&mut self) -> Option<VideoPacket> {
        while let Some(output) = self.feed.poll_output() {
            match output {
                FeedOutput::Format(format) => {
                    self.format = Some(format);
                    self.changed = true;
                }
                FeedOutput::Packet(packet) => {
                    if self.run == Run::Starting {
                        self.run = Run::Live;
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

    /// What a new viewer starts from: the last key frame and all that came since.
    pub fn group_of_pictures(&self) -> &[VideoPacket] {
        self.feed.gop().packets()
    }

    /// What it sends, once known; stays known while it is away.
    pub fn format(&self) -> Option<&Format> {
        self.format.as_ref()
    }

    /// Whether the report changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What the signaling server is told.
    pub fn report(&self) -> CameraReport {
        let state = match (self.run, &self.reason) {
            (Run::Stopped, _) => CameraState::Idle,
            (Run::Live, _) => CameraState::Live,
            (Run::Starting | Run::Retry(_), Some(_)) => CameraState::Failed,
            (Run::Starting | Run::Retry(_), None) => CameraState::Connecting,
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
