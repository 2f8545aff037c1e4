//! Scheduling of the checks (RFC 8445 §6.1.4, §14).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use porthole_turn_proto::stun::TransactionId;
use rand::Rng;

use super::super::candidate::{CandidateKind, priority};
use super::super::checks::InFlight;
use super::super::config::{
    ATTEMPTS_BEFORE_BACKOFF, DIRECT_RETRY, FAILOVER_MISSES, MAX_ATTEMPTS, MAX_CHECK_INTERVAL,
    MIN_RTO, MIN_TA, Role, SPARE_ATTEMPTS, TRIGGERED_TA, WARM_FOR, WARM_INTERVAL,
};
use super::super::message::Check;
use super::super::pair::{Pair, PairId, PairState};
use super::Agent;

/// Pacing of the two kinds of checks: triggered and ordinary ones.
#[derive(Debug)]
pub(super) struct Pacer {
    next_ordinary: Instant,
    next_triggered: Instant,
    /// The triggered-check queue; holds every pair at most once.
    triggered: VecDeque<PairId>,
    /// First checks alternate between direct and relayed pairs until a pair is selected, so that a
    /// relayed path does not wait for a long list of host pairs that cannot work.
    relayed_next: bool,
}

impl Pacer {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            next_ordinary: now,
            next_triggered: now,
            triggered: VecDeque::new(),
            relayed_next: false,
        }
    }

    pub(super) fn trigger(&mut self, id: PairId) {
        if !self.triggered.contains(&id) {
            self.triggered.push_back(id);
        }
    }

    pub(super) fn clear(&mut self) {
        self.triggered.clear();
        self.relayed_next = false;
    }
}

impl Agent {
    /// Processes everything that is due: consent, triggered checks, ordinary checks, giving up.
    pub(super) fn process(&mut self, now: Instant) {
        self.watch_selected(now);
        self.claim_role_if_nobody_nominates(now);
        if self.generation.check_username().is_some() {
            self.run_triggered(now);
            if self.pacer.next_ordinary <= now && self.run_ordinary(now) {
                self.pacer.next_ordinary = now + self.timers.ta;
            }
            self.fail_if_overdue(now);
        }
        self.timeout = self.next_deadline();
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let mut next = self.selection_deadline();
        let mut at_most = |at: Instant| next = Some(next.map_or(at, |known| known.min(at)));
        if self.generation.check_username().is_some() {
            if !self.pacer.triggered.is_empty() {
                at_most(self.pacer.next_triggered);
            }
            let rto = self.rto();
            let due = self.check_list.iter().filter_map(|pair| self.due(pair, rto)).min();
            due.into_iter().for_each(|due| at_most(due.max(self.pacer.next_ordinary)));
            self.failure_deadline().into_iter().for_each(at_most);
        }
        next
    }

    fn run_triggered(&mut self, now: Instant) {
        if self.pacer.next_triggered > now {
            return;
        }
        // Terminates because every iteration removes a pair.
        while let Some(id) = self.pacer.triggered.pop_front() {
            if self.check_list.get(id).is_some_and(|pair| !pair.is_valid()) {
                self.send_check(now, id);
                self.pacer.next_triggered = now + TRIGGERED_TA;
                self.pacer.next_ordinary = self.pacer.next_ordinary.max(now + MIN_TA);
                return;
            }
        }
    }

    /// Sends the most useful ordinary check that is due.
    fn run_ordinary(&mut self, now: Instant) -> bool {
        self.fail_silent_pairs(now);
        let rto = self.rto();
        let is_due = |pair: &&Pair| self.due(pair, rto).is_some_and(|due| due <= now);
        let fresh = |relayed: bool| {
            let pairs = self.check_list.iter().filter(is_due);
            let pairs = pairs.filter(|p| p.checks == 0 && p.is_relayed() == relayed);
            pairs.max_by_key(|p| p.priority(self.role)).map(|p| p.id)
        };
        let number = self.generation.number();
        let has_path = self.selected_pair().is_some_and(|pair| pair.generation == number);
        let turn = self.pacer.relayed_next && !has_path;
        let longest_due = || {
            let pairs = self.check_list.iter().filter(is_due);
            pairs.min_by_key(|p| self.due(p, rto)).map(|p| p.id)
        };
        let chosen = fresh(turn).or_else(|| fresh(!turn)).or_else(longest_due);
        let Some(id) = chosen else { return false };
        self.pacer.relayed_next = !turn;
        self.send_check(now, id);
        true
    }

    /// Marks valid pairs that stopped responding as failed, except for the selected one.
    fn fail_silent_pairs(&mut self, now: Instant) {
        let selected = self.selection.pair;
        for pair in self.check_list.iter_mut().filter(|pair| Some(pair.id) != selected) {
            let silent = pair.is_valid() && pair.unanswered >= FAILOVER_MISSES;
            if silent && !pair.is_healthy(now) {
                pair.state = PairState::Failed;
            }
        }
    }

    /// Returns the time before a check is repeated: long enough that every pair that is Waiting or
    /// In-Progress is checked once in between (RFC 8445 §14.3).
    fn rto(&self) -> Duration {
        let under_way =
            |pair: &&Pair| matches!(pair.state, PairState::Waiting | PairState::InProgress);
        let count = self.check_list.iter().filter(under_way).count();
        MIN_RTO.max(self.timers.ta * u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Returns the time of the pair's next ordinary check, if it gets one. The selected pair has
    /// its own schedule (see `watch_selected`).
    fn due(&self, pair: &Pair, rto: Duration) -> Option<Instant> {
        if pair.generation != self.generation.number() || self.selection.pair == Some(pair.id) {
            return None;
        }
        if pair.is_valid() {
            return self.spare_due(pair);
        }
        if !self.is_worth_checking(pair) {
            return None;
        }
        let Some(last) = pair.last_check else { return Some(self.selection.generation_since) };
        let doublings = pair.unanswered.saturating_sub(ATTEMPTS_BEFORE_BACKOFF).min(8);
        let wait = rto * 2_u32.pow(doublings);
        let due = last + wait.min(MAX_CHECK_INTERVAL.max(rto));
        if self.search_deadline().is_some_and(|end| due <= end) {
            return Some(due);
        }
        let worked_before = pair.responses > 0 && !pair.is_relayed();
        let selected_is_relayed = self.selected_pair().is_some_and(Pair::is_relayed);
        (worked_before && selected_is_relayed).then(|| last + DIRECT_RETRY.max(rto))
    }

    /// Returns the time of the next check of a valid pair beside the selected one: such pairs are
    /// kept alive for a while, and checked at once when the selected pair falls silent.
    fn spare_due(&self, pair: &Pair) -> Option<Instant> {
        let last = pair.last_check?;
        if pair.unanswered > 0 || self.selection.suspect {
            return Some(last + pair.probe_wait());
        }
        let due = last + WARM_INTERVAL;
        (due < self.selection.since + WARM_FOR).then_some(due)
    }

    fn is_worth_checking(&self, pair: &Pair) -> bool {
        let Some(selected) = self.selected_pair() else { return !self.selection.failed };
        if self.selection.suspect || selected.generation != pair.generation {
            return true;
        }
        pair.priority(self.role) > selected.priority(self.role) || pair.checks < SPARE_ATTEMPTS
    }

    /// Sends a check of this pair now, regardless of the pacing.
    pub(super) fn send_check(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.check_list.get(id) else { return };
        let generations = [Some(&self.generation), self.previous.as_ref()];
        let generation = generations.into_iter().flatten().find(|g| g.number() == pair.generation);
        let Some(generation) = generation else { return };
        let (Some(username), Some(key)) = (generation.check_username(), generation.remote_key())
        else {
            return;
        };
        let transaction = TransactionId(self.rng.random());
        // Every check of the selected pair nominates it, so that a lost packet cannot hide the
        // choice.
        let use_candidate = self.role == Role::Controlling && self.selection.pair == Some(id);
        let check = Check {
            id: transaction,
            username,
            key,
            priority: priority(CandidateKind::PeerReflexive, pair.local.local_preference),
            role: self.role,
            tie_breaker: self.tie_breaker,
            use_candidate,
        };
        let Some(bytes) = check.encode() else { return };
        let (base, to) = (pair.local.base, pair.remote.address);
        self.transactions.add(InFlight {
            id: transaction,
            pair: id,
            generation: pair.generation,
            base,
            to,
            role: self.role,
            tie_breaker: self.tie_breaker,
            use_candidate,
            sent: now,
        });
        if let Some(pair) = self.check_list.get_mut(id) {
            pair.record_check(now);
            if !pair.is_valid() && pair.unanswered >= MAX_ATTEMPTS {
                pair.state = PairState::Failed;
            }
        }
        self.transmit(base, to, bytes);
    }
}
