//! The packets recently sent to a viewer, for retransmission.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Maximum number of packets kept: a second at 10 Mbit/s, or what a burst sends in one round trip.
/// All viewers share the payloads; an entry itself has less than 80 bytes.
const MAX_PACKETS: usize = 1024;

/// Maximum age of a packet that is retransmitted: later the viewer has long requested a key frame.
const MAX_AGE: Duration = Duration::from_secs(2);

/// Time that a key frame takes to arrive at least: it is many packets, of which some may be lost.
const MIN_KEY_FRAME_TIME: Duration = Duration::from_millis(200);

/// Maximum number of queued requests.
const MAX_REQUESTED: usize = 1024;

/// Minimum time between two retransmissions of one packet, which is otherwise the round trip.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// Maximum time between two retransmissions of one packet.
const MAX_INTERVAL: Duration = Duration::from_millis(500);
/// Time between two retransmissions of one packet while the round trip is unknown.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);

/// Retransmissions may use one byte for this many bytes sent, so that no viewer can multiply the
/// traffic.
const BUDGET_DIVISOR: u64 = 2;

/// Maximum unused budget for retransmissions in bytes: enough for a lost key frame and a lost fifth
/// of a burst of 1 MB.
const MAX_BUDGET: u64 = 256 * 1024;

/// Minimum payload of a packet that serves as padding, in bytes.
const MIN_PADDING: usize = 200;

/// Minimum budget in bytes for another stream that begins: that of a key frame.
const MIN_BUDGET: u64 = 64 * 1024;

/// A packet that was sent.
#[derive(Debug, Clone)]
pub(super) struct SentPacket {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// The packet carried the header extensions, so its retransmission must, too.
    pub(super) has_extensions: bool,
    /// The packet begins a key frame.
    pub(super) starts_key_frame: bool,
    pub(super) payload: Bytes,
    pub(super) at: Instant,
    pub(super) retransmitted: Option<Instant>,
}

/// The packets recently sent, the pending requests and the budget for them.
#[derive(Debug)]
pub(super) struct History {
    /// Packets in order of sequence number, with gaps.
    packets: VecDeque<SentPacket>,
    requested: VecDeque<u16>,
    budget: u64,
    /// Number of packets from the newest one back to the next that serves as padding.
    padding: usize,
    /// Number of the oldest packets that are of a stream that is no longer sent.
    dropped: usize,
    /// Number of the packets before the newest key frame, and the time at which it began.
    key_frame: Option<(usize, Instant)>,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            packets: VecDeque::new(),
            requested: VecDeque::new(),
            budget: MAX_BUDGET,
            padding: 0,
            dropped: 0,
            key_frame: None,
        }
    }

    pub(super) fn push(&mut self, packet: SentPacket) {
        let old = |first: &SentPacket| packet.at.saturating_duration_since(first.at) > MAX_AGE;
        while self.packets.front().is_some_and(old) || self.packets.len() >= MAX_PACKETS {
            self.packets.pop_front();
            self.dropped = self.dropped.saturating_sub(1);
            self.key_frame = self.key_frame.map(|(before, at)| (before.saturating_sub(1), at));
        }
        if packet.starts_key_frame {
            self.key_frame = Some((self.packets.len(), packet.at));
        }
        let earned = packet.payload.len() as u64 / BUDGET_DIVISOR;
        self.budget = (self.budget + earned).min(MAX_BUDGET);
        self.padding = 0;
        self.packets.push_back(packet);
    }

    /// Forgets what was requested, and refuses requests for what has been sent so far. What comes
    /// now may be requested, even if the budget was used up.
    pub(super) fn drop_requests(&mut self) {
        self.requested.clear();
        self.budget = self.budget.max(MIN_BUDGET);
        self.dropped = self.packets.len();
    }

    /// Returns a recent packet that is worth its headers, another one with each call; after the
    /// oldest the newest again. Those of a stream that was left are for want of others only. It is
    /// not requested, so it has no part in the budget.
    pub(super) fn next_padding(&mut self) -> Option<SentPacket> {
        let is_worth_it = |packet: &SentPacket| packet.payload.len() >= MIN_PADDING;
        let is_new = self.packets.iter().skip(self.dropped).any(is_worth_it);
        let least = if is_new { self.dropped } else { 0 };
        for _ in 0..=self.packets.len() {
            let index = self.packets.len().checked_sub(1 + self.padding);
            let index = index.filter(|index| *index >= least);
            self.padding = if index.is_some() { self.padding + 1 } else { 0 };
            let packet = index.and_then(|index| self.packets.get(index));
            if let Some(packet) = packet.filter(|packet| is_worth_it(packet)) {
                return Some(packet.clone());
            }
        }
        None
    }

    /// Queues a request for a packet that the viewer has lost.
    pub(super) fn request(&mut self, sequence: u16) {
        if self.requested.len() < MAX_REQUESTED {
            self.requested.push_back(sequence);
        }
    }

    /// Returns the next packet to retransmit. Drops requests for packets that are gone, would come
    /// too late, were retransmitted less than a round trip ago or exceed the budget: the viewer
    /// asks again. Before a key frame is too late once that one has arrived.
    pub(super) fn next_retransmission(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
    ) -> Option<SentPacket> {
        let interval = round_trip.unwrap_or(FIRST_INTERVAL).clamp(MIN_INTERVAL, MAX_INTERVAL);
        let since = |at: Instant| now.saturating_duration_since(at);
        let passed = self.key_frame.filter(|(_, at)| since(*at) > interval.max(MIN_KEY_FRAME_TIME));
        let least = passed.map_or(self.dropped, |(before, _)| before.max(self.dropped));
        while let Some(sequence) = self.requested.pop_front() {
            let budget = self.budget;
            let Some(packet) = self.find(sequence, least) else { continue };
            let is_recent = packet.retransmitted.is_some_and(|at| since(at) < interval);
            let cost = packet.payload.len() as u64;
            let is_late = since(packet.at) + round_trip.unwrap_or_default() / 2 > MAX_AGE;
            if is_recent || is_late || cost > budget {
                continue;
            }
            packet.retransmitted = Some(now);
            let packet = packet.clone();
            self.budget -= cost;
            return Some(packet);
        }
        None
    }

    /// Returns the packet with this number, unless it is among the `least` oldest ones.
    fn find(&mut self, sequence: u16, least: usize) -> Option<&mut SentPacket> {
        let first = self.packets.front()?.sequence;
        let place = sequence.wrapping_sub(first);
        let index = self.packets.partition_point(|p| p.sequence.wrapping_sub(first) < place);
        let kept = index.checked_sub(least).map(|_| index)?;
        self.packets.get_mut(kept).filter(|packet| packet.sequence == sequence)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sent(sequence: u16, at: Instant, len: usize) -> SentPacket {
        let payload = Bytes::from(vec![0; len]);
        SentPacket {
            sequence,
            timestamp: 0,
            marker: false,
            has_extensions: false,
            starts_key_frame: false,
            payload,
            at,
            retransmitted: None,
        }
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
            ("after the wrap", 0, 4, None, Some(4)),
            ("in a gap", 0, 2, None, None),
            ("not sent yet", 0, 5, None, None),
            ("gone", 0, 65_533, None, None),
            ("too old", 2001, 0, None, None),
        ];
        for (case, ms, sequence, round_trip, expected) in table {
            history.request(sequence);
            let now = start + MS * u32::try_from(ms).unwrap();
            let retransmission =
                history.next_retransmission(now, round_trip.map(Duration::from_millis));
            assert_eq!(retransmission.map(|packet| packet.sequence), expected, "{case}");
        }
    }

    #[test]
    fn what_would_come_too_late_is_not_retransmitted() {
        let start = Instant::now();
        // The request comes so many ms after the packets, with this round trip; whether the packet
        // before the key frame and the key frame itself are sent again.
        for (case, ms, round_trip, before, key) in [
            ("at once", 100, 50, true, true),
            ("the key frame has arrived", 201, 50, false, true),
            ("far away it has not", 399, 400, true, true),
            ("now it has", 401, 400, false, true),
            ("just in time", 1800, 400, false, true),
            ("too late by the way", 1801, 400, false, false),
        ] {
            let mut history = History::new();
            history.push(sent(1, start, 10));
            history.push(SentPacket { starts_key_frame: true, ..sent(2, start, 10) });
            history.push(sent(3, start, 10));
            let now = start + MS * ms;
            for (sequence, expected) in [(1, before), (2, key), (3, key)] {
                history.request(sequence);
                let again = history.next_retransmission(now, Some(MS * round_trip));
                assert_eq!(again.is_some(), expected, "{case}: {sequence}");
            }
        }
    }

    #[test]
    fn packets_of_a_stream_that_is_no_longer_sent_are_not_retransmitted() {
        let now = Instant::now();
        let mut history = History::new();
        [65_534, 65_535, 0].into_iter().for_each(|it| history.push(sent(it, now, 10)));
        history.request(65_534);
        history.drop_requests();
        assert_eq!(history.next_retransmission(now, None).map(|p| p.sequence), None, "requested");
        history.push(sent(1, now, 10));
        for (sequence, expected) in [(65_534, None), (0, None), (1, Some(1))] {
            history.request(sequence);
            let again = history.next_retransmission(now, None).map(|packet| packet.sequence);
            assert_eq!(again, expected, "{sequence}");
        }
    }

    #[test]
    fn padding_takes_the_newest_packets_that_are_worth_it_in_turn() {
        let now = Instant::now();
        let mut history = History::new();
        assert!(history.next_padding().is_none(), "nothing was sent");
        history.push(sent(1, now, MIN_PADDING - 1));
        assert!(history.next_padding().is_none(), "nothing is worth it");
        for (sequence, len) in [(2, 900), (3, 10), (4, 1000)] {
            history.push(sent(sequence, now, len));
        }
        let budget = history.budget;
        let taken: Vec<_> =
            (0..5).filter_map(|_| history.next_padding()).map(|packet| packet.sequence).collect();
        assert_eq!((taken, history.budget), (vec![4, 2, 4, 2, 4], budget));
        history.drop_requests();
        assert!(history.next_padding().is_some(), "there is nothing else");
        history.push(sent(5, now, 900));
        let taken: Vec<_> = (0..2).filter_map(|_| history.next_padding()).collect();
        assert!(taken.len() == 2 && taken.iter().all(|packet| packet.sequence == 5));
    }

    #[test]
    fn retransmissions_are_a_bounded_part_of_what_is_sent() {
        let start = Instant::now();
        let mut history = History::new();
        let (mut first, mut retransmitted) = (0_u64, 0_u64);
        for sequence in 0..5000_u16 {
            history.push(sent(sequence, start, 1000));
            first += 1000;
            // The viewer requests everything over and over.
            for wanted in sequence.saturating_sub(30)..=sequence {
                history.request(wanted);
            }
            let now = start + MS * 20 * u32::from(sequence);
            while let Some(packet) = history.next_retransmission(now, Some(MIN_INTERVAL)) {
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
            while history.next_retransmission(now, None).is_some() {}
        }
    }
}
