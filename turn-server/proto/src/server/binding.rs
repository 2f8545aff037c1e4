//! Binding (RFC 8489 §3), which needs no credentials. A server with two addresses supports NAT
//! behavior discovery as well (RFC 5780).

use std::net::SocketAddr;

use porthole_clock::Now;

use super::requests::ReplyTo;
use super::{FiveTuple, Server};
use crate::Transport;
use crate::stun::{Class, ErrorCode, Message, attribute};

/// Attributes that a Binding request may carry to a server with two addresses.
const DISCOVERY_ATTRIBUTES: [u16; 3] =
    [attribute::CHANGE_REQUEST, attribute::PADDING, attribute::RESPONSE_PORT];
/// Flag of CHANGE-REQUEST: respond from the other address (RFC 5780 §7.2).
const CHANGE_IP: u32 = 0x4;
/// Flag of CHANGE-REQUEST: respond from the other port (RFC 5780 §7.2).
const CHANGE_PORT: u32 = 0x2;
/// Bytes of padding in a response, which is padded as the request was but not beyond a jumbo
/// frame.
const MAX_PADDING: usize = 9000;

/// Two addresses with two ports each, for NAT behavior discovery (RFC 5780). The driver listens
/// for UDP at all four combinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatDiscovery {
    /// The address and port that clients send to first.
    pub primary: SocketAddr,
    /// An address and a port that differ from those of `primary`.
    pub alternate: SocketAddr,
}

impl NatDiscovery {
    /// Returns the address and port that both differ from those of `addr`, which must be one of
    /// the four.
    fn other(&self, addr: SocketAddr) -> Option<SocketAddr> {
        let ends = [self.primary, self.alternate];
        let known = ends.iter().any(|end| end.ip() == addr.ip())
            && ends.iter().any(|end| end.port() == addr.port());
        let ip = ends.iter().map(SocketAddr::ip).find(|ip| *ip != addr.ip())?;
        let port = ends.iter().map(SocketAddr::port).find(|port| *port != addr.port())?;
        known.then(|| SocketAddr::new(ip, port))
    }
}

impl Server {
    /// Handles a Binding request. Without a second address the response is at most 12 bytes longer
    /// than the request over IPv4, 24 over IPv6.
    pub(super) fn handle_binding(&mut self, now: Now, client: &FiveTuple, message: &Message<'_>) {
        if !self.may_respond(now, client) {
            self.counters.unanswered += 1;
            return;
        }
        let to = ReplyTo::new(client, message, None);
        let discovery = self.nat_discovery.filter(|_| client.transport == Transport::Udp);
        let other = discovery.and_then(|discovery| discovery.other(client.server));
        let understood = |kind: &u16| other.is_some() && DISCOVERY_ATTRIBUTES.contains(kind);
        let unknown =
            message.unknown_required(self.known_attributes()).filter(|kind| !understood(kind));
        let unknown: Vec<u16> = unknown.collect();
        if !unknown.is_empty() {
            return self.refuse_unknown(to, &unknown);
        }
        let Some(other) = other else {
            self.counters.bindings += 1;
            return self.reply(to, Class::Success, |writer| {
                writer.xor_address(attribute::XOR_MAPPED_ADDRESS, client.client);
            });
        };
        if let Err(code) = self.reply_to_discovery(to, message, other) {
            self.refuse(to, code);
        }
    }

    /// Answers a Binding request at a server with two addresses (RFC 5780 §6.1).
    fn reply_to_discovery(
        &mut self,
        to: ReplyTo<'_>,
        message: &Message<'_>,
        other: SocketAddr,
    ) -> Result<(), ErrorCode> {
        let bad = |_| ErrorCode::BAD_REQUEST;
        let change = message.u32(attribute::CHANGE_REQUEST).map_err(bad)?.unwrap_or(0);
        let padding = message.first(attribute::PADDING).map(|padding| padding.value.len());
        let port = message.first(attribute::RESPONSE_PORT).map(|port| port.value);
        let port = match (port, padding) {
            (None, _) => None,
            (Some(&[high, low, ..]), None) => Some(u16::from_be_bytes([high, low])),
            // Together they could be used to flood that port (§6.1).
            (Some(_), _) => return Err(ErrorCode::BAD_REQUEST),
        };
        let sent_on = to.client;
        let origin = SocketAddr::new(
            if change & CHANGE_IP == 0 { sent_on.server.ip() } else { other.ip() },
            if change & CHANGE_PORT == 0 { sent_on.server.port() } else { other.port() },
        );
        let receiver = SocketAddr::new(sent_on.client.ip(), port.unwrap_or(sent_on.client.port()));
        let reply_on = FiveTuple { client: receiver, server: origin, ..sent_on };
        self.counters.bindings += 1;
        self.reply(ReplyTo { client: reply_on, ..to }, Class::Success, |writer| {
            writer
                .xor_address(attribute::XOR_MAPPED_ADDRESS, sent_on.client)
                .address(attribute::RESPONSE_ORIGIN, origin)
                .address(attribute::OTHER_ADDRESS, other);
            if let Some(padding) = padding {
                writer.attribute(attribute::PADDING, &vec![0; padding.min(MAX_PADDING)]);
            }
        });
        Ok(())
    }
}
