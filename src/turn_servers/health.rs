//! The condition of one TURN server, from one check to the next.

use std::time::Duration;

use porthole_signaling::TurnCondition;

use super::check::Outcome;

/// Time from one check to the next. A server that has failed is offered for that long at most, and
/// for the time of the checks; sessions have another server beside it meanwhile.
const INTERVAL: Duration = Duration::from_secs(15);

/// Time from the first check that fails to the one that confirms it.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// Checks that must fail in a row before a server counts as down: one may be lost with its packets.
const FAILURES: u8 = 2;

/// The condition of one server. It begins as working, so that nothing waits for the first check.
#[derive(Debug)]
pub(super) struct Health {
    condition: TurnCondition,
    failures: u8,
}

impl Default for Health {
    fn default() -> Self {
        Self { condition: TurnCondition::Up, failures: 0 }
    }
}

impl Health {
    /// Notes the outcome of a check. Returns the condition if it is another one now.
    pub(super) fn note(&mut self, outcome: &Outcome) -> Option<TurnCondition> {
        let (failures, condition) = match outcome {
            Outcome::Works => (0, TurnCondition::Up),
            Outcome::Refuses(_) => (0, TurnCondition::Draining),
            Outcome::Fails(_) => {
                let failures = self.failures.saturating_add(1);
                let is_down = failures >= FAILURES;
                (failures, if is_down { TurnCondition::Down } else { self.condition })
            }
        };
        self.failures = failures;
        let before = std::mem::replace(&mut self.condition, condition);
        (before != condition).then_some(condition)
    }

    /// Returns the time until the next check. `part` is a random number from 0 to 1, so that many
    /// signaling servers do not ask a TURN server in the same moment.
    pub(super) fn until_next(&self, part: f64) -> Duration {
        if self.failures > 0 && self.failures < FAILURES {
            return SECOND_LOOK;
        }
        INTERVAL.mul_f64(0.8 + 0.2 * part.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use TurnCondition::{Down, Draining, Up};

    use super::*;

    #[test]
    fn a_server_is_down_after_two_failures_in_a_row_and_back_after_one_success() {
        let fails = || Outcome::Fails("no response in time".to_owned());
        let refuses = || Outcome::Refuses("the TURN server is full".to_owned());
        let mut health = Health::default();
        for (step, (outcome, change)) in [
            (Outcome::Works, None),
            (fails(), None),
            (Outcome::Works, None),
            (fails(), None),
            (fails(), Some(Down)),
            (fails(), None),
            (Outcome::Works, Some(Up)),
            (refuses(), Some(Draining)),
            (refuses(), None),
            (fails(), None),
            (refuses(), None),
            (fails(), None),
            (fails(), Some(Down)),
            (refuses(), Some(Draining)),
            (Outcome::Works, Some(Up)),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(health.note(&outcome), change, "step {step}: {outcome:?}");
        }
    }

    #[test]
    fn a_first_failure_is_looked_at_again_soon_and_everything_else_at_the_interval() {
        let (mut health, fails) = (Health::default(), Outcome::Fails(String::new()));
        for (part, seconds) in [(0.0, 12), (1.0, 15), (-1.0, 12), (7.0, 15)] {
            assert_eq!(health.until_next(part), Duration::from_secs(seconds));
        }
        health.note(&fails);
        assert_eq!(health.until_next(1.0), SECOND_LOOK);
        for _ in 0..300 {
            health.note(&fails);
            assert_eq!(health.until_next(1.0), INTERVAL, "a server that stays down");
        }
    }
}
