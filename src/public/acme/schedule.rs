//! The time of the next order: when the authority has said, else when the certificate has used two
//! thirds of its life, and after a failure later and later. No clock is read here.

use std::time::Duration;

use url::Host;

use super::trouble::Trouble;
use crate::public::facts::Facts;

/// First pause after a failure that an authority does not count.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// First pause after a check that failed. Let's Encrypt allows five of them an hour for a name, and
/// each try makes up to two.
const FIRST_PAUSE_AFTER_CHECK: Duration = Duration::from_secs(20 * 60);
/// First pause after an authority has said that there are too many orders.
const FIRST_PAUSE_AT_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);
/// Shortest time between two certificates: authorities give few for the same names in a week.
const PAUSE_AFTER_SUCCESS: Duration = Duration::from_secs(6 * 60 * 60);
/// The same for a certificate with a short life, as a part of it.
const PAUSES_IN_LIFE: u64 = 8;
/// Longest pause: a certificate for six days still has three tries a day in its last two days.
const LONGEST_PAUSE: Duration = Duration::from_secs(8 * 60 * 60);

/// The sixths of a certificate's life after which it is renewed whatever its authority says, so
/// that there is time for tries that fail.
const LATEST_SIXTHS: u64 = 5;

/// The times of the next tries.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    failures: u32,
    /// The time before which nothing is tried, in seconds since 1970.
    not_before_s: u64,
}

impl Schedule {
    /// Returns the time until the next order: none if it is due. `advised_s` is the time that the
    /// authority has said for this certificate, in seconds since 1970.
    pub(super) fn wait(
        &self,
        facts: Option<&Facts>,
        names: &[Host],
        advised_s: Option<u64>,
        now_s: u64,
    ) -> Duration {
        let due_s = match facts {
            Some(facts) if facts.covers(names) => renewal_s(facts, advised_s),
            Some(_) | None => 0,
        };
        Duration::from_secs(due_s.max(self.not_before_s).saturating_sub(now_s))
    }

    /// Notes a certificate. Another one is not ordered at once, whatever this one says: clocks
    /// differ, and an authority may leave names out.
    pub(super) fn succeeded(&mut self, facts: Option<&Facts>, now_s: u64) {
        let pause_s = facts.map_or(0, Facts::life_s) / PAUSES_IN_LIFE;
        let pause_s = pause_s.min(PAUSE_AFTER_SUCCESS.as_secs());
        *self = Self { failures: 0, not_before_s: now_s.saturating_add(pause_s) };
    }

    /// Notes a failure, and returns the pause after it.
    pub(super) fn failed(&mut self, trouble: &Trouble, now_s: u64) -> Duration {
        let first = match trouble {
            Trouble::Limit(_) | Trouble::Issued(_) => FIRST_PAUSE_AT_LIMIT,
            Trouble::Check { .. } | Trouble::Refused(_) | Trouble::NoAccount(_) => {
                FIRST_PAUSE_AFTER_CHECK
            }
            Trouble::Unreachable(_) | Trouble::Local(_) => FIRST_PAUSE,
        };
        let factor = 2_u32.saturating_pow(self.failures.min(16));
        let pause = first.saturating_mul(factor).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.not_before_s = now_s.saturating_add(pause.as_secs());
        pause
    }
}

/// Returns the time of a certificate's renewal: the one that its authority has said, within bounds,
/// else when two thirds of its life are over.
fn renewal_s(facts: &Facts, advised_s: Option<u64>) -> u64 {
    let latest_s = facts.not_before_s.saturating_add(facts.life_s() / 6 * LATEST_SIXTHS);
    advised_s.map_or(facts.renewal_s(), |advised_s| advised_s.min(latest_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_or_for_other_names() {
        let names = [host("a.example")];
        let facts = |life_s| Facts {
            not_before_s: 1000,
            not_after_s: 1000 + life_s,
            names: names.to_vec(),
            identifier: None,
        };
        let schedule = Schedule::default();
        for (life_s, now_s, wait_s) in [
            (90 * DAY, 1000, 60 * DAY),
            (90 * DAY, 1000 + 60 * DAY, 0),
            (90 * DAY, 1000 + 89 * DAY, 0),
            (160 * HOUR, 1000 + 100 * HOUR, 6 * HOUR + 40 * MINUTE),
            (60, 1000, 40),
            (60, 0, 1040),
        ] {
            let wait = schedule.wait(Some(&facts(life_s)), &names, None, now_s);
            assert_eq!(wait.as_secs(), wait_s, "{life_s} {now_s}");
        }
        let others = [host("a.example"), host("b.example")];
        assert!(
            schedule.wait(Some(&facts(DAY)), &others, Some(9000), 1000).is_zero(),
            "another name"
        );
        assert!(schedule.wait(None, &names, None, 1000).is_zero(), "no certificate");
    }

    #[test]
    fn a_certificate_is_renewed_when_its_authority_says_and_in_time() {
        let names = [host("a.example")];
        let facts = Facts {
            not_before_s: 0,
            not_after_s: 90 * DAY,
            names: names.to_vec(),
            identifier: None,
        };
        for (what, advised_s, now_s, wait_s) in [
            ("the authority does not say", None, 50 * DAY, 10 * DAY),
            ("a window in the past", Some(DAY), 50 * DAY, 0),
            ("before two thirds", Some(55 * DAY), 50 * DAY, 5 * DAY),
            ("after two thirds", Some(65 * DAY), 61 * DAY, 4 * DAY),
            ("far away", Some(89 * DAY), 61 * DAY, 14 * DAY),
            ("never", Some(u64::MAX), 75 * DAY, 0),
        ] {
            let wait = Schedule::default().wait(Some(&facts), &names, advised_s, now_s);
            assert_eq!(wait.as_secs(), wait_s, "{what}");
        }
        // An authority that always says so gets no more orders than others.
        let mut schedule = Schedule::default();
        schedule.succeeded(Some(&facts), 50 * DAY);
        let wait = schedule.wait(Some(&facts), &names, Some(DAY), 50 * DAY);
        assert_eq!(wait, PAUSE_AFTER_SUCCESS);
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses_up_to_a_bound() {
        let check = Trouble::refused();
        for (trouble, minutes) in [
            (Trouble::Local(String::new()), [1, 2, 4, 8, 16]),
            (check, [20, 40, 80, 160, 320]),
            (Trouble::Limit(String::new()), [180, 360, 480, 480, 480]),
            (Trouble::Issued(String::new()), [180, 360, 480, 480, 480]),
        ] {
            let mut schedule = Schedule::default();
            let mut now_s = 5000;
            for expected in minutes {
                let pause = schedule.failed(&trouble, now_s);
                assert_eq!(pause.as_secs(), expected * MINUTE, "{trouble:?}");
                assert_eq!(schedule.wait(None, &[], None, now_s), pause);
                now_s += pause.as_secs();
                assert!(schedule.wait(None, &[], None, now_s).is_zero());
            }
            for _ in 0..100 {
                assert!(schedule.failed(&trouble, now_s) <= LONGEST_PAUSE);
            }
            let facts = Facts {
                not_before_s: 0,
                not_after_s: 90 * DAY,
                names: Vec::new(),
                identifier: None,
            };
            schedule.succeeded(Some(&facts), now_s);
            assert_eq!(schedule.wait(None, &[], None, now_s), PAUSE_AFTER_SUCCESS);
            assert_eq!(schedule.failed(&trouble, now_s).as_secs(), minutes[0] * MINUTE);
        }
    }
}
