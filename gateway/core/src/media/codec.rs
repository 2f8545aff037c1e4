//! The supported codecs, and the format of a stream.

use std::fmt;

use bytes::Bytes;

use super::audio::AudioCodec;
use super::stream::CLOCK_RATE;

/// A video codec that is carried from camera to viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264, also called AVC; its RTP payload format is RFC 6184.
    H264,
    /// H.265, also called HEVC; its RTP payload format is RFC 7798.
    H265,
    /// VP8; its RTP payload format is RFC 7741.
    Vp8,
    /// VP9; its RTP payload format is RFC 9628.
    Vp9,
    /// AV1; its RTP payload format is a specification of the Alliance for Open Media.
    Av1,
}

impl Codec {
    /// The codecs that a camera can be set to, as error messages list them.
    pub const SUPPORTED: &str = "H.264 or H.265";

    const ALL: [Self; 5] = [Self::H264, Self::H265, Self::Vp8, Self::Vp9, Self::Av1];

    /// Looks up the codec with this SDP encoding name (RFC 8866 §6.6), ignoring case.
    #[must_use]
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.encoding_name().eq_ignore_ascii_case(name))
    }

    /// Returns the encoding name that SDP uses.
    #[must_use]
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        }
    }

    /// Returns the RTP clock rate in hertz.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        CLOCK_RATE
    }

    /// Returns the codec as one of those that are made of NAL units; `None` for the others.
    #[must_use]
    pub fn nal(self) -> Option<NalCodec> {
        match self {
            Self::H264 => Some(NalCodec::H264),
            Self::H265 => Some(NalCodec::H265),
            Self::Vp8 | Self::Vp9 | Self::Av1 => None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        })
    }
}

/// The codec of a track of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackCodec {
    /// The codec of a picture.
    Video(Codec),
    /// The codec of sound.
    Audio(AudioCodec),
}

impl TrackCodec {
    /// Returns the encoding name that SDP uses.
    #[must_use]
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::Video(codec) => codec.encoding_name(),
            Self::Audio(codec) => codec.encoding_name(),
        }
    }

    /// Returns the RTP clock rate in hertz.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Video(codec) => codec.clock_rate(),
            Self::Audio(codec) => codec.clock_rate(),
        }
    }

    /// Returns the number of channels that SDP must name; `None` where there are none, or where one
    /// is meant without it.
    #[must_use]
    pub fn channels(self) -> Option<u8> {
        match self {
            Self::Video(_) => None,
            Self::Audio(codec) => codec.channels(),
        }
    }
}

impl From<Codec> for TrackCodec {
    fn from(codec: Codec) -> Self {
        Self::Video(codec)
    }
}

impl From<AudioCodec> for TrackCodec {
    fn from(codec: AudioCodec) -> Self {
        Self::Audio(codec)
    }
}

impl fmt::Display for TrackCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(codec) => codec.fmt(f),
            Self::Audio(codec) => codec.fmt(f),
        }
    }
}

/// A codec whose streams are made of NAL units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NalCodec {
    /// H.264, whose NAL units have a header of one byte.
    H264,
    /// H.265, whose NAL units have a header of two bytes.
    H265,
}

impl NalCodec {
    /// Returns the length of a NAL unit header, in bytes.
    pub(super) fn header_len(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }
}

impl From<NalCodec> for Codec {
    fn from(codec: NalCodec) -> Self {
        match codec {
            NalCodec::H264 => Self::H264,
            NalCodec::H265 => Self::H265,
        }
    }
}

impl fmt::Display for NalCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Codec::from(*self).fmt(f)
    }
}

/// The part of a codec that a stream uses, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A profile of H.264.
    H264 {
        /// The bytes `profile_idc`, constraint flags and `level_idc` (RFC 6184 §8.1).
        profile_level_id: [u8; 3],
    },
    /// A profile of H.265 (RFC 7798 §7.1).
    H265 {
        /// The lowest profile that decodes the stream: 1 is Main, 2 is Main 10.
        profile_id: u8,
        /// True in the High tier.
        is_high_tier: bool,
        /// Thirty times the number of the level.
        level_id: u8,
    },
    /// A profile of VP9: 0 to 3 (RFC 9628 §6).
    Vp9 {
        /// The number of the profile.
        profile_id: u8,
    },
    /// A profile of AV1.
    Av1 {
        /// The number of the profile: 0 is Main.
        profile: u8,
        /// The index of the level, as the sequence header has it.
        level_idx: u8,
        /// True in the High tier.
        is_high_tier: bool,
    },
}

/// The format of a stream, as its parameter sets or key frames describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The codec of the stream.
    pub codec: Codec,
    /// Profile and level; VP8 has none.
    pub profile: Option<Profile>,
    /// Width of the picture in pixels, after cropping.
    pub width: u32,
    /// Height of the picture in pixels, after cropping.
    pub height: u32,
    /// Video parameter sets as NAL units without start code; only H.265 has them.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets as NAL units without start code.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets as NAL units without start code.
    pub pps: Vec<Bytes>,
}
