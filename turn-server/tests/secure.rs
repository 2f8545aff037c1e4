//! Clients over TLS and DTLS, and a server with real sockets on the loopback interface.

mod trusting;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use porthole_test_support::turn_client::{Link, TestTurnClient, is_timeout};
use porthole_test_support::wait;
use porthole_turn_proto::{ClientConfig, StreamDecoder, Transport};
use porthole_turn_server::{Config, Server, StartError, TlsFiles};
use rcgen::{CertificateParams, KeyPair};
use rtc_dtls::config::ConfigBuilder;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rustls::{ClientConnection, StreamOwned};

const PATIENCE: Duration = Duration::from_secs(10);
/// Read timeout, after which a client handles its timers.
const ROUND: Duration = Duration::from_millis(5);

/// Writes a new certificate; returns its files and its DER.
fn renew(folder: &Path) -> Result<(TlsFiles, Vec<u8>)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["turn.example".to_owned()])?.self_signed(&key)?;
    let files = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, certificate.pem())?;
    std::fs::write(&files.key, key.serialize_pem())?;
    Ok((files, certificate.der().to_vec()))
}

fn config(files: TlsFiles) -> Config {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    Config {
        listen: vec![any],
        listen_tls: vec![any],
        listen_dtls: vec![any],
        tls: Some(files),
        users: vec![("anna".to_owned(), "secret".to_owned())],
        allow_peers: vec!["127.0.0.0/8".parse().expect("a block")],
        workers: 2,
        ..Config::default()
    }
}

/// A connection to the server over TLS or DTLS.
enum SecureLink {
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>, StreamDecoder),
    Dtls(Endpoint, UdpSocket, SocketAddr),
}

fn tls(server: SocketAddr, alpn: &[&str]) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let connection = trusting::client(rustls::ALL_VERSIONS, alpn)?;
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    stream.sock.set_read_timeout(Some(ROUND))?;
    Ok(stream)
}

fn dtls(server: SocketAddr) -> Result<(Endpoint, UdpSocket)> {
    let socket = UdpSocket::bind((server.ip(), 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(ROUND))?;
    let config = ConfigBuilder::default()
        .with_crypto_provider(rtc_crypto::default_provider()?)
        .with_insecure_skip_verify(true)
        .build(true, None)?;
    let mut endpoint = Endpoint::new(socket.local_addr()?, Default::default(), None);
    endpoint.connect(Instant::now(), server, Arc::new(config), None)?;
    Ok((endpoint, socket))
}

impl SecureLink {
    fn tls(server: SocketAddr) -> Result<Self> {
        Ok(Self::Tls(Box::new(tls(server, &["stun.turn"])?), StreamDecoder::new()))
    }

    fn dtls(server: SocketAddr) -> Result<Self> {
        let (endpoint, socket) = dtls(server)?;
        let mut link = Self::Dtls(endpoint, socket, server);
        let deadline = Instant::now() + PATIENCE;
        while !link.read()?.1 {
            ensure!(Instant::now() < deadline, "no handshake");
        }
        Ok(link)
    }

    /// Reads messages. The second value is true if a handshake has just succeeded.
    fn read(&mut self) -> Result<(Vec<Vec<u8>>, bool)> {
        let mut buffer = [0; 65_536];
        let (mut messages, mut ready) = (Vec::new(), false);
        match self {
            Self::Tls(stream, decoder) => {
                match stream.read(&mut buffer) {
                    Ok(0) => bail!("the server closed the connection"),
                    Ok(n) => decoder.push(&buffer[..n])?,
                    Err(error) if is_timeout(&error) => {}
                    Err(error) => return Err(error.into()),
                }
                while let Some(frame) = decoder.next_frame()? {
                    messages.push(frame.to_vec());
                }
            }
            Self::Dtls(endpoint, socket, server) => {
                flush(endpoint, socket)?;
                match socket.recv(&mut buffer) {
                    Ok(n) => {
                        let datagram = BytesMut::from(&buffer[..n]);
                        for event in endpoint.read(Instant::now(), *server, None, datagram)? {
                            match event {
                                EndpointEvent::HandshakeComplete => ready = true,
                                EndpointEvent::ApplicationData(m) => messages.push(m.to_vec()),
                                EndpointEvent::PeerClosed | _ => {
                                    bail!("the server closed the association")
                                }
                            }
                        }
                    }
                    Err(error) if is_timeout(&error) => {
                        endpoint.handle_timeout(*server, Instant::now())?;
                    }
                    Err(error) => return Err(error.into()),
                }
                flush(endpoint, socket)?;
            }
        }
        Ok((messages, ready))
    }
}

fn flush(endpoint: &mut Endpoint, socket: &UdpSocket) -> Result<()> {
    while let Some(transmit) = endpoint.poll_transmit() {
        socket.send(&transmit.message)?;
    }
    Ok(())
}

impl Link for SecureLink {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            Self::Tls(stream, _) => Ok(stream.write_all(message)?),
            Self::Dtls(endpoint, socket, server) => {
                endpoint.write(Instant::now(), *server, message)?;
                flush(endpoint, socket)
            }
        }
    }

    fn receive(&mut self) -> Result<Vec<Vec<u8>>> {
        Ok(self.read()?.0)
    }
}

type Client = TestTurnClient<SecureLink>;

fn turn_client(link: SecureLink) -> Client {
    let transport = match link {
        SecureLink::Tls(..) => Transport::Tls,
        SecureLink::Dtls(..) => Transport::Dtls,
    };
    let config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), transport);
    TestTurnClient::new(link, config)
}

/// Sends a payload to a peer and back, by indications and by a channel. All peers have one address.
fn echo(client: &mut Client, relayed: SocketAddr, len: usize) -> Result<()> {
    let socket = UdpSocket::bind((relayed.ip(), 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let peer = socket.local_addr()?;
    let payload: Vec<u8> = (0..=255).cycle().take(len).collect();
    for bound in [false, true] {
        if bound {
            client.bind(peer)?;
        } else {
            client.permit(peer.ip())?;
        }
        client.send(peer, &payload)?;
        let mut buffer = [0; 65_536];
        let (n, from) = socket.recv_from(&mut buffer).context("at the peer")?;
        ensure!((from, &buffer[..n]) == (relayed, &payload[..]), "something else at the peer");
        socket.send_to(&payload, relayed)?;
        let returned = client.receive().context("at the client")?;
        ensure!(returned == (peer, payload.clone()), "something else came back");
    }
    Ok(())
}

/// Returns the certificate that the server sent.
fn server_certificate(stream: &StreamOwned<ClientConnection, TcpStream>) -> Option<Vec<u8>> {
    Some(stream.conn.peer_certificates()?.first()?.to_vec())
}

/// Waits for a condition on the stats, which a worker publishes after each round.
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    wait::until(what, PATIENCE, || Ok(holds().then_some(())))
}

#[test]
fn data_goes_both_ways_over_tls_and_dtls_and_over_tls_at_the_plain_port() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(config(renew(folder.path())?.0))?;
    for (what, link) in [
        ("TLS", SecureLink::tls(server.tls_addrs()[0])?),
        ("TLS at the plain port", SecureLink::tls(server.local_addrs()[0])?),
        ("DTLS", SecureLink::dtls(server.dtls_addrs()[0])?),
    ] {
        let mut client = turn_client(link);
        let relayed = client.allocate().context(what)?;
        for len in [0, 1, 3, 1200, 9000] {
            echo(&mut client, relayed, len).with_context(|| format!("{what}, {len} bytes"))?;
        }
        drop(client);
    }
    wait_for("the end of the allocations over TLS", || server.stats().allocations == 1)
}

#[test]
fn a_new_certificate_is_used_for_new_clients_and_a_bad_one_for_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (files, first) = renew(folder.path())?;
    let server = Server::start(config(files.clone()))?;
    let mut old = [
        turn_client(SecureLink::tls(server.tls_addrs()[0])?),
        turn_client(SecureLink::dtls(server.dtls_addrs()[0])?),
    ];
    let relayed = old.each_mut().map(Client::allocate);

    std::fs::write(&files.key, "no key")?;
    ensure!(server.reload_certificate().is_err(), "a bad key was accepted");
    assert_eq!(server_certificate(&tls(server.tls_addrs()[0], &[])?), Some(first));

    let (_, second) = renew(folder.path())?;
    ensure!(server.reload_certificate()?, "the new certificate was not found");
    assert_eq!(server_certificate(&tls(server.tls_addrs()[0], &[])?), Some(second.clone()));
    let SecureLink::Dtls(endpoint, ..) = SecureLink::dtls(server.dtls_addrs()[0])? else {
        bail!("not DTLS")
    };
    let state = endpoint.get_connection_state(server.dtls_addrs()[0]).context("no state")?;
    assert_eq!(state.peer_certificates, [second]);

    for (client, relayed) in old.iter_mut().zip(relayed) {
        echo(client, relayed?, 100)?;
    }
    Ok(())
}

#[test]
fn a_client_that_offers_only_other_protocols_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(config(renew(folder.path())?.0))?;
    for (alpn, served) in
        [(&["stun.turn"][..], true), (&["stun.nat-discovery"], true), (&[], true), (&["h2"], false)]
    {
        assert_eq!(tls(server.tls_addrs()[0], alpn).is_ok(), served, "{alpn:?}");
    }
    Ok(())
}

#[test]
fn garbage_ends_its_own_connection_only() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(config(renew(folder.path())?.0))?;
    let mut client = turn_client(SecureLink::tls(server.tls_addrs()[0])?);
    let relayed = client.allocate()?;
    for addr in [server.tls_addrs()[0], server.local_addrs()[0]] {
        for garbage in [&[200; 20][..], &[22, 3, 1, 255, 255, 0, 0, 0], &[22; 100]] {
            let mut stream = TcpStream::connect(addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(garbage)?;
            // Possibly an alert, then the end.
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest);
            ensure!(end.is_ok() || !is_timeout(&end.unwrap_err()), "{addr}: {garbage:?}");
        }
    }
    echo(&mut client, relayed, 100)
}

#[test]
fn ten_thousand_forged_hellos_leave_no_state_and_do_not_affect_a_client() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(config(renew(folder.path())?.0))?;
    let dtls_addr = server.dtls_addrs()[0];
    let mut client = turn_client(SecureLink::dtls(dtls_addr)?);
    let relayed = client.allocate()?;
    let hello = dtls(dtls_addr)?.0.poll_transmit().context("no hello")?.message;
    for batch in 0..100_u8 {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 1, 1, batch], 0)))?;
        for _ in 0..100 {
            socket.send_to(&hello, dtls_addr)?;
        }
    }
    echo(&mut client, relayed, 100)?;
    wait_for("one association", || server.stats().dtls_associations == 1)
}

#[test]
fn the_oldest_of_too_many_handshakes_is_dropped_and_no_client_locked_out() -> Result<()> {
    /// Most handshakes of a worker (`MAX_HANDSHAKES`).
    const HANDSHAKES: usize = 512;
    const MORE: usize = 20;
    let folder = tempfile::tempdir()?;
    let server = Server::start(Config { workers: 1, ..config(renew(folder.path())?.0) })?;
    let addr = server.tls_addrs()[0];
    let mut client = turn_client(SecureLink::tls(addr)?);
    let relayed = client.allocate()?;
    // They connect and send only the first byte of TLS.
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES + MORE {
        let mut stream = TcpStream::connect(addr)?;
        stream.write_all(&[22])?;
        stream.set_nonblocking(true)?;
        silent.push(stream);
    }
    // The finished connection stays, and a new one succeeds.
    let mut late = turn_client(SecureLink::tls(addr)?);
    late.allocate()?;
    let connections = u64::try_from(HANDSHAKES + 2)?;
    wait_for("the oldest to be closed", || server.stats().tcp_connections <= connections)?;
    let is_closed = |stream: &mut TcpStream| match stream.read(&mut [0; 100]) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    let deadline = Instant::now() + PATIENCE;
    while !silent.iter_mut().take(MORE).all(is_closed) {
        ensure!(Instant::now() < deadline, "the oldest are still open");
        std::thread::sleep(ROUND);
    }
    let closed = silent.iter_mut().filter_map(|stream| is_closed(stream).then_some(())).count();
    // The late client evicted one more, and may itself have been counted as a handshake.
    assert!((MORE..=MORE + 2).contains(&closed), "{closed} of {} are closed", silent.len());
    echo(&mut client, relayed, 100)
}

#[test]
fn an_unusable_certificate_is_an_error_at_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (files, _) = renew(folder.path())?;
    let nowhere = TlsFiles { key: folder.path().join("missing"), ..files.clone() };
    let start = |config| Server::start(config).err().context("the server started");
    assert!(matches!(
        start(Config { tls: None, ..config(files.clone()) })?,
        StartError::NoCertificate
    ));
    assert!(matches!(start(config(nowhere))?, StartError::Certificate(_)));
    let twice = vec!["127.0.0.1:5349".parse()?];
    let twice = Config { listen: twice.clone(), listen_dtls: twice, ..config(files) };
    assert!(matches!(start(twice)?, StartError::PortConflict { .. }));
    Ok(())
}
