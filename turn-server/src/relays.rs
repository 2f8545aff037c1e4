//! The relay sockets of one worker.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use porthole_turn_proto::Family;
use porthole_turn_proto::server::RelayId;

use crate::addresses::RelaySide;
use crate::listen::open_relay;

/// Each at its slot: slots are dense and used again.
#[derive(Debug)]
pub(crate) struct Relays {
    sides: Vec<RelaySide>,
    sockets: Vec<Option<Relay>>,
}

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) id: RelayId,
    socket: UdpSocket,
    side: RelaySide,
}

impl Relay {
    /// A peer's datagram, and whom it came from as the protocol knows him.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (len, from) = self.socket.recv_from(buffer)?;
        Ok((len, self.side.inbound(from)))
    }

    fn send(&self, payload: &[u8], peer: SocketAddr) -> io::Result<usize> {
        self.socket.send_to(payload, self.side.outbound(peer))
    }
}

impl Relays {
    pub(crate) fn new(sides: Vec<RelaySide>) -> Self {
        Self { sides, sockets: Vec::new() }
    }

    pub(crate) fn open(
        &mut self,
        id: RelayId,
        port: u16,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        let side = self.sides.iter().find(|side| Family::of(&side.advertised) == id.family);
        let side = *side.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut socket = open_relay(SocketAddr::new(side.bind, port))?;
        registry.register(&mut socket, token, Interest::READABLE)?;
        let slot = id.slot();
        if self.sockets.len() <= slot {
            self.sockets.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.sockets.get_mut(slot) {
            *place = Some(Relay { id, socket, side });
        }
        Ok(())
    }

    /// Closing takes the socket out of the poll as well.
    pub(crate) fn close(&mut self, id: RelayId) {
        let slot = self.sockets.get_mut(id.slot());
        if let Some(place) = slot.filter(|place| place.as_ref().is_some_and(|r| r.id == id)) {
            *place = None;
        }
    }

    pub(crate) fn at(&self, slot: usize) -> Option<&Relay> {
        self.sockets.get(slot)?.as_ref()
    }

    pub(crate) fn send(&self, id: RelayId, payload: &[u8], peer: SocketAddr) -> bool {
        let relay = self.at(id.slot());
        relay.filter(|relay| relay.id == id).is_some_and(|relay| relay.send(payload, peer).is_ok())
    }
}
