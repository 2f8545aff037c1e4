//! TCP relaying (RFC 6062): connections between a relayed address and peers, each bound to a
//! connection of the client.
//!
//! Architecture invariant: a connection to or from a peer needs `Server::authorize_peer`, as a
//! packet does over UDP.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_clock::Now;
use rand::Rng as _;

use super::allocation::Allocation;
use super::quota::{Count, used};
use super::requests::{AuthenticatedRequest, ReplyTo};
use super::{
    AllocationId, BandwidthLimits, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_USER, Output, Peer,
    RelayId, RelayProtocol, Scope, Server,
};
use crate::stun::{Class, ErrorCode, Message, MessageWriter, Method, TransactionId, attribute};
use crate::{Family, trimmed_capacity};

/// Time that a peer has to accept a connection (RFC 6062 §5.2), and the client to bind it (§5.2,
/// §5.3).
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The id of a connection to a peer: the CONNECTION-ID of RFC 6062 §6.2.1.
///
/// The low byte is the worker that has the connection; the rest is random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u32);

impl ConnectionId {
    /// Returns the value of CONNECTION-ID.
    pub const fn value(self) -> u32 {
        self.0
    }

    const fn worker(self) -> u8 {
        self.0.to_le_bytes()[0]
    }
}

/// The connections to and from peers.
#[derive(Debug, Default)]
pub(super) struct Connections {
    by_id: HashMap<ConnectionId, Connection>,
    /// At most [`MAX_CONNECTIONS`] for each allocation, few enough for a linear search.
    by_allocation: HashMap<AllocationId, Vec<ConnectionId>>,
    /// Deadlines in order, since all connections wait equally long. Entries of connections that
    /// no longer wait are skipped.
    deadlines: VecDeque<(Instant, ConnectionId)>,
}

#[derive(Debug)]
struct Connection {
    allocation: AllocationId,
    peer: Peer,
    state: State,
    _user_count: Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Being opened to the peer, for this Connect request of the client.
    Connecting { since: Instant, request: TransactionId, fingerprint: bool },
    /// Waiting for the client to bind it.
    Waiting { since: Instant },
    /// Bound to a connection of the client.
    Bound,
}

impl Connection {
    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Connecting { since, .. } | State::Waiting { since } => {
                Some(since + CONNECTION_TIMEOUT)
            }
            State::Bound => None,
        }
    }
}

impl Connections {
    fn insert(&mut self, id: ConnectionId, connection: Connection) {
        let deadline = connection.deadline();
        self.by_allocation.entry(connection.allocation).or_default().push(id);
        self.by_id.insert(id, connection);
        self.add_deadline(id, deadline);
    }

    fn set_state(&mut self, id: ConnectionId, state: State) {
        let Some(connection) = self.by_id.get_mut(&id) else { return };
        connection.state = state;
        let deadline = connection.deadline();
        self.add_deadline(id, deadline);
        self.skip_stale_deadlines();
    }

    /// Adds the deadline of a connection. Removes stale ones when there are many, so that a client
    /// that connects and fails over and over, while another connection waits, cannot fill the
    /// queue.
    fn add_deadline(&mut self, id: ConnectionId, deadline: Option<Instant>) {
        /// Entries that are kept, since so few are not worth the search.
        const SLACK: usize = 64;
        self.deadlines.extend(deadline.map(|at| (at, id)));
        if self.deadlines.len() > 2 * self.by_id.len() + SLACK {
            let by_id = &self.by_id;
            self.deadlines.retain(|entry| is_current(by_id, entry));
        }
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let removed = self.by_id.remove(&id)?;
        self.shrink();
        if let Entry::Occupied(mut ids) = self.by_allocation.entry(removed.allocation) {
            ids.get_mut().retain(|other| *other != id);
            if ids.get().is_empty() {
                ids.remove();
            }
        }
        self.skip_stale_deadlines();
        Some(removed)
    }

    fn shrink(&mut self) {
        let Self { by_id, by_allocation, deadlines } = self;
        if let Some(capacity) = trimmed_capacity(by_id.len(), by_id.capacity()) {
            by_id.shrink_to(capacity);
        }
        if let Some(capacity) = trimmed_capacity(by_allocation.len(), by_allocation.capacity()) {
            by_allocation.shrink_to(capacity);
        }
        if let Some(capacity) = trimmed_capacity(deadlines.len(), deadlines.capacity()) {
            deadlines.shrink_to(capacity);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    /// Removes stale deadlines from the front, so that the first one is current.
    fn skip_stale_deadlines(&mut self) {
        let by_id = &self.by_id;
        while self.deadlines.pop_front_if(|entry| !is_current(by_id, entry)).is_some() {}
    }

    fn of_allocation(&self, id: AllocationId) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        let ids = self.by_allocation.get(&id).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.by_id.get(id)?)))
    }

    #[cfg(test)]
    pub(super) fn allocations(&self) -> impl Iterator<Item = AllocationId> {
        self.by_id.values().map(|connection| connection.allocation)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    #[cfg(test)]
    pub(super) fn deadlines(&self) -> usize {
        self.deadlines.len()
    }
}

/// Returns true if the connection still has this deadline.
fn is_current(
    by_id: &HashMap<ConnectionId, Connection>,
    (at, id): &(Instant, ConnectionId),
) -> bool {
    by_id.get(id).and_then(Connection::deadline) == Some(*at)
}

/// Requests of clients.
impl Server {
    /// Handles a Connect (RFC 6062 §5.2), which is answered when the peer has accepted or not.
    pub(super) fn handle_connect(
        &mut self,
        request: &AuthenticatedRequest<'_>,
    ) -> Result<(), ErrorCode> {
        let (id, allocation) = self.allocation_of(request)?;
        if allocation.protocol != RelayProtocol::Tcp {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        let addr = request.message.xor_address(attribute::XOR_PEER_ADDRESS);
        let addr = addr.ok().flatten().ok_or(ErrorCode::BAD_REQUEST)?;
        let peer = self.check_peer(allocation, addr, Scope::ThisPort(RelayProtocol::Tcp))?;
        let user_count = self.check_new_connection(id, allocation, &peer)?;
        let state = State::Connecting {
            since: request.now.instant,
            request: request.message.id(),
            fingerprint: request.message.has_fingerprint(),
        };
        let relay = RelayId { allocation: id, family: Family::of(&peer.ip()) };
        let connection = self.add_connection(relay, peer, state, user_count);
        self.outputs.push_back(Output::ConnectPeer { connection, relay, peer: peer.addr() });
        Ok(())
    }

    /// Handles a ConnectionBind (RFC 6062 §5.4).
    pub(super) fn handle_connection_bind(
        &mut self,
        request: &AuthenticatedRequest<'_>,
    ) -> Result<(), ErrorCode> {
        let is_control = self.table.id_of(request.client).is_some();
        let connection = connection_id(request.message)?;
        if !request.client.transport.is_stream() || is_control {
            return Err(ErrorCode::BAD_REQUEST);
        }
        if connection.worker() != self.worker {
            let (client, worker) = (*request.client, connection.worker());
            self.outputs.push_back(Output::HandOver { client, worker });
            return Ok(());
        }
        let found = self.connections.by_id.get(&connection);
        let found = found.filter(|c| matches!(c.state, State::Waiting { .. }));
        let found = found.ok_or(ErrorCode::BAD_REQUEST)?;
        let owner = self.table.get(found.allocation).map(|allocation| &allocation.owner);
        if !owner.is_some_and(|owner| owner.is_same_user(request.identity)) {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        self.connections.set_state(connection, State::Bound);
        self.reply(request.reply_to(), Class::Success, |_| {});
        self.outputs.push_back(Output::BindConnection { client: *request.client, connection });
        Ok(())
    }

    /// Returns the allocation of the connection that a ConnectionBind names.
    pub(super) fn allocation_by_connection(&self, message: &Message<'_>) -> Option<&Allocation> {
        let id = connection_id(message).ok()?;
        self.table.get(self.connections.by_id.get(&id)?.allocation)
    }

    /// Checks that the allocation may have another connection, to or from this peer. Returns its
    /// unit of the user's count.
    fn check_new_connection(
        &self,
        id: AllocationId,
        allocation: &Allocation,
        peer: &Peer,
    ) -> Result<Count, ErrorCode> {
        let mut count = 0;
        for (_, connection) in self.connections.of_allocation(id) {
            count += 1;
            if connection.peer == *peer {
                return Err(ErrorCode::CONNECTION_ALREADY_EXISTS);
            }
        }
        let user_count = &allocation.quota.user().connections;
        if count >= MAX_CONNECTIONS || used(user_count) >= MAX_CONNECTIONS_PER_USER {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        Ok(Count::clone(user_count))
    }

    fn add_connection(
        &mut self,
        relay: RelayId,
        peer: Peer,
        state: State,
        user_count: Count,
    ) -> ConnectionId {
        let id = loop {
            let [_, a, b, c] = self.rng.random::<[u8; 4]>();
            let id = ConnectionId(u32::from_le_bytes([self.worker, a, b, c]));
            if !self.connections.by_id.contains_key(&id) {
                break id;
            }
        };
        let allocation = relay.allocation;
        let connection = Connection { allocation, peer, state, _user_count: user_count };
        self.connections.insert(id, connection);
        id
    }
}

/// Events of connections, from the driver.
impl Server {
    /// Handles the success of [`Output::ConnectPeer`].
    pub fn handle_peer_connected(&mut self, now: Now, connection: ConnectionId) {
        let Some(found) = self.connections.by_id.get(&connection) else { return };
        let (allocation, state) = (found.allocation, found.state);
        let State::Connecting { request, fingerprint, .. } = state else { return };
        self.connections.set_state(connection, State::Waiting { since: now.instant });
        self.reply_to_connect(allocation, request, fingerprint, Ok(connection));
    }

    /// Handles the failure of [`Output::ConnectPeer`].
    pub fn handle_peer_connect_failed(&mut self, _now: Now, connection: ConnectionId) {
        self.drop_connection(connection);
    }

    /// Handles a connection that a peer opened to a TCP relay socket (RFC 6062 §5.3).
    ///
    /// If this returns `None`, close the connection. Otherwise keep it, and do not read from it,
    /// until [`Output::BindConnection`] or [`Output::CloseConnection`].
    pub fn handle_peer_accepted(
        &mut self,
        now: Now,
        relay: RelayId,
        from: SocketAddr,
    ) -> Option<ConnectionId> {
        let peer = Peer::new(from);
        let allocation = self.table.get(relay.allocation)?;
        let open = allocation.relays.get(relay.family).is_some_and(|port| port.open);
        let is_allowed = open
            && allocation.answered
            && allocation.protocol == RelayProtocol::Tcp
            && Family::of(&peer.ip()) == relay.family
            && allocation.permissions.permits(peer.ip(), now.instant)
            && self.authorize_peer(&peer, Scope::ThisPort(RelayProtocol::Tcp));
        if !is_allowed {
            return None;
        }
        let user_count = self.check_new_connection(relay.allocation, allocation, &peer).ok()?;
        let client = allocation.client;
        let state = State::Waiting { since: now.instant };
        let id = self.add_connection(relay, peer, state, user_count);
        let transaction = TransactionId(self.rng.random());
        let mut bytes = Vec::with_capacity(64);
        let (class, method) = (Class::Indication, Method::ConnectionAttempt);
        let written = MessageWriter::new(&mut bytes, class, method, transaction)
            .u32(attribute::CONNECTION_ID, id.value())
            .xor_address(attribute::XOR_PEER_ADDRESS, peer.addr())
            .finish();
        if written.is_ok() {
            self.outputs.push_back(Output::Send { client, bytes });
        }
        Some(id)
    }

    /// Returns how many bytes a bound connection may carry now, both directions together. If it is
    /// 0, call it again a little later.
    pub fn connection_budget(&self, now: Now, connection: ConnectionId) -> usize {
        let BandwidthLimits { per_allocation, per_user } = self.bandwidth;
        let found = self.connections.by_id.get(&connection);
        let Some(allocation) = found.and_then(|found| self.table.get(found.allocation)) else {
            return 0;
        };
        let user = &allocation.quota.user().bucket;
        let own = per_allocation.map(|rate| allocation.bucket.available(now.instant, rate));
        let shared = per_user.map(|rate| user.available(now.instant, rate));
        own.into_iter().chain(shared).min().unwrap_or(usize::MAX)
    }

    /// Accounts for the bytes that a bound connection carried since the last call.
    pub fn handle_connection_traffic(
        &mut self,
        now: Now,
        connection: ConnectionId,
        to_peer: usize,
        to_client: usize,
    ) {
        let found = self.connections.by_id.get(&connection);
        let allocation = found.and_then(|found| self.table.get_mut(found.allocation));
        let Some(allocation) = allocation else { return };
        allocation.to_peer.count_bytes(to_peer);
        allocation.to_client.count_bytes(to_client);
        let relayed = self.counters.relayed_mut(allocation.client.transport);
        relayed.to_peers.count_bytes(to_peer);
        relayed.to_clients.count_bytes(to_client);
        let BandwidthLimits { per_allocation, per_user } = self.bandwidth;
        let (len, now) = (to_peer.saturating_add(to_client), now.instant);
        if let Some(rate) = per_allocation {
            allocation.bucket.charge(now, len, rate);
        }
        if let Some(rate) = per_user {
            allocation.quota.user().bucket.charge(now, len, rate);
        }
    }

    /// Handles the end of a connection, after the driver has closed the one bound to it as well.
    pub fn handle_connection_closed(&mut self, _now: Now, connection: ConnectionId) {
        self.drop_connection(connection);
    }
}

/// The end of connections.
impl Server {
    pub(super) fn expire_connections(&mut self, now: Now) {
        while let Some((_, id)) =
            self.connections.deadlines.pop_front_if(|(at, _)| *at <= now.instant)
        {
            let deadline = self.connections.by_id.get(&id).and_then(Connection::deadline);
            if deadline.is_some_and(|at| at <= now.instant) {
                self.close_connection(id);
            }
        }
        self.connections.skip_stale_deadlines();
    }

    /// Closes the connections of an allocation, or those of one of its two families.
    pub(super) fn close_connections(&mut self, allocation: AllocationId, family: Option<Family>) {
        let found = self.connections.of_allocation(allocation).filter(|(_, connection)| {
            family.is_none_or(|family| Family::of(&connection.peer.ip()) == family)
        });
        for id in found.map(|(id, _)| id).collect::<Vec<_>>() {
            self.close_connection(id);
        }
    }

    /// Closes the connections to peers that are no longer allowed.
    pub(super) fn close_forbidden_connections(&mut self) {
        let all = self.connections.by_id.iter();
        let forbidden =
            all.filter(|(_, c)| !self.authorize_peer(&c.peer, Scope::ThisPort(RelayProtocol::Tcp)));
        for id in forbidden.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close_connection(id);
        }
    }

    fn close_connection(&mut self, id: ConnectionId) {
        self.outputs.push_back(Output::CloseConnection { connection: id });
        self.drop_connection(id);
    }

    /// Forgets a connection, and answers the Connect request that waits for it.
    fn drop_connection(&mut self, id: ConnectionId) {
        let Some(Connection { allocation, state, .. }) = self.connections.remove(id) else {
            return;
        };
        if let State::Connecting { request, fingerprint, .. } = state {
            let failed = Err(ErrorCode::CONNECTION_TIMEOUT_OR_FAILURE);
            self.reply_to_connect(allocation, request, fingerprint, failed);
        }
    }

    fn reply_to_connect(
        &mut self,
        allocation: AllocationId,
        request: TransactionId,
        fingerprint: bool,
        outcome: Result<ConnectionId, ErrorCode>,
    ) {
        let Some(allocation) = self.table.get(allocation) else { return };
        let (client, key) = (allocation.client, allocation.owner.key.clone());
        let method = Method::Connect;
        let to = ReplyTo { client, method, id: request, fingerprint, key: Some(&key) };
        match outcome {
            Ok(id) => self.reply(to, Class::Success, |writer| {
                writer.u32(attribute::CONNECTION_ID, id.value());
            }),
            Err(code) => self.refuse(to, code),
        }
    }
}

fn connection_id(message: &Message<'_>) -> Result<ConnectionId, ErrorCode> {
    let id = message.u32(attribute::CONNECTION_ID);
    id.ok().flatten().map(ConnectionId).ok_or(ErrorCode::BAD_REQUEST)
}
