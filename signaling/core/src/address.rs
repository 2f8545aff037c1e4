//! Addresses: whom a message is for, and the one place where that becomes a connection.

use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{GatewayId, SessionId};

use crate::sessions::Session;
use crate::{ConnId, Hub};

/// The peer that a message is for. Handlers know peers by address only; the connection may change
/// between two messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Address<'a> {
    /// A gateway, on its connection.
    Gateway(&'a GatewayId),
    /// The client of a session, on the connection that it has taken the session up with.
    Client(&'a SessionId),
    /// A user or token, on every connection on which it has registered as a client.
    Subject(&'a str),
}

impl Hub {
    /// Returns the connections at an address: one at most for a gateway and for the client of a
    /// session.
    pub(crate) fn resolve<'a>(&'a self, to: Address<'a>) -> impl Iterator<Item = ConnId> + 'a {
        let (one, subject) = match to {
            Address::Gateway(gateway) => (self.directory.connection_of(gateway), None),
            Address::Client(id) => (self.sessions.get(id).and_then(Session::client), None),
            Address::Subject(subject) => (None, Some(subject)),
        };
        let many = subject.into_iter().flat_map(|subject| self.directory.clients_of(subject));
        one.into_iter().chain(many)
    }

    /// Returns the connection at an address to which a request is sent.
    ///
    /// # Errors
    /// A fault for whoever wants to reach it, if nobody is there.
    pub(crate) fn reach(&self, to: Address<'_>) -> Result<ConnId, Fault> {
        self.resolve(to).next().ok_or_else(|| match to {
            Address::Gateway(_) => Fault::new(
                code::UNAVAILABLE,
                "the camera's gateway is not connected; try again later",
            ),
            Address::Client(_) | Address::Subject(_) => {
                Fault::new(code::GONE, "the client is no longer connected")
            }
        })
    }

    /// Sends a message to an address. It is lost if nobody is there.
    pub(crate) fn post(&mut self, to: Address<'_>, message: Message) {
        let connections: Vec<ConnId> = self.resolve(to).collect();
        for conn in connections {
            self.send(conn, message.clone());
        }
    }

    /// Returns true if this connection is at the address.
    pub(crate) fn is_at(&self, conn: ConnId, address: Address<'_>) -> bool {
        self.resolve(address).any(|found| found == conn)
    }
}
