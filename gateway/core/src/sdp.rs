//! Session descriptions (RFC 8866) for a list of tracks in one BUNDLE group.
//!
//! [`offer`] writes the gateway's description and [`apply_answer`] reads the viewer's answer;
//! [`answer`] does both for a viewer that offers (WHEP). [`parse_fragment`] reads what a
//! viewer trickles over HTTP. Everything received is bounded before it is parsed.
//!
//! Rules followed: JSEP (RFC 9429), BUNDLE (RFC 9143), ICE in SDP (RFC 8839, 8840), DTLS in SDP
//! (RFC 8842), feedback (RFC 4585, 5104), retransmission (RFC 4588).
//!
//! Architecture invariant: nothing here gathers candidates, draws random numbers or keeps state.

mod answer;
mod codecs;
mod description;
mod matching;
mod negotiate;
mod parse;
mod write;

#[cfg(test)]
mod tests;

use porthole_signaling_proto::fragment::FragmentError;

pub use crate::media::MediaKind;
pub use answer::{Answer, AnswerConfig, LocalTransport, answer};
pub use codecs::{H264Profile, OfferedCodec, offered_audio, offered_codecs};
pub use description::{Description, Direction, Extension, RemoteCodec, Section, Setup, Transport};
pub use negotiate::{Negotiated, NegotiatedSection, NegotiatedTransport, apply_answer};
pub use parse::{parse, parse_fragment};
pub use write::{LocalMedia, OfferConfig, OfferedSection, TrackIds, ice_attributes, offer};

/// Maximum size of a description in bytes: that of the body of a WHEP request. A browser's
/// offer is about 6 kB; with a hundred candidates in each of two sections it has 30 kB.
pub const MAX_SIZE: usize = 64 * 1024;

/// Maximum number of sections: audio, video and data, and room for players that add more.
pub const MAX_SECTIONS: usize = 32;

/// Maximum number of candidates that are read. A host with ten addresses and two TURN servers has
/// about forty, one with a dozen container bridges about eighty.
pub const MAX_CANDIDATES: usize = 128;

/// Maximum number of payload types of a section that are read: there are no more (RFC 3550 §5.1).
pub const MAX_CODECS: usize = 128;

/// Maximum length of a candidate in bytes (RFC 8839 §5.1); a real one has less than 200.
pub const MAX_CANDIDATE_LEN: usize = 512;

/// URI of the header extension that names the section a packet belongs to (RFC 9143 §15).
pub const EXTENSION_MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// URI of the header extension that tells the viewer how long it may delay a frame.
pub const EXTENSION_PLAYOUT_DELAY: &str =
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// URI of the header extension that numbers the packets of a transport, for feedback about it.
pub const EXTENSION_TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Reasons for refusing a description. Each is a sentence for the person watching.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The description exceeds [`MAX_SIZE`]; its size in bytes.
    #[error("the session description has {0} bytes, more than {MAX_SIZE}")]
    TooLarge(usize),
    /// The description exceeds one of the bounds.
    #[error("the session description has more than {limit} {what}")]
    TooMany {
        /// Name of the counted things, in the plural.
        what: &'static str,
        /// Maximum number of them.
        limit: usize,
    },
    /// A line is malformed.
    #[error("line {line} of the session description is wrong: {reason}")]
    Malformed {
        /// Number of the line, from 1.
        line: usize,
        /// Explanation, as a clause.
        reason: &'static str,
    },
    /// No video section can be answered.
    #[error("the session description has no video section that could be used")]
    NoVideo,
    /// A required attribute is missing; its name.
    #[error("the session description has no {0}")]
    Missing(&'static str),
    /// The viewer does not multiplex RTP and RTCP.
    #[error("the viewer must support RTCP multiplexing (a=rtcp-mux)")]
    NoRtcpMux,
    /// The viewer's `a=setup` is not a possible answer to ours.
    #[error("the viewer's a=setup does not match the offer")]
    Setup,
    /// The direction of the viewer's video does not match ours.
    #[error("the viewer's video direction does not match ours")]
    Direction,
    /// The viewer cannot play the stream.
    #[error("the camera sends {sends}; {player}")]
    NoCommonCodec {
        /// The codec of the stream, with its profile where that decides.
        sends: String,
        /// A clause about what the player takes.
        player: String,
    },
    /// The viewer takes H.264 only in a packetization mode that WebRTC does not have (RFC 7742
    /// §6.2); the value of its parameter.
    #[error(
        "the player takes H.264 only with packetization-mode={0}, which WebRTC does not have: use \
         a player that offers packetization-mode=1"
    )]
    PacketizationMode(String),
    /// The answer does not have the sections of the offer.
    #[error("the answer has a different number of sections than the offer")]
    Sections,
    /// The trickled SDP fragment is malformed or too long.
    #[error(transparent)]
    Fragment(#[from] FragmentError),
}
