//! The supported codecs, and the format of a stream.

use std::fmt;

use bytes::Bytes;

/// A video codec that is carried from camera to viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264, also called AVC; its RTP payload format is RFC 6184.
    H264,
    /// H.265, also called HEVC; its RTP payload format is RFC 7798.
    H265,
}

impl Codec {
    /// The supported codecs, as error messages list them.
    pub const SUPPORTED: &str = "H.264 and H.265";

    /// Looks up the codec with this SDP encoding name (RFC 8866 §6.6), ignoring case.
    #[must_use]
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        [Self::H264, Self::H265].into_iter().find(|c| c.encoding_name().eq_ignore_ascii_case(name))
    }

    /// Returns the encoding name that SDP uses.
    #[must_use]
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
        }
    }

    /// Returns the length of a NAL unit header, in bytes.
    pub(super) fn header_len(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
        })
    }
}

/// The format of a stream, as its parameter sets describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The codec of the stream.
    pub codec: Codec,
    /// The bytes `profile_idc`, constraint flags and `level_idc` (RFC 6184 §8.1); only H.264 has
    /// them.
    pub profile_level_id: Option<[u8; 3]>,
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
