//! Clients over DTLS.

use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::UdpSocket;
use porthole_clock::Now;
use porthole_turn_proto::Transport;
use porthole_turn_proto::server::FiveTuple;
use rand::Rng as _;

use super::{BUDGET, Served, Worker, without_scope};
use crate::relay::sockets::ToRelay;
use crate::tcp::connections::IDLE;
use crate::tls::certificates::Certificates;
use crate::tls::dtls::{Dtls, Received};

/// The DTLS sockets and the associations of their clients.
#[derive(Debug)]
pub(super) struct DtlsClients {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    dtls: Option<Dtls>,
    /// Number of datagrams that the system refused.
    pub(super) not_sent: u64,
}

impl DtlsClients {
    pub(super) fn new(
        sockets: Vec<(SocketAddr, UdpSocket)>,
        certificates: Option<&Arc<Certificates>>,
    ) -> Self {
        let dtls = certificates
            .and_then(|certificates| certificates.dtls())
            .and_then(|current| Dtls::new(current, rand::rng().random(), Instant::now()));
        Self { sockets, dtls, not_sent: 0 }
    }

    /// Drops all associations.
    pub(super) fn reset(&mut self, certificates: Option<&Arc<Certificates>>) {
        *self = Self::new(std::mem::take(&mut self.sockets), certificates);
    }

    pub(super) fn sockets(&self) -> usize {
        self.sockets.len()
    }

    pub(super) fn len(&self) -> usize {
        self.dtls.as_ref().map_or(0, Dtls::len)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.dtls.as_ref()?.poll_timeout()
    }

    /// Encrypts and sends a message. Returns false if the client has no association.
    pub(super) fn send(&mut self, client: &FiveTuple, packet: &[u8]) -> bool {
        let sent = self.dtls.as_mut().is_some_and(|d| d.send(Instant::now(), client, packet));
        self.flush();
        sent
    }

    /// Receives the next datagram; returns its client and the result.
    fn receive(
        &mut self,
        index: usize,
        now: Now,
        buffer: &mut [u8],
        has_allocation: impl Fn(&FiveTuple) -> bool,
    ) -> io::Result<(FiveTuple, Received)> {
        let (server, socket) = self.sockets.get(index).ok_or(ErrorKind::WouldBlock)?;
        let dtls = self.dtls.as_mut().ok_or(ErrorKind::WouldBlock)?;
        let (len, from) = socket.recv_from(buffer)?;
        let client =
            FiveTuple { transport: Transport::Dtls, client: without_scope(from), server: *server };
        let datagram = buffer.get(..len).unwrap_or_default();
        let received = dtls.receive(now.instant, &client, datagram, has_allocation);
        self.flush();
        Ok((client, received))
    }

    fn flush(&mut self) {
        while let Some((to, datagram)) = self.dtls.as_mut().and_then(Dtls::poll_transmit) {
            let socket = self.sockets.iter().find(|(addr, _)| *addr == to.server);
            let sent = socket.is_some_and(|(_, s)| s.send_to(&datagram, to.client).is_ok());
            self.not_sent += u64::from(!sent);
        }
    }

    /// Continues handshakes, or drops them.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
            self.flush();
        }
    }

    /// Closes associations that have had no allocation for [`IDLE`].
    pub(super) fn expire(&mut self, now: Instant, has_allocation: impl Fn(&FiveTuple) -> bool) {
        let Some(dtls) = &mut self.dtls else { return };
        for client in dtls.idle(now, IDLE, has_allocation) {
            dtls.close(now, &client);
        }
        self.flush();
    }
}

impl Worker {
    pub(super) fn serve_dtls(&mut self, index: usize) -> Served {
        let now = self.now;
        for datagrams in 0..BUDGET {
            let has_allocation = |tuple: &FiveTuple| self.server.has_allocation(tuple);
            match self.dtls.receive(index, now, &mut self.buffer, has_allocation) {
                Ok((client, Received::Data(messages))) => {
                    for message in messages {
                        self.serve_datagram(now, &client, &message);
                    }
                }
                Ok((client, Received::Ended)) => {
                    self.server.handle_client_disconnected(now, &client);
                    self.apply_outputs();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Served { datagrams, more: false };
                }
                Err(_) => {}
            }
        }
        Served { datagrams: BUDGET, more: true }
    }

    fn serve_datagram(&mut self, now: Now, client: &FiveTuple, datagram: &[u8]) {
        if let Some(to_peer) = self.server.handle_client(now, client, datagram) {
            let to = ToRelay::from(&to_peer);
            let payload = datagram.get(to_peer.payload).unwrap_or_default();
            let failed = self.relays.send_one(to, payload);
            self.count_not_sent(failed);
        }
        self.apply_outputs();
    }
}
