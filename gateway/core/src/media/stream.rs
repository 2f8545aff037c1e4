//! The types in which a camera's stream goes into a feed and comes out of it.

use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;

use super::audio::AudioDescription;
use super::codec::{Codec, Format};

/// The largest RTP payload that is sent, in bytes.
///
/// IPv6 promises 1280 bytes to every path (RFC 8200 §5). Of those go: 40 IPv6, 8 UDP,
/// 4 ChannelData of TURN, 12 RTP, 16 header extensions, 16 the SRTP tag of AES-GCM and 2 the
/// original sequence number of a retransmission: 1182 remain, rounded down to a multiple of four.
pub const MAX_PAYLOAD: usize = 1180;

/// The RTP clock rate of video in hertz, whatever the codec (RFC 6184 §8.2.1, RFC 7798 §7.1).
pub const CLOCK_RATE: u32 = 90_000;

/// The kind of media of a track, and of the section that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// Sound, such as speech.
    Audio,
    /// Moving pictures of a camera.
    Video,
}

impl MediaKind {
    pub(crate) const ALL: [Self; 2] = [Self::Audio, Self::Video];

    /// Returns the media type of the `m=` line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// The tracks of a stream, as its source describes them before the first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDescription {
    /// The track of video.
    pub video: TrackDescription,
    /// The track of sound, if there is one.
    pub audio: Option<AudioDescription>,
}

impl StreamDescription {
    /// Describes a stream that has only this track of video.
    #[must_use]
    pub fn video(track: TrackDescription) -> Self {
        Self { video: track, audio: None }
    }
}

/// The properties of a track that are known before its first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackDescription {
    /// The codec of every packet, which implies the payload format and the clock rate.
    pub codec: Codec,
    /// NAL units of the SDP's `sprop-` parameters; empty if the camera sends them in band only.
    pub parameter_sets: Vec<Bytes>,
    /// The way in which the packets arrive.
    pub delivery: Delivery,
}

/// The way in which the packets of a track arrive, which tells what a gap in their numbers means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// In order, from a source that numbers them without fault: no packet is held back, and a gap
    /// is a loss.
    InOrder,
    /// Over TCP, which loses nothing: a gap or a jump is a peculiarity of the camera's numbers
    /// unless the packets show that something is missing. Behind a proxy that received them over
    /// UDP, packets may be swapped or missing all the same.
    Tcp,
    /// In datagrams, which may be lost or overtake each other: a gap is a loss, except between
    /// whole pictures that follow each other.
    Udp,
}

/// One RTP packet of a track as every viewer gets it, except for sequence number, SSRC and payload
/// type. A clone shares the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPacket {
    /// The RTP payload in the format of its codec, at most [`MAX_PAYLOAD`] long.
    pub payload: Bytes,
    /// The timestamp in units of the track's RTP clock; continuous over restarts of the camera.
    pub timestamp: u32,
    /// True for the last packet of the access unit; for sound, for the first after a silence.
    pub marker: bool,
    /// The packet's number after splitting. A gap is a packet the camera sent and we never got.
    pub sequence: u64,
    /// True for the first packet of a key frame, which carries its parameter sets.
    pub starts_key_frame: bool,
    /// The time at which the camera's packet arrived.
    pub arrival: Instant,
    /// The time at which its contents were recorded, on a clock that is the same for all tracks of
    /// the stream: by the camera's sender reports, or else by arrival.
    pub captured: Instant,
}

/// An output of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedOutput {
    /// The format of all packets from here on.
    Format(Format),
    /// A packet for every viewer.
    Packet(MediaPacket),
}

/// Counters of a feed since it was created.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FeedStatistics {
    /// Packets from the camera, including the ones that were dropped.
    pub received: u64,
    /// Packets for viewers.
    pub forwarded: u64,
    /// Key frames that were forwarded.
    pub key_frames: u64,
    /// Key frames without the parameter sets that they need, which are not forwarded.
    pub bare_key_frames: u64,
    /// Slices that the camera sent, including the ones before its first key frame; for codecs
    /// without slices, frames.
    pub slices: u64,
    /// Slices whose header cannot be read, among [`Self::slices`].
    pub broken_slices: u64,
    /// NAL units that are neither slices nor parameter sets, such as SEI.
    pub other_units: u64,
    /// Recovery points: pictures from which a decoder recovers without a key frame.
    pub recovery_points: u64,
    /// Pictures whose timestamp is earlier than that of the picture before: B pictures.
    pub pictures_back: u64,
    /// Packets that the camera numbered and that never arrived.
    pub lost: u64,
    /// Packets that arrived too late, twice, or far out of order.
    pub late: u64,
    /// Packets that ended in an [`IngestError`].
    pub refused: u64,
    /// Times the camera started again, with a new description or a new clock.
    pub restarts: u64,
}

/// Reasons for not forwarding a packet. The feed continues with the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IngestError {
    /// A packet came before the stream was described.
    #[error("a packet came before the description of its stream")]
    NotDescribed,
    /// The payload does not follow the codec's payload format.
    #[error("the packet does not fit the announced codec: {0}")]
    Malformed(&'static str),
    /// The payload uses a part of the format that WebRTC forbids.
    #[error(
        "the camera sends {0} packets, which WebRTC cannot carry: \
         set its packetization mode to non-interleaved"
    )]
    Unsupported(&'static str),
    /// A parameter set is malformed, or larger than any encoder makes them.
    #[error("a parameter set cannot be read")]
    ParameterSet,
}

impl IngestError {
    /// Returns true if the next packet will fail the same way: the camera must be reconfigured.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unsupported(_) => true,
            Self::NotDescribed | Self::Malformed(_) | Self::ParameterSet => false,
        }
    }
}
