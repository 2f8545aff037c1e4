//! A server, its sockets and its clients' bytes as values: no network, and time is moved.
//!
//! For whoever wants to send exactly these bytes: the fuzzer, and the tests of the rules.

use porthole_clock::Now;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use porthole_turn_proto::server::{
    AllocationQuota, ConnectionId, FiveTuple, LocalQuota, Output, PolicyConfig, PortPool,
    QuotaLimits, QuotaReached, QuotaUnit, RelayAddress, RelayId, Reloadable, Server, ServerConfig,
    SessionEnd, ToPeer,
};
use porthole_turn_proto::stun::{
    Class, ErrorCode, Message, MessageWriter, Method, TransactionId, attribute, long_term_key,
};
use porthole_turn_proto::{Family, Transport};

pub const SERVER: &str = "203.0.113.1:3478";
pub const CLIENT: &str = "198.51.100.7:4000";
/// Documentation addresses stand for the public Internet here.
pub const PEER_V4: &str = "192.0.2.9:9000";
pub const PEER_V6: &str = "[2001:db8:9::9]:9000";
pub const REALM: &str = "example.org";
pub const USER: &str = "anna";
pub const REST_SECRET: &str = "rest";
/// 20 ports for each family.
pub const PORTS: std::ops::RangeInclusive<u16> = 50_000..=50_019;
pub const LIMITS: QuotaLimits = QuotaLimits { per_user: 3, per_source: 4, total: 5 };
/// Seconds since 1970 at the start.
pub const START_UNIX_S: u64 = 1_700_000_000;

/// An address that is written in a test.
pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A client over UDP.
pub fn tuple(client: &str) -> FiveTuple {
    FiveTuple { transport: Transport::Udp, client: addr(client), server: addr(SERVER) }
}

/// The password of each user.
pub fn password(user: &str) -> String {
    format!("{user}'s")
}

/// What the server of [`World::new`] is told: two users, and a few public peers.
pub fn config() -> ServerConfig {
    let allow = ["192.0.2.0/24", "2001:db8:9::/48"].map(|block| block.parse().expect("a block"));
    let relay = |ip: &str| {
        Some(RelayAddress { ip: ip.parse().expect("an address"), ports: PortPool::new(PORTS) })
    };
    ServerConfig {
        realm: REALM.to_owned(),
        reloadable: Reloadable {
            users: [USER, "bert"].map(|user| (user.to_owned(), password(user))).to_vec(),
            rest_secrets: vec![REST_SECRET.to_owned()],
            policy: PolicyConfig { allow: allow.to_vec(), ..PolicyConfig::default() },
            ..Reloadable::default()
        },
        relay_v4: relay("203.0.113.1"),
        relay_v6: relay("2001:db8::1"),
        discovery: None,
        dont_fragment: true,
        worker: 0,
        offload: false,
        nonce_key: [1; 32],
        seed: [2; 32],
    }
}

const OTHER_WORKER: u8 = 1;

/// A server and what its driver would hold.
#[derive(Debug)]
pub struct World {
    pub server: Server,
    pub now: Now,
    /// What left the relay sockets: relayed address, peer, payload.
    pub to_peers: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// Why allocations are gone.
    pub ended: Vec<SessionEnd>,
    /// So many of the next sockets cannot be opened.
    pub failing_opens: usize,
    pub open: BTreeMap<RelayId, SocketAddr>,
    /// Connections to peers that the driver would be making.
    pub connecting: Vec<ConnectionId>,
    /// Every connection with a peer, and those.
    pub connections: BTreeSet<ConnectionId>,
    /// What a fast path would relay: the relay, the channel, the peer; and until when to the peer
    /// and to the client.
    pub offloaded: BTreeMap<(RelayId, u16, SocketAddr), [Instant; 2]>,
    /// Clients that another worker takes for this one's.
    pub passed: BTreeSet<(SocketAddr, Transport)>,
    relays: Vec<RelayAddress>,
    quota: SharedQuota,
}

/// What a driver with several workers does, with the lock of one.
#[derive(Clone, Debug)]
struct SharedQuota(Arc<Mutex<LocalQuota>>);

impl AllocationQuota for SharedQuota {
    fn acquire(
        &mut self,
        user: &str,
        source: IpAddr,
        now: Instant,
    ) -> Result<QuotaUnit, QuotaReached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).acquire(user, source, now)
    }

    fn shrink(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).shrink();
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new(config())
    }
}

impl World {
    pub fn new(config: ServerConfig) -> Self {
        let quota = SharedQuota(Arc::new(Mutex::new(LocalQuota::new(LIMITS))));
        Self {
            relays: config.relay_v4.iter().chain(&config.relay_v6).cloned().collect(),
            server: Server::new(config, Box::new(quota.clone())),
            now: Now { instant: Instant::now(), unix_s: START_UNIX_S },
            to_peers: Vec::new(),
            ended: Vec::new(),
            failing_opens: 0,
            open: BTreeMap::new(),
            connecting: Vec::new(),
            connections: BTreeSet::new(),
            offloaded: BTreeMap::new(),
            passed: BTreeSet::new(),
            quota,
        }
    }

    /// What the server answers to these bytes.
    pub fn gets(&mut self, from: &FiveTuple, bytes: &[u8]) -> Vec<Vec<u8>> {
        let to_peer = self.server.handle_client(self.now, from, bytes);
        self.sent(to_peer, bytes)
    }

    /// The same if the kernel brings these bytes to another worker, which passes them on.
    pub fn gets_passed(&mut self, from: &FiveTuple, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.passed.insert((from.client, from.transport));
        let to_peer = self.server.handle_passed(self.now, OTHER_WORKER, from, bytes);
        self.sent(to_peer, bytes)
    }

    fn sent(&mut self, to_peer: Option<ToPeer>, bytes: &[u8]) -> Vec<Vec<u8>> {
        if let Some(to_peer) = to_peer {
            let ToPeer { relay, peer, payload, .. } = to_peer;
            let relayed = *self.open.get(&relay).expect("relays through an open socket only");
            let payload = bytes.get(payload).expect("a payload within the message").to_vec();
            self.to_peers.push((relayed, peer, payload));
        }
        self.drain()
    }

    /// What a client gets when a peer sends to a relayed address.
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

    /// Lets time pass, at once.
    pub fn advance(&mut self, duration: Duration) {
        self.now.instant += duration;
        self.now.unix_s += duration.as_secs();
        self.server.handle_timeout(self.now);
        self.drain();
    }

    /// Does what the server wants done; returns what it says to clients.
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
            } else if let Output::ChannelInstalled {
                relay,
                number,
                peer,
                to_peer_until,
                to_client_until,
                ..
            } = output
            {
                self.offloaded.insert((relay, number, peer), [to_peer_until, to_client_until]);
            } else if let Output::ChannelRemoved { relay, number, peer } = output {
                self.offloaded.remove(&(relay, number, peer));
            } else if let Output::ForgetClient { client, worker } = output {
                assert_eq!(worker, OTHER_WORKER);
                self.passed.remove(&(client.client, client.transport));
            } else if let Output::SessionEnded(end) = output {
                self.ended.push(*end);
            }
        }
        sent
    }

    fn open_relay(&mut self, relay: RelayId, port: u16) {
        if self.failing_opens > 0 {
            self.failing_opens -= 1;
            self.server.relay_failed(self.now, relay);
            return;
        }
        let of_family = |side: &&RelayAddress| Family::of(&side.ip) == relay.family;
        let side = self.relays.iter().find(of_family).expect("a family that is relayed");
        self.open.insert(relay, SocketAddr::new(side.ip, port));
        self.server.relay_opened(self.now, relay);
    }

    /// Ports that are taken, of both families.
    pub fn ports_taken(&self) -> usize {
        let taken = self.relays.iter().map(|relay| relay.ports.taken());
        usize::try_from(taken.sum::<u32>()).unwrap_or(usize::MAX)
    }

    pub fn quota_in_use(&self) -> usize {
        self.quota.0.lock().unwrap_or_else(PoisonError::into_inner).in_use()
    }

    /// The nonce that this client is given.
    pub fn nonce(&mut self, from: &FiveTuple) -> String {
        let request = unsigned(Method::Allocate, allocate);
        let sent = self.gets(from, &request);
        let message = sent.first().and_then(|bytes| Message::parse(bytes).ok());
        let message = message.expect("a challenge");
        assert_eq!(message.error_code(), Some(ErrorCode::UNAUTHENTICATED));
        message.text(attribute::NONCE).ok().flatten().expect("a nonce").to_owned()
    }

    /// What a signed request is answered: its code, or 0 for success.
    pub fn asks(
        &mut self,
        user: &str,
        from: &FiveTuple,
        method: Method,
        fill: impl Fn(&mut MessageWriter<'_>),
    ) -> u16 {
        code(&self.answer(user, from, method, fill))
    }

    /// The answer to a signed request.
    pub fn answer(
        &mut self,
        user: &str,
        from: &FiveTuple,
        method: Method,
        fill: impl Fn(&mut MessageWriter<'_>),
    ) -> Vec<u8> {
        let nonce = self.nonce(from);
        let sent = self.gets(from, &signed(user, &password(user), &nonce, method, fill));
        assert_eq!(sent.len(), 1, "one answer");
        sent.into_iter().next().expect("one answer")
    }

    /// An allocation of anna's; its relayed address.
    pub fn allocates(&mut self, from: &FiveTuple) -> SocketAddr {
        let answer = self.answer(USER, from, Method::Allocate, allocate);
        let message = Message::parse(&answer).expect("an answer");
        let relayed = message.xor_address(attribute::XOR_RELAYED_ADDRESS);
        relayed.ok().flatten().unwrap_or_else(|| panic!("refused: {:?}", message.error_code()))
    }

    /// Whether a Send indication reaches the peer.
    pub fn sends(&mut self, from: &FiveTuple, peer: SocketAddr) -> bool {
        let mut out = Vec::new();
        MessageWriter::new(&mut out, Class::Indication, Method::Send, ID)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer)
            .attribute(attribute::DATA, b"data")
            .finish()
            .expect("it is short");
        let before = self.to_peers.len();
        self.gets(from, &out);
        self.to_peers.len() > before
    }
}

/// Of every message here.
pub const ID: TransactionId = TransactionId([5; 12]);

/// What an Allocate wants.
pub fn allocate(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, 17 << 24);
}

/// What CreatePermission wants.
pub fn peer(peer: SocketAddr) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
    }
}

/// What ChannelBind wants.
pub fn channel(number: u16, peer: SocketAddr) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.u32(attribute::CHANNEL_NUMBER, u32::from(number) << 16);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
    }
}

/// What Refresh wants.
pub fn lifetime(seconds: u32) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.u32(attribute::LIFETIME, seconds);
    }
}

/// A request without credentials; `fill` writes what the method wants.
pub fn unsigned(method: Method, fill: impl Fn(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, method, ID);
    fill(&mut writer);
    writer.finish().expect("it is short");
    out
}

/// A request with credentials.
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

/// The code of an answer; 0 for success.
pub fn code(answer: &[u8]) -> u16 {
    let message = Message::parse(answer).expect("the server writes what can be read");
    match message.class() {
        Class::Success => 0,
        Class::Error => message.error_code().map_or(u16::MAX, ErrorCode::value),
        Class::Request | Class::Indication => panic!("no answer"),
    }
}
