//! The UDP relay sockets of one worker.

use std::io;
use std::io::IoSlice;
use std::net::SocketAddr;

use mio::{Registry, Token};
use porthole_turn_proto::server::{RelayId, ToPeer};

use crate::net::addresses::{RelaySide, side_of};
use crate::net::sockets::open_relay;
use crate::net::udp::{Datagrams, Udp};
use crate::slots::ByRelay;

/// Surplus of batches with several datagrams over batches with one after which a socket coalesces.
const BATCHES: u8 = 16;

#[derive(Debug)]
pub(crate) struct RelaySockets {
    sides: Vec<RelaySide>,
    sockets: ByRelay<RelaySocket>,
    segmentation: bool,
}

#[derive(Debug)]
pub(crate) struct RelaySocket {
    pub(crate) udp: Udp,
    side: RelaySide,
    bound: SocketAddr,
    /// The worker's round in which it last had data.
    round: u32,
    /// Surplus of batches with several datagrams over batches with one.
    batches: u8,
}

/// The way of a client's datagram: the relay socket to send it from, and the peer to send it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ToRelay {
    pub(crate) relay: RelayId,
    pub(crate) peer: SocketAddr,
    /// True if it must not be fragmented (RFC 8656 §18.9).
    pub(crate) dont_fragment: bool,
}

impl From<&ToPeer> for ToRelay {
    fn from(to: &ToPeer) -> Self {
        Self { relay: to.relay, peer: to.peer, dont_fragment: to.dont_fragment }
    }
}

impl RelaySocket {
    /// Translates the source address of a packet to the address that the client knows the peer by.
    pub(crate) fn inbound(&self, from: SocketAddr) -> SocketAddr {
        self.side.inbound(from)
    }

    /// Returns true if more than one buffer should be offered. A call that can receive several
    /// datagrams costs half as much again as one for a single datagram, and most sockets hold one
    /// at a time. A socket that had data in the previous round is expected to hold several.
    pub(crate) fn expects_several(&self, round: u32) -> bool {
        self.udp.coalesces() || round.wrapping_sub(self.round) <= 1
    }

    /// Records that a batch of `offered` buffers brought this many datagrams.
    pub(crate) fn record_batch(&mut self, datagrams: usize, offered: usize, round: u32) {
        self.round = round;
        if offered > 1 {
            let step = if datagrams > 1 { u8::saturating_add } else { u8::saturating_sub };
            self.batches = step(self.batches, 1);
        }
        if self.batches >= BATCHES {
            self.udp.enable_coalescing();
        }
    }
}

impl RelaySockets {
    /// Begins without sockets.
    pub(crate) fn new(sides: Vec<RelaySide>, segmentation: bool) -> Self {
        Self { sides, sockets: ByRelay::default(), segmentation }
    }

    /// Opens the socket of a relayed address and registers it with the poll.
    pub(crate) fn open(
        &mut self,
        id: RelayId,
        port: u16,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        let side = side_of(&self.sides, id.family)?;
        let bound = SocketAddr::new(side.bind, port);
        let socket = open_relay(bound)?;
        let mut udp = Udp::new(socket, id.family, self.segmentation);
        udp.queue_errors();
        udp.register_level_triggered(registry, token)?;
        self.sockets.insert(id, RelaySocket { udp, side, bound, round: 0, batches: 0 });
        Ok(())
    }

    /// Closes a socket, which also removes it from the poll.
    pub(crate) fn close(&mut self, id: RelayId) {
        self.sockets.remove(id);
    }

    pub(crate) fn close_all(&mut self) {
        self.sockets.clear();
    }

    pub(crate) fn at(&self, slot: usize) -> Option<(RelayId, &RelaySocket)> {
        self.sockets.at(slot)
    }

    pub(crate) fn at_mut(&mut self, slot: usize) -> Option<(RelayId, &mut RelaySocket)> {
        self.sockets.at_mut(slot)
    }

    /// Returns the local and the remote address in the packets between a relay socket and a peer.
    pub(crate) fn wire_addresses(
        &self,
        id: RelayId,
        peer: SocketAddr,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let relay = self.sockets.get(id)?;
        Some((relay.bound, relay.side.outbound(peer)))
    }

    /// Sends datagrams to a peer and returns how many could not be sent.
    pub(crate) fn send(&mut self, to: ToRelay, datagrams: Datagrams<'_>) -> usize {
        let Some(relay) = self.sockets.get_mut(to.relay) else { return datagrams.count };
        relay.udp.send(relay.side.outbound(to.peer), datagrams, to.dont_fragment)
    }

    pub(crate) fn send_one(&mut self, to: ToRelay, payload: &[u8]) -> usize {
        self.send(to, Datagrams::one(&[IoSlice::new(payload)]))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use mio::Poll;
    use porthole_turn_proto::Family;
    use porthole_turn_proto::server::AllocationId;

    use super::*;

    #[test]
    fn several_buffers_are_offered_to_a_socket_that_receives_several_datagrams() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut sockets = RelaySockets::new(vec![RelaySide { advertised: ip, bind: ip }], true);
        let poll = Poll::new().unwrap();
        let id = RelayId { allocation: AllocationId::from_bits(0), family: Family::V4 };
        sockets.open(id, 0, poll.registry(), Token(0)).unwrap();
        let relay = sockets.at_mut(id.slot()).unwrap().1;
        // Round; true if several buffers are offered; datagrams received.
        for (round, several, datagrams) in [
            (100, false, 1),
            (105, false, 1),
            (106, true, 1),
            (107, true, 8),
            (107, true, 3),
            (109, false, 1),
            (u32::MAX, false, 1),
            (0, true, 1),
        ] {
            assert_eq!(relay.expects_several(round), several, "{round}");
            relay.record_batch(datagrams, if several { 8 } else { 1 }, round);
            assert!(!relay.udp.coalesces());
        }
        for _ in 0..BATCHES {
            relay.record_batch(2, 8, 200);
        }
        assert!(relay.udp.coalesces());
        relay.record_batch(1, 8, 200);
        assert!(relay.expects_several(300), "for good");
    }
}
