//! The driver with real sockets on the loopback interface, and our own client.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_turn_proto::{
    ClientConfig, ClientEvent, FailureReason, StreamDecoder, StunClient, Transport, TurnClient,
    rest_credentials,
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

/// A TURN client on a real socket.
struct Caller {
    client: TurnClient,
    wire: Wire,
    received: Vec<(SocketAddr, Vec<u8>)>,
    /// A CreatePermission has succeeded.
    is_permitted: bool,
}

/// How the answer to a CreatePermission begins that succeeds.
const PERMITTED: [u8; 2] = [0x01, 0x08];

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream, StreamDecoder),
}

impl Caller {
    fn new(server: SocketAddr, transport: Transport) -> Result<Self> {
        let (user, password) = ("anna".to_owned(), "secret".to_owned());
        Self::with(server, ClientConfig::new(user, password, transport))
    }

    fn with(server: SocketAddr, config: ClientConfig) -> Result<Self> {
        let wire = match config.transport {
            Transport::Udp | Transport::Dtls => {
                let socket = UdpSocket::bind((server.ip(), 0))?;
                socket.connect(server)?;
                socket.set_read_timeout(Some(Duration::from_millis(5)))?;
                Wire::Udp(socket)
            }
            Transport::Tcp | Transport::Tls => {
                let stream = TcpStream::connect(server)?;
                stream.set_read_timeout(Some(Duration::from_millis(5)))?;
                Wire::Tcp(stream, StreamDecoder::new())
            }
        };
        let client = TurnClient::new(config, Instant::now());
        Ok(Self { client, wire, received: Vec::new(), is_permitted: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.wire {
            Wire::Udp(socket) => socket.send(bytes).map(drop)?,
            Wire::Tcp(stream, _) => stream.write_all(bytes)?,
        }
        Ok(())
    }

    /// One round: sends what is to be sent, reads what is there.
    fn round(&mut self) -> Result<()> {
        self.client.handle_timeout(Instant::now());
        while let Some(bytes) = self.client.poll_transmit() {
            self.write(&bytes)?;
        }
        let mut buffer = [0; 65_536];
        let frames = match &mut self.wire {
            Wire::Udp(socket) => match socket.recv(&mut buffer) {
                Ok(n) => vec![buffer[..n].to_vec()],
                Err(error) if is_timeout(&error) => vec![],
                Err(error) => return Err(error.into()),
            },
            Wire::Tcp(stream, decoder) => {
                match stream.read(&mut buffer) {
                    Ok(0) => bail!("the server closed the connection"),
                    Ok(n) => decoder.push(&buffer[..n])?,
                    Err(error) if is_timeout(&error) => {}
                    Err(error) => return Err(error.into()),
                }
                let mut frames = Vec::new();
                while let Some(frame) = decoder.next_frame()? {
                    frames.push(frame.to_vec());
                }
                frames
            }
        };
        for frame in frames {
            self.is_permitted |= frame.starts_with(&PERMITTED);
            if let Some((peer, range)) = self.client.handle_datagram(Instant::now(), &frame) {
                self.received.push((peer, frame[range].to_vec()));
            }
        }
        Ok(())
    }

    fn event(&mut self) -> Result<ClientEvent> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(event) = self.client.poll_event() {
                return Ok(event);
            }
            self.round()?;
        }
        bail!("nothing happened")
    }

    fn allocate(&mut self) -> Result<SocketAddr> {
        let event = self.event()?;
        let ClientEvent::Allocated { relayed, .. } = event else {
            bail!("no allocation: {event:?}");
        };
        Ok(relayed)
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            ensure!(Instant::now() < deadline, "waited in vain: {what}");
            self.round()?;
        }
        Ok(())
    }

    /// For the first peer.
    fn permit(&mut self, peer: IpAddr) -> Result<()> {
        self.client.create_permission(Instant::now(), peer);
        self.until("a permission", |caller| caller.is_permitted)
    }

    fn bind(&mut self, peer: SocketAddr) -> Result<()> {
        self.client.bind_channel(Instant::now(), peer);
        self.until("a channel", |caller| caller.client.channel(peer).is_some())
    }

    fn send(&mut self, peer: SocketAddr, payload: &[u8]) -> Result<()> {
        let mut out = Vec::new();
        ensure!(self.client.wrap(peer, payload, &mut out), "{peer} is not permitted");
        self.write(&out)
    }

    fn receive(&mut self) -> Result<(SocketAddr, Vec<u8>)> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if !self.received.is_empty() {
                return Ok(self.received.remove(0));
            }
            self.round()?;
        }
        bail!("nothing received")
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn peer(ip: IpAddr) -> Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((ip, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let addr = socket.local_addr()?;
    Ok((socket, addr))
}

/// Stats are published after each round of a worker: wait for them.
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        ensure!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
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
        let mut caller = Caller::with(listen, config).with_context(context)?;
        let relayed = caller.allocate().with_context(context)?;
        let (socket, addr) = peer(listen.ip())?;
        let mut buffer = [0; 65_536];
        for bound in [false, true] {
            if bound {
                caller.bind(addr).with_context(context)?;
            } else {
                caller.permit(addr.ip()).with_context(context)?;
            }
            for len in [0, 1, 2, 3, 4, 1200, 9000] {
                let payload: Vec<u8> = (0..=255).cycle().take(len).collect();
                caller.send(addr, &payload).with_context(context)?;
                let (n, from) = socket.recv_from(&mut buffer).with_context(context)?;
                assert_eq!((&buffer[..n], from), (&payload[..], relayed), "{listen} {len}");
                socket.send_to(&payload, relayed)?;
                let got = caller.receive().with_context(context)?;
                assert_eq!(got, (addr, payload), "{listen} {len}");
            }
        }
        caller.client.close(Instant::now());
        caller.round()?;
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
fn two_clients_meet_although_loopback_is_closed() -> Result<()> {
    let config = Config { allow_peers: Vec::new(), ..config(&["127.0.0.1:0"]) };
    let server = Server::start(config)?;
    let listen = server.local_addrs()[0];
    let mut a = Caller::new(listen, Transport::Udp)?;
    let mut b = Caller::new(listen, Transport::Tcp)?;
    let (at_a, at_b) = (a.allocate()?, b.allocate()?);
    b.permit(at_a.ip())?;
    a.bind(at_b)?;
    a.send(at_b, b"to b")?;
    assert_eq!(b.receive()?, (at_a, b"to b".to_vec()));
    b.send(at_a, b"to a")?;
    assert_eq!(a.receive()?, (at_b, b"to a".to_vec()));

    // Nobody else on the loopback interface is reached, and nobody else reaches us.
    let (socket, addr) = peer(listen.ip())?;
    b.send(addr, b"secret door")?;
    socket.send_to(b"intruder", at_b)?;
    wait_for("two drops", || server.stats().counters.dropped() >= 2)?;
    socket.set_nonblocking(true)?;
    assert!(socket.recv(&mut [0; 16]).is_err());
    b.round()?;
    assert_eq!(b.received, []);
    Ok(())
}

#[test]
fn stun_is_answered_with_the_address_it_came_from() -> Result<()> {
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
fn a_wildcard_listener_answers_from_the_address_that_was_asked() -> Result<()> {
    let relay = Some(Ipv4Addr::LOCALHOST);
    let config = Config { relay_address_v4: relay, ..config(&["0.0.0.0:0", "[::]:0"]) };
    let server = Server::start(config)?;
    for (listen, asked) in server
        .local_addrs()
        .iter()
        .zip([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
    {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut caller = Caller::new(SocketAddr::new(asked, listen.port()), transport)?;
            assert_eq!(caller.allocate()?.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
    }
    Ok(())
}

#[test]
fn credentials_are_checked() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0"]))?;
    let listen = server.local_addrs()[0];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let rest = |secret, expires_at| rest_credentials(secret, "anna", expires_at);
    let fixed = |password: &str| ("anna".to_owned(), password.to_owned());
    for (what, (username, password), good) in [
        ("fixed", fixed("secret"), true),
        ("wrong", fixed("guess"), false),
        ("time-limited", rest("shared", now + 60), true),
        ("expired", rest("shared", now - 1), false),
        ("of another secret", rest("other", now + 60), false),
    ] {
        let config = ClientConfig::new(username, password, Transport::Udp);
        let event = Caller::with(listen, config)?.event()?;
        let reason = FailureReason::Unauthenticated;
        let refused = event == ClientEvent::Failed { code: Some(401), reason };
        let allocated = matches!(event, ClientEvent::Allocated { .. });
        assert_eq!((allocated, refused), (good, !good), "{what}: {event:?}");
    }
    Ok(())
}

#[test]
fn a_closed_connection_ends_its_allocation_and_garbage_its_connection() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0"]))?;
    let listen = server.local_addrs()[0];
    let mut caller = Caller::new(listen, Transport::Tcp)?;
    caller.allocate()?;
    wait_for("one allocation", || server.stats().allocations == 1)?;
    drop(caller);
    wait_for("none", || server.stats().allocations == 0)?;

    let mut stream = TcpStream::connect(listen)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"\x16\x03\x01 TLS is spoken elsewhere")?;
    assert_eq!(stream.read(&mut [0; 16])?, 0, "closed");
    wait_for("no connections", || server.stats().tcp_connections == 0)?;
    wait_for("it is counted", || server.stats().counters.malformed == 1)
}

#[test]
fn a_slow_tcp_reader_loses_datagrams_but_not_its_framing() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0"]))?;
    let listen = server.local_addrs()[0];
    let mut caller = Caller::new(listen, Transport::Tcp)?;
    let relayed = caller.allocate()?;
    let (socket, addr) = peer(listen.ip())?;
    caller.permit(addr.ip())?;
    let mut sent = 0_u32;
    while server.stats().not_sent == 0 {
        ensure!(sent < 200_000, "the queue has no end");
        for _ in 0..50 {
            let payload = sent.to_be_bytes().repeat(300);
            socket.send_to(&payload, relayed)?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // What arrives is whole, in order, and fewer than were sent.
    let mut numbers = Vec::new();
    let mut next = Ok(caller.receive()?);
    while let Ok((_, payload)) = next {
        let number = payload.first_chunk().map(|n| u32::from_be_bytes(*n)).context("a number")?;
        assert_eq!(payload, number.to_be_bytes().repeat(300));
        numbers.push(number);
        next = caller.receive_within(Duration::from_millis(500));
    }
    assert!(numbers.is_sorted());
    assert!(numbers.len() < usize::try_from(sent)?);
    Ok(())
}

impl Caller {
    fn receive_within(&mut self, patience: Duration) -> Result<(SocketAddr, Vec<u8>)> {
        let deadline = Instant::now() + patience;
        while self.received.is_empty() && Instant::now() < deadline {
            self.round()?;
        }
        ensure!(!self.received.is_empty(), "nothing more");
        Ok(self.received.remove(0))
    }
}

#[test]
fn a_shutdown_waits_for_allocations_until_its_deadline() -> Result<()> {
    let server = Server::start(config(&["127.0.0.1:0"]))?;
    let listen = server.local_addrs()[0];
    let mut caller = Caller::new(listen, Transport::Udp)?;
    caller.allocate()?;
    let start = Instant::now();
    let stopping = std::thread::spawn(move || server.shutdown(PATIENCE));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!stopping.is_finished());
    caller.client.close(Instant::now());
    caller.round()?;
    stopping.join().ok().context("a clean end")?;
    assert!(start.elapsed() < PATIENCE);

    let server = Server::start(config(&[&listen.to_string()]))?;
    let mut caller = Caller::new(listen, Transport::Udp)?;
    caller.allocate()?;
    server.shutdown(Duration::from_millis(100));
    let freed = UdpSocket::bind(listen).is_ok() && TcpListener::bind(listen).is_ok();
    assert!(freed, "the port is free again");
    Ok(())
}

#[test]
fn each_obstacle_to_a_start_is_named() -> Result<()> {
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
        ("nowhere", config(&[]), "no address to listen on"),
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
