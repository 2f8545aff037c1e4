//! The relay sockets of one worker.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use mio::{Registry, Token};
use porthole_turn_proto::server::{RelayId, ToPeer};

use crate::net::addresses::{RelaySide, side_of};
use crate::net::sockets::open_relay;
use crate::net::udp::{Datagrams, Udp};
use crate::slots::ByRelay;

/// After so many more batches with several datagrams than with one, they are taken joined.
const BATCHES: u8 = 16;

#[derive(Debug)]
pub(crate) struct Relays {
    sides: Vec<RelaySide>,
    sockets: ByRelay<Relay>,
    segmentation: bool,
}

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) udp: Udp,
    side: RelaySide,
    bound: SocketAddr,
    /// The worker's, when it was last read.
    round: u32,
    /// By how many more batches brought several datagrams than brought one.
    batches: u8,
}

/// Where a datagram goes that a client sends: which socket, which peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ToRelay {
    pub(crate) relay: RelayId,
    pub(crate) peer: SocketAddr,
    /// It must not be fragmented (RFC 8656 §18.9).
    pub(crate) whole: bool,
}

impl From<&ToPeer> for ToRelay {
    fn from(to: &ToPeer) -> Self {
        Self { relay: to.relay, peer: to.peer, whole: to.dont_fragment }
    }
}

impl Relay {
    /// A peer as the protocol knows him.
    pub(crate) fn inbound(&self, from: SocketAddr) -> SocketAddr {
        self.side.inbound(from)
    }

    /// Whether to offer more than one buffer. A call that can take several datagrams costs half
    /// as much again as one that takes one, and most sockets have one at a time. One that had
    /// something a round ago is asked for several.
    pub(crate) fn gets_several(&self, round: u32) -> bool {
        self.udp.joins_datagrams() || round.wrapping_sub(self.round) <= 1
    }

    /// So many datagrams, when so many buffers were offered.
    pub(crate) fn took(&mut self, datagrams: usize, offered: usize, round: u32) {
        self.round = round;
        if offered > 1 {
            let step = if datagrams > 1 { u8::saturating_add } else { u8::saturating_sub };
            self.batches = step(self.batches, 1);
        }
        if self.batches >= BATCHES {
            self.udp.join_datagrams();
        }
    }
}

impl Relays {
    pub(crate) fn new(sides: Vec<RelaySide>, segmentation: bool) -> Self {
        Self { sides, sockets: ByRelay::default(), segmentation }
    }

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
        udp.register_to_be_told_again(registry, token)?;
        self.sockets.insert(id, Relay { udp, side, bound, round: 0, batches: 0 });
        Ok(())
    }

    /// Closing takes the socket out of the poll as well.
    pub(crate) fn close(&mut self, id: RelayId) {
        self.sockets.remove(id);
    }

    pub(crate) fn close_all(&mut self) {
        self.sockets.clear();
    }

    pub(crate) fn at(&self, slot: usize) -> Option<(RelayId, &Relay)> {
        self.sockets.at(slot)
    }

    pub(crate) fn at_mut(&mut self, slot: usize) -> Option<(RelayId, &mut Relay)> {
        self.sockets.at_mut(slot)
    }

    /// The addresses of a relay socket and of a peer in the packets that go between them.
    pub(crate) fn on_the_wire(
        &self,
        id: RelayId,
        peer: SocketAddr,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let relay = self.sockets.get(id)?;
        Some((relay.bound, relay.side.outbound(peer)))
    }

    /// How many datagrams could not be sent.
    pub(crate) fn send(&mut self, to: ToRelay, what: Datagrams<'_>) -> usize {
        let Some(relay) = self.sockets.get_mut(to.relay) else { return what.count };
        relay.udp.send(relay.side.outbound(to.peer), what, to.whole)
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
    fn a_socket_is_asked_for_several_datagrams_when_several_come() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut relays = Relays::new(vec![RelaySide { advertised: ip, bind: ip }], true);
        let poll = Poll::new().unwrap();
        let id = RelayId { allocation: AllocationId::from_bits(0), family: Family::V4 };
        relays.open(id, 0, poll.registry(), Token(0)).unwrap();
        let relay = relays.at_mut(id.slot()).unwrap().1;
        // In which round, whether several are asked for, how many come.
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
            assert_eq!(relay.gets_several(round), several, "{round}");
            relay.took(datagrams, if several { 8 } else { 1 }, round);
            assert!(!relay.udp.joins_datagrams());
        }
        for _ in 0..BATCHES {
            relay.took(2, 8, 200);
        }
        assert!(relay.udp.joins_datagrams());
        relay.took(1, 8, 200);
        assert!(relay.gets_several(300), "for good");
    }
}
