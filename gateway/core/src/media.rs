//! One camera's picture and sound: turns the RTP packets it sends into packets for every viewer.
//!
//! A [`Feed`] does the work that is done once per camera rather than once per viewer: it puts
//! packets in order, keeps the parameter sets, splits packets that are too large for the path and
//! caches the group of pictures a new viewer starts from. It never waits for a whole frame; a
//! packet that fits the path leaves as it came.
//!
//! The files depend on each other in one direction: `stream`, `codec` and `rtp_packet` have the
//! types, `nal` reads and writes NAL units, `frames` does the same for VP8, VP9 and AV1, `forward`
//! and the small buffers beside it build on these, and `feed` puts them together. `audio` does all
//! of this for sound, and `lip_sync` brings both onto one clock.
//!
//! Architecture invariant: nothing here names the WebRTC engine, a socket, a clock or a viewer.

mod access_unit;
mod audio;
pub mod camera_sdp;
mod codec;
mod emitter;
mod feed;
mod forward;
mod frames;
mod gap;
mod gop;
mod lip_sync;
mod marks;
mod nal;
mod reference;
mod reorder;
mod rtp_packet;
mod source_lock;
mod stream;
mod test_card;
mod ticks;
mod timeline;

pub use audio::{
    AacFormat, AudioCodec, AudioDescription, AudioEncoding, AudioFeed, AudioFormat, AudioProblem,
    Beeper, Law,
};
pub use codec::{Codec, Format, NalCodec, Profile, TrackCodec};
pub use feed::Feed;
pub use gop::Gop;
pub use lip_sync::{ClockReport, LipSync};
pub use nal::packetize::{Packetizer, annex_b_units, byte_stream};
pub use nal::payload::starts_key_slice;
pub use reference::Reference;
pub use rtp_packet::{RtpError, RtpHeader, RtpPacket};
pub use source_lock::{SourceLock, Verdict};
pub use stream::{
    CLOCK_RATE, Delivery, FeedOutput, FeedStatistics, IngestError, MAX_PAYLOAD, MediaKind,
    MediaPacket, StreamDescription, TrackDescription,
};
pub use test_card::{I420, TestCard, timecode};
pub use ticks::{ahead, ticks, ticks_at};
