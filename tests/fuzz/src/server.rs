//! The target for the server: whatever clients, peers, sockets, time and the operator do, in
//! whatever order, resources are conserved, and no peer is reached without a permission.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_turn_proto::server::{
    CHANNEL_LIFETIME, FiveTuple, MAX_LIFETIME, PERMISSION_LIFETIME, RelayId, ReloadableConfig,
    ServerConfig,
};
use porthole_turn_proto::stun::{Class, Message, Method, attribute};
use porthole_turn_proto::{Family, Transport};

use crate::world::{LIMITS, SERVER, World, addr, allocate, config, password, signed, unsigned};

/// Steps of one run. Inputs of the fuzzer are short, and longer ones only repeat themselves.
const MAX_STEPS: usize = 400;
/// Addresses of peers: some allowed, some denied, some embedded in IPv6, some of the server itself.
const PEERS: [&str; 10] = [
    "192.0.2.9:9000",
    "192.0.2.10:9000",
    "[2001:db8:9::9]:9000",
    "[2001:db8:9::a]:1",
    "10.0.0.1:80",
    "[::ffff:127.0.0.1]:80",
    "[::1]:80",
    "203.0.113.1:50001",
    "[2001:db8::1]:50002",
    "192.0.2.9:0",
];
/// The client whose datagrams another worker receives and hands over.
const HANDED_OVER: &str = "198.51.100.8:4000";
const METHODS: [Method; 8] = [
    Method::Allocate,
    Method::Refresh,
    Method::CreatePermission,
    Method::ChannelBind,
    Method::Connect,
    Method::ConnectionBind,
    Method::Binding,
    Method::Send,
];

/// Runs a server by the input: each byte is a step, the next ones are its parameters.
pub fn server(data: &[u8]) {
    let mut run = Run::new();
    let mut input = Input(data);
    for _ in 0..MAX_STEPS {
        let Some(step) = input.next() else { break };
        run.step(step, &mut input);
        run.check();
    }
    run.finish();
}

/// The rest of the input.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Returns the next byte, or 0 at the end of the input.
    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        *of.get(usize::from(self.byte()) % of.len()).expect("it is a remainder")
    }
}

struct Run {
    world: World,
    /// The time of expiry of permissions, by relayed address and peer.
    permitted: BTreeMap<(SocketAddr, IpAddr), Instant>,
    /// The time of expiry of channels, which live twice as long (RFC 8656 §12).
    bound: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    /// The last ticket, token and connection id of the server, to be used in requests.
    ticket: Vec<u8>,
    token: Vec<u8>,
    connection: Vec<u8>,
}

impl Run {
    fn new() -> Self {
        let reloadable = ReloadableConfig {
            tcp_relaying: true,
            mobility: true,
            rfc5766_channels: true,
            ..config().reloadable
        };
        let world = World::new(ServerConfig { reloadable, offload: true, ..config() });
        Self {
            world,
            permitted: BTreeMap::new(),
            bound: BTreeMap::new(),
            ticket: Vec::new(),
            token: Vec::new(),
            connection: Vec::new(),
        }
    }

    /// Sends a message to the server. Datagrams of one client are handed over by another worker.
    fn send_to_server(&mut self, from: &FiveTuple, bytes: &[u8]) -> Vec<Vec<u8>> {
        if from.transport == Transport::Udp && from.client.ip() == addr(HANDED_OVER).ip() {
            self.world.send_handed_over(from, bytes)
        } else {
            self.world.send_to_server(from, bytes)
        }
    }

    fn step(&mut self, step: u8, input: &mut Input<'_>) {
        match step % 16 {
            0..=5 => self.request(input),
            6 => {
                let (from, peer) = (client(input), addr(input.pick(&PEERS)));
                self.world.send_indication(&from, peer);
                for (relayed, peer, _) in std::mem::take(&mut self.world.to_peers) {
                    self.must_be_permitted(relayed, peer);
                }
            }
            7 => {
                let (from, number) = (client(input), input.byte());
                self.send_to_server(&from, &[0x40 + (number & 0x3F), number >> 6, 0, 1, 7]);
            }
            8 => self.peer_sends(input),
            9 => {
                let seconds = u64::from(input.byte()) * 3;
                self.world.advance(Duration::from_secs(seconds));
            }
            10 => {
                let from = client(input);
                self.world.server.handle_client_disconnected(self.world.now, &from);
            }
            11 => self.connections(input),
            12 => self.world.failing_opens = usize::from(input.byte() % 10),
            13 => self.operate(input),
            14 => {
                let (from, method) = (client(input), input.pick(&METHODS));
                self.send_to_server(&from, &unsigned(method, |_| {}));
            }
            _ => {
                let (from, len) = (client(input), usize::from(input.byte()));
                let (bytes, rest) = input.0.split_at(len.min(input.0.len()));
                input.0 = rest;
                self.send_to_server(&from, bytes);
            }
        }
        self.world.drain();
    }

    /// Sends a request with valid credentials and any attributes.
    fn request(&mut self, input: &mut Input<'_>) {
        let (from, method) = (client(input), input.pick(&METHODS));
        let user = if input.byte().is_multiple_of(8) { "bert" } else { "anna" };
        let mut attributes: Vec<(u16, Vec<u8>)> = Vec::new();
        let mut peers = Vec::new();
        for _ in 0..input.byte() % 6 {
            attributes.push(self.attribute(input, &mut peers));
        }
        if method == Method::Allocate {
            let protocol = if input.byte().is_multiple_of(4) { 6 } else { 17 };
            attributes.push((attribute::REQUESTED_TRANSPORT, vec![protocol, 0, 0, 0]));
        }
        let nonce = self.nonce(&from);
        let request = signed(user, &password(user), &nonce, method, |writer| {
            for (kind, value) in &attributes {
                writer.attribute(*kind, value);
            }
            for peer in &peers {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, *peer);
            }
        });
        for response in self.send_to_server(&from, &request) {
            self.learn(&from, method, &peers, &response);
        }
    }

    fn attribute(&self, input: &mut Input<'_>, peers: &mut Vec<SocketAddr>) -> (u16, Vec<u8>) {
        let value = input.byte();
        match value % 12 {
            0 => (attribute::LIFETIME, vec![0, 0, input.byte(), value]),
            1 => (attribute::LIFETIME, vec![0; 4]),
            2 => (attribute::REQUESTED_ADDRESS_FAMILY, vec![1 + input.byte() % 2, 0, 0, 0]),
            3 => (attribute::ADDITIONAL_ADDRESS_FAMILY, vec![2, 0, 0, 0]),
            4 => (attribute::EVEN_PORT, vec![input.byte() & 0x80]),
            5 => (attribute::RESERVATION_TOKEN, self.token.clone()),
            6 => (attribute::DONT_FRAGMENT, Vec::new()),
            7 if input.byte().is_multiple_of(2) => (attribute::MOBILITY_TICKET, Vec::new()),
            7 => (attribute::MOBILITY_TICKET, self.ticket.clone()),
            8 => (attribute::CONNECTION_ID, self.connection.clone()),
            9 => (attribute::CHANNEL_NUMBER, vec![0x40, input.byte() % 8, 0, 0]),
            10 => {
                peers.push(addr(input.pick(&PEERS)));
                (attribute::SOFTWARE, Vec::new())
            }
            _ => (u16::from_be_bytes([0, input.byte()]), vec![value; usize::from(value % 9)]),
        }
    }

    fn nonce(&mut self, from: &FiveTuple) -> String {
        let sent = self.send_to_server(from, &unsigned(Method::Allocate, allocate));
        let message = sent.first().and_then(|bytes| Message::parse(bytes).ok());
        let nonce =
            message.and_then(|m| m.text(attribute::NONCE).ok().flatten().map(str::to_owned));
        nonce.unwrap_or_default()
    }

    fn learn(&mut self, from: &FiveTuple, method: Method, peers: &[SocketAddr], response: &[u8]) {
        let message = Message::parse(response).expect("the server writes what can be read");
        for (kind, stored) in [
            (attribute::MOBILITY_TICKET, &mut self.ticket),
            (attribute::RESERVATION_TOKEN, &mut self.token),
            (attribute::CONNECTION_ID, &mut self.connection),
        ] {
            if let Some(found) = message.first(kind) {
                *stored = found.value.to_vec();
            }
        }
        let permits = matches!(method, Method::CreatePermission | Method::ChannelBind);
        if message.class() != Class::Success || !permits {
            return;
        }
        let now = self.world.now.instant;
        let allocations = self.world.server.allocation_infos(self.world.now, 0, LIMITS.total);
        for allocation in allocations.iter().filter(|info| info.client == *from) {
            for relayed in &allocation.relayed {
                for peer in peers {
                    let ip = peer.ip().to_canonical();
                    self.permitted.insert((*relayed, ip), now + PERMISSION_LIFETIME);
                    if method == Method::ChannelBind {
                        let peer = SocketAddr::new(ip, peer.port());
                        self.bound.insert((*relayed, peer), now + CHANNEL_LIFETIME);
                    }
                }
            }
        }
    }

    fn peer_sends(&mut self, input: &mut Input<'_>) {
        let peer = addr(input.pick(&PEERS));
        let nth = usize::from(input.byte());
        let relayed: Vec<_> = self.world.open.values().copied().collect();
        if relayed.is_empty() {
            return;
        }
        let relayed = relayed[nth % relayed.len()];
        if self.world.peer_sends(relayed, peer, b"from a peer").is_some() {
            self.must_be_permitted(relayed, peer);
        }
    }

    /// Reports an event of a connection (RFC 6062).
    fn connections(&mut self, input: &mut Input<'_>) {
        let (how, peer) = (input.byte() % 4, addr(input.pick(&PEERS)));
        let (now, server) = (self.world.now, &mut self.world.server);
        let first = self.world.connecting.first().copied();
        match (how, first) {
            (0, Some(id)) => server.handle_peer_connected(now, id),
            (1, Some(id)) => server.handle_peer_connect_failed(now, id),
            (2, _) => {
                let id = self.world.connections.first().copied();
                if let Some(id) = id {
                    server.handle_connection_closed(now, id);
                    self.world.connecting.retain(|known| *known != id);
                    self.world.connections.remove(&id);
                }
            }
            _ => {
                let relay: Option<RelayId> = self.world.open.keys().next().copied();
                let accepted =
                    relay.and_then(|relay| server.handle_peer_accepted(now, relay, peer));
                if let (Some(relay), Some(id)) = (relay, accepted) {
                    self.world.connections.insert(id);
                    let relayed = *self.world.open.get(&relay).expect("it is open");
                    self.must_be_permitted(relayed, peer);
                }
            }
        }
        if how < 2 && first.is_some() {
            self.world.connecting.remove(0);
            if how == 1 {
                self.world.connections.retain(|known| Some(*known) != first);
            }
        }
    }

    fn operate(&mut self, input: &mut Input<'_>) {
        let (how, now) = (input.byte() % 4, self.world.now);
        let mut settings = ReloadableConfig {
            tcp_relaying: how != 0,
            mobility: how != 1,
            rfc5766_channels: how != 2,
            ..config().reloadable
        };
        match how {
            0 => settings.policy.deny = vec!["192.0.2.9".parse().expect("a block")],
            1 => settings.users.truncate(1),
            2 => {
                let first =
                    self.world.server.allocation_infos(now, 0, 1).first().map(|info| info.id);
                first.into_iter().for_each(|id| {
                    self.world.server.end_allocation(now, id);
                });
            }
            _ => {}
        }
        self.world.server.set_reloadable(now, settings);
    }

    fn must_be_permitted(&self, relayed: SocketAddr, peer: SocketAddr) {
        let until = self.permitted.get(&(relayed, peer.ip().to_canonical()));
        let now = self.world.now.instant;
        assert!(until.is_some_and(|until| now < *until), "{peer} was not permitted at {relayed}");
    }

    fn check(&mut self) {
        for (relayed, peer, _) in std::mem::take(&mut self.world.to_peers) {
            let bound = self.bound.get(&(relayed, peer));
            if bound.is_none_or(|until| *until <= self.world.now.instant) {
                self.must_be_permitted(relayed, peer);
            }
            let IpAddr::V4(ip) = peer.ip().to_canonical() else { continue };
            assert!(!ip.is_private() && !ip.is_loopback() && peer.port() != 0, "reached {peer}");
        }
        let world = &self.world;
        let living = world.server.allocations();
        assert!(living <= LIMITS.total, "{living} allocations");
        assert_eq!(world.quota_in_use(), living, "a unit for each allocation");
        assert!(
            world.open.len() <= 2 * living,
            "{} sockets, {living} allocations",
            world.open.len()
        );
        assert!(world.ports_taken() >= world.open.len(), "an open port is a taken one");
        assert!(world.open.len() >= living, "an allocation without a socket");
        assert!(living > 0 || world.connections.is_empty(), "connections without an allocation");
        for (client, transport) in &world.handed_over {
            let from = FiveTuple { transport: *transport, client: *client, server: addr(SERVER) };
            assert!(world.server.has_allocation(&from), "{client} is handed over for nothing");
        }
        let now = world.now.instant;
        for ((relay, _, peer), [to_peer, to_client]) in &world.offloaded {
            if now >= *to_peer.max(to_client) {
                continue;
            }
            let relayed =
                *world.open.get(relay).expect("the socket of an offloaded channel is open");
            let bound = self.bound.get(&(relayed, *peer));
            assert!(bound.is_some_and(|end| to_peer <= end), "to {peer} for too long");
            let permitted = self.permitted.get(&(relayed, peer.ip().to_canonical()));
            let is_permitted = permitted.is_some_and(|end| to_client <= end);
            assert!(is_permitted || *to_client <= now, "from {peer} for too long");
        }
        let families = |relay: &RelayId, at: &SocketAddr| Family::of(&at.ip()) == relay.family;
        assert!(world.open.iter().all(|(relay, at)| families(relay, at)), "the other family");
        // Another client may get a port that is free again.
        let is_open = |relayed: &SocketAddr| world.open.values().any(|at| at == relayed);
        self.permitted.retain(|(relayed, _), _| is_open(relayed));
        self.bound.retain(|(relayed, _), _| is_open(relayed));
    }

    /// Checks that everything is released after all clients have fallen silent.
    fn finish(mut self) {
        for _ in 0..4 {
            self.world.advance(MAX_LIFETIME);
            self.check();
        }
        let world = &self.world;
        assert_eq!((world.server.allocations(), world.open.len()), (0, 0));
        assert_eq!((world.ports_taken(), world.quota_in_use()), (0, 0));
        assert_eq!(world.connections.len(), 0);
        assert_eq!(world.server.poll_timeout(), None, "a timer is left");
    }
}

fn client(input: &mut Input<'_>) -> FiveTuple {
    const CLIENTS: [(&str, Transport); 8] = [
        ("198.51.100.7:4000", Transport::Udp),
        ("198.51.100.7:4001", Transport::Udp),
        (HANDED_OVER, Transport::Udp),
        ("[2001:db8:7::7]:4000", Transport::Udp),
        ("198.51.100.7:4000", Transport::Tcp),
        ("198.51.100.7:4001", Transport::Tcp),
        ("198.51.100.7:4002", Transport::Tls),
        ("198.51.100.7:4003", Transport::Dtls),
    ];
    let (client, transport) = input.pick(&CLIENTS);
    FiveTuple { transport, client: addr(client), server: addr(SERVER) }
}
