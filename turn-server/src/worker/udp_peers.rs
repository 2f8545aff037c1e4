//! Peers over UDP: datagrams that arrive at relay sockets.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::Range;

use mio::Token;
use porthole_turn_proto::Transport;
use porthole_turn_proto::server::{Icmp, RelayId, ToClient};

use super::inbox::Arrival;
use super::ready::{RELAY, split};
use super::{Served, Worker};
use crate::net::udp::IcmpError;

/// Buffers offered to a relay socket that receives several datagrams at a time.
const BATCH: usize = 8;

/// Most ICMP errors handled at once. The rest waits for the next event; the socket's buffer bounds
/// it.
const MAX_ERRORS: usize = 16;

/// The way of a datagram to a client: the listening socket and the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FromListener {
    index: usize,
    client: SocketAddr,
}

impl Worker {
    /// Serves one batch. What it brings for clients is sent when the inbox is full or the round
    /// ends; see [`Self::flush_to_clients`].
    pub(super) fn serve_relay(&mut self, slot: usize) -> Served {
        if self.from_peers.free_buffers() < BATCH {
            self.flush_to_clients();
        }
        let Some((id, relay)) = self.relays.at_mut(slot) else { return Served::EMPTY };
        let offered = if relay.expects_several(self.round) { BATCH } else { 1 };
        let got = match self.from_peers.receive(&self.receiver, &relay.udp, offered) {
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Served::EMPTY,
            Err(_) => return Served { datagrams: 1, more: true },
        };
        relay.record_batch(got.len(), offered, self.round);
        let more = relay.udp.may_have_more(got.len(), offered);
        let mut datagrams = 0;
        for i in got {
            let Some(arrival) = self.from_peers.arrival(i) else { break };
            datagrams += self.handle_peer_datagrams(id, arrival);
        }
        Served { datagrams, more }
    }

    /// Handles the ICMP errors in the queue of a relay socket.
    pub(super) fn drain_error_queue(&mut self, token: Token) {
        let (RELAY, slot) = split(token) else { return };
        for _ in 0..MAX_ERRORS {
            let Some((id, relay)) = self.relays.at(slot) else { return };
            let Some(error) = relay.udp.next_error() else { return };
            let IcmpError { peer, kind, code, data } = error;
            let peer = relay.inbound(peer);
            self.server.handle_icmp(self.now, id, peer, Icmp { kind, code, data });
            self.apply_outputs();
        }
    }

    fn handle_peer_datagrams(&mut self, relay: RelayId, arrival: Arrival) -> usize {
        let side = self.relays.at(relay.slot());
        let from = side.map_or(arrival.from, |(_, relay)| relay.inbound(arrival.from));
        let mut datagrams = 0;
        for payload in arrival.datagrams() {
            datagrams += 1;
            let to = self.server.handle_peer(self.now, relay, from, payload.len());
            let Some(to) = to else { continue };
            match to.client.transport {
                Transport::Udp => self.send_to_udp_client(&to, arrival, payload),
                Transport::Dtls => self.send_to_dtls_client(&to, payload),
                Transport::Tcp | Transport::Tls => self.send_to_stream_client(&to, payload),
            }
        }
        datagrams
    }

    fn send_to_udp_client(&mut self, to: &ToClient, arrival: Arrival, payload: Range<usize>) {
        let ToClient { client, header, padding } = to;
        let Some(index) = self.udp.iter().position(|l| l.addr == client.server) else {
            return self.count_not_sent(1);
        };
        let to = FromListener { index, client: client.client };
        if arrival.is_first(&payload) {
            let datagram = self.from_peers.put_header(header, &payload);
            self.to_clients.push(to, datagram, *padding);
        } else {
            self.to_clients.push_with_header(to, header.as_bytes(), payload, *padding);
        }
    }

    fn send_to_stream_client(&mut self, to: &ToClient, payload: Range<usize>) {
        let frame = self.frame(to, payload);
        self.not_sent +=
            self.connections.by_client_mut(&to.client).map_or(1, |c| c.send_relayed(&frame));
    }

    fn send_to_dtls_client(&mut self, to: &ToClient, payload: Range<usize>) {
        let frame = self.frame(to, payload);
        self.not_sent += u64::from(!self.dtls.send(&to.client, &frame));
    }

    /// Joins the parts of a datagram, for clients whose bytes are copied anyway.
    fn frame(&self, to: &ToClient, payload: Range<usize>) -> Vec<u8> {
        let padding = [0; 3];
        let padding = padding.get(..to.padding).unwrap_or_default();
        [to.header.as_bytes(), self.from_peers.bytes(payload), padding].concat()
    }

    pub(super) fn flush_to_clients(&mut self) {
        let (listeners, mut failed) = (&mut self.udp, 0);
        self.to_clients.drain(self.from_peers.memory(), |runs| {
            for of_listener in runs.chunk_by(|(one, _), (next, _)| one.index == next.index) {
                let Some((to, _)) = of_listener.first() else { continue };
                let Some(listener) = listeners.get_mut(to.index) else { continue };
                let runs: Vec<_> =
                    of_listener.iter().map(|(to, what)| (to.client, *what)).collect();
                failed += listener.udp.send_all(&runs);
            }
        });
        self.from_peers.clear();
        self.count_not_sent(failed);
    }
}
