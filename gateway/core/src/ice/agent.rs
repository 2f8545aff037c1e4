//! The agent: what the session calls, and what it knows.

mod generation;
mod inbound;
mod schedule;
mod select;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::generation::Generation;
use self::schedule::Pacer;
use self::select::Selection;
use super::candidate::{canonical, is_usable};
use super::checks::{Allowance, CheckList, Transactions, ValidatedAddresses};
use super::config::{
    Config, MAX_EVENTS, MAX_LOCAL, MAX_PEER_REFLEXIVE, MAX_REFLEXIVE_PER_END, MAX_REMOTE,
    MAX_TRANSMITS, Role, TRIGGERED_TA,
};
use super::pair::{LocalCandidate, Pair, PairId, Remote};
use super::{Candidate, CandidateKind, Credentials, Event, LocalBase, PairReport, Path, Transmit};

/// One side of one connection.
#[derive(Debug)]
pub struct Agent {
    role: Role,
    tie_breaker: u64,
    rng: StdRng,
    config: Timers,
    generation: Generation,
    /// The one whose selected pair carries media until the restarted one has its own.
    previous: Option<Generation>,
    bases: Vec<LocalCandidate>,
    locals: Vec<Local>,
    remotes: Vec<Remote>,
    reflexive_allowance: Allowance,
    /// Of a generation whose credentials have not arrived yet.
    parked: VecDeque<Candidate>,
    list: CheckList,
    flight: Transactions,
    validated: ValidatedAddresses,
    pacer: Pacer,
    selection: Selection,
    /// Worked out at the end of every call that may change it: drivers ask often.
    timeout: Option<Instant>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

/// A candidate of ours, and where it leaves from.
#[derive(Debug)]
struct Local {
    base: LocalBase,
    candidate: Candidate,
}

/// What of the configuration is asked again and again.
#[derive(Clone, Copy, Debug)]
struct Timers {
    ta: std::time::Duration,
    patience: std::time::Duration,
}

impl Agent {
    /// An agent that knows nothing but itself.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut rng = StdRng::seed_from_u64(config.seed);
        Self {
            role: config.role,
            tie_breaker: rng.random(),
            rng,
            config: Timers { ta: config.ta.max(TRIGGERED_TA), patience: config.patience },
            generation: Generation::new(0, config.local),
            previous: None,
            bases: Vec::new(),
            locals: Vec::new(),
            remotes: Vec::new(),
            reflexive_allowance: Allowance::new(now),
            parked: VecDeque::new(),
            list: CheckList::default(),
            flight: Transactions::default(),
            validated: ValidatedAddresses::default(),
            pacer: Pacer::new(now),
            selection: Selection::new(now),
            timeout: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The peer's credentials: checks begin. Other ones than before mean that the peer has
    /// restarted; what was learned of it is forgotten, the selected pair excepted.
    pub fn set_remote_credentials(&mut self, now: Instant, credentials: Credentials) {
        match self.generation.remote_credentials() {
            Some(known) if *known == credentials => return,
            Some(_) => self.begin_generation(now, self.generation.local().clone()),
            None => {}
        }
        self.generation.set_remote(credentials, now);
        for candidate in std::mem::take(&mut self.parked) {
            self.add_remote(now, candidate);
        }
        self.run(now);
    }

    /// Tells of a local candidate and returns what to signal to the peer; nothing when it is
    /// already known, redundant, of no use, or one too many. A reflexive candidate adds no pairs:
    /// its base has them (RFC 8445 §6.1.2.4).
    pub fn add_local(
        &mut self,
        now: Instant,
        kind: CandidateKind,
        base: LocalBase,
        address: SocketAddr,
        related: Option<SocketAddr>,
        local_preference: u16,
    ) -> Option<Candidate> {
        let address = canonical(address);
        let is_base = match kind {
            CandidateKind::Host | CandidateKind::Relay => true,
            CandidateKind::ServerReflexive => false,
            CandidateKind::PeerReflexive => return None,
        };
        let known_base = self.bases.iter().any(|known| known.base == base);
        if kind == CandidateKind::ServerReflexive {
            self.forget_old_reflexive(base);
        }
        let full = self.locals.len() >= MAX_LOCAL;
        let redundant = self.locals.iter().any(|known| known.candidate.address == address);
        if full || redundant || known_base == is_base || !is_usable(address) {
            return None;
        }
        let foundation_base = match base {
            LocalBase::Socket(base) => canonical(base),
            LocalBase::Allocation(_) => address,
        };
        let ufrag = &self.generation.local().ufrag;
        let candidate =
            Candidate::local(kind, address, foundation_base, related, local_preference, ufrag);
        self.locals.push(Local { base, candidate: candidate.clone() });
        if is_base {
            let local = LocalCandidate { base, kind, address, local_preference };
            for remote in &self.remotes {
                if can_pair(&local, remote) {
                    self.list.add(self.generation.number(), &local, *remote, self.role, false);
                }
            }
            self.bases.push(local);
            self.run(now);
        }
        Some(candidate)
    }

    fn forget_old_reflexive(&mut self, base: LocalBase) {
        let reflexive = CandidateKind::ServerReflexive;
        let of_end = |local: &Local| local.base == base && local.candidate.kind == reflexive;
        if self.locals.iter().filter(|local| of_end(local)).count() >= MAX_REFLEXIVE_PER_END
            && let Some(oldest) = self.locals.iter().position(of_end)
        {
            self.locals.remove(oldest);
        }
    }

    /// The end is gone: an address of the machine, or a TURN allocation. A selected pair on it is
    /// replaced, or the agent is disconnected at once.
    pub fn remove_local(&mut self, now: Instant, base: LocalBase) {
        let Some(at) = self.bases.iter().position(|known| known.base == base) else { return };
        self.bases.remove(at);
        self.locals.retain(|local| local.base != base);
        self.validated.remove_base(base);
        let lost = self.selected_pair().is_some_and(|pair| pair.local.base == base);
        self.list.retain(|pair| pair.local.base != base);
        if lost {
            self.lose_selected(now);
        }
        self.run(now);
    }

    /// What to signal after a restart: all local candidates, in the current generation. Ask the
    /// STUN servers again then: what they saw before may be forgotten.
    pub fn local_candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.locals.iter().map(|local| &local.candidate)
    }

    /// A candidate of the peer, before or after its credentials. One that names another `ufrag`
    /// waits for that generation.
    pub fn add_remote(&mut self, now: Instant, candidate: Candidate) {
        let candidate = Candidate { address: canonical(candidate.address), ..candidate };
        if !is_usable(candidate.address) {
            return;
        }
        let remote_ufrag = self.generation.remote_credentials().map(|known| known.ufrag.as_str());
        if candidate.ufrag.is_some() && candidate.ufrag.as_deref() != remote_ufrag {
            if self.parked.len() >= MAX_REMOTE {
                self.parked.pop_front();
            }
            self.parked.push_back(candidate);
            return;
        }
        let Candidate { kind, address, priority, .. } = candidate;
        let remote = Remote { kind, address, priority };
        if let Some(known) = self.remotes.iter_mut().find(|known| known.address == address) {
            // Signalled later than its first check arrived: now we know what it is.
            if known.kind == CandidateKind::PeerReflexive {
                *known = remote;
                self.retype(now, remote);
            }
            return;
        }
        if self.remotes.len() >= MAX_REMOTE {
            return;
        }
        self.generation.on_remote_candidate(now);
        self.remotes.push(remote);
        self.pair_with_all(remote);
        self.run(now);
    }

    /// The peer has no more candidates. Its checks may still come from elsewhere, so this only
    /// ends the extra patience for late ones (RFC 8863 §4).
    pub fn end_of_remote_candidates(&mut self, now: Instant) {
        self.generation.end_of_remote_candidates();
        self.run(now);
    }

    /// New credentials of ours: an ICE restart. The selected pair goes on until one of the new
    /// generation is selected. Signal [`Self::local_candidates`] with them.
    pub fn restart(&mut self, now: Instant, local: Credentials) {
        self.begin_generation(now, local);
        self.run(now);
    }

    /// Lets the time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.run(now);
    }

    /// When [`Self::handle_timeout`] has something to do next.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Where media goes.
    pub fn selected(&self) -> Option<Path> {
        self.selected_pair().map(|pair| pair.path())
    }

    /// Whether an authenticated STUN message came that way: everything else than STUN is to be
    /// dropped unread when not (one forged ClientHello ends a DTLS handshake).
    pub fn is_validated(&self, base: LocalBase, from: SocketAddr) -> bool {
        let from = canonical(from);
        let is_valid = |pair: &Pair| pair.is_valid() && pair.joins(base, from);
        self.selected_pair().is_some_and(is_valid)
            || self.validated.contains(base, from)
            || self.list.iter().any(is_valid)
    }

    /// Every address that checks may go to, for TURN permissions.
    pub fn remote_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.remotes.iter().map(|remote| remote.address)
    }

    /// Whether checks with this `ufrag` of ours are for this agent: for a socket that many agents
    /// share. After a restart the old one counts as long as the old path may carry media.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        let generations = [Some(&self.generation), self.previous.as_ref()];
        generations.into_iter().flatten().any(|generation| generation.local().ufrag == ufrag)
    }

    /// The role of now: a conflict may have changed it.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Ours, of the current generation.
    pub const fn local_credentials(&self) -> &Credentials {
        self.generation.local()
    }

    /// For diagnosis, in no order.
    pub fn pairs(&self) -> impl Iterator<Item = PairReport> {
        self.list.iter().map(|pair| PairReport {
            path: pair.path(),
            state: pair.state,
            priority: pair.priority(self.role),
            selected: self.selection.pair == Some(pair.id),
            of_old_generation: pair.generation != self.generation.number(),
            checks: pair.checks,
            answers: pair.answers,
        })
    }

    /// The selected pair keeps its generation's credentials; everything else is forgotten.
    fn begin_generation(&mut self, now: Instant, local: Credentials) {
        for Local { candidate, .. } in &mut self.locals {
            candidate.ufrag = Some(local.ufrag.clone());
        }
        let next = Generation::new(self.generation.number().wrapping_add(1), local);
        let old = std::mem::replace(&mut self.generation, next);
        let carrying = self.selected_pair().map(|pair| pair.generation);
        if carrying.is_none_or(|number| number == old.number()) {
            self.previous = Some(old);
        }
        let selected = self.selection.pair;
        self.list.retain(|pair| Some(pair.id) == selected);
        self.remotes.clear();
        self.pacer.clear();
        self.selection.begin_generation(now);
    }

    fn pair_with_all(&mut self, remote: Remote) {
        for local in self.bases.iter().filter(|local| can_pair(local, &remote)) {
            self.list.add(self.generation.number(), local, remote, self.role, false);
        }
    }

    /// The candidate that a check came from; a new one is peer-reflexive (RFC 8445 §7.3.1.3). It is
    /// paired with every end, not only with the one that it reached: what a TURN server of ours
    /// sees may be where our own socket can punch a hole.
    fn learn_remote(&mut self, now: Instant, from: SocketAddr, priority: u32) -> Option<Remote> {
        if let Some(known) = self.remotes.iter().find(|known| known.address == from) {
            return Some(*known);
        }
        if !self.reflexive_allowance.take(now) {
            return None;
        }
        let is_reflexive = |remote: &Remote| remote.kind == CandidateKind::PeerReflexive;
        let crowded = self.remotes.iter().filter(|r| is_reflexive(r)).count() >= MAX_PEER_REFLEXIVE
            || self.remotes.len() >= MAX_REMOTE;
        if crowded {
            let list = &self.list;
            let idle =
                |r: &Remote| !list.iter().any(|p| p.remote.address == r.address && p.is_valid());
            let at = self.remotes.iter().position(|r| is_reflexive(r) && idle(r))?;
            let gone = self.remotes.remove(at).address;
            let number = self.generation.number();
            self.list.retain(|p| p.remote.address != gone || p.generation != number);
        }
        let remote = Remote { kind: CandidateKind::PeerReflexive, address: from, priority };
        self.remotes.push(remote);
        self.pair_with_all(remote);
        Some(remote)
    }

    /// A peer-reflexive candidate turns out to be a signalled one.
    fn retype(&mut self, now: Instant, remote: Remote) {
        let number = self.generation.number();
        for pair in self.list.iter_mut() {
            if pair.generation == number && pair.remote.address == remote.address {
                pair.remote = remote;
            }
        }
        self.reselect(now);
        self.run(now);
    }

    fn selected_pair(&self) -> Option<&Pair> {
        self.selection.pair.and_then(|id: PairId| self.list.get(id))
    }

    fn transmit(&mut self, base: LocalBase, to: SocketAddr, bytes: Vec<u8>) {
        if self.transmits.len() >= MAX_TRANSMITS {
            self.transmits.pop_front();
        }
        self.transmits.push_back(Transmit { base, to, bytes });
    }

    fn emit(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// Families do not mix, and loopback reaches nothing but loopback.
fn can_pair(local: &LocalCandidate, remote: &Remote) -> bool {
    let (local, remote) = (local.address.ip(), remote.address.ip());
    local.is_ipv4() == remote.is_ipv4() && local.is_loopback() == remote.is_loopback()
}
