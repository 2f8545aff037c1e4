//! TCP relaying (RFC 6062) when no more files can be opened. A test binary of its own, because it
//! changes a limit of the process.
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

/// Limit of open files: more than the test and the server need themselves.
const OPEN_FILES: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(10);
const REALM: &str = "porthole";
/// Value of REQUESTED-TRANSPORT: IANA's protocol number and three reserved bytes.
const REQUESTED_TCP: u32 = 6 << 24;

/// A control connection.
struct Client {
    stream: TcpStream,
    decoder: StreamDecoder,
    nonce: String,
}

impl Client {
    /// Connects and gets a nonce.
    fn new(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, decoder: StreamDecoder::new(), nonce: String::new() };
        ensure!(client.allocate()? == 401, "no challenge");
        Ok(client)
    }

    fn allocate(&mut self) -> Result<u16> {
        self.request(Method::Allocate, |message| {
            message.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_TCP);
        })
    }

    fn permit(&mut self, peer: SocketAddr) -> Result<u16> {
        self.request(Method::CreatePermission, |message| {
            message.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        })
    }

    fn connect(&mut self, peer: SocketAddr) -> Result<u16> {
        self.request(Method::Connect, |message| {
            message.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        })
    }

    /// Sends a request and returns the error code of the response, 0 for a success.
    fn request(&mut self, method: Method, fill: impl Fn(&mut MessageWriter<'_>)) -> Result<u16> {
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
                let response = Message::parse(frame)?;
                if let Some(nonce) = response.text(attribute::NONCE)? {
                    self.nonce = nonce.to_owned();
                }
                return Ok(response.error_code().map_or(0, |code| code.value()));
            }
            let n = self.stream.read(&mut buffer).context("no response")?;
            ensure!(n > 0, "the server closed the connection");
            self.decoder.push(&buffer[..n])?;
        }
    }
}

/// Opens files until no more can be opened.
fn exhaust() -> Vec<UdpSocket> {
    std::iter::from_fn(|| UdpSocket::bind("127.0.0.1:0").ok()).collect()
}

#[test]
fn without_open_files_tcp_relaying_is_refused_and_nothing_else_is_affected() -> Result<()> {
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
        ("the existing allocation stays", first.permit(peer)?, 0),
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
