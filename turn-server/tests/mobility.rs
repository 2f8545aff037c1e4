//! Mobility (RFC 8016) with several workers: a client that has moved keeps its allocation,
//! whichever worker the kernel gives its packets to.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::wait;
use porthole_turn_proto::StreamDecoder;
use porthole_turn_proto::stun::{
    Class, Message, MessageWriter, Method, TransactionId, attribute, long_term_key,
};
use porthole_turn_server::{Config, Server};

const PATIENCE: Duration = Duration::from_secs(10);
const REALM: &str = "porthole";
/// Value of REQUESTED-TRANSPORT: IANA's protocol number and three reserved bytes.
const REQUESTED_UDP: u32 = 17 << 24;
const CHANNEL: u16 = 0x4000;
/// Number of client addresses: enough that no worker serves all of them.
const ENDPOINTS: usize = 32;

fn start() -> Result<(Server, SocketAddr)> {
    let server = Server::start(Config {
        listen: vec!["127.0.0.1:0".parse()?],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        allow_peers: vec!["127.0.0.0/8".parse()?],
        mobility: true,
        workers: 3,
        ..Config::default()
    })?;
    let addr = server.local_addrs()[0];
    Ok((server, addr))
}

/// An address that a client can use, with its nonce there.
struct Endpoint {
    link: Link,
    nonce: String,
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream, StreamDecoder),
}

impl Endpoint {
    fn udp(server: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { link: Link::Udp(socket), nonce: String::new() })
    }

    fn tcp(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { link: Link::Tcp(stream, StreamDecoder::new()), nonce: String::new() })
    }

    fn address(&self) -> Result<SocketAddr> {
        Ok(match &self.link {
            Link::Udp(socket) => socket.local_addr()?,
            Link::Tcp(stream, _) => stream.local_addr()?,
        })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.link {
            Link::Udp(socket) => socket.send(bytes).map(drop)?,
            Link::Tcp(stream, _) => {
                stream.write_all(bytes)?;
                stream.write_all(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()])?;
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let mut buffer = [0; 1500];
        match &mut self.link {
            Link::Udp(socket) => {
                let n = socket.recv(&mut buffer).context("no datagram")?;
                Ok(buffer[..n].to_vec())
            }
            Link::Tcp(stream, decoder) => loop {
                if let Some(frame) = decoder.next_frame()? {
                    return Ok(frame.to_vec());
                }
                let n = stream.read(&mut buffer).context("no frame")?;
                ensure!(n > 0, "the connection is closed");
                decoder.push(&buffer[..n])?;
            },
        }
    }

    /// Sends a request and returns the response, also if it is an error.
    fn request(
        &mut self,
        method: Method,
        fill: impl Fn(&mut MessageWriter<'_>),
    ) -> Result<Vec<u8>> {
        for _ in 0..2 {
            let mut bytes = Vec::new();
            let id = TransactionId([7; 12]);
            let mut writer = MessageWriter::new(&mut bytes, Class::Request, method, id);
            fill(&mut writer);
            if !self.nonce.is_empty() {
                writer.attribute(attribute::USERNAME, b"anna");
                writer.attribute(attribute::REALM, REALM.as_bytes());
                writer.attribute(attribute::NONCE, self.nonce.as_bytes());
                writer.integrity(&long_term_key("anna", REALM, "secret"));
            }
            writer.finish()?;
            self.send(&bytes)?;
            let response = self.receive()?;
            let message = Message::parse(&response)?;
            match message.text(attribute::NONCE)? {
                Some(nonce) if self.nonce.is_empty() => self.nonce = nonce.to_owned(),
                _ => return Ok(response),
            }
        }
        anyhow::bail!("nonces are stale at once")
    }

    /// Sends a request that must succeed; returns the ticket and the relayed address in the
    /// response.
    fn ticket(
        &mut self,
        method: Method,
        fill: impl Fn(&mut MessageWriter<'_>),
    ) -> Result<(Vec<u8>, Option<SocketAddr>)> {
        let response = self.request(method, fill)?;
        let message = Message::parse(&response)?;
        ensure!(message.class() == Class::Success, "{method:?}: {:?}", message.error_code());
        let ticket = message.first(attribute::MOBILITY_TICKET).context("no ticket")?;
        let relayed = message.xor_address(attribute::XOR_RELAYED_ADDRESS)?;
        Ok((ticket.value.to_vec(), relayed))
    }

    fn allocate(&mut self) -> Result<(Vec<u8>, SocketAddr)> {
        let (ticket, relayed) = self.ticket(Method::Allocate, |writer| {
            writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
            writer.attribute(attribute::MOBILITY_TICKET, &[]);
        })?;
        Ok((ticket, relayed.context("no relayed address")?))
    }

    fn resume(&mut self, ticket: &[u8]) -> Result<Vec<u8>> {
        let refresh = |writer: &mut MessageWriter<'_>| {
            writer.attribute(attribute::MOBILITY_TICKET, ticket);
        };
        Ok(self.ticket(Method::Refresh, refresh)?.0)
    }

    fn release(&mut self) -> Result<()> {
        self.request(Method::Refresh, |writer| {
            writer.u32(attribute::LIFETIME, 0);
        })?;
        Ok(())
    }

    /// Sends a payload in both directions of the channel.
    fn exchange(&mut self, peer: &UdpSocket, relayed: SocketAddr, payload: u8) -> Result<()> {
        let header = porthole_turn_proto::channel::channel_header(
            porthole_turn_proto::channel::ChannelNumber::new(CHANNEL).context("a channel")?,
            4,
        );
        let data = [&header.context("a header")?[..], &[payload; 4]].concat();
        self.send(&data)?;
        let mut buffer = [0; 100];
        let (n, from) = peer.recv_from(&mut buffer).context("nothing arrives at the peer")?;
        ensure!((&buffer[..n], from) == (&[payload; 4][..], relayed));
        peer.send_to(&[payload; 4], relayed)?;
        ensure!(self.receive()? == data, "something else arrives at the client");
        Ok(())
    }
}

fn until(what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
    wait::until(what, PATIENCE, || Ok(done()?.then_some(())))
}

#[test]
fn a_client_keeps_its_allocation_whichever_worker_receives_its_packets() -> Result<()> {
    let (server, listen) = start()?;
    // The worker that makes an allocation is the one that serves this client address.
    let mut workers = HashMap::new();
    let mut endpoints = Vec::new();
    for _ in 0..ENDPOINTS {
        let mut endpoint = Endpoint::udp(listen)?;
        endpoint.allocate()?;
        endpoints.push(endpoint);
    }
    for session in server.sessions(None, ENDPOINTS)? {
        let id = session.id.to_string();
        let worker = id.split('-').next().context("a worker")?.to_owned();
        workers.insert(session.info.client.client, worker);
    }
    for endpoint in &mut endpoints {
        endpoint.release()?;
    }
    until("all are released", || Ok(server.stats().allocations == 0))?;
    let count = workers.values().collect::<HashSet<_>>().len();
    ensure!(count > 1, "one worker serves all: {workers:?}");

    let peer = UdpSocket::bind("127.0.0.1:0")?;
    peer.set_read_timeout(Some(PATIENCE))?;
    let mut home = Endpoint::udp(listen)?;
    let (mut ticket, relayed) = home.allocate()?;
    let bound = home.request(Method::ChannelBind, |writer| {
        writer.u32(attribute::CHANNEL_NUMBER, u32::from(CHANNEL) << 16);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer.local_addr().expect("an address"));
    })?;
    ensure!(Message::parse(&bound)?.class() == Class::Success);
    home.exchange(&peer, relayed, 1)?;
    // Twice around: to each endpoint from another one, and back to earlier ones.
    for (index, turn) in (0..2).flat_map(|turn| (0..ENDPOINTS).map(move |i| (i, turn))) {
        let endpoint = &mut endpoints[index];
        let what = format!("{:?}, turn {turn}", workers[&endpoint.address()?]);
        ticket = endpoint.resume(&ticket).context(what.clone())?;
        for payload in 2..5 {
            endpoint.exchange(&peer, relayed, payload).context(what.clone())?;
        }
    }
    // Over TCP the connection is handed over to the worker. Then back to UDP.
    for endpoint in endpoints.iter_mut().take(8) {
        let mut stream = Endpoint::tcp(listen)?;
        ticket = stream.resume(&ticket).context("over TCP")?;
        stream.exchange(&peer, relayed, 7).context("over TCP")?;
        ticket = endpoint.resume(&ticket).context("back")?;
        drop(stream);
        endpoint.exchange(&peer, relayed, 8).context("back")?;
    }
    ensure!(server.stats().allocations == 1);
    endpoints[7].release()?;
    until("it is released", || Ok(server.stats().allocations == 0))?;

    // The addresses are free again: new allocations from them are served.
    for endpoint in &mut endpoints {
        endpoint.allocate()?;
        endpoint.release()?;
    }
    Ok(())
}
