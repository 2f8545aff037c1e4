//! Video from one camera: RTP in, packets any viewer can be sent out.
//!
//! A [`Feed`] owns what is done once per camera and not once per viewer: the order of the
//! packets, the parameter sets, the size of each packet and the group of pictures a new viewer
//! starts from. Nothing waits for a whole frame; a packet that fits the path leaves as it came.
//!
//! Architecture invariant: nothing here names the WebRTC engine, a socket, a clock or a viewer.

mod backoff;
mod bits;
pub mod clockbar;
mod codec;
mod feed;
mod forward;
mod gop;
mod h264;
mod h265;
mod lock;
mod packetize;
mod parameters;
mod rtp;
pub mod sdp;
mod sequence;
mod shape;
mod testcard;
mod timeline;

pub use backoff::Backoff;
pub use codec::{Codec, Format};
pub use feed::{Feed, FeedOutput, FeedStatistics, IngestError, StreamDescription};
pub use gop::Gop;
pub use lock::{SourceLock, Verdict};
pub use packetize::{Packetizer, annex_b_units, byte_stream};
pub use rtp::{RtpError, RtpHeader, RtpPacket};
pub use testcard::{I420, TestCard};

use std::time::Instant;

use bytes::Bytes;

/// The largest RTP payload that is sent.
///
/// IPv6 promises 1280 bytes to every path (RFC 8200 §5). Of those go: 40 IPv6, 8 UDP,
/// 4 ChannelData of TURN, 12 RTP, 16 header extensions, 16 the SRTP tag of AES-GCM and 2 the
/// original sequence number of a retransmission: 1182 remain, rounded down to a multiple of four.
pub const MAX_PAYLOAD: usize = 1180;

/// Video runs at this RTP clock rate, whatever the codec (RFC 6184 §8.2.1, RFC 7798 §7.1).
pub const CLOCK_RATE: u32 = 90_000;

/// One RTP packet of video as every viewer gets it, but for sequence number, SSRC and payload type.
/// A clone shares the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPacket {
    /// The RTP payload (RFC 6184, RFC 7798), at most [`MAX_PAYLOAD`] long.
    pub payload: Bytes,
    /// In [`CLOCK_RATE`]; continuous over restarts of the camera.
    pub timestamp: u32,
    /// Last packet of the access unit.
    pub marker: bool,
    /// Our own numbering after splitting. A gap is a packet the camera sent and we never got.
    pub sequence: u64,
    /// First packet of a key frame, and the one that carries its parameter sets.
    pub starts_key_frame: bool,
    /// When the camera's packet came in.
    pub arrival: Instant,
}
