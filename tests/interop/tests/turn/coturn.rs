//! Our clients against coturn's server.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::ports::free_port;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::turn_client::{Link as _, TestTurnClient};
use porthole_turn_proto::{ClientConfig, StunClient, Transport};

use crate::uclient::echo;
use crate::{PASSWORD, PATIENCE, REALM, Running, USER};

/// Starts coturn's server on a free port.
fn coturn(scene: &Scene) -> Result<(Running, SocketAddr)> {
    let at = free_port()?;
    let log = std::fs::File::create(scene.folder().join("coturn.log"))?;
    let child = Command::new("turnserver")
        .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--allow-loopback-peers"])
        .args(["--lt-cred-mech", "-u", "anna:secret", "-r", REALM])
        .args(["-L", "127.0.0.1", "-E", "127.0.0.1", "-p", &at.port().to_string()])
        .args(["--min-port", "61000", "--max-port", "61999", "--stale-nonce=1"])
        .args(["--log-file", "stdout", "--simple-log", "--pidfile"])
        .arg(scene.folder().join("coturn.pid"))
        .arg("--userdb")
        .arg(scene.folder().join("coturn.db"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let child = Running(child);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if TcpStream::connect(at).is_ok() {
            return Ok((child, at));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("coturn does not listen")
}

/// Sends a payload repeatedly until it comes back.
fn wait_for_echo(client: &mut TestTurnClient, peer: SocketAddr, payload: &[u8]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let mut message = Vec::new();
        if client.client.wrap(peer, payload, &mut message) {
            client.link.send(&message)?;
        }
        client.round()?;
        if client.received.drain(..).any(|received| received == (peer, payload.to_vec())) {
            return Ok(());
        }
    }
    bail!("nothing comes back")
}

#[test]
fn our_clients_are_served_by_coturn() {
    let needs = ["turnserver", "turnutils_peer"].map(Need::Tool);
    scene("our_clients_are_served_by_coturn", &needs, |scene| {
        let (_coturn, server) = coturn(scene)?;
        let (_echo, port) = echo("127.0.0.1")?;
        let peer = SocketAddr::from(([127, 0, 0, 1], port));

        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stun = StunClient::new(Instant::now());
        socket.send_to(&stun.poll_transmit().context("no request")?, server)?;
        let mut buffer = [0; 1500];
        let n = socket.recv(&mut buffer)?;
        ensure!(
            stun.handle_datagram(&buffer[..n]) == Some(socket.local_addr()?),
            "not our address"
        );

        for transport in [Transport::Udp, Transport::Tcp] {
            let context = || format!("{transport:?}");
            let config = ClientConfig::new(USER.to_owned(), PASSWORD.to_owned(), transport);
            let mut client = TestTurnClient::connect(server, config).with_context(context)?;
            client.allocate().with_context(context)?;
            client.client.create_permission(Instant::now(), peer.ip());
            wait_for_echo(&mut client, peer, b"in an indication").with_context(context)?;
            // The nonce is stale after a second, so this request is sent twice.
            std::thread::sleep(Duration::from_millis(2_100));
            client.bind(peer).with_context(context)?;
            let mut message = Vec::new();
            client.client.wrap(peer, b"x", &mut message);
            ensure!(message.starts_with(&[0x40, 0]), "{transport:?}: no channel");
            wait_for_echo(&mut client, peer, b"in a channel").with_context(context)?;
            client.client.close(Instant::now());
            let is_finished = |client: &TestTurnClient| client.client.is_finished();
            client.wait_until("the release", is_finished).with_context(context)?;
        }
        Ok(())
    });
}
