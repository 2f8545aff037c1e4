//! Putting a camera's packets back into order, and noticing what is missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::rtp_packet::RtpPacket;

/// A jump ahead of fewer packets is a loss, of more a restart (RFC 3550 A.1, MAX_DROPOUT).
const MAX_DROPOUT: u16 = 3000;

/// A packet at most this far behind is late or a duplicate (RFC 3550 A.1, MAX_MISORDER).
const MAX_MISORDER: u16 = 100;

/// Packets held while one before them is missing. In a LAN packets overtake each other by a few;
/// 32 packets are about 10 ms of a 30 Mbit/s camera.
const MAX_HELD: usize = 32;

/// How long a packet is held for one before it: far above a LAN's jitter, under one frame.
const MAX_HOLD: Duration = Duration::from_millis(20);

/// What became of a packet handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Accepted,
    /// Late or twice; dropped.
    Late,
    /// So far off that the next packet decides whether the camera has restarted; dropped.
    Suspect,
    /// The camera has restarted its numbers: this packet is the first of a new order.
    Restarted,
}

/// A packet in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ordered {
    pub(super) packet: RtpPacket,
    pub(super) arrival: Instant,
    /// Packets missing before this one.
    pub(super) lost: u64,
}

/// The reorder buffer of one SSRC.
#[derive(Debug)]
pub(super) struct ReorderBuffer {
    /// Whether the transport keeps the order itself (TCP): then nothing is ever held.
    in_order: bool,
    /// Extended number of the packet that is due.
    due: Option<u64>,
    held: BTreeMap<u64, (Instant, RtpPacket)>,
    suspect: Option<u16>,
}

impl ReorderBuffer {
    pub(super) fn new(in_order: bool) -> Self {
        Self { in_order, due: None, held: BTreeMap::new(), suspect: None }
    }

    pub(super) fn insert(&mut self, now: Instant, packet: RtpPacket) -> Fate {
        let sequence = packet.header.sequence;
        let Some(due) = self.due else {
            self.begin(now, packet);
            return Fate::Accepted;
        };
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
        let ahead = sequence.wrapping_sub(due as u16);
        if ahead < MAX_DROPOUT {
            self.suspect = None;
            let before = self.held.len();
            self.held.entry(due + u64::from(ahead)).or_insert((now, packet));
            return if self.held.len() > before { Fate::Accepted } else { Fate::Late };
        }
        if ahead.wrapping_neg() <= MAX_MISORDER {
            return Fate::Late;
        }
        if self.in_order || self.suspect == Some(sequence) {
            self.begin(now, packet);
            return Fate::Restarted;
        }
        self.suspect = Some(sequence.wrapping_add(1));
        Fate::Suspect
    }

    /// Forgets the order: the next packet begins a new one.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.in_order);
    }

    /// The next packet whose turn it is, or whose predecessors are given up.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Ordered> {
        let due = self.due?;
        let first = *self.held.keys().next()?;
        let given_up = self.in_order
            || self.held.len() > MAX_HELD
            || self.timeout().is_some_and(|timeout| timeout <= now);
        if first != due && !given_up {
            return None;
        }
        let (arrival, packet) = self.held.remove(&first)?;
        self.due = Some(first + 1);
        Some(Ordered { packet, arrival, lost: first - due })
    }

    /// When a missing packet is given up.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.held.values().map(|(arrival, _)| *arrival + MAX_HOLD).min()
    }

    fn begin(&mut self, now: Instant, packet: RtpPacket) {
        let first = u64::from(packet.header.sequence);
        self.held.clear();
        self.held.insert(first, (now, packet));
        self.due = Some(first);
        self.suspect = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::RtpHeader;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn packet(sequence: u16) -> RtpPacket {
        let header = RtpHeader { marker: false, payload_type: 96, sequence, timestamp: 0, ssrc: 1 };
        RtpPacket { header, payload: Bytes::new() }
    }

    /// Numbers out, each with the packets lost before it.
    fn run(in_order: bool, input: &[u16]) -> Vec<(u16, u64)> {
        let now = Instant::now();
        let mut reorder_buffer = ReorderBuffer::new(in_order);
        let mut output = Vec::new();
        for &sequence in input {
            reorder_buffer.insert(now, packet(sequence));
            while let Some(ordered) = reorder_buffer.poll(now) {
                output.push((ordered.packet.header.sequence, ordered.lost));
            }
        }
        while let Some(ordered) = reorder_buffer.poll(now + MAX_HOLD) {
            output.push((ordered.packet.header.sequence, ordered.lost));
        }
        output
    }

    #[test]
    fn order_and_loss() {
        type Case<'a> = (&'a str, bool, &'a [u16], &'a [(u16, u64)]);
        let table: [Case<'_>; 9] = [
            ("in order", false, &[7, 8, 9], &[(7, 0), (8, 0), (9, 0)]),
            ("across the wrap", false, &[65535, 0, 1], &[(65535, 0), (0, 0), (1, 0)]),
            ("overtaken", false, &[7, 9, 8, 10], &[(7, 0), (8, 0), (9, 0), (10, 0)]),
            ("overtaken at the wrap", false, &[65534, 0, 65535], &[(65534, 0), (65535, 0), (0, 0)]),
            ("twice", false, &[7, 7, 8, 7], &[(7, 0), (8, 0)]),
            ("lost", false, &[7, 10], &[(7, 0), (10, 2)]),
            ("lost over TCP", true, &[7, 10, 11], &[(7, 0), (10, 2), (11, 0)]),
            ("one far off is noise", false, &[7, 30000, 8], &[(7, 0), (8, 0)]),
            (
                "two far off are a restart",
                false,
                &[7, 30000, 30001, 30002],
                &[(7, 0), (30001, 0), (30002, 0)],
            ),
        ];
        for (case, in_order, input, expected) in table {
            assert_eq!(run(in_order, input), expected, "{case}");
        }
    }

    #[test]
    fn a_missing_packet_is_given_up_in_time() {
        let now = Instant::now();
        let mut reorder_buffer = ReorderBuffer::new(false);
        reorder_buffer.insert(now, packet(1));
        assert!(reorder_buffer.poll(now).is_some());
        reorder_buffer.insert(now, packet(3));
        assert_eq!(reorder_buffer.poll(now), None);
        let timeout = reorder_buffer.timeout().unwrap();
        assert_eq!(timeout, now + MAX_HOLD);
        assert_eq!(reorder_buffer.poll(timeout).unwrap().lost, 1);
        assert_eq!(reorder_buffer.timeout(), None);
    }

    proptest! {
        #[test]
        fn a_shuffled_stream_comes_out_in_order(
            start in any::<u16>(),
            // The distance each packet is delayed by, in packets.
            delays in prop::collection::vec(0_u16..6, 1..200),
        ) {
            let when = |(i, delay): (u16, &u16)| (i + if i == 0 { 0 } else { *delay }, i);
            let mut input: Vec<(u16, u16)> = (0..).zip(&delays).map(when).collect();
            input.sort_by_key(|&(when, index)| (when, index));
            let input: Vec<_> = input.iter().map(|&(_, i)| start.wrapping_add(i)).collect();
            let output = run(false, &input);
            prop_assert_eq!(output.len(), delays.len());
            for (index, (sequence, lost)) in (0_u16..).zip(output) {
                prop_assert_eq!((sequence, lost), (start.wrapping_add(index), 0));
            }
        }

        #[test]
        fn nothing_is_held_beyond_the_bound(input in prop::collection::vec(any::<u16>(), 0..300)) {
            let now = Instant::now();
            let mut reorder_buffer = ReorderBuffer::new(false);
            for sequence in input {
                reorder_buffer.insert(now, packet(sequence));
                while reorder_buffer.poll(now).is_some() {}
                prop_assert!(reorder_buffer.held.len() <= MAX_HELD);
            }
        }
    }
}
