//! Clients over TCP.

use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Instant;

use mio::Interest;
use porthole_clock::Now;
use porthole_turn_proto::Transport;
use porthole_turn_proto::server::FiveTuple;

use super::ready::{CONNECTION, TLS, token};
use super::{BUDGET, MAX_DATAGRAM, Served, Worker, now, without_scope};
use crate::relay::sockets::ToRelay;
use crate::tcp::client_stream::{ClientStream, ExpectedProtocol};
use crate::tcp::connections::{Admission, Connection};
use crate::tcp::splice::SpliceEnd as _;
use crate::tls::client::TlsClient;

impl Worker {
    pub(super) fn serve_listener(&mut self, kind: usize, index: usize) -> Served {
        for _ in 0..BUDGET {
            let listeners = if kind == TLS { &self.tls } else { &self.tcp };
            let Some(listener) = listeners.get(index) else { return Served::EMPTY };
            match listener.accept() {
                Ok((stream, from)) => self.accept(stream, from, kind == TLS),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Served::EMPTY,
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "the TURN server cannot accept a connection");
                    self.paused_listeners.push(token(kind, index));
                    return Served::EMPTY;
                }
            }
        }
        Served { datagrams: BUDGET, more: true }
    }

    pub(super) fn accept(&mut self, mut stream: mio::net::TcpStream, from: SocketAddr, tls: bool) {
        // Fails if the connection is already gone; dropping closes it.
        let Ok(server) = stream.local_addr() else { return };
        let (client, server) = (without_scope(from), without_scope(server));
        let transport = if tls { Transport::Tls } else { Transport::Tcp };
        let tuple = FiveTuple { transport, client, server };
        if !self.make_room_for(&tuple) {
            return;
        }
        // Video comes in small packets: TCP must not wait to fill a segment.
        let _ = stream.set_nodelay(true);
        let slot = self.connections.next_slot();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        if registry.register(&mut stream, token(CONNECTION, slot), interest).is_ok() {
            let Ok(stream) = ClientStream::new(stream, self.expect(tls)) else { return };
            self.connections.insert(Connection::new(stream, tuple, Instant::now()));
            if tls {
                self.begin_handshake(slot);
            }
        }
    }

    /// Serves a client whose TLS handshake the embedding program has finished.
    pub(super) fn adopt_tls_client(&mut self, client: TlsClient) {
        let TlsClient { stream, tls, address } = client;
        let stream = mio::net::TcpStream::from_std(stream);
        // Fails if the connection is already gone; dropping closes it.
        let Ok(server) = stream.local_addr() else { return };
        let (client, server) = (without_scope(address), without_scope(server));
        let tuple = FiveTuple { transport: Transport::Tls, client, server };
        let _ = stream.set_nodelay(true);
        let stream = ClientStream::after_handshake(stream, Box::new(tls));
        self.adopt_connection(Connection::new(stream, tuple, Instant::now()));
    }

    /// Makes room for one more connection. Returns false if that is impossible. An old connection
    /// with the same addresses must have ended, even if its end was not read yet, and is closed.
    pub(super) fn make_room_for(&mut self, tuple: &FiveTuple) -> bool {
        if let Some(ended) = self.connections.slot_of(tuple) {
            self.close(ended);
        }
        match self.connections.admission(|tuple| self.server.has_allocation(tuple)) {
            Admission::Free => true,
            Admission::Evict(oldest) => {
                self.close(oldest);
                true
            }
            Admission::Full => false,
        }
    }

    fn expect(&self, tls: bool) -> ExpectedProtocol {
        match &self.certificates {
            Some(certificates) if tls => ExpectedProtocol::Tls(certificates.tls()),
            Some(certificates) => ExpectedProtocol::Detect(certificates.tls()),
            None => ExpectedProtocol::Plain,
        }
    }

    fn begin_handshake(&mut self, slot: usize) {
        if let Some(oldest) = self.connections.begin_handshake(slot) {
            self.close(oldest);
        }
    }

    /// Writes queued frames, then reads.
    pub(super) fn serve_connection(&mut self, slot: usize) -> Served {
        let now = now();
        if let Some(connection) = self.connections.get_mut(slot) {
            if let Some(peer) = connection.bound {
                return self.serve_splice(peer);
            }
            connection.flush_queue();
            // An error of the first byte is reported by the read below.
            if connection.detect_tls().is_ok_and(|tls| tls) {
                self.begin_handshake(slot);
            }
        }
        for _ in 0..BUDGET {
            let Some(connection) = self.connections.get_mut(slot) else { return Served::EMPTY };
            let buffer = self.buffer.get_mut(..MAX_DATAGRAM).unwrap_or_default();
            match connection.read_frames(buffer) {
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
            self.apply_outputs();
        }
    }

    pub(super) fn close(&mut self, slot: usize) {
        if let Some(mut connection) = self.connections.remove(slot) {
            connection.shutdown_write();
            if let Some(peer) = connection.bound {
                self.end_splice(peer);
            }
            self.server.handle_client_disconnected(now(), &connection.tuple);
            self.apply_outputs();
        }
    }
}

/// Returns true if the error concerns a connection that ended before it was accepted.
pub(super) fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
