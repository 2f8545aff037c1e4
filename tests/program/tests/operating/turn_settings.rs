//! The settings of `[turn]`, each by its effect.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::binary;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::{http, wait};

use crate::certificate::{make_certificate, openssl_output};
use crate::turn_client::Client;
use crate::turn_server::TurnServer;

const PROGRAM: [Need; 1] = [Need::Program];
const DEADLINE: Duration = Duration::from_secs(20);
/// Credentials for the user id `4294967295:anna`, made with the secret `geheim-new`.
const BY_NEW_SECRET: &str = "4294967295:anna:5WqRYbZLC/sDn1gMqNYavl8gaR0=";
/// The same, made with the secret `geheim-old`.
const BY_OLD_SECRET: &str = "4294967295:anna:1scW0oHdcGQtjnK8zo6PhvQmyAY=";

/// Checks that the server does not start with these lines, and that its error contains `expected`.
fn check_start_fails(scene: &Scene, name: &str, lines: &str, expected: &str) -> Result<()> {
    let file = scene.folder().join(format!("{name}.toml"));
    let listen = free_port()?;
    std::fs::write(&file, format!("[turn]\nlisten = ['{listen}']\n{lines}\n"))?;
    let mut command = Place::Here.command(binary()?);
    let mut program = Program::start(scene, name, command.arg("turn").arg("--config").arg(file))?;
    ensure!(!program.wait(DEADLINE)?.success(), "it ended without an error");
    let output = program.output()?;
    ensure!(output.contains(expected), "{output}");
    Ok(())
}

#[test]
fn it_listens_on_the_configured_addresses() {
    scene("it_listens_on_the_configured_addresses", &PROGRAM, |scene| {
        let more = free_port()?;
        let first = free_port()?;
        let turn = TurnServer::start(scene, &format!("listen = ['{first}', '{more}']"))?;
        for server in [first, more] {
            Client::allocate(server, "anna:secret")?;
        }
        ensure!(UdpSocket::bind(turn.admin).is_ok(), "it listens for UDP on another address");
        Ok(())
    });
}

#[test]
fn tls_and_dtls_use_the_configured_certificate() {
    let needs = [Need::Program, Need::Tool("openssl")];
    scene("tls_and_dtls_use_the_configured_certificate", &needs, |scene| {
        let (certificate, key) = make_certificate(scene, "first")?;
        let (tls, dtls) = (free_port()?, free_port()?);
        let turn = TurnServer::start(
            scene,
            &format!(
                "listen_tls = ['{tls}']\nlisten_dtls = ['{dtls}']\n\
                 tls_certificate = '{certificate}'\ntls_key = '{key}'",
            ),
        )?;
        for (version, server) in [("-tls1_2", tls), ("-tls1_2", turn.address), ("-dtls1_2", dtls)] {
            let output = openssl_output(version, server)?;
            ensure!(output.contains("attic.example"), "{version} to {server}: {output}");
        }
        let alone = format!("tls_certificate = '{certificate}'");
        check_start_fails(scene, "alone", &alone, "turn.tls_key is missing")
    });
}

#[test]
fn the_configured_realm_is_in_the_challenge() {
    scene("the_configured_realm_is_in_the_challenge", &PROGRAM, |scene| {
        let turn = TurnServer::start(scene, "realm = 'attic.example'")?;
        // An Allocate without credentials, for UDP (RFC 8656 §7.1).
        let mut request = vec![0, 3, 0, 8, 0x21, 0x12, 0xA4, 0x42];
        request.extend([7; 12]);
        request.extend([0, 0x19, 0, 4, 17, 0, 0, 0]);
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.send_to(&request, turn.address)?;
        let mut response = [0; 512];
        let len = socket.recv(&mut response)?;
        let has = |text: &[u8]| response[..len].windows(text.len()).any(|part| part == text);
        ensure!(has(b"attic.example"), "{:?}", &response[..len]);
        Client::allocate(turn.address, "anna:secret").map(drop)
    });
}

#[test]
fn users_authenticate_with_their_passwords() {
    scene("users_authenticate_with_their_passwords", &PROGRAM, |scene| {
        let turn = TurnServer::start(scene, "users.berta = 'b'")?;
        turn.check_accepts("anna:secret")?;
        turn.check_accepts("berta:b")?;
        turn.check_refuses("berta:secret")
    });
}

#[test]
fn credentials_of_the_secret_and_of_old_secrets_are_accepted() {
    scene("credentials_of_the_secret_and_of_old_secrets_are_accepted", &PROGRAM, |scene| {
        let turn = TurnServer::start(scene, "secret = 'geheim-new'")?;
        Client::allocate(turn.address, BY_NEW_SECRET)?;
        ensure!(
            Client::try_allocate(turn.address, BY_OLD_SECRET)?.is_err(),
            "the old secret is accepted before it is configured"
        );
        turn.write_config("secret = 'geheim-new'\nold_secrets = ['geheim-old']")?;
        turn.reload()?.json()?;
        Client::allocate(turn.address, BY_OLD_SECRET)?;
        Client::allocate(turn.address, BY_NEW_SECRET)?;
        turn.write_config("old_secrets = ['geheim-old']")?;
        turn.reload()?.json()?;
        ensure!(
            Client::try_allocate(turn.address, BY_NEW_SECRET)?.is_err(),
            "the removed secret is still accepted"
        );
        Ok(())
    });
}

#[test]
fn it_relays_from_the_configured_address_and_ports() {
    scene("it_relays_from_the_configured_address_and_ports", &PROGRAM, |scene| {
        let port = free_port()?.port();
        let lines = format!("relay_address = ['127.0.0.2']\nrelay_ports = '{port}-{port}'");
        let turn = TurnServer::start(scene, &lines)?;
        let client = Client::allocate(turn.address, "anna:secret")?;
        ensure!(client.relayed.to_string() == format!("127.0.0.2:{port}"), "{}", client.relayed);
        ensure!(
            Client::try_allocate(turn.address, "anna:secret")?.is_err(),
            "two allocations with a single port"
        );
        Ok(())
    });
}

#[test]
fn relay_sockets_are_bound_to_the_configured_address() {
    scene("relay_sockets_are_bound_to_the_configured_address", &PROGRAM, |scene| {
        // An address that this machine does not have, as behind a 1:1 NAT.
        let lines = "relay_address = ['203.0.113.7']\nallow_peers = ['127.0.0.0/8']\n";
        let turn = TurnServer::start(scene, &format!("{lines}relay_bind = ['127.0.0.3']"))?;
        let client = Client::allocate(turn.address, "anna:secret")?;
        ensure!(client.relayed.ip() == IpAddr::from([203, 0, 113, 7]), "{}", client.relayed);
        let taken = UdpSocket::bind(("127.0.0.3", client.relayed.port()));
        ensure!(taken.is_err(), "the relay socket is not bound there");
        check_start_fails(
            scene,
            "foreign",
            &format!("{lines}relay_bind = ['203.0.113.8']"),
            "203.0.113.8",
        )
    });
}

#[test]
fn the_external_address_is_relayed_from_and_can_be_found_with_stun() {
    let name = "the_external_address_is_relayed_from_and_can_be_found_with_stun";
    scene(name, &PROGRAM, |scene| {
        let named = TurnServer::start_named(scene, "named", "external_address = '127.0.0.4'")?;
        let client = Client::allocate(named.address, "anna:secret")?;
        ensure!(client.relayed.ip() == IpAddr::from([127, 0, 0, 4]), "{}", client.relayed);
        // The first server sees the second one at 127.0.0.1.
        let lines = format!("external_address = 'stun:{}'", named.address);
        let found = TurnServer::start_named(scene, "found", &lines)?;
        let log = found.program.output()?;
        ensure!(log.contains("the public address of this machine is 127.0.0.1"), "{log}");
        let wrong = "external_address = 'interface:none0'";
        check_start_fails(scene, "wrong", wrong, "there is no interface none0")
    });
}

#[test]
fn peers_must_be_allowed_and_not_denied() {
    scene("peers_must_be_allowed_and_not_denied", &PROGRAM, |scene| {
        // Above the ephemeral ports of the system, one of which is the peer's.
        let ports = "relay_ports = '61000-65535'";
        let turn = TurnServer::start(scene, ports)?;
        let mut client = Client::allocate(turn.address, "anna:secret")?;
        ensure!(!client.reaches_loopback()?, "loopback is reachable by default");
        for (line, open) in
            [("", true), ("deny_peers = ['127.0.0.1']", false), ("lowest_peer_port = 61000", false)]
        {
            let lines = format!("{ports}\nallow_peers = ['127.0.0.0/8']\n{line}");
            turn.write_config(&lines)?;
            turn.reload()?.json()?;
            let mut client = Client::allocate(turn.address, "anna:secret")?;
            ensure!(client.reaches_loopback()? == open, "with {lines}");
        }
        Ok(())
    });
}

#[test]
fn the_configured_number_of_workers_is_started() {
    scene("the_configured_number_of_workers_is_started", &PROGRAM, |scene| {
        let turn = TurnServer::start(scene, "workers = 3")?;
        let threads = format!("/proc/{}/task", turn.program.pid());
        // A thread sets its name a moment after its start.
        wait::until("three workers", DEADLINE, || {
            let mut workers = 0;
            for thread in std::fs::read_dir(&threads)? {
                let name = std::fs::read_to_string(thread?.path().join("comm"))?;
                workers += usize::from(name.starts_with("turn-"));
            }
            Ok((workers == 3).then_some(()))
        })
    });
}

#[test]
fn allocations_are_limited_per_user_per_source_and_in_total() {
    scene("allocations_are_limited_per_user_per_source_and_in_total", &PROGRAM, |scene| {
        for (key, allowed) in [
            ("max_allocations_per_user", "berta:b"),
            ("max_allocations_per_source", ""),
            ("max_allocations", ""),
        ] {
            let turn =
                TurnServer::start_named(scene, key, &format!("users.berta = 'b'\n{key} = 1"))?;
            let client = Client::allocate(turn.address, "anna:secret")?;
            ensure!(
                Client::try_allocate(turn.address, "anna:secret")?.is_err(),
                "{key}: a second allocation of the user"
            );
            let other = Client::try_allocate(turn.address, "berta:b")?;
            ensure!(other.is_ok() == (allowed == "berta:b"), "{key}: another user");
            drop(client);
        }
        Ok(())
    });
}

/// Takes at least 3 s, the configured time.
#[test]
fn a_stop_waits_for_allocations_for_the_configured_time() {
    scene("a_stop_waits_for_allocations_for_the_configured_time", &PROGRAM, |scene| {
        for (drain_s, at_least, at_most) in [(0, 0, 2), (3, 3, 10)] {
            let lines = format!("drain_s = {drain_s}\nallow_peers = ['127.0.0.0/8']");
            let turn = TurnServer::start_named(scene, &format!("drain-{drain_s}"), &lines)?;
            let mut client = Client::allocate(turn.address, "anna:secret")?;
            ensure!(client.reaches_loopback()?, "not relayed before the stop");
            let (server, url) = (turn.address, format!("http://{}/healthz", turn.admin));
            let began = Instant::now();
            std::thread::scope(|scope| -> Result<()> {
                let stopped = scope.spawn(|| turn.program.stop());
                if drain_s > 0 {
                    wait_for_draining(&url)?;
                    ensure!(client.reaches_loopback()?, "not relayed while draining");
                    ensure!(
                        Client::try_allocate(server, "anna:secret")?.is_err(),
                        "a new allocation while draining"
                    );
                }
                stopped.join().map_err(|_| anyhow::anyhow!("it panicked"))?
            })?;
            let took = began.elapsed().as_secs();
            ensure!((at_least..=at_most).contains(&took), "drain_s {drain_s}: {took} s");
        }
        Ok(())
    });
}

/// Waits until the health check of the admin API says that the server drains.
fn wait_for_draining(url: &str) -> Result<()> {
    wait::until("draining", DEADLINE, || {
        Ok((http::get(Place::Here, url, None)?.status == 503).then_some(()))
    })
}

#[test]
fn the_admin_api_listens_where_configured_and_requires_its_token() {
    scene("the_admin_api_listens_where_configured_and_requires_its_token", &PROGRAM, |scene| {
        let turn = TurnServer::start(scene, "admin_token = 'another-token-for-it'")?;
        let get = |token| http::get(Place::Here, &format!("http://{}/sessions", turn.admin), token);
        ensure!(get(None)?.status == 401, "without a token");
        ensure!(get(Some("another-token-for-iT"))?.status == 401, "with another token");
        ensure!(get(Some("another-token-for-it"))?.status == 200, "with the token");
        check_start_fails(
            scene,
            "open",
            "admin = '0.0.0.0:0'\nadmin_token = '0123456789abcdef'",
            "loopback",
        )?;
        check_start_fails(scene, "bare", "admin = '127.0.0.1:0'", "admin.token")
    });
}

#[test]
fn a_session_is_listed_and_counted_and_its_end_is_logged() {
    scene("a_session_is_listed_and_counted_and_its_end_is_logged", &PROGRAM, |scene| {
        let mut turn = TurnServer::start(scene, "allow_peers = ['127.0.0.0/8']")?;
        let mut client = Client::allocate(turn.address, "anna:secret")?;
        ensure!(client.reaches_loopback()?, "not relayed");
        let listed = turn.get("/sessions")?.json()?;
        let session = &listed["sessions"][0];
        ensure!(session["relayed"][0] == client.relayed.to_string(), "{listed}");
        let packets = "porthole_turn_relayed_packets_total{direction=\"to_peer\",\
                       client_transport=\"udp\"}";
        // The counter is published a moment after the packet.
        wait::until("a packet is counted", DEADLINE, || {
            Ok((turn.metric(packets)? > 0).then_some(()))
        })?;
        let id = session["id"].as_str().context("an id")?;
        turn.end_session(id)?;
        ensure!(turn.metric("porthole_turn_allocations")? == 0, "the session has not ended");
        turn.program.wait_for("a line in the log", DEADLINE, |program| {
            let log = program.output()?;
            let line = log.lines().find(|line| line.contains("a TURN session has ended"));
            let reason = format!("id={id} reason=\"ended by the operator\"");
            Ok(line.filter(|line| line.contains(&reason)).map(drop))
        })?;
        let log = turn.program.output()?;
        ensure!(
            !log.contains(&client.relayed.to_string()),
            "an address is logged above DEBUG: {log}"
        );
        Ok(())
    });
}
