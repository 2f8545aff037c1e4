//! A server with its driver's state, without sockets and with virtual time.
//!
//! For the fuzzer and the tests of the safety rules, which send bytes of their own making.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_turn_proto::server::{
    AllocationEnd, ConnectionId, FiveTuple, LocalQuota, Output, PolicyConfig, PortPool,
    QuotaLimits, QuotaUsage, RelayAddress, RelayId, ReloadableConfig, Server, ServerConfig, ToPeer,
};
use porthole_turn_proto::stun::{
    Class, ErrorCode, Message, MessageWriter, Method, TransactionId, attribute, long_term_key,
};
use porthole_turn_proto::{Family, Transport};

/// The address of the server.
pub const SERVER: &str = "203.0.113.1:3478";
/// The address of a client.
pub const CLIENT: &str = "198.51.100.7:4000";
/// The address of an IPv4 peer. Documentation addresses stand for the public Internet.
pub const PEER_V4: &str = "192.0.2.9:9000";
/// The address of an IPv6 peer.
pub const PEER_V6: &str = "[2001:db8:9::9]:9000";
/// The realm of the server.
pub const REALM: &str = "example.org";
/// The name of a user, whose password is [`password`].
pub const USER: &str = "anna";
/// The secret of time-limited credentials.
pub const REST_SECRET: &str = "rest";
/// The ports of the relayed addresses, 20 for each family.
pub const PORTS: std::ops::RangeInclusive<u16> = 50_000..=50_019;
/// The quota of the server.
pub const LIMITS: QuotaLimits = QuotaLimits { per_user: 3, per_source: 4, total: 5 };
/// Seconds since 1970 at the start.
pub const START_UNIX_S: u64 = 1_700_000_000;

/// Reads an address.
///
/// # Panics
///
/// If the text is not an address.
pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Returns the five-tuple of a client over UDP.
pub fn tuple(client: &str) -> FiveTuple {
    FiveTuple { transport: Transport::Udp, client: addr(client), server: addr(SERVER) }
}

/// Returns the password of a user.
pub fn password(user: &str) -> String {
    format!("{user}'s")
}

/// Returns settings with two users and two blocks of peers that count as public.
pub fn config() -> ServerConfig {
    let allow = ["192.0.2.0/24", "2001:db8:9::/48"].map(|block| block.parse().expect("a block"));
    let relay = |ip: &str| {
        Some(RelayAddress { ip: ip.parse().expect("an address"), ports: PortPool::new(PORTS) })
    };
    ServerConfig {
        realm: REALM.to_owned(),
        reloadable: ReloadableConfig {
            users: [USER, "bert"].map(|user| (user.to_owned(), password(user))).to_vec(),
            rest_secrets: vec![REST_SECRET.to_owned()],
            policy: PolicyConfig { allow: allow.to_vec(), ..PolicyConfig::default() },
            ..ReloadableConfig::default()
        },
        relay_v4: relay("203.0.113.1"),
        relay_v6: relay("2001:db8::1"),
        nat_discovery: None,
        dont_fragment: true,
        worker: 0,
        offload: false,
        nonce_key: [1; 32],
        seed: [2; 32],
    }
}

const OTHER_WORKER: u8 = 1;

/// A server and the state that its driver would have.
#[derive(Debug)]
pub struct World {
    /// The server under test.
    pub server: Server,
    /// The virtual time.
    pub now: Now,
    /// Datagrams that left the relay sockets: relayed address, peer, payload.
    pub to_peers: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// The reported ends of allocations.
    pub ended: Vec<AllocationEnd>,
    /// Number of the next sockets that cannot be opened.
    pub failing_opens: usize,
    /// The open relay sockets and their relayed addresses.
    pub open: BTreeMap<RelayId, SocketAddr>,
    /// Connections that the driver would be opening to peers.
    pub connecting: Vec<ConnectionId>,
    /// All connections to and from peers, including those being opened.
    pub connections: BTreeSet<ConnectionId>,
    /// Channels that a fast path would relay, with the times at which relaying to the peer and to
    /// the client ends.
    pub offloaded: BTreeMap<(RelayId, u16, SocketAddr), [Instant; 2]>,
    /// Clients whose datagrams another worker hands over.
    pub handed_over: BTreeSet<(SocketAddr, Transport)>,
    relays: Vec<RelayAddress>,
    quota: QuotaUsage,
}

impl Default for World {
    fn default() -> Self {
        Self::new(config())
    }
}

impl World {
    /// Creates a world with a server of these settings.
    pub fn new(config: ServerConfig) -> Self {
        let quota = LocalQuota::new(LIMITS);
        let usage = quota.usage();
        Self {
            relays: config.relay_v4.iter().chain(&config.relay_v6).cloned().collect(),
            server: Server::new(config, Box::new(quota)),
            now: Now { instant: Instant::now(), unix_s: START_UNIX_S },
            to_peers: Vec::new(),
            ended: Vec::new(),
            failing_opens: 0,
            open: BTreeMap::new(),
            connecting: Vec::new(),
            connections: BTreeSet::new(),
            offloaded: BTreeMap::new(),
            handed_over: BTreeSet::new(),
            quota: usage,
        }
    }

    /// Passes bytes of a client to the server. Returns the messages that it sends to clients.
    pub fn send_to_server(&mut self, from: &FiveTuple, bytes: &[u8]) -> Vec<Vec<u8>> {
        let to_peer = self.server.handle_client(self.now, from, bytes);
        self.relay(to_peer, bytes)
    }

    /// Passes bytes of a client to the server as [`Self::send_to_server`] does, but as if another
    /// worker had received them and handed them over.
    pub fn send_handed_over(&mut self, from: &FiveTuple, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.handed_over.insert((from.client, from.transport));
        let to_peer = self.server.handle_handover(self.now, OTHER_WORKER, from, bytes);
        self.relay(to_peer, bytes)
    }

    fn relay(&mut self, to_peer: Option<ToPeer>, bytes: &[u8]) -> Vec<Vec<u8>> {
        if let Some(to_peer) = to_peer {
            let ToPeer { relay, peer, payload, .. } = to_peer;
            let relayed = *self.open.get(&relay).expect("relays through an open socket only");
            let payload = bytes.get(payload).expect("a payload within the message").to_vec();
            self.to_peers.push((relayed, peer, payload));
        }
        self.drain()
    }

    /// Sends a datagram from a peer to a relayed address. Returns the client and the message that
    /// it receives, unless the datagram is dropped.
    pub fn peer_sends(
        &mut self,
        relayed: SocketAddr,
        peer: SocketAddr,
        payload: &[u8],
    ) -> Option<(FiveTuple, Vec<u8>)> {
        let relay = *self.open.iter().find(|(_, open)| **open == relayed)?.0;
        let to = self.server.handle_peer(self.now, relay, peer, payload.len());
        self.drain();
        let to = to?;
        let mut bytes = [to.header.as_bytes(), payload].concat();
        bytes.resize(bytes.len() + to.padding, 0);
        Some((to.client, bytes))
    }

    /// Advances the virtual time.
    pub fn advance(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.server.handle_timeout(self.now);
        self.drain();
    }

    /// Applies the outputs of the server. Returns the messages that it sends to clients.
    pub fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(output) = self.server.poll_output() {
            if let Output::Send { bytes, .. } = output {
                sent.push(bytes);
            } else if let Output::OpenRelay { relay, port, .. } = output {
                self.open_relay(relay, port);
            } else if let Output::CloseRelay { relay } = output {
                self.open.remove(&relay);
            } else if let Output::ConnectPeer { connection, .. } = output {
                self.connecting.push(connection);
                self.connections.insert(connection);
            } else if let Output::CloseConnection { connection } = output {
                self.connecting.retain(|known| *known != connection);
                self.connections.remove(&connection);
            } else if let Output::InstallChannel(channel) = output {
                let key = (channel.relay, channel.number, channel.peer);
                self.offloaded.insert(key, [channel.to_peer_until, channel.to_client_until]);
            } else if let Output::RemoveChannel { relay, number, peer } = output {
                self.offloaded.remove(&(relay, number, peer));
            } else if let Output::EndHandover { client, worker } = output {
                assert_eq!(worker, OTHER_WORKER);
                self.handed_over.remove(&(client.client, client.transport));
            } else if let Output::AllocationEnded(end) = output {
                self.ended.push(*end);
            }
        }
        sent
    }

    fn open_relay(&mut self, relay: RelayId, port: u16) {
        if self.failing_opens > 0 {
            self.failing_opens -= 1;
            self.server.handle_relay_failed(self.now, relay);
            return;
        }
        let of_family = |side: &&RelayAddress| Family::of(&side.ip) == relay.family;
        let side = self.relays.iter().find(of_family).expect("a family that is relayed");
        self.open.insert(relay, SocketAddr::new(side.ip, port));
        self.server.handle_relay_opened(self.now, relay);
    }

    /// Returns the number of ports taken, of both families.
    pub fn ports_taken(&self) -> usize {
        let taken = self.relays.iter().map(|relay| relay.ports.taken());
        usize::try_from(taken.sum::<u32>()).unwrap_or(usize::MAX)
    }

    /// Returns the number of quota units in use.
    pub fn quota_in_use(&self) -> usize {
        self.quota.in_use()
    }

    /// Returns a valid nonce for this client.
    ///
    /// # Panics
    ///
    /// If the server does not send a challenge.
    pub fn nonce(&mut self, from: &FiveTuple) -> String {
        let request = unsigned(Method::Allocate, allocate);
        let sent = self.send_to_server(from, &request);
        let message = sent.first().and_then(|bytes| Message::parse(bytes).ok());
        let message = message.expect("a challenge");
        assert_eq!(message.error_code(), Some(ErrorCode::UNAUTHENTICATED));
        message.text(attribute::NONCE).ok().flatten().expect("a nonce").to_owned()
    }

    /// Sends a signed request. Returns the error code of the response, or 0 for success.
    pub fn request_code(
        &mut self,
        user: &str,
        from: &FiveTuple,
        method: Method,
        fill: impl Fn(&mut MessageWriter<'_>),
    ) -> u16 {
        code(&self.request(user, from, method, fill))
    }

    /// Sends a signed request. Returns the response.
    ///
    /// # Panics
    ///
    /// Unless there is exactly one response.
    pub fn request(
        &mut self,
        user: &str,
        from: &FiveTuple,
        method: Method,
        fill: impl Fn(&mut MessageWriter<'_>),
    ) -> Vec<u8> {
        let nonce = self.nonce(from);
        let sent = self.send_to_server(from, &signed(user, &password(user), &nonce, method, fill));
        let [response] = <[_; 1]>::try_from(sent).expect("one response");
        response
    }

    /// Makes an allocation of [`USER`]. Returns its relayed address.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub fn allocate(&mut self, from: &FiveTuple) -> SocketAddr {
        let response = self.request(USER, from, Method::Allocate, allocate);
        let message = Message::parse(&response).expect("a response");
        let relayed = message.xor_address(attribute::XOR_RELAYED_ADDRESS);
        relayed.ok().flatten().unwrap_or_else(|| panic!("refused: {:?}", message.error_code()))
    }

    /// Sends a Send indication. Returns true if its data reached the peer.
    pub fn send_indication(&mut self, from: &FiveTuple, peer: SocketAddr) -> bool {
        let mut out = Vec::new();
        MessageWriter::new(&mut out, Class::Indication, Method::Send, ID)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer)
            .attribute(attribute::DATA, b"data")
            .finish()
            .expect("it is short");
        let before = self.to_peers.len();
        self.send_to_server(from, &out);
        self.to_peers.len() > before
    }
}

/// The transaction id of every message.
pub const ID: TransactionId = TransactionId([5; 12]);

/// Writes the attributes of an Allocate.
pub fn allocate(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, 17 << 24);
}

/// Writes the attributes of a CreatePermission.
pub fn peer(peer: SocketAddr) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
    }
}

/// Writes the attributes of a ChannelBind.
pub fn channel(number: u16, peer: SocketAddr) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.u32(attribute::CHANNEL_NUMBER, u32::from(number) << 16);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
    }
}

/// Writes the attributes of a Refresh.
pub fn lifetime(seconds: u32) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.u32(attribute::LIFETIME, seconds);
    }
}

/// Returns a request without credentials; `fill` writes the attributes of the method.
pub fn unsigned(method: Method, fill: impl Fn(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, method, ID);
    fill(&mut writer);
    writer.finish().expect("it is short");
    out
}

/// Returns a signed request; `fill` writes the attributes of the method.
pub fn signed(
    user: &str,
    password: &str,
    nonce: &str,
    method: Method,
    fill: impl Fn(&mut MessageWriter<'_>),
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, method, ID);
    fill(&mut writer);
    writer
        .attribute(attribute::USERNAME, user.as_bytes())
        .attribute(attribute::REALM, REALM.as_bytes())
        .attribute(attribute::NONCE, nonce.as_bytes())
        .integrity(&long_term_key(user, REALM, password))
        .finish()
        .expect("it is short");
    out
}

/// Returns the error code of a response, or 0 for success.
///
/// # Panics
///
/// If the bytes are not a response.
pub fn code(response: &[u8]) -> u16 {
    let message = Message::parse(response).expect("the server writes what can be read");
    match message.class() {
        Class::Success => 0,
        Class::Error => message.error_code().map_or(u16::MAX, ErrorCode::value),
        Class::Request | Class::Indication => panic!("not a response"),
    }
}
