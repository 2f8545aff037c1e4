//! Peers over TCP (RFC 6062), with real sockets on the loopback interface.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_turn_proto::StreamDecoder;
use porthole_turn_proto::stun::{
    Class, Message, MessageWriter, Method, TransactionId, attribute, long_term_key,
};
use porthole_turn_server::{BandwidthLimits, Config, Server};
use socket2::{Domain, Socket, Type};

/// Value of REQUESTED-TRANSPORT (RFC 6062 §6.2.2): IANA's protocol number and three reserved bytes.
const REQUESTED_TCP: u32 = 6 << 24;
const PATIENCE: Duration = Duration::from_secs(10);

fn server(tcp_relaying: bool) -> Result<(Server, SocketAddr)> {
    start(Config { tcp_relaying, ..Config::default() })
}

fn start(config: Config) -> Result<(Server, SocketAddr)> {
    let server = Server::start(Config {
        listen: vec![([127, 0, 0, 1], 0).into()],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        allow_peers: vec!["127.0.0.0/8".parse()?],
        // So that connections of one client belong to different workers.
        workers: 4,
        ..config
    })?;
    let addr = server.local_addrs()[0];
    Ok((server, addr))
}

/// A connection to the server, for messages or for data.
struct Client {
    stream: TcpStream,
    decoder: StreamDecoder,
    realm: String,
    nonce: String,
}

/// The error code of a message, 0 for a success, and its other attributes.
#[derive(Debug, Default)]
struct Response {
    code: u16,
    relayed: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    connection: Option<u32>,
}

impl Client {
    fn new(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let decoder = StreamDecoder::new();
        let mut client = Self { stream, decoder, realm: String::new(), nonce: String::new() };
        // The challenge brings realm and nonce.
        let code = client.request(Method::Allocate, |_| {})?.code;
        ensure!(code == 401, "{code} instead of a challenge");
        Ok(client)
    }

    /// Connects and makes a TCP allocation.
    fn allocated(server: SocketAddr) -> Result<(Self, SocketAddr)> {
        let mut client = Self::new(server)?;
        let response = client.request(Method::Allocate, |message| {
            message.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_TCP);
        })?;
        let relayed = response.relayed.with_context(|| format!("no allocation: {response:?}"))?;
        Ok((client, relayed))
    }

    fn permit(&mut self, peer: SocketAddr) -> Result<u16> {
        Ok(self
            .request(Method::CreatePermission, |message| {
                message.xor_address(attribute::XOR_PEER_ADDRESS, peer);
            })?
            .code)
    }

    fn connect(&mut self, peer: SocketAddr) -> Result<Response> {
        self.request(Method::Connect, |message| {
            message.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        })
    }

    /// Connects and binds a peer connection; sends `first` right after the request.
    fn bound(server: SocketAddr, connection: u32, first: &[u8]) -> Result<TcpStream> {
        let mut client = Self::new(server)?;
        let request = client.message(Method::ConnectionBind, |message| {
            message.u32(attribute::CONNECTION_ID, connection);
        });
        client.stream.write_all(&[&request, first].concat())?;
        // A success with only MESSAGE-INTEGRITY; the bytes after it are the peer's.
        let mut response = [0; 44];
        client.stream.read_exact(&mut response)?;
        let message = Message::parse(&response)?;
        ensure!(message.class() == Class::Success, "not bound: {:?}", message.error_code());
        Ok(client.stream)
    }

    fn message(&self, method: Method, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut message =
            MessageWriter::new(&mut bytes, Class::Request, method, TransactionId([7; 12]));
        fill(&mut message);
        if !self.nonce.is_empty() {
            message.attribute(attribute::USERNAME, b"anna");
            message.attribute(attribute::REALM, self.realm.as_bytes());
            message.attribute(attribute::NONCE, self.nonce.as_bytes());
            message.integrity(&long_term_key("anna", &self.realm, "secret"));
        }
        message.finish().expect("a short message");
        bytes
    }

    fn request(
        &mut self,
        method: Method,
        fill: impl FnOnce(&mut MessageWriter<'_>),
    ) -> Result<Response> {
        let request = self.message(method, fill);
        self.stream.write_all(&request)?;
        self.receive()
    }

    /// Waits for the next message.
    fn receive(&mut self) -> Result<Response> {
        let mut buffer = [0; 2000];
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                let message = Message::parse(frame)?;
                let text = |kind| message.text(kind).ok().flatten().map(str::to_owned);
                self.realm = text(attribute::REALM).unwrap_or(std::mem::take(&mut self.realm));
                self.nonce = text(attribute::NONCE).unwrap_or(std::mem::take(&mut self.nonce));
                return Ok(Response {
                    code: message.error_code().map_or(0, |code| code.value()),
                    relayed: message.xor_address(attribute::XOR_RELAYED_ADDRESS).ok().flatten(),
                    peer: message.xor_address(attribute::XOR_PEER_ADDRESS).ok().flatten(),
                    connection: message.u32(attribute::CONNECTION_ID).ok().flatten(),
                });
            }
            let n = self.stream.read(&mut buffer)?;
            ensure!(n > 0, "the server closed the connection");
            self.decoder.push(&buffer[..n])?;
        }
    }
}

fn read(stream: &mut TcpStream, len: usize) -> Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn rest(stream: &mut TcpStream) -> Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_client_connects_to_peers_and_nothing_sent_early_is_lost() -> Result<()> {
    let (_server, addr) = server(true)?;
    let (mut control, relayed) = Client::allocated(addr)?;
    // Enough that some data connections belong to another worker than the control connection.
    for round in 0..12 {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let peer = listener.local_addr()?;
        assert_eq!(control.permit(peer)?, 0);
        let connection = control.connect(peer)?.connection.context("no connection")?;
        let (mut peer, from) = listener.accept()?;
        assert_eq!(from, relayed);
        peer.write_all(b"before the client has bound")?;
        let mut data = Client::bound(addr, connection, b"right behind")?;
        assert_eq!(read(&mut data, 27)?, b"before the client has bound", "{round}");
        assert_eq!(read(&mut peer, 12)?, b"right behind", "{round}");
        // One end stops sending, the other continues.
        data.write_all(b"last")?;
        data.shutdown(Shutdown::Write)?;
        assert_eq!(rest(&mut peer)?, b"last");
        peer.write_all(b"reply")?;
        drop(peer);
        assert_eq!(rest(&mut data)?, b"reply");
    }
    Ok(())
}

#[test]
fn a_peer_can_connect_if_it_is_permitted() -> Result<()> {
    let (_server, addr) = server(true)?;
    let (mut control, relayed) = Client::allocated(addr)?;
    let mut unpermitted = TcpStream::connect(relayed)?;
    assert_eq!(rest(&mut unpermitted).unwrap_or_default(), b"");
    assert_eq!(control.permit(relayed)?, 0);
    for _ in 0..4 {
        let mut peer = TcpStream::connect(relayed)?;
        peer.write_all(b"hello")?;
        let attempt = control.receive()?;
        assert_eq!(attempt.peer, Some(peer.local_addr()?));
        let connection = attempt.connection.context("no connection")?;
        let mut data = Client::bound(addr, connection, b"")?;
        assert_eq!(read(&mut data, 5)?, b"hello");
        data.write_all(b"good day")?;
        assert_eq!(read(&mut peer, 8)?, b"good day");
    }
    Ok(())
}

#[test]
fn a_peer_that_reads_slowly_loses_nothing() -> Result<()> {
    let (_server, addr) = server(true)?;
    let (mut control, _) = Client::allocated(addr)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    assert_eq!(control.permit(listener.local_addr()?)?, 0);
    let connection = control.connect(listener.local_addr()?)?.connection.context("none")?;
    let (mut peer, _) = listener.accept()?;
    let mut data = Client::bound(addr, connection, b"")?;
    let sent: Vec<u8> = (0..=250).cycle().take(32 << 20).collect();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || data.write_all(&sent).map(|()| drop(data)));
    // The kernel's buffers hold less than that.
    std::thread::sleep(Duration::from_millis(200));
    assert!(!writer.is_finished(), "all of it was buffered");
    assert!(rest(&mut peer)? == expected);
    writer.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    Ok(())
}

#[test]
fn impossible_connections_are_refused_and_all_end_with_the_allocation() -> Result<()> {
    let (_server, addr) = server(true)?;
    let (mut control, _) = Client::allocated(addr)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let peer_addr = listener.local_addr()?;
    assert_eq!(control.permit(peer_addr)?, 0);
    let connection = control.connect(peer_addr)?.connection.context("none")?;
    let mut peer = listener.accept()?.0;
    assert_eq!(control.connect(peer_addr)?.code, 446, "a connection to this peer exists");
    // The port is reserved, and no program listens.
    let unused = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    unused.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let at = unused.local_addr()?.as_socket().context("an address")?;
    assert_eq!(control.connect(at)?.code, 447, "no program listens");
    assert!(
        Client::bound(addr, connection ^ 0x100, b"").is_err(),
        "a connection of another allocation"
    );
    let mut data = Client::bound(addr, connection, b"")?;
    drop(control);
    assert_eq!(rest(&mut data).unwrap_or_default(), b"");
    assert_eq!(rest(&mut peer).unwrap_or_default(), b"");

    let (_server, addr) = server(false)?;
    let refused = Client::allocated(addr).err().context("the allocation was made")?.to_string();
    assert!(refused.contains("442"), "{refused}");
    Ok(())
}

#[test]
fn bytes_are_counted_and_limited_in_bandwidth() -> Result<()> {
    const RATE: u64 = 200_000;
    // The first second's worth is relayed at once; this is one more.
    const LEN: u64 = 2 * RATE;
    let bandwidth = BandwidthLimits { per_allocation: NonZeroU64::new(RATE), per_user: None };
    let (server, addr) = start(Config { bandwidth, ..Config::default() })?;
    let (mut control, _) = Client::allocated(addr)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    assert_eq!(control.permit(listener.local_addr()?)?, 0);
    let connection = control.connect(listener.local_addr()?)?.connection.context("none")?;
    let (mut peer, _) = listener.accept()?;
    let mut data = Client::bound(addr, connection, b"")?;
    let sent: Vec<u8> = (0..=250).cycle().take(usize::try_from(LEN)?).collect();
    let expected = sent.clone();
    let began = Instant::now();
    let writer = std::thread::spawn(move || data.write_all(&sent).map(|()| data));
    assert!(read(&mut peer, expected.len())? == expected);
    let took = began.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?} for {LEN} bytes");
    let mut data = writer.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    peer.write_all(b"thanks")?;
    assert_eq!(read(&mut data, 6)?, b"thanks");
    let deadline = Instant::now() + PATIENCE;
    let counted = || {
        let counters = server.stats().counters;
        (counters.to_peers().bytes, counters.to_clients().bytes)
    };
    while counted() != (LEN, 6) {
        ensure!(Instant::now() < deadline, "{:?} are counted", counted());
        std::thread::sleep(Duration::from_millis(10));
    }
    let session = &server.sessions(None, 1)?[0];
    assert_eq!((session.info.to_peer.bytes, session.info.to_client.bytes), (LEN, 6));
    Ok(())
}
