//! Allocate (RFC 8656 §7.2), which ends only when the driver has opened a socket.

use std::time::Duration;

use super::allocation::{AllocateRequest, Allocation, Channels, Permissions, PortWish};
use super::config::MAX_PORT_TRIES;
use super::port::{PortGuard, RelayAddress};
use super::quota::QuotaReached;
use super::requests::{Asked, ReplyTo, granted_lifetime, requested_family};
use super::reservation::Token;
use super::session::Traffic;
use super::{AllocationId, Now, Output, RelayProtocol, Server};
use crate::stun::{Class, ErrorCode, Message, Method, attribute};
use crate::{Family, REQUESTED_UDP};

impl Server {
    pub(super) fn handle_allocate(&mut self, asked: &Asked<'_>) -> Result<(), ErrorCode> {
        if let Some((id, allocation)) = self.table.of_client(asked.client) {
            if allocation.request.id != asked.message.id() {
                return Err(ErrorCode::ALLOCATION_MISMATCH);
            }
            // The answer was lost, unless the socket is still being opened.
            if allocation.open {
                self.reply_allocated(id);
            }
            return Ok(());
        }
        check_transport(asked.message)?;
        let family = requested_family(asked.message)?;
        let lifetime_s = granted_lifetime(asked.message)?;
        let wish = port_wish(asked.message)?;
        if self.draining {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let quota = self.quota.acquire(asked.who.quota_user(), asked.client.client.ip());
        let quota = quota.map_err(|reached| match reached {
            QuotaReached::Own => ErrorCode::ALLOCATION_QUOTA_REACHED,
            QuotaReached::Total => ErrorCode::INSUFFICIENT_CAPACITY,
        })?;
        let (relay, port, token) = match wish {
            PortWish::Reserved => self.claim_port(asked)?,
            PortWish::Any | PortWish::Even | PortWish::Pair => {
                let relay = self.relay_for(family.unwrap_or(Family::V4));
                let relay = relay.ok_or(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?.clone();
                let taken = self.take_port(&relay, wish, &asked.who.username, asked.now);
                let (port, token) = taken.ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
                (relay, port, token)
            }
        };
        let allocation = Allocation {
            client: *asked.client,
            owner: asked.who.clone(),
            relay_ip: relay.ip,
            port,
            lifetime_s,
            expires_at: asked.now.instant + Duration::from_secs(u64::from(lifetime_s)),
            request: AllocateRequest {
                id: asked.message.id(),
                fingerprint: asked.message.has_fingerprint(),
            },
            open: false,
            wish,
            token,
            port_tries: 0,
            created_at: asked.now.instant,
            permissions: Permissions::default(),
            channels: Channels::default(),
            to_peer: Traffic::default(),
            to_client: Traffic::default(),
            _quota: quota,
        };
        let id = self.table.insert(allocation).ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        self.open_relay(id);
        Ok(())
    }

    fn open_relay(&mut self, id: AllocationId) {
        let Some(allocation) = self.table.get_mut(id) else { return };
        allocation.port_tries += 1;
        let (relay, port) = (allocation.relay_id(id), allocation.port.port());
        let protocol = RelayProtocol::Udp;
        self.outputs.push_back(Output::OpenRelay { relay, protocol, port });
    }

    fn take_port(
        &mut self,
        relay: &RelayAddress,
        wish: PortWish,
        username: &str,
        now: Now,
    ) -> Option<(PortGuard, Option<Token>)> {
        match wish {
            PortWish::Any => Some((relay.ports.take(&mut self.rng)?, None)),
            PortWish::Even => Some((relay.ports.take_even(&mut self.rng)?, None)),
            PortWish::Pair if self.reservations.is_full() => None,
            PortWish::Pair => {
                let [port, above] = relay.ports.take_pair(&mut self.rng)?;
                let reserved = self.reservations.reserve(username, relay.ip, above, now.instant);
                Some((port, Some(reserved)))
            }
            PortWish::Reserved => None,
        }
    }

    /// The family is the reservation's.
    fn claim_port(
        &self,
        asked: &Asked<'_>,
    ) -> Result<(RelayAddress, PortGuard, Option<Token>), ErrorCode> {
        let token = asked.message.first(attribute::RESERVATION_TOKEN);
        let token = token.ok_or(ErrorCode::BAD_REQUEST)?.value;
        let claim = |relay: &RelayAddress| {
            let port = self.reservations.claim(&asked.who.username, token, relay)?;
            Some((relay.clone(), port, None))
        };
        let found = self.relay_v4.iter().chain(&self.relay_v6).find_map(claim);
        found.ok_or(ErrorCode::INSUFFICIENT_CAPACITY)
    }

    pub(super) fn finish_allocate(&mut self, id: AllocationId) {
        let Some(allocation) = self.table.get_mut(id).filter(|a| !a.open) else { return };
        allocation.open = true;
        self.counters.allocations_made += 1;
        self.reply_allocated(id);
    }

    /// Somebody else on this host has the port. The new one is taken before the old one is given
    /// back, so that they differ.
    pub(super) fn retry_allocate(&mut self, now: Now, id: AllocationId) {
        let Some(allocation) = self.table.get(id).filter(|a| !a.open) else { return };
        let (family, wish) = (allocation.family(), allocation.wish);
        let username = allocation.owner.username.clone();
        let relay = self.relay_for(family).cloned();
        let relay = relay.filter(|_| allocation.port_tries < MAX_PORT_TRIES);
        let another = relay.and_then(|relay| self.take_port(&relay, wish, &username, now));
        match (another, self.table.get_mut(id)) {
            (Some((port, token)), Some(allocation)) => {
                (allocation.port, allocation.token) = (port, token);
                self.open_relay(id);
            }
            _ => self.give_up_allocate(id),
        }
    }

    fn give_up_allocate(&mut self, id: AllocationId) {
        let Some(allocation) = self.table.remove(id) else { return };
        self.refuse(reply_to(&allocation), ErrorCode::INSUFFICIENT_CAPACITY);
    }

    fn reply_allocated(&mut self, id: AllocationId) {
        let Some(allocation) = self.table.get(id) else { return };
        let (relayed, lifetime_s) = (allocation.relayed(), allocation.lifetime_s);
        let (client, token) = (allocation.client, allocation.token);
        let key = allocation.owner.key.clone();
        let to = ReplyTo { key: Some(&key), ..reply_to(allocation) };
        self.reply(to, Class::Success, |writer| {
            writer
                .xor_address(attribute::XOR_RELAYED_ADDRESS, relayed)
                .xor_address(attribute::XOR_MAPPED_ADDRESS, client.client)
                .u32(attribute::LIFETIME, lifetime_s);
            if let Some(token) = token {
                writer.attribute(attribute::RESERVATION_TOKEN, token.as_bytes());
            }
        });
    }
}

fn reply_to(allocation: &Allocation) -> ReplyTo<'_> {
    ReplyTo {
        client: allocation.client,
        method: Method::Allocate,
        id: allocation.request.id,
        fingerprint: allocation.request.fingerprint,
        key: Some(&allocation.owner.key),
    }
}

fn check_transport(message: &Message<'_>) -> Result<(), ErrorCode> {
    match message.u32(attribute::REQUESTED_TRANSPORT) {
        Ok(Some(protocol)) if protocol >> 24 == REQUESTED_UDP >> 24 => Ok(()),
        Ok(Some(_)) => Err(ErrorCode::UNSUPPORTED_TRANSPORT),
        Ok(None) | Err(_) => Err(ErrorCode::BAD_REQUEST),
    }
}

fn port_wish(message: &Message<'_>) -> Result<PortWish, ErrorCode> {
    /// The R flag of EVEN-PORT: keep the port above as well.
    const RESERVE: u8 = 0x80;
    let even = message.first(attribute::EVEN_PORT);
    let token = message.first(attribute::RESERVATION_TOKEN);
    let family = message.first(attribute::REQUESTED_ADDRESS_FAMILY);
    match (even.map(|a| a.value), token.map(|a| a.value.len())) {
        (None, None) => Ok(PortWish::Any),
        (Some(&[flags]), None) if flags & RESERVE != 0 => Ok(PortWish::Pair),
        (Some(&[_]), None) => Ok(PortWish::Even),
        (None, Some(Token::LEN)) if family.is_none() => Ok(PortWish::Reserved),
        (Some(_), _) | (None, Some(_)) => Err(ErrorCode::BAD_REQUEST),
    }
}
