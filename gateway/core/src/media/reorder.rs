//! A buffer that puts a camera's packets back in order and finds the missing ones.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::rtp_packet::{RtpHeader, RtpPacket};
use super::stream::Delivery;
use super::ticks::{ahead, ticks};
use super::timeline::MAX_JUMP;

/// A smaller jump ahead, in packets, is a loss; a larger one is a restart (RFC 3550 A.1,
/// `MAX_DROPOUT`).
const MAX_DROPOUT: u16 = 3000;

/// A packet at most this far behind is late or a duplicate (RFC 3550 A.1, `MAX_MISORDER`).
const MAX_MISORDER: u16 = 100;

/// Number of late packets in a row after which the camera must have restarted its numbers by less
/// than [`MAX_MISORDER`].
const MAX_LATE: u32 = 16;

/// Maximum number of packets held while an earlier one is missing. On a LAN packets overtake each
/// other by a few; 32 packets are about 10 ms of a camera at 30 Mbit/s.
const MAX_HELD: usize = 32;

/// Maximum time a packet waits for an earlier one: far above a LAN's jitter, less than one frame.
const MAX_HOLD: Duration = Duration::from_millis(20);

/// Number of the last 128 packets with a gap or a step back before them from which the camera's
/// numbers are ignored: cameras skip numbers, or repeat them, although nothing is lost. A path that
/// really loses a quarter of the packets gives no picture either way.
const MAX_IRREGULAR: u32 = 32;

/// The same over TCP, which loses nothing: tracks that share one counter skip a number at each
/// packet of sound. More than a sixteenth is no loss from which a picture would recover in time.
const MAX_IRREGULAR_TCP: u32 = 8;

/// Number of irregular ones of the last 128 packets up to which the numbers are believed again.
const FEW_IRREGULAR: u32 = 2;

/// The same over TCP, where little speaks for a loss.
const FEW_IRREGULAR_TCP: u32 = 0;

/// Number of packets of which a trace is kept, to tell a number that is used again from a packet
/// that comes twice: more than [`MAX_MISORDER`].
const MAX_SEEN: usize = 128;

/// Number of bytes at the end of a payload by which packets with one number are told apart.
const TRACE_BYTES: usize = 8;

/// The outcome of inserting a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InsertOutcome {
    /// Kept until its turn.
    Accepted,
    /// A late packet or a duplicate; dropped.
    Late,
    /// Far outside the sequence; kept until the next packet shows if the camera has restarted.
    Suspect,
    /// Kept as the first packet of a new sequence: the camera has restarted.
    Restarted,
    /// Kept as the next packet of the same stream, whose camera has begun its numbers again.
    Renumbered,
    /// Kept as the next packet of the same stream, whose camera has begun its numbers again after
    /// packets that may have been lost.
    Interrupted,
}

/// Marks by which a packet that comes again is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trace {
    sequence: u16,
    timestamp: u32,
    len: usize,
    end: [u8; TRACE_BYTES],
}

impl Trace {
    fn of(packet: &RtpPacket) -> Self {
        let RtpHeader { sequence, timestamp, .. } = packet.header;
        let mut end = [0; TRACE_BYTES];
        end.iter_mut().zip(packet.payload.iter().rev()).for_each(|(to, from)| *to = *from);
        Self { sequence, timestamp, len: packet.payload.len(), end }
    }
}

/// A packet in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OrderedPacket {
    pub(super) packet: RtpPacket,
    pub(super) arrival: Instant,
    /// Number of packets missing before this one.
    pub(super) lost: u64,
}

/// The reorder buffer of one track.
#[derive(Debug)]
pub(super) struct ReorderBuffer {
    delivery: Delivery,
    /// Extended sequence number of the next packet.
    next: Option<u64>,
    /// The number that is added to those of a camera that has begun its numbers again.
    offset: u16,
    held: BTreeMap<u64, (Instant, RtpPacket)>,
    /// A packet far outside the sequence, until the next one shows if the camera has restarted.
    suspect: Option<(Instant, RtpPacket)>,
    /// Number of late packets in a row.
    late: u32,
    /// The last 128 packets, the latest in the lowest bit: 1 for an irregular one.
    irregular: u128,
    /// The numbers mean nothing: packets come out as they arrive.
    is_unnumbered: bool,
    /// The latest packet in arrival order, to which the next one is compared.
    latest: Option<RtpPacket>,
    /// The latest packets; none if they arrive in order.
    seen: VecDeque<Trace>,
}

impl ReorderBuffer {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            next: None,
            offset: 0,
            held: BTreeMap::new(),
            suspect: None,
            late: 0,
            irregular: 0,
            is_unnumbered: false,
            latest: None,
            seen: VecDeque::new(),
        }
    }

    pub(super) fn insert(&mut self, now: Instant, packet: RtpPacket) -> InsertOutcome {
        let before = self.latest.replace(packet.clone());
        let (Some(next), Some(before)) = (self.next, before) else {
            self.begin(now, packet);
            return InsertOutcome::Accepted;
        };
        if before.header.ssrc != packet.header.ssrc {
            let has_next_numbers = self.is_unnumbered || is_near(&before.header, &packet.header);
            let has_clock = continues_clock(&before.header, &packet.header);
            if !has_clock || !(has_next_numbers || self.delivery == Delivery::Tcp) {
                *self = Self { latest: self.latest.take(), ..Self::new(self.delivery) };
                self.begin(now, packet);
                return InsertOutcome::Restarted;
            }
            if !has_next_numbers {
                return self.renumber(now, next, packet);
            }
        }
        if self.is_unnumbered {
            let before = Some(before).filter(|before| *before != packet);
            return self.insert_unnumbered(now, next, packet, before);
        }
        let trace = Trace::of(&packet);
        let outcome = self.insert_numbered(now, next, packet, (&before.header, trace));
        let is_irregular = match outcome {
            InsertOutcome::Late => !self.seen.contains(&trace),
            InsertOutcome::Interrupted => true,
            InsertOutcome::Accepted
            | InsertOutcome::Suspect
            | InsertOutcome::Restarted
            | InsertOutcome::Renumbered => false,
        };
        if is_irregular {
            self.note(true);
        }
        outcome
    }

    /// Keeps a packet as the next one, unless it repeats the one before.
    fn insert_unnumbered(
        &mut self,
        now: Instant,
        next: u64,
        packet: RtpPacket,
        before: Option<RtpPacket>,
    ) -> InsertOutcome {
        let Some(before) = before else { return InsertOutcome::Late };
        let follows = before.header.sequence.wrapping_add(1) == packet.header.sequence;
        self.note(!follows);
        let few = match self.delivery {
            Delivery::Tcp => FEW_IRREGULAR_TCP,
            Delivery::InOrder | Delivery::Udp => FEW_IRREGULAR,
        };
        if self.irregular.count_ones() <= few {
            self.begin(now, packet);
            self.is_unnumbered = false;
            return InsertOutcome::Accepted;
        }
        let number = self.held.keys().next_back().map_or(next, |last| last + 1);
        self.held.insert(number, (now, packet));
        InsertOutcome::Accepted
    }

    fn insert_numbered(
        &mut self,
        now: Instant,
        next: u64,
        packet: RtpPacket,
        (before, trace): (&RtpHeader, Trace),
    ) -> InsertOutcome {
        let RtpHeader { sequence, timestamp, .. } = packet.header;
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
        let ahead = sequence.wrapping_add(self.offset).wrapping_sub(next as u16);
        let keeps_clock = continues_clock(before, &packet.header);
        if ahead < MAX_DROPOUT {
            self.suspect = None;
            let before = self.held.len();
            self.held.entry(next + u64::from(ahead)).or_insert((now, packet));
            if self.held.len() == before {
                return InsertOutcome::Late;
            }
            self.late = 0;
            self.remember(trace);
            return InsertOutcome::Accepted;
        }
        if ahead.wrapping_neg() <= MAX_MISORDER {
            // A packet that comes twice has its timestamp twice.
            let is_used_again =
                self.seen.iter().any(|s| s.sequence == sequence && s.timestamp != timestamp);
            self.late += 1;
            if !is_used_again && (self.late < MAX_LATE || self.seen.contains(&trace)) {
                return InsertOutcome::Late;
            }
            match self.delivery {
                Delivery::Tcp if keeps_clock => return self.renumber(now, next, packet),
                Delivery::Tcp | Delivery::InOrder | Delivery::Udp => {}
            }
            self.begin(now, packet);
            return match is_used_again && keeps_clock {
                true => InsertOutcome::Interrupted,
                false => InsertOutcome::Restarted,
            };
        }
        match self.delivery {
            Delivery::Tcp if keeps_clock => return self.renumber(now, next, packet),
            Delivery::Tcp | Delivery::InOrder => {
                self.begin(now, packet);
                return InsertOutcome::Restarted;
            }
            Delivery::Udp => {}
        }
        let follows =
            |(_, before): &(Instant, RtpPacket)| before.header.sequence.wrapping_add(1) == sequence;
        match self.suspect.take().filter(follows) {
            Some((arrival, before)) => {
                self.begin(arrival, before);
                let second = self.next.map_or(0, |first| first + 1);
                self.held.insert(second, (now, packet));
                InsertOutcome::Restarted
            }
            None => {
                self.suspect = Some((now, packet));
                InsertOutcome::Suspect
            }
        }
    }

    /// Keeps a packet as the one after all others, with which new numbers begin.
    fn renumber(&mut self, now: Instant, next: u64, packet: RtpPacket) -> InsertOutcome {
        let number = self.held.keys().next_back().map_or(next, |last| last + 1);
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
        let low = number as u16;
        self.offset = low.wrapping_sub(packet.header.sequence);
        self.late = 0;
        self.seen.clear();
        self.remember(Trace::of(&packet));
        self.held.insert(number, (now, packet));
        self.note(true);
        InsertOutcome::Renumbered
    }

    fn remember(&mut self, trace: Trace) {
        if self.delivery != Delivery::InOrder {
            self.seen.truncate(MAX_SEEN - 1);
            self.seen.push_front(trace);
        }
    }

    /// Returns the next packet, once the ones before it have arrived or are given up.
    pub(super) fn pop(&mut self, now: Instant) -> Option<OrderedPacket> {
        let next = self.next?;
        let first = *self.held.keys().next()?;
        let gives_up = self.delivery == Delivery::InOrder
            || self.is_unnumbered
            || self.held.len() > MAX_HELD
            || self.timeout().is_some_and(|timeout| timeout <= now);
        if first != next && !gives_up {
            return None;
        }
        let (arrival, packet) = self.held.remove(&first)?;
        self.next = Some(first + 1);
        if self.is_unnumbered {
            return Some(OrderedPacket { packet, arrival, lost: 0 });
        }
        self.note(first > next);
        Some(OrderedPacket { packet, arrival, lost: first - next })
    }

    fn note(&mut self, is_irregular: bool) {
        let most = match self.delivery {
            Delivery::Tcp => MAX_IRREGULAR_TCP,
            Delivery::InOrder | Delivery::Udp => MAX_IRREGULAR,
        };
        self.irregular = self.irregular << 1 | u128::from(is_irregular);
        self.is_unnumbered |= self.irregular.count_ones() >= most;
    }

    /// Returns the time at which the missing packets are given up.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.held.values().map(|(arrival, _)| *arrival + MAX_HOLD).min()
    }

    fn begin(&mut self, now: Instant, packet: RtpPacket) {
        let first = u64::from(packet.header.sequence);
        self.offset = 0;
        self.seen.clear();
        self.remember(Trace::of(&packet));
        self.held.clear();
        self.held.insert(first, (now, packet));
        self.next = Some(first);
        self.suspect = None;
        self.late = 0;
    }
}

/// Returns true if one number follows the other, with those between them lost or late.
fn is_near(before: &RtpHeader, header: &RtpHeader) -> bool {
    let ahead = header.sequence.wrapping_sub(before.sequence);
    ahead.min(ahead.wrapping_neg()) <= MAX_MISORDER
}

/// Returns true if both timestamps can be of one clock, which two streams share by chance once in
/// two thousand times.
fn continues_clock(before: &RtpHeader, header: &RtpHeader) -> bool {
    ahead(header.timestamp, before.timestamp).unsigned_abs() <= ticks(MAX_JUMP)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::media::RtpHeader;

    fn packet(sequence: u16) -> RtpPacket {
        let header = RtpHeader { marker: false, payload_type: 96, sequence, timestamp: 0, ssrc: 1 };
        RtpPacket { header, payload: Bytes::new() }
    }

    /// Returns the sequence numbers that come out, each with the number of packets lost before it.
    fn run(delivery: Delivery, input: &[u16]) -> Vec<(u16, u64)> {
        let now = Instant::now();
        let mut reorder_buffer = ReorderBuffer::new(delivery);
        let mut output = Vec::new();
        for &sequence in input {
            reorder_buffer.insert(now, packet(sequence));
            while let Some(ordered) = reorder_buffer.pop(now) {
                output.push((ordered.packet.header.sequence, ordered.lost));
            }
        }
        while let Some(ordered) = reorder_buffer.pop(now + MAX_HOLD) {
            output.push((ordered.packet.header.sequence, ordered.lost));
        }
        output
    }

    #[test]
    fn order_and_loss() {
        use Delivery::{InOrder, Tcp, Udp};
        type Case<'a> = (&'a str, Delivery, &'a [u16], &'a [(u16, u64)]);
        let table: [Case<'_>; 12] = [
            ("in order", Udp, &[7, 8, 9], &[(7, 0), (8, 0), (9, 0)]),
            ("across the wrap", Udp, &[65535, 0, 1], &[(65535, 0), (0, 0), (1, 0)]),
            ("overtaken", Udp, &[7, 9, 8, 10], &[(7, 0), (8, 0), (9, 0), (10, 0)]),
            ("overtaken over TCP", Tcp, &[7, 9, 8, 10], &[(7, 0), (8, 0), (9, 0), (10, 0)]),
            ("overtaken at the wrap", Udp, &[65534, 0, 65535], &[(65534, 0), (65535, 0), (0, 0)]),
            ("duplicates", Udp, &[7, 7, 8, 7], &[(7, 0), (8, 0)]),
            ("duplicates over TCP", Tcp, &[7, 7, 8, 7], &[(7, 0), (8, 0)]),
            ("lost", Udp, &[7, 10], &[(7, 0), (10, 2)]),
            ("lost in order", InOrder, &[7, 10, 11], &[(7, 0), (10, 2), (11, 0)]),
            ("left out over TCP", Tcp, &[7, 10, 11], &[(7, 0), (10, 2), (11, 0)]),
            ("one far off is noise", Udp, &[7, 30000, 8], &[(7, 0), (8, 0)]),
            (
                "two far off are a restart",
                Udp,
                &[7, 30000, 30001, 30002],
                &[(7, 0), (30000, 0), (30001, 0), (30002, 0)],
            ),
        ];
        for (case, delivery, input, expected) in table {
            assert_eq!(run(delivery, input), expected, "{case}");
        }
    }

    /// Inserts packets (number, timestamp, SSRC), and returns the outcomes that are not ordinary,
    /// each with the index of its packet.
    fn outcomes(
        delivery: Delivery,
        input: impl IntoIterator<Item = (u16, u32, u32)>,
    ) -> Vec<(usize, InsertOutcome)> {
        let now = Instant::now();
        let mut reorder_buffer = ReorderBuffer::new(delivery);
        let mut outcomes = Vec::new();
        for (index, (sequence, timestamp, ssrc)) in input.into_iter().enumerate() {
            let header = RtpHeader { timestamp, ssrc, ..packet(sequence).header };
            let packet = RtpPacket { header, ..packet(sequence) };
            let outcome = reorder_buffer.insert(now, packet.clone());
            if outcome != InsertOutcome::Accepted {
                outcomes.push((index, outcome));
            }
            let popped = std::iter::from_fn(|| reorder_buffer.pop(now + MAX_HOLD)).last();
            let is_kept = popped.is_some_and(|ordered| ordered.packet == packet);
            let is_dropped = matches!(outcome, InsertOutcome::Late | InsertOutcome::Suspect);
            assert_eq!(is_kept, !is_dropped, "packet {index} of {delivery:?}: {outcome:?}");
        }
        outcomes
    }

    #[test]
    fn numbers_begin_again_without_a_restart_where_nothing_can_be_lost() {
        type Case = (&'static str, fn(u32) -> (u16, u32, u32), Vec<usize>, Vec<usize>);
        // Name, packet by index, and where it is renumbered over TCP, and restarted over UDP.
        let table: [Case; 5] = [
            ("at 90", |index| ((index % 90) as u16, index * 900, 1), vec![90, 180], vec![]),
            ("far off", |index| ((index / 99 * 9999 + index) as u16, index, 1), vec![99, 198], {
                vec![100, 199]
            }),
            ("another SSRC, the next number", |index| (index as u16, index, index), vec![], vec![]),
            (
                "another SSRC, another number",
                |index| ((index / 100 * 9999 + index) as u16, index, index / 100),
                vec![100],
                vec![100],
            ),
            (
                "another SSRC, another time",
                |index| (index as u16, index / 100 * 9_000_000, index / 100),
                vec![],
                vec![100],
            ),
        ];
        for (case, input, renumbered, restarted) in table {
            let found = |delivery, wanted| {
                let all = outcomes(delivery, (0..200).map(input)).into_iter();
                all.filter(|(_, outcome)| *outcome == wanted).map(|(at, _)| at).collect::<Vec<_>>()
            };
            let found_over_tcp = found(Delivery::Tcp, InsertOutcome::Renumbered);
            assert_eq!(found_over_tcp, renumbered, "{case}, over TCP");
            assert_eq!(found(Delivery::Udp, InsertOutcome::Restarted), restarted, "{case}");
        }
    }

    #[test]
    fn numbers_that_are_used_again_over_udp_interrupt_the_stream_at_once() {
        for (case, count) in [("few", 40_u32), ("most", 100)] {
            let input = (0..300).map(|index| ((index % count) as u16, index * 900, 1));
            let all = outcomes(Delivery::Udp, input);
            let expected = (count..300).step_by(count as usize);
            let expected: Vec<_> =
                expected.map(|index| (index as usize, InsertOutcome::Interrupted)).collect();
            assert_eq!(all, expected, "{case}");
        }
    }

    #[test]
    fn what_comes_twice_after_others_is_late_and_not_irregular() {
        for delivery in [Delivery::Tcp, Delivery::Udp] {
            let now = Instant::now();
            let mut reorder_buffer = ReorderBuffer::new(delivery);
            let mut output = Vec::new();
            for picture in 0..60_u16 {
                for sequence in (0..10).chain(0..10).map(|index| picture * 10 + index) {
                    let payload = vec![sequence as u8; 20].into();
                    let packet = RtpPacket { payload, ..packet(sequence) };
                    reorder_buffer.insert(now, packet);
                    output.extend(std::iter::from_fn(|| reorder_buffer.pop(now)));
                }
            }
            let numbers: Vec<_> = output.iter().map(|out| out.packet.header.sequence).collect();
            assert_eq!(numbers, (0..600).collect::<Vec<_>>(), "{delivery:?}");
        }
    }

    #[test]
    fn a_missing_packet_is_given_up_in_time() {
        let now = Instant::now();
        let mut reorder_buffer = ReorderBuffer::new(Delivery::Udp);
        reorder_buffer.insert(now, packet(1));
        assert!(reorder_buffer.pop(now).is_some());
        reorder_buffer.insert(now, packet(3));
        assert_eq!(reorder_buffer.pop(now), None);
        let timeout = reorder_buffer.timeout().unwrap();
        assert_eq!(timeout, now + MAX_HOLD);
        assert_eq!(reorder_buffer.pop(timeout).unwrap().lost, 1);
        assert_eq!(reorder_buffer.timeout(), None);
    }

    #[test]
    fn numbers_that_mean_nothing_are_ignored_and_believed_again_later() {
        type Case = (&'static str, fn(u16) -> u16);
        let table: [Case; 4] = [
            ("every second number", |index| index * 2),
            ("one number skipped after each third packet", |index| index + index / 3),
            ("one number for all", |_| 7),
            ("one number for three packets", |index| index / 3),
        ];
        for (case, number) in table {
            let mut packets: Vec<_> = (0..600)
                .map(|index| RtpPacket {
                    payload: vec![index as u8].into(),
                    ..packet(number(index))
                })
                .collect();
            let last = number(599);
            packets.extend((1..200).map(|index| packet(last.wrapping_add(index))));
            // Then one is really lost.
            packets.push(packet(last.wrapping_add(202)));
            let now = Instant::now();
            let mut reorder_buffer = ReorderBuffer::new(Delivery::Udp);
            let mut output = Vec::new();
            for packet in packets {
                reorder_buffer.insert(now, packet);
                output.extend(std::iter::from_fn(|| reorder_buffer.pop(now + MAX_HOLD)));
            }
            let count = output.len();
            assert!(count > 800 - 150, "{case}: {count} packets");
            let late_half = &output[count - 500..count - 1];
            assert!(late_half.iter().all(|packet| packet.lost == 0), "{case}");
            assert_eq!(output.last().map(|packet| packet.lost), Some(2), "{case}");
        }
    }

    #[test]
    fn packets_that_overtake_each_other_or_come_twice_keep_their_numbers() {
        let swapped = |index: u16| if index == 0 { 0 } else { ((index - 1) ^ 1) + 1 };
        let swapped: Vec<u16> = (0..301).map(swapped).collect();
        let twice: Vec<u16> = (0..300).map(|index| index / 2).collect();
        for (case, input, count) in [("swapped", swapped, 301), ("twice", twice, 150)] {
            let output = run(Delivery::Udp, &input);
            assert_eq!(output.len(), count, "{case}");
            assert!(output.windows(2).all(|two| two[1].0 == two[0].0 + 1), "{case}");
        }
    }

    proptest! {
        #[test]
        fn a_shuffled_stream_comes_out_in_order(
            start in any::<u16>(),
            // The delay of each packet, in packets.
            delays in prop::collection::vec(0_u16..6, 1..200),
        ) {
            let when = |(i, delay): (u16, &u16)| (i + if i == 0 { 0 } else { *delay }, i);
            let mut input: Vec<(u16, u16)> = (0..).zip(&delays).map(when).collect();
            input.sort_by_key(|&(when, index)| (when, index));
            let input: Vec<_> = input.iter().map(|&(_, i)| start.wrapping_add(i)).collect();
            let output = run(Delivery::Udp, &input);
            prop_assert_eq!(output.len(), delays.len());
            for (index, (sequence, lost)) in (0_u16..).zip(output) {
                prop_assert_eq!((sequence, lost), (start.wrapping_add(index), 0));
            }
        }

        #[test]
        fn nothing_is_held_beyond_the_bound(
            delivery in prop::sample::select(vec![Delivery::Tcp, Delivery::Udp]),
            input in prop::collection::vec((any::<u16>(), any::<u32>(), 0_u32..3), 0..300),
        ) {
            let now = Instant::now();
            let mut reorder_buffer = ReorderBuffer::new(delivery);
            for (sequence, timestamp, ssrc) in input {
                let timestamp = timestamp >> 12;
                let header = RtpHeader { timestamp, ssrc, ..packet(sequence).header };
                reorder_buffer.insert(now, RtpPacket { header, ..packet(sequence) });
                prop_assert!(reorder_buffer.seen.len() <= MAX_SEEN);
                while reorder_buffer.pop(now).is_some() {}
                prop_assert!(reorder_buffer.held.len() <= MAX_HELD);
            }
        }
    }
}
