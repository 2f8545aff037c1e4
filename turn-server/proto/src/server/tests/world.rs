//! A server, its clients, and a network that loses packets only if a test says so.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::*;
use crate::client::{ClientConfig, ClientEvent, TurnClient};
use crate::stun::{MessageWriter, TransactionId, attribute};

pub(super) const SERVER: &str = "203.0.113.1:3478";
pub(super) const RELAY_V4: &str = "203.0.113.1";
pub(super) const RELAY_V6: &str = "2001:db8::1";
pub(super) const PEER_V4: &str = "192.0.2.9:9000";
pub(super) const PEER_V6: &str = "[2001:db8:9::9]:9000";
pub(super) const REALM: &str = "example.org";

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Returns settings with the users Anna and Bert, and two secrets.
pub(super) fn credentials() -> ReloadableConfig {
    ReloadableConfig {
        users: ["anna", "bert"].map(|u| (u.to_owned(), format!("{u}'s"))).to_vec(),
        rest_secrets: vec!["rest-1".to_owned(), "rest-2".to_owned()],
        tcp_relaying: true,
        mobility: true,
        ..ReloadableConfig::default()
    }
}

pub(super) struct World {
    pub(super) server: Server,
    pub(super) clients: Vec<Client>,
    pub(super) now: Now,
    start: Instant,
    /// Datagrams that left the relay sockets: relayed address, peer, payload.
    pub(super) sent_to_peers: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// True if the last of them must not be fragmented.
    pub(super) last_dont_fragment: bool,
    pub(super) last_to_client_len: usize,
    /// Number of sockets that cannot be opened.
    pub(super) failing_opens: usize,
    /// Families whose sockets cannot be opened.
    pub(super) failing_families: Vec<Family>,
    pub(super) ended: Vec<AllocationEnd>,
    transactions: u64,
    pub(super) open: BTreeMap<RelayId, SocketAddr>,
    /// Connections to open: the relay socket and the peer.
    pub(super) connecting: BTreeMap<ConnectionId, (RelayId, SocketAddr)>,
    /// Bound connections and their clients.
    pub(super) bound: BTreeMap<ConnectionId, FiveTuple>,
    pub(super) closed: Vec<ConnectionId>,
    pub(super) handed_over: Vec<(FiveTuple, u8)>,
    pub(super) ended_handovers: Vec<(FiveTuple, u8)>,
    /// Outputs that install and remove channels.
    pub(super) offloads: Vec<Output>,
    ports: [Arc<PortPool>; 2],
    quota: QuotaUsage,
}

pub(super) struct Client {
    pub(super) client: TurnClient,
    pub(super) tuple: FiveTuple,
    /// True if nothing that the client sends arrives.
    pub(super) silent: bool,
    /// Number of success responses that do not arrive.
    pub(super) lose_success: usize,
}

/// A whole response.
#[derive(Clone, Debug)]
pub(super) struct Response(pub(super) Vec<u8>);

impl Response {
    pub(super) fn message(&self) -> Message<'_> {
        Message::parse(&self.0).unwrap()
    }

    /// Returns the error code, or 0 for success.
    pub(super) fn code(&self) -> u16 {
        self.message().error_code().map_or(0, crate::stun::ErrorCode::value)
    }

    /// Returns every XOR-RELAYED-ADDRESS.
    pub(super) fn relayed(&self) -> Vec<SocketAddr> {
        let message = self.message();
        let found = message.attributes().filter(|a| a.kind == attribute::XOR_RELAYED_ADDRESS);
        found.map(|a| crate::stun::decode_xor_address(a.value, message.id()).unwrap()).collect()
    }
}

pub(super) fn tuple(transport: Transport, client: &str) -> FiveTuple {
    FiveTuple { transport, client: addr(client), server: addr(SERVER) }
}

impl World {
    /// Creates a world in which documentation addresses stand for the public Internet.
    pub(super) fn new() -> Self {
        let allow = ["192.0.2.0/24", "2001:db8:9::/48"].map(|block| block.parse().unwrap());
        Self::with_policy(PolicyConfig { allow: allow.to_vec(), ..PolicyConfig::default() })
    }

    pub(super) fn with_policy(policy: PolicyConfig) -> Self {
        Self::with(policy, QuotaLimits { per_user: 3, per_source: 4, total: 5 }, 20)
    }

    /// Creates a world with room for so many allocations, of one user or several.
    pub(super) fn with_room_for(many: usize) -> Self {
        let limits = QuotaLimits { per_user: many, per_source: many, total: many };
        Self::with(PolicyConfig::default(), limits, u16::try_from(many).unwrap())
    }

    fn with(policy: PolicyConfig, limits: QuotaLimits, ports: u16) -> Self {
        let ports = [(); 2].map(|()| PortPool::new(50_000..=49_999 + ports));
        let relay = |ip: &str, ports: &Arc<PortPool>| {
            Some(RelayAddress { ip: ip.parse().unwrap(), ports: Arc::clone(ports) })
        };
        let quota = LocalQuota::new(limits);
        let usage = quota.usage();
        let config = ServerConfig {
            realm: REALM.to_owned(),
            reloadable: ReloadableConfig { policy, ..credentials() },
            relay_v4: relay(RELAY_V4, &ports[0]),
            relay_v6: relay(RELAY_V6, &ports[1]),
            nat_discovery: None,
            dont_fragment: true,
            offload: true,
            worker: 3,
            nonce_key: [1; 32],
            seed: [2; 32],
        };
        let start = Instant::now();
        Self {
            server: Server::new(config, Box::new(quota)),
            clients: Vec::new(),
            now: Now { instant: start, unix_s: 1_700_000_000 },
            start,
            sent_to_peers: Vec::new(),
            last_dont_fragment: false,
            last_to_client_len: 0,
            failing_opens: 0,
            failing_families: Vec::new(),
            ended: Vec::new(),
            transactions: 0,
            open: BTreeMap::new(),
            connecting: BTreeMap::new(),
            bound: BTreeMap::new(),
            closed: Vec::new(),
            handed_over: Vec::new(),
            ended_handovers: Vec::new(),
            offloads: Vec::new(),
            ports,
            quota: usage,
        }
    }

    pub(super) fn anna(&self, transport: Transport) -> ClientConfig {
        ClientConfig::new("anna".to_owned(), "anna's".to_owned(), transport)
    }

    pub(super) fn connect(&mut self, mut config: ClientConfig, from: &str) -> usize {
        config.seed = [u8::try_from(self.clients.len()).unwrap(); 32];
        let tuple =
            FiveTuple { transport: config.transport, client: addr(from), server: addr(SERVER) };
        let client = TurnClient::new(config, self.now.instant);
        self.clients.push(Client { client, tuple, silent: false, lose_success: 0 });
        self.clients.len() - 1
    }

    pub(super) fn connect_as(&mut self, user: &str, transport: Transport, from: &str) -> usize {
        let config = ClientConfig::new(user.to_owned(), format!("{user}'s"), transport);
        self.connect(config, from)
    }

    /// Exchanges messages until nobody has any left.
    pub(super) fn run(&mut self) {
        self.drain();
        for _ in 0..1000 {
            let mut quiet = true;
            for index in 0..self.clients.len() {
                while let Some(bytes) = self.clients[index].client.poll_transmit() {
                    quiet = false;
                    if !self.clients[index].silent {
                        let tuple = self.clients[index].tuple;
                        self.send_to_server(&tuple, &bytes);
                    }
                }
            }
            if quiet {
                return;
            }
        }
        panic!("client and server do not stop");
    }

    pub(super) fn send_to_server(&mut self, tuple: &FiveTuple, bytes: &[u8]) -> Vec<Vec<u8>> {
        if let Some(ToPeer { relay, peer, payload, dont_fragment }) =
            self.server.handle_client(self.now, tuple, bytes)
        {
            self.last_dont_fragment = dont_fragment;
            self.sent_to_peers.push((self.open[&relay], peer, bytes[payload].to_vec()));
        }
        self.drain()
    }

    /// Sends a signed request that [`TurnClient`] would not send. Returns the response.
    pub(super) fn request(
        &mut self,
        from: &FiveTuple,
        user: &str,
        method: Method,
        fill: impl Fn(&mut MessageWriter<'_>),
    ) -> Response {
        self.try_request(from, user, method, fill).expect("a response at once")
    }

    /// Sends a request as [`Self::request`] does. Returns `None` if it is not answered at once.
    pub(super) fn try_request(
        &mut self,
        from: &FiveTuple,
        user: &str,
        method: Method,
        fill: impl Fn(&mut MessageWriter<'_>),
    ) -> Option<Response> {
        let mut nonce = String::new();
        for _ in 0..2 {
            let bytes = self.signed(user, method, &nonce, &fill);
            let mut sent = self.send_to_server(from, &bytes);
            if sent.is_empty() {
                return None;
            }
            let response = Response(sent.remove(0));
            match response.message().text(attribute::NONCE) {
                Ok(Some(fresh)) if nonce.is_empty() => nonce = fresh.to_owned(),
                _ => return Some(response),
            }
        }
        panic!("nonces are stale at once");
    }

    /// Returns a signed request with a new transaction id.
    pub(super) fn signed(
        &mut self,
        user: &str,
        method: Method,
        nonce: &str,
        fill: impl Fn(&mut MessageWriter<'_>),
    ) -> Vec<u8> {
        let mut id = [0xA5; 12];
        self.transactions += 1;
        id[..8].copy_from_slice(&self.transactions.to_be_bytes());
        let mut out = Vec::new();
        let mut writer = MessageWriter::new(&mut out, Class::Request, method, TransactionId(id));
        fill(&mut writer);
        writer
            .attribute(attribute::USERNAME, user.as_bytes())
            .attribute(attribute::REALM, REALM.as_bytes())
            .attribute(attribute::NONCE, nonce.as_bytes())
            .integrity(&crate::stun::long_term_key(user, REALM, &format!("{user}'s")))
            .finish()
            .unwrap();
        out
    }

    pub(super) fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send { client, bytes } => {
                    self.deliver(&client, &bytes);
                    sent.push(bytes);
                }
                Output::OpenRelay { relay, .. }
                    if self.failing_families.contains(&relay.family) =>
                {
                    self.server.handle_relay_failed(self.now, relay);
                }
                Output::OpenRelay { relay, .. } if self.failing_opens > 0 => {
                    self.failing_opens -= 1;
                    self.server.handle_relay_failed(self.now, relay);
                }
                Output::OpenRelay { relay, port, .. } => {
                    let ip = if relay.family == Family::V4 { RELAY_V4 } else { RELAY_V6 };
                    self.open.insert(relay, SocketAddr::new(ip.parse().unwrap(), port));
                    self.server.handle_relay_opened(self.now, relay);
                }
                Output::CloseRelay { relay } => {
                    self.open.remove(&relay);
                }
                Output::ConnectPeer { connection, relay, peer } => {
                    assert!(self.open.contains_key(&relay));
                    self.connecting.insert(connection, (relay, peer));
                }
                Output::BindConnection { client, connection } => {
                    self.bound.insert(connection, client);
                }
                Output::CloseConnection { connection } => {
                    self.connecting.remove(&connection);
                    self.bound.remove(&connection);
                    self.closed.push(connection);
                }
                Output::HandOver { client, worker } => self.handed_over.push((client, worker)),
                Output::EndHandover { client, worker } => {
                    self.ended_handovers.push((client, worker))
                }
                Output::InstallChannel(_) | Output::RemoveChannel { .. } => {
                    self.offloads.push(output);
                }
                Output::AllocationEnded(end) => self.ended.push(*end),
                Output::DoubtfulCredential { .. } => {}
            }
        }
        sent
    }

    fn deliver(&mut self, tuple: &FiveTuple, bytes: &[u8]) {
        let success = Message::parse(bytes).unwrap().class() == Class::Success;
        let now = self.now.instant;
        for client in self.clients.iter_mut().filter(|c| c.tuple == *tuple) {
            if success && client.lose_success > 0 {
                client.lose_success -= 1;
            } else {
                client.client.handle_datagram(now, bytes);
            }
        }
    }

    pub(super) fn advance(&mut self, duration: Duration) {
        self.now.instant += duration;
        self.now.unix_s = 1_700_000_000 + self.elapsed().as_secs();
        self.server.handle_timeout(self.now);
        self.drain();
        for client in &mut self.clients {
            client.client.handle_timeout(self.now.instant);
        }
        self.run();
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now.instant - self.start
    }

    pub(super) fn allocate(&mut self, client: usize) -> SocketAddr {
        self.run();
        let mapped = self.clients[client].tuple.client;
        match self.clients[client].client.poll_event() {
            Some(ClientEvent::Allocated { relayed, mapped: got }) if got == mapped => {
                assert!(self.is_open(relayed));
                relayed
            }
            event => panic!("no allocation: {event:?}"),
        }
    }

    pub(super) fn permit(&mut self, client: usize, peer: IpAddr) {
        self.clients[client].client.create_permission(self.now.instant, peer);
        self.run();
        assert_eq!(self.clients[client].client.poll_event(), None);
    }

    pub(super) fn bind(&mut self, client: usize, peer: SocketAddr) {
        self.clients[client].client.bind_channel(self.now.instant, peer);
        self.run();
        assert_eq!(self.clients[client].client.poll_event(), None);
    }

    /// Sends data from a client. Returns true if it reached the peer.
    pub(super) fn send(&mut self, client: usize, peer: SocketAddr, payload: &[u8]) -> bool {
        let mut out = Vec::new();
        if !self.clients[client].client.wrap(peer, payload, &mut out) {
            return false;
        }
        let tuple = self.clients[client].tuple;
        self.reaches_peer(&tuple, &out)
    }

    /// Sends a Send indication that the client would not send.
    pub(super) fn send_raw(&mut self, client: usize, peer: SocketAddr) -> bool {
        let tuple = self.clients[client].tuple;
        self.send_raw_from(&tuple, peer)
    }

    pub(super) fn send_raw_from(&mut self, from: &FiveTuple, peer: SocketAddr) -> bool {
        let mut out = Vec::new();
        MessageWriter::new(&mut out, Class::Indication, Method::Send, TransactionId([9; 12]))
            .xor_address(attribute::XOR_PEER_ADDRESS, peer)
            .attribute(attribute::DATA, b"raw")
            .finish()
            .unwrap();
        self.reaches_peer(from, &out)
    }

    /// Sends ChannelData that the client would not send.
    pub(super) fn channel_raw(&mut self, client: usize, number: u16) -> bool {
        let [high, low] = number.to_be_bytes();
        let tuple = self.clients[client].tuple;
        self.reaches_peer(&tuple, &[high, low, 0, 1, b'x'])
    }

    fn reaches_peer(&mut self, from: &FiveTuple, bytes: &[u8]) -> bool {
        let before = self.sent_to_peers.len();
        self.send_to_server(from, bytes);
        self.sent_to_peers.len() > before
    }

    /// Sends a datagram from a peer. Returns the peer and payload that the client reads from it.
    pub(super) fn peer_sends(
        &mut self,
        client: usize,
        peer: SocketAddr,
        payload: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let allocation = self.server.table.id_of(&self.clients[client].tuple)?;
        let relay = RelayId { allocation, family: Family::of(&peer.ip()) };
        let to_client = self.server.handle_peer(self.now, relay, peer, payload.len())?;
        assert_eq!(to_client.client, self.clients[client].tuple);
        let mut bytes = [to_client.header.as_bytes(), payload].concat();
        bytes.resize(bytes.len() + to_client.padding, 0);
        self.last_to_client_len = bytes.len();
        let (from, range) =
            self.clients[client].client.handle_datagram(self.now.instant, &bytes)?;
        Some((from, bytes[range].to_vec()))
    }

    pub(super) fn is_open(&self, relayed: SocketAddr) -> bool {
        self.open.values().any(|open| *open == relayed)
    }

    pub(super) fn ports(&self) -> [Arc<PortPool>; 2] {
        self.ports.clone()
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    pub(super) fn ports_taken(&self) -> usize {
        self.ports.iter().map(|ports| usize::try_from(ports.taken()).unwrap()).sum()
    }

    pub(super) fn quota_in_use(&self) -> usize {
        self.quota.in_use()
    }
}
