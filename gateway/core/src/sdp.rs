//! Session descriptions (RFC 8866) for one video track in one BUNDLE group.
//!
//! [`offer`] writes the gateway's description, [`apply_answer`] reads what the viewer made of it;
//! [`answer`] does both for a viewer that offers (WHEP). [`Fragment`] is what a viewer trickles
//! over HTTP. What the other side says is bounded before it is understood.
//!
//! Rules followed: JSEP (RFC 9429), BUNDLE (RFC 9143), ICE in SDP (RFC 8839, 8840), DTLS in SDP
//! (RFC 8842), feedback (RFC 4585, 5104), retransmission (RFC 4588).
//!
//! Architecture invariant: nothing here gathers candidates, draws random numbers or keeps state.

mod codecs;
mod description;
mod fragment;
mod negotiate;
mod parse;
mod write;

#[cfg(test)]
mod tests;

pub use codecs::{H264Profile, VideoCodec, offered_codecs};
pub use description::{Description, Direction, Extension, RemoteCodec, Section, Setup, Transport};
pub use fragment::{Fragment, FragmentSection};
pub use negotiate::{Answer, AnswerConfig, Negotiated, answer, apply_answer};
pub use parse::parse;
pub use write::{OfferConfig, TrackIds, offer};

use crate::media::Codec;

/// A browser's offer is about 6 kB, with twenty cameras' worth of sections about 100 kB; a viewer
/// of one camera has no use for more than this.
pub const MAX_SIZE: usize = 32 * 1024;

/// Sections of one description: audio, video and data, and room for players that add more.
pub const MAX_SECTIONS: usize = 16;

/// Candidates of one description. A host with ten addresses and two relays has about forty.
pub const MAX_CANDIDATES: usize = 64;

/// Payload types of one section; there are no more than this dynamic ones with RTCP multiplexed
/// (RFC 5761 §4).
pub const MAX_CODECS: usize = 64;

/// One candidate line (RFC 8839 §5.1); a real one is below 200 bytes.
pub const MAX_CANDIDATE_LEN: usize = 512;

/// The header extension that names the section a packet belongs to (RFC 9143 §15).
pub const EXTENSION_MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// The header extension that tells the viewer how long it may hold a frame back.
pub const EXTENSION_PLAYOUT_DELAY: &str =
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// Why a description is not taken. Each is a sentence for the person who watches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("the session description has {0} bytes, more than {MAX_SIZE}")]
    TooLarge(usize),
    #[error("the session description has more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("line {line} of the session description is wrong: {reason}")]
    Malformed { line: usize, reason: &'static str },
    #[error("the session description has no video section that could be used")]
    NoVideo,
    #[error("the session description lacks {0}")]
    Missing(&'static str),
    #[error("the viewer must take part in RTCP multiplexing (a=rtcp-mux)")]
    NoRtcpMux,
    #[error("the viewer's a=setup does not fit ours")]
    Setup,
    #[error("the viewer's video direction does not fit ours")]
    Direction,
    #[error("the camera sends {0}; this browser cannot play it")]
    NoCommonCodec(Codec),
    #[error("the description has another number of sections than the offer")]
    Sections,
}
