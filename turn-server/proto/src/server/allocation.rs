//! One allocation: its relayed address, permissions and channels.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::FiveTuple;
use super::auth::Identity;
use super::bandwidth::Bucket;
use super::config::{CHANNEL_LIFETIME, MAX_CHANNELS, MAX_PERMISSIONS, PERMISSION_LIFETIME};
use super::peer::Peer;
use super::port::PortGuard;
use super::quota::QuotaUnit;
use super::reservation::Token;
use super::session::Traffic;
use crate::Family;
use crate::channel::ChannelNumber;
use crate::stun::{ErrorCode, TransactionId};

/// Names an allocation for the driver. Never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl AllocationId {
    /// The slot: small, dense, and taken by at most one allocation at a time.
    pub const fn slot(self) -> u32 {
        self.index
    }

    /// As a number, for people to name it by.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The other way round. There need not be such an allocation.
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: (bits & 0xFFFF_FFFF) as u32, generation: (bits >> 32) as u32 }
    }
}

/// Names one relay socket of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId {
    /// Whose.
    pub allocation: AllocationId,
    /// For peers of which family.
    pub family: Family,
}

impl RelayId {
    /// As [`AllocationId::slot`]: dense, and taken by at most one relay at a time.
    pub fn slot(self) -> usize {
        let slot = usize::try_from(self.allocation.index).unwrap_or(usize::MAX / 2 - 1);
        2 * slot + self.family.index()
    }
}

/// What a relay socket speaks with peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelayProtocol {
    /// Datagrams (RFC 8656).
    Udp,
    /// Connections (RFC 6062): the socket listens, and more may be connected from its address.
    Tcp,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: FiveTuple,
    pub(super) owner: Identity,
    pub(super) protocol: RelayProtocol,
    /// Whether the client has tickets: then it may come from elsewhere, see `mobility`.
    pub(super) mobile: bool,
    /// Its client's connection is closed; with a ticket it may come back. Until then nobody is
    /// served.
    pub(super) is_detached: bool,
    /// The worker that passes the client's datagrams on, if the kernel brings them to another one.
    pub(super) via: Option<u8>,
    pub(super) relays: RelayPorts,
    /// The family of ADDITIONAL-ADDRESS-FAMILY that there is no address of, and why.
    pub(super) missing: Option<(Family, ErrorCode)>,
    pub(super) lifetime_s: u32,
    pub(super) created_at: Instant,
    pub(super) expires_at: Instant,
    pub(super) request: AllocateRequest,
    /// Whether the driver has opened the relay sockets and the client was told.
    pub(super) answered: bool,
    pub(super) wish: PortWish,
    /// Of the port above, for whoever asked for it.
    pub(super) token: Option<Token>,
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
    pub(super) bucket: Bucket,
    pub(super) to_peer: Traffic,
    pub(super) to_client: Traffic,
    pub(super) quota: QuotaUnit,
}

/// A relayed address; its socket is open or about to be.
#[derive(Debug)]
pub(super) struct RelayPort {
    ip: IpAddr,
    port: PortGuard,
    pub(super) open: bool,
    /// Ports tried, this one included.
    pub(super) tries: u8,
}

impl RelayPort {
    pub(super) fn new(ip: IpAddr, port: PortGuard) -> Self {
        Self { ip, port, open: false, tries: 0 }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.port())
    }

    /// The driver has a socket there.
    pub(super) fn opened(&mut self, protocol: RelayProtocol) {
        self.open = true;
        self.port.opened(protocol);
    }
}

/// At most one of each family.
#[derive(Debug, Default)]
pub(super) struct RelayPorts([Option<RelayPort>; 2]);

impl RelayPorts {
    pub(super) fn get(&self, family: Family) -> Option<&RelayPort> {
        self.0[family.index()].as_ref()
    }

    pub(super) fn get_mut(&mut self, family: Family) -> Option<&mut RelayPort> {
        self.0[family.index()].as_mut()
    }

    /// Instead of the one of its family.
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

/// What made the allocation: answered again when it comes again.
#[derive(Clone, Copy, Debug)]
pub(super) struct AllocateRequest {
    pub(super) id: TransactionId,
    pub(super) fingerprint: bool,
}

/// Which port a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortWish {
    Any,
    Even,
    /// Even, and the one above reserved.
    Pair,
    /// The one that a token stands for.
    Reserved,
}

/// The table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Peer addresses that are let through, ordered. Expired ones stay until their place is needed.
#[derive(Debug, Default)]
pub(super) struct Permissions(Vec<(IpAddr, Instant)>);

impl Permissions {
    pub(super) fn permits(&self, ip: IpAddr, now: Instant) -> bool {
        let found = self.0.binary_search_by_key(&ip, |(ip, _)| *ip).ok();
        found.and_then(|at| self.0.get(at)).is_some_and(|(_, expires_at)| now < *expires_at)
    }

    /// Until when, if it is known at all.
    pub(super) fn end_of(&self, ip: IpAddr) -> Option<Instant> {
        let found = self.0.binary_search_by_key(&ip, |(ip, _)| *ip).ok();
        found.and_then(|at| self.0.get(at)).map(|(_, expires_at)| *expires_at)
    }

    /// All of them or, when there is no place, none.
    pub(super) fn install(&mut self, ips: &[IpAddr], now: Instant) -> Result<(), Full> {
        self.0.retain(|(_, expires_at)| now < *expires_at);
        let known = |ip: &IpAddr| self.0.binary_search_by_key(ip, |(ip, _)| *ip).is_ok();
        let mut new: Vec<_> = ips.iter().copied().filter(|ip| !known(ip)).collect();
        new.sort_unstable();
        new.dedup();
        if self.0.len() + new.len() > MAX_PERMISSIONS {
            return Err(Full);
        }
        // Most have one peer for ever: no room for four.
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

/// Why a channel is not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindError {
    /// The number belongs to another peer, or the peer has another number.
    Taken,
    Full,
}

/// Channels, few enough to walk. Expired ones stay until the next ChannelBind.
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

    /// The living ones, and until when they are.
    pub(super) fn iter(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (ChannelNumber, &Peer, Instant)> {
        let living = self.0.iter().filter(move |c| now < c.expires_at);
        living.map(|c| (c.number, &c.peer, c.expires_at))
    }

    /// Whether [`Self::bind`] would succeed.
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

    /// Forgets those to peers of this family.
    pub(super) fn remove_family(&mut self, family: Family) {
        self.0.retain(|c| Family::of(&c.peer.ip()) != family);
    }

    /// Binds or renews what [`Self::check`] found good.
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
