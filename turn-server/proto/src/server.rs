//! The TURN server (RFC 8656, RFC 8489) without I/O.
//!
//! The driver passes in what clients and peers send and what happens to its sockets, drains
//! [`Server::poll_output`], and calls [`Server::handle_timeout`] at [`Server::poll_timeout`]. Data
//! to relay is returned at once, as a range of the bytes passed in: payloads are never copied here.
//!
//! Architecture invariants: a client that has not proved its address and a password costs no
//! memory; every packet to or from a peer passes `Server::authorize_peer`.

mod accounts;
mod allocate;
mod allocation;
mod auth;
mod bandwidth;
mod binding;
mod challenge;
mod config;
mod counters;
mod doubt;
mod handover;
mod icmp;
mod info;
mod limits;
mod mobility;
mod nonce;
mod oauth;
mod offload;
mod peer;
mod policy;
mod port;
mod quota;
mod relay;
mod requests;
mod reservation;
mod table;
mod tcp;
mod wheel;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use porthole_clock::Now;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::channel::{ChannelNumber, Kind};
use crate::stun::{Class, Message, Method};
use crate::{Family, Transport};
use auth::{Authenticator, Identity};
use doubt::Doubts;
use handover::HandoverTable;
use limits::Limits;
use mobility::Tickets;
use nonce::Nonces;
use policy::PeerPolicy;
use reservation::Reservations;
use table::Table;

pub use allocation::{AllocationId, RelayId, RelayProtocol};
pub use bandwidth::BandwidthLimits;
pub use binding::NatDiscovery;
pub use config::{
    CHANNEL_LIFETIME, DEFAULT_LIFETIME, MAX_CHANNELS, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_USER,
    MAX_LIFETIME, MAX_PEERS_PER_REQUEST, MAX_PERMISSIONS, PERMISSION_LIFETIME, ReloadableConfig,
    ServerConfig,
};
pub use counters::{Counters, DropReason, Relayed};
pub use doubt::Doubt;
pub use icmp::Icmp;
pub use info::{AllocationEnd, AllocationInfo, EndReason, Traffic};
pub use nonce::NONCE_LIFETIME_S;
pub use oauth::OauthKey;
pub use offload::OffloadedChannel;
pub use peer::Peer;
pub use policy::{Cidr, InvalidCidr, PolicyConfig, is_public};
pub use port::{PortPool, RelayAddress};
pub use quota::{AllocationQuota, LocalQuota, QuotaLimits, QuotaReached, QuotaUnit, QuotaUsage};
pub use relay::{HEADROOM, RelayHeader, TAILROOM, ToClient, ToPeer};
pub use tcp::{CONNECTION_TIMEOUT, ConnectionId};

/// Allocations that one [`Server::handle_timeout`] ends. When thousands expire at once, packets of
/// the others are relayed in between.
const MAX_EXPIRED_AT_ONCE: usize = 64;

/// The transport and the two addresses that a client and the server use (RFC 8656 §2). A response
/// goes back the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// The transport between the two.
    pub transport: Transport,
    /// The client's address as the server sees it.
    pub client: SocketAddr,
    /// The server's address that the client sends to.
    pub server: SocketAddr,
}

/// An action that the driver must carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a client.
    Send {
        /// The client to send to.
        client: FiveTuple,
        /// A whole STUN message.
        bytes: Vec<u8>,
    },
    /// Open a relay socket, then call [`Server::handle_relay_opened`] or
    /// [`Server::handle_relay_failed`].
    OpenRelay {
        /// The id of the socket, which tells its family. If a socket with this id is open,
        /// replace it.
        relay: RelayId,
        /// The protocol to speak with peers.
        protocol: RelayProtocol,
        /// The port to open.
        port: u16,
    },
    /// Close a relay socket, because its allocation has ended or has released this address.
    CloseRelay {
        /// The id of the socket.
        relay: RelayId,
    },
    /// Connect from the address of a TCP relay socket to a peer, then call
    /// [`Server::handle_peer_connected`] or [`Server::handle_peer_connect_failed`]. Do not read
    /// from the peer before [`Output::BindConnection`].
    ConnectPeer {
        /// The id of the new connection.
        connection: ConnectionId,
        /// The relay socket whose address to connect from.
        relay: RelayId,
        /// The peer to connect to.
        peer: SocketAddr,
    },
    /// Forward everything between the client's connection and the peer's from now on, beginning
    /// with the bytes that the client sent after its last message. When one of the two closes,
    /// close the other and call [`Server::handle_connection_closed`].
    BindConnection {
        /// The client, whose connection carries no more STUN messages.
        client: FiveTuple,
        /// The connection to the peer.
        connection: ConnectionId,
    },
    /// Close a connection to a peer, and the client's connection that is bound to it.
    CloseConnection {
        /// The connection to the peer.
        connection: ConnectionId,
    },
    /// Hand the message just handled over to another worker, and from a stream everything behind
    /// it as well. From a datagram transport it is this datagram only: each further one is handed
    /// over by an output of its own.
    HandOver {
        /// The client that sent the message.
        client: FiveTuple,
        /// [`ServerConfig::worker`] of the other worker.
        worker: u8,
    },
    /// Call [`Server::handle_handover_ended`] of another worker, because that worker still hands
    /// over the datagrams of a client that has no allocation here.
    EndHandover {
        /// The client that has no allocation here.
        client: FiveTuple,
        /// The worker that hands its datagrams over.
        worker: u8,
    },
    /// Let the fast path relay a channel, or change the times of one that it relays. Occurs only
    /// with [`ServerConfig::offload`]; report traffic to [`Server::handle_offloaded_traffic`].
    InstallChannel(OffloadedChannel),
    /// Stop the fast path from relaying a channel.
    RemoveChannel {
        /// The relay socket of the channel.
        relay: RelayId,
        /// The channel number.
        number: u16,
        /// The peer of the channel.
        peer: SocketAddr,
    },
    /// Log the end of an allocation that a client had.
    AllocationEnded(Box<AllocationEnd>),
    /// Log time-limited credentials whose end suggests that two clocks differ. At most one of each
    /// kind in ten minutes.
    DoubtfulCredential {
        /// The reason for the doubt.
        doubt: Doubt,
        /// The end of the credentials in seconds since 1970.
        expiry_s: u64,
        /// The time by this server's clock in seconds since 1970.
        now_s: u64,
    },
}

/// A TURN server, or one worker of it.
#[derive(Debug)]
pub struct Server {
    authenticator: Authenticator,
    policy: PeerPolicy,
    relay_v4: Option<RelayAddress>,
    relay_v6: Option<RelayAddress>,
    quota: Box<dyn AllocationQuota>,
    rng: StdRng,
    dont_fragment: bool,
    last_channel: ChannelNumber,
    reservations: Reservations,
    limits: Limits,
    nat_discovery: Option<NatDiscovery>,
    alternates: Vec<SocketAddr>,
    table: Table,
    worker: u8,
    connections: tcp::Connections,
    tcp_relaying: bool,
    tickets: Tickets,
    mobility: bool,
    handovers: HandoverTable,
    /// The worker that handed over the message being handled.
    handover_from: Option<u8>,
    bandwidth: BandwidthLimits,
    offload: bool,
    /// A few for each input at most; the driver drains them after each.
    outputs: VecDeque<Output>,
    counters: Counters,
    doubts: Doubts,
    draining: bool,
}

impl Server {
    /// Creates a server without allocations.
    pub fn new(config: ServerConfig, quota: Box<dyn AllocationQuota>) -> Self {
        let ServerConfig { realm, reloadable, relay_v4, relay_v6, .. } = config;
        let relays = relay_v4.iter().chain(&relay_v6).cloned().collect();
        let nonces = Nonces::new(config.nonce_key);
        let mut this = Self {
            authenticator: Authenticator::new(realm, nonces),
            policy: PeerPolicy::new(relays),
            relay_v4,
            relay_v6,
            quota,
            rng: StdRng::from_seed(config.seed),
            dont_fragment: config.dont_fragment,
            last_channel: ChannelNumber::MAX,
            reservations: Reservations::new(config.nonce_key),
            limits: Limits::default(),
            nat_discovery: config.nat_discovery,
            alternates: Vec::new(),
            table: Table::default(),
            worker: config.worker,
            connections: tcp::Connections::default(),
            tcp_relaying: false,
            tickets: Tickets::new(config.nonce_key, config.worker),
            mobility: false,
            handovers: HandoverTable::default(),
            handover_from: None,
            bandwidth: BandwidthLimits::default(),
            offload: config.offload,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            doubts: Doubts::default(),
            draining: false,
        };
        this.apply_reloadable(reloadable);
        this
    }

    /// Handles a datagram or frame from a client. Returns the data to send to a peer, if there is
    /// any.
    pub fn handle_client(&mut self, now: Now, client: &FiveTuple, bytes: &[u8]) -> Option<ToPeer> {
        // ChannelData first: nearly all traffic is that.
        match Kind::of(bytes) {
            Kind::ChannelData => self.handle_channel_data(now.instant, client, bytes),
            Kind::Stun => self.handle_stun(now, client, bytes),
            Kind::Other => {
                self.counters.malformed += 1;
                None
            }
        }
    }

    /// Handles the success of [`Output::OpenRelay`].
    pub fn handle_relay_opened(&mut self, _now: Now, relay: RelayId) {
        self.finish_open(relay);
    }

    /// Handles the failure of [`Output::OpenRelay`]: another port is tried.
    pub fn handle_relay_failed(&mut self, now: Now, relay: RelayId) {
        self.retry_open(now, relay);
    }

    /// Counts a client's stream that cannot be cut into messages any more. The driver closes it.
    pub fn handle_malformed_stream(&mut self) {
        self.counters.malformed += 1;
    }

    /// Handles the end of a client's connection. A client with a mobility ticket may come back on
    /// another connection until its allocation expires; otherwise the allocation ends.
    pub fn handle_client_disconnected(&mut self, now: Now, client: &FiveTuple) {
        let Some((id, allocation)) = self.table.get_by_client(client) else { return };
        if allocation.mobile && allocation.answered {
            self.detach(now, id);
        } else {
            self.remove(now, id, EndReason::ConnectionClosed);
        }
    }

    /// Ends what has expired. If that is very much, only a part of it, and [`Self::poll_timeout`]
    /// stays due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.reservations.expire(now.instant);
        self.expire_connections(now);
        for _ in 0..MAX_EXPIRED_AT_ONCE {
            let Some(id) = self.table.pop_expired(now.instant) else { break };
            self.remove(now, id, EndReason::Expired);
        }
    }

    /// Returns the time at which to call [`Self::handle_timeout`], or `None` if nothing expires
    /// without further input.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let allocation = self.table.next_expiry();
        let others = [self.reservations.next_expiry(), self.connections.next_deadline()];
        allocation.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Returns the next action for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Refuses new allocations from now on; those that exist go on.
    pub fn start_draining(&mut self) {
        self.draining = true;
    }

    /// Returns the number of allocations.
    pub fn allocations(&self) -> usize {
        self.table.len()
    }

    /// Returns true if this client has an allocation.
    pub fn has_allocation(&self, client: &FiveTuple) -> bool {
        self.table.id_of(client).is_some()
    }

    /// Returns the totals since the start.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns true if the policy allows this peer. All relaying passes here: CreatePermission
    /// checks `AnyPort`; ChannelBind, Send, ChannelData and packets of peers check the port, each
    /// time, so that a changed rule takes effect at once.
    fn authorize_peer(&self, peer: &Peer, scope: Scope) -> bool {
        match scope {
            Scope::AnyPort => self.policy.allows_any_port(peer),
            Scope::ThisPort(protocol) => self.policy.allows(peer, protocol),
        }
    }

    fn handle_stun(&mut self, now: Now, client: &FiveTuple, bytes: &[u8]) -> Option<ToPeer> {
        let Ok(message) = Message::parse(bytes) else {
            self.counters.malformed += 1;
            return None;
        };
        match (message.class(), message.method()) {
            (Class::Request, Method::Binding) => self.handle_binding(now, client, &message),
            (Class::Request | Class::Indication, method)
                if method != Method::Binding && self.hand_over(now.instant, client) => {}
            (Class::Request, _) => self.handle_request(now, client, &message),
            (Class::Indication, Method::Send) => return self.handle_send(now, client, &message),
            // A Binding indication keeps a NAT's mapping alive and gets no response.
            (Class::Indication, _) => {}
            (Class::Success | Class::Error, _) => self.counters.malformed += 1,
        }
        None
    }

    fn relay_for(&self, family: Family) -> Option<&RelayAddress> {
        match family {
            Family::V4 => self.relay_v4.as_ref(),
            Family::V6 => self.relay_v6.as_ref(),
        }
    }

    /// Returns the owner of the allocation that a request is about.
    fn owner_of(&self, client: &FiveTuple, message: &Message<'_>) -> Option<&Identity> {
        let found = if message.method() == Method::ConnectionBind {
            self.allocation_by_connection(message)
        } else {
            let own = self.table.get_by_client(client).map(|(_, allocation)| allocation);
            own.or_else(|| self.allocation_by_ticket(message))
        };
        found.map(|allocation| &allocation.owner)
    }
}

/// The part of a peer's address that an authorization covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    AnyPort,
    ThisPort(RelayProtocol),
}

#[cfg(test)]
mod tests;
