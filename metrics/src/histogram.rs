//! Histograms of times.

use std::time::Duration;

/// The number of times within each of some bounds, and their sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeHistogram {
    /// The upper bounds in milliseconds, ascending.
    bounds_ms: &'static [u64],
    /// The number of times in each, and beyond the last.
    counts: Vec<u64>,
    sum: Duration,
}

impl TimeHistogram {
    /// Creates an empty histogram with these upper bounds in milliseconds, which ascend.
    #[must_use]
    pub fn new(bounds_ms: &'static [u64]) -> Self {
        Self { bounds_ms, counts: vec![0; bounds_ms.len() + 1], sum: Duration::ZERO }
    }

    /// Counts a time.
    pub fn record(&mut self, time: Duration) {
        let is_within = |bound: &u64| time <= Duration::from_millis(*bound);
        let index = self.bounds_ms.iter().position(is_within).unwrap_or(self.bounds_ms.len());
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(time);
    }

    /// Returns the number of times.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of the times.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns each upper bound, `None` for the last, and the number of times up to it and beyond
    /// the bound before.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = self.bounds_ms.iter().map(|bound| Some(Duration::from_millis(*bound)));
        bounds.chain([None]).zip(self.counts.iter().copied())
    }
}
