//! Video from one camera: RTP in, packets any viewer can be sent out.
//!
//! A [`Feed`] owns what is done once per camera and not once per viewer: the order of the
//! packets, the parameter sets, the size of each packet and the group of pictures a new viewer
//! starts from. Nothing waits for a whole frame; a packet that fits the path leaves as it came.
//!
//! Architecture invariant: nothing here names the WebRTC engine, a socket, a clock or a viewer.

pub mod camera_sdp;
mod codec;
mod feed;
mod forward;
mod gop;
mod nal;
mod reorder;
mod rtp_packet;
mod source_lock;
mod stream;
mod test_card;
mod timeline;

pub use codec::{Codec, Format};
pub use feed::Feed;
pub use gop::Gop;
pub use nal::packetize::{Packetizer, annex_b_units, byte_stream};
pub use nal::payload::starts_key_slice;
pub use rtp_packet::{RtpError, RtpHeader, RtpPacket};
pub use source_lock::{SourceLock, Verdict};
pub use stream::{
    CLOCK_RATE, FeedOutput, FeedStatistics, IngestError, MAX_PAYLOAD, StreamDescription,
    VideoPacket,
};
pub use test_card::{I420, TestCard, timecode};
