//! Checks that arrive, and answers to ours (RFC 8445 §7.2.5, §7.3).

use std::net::SocketAddr;
use std::time::Instant;

use porthole_turn_proto::stun::{Class, ErrorCode, Message, Method, TransactionId, attribute};

use super::super::candidate::{CandidateKind, canonical};
use super::super::checks::InFlight;
use super::super::config::Role;
use super::super::message::{self, Fault, Request};
use super::super::pair::{LocalCandidate, PairId};
use super::super::{LocalBase, StunRefused};
use super::{Agent, can_pair};

impl Agent {
    /// A STUN datagram that arrived on `end` from `from`. A refused one has changed nothing but,
    /// where the error says so, was answered.
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
            Class::Request => self.on_request(now, &local, from, &message)?,
            Class::Success | Class::Error => self.on_response(now, &local, from, &message)?,
            // A keepalive without a transaction: it opens NATs, that is all (RFC 8445 §11).
            Class::Indication => return Ok(()),
        }
        self.run(now);
        Ok(())
    }

    fn on_request(
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
                self.answer(local.base, from, message::error(message.id(), code, &unknown, &key));
                return Err(StunRefused::Attributes);
            }
        };
        self.validated.add(local.base, from);
        // Roles belong to the newest generation.
        if is_current && self.is_role_conflict(now, &request) {
            let code = ErrorCode::ROLE_CONFLICT;
            self.answer(local.base, from, message::error(message.id(), code, &[], &key));
            return Err(StunRefused::RoleConflict);
        }
        self.answer(local.base, from, message::success(message.id(), from, &key));
        if is_current {
            self.on_good_check(now, local, from, message.id(), &request);
        }
        Ok(())
    }

    /// RFC 8445 §7.3.1.1: true when the peer is to change its role, else we have changed ours.
    fn is_role_conflict(&mut self, now: Instant, request: &Request) -> bool {
        let Some((role, tie_breaker)) = request.role else { return false };
        if role != self.role {
            return false;
        }
        let ours_is_larger = self.tie_breaker >= tie_breaker;
        let peer_is_to_change = ours_is_larger == (self.role == Role::Controlling);
        if !peer_is_to_change {
            self.change_role(now, self.role.opposite());
        }
        peer_is_to_change
    }

    /// RFC 8445 §7.3.1.3 to §7.3.1.5: learn the candidate, check back at once, note a nomination.
    fn on_good_check(
        &mut self,
        now: Instant,
        local: &LocalCandidate,
        from: SocketAddr,
        check: TransactionId,
        request: &Request,
    ) {
        let Some(remote) = self.learn_remote(now, from, request.priority) else { return };
        if !can_pair(local, &remote) {
            return;
        }
        let number = self.generation.number();
        let Some(id) = self.list.add(number, local, remote, self.role, true) else { return };
        let Some(pair) = self.list.get_mut(id) else { return };
        pair.wake();
        if !pair.is_valid() {
            self.pacer.trigger(id);
        }
        if request.use_candidate && self.role == Role::Controlled {
            self.on_nomination(now, id, check);
        }
    }

    fn on_response(
        &mut self,
        now: Instant,
        local: &LocalCandidate,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> Result<(), StunRefused> {
        let found = self.flight.find(message.id(), now);
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
        self.flight.remove(message.id());
        if message.class() == Class::Error {
            return Err(self.on_error(now, &check, message));
        }
        let seen_as = message.xor_address(attribute::XOR_MAPPED_ADDRESS).ok().flatten();
        let seen_as = canonical(seen_as.ok_or(StunRefused::Attributes)?);
        self.on_success(now, local, &check, seen_as);
        Ok(())
    }

    fn on_success(
        &mut self,
        now: Instant,
        local: &LocalCandidate,
        check: &InFlight,
        seen_as: SocketAddr,
    ) {
        let kind = self.kind_seen_as(local, seen_as);
        let Some(pair) = self.list.get_mut(check.pair) else { return };
        pair.on_answer(now, now.saturating_duration_since(check.sent), seen_as, kind);
        if self.selection.pair == Some(check.pair) {
            self.on_consent(check);
        }
        self.reselect(now);
    }

    /// RFC 8445 §7.2.5.3.1: what the peer sees may be a candidate that we have signalled, or one
    /// that only this path shows.
    fn kind_seen_as(&self, local: &LocalCandidate, seen_as: SocketAddr) -> CandidateKind {
        if local.kind == CandidateKind::Relay {
            return CandidateKind::Relay;
        }
        let known = self.local_candidates().find(|candidate| candidate.address == seen_as);
        known.map_or(CandidateKind::PeerReflexive, |candidate| candidate.kind)
    }

    fn on_error(&mut self, now: Instant, check: &InFlight, message: &Message<'_>) -> StunRefused {
        let Some(code) = message.error_code() else { return StunRefused::Attributes };
        if code != ErrorCode::ROLE_CONFLICT {
            return StunRefused::ErrorResponse(code.value());
        }
        // An older check may have been refused for a role that we no longer claim.
        if check.role == self.role && check.generation == self.generation.number() {
            self.change_role(now, self.role.opposite());
        }
        self.trigger(now, check.pair);
        StunRefused::RoleConflict
    }

    fn trigger(&mut self, now: Instant, id: PairId) {
        if self.list.get(id).is_some_and(|pair| pair.generation == self.generation.number()) {
            self.pacer.trigger(id);
        }
        self.run(now);
    }

    fn answer(&mut self, base: LocalBase, to: SocketAddr, bytes: Option<Vec<u8>>) {
        if let Some(bytes) = bytes {
            self.transmit(base, to, bytes);
        }
    }
}
