//! What happens to TCP relaying (RFC 6062) when no socket can be opened any more. Alone in its
//! process: it changes a limit.
#![cfg(unix)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{Resource, setrlimit};
use porthole_turn_proto::StreamDecoder;
use porthole_turn_proto::stun::{
    Class, Message, MessageWriter, Method, TransactionId, attribute, long_term_key,
};
use porthole_turn_server::{Config, Server};

/// What the test's own files and those of the server take is less.
const OPEN_FILES: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(10);
const REALM: &str = "porthole";
/// REQUESTED-TRANSPORT: IANA's number of the protocol, and three bytes reserved.
const REQUESTED_TCP: u32 = 6 << 24;

/// A control connection.
struct Client {
    stream: TcpStream,
    decoder: StreamDecoder,
    nonce: String,
}

impl Client {
    /// With a nonce.
    fn new(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, decoder: StreamDecoder::new(), nonce: String::new() };
        ensure!(client.allocate()? == 401, "no challenge");
        Ok(client)
    }

    fn allocate(&mut self) -> Result<u16> {
        self.ask(Method::Allocate, |message| {
            message.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_TCP);
        })
    }

    fn permit(&mut self, peer: SocketAddr) -> Result<u16> {
        self.ask(Method::CreatePermission, |message| {
            message.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        })
    }

    fn connect(&mut self, peer: SocketAddr) -> Result<u16> {
        self.ask(Method::Connect, |message| {
            message.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        })
    }

    /// The code of the answer, 0 for a success.
    fn ask(&mut self, method: Method, fill: impl Fn(&mut MessageWriter<'_>)) -> Result<u16> {
        let mut bytes = Vec::new();
        let id = TransactionId([3; 12]);
        let mut message = MessageWriter::new(&mut bytes, Class::Request, method, id);
        fill(&mut message);
        if !self.nonce.is_empty() {
            message.attribute(attribute::USERNAME, b"anna");
            message.attribute(attribute::REALM, REALM.as_bytes());
            message.attribute(attribute::NONCE, self.nonce.as_bytes());
            message.integrity(&long_term_key("anna", REALM, "secret"));
        }
        message.finish()?;
        self.stream.write_all(&bytes)?;
        let mut buffer = [0; 1500];
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                let answer = Message::parse(frame)?;
                if let Some(nonce) = answer.text(attribute::NONCE)? {
                    self.nonce = nonce.to_owned();
                }
                return Ok(answer.error_code().map_or(0, |code| code.value()));
            }
            let n = self.stream.read(&mut buffer).context("no answer")?;
            ensure!(n > 0, "the server closed the connection");
            self.decoder.push(&buffer[..n])?;
        }
    }
}

/// Every file that is left.
fn exhaust() -> Vec<UdpSocket> {
    std::iter::from_fn(|| UdpSocket::bind("127.0.0.1:0").ok()).collect()
}

#[test]
fn without_open_files_tcp_relaying_is_refused_and_nothing_else_suffers() -> Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
    let server = Server::start(Config {
        listen: vec!["127.0.0.1:0".parse()?],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        allow_peers: vec!["127.0.0.0/8".parse()?],
        workers: 1,
        ..Config::default()
    })?;
    let listen = server.local_addrs()[0];
    let peers = TcpListener::bind("127.0.0.1:0")?;
    let peer = peers.local_addr()?;
    let mut first = Client::new(listen)?;
    assert_eq!((first.allocate()?, first.permit(peer)?), (0, 0));
    let mut second = Client::new(listen)?;
    let taken = exhaust();
    for (what, code, want) in [
        ("an allocation needs a file", second.allocate()?, 508),
        ("and so does a connection to a peer", first.connect(peer)?, 447),
        ("the living allocation stays", first.permit(peer)?, 0),
        ("and so does the other client", second.allocate()?, 508),
    ] {
        assert_eq!(code, want, "{what}");
    }
    assert_eq!(server.stats().allocations, 1);
    drop(taken);
    assert_eq!((second.allocate()?, first.connect(peer)?), (0, 0), "and the server recovers");
    assert!(peers.accept().is_ok());
    Ok(())
}
