//! Packetization mode 0 of H.264 (RFC 6184 §6.2): every packet holds one whole NAL unit.
//!
//! A viewer that has not promised more gets no aggregates and no fragments. An aggregate is split;
//! a fragment cannot be joined without waiting for the rest, and the whole would not fit the path.

use bytes::{Buf as _, Bytes};

use crate::media::MediaPacket;

/// Type of an aggregate of NAL units without timestamps, STAP-A (RFC 6184 §5.7.1).
const STAP_A: u8 = 24;

/// Highest type of a packet that is a NAL unit by itself (RFC 6184 §5.4).
const LAST_SINGLE: u8 = 23;

/// Splits packets into single NAL units, and numbers them.
#[derive(Debug, Default)]
pub(super) struct SingleUnits {
    /// Difference of our numbers to those of the stream; wraps.
    ahead: u64,
}

impl SingleUnits {
    /// Returns the packets to send instead of this one; `None` if it holds a part of a NAL unit.
    pub(super) fn split(&mut self, packet: &MediaPacket) -> Option<Vec<MediaPacket>> {
        let units = single_units(&packet.payload)?;
        let count = units.len();
        let packets = (0_u64..).zip(units).map(|(index, payload)| MediaPacket {
            payload,
            marker: packet.marker && index + 1 == count as u64,
            sequence: packet.sequence.wrapping_add(self.ahead).wrapping_add(index),
            starts_key_frame: packet.starts_key_frame && index == 0,
            ..packet.clone()
        });
        let packets = packets.collect();
        self.ahead = self.ahead.wrapping_add(count as u64).wrapping_sub(1);
        Some(packets)
    }
}

/// Returns true if each of these packets can be sent as whole NAL units.
pub(super) fn are_whole(packets: &[MediaPacket]) -> bool {
    packets.iter().all(|packet| single_units(&packet.payload).is_some())
}

fn single_units(payload: &Bytes) -> Option<Vec<Bytes>> {
    match payload.first().map(|first| first & 0x1f) {
        Some(1..=LAST_SINGLE) => Some(vec![payload.clone()]),
        Some(STAP_A) => Some(aggregated(payload.slice(1..))),
        // Fragments and aggregates with timestamps.
        Some(25..=29) => None,
        // Types that mean nothing.
        Some(_) | None => Some(Vec::new()),
    }
}

/// Returns the NAL units of an aggregate, up to the first that is cut off.
fn aggregated(mut rest: Bytes) -> Vec<Bytes> {
    let mut units = Vec::new();
    while let Ok(len) = rest.try_get_u16().map(usize::from)
        && len > 0
        && len <= rest.len()
    {
        units.push(rest.split_to(len));
    }
    units
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn packet(sequence: u64, payload: &'static [u8]) -> MediaPacket {
        MediaPacket {
            payload: Bytes::from_static(payload),
            timestamp: 0,
            marker: true,
            sequence,
            starts_key_frame: true,
            arrival: Instant::now(),
            captured: Instant::now(),
        }
    }

    #[test]
    fn a_packet_becomes_whole_units_or_is_refused() {
        type Case = (&'static str, &'static [u8], Option<&'static [&'static [u8]]>);
        let table: [Case; 8] = [
            ("a slice", &[0x65, 1, 2], Some(&[&[0x65, 1, 2]])),
            ("two units", &[24, 0, 2, 0x67, 1, 0, 1, 0x68], Some(&[&[0x67, 1], &[0x68]])),
            ("a unit that is cut off", &[24, 0, 2, 0x67, 1, 0, 9, 0x68], Some(&[&[0x67, 1]])),
            ("an empty aggregate", &[24], Some(&[])),
            ("a fragment", &[28, 0x85, 1], None),
            ("a fragment with an order", &[29, 0x85, 1], None),
            ("an unknown type", &[31, 1], Some(&[])),
            ("nothing", &[], Some(&[])),
        ];
        for (name, payload, expected) in table {
            let split = SingleUnits::default().split(&packet(5, payload));
            let units = split.as_ref().map(|packets| packets.iter().map(|p| &p.payload[..]));
            assert_eq!(units.map(Iterator::collect::<Vec<_>>).as_deref(), expected, "{name}");
            assert_eq!(are_whole(&[packet(5, payload)]), expected.is_some(), "{name}");
        }
    }

    #[test]
    fn numbers_have_no_gap_but_those_of_the_stream() {
        let mut units = SingleUnits::default();
        let mut numbers = Vec::new();
        let two: &[u8] = &[24, 0, 1, 0x67, 0, 1, 0x68];
        for (sequence, payload) in [(1, two), (2, &[0x65]), (3, &[31]), (4, &[0x41]), (6, &[0x41])]
        {
            let packets = units.split(&packet(sequence, payload)).unwrap();
            assert!(packets.iter().rev().skip(1).all(|packet| !packet.marker));
            numbers.extend(packets.iter().map(|packet| packet.sequence));
        }
        assert_eq!(numbers, [1, 2, 3, 4, 6]);
    }
}
