//! The subscription to a camera's events: one at a time, renewed, replaced when it is lost, and
//! given back at the end. Cameras have few.

use std::time::{Duration, Instant};

use crate::onvif::events::{EventCall, LIFETIME, Reference};

/// Shortest time from one pull to the next, if it had events and if it had none: some cameras
/// answer at once, always.
const PACE: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(800)];

/// First wait after a failure. It doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait for a camera that does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Longest wait between two pulls at the same subscription.
const LONGEST_PULL_WAIT: Duration = Duration::from_secs(5);

/// Wait for a camera that says that it has no events.
pub(super) const NO_EVENTS_WAIT: Duration = Duration::from_secs(15 * 60);

/// First wait after a subscription is refused, for example because all slots are taken.
const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// Time before its end at which a subscription is replaced that cannot be renewed.
const REPLACED_BEFORE: Duration = Duration::from_secs(15);

/// Time until a renewal without an answer is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(5);

/// Number of renewals in a row after which a camera is taken to have none: one may be refused
/// because the camera has forgotten the subscription.
const MAX_UNRENEWED: u32 = 2;

/// Life of a subscription below which its loss is no accident.
const SHORT: Duration = Duration::from_secs(5);

/// A subscription at the camera.
#[derive(Debug)]
struct Subscription {
    reference: Reference,
    ends: Instant,
    renew_at: Instant,
    /// Time of the last pull, and that of the next one.
    pulled: Instant,
    pull_at: Instant,
    began: Instant,
    is_synchronized: bool,
    /// True once a pull had an answer.
    has_pulled: bool,
    /// Pulls in a row without an answer.
    silent: u32,
    leaving: Option<Leaving>,
}

/// Reasons for giving a subscription back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// The camera does not know it any more.
    Lost,
    /// Its time is over, and it cannot be renewed.
    Over,
}

#[derive(Debug)]
enum State {
    /// No subscription until then.
    Off(Instant),
    Subscribed(Box<Subscription>),
    /// No subscription any more.
    Closed,
}

/// Result of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The subscription, and the time for which it is valid.
    Subscribed(Reference, Duration),
    /// The time for which the subscription is valid from now on.
    Renewed(Duration),
    /// The number of events, whatever they say.
    Pulled(usize),
    /// The camera has done it.
    Done,
    /// The camera refuses; true if it does not have the call at all.
    Refused(bool),
    /// The camera was not reached.
    Unreachable,
    /// The camera has not answered, and may have done it.
    Silent,
}

/// The subscription of one camera.
#[derive(Debug)]
pub(super) struct Watcher {
    state: State,
    has_lifetime: bool,
    can_renew: bool,
    /// Renewals in a row that were refused.
    unrenewed: u32,
    failures: u32,
    is_closing: bool,
}

impl Watcher {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::Off(now),
            has_lifetime: true,
            can_renew: true,
            unrenewed: 0,
            failures: 0,
            is_closing: false,
        }
    }

    /// Returns true if there is a subscription, or may be one.
    pub(super) fn is_subscribed(&self) -> bool {
        matches!(self.state, State::Subscribed(_))
    }

    /// Returns the reference of the subscription.
    pub(super) fn reference(&self) -> Option<&Reference> {
        match &self.state {
            State::Subscribed(subscription) => Some(&subscription.reference),
            State::Off(_) | State::Closed => None,
        }
    }

    /// Gives the subscription back; nothing follows.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
        if !self.is_subscribed() {
            self.state = State::Closed;
        }
    }

    /// Returns the next call, if one is due. Only one may be in flight.
    pub(super) fn poll_call(&mut self, now: Instant) -> Option<EventCall> {
        let can_renew = self.can_renew;
        match &mut self.state {
            State::Off(until) if now >= *until && !self.is_closing => {
                Some(EventCall::Subscribe { has_lifetime: self.has_lifetime })
            }
            State::Off(_) | State::Closed => None,
            State::Subscribed(subscription) => {
                if self.is_closing || subscription.leaving.is_some() {
                    return Some(EventCall::Unsubscribe);
                }
                if now >= subscription.leave_at(can_renew) {
                    subscription.leaving = Some(Leaving::Over);
                    return Some(EventCall::Unsubscribe);
                }
                subscription.poll_call(now, can_renew)
            }
        }
    }

    /// Returns the time at which [`Self::poll_call`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Off(until) => Some(*until),
            State::Subscribed(subscription) => Some(subscription.poll_timeout(self.can_renew)),
            State::Closed => None,
        }
    }

    /// Handles the end of a call.
    pub(super) fn handle_outcome(&mut self, now: Instant, call: EventCall, outcome: Outcome) {
        match call {
            EventCall::Subscribe { .. } => self.handle_subscribe(now, outcome),
            EventCall::Unsubscribe => self.handle_unsubscribe(now, &outcome),
            EventCall::Synchronize | EventCall::Pull | EventCall::Renew => {
                let State::Subscribed(subscription) = &mut self.state else { return };
                match call {
                    EventCall::Pull => subscription.handle_pull(now, &outcome),
                    EventCall::Renew => match outcome {
                        Outcome::Renewed(lifetime) => {
                            self.unrenewed = 0;
                            subscription.renewed(now, lifetime);
                        }
                        Outcome::Refused(is_unknown) => {
                            self.unrenewed += 1;
                            self.can_renew = !is_unknown && self.unrenewed < MAX_UNRENEWED;
                            let leaving = if is_unknown { Leaving::Over } else { Leaving::Lost };
                            subscription.leaving = Some(leaving);
                        }
                        Outcome::Subscribed(..)
                        | Outcome::Pulled(_)
                        | Outcome::Done
                        | Outcome::Unreachable
                        | Outcome::Silent => subscription.renew_at = now + RENEW_AGAIN,
                    },
                    EventCall::Synchronize
                    | EventCall::Subscribe { .. }
                    | EventCall::Unsubscribe => subscription.is_synchronized = true,
                }
                if subscription.has_pulled {
                    self.failures = 0;
                }
            }
        }
    }

    fn handle_subscribe(&mut self, now: Instant, outcome: Outcome) {
        self.failures = self.failures.saturating_add(1);
        let until = match outcome {
            Outcome::Subscribed(reference, lifetime) => {
                let mut subscription = Subscription {
                    reference,
                    ends: now,
                    renew_at: now,
                    pulled: now,
                    pull_at: now,
                    began: now,
                    is_synchronized: false,
                    has_pulled: false,
                    silent: 0,
                    leaving: None,
                };
                subscription.renewed(now, lifetime);
                self.state = State::Subscribed(Box::new(subscription));
                return;
            }
            Outcome::Refused(is_unknown) if self.has_lifetime && !is_unknown => {
                self.has_lifetime = false;
                now
            }
            Outcome::Refused(true) => now + NO_EVENTS_WAIT,
            Outcome::Refused(false) => {
                self.has_lifetime = true;
                now + doubled(REFUSED_WAIT, self.failures / 2, NO_EVENTS_WAIT)
            }
            Outcome::Unreachable => now + doubled(FIRST_WAIT, self.failures, LONGEST_WAIT),
            // The camera may have it, and keeps it for its time: never two at once.
            Outcome::Renewed(_) | Outcome::Pulled(_) | Outcome::Done | Outcome::Silent => {
                now + LIFETIME
            }
        };
        self.state = if self.is_closing { State::Closed } else { State::Off(until) };
    }

    fn handle_unsubscribe(&mut self, now: Instant, outcome: &Outcome) {
        let State::Subscribed(subscription) = &self.state else { return };
        let is_gone = matches!(outcome, Outcome::Done)
            || subscription.leaving == Some(Leaving::Lost)
                && matches!(outcome, Outcome::Refused(_));
        let wait = if !subscription.has_pulled {
            doubled(FIRST_WAIT, self.failures, LONGEST_WAIT)
        } else if now < subscription.began + SHORT {
            FIRST_WAIT
        } else {
            // It is replaced at once: there may be motion now.
            Duration::ZERO
        };
        let until = if is_gone { now + wait } else { (now + wait).max(subscription.ends) };
        self.state = if self.is_closing { State::Closed } else { State::Off(until) };
    }

    /// Handles a refusal of the credentials: what was refused is tried again after this time.
    pub(super) fn handle_denied(&mut self, now: Instant, call: EventCall, wait: Duration) {
        match &mut self.state {
            State::Subscribed(subscription) if call != EventCall::Unsubscribe => {
                subscription.is_synchronized = true;
                (subscription.pull_at, subscription.renew_at) = (now + wait, now + wait);
            }
            State::Subscribed(_) => self.handle_unsubscribe(now, &Outcome::Silent),
            State::Off(_) if !self.is_closing => self.state = State::Off(now + wait),
            State::Off(_) | State::Closed => self.state = State::Closed,
        }
    }
}

impl Subscription {
    fn renewed(&mut self, now: Instant, lifetime: Duration) {
        self.ends = now + lifetime;
        self.renew_at = now + lifetime / 2;
    }

    /// Returns the time at which the subscription is given back.
    fn leave_at(&self, can_renew: bool) -> Instant {
        if can_renew {
            return self.ends;
        }
        // No sooner than half of its time is over, if it is short.
        self.ends.checked_sub(REPLACED_BEFORE).unwrap_or(self.ends).max(self.renew_at)
    }

    fn poll_call(&mut self, now: Instant, can_renew: bool) -> Option<EventCall> {
        if !self.is_synchronized {
            return Some(EventCall::Synchronize);
        }
        if can_renew && now >= self.renew_at {
            return Some(EventCall::Renew);
        }
        let is_due = now >= self.pull_at;
        if is_due {
            self.pulled = now;
        }
        is_due.then_some(EventCall::Pull)
    }

    fn poll_timeout(&self, can_renew: bool) -> Instant {
        let renew_at = if can_renew { self.renew_at } else { self.ends };
        self.pull_at.min(renew_at).min(self.leave_at(can_renew))
    }

    fn handle_pull(&mut self, now: Instant, outcome: &Outcome) {
        match outcome {
            Outcome::Pulled(count) => {
                (self.has_pulled, self.silent) = (true, 0);
                let [pace_with_events, pace_without] = PACE;
                self.pull_at =
                    self.pulled + if *count > 0 { pace_with_events } else { pace_without };
            }
            Outcome::Refused(_) => self.leaving = Some(Leaving::Lost),
            Outcome::Unreachable
            | Outcome::Silent
            | Outcome::Subscribed(..)
            | Outcome::Renewed(_)
            | Outcome::Done => {
                self.silent = self.silent.saturating_add(1);
                self.pull_at = now + doubled(FIRST_WAIT / 2, self.silent, LONGEST_PULL_WAIT);
            }
        }
    }
}

/// Returns a wait that has doubled with each failure after the first one.
fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    first.saturating_mul(factor).min(longest)
}
