//! The encodings in which cameras send sound, and those in which it leaves.

use std::fmt;

use thiserror::Error;

use super::aac::AacFormat;
use crate::media::Delivery;

/// The RTP clock rate of Opus in hertz, whatever it encodes (RFC 7587 §4.1).
pub(super) const OPUS_CLOCK_RATE: u32 = 48_000;

/// The RTP clock rate of telephone codecs in hertz; that of G.722 too, though it samples at twice
/// the rate (RFC 3551 §4.5.2).
const TELEPHONE_CLOCK_RATE: u32 = 8_000;

/// A codec in which sound is sent to viewers. Browsers must play all but G.722 (RFC 7874 §3), and
/// do play that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// Opus; its RTP payload format is RFC 7587.
    Opus {
        /// True if it has two channels.
        is_stereo: bool,
    },
    /// G.711 with µ-law (RFC 3551 §4.5.14).
    Pcmu,
    /// G.711 with A-law (RFC 3551 §4.5.14).
    Pcma,
    /// G.722 (RFC 3551 §4.5.2).
    G722,
}

impl AudioCodec {
    /// Returns the encoding name that SDP uses.
    #[must_use]
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::Opus { .. } => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
        }
    }

    /// Returns the RTP clock rate in hertz.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus { .. } => OPUS_CLOCK_RATE,
            Self::Pcmu | Self::Pcma | Self::G722 => TELEPHONE_CLOCK_RATE,
        }
    }

    /// Returns the number of channels that SDP must name; `None` where one is meant without it.
    #[must_use]
    pub fn channels(self) -> Option<u8> {
        match self {
            // Always two, whatever is encoded (RFC 7587 §7).
            Self::Opus { .. } => Some(2),
            Self::Pcmu | Self::Pcma | Self::G722 => None,
        }
    }

    /// Returns the payload type to offer: the static one if there is one (RFC 3551 table 4).
    #[must_use]
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Opus { .. } => 111,
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
        }
    }
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opus { .. } => "Opus",
            Self::Pcmu => "G.711 µ-law",
            Self::Pcma => "G.711 A-law",
            Self::G722 => "G.722",
        })
    }
}

/// The two laws of G.711.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// The law of North America and Japan.
    Mu,
    /// The law of the rest of the world.
    A,
}

/// An encoding in which a camera sends sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioEncoding {
    /// G.711, one byte a sample.
    G711(Law),
    /// G.722 of one channel.
    G722,
    /// Opus of one channel or two.
    Opus,
    /// Samples of 16 bits, the high byte first (RFC 3551 §4.5.11).
    Linear,
    /// AAC-LC of one channel or two.
    Aac(AacFormat),
}

/// The format of a camera's sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioFormat {
    /// The encoding of the packets.
    pub encoding: AudioEncoding,
    /// The RTP clock rate in hertz.
    pub clock_rate: u32,
    /// The number of channels: 1 or 2.
    pub channels: u8,
}

impl AudioFormat {
    /// Returns the codec in which it leaves.
    #[must_use]
    pub fn sent(&self) -> AudioCodec {
        let is_telephone = self.clock_rate == TELEPHONE_CLOCK_RATE && self.channels == 1;
        match self.encoding {
            AudioEncoding::G711(Law::Mu) if is_telephone => AudioCodec::Pcmu,
            AudioEncoding::G711(Law::A) if is_telephone => AudioCodec::Pcma,
            AudioEncoding::G722 => AudioCodec::G722,
            AudioEncoding::G711(_)
            | AudioEncoding::Opus
            | AudioEncoding::Linear
            | AudioEncoding::Aac(_) => AudioCodec::Opus { is_stereo: self.channels == 2 },
        }
    }

    /// Returns true if its packets leave as they came.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self.encoding {
            AudioEncoding::Opus | AudioEncoding::G722 => true,
            AudioEncoding::G711(_) => !matches!(self.sent(), AudioCodec::Opus { .. }),
            AudioEncoding::Linear | AudioEncoding::Aac(_) => false,
        }
    }
}

/// The sound of a stream, as its source describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioDescription {
    /// The name of the codec, as people know it.
    pub codec: String,
    /// The format, or the reason why the sound cannot be heard.
    pub format: Result<AudioFormat, AudioProblem>,
    /// The way in which the packets arrive.
    pub delivery: Delivery,
}

/// Reasons why a camera's sound cannot be heard. Its picture plays all the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AudioProblem {
    /// No decoder for the codec; its name.
    #[error("the camera's sound is {0}, which no browser plays: set it to G.711, AAC-LC or Opus")]
    Codec(String),
    /// A variant of AAC that is not decoded; its name.
    #[error(
        "the camera's sound is {0}, which cannot be decoded here: set it to AAC-LC, G.711 or Opus"
    )]
    Variant(&'static str),
    /// Neither one channel nor two.
    #[error("the camera's sound has {0} channels: set it to mono or stereo")]
    Channels(u8),
    /// The parameters of the codec cannot be read.
    #[error("the camera does not describe its sound so that it can be decoded: set it to G.711")]
    Parameters,
    /// The camera refuses to send it; the status of its reply.
    #[error("the camera refuses to send its sound (RTSP status {0})")]
    Refused(u16),
    /// The camera did not play when its sound was asked for.
    #[error("the camera does not play with its sound, so that it is left out")]
    Unwilling,
    /// The packets cannot be decoded.
    #[error("the camera's sound cannot be decoded: it is not what its description says")]
    Undecodable,
    /// A decoder or encoder has panicked.
    #[error("decoding the camera's sound failed because of a defect of Porthole")]
    Defect,
}
