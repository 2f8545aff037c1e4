//! ICMP errors about packets to peers, reported to the client (RFC 8656 §11.5).

use std::net::SocketAddr;

use porthole_clock::Now;
use rand::Rng as _;

use super::{Output, Peer, RelayId, RelayProtocol, Scope, Server};
use crate::Family;
use crate::stun::{Class, MessageWriter, Method, TransactionId, attribute};

/// An ICMP or ICMPv6 error about a packet that a relay socket sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// The ICMP type.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// The MTU of the next hop in bytes, if the error is that the packet was too big.
    pub data: u32,
}

impl Icmp {
    /// Returns true if clients may be told: unreachable, too big and time exceeded only.
    fn is_reported(self, family: Family) -> bool {
        match family {
            Family::V4 => matches!(self.kind, 3 | 11),
            Family::V6 => matches!(self.kind, 1..=3),
        }
    }

    /// Returns the value of the ICMP attribute (RFC 8656 §18.13): the type in 7 bits, the code in
    /// 9, and the MTU if there is one.
    fn to_attribute(self, family: Family) -> u64 {
        let too_big = match family {
            Family::V4 => (self.kind, self.code) == (3, 4),
            Family::V6 => self.kind == 2,
        };
        let mtu = if too_big { self.data } else { 0 };
        u64::from(self.kind) << 41 | u64::from(self.code) << 32 | u64::from(mtu)
    }
}

impl Server {
    /// Handles an ICMP error from the error queue of a relay socket, about a packet to `peer`.
    pub fn handle_icmp(&mut self, now: Now, relay: RelayId, peer: SocketAddr, icmp: Icmp) {
        let peer = Peer::new(peer);
        let is_reported = Family::of(&peer.ip()) == relay.family
            && icmp.is_reported(relay.family)
            && self.authorize_peer(&peer, Scope::ThisPort(RelayProtocol::Udp));
        let Some(allocation) = self.table.get(relay.allocation).filter(|_| is_reported) else {
            return;
        };
        let open = allocation.relays.get(relay.family).is_some_and(|port| port.open);
        if !open
            || allocation.is_detached
            || !allocation.permissions.permits(peer.ip(), now.instant)
        {
            return;
        }
        let client = allocation.client;
        let mut bytes = Vec::with_capacity(64);
        let id = TransactionId(self.rng.random());
        let written = MessageWriter::new(&mut bytes, Class::Indication, Method::Data, id)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer.addr())
            .u64(attribute::ICMP, icmp.to_attribute(relay.family))
            .finish();
        if written.is_ok() {
            self.outputs.push_back(Output::Send { client, bytes });
        }
    }
}
