//! One test for each key of `[turn]`: what it does when it is set.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole::binary;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;

use crate::caller::Caller;
use crate::certificate::{make_certificate, shown};
use crate::turn::Turn;

const PROGRAM: [Need; 1] = [Need::Program];
const DEADLINE: Duration = Duration::from_secs(20);
/// `4294967295:anna` with the secrets `geheim-new` and `geheim-old`.
const BY_NEW_SECRET: &str = "4294967295:anna:5WqRYbZLC/sDn1gMqNYavl8gaR0=";
const BY_OLD_SECRET: &str = "4294967295:anna:1scW0oHdcGQtjnK8zo6PhvQmyAY=";

/// It does not start, and says this in the one sentence that it says.
fn refused(scene: &Scene, name: &str, lines: &str, named: &str) -> Result<()> {
    let file = scene.folder().join(format!("{name}.toml"));
    let listen = free_port()?;
    std::fs::write(&file, format!("[turn]\nlisten = ['{listen}']\n{lines}\n"))?;
    let mut command = Place::Here.command(binary()?);
    let mut program = Program::start(scene, name, command.arg("turn").arg("--config").arg(file))?;
    ensure!(!program.wait(DEADLINE)?.success(), "it did not fail");
    let output = program.output()?;
    ensure!(output.contains(named), "{output}");
    Ok(())
}

#[test]
fn it_listens_where_it_is_told() {
    scene("it_listens_where_it_is_told", &PROGRAM, |scene| {
        let more = free_port()?;
        let first = free_port()?;
        let turn = Turn::start(scene, &format!("listen = ['{first}', '{more}']"))?;
        for server in [first, more] {
            Caller::enter(server, "anna:secret")?;
        }
        ensure!(UdpSocket::bind(turn.admin).is_ok(), "it listens where it was not told");
        Ok(())
    });
}

#[test]
fn tls_and_dtls_are_served_with_the_certificate_it_is_told() {
    let needs = [Need::Program, Need::Tool("openssl")];
    scene("tls_and_dtls_are_served_with_the_certificate_it_is_told", &needs, |scene| {
        let (certificate, key) = make_certificate(scene, "first")?;
        let (tls, dtls) = (free_port()?, free_port()?);
        let turn = Turn::start(
            scene,
            &format!(
                "listen_tls = ['{tls}']\nlisten_dtls = ['{dtls}']\n\
                 tls_certificate = '{certificate}'\ntls_key = '{key}'",
            ),
        )?;
        for (version, server) in [("-tls1_2", tls), ("-tls1_2", turn.turn), ("-dtls1_2", dtls)] {
            let shown = shown(version, server)?;
            ensure!(shown.contains("attic.example"), "{version} to {server}: {shown}");
        }
        let alone = format!("tls_certificate = '{certificate}'");
        refused(scene, "alone", &alone, "turn.tls_key is missing")
    });
}

#[test]
fn the_realm_is_the_one_in_the_challenge() {
    scene("the_realm_is_the_one_in_the_challenge", &PROGRAM, |scene| {
        let turn = Turn::start(scene, "realm = 'attic.example'")?;
        // An Allocate without credentials, for UDP (RFC 8656 §7.1).
        let mut request = vec![0, 3, 0, 8, 0x21, 0x12, 0xA4, 0x42];
        request.extend([7; 12]);
        request.extend([0, 0x19, 0, 4, 17, 0, 0, 0]);
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.send_to(&request, turn.turn)?;
        let mut answer = [0; 512];
        let len = socket.recv(&mut answer)?;
        let has = |text: &[u8]| answer[..len].windows(text.len()).any(|part| part == text);
        ensure!(has(b"attic.example"), "{:?}", &answer[..len]);
        Caller::enter(turn.turn, "anna:secret").map(drop)
    });
}

#[test]
fn users_are_let_in_by_their_passwords() {
    scene("users_are_let_in_by_their_passwords", &PROGRAM, |scene| {
        let turn = Turn::start(scene, "users.berta = 'b'")?;
        turn.relayed("anna:secret")?;
        turn.relayed("berta:b")?;
        turn.refuses("berta:secret")
    });
}

#[test]
fn a_secret_makes_credentials_and_an_old_one_still_does() {
    scene("a_secret_makes_credentials_and_an_old_one_still_does", &PROGRAM, |scene| {
        let turn = Turn::start(scene, "secret = 'geheim-new'")?;
        Caller::enter(turn.turn, BY_NEW_SECRET)?;
        ensure!(Caller::ask(turn.turn, BY_OLD_SECRET)?.is_err(), "nobody knows the old one");
        turn.write("secret = 'geheim-new'\nold_secrets = ['geheim-old']")?;
        turn.reload()?.json()?;
        Caller::enter(turn.turn, BY_OLD_SECRET)?;
        Caller::enter(turn.turn, BY_NEW_SECRET)?;
        turn.write("old_secrets = ['geheim-old']")?;
        turn.reload()?.json()?;
        ensure!(Caller::ask(turn.turn, BY_NEW_SECRET)?.is_err(), "it was taken away");
        Ok(())
    });
}

#[test]
fn it_relays_from_the_address_and_the_ports_it_is_told() {
    scene("it_relays_from_the_address_and_the_ports_it_is_told", &PROGRAM, |scene| {
        let port = free_port()?.port();
        let lines = format!("relay_address = ['127.0.0.2']\nrelay_ports = '{port}-{port}'");
        let turn = Turn::start(scene, &lines)?;
        let held = Caller::enter(turn.turn, "anna:secret")?;
        ensure!(held.relayed.to_string() == format!("127.0.0.2:{port}"), "{}", held.relayed);
        ensure!(Caller::ask(turn.turn, "anna:secret")?.is_err(), "there was one port");
        Ok(())
    });
}

#[test]
fn relay_sockets_are_bound_where_they_are_told() {
    scene("relay_sockets_are_bound_where_they_are_told", &PROGRAM, |scene| {
        // An address of nobody's here, as behind a 1:1 NAT.
        let lines = "relay_address = ['203.0.113.7']\nallow_peers = ['127.0.0.0/8']\n";
        let turn = Turn::start(scene, &format!("{lines}relay_bind = ['127.0.0.3']"))?;
        let held = Caller::enter(turn.turn, "anna:secret")?;
        ensure!(held.relayed.ip() == IpAddr::from([203, 0, 113, 7]), "{}", held.relayed);
        let taken = UdpSocket::bind(("127.0.0.3", held.relayed.port()));
        ensure!(taken.is_err(), "the relay socket is not there");
        refused(scene, "nobodys", &format!("{lines}relay_bind = ['203.0.113.8']"), "203.0.113.8")
    });
}

#[test]
fn the_external_address_is_relayed_from_and_found_by_a_stun_server() {
    let name = "the_external_address_is_relayed_from_and_found_by_a_stun_server";
    scene(name, &PROGRAM, |scene| {
        let named = Turn::start_named(scene, "named", "external_address = '127.0.0.4'")?;
        let held = Caller::enter(named.turn, "anna:secret")?;
        ensure!(held.relayed.ip() == IpAddr::from([127, 0, 0, 4]), "{}", held.relayed);
        // Seen by the first server, the second is at 127.0.0.1.
        let lines = format!("external_address = 'stun:{}'", named.turn);
        let found = Turn::start_named(scene, "found", &lines)?;
        let log = found.program.output()?;
        ensure!(log.contains("others reach this machine at 127.0.0.1"), "{log}");
        let wrong = "external_address = 'interface:none0'";
        refused(scene, "wrong", wrong, "there is no interface none0")
    });
}

#[test]
fn peers_are_those_that_are_allowed_and_not_denied() {
    scene("peers_are_those_that_are_allowed_and_not_denied", &PROGRAM, |scene| {
        // Above what the system gives to whoever does not care, as the peer.
        let ports = "relay_ports = '61000-65535'";
        let turn = Turn::start(scene, ports)?;
        let mut held = Caller::enter(turn.turn, "anna:secret")?;
        ensure!(!held.reaches_loopback()?, "loopback is denied unless it is allowed");
        for (line, open) in
            [("", true), ("deny_peers = ['127.0.0.1']", false), ("lowest_peer_port = 61000", false)]
        {
            let lines = format!("{ports}\nallow_peers = ['127.0.0.0/8']\n{line}");
            turn.write(&lines)?;
            turn.reload()?.json()?;
            let mut held = Caller::enter(turn.turn, "anna:secret")?;
            ensure!(held.reaches_loopback()? == open, "with {lines}");
        }
        Ok(())
    });
}

#[test]
fn there_are_as_many_workers_as_it_is_told() {
    scene("there_are_as_many_workers_as_it_is_told", &PROGRAM, |scene| {
        let turn = Turn::start(scene, "workers = 3")?;
        let threads = format!("/proc/{}/task", turn.program.pid());
        // A thread takes its name a moment after its start.
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
fn allocations_are_limited_by_user_by_source_and_in_all() {
    scene("allocations_are_limited_by_user_by_source_and_in_all", &PROGRAM, |scene| {
        for (key, second) in [
            ("max_allocations_per_user", "berta:b"),
            ("max_allocations_per_source", ""),
            ("max_allocations", ""),
        ] {
            let turn = Turn::start_named(scene, key, &format!("users.berta = 'b'\n{key} = 1"))?;
            let held = Caller::enter(turn.turn, "anna:secret")?;
            ensure!(Caller::ask(turn.turn, "anna:secret")?.is_err(), "{key}: a second one");
            let other = Caller::ask(turn.turn, "berta:b")?;
            ensure!(other.is_ok() == (second == "berta:b"), "{key}: another user");
            drop(held);
        }
        Ok(())
    });
}

#[test]
fn a_stop_waits_for_living_allocations_as_long_as_it_is_told() {
    scene("a_stop_waits_for_living_allocations_as_long_as_it_is_told", &PROGRAM, |scene| {
        for (drain_s, at_least, at_most) in [(0, 0, 2), (3, 3, 10)] {
            let lines = format!("drain_s = {drain_s}\nallow_peers = ['127.0.0.0/8']");
            let turn = Turn::start_named(scene, &format!("drain-{drain_s}"), &lines)?;
            let mut held = Caller::enter(turn.turn, "anna:secret")?;
            ensure!(held.reaches_loopback()?, "before");
            let (server, url) = (turn.turn, format!("http://{}/healthz", turn.admin));
            let began = Instant::now();
            std::thread::scope(|scope| -> Result<()> {
                let stopped = scope.spawn(|| turn.program.stop());
                if drain_s > 0 {
                    wait_for_draining(&url)?;
                    ensure!(held.reaches_loopback()?, "who is there goes on");
                    ensure!(Caller::ask(server, "anna:secret")?.is_err(), "a newcomer");
                }
                stopped.join().map_err(|_| anyhow::anyhow!("it panicked"))?
            })?;
            let took = began.elapsed().as_secs();
            ensure!((at_least..=at_most).contains(&took), "drain_s {drain_s}: {took} s");
        }
        Ok(())
    });
}

fn wait_for_draining(url: &str) -> Result<()> {
    wait::until("draining", DEADLINE, || {
        Ok((http::get(Place::Here, url, None)?.status == 503).then_some(()))
    })
}

#[test]
fn the_admin_api_is_where_it_is_told_and_asks_for_its_token() {
    scene("the_admin_api_is_where_it_is_told_and_asks_for_its_token", &PROGRAM, |scene| {
        let turn = Turn::start(scene, "admin_token = 'another-token-for-it'")?;
        let ask = |token| http::get(Place::Here, &format!("http://{}/sessions", turn.admin), token);
        ensure!(ask(None)?.status == 401, "without");
        ensure!(ask(Some("another-token-for-iT"))?.status == 401, "with another");
        ensure!(ask(Some("another-token-for-it"))?.status == 200, "with it");
        refused(
            scene,
            "open",
            "admin = '0.0.0.0:0'\nadmin_token = '0123456789abcdef'",
            "loopback",
        )?;
        refused(scene, "bare", "admin = '127.0.0.1:0'", "turn.admin_token")
    });
}

#[test]
fn a_session_is_listed_counted_and_explained_at_its_end() {
    scene("a_session_is_listed_counted_and_explained_at_its_end", &PROGRAM, |scene| {
        let mut turn = Turn::start(scene, "allow_peers = ['127.0.0.0/8']")?;
        let mut held = Caller::enter(turn.turn, "anna:secret")?;
        ensure!(held.reaches_loopback()?, "it relays");
        let listed = turn.get("/sessions")?.json()?;
        let session = &listed["sessions"][0];
        ensure!(session["relayed"][0] == held.relayed.to_string(), "{listed}");
        let packets = "porthole_turn_relayed_packets_total{direction=\"to_peer\",\
                       client_transport=\"udp\"}";
        // Published a moment after the packet.
        wait::until("a packet is counted", DEADLINE, || {
            Ok((turn.metric(packets)? > 0).then_some(()))
        })?;
        let id = session["id"].as_str().context("an id")?;
        turn.end(id)?;
        ensure!(turn.metric("porthole_turn_allocations")? == 0, "it lives");
        turn.program.wait_for("a line in the log", DEADLINE, |program| {
            let log = program.output()?;
            let line = log.lines().find(|line| line.contains("a TURN session is over"));
            let why = format!("id={id} reason=\"ended by the operator\"");
            Ok(line.filter(|line| line.contains(&why)).map(drop))
        })?;
        let log = turn.program.output()?;
        ensure!(!log.contains(&held.relayed.to_string()), "an address above DEBUG: {log}");
        Ok(())
    });
}
