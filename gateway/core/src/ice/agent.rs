//! The ICE agent: its state and the calls of the session.

mod generation;
mod inbound;
mod schedule;
mod select;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::generation::Generation;
use self::schedule::Pacer;
use self::select::Selection;
use super::candidate::{canonical, is_usable, priority};
use super::checks::{Allowance, CheckList, Transactions, ValidatedAddresses};
use super::config::{
    Config, DEFAULT_TA, MAX_EVENTS, MAX_LOCAL, MAX_PEER_REFLEXIVE, MAX_REFLEXIVE_PER_BASE,
    MAX_REMOTE, MAX_TA, MAX_TRANSMITS, MIN_TA, Role,
};
use super::pair::{LocalCandidate, Pair, PairId, RemoteCandidate};
use super::{Candidate, CandidateKind, Credentials, Event, LocalBase, PairReport, Path, Transmit};

/// One side of an ICE connection. See the [module](super) for how to call it.
#[derive(Debug)]
pub struct Agent {
    role: Role,
    tie_breaker: u64,
    conflict: Conflict,
    rng: StdRng,
    timers: Timers,
    generation: Generation,
    /// The generation before an ICE restart, kept while its selected pair still carries media.
    previous: Option<Generation>,
    /// The host and relayed candidates, one for each base. Pairs are formed from these only.
    bases: Vec<LocalCandidate>,
    /// All local candidates, server-reflexive ones included.
    signaled: Vec<SignaledCandidate>,
    remotes: Vec<RemoteCandidate>,
    reflexive_allowance: Allowance,
    /// Remote candidates of a generation whose credentials have not arrived yet.
    parked: VecDeque<Candidate>,
    check_list: CheckList,
    transactions: Transactions,
    validated: ValidatedAddresses,
    pacer: Pacer,
    selection: Selection,
    /// Computed at the end of every call that may change it, because drivers ask often.
    timeout: Option<Instant>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

/// A local candidate that is signaled to the peer, and its base.
#[derive(Debug)]
struct SignaledCandidate {
    base: LocalBase,
    candidate: Candidate,
}

/// The state of the roles while they are disputed.
#[derive(Clone, Copy, Debug, Default)]
struct Conflict {
    /// True if the peer is an ICE-lite agent, which is always controlled.
    peer_is_lite: bool,
    /// Time since which the peer claims our role although it has to change its own.
    since: Option<Instant>,
    /// True if we have taken the controlling role in this generation because nobody nominated.
    claimed: bool,
}

/// The timers of the configuration.
#[derive(Clone, Copy, Debug)]
struct Timers {
    /// The Ta that we propose.
    our_ta: Duration,
    /// The Ta that is used: the longer one of both sides'.
    ta: Duration,
    patience: Duration,
}

impl Agent {
    /// Creates an agent without candidates and without the peer's credentials.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut rng = StdRng::seed_from_u64(config.seed);
        Self {
            role: config.role,
            tie_breaker: rng.random(),
            conflict: Conflict::default(),
            rng,
            timers: Timers {
                our_ta: config.ta,
                ta: higher_pacing(config.ta, None),
                patience: config.patience,
            },
            generation: Generation::new(0, config.local),
            previous: None,
            bases: Vec::new(),
            signaled: Vec::new(),
            remotes: Vec::new(),
            reflexive_allowance: Allowance::new(now),
            parked: VecDeque::new(),
            check_list: CheckList::default(),
            transactions: Transactions::default(),
            validated: ValidatedAddresses::default(),
            pacer: Pacer::new(now),
            selection: Selection::new(now),
            timeout: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Sets the peer's credentials and begins the checks. Credentials that differ from the known
    /// ones mean that the peer has restarted ICE: its candidates are forgotten, and all pairs but
    /// the selected one.
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
        self.process(now);
    }

    /// Sets the Ta that the peer's description indicates with `a=ice-pacing`; `None` if it
    /// indicates none, which means [`DEFAULT_TA`]. The longer one of both sides' is used
    /// (RFC 8445 §14.2).
    pub fn set_remote_pacing(&mut self, theirs: Option<Duration>) {
        self.timers.ta = higher_pacing(self.timers.our_ta, theirs);
    }

    /// Notes that the peer is an ICE-lite agent (`a=ice-lite`). It is controlled and sends no
    /// checks, so this side controls, also if the peer has made the offer (RFC 8445 §6.1.1).
    pub fn set_remote_lite(&mut self, now: Instant) {
        self.conflict.peer_is_lite = true;
        if self.role == Role::Controlled {
            self.change_role(now, Role::Controlling);
        }
        self.process(now);
    }

    /// Adds a local candidate and returns what to signal to the peer, or `None` if the candidate is
    /// known already, redundant, unusable, or one too many. A server-reflexive candidate adds no
    /// pairs, because its base has them already (RFC 8445 §6.1.2.4).
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
            self.evict_oldest_reflexive(base, priority(kind, local_preference));
        }
        let full = self.signaled.len() >= MAX_LOCAL;
        let redundant = self.signaled.iter().any(|known| known.candidate.address == address);
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
        self.signaled.push(SignaledCandidate { base, candidate: candidate.clone() });
        if is_base {
            let local = LocalCandidate { base, kind, address, local_preference };
            for remote in &self.remotes {
                if can_pair(&local, remote) {
                    self.check_list.add(
                        self.generation.number(),
                        &local,
                        *remote,
                        self.role,
                        false,
                    );
                }
            }
            self.bases.push(local);
            self.process(now);
        }
        Some(candidate)
    }

    /// Makes room for a server-reflexive candidate. Those that have another priority come from
    /// elsewhere, and are not exchanged for it.
    fn evict_oldest_reflexive(&mut self, base: LocalBase, priority: u32) {
        let of_base = |local: &SignaledCandidate| {
            let Candidate { kind, priority: known, .. } = local.candidate;
            let is_reflexive = kind == CandidateKind::ServerReflexive;
            local.base == base && is_reflexive && known == priority
        };
        if self.signaled.iter().filter(|local| of_base(local)).count() >= MAX_REFLEXIVE_PER_BASE
            && let Some(oldest) = self.signaled.iter().position(of_base)
        {
            self.signaled.remove(oldest);
        }
    }

    /// Removes a server-reflexive candidate that leads nowhere any more. It has no pairs of its
    /// own: those of its base stay.
    pub fn remove_reflexive(&mut self, address: SocketAddr) {
        let address = canonical(address);
        self.signaled.retain(|local| {
            let Candidate { kind, address: known, .. } = local.candidate;
            kind != CandidateKind::ServerReflexive || known != address
        });
    }

    /// Removes a base that is gone: an address of the machine, or a TURN allocation. If the
    /// selected pair used it, another pair takes over, or the agent is disconnected at once.
    pub fn remove_local(&mut self, now: Instant, base: LocalBase) {
        let Some(at) = self.bases.iter().position(|known| known.base == base) else { return };
        self.bases.remove(at);
        self.signaled.retain(|local| local.base != base);
        self.validated.remove_base(base);
        let lost = self.selected_pair().is_some_and(|pair| pair.local.base == base);
        self.check_list.retain(|pair| pair.local.base != base);
        if lost {
            self.handle_selected_lost(now);
        }
        self.process(now);
    }

    /// Returns all local candidates, in the current generation: what to signal after a restart. Ask
    /// the STUN servers again then, because the NAT may have dropped the old mappings.
    pub fn local_candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.signaled.iter().map(|local| &local.candidate)
    }

    /// Adds a candidate of the peer, before or after its credentials. A candidate that names
    /// another `ufrag` is kept until that generation begins.
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
        let remote = RemoteCandidate { kind, address, priority };
        if let Some(known) = self.remotes.iter_mut().find(|known| known.address == address) {
            // Signaled after its first check arrived; now its kind is known.
            if known.kind == CandidateKind::PeerReflexive {
                *known = remote;
                self.resolve_peer_reflexive(now, remote);
            }
            return;
        }
        if self.remotes.len() >= MAX_REMOTE && !self.forget_least_remote(Some(priority)) {
            return;
        }
        self.generation.record_remote_candidate(now);
        self.remotes.push(remote);
        self.pair_with_all(remote);
        self.process(now);
    }

    /// Notes that the peer has no more candidates. Its checks may still come from new addresses, so
    /// this only ends the extra wait for late candidates (RFC 8863 §4).
    pub fn end_of_remote_candidates(&mut self, now: Instant) {
        self.generation.end_of_remote_candidates();
        self.process(now);
    }

    /// Notes that an authentic packet of media came from this address: SRTP or SRTCP that could be
    /// decrypted. From the selected pair it shows that the path is alive. From elsewhere it shows
    /// that the peer has moved, and is checked like the source of a check.
    pub fn handle_media(&mut self, now: Instant, base: LocalBase, from: SocketAddr) {
        let from = canonical(from);
        let Some(selected) = self.selection.pair.and_then(|id| self.check_list.get_mut(id)) else {
            return;
        };
        if selected.joins(base, from) {
            selected.last_heard = Some(now);
            if self.selection.expect_media(now) {
                self.timeout = self.next_deadline();
            }
            return;
        }
        let Some(local) = self.bases.iter().find(|local| local.base == base).cloned() else {
            return;
        };
        // A packet of media has no PRIORITY.
        let assumed = priority(CandidateKind::PeerReflexive, u16::MAX);
        self.handle_sign_of_life(now, &local, from, assumed);
        self.process(now);
    }

    /// Restarts ICE with new local credentials. The selected pair carries media until a pair of the
    /// new generation is selected. Signal [`Self::local_candidates`] together with the credentials.
    pub fn restart(&mut self, now: Instant, local: Credentials) {
        self.begin_generation(now, local);
        self.process(now);
    }

    /// Sends the checks that are due and draws the conclusions of those that were not answered.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.process(now);
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns the selected pair, which carries media.
    pub fn selected(&self) -> Option<Path> {
        self.selected_pair().map(|pair| pair.path())
    }

    /// Returns true if an authenticated STUN message came from this address to this base. Drop
    /// everything but STUN from other addresses unread: one forged ClientHello would end a DTLS
    /// handshake.
    pub fn is_validated(&self, base: LocalBase, from: SocketAddr) -> bool {
        let from = canonical(from);
        let is_valid = |pair: &Pair| pair.is_valid() && pair.joins(base, from);
        self.selected_pair().is_some_and(is_valid)
            || self.validated.contains(base, from)
            || self.check_list.iter().any(is_valid)
    }

    /// Returns every address that checks may be sent to, for TURN permissions.
    pub fn remote_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.remotes.iter().map(|remote| remote.address)
    }

    /// Returns true if checks with this local `ufrag` are for this agent, for a socket that many
    /// agents share. After a restart the old `ufrag` counts as long as the old path may carry
    /// media.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        let generations = [Some(&self.generation), self.previous.as_ref()];
        generations.into_iter().flatten().any(|generation| generation.local().ufrag == ufrag)
    }

    /// Returns the current role; a role conflict may have changed it.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns the local credentials of the current generation.
    pub const fn local_credentials(&self) -> &Credentials {
        self.generation.local()
    }

    /// Returns all candidate pairs, for diagnosis, in no particular order.
    pub fn pairs(&self) -> impl Iterator<Item = PairReport> {
        self.check_list.iter().map(|pair| PairReport {
            path: pair.path(),
            state: pair.state,
            priority: pair.priority(self.role),
            selected: self.selection.pair == Some(pair.id),
            previous_generation: pair.generation != self.generation.number(),
            checks: pair.checks,
            responses: pair.responses,
        })
    }

    /// Begins a generation. The selected pair keeps its old credentials; all else is forgotten.
    fn begin_generation(&mut self, now: Instant, local: Credentials) {
        for SignaledCandidate { candidate, .. } in &mut self.signaled {
            candidate.ufrag = Some(local.ufrag.clone());
        }
        let next = Generation::new(self.generation.number().wrapping_add(1), local);
        let old = std::mem::replace(&mut self.generation, next);
        let carrying = self.selected_pair().map(|pair| pair.generation);
        if carrying.is_none_or(|number| number == old.number()) {
            self.previous = Some(old);
        }
        let selected = self.selection.pair;
        self.check_list.retain(|pair| Some(pair.id) == selected);
        self.remotes.clear();
        self.pacer.clear();
        self.conflict =
            Conflict { peer_is_lite: self.conflict.peer_is_lite, ..Conflict::default() };
        self.selection.begin_generation(now);
    }

    fn pair_with_all(&mut self, remote: RemoteCandidate) {
        for local in self.bases.iter().filter(|local| can_pair(local, &remote)) {
            self.check_list.add(self.generation.number(), local, remote, self.role, false);
        }
    }

    /// Returns the candidate that a check came from; a new one is peer-reflexive
    /// (RFC 8445 §7.3.1.3). It is paired with every base, not only with the one that it reached: an
    /// address that our TURN server sees may be one that our own socket can reach by hole punching.
    fn learn_peer_reflexive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        priority: u32,
    ) -> Option<RemoteCandidate> {
        if let Some(known) = self.remotes.iter().find(|known| known.address == from) {
            return Some(*known);
        }
        if !self.reflexive_allowance.take(now) {
            return None;
        }
        if !self.make_room_for_reflexive() {
            return None;
        }
        let remote =
            RemoteCandidate { kind: CandidateKind::PeerReflexive, address: from, priority };
        self.remotes.push(remote);
        self.pair_with_all(remote);
        Some(remote)
    }

    /// Makes room for a peer-reflexive candidate: the oldest other one makes way if there are too
    /// many, or the least of all. Returns false if all of them are in use.
    fn make_room_for_reflexive(&mut self) -> bool {
        let is_reflexive = |remote: &RemoteCandidate| remote.kind == CandidateKind::PeerReflexive;
        if self.remotes.iter().filter(|r| is_reflexive(r)).count() >= MAX_PEER_REFLEXIVE {
            let oldest = self.remotes.iter().position(|r| is_reflexive(r) && self.is_idle(r));
            return self.forget_remote(oldest);
        }
        self.remotes.len() < MAX_REMOTE || self.forget_least_remote(None)
    }

    /// Forgets the remote candidate with the lowest priority, below `below` if it is given, that no
    /// valid pair uses. Returns false if there is none.
    fn forget_least_remote(&mut self, below: Option<u32>) -> bool {
        let remotes = self.remotes.iter().enumerate();
        let idle = remotes.filter(|(_, remote)| {
            below.is_none_or(|below| remote.priority < below) && self.is_idle(remote)
        });
        let least = idle.min_by_key(|(_, remote)| remote.priority).map(|(at, _)| at);
        self.forget_remote(least)
    }

    fn is_idle(&self, remote: &RemoteCandidate) -> bool {
        !self.check_list.iter().any(|pair| pair.remote.address == remote.address && pair.is_valid())
    }

    fn forget_remote(&mut self, at: Option<usize>) -> bool {
        let Some(at) = at else { return false };
        let gone = self.remotes.remove(at).address;
        let number = self.generation.number();
        self.check_list.retain(|p| p.remote.address != gone || p.generation != number);
        true
    }

    /// Updates the pairs of a peer-reflexive candidate that turned out to be a signaled one.
    fn resolve_peer_reflexive(&mut self, now: Instant, remote: RemoteCandidate) {
        let number = self.generation.number();
        for pair in self.check_list.iter_mut() {
            if pair.generation == number && pair.remote.address == remote.address {
                pair.remote = remote;
            }
        }
        self.reselect(now);
        self.process(now);
    }

    fn selected_pair(&self) -> Option<&Pair> {
        self.selection.pair.and_then(|id: PairId| self.check_list.get(id))
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

/// Returns the Ta to use: the longer one of both sides', within [`MIN_TA`] and [`MAX_TA`].
fn higher_pacing(ours: Duration, theirs: Option<Duration>) -> Duration {
    ours.max(theirs.unwrap_or(DEFAULT_TA)).clamp(MIN_TA, MAX_TA)
}

/// Returns true if the address families match, and loopback is paired with loopback only.
fn can_pair(local: &LocalCandidate, remote: &RemoteCandidate) -> bool {
    let (local, remote) = (local.address.ip(), remote.address.ip());
    local.is_ipv4() == remote.is_ipv4() && local.is_loopback() == remote.is_loopback()
}
