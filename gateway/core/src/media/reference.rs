//! A moment of a track's timestamps on our clock.

use std::time::{Duration, Instant};

use super::ticks::ahead;

/// The time at which something with a certain timestamp was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The time on our clock.
    pub at: Instant,
    /// The timestamp of that time.
    pub timestamp: u32,
    /// The RTP clock rate of the track in hertz.
    pub clock_rate: u32,
}

impl Reference {
    /// Returns the time at which something with this timestamp was recorded.
    #[must_use]
    pub fn time_of(&self, timestamp: u32) -> Instant {
        let ticks = ahead(timestamp, self.timestamp);
        let nanos = u64::from(ticks.unsigned_abs()) * 1_000_000_000;
        let distance = Duration::from_nanos(nanos / u64::from(self.clock_rate.max(1)));
        let time =
            if ticks < 0 { self.at.checked_sub(distance) } else { self.at.checked_add(distance) };
        time.unwrap_or(self.at)
    }

    /// Returns the same moment on a timeline that is ahead by this number of ticks.
    pub(super) fn shifted(self, ticks: u32) -> Self {
        Self { timestamp: self.timestamp.wrapping_add(ticks), ..self }
    }
}
