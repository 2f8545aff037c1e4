//! The queue that stands on the path: how much longer packets take than they did when it was empty.
//!
//! The clocks of both sides differ by an unknown amount, which is the same for all packets of a
//! while. The least delay of the last seconds is that of an empty path.

use std::collections::VecDeque;

use super::{Arrival, bits_per_second};

/// Number of parts and length of each, in microseconds, of the time whose least delay counts.
const PARTS: usize = 8;
const PART: i64 = 2_000_000;

/// Time for which arrivals are kept, in microseconds.
const KEPT: i64 = 1_000_000;

/// Maximum number of arrivals that are kept: more than a second at 10 Mbit/s.
const MAX_KEPT: usize = 2048;

/// Time over which the acknowledged rate is measured, in microseconds.
const ACKNOWLEDGED: i64 = 500_000;

/// Time over which the rate of a full path is measured, in microseconds, and the packets that it
/// takes at least.
const CAPACITY: i64 = 150_000;
const MIN_PACKETS: usize = 5;

/// Queueing delay from which the path is full, in microseconds.
const FULL: i64 = 30_000;

/// Queueing delay below which the path is empty, in microseconds, and the time in which one packet
/// at least has to find it so. The rest of a picture waits for its first packets.
const EMPTY: i64 = 25_000;
const CLEAR: i64 = 300_000;

/// Queueing delays that are a standing queue if no packet that was sent, or arrived, within so long
/// a time had less, and by how much it has to grow meanwhile; in microseconds. A key frame that
/// leaves at once fills a queue, too, but empties it again; and a radio link that pauses delivers
/// everything afterwards, so its delay falls.
const STANDING: [Standing; 3] = [
    Standing { time: 100_000, least: 100_000, growth: 8_000 },
    Standing { time: 400_000, least: 50_000, growth: 12_000 },
    // A short queue that is full: it cannot grow.
    Standing { time: 150_000, least: 40_000, growth: i64::MAX },
];

struct Standing {
    time: i64,
    least: i64,
    growth: i64,
}

#[derive(Debug, Clone, Copy)]
struct Delayed {
    sent: i64,
    received: i64,
    bytes: u32,
    /// Queueing delay in microseconds.
    queue: i64,
}

/// The delays of the packets of the last second.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The least delay of each part of the last seconds, with the number of the part.
    least: VecDeque<(i64, i64)>,
    recent: VecDeque<Delayed>,
}

impl Queue {
    pub(super) fn add(&mut self, arrival: &Arrival) {
        let Arrival { sent, received, bytes, .. } = *arrival;
        let delay = received.saturating_sub(sent);
        let part = sent.div_euclid(PART);
        match self.least.back_mut() {
            Some((known, least)) if *known >= part => *least = delay.min(*least),
            Some(_) | None => self.least.push_back((part, delay)),
        }
        if self.least.len() > PARTS {
            self.least.pop_front();
        }
        let least = self.least.iter().map(|(_, least)| *least).min().unwrap_or(delay);
        self.recent.push_back(Delayed {
            sent,
            received,
            bytes,
            queue: delay.saturating_sub(least),
        });
        let is_old = |first: &Delayed| received.saturating_sub(first.received) > KEPT;
        while self.recent.front().is_some_and(is_old) || self.recent.len() > MAX_KEPT {
            self.recent.pop_front();
        }
    }

    /// Returns the queueing delay of the last packet.
    pub(super) fn last(&self) -> std::time::Duration {
        let queue = self.recent.back().map_or(0, |last| last.queue);
        std::time::Duration::from_micros(u64::try_from(queue).unwrap_or(0))
    }

    /// Returns true if one of the packets of late found the path empty.
    pub(super) fn is_clear(&self) -> bool {
        let Some(newest) = self.recent.back() else { return false };
        let late = self.recent.iter().rev();
        let mut late = late.take_while(|packet| newest.received - packet.received <= CLEAR);
        late.any(|packet| packet.queue < EMPTY)
    }

    /// Returns true if a queue stands and grows, or stands and is full.
    pub(super) fn is_standing(&self, loses: bool) -> bool {
        let Some(newest) = self.recent.back() else { return false };
        STANDING.iter().any(|Standing { time, least, growth }| {
            let mut count = 0;
            for packet in self.recent.iter().rev() {
                if packet.queue <= *least {
                    return false;
                }
                count += 1;
                let span = (newest.sent - packet.sent).max(newest.received - packet.received);
                if span >= *time {
                    let grows = newest.queue - packet.queue > *growth;
                    return count >= MIN_PACKETS && (grows || loses);
                }
            }
            false
        })
    }

    /// Returns the rate at which packets arrive while the path is full, in bits per second.
    pub(super) fn capacity(&self) -> Option<u64> {
        let newest = self.recent.back()?;
        let full = self.recent.iter().rev().take_while(|packet| {
            packet.queue > FULL && newest.received - packet.received <= CAPACITY
        });
        rate(full)
    }

    /// Returns the rate at which packets have arrived of late, in bits per second.
    pub(super) fn acknowledged(&self) -> Option<u64> {
        let newest = self.recent.back()?;
        let late = self.recent.iter().rev();
        rate(late.take_while(|packet| newest.received - packet.received <= ACKNOWLEDGED))
    }
}

/// Returns the rate of packets, the newest first.
fn rate<'a>(packets: impl Iterator<Item = &'a Delayed>) -> Option<u64> {
    let (mut bytes, mut count, mut span, mut first) = (0, 0, 0, None);
    let mut oldest = 0;
    for packet in packets {
        let newest = *first.get_or_insert(packet.received);
        span = newest - packet.received;
        bytes += u64::from(packet.bytes);
        oldest = u64::from(packet.bytes);
        count += 1;
    }
    // The time begins with the arrival of the oldest one.
    if count < MIN_PACKETS { None } else { bits_per_second(bytes - oldest, span) }
}
