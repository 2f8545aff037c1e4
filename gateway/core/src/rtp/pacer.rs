//! The pace at which a cached group of pictures is sent.
//!
//! A group may be seconds of video. Sent at once it would overflow the socket of the viewer or the
//! queue of a router, and be lost. It is spread over a quarter of a second; live packets queue
//! behind it, until all are sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::media::MediaPacket;

/// Packets are released in slices of this length, which are sent together.
const SLICE: Duration = Duration::from_millis(5);

/// Time over which a group is spread, as far as the bounds of the rate allow.
const SPREAD: Duration = Duration::from_millis(250);

/// Minimum size of a slice in bytes: 20 Mbit/s.
const MIN_SLICE: usize = 12_500;

/// Maximum size of a slice in bytes: 80 Mbit/s. A socket of Linux takes some 90 packets at least
/// that nobody has read yet (`rmem_default`), which is two slices.
const MAX_SLICE: usize = 50_000;

/// Minimum size of the first slice in bytes: a key frame, so that the first picture does not wait.
/// A socket of Linux takes as much that nobody has read yet (`rmem_default`).
const MIN_FIRST_SLICE: usize = 100_000;

/// Minimum time for which the rate of the live stream is taken from the group: a single key frame
/// says little about it.
const MIN_SPAN: Duration = Duration::from_millis(500);

/// Slices that are sent at once when the timer comes late.
const MAX_LATE_SLICES: u32 = 4;

/// Maximum number of queued packets: twice the largest group. With more, the rest is sent at once.
const MAX_QUEUED: usize = 20_000;

/// A queue that releases packets at a rate. Without a group in it, it takes no part.
#[derive(Debug)]
pub struct Pacer {
    queue: VecDeque<MediaPacket>,
    /// Start of the current slice.
    slice: Instant,
    /// Bytes that the current slice still takes.
    room: usize,
    slice_bytes: usize,
    /// Length of a slice.
    length: Duration,
    limit: Option<Pace>,
}

/// The pace on a narrow path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Rate of the packets, in bits per second.
    pub bits_per_second: u64,
    /// Time before the first packet: what was sent before is still on the path, and where its queue
    /// is full, more would be lost.
    pub wait: Duration,
}

impl Pacer {
    /// Creates a pacer without a group.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            slice: now,
            room: 0,
            slice_bytes: 0,
            length: SLICE,
            limit: None,
        }
    }

    /// Returns true if live packets need not queue.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues a group in the place of what was queued, and returns the time at which each of its
    /// packets is released.
    pub fn begin(
        &mut self,
        now: Instant,
        group: &[MediaPacket],
        limit: Option<Pace>,
    ) -> Vec<Instant> {
        self.limit = limit;
        (self.length, self.slice_bytes) = match limit {
            None => (SLICE, slice_bytes(group)),
            // Each packet is a slice, as long as the packet takes.
            Some(_) => (Duration::ZERO, 1),
        };
        (self.slice, self.room) = match limit {
            None => (now, self.slice_bytes.max(MIN_FIRST_SLICE)),
            Some(pace) => (now + pace.wait, 1),
        };
        self.queue = group.iter().cloned().collect();
        let mut plan = (self.slice, self.room, self.length);
        let times = group.iter().map(|packet| {
            if plan.1 == 0 {
                plan = (plan.0 + plan.2, self.slice_bytes, plan.2);
            }
            plan.1 = plan.1.saturating_sub(packet.payload.len().max(1));
            plan.2 = self.length_after(packet);
            plan.0
        });
        times.collect()
    }

    /// Returns the length of a slice after this packet.
    fn length_after(&self, packet: &MediaPacket) -> Duration {
        self.limit.map_or(SLICE, |pace| time_of(packet.payload.len(), pace.bits_per_second))
    }

    /// Queues a live packet behind a group.
    pub fn push(&mut self, packet: &MediaPacket) {
        self.queue.push_back(packet.clone());
        if self.queue.len() > MAX_QUEUED {
            self.slice_bytes = usize::MAX;
            self.room = usize::MAX;
        }
    }

    /// Raises the rate of a group that is being sent on a narrow path, in bits per second: the path
    /// may have recovered. A lower one would only let live packets wait longer behind it.
    pub fn raise_rate(&mut self, bits_per_second: u64) {
        if let Some(pace) = &mut self.limit {
            pace.bits_per_second = pace.bits_per_second.max(bits_per_second);
        }
    }

    /// Drops what is queued.
    pub fn clear(&mut self) {
        self.queue = VecDeque::new();
    }

    /// Returns the time at which [`Self::poll_packet`] has a packet.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let wait = if self.room == 0 { self.length } else { Duration::ZERO };
        (!self.queue.is_empty()).then(|| self.slice + wait)
    }

    /// Returns the next packet that is due.
    pub fn poll_packet(&mut self, now: Instant) -> Option<MediaPacket> {
        if now < self.slice {
            return None;
        }
        if self.room == 0 {
            let next = self.slice + self.length;
            if now < next {
                return None;
            }
            // What was missed by a late timer is made up for, but not all of it at once.
            let earliest = now.checked_sub(self.length * MAX_LATE_SLICES).unwrap_or(next);
            (self.slice, self.room) = (next.max(earliest), self.slice_bytes);
        }
        let packet = self.queue.pop_front()?;
        self.room = self.room.saturating_sub(packet.payload.len().max(1));
        self.length = self.length_after(&packet);
        if self.queue.is_empty() {
            // The memory of a large group is given back.
            self.clear();
        }
        Some(packet)
    }
}

/// Returns the time that so many bytes take at a rate, in bits per second; at least one timer's.
fn time_of(bytes: usize, rate: u64) -> Duration {
    let nanos = bytes as u64 * 8_000_000_000 / rate.max(1);
    Duration::from_nanos(nanos).max(Duration::from_millis(1))
}

/// Returns the size of a slice with which a group is spread over [`SPREAD`], and with which it is
/// sent twice as fast as it was recorded at least, so that the live packets are caught up with.
fn slice_bytes(group: &[MediaPacket]) -> usize {
    let bytes: usize = group.iter().map(|packet| packet.payload.len()).sum();
    let per_slice = |span: Duration| {
        let slices = usize::try_from(span.as_millis() / SLICE.as_millis()).unwrap_or(usize::MAX);
        bytes / slices.max(1)
    };
    let arrivals = group.iter().map(|packet| packet.arrival);
    let (oldest, newest) = (arrivals.clone().min(), arrivals.max());
    let span = oldest.zip(newest).map(|(a, b)| b.saturating_duration_since(a)).unwrap_or_default();
    let live = per_slice(span.max(MIN_SPAN));
    per_slice(SPREAD).clamp(MIN_SLICE, MAX_SLICE).max(2 * live)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Returns packets of 1000 bytes that arrived over `seconds`.
    fn packets(start: Instant, count: u32, seconds: u32) -> Vec<MediaPacket> {
        let one = |i| MediaPacket {
            payload: Bytes::from(vec![0; 1000]),
            timestamp: i,
            marker: true,
            sequence: u64::from(i),
            starts_key_frame: i == 0,
            arrival: start + Duration::from_secs(seconds.into()) * i / count,
            captured: start,
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_group_is_spread_and_leaves_in_order() {
        let start = Instant::now();
        // Packets, seconds of video, and the least and most time for which they are spread.
        let table = [
            ("a key frame", 60, 1, 0, 0),
            ("a small group", 200, 4, 40, 40),
            ("4 s at 4 Mbit/s", 2000, 4, 240, 245),
            ("9 s at 4 Mbit/s", 4500, 9, 440, 440),
            ("8 MB in 8 s", 8000, 8, 785, 795),
            ("more in a second than the maximum", 10_000, 1, 495, 500),
        ];
        for (case, count, seconds, least, most) in table {
            let group = packets(start, count, seconds);
            let now = start + Duration::from_secs(seconds.into());
            let mut pacer = Pacer::new(now);
            assert!(pacer.is_idle() && pacer.poll_timeout().is_none(), "{case}");
            let plan = pacer.begin(now, &group, None);
            let (mut sent, mut time) = (Vec::new(), now);
            while let Some(due) = pacer.poll_timeout() {
                time = due;
                sent.extend(std::iter::from_fn(|| pacer.poll_packet(time)).map(|p| (time, p)));
            }
            let numbers: Vec<_> = sent.iter().map(|(_, packet)| packet.timestamp).collect();
            assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "{case}");
            let times: Vec<_> = sent.iter().map(|(time, _)| *time).collect();
            assert_eq!(times, plan, "{case}: as planned");
            let took = (time - now).as_millis();
            assert!((least..=most).contains(&took), "{case}: {took} ms");
            assert!(pacer.is_idle(), "{case}");
        }
    }

    #[test]
    fn a_narrow_path_gets_what_it_carries() {
        let start = Instant::now();
        // Bits per second, packets of 1000 bytes, and the time until the last, with a wait of 100
        // ms.
        for (bits_per_second, count, least, most) in [
            (1_000_000, 125, 1092, 1092),
            (300_000, 30, 873, 874),
            (20_000_000, 250, 349, 349),
            (0, 1, 100, 100),
        ] {
            let mut pacer = Pacer::new(start);
            let pace = Pace { bits_per_second, wait: MS * 100 };
            let plan = pacer.begin(start, &packets(start, count, 1), Some(pace));
            assert!(pacer.poll_packet(start).is_none(), "the path is full");
            let (mut times, mut now) = (Vec::new(), start);
            while let Some(due) = pacer.poll_timeout() {
                now = due;
                times.extend(std::iter::from_fn(|| pacer.poll_packet(now)).map(|_| now));
            }
            assert_eq!(times, plan, "{bits_per_second}: as planned");
            let took = (now - start).as_millis();
            assert!((least..=most).contains(&took), "{bits_per_second} bit/s: {took} ms");
        }
    }

    #[test]
    fn a_path_that_recovers_gets_the_rest_sooner() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let pace = Pace { bits_per_second: 80_000, wait: Duration::ZERO };
        pacer.begin(start, &packets(start, 20, 1), Some(pace));
        let mut now = start;
        for sent in 0..20 {
            if sent == 10 {
                pacer.raise_rate(8_000_000);
                pacer.raise_rate(80_000);
            }
            now = pacer.poll_timeout().unwrap();
            assert!(pacer.poll_packet(now).is_some(), "{sent}");
        }
        // Ten packets of 100 ms, of which the last was begun before the change, then of 1 ms.
        assert_eq!((now - start).as_millis(), 10 * 100 + 9);
    }

    #[test]
    fn a_late_timer_sends_four_slices_at_most() {
        let now = Instant::now();
        for (late, expected) in [(4, 0), (5, 1), (14, 2), (20, 4), (25, 5), (1000, 5)] {
            let mut pacer = Pacer::new(now);
            pacer.begin(now, &packets(now, 8000, 8), None);
            std::iter::from_fn(|| pacer.poll_packet(now)).for_each(drop);
            let later = now + MS * late;
            let sent = std::iter::from_fn(|| pacer.poll_packet(later)).count();
            let slices = sent / (MAX_SLICE / 1000);
            assert_eq!(slices, expected, "{late} ms late");
        }
    }

    #[test]
    fn live_packets_queue_behind_the_group_and_never_without_bound() {
        let now = Instant::now();
        for (live, at_once) in [(100, false), (30_000, true)] {
            let mut pacer = Pacer::new(now);
            pacer.begin(now, &packets(now, 1000, 4), None);
            packets(now, live, 4).iter().for_each(|packet| pacer.push(packet));
            let all = std::iter::from_fn(|| pacer.poll_packet(now)).count();
            assert_eq!(pacer.is_idle(), at_once, "{live} live packets: {all} sent at once");
        }
    }
}
