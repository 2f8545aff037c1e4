//! Nomination, selection, consent and giving up (RFC 8445 §8, RFC 7675, RFC 8863).

use std::time::{Duration, Instant};

use porthole_turn_proto::stun::TransactionId;
use rand::Rng;

use super::super::checks::InFlight;
use super::super::config::{
    ATTEMPTS_BEFORE_BACKOFF, CONSENT_EXPIRY, CONSENT_INTERVAL_MAX, CONSENT_INTERVAL_MIN,
    CONSENT_PROBE, DISCONNECTED_AFTER, FAILOVER_MISSES, MOVED_MISSES, NOMINATION_RTO_MIN, QUIET,
    RENOMINATION_WINDOW, RESTART_HOLD, ROLE_PATIENCE, Role, SECOND_NOMINATION,
};
use super::super::pair::{Pair, PairId};
use super::super::{Event, FailReason};
use super::Agent;

/// The selected pair and the state of its consent.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) pair: Option<PairId>,
    /// Time at which this pair was selected.
    pub(super) since: Instant,
    pub(super) generation_since: Instant,
    /// Time at which this generation selected its first pair.
    first_selected: Option<Instant>,
    /// True once the peer has responded to our nomination, or if the peer nominates.
    confirmed: bool,
    next_consent: Instant,
    /// Time at which the pair is checked because no media has arrived any more; `None` if none is
    /// expected.
    quiet_at: Option<Instant>,
    /// Time at which the pair is checked because the peer uses another one.
    probe_at: Option<Instant>,
    /// A check of the selected pair has been missed.
    pub(super) suspect: bool,
    disconnected: bool,
    /// Gave up with "no path" or lost consent; only checks of the peer can change that.
    pub(super) failed: bool,
    nominated: Option<Nominated>,
}

/// The pair that the controlling peer nominated last.
#[derive(Clone, Copy, Debug)]
struct Nominated {
    pair: PairId,
    since: Instant,
    first: TransactionId,
    /// Nominated again later by another check, so it is neither a retransmission nor overtaken.
    again: bool,
}

impl Selection {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            pair: None,
            since: now,
            generation_since: now,
            first_selected: None,
            confirmed: true,
            next_consent: now,
            quiet_at: None,
            probe_at: None,
            suspect: false,
            disconnected: false,
            failed: false,
            nominated: None,
        }
    }

    /// Resets what belongs to a generation; the selected pair and its consent stay.
    pub(super) const fn begin_generation(&mut self, now: Instant) {
        self.generation_since = now;
        self.first_selected = None;
        self.confirmed = true;
        self.failed = false;
        self.nominated = None;
    }

    /// Notes that media has arrived on the selected pair, and that more is expected. Returns true
    /// if none was expected before.
    pub(super) fn expect_media(&mut self, now: Instant) -> bool {
        self.quiet_at.replace(now + QUIET).is_none()
    }

    /// Returns the time of the next check of a pair that responds.
    fn next_check(&self) -> Instant {
        let early = [self.quiet_at, self.probe_at].into_iter().flatten();
        early.fold(self.next_consent, Instant::min)
    }

    /// Notes a sign of life on a pair. Where media is expected, a check counts as well.
    pub(super) fn hear(&mut self, now: Instant, id: PairId) {
        if self.pair == Some(id) && self.quiet_at.is_some() {
            self.expect_media(now);
        }
    }
}

impl Agent {
    /// Selects the best pair; called after anything that may have changed it.
    pub(super) fn reselect(&mut self, now: Instant) {
        let choice = match self.role {
            Role::Controlling => self.choose_as_controlling(now),
            Role::Controlled => self.choose_as_controlled(now),
        };
        if let Some(id) = choice {
            self.select(now, id);
        }
    }

    /// Chooses the first valid pair, so that media starts, and later any better one.
    fn choose_as_controlling(&self, now: Instant) -> Option<PairId> {
        let Some(selected) = self.selected_pair() else { return self.best(|_| true).map(|p| p.id) };
        if selected.generation != self.generation.number() {
            let best = self.best(|_| true)?;
            return self.replaces_old(selected, best, now).then_some(best.id);
        }
        if let Some(heir) = self.heir(selected, now) {
            return Some(heir);
        }
        let best = self.best(|p| p.is_healthy(now))?;
        let in_window =
            self.selection.first_selected.is_none_or(|at| now < at + RENOMINATION_WINDOW);
        // A switch from a relayed to a direct path is worth it at any time.
        let leaves_relay = selected.is_relayed() && !best.is_relayed();
        let is_better = best.priority(self.role) > selected.priority(self.role);
        (is_better && (in_window || leaves_relay)).then_some(best.id)
    }

    /// Returns the pair that takes over from the selected one because that one is silent: any pair
    /// that has responded since, or soon, the pair on which the peer sends meanwhile.
    fn heir(&self, selected: &Pair, now: Instant) -> Option<PairId> {
        let silent_since = selected.unanswered_since.filter(|_| !selected.is_healthy(now))?;
        let is_alive = |p: &Pair| p.id != selected.id && p.last_response > Some(silent_since);
        let in_use = |p: &Pair| is_alive(p) && p.last_heard > selected.last_heard;
        let moved = || self.best(in_use).filter(|_| selected.unanswered > MOVED_MISSES);
        let any = || self.best(is_alive).filter(|_| selected.unanswered >= FAILOVER_MISSES);
        moved().or_else(any).map(|pair| pair.id)
    }

    fn best(&self, also: impl Fn(&Pair) -> bool) -> Option<&Pair> {
        let number = self.generation.number();
        let alive = |p: &&Pair| {
            p.is_valid() && p.generation == number && p.unanswered < FAILOVER_MISSES && also(p)
        };
        self.check_list.iter().filter(alive).max_by_key(|p| p.priority(self.role))
    }

    /// Returns true if a new pair may replace the one from before the restart. A healthy direct
    /// path is kept for [`RESTART_HOLD`] rather than replaced by a relayed one.
    fn replaces_old(&self, old: &Pair, new: &Pair, now: Instant) -> bool {
        let is_step_back = new.is_relayed() && !old.is_relayed();
        let can_wait = old.is_healthy(now) && now < self.hold_until();
        !(is_step_back && can_wait)
    }

    fn hold_until(&self) -> Instant {
        let since = self.generation.remote_since();
        since.unwrap_or(self.selection.generation_since) + RESTART_HOLD
    }

    /// Follows the peer's nomination, but only to a pair on which our own check was answered: media
    /// must not be directed at a third party (RFC 7675 §5.1). Until the peer has nominated, media
    /// uses the best valid pair (RFC 8445 §12.1), which saves half a round trip.
    fn choose_as_controlled(&self, now: Instant) -> Option<PairId> {
        let nominated = self.best(|p| p.nominated);
        let Some(selected) = self.selected_pair() else {
            return nominated.or_else(|| self.best(|_| true)).map(|p| p.id);
        };
        if selected.generation != self.generation.number() {
            let fallback = || self.best(|_| !selected.is_healthy(now));
            return nominated.or_else(fallback).map(|p| p.id);
        }
        self.follow(selected, now).or_else(|| self.heir(selected, now))
    }

    /// Returns the pair to which the controlling peer's nominations lead from the selected one.
    fn follow(&self, selected: &Pair, now: Instant) -> Option<PairId> {
        if !selected.nominated {
            let nominated = self.best(|p| p.nominated && p.is_healthy(now));
            let better = |p: &&Pair| p.priority(self.role) > selected.priority(self.role);
            let best = || self.best(|p| p.is_healthy(now)).filter(better);
            return nominated.or_else(best).map(|p| p.id);
        }
        let Nominated { pair, since, again, .. } = self.selection.nominated?;
        let usable = |p: &&Pair| p.is_valid() && p.is_healthy(now) && p.id != selected.id;
        let nominated = self.check_list.get(pair).filter(usable)?;
        // Nominations may arrive out of order: follow one to a lesser pair only if it is repeated,
        // too late to have been overtaken, or the selected pair is failing.
        let is_late = since >= self.selection.since + SECOND_NOMINATION;
        let follows = nominated.priority(self.role) >= selected.priority(self.role)
            || !selected.is_healthy(now)
            || is_late
            || again;
        follows.then_some(pair)
    }

    /// Handles a check with USE-CANDIDATE on this pair.
    pub(super) fn handle_nomination(&mut self, now: Instant, id: PairId, check: TransactionId) {
        if let Some(pair) = self.check_list.get_mut(id) {
            pair.nominated = true;
        }
        let new = Nominated { pair: id, since: now, first: check, again: false };
        let known = self.selection.nominated.filter(|known| known.pair == id).unwrap_or(new);
        let again = known.first != check && now >= known.since + SECOND_NOMINATION;
        self.selection.nominated = Some(Nominated { again: known.again || again, ..known });
        self.reselect(now);
    }

    fn select(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.check_list.get(id) else { return };
        let path = pair.path();
        let is_first = self.selection.first_selected.is_none();
        let returns = self.selection.disconnected || self.selection.pair.is_none();
        self.selection.pair = Some(id);
        self.selection.since = now;
        self.selection.first_selected.get_or_insert(now);
        self.selection.confirmed = self.role == Role::Controlled;
        (self.selection.quiet_at, self.selection.probe_at) = (None, None);
        self.selection.suspect = false;
        self.selection.disconnected = false;
        self.selection.failed = false;
        // Soon, so that the peer sees a second nomination and follows it.
        self.selection.next_consent = now + SECOND_NOMINATION.mul_f32(1.5);
        let number = self.generation.number();
        self.check_list.retain(|pair| pair.generation == number);
        if self.role == Role::Controlling {
            // At once, because the peer waits for it, and no peer can make us do it often.
            self.send_check(now, id);
        }
        let connected = is_first || returns;
        self.emit(if connected { Event::Connected(path) } else { Event::PathChanged(path) });
    }

    /// Handles the loss of the selected pair's base.
    pub(super) fn handle_selected_lost(&mut self, now: Instant) {
        self.selection.pair = None;
        self.selection.suspect = false;
        self.selection.confirmed = true;
        self.reselect(now);
        if self.selection.pair.is_none() && !self.selection.disconnected {
            self.selection.disconnected = true;
            self.emit(Event::Disconnected);
        }
    }

    pub(super) fn change_role(&mut self, now: Instant, role: Role) {
        self.role = role;
        self.selection.nominated = None;
        self.selection.confirmed = role == Role::Controlled || self.selection.pair.is_none();
        self.reselect(now);
    }

    /// Takes the controlling role if the peer has nominated nothing for [`ROLE_PATIENCE`] after the
    /// first pair was valid: it may believe that it is controlled, or be an ICE-lite agent. If it
    /// does control, its response is a role conflict, and resolves it.
    pub(super) fn claim_role_if_nobody_nominates(&mut self, now: Instant) {
        if self.claim_deadline().is_some_and(|at| at <= now) {
            self.conflict.claimed = true;
            self.change_role(now, Role::Controlling);
        }
    }

    fn claim_deadline(&self) -> Option<Instant> {
        let is_unopposed = self.role == Role::Controlled && !self.conflict.claimed;
        let waits = is_unopposed && self.selection.nominated.is_none();
        let first = self.selection.first_selected.filter(|_| self.selection.pair.is_some())?;
        waits.then(|| first + ROLE_PATIENCE)
    }

    /// Checks the selected pair because the peer uses another one: at once, or [`CONSENT_PROBE`]
    /// after its last check, so that no peer can make us do it often.
    pub(super) fn probe_selected(&mut self, now: Instant, used: PairId) {
        let Some(selected) = self.selected_pair() else { return };
        if selected.id == used || selected.unanswered_since.is_some() {
            return;
        }
        match selected.last_check.map(|at| at + CONSENT_PROBE).filter(|at| *at > now) {
            Some(later) => self.selection.probe_at = Some(later),
            None => self.send_check(now, selected.id),
        }
    }

    /// Records a response on the selected pair.
    pub(super) fn record_consent(&mut self, check: &InFlight) {
        self.selection.confirmed |= check.use_candidate;
        self.selection.suspect = false;
        let returned = std::mem::take(&mut self.selection.disconnected);
        if returned && let Some(path) = self.selected() {
            self.emit(Event::Connected(path));
        }
    }

    fn schedule_consent(&mut self, now: Instant) {
        let spread = self.rng.random_range(CONSENT_INTERVAL_MIN..=CONSENT_INTERVAL_MAX);
        self.selection.next_consent = now + spread;
    }

    /// Sends the consent checks of the selected pair and acts when they are not answered.
    pub(super) fn watch_selected(&mut self, now: Instant) {
        let Some(pair) = self.selected_pair() else { return };
        let Some(deadlines) = self.deadlines(pair) else { return };
        let id = pair.id;
        if deadlines.expiry <= now {
            self.selection.pair = None;
            self.selection.failed = true;
            self.check_list.retain(|pair| pair.id != id);
            self.emit(Event::Failed(FailReason::ConsentExpired));
            return;
        }
        if deadlines.suspect.is_some_and(|at| at <= now) {
            self.selection.suspect = true;
        }
        if deadlines.disconnect.is_some_and(|at| at <= now) {
            self.selection.disconnected = true;
            self.emit(Event::Disconnected);
        }
        if deadlines.check <= now {
            self.schedule_consent(now);
            self.selection.probe_at = None;
            // Once only: silence that a response explains is the peer's habit.
            let is_quiet = self.selection.quiet_at.take_if(|at| *at <= now).is_some();
            self.send_check(now, id);
            if is_quiet {
                self.emit(Event::Quiet);
            }
        }
        if self.selection.suspect || deadlines.hold.is_some() {
            self.reselect(now);
        }
    }

    /// Returns the deadlines of the selected pair; `None` if no check of it was ever answered,
    /// which selection rules out.
    fn deadlines(&self, pair: &Pair) -> Option<Deadlines> {
        let (last_check, last_response) = (pair.last_check?, pair.last_response?);
        let silent_since = pair.unanswered_since;
        let check = match silent_since {
            Some(_) => last_check + self.probe_wait(pair),
            None if self.selection.confirmed => self.selection.next_check(),
            None => last_check.max(self.selection.since) + self.probe_wait(pair),
        };
        let is_old = pair.generation != self.generation.number();
        let hold = is_old && self.best(|_| true).is_some() && self.role == Role::Controlling;
        Some(Deadlines {
            check,
            suspect: silent_since
                .filter(|_| !self.selection.suspect)
                .map(|t| t + pair.probe_wait()),
            disconnect: silent_since
                .filter(|_| !self.selection.disconnected)
                .map(|since| since + DISCONNECTED_AFTER),
            expiry: last_response + CONSENT_EXPIRY,
            hold: hold.then(|| self.hold_until()),
        })
    }

    /// Returns how long to wait for a response: briefly until the peer has confirmed the
    /// nomination.
    fn probe_wait(&self, pair: &Pair) -> Duration {
        if self.selection.confirmed || pair.unanswered > ATTEMPTS_BEFORE_BACKOFF {
            return pair.probe_wait();
        }
        (pair.rtt.unwrap_or_default() * 2).clamp(NOMINATION_RTO_MIN, CONSENT_PROBE)
    }

    pub(super) fn selection_deadline(&self) -> Option<Instant> {
        let deadlines = self.deadlines(self.selected_pair()?)?;
        let Deadlines { check, suspect, disconnect, expiry, hold } = deadlines;
        let claim = self.claim_deadline();
        [Some(check), suspect, disconnect, Some(expiry), hold, claim].into_iter().flatten().min()
    }

    /// Fails when the patience of RFC 8863 §4 is over and nothing carries media.
    pub(super) fn fail_if_overdue(&mut self, now: Instant) {
        if self.failure_deadline().is_some_and(|at| at <= now) {
            self.selection.failed = true;
            self.emit(Event::Failed(FailReason::NoPath));
        }
    }

    /// Returns the time at which to give up; `None` once a pair is selected.
    pub(super) fn failure_deadline(&self) -> Option<Instant> {
        let is_carried = self.selection.pair.is_some() && !self.selection.disconnected;
        if self.selection.failed || self.selection.first_selected.is_some() || is_carried {
            return None;
        }
        self.search_deadline()
    }

    /// Returns the end of ordinary checks, whether a pair is selected or not.
    pub(super) fn search_deadline(&self) -> Option<Instant> {
        let end = self.generation.failure_deadline(self.timers.patience)?;
        // If the selected pair falls silent, the search goes on until its consent expires.
        if self.selection.suspect { Some(end.max(self.silent_until()?)) } else { Some(end) }
    }

    fn silent_until(&self) -> Option<Instant> {
        Some(self.selected_pair()?.last_response? + CONSENT_EXPIRY)
    }
}

/// Deadlines of the selected pair.
#[derive(Debug)]
struct Deadlines {
    check: Instant,
    suspect: Option<Instant>,
    disconnect: Option<Instant>,
    expiry: Instant,
    hold: Option<Instant>,
}
