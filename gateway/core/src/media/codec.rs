//! Which codecs are carried, and what a stream of one looks like.

use std::fmt;

use bytes::Bytes;

/// A video codec that is carried from camera to viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    H264,
    H265,
}

impl Codec {
    /// What a message to a person lists as supported.
    pub const SUPPORTED: &str = "H.264 and H.265";

    /// From the encoding name of an SDP (RFC 8866 §6.6), in any case.
    #[must_use]
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        [Self::H264, Self::H265].into_iter().find(|c| c.encoding_name().eq_ignore_ascii_case(name))
    }

    /// The encoding name of an SDP.
    #[must_use]
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
        }
    }

    /// Bytes of a NAL unit header.
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

/// A stream, as its parameter sets describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub codec: Codec,
    /// `profile_idc`, constraint flags and `level_idc`; H.264 only (RFC 6184 §8.1).
    pub profile_level_id: Option<[u8; 3]>,
    /// In pixels, after cropping.
    pub width: u32,
    pub height: u32,
    /// The parameter sets as NAL units without start code. H.265 only: the VPS.
    pub vps: Vec<Bytes>,
    pub sps: Vec<Bytes>,
    pub pps: Vec<Bytes>,
}
