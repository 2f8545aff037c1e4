//! What was sent to a viewer lately, so that it can be sent again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Packets kept: a second of 10 Mbit/s, or the part of a burst that one round trip takes. The
/// payloads are shared by all viewers, an entry itself has less than 80 bytes.
const MAX_PACKETS: usize = 1024;

/// A packet this old is of no use: the viewer has long asked for a key frame.
const MAX_AGE: Duration = Duration::from_secs(2);

/// Requests waiting for their turn.
const MAX_REQUESTED: usize = 1024;

/// The bounds of the time between two repeats of one packet, which is a round trip.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_millis(500);
/// While the round trip is unknown.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);

/// Repeats may make up this part of what is sent, so that nobody makes us send without end.
const BUDGET_DIVISOR: u64 = 2;

/// What may be saved up of it: a lost key frame, and a lost fifth of a burst of 1 MB.
const MAX_BUDGET: u64 = 256 * 1024;

/// A packet that was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// It carried the header extensions, and so must its repeat.
    pub(super) extended: bool,
    pub(super) payload: Bytes,
    pub(super) at: Instant,
    pub(super) retransmitted: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct History {
    /// In order of their numbers, which may have gaps.
    packets: VecDeque<Sent>,
    requested: VecDeque<u16>,
    budget: u64,
}

impl History {
    pub(super) fn new() -> Self {
        Self { packets: VecDeque::new(), requested: VecDeque::new(), budget: MAX_BUDGET }
    }

    pub(super) fn push(&mut self, packet: Sent) {
        let old = |first: &Sent| packet.at.saturating_duration_since(first.at) > MAX_AGE;
        while self.packets.front().is_some_and(old) || self.packets.len() >= MAX_PACKETS {
            self.packets.pop_front();
        }
        let earned = packet.payload.len() as u64 / BUDGET_DIVISOR;
        self.budget = (self.budget + earned).min(MAX_BUDGET);
        self.packets.push_back(packet);
    }

    /// The viewer lacks this one.
    pub(super) fn request(&mut self, sequence: u16) {
        if self.requested.len() < MAX_REQUESTED {
            self.requested.push_back(sequence);
        }
    }

    /// The next packet to repeat. Requests for what is gone, was just repeated, or costs more
    /// than is left are dropped: a viewer that still needs it asks again.
    pub(super) fn next(&mut self, now: Instant, round_trip: Option<Duration>) -> Option<Sent> {
        let interval = round_trip.unwrap_or(FIRST_INTERVAL).clamp(MIN_INTERVAL, MAX_INTERVAL);
        while let Some(sequence) = self.requested.pop_front() {
            let budget = self.budget;
            let Some(packet) = self.find(sequence) else { continue };
            let since = |at: Instant| now.saturating_duration_since(at);
            let fresh = packet.retransmitted.is_some_and(|at| since(at) < interval);
            let cost = packet.payload.len() as u64;
            if fresh || since(packet.at) > MAX_AGE || cost > budget {
                continue;
            }
            packet.retransmitted = Some(now);
            let packet = packet.clone();
            self.budget -= cost;
            return Some(packet);
        }
        None
    }

    fn find(&mut self, sequence: u16) -> Option<&mut Sent> {
        let first = self.packets.front()?.sequence;
        let place = sequence.wrapping_sub(first);
        let index = self.packets.partition_point(|p| p.sequence.wrapping_sub(first) < place);
        self.packets.get_mut(index).filter(|packet| packet.sequence == sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn sent(sequence: u16, at: Instant, len: usize) -> Sent {
        let payload = Bytes::from(vec![0; len]);
        let (timestamp, marker, extended, retransmitted) = (0, false, false, None);
        Sent { sequence, timestamp, marker, extended, payload, at, retransmitted }
    }

    #[test]
    fn a_packet_is_retransmitted_once_in_a_round_trip() {
        let start = Instant::now();
        let mut history = History::new();
        for sequence in [65_534, 65_535, 0, 4] {
            history.push(sent(sequence, start, 10));
        }
        type Case<'a> = (&'a str, u64, u16, Option<u64>, Option<u16>);
        let table: [Case<'_>; 10] = [
            ("there", 0, 65_535, None, Some(65_535)),
            ("again at once", 1, 65_535, None, None),
            ("again after a while", 50, 65_535, None, Some(65_535)),
            ("before the round trip", 120, 65_535, Some(80), None),
            ("after the round trip", 130, 65_535, Some(80), Some(65_535)),
            ("behind the wrap", 0, 4, None, Some(4)),
            ("in a gap", 0, 2, None, None),
            ("not sent yet", 0, 5, None, None),
            ("gone", 0, 65_533, None, None),
            ("too old", 2001, 0, None, None),
        ];
        for (case, ms, sequence, round_trip, expected) in table {
            history.request(sequence);
            let now = start + MS * u32::try_from(ms).unwrap();
            let retransmission = history.next(now, round_trip.map(Duration::from_millis));
            assert_eq!(retransmission.map(|packet| packet.sequence), expected, "{case}");
        }
    }

    #[test]
    fn retransmissions_are_a_bounded_part_of_what_is_sent() {
        let start = Instant::now();
        let mut history = History::new();
        let (mut first, mut retransmitted) = (0_u64, 0_u64);
        for sequence in 0..5000_u16 {
            history.push(sent(sequence, start, 1000));
            first += 1000;
            // Everything is asked for again and again.
            for wanted in sequence.saturating_sub(30)..=sequence {
                history.request(wanted);
            }
            let now = start + MS * 20 * u32::from(sequence);
            while let Some(packet) = history.next(now, Some(MIN_INTERVAL)) {
                retransmitted += packet.payload.len() as u64;
            }
        }
        assert!(retransmitted <= first / BUDGET_DIVISOR + MAX_BUDGET, "{retransmitted} of {first}");
        assert!(retransmitted > MAX_BUDGET);
    }

    proptest! {
        #[test]
        fn nothing_grows_without_bound(
            events in prop::collection::vec((any::<u16>(), any::<bool>(), 0_u32..50), 0..3000),
        ) {
            let mut now = Instant::now();
            let mut history = History::new();
            for (sequence, push, ms) in events {
                now += MS * ms;
                if push {
                    history.push(sent(sequence, now, 1));
                }
                (0..3).for_each(|_| history.request(sequence));
                prop_assert!(history.packets.len() <= MAX_PACKETS);
                prop_assert!(history.requested.len() <= MAX_REQUESTED);
            }
            while history.next(now, None).is_some() {}
        }
    }
}
