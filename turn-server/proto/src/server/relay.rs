//! The data path: ChannelData and Send indications to peers, packets of peers to clients.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use porthole_clock::Now;
use rand::Rng as _;

use super::{
    AllocationId, BandwidthLimits, DropReason, FiveTuple, Peer, RelayId, RelayProtocol, Scope,
    Server,
};
use crate::Family;
use crate::channel::{CHANNEL_HEADER_LEN, channel_header, read_channel_data};
use crate::stun::{Class, HEADER_LEN, Message, MessageWriter, Method, TransactionId, attribute};

/// Bytes that a driver leaves free before a peer's payload: the header of a Data indication with
/// an IPv6 peer.
pub const HEADROOM: usize = HEADER_LEN + 4 + 20 + 4;
/// Bytes that a driver leaves free behind a peer's payload, for padding.
pub const TAILROOM: usize = 3;

/// A datagram to send from a relay socket to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToPeer {
    /// The relay socket to send from.
    pub relay: RelayId,
    /// The peer to send to.
    pub peer: SocketAddr,
    /// The range of the payload in the bytes passed in.
    pub payload: Range<usize>,
    /// True if the datagram must be dropped rather than fragmented (RFC 8656 §14). Only set with
    /// [`ServerConfig::dont_fragment`](super::ServerConfig).
    pub dont_fragment: bool,
}

/// A message to send to a client: the header, the peer's payload, and `padding` zero bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToClient {
    /// The client to send to.
    pub client: FiveTuple,
    /// The header before the payload.
    pub header: RelayHeader,
    /// Number of zero bytes behind the payload, at most [`TAILROOM`].
    pub padding: usize,
}

/// The header before a peer's payload, at most [`HEADROOM`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayHeader {
    bytes: [u8; HEADROOM],
    len: usize,
}

impl RelayHeader {
    fn new(header: &[u8]) -> Option<Self> {
        let mut bytes = [0; HEADROOM];
        bytes.get_mut(..header.len())?.copy_from_slice(header);
        Some(Self { bytes, len: header.len() })
    }

    /// Returns the bytes of the header.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Server {
    pub(super) fn handle_channel_data(
        &mut self,
        now: Instant,
        client: &FiveTuple,
        bytes: &[u8],
    ) -> Option<ToPeer> {
        let to_peer = self.channel_data_to_peer(now, client, bytes);
        if to_peer == Err(DropReason::NoAllocation) && self.hand_over(now, client) {
            return None;
        }
        self.count_to_peer(now, client, to_peer)
    }

    fn channel_data_to_peer(
        &self,
        now: Instant,
        client: &FiveTuple,
        bytes: &[u8],
    ) -> Result<ToPeer, DropReason> {
        let (number, payload) = read_channel_data(bytes).ok_or(DropReason::Malformed)?;
        let of_client = self.table.get_by_client(client);
        let (id, allocation) = of_client.ok_or(DropReason::NoAllocation)?;
        let peer = allocation.channels.peer_of(number, now).ok_or(DropReason::NoChannel)?;
        if !self.authorize_peer(peer, Scope::ThisPort(RelayProtocol::Udp)) {
            return Err(DropReason::PeerDenied);
        }
        let payload = CHANNEL_HEADER_LEN..CHANNEL_HEADER_LEN + payload.len();
        let (relay, peer) = (relay_to(id, peer), peer.addr());
        Ok(ToPeer { relay, peer, payload, dont_fragment: false })
    }

    pub(super) fn handle_send(
        &mut self,
        now: Now,
        client: &FiveTuple,
        message: &Message<'_>,
    ) -> Option<ToPeer> {
        let to_peer = self.send_to_peer(now.instant, client, message);
        self.count_to_peer(now.instant, client, to_peer)
    }

    fn send_to_peer(
        &self,
        now: Instant,
        client: &FiveTuple,
        message: &Message<'_>,
    ) -> Result<ToPeer, DropReason> {
        const KNOWN: [u16; 3] =
            [attribute::XOR_PEER_ADDRESS, attribute::DATA, attribute::DONT_FRAGMENT];
        let dont_fragment = message.first(attribute::DONT_FRAGMENT).is_some();
        let is_unknown = message.unknown_required(&KNOWN).next().is_some();
        if is_unknown || (dont_fragment && !self.dont_fragment) {
            return Err(DropReason::Malformed);
        }
        let (id, allocation) = self.table.get_by_client(client).ok_or(DropReason::NoAllocation)?;
        let peer = message.xor_address(attribute::XOR_PEER_ADDRESS).ok().flatten();
        let peer = Peer::new(peer.ok_or(DropReason::Malformed)?);
        let data = message.first(attribute::DATA).ok_or(DropReason::Malformed)?;
        let relay = relay_to(id, &peer);
        let open = allocation.relays.get(relay.family).is_some_and(|port| port.open);
        if !open || allocation.protocol != RelayProtocol::Udp {
            return Err(DropReason::NoAllocation);
        }
        if !allocation.permissions.permits(peer.ip(), now) {
            return Err(DropReason::NoPermission);
        }
        if !self.authorize_peer(&peer, Scope::ThisPort(RelayProtocol::Udp)) {
            return Err(DropReason::PeerDenied);
        }
        let payload = data.offset..data.offset + data.value.len();
        Ok(ToPeer { relay, peer: peer.addr(), payload, dont_fragment })
    }

    fn count_to_peer(
        &mut self,
        now: Instant,
        client: &FiveTuple,
        to_peer: Result<ToPeer, DropReason>,
    ) -> Option<ToPeer> {
        let charged = |to_peer: ToPeer| {
            let relay = to_peer.relay;
            self.charge(now, relay.allocation, to_peer.payload.len()).map(|()| to_peer)
        };
        match to_peer.and_then(charged) {
            Ok(to_peer) => {
                let len = to_peer.payload.len();
                self.counters.relayed_mut(client.transport).to_peers.count(len);
                if let Some(allocation) = self.table.get_mut(to_peer.relay.allocation) {
                    allocation.to_peer.count(len);
                }
                Some(to_peer)
            }
            Err(reason) => {
                self.counters.count_drop(reason);
                None
            }
        }
    }

    /// Charges a datagram to the bandwidth of the allocation and its user.
    fn charge(&self, now: Instant, id: AllocationId, len: usize) -> Result<(), DropReason> {
        if self.bandwidth.is_unlimited() {
            return Ok(());
        }
        let BandwidthLimits { per_allocation, per_user } = self.bandwidth;
        let allocation = self.table.get(id).ok_or(DropReason::NoAllocation)?;
        let user = &allocation.quota.user().bucket;
        let passes = per_allocation.is_none_or(|rate| allocation.bucket.take(now, len, rate))
            && per_user.is_none_or(|rate| user.take(now, len, rate));
        if passes { Ok(()) } else { Err(DropReason::Bandwidth) }
    }

    /// Handles a datagram of `len` bytes that a relay socket received. Returns the client, and the
    /// header and padding to send with it, unless it must be dropped.
    pub fn handle_peer(
        &mut self,
        now: Now,
        relay: RelayId,
        from: SocketAddr,
        len: usize,
    ) -> Option<ToClient> {
        let to_client = self.peer_to_client(now.instant, relay, &Peer::new(from), len);
        let charged = |to| self.charge(now.instant, relay.allocation, len).map(|()| to);
        match to_client.and_then(charged) {
            Ok(to_client) => {
                let transport = to_client.client.transport;
                self.counters.relayed_mut(transport).to_clients.count(len);
                if let Some(allocation) = self.table.get_mut(relay.allocation) {
                    allocation.to_client.count(len);
                }
                Some(to_client)
            }
            Err(reason) => {
                self.counters.count_drop(reason);
                None
            }
        }
    }

    fn peer_to_client(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: &Peer,
        len: usize,
    ) -> Result<ToClient, DropReason> {
        let allocation = self.table.get(relay.allocation).ok_or(DropReason::NoAllocation)?;
        let open = allocation.relays.get(relay.family).is_some_and(|port| port.open);
        if !open || allocation.is_detached || Family::of(&peer.ip()) != relay.family {
            return Err(DropReason::NoAllocation);
        }
        if !allocation.permissions.permits(peer.ip(), now) {
            return Err(DropReason::NoPermission);
        }
        if !self.authorize_peer(peer, Scope::ThisPort(RelayProtocol::Udp)) {
            return Err(DropReason::PeerDenied);
        }
        let client = allocation.client;
        let padding = len.next_multiple_of(4) - len;
        if let Some(number) = allocation.channels.number_of(peer.addr(), now) {
            let header = channel_header(number, len).and_then(|header| RelayHeader::new(&header));
            let header = header.ok_or(DropReason::Malformed)?;
            let padding = if client.transport.is_stream() { padding } else { 0 };
            return Ok(ToClient { client, header, padding });
        }
        let header = data_header(TransactionId(self.rng.random()), peer.addr(), len);
        Ok(ToClient { client, header: header.ok_or(DropReason::Malformed)?, padding })
    }
}

fn relay_to(allocation: AllocationId, peer: &Peer) -> RelayId {
    RelayId { allocation, family: Family::of(&peer.ip()) }
}

/// Returns the header of a Data indication, up to a payload of `len` bytes.
fn data_header(id: TransactionId, peer: SocketAddr, len: usize) -> Option<RelayHeader> {
    let mut header = Vec::with_capacity(HEADROOM);
    MessageWriter::new(&mut header, Class::Indication, Method::Data, id)
        .xor_address(attribute::XOR_PEER_ADDRESS, peer)
        .finish_before_data(len)
        .ok()?;
    RelayHeader::new(&header)
}
