//! Growing waits between two attempts to reach a camera or the signaling server.

use std::time::Duration;

/// The first wait: long enough for a camera that only closed the connection.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait, jitter included: a camera that returns is contacted within 5 s, which leaves
/// another 5 s of the promised 10 s for it to answer.
const LONGEST: Duration = Duration::from_secs(5);

/// Computes waits that double up to 5 s. They have jitter, so that a hundred cameras behind one
/// switch are not all contacted at once.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Returns the wait before the next attempt. `jitter` is random, from 0 to 1.
    pub fn next(&mut self, jitter: f64) -> Duration {
        let doubled = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Between three quarters of the step and all of it.
        doubled.mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0))
    }

    /// Starts again with the first wait, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..6).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 375);
    }

    #[test]
    fn no_jitter_goes_beyond_the_bounds() {
        let mut backoff = Backoff::default();
        for jitter in [-1.0, 0.0, 0.5, 1.0, 7.0].into_iter().cycle().take(100) {
            let wait = backoff.next(jitter);
            assert!((FIRST.mul_f64(0.75)..=LONGEST).contains(&wait), "{wait:?}");
        }
    }
}
