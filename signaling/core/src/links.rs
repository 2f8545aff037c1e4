//! Links: the WebSockets of peers, and the requests in flight on them.

mod connection;

use std::collections::BTreeMap;

use porthole_signaling_proto::rpc::{Fault, code};

use crate::request::{Origin, PendingRequest};
use crate::{ConnId, Principal, WhepRequestId};

pub(crate) use connection::{Connection, Pace, Peer};

/// The open WebSockets, and the requests that were sent on them and have no response yet. A request
/// has a connection that is open.
#[derive(Debug, Default)]
pub(crate) struct Links {
    connections: BTreeMap<ConnId, Connection>,
    /// The requests in flight, by connection and the number they were sent under.
    requests: BTreeMap<(ConnId, i64), Sent>,
    last_request: i64,
}

/// A request that was sent to a peer and has no response yet.
#[derive(Debug)]
struct Sent {
    request: PendingRequest,
    /// The length of its parameters as JSON, if they may be long.
    bytes: usize,
}

impl Links {
    pub(crate) fn open(&mut self, conn: ConnId, connection: Connection) {
        self.connections.insert(conn, connection);
    }

    /// Removes a connection. Its requests are left for [`Self::take_requests_to`].
    pub(crate) fn close(&mut self, conn: ConnId) -> Option<Connection> {
        self.connections.remove(&conn)
    }

    /// Removes and returns everything: the connections and the requests.
    pub(crate) fn close_all(&mut self) -> (Vec<ConnId>, Vec<PendingRequest>) {
        let connections = std::mem::take(&mut self.connections).into_keys().collect();
        let requests = std::mem::take(&mut self.requests).into_values();
        (connections, requests.map(|sent| sent.request).collect())
    }

    pub(crate) fn is_open(&self, conn: ConnId) -> bool {
        self.connections.contains_key(&conn)
    }

    /// Returns the number of open connections.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Returns the open connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values()
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.connections.get(&conn)
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.connections.get_mut(&conn)
    }

    /// Returns the connection if it has not registered yet.
    pub(crate) fn unregistered(&mut self, conn: ConnId) -> Result<&mut Connection, Fault> {
        let connection = self.connections.get_mut(&conn).filter(|found| !found.is_registered());
        connection
            .ok_or_else(|| Fault::new(code::BAD_REQUEST, "this WebSocket has already registered"))
    }

    /// Returns the connections that were opened or registered with this credential.
    pub(crate) fn of_credential(&self, credential: &str) -> Vec<ConnId> {
        let uses_credential = |connection: &Connection| {
            connection.principal().is_some_and(|principal| principal.credential() == credential)
        };
        let found = self.connections.iter().filter(|(_, connection)| uses_credential(connection));
        found.map(|(conn, _)| *conn).collect()
    }

    /// Returns the connections of the principals that are meant.
    pub(crate) fn of_principals(&self, is_meant: impl Fn(&Principal) -> bool) -> Vec<ConnId> {
        let is_of_one = |connection: &Connection| connection.principal().is_some_and(&is_meant);
        let found = self.connections.iter().filter(|(_, connection)| is_of_one(connection));
        found.map(|(conn, _)| *conn).collect()
    }

    /// Notes a request to a peer. Returns the number to send it under. `bytes` is the length of its
    /// parameters if they may be long, else 0.
    pub(crate) fn add_request(&mut self, to: ConnId, request: PendingRequest, bytes: usize) -> i64 {
        let number = self.next_number();
        self.requests.insert((to, number), Sent { request, bytes });
        number
    }

    /// Returns a number under which no request was sent on any connection.
    pub(crate) fn next_number(&mut self) -> i64 {
        self.last_request += 1;
        self.last_request
    }

    /// Takes the request to which this peer has responded, or whose time is over.
    pub(crate) fn take_request(&mut self, from: ConnId, id: i64) -> Option<PendingRequest> {
        self.requests.remove(&(from, id)).map(|sent| sent.request)
    }

    /// Takes all requests to a peer.
    pub(crate) fn take_requests_to(&mut self, conn: ConnId) -> Vec<PendingRequest> {
        let keys: Vec<_> = self.requests_to(conn).map(|(key, _)| *key).collect();
        let requests = keys.iter().filter_map(|key| self.requests.remove(key));
        requests.map(|sent| sent.request).collect()
    }

    /// Takes the request that serves an HTTP request, if it is one that `is_meant`.
    pub(crate) fn take_request_of(
        &mut self,
        whep: WhepRequestId,
        is_meant: impl Fn(&PendingRequest) -> bool,
    ) -> Option<PendingRequest> {
        let is_origin = |sent: &Sent| match sent.request.origin {
            Origin::Whep(origin) => origin == whep,
            Origin::Peer { .. } => false,
        };
        let found = self.requests.iter().find(|(_, sent)| is_origin(sent));
        let key = found.filter(|(_, sent)| is_meant(&sent.request)).map(|(key, _)| *key)?;
        self.requests.remove(&key).map(|sent| sent.request)
    }

    /// Returns the length of all parameters that this peer has not responded to yet, of those that
    /// may be long.
    pub(crate) fn pending_bytes(&self, to: ConnId) -> usize {
        self.requests_to(to).map(|(_, sent)| sent.bytes).sum()
    }

    fn requests_to(&self, conn: ConnId) -> impl Iterator<Item = (&(ConnId, i64), &Sent)> {
        self.requests.range((conn, i64::MIN)..=(conn, i64::MAX))
    }
}

#[cfg(test)]
impl Links {
    /// Returns true if no request is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    pub(crate) fn assert_consistent(&self) {
        assert!(self.requests.keys().all(|(conn, _)| self.is_open(*conn)));
    }
}

#[cfg(test)]
mod tests;
