//! The relay sockets of one worker.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use mio::{Registry, Token};
use porthole_turn_proto::server::{RelayId, ToPeer};

use crate::addresses::{RelaySide, side_of};
use crate::listen::open_relay;
use crate::udp::{Datagrams, Udp};

/// Each at its slot: slots are dense and used again.
#[derive(Debug)]
pub(crate) struct Relays {
    sides: Vec<RelaySide>,
    sockets: Vec<Option<Relay>>,
    segmentation: bool,
}

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) id: RelayId,
    pub(crate) udp: Udp,
    side: RelaySide,
    bound: SocketAddr,
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
}

impl Relays {
    pub(crate) fn new(sides: Vec<RelaySide>, segmentation: bool) -> Self {
        Self { sides, sockets: Vec::new(), segmentation }
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
        udp.register(registry, token)?;
        put(&mut self.sockets, id.slot(), Relay { id, udp, side, bound });
        Ok(())
    }

    /// Closing takes the socket out of the poll as well.
    pub(crate) fn close(&mut self, id: RelayId) {
        let slot = self.sockets.get_mut(id.slot());
        if let Some(place) = slot.filter(|place| place.as_ref().is_some_and(|r| r.id == id)) {
            *place = None;
        }
    }

    pub(crate) fn close_all(&mut self) {
        self.sockets.clear();
    }

    pub(crate) fn at(&self, slot: usize) -> Option<&Relay> {
        self.sockets.get(slot)?.as_ref()
    }

    /// The addresses of a relay socket and of a peer in the packets that go between them.
    pub(crate) fn on_the_wire(
        &self,
        id: RelayId,
        peer: SocketAddr,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let relay = self.at(id.slot()).filter(|relay| relay.id == id)?;
        Some((relay.bound, relay.side.outbound(peer)))
    }

    /// How many datagrams could not be sent.
    pub(crate) fn send(&mut self, to: ToRelay, what: Datagrams<'_>) -> usize {
        let place = self.sockets.get_mut(to.relay.slot()).and_then(Option::as_mut);
        let Some(relay) = place.filter(|relay| relay.id == to.relay) else { return what.count };
        relay.udp.send(relay.side.outbound(to.peer), what, to.whole)
    }

    pub(crate) fn send_one(&mut self, to: ToRelay, payload: &[u8]) -> usize {
        self.send(to, Datagrams::one(&[IoSlice::new(payload)]))
    }
}

/// Slots grow as they are needed; they are dense.
pub(crate) fn put<T>(slots: &mut Vec<Option<T>>, slot: usize, value: T) {
    if slots.len() <= slot {
        slots.resize_with(slot + 1, || None);
    }
    if let Some(place) = slots.get_mut(slot) {
        *place = Some(value);
    }
}
