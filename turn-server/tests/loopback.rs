//! The server with real sockets on the loopback interface, and our own client.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::turn_client::TestTurnClient;
use porthole_test_support::wait;
use porthole_turn_proto::{
    ClientConfig, ClientEvent, FailureReason, StunClient, Transport, rest_credentials,
};
use porthole_turn_server::{Config, Server, StartError};

const PATIENCE: Duration = Duration::from_secs(10);

fn config(listen: &[&str]) -> Config {
    let all = ["127.0.0.0/8", "::1"];
    Config {
        listen: listen.iter().map(|text| text.parse().expect("an address")).collect(),
        users: vec![("anna".to_owned(), "secret".to_owned())],
        rest_secrets: vec!["shared".to_owned()],
        allow_peers: all.iter().map(|text| text.parse().expect("a block")).collect(),
        workers: 2,
        ..Config::default()
    }
}

fn peer(ip: IpAddr) -> Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((ip, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let addr = socket.local_addr()?;
    Ok((socket, addr))
}

/// Waits for a condition on the stats, which a worker publishes after each round.
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    wait::until(what, PATIENCE, || Ok(holds().then_some(())))
}

#[test]
fn data_goes_both_ways_over_either_transport_and_family() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0", "[::1]:0"]))?;
    for (listen, transport) in server
        .local_addrs()
        .iter()
        .flat_map(|addr| [(*addr, Transport::Udp), (*addr, Transport::Tcp)])
    {
        let context = || format!("{listen} {transport:?}");
        let mut config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), transport);
        config.requested_family = Some(porthole_turn_proto::Family::of(&listen.ip()));
        let mut client = TestTurnClient::connect(listen, config).with_context(context)?;
        let relayed = client.allocate().with_context(context)?;
        let (socket, addr) = peer(listen.ip())?;
        let mut buffer = [0; 65_536];
        for bound in [false, true] {
            if bound {
                client.bind(addr).with_context(context)?;
            } else {
                client.permit(addr.ip()).with_context(context)?;
            }
            for len in [0, 1, 2, 3, 4, 1200, 9000] {
                let payload: Vec<u8> = (0..=255).cycle().take(len).collect();
                client.send(addr, &payload).with_context(context)?;
                let (n, from) = socket.recv_from(&mut buffer).with_context(context)?;
                assert_eq!((&buffer[..n], from), (&payload[..], relayed), "{listen} {len}");
                socket.send_to(&payload, relayed)?;
                let got = client.receive().with_context(context)?;
                assert_eq!(got, (addr, payload), "{listen} {len}");
            }
        }
        client.release()?;
    }
    wait_for("allocations to end", || server.stats().allocations == 0)?;
    let stats = server.stats();
    assert_eq!(stats.counters.allocations_made, 4);
    assert_eq!((stats.counters.to_peers().packets, stats.counters.to_clients().packets), (56, 56));
    assert_eq!(stats.not_sent, 0);
    server.shutdown(Duration::ZERO);
    Ok(())
}

#[test]
fn two_clients_reach_each_other_although_loopback_is_forbidden() -> Result<()> {
    let config = Config { allow_peers: Vec::new(), ..config(&["127.0.0.1:0"]) };
    let server = Server::start(config)?;
    let listen = server.local_addrs()[0];
    let mut a = TestTurnClient::anna(listen, Transport::Udp)?;
    let mut b = TestTurnClient::anna(listen, Transport::Tcp)?;
    let (at_a, at_b) = (a.allocate()?, b.allocate()?);
    b.permit(at_a.ip())?;
    a.bind(at_b)?;
    a.send(at_b, b"to b")?;
    assert_eq!(b.receive()?, (at_a, b"to b".to_vec()));
    b.send(at_a, b"to a")?;
    assert_eq!(a.receive()?, (at_b, b"to a".to_vec()));

    // No other address on the loopback interface is reachable, in either direction.
    let (socket, addr) = peer(listen.ip())?;
    b.send(addr, b"not permitted")?;
    socket.send_to(b"not permitted", at_b)?;
    wait_for("two drops", || server.stats().counters.dropped() >= 2)?;
    socket.set_nonblocking(true)?;
    assert!(socket.recv(&mut [0; 16]).is_err());
    b.round()?;
    assert!(b.received.is_empty());
    Ok(())
}

#[test]
fn a_binding_request_is_answered_with_its_source_address() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0", "[::1]:0"]))?;
    for listen in server.local_addrs() {
        let socket = UdpSocket::bind((listen.ip(), 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stun = StunClient::new(Instant::now());
        let request = stun.poll_transmit().context("a request")?;
        socket.send_to(&request, listen)?;
        let mut buffer = [0; 1500];
        let (n, from) = socket.recv_from(&mut buffer)?;
        assert_eq!(from, *listen);
        assert_eq!(stun.handle_datagram(&buffer[..n]), Some(socket.local_addr()?));
    }
    Ok(())
}

#[test]
fn a_wildcard_listener_responds_from_the_address_that_was_used() -> Result<()> {
    let relay = Some(Ipv4Addr::LOCALHOST);
    let config = Config { relay_address_v4: relay, ..config(&["0.0.0.0:0", "[::]:0"]) };
    let server = Server::start(config)?;
    for (listen, address) in server
        .local_addrs()
        .iter()
        .zip([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
    {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut client =
                TestTurnClient::anna(SocketAddr::new(address, listen.port()), transport)?;
            assert_eq!(client.allocate()?.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
    }
    Ok(())
}

#[test]
fn credentials_are_checked() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0"]))?;
    let listen = server.local_addrs()[0];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let time_limited = |secret, expires_at| rest_credentials(secret, "anna", expires_at);
    let fixed = |password: &str| ("anna".to_owned(), password.to_owned());
    for (what, (username, password), accepted) in [
        ("fixed", fixed("secret"), true),
        ("wrong", fixed("guess"), false),
        ("time-limited", time_limited("shared", now + 60), true),
        ("expired", time_limited("shared", now - 1), false),
        ("of another secret", time_limited("other", now + 60), false),
    ] {
        let config = ClientConfig::new(username, password, Transport::Udp);
        let event = TestTurnClient::connect(listen, config)?.event()?;
        let reason = FailureReason::Unauthenticated;
        let refused = event == ClientEvent::Failed { code: Some(401), reason };
        let allocated = matches!(event, ClientEvent::Allocated { .. });
        assert_eq!((allocated, refused), (accepted, !accepted), "{what}: {event:?}");
    }
    Ok(())
}

#[test]
fn a_closed_connection_ends_its_allocation_and_garbage_its_connection() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0"]))?;
    let listen = server.local_addrs()[0];
    let mut client = TestTurnClient::anna(listen, Transport::Tcp)?;
    client.allocate()?;
    wait_for("one allocation", || server.stats().allocations == 1)?;
    drop(client);
    wait_for("none", || server.stats().allocations == 0)?;

    let mut stream = TcpStream::connect(listen)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"\x16\x03\x01 TLS is spoken elsewhere")?;
    assert_eq!(stream.read(&mut [0; 16])?, 0, "closed");
    wait_for("no connections", || server.stats().tcp_connections == 0)?;
    wait_for("a malformed message to be counted", || server.stats().counters.malformed == 1)
}

#[test]
fn a_slow_tcp_reader_loses_datagrams_but_not_its_framing() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0"]))?;
    let listen = server.local_addrs()[0];
    let mut client = TestTurnClient::anna(listen, Transport::Tcp)?;
    let relayed = client.allocate()?;
    let (socket, addr) = peer(listen.ip())?;
    client.permit(addr.ip())?;
    let mut sent = 0_u32;
    while server.stats().not_sent == 0 {
        ensure!(sent < 200_000, "the queue is unbounded");
        for _ in 0..50 {
            let payload = sent.to_be_bytes().repeat(300);
            socket.send_to(&payload, relayed)?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // The datagrams that arrive are whole, in order, and fewer than were sent.
    let mut numbers = Vec::new();
    let mut next = Ok(client.receive()?);
    while let Ok((_, payload)) = next {
        let number = payload.first_chunk().map(|n| u32::from_be_bytes(*n)).context("a number")?;
        assert_eq!(payload, number.to_be_bytes().repeat(300));
        numbers.push(number);
        next = client.receive_within(Duration::from_millis(500));
    }
    assert!(numbers.is_sorted());
    assert!(numbers.len() < usize::try_from(sent)?);
    Ok(())
}

#[test]
fn a_shutdown_waits_for_allocations_until_its_deadline() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0"]))?;
    let listen = server.local_addrs()[0];
    let mut client = TestTurnClient::anna(listen, Transport::Udp)?;
    client.allocate()?;
    let start = Instant::now();
    let stopping = std::thread::spawn(move || server.shutdown(PATIENCE));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!stopping.is_finished());
    client.release()?;
    stopping.join().ok().context("a clean end")?;
    assert!(start.elapsed() < PATIENCE);

    let server = Server::start(config(&[&listen.to_string()]))?;
    let mut client = TestTurnClient::anna(listen, Transport::Udp)?;
    client.allocate()?;
    server.shutdown(Duration::from_millis(100));
    let freed = UdpSocket::bind(listen).is_ok() && TcpListener::bind(listen).is_ok();
    assert!(freed, "the port is free again");
    Ok(())
}

#[test]
fn the_error_names_what_prevents_a_start() -> Result<()> {
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let running = Server::start(config(&["127.0.0.1:0"]))?;
    let with = |edit: fn(&mut Config)| {
        let mut config = config(&["127.0.0.1:0"]);
        edit(&mut config);
        config
    };
    let at = |addr: SocketAddr| config(&[&addr.to_string()]);
    for (what, config, sentence) in [
        ("UDP in use", at(udp.local_addr()?), "another program uses this port"),
        ("TCP in use", at(tcp.local_addr()?), "another program uses this port"),
        ("a second server", at(running.local_addrs()[0]), "another program uses this port"),
        ("foreign address", config(&["192.0.2.1:3478"]), "not an address of this machine"),
        ("no listening address", config(&[]), "no address to listen on"),
        ("no relay address", config(&["0.0.0.0:0"]), "needs a relay address"),
        (
            "wildcard relay",
            with(|c| c.relay_address_v4 = Some(Ipv4Addr::UNSPECIFIED)),
            "cannot be a relay address",
        ),
        (
            "empty range",
            with(|c| c.relay_ports = RangeInclusive::new(10, 9)),
            "range 10-9 is empty",
        ),
        ("port 0", with(|c| c.relay_ports = 0..=9), "holds port 0"),
    ] {
        match Server::start(config) {
            Ok(_) => bail!("{what}: started"),
            Err(error) => assert!(error.to_string().contains(sentence), "{what}: {error}"),
        }
    }
    assert!(matches!(
        Server::start(at(udp.local_addr()?)),
        Err(StartError::InUse { transport: "UDP", .. })
    ));
    Ok(())
}
