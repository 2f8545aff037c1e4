//! The estimate of what a path carries: it grows by a part of itself while no queue grows, and
//! falls below what arrives when one does (draft-ietf-rmcat-gcc-02 §5.5).

use super::delay::Signal;

/// Factor by which the estimate grows in a second.
const GROWTH: f64 = 1.08;

/// Part of what arrives that is left when a queue grows.
const DECREASE: f64 = 0.85;

/// Part of the measured rate of a full path that is used of it, so that its queue empties.
const USED: f64 = 0.95;

/// Bound of the estimate without a probe: this multiple of what arrives, plus so many bits per
/// second. What is not sent proves nothing.
const MAX_MULTIPLE: f64 = 1.5;
const MAX_MORE: f64 = 10_000.0;

/// Minimum time between two decreases by the trend of the delay, in microseconds.
const DECREASE_INTERVAL: i64 = 200_000;

/// Maximum time for which the estimate grows at once, in microseconds.
const MAX_GROWTH_TIME: i64 = 1_000_000;

/// Least estimate in bits per second, from which it can still grow.
const MIN_ESTIMATE: f64 = 20_000.0;

/// The estimate, in bits per second.
#[derive(Debug, Default)]
pub(super) struct RateControl {
    estimate: Option<f64>,
    updated: i64,
    decreased: Option<i64>,
}

impl RateControl {
    pub(super) fn estimate(&self) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, reason = "fractions of bits mean nothing")]
        #[expect(clippy::cast_sign_loss, reason = "it is positive")]
        self.estimate.map(|estimate| estimate as u64)
    }

    /// Moves the estimate by what the delay says, and what has arrived of late.
    pub(super) fn update(&mut self, now: i64, signal: Signal, acknowledged: Option<u64>) {
        let Some(acknowledged) = acknowledged.map(bits) else { return };
        let most = acknowledged * MAX_MULTIPLE + MAX_MORE;
        let estimate = self.estimate.get_or_insert(most);
        match signal {
            Signal::Overuse => {
                if self.decreased.is_none_or(|at| now - at >= DECREASE_INTERVAL) {
                    *estimate = estimate.min(acknowledged * DECREASE).max(MIN_ESTIMATE);
                    self.decreased = Some(now);
                }
            }
            Signal::Normal => {
                let time = bits(u64::try_from(now - self.updated).unwrap_or(0));
                let seconds = time.min(bits(MAX_GROWTH_TIME.unsigned_abs())) / 1e6;
                let grown = *estimate * GROWTH.powf(seconds);
                *estimate = grown.min(most.max(*estimate));
            }
            // The queue has to empty first.
            Signal::Underuse => {}
        }
        self.updated = now;
    }

    /// Limits the estimate to the measured rate of a full path.
    pub(super) fn limit(&mut self, capacity: u64) {
        let most = (bits(capacity) * USED).max(MIN_ESTIMATE);
        self.estimate = Some(self.estimate.map_or(most, |estimate| estimate.min(most)));
    }

    /// Raises the estimate to what a probe has shown.
    pub(super) fn prove(&mut self, rate: u64) {
        self.estimate = Some(self.estimate.map_or(bits(rate), |known| known.max(bits(rate))));
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates are far below 2⁵² bits per second")]
fn bits(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_the_signal_within_what_is_proven() {
        let second = 1_000_000;
        // Signals with the acknowledged kbit/s, one a second, and the estimate after them.
        type Case<'a> = (&'a str, &'a [(Signal, u64)], u64);
        use Signal::{Normal, Overuse, Underuse};
        let table: [Case<'_>; 6] = [
            ("at first", &[(Normal, 1000)], 1510),
            ("it does not grow beyond what is sent", &[(Normal, 1000), (Normal, 1000)], 1510),
            ("it grows by 8 % a second", &[(Overuse, 1000), (Normal, 1000)], 918),
            ("it falls below what arrives", &[(Normal, 1000), (Overuse, 1000)], 850),
            ("it stays while the queue empties", &[(Overuse, 1000), (Underuse, 2000)], 850),
            ("less is sent", &[(Normal, 2000), (Normal, 100)], 3010),
        ];
        for (case, signals, expected) in table {
            let mut control = RateControl::default();
            for (step, (signal, acknowledged)) in (1..).zip(signals) {
                control.update(step * second, *signal, Some(acknowledged * 1000));
            }
            assert_eq!(control.estimate().unwrap() / 1000, expected, "{case}");
        }
    }

    #[test]
    fn measurements_move_the_estimate_at_once() {
        let mut control = RateControl::default();
        control.update(0, Signal::Normal, None);
        assert_eq!(control.estimate(), None, "nothing is known");
        control.limit(1_000_000);
        assert_eq!(control.estimate(), Some(950_000));
        control.limit(2_000_000);
        assert_eq!(control.estimate(), Some(950_000), "a limit raises nothing");
        control.prove(4_000_000);
        control.prove(3_000_000);
        assert_eq!(control.estimate(), Some(4_000_000));
        control.limit(0);
        assert_eq!(control.estimate(), Some(20_000), "from which it can grow");
        for step in 0..3 {
            control.update(step * 10_000, Signal::Overuse, Some(10_000));
        }
        assert_eq!(control.estimate(), Some(20_000));
    }
}
