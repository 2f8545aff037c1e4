//! How a camera's stream is named, so that a browser agrees to play it.
//!
//! A camera's bitstream is sent as it is, whatever was negotiated. Browsers refuse a name they do
//! not list, though their decoders play more than they list: Chromium on Linux names H.264
//! Baseline, Constrained Baseline, Main and High 4:4:4, not High, which most cameras send and which
//! its decoder plays. So the rule is:
//!
//! 1. The true profile is offered first. Who knows it says so, and picks a fitting decoder.
//! 2. Constrained Baseline `42e01f` is offered after it: every WebRTC endpoint must implement it
//!    (RFC 7742 §6.2), so no browser with H.264 refuses the section.
//! 3. The level is at least 3.1, what every browser lists; levels are not compared, because
//!    `level-asymmetry-allowed=1` stands beside them (RFC 6184 §8.2.2).
//! 4. Only packetization mode 1 is offered: fragments (FU-A) and aggregates (STAP-A) are sent.

use super::description::{RemoteCodec, parameter};
use crate::media::Codec;

/// Level 3.1, the least that is named.
const MIN_LEVEL: u8 = 0x1f;

/// What every WebRTC endpoint with H.264 takes.
const FALLBACK: [u8; 3] = [0x42, 0xe0, MIN_LEVEL];

/// The first payload type given out; 96 to 127 are free for dynamic use (RFC 3551 §6).
const FIRST_PAYLOAD_TYPE: u8 = 96;

/// Main profile, main tier, level 3.1: what a decoder of H.265 lists at the least (RFC 7798 §7.1).
const H265_PARAMETERS: &str = "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST";

/// One codec of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoCodec {
    pub codec: Codec,
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
    pub fmtp: String,
}

/// What to offer for a camera, the best first. Without a profile only the fallback is offered.
#[must_use]
pub fn offered_codecs(codec: Codec, profile_level_id: Option<[u8; 3]>) -> Vec<VideoCodec> {
    let parameters = match codec {
        Codec::H264 => h264_names(profile_level_id).into_iter().map(h264_parameters).collect(),
        Codec::H265 => vec![H265_PARAMETERS.to_owned()],
    };
    let types = (FIRST_PAYLOAD_TYPE..).step_by(2);
    let named = types.zip(parameters).map(|(payload_type, fmtp)| VideoCodec {
        codec,
        payload_type,
        rtx_payload_type: Some(payload_type + 1),
        fmtp,
    });
    named.collect()
}

fn h264_names(profile_level_id: Option<[u8; 3]>) -> Vec<[u8; 3]> {
    let mut names = Vec::new();
    if let Some(id @ [.., level]) = profile_level_id {
        let [idc, constraints] = match H264Profile::of(id) {
            Some(profile) => profile.canonical(),
            None => [id[0], id[1]],
        };
        names.push([idc, constraints, level.max(MIN_LEVEL)]);
    }
    if names.first().is_none_or(|name| !H264Profile::same(*name, FALLBACK)) {
        names.push(FALLBACK);
    }
    names
}

fn h264_parameters([idc, constraints, level]: [u8; 3]) -> String {
    format!(
        "level-asymmetry-allowed=1;packetization-mode=1;\
         profile-level-id={idc:02x}{constraints:02x}{level:02x}"
    )
}

/// The profiles that `profile_idc` and the constraint flags stand for (RFC 6184 table 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    Extended,
    ConstrainedHigh,
    High,
    High444,
}

impl H264Profile {
    /// From `profile-level-id`.
    #[must_use]
    pub fn of([idc, constraints, _]: [u8; 3]) -> Option<Self> {
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

    /// How browsers write it.
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

    fn same(one: [u8; 3], other: [u8; 3]) -> bool {
        match (Self::of(one), Self::of(other)) {
            (None, None) => one[..2] == other[..2],
            (one, other) => one == other,
        }
    }
}

/// How well a codec the viewer names fits one of ours; more is better, `None` not at all.
pub(super) fn fit(ours: &VideoCodec, theirs: &RemoteCodec) -> Option<u32> {
    if Codec::from_encoding_name(&theirs.name) != Some(ours.codec)
        || theirs.clock_rate != crate::media::CLOCK_RATE
    {
        return None;
    }
    match ours.codec {
        Codec::H264 => Some(fit_h264(&ours.fmtp, &theirs.fmtp)),
        Codec::H265 => Some(0),
    }
}

/// Mode 1 before the rest: a receiver that names only mode 0 has not promised to put fragments
/// together, but every one does, so it is taken rather than refused. Then the same profile, then
/// the one every browser has.
fn fit_h264(ours: &str, theirs: &str) -> u32 {
    // A receiver that names no profile means Baseline (RFC 6184 §8.1).
    let named = profile_level_id(theirs).unwrap_or([0x42, 0x00, 0x0a]);
    let same = profile_level_id(ours).is_some_and(|ours| H264Profile::same(ours, named));
    let mode = if parameter(theirs, "packetization-mode") == Some("1") { 4 } else { 0 };
    let profile = if same { 2 } else { u32::from(H264Profile::same(named, FALLBACK)) };
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
