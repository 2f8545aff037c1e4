//! The TURN server (RFC 8656, RFC 8489) as a value.
//!
//! The driver passes in what clients and peers send and what became of its sockets, drains
//! [`Server::poll_output`] and comes back at [`Server::poll_timeout`]. What is to be relayed is
//! returned at once, as a range of the bytes passed in: payloads are never copied in here.
//!
//! Architecture invariants: nobody who has not proved an address and a password costs a byte of
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
mod icmp;
mod limits;
mod mobility;
mod moved;
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
mod session;
mod table;
mod tcp;
mod wheel;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use porthole_clock::Now;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub use allocation::{AllocationId, RelayId, RelayProtocol};
use auth::{Authenticator, Identity};
pub use bandwidth::BandwidthLimits;
pub use binding::Discovery;
pub use config::{
    CHANNEL_LIFETIME, DEFAULT_LIFETIME, MAX_CHANNELS, MAX_CONNECTIONS, MAX_CONNECTIONS_OF_USER,
    MAX_LIFETIME, MAX_PEERS_PER_REQUEST, MAX_PERMISSIONS, PERMISSION_LIFETIME, Reloadable,
    ServerConfig,
};
pub use counters::{Counters, DropReason, Relayed};
pub use icmp::Icmp;
use limits::Limits;
use mobility::Tickets;
use moved::Moved;
pub use nonce::NONCE_LIFETIME_S;
use nonce::Nonces;
pub use oauth::OauthKey;
pub use peer::Peer;
use policy::PeerPolicy;
pub use policy::{BadCidr, Cidr, PolicyConfig};
pub use port::{PortPool, RelayAddress};
pub use quota::{AllocationQuota, LocalQuota, QuotaLimits, QuotaReached, QuotaUnit};
pub use relay::{HEADROOM, RelayHeader, TAILROOM, ToClient, ToPeer};
use reservation::Reservations;
pub use session::{EndReason, SessionEnd, SessionInfo, Traffic};
use table::Table;
pub use tcp::{CONNECTION_TIMEOUT, ConnectionId};

use crate::channel::{ChannelNumber, Kind, kind_of};
use crate::stun::{Class, Message, Method};
use crate::{Family, Transport};

/// Allocations ended by one [`Server::handle_timeout`]: when thousands of clients are gone at
/// once, the others' packets are relayed in between.
const MAX_EXPIRED_AT_ONCE: usize = 64;

/// Where a client's message came from and to; the answer goes the same way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// How they speak.
    pub transport: Transport,
    /// The client's end as the server sees it.
    pub client: SocketAddr,
    /// The server's end.
    pub server: SocketAddr,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this message to a client.
    Send {
        /// To whom.
        client: FiveTuple,
        /// A whole STUN message.
        bytes: Vec<u8>,
    },
    /// Open a socket for an allocation, then say [`Server::relay_opened`] or
    /// [`Server::relay_failed`].
    OpenRelay {
        /// Under which name, and of which family. An open socket of that name is to be replaced.
        relay: RelayId,
        /// For what.
        protocol: RelayProtocol,
        /// On which port.
        port: u16,
    },
    /// The allocation is gone: close its socket.
    CloseRelay {
        /// Which.
        relay: RelayId,
    },
    /// Connect from the address of a TCP relay to a peer, then say [`Server::peer_connected`] or
    /// [`Server::peer_connect_failed`]; nothing is to be read from him yet.
    ConnectPeer {
        /// Under which name.
        connection: ConnectionId,
        /// From which address.
        relay: RelayId,
        /// To whom.
        peer: SocketAddr,
    },
    /// From now on whatever this client and this peer send is the other one's. What the client
    /// sent behind its last message is the first of it. When one closes, close the other, and
    /// say [`Server::connection_closed`].
    BindConnection {
        /// Its connection is no longer a control connection.
        client: FiveTuple,
        /// The peer's.
        connection: ConnectionId,
    },
    /// Close the peer's connection, and the client's if they are bound.
    CloseConnection {
        /// The peer's.
        connection: ConnectionId,
    },
    /// The message just handled, and whatever else comes on this client's stream, is for another
    /// worker. Without a stream it is this datagram only; each that follows says so again.
    PassClient {
        /// Whose.
        client: FiveTuple,
        /// [`ServerConfig::worker`] of the other one.
        worker: u8,
    },
    /// A client whose datagrams another worker passes on has no allocation here (any more): say
    /// [`Server::forget_client`] to that one.
    ForgetClient {
        /// Whose.
        client: FiveTuple,
        /// Who passes them on.
        worker: u8,
    },
    /// From now on a fast path may relay this channel by itself, each way until its own time; comes
    /// again when a time has moved. Only with [`ServerConfig::offload`], see
    /// [`Server::account_offloaded`].
    ChannelInstalled {
        /// From and to which socket.
        relay: RelayId,
        /// For whom, over UDP.
        client: FiveTuple,
        /// In the client's ChannelData.
        number: u16,
        /// With whom.
        peer: SocketAddr,
        /// The channel's end: what the client sends through it needs no more (RFC 8656 §12.6).
        to_peer_until: Instant,
        /// The channel's end or the permission's, which the peer needs as well (§11.3).
        to_client_until: Instant,
    },
    /// The fast path must not relay this channel any more.
    ChannelRemoved {
        /// As it was installed.
        relay: RelayId,
        /// As it was installed.
        number: u16,
        /// As it was installed.
        peer: SocketAddr,
    },
    /// An allocation that a client had is over: worth a line in the log.
    SessionEnded(Box<SessionEnd>),
}

/// One TURN server, or one worker of it.
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
    discovery: Option<Discovery>,
    alternates: Vec<SocketAddr>,
    table: Table,
    worker: u8,
    connections: tcp::Connections,
    tcp_relaying: bool,
    tickets: Tickets,
    mobility: bool,
    moved: Moved,
    /// Which worker has passed on what is being handled.
    via: Option<u8>,
    bandwidth: BandwidthLimits,
    offload: bool,
    /// At most a few for each input, and the driver drains it after each.
    outputs: VecDeque<Output>,
    counters: Counters,
    draining: bool,
}

impl Server {
    /// Without allocations.
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
            discovery: config.discovery,
            alternates: Vec::new(),
            table: Table::default(),
            worker: config.worker,
            connections: tcp::Connections::default(),
            tcp_relaying: false,
            tickets: Tickets::new(config.nonce_key, config.worker),
            mobility: false,
            moved: Moved::default(),
            via: None,
            bandwidth: BandwidthLimits::default(),
            offload: config.offload,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            draining: false,
        };
        this.set_reloadable(reloadable);
        this
    }

    /// A datagram or frame from a client. What is returned is to be sent to a peer.
    pub fn handle_client(&mut self, now: Now, client: &FiveTuple, bytes: &[u8]) -> Option<ToPeer> {
        // ChannelData first: nearly all traffic is that.
        match kind_of(bytes) {
            Kind::ChannelData => self.handle_channel_data(now.instant, client, bytes),
            Kind::Stun => self.handle_stun(now, client, bytes),
            Kind::Other => {
                self.counters.malformed += 1;
                None
            }
        }
    }

    /// The driver opened the socket it was asked for.
    pub fn relay_opened(&mut self, _now: Now, relay: RelayId) {
        self.finish_open(relay);
    }

    /// The driver could not open the socket it was asked for: another port is tried.
    pub fn relay_failed(&mut self, now: Now, relay: RelayId) {
        self.retry_open(now, relay);
    }

    /// A stream cannot be cut into messages any more.
    pub fn stream_broken(&mut self) {
        self.counters.malformed += 1;
    }

    /// The client's connection is closed. With a ticket the client may come back on another one
    /// until its allocation expires.
    pub fn client_gone(&mut self, now: Now, client: &FiveTuple) {
        let Some((id, allocation)) = self.table.of_client(client) else { return };
        if allocation.mobile && allocation.answered {
            self.detach(now, id);
        } else {
            self.remove(now, id, EndReason::ConnectionClosed);
        }
    }

    /// Ends what has expired; of very much only a part, and [`Self::poll_timeout`] stays due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.reservations.expire(now.instant);
        self.expire_connections(now);
        for _ in 0..MAX_EXPIRED_AT_ONCE {
            let Some(id) = self.table.pop_expired(now.instant) else { break };
            self.remove(now, id, EndReason::Expired);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let allocation = self.table.next_expiry();
        let others = [self.reservations.next_expiry(), self.connections.next_deadline()];
        allocation.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// From now on nobody gets a new allocation; the living ones go on.
    pub fn start_draining(&mut self) {
        self.draining = true;
    }

    /// Living allocations.
    pub fn allocations(&self) -> usize {
        self.table.len()
    }

    /// Whether this client has one.
    pub fn has_allocation(&self, client: &FiveTuple) -> bool {
        self.table.id_of(client).is_some()
    }

    /// Totals since the start.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The choke point: CreatePermission asks with `AnyPort`; ChannelBind, Send, ChannelData and
    /// whatever a peer sends ask with the port, each time, so that a rule holds at once.
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
                if method != Method::Binding && self.pass_on(now.instant, client) => {}
            (Class::Request, _) => self.handle_request(now, client, &message),
            (Class::Indication, Method::Send) => return self.handle_send(now, client, &message),
            // A Binding indication keeps a NAT's mapping alive and wants nothing.
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

    /// Whoever made the allocation that a request is about.
    fn owner_of(&self, client: &FiveTuple, message: &Message<'_>) -> Option<&Identity> {
        let found = if message.method() == Method::ConnectionBind {
            self.allocation_of_connection(message)
        } else {
            let own = self.table.of_client(client).map(|(_, allocation)| allocation);
            own.or_else(|| self.allocation_of_ticket(message))
        };
        found.map(|allocation| &allocation.owner)
    }
}

/// What an authorisation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    AnyPort,
    ThisPort(RelayProtocol),
}

#[cfg(test)]
mod tests;
