//! Conversion of NAL units to RTP payloads (RFC 6184, RFC 7798) and to byte streams.

use bytes::Bytes;

use super::payload::{aggregate, fragment};
use super::unit::{NalHeader, Shape};
use crate::media::codec::NalCodec;
use crate::media::rtp_packet::{RtpHeader, RtpPacket};
use crate::media::stream::{MAX_PAYLOAD, MediaPacket};

/// Splits a NAL unit that is longer than a packet into fragments.
pub(crate) fn fragments(codec: NalCodec, unit: &[u8]) -> Vec<Bytes> {
    let Some((header, mut body)) = nal_header(codec, unit) else { return Vec::new() };
    let mut payloads = Vec::with_capacity(body.len() / room(codec) + 1);
    while !body.is_empty() {
        let (chunk, rest) = body.split_at(body.len().min(room(codec)));
        payloads.push(fragment(codec, header, payloads.is_empty(), rest.is_empty(), chunk));
        body = rest;
    }
    payloads
}

/// Returns how many bytes of a NAL unit's body fit one fragment.
pub(crate) fn room(codec: NalCodec) -> usize {
    MAX_PAYLOAD - codec.header_len() - 1
}

/// Packs parameter sets into as few payloads as possible: usually one aggregation packet.
pub(crate) fn aggregates(codec: NalCodec, units: &[Bytes]) -> Vec<Bytes> {
    let mut payloads = Vec::new();
    let mut rest = units;
    while !rest.is_empty() {
        let mut len = codec.header_len();
        let fits = |unit: &&Bytes| {
            len += 2 + unit.len();
            len <= MAX_PAYLOAD
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        match now {
            [unit] if unit.len() > MAX_PAYLOAD => payloads.extend(fragments(codec, unit)),
            [unit] => payloads.push(unit.clone()),
            several => payloads.push(aggregate(codec, several)),
        }
        rest = later;
    }
    payloads
}

fn nal_header(codec: NalCodec, unit: &[u8]) -> Option<(NalHeader, &[u8])> {
    let (header, body) = unit.split_at_checked(codec.header_len())?;
    match *header {
        [first] => Some((NalHeader([first, 0]), body)),
        [first, second] => Some((NalHeader([first, second]), body)),
        _ => None,
    }
}

/// Turns the output of an encoder into RTP packets as a camera sends them.
#[derive(Debug)]
pub struct Packetizer {
    codec: NalCodec,
    next: RtpHeader,
}

impl Packetizer {
    /// Creates a packetizer for one stream with these header fields.
    #[must_use]
    pub fn new(codec: NalCodec, payload_type: u8, ssrc: u32, first_sequence: u16) -> Self {
        let sequence = first_sequence;
        Self {
            codec,
            next: RtpHeader { marker: false, payload_type, sequence, timestamp: 0, ssrc },
        }
    }

    /// Returns the packets of one access unit, from its NAL units without start codes.
    pub fn packets<'a>(
        &mut self,
        timestamp: u32,
        units: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<RtpPacket> {
        let mut payloads = Vec::new();
        for unit in units {
            if unit.len() <= MAX_PAYLOAD {
                payloads.push(Bytes::copy_from_slice(unit));
            } else {
                payloads.extend(fragments(self.codec, unit));
            }
        }
        let count = payloads.len();
        let mut packets = Vec::with_capacity(count);
        for (index, payload) in payloads.into_iter().enumerate() {
            let header = RtpHeader { marker: index + 1 == count, timestamp, ..self.next };
            packets.push(RtpPacket { header, payload });
            self.next.sequence = self.next.sequence.wrapping_add(1);
        }
        packets
    }
}

/// Joins packets, in order and without a gap, into the byte stream (annex B) that decoders read.
#[must_use]
pub fn byte_stream(codec: NalCodec, packets: &[MediaPacket]) -> Vec<u8> {
    const START_CODE: [u8; 4] = [0, 0, 0, 1];
    let mut stream = Vec::new();
    for packet in packets {
        // Every packet from a feed has one of these shapes.
        let Ok(shape) = Shape::of(codec, &packet.payload) else { continue };
        let units = match shape {
            Shape::Single => vec![packet.payload.clone()],
            Shape::Aggregate(units) => units,
            Shape::Fragment(fragment) => {
                if fragment.start {
                    stream.extend_from_slice(&START_CODE);
                    stream.extend_from_slice(fragment.header.as_bytes(codec));
                }
                stream.extend_from_slice(&fragment.body);
                continue;
            }
        };
        for unit in units {
            stream.extend_from_slice(&START_CODE);
            stream.extend_from_slice(&unit);
        }
    }
    stream
}

/// Splits a byte stream (H.264 annex B) into its NAL units, without start codes.
pub fn annex_b_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = match start_code(stream) {
        Some((_, after)) => after,
        None => &[],
    };
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (unit, after) = start_code(rest).unwrap_or((rest, &[]));
            rest = after;
            // Zeros before a start code belong to it; no NAL unit ends in a zero.
            let end = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if let Some(unit) = unit.get(..end).filter(|unit| !unit.is_empty()) {
                return Some(unit);
            }
        }
        None
    })
}

/// Splits a stream at the next start code.
fn start_code(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let position = stream.windows(3).position(|window| window == [0, 0, 1])?;
    Some((stream.get(..position)?, stream.get(position + 3..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_of_a_byte_stream() {
        let table: [(&[u8], &[&[u8]]); 6] = [
            (b"", &[]),
            (b"no start code", &[]),
            (b"\0\0\0\x01\x67\x01\0\0\x01\x68", &[b"\x67\x01", b"\x68"]),
            (b"\0\0\x01\x67\0\0\0\x01\x68\0\0", &[b"\x67", b"\x68"]),
            (b"\0\0\x01\0\0\x01\x65", &[b"\x65"]),
            (b"\0\0\x01", &[]),
        ];
        for (stream, expected) in table {
            assert_eq!(annex_b_units(stream).collect::<Vec<_>>(), expected, "{stream:?}");
        }
    }

    proptest! {
        #[test]
        fn fragments_fit_and_carry_every_byte(
            h265 in any::<bool>(),
            body in prop::collection::vec(any::<u8>(), 0..5000),
        ) {
            let codec = if h265 { NalCodec::H265 } else { NalCodec::H264 };
            let mut unit = if h265 { vec![0x26, 1] } else { vec![0x65] };
            unit.extend_from_slice(&body);
            let payloads = fragments(codec, &unit);
            let mut carried = Vec::new();
            for (index, payload) in payloads.iter().enumerate() {
                prop_assert!(payload.len() <= MAX_PAYLOAD);
                let Ok(Shape::Fragment(fragment)) = Shape::of(codec, payload) else {
                    panic!("no fragment");
                };
                prop_assert_eq!(fragment.header.as_bytes(codec), &unit[..codec.header_len()]);
                prop_assert_eq!(fragment.start, index == 0);
                prop_assert_eq!(fragment.end, index + 1 == payloads.len());
                carried.extend_from_slice(&fragment.body);
            }
            prop_assert_eq!(carried, body);
        }

        #[test]
        fn aggregates_fit_and_carry_every_unit(lens in prop::collection::vec(1_usize..500, 0..30)) {
            let units: Vec<_> = lens.iter().map(|len| Bytes::from(vec![0x67; *len])).collect();
            let mut carried = Vec::new();
            for payload in aggregates(NalCodec::H264, &units) {
                prop_assert!(payload.len() <= MAX_PAYLOAD);
                match Shape::of(NalCodec::H264, &payload) {
                    Ok(Shape::Aggregate(units)) => carried.extend(units),
                    Ok(Shape::Single) => carried.push(payload),
                    other => panic!("{other:?}"),
                }
            }
            prop_assert_eq!(carried, units);
        }
    }
}
