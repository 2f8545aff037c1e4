//! The rate of a stream: what a viewer's path has to carry for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Length of a part of the time over which the rate is measured, and the number of parts: four
/// seconds, the usual distance of key frames.
const PART: Duration = Duration::from_millis(500);
const PARTS: usize = 8;

/// Minimum number of parts that a rate is made of.
const MIN_PARTS: usize = 3;

/// Bytes around the payload of a packet: IPv4, UDP, RTP with a header extension, the tag of SRTP.
const OVERHEAD: usize = 20 + 8 + 12 + 8 + 16;

/// Measures the rate of a stream over its last seconds.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    /// The bytes of each part, the newest last.
    parts: VecDeque<u64>,
    /// Begin of the newest part.
    begin: Option<Instant>,
}

impl RateMeter {
    /// Counts a packet with so many bytes of payload.
    pub(super) fn add(&mut self, at: Instant, payload: usize) {
        let begin = *self.begin.get_or_insert(at);
        let passed = at.saturating_duration_since(begin).as_millis() / PART.as_millis();
        // After a longer break, nothing before it counts.
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        if passed > PARTS {
            *self = Self { begin: Some(at), ..Self::default() };
        } else if passed > 0 {
            self.parts.extend(std::iter::repeat_n(0, passed));
            self.begin = Some(begin + PART * u32::try_from(passed).unwrap_or(0));
        }
        if self.parts.is_empty() {
            self.parts.push_back(0);
        }
        while self.parts.len() > PARTS + 1 {
            self.parts.pop_front();
        }
        if let Some(newest) = self.parts.back_mut() {
            *newest += (payload + OVERHEAD) as u64;
        }
    }

    /// Returns the rate over the parts that are over, in bits per second; `None` if they are too
    /// few.
    pub(super) fn bits_per_second(&self) -> Option<u64> {
        let over = self.parts.len().checked_sub(1).filter(|over| *over >= MIN_PARTS)?;
        let bytes: u64 = self.parts.iter().take(over).sum();
        let milliseconds = PART.as_millis() as u64 * over as u64;
        Some(bytes * 8000 / milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        // Kilobits per second for seconds each, a break after them, and what is measured.
        type Case<'a> = (&'a str, &'a [(u64, u64)], u64, Option<u64>);
        let table: [Case<'_>; 6] = [
            ("nothing", &[], 0, None),
            ("too short", &[(1000, 1)], 0, None),
            ("two seconds", &[(1000, 2)], 0, Some(1000)),
            ("only the last four count", &[(9000, 5), (500, 5)], 0, Some(500)),
            ("half of them", &[(2000, 10), (0, 2)], 0, Some(1000)),
            ("a long break", &[(2000, 10)], 60, None),
        ];
        for (case, rates, pause, expected) in table {
            let mut meter = RateMeter::default();
            let mut now = Instant::now();
            for (kilobits, seconds) in rates {
                for _ in 0..seconds * 10 {
                    let bytes = usize::try_from(kilobits * 100 / 8).unwrap();
                    if bytes > 0 {
                        meter.add(now, bytes - OVERHEAD);
                    }
                    now += Duration::from_millis(100);
                }
            }
            now += Duration::from_secs(pause);
            meter.add(now, 0);
            let rate = meter.bits_per_second().map(|rate| (rate + 10_000) / 20_000 * 20);
            assert_eq!(rate, expected, "{case}");
            assert!(meter.parts.len() <= PARTS + 1, "{case}");
        }
    }
}
