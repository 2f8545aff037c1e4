//! Authenticated requests, one method of the server for each, and the responses.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use porthole_clock::Now;
use rand::Rng as _;

use super::allocation::{Allocation, BindError};
use super::auth::Identity;
use super::config::{MAX_PEERS_PER_REQUEST, MAX_UNKNOWN_LISTED};
use super::doubt::LONGEST_LIFETIME_S;
use super::{
    AllocationId, DEFAULT_LIFETIME, Doubt, EndReason, FiveTuple, MAX_LIFETIME, Output, Peer,
    RelayId, RelayProtocol, Scope, Server,
};
use crate::Family;
use crate::channel::ChannelNumber;
use crate::stun::{
    Class, ErrorCode, LongTermKey, Message, MessageWriter, Method, TransactionId, attribute,
};

/// The comprehension-required attributes that a request may carry; others are refused with 420.
const KNOWN: [u16; 15] = [
    attribute::ACCESS_TOKEN,
    attribute::USERHASH,
    attribute::PASSWORD_ALGORITHM,
    attribute::CONNECTION_ID,
    attribute::EVEN_PORT,
    attribute::RESERVATION_TOKEN,
    attribute::USERNAME,
    attribute::REALM,
    attribute::NONCE,
    attribute::LIFETIME,
    attribute::CHANNEL_NUMBER,
    attribute::XOR_PEER_ADDRESS,
    attribute::REQUESTED_ADDRESS_FAMILY,
    attribute::REQUESTED_TRANSPORT,
    attribute::DONT_FRAGMENT,
];
/// [`KNOWN`] without DONT-FRAGMENT, its last one, for drivers that cannot support it
/// (RFC 8656 §7.2).
const KNOWN_WITHOUT_DONT_FRAGMENT: &[u16] = KNOWN.split_at(KNOWN.len() - 1).0;

/// A request whose user is authenticated.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuthenticatedRequest<'m> {
    pub(super) client: &'m FiveTuple,
    pub(super) message: &'m Message<'m>,
    pub(super) identity: &'m Identity,
    pub(super) now: Now,
}

/// The destination of a response and what it repeats from the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyTo<'k> {
    pub(super) client: FiveTuple,
    pub(super) method: Method,
    pub(super) id: TransactionId,
    pub(super) fingerprint: bool,
    pub(super) key: Option<&'k LongTermKey>,
}

impl<'k> ReplyTo<'k> {
    pub(super) fn new(
        client: &FiveTuple,
        message: &Message<'_>,
        key: Option<&'k LongTermKey>,
    ) -> Self {
        Self {
            client: *client,
            method: message.method(),
            id: message.id(),
            fingerprint: message.has_fingerprint(),
            key,
        }
    }
}

impl AuthenticatedRequest<'_> {
    pub(super) fn reply_to(&self) -> ReplyTo<'_> {
        ReplyTo::new(self.client, self.message, Some(&self.identity.key))
    }
}

impl Server {
    pub(super) fn handle_request(&mut self, now: Now, client: &FiveTuple, message: &Message<'_>) {
        if self.hand_over_refresh(now, client, message) {
            return;
        }
        let owner = self.owner_of(client, message);
        let identity = match self.authenticator.authenticate(client, message, owner, now) {
            Ok(identity) => identity,
            Err(code) => return self.challenge(now, client, message, code),
        };
        let end = identity.expiry_s(message.method());
        if let Some(expiry_s) = end.filter(|end_s| *end_s > now.unix_s + LONGEST_LIFETIME_S) {
            self.doubt(now, Doubt::FarFuture, expiry_s);
        }
        let request = AuthenticatedRequest { client, message, identity: &identity, now };
        let unknown: Vec<u16> = message.unknown_required(self.known_attributes()).collect();
        if !unknown.is_empty() {
            return self.refuse_unknown(request.reply_to(), &unknown);
        }
        let handled = match message.method() {
            Method::Allocate => self.handle_allocate(&request),
            Method::Refresh => self.handle_refresh(&request),
            Method::CreatePermission => self.handle_create_permission(&request),
            Method::ChannelBind => self.handle_channel_bind(&request),
            Method::Connect => self.handle_connect(&request),
            Method::ConnectionBind => self.handle_connection_bind(&request),
            Method::Binding | Method::Send | Method::Data | Method::ConnectionAttempt => {
                Err(ErrorCode::BAD_REQUEST)
            }
        };
        if let Err(code) = handled {
            self.refuse(request.reply_to(), code);
        }
    }

    /// Handles a Refresh (RFC 8656 §8.2).
    fn handle_refresh(&mut self, request: &AuthenticatedRequest<'_>) -> Result<(), ErrorCode> {
        if let Some(ticket) = request.message.first(attribute::MOBILITY_TICKET) {
            self.resume(request, ticket.value)?;
        }
        let (id, allocation) = self.allocation_of(request)?;
        let family = requested_family(request.message)?;
        if family.is_some_and(|family| allocation.relays.get(family).is_none()) {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        let one_of_two = family.filter(|_| allocation.relays.iter().count() > 1);
        let lifetime_s = match (request.message.u32(attribute::LIFETIME), one_of_two) {
            (Ok(Some(0)), Some(family)) => {
                self.remove_relay(request.now, RelayId { allocation: id, family });
                0
            }
            (Ok(Some(0)), None) => {
                self.remove(request.now, id, EndReason::Released);
                0
            }
            (Ok(_), _) => {
                let granted = granted_lifetime(request.message)?;
                let granted = request.identity.bounded_lifetime(granted, request.now);
                if let Some(allocation) =
                    self.table.get_mut(id).filter(|_| request.identity.has_token())
                {
                    allocation.owner = request.identity.clone();
                }
                let until = request.now.instant + Duration::from_secs(u64::from(granted));
                self.table.expire_at(id, request.now.instant, until);
                granted
            }
            (Err(_), _) => return Err(ErrorCode::BAD_REQUEST),
        };
        let ticket = self.ticket_for(id);
        self.reply(request.reply_to(), Class::Success, |writer| {
            writer.u32(attribute::LIFETIME, lifetime_s);
            if let Some(ticket) = ticket {
                writer.attribute(attribute::MOBILITY_TICKET, ticket.as_bytes());
            }
        });
        Ok(())
    }

    /// Handles a CreatePermission (RFC 8656 §10.2), for all of its peers or none.
    fn handle_create_permission(
        &mut self,
        request: &AuthenticatedRequest<'_>,
    ) -> Result<(), ErrorCode> {
        let (id, allocation) = self.allocation_of(request)?;
        let mut peers: Vec<IpAddr> = Vec::new();
        for found in request.message.attributes().filter(|a| a.kind == attribute::XOR_PEER_ADDRESS)
        {
            let addr = crate::stun::decode_xor_address(found.value, request.message.id());
            let addr = addr.map_err(|_| ErrorCode::BAD_REQUEST)?;
            peers.push(self.check_peer(allocation, addr, Scope::AnyPort)?.ip());
            if peers.len() > MAX_PEERS_PER_REQUEST {
                return Err(ErrorCode::INSUFFICIENT_CAPACITY);
            }
        }
        if peers.is_empty() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let allocation = self.table.get_mut(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let installed = allocation.permissions.install(&peers, request.now.instant);
        installed.map_err(|_| ErrorCode::INSUFFICIENT_CAPACITY)?;
        self.install_channels(id, &peers, request.now.instant);
        self.reply(request.reply_to(), Class::Success, |_| {});
        Ok(())
    }

    /// Handles a ChannelBind (RFC 8656 §12.2): binds the channel and installs the permission, or
    /// neither.
    fn handle_channel_bind(&mut self, request: &AuthenticatedRequest<'_>) -> Result<(), ErrorCode> {
        let (id, allocation) = self.allocation_of(request)?;
        if allocation.protocol != RelayProtocol::Udp {
            return Err(ErrorCode::FORBIDDEN);
        }
        let now = request.now.instant;
        let number = request.message.u32(attribute::CHANNEL_NUMBER);
        let addr = request.message.xor_address(attribute::XOR_PEER_ADDRESS);
        let (Ok(Some(number)), Ok(Some(addr))) = (number, addr) else {
            return Err(ErrorCode::BAD_REQUEST);
        };
        let number = u16::try_from(number >> 16).ok().and_then(ChannelNumber::new);
        let number = number.filter(|number| *number <= self.last_channel);
        let number = number.ok_or(ErrorCode::BAD_REQUEST)?;
        let peer = self.check_peer(allocation, addr, Scope::ThisPort(RelayProtocol::Udp))?;
        let allocation = self.table.get_mut(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        allocation.channels.check(number, peer.addr(), now).map_err(|error| match error {
            BindError::Taken => ErrorCode::BAD_REQUEST,
            BindError::Full => ErrorCode::INSUFFICIENT_CAPACITY,
        })?;
        let installed = allocation.permissions.install(&[peer.ip()], now);
        installed.map_err(|_| ErrorCode::INSUFFICIENT_CAPACITY)?;
        allocation.channels.bind(number, peer, now);
        self.install_channels(id, &[peer.ip()], now);
        self.reply(request.reply_to(), Class::Success, |_| {});
        Ok(())
    }

    pub(super) fn known_attributes(&self) -> &'static [u16] {
        if self.dont_fragment { &KNOWN } else { KNOWN_WITHOUT_DONT_FRAGMENT }
    }

    /// Returns the allocation that the request is about, if it belongs to its user.
    pub(super) fn allocation_of(
        &self,
        request: &AuthenticatedRequest<'_>,
    ) -> Result<(AllocationId, &Allocation), ErrorCode> {
        let found = self.table.get_by_client(request.client).filter(|(_, a)| a.answered);
        let (id, allocation) = found.ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let method = request.message.method();
        let follows = allocation.owner.may_be_taken_over_by(request.identity, method);
        if allocation.owner.username != request.identity.username && !follows {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        Ok((id, allocation))
    }

    pub(super) fn check_peer(
        &self,
        allocation: &Allocation,
        addr: SocketAddr,
        scope: Scope,
    ) -> Result<Peer, ErrorCode> {
        let peer = Peer::new(addr);
        if allocation.relays.get(Family::of(&peer.ip())).is_none() {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        if self.authorize_peer(&peer, scope) { Ok(peer) } else { Err(ErrorCode::FORBIDDEN) }
    }
}

/// Responses to clients.
impl Server {
    pub(super) fn refuse(&mut self, to: ReplyTo<'_>, code: ErrorCode) {
        self.counters.refused += 1;
        self.counters.count_error(code);
        let alternates = match code {
            ErrorCode::TRY_ALTERNATE => self.alternates(&to.client),
            _ => [None; 2],
        };
        self.reply(to, Class::Error, |writer| {
            writer.error_code(code);
            for alternate in alternates.into_iter().flatten() {
                writer.address(attribute::ALTERNATE_SERVER, alternate);
            }
        });
    }

    /// Returns the error for a client that cannot be served now: it is sent to another server, if
    /// there is one (RFC 8489 §10).
    pub(super) fn no_capacity_error(&mut self, client: &FiveTuple) -> ErrorCode {
        match self.alternates(client) {
            [Some(_), _] => ErrorCode::TRY_ALTERNATE,
            [None, _] => ErrorCode::INSUFFICIENT_CAPACITY,
        }
    }

    /// Returns an alternate server of the client's family and one of the other, each chosen at
    /// random, but not the address that the client has used.
    fn alternates(&mut self, client: &FiveTuple) -> [Option<SocketAddr>; 2] {
        [client.client.is_ipv4(), client.client.is_ipv6()].map(|is_v4| {
            let fits = |alternate: &&SocketAddr| {
                alternate.is_ipv4() == is_v4 && **alternate != client.server
            };
            let fitting: Vec<_> = self.alternates.iter().filter(fits).collect();
            let chosen = self.rng.random_range(0..fitting.len().max(1));
            fitting.get(chosen).copied().copied()
        })
    }

    pub(super) fn refuse_unknown(&mut self, to: ReplyTo<'_>, unknown: &[u16]) {
        self.counters.refused += 1;
        self.counters.count_error(ErrorCode::UNKNOWN_ATTRIBUTE);
        let listed = unknown.iter().take(MAX_UNKNOWN_LISTED);
        let listed: Vec<u8> = listed.flat_map(|kind| kind.to_be_bytes()).collect();
        self.reply(to, Class::Error, |writer| {
            writer
                .error_code(ErrorCode::UNKNOWN_ATTRIBUTE)
                .attribute(attribute::UNKNOWN_ATTRIBUTES, &listed);
        });
    }

    pub(super) fn reply(
        &mut self,
        to: ReplyTo<'_>,
        class: Class,
        fill: impl FnOnce(&mut MessageWriter<'_>),
    ) {
        let mut bytes = Vec::with_capacity(128);
        let mut writer = MessageWriter::new(&mut bytes, class, to.method, to.id);
        fill(&mut writer);
        if let Some(key) = to.key {
            writer.integrity(key);
        }
        if to.fingerprint {
            writer.fingerprint();
        }
        // Only a realm of 64 kB would not fit.
        if writer.finish().is_ok() {
            self.outputs.push_back(Output::Send { client: to.client, bytes });
        }
    }
}

pub(super) fn requested_family(message: &Message<'_>) -> Result<Option<Family>, ErrorCode> {
    let requested = message.u32(attribute::REQUESTED_ADDRESS_FAMILY);
    let Some(value) = requested.map_err(|_| ErrorCode::BAD_REQUEST)? else { return Ok(None) };
    let family = Family::from_attribute(value);
    family.map(Some).ok_or(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)
}

/// Returns the lifetime that the client requests, within the bounds, in seconds (RFC 8656 §7.2).
pub(super) fn granted_lifetime(message: &Message<'_>) -> Result<u32, ErrorCode> {
    let requested = message.u32(attribute::LIFETIME).map_err(|_| ErrorCode::BAD_REQUEST)?;
    let seconds = |bound: Duration| u32::try_from(bound.as_secs()).unwrap_or(u32::MAX);
    let (least, most) = (seconds(DEFAULT_LIFETIME), seconds(MAX_LIFETIME));
    Ok(requested.unwrap_or(least).clamp(least, most))
}
