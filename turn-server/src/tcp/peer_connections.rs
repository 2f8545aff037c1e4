//! Relayed addresses for TCP, and the connections to their peers (RFC 6062).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use porthole_turn_proto::server::{ConnectionId, RelayId};
use porthole_turn_proto::trimmed_capacity;

use crate::net::addresses::{RelaySide, side_of};
use crate::net::sockets::{connect_from_relay, open_tcp_relay};
use crate::slots::{ByRelay, Slab};
use crate::tcp::splice::Splice;

/// Most connections of one worker to peers: each takes two buffers and a file descriptor.
pub(crate) const MAX_PEERS: usize = 8192;

/// The peer connections and TCP relays of one worker.
#[derive(Debug)]
pub(crate) struct PeerConnections {
    sides: Vec<RelaySide>,
    relays: ByRelay<TcpRelay>,
    peers: Slab<PeerConnection>,
    by_id: HashMap<ConnectionId, usize>,
}

#[derive(Debug)]
struct TcpRelay {
    listener: TcpListener,
    side: RelaySide,
}

/// A connection to a peer, or from a peer.
#[derive(Debug)]
pub(crate) struct PeerConnection {
    pub(crate) id: ConnectionId,
    pub(crate) stream: TcpStream,
    pub(crate) state: PeerState,
}

/// The state of a peer connection.
#[derive(Debug)]
pub(crate) enum PeerState {
    Connecting,
    /// Waiting for the client's ConnectionBind. Nothing is read yet: data from the peer waits in
    /// the kernel (RFC 6062 §5.3).
    Waiting,
    /// Spliced with the client connection in slot `client`.
    Bound {
        client: usize,
        splice: Splice,
    },
}

impl PeerConnections {
    pub(crate) fn new(sides: Vec<RelaySide>) -> Self {
        let (relays, peers) = (ByRelay::default(), Slab::default());
        Self { sides, relays, peers, by_id: HashMap::new() }
    }

    /// Drops all connections and relays.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(std::mem::take(&mut self.sides));
    }

    /// Opens the listener of a relayed address.
    pub(crate) fn open(
        &mut self,
        id: RelayId,
        port: u16,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        let side = side_of(&self.sides, id.family)?;
        let mut listener = open_tcp_relay(SocketAddr::new(side.bind, port))?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        self.relays.insert(id, TcpRelay { listener, side });
        Ok(())
    }

    pub(crate) fn close_relay(&mut self, id: RelayId) {
        self.relays.remove(id);
    }

    /// Accepts the next connection; returns it with the address that the client knows the peer by.
    pub(crate) fn accept(&self, slot: usize) -> io::Result<(RelayId, TcpStream, SocketAddr)> {
        let (id, relay) = self.relays.at(slot).ok_or(io::ErrorKind::WouldBlock)?;
        let (stream, from) = relay.listener.accept()?;
        let from = SocketAddr::new(from.ip(), from.port());
        Ok((id, stream, relay.side.inbound(from)))
    }

    /// Begins to connect to a peer from a relayed address.
    pub(crate) fn connect(&self, relay: RelayId, peer: SocketAddr) -> io::Result<TcpStream> {
        let relay = self.relays.get(relay).ok_or(io::ErrorKind::NotFound)?;
        connect_from_relay(relay.listener.local_addr()?, relay.side.outbound(peer))
    }

    /// Stores a connection and registers it under the token of its slot. If there are too many, it
    /// is dropped and so closed.
    pub(crate) fn insert(
        &mut self,
        mut connection: PeerConnection,
        registry: &Registry,
        token: impl FnOnce(usize) -> Token,
    ) -> io::Result<usize> {
        if self.by_id.len() >= MAX_PEERS {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        // Latency matters more than the number of packets.
        let _ = connection.stream.set_nodelay(true);
        let slot = self.peers.next_slot();
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut connection.stream, token(slot), interest)?;
        self.by_id.insert(connection.id, slot);
        Ok(self.peers.insert(connection))
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut PeerConnection> {
        self.peers.get_mut(slot)
    }

    pub(crate) fn slot_of(&self, id: ConnectionId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<PeerConnection> {
        let connection = self.peers.remove(slot)?;
        self.by_id.remove(&connection.id);
        if let Some(capacity) = trimmed_capacity(self.by_id.len(), self.by_id.capacity()) {
            self.by_id.shrink_to(capacity);
        }
        Some(connection)
    }
}
