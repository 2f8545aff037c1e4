//! The production STUN/TURN server as an actor.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_turn_proto::server::{
    FiveTuple, LocalQuota, Output, PolicyConfig, PortPool, QuotaLimits, RelayAddress, RelayId,
    ReloadableConfig, Server, ServerConfig,
};
use porthole_turn_proto::{StreamDecoder, Transport};

use crate::network::Packet;

/// Address of the server, for UDP and TCP.
pub const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 3478);
/// Name of the only user.
pub const USER: &str = "peer";
/// Password of the only user.
pub const PASSWORD: &str = "open sesame";
/// Wall-clock time of the server; any value will do, because credentials here do not expire.
const UNIX_S: u64 = 1_800_000_000;

/// An output of the server.
#[derive(Debug)]
pub enum ServerOutput {
    /// A datagram from the listening port or a relayed transport address.
    Datagram(Packet),
    /// A frame on the TCP connection of this client.
    Frame(SocketAddr, Vec<u8>),
}

/// The server core and its sockets.
#[derive(Debug)]
pub struct ServerHost {
    server: Server,
    relays: HashMap<u16, RelayId>,
    streams: HashMap<SocketAddr, StreamDecoder>,
}

impl ServerHost {
    /// Creates a server without allocations.
    pub fn new(seed: u8) -> Self {
        let allow = ["203.0.113.0/24", "10.0.0.0/8"].map(|net| net.parse().expect("a block"));
        let policy = PolicyConfig {
            allow: allow.to_vec(),
            own_addresses: vec![SERVER.ip()],
            listeners: vec![SERVER],
            ..PolicyConfig::default()
        };
        let config = ServerConfig {
            realm: "porthole".to_owned(),
            reloadable: ReloadableConfig {
                users: vec![(USER.to_owned(), PASSWORD.to_owned())],
                rest_secrets: Vec::new(),
                policy,
                ..ReloadableConfig::default()
            },
            nat_discovery: None,
            dont_fragment: false,
            relay_v4: Some(RelayAddress { ip: SERVER.ip(), ports: PortPool::new(50_000..=59_999) }),
            relay_v6: None,
            offload: false,
            worker: 0,
            nonce_key: [seed; 32],
            seed: [seed; 32],
        };
        let quota = LocalQuota::new(QuotaLimits::default());
        Self {
            server: Server::new(config, Box::new(quota)),
            relays: HashMap::new(),
            streams: HashMap::new(),
        }
    }

    /// Handles a datagram that arrived at one of its ports.
    pub fn handle_datagram(&mut self, now: Instant, packet: &Packet) -> Vec<ServerOutput> {
        let mut out = Vec::new();
        if packet.to == SERVER {
            let client =
                FiveTuple { transport: Transport::Udp, client: packet.from, server: SERVER };
            self.handle_client(now, client, &packet.bytes, &mut out);
        } else if let Some(id) = self.relays.get(&packet.to.port()).copied() {
            self.handle_peer(now, id, packet, &mut out);
        }
        out
    }

    /// Handles bytes on the TCP connection of a client.
    pub fn handle_stream(
        &mut self,
        now: Instant,
        client: SocketAddr,
        bytes: &[u8],
    ) -> Vec<ServerOutput> {
        let mut out = Vec::new();
        let mut stream = self.streams.remove(&client).unwrap_or_default();
        stream.push(bytes).expect("clients here keep to the framing");
        let tuple = FiveTuple { transport: Transport::Tcp, client, server: SERVER };
        while let Some(frame) = stream.next_frame().expect("clients here keep to the framing") {
            let frame = frame.to_vec();
            self.handle_client(now, tuple, &frame, &mut out);
        }
        self.streams.insert(client, stream);
        out
    }

    /// Processes everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(moment(now));
        self.process_outputs(now, &mut Vec::new());
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.server.poll_timeout()
    }

    fn handle_client(
        &mut self,
        now: Instant,
        client: FiveTuple,
        bytes: &[u8],
        out: &mut Vec<ServerOutput>,
    ) {
        let to_peer = self.server.handle_client(moment(now), &client, bytes);
        self.process_outputs(now, out);
        let Some(to_peer) = to_peer else { return };
        let port = self.relays.iter().find(|(_, id)| **id == to_peer.relay).map(|(port, _)| *port);
        let Some(port) = port else { return };
        let payload = bytes.get(to_peer.payload).unwrap_or_default().to_vec();
        let from = SocketAddr::new(SERVER.ip(), port);
        out.push(ServerOutput::Datagram(Packet { from, to: to_peer.peer, bytes: payload }));
    }

    fn handle_peer(
        &mut self,
        now: Instant,
        id: RelayId,
        packet: &Packet,
        out: &mut Vec<ServerOutput>,
    ) {
        let len = packet.bytes.len();
        let Some(to) = self.server.handle_peer(moment(now), id, packet.from, len) else { return };
        let mut bytes = to.header.as_bytes().to_vec();
        bytes.extend_from_slice(&packet.bytes);
        bytes.resize(bytes.len() + to.padding, 0);
        out.push(to_client(to.client, bytes));
        self.process_outputs(now, out);
    }

    fn process_outputs(&mut self, now: Instant, out: &mut Vec<ServerOutput>) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send { client, bytes } => out.push(to_client(client, bytes)),
                Output::OpenRelay { relay, port, .. } => {
                    self.relays.insert(port, relay);
                    self.server.handle_relay_opened(moment(now), relay);
                }
                Output::CloseRelay { relay } => self.relays.retain(|_, known| *known != relay),
                Output::AllocationEnded(_)
                | Output::DoubtfulCredential { .. }
                | Output::ConnectPeer { .. }
                | Output::BindConnection { .. }
                | Output::CloseConnection { .. }
                | Output::HandOver { .. }
                | Output::EndHandover { .. }
                | Output::InstallChannel(_)
                | Output::RemoveChannel { .. } => {}
            }
        }
    }
}

fn to_client(client: FiveTuple, bytes: Vec<u8>) -> ServerOutput {
    match client.transport {
        Transport::Udp | Transport::Dtls => {
            ServerOutput::Datagram(Packet { from: client.server, to: client.client, bytes })
        }
        Transport::Tcp | Transport::Tls => ServerOutput::Frame(client.client, bytes),
    }
}

const fn moment(now: Instant) -> Now {
    Now { instant: now, unix_s: UNIX_S }
}

/// One-way delay of the server's access link.
pub const SERVER_DELAY: Duration = Duration::from_millis(5);
