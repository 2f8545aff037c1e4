//! AAC in RTP packets: RFC 3640 (`mpeg4-generic`) and RFC 6416 (`MP4A-LATM`).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::format::AudioProblem;

/// Maximum length of an access unit in bytes, which 13 bits can say.
const MAX_UNIT: usize = 8191;

/// Maximum number of access units in a packet that are read: a second of 48 kHz.
const MAX_UNITS: usize = 48;

/// The sampling rates in hertz that have a number (ISO/IEC 14496-3 §1.6.3.4).
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Number of samples in an access unit, for each channel.
pub(super) const SAMPLES: u32 = 1024;

/// Object types (ISO/IEC 14496-3 §1.5.1.1).
const LOW_COMPLEXITY: u32 = 2;
const SPECTRAL_BAND_REPLICATION: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;

/// The format of AAC-LC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AacFormat {
    /// The sampling rate in hertz.
    pub sample_rate: u32,
    /// The number of channels: 1 or 2.
    pub channels: u8,
    /// The way in which access units lie in packets.
    pub framing: Framing,
}

/// The way in which access units lie in packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Behind a list of headers (RFC 3640 §3.2).
    Headers(HeaderLengths),
    /// Behind the length of each (RFC 6416 §6.2, with the configuration in the description).
    Latm,
}

/// The lengths of the fields of a header, in bits (RFC 3640 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderLengths {
    size: u8,
    index: u8,
    index_delta: u8,
}

impl HeaderLengths {
    /// The lengths of the mode AAC-hbr, which nearly all senders use (RFC 3640 §3.3.6).
    pub const HIGH_BIT_RATE: Self = Self { size: 13, index: 3, index_delta: 3 };
    /// The lengths of the mode AAC-lbr (RFC 3640 §3.3.5).
    const LOW_BIT_RATE: Self = Self { size: 6, index: 2, index_delta: 2 };

    fn read(parameter: &impl Fn(&str) -> Option<String>) -> Self {
        let mode = parameter("mode").unwrap_or_default();
        let known = if mode.eq_ignore_ascii_case("AAC-lbr") {
            Self::LOW_BIT_RATE
        } else {
            Self::HIGH_BIT_RATE
        };
        let bits = |name| parameter(name)?.parse::<u8>().ok().filter(|bits| *bits <= 32);
        let size = bits("sizelength").filter(|size| *size > 0).unwrap_or(known.size);
        let index = bits("indexlength").unwrap_or(known.index);
        let index_delta = bits("indexdeltalength").unwrap_or(known.index_delta);
        Self { size, index, index_delta }
    }
}

impl AacFormat {
    /// Reads the parameters of `mpeg4-generic`. A description without a configuration means AAC-LC
    /// of the clock rate and channels of its `rtpmap`.
    ///
    /// # Errors
    /// If it is no AAC-LC of one channel or two.
    pub fn generic(
        parameter: impl Fn(&str) -> Option<String>,
        clock_rate: u32,
        channels: u8,
    ) -> Result<Self, AudioProblem> {
        let framing = Framing::Headers(HeaderLengths::read(&parameter));
        let config = parameter("config").and_then(|text| bytes_of(&text)).unwrap_or_default();
        if config.is_empty() {
            return Self::of(clock_rate, channels, framing);
        }
        Self::configured(&mut Bits::new(&config), framing)
    }

    /// Reads the parameters of `MP4A-LATM`, whose configuration is that of the multiplex around the
    /// codec's own (ISO/IEC 14496-3 §1.7.3).
    ///
    /// # Errors
    /// If it is no AAC-LC of one channel or two, or more than one stream.
    pub fn latm(parameter: impl Fn(&str) -> Option<String>) -> Result<Self, AudioProblem> {
        let is_in_band = parameter("cpresent").is_none_or(|value| value.trim() != "0");
        let config = parameter("config").and_then(|text| bytes_of(&text));
        let config = config.filter(|_| !is_in_band).ok_or(AudioProblem::Parameters)?;
        let mut bits = Bits::new(&config);
        // Version 0, one time for all, one frame, one program and one layer.
        let is_simple = bits.take(1) == Some(0)
            && bits.take(1) == Some(1)
            && bits.take(6) == Some(0)
            && bits.take(4) == Some(0)
            && bits.take(3) == Some(0);
        if !is_simple {
            return Err(AudioProblem::Parameters);
        }
        Self::configured(&mut bits, Framing::Latm)
    }

    /// Reads an `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1).
    fn configured(bits: &mut Bits<'_>, framing: Framing) -> Result<Self, AudioProblem> {
        let missing = AudioProblem::Parameters;
        let object = object_type(bits).ok_or(missing.clone())?;
        let sample_rate = sampling_rate(bits).ok_or(missing.clone())?;
        let channels = bits.take(4).ok_or(missing.clone())?;
        match object {
            LOW_COMPLEXITY => {}
            SPECTRAL_BAND_REPLICATION => return Err(AudioProblem::Variant("HE-AAC")),
            PARAMETRIC_STEREO => return Err(AudioProblem::Variant("HE-AAC v2")),
            39 => return Err(AudioProblem::Variant("AAC-ELD")),
            23 => return Err(AudioProblem::Variant("AAC-LD")),
            _ => return Err(AudioProblem::Variant("a rare variant of AAC")),
        }
        if bits.take(1).ok_or(missing)? == 1 {
            return Err(AudioProblem::Variant("AAC with 960 samples a frame"));
        }
        Self::of(sample_rate, u8::try_from(channels).unwrap_or(0), framing)
    }

    fn of(sample_rate: u32, channels: u8, framing: Framing) -> Result<Self, AudioProblem> {
        if !(1..=2).contains(&channels) {
            return Err(AudioProblem::Channels(channels));
        }
        if !RATES.contains(&sample_rate) {
            return Err(AudioProblem::Parameters);
        }
        Ok(Self { sample_rate, channels, framing })
    }

    /// Returns the duration of an access unit.
    pub(super) fn frame(&self) -> Duration {
        Duration::from_micros(u64::from(SAMPLES) * 1_000_000 / u64::from(self.sample_rate.max(1)))
    }

    /// Returns the codec's configuration for a decoder, without extensions, which it need not know.
    pub(super) fn config(&self) -> [u8; 2] {
        let rate = RATES.iter().position(|rate| *rate == self.sample_rate).unwrap_or_default();
        let rate = u16::try_from(rate).unwrap_or_default();
        (2 << 11 | rate << 7 | u16::from(self.channels) << 3).to_be_bytes()
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(5)? {
        31 => Some(32 + bits.take(6)?),
        object => Some(object),
    }
}

fn sampling_rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(4)? {
        15 => bits.take(24),
        index => RATES.get(usize::try_from(index).ok()?).copied(),
    }
}

/// Reads pairs of hexadecimal digits.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.trim().trim_matches('"').bytes().collect();
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok().filter(|_| pair.len() == 2)
    };
    digits.chunks(2).map(pair).collect()
}

/// Reads bits, the highest first.
#[derive(Debug)]
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Takes up to 32 bits; `None` if there are not so many.
    fn take(&mut self, count: u8) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

/// Takes access units out of packets.
#[derive(Debug)]
pub(super) struct Depacketizer {
    framing: Framing,
    /// The beginning of an access unit that continues in the next packet, and its whole length.
    partial: Option<(BytesMut, usize)>,
}

impl Depacketizer {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, partial: None }
    }

    /// Forgets the beginning of a unit whose end is lost.
    pub(super) fn handle_loss(&mut self) {
        self.partial = None;
    }

    /// Returns the access units that a packet completes. What cannot be read is left out.
    pub(super) fn units(&mut self, payload: &Bytes) -> VecDeque<Bytes> {
        match self.framing {
            Framing::Headers(lengths) => self.behind_headers(payload, lengths),
            Framing::Latm => latm_units(payload),
        }
    }

    fn behind_headers(&mut self, payload: &Bytes, lengths: HeaderLengths) -> VecDeque<Bytes> {
        let Some((sizes, mut rest)) = read_headers(payload, lengths) else {
            return VecDeque::new();
        };
        if let Some((mut unit, size)) = self.partial.take()
            && sizes.first() == Some(&size)
        {
            unit.extend_from_slice(&rest);
            if unit.len() < size {
                self.partial = Some((unit, size));
                return VecDeque::new();
            }
            unit.truncate(size);
            return [unit.freeze()].into();
        }
        let mut units = VecDeque::new();
        for size in sizes {
            if size > rest.len() {
                // Only the one unit of a packet continues in the next one (RFC 3640 §3.2.3).
                if units.is_empty() && size <= MAX_UNIT {
                    self.partial = Some((BytesMut::from(&rest[..]), size));
                }
                break;
            }
            units.push_back(without_adts(rest.split_to(size)));
        }
        units
    }
}

/// Returns the sizes of the access units of a packet, and the bytes behind the headers.
fn read_headers(payload: &Bytes, lengths: HeaderLengths) -> Option<(Vec<usize>, Bytes)> {
    let bits = usize::from(u16::from_be_bytes(*payload.first_chunk()?));
    let end = 2 + bits.div_ceil(8);
    let headers = payload.get(2..end)?;
    let mut reader = Bits::new(headers);
    let mut sizes = Vec::new();
    while sizes.len() < MAX_UNITS {
        let index = if sizes.is_empty() { lengths.index } else { lengths.index_delta };
        if reader.at + usize::from(lengths.size) + usize::from(index) > bits {
            break;
        }
        let size = reader.take(lengths.size)?;
        reader.take(index)?;
        sizes.push(usize::try_from(size).ok()?);
    }
    Some((sizes, payload.slice(end..)))
}

/// Reads access units that follow their lengths: bytes of 255 and a smaller one are added up.
fn latm_units(payload: &Bytes) -> VecDeque<Bytes> {
    let mut units = VecDeque::new();
    let mut rest = payload.clone();
    while units.len() < MAX_UNITS {
        let full = rest.iter().take_while(|byte| **byte == 255).count();
        let Some(last) = rest.get(full) else { break };
        let size = full * 255 + usize::from(*last);
        let Some(behind) = rest.get(full + 1..full + 1 + size).map(|_| full + 1) else { break };
        let mut unit = rest.split_off(behind);
        rest = unit.split_off(size);
        units.push_back(unit);
    }
    units
}

/// Removes the header of the ADTS format, which some cameras leave in place
/// (ISO/IEC 13818-7 §6.2).
fn without_adts(unit: Bytes) -> Bytes {
    match unit.first_chunk::<7>() {
        Some([0xff, second, ..]) if second & 0xf6 == 0xf0 => {
            let len = if second & 1 == 1 { 7 } else { 9 };
            unit.slice(len.min(unit.len())..)
        }
        _ => unit,
    }
}

#[cfg(test)]
mod tests;
