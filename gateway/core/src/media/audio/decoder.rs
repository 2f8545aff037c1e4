//! Decoders: packets or access units in, samples out.

use std::fmt;

use symphonia_codec_aac::AacDecoder;
use symphonia_core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia_core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia_core::packet::PacketRef;
use symphonia_core::units::{Duration, Timestamp};

use super::aac::AacFormat;
use super::format::Law;

/// Reasons for not decoding something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecodable;

/// A decoder of a track.
pub(super) enum Decoder {
    G711(Law),
    Linear,
    Aac(Box<AacDecoder>),
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::G711(_) => "G711",
            Self::Linear => "Linear",
            Self::Aac(_) => "Aac",
        })
    }
}

impl Decoder {
    pub(super) fn aac(format: &AacFormat) -> Result<Self, Undecodable> {
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_AAC).with_extra_data(Box::new(format.config()));
        let decoder = AacDecoder::try_new(&parameters, &AudioDecoderOptions::default());
        decoder.map(|decoder| Self::Aac(Box::new(decoder))).map_err(|_| Undecodable)
    }

    /// Decodes a unit and appends its samples, interleaved, to `samples`.
    pub(super) fn decode(
        &mut self,
        unit: &[u8],
        samples: &mut Vec<f32>,
    ) -> Result<(), Undecodable> {
        match self {
            Self::G711(law) => samples.extend(unit.iter().map(|byte| expand(*law, *byte))),
            Self::Linear => {
                let pairs = unit.as_chunks::<2>().0.iter();
                samples.extend(pairs.map(|pair| scaled(i16::from_be_bytes(*pair))));
            }
            Self::Aac(decoder) => {
                let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, unit);
                let decoded = decoder.decode_ref(&packet).map_err(|_| Undecodable)?;
                let start = samples.len();
                samples.resize(start + decoded.samples_interleaved(), 0.0);
                let Some(room) = samples.get_mut(start..) else { return Ok(()) };
                decoded.copy_to_slice_interleaved(room);
            }
        }
        Ok(())
    }
}

fn scaled(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// Decodes one byte of G.711 (ITU-T G.711 tables 1a and 2a).
fn expand(law: Law, byte: u8) -> f32 {
    let (value, sign) = match law {
        Law::Mu => {
            let byte = !byte;
            let exponent = byte >> 4 & 7;
            let value = ((i16::from(byte & 15) << 3) + 0x84) << exponent;
            (value - 0x84, byte & 0x80 == 0)
        }
        Law::A => {
            let byte = byte ^ 0x55;
            let exponent = byte >> 4 & 7;
            let step = i16::from(byte & 15) << 4;
            let value = if exponent == 0 { step + 8 } else { (step + 0x108) << (exponent - 1) };
            (value, byte & 0x80 != 0)
        }
    };
    scaled(if sign { value } else { -value })
}

/// Encodes a sample as G.711 with A-law.
pub(super) fn compress_a(sample: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "a sample has 16 bits")]
    let sample = (sample.clamp(-1.0, 1.0) * 32_767.0) as i16;
    let (sign, value) = if sample >= 0 { (0x80, sample) } else { (0, -(sample.max(-32_767))) };
    let value = u16::try_from(value).unwrap_or(0) >> 4;
    let byte = match value.checked_ilog2() {
        Some(top) if top >= 5 => {
            let exponent = top - 3;
            u8::try_from(exponent << 4).unwrap_or(0)
                | (value >> (exponent - 1) & 15).to_be_bytes()[1]
        }
        _ => (value & 31).to_be_bytes()[1],
    };
    (sign | byte) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_bytes_of_g711_give_the_samples_of_its_tables() {
        for (law, byte, sample) in [
            (Law::Mu, 0x80, 32_124),
            (Law::Mu, 0x00, -32_124),
            (Law::Mu, 0xff, 0),
            (Law::Mu, 0x7f, 0),
            (Law::Mu, 0xfe, 8),
            (Law::A, 0xaa, 32_256),
            (Law::A, 0x2a, -32_256),
            (Law::A, 0xd5, 8),
            (Law::A, 0x55, -8),
            (Law::A, 0x85, 4_224),
        ] {
            let found = (expand(law, byte) * 32_768.0).round();
            assert!((found - sample as f32).abs() < 1.0, "{law:?} {byte:#x}: {found}");
        }
    }

    #[test]
    fn every_byte_of_a_law_survives_decoding_and_encoding() {
        for byte in 0..=255 {
            assert_eq!(compress_a(expand(Law::A, byte)), byte, "{byte:#x}");
        }
    }

    #[test]
    fn samples_of_16_bits_of_which_one_is_cut_off_lose_only_that_one() {
        let mut samples = Vec::new();
        Decoder::Linear.decode(&[0x40, 0, 0xc0, 0, 0x7f], &mut samples).unwrap();
        assert_eq!(samples, [0.5, -0.5]);
    }
}
