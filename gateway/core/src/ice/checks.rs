//! The check list, the checks in flight, and the validated addresses.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use porthole_turn_proto::stun::TransactionId;

use super::LocalBase;
use super::config::{
    MAX_PAIRS, MAX_PEER_REFLEXIVE, MAX_TRANSACTIONS, MAX_VALIDATED, PEER_REFLEXIVE_REFILL, Role,
    TRANSACTION_LIFETIME,
};
use super::pair::{LocalCandidate, Pair, PairId, RemoteCandidate};

/// All candidate pairs, at most [`MAX_PAIRS`].
#[derive(Debug, Default)]
pub(super) struct CheckList {
    pairs: Vec<Pair>,
    next_id: u32,
}

impl CheckList {
    /// Adds the pair, or returns the id of the existing one. A full list drops its lowest-priority
    /// pair that never responded if the new pair has a higher priority (RFC 8445 §6.1.2.5) or the
    /// peer has checked it.
    pub(super) fn add(
        &mut self,
        generation: u32,
        local: &LocalCandidate,
        remote: RemoteCandidate,
        role: Role,
        requested_by_peer: bool,
    ) -> Option<PairId> {
        if let Some(found) = self.find(generation, local.base, remote.address) {
            return Some(found);
        }
        let id = PairId(self.next_id);
        let pair = Pair::new(id, generation, local.clone(), remote);
        if self.pairs.len() >= MAX_PAIRS {
            let least = self
                .pairs
                .iter()
                .enumerate()
                .filter(|(_, p)| !p.is_valid() && p.last_response.is_none())
                .min_by_key(|(_, p)| p.priority(role))?;
            if least.1.priority(role) >= pair.priority(role) && !requested_by_peer {
                return None;
            }
            let at = least.0;
            self.pairs.swap_remove(at);
        }
        self.next_id = self.next_id.wrapping_add(1);
        self.pairs.push(pair);
        Some(id)
    }

    pub(super) fn find(
        &self,
        generation: u32,
        base: LocalBase,
        remote: SocketAddr,
    ) -> Option<PairId> {
        let mut pairs = self.pairs.iter();
        pairs.find(|p| p.generation == generation && p.joins(base, remote)).map(|p| p.id)
    }

    pub(super) fn get(&self, id: PairId) -> Option<&Pair> {
        self.pairs.iter().find(|p| p.id == id)
    }

    pub(super) fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|p| p.id == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pair> {
        self.pairs.iter_mut()
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Pair) -> bool) {
        self.pairs.retain(keep);
    }
}

/// A check that has not been answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) id: TransactionId,
    pub(super) pair: PairId,
    pub(super) generation: u32,
    pub(super) base: LocalBase,
    pub(super) to: SocketAddr,
    /// The role and the tie-breaker that the check claims.
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    pub(super) use_candidate: bool,
    pub(super) sent: Instant,
}

/// The checks in flight. Every check is a transaction of its own, so that every response yields an
/// unambiguous round-trip time.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    in_flight: VecDeque<InFlight>,
}

impl Transactions {
    pub(super) fn add(&mut self, transaction: InFlight) {
        self.expire(transaction.sent);
        if self.in_flight.len() >= MAX_TRANSACTIONS {
            self.in_flight.pop_front();
        }
        self.in_flight.push_back(transaction);
    }

    pub(super) fn find(&self, id: TransactionId, now: Instant) -> Option<InFlight> {
        let found = self.in_flight.iter().find(|t| t.id == id).copied()?;
        (now < found.sent + TRANSACTION_LIFETIME).then_some(found)
    }

    pub(super) fn remove(&mut self, id: TransactionId) {
        self.in_flight.retain(|t| t.id != id);
    }

    fn expire(&mut self, now: Instant) {
        while self.in_flight.front().is_some_and(|t| t.sent + TRANSACTION_LIFETIME <= now) {
            self.in_flight.pop_front();
        }
    }
}

/// Addresses from which authenticated STUN messages came, by local base. Media from any other
/// address is dropped unread.
#[derive(Debug, Default)]
pub(super) struct ValidatedAddresses {
    /// Ordered by time, oldest first.
    addresses: VecDeque<(LocalBase, SocketAddr)>,
}

impl ValidatedAddresses {
    pub(super) fn add(&mut self, base: LocalBase, from: SocketAddr) {
        if let Some(at) = self.addresses.iter().position(|known| *known == (base, from)) {
            self.addresses.remove(at);
        } else if self.addresses.len() >= MAX_VALIDATED {
            self.addresses.pop_front();
        }
        self.addresses.push_back((base, from));
    }

    pub(super) fn contains(&self, base: LocalBase, from: SocketAddr) -> bool {
        // Newest first, because those are the most likely.
        self.addresses.iter().rev().any(|known| *known == (base, from))
    }

    pub(super) fn remove_base(&mut self, base: LocalBase) {
        self.addresses.retain(|(known, _)| *known != base);
    }
}

/// A token bucket that limits how many peer-reflexive candidates are learned.
#[derive(Debug)]
pub(super) struct Allowance {
    left: usize,
    refilled: Instant,
}

impl Allowance {
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: MAX_PEER_REFLEXIVE, refilled: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs();
        let gained = elapsed / PEER_REFLEXIVE_REFILL.as_secs();
        if gained > 0 {
            let gained = usize::try_from(gained).unwrap_or(usize::MAX);
            self.left = self.left.saturating_add(gained).min(MAX_PEER_REFLEXIVE);
            self.refilled = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}
