//! Allocate (RFC 8656 §7.2), whose response is sent only when the driver has opened the sockets.

use std::time::Duration;

use porthole_clock::Now;

use super::allocation::{
    AllocateRequest, Allocation, Channels, Permissions, PortRequest, RelayPort, RelayPorts,
};
use super::auth::Identity;
use super::bandwidth::Bucket;
use super::config::MAX_PORT_TRIES;
use super::info::Traffic;
use super::port::{PortGuard, RelayAddress};
use super::quota::QuotaReached;
use super::requests::{AuthenticatedRequest, ReplyTo, granted_lifetime, requested_family};
use super::reservation::Token;
use super::{AllocationId, Output, RelayId, RelayProtocol, Server};
use crate::stun::{Class, ErrorCode, Message, Method, attribute};
use crate::{Family, REQUESTED_TCP, REQUESTED_UDP};

/// The parameters of an Allocate request, checked for consistency.
#[derive(Clone, Copy, Debug)]
struct AllocateParams {
    protocol: RelayProtocol,
    families: Families,
    port_request: PortRequest,
    lifetime_s: u32,
}

/// The families of the relayed addresses that a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    One(Family),
    /// ADDITIONAL-ADDRESS-FAMILY, where one of the two addresses suffices (RFC 8656 §7.2).
    Both,
}

/// The ports of a new allocation.
#[derive(Debug, Default)]
struct TakenPorts {
    relays: RelayPorts,
    token: Option<Token>,
    missing: Option<(Family, ErrorCode)>,
}

impl Server {
    pub(super) fn handle_allocate(
        &mut self,
        request: &AuthenticatedRequest<'_>,
    ) -> Result<(), ErrorCode> {
        if let Some((id, allocation)) = self.table.get_by_client(request.client) {
            if allocation.request.id != request.message.id() {
                return Err(ErrorCode::ALLOCATION_MISMATCH);
            }
            // The response was lost, unless a socket is still being opened.
            if allocation.answered {
                self.reply_allocated(id);
            }
            return Ok(());
        }
        let params = AllocateParams::read(request.message)?;
        self.check_protocol(request, params)?;
        let mobile = self.is_ticket_wanted(request, params.protocol)?;
        if self.draining {
            return Err(self.no_capacity_error(request.client));
        }
        let (user, source) = (request.identity.quota_user(), request.client.client.ip());
        let quota = self.quota.acquire(user, source, request.now.instant);
        let quota = quota.map_err(|reached| match reached {
            QuotaReached::Own => ErrorCode::ALLOCATION_QUOTA_REACHED,
            QuotaReached::Total => self.no_capacity_error(request.client),
        })?;
        let TakenPorts { relays, token, missing } = self.take_ports(request, params)?;
        let AllocateParams { protocol, port_request, lifetime_s, .. } = params;
        let lifetime_s = request.identity.bounded_lifetime(lifetime_s, request.now);
        let allocation = Allocation {
            client: *request.client,
            owner: request.identity.clone(),
            protocol,
            mobile,
            is_detached: false,
            handover_from: self.handover_from,
            relays,
            missing,
            lifetime_s,
            expires_at: request.now.instant + Duration::from_secs(u64::from(lifetime_s)),
            request: AllocateRequest {
                id: request.message.id(),
                fingerprint: request.message.has_fingerprint(),
            },
            answered: false,
            port_request,
            token,
            created_at: request.now.instant,
            permissions: Permissions::default(),
            channels: Channels::default(),
            bucket: Bucket::new(request.now.instant),
            to_peer: Traffic::default(),
            to_client: Traffic::default(),
            quota,
        };
        let id = self.table.insert(allocation).ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        for family in [Family::V4, Family::V6] {
            self.open_relay(RelayId { allocation: id, family });
        }
        Ok(())
    }

    /// Checks that TCP is requested over a stream, and without EVEN-PORT, RESERVATION-TOKEN and
    /// DONT-FRAGMENT (RFC 6062 §5.1).
    fn check_protocol(
        &self,
        request: &AuthenticatedRequest<'_>,
        params: AllocateParams,
    ) -> Result<(), ErrorCode> {
        let dont_fragment = request.message.first(attribute::DONT_FRAGMENT).is_some();
        let fits = request.client.transport.is_stream()
            && params.port_request == PortRequest::Any
            && !dont_fragment;
        match params.protocol {
            RelayProtocol::Udp => Ok(()),
            RelayProtocol::Tcp if !self.tcp_relaying => Err(ErrorCode::UNSUPPORTED_TRANSPORT),
            RelayProtocol::Tcp if fits => Ok(()),
            RelayProtocol::Tcp => Err(ErrorCode::BAD_REQUEST),
        }
    }

    fn take_ports(
        &mut self,
        request: &AuthenticatedRequest<'_>,
        params: AllocateParams,
    ) -> Result<TakenPorts, ErrorCode> {
        let mut taken = TakenPorts::default();
        let families = match params.families {
            Families::One(_) if params.port_request == PortRequest::Reserved => {
                taken.relays.insert(self.claim_port(request)?);
                return Ok(taken);
            }
            Families::One(family) => &[family][..],
            Families::Both => &[Family::V4, Family::V6],
        };
        for family in families {
            match self.take_port(*family, params.port_request, request.identity, request.now) {
                Ok((relay, token)) => {
                    taken.relays.insert(relay);
                    taken.token = token;
                }
                Err(code) => taken.missing = Some((*family, code)),
            }
        }
        match taken.missing {
            Some((_, code)) if taken.relays.is_empty() => Err(code),
            Some(_) | None => Ok(taken),
        }
    }

    fn take_port(
        &mut self,
        family: Family,
        port_request: PortRequest,
        owner: &Identity,
        now: Now,
    ) -> Result<(RelayPort, Option<Token>), ErrorCode> {
        let relay = self.relay_for(family).ok_or(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?.clone();
        let (port, token) = match port_request {
            PortRequest::Any => (relay.ports.take(&mut self.rng), None),
            PortRequest::Even => (relay.ports.take_even(&mut self.rng), None),
            PortRequest::Pair if !self.reservations.has_room(owner.quota_user()) => (None, None),
            PortRequest::Pair => match relay.ports.take_pair(&mut self.rng) {
                Some([port, above]) => {
                    let token = self.reservations.reserve(owner, relay.ip, above, now.instant);
                    (Some(port), Some(token))
                }
                None => (None, None),
            },
            PortRequest::Reserved => (None, None),
        };
        let port = port.ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        Ok((RelayPort::new(relay.ip, port), token))
    }

    /// Claims the port of a reservation, which also determines the family.
    fn claim_port(&self, request: &AuthenticatedRequest<'_>) -> Result<RelayPort, ErrorCode> {
        let token = request.message.first(attribute::RESERVATION_TOKEN);
        let token = token.ok_or(ErrorCode::BAD_REQUEST)?.value;
        let claim = |relay: &RelayAddress| -> Option<(RelayAddress, PortGuard)> {
            Some((
                relay.clone(),
                self.reservations.claim(&request.identity.username, token, relay)?,
            ))
        };
        let found = self.relay_v4.iter().chain(&self.relay_v6).find_map(claim);
        let (relay, port) = found.ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        Ok(RelayPort::new(relay.ip, port))
    }

    fn open_relay(&mut self, relay: RelayId) {
        let Some(allocation) = self.table.get_mut(relay.allocation) else { return };
        let Some(port) = allocation.relays.get_mut(relay.family) else { return };
        port.tries += 1;
        let (protocol, port) = (allocation.protocol, port.addr().port());
        self.outputs.push_back(Output::OpenRelay { relay, protocol, port });
    }

    pub(super) fn finish_open(&mut self, relay: RelayId) {
        let Some(allocation) = self.table.get_mut(relay.allocation) else { return };
        if let Some(port) = allocation.relays.get_mut(relay.family) {
            port.opened(allocation.protocol);
            self.finish_allocate(relay.allocation);
        }
    }

    /// Tries another port after a socket could not be opened, because another program on this host
    /// has the port. The new port is taken before the old one is released, so that they differ.
    pub(super) fn retry_open(&mut self, now: Now, relay: RelayId) {
        let Some(allocation) = self.table.get_mut(relay.allocation) else { return };
        let port_request = allocation.port_request;
        let Some(port) = allocation.relays.get(relay.family).filter(|port| !port.open) else {
            return;
        };
        let tries = port.tries;
        let owner = allocation.owner.clone();
        if let Some(token) = allocation.token.take() {
            self.reservations.cancel(token);
        }
        let another = match tries < MAX_PORT_TRIES {
            true => self.take_port(relay.family, port_request, &owner, now),
            false => Err(ErrorCode::INSUFFICIENT_CAPACITY),
        };
        let Some(allocation) = self.table.get_mut(relay.allocation) else { return };
        match another {
            Ok((mut port, token)) => {
                port.tries = tries;
                allocation.relays.insert(port);
                allocation.token = token;
                self.open_relay(relay);
            }
            Err(code) => {
                allocation.relays.remove(relay.family);
                allocation.missing = Some((relay.family, code));
                self.finish_allocate(relay.allocation);
            }
        }
    }

    /// Sends the response as soon as no socket is being opened any more.
    fn finish_allocate(&mut self, id: AllocationId) {
        let Some(allocation) = self.table.get_mut(id).filter(|a| !a.answered) else { return };
        if allocation.relays.is_empty() {
            let Some(allocation) = self.table.remove(id) else { return };
            self.end_handover(&allocation);
            return self.refuse(reply_to(&allocation), ErrorCode::INSUFFICIENT_CAPACITY);
        }
        if allocation.relays.iter().all(|port| port.open) {
            allocation.answered = true;
            self.counters.allocations_made += 1;
            self.reply_allocated(id);
        }
    }

    fn reply_allocated(&mut self, id: AllocationId) {
        let ticket = self.ticket_for(id);
        let Some(allocation) = self.table.get(id) else { return };
        let relayed: Vec<_> = allocation.relays.iter().map(RelayPort::addr).collect();
        let (lifetime_s, missing) = (allocation.lifetime_s, allocation.missing);
        let (client, token) = (allocation.client, allocation.token);
        let key = allocation.owner.key.clone();
        let to = ReplyTo { key: Some(&key), ..reply_to(allocation) };
        self.reply(to, Class::Success, |writer| {
            for addr in relayed {
                writer.xor_address(attribute::XOR_RELAYED_ADDRESS, addr);
            }
            writer
                .xor_address(attribute::XOR_MAPPED_ADDRESS, client.client)
                .u32(attribute::LIFETIME, lifetime_s);
            if let Some(token) = token {
                writer.attribute(attribute::RESERVATION_TOKEN, token.as_bytes());
            }
            if let Some(ticket) = ticket {
                writer.attribute(attribute::MOBILITY_TICKET, ticket.as_bytes());
            }
            if let Some((family, code)) = missing {
                writer.u32(attribute::ADDRESS_ERROR_CODE, address_error(family, code));
            }
        });
    }
}

impl AllocateParams {
    fn read(message: &Message<'_>) -> Result<Self, ErrorCode> {
        let protocol = protocol(message)?;
        let port_request = port_request(message)?;
        let families = families(message)?;
        let is_single = matches!(port_request, PortRequest::Pair | PortRequest::Reserved);
        if families == Families::Both && is_single {
            return Err(ErrorCode::BAD_REQUEST);
        }
        Ok(Self { protocol, families, port_request, lifetime_s: granted_lifetime(message)? })
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

fn protocol(message: &Message<'_>) -> Result<RelayProtocol, ErrorCode> {
    match message.u32(attribute::REQUESTED_TRANSPORT) {
        Ok(Some(number)) if number >> 24 == REQUESTED_UDP >> 24 => Ok(RelayProtocol::Udp),
        Ok(Some(number)) if number >> 24 == REQUESTED_TCP >> 24 => Ok(RelayProtocol::Tcp),
        Ok(Some(_)) => Err(ErrorCode::UNSUPPORTED_TRANSPORT),
        Ok(None) | Err(_) => Err(ErrorCode::BAD_REQUEST),
    }
}

fn port_request(message: &Message<'_>) -> Result<PortRequest, ErrorCode> {
    /// The R flag of EVEN-PORT, which reserves the next port as well (RFC 8656 §18.7).
    const RESERVE: u8 = 0x80;
    let even = message.first(attribute::EVEN_PORT);
    let token = message.first(attribute::RESERVATION_TOKEN);
    let family = message.first(attribute::REQUESTED_ADDRESS_FAMILY);
    match (even.map(|a| a.value), token.map(|a| a.value.len())) {
        (None, None) => Ok(PortRequest::Any),
        (Some(&[flags]), None) if flags & RESERVE != 0 => Ok(PortRequest::Pair),
        (Some(&[_]), None) => Ok(PortRequest::Even),
        (None, Some(Token::LEN)) if family.is_none() => Ok(PortRequest::Reserved),
        (Some(_), _) | (None, Some(_)) => Err(ErrorCode::BAD_REQUEST),
    }
}

/// Returns the requested families, IPv4 by default.
fn families(message: &Message<'_>) -> Result<Families, ErrorCode> {
    let requested = requested_family(message)?;
    let names = [attribute::ADDITIONAL_ADDRESS_FAMILY, attribute::DRAFT_ADDITIONAL_ADDRESS_FAMILY];
    let name = names.into_iter().find(|name| message.first(*name).is_some());
    let additional = name.map_or(Ok(None), |name| message.u32(name));
    let additional = additional.map_err(|_| ErrorCode::BAD_REQUEST)?.map(Family::from_attribute);
    match (requested, additional) {
        (requested, None) => Ok(Families::One(requested.unwrap_or(Family::V4))),
        (None, Some(Some(Family::V6))) => Ok(Families::Both),
        (Some(_), Some(_)) | (None, Some(Some(Family::V4) | None)) => Err(ErrorCode::BAD_REQUEST),
    }
}

/// Returns the value of ADDRESS-ERROR-CODE without a reason phrase (RFC 8656 §18.12).
fn address_error(family: Family, code: ErrorCode) -> u32 {
    let (class, number) = (code.value() / 100, code.value() % 100);
    family.to_attribute() | u32::from(class) << 8 | u32::from(number)
}
