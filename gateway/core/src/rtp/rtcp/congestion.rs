//! Feedback for congestion control: the arrival times of a transport's packets
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1), and the receiver's own estimate, REMB
//! (draft-alvestrand-rmcat-remb-03 §2.2).

use std::time::Duration;

use bytes::{Buf as _, BufMut as _};

use super::MAX_WRITTEN;

/// Maximum number of packets whose fate is read from one compound: more than half a second at
/// 40 Mbit/s. Two bytes can stand for 8191 packets.
pub const MAX_REPORTED: usize = 2048;

/// Unit of arrival times.
pub const TICK: Duration = Duration::from_micros(250);

/// Ticks in one unit of the reference time, 64 ms.
const REFERENCE: i64 = 256;

/// The reference time has 24 bits; this many ticks are one round.
const ROUND: i64 = REFERENCE << 24;

/// The arrival times of successive packets of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportFeedback {
    /// Transport-wide number of the first packet.
    pub first: u16,
    /// Number of this feedback, which wraps.
    pub count: u8,
    /// Arrival times in [`TICK`]s of the receiver's clock, `None` for packets that had not arrived.
    /// They wrap with [`TransportFeedback::unwrap`].
    pub arrivals: Vec<Option<i64>>,
}

impl TransportFeedback {
    /// Returns the time nearest to `last` that `arrival` can mean: the receiver's clock starts
    /// again every twelve days.
    #[must_use]
    pub fn unwrap(arrival: i64, last: i64) -> i64 {
        let ahead = (arrival - last).rem_euclid(ROUND);
        last + if ahead >= ROUND / 2 { ahead - ROUND } else { ahead }
    }
}

/// The receiver's estimate of what the path carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BandwidthEstimate {
    /// The estimate in bits per second.
    pub bits_per_second: u64,
}

/// The fate of a packet, as a symbol of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Missing,
    /// Received; the time since the packet before has one byte.
    Small,
    /// Received; the time since the packet before has two bytes and a sign.
    Large,
}

impl Symbol {
    fn of(bits: u16) -> Self {
        match bits & 3 {
            1 => Self::Small,
            2 => Self::Large,
            // The fourth symbol is reserved.
            _ => Self::Missing,
        }
    }
}

/// A chunk: the fate of one or more packets in two bytes.
#[derive(Debug, Clone, Copy)]
struct Chunk(u16);

impl Chunk {
    /// Returns the number of packets that it stands for.
    fn len(self) -> usize {
        match self.0 >> 14 {
            0 | 1 => usize::from(self.0 & 0x1fff),
            2 => 14,
            _ => 7,
        }
    }

    fn symbol(self, index: usize) -> Symbol {
        match self.0 >> 14 {
            0 | 1 => Symbol::of(self.0 >> 13),
            2 => Symbol::of(self.0 >> 13_usize.saturating_sub(index) & 1),
            _ => Symbol::of(self.0 >> (12_usize.saturating_sub(2 * index))),
        }
    }
}

/// Reads transport-wide feedback, of which `left` packets may still be read; `None` if it is cut
/// off.
pub(super) fn transport_feedback(mut body: &[u8], left: &mut usize) -> Option<TransportFeedback> {
    // The SSRCs say nothing: the numbers are those of the transport.
    body.try_get_u64().ok()?;
    let first = body.try_get_u16().ok()?;
    let total = usize::from(body.try_get_u16().ok()?);
    let [r0, r1, r2, count] = body.try_get_u32().ok()?.to_be_bytes();
    let reference = i64::from(u32::from_be_bytes([0, r0, r1, r2])) * REFERENCE;
    let (mut chunks, mut covered) = (Vec::new(), 0);
    while covered < total {
        let chunk = Chunk(body.try_get_u16().ok()?);
        // An empty run would stand for nothing for ever.
        if chunk.len() == 0 {
            return None;
        }
        covered += chunk.len();
        chunks.push(chunk);
    }
    let taken = total.min(*left);
    *left -= taken;
    let symbols = chunks.iter().flat_map(|chunk| (0..chunk.len()).map(|i| chunk.symbol(i)));
    let mut at = reference;
    let mut arrivals = Vec::with_capacity(taken);
    for symbol in symbols.take(taken) {
        let step = match symbol {
            Symbol::Missing => None,
            Symbol::Small => Some(i64::from(body.try_get_u8().ok()?)),
            Symbol::Large => Some(i64::from(body.try_get_i16().ok()?)),
        };
        at += step.unwrap_or(0);
        arrivals.push(step.map(|_| at));
    }
    Some(TransportFeedback { first, count, arrivals })
}

/// Writes what follows the SSRCs of transport-wide feedback.
pub(super) fn write_arrivals(out: &mut Vec<u8>, first: u16, count: u8, arrivals: &[Option<i64>]) {
    let earliest = arrivals.iter().flatten().copied().next().unwrap_or(0);
    let reference = earliest.div_euclid(REFERENCE);
    let mut at = reference * REFERENCE;
    let mut steps = Vec::new();
    for arrival in arrivals.iter().take(MAX_WRITTEN) {
        let step = match arrival {
            None => None,
            Some(time) => {
                let Ok(step) = i16::try_from(time - at) else { break };
                at = *time;
                Some(step)
            }
        };
        steps.push(step);
    }
    let total = u16::try_from(steps.len()).unwrap_or(u16::MAX);
    let reference = u32::try_from(reference.rem_euclid(1 << 24)).unwrap_or(0);
    out.put_u16(first);
    out.put_u16(total);
    out.put_u32(reference << 8 | u32::from(count));
    for seven in steps.chunks(7) {
        let bits = seven.iter().enumerate().map(|(index, step)| {
            let symbol = step.map_or(0_u16, |step| if (0..=255).contains(&step) { 1 } else { 2 });
            symbol << (12 - 2 * index)
        });
        out.put_u16(0xc000 | bits.fold(0, |all, symbol| all | symbol));
    }
    for step in steps.into_iter().flatten() {
        match u8::try_from(step) {
            Ok(small) => out.put_u8(small),
            Err(_) => out.put_i16(step),
        }
    }
}

/// Reads the receiver's estimate; `None` if it is cut off.
pub(super) fn bandwidth_estimate(body: &[u8]) -> Option<BandwidthEstimate> {
    // After two SSRCs, the name and the number of SSRCs.
    let [b0, b1, b2] = *body.get(13..)?.first_chunk::<3>()?;
    let mantissa = u64::from(b0 & 3) << 16 | u64::from(b1) << 8 | u64::from(b2);
    let exponent = u32::from(b0 >> 2);
    let fits = mantissa.leading_zeros() >= exponent;
    let bits_per_second = if fits { mantissa << exponent } else { u64::MAX };
    Some(BandwidthEstimate { bits_per_second })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{MAX_PACKETS, Packet, Writer, read};
    use super::*;

    fn feedback(bytes: &[u8]) -> TransportFeedback {
        let packets = read(bytes).unwrap();
        let [Packet::TransportFeedback(feedback)] = packets.as_slice() else {
            panic!("{packets:?}")
        };
        feedback.clone()
    }

    #[test]
    fn feedback_of_browsers_is_read() {
        // First number, number of packets, reference time and count, then chunks and times.
        let run =
            b"\x8f\xcd\0\x06\0\0\0\x07\0\0\0\x09\xff\xff\0\x03\0\0\x01\x05\x20\x03\x04\0\x08\0\0\0";
        let bits =
            b"\x8f\xcd\0\x06\0\0\0\x07\0\0\0\x09\0\x01\0\x04\0\0\0\x01\xac\0\x04\x04\x04\0\0\0";
        let pairs =
            b"\x8f\xcd\0\x06\0\0\0\x07\0\0\0\x09\0\x01\0\x03\0\0\0\x01\xd8\0\x04\xff\xfe\0\0\0";
        type Case<'a> = (&'a str, &'a [u8], u16, u8, Vec<Option<i64>>);
        let table: [Case<'_>; 3] = [
            ("a run", run, 65_535, 5, vec![Some(260), Some(260), Some(268)]),
            ("bits", bits, 1, 1, vec![Some(4), None, Some(8), Some(12)]),
            ("pairs", pairs, 1, 1, vec![Some(4), Some(2), None]),
        ];
        for (case, bytes, first, count, arrivals) in table {
            assert_eq!(feedback(bytes), TransportFeedback { first, count, arrivals }, "{case}");
        }
    }

    #[test]
    fn feedback_that_is_cut_off_or_endless_is_refused_and_a_flood_of_packets_is_cut() {
        let head = b"\0\0\0\x07\0\0\0\x09\0\x01";
        let table: [(&str, Vec<u8>, Option<usize>); 6] = [
            ("nothing", b"".to_vec(), None),
            ("no chunk", [&head[..], b"\0\x01\0\0\0\x01"].concat(), None),
            ("an empty run", [&head[..], b"\0\x01\0\0\0\x01\0\0\0\0"].concat(), None),
            ("no time", [&head[..], b"\0\x01\0\0\0\x01\x20\x01"].concat(), None),
            ("no packets", [&head[..], b"\0\0\0\0\0\x01"].concat(), Some(0)),
            (
                "eight runs of 8191 lost ones",
                [&head[..], b"\xff\xf8\0\0\0\x01", &b"\x1f\xff".repeat(9)].concat(),
                Some(MAX_REPORTED),
            ),
        ];
        for (case, body, expected) in table {
            let mut left = MAX_REPORTED;
            let found = transport_feedback(&body, &mut left);
            assert_eq!(found.map(|feedback| feedback.arrivals.len()), expected, "{case}");
        }
        let one = b"\x8f\xcd\0\x05\0\0\0\x07\0\0\0\x09\0\x01\x1f\xff\0\0\0\x01\x1f\xff\0\0";
        let many = read(&one.repeat(MAX_PACKETS)).unwrap();
        let read: usize = many
            .iter()
            .map(|p| if let Packet::TransportFeedback(f) = p { f.arrivals.len() } else { 0 })
            .sum();
        assert_eq!((many.len(), read), (MAX_PACKETS, MAX_REPORTED));
    }

    #[test]
    fn an_estimate_is_read_whatever_its_size() {
        for (case, bytes, expected) in [
            ("none", *b"\x01\0\0\0", 0),
            ("300 kbit/s", *b"\x01\x06\x49\xf0", 300_000),
            ("the largest mantissa", *b"\x01\x03\xff\xff", 262_143),
            ("too large for a number", *b"\x01\xff\xff\xff", u64::MAX),
        ] {
            let body = [&b"\0\0\0\x07\0\0\0\0REMB"[..], &bytes, b"\0\0\0\x09"].concat();
            let found = bandwidth_estimate(&body).unwrap();
            assert_eq!(found.bits_per_second, expected, "{case}");
        }
        assert_eq!(bandwidth_estimate(b"\0\0\0\x07\0\0\0\0REMB\x01\0"), None, "cut off");
    }

    #[test]
    fn the_clock_of_a_receiver_may_start_again() {
        let last = ROUND * 5 + 10;
        for (arrival, expected) in [(12, last + 2), (ROUND - 3, last - 13), (0, last - 10)] {
            assert_eq!(TransportFeedback::unwrap(arrival, last), expected, "{arrival}");
        }
    }

    proptest! {
        #[test]
        fn feedback_reads_as_it_was_written(
            first in any::<u16>(),
            start in 0_i64..ROUND / 2,
            steps in prop::collection::vec(prop::option::of(-300_i64..30_000), 0..MAX_WRITTEN),
        ) {
            let mut at = start;
            let arrivals: Vec<_> = steps
                .iter()
                .map(|step| {
                    at = (at + step.unwrap_or(0)).max(0);
                    step.map(|_| at)
                })
                .collect();
            let mut out = Vec::new();
            Writer::new(&mut out, 7).transport_feedback(9, first, 3, &arrivals);
            prop_assert_eq!(out.len() % 4, 0);
            let expected = TransportFeedback { first, count: 3, arrivals };
            prop_assert_eq!(feedback(&out), expected);
        }

        #[test]
        fn any_feedback_is_read_within_its_bounds(
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut left = 100;
            if let Some(feedback) = transport_feedback(&body, &mut left) {
                prop_assert_eq!(feedback.arrivals.len(), 100 - left);
                let times = feedback.arrivals.iter().flatten().count();
                prop_assert!(times <= body.len(), "each time has a byte of its own");
            }
            let _ = bandwidth_estimate(&body);
        }
    }
}
