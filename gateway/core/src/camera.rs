//! The core of one camera: its streams, each of which is connected while it is wanted.
//!
//! A camera has a main stream and may have a sub stream, a smaller picture of the same scene. A
//! stream has tracks: one of video, and at most one of audio. A viewer watches one stream,
//! and can be moved to the other.

mod diagnosis;
mod rate;
mod stream;

use std::fmt;
use std::time::Instant;

use porthole_signaling_proto::{
    CameraId, CameraReport, CameraState, ControlReport, MotionReport, SessionId, StreamRole,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::media::{ClockReport, MediaKind, RtpPacket, StreamDescription};

pub use stream::{Stream, Viewer};

/// The way in which a camera's picture is to be shown. The gateway forwards it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Picture {
    /// The degrees by which it is turned clockwise: 0, 90, 180 or 270.
    pub rotation: u16,
    /// True if it is mirrored, left to right, before it is turned.
    pub mirrored: bool,
}

/// Name and connection policy of a camera. Only the driver knows its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraSettings {
    /// The camera's id.
    pub id: CameraId,
    /// The name that people see.
    pub name: String,
    /// True: connect only while somebody watches. False: stay connected.
    pub on_demand: bool,
    /// True if the camera has a sub stream.
    pub has_sub: bool,
    /// The way in which its picture is shown.
    pub picture: Picture,
    /// True for a camera that was probed and not added.
    pub provisional: bool,
}

/// The facts about a camera that its controls have found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlFacts {
    /// The ways in which it can be moved; `None` if it cannot.
    pub control: Option<ControlReport>,
    /// Motion in front of it; `None` if it has told of none.
    pub motion: Option<MotionReport>,
}

/// A change of a gateway's cameras while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameraChange {
    /// A new camera, or new settings or sources of a known one, whose viewers are cut off.
    Put(CameraSettings),
    /// Another name, policy or way of showing a camera, whose viewers go on.
    Adjusted {
        /// The camera's id.
        id: CameraId,
        /// The name that people see.
        name: String,
        /// True: connect only while somebody watches.
        on_demand: bool,
        /// The way in which its picture is shown.
        picture: Picture,
    },
    /// The camera is gone.
    Removed(CameraId),
}

impl CameraChange {
    /// Returns the camera that changes.
    #[must_use]
    pub fn camera(&self) -> &CameraId {
        match self {
            Self::Put(settings) => &settings.id,
            Self::Adjusted { id, .. } | Self::Removed(id) => id,
        }
    }
}

/// Identifies a stream of a camera.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The camera that the stream is of.
    pub camera: CameraId,
    /// The role of the stream in its camera.
    pub role: StreamRole,
}

impl StreamId {
    /// Names the main stream of a camera.
    #[must_use]
    pub fn main(camera: CameraId) -> Self {
        Self { camera, role: StreamRole::Main }
    }

    /// Names the sub stream of a camera.
    #[must_use]
    pub fn sub(camera: CameraId) -> Self {
        Self { camera, role: StreamRole::Sub }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.camera.fmt(f)?;
        match self.role {
            StreamRole::Main => Ok(()),
            StreamRole::Sub => f.write_str(" (sub stream)"),
        }
    }
}

/// An event from the source of a stream.
#[derive(Debug)]
pub enum SourceEvent {
    /// The source is connected, or listening, and will send this stream.
    Connected(StreamDescription),
    /// An RTP packet.
    Packet {
        /// The track of the packet.
        track: MediaKind,
        /// Time at which the packet arrived.
        arrival: Instant,
        /// The packet itself.
        packet: RtpPacket,
    },
    /// The clock of a track, as a sender report tells it.
    Clock {
        /// The track of the report.
        track: MediaKind,
        /// The report itself.
        report: ClockReport,
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

/// A command to the driver for the source of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceCommand {
    /// Connect to the camera.
    Start,
    /// Disconnect from the camera.
    Stop,
    /// Request a key frame from the camera.
    KeyFrame,
}

/// A camera: its name and its streams.
#[derive(Debug)]
pub struct Camera {
    settings: CameraSettings,
    /// The main stream, then the sub stream if there is one.
    streams: Vec<Stream>,
}

impl Camera {
    /// Creates a camera. Its main stream connects at once unless it is on demand. `seed` randomizes
    /// its retries.
    #[must_use]
    pub fn new(settings: CameraSettings, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let main = StreamId::main(settings.id.clone());
        let mut streams = vec![Stream::new(main, settings.on_demand, rng.random())];
        if settings.has_sub {
            let sub = StreamId::sub(settings.id.clone());
            streams.push(Stream::new(sub, settings.on_demand, rng.random()));
        }
        Self { settings, streams }
    }

    /// Returns the id of the camera.
    #[must_use]
    pub fn id(&self) -> &CameraId {
        &self.settings.id
    }

    /// Returns true for a camera that was probed and not added.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.settings.provisional
    }

    /// Returns true while somebody watches one of its streams.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.streams.iter().any(|stream| !stream.viewers().is_empty())
    }

    /// Gives the camera another name, policy and way of being shown.
    pub fn adjust(&mut self, now: Instant, name: String, on_demand: bool, picture: Picture) {
        (self.settings.name, self.settings.picture) = (name, picture);
        self.settings.on_demand = on_demand;
        for stream in &mut self.streams {
            stream.set_on_demand(now, on_demand);
        }
    }

    /// Returns the role of the stream with this profile token: the camera's id for the main stream,
    /// `ID.sub` for the sub stream.
    #[must_use]
    pub fn role_of(&self, profile: &CameraId) -> Option<StreamRole> {
        let mut roles = self.streams.iter().map(|stream| stream.id().role);
        roles.find(|role| self.profile(*role).as_ref() == Some(profile))
    }

    fn profile(&self, role: StreamRole) -> Option<CameraId> {
        match role {
            StreamRole::Main => Some(self.settings.id.clone()),
            StreamRole::Sub => self.settings.id.sub_stream(),
        }
    }

    /// Returns a stream of the camera.
    #[must_use]
    pub fn stream(&self, role: StreamRole) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.id().role == role)
    }

    /// Returns a stream of the camera for changes.
    pub fn stream_mut(&mut self, role: StreamRole) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id().role == role)
    }

    /// Returns the streams of the camera, the main stream first.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter()
    }

    /// Returns the streams of the camera for changes.
    pub fn streams_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.iter_mut()
    }

    /// Removes the viewers of a session from every stream.
    pub fn remove_session(&mut self, now: Instant, session: &SessionId) {
        for stream in &mut self.streams {
            stream.remove_session(now, session);
        }
    }

    /// Returns the report for the signaling server, with what its controls have found out. Its
    /// state and format are those of the main stream.
    #[must_use]
    pub fn report(&self, facts: Option<&ControlFacts>) -> CameraReport {
        let reports = self.streams.iter().filter_map(|stream| {
            let id = self.profile(stream.id().role)?;
            Some(stream.report(id))
        });
        let mut streams: Vec<_> = reports.collect();
        let main = streams.first().cloned();
        if streams.len() == 1 {
            streams.clear();
        }
        let viewers = self.streams.iter().map(|stream| stream.viewers().len()).sum::<usize>();
        CameraReport {
            id: self.settings.id.clone(),
            name: self.settings.name.clone(),
            state: main.as_ref().map_or(CameraState::Idle, |main| main.state),
            reason: main.as_ref().and_then(|main| main.reason.clone()),
            codec: main.as_ref().and_then(|main| main.codec.clone()),
            width: main.as_ref().and_then(|main| main.width),
            height: main.as_ref().and_then(|main| main.height),
            viewers: u32::try_from(viewers).unwrap_or(u32::MAX),
            streams,
            provisional: self.settings.provisional,
            control: facts.and_then(|facts| facts.control.clone()),
            motion: facts.and_then(|facts| facts.motion.clone()),
            rotation: self.settings.picture.rotation,
            mirrored: self.settings.picture.mirrored,
            sound: self.streams.first().and_then(Stream::sound),
        }
    }
}

#[cfg(test)]
mod tests;
