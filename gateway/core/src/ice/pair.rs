//! One candidate pair: its worth, its checks, its answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::candidate::{CandidateKind, priority};
use super::config::{CONSENT_PROBE, CONSENT_PROBE_MAX, Role};
use super::{LocalBase, Path};

/// How far a pair's checks are (RFC 8445 §6.1.2.6). Nothing is frozen here: with one component
/// and one check list, freezing would only delay checks that pacing already spreads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PairState {
    /// Never checked.
    Waiting,
    /// Checked, not answered.
    InProgress,
    /// Answered: the pair is valid.
    Succeeded,
    /// Not answered for long; retried slowly, and at once when the peer checks it.
    Failed,
}

/// Names a pair for as long as the agent lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PairId(pub(super) u32);

/// Where checks are sent from: a host candidate, or a relayed one.
#[derive(Clone, Debug)]
pub(super) struct LocalCandidate {
    pub(super) base: LocalBase,
    pub(super) kind: CandidateKind,
    pub(super) address: SocketAddr,
    pub(super) local_preference: u16,
}

/// What is known of the far end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote {
    pub(super) kind: CandidateKind,
    pub(super) address: SocketAddr,
    pub(super) priority: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) id: PairId,
    pub(super) generation: u32,
    pub(super) local: LocalCandidate,
    pub(super) remote: Remote,
    pub(super) state: PairState,
    /// What the peer sees us as, from the last answer.
    pub(super) seen_as: Option<(SocketAddr, CandidateKind)>,
    pub(super) rtt: Option<Duration>,
    pub(super) last_check: Option<Instant>,
    pub(super) last_answer: Option<Instant>,
    /// The first check that no answer followed.
    pub(super) unanswered_since: Option<Instant>,
    /// Checks since the last answer, or since the peer's own check woke the pair.
    pub(super) unanswered: u32,
    pub(super) checks: u32,
    pub(super) answers: u32,
    /// The peer, controlling, has nominated it.
    pub(super) nominated: bool,
}

impl Pair {
    pub(super) fn new(id: PairId, generation: u32, local: LocalCandidate, remote: Remote) -> Self {
        Self {
            id,
            generation,
            local,
            remote,
            state: PairState::Waiting,
            seen_as: None,
            rtt: None,
            last_check: None,
            last_answer: None,
            unanswered_since: None,
            unanswered: 0,
            checks: 0,
            answers: 0,
            nominated: false,
        }
    }

    pub(super) fn joins(&self, base: LocalBase, remote: SocketAddr) -> bool {
        self.local.base == base && self.remote.address == remote
    }

    pub(super) fn is_valid(&self) -> bool {
        self.state == PairState::Succeeded
    }

    /// RFC 8445 §6.1.2.3. Before the first answer the local end counts as its base, afterwards as
    /// what the peer sees: so a way through the LAN beats a hairpin through the NAT.
    pub(super) fn priority(&self, role: Role) -> u64 {
        let local = priority(self.local_kind(), self.local.local_preference);
        let (controlling, controlled) = match role {
            Role::Controlling => (local, self.remote.priority),
            Role::Controlled => (self.remote.priority, local),
        };
        let (low, high) = (controlling.min(controlled), controlling.max(controlled));
        (u64::from(low) << 32) + 2 * u64::from(high) + u64::from(controlling > controlled)
    }

    pub(super) fn local_kind(&self) -> CandidateKind {
        self.seen_as.map_or(self.local.kind, |(_, kind)| kind)
    }

    pub(super) fn is_relayed(&self) -> bool {
        self.local.kind == CandidateKind::Relay || self.remote.kind == CandidateKind::Relay
    }

    pub(super) fn path(&self) -> Path {
        Path {
            base: self.local.base,
            remote: self.remote.address,
            local_kind: self.local_kind(),
            remote_kind: self.remote.kind,
            rtt: self.rtt,
            local_address: self.seen_as.map_or(self.local.address, |(address, _)| address),
        }
    }

    pub(super) fn on_check(&mut self, now: Instant) {
        if self.state == PairState::Waiting {
            self.state = PairState::InProgress;
        }
        self.last_check = Some(now);
        self.unanswered_since.get_or_insert(now);
        self.unanswered = self.unanswered.saturating_add(1);
        self.checks = self.checks.saturating_add(1);
    }

    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        rtt: Duration,
        seen_as: SocketAddr,
        kind: CandidateKind,
    ) {
        self.state = PairState::Succeeded;
        self.seen_as = Some((seen_as, kind));
        // An eighth of every new measurement (RFC 6298 §2).
        self.rtt = Some(self.rtt.map_or(rtt, |old| (old * 7 + rtt) / 8));
        self.last_answer = Some(now);
        self.unanswered_since = None;
        self.unanswered = 0;
        self.answers = self.answers.saturating_add(1);
    }

    /// The peer has checked it: whatever was given up is tried again.
    pub(super) fn wake(&mut self) {
        if self.state == PairState::Failed {
            self.state = PairState::InProgress;
        }
        if !self.is_valid() {
            self.unanswered = 0;
        }
    }

    /// How long an answer on this path may take before it is missed.
    pub(super) fn probe_wait(&self) -> Duration {
        let round_trips = self.rtt.unwrap_or_default() * 2;
        round_trips.clamp(CONSENT_PROBE, CONSENT_PROBE_MAX)
    }

    /// Whether no check has been missed.
    pub(super) fn is_healthy(&self, now: Instant) -> bool {
        self.unanswered_since.is_none_or(|since| now < since + self.probe_wait())
    }
}
