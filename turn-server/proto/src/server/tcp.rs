//! TCP relaying (RFC 6062): connections between a relayed address and peers, each spliced with a
//! connection of the client.
//!
//! Architecture invariant: no peer is connected to, and none is let in, without
//! `Server::authorize_peer`, as for UDP.

use porthole_clock::Now;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng as _;

use super::allocation::Allocation;
use super::quota::{Count, used};
use super::requests::{Asked, ReplyTo};
use super::{
    AllocationId, BandwidthLimits, MAX_CONNECTIONS, MAX_CONNECTIONS_OF_USER, Output, Peer, RelayId,
    RelayProtocol, Scope, Server,
};
use crate::stun::{Class, ErrorCode, Message, MessageWriter, Method, TransactionId, attribute};
use crate::{Family, spare_room};

/// How long a peer has to accept (RFC 6062 §5.2) and the client to bind (§5.2, §5.3).
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Names a connection to a peer: the CONNECTION-ID of RFC 6062 §6.2.1.
///
/// The low byte is the worker that has it; the rest is random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u32);

impl ConnectionId {
    /// As CONNECTION-ID carries it.
    pub const fn value(self) -> u32 {
        self.0
    }

    const fn worker(self) -> u8 {
        self.0.to_le_bytes()[0]
    }
}

/// Connections to peers, by their names.
#[derive(Debug, Default)]
pub(super) struct Connections {
    by_id: HashMap<ConnectionId, Connection>,
    /// At most [`MAX_CONNECTIONS`] each, so that they are walked.
    by_allocation: HashMap<AllocationId, Vec<ConnectionId>>,
    /// In order, as all wait equally long. One that waits no longer is skipped.
    deadlines: VecDeque<(Instant, ConnectionId)>,
}

#[derive(Debug)]
struct Connection {
    allocation: AllocationId,
    peer: Peer,
    state: State,
    _of_user: Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To the peer, for the client that asked with this request.
    Connecting { since: Instant, request: TransactionId, fingerprint: bool },
    /// For the client to bind it.
    Waiting { since: Instant },
    /// Spliced.
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
        self.wait(id, deadline);
    }

    fn set_state(&mut self, id: ConnectionId, state: State) {
        let Some(connection) = self.by_id.get_mut(&id) else { return };
        connection.state = state;
        let deadline = connection.deadline();
        self.wait(id, deadline);
        self.skip();
    }

    /// Who connects and fails over and over while another one waits leaves nothing behind.
    fn wait(&mut self, id: ConnectionId, deadline: Option<Instant>) {
        /// Below this it is not worth the walk.
        const SLACK: usize = 64;
        self.deadlines.extend(deadline.map(|at| (at, id)));
        if self.deadlines.len() > 2 * self.by_id.len() + SLACK {
            let by_id = &self.by_id;
            self.deadlines.retain(|entry| is_ahead(by_id, entry));
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
        self.skip();
        Some(removed)
    }

    fn shrink(&mut self) {
        let Self { by_id, by_allocation, deadlines } = self;
        if let Some(room) = spare_room(by_id.len(), by_id.capacity()) {
            by_id.shrink_to(room);
        }
        if let Some(room) = spare_room(by_allocation.len(), by_allocation.capacity()) {
            by_allocation.shrink_to(room);
        }
        if let Some(room) = spare_room(deadlines.len(), deadlines.capacity()) {
            deadlines.shrink_to(room);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    /// The next deadline is a real one again.
    fn skip(&mut self) {
        let by_id = &self.by_id;
        while self.deadlines.pop_front_if(|entry| !is_ahead(by_id, entry)).is_some() {}
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

/// Whether that connection still has that deadline.
fn is_ahead(by_id: &HashMap<ConnectionId, Connection>, (at, id): &(Instant, ConnectionId)) -> bool {
    by_id.get(id).and_then(Connection::deadline) == Some(*at)
}

/// Requests.
impl Server {
    /// RFC 6062 §5.2. The answer comes when the peer has accepted or not.
    pub(super) fn handle_connect(&mut self, asked: &Asked<'_>) -> Result<(), ErrorCode> {
        let (id, allocation) = self.allocation_of(asked)?;
        if allocation.protocol != RelayProtocol::Tcp {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        let addr = asked.message.xor_address(attribute::XOR_PEER_ADDRESS);
        let addr = addr.ok().flatten().ok_or(ErrorCode::BAD_REQUEST)?;
        let peer = self.permitted(allocation, addr, Scope::ThisPort(RelayProtocol::Tcp))?;
        let of_user = self.check_new_connection(id, allocation, &peer)?;
        let state = State::Connecting {
            since: asked.now.instant,
            request: asked.message.id(),
            fingerprint: asked.message.has_fingerprint(),
        };
        let relay = RelayId { allocation: id, family: Family::of(&peer.ip()) };
        let connection = self.add_connection(relay, peer, state, of_user);
        self.outputs.push_back(Output::ConnectPeer { connection, relay, peer: peer.addr() });
        Ok(())
    }

    /// RFC 6062 §5.4.
    pub(super) fn handle_connection_bind(&mut self, asked: &Asked<'_>) -> Result<(), ErrorCode> {
        let is_control = self.table.id_of(asked.client).is_some();
        let connection = connection_id(asked.message)?;
        if !asked.client.transport.is_stream() || is_control {
            return Err(ErrorCode::BAD_REQUEST);
        }
        if connection.worker() != self.worker {
            let (client, worker) = (*asked.client, connection.worker());
            self.outputs.push_back(Output::PassClient { client, worker });
            return Ok(());
        }
        let found = self.connections.by_id.get(&connection);
        let found = found.filter(|c| matches!(c.state, State::Waiting { .. }));
        let found = found.ok_or(ErrorCode::BAD_REQUEST)?;
        let owner = self.table.get(found.allocation).map(|allocation| &allocation.owner);
        if !owner.is_some_and(|owner| owner.is_same_user(asked.who)) {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        self.connections.set_state(connection, State::Bound);
        self.reply(asked.reply_to(), Class::Success, |_| {});
        self.outputs.push_back(Output::BindConnection { client: *asked.client, connection });
        Ok(())
    }

    /// Whose connection a ConnectionBind names.
    pub(super) fn allocation_of_connection(&self, message: &Message<'_>) -> Option<&Allocation> {
        let id = connection_id(message).ok()?;
        self.table.get(self.connections.by_id.get(&id)?.allocation)
    }

    /// The right to one more.
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
        let of_user = &allocation.quota.of_user().connections;
        if count >= MAX_CONNECTIONS || used(of_user) >= MAX_CONNECTIONS_OF_USER {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        Ok(Count::clone(of_user))
    }

    fn add_connection(
        &mut self,
        relay: RelayId,
        peer: Peer,
        state: State,
        of_user: Count,
    ) -> ConnectionId {
        let id = loop {
            let [_, a, b, c] = self.rng.random::<[u8; 4]>();
            let id = ConnectionId(u32::from_le_bytes([self.worker, a, b, c]));
            if !self.connections.by_id.contains_key(&id) {
                break id;
            }
        };
        let allocation = relay.allocation;
        self.connections.insert(id, Connection { allocation, peer, state, _of_user: of_user });
        id
    }
}

/// What the driver says.
impl Server {
    /// The connection of [`Output::ConnectPeer`] stands.
    pub fn peer_connected(&mut self, now: Now, connection: ConnectionId) {
        let Some(found) = self.connections.by_id.get(&connection) else { return };
        let (allocation, state) = (found.allocation, found.state);
        let State::Connecting { request, fingerprint, .. } = state else { return };
        self.connections.set_state(connection, State::Waiting { since: now.instant });
        self.answer_connect(allocation, request, fingerprint, Ok(connection));
    }

    /// The connection of [`Output::ConnectPeer`] could not be had.
    pub fn peer_connect_failed(&mut self, _now: Now, connection: ConnectionId) {
        self.drop_connection(connection);
    }

    /// A peer connected to a TCP relay. `None`: he is to be closed at once. Otherwise his
    /// connection is kept, and not read from, until [`Output::BindConnection`] or
    /// [`Output::CloseConnection`] (RFC 6062 §5.3).
    pub fn peer_accepted(
        &mut self,
        now: Now,
        relay: RelayId,
        from: SocketAddr,
    ) -> Option<ConnectionId> {
        let peer = Peer::new(from);
        let allocation = self.table.get(relay.allocation)?;
        let open = allocation.relays.get(relay.family).is_some_and(|port| port.open);
        let passes = open
            && allocation.answered
            && allocation.protocol == RelayProtocol::Tcp
            && Family::of(&peer.ip()) == relay.family
            && allocation.permissions.permits(peer.ip(), now.instant)
            && self.authorize_peer(&peer, Scope::ThisPort(RelayProtocol::Tcp));
        if !passes {
            return None;
        }
        let of_user = self.check_new_connection(relay.allocation, allocation, &peer).ok()?;
        let client = allocation.client;
        let state = State::Waiting { since: now.instant };
        let id = self.add_connection(relay, peer, state, of_user);
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

    /// How many bytes a bound connection may carry now, both directions together. At 0 it is to be
    /// asked again a little later.
    pub fn connection_room(&self, now: Now, connection: ConnectionId) -> usize {
        let BandwidthLimits { per_allocation, per_user } = self.bandwidth;
        let found = self.connections.by_id.get(&connection);
        let Some(allocation) = found.and_then(|found| self.table.get(found.allocation)) else {
            return 0;
        };
        let user = &allocation.quota.of_user().bucket;
        let own = per_allocation.map(|rate| allocation.bucket.room(now.instant, rate));
        let shared = per_user.map(|rate| user.room(now.instant, rate));
        own.into_iter().chain(shared).min().unwrap_or(usize::MAX)
    }

    /// A bound connection carried so many bytes since this was said last.
    pub fn connection_carried(
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
            allocation.quota.of_user().bucket.charge(now, len, rate);
        }
    }

    /// One of the two connections is closed, and the driver has closed the other one.
    pub fn connection_closed(&mut self, _now: Now, connection: ConnectionId) {
        self.drop_connection(connection);
    }
}

/// Ends.
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
        self.connections.skip();
    }

    /// Of an allocation that is over, or of one of its two families.
    pub(super) fn close_connections_of(
        &mut self,
        allocation: AllocationId,
        family: Option<Family>,
    ) {
        let found = self.connections.of_allocation(allocation).filter(|(_, connection)| {
            family.is_none_or(|family| Family::of(&connection.peer.ip()) == family)
        });
        for id in found.map(|(id, _)| id).collect::<Vec<_>>() {
            self.close_connection(id);
        }
    }

    /// Those to peers that are no longer allowed.
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

    /// Forgets it, and tells a client that waits for it.
    fn drop_connection(&mut self, id: ConnectionId) {
        let Some(Connection { allocation, state, .. }) = self.connections.remove(id) else {
            return;
        };
        if let State::Connecting { request, fingerprint, .. } = state {
            let failed = Err(ErrorCode::CONNECTION_TIMEOUT_OR_FAILURE);
            self.answer_connect(allocation, request, fingerprint, failed);
        }
    }

    fn answer_connect(
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
