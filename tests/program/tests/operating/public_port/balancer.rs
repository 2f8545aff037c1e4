//! Connections that a load balancer passes on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use porthole_test_support::http;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_turn_proto::{ClientConfig, ClientEvent, StreamDecoder, Transport, TurnClient};

use super::Port;
use super::client::{Stream, connect, connect_after, request};

const DEADLINE: Duration = Duration::from_secs(20);
/// The token of the admin API.
const TOKEN: &str = "a-token-of-the-admin-api";
/// Most connections of one address before it has shown a credential.
const PER_ADDRESS: usize = 512;

/// Returns the header for a client of IPv4, in version 1.
fn line(client: SocketAddr) -> Vec<u8> {
    format!("PROXY TCP4 {} 10.0.0.1 {} 443\r\n", client.ip(), client.port()).into_bytes()
}

/// Makes an allocation, which lasts as long as the connection.
fn allocate(stream: &mut Stream) -> Result<()> {
    let config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), Transport::Tls);
    let mut turn = TurnClient::new(config, Instant::now());
    let mut decoder = StreamDecoder::new();
    let mut buffer = [0; 2048];
    loop {
        turn.handle_timeout(Instant::now());
        while let Some(bytes) = turn.poll_transmit() {
            stream.write_all(&bytes)?;
        }
        match turn.poll_event() {
            Some(ClientEvent::Allocated { .. }) => return Ok(()),
            Some(other) => bail!("{other:?}"),
            None => {}
        }
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the server has closed the connection");
        decoder.push(&buffer[..read])?;
        while let Some(frame) = decoder.next_frame()? {
            turn.handle_datagram(Instant::now(), frame);
        }
    }
}

/// Starts haproxy, which passes connections on to a server with this option.
fn haproxy(scene: &Scene, server: SocketAddr, option: &str) -> Result<(Program, SocketAddr)> {
    let at = free_port()?;
    let file = scene.folder().join(format!("{option}.cfg"));
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen porthole\n bind {at}\n server porthole {server} {option}\n"
    );
    std::fs::write(&file, config)?;
    let mut command = Place::Here.command("haproxy");
    let mut program = Program::start(scene, option, command.arg("-db").arg("-f").arg(&file))?;
    program.wait_for("haproxy listens", DEADLINE, |_| Ok(TcpStream::connect(at).ok()))?;
    Ok((program, at))
}

#[test]
fn haproxy_passes_clients_on_with_their_addresses() {
    let name = "haproxy_passes_clients_on_with_their_addresses";
    let needs = [Need::Program, Need::Tool("openssl"), Need::Tool("haproxy")];
    scene(name, &needs, |scene| {
        let admin = free_port()?;
        let turn = format!("admin = '{admin}'\nadmin_token = '{TOKEN}'");
        let lines = ("proxy_protocol = ['127.0.0.0/8']", &*turn);
        let port = Port::start_with(scene, "behind", free_port()?, lines)?;
        for option in ["send-proxy", "send-proxy-v2"] {
            let (_haproxy, at) = haproxy(scene, port.address, option)?;
            let mut web = connect(at, "localhost", &port.authority, &["http/1.1"])?;
            let (status, response) = request(&mut web, "GET /healthz HTTP/1.1", "")?;
            ensure!(status == 200, "{option}: {response}");
            let mut turn = connect(at, "localhost", &port.authority, &["stun.turn"])?;
            allocate(&mut turn)?;
            let client = turn.sock.local_addr()?.to_string();
            let sessions = format!("http://{admin}/sessions");
            let sessions = http::get(Place::Here, &sessions, Some(TOKEN))?.body;
            ensure!(sessions.contains(&client), "{option}: no {client} in {sessions}");
        }
        Ok(())
    });
}

#[test]
fn a_load_balancer_tells_whose_connection_it_is_and_nobody_else_may() {
    let name = "a_load_balancer_tells_whose_connection_it_is_and_nobody_else_may";
    scene(name, &[Need::Program, Need::Tool("openssl")], |scene| {
        let admin = free_port()?;
        let turn = format!("admin = '{admin}'\nadmin_token = '{TOKEN}'");
        let lines = ("proxy_protocol = ['127.0.0.0/8']", &*turn);
        let port = Port::start_with(scene, "behind", free_port()?, lines)?;
        let connect = |preface: &[u8], protocols: &[&str]| {
            connect_after(preface, port.address, "localhost", &port.authority, protocols)
        };
        let client: SocketAddr = ([203, 0, 113, 9], 4242).into();

        // Signaling counts the attempts of the client.
        let head = "POST /api/v1/session HTTP/1.1\r\nContent-Type: application/json";
        let body = r#"{"name":"ada","password":"wrong"}"#;
        let (status, refusal) = request(&mut connect(&line(client), &["http/1.1"])?, head, body)?;
        ensure!(status == 401, "{refusal}");
        let audit = port.server.command(&["audit"])?;
        ensure!(audit.contains("203.0.113.9"), "{audit}");

        // TURN knows the client, too, in version 2.
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend([203, 0, 113, 9, 10, 0, 0, 1, 0x10, 0x92, 1, 187]);
        let mut turn = connect(&header, &["stun.turn"])?;
        allocate(&mut turn)?;
        let sessions = format!("http://{admin}/sessions");
        let sessions = http::get(Place::Here, &sessions, Some(TOKEN))?.body;
        ensure!(sessions.contains("203.0.113.9:4242"), "{sessions}");

        // One client cannot take the places of another.
        let other = ([198, 51, 100, 7], 4243).into();
        let mut waiting = connect(&line(other), &["http/1.1"])?;
        let mut crowd = Vec::new();
        for _ in 0..=PER_ADDRESS {
            crowd.push(connect(&line(client), &["http/1.1"])?);
        }
        let mut rest = Vec::new();
        let oldest = crowd.first_mut().map(|stream| stream.read_to_end(&mut rest));
        ensure!(oldest.is_some_and(|read| !matches!(read, Ok(1..))), "the oldest has gone");
        let (status, response) = request(&mut waiting, "GET /healthz HTTP/1.1", "")?;
        ensure!(status == 200, "{response}");

        for (what, preface) in [
            ("no header", &b""[..]),
            ("half a header", b"PROXY TCP4 203.0.113.9"),
            ("nonsense", b"GET / HTTP/1.1\r\n\r\n"),
        ] {
            ensure!(connect(preface, &["http/1.1"]).is_err(), "{what} is accepted");
        }

        // At a port without load balancers nobody says who they are.
        let open = Port::start_at(scene, "open", free_port()?)?;
        let refused =
            connect_after(&line(client), open.address, "localhost", &open.authority, &["http/1.1"]);
        ensure!(refused.is_err(), "anybody may say so");
        open.check_health(&["http/1.1"])
    });
}
