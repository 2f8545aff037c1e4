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
//! 3. The level is at least 3.1, which every browser lists, and otherwise that of the stream;
//!    `level-asymmetry-allowed=1` is offered with it (RFC 6184 §8.2.2).
//! 4. Only packetization mode 1 is offered, because fragments (FU-A) and aggregates (STAP-A) are
//!    sent.

use crate::media::{AudioCodec, Codec, Profile, TrackCodec};

/// The lowest level of H.264 that is offered: 3.1.
const MIN_LEVEL: u8 = 0x1f;

/// The `profile-level-id` that every WebRTC endpoint with H.264 accepts.
pub(super) const FALLBACK: [u8; 3] = [0x42, 0xe0, MIN_LEVEL];

/// The lowest level of H.265 that is offered, 3.1, and the default (RFC 7798 §7.1).
pub(super) const MIN_H265_LEVEL: u8 = 93;

/// The level of AV1 that is meant without a parameter: 3.1 (RTP Payload Format for AV1 §7.2).
pub(super) const DEFAULT_AV1_LEVEL: u8 = 5;

/// The first payload type that is assigned; 96 to 127 are for dynamic use (RFC 3551 §6).
const FIRST_PAYLOAD_TYPE: u8 = 96;

/// A codec of an offer, with the payload types that we assign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedCodec {
    /// The codec of the media stream.
    pub codec: TrackCodec,
    /// Profile and level of the stream, if they are known.
    pub profile: Option<Profile>,
    /// True if the stream has another profile, which viewers may play without listing it.
    pub is_fallback: bool,
    /// Payload type of the media stream.
    pub payload_type: u8,
    /// Payload type of the retransmission stream (RFC 4588).
    pub rtx_payload_type: Option<u8>,
    /// Format parameters, the value of `a=fmtp`.
    pub fmtp: String,
}

/// Returns the codecs to offer for a stream, the best first. With an unknown profile, H.264 is
/// offered as Constrained Baseline only.
#[must_use]
pub fn offered_codecs(codec: Codec, profile: Option<Profile>) -> Vec<OfferedCodec> {
    let parameters = format_parameters(codec, profile);
    let types = (FIRST_PAYLOAD_TYPE..).step_by(2);
    let codecs = types.zip(parameters).enumerate().map(|(index, (payload_type, fmtp))| {
        let rtx_payload_type = Some(payload_type + 1);
        let is_fallback = index > 0;
        let codec = codec.into();
        OfferedCodec { codec, profile, is_fallback, payload_type, rtx_payload_type, fmtp }
    });
    codecs.collect()
}

/// Returns the codec to offer for sound.
#[must_use]
pub fn offered_audio(codec: AudioCodec) -> OfferedCodec {
    let fmtp = match codec {
        // Viewers play one channel unless two are announced (RFC 7587 §6.1).
        AudioCodec::Opus { is_stereo: true } => {
            "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"
        }
        AudioCodec::Opus { is_stereo: false } => "minptime=10;useinbandfec=1",
        AudioCodec::Pcmu | AudioCodec::Pcma | AudioCodec::G722 => "",
    };
    OfferedCodec {
        codec: codec.into(),
        profile: None,
        is_fallback: false,
        payload_type: codec.payload_type(),
        rtx_payload_type: None,
        fmtp: fmtp.to_owned(),
    }
}

/// Returns the format parameters of each way to offer a stream.
fn format_parameters(codec: Codec, profile: Option<Profile>) -> Vec<String> {
    match (codec, profile) {
        (Codec::H264, Some(Profile::H264 { profile_level_id })) => {
            h264_profiles(Some(profile_level_id)).into_iter().map(h264_parameters).collect()
        }
        (Codec::H264, _) => h264_profiles(None).into_iter().map(h264_parameters).collect(),
        (Codec::H265, Some(Profile::H265 { profile_id, is_high_tier, level_id })) => {
            let level = level_id.max(MIN_H265_LEVEL);
            let tier = u8::from(is_high_tier);
            vec![format!("level-id={level};profile-id={profile_id};tier-flag={tier};tx-mode=SRST")]
        }
        (Codec::H265, _) => {
            vec![format!("level-id={MIN_H265_LEVEL};profile-id=1;tier-flag=0;tx-mode=SRST")]
        }
        (Codec::Vp8, _) => vec![String::new()],
        (Codec::Vp9, Some(Profile::Vp9 { profile_id })) => vec![format!("profile-id={profile_id}")],
        (Codec::Vp9, _) => vec!["profile-id=0".to_owned()],
        (Codec::Av1, Some(Profile::Av1 { profile, level_idx, is_high_tier })) => {
            let level = level_idx.max(DEFAULT_AV1_LEVEL);
            vec![format!("level-idx={level};profile={profile};tier={}", u8::from(is_high_tier))]
        }
        (Codec::Av1, _) => vec![format!("level-idx={DEFAULT_AV1_LEVEL};profile=0;tier=0")],
    }
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

    /// Returns true if a decoder of this profile plays streams of the other one (H.264 §A.2). High
    /// 4:4:4 plays only its own, because browsers list it for their software decoder alone.
    pub(super) fn plays(self, stream: Self) -> bool {
        match stream {
            Self::ConstrainedBaseline => self != Self::High444,
            Self::Baseline => matches!(self, Self::Baseline | Self::Extended),
            Self::Main => matches!(self, Self::Main | Self::High),
            Self::Extended => self == Self::Extended,
            Self::ConstrainedHigh => matches!(self, Self::ConstrainedHigh | Self::High),
            Self::High => self == Self::High,
            Self::High444 => self == Self::High444,
        }
    }

    pub(super) fn is_same(one: [u8; 3], other: [u8; 3]) -> bool {
        match (Self::from_profile_level_id(one), Self::from_profile_level_id(other)) {
            (None, None) => one[..2] == other[..2],
            (one, other) => one == other,
        }
    }
}
