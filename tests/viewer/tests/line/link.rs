//! A link with a bounded queue, shaped by a token bucket, in virtual time.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// The properties of a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Bits per second.
    pub(crate) rate: u64,
    /// Bytes that pass at once after a pause.
    pub(crate) bucket: u64,
    /// Longest time that a packet waits; one that would wait longer is dropped.
    pub(crate) queue: Duration,
    /// Time on the way, in one direction.
    pub(crate) delay: Duration,
    /// Percent of the packets that are lost at random.
    pub(crate) lost: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            rate: 10_000_000,
            bucket: 3_000,
            queue: Duration::from_millis(300),
            delay: Duration::from_millis(15),
            lost: 0,
        }
    }
}

impl Shape {
    /// Returns the time that so many bytes take.
    pub(crate) fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes * 8_000_000_000 / self.rate)
    }
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) shape: Shape,
    rng: StdRng,
    /// Time at which the packets before are through; it may lie behind by the bucket.
    free: Option<Instant>,
    /// Times at which packets came, and how long they waited.
    pub(crate) waits: Vec<(Instant, Duration)>,
    pub(crate) dropped: usize,
    /// Bytes that went through.
    pub(crate) bytes: u64,
    /// Bytes that came.
    pub(crate) sent: u64,
}

impl Link {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { shape, rng, free: None, waits: Vec::new(), dropped: 0, bytes: 0, sent: 0 }
    }

    /// Returns the time at which a datagram arrives; `None` if it is lost.
    pub(crate) fn pass(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Shape { bucket, queue, delay, lost, .. } = self.shape;
        let bytes = len as u64 + 28;
        self.sent += bytes;
        let time = |bytes| self.shape.time_of(bytes);
        let begin = now.checked_sub(time(bucket)).unwrap_or(now);
        let free = self.free.map_or(begin, |free| free.max(begin));
        let wait = free.saturating_duration_since(now);
        if self.rng.random_range(0..100) < lost {
            return None;
        }
        self.waits.push((now, wait));
        if wait > queue {
            self.dropped += 1;
            return None;
        }
        let through = free + time(bytes);
        self.free = Some(through);
        self.bytes += bytes;
        Some(through.max(now) + delay)
    }

    /// Returns the longest time in which each packet waited for longer than this.
    pub(crate) fn longest_wait(&self, most: Duration) -> Duration {
        let (mut longest, mut began) = (Duration::ZERO, None);
        for (at, wait) in &self.waits {
            let began = if *wait > most { began.get_or_insert(*at) } else { began.insert(*at) };
            longest = longest.max(*at - *began);
        }
        longest
    }

    /// Returns the wait that so many percent of the packets did not exceed, of those that came
    /// within this time.
    pub(crate) fn percentile(&self, from: Instant, until: Instant, percent: usize) -> Duration {
        let within = self.waits.iter().filter(|(at, _)| (from..until).contains(at));
        let mut waits: Vec<_> = within.map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        waits.get(waits.len() * percent / 100).copied().unwrap_or_default()
    }
}
