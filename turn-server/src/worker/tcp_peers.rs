//! Peers over TCP, and client connections spliced with theirs (RFC 6062).

use std::collections::{HashSet, VecDeque};
use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use porthole_turn_proto::server::{ConnectionId, FiveTuple, RelayId};

use super::ready::{CONNECTION, PEER, TCP_RELAY, token};
use super::tcp_clients::is_connection_error;
use super::{BUDGET, Served, Worker};
use crate::control::Command;
use crate::tcp::connections::Connection;
use crate::tcp::peer_connections::{PeerConnection, PeerState};
use crate::tcp::splice::{Splice, SpliceEnd as _, SpliceStatus, Transferred};

/// Pause of a splice that has used up its bandwidth: short compared to the second by which it may
/// be ahead.
const PAUSE: Duration = Duration::from_millis(10);

/// Paused splices by the slot of the peer, in order because all pauses are equally long. Each at
/// most once.
#[derive(Debug, Default)]
pub(super) struct PausedSplices {
    until: VecDeque<(Instant, usize)>,
    slots: HashSet<usize>,
}

impl PausedSplices {
    fn pause(&mut self, slot: usize, now: Instant) {
        if self.slots.insert(slot) {
            self.until.push_back((now + PAUSE, slot));
        }
    }

    /// Removes one whose pause is over.
    fn pop(&mut self, now: Instant) -> Option<usize> {
        let (_, slot) = self.until.pop_front_if(|(until, _)| *until <= now)?;
        self.slots.remove(&slot);
        Some(slot)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.until.front().map(|(until, _)| *until)
    }
}

impl Worker {
    /// Makes splices ready whose pause is over.
    pub(super) fn resume_paused(&mut self) {
        while let Some(slot) = self.paused.pop(self.now.instant) {
            self.ready.push(token(PEER, slot));
        }
    }

    pub(super) fn open_tcp_relay(&mut self, relay: RelayId, port: u16) -> io::Result<()> {
        let token = token(TCP_RELAY, relay.slot());
        self.peers.open(relay, port, self.poll.registry(), token)
    }

    /// Accepts peers that connect to a relayed address.
    pub(super) fn serve_tcp_relay(&mut self, slot: usize) -> Served {
        for _ in 0..BUDGET {
            match self.peers.accept(slot) {
                Ok((relay, stream, from)) => self.accept_peer(relay, stream, from),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Served::EMPTY,
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "the TURN server cannot accept a peer's connection");
                    self.paused_listeners.push(token(TCP_RELAY, slot));
                    return Served::EMPTY;
                }
            }
        }
        Served { datagrams: BUDGET, more: true }
    }

    /// Keeps or drops, and so closes, an accepted connection.
    fn accept_peer(&mut self, relay: RelayId, stream: TcpStream, from: SocketAddr) {
        if let Some(id) = self.server.handle_peer_accepted(self.now, relay, from) {
            let peer = PeerConnection { id, stream, state: PeerState::Waiting };
            if self.insert_peer(peer).is_err() {
                self.server.handle_connection_closed(self.now, id);
            }
        }
        self.apply_outputs();
    }

    pub(super) fn connect_peer(&mut self, id: ConnectionId, relay: RelayId, peer: SocketAddr) {
        let connected = self.peers.connect(relay, peer).and_then(|stream| {
            self.insert_peer(PeerConnection { id, stream, state: PeerState::Connecting })
        });
        if let Err(error) = connected {
            tracing::debug!(%error, "cannot connect to a peer");
            self.server.handle_peer_connect_failed(self.now, id);
        }
    }

    fn insert_peer(&mut self, peer: PeerConnection) -> io::Result<()> {
        self.peers.insert(peer, self.poll.registry(), |slot| token(PEER, slot)).map(drop)
    }

    /// Serves an event of a peer connection.
    pub(super) fn serve_peer(&mut self, slot: usize) -> Served {
        let Some(peer) = self.peers.get_mut(slot) else { return Served::EMPTY };
        let id = peer.id;
        match peer.state {
            PeerState::Bound { .. } => return self.serve_splice(slot),
            // Not read before the client has bound it.
            PeerState::Waiting => return Served::EMPTY,
            PeerState::Connecting => {}
        }
        match is_connected(&peer.stream) {
            Ok(true) => {
                peer.state = PeerState::Waiting;
                self.server.handle_peer_connected(self.now, id);
            }
            Ok(false) => return Served::EMPTY,
            Err(error) => {
                tracing::debug!(%error, "a peer refused a connection");
                self.peers.remove(slot);
                self.server.handle_peer_connect_failed(self.now, id);
            }
        }
        self.apply_outputs();
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

    /// Moves bytes of a splice both ways.
    pub(super) fn serve_splice(&mut self, slot: usize) -> Served {
        let Some(peer) = self.peers.get_mut(slot) else { return Served::EMPTY };
        let id = peer.id;
        let PeerState::Bound { client, splice } = &mut peer.state else { return Served::EMPTY };
        let Some(connection) = self.connections.get_mut(*client) else { return Served::EMPTY };
        let allowance = self.server.connection_budget(self.now, id);
        if allowance == 0 {
            self.paused.pause(slot, self.now.instant);
            return Served::EMPTY;
        }
        let pumped = splice.pump(connection, &mut peer.stream, allowance);
        let Transferred { to_peer, to_client } = splice.take_transferred();
        self.server.handle_connection_traffic(self.now, id, to_peer, to_client);
        match pumped {
            Ok(SpliceStatus::Idle) => Served { datagrams: 1, more: false },
            Ok(SpliceStatus::More) => {
                // Queued under the peer, whichever of the two was served.
                self.ready.push(token(PEER, slot));
                Served { datagrams: BUDGET, more: false }
            }
            Ok(SpliceStatus::Done) | Err(_) => {
                self.close_peer(id);
                self.server.handle_connection_closed(self.now, id);
                self.apply_outputs();
                Served { datagrams: 1, more: false }
            }
        }
    }

    /// Closes a peer connection, and the client's if they are spliced. The protocol already knows.
    pub(super) fn close_peer(&mut self, id: ConnectionId) {
        let removed = self.peers.slot_of(id).and_then(|slot| self.peers.remove(slot));
        if let Some(PeerConnection { state: PeerState::Bound { client, .. }, .. }) = removed
            && let Some(mut connection) = self.connections.remove(client)
        {
            connection.shutdown_write();
        }
    }

    /// Closes the peer connection of a splice whose client connection has ended.
    pub(super) fn end_splice(&mut self, slot: usize) {
        if let Some(peer) = self.peers.remove(slot) {
            self.server.handle_connection_closed(self.now, peer.id);
        }
    }

    /// Hands a client connection over to the worker with the peer connection that it wants to bind.
    /// If that is impossible it is closed, and the client retries. A second handover is never
    /// needed: the other worker binds it.
    pub(super) fn hand_over_connection(&mut self, client: &FiveTuple, worker: u8) {
        let slot = self.connections.slot_of(client);
        let Some(mut connection) = slot.and_then(|slot| self.connections.remove(slot)) else {
            return;
        };
        if connection.handed_over || connection.deregister(self.poll.registry()).is_err() {
            return;
        }
        connection.handed_over = true;
        connection.decoder.put_back();
        let other =
            self.all_workers.get().and_then(|all_workers| all_workers.get(usize::from(worker)));
        if let Some(other) = other {
            other.notify(Command::Serve { connection: Box::new(connection) });
        }
    }

    /// Takes over a client connection from another worker.
    pub(super) fn adopt_connection(&mut self, mut connection: Connection) {
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

/// Returns true once a connection is established, or the error that prevents it.
fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
