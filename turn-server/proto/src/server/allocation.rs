//! One allocation: its relayed addresses, permissions and channels.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::FiveTuple;
use super::auth::Identity;
use super::bandwidth::Bucket;
use super::config::{CHANNEL_LIFETIME, MAX_CHANNELS, MAX_PERMISSIONS, PERMISSION_LIFETIME};
use super::info::Traffic;
use super::peer::Peer;
use super::port::PortGuard;
use super::quota::QuotaUnit;
use super::reservation::Token;
use crate::Family;
use crate::channel::ChannelNumber;
use crate::stun::{ErrorCode, TransactionId};

/// The id of an allocation, which is never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl AllocationId {
    /// Returns the slot: a small number from a dense range, taken by at most one allocation at a
    /// time.
    pub const fn slot(self) -> u32 {
        self.index
    }

    /// Returns the id as a number, for operators to name the allocation by.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// Returns the id with this number, whether or not such an allocation exists.
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: (bits & 0xFFFF_FFFF) as u32, generation: (bits >> 32) as u32 }
    }
}

/// The id of a relay socket of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId {
    /// The allocation that the socket belongs to.
    pub allocation: AllocationId,
    /// The family of the relayed address and its peers.
    pub family: Family,
}

impl RelayId {
    /// Returns a small number from a dense range, taken by at most one relay socket at a time.
    pub fn slot(self) -> usize {
        let slot = usize::try_from(self.allocation.index).unwrap_or(usize::MAX / 2 - 1);
        2 * slot + self.family.index()
    }
}

/// The protocol between a relay socket and peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelayProtocol {
    /// UDP datagrams (RFC 8656).
    Udp,
    /// TCP connections (RFC 6062): the socket listens, and others connect from its address.
    Tcp,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: FiveTuple,
    pub(super) owner: Identity,
    pub(super) protocol: RelayProtocol,
    /// True if the client has tickets, with which its address may change: see `mobility`.
    pub(super) mobile: bool,
    /// True after the client's connection has closed, until the client comes back with a ticket.
    /// Nothing is relayed meanwhile.
    pub(super) is_detached: bool,
    /// The worker that hands the client's datagrams over, if the kernel delivers them to another
    /// one.
    pub(super) handover_from: Option<u8>,
    pub(super) relays: RelayPorts,
    /// The family that was requested but has no address, and the reason.
    pub(super) missing: Option<(Family, ErrorCode)>,
    pub(super) lifetime_s: u32,
    pub(super) created_at: Instant,
    pub(super) expires_at: Instant,
    pub(super) request: AllocateRequest,
    /// True once the relay sockets are open and the Allocate request is answered.
    pub(super) answered: bool,
    pub(super) port_request: PortRequest,
    /// The token of the reserved next port, if the client requested one.
    pub(super) token: Option<Token>,
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
    pub(super) bucket: Bucket,
    pub(super) to_peer: Traffic,
    pub(super) to_client: Traffic,
    pub(super) quota: QuotaUnit,
}

/// A relayed address, whose socket is open or being opened.
#[derive(Debug)]
pub(super) struct RelayPort {
    ip: IpAddr,
    port: PortGuard,
    pub(super) open: bool,
    /// Number of ports tried, this one included.
    pub(super) tries: u8,
}

impl RelayPort {
    pub(super) fn new(ip: IpAddr, port: PortGuard) -> Self {
        Self { ip, port, open: false, tries: 0 }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.port())
    }

    /// Marks the socket as open.
    pub(super) fn opened(&mut self, protocol: RelayProtocol) {
        self.open = true;
        self.port.opened(protocol);
    }
}

/// The relayed addresses of an allocation, at most one of each family.
#[derive(Debug, Default)]
pub(super) struct RelayPorts([Option<RelayPort>; 2]);

impl RelayPorts {
    pub(super) fn get(&self, family: Family) -> Option<&RelayPort> {
        self.0[family.index()].as_ref()
    }

    pub(super) fn get_mut(&mut self, family: Family) -> Option<&mut RelayPort> {
        self.0[family.index()].as_mut()
    }

    /// Adds an address, replacing that of the same family.
    pub(super) fn insert(&mut self, relay: RelayPort) {
        let family = Family::of(&relay.ip);
        self.0[family.index()] = Some(relay);
    }

    pub(super) fn remove(&mut self, family: Family) -> Option<RelayPort> {
        self.0[family.index()].take()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RelayPort> {
        self.0.iter().flatten()
    }

    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        self.iter().map(|relay| Family::of(&relay.ip))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// The Allocate request that made the allocation. If it is retransmitted, it is answered again.
#[derive(Clone, Copy, Debug)]
pub(super) struct AllocateRequest {
    pub(super) id: TransactionId,
    pub(super) fingerprint: bool,
}

/// The port that a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortRequest {
    Any,
    Even,
    /// An even port, with the next one reserved.
    Pair,
    /// The port reserved under a token.
    Reserved,
}

/// The error of a full table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Permissions as addresses and times of expiry, in the order of the addresses. Expired ones stay
/// until the next one is installed.
#[derive(Debug, Default)]
pub(super) struct Permissions(Vec<(IpAddr, Instant)>);

impl Permissions {
    pub(super) fn permits(&self, ip: IpAddr, now: Instant) -> bool {
        let found = self.0.binary_search_by_key(&ip, |(ip, _)| *ip).ok();
        found.and_then(|at| self.0.get(at)).is_some_and(|(_, expires_at)| now < *expires_at)
    }

    /// Returns the time of expiry, past or not, of an address that has an entry.
    pub(super) fn end_of(&self, ip: IpAddr) -> Option<Instant> {
        let found = self.0.binary_search_by_key(&ip, |(ip, _)| *ip).ok();
        found.and_then(|at| self.0.get(at)).map(|(_, expires_at)| *expires_at)
    }

    /// Installs or renews all of them or, if there is no room, none.
    pub(super) fn install(&mut self, ips: &[IpAddr], now: Instant) -> Result<(), Full> {
        self.0.retain(|(_, expires_at)| now < *expires_at);
        let known = |ip: &IpAddr| self.0.binary_search_by_key(ip, |(ip, _)| *ip).is_ok();
        let mut new: Vec<_> = ips.iter().copied().filter(|ip| !known(ip)).collect();
        new.sort_unstable();
        new.dedup();
        if self.0.len() + new.len() > MAX_PERMISSIONS {
            return Err(Full);
        }
        // Most allocations only ever have one peer: `insert` would make room for four.
        if self.0.is_empty() {
            self.0.reserve_exact(new.len());
        }
        let expires_at = now + PERMISSION_LIFETIME;
        for ip in ips {
            match self.0.binary_search_by_key(ip, |(ip, _)| *ip) {
                Ok(at) => self.0.iter_mut().skip(at).take(1).for_each(|p| p.1 = expires_at),
                Err(at) => self.0.insert(at, (*ip, expires_at)),
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    number: ChannelNumber,
    peer: Peer,
    expires_at: Instant,
}

/// The reason why a channel cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindError {
    /// The number is bound to another peer, or the peer to another number.
    Taken,
    Full,
}

/// Channels, few enough for a linear search. Expired ones stay until the next ChannelBind.
#[derive(Debug, Default)]
pub(super) struct Channels(Vec<Channel>);

impl Channels {
    pub(super) fn peer_of(&self, number: ChannelNumber, now: Instant) -> Option<&Peer> {
        let found = self.0.iter().find(|c| c.number == number && now < c.expires_at);
        found.map(|channel| &channel.peer)
    }

    pub(super) fn number_of(&self, peer: SocketAddr, now: Instant) -> Option<ChannelNumber> {
        let found = self.0.iter().find(|c| c.peer.addr() == peer && now < c.expires_at);
        found.map(|channel| channel.number)
    }

    /// Returns the channels that have not expired, with their times of expiry.
    pub(super) fn iter(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (ChannelNumber, &Peer, Instant)> {
        let living = self.0.iter().filter(move |c| now < c.expires_at);
        living.map(|c| (c.number, &c.peer, c.expires_at))
    }

    /// Checks that [`Self::bind`] is allowed.
    pub(super) fn check(
        &self,
        number: ChannelNumber,
        peer: SocketAddr,
        now: Instant,
    ) -> Result<(), BindError> {
        let mut living = self.0.iter().filter(|c| now < c.expires_at);
        match living.find(|c| c.number == number || c.peer.addr() == peer) {
            Some(found) if found.number == number && found.peer.addr() == peer => Ok(()),
            Some(_) => Err(BindError::Taken),
            None if self.0.iter().filter(|c| now < c.expires_at).count() < MAX_CHANNELS => Ok(()),
            None => Err(BindError::Full),
        }
    }

    /// Removes the channels to peers of this family.
    pub(super) fn remove_family(&mut self, family: Family) {
        self.0.retain(|c| Family::of(&c.peer.ip()) != family);
    }

    /// Binds or renews a channel that [`Self::check`] has allowed.
    pub(super) fn bind(&mut self, number: ChannelNumber, peer: Peer, now: Instant) {
        self.0.retain(|c| now < c.expires_at && c.number != number);
        if self.0.is_empty() {
            self.0.reserve_exact(1);
        }
        self.0.push(Channel { number, peer, expires_at: now + CHANNEL_LIFETIME });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
