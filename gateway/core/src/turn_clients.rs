//! A session's allocations on TURN servers: the way when there is no direct one.

use crate::TurnTransportCommand;
use crate::ice::LocalBase;
use porthole_signaling_proto::IceServer;
use porthole_turn_proto::uri::{Scheme, ServerUri};
use porthole_turn_proto::{ClientConfig, ClientEvent, StreamDecoder, Transport, TurnClient};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tracing::debug;

/// How long UDP to a TURN server is alone before TCP is tried beside it: a round trip of half the
/// world and the 401 in between. Most networks let UDP through, and an allocation costs the server.
const TCP_DELAY: Duration = Duration::from_millis(250);

/// TURN servers of one session, transports counted apart.
const MAX_CLIENTS: usize = 8;

/// How a TURN server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TurnTransport {
    /// `?transport=udp`
    Udp,
    /// `?transport=tcp`
    Tcp,
}

/// Where a STUN or TURN server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServerEndpoint {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is reached.
    pub transport: TurnTransport,
}

impl IceServerEndpoint {
    /// Reads a STUN or TURN URI. `stuns:` and `turns:` are not supported yet.
    pub(crate) fn parse(uri: &str) -> Option<(Scheme, Self)> {
        let ServerUri { scheme, host, port, transport } = ServerUri::parse(uri)?;
        let transport = match transport {
            Transport::Udp => TurnTransport::Udp,
            Transport::Tcp => TurnTransport::Tcp,
            Transport::Tls | Transport::Dtls => return None,
        };
        Some((scheme, Self { host, port, transport }))
    }
}

/// What the session must know or do about its relays.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TurnClientsOutput {
    /// Something for the transport of an allocation.
    Command(u8, TurnTransportCommand),
    /// An allocation that was there and is no more.
    Gone(LocalBase),
    /// A relay candidate.
    Allocated { base: LocalBase, relayed: SocketAddr, mapped: SocketAddr, preference: u16 },
}

/// All allocations of one session.
#[derive(Debug, Default)]
pub(crate) struct TurnClients {
    clients: Vec<Client>,
    /// Peers to let through, also on allocations that come later.
    permitted: Vec<IpAddr>,
    outbox: VecDeque<TurnClientsOutput>,
}

#[derive(Debug)]
struct Client {
    server: IceServerEndpoint,
    username: String,
    credential: String,
    state: ClientState,
}

#[derive(Debug)]
enum ClientState {
    /// Held back until then.
    Waiting(Instant),
    Opening,
    Running {
        client: Box<TurnClient>,
        decoder: Option<StreamDecoder>,
    },
    Over,
}

/// Peers a session lets through; ICE knows no more remote candidates than that.
const MAX_PERMITTED: usize = 64;

impl TurnClients {
    /// One allocation for each `turn:` URI.
    pub(crate) fn new(now: Instant, servers: &[IceServer]) -> Self {
        let mut clients = Vec::new();
        for (at, username, credential) in turn_servers(servers).take(MAX_CLIENTS) {
            let later = at.transport == TurnTransport::Tcp;
            let due = if later { now + TCP_DELAY } else { now };
            clients.push(Client {
                server: at,
                username: username.to_owned(),
                credential: credential.to_owned(),
                state: ClientState::Waiting(due),
            });
        }
        let mut this = Self { clients, ..Self::default() };
        this.handle_timeout(now);
        this
    }

    /// Whether no allocation can still come.
    pub(crate) fn is_complete(&self) -> bool {
        let udp = self.clients.iter().any(|r| r.is_allocated(TurnTransport::Udp));
        self.clients.iter().all(|entry| match &entry.state {
            // TCP is not needed once UDP works.
            ClientState::Waiting(_) => udp,
            ClientState::Opening => udp && entry.server.transport == TurnTransport::Tcp,
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
        };
        let config = ClientConfig::new(entry.username.clone(), entry.credential.clone(), transport);
        let mut client = Box::new(TurnClient::new(config, now));
        for peer in &self.permitted {
            client.create_permission(now, *peer);
        }
        entry.state = ClientState::Running { client, decoder };
        self.collect_outputs(index);
    }

    pub(crate) fn handle_closed(&mut self, index: u8) {
        if let Some(entry) = self.clients.get_mut(usize::from(index)) {
            entry.state = ClientState::Over;
            self.outbox.push_back(TurnClientsOutput::Gone(LocalBase::Allocation(index)));
        }
    }

    /// Bytes from the TURN server. Calls `take` for each datagram that a peer sent.
    pub(crate) fn handle_data(
        &mut self,
        now: Instant,
        index: u8,
        bytes: &[u8],
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) {
        let Some(entry) = self.clients.get_mut(usize::from(index)) else { return };
        let ClientState::Running { client, decoder } = &mut entry.state else { return };
        let broken = match decoder {
            None => {
                if let Some((peer, range)) = client.handle_datagram(now, bytes) {
                    take(peer, bytes.get(range).unwrap_or_default());
                }
                false
            }
            Some(decoder) => !read_stream(now, client, decoder, bytes, take),
        };
        if broken {
            debug!("the TURN server sent what is neither STUN nor ChannelData");
            entry.state = ClientState::Over;
            self.outbox.push_back(TurnClientsOutput::Command(index, TurnTransportCommand::Close));
        }
        self.collect_outputs(index);
    }

    /// Lets datagrams from this address through.
    pub(crate) fn permit(&mut self, now: Instant, peer: IpAddr) {
        if self.permitted.contains(&peer) || self.permitted.len() >= MAX_PERMITTED {
            return;
        }
        self.permitted.push(peer);
        self.each_client(|client| client.create_permission(now, peer));
    }

    /// The pair in use: give it a channel, 4 bytes a packet instead of 36.
    pub(crate) fn bind(&mut self, now: Instant, index: u8, peer: SocketAddr) {
        if let Some(client) = self.client(index) {
            client.bind_channel(now, peer);
        }
        self.collect_outputs(index);
    }

    /// A datagram to a peer, by way of an allocation.
    pub(crate) fn send(&mut self, index: u8, peer: SocketAddr, datagram: &[u8]) {
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
            ClientState::Opening | ClientState::Over => None,
        };
        self.clients.iter().filter_map(due).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let udp = self.clients.iter().any(|r| r.is_allocated(TurnTransport::Udp));
        for index in 0..self.clients.len() {
            let Some(entry) = self.clients.get_mut(index) else { continue };
            let Ok(index) = u8::try_from(index) else { continue };
            match &mut entry.state {
                ClientState::Waiting(due) if *due <= now => {
                    let needed = !udp || entry.server.transport == TurnTransport::Udp;
                    if needed {
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
                ClientState::Waiting(_) | ClientState::Opening | ClientState::Over => {}
            }
        }
    }

    /// Fresh credentials, for allocations to come; those there are live on with the old ones.
    pub(crate) fn set_credentials(&mut self, servers: &[IceServer]) {
        for (at, username, credential) in turn_servers(servers) {
            for entry in self.clients.iter_mut().filter(|entry| entry.server == at) {
                username.clone_into(&mut entry.username);
                credential.clone_into(&mut entry.credential);
            }
        }
    }

    /// The network may be another: allocations that failed are tried again.
    pub(crate) fn retry(&mut self, now: Instant) {
        for entry in &mut self.clients {
            if matches!(entry.state, ClientState::Over) {
                entry.state = ClientState::Waiting(now);
            }
        }
        self.handle_timeout(now);
    }

    /// Gives every allocation back.
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

    /// How the server behind an allocation is reached.
    pub(crate) fn transport(&self, index: u8) -> Option<TurnTransport> {
        self.clients.get(usize::from(index)).map(|entry| entry.server.transport)
    }

    fn client(&mut self, index: u8) -> Option<&mut TurnClient> {
        match &mut self.clients.get_mut(usize::from(index))?.state {
            ClientState::Running { client, .. } => Some(client),
            ClientState::Waiting(_) | ClientState::Opening | ClientState::Over => None,
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

    /// Takes what the client of an allocation has to send and to say.
    fn collect_outputs(&mut self, index: u8) {
        let Some(entry) = self.clients.get_mut(usize::from(index)) else { return };
        let ClientState::Running { client, .. } = &mut entry.state else { return };
        while let Some(bytes) = client.poll_transmit() {
            self.outbox.push_back(TurnClientsOutput::Command(
                index,
                TurnTransportCommand::Send(bytes.into()),
            ));
        }
        let mut over = false;
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
                    debug!("no allocation over {:?}: {reason}", entry.server.transport);
                    over = true;
                }
                ClientEvent::PermissionRefused { code, .. } => {
                    debug!(?code, "the TURN server does not let a peer through");
                }
                ClientEvent::Expired => over = true,
            }
        }
        if over {
            entry.state = ClientState::Over;
            self.outbox.push_back(TurnClientsOutput::Gone(LocalBase::Allocation(index)));
            self.outbox.push_back(TurnClientsOutput::Command(index, TurnTransportCommand::Close));
        }
    }
}

impl Client {
    fn is_allocated(&self, transport: TurnTransport) -> bool {
        match &self.state {
            ClientState::Running { client, .. } => {
                self.server.transport == transport && client.relayed().is_some()
            }
            ClientState::Waiting(_) | ClientState::Opening | ClientState::Over => false,
        }
    }
}

/// Every `turn:` URI that can be used, with its credentials.
fn turn_servers(servers: &[IceServer]) -> impl Iterator<Item = (IceServerEndpoint, &str, &str)> {
    servers.iter().flat_map(|server| {
        let credentials = server.username.as_deref().zip(server.credential.as_deref());
        let turn = server.urls.iter().filter_map(|uri| IceServerEndpoint::parse(uri));
        let turn = turn.filter(|(scheme, _)| *scheme == Scheme::Turn);
        turn.filter_map(move |(_, at)| credentials.map(|(name, secret)| (at, name, secret)))
    })
}

/// UDP before TCP (RFC 8445 §5.1.2.1: the local preference orders candidates of one type).
fn preference(transport: TurnTransport, index: u8) -> u16 {
    let base = match transport {
        TurnTransport::Udp => 40_000,
        TurnTransport::Tcp => 20_000,
    };
    base - u16::from(index)
}

/// Reads whole frames from the stream; false when it can no longer be followed.
fn read_stream(
    now: Instant,
    client: &mut TurnClient,
    decoder: &mut StreamDecoder,
    bytes: &[u8],
    mut take: impl FnMut(SocketAddr, &[u8]),
) -> bool {
    if decoder.push(bytes).is_err() {
        return false;
    }
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => {
                if let Some((peer, range)) = client.handle_datagram(now, frame) {
                    take(peer, frame.get(range).unwrap_or_default());
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_over_tls_and_dtls_are_not_supported() {
        use TurnTransport::{Tcp, Udp};
        for (uri, expected) in [
            ("stun:example.org", Some((Scheme::Stun, "example.org", 3478, Udp))),
            ("turn:example.org:1?transport=udp", Some((Scheme::Turn, "example.org", 1, Udp))),
            ("turn:[2001:db8::1]?transport=tcp", Some((Scheme::Turn, "2001:db8::1", 3478, Tcp))),
            ("stuns:example.org", None),
            ("turns:example.org", None),
            ("turns:example.org?transport=udp", None),
            ("http://example.org", None),
        ] {
            let read = IceServerEndpoint::parse(uri);
            let read = read.as_ref().map(|(s, r)| (*s, r.host.as_str(), r.port, r.transport));
            assert_eq!(read, expected, "{uri}");
        }
    }
}
