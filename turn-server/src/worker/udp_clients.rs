//! Clients over UDP.

use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;

use porthole_turn_proto::Transport;
use porthole_turn_proto::server::FiveTuple;

use super::inbox::MAX_BATCH;
use super::outbox::Outbox;
use super::{Served, Worker};
use crate::net::udp::{Datagrams, Udp};
use crate::relay::sockets::{RelaySockets, ToRelay};

/// A listening UDP socket.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    pub(super) udp: Udp,
}

impl Worker {
    /// Serves one batch; what it brings for peers is sent before it ends.
    pub(super) fn serve_udp(&mut self, index: usize) -> Served {
        let Some(listener) = self.udp.get(index) else { return Served::EMPTY };
        let server = listener.addr;
        self.from_clients.clear();
        let got = match self.from_clients.receive(&self.receiver, &listener.udp, MAX_BATCH) {
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Served::EMPTY,
            Err(_) => return Served { datagrams: 1, more: true },
        };
        let more = got.len() == MAX_BATCH;
        let mut datagrams = 0;
        for i in got {
            let Some(arrival) = self.from_clients.arrival(i) else { break };
            let client = FiveTuple { transport: Transport::Udp, client: arrival.from, server };
            for datagram in arrival.datagrams() {
                self.handle_client_datagram(&client, datagram);
                datagrams += 1;
            }
        }
        let failed = send_all(&mut self.to_peers, &mut self.relays, self.from_clients.memory());
        self.count_not_sent(failed);
        self.flush_handover();
        Served { datagrams, more }
    }

    /// Handles a datagram in the inbox.
    fn handle_client_datagram(&mut self, client: &FiveTuple, datagram: Range<usize>) {
        let start = datagram.start;
        let bytes = self.from_clients.bytes(datagram.clone());
        if let Some(to_peer) = self.server.handle_client(self.now, client, bytes) {
            let to = ToRelay::from(&to_peer);
            let payload = start + to_peer.payload.start..start + to_peer.payload.end;
            self.to_peers.push(to, payload, 0);
        }
        self.apply_outputs();
        if let Some(worker) = self.handover.target.take() {
            self.hand_over_datagram(worker, client, datagram);
        }
    }

    /// Sends a message of the server itself, from the socket that the client sent to.
    pub(super) fn send_udp(&mut self, client: &FiveTuple, packet: &[u8]) {
        let listener = self.udp.iter_mut().find(|listener| listener.addr == client.server);
        let parts = [IoSlice::new(packet)];
        let failed =
            listener.map_or(1, |l| l.udp.send(client.client, Datagrams::one(&parts), false));
        self.count_not_sent(failed);
    }

    pub(super) fn count_not_sent(&mut self, datagrams: usize) {
        self.not_sent += u64::try_from(datagrams).unwrap_or(u64::MAX);
    }
}

/// Sends the datagrams for peers from where they lie. Returns how many could not be sent.
pub(super) fn send_all(
    to_peers: &mut Outbox<ToRelay>,
    relays: &mut RelaySockets,
    memory: &[u8],
) -> usize {
    let mut failed = 0;
    to_peers.drain(memory, |runs| {
        failed = runs.iter().map(|(to, datagrams)| relays.send(*to, *datagrams)).sum();
    });
    failed
}
