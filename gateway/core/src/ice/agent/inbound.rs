//! Incoming checks and responses to our own checks (RFC 8445 §7.2.5, §7.3).

use std::net::SocketAddr;
use std::time::Instant;

use porthole_turn_proto::stun::{Class, ErrorCode, Message, Method, TransactionId, attribute};
use rand::Rng;

use super::super::candidate::{CandidateKind, canonical};
use super::super::checks::InFlight;
use super::super::config::{ROLE_PATIENCE, Role};
use super::super::message::{Fault, Request};
use super::super::pair::{LocalCandidate, PairId};
use super::super::{LocalBase, StunRefused, message};
use super::{Agent, can_pair};

impl Agent {
    /// Handles a STUN datagram that arrived at `base` from `from`.
    ///
    /// # Errors
    /// Returns the reason when the datagram was ignored. A refused request may have been answered
    /// with an error response, where [`StunRefused`] says so.
    pub fn handle_stun(
        &mut self,
        now: Instant,
        base: LocalBase,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), StunRefused> {
        let from = canonical(from);
        let message = Message::parse(datagram)?;
        if message.method() != Method::Binding {
            return Err(StunRefused::Method);
        }
        if !message.has_fingerprint() {
            return Err(StunRefused::NoFingerprint);
        }
        let local = self.bases.iter().find(|local| local.base == base).cloned();
        let local = local.ok_or(StunRefused::UnknownBase)?;
        match message.class() {
            Class::Request => self.handle_request(now, &local, from, &message)?,
            Class::Success | Class::Error => self.handle_response(now, &local, from, &message)?,
            // A keepalive: it only refreshes the NAT's mapping (RFC 8445 §11).
            Class::Indication => return Ok(()),
        }
        self.process(now);
        Ok(())
    }

    fn handle_request(
        &mut self,
        now: Instant,
        local: &LocalCandidate,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> Result<(), StunRefused> {
        let username = message.text(attribute::USERNAME).ok().flatten();
        let username = username.ok_or(StunRefused::Username)?;
        let is_current = self.generation.is_addressed(username);
        let addressed = if is_current {
            &self.generation
        } else {
            let previous = self.previous.as_ref().filter(|g| g.is_addressed(username));
            previous.ok_or(StunRefused::Username)?
        };
        let key = addressed.local_key().clone();
        if !message.has_valid_short_term_integrity(&key) {
            return Err(StunRefused::Integrity);
        }
        let request = match Request::read(message) {
            Ok(request) => request,
            Err(fault) => {
                let (code, unknown) = match fault {
                    Fault::Bad => (ErrorCode::BAD_REQUEST, Vec::new()),
                    Fault::Unknown(kinds) => (ErrorCode::UNKNOWN_ATTRIBUTE, kinds),
                };
                self.respond(local.base, from, message::error(message.id(), code, &unknown, &key));
                return Err(StunRefused::Attributes);
            }
        };
        self.validated.add(local.base, from);
        // The roles belong to the newest generation.
        if is_current && self.is_role_conflict(now, &request) {
            let code = ErrorCode::ROLE_CONFLICT;
            self.respond(local.base, from, message::error(message.id(), code, &[], &key));
            return Err(StunRefused::RoleConflict);
        }
        self.respond(local.base, from, message::success(message.id(), from, &key));
        if is_current {
            self.handle_valid_check(now, local, from, message.id(), &request);
        }
        Ok(())
    }

    /// Resolves a role conflict (RFC 8445 §7.3.1.1). Returns true if the peer must switch roles;
    /// otherwise there is no conflict, or this side has switched.
    fn is_role_conflict(&mut self, now: Instant, request: &Request) -> bool {
        let Some((role, tie_breaker)) = request.role else { return false };
        if role != self.role || self.conflict.peer_is_lite {
            self.conflict.since = None;
            return false;
        }
        let ours_is_larger = self.tie_breaker >= tie_breaker;
        let peer_is_to_change = ours_is_larger == (self.role == Role::Controlling);
        let since = *self.conflict.since.get_or_insert(now);
        // A peer that ignores our error responses is given way to.
        if peer_is_to_change && now < since + ROLE_PATIENCE {
            return true;
        }
        self.conflict.since = None;
        self.change_role(now, self.role.opposite());
        false
    }

    /// Learns the candidate, triggers a check and records a nomination
    /// (RFC 8445 §7.3.1.3 to §7.3.1.5).
    fn handle_valid_check(
        &mut self,
        now: Instant,
        local: &LocalCandidate,
        from: SocketAddr,
        check: TransactionId,
        request: &Request,
    ) {
        let Some(id) = self.handle_sign_of_life(now, local, from, request.priority) else { return };
        if request.use_candidate && self.role == Role::Controlled {
            self.handle_nomination(now, id, check);
        }
    }

    /// Handles authentic proof that the peer sends from this address: learns it, and checks it at
    /// once unless its pair is valid already. Returns the pair.
    pub(super) fn handle_sign_of_life(
        &mut self,
        now: Instant,
        local: &LocalCandidate,
        from: SocketAddr,
        priority: u32,
    ) -> Option<PairId> {
        let remote = self.learn_peer_reflexive(now, from, priority)?;
        if !can_pair(local, &remote) {
            return None;
        }
        let number = self.generation.number();
        let id = self.check_list.add(number, local, remote, self.role, true)?;
        let pair = self.check_list.get_mut(id)?;
        pair.wake();
        pair.last_heard = Some(now);
        if !pair.is_valid() {
            self.pacer.trigger(id);
        }
        self.probe_selected(now, id);
        self.selection.hear(now, id);
        Some(id)
    }

    fn handle_response(
        &mut self,
        now: Instant,
        local: &LocalCandidate,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> Result<(), StunRefused> {
        let found = self.transactions.find(message.id(), now);
        let check = found.ok_or(StunRefused::UnknownTransaction)?;
        let generations = [Some(&self.generation), self.previous.as_ref()];
        let generation = generations.into_iter().flatten().find(|g| g.number() == check.generation);
        let key = generation.and_then(|generation| generation.remote_key());
        let key = key.ok_or(StunRefused::UnknownTransaction)?;
        if !message.has_valid_short_term_integrity(key) {
            return Err(StunRefused::Integrity);
        }
        if check.base != local.base || check.to != from {
            return Err(StunRefused::Asymmetric);
        }
        self.validated.add(local.base, from);
        self.transactions.remove(message.id());
        if message.class() == Class::Error {
            return Err(self.handle_error(now, &check, message));
        }
        let mapped = message.xor_address(attribute::XOR_MAPPED_ADDRESS).ok().flatten();
        let mapped = canonical(mapped.ok_or(StunRefused::Attributes)?);
        self.handle_success(now, local, &check, mapped);
        Ok(())
    }

    fn handle_success(
        &mut self,
        now: Instant,
        local: &LocalCandidate,
        check: &InFlight,
        mapped: SocketAddr,
    ) {
        let kind = self.mapped_kind(local, mapped);
        let Some(pair) = self.check_list.get_mut(check.pair) else { return };
        pair.record_response(now, now.saturating_duration_since(check.sent), mapped, kind);
        if self.selection.pair == Some(check.pair) {
            self.record_consent(check);
        }
        self.reselect(now);
    }

    /// Returns the kind of the local candidate with this mapped address: one that we have signaled,
    /// or a peer-reflexive one that only this path reveals (RFC 8445 §7.2.5.3.1).
    fn mapped_kind(&self, local: &LocalCandidate, mapped: SocketAddr) -> CandidateKind {
        if local.kind == CandidateKind::Relay {
            return CandidateKind::Relay;
        }
        let known = self.local_candidates().find(|candidate| candidate.address == mapped);
        known.map_or(CandidateKind::PeerReflexive, |candidate| candidate.kind)
    }

    fn handle_error(
        &mut self,
        now: Instant,
        check: &InFlight,
        message: &Message<'_>,
    ) -> StunRefused {
        let Some(code) = message.error_code() else { return StunRefused::Attributes };
        if code != ErrorCode::ROLE_CONFLICT {
            return StunRefused::ErrorResponse(code.value());
        }
        // An older check may have been refused for a claim that we no longer make.
        let is_current = check.generation == self.generation.number();
        if is_current && (check.role, check.tie_breaker) == (self.role, self.tie_breaker) {
            self.tie_breaker = self.rng.random();
            self.change_role(now, self.role.opposite());
        }
        self.trigger(now, check.pair);
        StunRefused::RoleConflict
    }

    fn trigger(&mut self, now: Instant, id: PairId) {
        if self.check_list.get(id).is_some_and(|pair| pair.generation == self.generation.number()) {
            self.pacer.trigger(id);
        }
        self.process(now);
    }

    fn respond(&mut self, base: LocalBase, to: SocketAddr, bytes: Option<Vec<u8>>) {
        if let Some(bytes) = bytes {
            self.transmit(base, to, bytes);
        }
    }
}
