//! One candidate pair: its priority, its checks and its responses.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::candidate::{CandidateKind, priority};
use super::config::{CONSENT_PROBE, CONSENT_PROBE_MAX, Role};
use super::{LocalBase, Path};

/// State of a candidate pair (RFC 8445 §6.1.2.6). There is no frozen state: with one component and
/// one check list, freezing would only delay checks that pacing already spreads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PairState {
    /// No check has been sent.
    Waiting,
    /// Checks have been sent and not answered.
    InProgress,
    /// A check was answered: the pair is valid.
    Succeeded,
    /// Several checks were not answered; retried slowly, and at once when the peer checks it.
    Failed,
}

/// Identifier of a pair, unique in its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PairId(pub(super) u32);

/// The local candidate of a pair: a host candidate or a relayed one.
#[derive(Clone, Debug)]
pub(super) struct LocalCandidate {
    pub(super) base: LocalBase,
    pub(super) kind: CandidateKind,
    pub(super) address: SocketAddr,
    pub(super) local_preference: u16,
}

/// The remote candidate of a pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemoteCandidate {
    pub(super) kind: CandidateKind,
    pub(super) address: SocketAddr,
    pub(super) priority: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) id: PairId,
    pub(super) generation: u32,
    pub(super) local: LocalCandidate,
    pub(super) remote: RemoteCandidate,
    pub(super) state: PairState,
    /// The mapped address of the last response, and its kind.
    pub(super) mapped: Option<(SocketAddr, CandidateKind)>,
    pub(super) rtt: Option<Duration>,
    pub(super) last_check: Option<Instant>,
    pub(super) last_response: Option<Instant>,
    /// Time of the last sign that the peer sends on this pair: a check of its, or media.
    pub(super) last_heard: Option<Instant>,
    /// Time of the first check since the last response.
    pub(super) unanswered_since: Option<Instant>,
    /// Number of checks since the last response, or since a check of the peer woke the pair.
    pub(super) unanswered: u32,
    pub(super) checks: u32,
    pub(super) responses: u32,
    /// True if the controlling peer has nominated the pair.
    pub(super) nominated: bool,
}

impl Pair {
    pub(super) fn new(
        id: PairId,
        generation: u32,
        local: LocalCandidate,
        remote: RemoteCandidate,
    ) -> Self {
        Self {
            id,
            generation,
            local,
            remote,
            state: PairState::Waiting,
            mapped: None,
            rtt: None,
            last_check: None,
            last_response: None,
            last_heard: None,
            unanswered_since: None,
            unanswered: 0,
            checks: 0,
            responses: 0,
            nominated: false,
        }
    }

    pub(super) fn joins(&self, base: LocalBase, remote: SocketAddr) -> bool {
        self.local.base == base && self.remote.address == remote
    }

    pub(super) fn is_valid(&self) -> bool {
        self.state == PairState::Succeeded
    }

    /// Returns the pair priority (RFC 8445 §6.1.2.3). Before the first response the local candidate
    /// is the base, afterwards the one that the peer sees; so a path through the LAN has a higher
    /// priority than a hairpin through the NAT.
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
        self.mapped.map_or(self.local.kind, |(_, kind)| kind)
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
            local_address: self.mapped.map_or(self.local.address, |(address, _)| address),
        }
    }

    pub(super) fn record_check(&mut self, now: Instant) {
        if self.state == PairState::Waiting {
            self.state = PairState::InProgress;
        }
        self.last_check = Some(now);
        self.unanswered_since.get_or_insert(now);
        self.unanswered = self.unanswered.saturating_add(1);
        self.checks = self.checks.saturating_add(1);
    }

    pub(super) fn record_response(
        &mut self,
        now: Instant,
        rtt: Duration,
        mapped: SocketAddr,
        kind: CandidateKind,
    ) {
        self.state = PairState::Succeeded;
        self.mapped = Some((mapped, kind));
        // An eighth of every new measurement (RFC 6298 §2).
        self.rtt = Some(self.rtt.map_or(rtt, |old| (old * 7 + rtt) / 8));
        self.last_response = Some(now);
        self.unanswered_since = None;
        self.unanswered = 0;
        self.responses = self.responses.saturating_add(1);
    }

    /// Resumes checks of a failed pair because the peer has checked it.
    pub(super) fn wake(&mut self) {
        if self.state == PairState::Failed {
            self.state = PairState::InProgress;
        }
        if !self.is_valid() {
            self.unanswered = 0;
        }
    }

    /// Returns the time after which a check on this pair counts as missed.
    pub(super) fn probe_wait(&self) -> Duration {
        let round_trips = self.rtt.unwrap_or_default() * 2;
        round_trips.clamp(CONSENT_PROBE, CONSENT_PROBE_MAX)
    }

    /// Returns true if no check has been missed.
    pub(super) fn is_healthy(&self, now: Instant) -> bool {
        self.unanswered_since.is_none_or(|since| now < since + self.probe_wait())
    }
}
