//! coturn's clients against our server.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::ports::{free_pair, free_port};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;
use porthole_turn_proto::stun::ErrorCode;
use porthole_turn_server::{Config, OauthKey, Server};

use crate::authority::Authority;
use crate::{PATIENCE, Running, config, run, secure, start};

const MESSAGES: u64 = 20;

/// Time after which a client that has sent no malformed message is taken to wait forever.
const STUCK: Duration = Duration::from_secs(5);

fn needs() -> [Need; 3] {
    ["turnutils_uclient", "turnutils_peer", "turnutils_stunclient"].map(Need::Tool)
}

/// Starts coturn's echo peer on a free port and the next one.
pub(crate) fn echo(ip: &str) -> Result<(Running, u16)> {
    let free = free_pair()?.port();
    let child = Command::new("turnutils_peer")
        .args(["-L", ip, "-p", &free.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let child = Running(child);
    let socket = UdpSocket::bind((ip, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        socket.send_to(b"ready?", (ip, free))?;
        if socket.recv(&mut [0; 16]).is_ok() {
            return Ok((child, free));
        }
    }
    bail!("turnutils_peer does not respond")
}

/// Starts a server with the default range of channels, which includes that of this version of
/// coturn (RFC 5766).
fn server() -> Result<Server> {
    start(config()?)
}

/// Reads the totals that `turnutils_uclient` prints at its end.
fn totals(output: &str) -> Result<(u64, u64)> {
    let line = output.lines().rev().find(|l| l.contains("tot_send_msgs"));
    let line = line.with_context(|| format!("no totals in\n{output}"))?;
    let number = |name: &str| -> Result<u64> {
        let rest = line.split_once(name).with_context(|| line.to_owned())?.1;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    };
    Ok((number("tot_send_msgs=")?, number("tot_recv_msgs=")?))
}

fn uclient(scene: &Scene, name: &str, to: SocketAddr, flags: &[&str]) -> Result<(u64, u64)> {
    let mut command = Command::new("turnutils_uclient");
    command
        .args(flags)
        .args(["-n", &MESSAGES.to_string(), "-m", "2", "-p", &to.port().to_string()])
        .arg(to.ip().to_string());
    let (ended_well, output) = run(scene, name, &mut command)?;
    ensure!(ended_well, "{command:?} failed:\n{output}");
    totals(&output).with_context(|| format!("{command:?}"))
}

#[test]
fn every_message_of_turnutils_uclient_comes_back() {
    scene("every_message_of_turnutils_uclient_comes_back", &needs(), |scene| {
        let server = server()?;
        let (v4, v6) = (server.local_addrs()[0], server.local_addrs()[1]);
        let (_echo_v4, port_v4) = echo("127.0.0.1")?;
        let (_echo_v6, port_v6) = echo("::1")?;
        let echo_v4 = format!("-e 127.0.0.1 -r {port_v4}");
        let echo_v6 = format!("-x -e ::1 -r {port_v6}");
        let (fixed, rest) = ("-u anna -w secret", "-u anna -W shared");
        let cases = [
            ("UDP, channels", v4, "-c", &*echo_v4, fixed),
            ("UDP, indications", v4, "-c -s", &echo_v4, fixed),
            ("TCP, channels", v4, "-c -t", &echo_v4, fixed),
            ("TCP, indications", v4, "-c -t -s", &echo_v4, fixed),
            ("with RTCP on the port above", v4, "", &echo_v4, fixed),
            ("with RTCP, TCP", v4, "-t", &echo_v4, fixed),
            ("padded channels", v4, "-c -D", &echo_v4, fixed),
            ("extra requests", v4, "-c -G", &echo_v4, fixed),
            ("time-limited credentials", v4, "-c", &echo_v4, rest),
            ("large messages", v4, "-c -l 1300", &echo_v4, fixed),
            ("IPv4 by name", v4, "-c -X", &echo_v4, fixed),
            ("IPv6 to IPv6, UDP", v6, "-c", &echo_v6, fixed),
            ("IPv6 to IPv6, TCP", v6, "-c -t", &echo_v6, fixed),
            ("IPv4 to IPv6", v4, "-c", &echo_v6, fixed),
            ("IPv6 to IPv4, indications", v6, "-c -s -X", &echo_v4, fixed),
            ("an operator's first check", v4, "-y", "", fixed),
            ("client to client, UDP", v4, "-c -y", "", fixed),
            ("client to client, UDP, indications", v4, "-c -y -s", "", fixed),
            ("client to client, TCP", v4, "-c -y -t", "", fixed),
            ("client to client, IPv6", v6, "-c -y -x", "", fixed),
            ("DONT-FRAGMENT", v4, "-c -g", &echo_v4, fixed),
            ("DONT-FRAGMENT, indications", v4, "-c -g -s", &echo_v4, fixed),
            // It refreshes one of the addresses, or both.
            ("an address of each family", v4, "-Z", &echo_v4, fixed),
            ("an address of each family, indications", v4, "-Z -s", &echo_v4, fixed),
            ("an address of each family, TCP", v4, "-Z -t", &echo_v4, fixed),
            ("an address of each family, client to client", v4, "-Z -y", "", fixed),
            ("an address of each family, IPv6", v6, "-Z -y -x", "", fixed),
            ("with an ORIGIN", v4, "-c -o porthole.example", &echo_v4, fixed),
            ("with a BANDWIDTH", v4, "-c -a 8000", &echo_v4, fixed),
            ("from another address", v4, "-c -L 127.0.0.3", &echo_v4, fixed),
            ("with invalid messages", v4, "-c -s -N", &echo_v4, fixed),
        ];
        // Most of the time coturn only waits, so the runs are parallel.
        std::thread::scope(|threads| {
            let started = cases.map(|(what, to, how, peer, user)| {
                threads.spawn(move || {
                    let flags: Vec<&str> =
                        [how, peer, user].into_iter().flat_map(str::split_whitespace).collect();
                    let (sent, received) = uclient(scene, what, to, &flags).context(what)?;
                    ensure!(sent >= 2 * MESSAGES, "{what}: only {sent} sent");
                    ensure!(sent == received, "{what}: {sent} out, {received} in");
                    Ok(())
                })
            });
            let failed = started.into_iter().filter_map(|thread| match thread.join() {
                Ok(result) => result.err().map(|error| format!("{error:#}")),
                Err(_) => Some("a thread panicked".to_owned()),
            });
            let failed: Vec<_> = failed.collect();
            ensure!(failed.is_empty(), "{}", failed.join("\n"));
            anyhow::Ok(())
        })?;
        ensure!(server.stats().not_sent == 0, "{:?}", server.stats());
        Ok(())
    });
}

/// Takes about 20 s, the time that coturn's client takes.
#[test]
fn every_message_comes_back_over_tls_and_dtls() {
    let name = "every_message_comes_back_over_tls_and_dtls";
    scene(name, &needs(), |scene| {
        let authority = Authority::new(scene, &[[127, 0, 0, 1].into()])?;
        let server = start(secure(&authority)?)?;
        let (_echo, port) = echo("127.0.0.1")?;
        let root = authority.root.to_string_lossy();
        let peer = format!("-c -e 127.0.0.1 -r {port} -u anna -w secret");
        let checked = format!("{peer} -E {root}");
        let (tls, dtls) = (server.tls_addrs()[0], server.dtls_addrs()[0]);
        for (what, to, how, peer) in [
            ("TLS, channels", tls, "-t -S", &peer),
            ("TLS, indications", tls, "-t -S -s", &peer),
            ("TLS, certificate checked", tls, "-t -S", &checked),
            ("DTLS, channels", dtls, "-S", &peer),
            ("DTLS, indications", dtls, "-S -s", &peer),
            ("DTLS, certificate checked", dtls, "-S", &checked),
        ] {
            let flags: Vec<_> = how.split_whitespace().chain(peer.split_whitespace()).collect();
            let (sent, received) = uclient(scene, what, to, &flags).context(what)?;
            ensure!(sent >= 2 * MESSAGES, "{what}: only {sent} sent");
            ensure!(sent == received, "{what}: {sent} out, {received} in");
        }
        Ok(())
    });
}

/// Starts a TCP echo peer, which runs as long as the test.
fn tcp_echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    Ok(addr)
}

/// Returns the keys built into `turnutils_uclient -J`.
fn builtin_oauth_keys() -> Vec<OauthKey> {
    [
        ("north", &b"01234567890123456789012345678901"[..]),
        ("union", b"1234567890123456"),
        ("oldempire", b"12345678901234567890123456789012"),
    ]
    .map(|(kid, key)| OauthKey { kid: kid.to_owned(), key: key.to_vec() })
    .to_vec()
}

/// Takes about 35 s, the time that coturn's client takes.
#[test]
fn turnutils_uclient_uses_mobility_and_access_tokens() {
    let name = "turnutils_uclient_uses_mobility_and_access_tokens";
    scene(name, &needs(), |scene| {
        // A client that has moved may belong to any worker.
        let with = Config { mobility: true, workers: 0, ..config()? };
        let server = start(Config { oauth_keys: builtin_oauth_keys(), ..with })?;
        let to = server.local_addrs()[0];
        let (_echo, port) = echo("127.0.0.1")?;
        let peer = format!("-e 127.0.0.1 -r {port}");
        let user = "-u anna -w secret";
        for (what, how, peer, user) in [
            ("mobility, UDP", "-c -M", &*peer, user),
            ("mobility, TCP", "-c -M -t", &peer, user),
            ("mobility, both families", "-Z -M", &peer, user),
            ("mobility, both families, client to client", "-Z -M -y", "", user),
            // It draws one of its three keys for each session.
            ("OAuth, UDP", "-c -J", &peer, ""),
            ("OAuth, TCP", "-c -J -t", &peer, ""),
            ("OAuth, client to client", "-c -J -y", "", ""),
        ] {
            let flags = [how, peer, user].into_iter().flat_map(str::split_whitespace);
            let flags: Vec<_> = flags.collect();
            let (sent, received) = uclient(scene, what, to, &flags).context(what)?;
            ensure!(sent >= 2 * MESSAGES, "{what}: only {sent} sent");
            ensure!(sent == received, "{what}: {sent} out, {received} in");
        }
        Ok(())
    });
}

/// Number of attempts. If it closes its old session before it moves, it frees that session twice
/// and closes the new one with it. Every other run fails so, with any server (coturn 4.6.1).
const MOVES: usize = 20;

#[test]
fn turnutils_uclient_moves_over_tls_and_dtls() {
    let name = "turnutils_uclient_moves_over_tls_and_dtls";
    scene(name, &needs(), |scene| {
        let authority = Authority::new(scene, &[[127, 0, 0, 1].into()])?;
        // Over DTLS a client whose packets another worker receives is refused.
        let with = secure(&authority)?;
        let with = Config { mobility: true, workers: 1, ..with };
        let server = start(with)?;
        let (_echo, port) = echo("127.0.0.1")?;
        for (what, to, how) in
            [("TLS", server.tls_addrs()[0], "-t -S"), ("DTLS", server.dtls_addrs()[0], "-S")]
        {
            let flags = format!("{how} -M -v -c -e 127.0.0.1 -r {port} -u anna -w secret");
            let run_once = |number| moved(scene, &format!("{what}-{number}"), to, &flags);
            let failed = (0..MOVES).map(run_once).map_while(Result::err).collect::<Vec<_>>();
            ensure!(failed.len() < MOVES, "{what}: {:#}", failed[0]);
        }
        // Even if the client failed, no move was refused.
        let stats = server.stats();
        let challenges = [ErrorCode::UNAUTHENTICATED, ErrorCode::STALE_NONCE];
        let errors = stats.counters.errors().filter(|(code, _)| !challenges.contains(code));
        let refused = errors.filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        ensure!(refused.is_empty(), "{refused:?}");
        Ok(())
    });
}

/// Checks that a client gets a ticket, moves with it to a new socket, gets the next ticket there,
/// and every message comes back.
fn moved(scene: &Scene, name: &str, to: SocketAddr, flags: &str) -> Result<()> {
    let mut command = Command::new("turnutils_uclient");
    command
        .args(flags.split_whitespace())
        .args(["-n", &MESSAGES.to_string(), "-p", &to.port().to_string()])
        .arg(to.ip().to_string());
    let (ended_well, output) = run(scene, name, &mut command)?;
    ensure!(ended_well, "{command:?} failed:\n{output}");
    let (sent, received) = totals(&output)?;
    ensure!(sent >= MESSAGES && sent == received, "{sent} out, {received} in");
    // Its first connection, which is only a test, moves as well.
    let tickets = output.lines().filter(|line| line.contains("read_mobility_ticket: smid="));
    ensure!(tickets.count() == 4, "two before and two after:\n{output}");
    Ok(())
}

/// Takes about 25 s, the time that coturn's client takes.
#[test]
fn turnutils_uclient_relays_tcp() {
    scene("turnutils_uclient_relays_tcp", &needs(), |scene| {
        let server = server()?;
        let to = server.local_addrs()[0];
        let peer = format!("-e 127.0.0.1 -r {} -u anna -w secret", tcp_echo()?.port());
        // Number of the two clients whose messages come back: if peers connect, one client has no
        // partner, with any server.
        for (what, how, echoed) in [
            ("to a peer", "-T -c", 2),
            ("client to client", "-T -c -y", 2),
            ("from a peer", "-P -c", 1),
        ] {
            let flags = [how, &peer].into_iter().flat_map(str::split_whitespace);
            let (sent, received) = uclient(scene, what, to, &flags.collect::<Vec<_>>())?;
            ensure!(sent >= 2 * MESSAGES, "{what}: only {sent} sent");
            ensure!(2 * received == echoed * sent, "{what}: {sent} out, {received} in");
        }
        Ok(())
    });
}

#[test]
fn turnutils_natdiscovery_finds_no_nat() {
    let needs = [Need::Tool("turnutils_natdiscovery")];
    scene("turnutils_natdiscovery_finds_no_nat", &needs, |scene| {
        let primary = free_port()?;
        let alternate = SocketAddr::from(([127, 0, 0, 2], free_port()?.port()));
        let listen = vec![primary];
        let server = start(Config { listen, discovery_address: Some(alternate), ..config()? })?;
        let mut command = Command::new("turnutils_natdiscovery");
        command.args(["-m", "-f", "-L", "127.0.0.1", "-p", &primary.port().to_string()]);
        let (_, output) = run(scene, "natdiscovery", command.arg("127.0.0.1"))?;
        for line in ["Endpoint Independent Mapping", "Endpoint Independent Filtering"] {
            ensure!(output.contains(line), "not {line}:\n{output}");
        }
        // The counter is published a moment after the response.
        wait::until("four Bindings", PATIENCE, || {
            Ok((server.stats().counters.bindings >= 4).then_some(()))
        })?;
        let discover = |name: &str, flags: &[&str]| {
            let mut command = Command::new("turnutils_natdiscovery");
            command.args(flags).args(["-L", "127.0.0.1", "-p", &primary.port().to_string()]);
            run(scene, name, command.arg("127.0.0.1")).map(|(_, output)| output)
        };
        let hairpin = discover("hairpinning", &["-H"])?;
        ensure!(hairpin.contains("successful hairpinning"), "{hairpin}");
        let padded = discover("padding", &["-m", "-f", "-P"])?;
        ensure!(padded.contains("Endpoint Independent Mapping"), "{padded}");
        let mut command = Command::new("turnutils_stunclient");
        command.args(["-f", "-p", &primary.port().to_string(), "127.0.0.1"]);
        let (_, output) = run(scene, "stunclient", &mut command)?;
        let moved = format!("Response origin: : {alternate}");
        ensure!(output.contains("RFC 5780 response 3") && output.contains(&moved), "{output}");
        Ok(())
    });
}

/// Takes about 15 s, the time that coturn's client takes.
#[test]
fn invalid_messages_of_turnutils_uclient_affect_no_other_client() {
    scene("invalid_messages_of_turnutils_uclient_affect_no_other_client", &needs(), |scene| {
        let server = server()?;
        let to = server.local_addrs()[0];
        let (_echo, port) = echo("127.0.0.1")?;
        let peer = format!("-c -s -e 127.0.0.1 -r {port} -u anna -w secret");
        // The client damages each message at random. A message that can still be parsed, but gets
        // no response, makes it wait forever. Then more clients are started.
        let spawn = |transport: &str| -> Result<Running> {
            let flags = format!("-N -R {transport} {peer} -p {} {}", to.port(), to.ip());
            let child = Command::new("turnutils_uclient")
                .args(flags.split_whitespace())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            Ok(Running(child))
        };
        let mut invalid = Vec::new();
        let mut started = None;
        wait::until("a malformed message", PATIENCE, || {
            if server.stats().counters.malformed > 0 {
                return Ok(Some(()));
            }
            if started.is_none_or(|at: Instant| at.elapsed() > STUCK) {
                invalid.extend([spawn("")?, spawn("-t")?]);
                started = Some(Instant::now());
            }
            Ok(None)
        })?;
        for transport in ["", "-t"] {
            let flags = [transport, &peer].into_iter().flat_map(str::split_whitespace);
            let flags: Vec<_> = flags.collect();
            let (sent, received) = uclient(scene, "valid", to, &flags)?;
            ensure!(sent >= 2 * MESSAGES && sent == received, "{sent} out, {received} in");
        }
        Ok(())
    });
}

#[test]
fn turnutils_uclient_is_refused_with_wrong_credentials() {
    scene("turnutils_uclient_is_refused_with_wrong_credentials", &needs(), |scene| {
        for user in [["-w", "guess"], ["-W", "other"]] {
            let server = server()?;
            let flags = [&["-c", "-y", "-u", "anna"][..], &user].concat();
            let refused = uclient(scene, "uclient", server.local_addrs()[0], &flags);
            let error = refused.err().with_context(|| format!("{user:?} was accepted"))?;
            // The first for missing credentials, the second for these.
            wait::until(&format!("{user:?} is answered 401 twice"), PATIENCE, || {
                Ok((unauthenticated(&server) >= 2).then_some(()))
            })
            .with_context(|| format!("{error:#}\n{:?}", server.stats()))?;
            ensure!(server.stats().counters.allocations_made == 0, "an allocation was made");
        }
        Ok(())
    });
}

/// Returns the number of responses with error 401.
fn unauthenticated(server: &Server) -> u64 {
    let counters = server.stats().counters;
    counters.errors().filter(|(error, _)| error.value() == 401).map(|(_, count)| count).sum()
}

#[test]
fn turnutils_stunclient_learns_its_address() {
    scene("turnutils_stunclient_learns_its_address", &needs(), |scene| {
        let server = server()?;
        for to in server.local_addrs() {
            let mut command = Command::new("turnutils_stunclient");
            command.args(["-p", &to.port().to_string(), &to.ip().to_string()]);
            let (_, output) = run(scene, "stunclient", &mut command)?;
            ensure!(output.contains("UDP reflexive addr:"), "{output}");
        }
        Ok(())
    });
}
