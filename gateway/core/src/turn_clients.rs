//! The TURN clients of a session, one for each TURN server and transport: they provide a relayed
//! path where no direct one exists.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_signaling_proto::IceServer;
use porthole_turn_proto::uri::{Scheme, ServerUri};
use porthole_turn_proto::{
    ClientConfig, ClientEvent, FailureReason, StreamDecoder, Transport, TurnClient,
};
use tracing::debug;

use crate::TurnTransportCommand;
use crate::ice::LocalBase;
use crate::ice_servers::{MAX_ICE_SERVERS, endpoints};

/// Head start of UDP before TCP to a TURN server is tried as well: a round trip around half the
/// world, plus one for the 401. Most networks let UDP through, and an allocation costs the server.
const TCP_DELAY: Duration = Duration::from_millis(250);

/// Head start of UDP before TLS: as long again for TCP without TLS, which has fewer round trips.
const TLS_DELAY: Duration = Duration::from_millis(500);

/// Limit of TURN clients of one peer transport: one for each transport of each server.
pub(crate) const MAX_CLIENTS: usize = 2 * MAX_ICE_SERVERS;

/// The transport protocol between a TURN client and its server (RFC 8656 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TurnTransport {
    /// UDP, the default: `?transport=udp`.
    Udp,
    /// TCP, for networks that block UDP: `?transport=tcp`.
    Tcp,
    /// TLS over TCP, for networks that let nothing else out: `turns:`.
    Tls,
}

/// The endpoint of an ICE server: a STUN or TURN server (W3C WebRTC, `RTCIceServer`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServerEndpoint {
    /// The host name or IP address of the server.
    pub host: String,
    /// The UDP or TCP port, by default 3478 and for TLS 5349.
    pub port: u16,
    /// The transport protocol.
    pub transport: TurnTransport,
}

impl IceServerEndpoint {
    /// Reads a STUN or TURN URI. DTLS is not supported.
    pub(crate) fn parse(uri: &str) -> Option<(Scheme, Self)> {
        let ServerUri { scheme, host, port, transport } = ServerUri::parse(uri)?;
        let transport = match transport {
            Transport::Udp => TurnTransport::Udp,
            Transport::Tcp => TurnTransport::Tcp,
            Transport::Tls => TurnTransport::Tls,
            Transport::Dtls => return None,
        };
        Some((scheme, Self { host, port, transport }))
    }
}

/// An output of the TURN clients, for their session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TurnClientsOutput {
    /// A command for the transport of the client with this index.
    Command(u8, TurnTransportCommand),
    /// An allocation has ended; its candidate is gone.
    Gone(LocalBase),
    /// An allocation has succeeded: a relayed candidate.
    Allocated { base: LocalBase, relayed: SocketAddr, mapped: SocketAddr, preference: u16 },
}

/// All TURN clients of one session.
#[derive(Debug, Default)]
pub(crate) struct TurnClients {
    clients: Vec<Client>,
    /// Peer addresses that have a permission, also on future allocations.
    permitted: Vec<IpAddr>,
    outbox: VecDeque<TurnClientsOutput>,
}

#[derive(Debug)]
struct Client {
    /// The server that is asked: the one that was named, or another one that it has named.
    server: IceServerEndpoint,
    /// The server that was named.
    origin: IceServerEndpoint,
    /// Another one is asked, or has been.
    has_moved: bool,
    username: String,
    credential: String,
    state: ClientState,
}

#[derive(Debug)]
enum ClientState {
    /// The transport is opened at this time.
    Waiting(Instant),
    /// The driver is opening the transport.
    Opening,
    /// The transport is open.
    Running {
        client: Box<TurnClient>,
        /// Splits the stream of a TCP transport into frames.
        decoder: Option<StreamDecoder>,
    },
    /// The server has named another one (RFC 8489 §10), which is asked once the transport is
    /// closed.
    Moving(SocketAddr),
    /// The transport or the allocation failed or has ended.
    Over,
}

/// Limit of permitted peer addresses, the same as that of remote candidates in ICE.
const MAX_PERMITTED: usize = 64;

/// Limit of permitted peer addresses with those that no candidate named: a peer that moves, or a
/// NAT with several public addresses.
const MAX_PERMITTED_IN_USE: usize = 96;

impl TurnClients {
    /// Creates a client for each `turn:` and `turns:` URI.
    pub(crate) fn new(now: Instant, servers: &[IceServer]) -> Self {
        let mut clients = Vec::new();
        for (at, username, credential) in turn_servers(servers).take(MAX_CLIENTS) {
            let delay = match at.transport {
                TurnTransport::Udp => Duration::ZERO,
                TurnTransport::Tcp => TCP_DELAY,
                TurnTransport::Tls => TLS_DELAY,
            };
            clients.push(Client {
                server: at.clone(),
                origin: at,
                has_moved: false,
                username: username.to_owned(),
                credential: credential.to_owned(),
                state: ClientState::Waiting(now + delay),
            });
        }
        let mut this = Self { clients, ..Self::default() };
        this.handle_timeout(now);
        this
    }

    /// Returns the best transport over which there is an allocation.
    fn best(&self) -> Option<TurnTransport> {
        let allocated = self.clients.iter().filter(|client| client.is_allocated());
        allocated.map(|client| client.server.transport).min()
    }

    /// Returns true once every TURN allocation has succeeded or failed.
    pub(crate) fn is_complete(&self) -> bool {
        let best = self.best();
        self.clients.iter().all(|entry| match &entry.state {
            ClientState::Waiting(_) | ClientState::Opening | ClientState::Moving(_) => {
                !entry.is_needed(best)
            }
            ClientState::Running { client, .. } => client.relayed().is_some(),
            ClientState::Over => true,
        })
    }

    pub(crate) fn handle_opened(&mut self, now: Instant, index: u8) {
        let Some(entry) = self.clients.get_mut(usize::from(index)) else { return };
        if !matches!(entry.state, ClientState::Opening) {
            return;
        }
        let (transport, decoder) = match entry.server.transport {
            TurnTransport::Udp => (Transport::Udp, None),
            TurnTransport::Tcp => (Transport::Tcp, Some(StreamDecoder::default())),
            TurnTransport::Tls => (Transport::Tls, Some(StreamDecoder::default())),
        };
        let config = ClientConfig::new(entry.username.clone(), entry.credential.clone(), transport);
        let mut client = Box::new(TurnClient::new(config, now));
        for peer in &self.permitted {
            client.create_permission(now, *peer);
        }
        entry.state = ClientState::Running { client, decoder };
        self.collect_outputs(index);
    }

    pub(crate) fn handle_closed(&mut self, now: Instant, index: u8) {
        let Some(entry) = self.clients.get_mut(usize::from(index)) else { return };
        if let ClientState::Moving(to) = entry.state {
            let (host, port) = (to.ip().to_string(), to.port());
            entry.server = IceServerEndpoint { host, port, transport: entry.server.transport };
            (entry.state, entry.has_moved) = (ClientState::Waiting(now), true);
            return self.handle_timeout(now);
        }
        entry.state = ClientState::Over;
        self.outbox.push_back(TurnClientsOutput::Gone(LocalBase::Allocation(index)));
    }

    /// Handles bytes from a TURN server. Calls `deliver` for each datagram that a peer sent.
    pub(crate) fn handle_data(
        &mut self,
        now: Instant,
        index: u8,
        bytes: &[u8],
        mut deliver: impl FnMut(SocketAddr, &[u8]),
    ) {
        let Some(entry) = self.clients.get_mut(usize::from(index)) else { return };
        let ClientState::Running { client, decoder } = &mut entry.state else { return };
        let broken = match decoder {
            None => {
                if let Some((peer, range)) = client.handle_datagram(now, bytes) {
                    deliver(peer, bytes.get(range).unwrap_or_default());
                }
                false
            }
            Some(decoder) => !read_stream(now, client, decoder, bytes, deliver),
        };
        if broken {
            debug!("the TURN server sent neither STUN nor ChannelData");
            entry.state = ClientState::Over;
            self.outbox.push_back(TurnClientsOutput::Command(index, TurnTransportCommand::Close));
        }
        self.collect_outputs(index);
    }

    /// Installs a permission for this peer address on every allocation, present and future, unless
    /// there are too many.
    pub(crate) fn permit(&mut self, now: Instant, peer: IpAddr) {
        self.permit_within(now, peer, MAX_PERMITTED);
    }

    /// Installs a permission for this peer address, however many there are. To be called at most a
    /// few times.
    pub(crate) fn permit_always(&mut self, now: Instant, peer: IpAddr) {
        self.permit_within(now, peer, usize::MAX);
    }

    fn permit_within(&mut self, now: Instant, peer: IpAddr, limit: usize) {
        if self.permitted.contains(&peer) || self.permitted.len() >= limit {
            return;
        }
        self.permitted.push(peer);
        self.each_client(|client| client.create_permission(now, peer));
    }

    /// Binds a channel for the selected pair: a header of 4 bytes for each packet instead of 36.
    pub(crate) fn bind_channel(&mut self, now: Instant, index: u8, peer: SocketAddr) {
        if let Some(client) = self.client(index) {
            client.bind_channel(now, peer);
        }
        self.collect_outputs(index);
    }

    /// Sends a datagram to a peer through an allocation. A peer that has no permission yet, because
    /// no candidate named its address, gets one.
    pub(crate) fn send(&mut self, now: Instant, index: u8, peer: SocketAddr, datagram: &[u8]) {
        self.permit_within(now, peer.ip(), MAX_PERMITTED_IN_USE);
        let Some(client) = self.client(index) else { return };
        let mut wrapped = Vec::with_capacity(datagram.len() + 40);
        if client.wrap(peer, datagram, &mut wrapped) {
            self.outbox.push_back(TurnClientsOutput::Command(
                index,
                TurnTransportCommand::Send(wrapped.into()),
            ));
        }
        self.collect_outputs(index);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let due = |entry: &Client| match &entry.state {
            ClientState::Waiting(due) => Some(*due),
            ClientState::Running { client, .. } => client.poll_timeout(),
            ClientState::Opening | ClientState::Moving(_) | ClientState::Over => None,
        };
        self.clients.iter().filter_map(due).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let best = self.best();
        for index in 0..self.clients.len() {
            let Some(entry) = self.clients.get_mut(index) else { continue };
            let Ok(index) = u8::try_from(index) else { continue };
            match &mut entry.state {
                ClientState::Waiting(due) if *due <= now => {
                    if entry.is_needed(best) {
                        entry.state = ClientState::Opening;
                        self.outbox.push_back(TurnClientsOutput::Command(
                            index,
                            TurnTransportCommand::Open(entry.server.clone()),
                        ));
                    } else {
                        entry.state = ClientState::Over;
                    }
                }
                ClientState::Running { client, .. } => {
                    client.handle_timeout(now);
                    self.collect_outputs(index);
                }
                ClientState::Waiting(_)
                | ClientState::Opening
                | ClientState::Moving(_)
                | ClientState::Over => {}
            }
        }
    }

    /// Sets fresh credentials for future allocations; existing ones keep their own.
    pub(crate) fn set_credentials(&mut self, servers: &[IceServer]) {
        for (at, username, credential) in turn_servers(servers) {
            for entry in self.clients.iter_mut().filter(|entry| entry.origin == at) {
                username.clone_into(&mut entry.username);
                credential.clone_into(&mut entry.credential);
            }
        }
    }

    /// Tries failed allocations again, because the network may have changed.
    pub(crate) fn retry(&mut self, now: Instant) {
        for entry in &mut self.clients {
            if matches!(entry.state, ClientState::Over) {
                entry.server.clone_from(&entry.origin);
                entry.has_moved = false;
                entry.state = ClientState::Waiting(now);
            }
        }
        self.handle_timeout(now);
    }

    /// Ends every allocation and closes the transports.
    pub(crate) fn close(&mut self, now: Instant) {
        for index in 0..self.clients.len() {
            let Ok(index) = u8::try_from(index) else { continue };
            if let Some(client) = self.client(index) {
                client.close(now);
            }
            self.collect_outputs(index);
            self.outbox.push_back(TurnClientsOutput::Command(index, TurnTransportCommand::Close));
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<TurnClientsOutput> {
        self.outbox.pop_front()
    }

    /// Returns the transport of the client with this index.
    pub(crate) fn transport(&self, index: u8) -> Option<TurnTransport> {
        self.clients.get(usize::from(index)).map(|entry| entry.server.transport)
    }

    fn client(&mut self, index: u8) -> Option<&mut TurnClient> {
        match &mut self.clients.get_mut(usize::from(index))?.state {
            ClientState::Running { client, .. } => Some(client),
            ClientState::Waiting(_)
            | ClientState::Opening
            | ClientState::Moving(_)
            | ClientState::Over => None,
        }
    }

    fn each_client(&mut self, mut act: impl FnMut(&mut TurnClient)) {
        for index in 0..self.clients.len() {
            let Ok(index) = u8::try_from(index) else { continue };
            if let Some(client) = self.client(index) {
                act(client);
            }
            self.collect_outputs(index);
        }
    }

    /// Moves the datagrams and events of a client to the outbox.
    fn collect_outputs(&mut self, index: u8) {
        let Some(entry) = self.clients.get_mut(usize::from(index)) else { return };
        let ClientState::Running { client, .. } = &mut entry.state else { return };
        while let Some(bytes) = client.poll_transmit() {
            self.outbox.push_back(TurnClientsOutput::Command(
                index,
                TurnTransportCommand::Send(bytes.into()),
            ));
        }
        let (mut over, mut other) = (false, None);
        while let Some(event) = client.poll_event() {
            match event {
                ClientEvent::Allocated { relayed, mapped } => {
                    self.outbox.push_back(TurnClientsOutput::Allocated {
                        base: LocalBase::Allocation(index),
                        relayed,
                        mapped,
                        preference: preference(entry.server.transport, index),
                    });
                }
                ClientEvent::Failed { reason, .. } => {
                    debug!("TURN allocation over {:?} failed: {reason}", entry.server.transport);
                    over = true;
                    if let FailureReason::TryAlternate(named) = reason {
                        other = named;
                    }
                }
                ClientEvent::PermissionRefused { code, .. } => {
                    debug!(?code, "the TURN server refuses a permission");
                }
                ClientEvent::Expired => over = true,
            }
        }
        if over {
            entry.state = match other.filter(|_| entry.may_move()) {
                Some(other) => ClientState::Moving(other),
                None => ClientState::Over,
            };
            self.outbox.push_back(TurnClientsOutput::Gone(LocalBase::Allocation(index)));
            self.outbox.push_back(TurnClientsOutput::Command(index, TurnTransportCommand::Close));
        }
    }
}

impl Client {
    fn is_allocated(&self) -> bool {
        match &self.state {
            ClientState::Running { client, .. } => client.relayed().is_some(),
            ClientState::Waiting(_)
            | ClientState::Opening
            | ClientState::Moving(_)
            | ClientState::Over => false,
        }
    }

    /// Returns true if another server may be asked in this one's place: once, and not over TLS,
    /// where the certificate of an address that anybody may name would say nothing.
    fn may_move(&self) -> bool {
        !self.has_moved && self.server.transport != TurnTransport::Tls
    }

    /// Returns true unless there is an allocation over a better transport than this client's. UDP
    /// is tried at every server, because one may be nearer than another.
    fn is_needed(&self, best: Option<TurnTransport>) -> bool {
        self.server.transport == TurnTransport::Udp
            || best.is_none_or(|best| best >= self.server.transport)
    }
}

/// Returns the endpoints of all usable `turn:` and `turns:` URIs, with their credentials.
fn turn_servers(servers: &[IceServer]) -> impl Iterator<Item = (IceServerEndpoint, &str, &str)> {
    let turn =
        endpoints(servers).filter(|(scheme, ..)| matches!(scheme, Scheme::Turn | Scheme::Turns));
    turn.filter_map(|(_, at, server)| {
        let credentials = server.username.as_deref().zip(server.credential.as_deref());
        credentials.map(|(name, secret)| (at, name, secret))
    })
}

/// Returns the local preference of a relayed candidate: UDP before TCP before TLS
/// (RFC 8445 §5.1.2.1).
fn preference(transport: TurnTransport, index: u8) -> u16 {
    let base = match transport {
        TurnTransport::Udp => 40_000,
        TurnTransport::Tcp => 20_000,
        TurnTransport::Tls => 10_000,
    };
    base - u16::from(index)
}

/// Handles the complete frames of the stream; returns false if the framing is broken.
fn read_stream(
    now: Instant,
    client: &mut TurnClient,
    decoder: &mut StreamDecoder,
    bytes: &[u8],
    mut deliver: impl FnMut(SocketAddr, &[u8]),
) -> bool {
    if decoder.push(bytes).is_err() {
        return false;
    }
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => {
                if let Some((peer, range)) = client.handle_datagram(now, frame) {
                    deliver(peer, frame.get(range).unwrap_or_default());
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use porthole_turn_proto::stun::{Class, ErrorCode, Message, MessageWriter, attribute};

    use super::*;

    #[test]
    fn the_address_of_a_viewer_has_a_permission_beside_many_candidates() {
        let now = Instant::now();
        let mut clients = TurnClients::new(now, &[]);
        for last in 0..100 {
            clients.permit(now, IpAddr::from([10, 0, 0, last]));
        }
        assert_eq!(clients.permitted.len(), MAX_PERMITTED);
        let viewer = IpAddr::from([203, 0, 113, 7]);
        for _ in 0..2 {
            clients.permit_always(now, viewer);
        }
        assert_eq!(clients.permitted.last(), Some(&viewer));
        assert_eq!(clients.permitted.len(), MAX_PERMITTED + 1);
    }

    /// Returns the commands for the only client, and the responses to what it sends: the server
    /// names `other`.
    fn commands(clients: &mut TurnClients, other: &str) -> (Vec<String>, Vec<Vec<u8>>) {
        let (mut said, mut responses) = (Vec::new(), Vec::new());
        while let Some(output) = clients.poll_output() {
            match output {
                TurnClientsOutput::Command(_, TurnTransportCommand::Open(at)) => {
                    said.push(format!("open {}:{}", at.host, at.port));
                }
                TurnClientsOutput::Command(_, TurnTransportCommand::Close) => {
                    said.push("close".to_owned());
                }
                TurnClientsOutput::Command(_, TurnTransportCommand::Send(bytes)) => {
                    let request = Message::parse(&bytes).unwrap();
                    let (method, id) = (request.method(), request.id());
                    let mut out = Vec::new();
                    let mut writer = MessageWriter::new(&mut out, Class::Error, method, id);
                    writer.error_code(ErrorCode::TRY_ALTERNATE);
                    writer.address(attribute::ALTERNATE_SERVER, other.parse().unwrap());
                    writer.finish().unwrap();
                    responses.push(out);
                }
                TurnClientsOutput::Gone(_) | TurnClientsOutput::Allocated { .. } => {}
            }
        }
        (said, responses)
    }

    #[test]
    fn another_server_that_a_server_names_is_asked_once() {
        let now = Instant::now();
        let other = "203.0.113.9:3479";
        for (uri, follows) in [
            ("turn:203.0.113.8", true),
            ("turn:203.0.113.8?transport=tcp", true),
            ("turns:203.0.113.8", false),
        ] {
            let server = IceServer {
                urls: vec![uri.to_owned()],
                username: Some("anna".to_owned()),
                credential: Some("secret".to_owned()),
            };
            let mut clients = TurnClients::new(now, &[server]);
            let now = now + TLS_DELAY;
            clients.handle_timeout(now);
            let (said, _) = commands(&mut clients, other);
            assert_eq!(said.len(), 1, "{uri}: {said:?}");
            for turn in 0..2 {
                clients.handle_opened(now, 0);
                let (_, responses) = commands(&mut clients, other);
                clients.handle_data(now, 0, &responses.concat(), |_, _| {});
                let (said, _) = commands(&mut clients, other);
                assert_eq!(said, ["close"], "{uri}");
                let moves = follows && turn == 0;
                assert_eq!(clients.is_complete(), !moves, "{uri}");
                clients.handle_closed(now, 0);
                let (said, _) = commands(&mut clients, other);
                let expected: &[&str] = if moves { &["open 203.0.113.9:3479"] } else { &[] };
                assert_eq!(said, expected, "{uri} {turn}");
                if !moves {
                    break;
                }
            }
            // After a change of the network, the server that was named is asked again.
            clients.retry(now);
            let (said, _) = commands(&mut clients, other);
            assert!(said.len() == 1 && said[0].starts_with("open 203.0.113.8:"), "{uri}: {said:?}");
        }
    }

    #[test]
    fn servers_over_dtls_are_not_supported() {
        use TurnTransport::{Tcp, Tls, Udp};
        for (uri, expected) in [
            ("stun:example.org", Some((Scheme::Stun, "example.org", 3478, Udp))),
            ("turn:example.org:1?transport=udp", Some((Scheme::Turn, "example.org", 1, Udp))),
            ("turn:[2001:db8::1]?transport=tcp", Some((Scheme::Turn, "2001:db8::1", 3478, Tcp))),
            ("stuns:example.org", Some((Scheme::Stuns, "example.org", 5349, Tls))),
            ("turns:example.org", Some((Scheme::Turns, "example.org", 5349, Tls))),
            ("turns:example.org:443", Some((Scheme::Turns, "example.org", 443, Tls))),
            ("turns:example.org?transport=udp", None),
            ("http://example.org", None),
        ] {
            let read = IceServerEndpoint::parse(uri);
            let read = read.as_ref().map(|(s, r)| (*s, r.host.as_str(), r.port, r.transport));
            assert_eq!(read, expected, "{uri}");
        }
    }
}
