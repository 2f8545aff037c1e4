//! RFC 6062: peers over TCP, and the clients' connections that are spliced with theirs.

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use porthole_turn_proto::server::{ConnectionId, FiveTuple, RelayId};

use super::ready::{CONNECTION, PEER, TCP_RELAY, token};
use super::tcp_clients::is_of_the_connection;
use super::{BUDGET, Served, Worker};
use crate::control::Command;
use crate::tcp::connections::Connection;
use crate::tcp::peer_connections::{PeerConnection, PeerState};
use crate::tcp::splice::{Carried, End as _, Splice, Spliced};

/// How long a pair of connections rests that has used up its bandwidth: short beside the second
/// that it may be ahead.
const REST: Duration = Duration::from_millis(10);

/// Pairs that rest, by the peer's slot, in order as all rest equally long. Each at most once.
#[derive(Debug, Default)]
pub(super) struct Held {
    until: VecDeque<(Instant, usize)>,
    slots: HashSet<usize>,
}

impl Held {
    fn hold(&mut self, slot: usize, now: Instant) {
        if self.slots.insert(slot) {
            self.until.push_back((now + REST, slot));
        }
    }

    /// One that has rested.
    fn pop(&mut self, now: Instant) -> Option<usize> {
        let (_, slot) = self.until.pop_front_if(|(until, _)| *until <= now)?;
        self.slots.remove(&slot);
        Some(slot)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.until.front().map(|(until, _)| *until)
    }
}

impl Worker {
    /// Those that have rested go on.
    pub(super) fn wake_held(&mut self) {
        while let Some(slot) = self.held.pop(self.now.instant) {
            self.ready.push(token(PEER, slot));
        }
    }

    pub(super) fn open_tcp_relay(&mut self, relay: RelayId, port: u16) -> io::Result<()> {
        let token = token(TCP_RELAY, relay.slot());
        self.peers.open(relay, port, self.poll.registry(), token)
    }

    /// Peers that connect to a relayed address.
    pub(super) fn serve_tcp_relay(&mut self, slot: usize) -> Served {
        for _ in 0..BUDGET {
            match self.peers.accept(slot) {
                Ok((relay, stream, from)) => self.accept_peer(relay, stream, from),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Served::EMPTY,
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "the TURN server cannot accept a peer's connection");
                    self.resting.push(token(TCP_RELAY, slot));
                    return Served::EMPTY;
                }
            }
        }
        Served { datagrams: BUDGET, more: true }
    }

    /// Dropping closes.
    fn accept_peer(&mut self, relay: RelayId, stream: TcpStream, from: SocketAddr) {
        if let Some(id) = self.server.handle_peer_accepted(self.now, relay, from) {
            let peer = PeerConnection { id, stream, state: PeerState::Waiting };
            if self.insert_peer(peer).is_err() {
                self.server.handle_connection_closed(self.now, id);
            }
        }
        self.do_outputs();
    }

    pub(super) fn connect_peer(&mut self, id: ConnectionId, relay: RelayId, peer: SocketAddr) {
        let connected = self.peers.connect(relay, peer).and_then(|stream| {
            self.insert_peer(PeerConnection { id, stream, state: PeerState::Connecting })
        });
        if let Err(error) = connected {
            tracing::debug!(%error, "a peer cannot be connected to");
            self.server.handle_peer_connect_failed(self.now, id);
        }
    }

    fn insert_peer(&mut self, peer: PeerConnection) -> io::Result<()> {
        self.peers.insert(peer, self.poll.registry(), |slot| token(PEER, slot)).map(drop)
    }

    /// Something happened to a peer's connection.
    pub(super) fn serve_peer(&mut self, slot: usize) -> Served {
        let Some(peer) = self.peers.get_mut(slot) else { return Served::EMPTY };
        let id = peer.id;
        match peer.state {
            PeerState::Bound { .. } => return self.serve_splice(slot),
            // Not read before there is somebody to read for.
            PeerState::Waiting => return Served::EMPTY,
            PeerState::Connecting => {}
        }
        match outcome(&peer.stream) {
            Ok(true) => {
                peer.state = PeerState::Waiting;
                self.server.handle_peer_connected(self.now, id);
            }
            Ok(false) => return Served::EMPTY,
            Err(error) => {
                tracing::debug!(%error, "a peer does not accept a connection");
                self.peers.remove(slot);
                self.server.handle_peer_connect_failed(self.now, id);
            }
        }
        self.do_outputs();
        Served { datagrams: 1, more: false }
    }

    pub(super) fn bind_connection(&mut self, client: &FiveTuple, id: ConnectionId) {
        let (Some(client), Some(slot)) = (self.connections.slot_of(client), self.peers.slot_of(id))
        else {
            return self.close_peer(id);
        };
        let (Some(connection), Some(peer)) =
            (self.connections.get_mut(client), self.peers.get_mut(slot))
        else {
            return;
        };
        connection.bound = Some(slot);
        let splice = Splice::new(connection.decoder.take_rest());
        peer.state = PeerState::Bound { client, splice };
        self.ready.push(token(PEER, slot));
    }

    /// Moves what there is, both ways.
    pub(super) fn serve_splice(&mut self, slot: usize) -> Served {
        let Some(peer) = self.peers.get_mut(slot) else { return Served::EMPTY };
        let id = peer.id;
        let PeerState::Bound { client, splice } = &mut peer.state else { return Served::EMPTY };
        let Some(connection) = self.connections.get_mut(*client) else { return Served::EMPTY };
        let room = self.server.connection_budget(self.now, id);
        if room == 0 {
            self.held.hold(slot, self.now.instant);
            return Served::EMPTY;
        }
        let pumped = splice.pump(connection, &mut peer.stream, room);
        let Carried { to_peer, to_client } = splice.take_carried();
        self.server.handle_connection_traffic(self.now, id, to_peer, to_client);
        match pumped {
            Ok(Spliced::Waits) => Served { datagrams: 1, more: false },
            Ok(Spliced::More) => {
                // Whichever of the two was served: it is the peer that comes again.
                self.ready.push(token(PEER, slot));
                Served { datagrams: BUDGET, more: false }
            }
            Ok(Spliced::Over) | Err(_) => {
                self.close_peer(id);
                self.server.handle_connection_closed(self.now, id);
                self.do_outputs();
                Served { datagrams: 1, more: false }
            }
        }
    }

    /// And the client's connection, if it is bound. The protocol knows.
    pub(super) fn close_peer(&mut self, id: ConnectionId) {
        let removed = self.peers.slot_of(id).and_then(|slot| self.peers.remove(slot));
        if let Some(PeerConnection { state: PeerState::Bound { client, .. }, .. }) = removed
            && let Some(mut connection) = self.connections.remove(client)
        {
            connection.end();
        }
    }

    /// The client's connection of a splice is gone.
    pub(super) fn end_splice(&mut self, slot: usize) {
        if let Some(peer) = self.peers.remove(slot) {
            self.server.handle_connection_closed(self.now, peer.id);
        }
    }

    /// To the worker that has the connection which the client wants to bind. Whoever cannot be
    /// passed on is closed: a client tries again. Nobody needs that twice: there it is bound.
    pub(super) fn pass_client(&mut self, client: &FiveTuple, worker: u8) {
        let slot = self.connections.slot_of(client);
        let Some(mut connection) = slot.and_then(|slot| self.connections.remove(slot)) else {
            return;
        };
        if connection.passed || connection.deregister(self.poll.registry()).is_err() {
            return;
        }
        connection.passed = true;
        connection.decoder.put_back();
        let other = self.others.get().and_then(|others| others.get(usize::from(worker)));
        if let Some(other) = other {
            other.tell(Command::Serve { connection: Box::new(connection) });
        }
    }

    /// From another worker.
    pub(super) fn adopt_client(&mut self, mut connection: Connection) {
        if !self.make_room_for(&connection.tuple) {
            return;
        }
        let slot = self.connections.next_slot();
        if connection.register(self.poll.registry(), token(CONNECTION, slot)).is_ok() {
            self.connections.insert(connection);
            self.serve_frames(slot, self.now);
            self.ready.push(token(CONNECTION, slot));
        }
    }
}

/// Whether a connection stands, or why it never will.
fn outcome(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
