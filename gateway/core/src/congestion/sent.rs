//! The packets of a transport that the viewer has not reported on yet.

use std::collections::VecDeque;

/// Maximum number of packets that are remembered: what a burst of 80 Mbit/s sends in a quarter of a
/// second, which is the interval of feedback at most.
const MAX_SENT: usize = 4096;

/// Maximum age of a packet that is remembered, in microseconds: more than any round trip.
const MAX_AGE: i64 = 5_000_000;

/// A packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Time at which it was sent, in microseconds.
    pub(super) at: i64,
    /// Its size with everything around it.
    pub(super) bytes: u32,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// Reported as missing; it may still arrive.
    Missing,
    Arrived,
}

/// A record of packets by their number, without gaps.
#[derive(Debug, Default)]
pub(super) struct SentRecord {
    packets: VecDeque<Sent>,
    /// Number of the first packet in the record.
    first: u64,
}

impl SentRecord {
    /// Returns the number of the next packet.
    pub(super) fn next(&self) -> u64 {
        self.first + self.packets.len() as u64
    }

    /// Records the next packet.
    pub(super) fn push(&mut self, at: i64, bytes: u32) {
        if self.packets.len() == MAX_SENT {
            self.packets.pop_front();
            self.first += 1;
        }
        self.packets.push_back(Sent { at, bytes, fate: Fate::Unknown });
    }

    /// Returns the number that these 16 bits mean: the last one that can have been sent.
    pub(super) fn extend(&self, number: u16) -> u64 {
        let last = self.next().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, reason = "only the low 16 bits are known")]
        let behind = (last as u16).wrapping_sub(number);
        // What is just ahead was never sent; a viewer that reports on it is told nothing.
        last.saturating_sub(u64::from(behind))
    }

    /// Takes a packet that has arrived; `None` if it is unknown, or has arrived before.
    pub(super) fn take(&mut self, number: u64) -> Option<Sent> {
        let sent = self.get_mut(number).filter(|sent| sent.fate != Fate::Arrived)?;
        sent.fate = Fate::Arrived;
        Some(*sent)
    }

    /// Notes that a packet is reported as missing. Returns true if that is new.
    pub(super) fn lose(&mut self, number: u64) -> bool {
        let sent = self.get_mut(number).filter(|sent| sent.fate == Fate::Unknown);
        sent.map(|sent| sent.fate = Fate::Missing).is_some()
    }

    /// Forgets the packets that the viewer will not report on any more.
    pub(super) fn forget_before(&mut self, now: i64) {
        while self
            .packets
            .front()
            .is_some_and(|sent| sent.fate == Fate::Arrived || now.saturating_sub(sent.at) > MAX_AGE)
        {
            self.packets.pop_front();
            self.first += 1;
        }
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Sent> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.packets.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_found_by_the_low_bits_of_their_number() {
        let mut record = SentRecord::default();
        for at in 0..70_000 {
            record.push(at, 100);
        }
        #[expect(clippy::cast_possible_truncation, reason = "as on the wire")]
        for (case, number, expected) in [
            ("the last", 69_999_u64, Some(69_999)),
            ("the oldest", 70_000 - MAX_SENT as u64, Some(70_000 - MAX_SENT as i64)),
            ("gone", 69_999 - MAX_SENT as u64, None),
            ("never sent", 70_000, None),
        ] {
            let found = record.extend(number as u16);
            assert_eq!(record.take(found).map(|sent| sent.at), expected, "{case}");
            assert_eq!(record.take(found), None, "{case}: only once");
            assert!(!record.lose(found), "{case}: it has arrived");
        }
        let missing = record.extend(4000);
        assert_eq!((record.lose(missing), record.lose(missing)), (true, false));
        assert!(record.take(missing).is_some(), "late");
    }

    proptest! {
        #[test]
        fn any_report_leaves_the_record_within_its_bounds(
            steps in prop::collection::vec((0_usize..3000, any::<u16>(), any::<bool>()), 0..40),
        ) {
            let (mut record, mut now) = (SentRecord::default(), 0);
            for (count, number, arrived) in steps {
                (0..count).for_each(|_| record.push(now, 1));
                now += 100_000;
                let number = record.extend(number);
                if arrived {
                    record.take(number);
                } else {
                    record.lose(number);
                }
                record.forget_before(now);
                prop_assert!(record.packets.len() <= MAX_SENT);
                prop_assert!(record.packets.iter().all(|sent| now - sent.at <= MAX_AGE));
            }
        }
    }
}
