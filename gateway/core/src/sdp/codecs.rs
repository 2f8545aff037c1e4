//! The codecs that are offered for a camera's stream, so that browsers agree to play it.
//!
//! A camera's bitstream is sent unchanged, whatever was negotiated. Browsers refuse profiles they
//! do not list, although their decoders play more than they list: Chromium on Linux lists H.264
//! Baseline, Constrained Baseline, Main and High 4:4:4, but not High, which most cameras send and
//! which its decoder plays. The rules are therefore:
//!
//! 1. The true profile is offered first. A viewer that lists it chooses it, and a suitable decoder.
//! 2. Constrained Baseline `42e01f` is offered after it: every WebRTC endpoint must implement it
//!    (RFC 7742 §6.2), so no browser with H.264 refuses the section.
//! 3. The level is at least 3.1, which every browser lists; levels are not compared, because
//!    `level-asymmetry-allowed=1` is offered with them (RFC 6184 §8.2.2).
//! 4. Only packetization mode 1 is offered, because fragments (FU-A) and aggregates (STAP-A) are
//!    sent.

use super::description::{RemoteCodec, parameter};
use crate::media::Codec;

/// The lowest level that is offered: 3.1.
const MIN_LEVEL: u8 = 0x1f;

/// The `profile-level-id` that every WebRTC endpoint with H.264 accepts.
const FALLBACK: [u8; 3] = [0x42, 0xe0, MIN_LEVEL];

/// The first payload type that is assigned; 96 to 127 are for dynamic use (RFC 3551 §6).
const FIRST_PAYLOAD_TYPE: u8 = 96;

/// Main profile, main tier, level 3.1: the least that a decoder of H.265 lists (RFC 7798 §7.1).
const H265_PARAMETERS: &str = "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST";

/// A codec of an offer, with the payload types that we assign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedCodec {
    /// The codec of the media stream.
    pub codec: Codec,
    /// Payload type of the media stream.
    pub payload_type: u8,
    /// Payload type of the retransmission stream (RFC 4588).
    pub rtx_payload_type: Option<u8>,
    /// Format parameters, the value of `a=fmtp`.
    pub fmtp: String,
}

/// Returns the codecs to offer for a camera, the best first. With `profile_level_id` unknown, H.264
/// is offered as Constrained Baseline only.
#[must_use]
pub fn offered_codecs(codec: Codec, profile_level_id: Option<[u8; 3]>) -> Vec<OfferedCodec> {
    let parameters = match codec {
        Codec::H264 => h264_profiles(profile_level_id).into_iter().map(h264_parameters).collect(),
        Codec::H265 => vec![H265_PARAMETERS.to_owned()],
    };
    let types = (FIRST_PAYLOAD_TYPE..).step_by(2);
    let codecs = types.zip(parameters).map(|(payload_type, fmtp)| OfferedCodec {
        codec,
        payload_type,
        rtx_payload_type: Some(payload_type + 1),
        fmtp,
    });
    codecs.collect()
}

fn h264_profiles(profile_level_id: Option<[u8; 3]>) -> Vec<[u8; 3]> {
    let mut profiles = Vec::new();
    if let Some(id @ [.., level]) = profile_level_id {
        let [idc, constraints] = match H264Profile::from_profile_level_id(id) {
            Some(profile) => profile.canonical(),
            None => [id[0], id[1]],
        };
        profiles.push([idc, constraints, level.max(MIN_LEVEL)]);
    }
    if profiles.first().is_none_or(|first| !H264Profile::is_same(*first, FALLBACK)) {
        profiles.push(FALLBACK);
    }
    profiles
}

fn h264_parameters([idc, constraints, level]: [u8; 3]) -> String {
    format!(
        "level-asymmetry-allowed=1;packetization-mode=1;\
         profile-level-id={idc:02x}{constraints:02x}{level:02x}"
    )
}

/// The H.264 profiles, as `profile_idc` and the constraint flags encode them (RFC 6184 table 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum H264Profile {
    /// The Constrained Baseline profile.
    ConstrainedBaseline,
    /// The Baseline profile.
    Baseline,
    /// The Main profile.
    Main,
    /// The Extended profile.
    Extended,
    /// The Constrained High profile.
    ConstrainedHigh,
    /// The High profile.
    High,
    /// The High 4:4:4 Predictive profile.
    High444,
}

impl H264Profile {
    /// Decodes the profile of a `profile-level-id`; `None` for other profiles.
    #[must_use]
    pub fn from_profile_level_id([idc, constraints, _]: [u8; 3]) -> Option<Self> {
        let set = |flag: u8| constraints & (0x80 >> flag) != 0;
        Some(match idc {
            0x42 if set(1) => Self::ConstrainedBaseline,
            0x42 => Self::Baseline,
            0x4d if set(0) => Self::ConstrainedBaseline,
            0x4d => Self::Main,
            0x58 if set(0) && set(1) => Self::ConstrainedBaseline,
            0x58 if set(0) => Self::Baseline,
            0x58 => Self::Extended,
            0x64 if set(4) && set(5) => Self::ConstrainedHigh,
            0x64 => Self::High,
            0xf4 => Self::High444,
            _ => return None,
        })
    }

    /// Returns `profile_idc` and constraint flags as browsers write them.
    #[must_use]
    pub fn canonical(self) -> [u8; 2] {
        match self {
            Self::ConstrainedBaseline => [0x42, 0xe0],
            Self::Baseline => [0x42, 0x00],
            Self::Main => [0x4d, 0x00],
            Self::Extended => [0x58, 0x00],
            Self::ConstrainedHigh => [0x64, 0x0c],
            Self::High => [0x64, 0x00],
            Self::High444 => [0xf4, 0x00],
        }
    }

    fn is_same(one: [u8; 3], other: [u8; 3]) -> bool {
        match (Self::from_profile_level_id(one), Self::from_profile_level_id(other)) {
            (None, None) => one[..2] == other[..2],
            (one, other) => one == other,
        }
    }
}

/// Rates how well a codec of the viewer matches one of ours: higher is better, `None` if it does
/// not match.
pub(super) fn match_score(ours: &OfferedCodec, theirs: &RemoteCodec) -> Option<u32> {
    if Codec::from_encoding_name(&theirs.name) != Some(ours.codec)
        || theirs.clock_rate != crate::media::CLOCK_RATE
    {
        return None;
    }
    match ours.codec {
        Codec::H264 => Some(h264_match_score(&ours.fmtp, &theirs.fmtp)),
        Codec::H265 => Some(0),
    }
}

/// Rates packetization mode 1 above the rest: a receiver that lists only mode 0 has not promised to
/// reassemble fragments, but every one does, so it is accepted. Next comes the same profile, then
/// the one that every browser has.
fn h264_match_score(ours: &str, theirs: &str) -> u32 {
    // A receiver without a profile means Baseline (RFC 6184 §8.1).
    let listed = profile_level_id(theirs).unwrap_or([0x42, 0x00, 0x0a]);
    let is_same = profile_level_id(ours).is_some_and(|ours| H264Profile::is_same(ours, listed));
    let mode = if parameter(theirs, "packetization-mode") == Some("1") { 4 } else { 0 };
    let profile = if is_same { 2 } else { u32::from(H264Profile::is_same(listed, FALLBACK)) };
    mode + profile
}

pub(super) fn profile_level_id(fmtp: &str) -> Option<[u8; 3]> {
    let text = parameter(fmtp, "profile-level-id")?;
    if text.len() != 6 {
        return None;
    }
    let [_, bytes @ ..] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
    Some(bytes)
}
