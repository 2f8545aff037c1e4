//! Clients over TCP.

use porthole_clock::Now;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Instant;

use mio::Interest;
use porthole_turn_proto::Transport;
use porthole_turn_proto::server::FiveTuple;

use super::ready::{CONNECTION, TLS, token};
use super::{BUDGET, MAX_DATAGRAM, Served, Worker, clocks, plain};
use crate::relay::sockets::ToRelay;
use crate::tcp::connections::{Connection, Room};
use crate::tcp::splice::End as _;
use crate::tcp::wire::{Expect, Wire};

impl Worker {
    pub(super) fn serve_listener(&mut self, kind: usize, index: usize) -> Served {
        for _ in 0..BUDGET {
            let listeners = if kind == TLS { &self.tls } else { &self.tcp };
            let Some(listener) = listeners.get(index) else { return Served::EMPTY };
            match listener.accept() {
                Ok((stream, from)) => self.accept(stream, from, kind == TLS),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Served::EMPTY,
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "the TURN server cannot accept a connection");
                    self.resting.push(token(kind, index));
                    return Served::EMPTY;
                }
            }
        }
        Served { datagrams: BUDGET, more: true }
    }

    pub(super) fn accept(&mut self, mut stream: mio::net::TcpStream, from: SocketAddr, tls: bool) {
        // Dropping closes: there is nobody to tell.
        let Ok(server) = stream.local_addr() else { return };
        let (client, server) = (plain(from), plain(server));
        let transport = if tls { Transport::Tls } else { Transport::Tcp };
        let tuple = FiveTuple { transport, client, server };
        if !self.make_room_for(&tuple) {
            return;
        }
        // Video in small packets: waiting to fill a segment is what TCP must not do.
        let _ = stream.set_nodelay(true);
        let slot = self.connections.next_slot();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        if registry.register(&mut stream, token(CONNECTION, slot), interest).is_ok() {
            let Ok(wire) = Wire::new(stream, self.expect(tls)) else { return };
            self.connections.insert(Connection::new(wire, tuple, Instant::now()));
            if tls {
                self.begin_handshake(slot);
            }
        }
    }

    /// Whether there is room for one more connection now. One with the same ends is over, whether
    /// its end has been read or not: else the new one could not be.
    pub(super) fn make_room_for(&mut self, tuple: &FiveTuple) -> bool {
        if let Some(over) = self.connections.slot_of(tuple) {
            self.close(over);
        }
        match self.connections.room(|tuple| self.server.has_allocation(tuple)) {
            Room::There => true,
            Room::After(oldest) => {
                self.close(oldest);
                true
            }
            Room::None => false,
        }
    }

    fn expect(&self, tls: bool) -> Expect {
        match &self.certificates {
            Some(certificates) if tls => Expect::Tls(certificates.tls()),
            Some(certificates) => Expect::Either(certificates.tls()),
            None => Expect::Plain,
        }
    }

    fn begin_handshake(&mut self, slot: usize) {
        if let Some(oldest) = self.connections.begin_handshake(slot) {
            self.close(oldest);
        }
    }

    /// Writes what waits, then reads.
    pub(super) fn serve_connection(&mut self, slot: usize) -> Served {
        let now = clocks();
        if let Some(connection) = self.connections.get_mut(slot) {
            if let Some(peer) = connection.bound {
                return self.serve_splice(peer);
            }
            connection.send_waiting();
            // What is wrong with the first byte shows when it is read.
            if connection.recognise().is_ok_and(|tls| tls) {
                self.begin_handshake(slot);
            }
        }
        for _ in 0..BUDGET {
            let Some(connection) = self.connections.get_mut(slot) else { return Served::EMPTY };
            let room = self.buffer.get_mut(..MAX_DATAGRAM).unwrap_or_default();
            match connection.read_frames(room) {
                Ok(n) if n > 0 => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Served::EMPTY,
                Ok(_) | Err(_) => {
                    self.close(slot);
                    return Served::EMPTY;
                }
            }
            self.serve_frames(slot, now);
            if self.connections.get_mut(slot).is_none_or(|connection| connection.bound.is_some()) {
                return Served::EMPTY;
            }
        }
        Served { datagrams: BUDGET, more: true }
    }

    pub(super) fn serve_frames(&mut self, slot: usize, now: Now) {
        while let Some(connection) = self.connections.get_mut(slot)
            && connection.bound.is_none()
        {
            let frame = match connection.decoder.next_frame() {
                Ok(Some(frame)) if !connection.broken => frame,
                Ok(None) => return,
                Ok(Some(_)) => return self.close(slot),
                Err(_) => {
                    self.server.handle_malformed_stream();
                    return self.close(slot);
                }
            };
            if let Some(to_peer) = self.server.handle_client(now, &connection.tuple, frame) {
                let to = ToRelay::from(&to_peer);
                let payload = frame.get(to_peer.payload).unwrap_or_default();
                let failed = self.relays.send_one(to, payload);
                self.count_not_sent(failed);
            }
            self.do_outputs();
        }
    }

    pub(super) fn close(&mut self, slot: usize) {
        if let Some(mut connection) = self.connections.remove(slot) {
            connection.end();
            if let Some(peer) = connection.bound {
                self.end_splice(peer);
            }
            self.server.handle_client_disconnected(clocks(), &connection.tuple);
            self.do_outputs();
        }
    }
}

/// Errors of a connection that died while it waited to be accepted.
pub(super) fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
