//! Binding (RFC 8489 §3): anybody may ask where they are seen. With two addresses also how their
//! NAT behaves (RFC 5780).

use porthole_clock::Now;
use std::net::SocketAddr;

use super::requests::ReplyTo;
use super::{FiveTuple, Server};
use crate::Transport;
use crate::stun::{Class, ErrorCode, Message, attribute};

/// What else a question may carry where there are two addresses.
const DISCOVERY: [u16; 3] =
    [attribute::CHANGE_REQUEST, attribute::PADDING, attribute::RESPONSE_PORT];
/// CHANGE-REQUEST: answer from the other address (RFC 5780 §7.2).
const CHANGE_IP: u32 = 0x4;
/// CHANGE-REQUEST: answer from the other port.
const CHANGE_PORT: u32 = 0x2;
/// The answer is padded as the question was, but not beyond a jumbo frame.
const MAX_PADDING: usize = 9000;

/// Two addresses of this server with two ports each, for RFC 5780: the driver listens for UDP at
/// all four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Where clients ask.
    pub primary: SocketAddr,
    /// Of another address and another port.
    pub alternate: SocketAddr,
}

impl Discovery {
    /// The address and the port that this one is not.
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
    /// Without a second address the answer is at most 12 bytes longer than the question over
    /// IPv4, 24 over IPv6.
    pub(super) fn handle_binding(&mut self, now: Now, client: &FiveTuple, message: &Message<'_>) {
        if !self.may_answer(now, client) {
            self.counters.unanswered += 1;
            return;
        }
        let to = ReplyTo::new(client, message, None);
        let discovery = self.discovery.filter(|_| client.transport == Transport::Udp);
        let other = discovery.and_then(|discovery| discovery.other(client.server));
        let understood = |kind: &u16| other.is_some() && DISCOVERY.contains(kind);
        let unknown = message.unknown_required(self.known()).filter(|kind| !understood(kind));
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
        if let Err(code) = self.answer_discovery(to, message, other) {
            self.refuse(to, code);
        }
    }

    /// RFC 5780 §6.1.
    fn answer_discovery(
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
            // Together they would flood whoever has that port (§6.1).
            (Some(_), _) => return Err(ErrorCode::BAD_REQUEST),
        };
        let asked = to.client;
        let origin = SocketAddr::new(
            if change & CHANGE_IP == 0 { asked.server.ip() } else { other.ip() },
            if change & CHANGE_PORT == 0 { asked.server.port() } else { other.port() },
        );
        let receiver = SocketAddr::new(asked.client.ip(), port.unwrap_or(asked.client.port()));
        let answer = FiveTuple { client: receiver, server: origin, ..asked };
        self.counters.bindings += 1;
        self.reply(ReplyTo { client: answer, ..to }, Class::Success, |writer| {
            writer
                .xor_address(attribute::XOR_MAPPED_ADDRESS, asked.client)
                .address(attribute::RESPONSE_ORIGIN, origin)
                .address(attribute::OTHER_ADDRESS, other);
            if let Some(padding) = padding {
                writer.attribute(attribute::PADDING, &vec![0; padding.min(MAX_PADDING)]);
            }
        });
        Ok(())
    }
}
