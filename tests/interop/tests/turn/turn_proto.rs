//! ystreet's `turn-client-proto`, the most complete foreign client, on real sockets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::scene::scene;
use porthole_turn_server::Config;
use turn_client_proto::api::{TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::client::TurnClient;
use turn_client_proto::prelude::{DelayedTransmitBuild as _, TurnClientApi as _};
use turn_client_proto::stun::agent::Transmit;
use turn_client_proto::stun::auth::Feature;
use turn_client_proto::stun::types::message::IntegrityAlgorithm;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::{AddressFamily, Instant as Moment, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use crate::{Echo, PASSWORD, PATIENCE, USER, server, start};

const BOTH: [TransportType; 2] = [TransportType::Udp, TransportType::Tcp];
const ROUND: Duration = Duration::from_millis(5);
/// Rounds in which nothing more should be sent.
const LAST_ROUNDS: usize = 20;

/// A foreign client and its socket.
struct Foreign {
    client: TurnClient,
    link: Link,
    local: SocketAddr,
    server: SocketAddr,
    started: Instant,
    received: Vec<(SocketAddr, Vec<u8>)>,
    /// An attack on the way: rewrites the messages of the server.
    attack: fn(&[u8]) -> Vec<u8>,
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Foreign {
    fn new(server: SocketAddr, transport: TransportType, config: TurnConfig) -> Result<Self> {
        let (link, local) = match transport {
            TransportType::Udp => {
                let socket = UdpSocket::bind((server.ip(), 0))?;
                socket.connect(server)?;
                socket.set_read_timeout(Some(ROUND))?;
                let local = socket.local_addr()?;
                (Link::Udp(socket), local)
            }
            TransportType::Tcp => {
                let stream = TcpStream::connect(server)?;
                stream.set_read_timeout(Some(ROUND))?;
                let local = stream.local_addr()?;
                (Link::Tcp(stream), local)
            }
        };
        let client = match transport {
            TransportType::Udp => TurnClientUdp::allocate(local, server, config).into(),
            TransportType::Tcp => TurnClientTcp::allocate(local, server, config).into(),
        };
        let (started, received) = (Instant::now(), Vec::new());
        Ok(Self { client, link, local, server, started, received, attack: <[u8]>::to_vec })
    }

    fn now(&self) -> Moment {
        let nanos = i64::try_from(self.started.elapsed().as_nanos());
        Moment::from_nanos(nanos.unwrap_or(i64::MAX))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.link {
            Link::Udp(socket) => socket.send(bytes).map(drop)?,
            Link::Tcp(stream) => stream.write_all(bytes)?,
        }
        Ok(())
    }

    /// Sends what is due and reads what has arrived.
    fn round(&mut self) -> Result<()> {
        if matches!(self.client.poll(self.now()), TurnPollRet::Closed) {
            bail!("the client is closed");
        }
        while let Some(transmit) = self.client.poll_transmit(self.now()) {
            self.write(&transmit.data)?;
        }
        let mut buffer = [0; 65_536];
        let read = match &mut self.link {
            Link::Udp(socket) => socket.recv(&mut buffer),
            Link::Tcp(stream) => stream.read(&mut buffer),
        };
        let len = match read {
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if len == 0 {
            bail!("the server closed the connection");
        }
        let transmit = Transmit {
            data: (self.attack)(&buffer[..len]),
            transport: self.client.transport(),
            from: self.server,
            to: self.local,
        };
        let now = self.now();
        if let TurnRecvRet::PeerData(data) = self.client.recv(transmit, now) {
            self.received.push((data.peer, data.data().to_vec()));
        }
        while let Some(data) = self.client.poll_recv(now) {
            self.received.push((data.peer, data.data().to_vec()));
        }
        Ok(())
    }

    /// Runs a round of a client that may have closed.
    fn last_round(&mut self) {
        if self.round().is_err() {
            std::thread::sleep(ROUND);
        }
    }

    fn event(&mut self) -> Result<TurnEvent> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(event) = self.client.poll_event() {
                return Ok(event);
            }
            self.round()?;
        }
        bail!("nothing happened")
    }

    fn allocated(&mut self) -> Result<SocketAddr> {
        let event = self.event()?;
        let TurnEvent::AllocationCreated(TransportType::Udp, relayed) = event else {
            bail!("no allocation: {event:?}");
        };
        Ok(relayed)
    }

    fn permit(&mut self, peer: SocketAddr) -> Result<()> {
        self.client.create_permission(TransportType::Udp, peer.ip(), self.now())?;
        let event = self.event()?;
        ensure!(matches!(event, TurnEvent::PermissionCreated(..)), "{event:?}");
        Ok(())
    }

    fn bind(&mut self, peer: SocketAddr) -> Result<()> {
        self.client.bind_channel(TransportType::Udp, peer, self.now())?;
        let event = self.event()?;
        ensure!(matches!(event, TurnEvent::ChannelCreated(..)), "{event:?}");
        Ok(())
    }

    /// Sends a payload once, which must come back.
    fn echoed(&mut self, peer: SocketAddr, payload: &[u8]) -> Result<()> {
        let now = self.now();
        if let Some(transmit) = self.client.send_to(TransportType::Udp, peer, payload, now)? {
            self.write(&transmit.data.build())?;
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some((from, got)) = self.received.pop() {
                ensure!(from == peer && got == payload, "{from}: {got:?}");
                return Ok(());
            }
            self.round()?;
        }
        bail!("nothing comes back")
    }
}

fn config(password: &str) -> TurnConfig {
    TurnConfig::new(TurnCredentials::new(USER, password))
}

#[test]
fn turn_client_proto_relays_over_udp_and_tcp_and_both_families() {
    let name = "turn_client_proto_relays_over_udp_and_tcp_and_both_families";
    scene(name, &[], |_| {
        let server = server()?;
        for (to, transport, family) in [
            (server.local_addrs()[0], TransportType::Udp, AddressFamily::IPV4),
            (server.local_addrs()[0], TransportType::Udp, AddressFamily::IPV6),
            (server.local_addrs()[0], TransportType::Tcp, AddressFamily::IPV4),
            (server.local_addrs()[1], TransportType::Udp, AddressFamily::IPV4),
            (server.local_addrs()[1], TransportType::Tcp, AddressFamily::IPV6),
        ] {
            let context = || format!("{to} {transport} {family:?}");
            let mut config = config(PASSWORD);
            config.set_address_family(family);
            let mut foreign = Foreign::new(to, transport, config)?;
            let relayed = foreign.allocated().with_context(context)?;
            ensure!(relayed.is_ipv4() == (family == AddressFamily::IPV4), "{relayed}");
            let echo = Echo::start(if relayed.is_ipv4() { "127.0.0.1" } else { "::1" })?;
            foreign.permit(echo.addr).with_context(context)?;
            foreign.echoed(echo.addr, b"in an indication").with_context(context)?;
            foreign.bind(echo.addr).with_context(context)?;
            foreign.echoed(echo.addr, b"in a channel").with_context(context)?;
            foreign.client.delete(foreign.now())?;
            let deadline = Instant::now() + PATIENCE;
            while server.stats().allocations > 0 {
                ensure!(
                    Instant::now() < deadline,
                    "the allocation still exists: {:?}",
                    server.stats()
                );
                foreign.last_round();
            }
        }
        Ok(())
    });
}

#[test]
fn turn_client_proto_is_refused_with_a_wrong_password() {
    scene("turn_client_proto_is_refused_with_a_wrong_password", &[], |_| {
        // Once without credentials. Over UDP it retries with each new nonce, until the server no
        // longer responds.
        for (transport, challenges) in [(TransportType::Udp, 3), (TransportType::Tcp, 2)] {
            let server = server()?;
            let mut foreign = Foreign::new(server.local_addrs()[0], transport, config("guess"))?;
            let deadline = Instant::now() + PATIENCE;
            while server.stats().counters.challenged < challenges {
                ensure!(Instant::now() < deadline, "{transport}: {:?}", server.stats());
                foreign.last_round();
            }
            let made = server.stats().counters.allocations_made;
            ensure!(made == 0, "{transport}: an allocation was made");
        }
        Ok(())
    });
}

#[test]
fn turn_client_proto_relays_for_both_families_at_once() {
    scene("turn_client_proto_relays_for_both_families_at_once", &[], |_| {
        let server = server()?;
        for transport in BOTH {
            let mut config = config(PASSWORD);
            config.add_address_family(AddressFamily::IPV6);
            let foreign = Foreign::new(server.local_addrs()[0], transport, config)?;
            relay_for_both_families(foreign).with_context(|| transport.to_string())?;
        }
        Ok(())
    });
}

fn relay_for_both_families(mut foreign: Foreign) -> Result<()> {
    let relayed = [foreign.allocated()?, foreign.allocated()?];
    ensure!(relayed.iter().any(SocketAddr::is_ipv4), "{relayed:?}");
    ensure!(relayed.iter().any(SocketAddr::is_ipv6), "{relayed:?}");
    for ip in ["127.0.0.1", "::1"] {
        let echo = Echo::start(ip)?;
        foreign.permit(echo.addr)?;
        foreign.echoed(echo.addr, b"in an indication").context(ip)?;
    }
    // It numbers the channels of each family from 0x4000, so only one family can have a channel.
    let echo = Echo::start("::1")?;
    foreign.bind(echo.addr)?;
    foreign.echoed(echo.addr, b"in a channel")
}

#[test]
fn turn_client_proto_authenticates_with_sha_256_and_without_its_name() {
    let name = "turn_client_proto_authenticates_with_sha_256_and_without_its_name";
    scene(name, &[], |_| {
        // USERHASH is only offered without shared secrets.
        let server = start(Config { rest_secrets: Vec::new(), ..crate::config()? })?;
        let (sha_1, sha_256) = (IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256);
        let (named, anonymous) = (Feature::Disabled, Feature::Required);
        // Over UDP its first request is too short to allow a challenge that offers everything.
        for (transport, what, integrity, name, is_offered) in [
            (TransportType::Udp, "SHA-1", sha_1, named, true),
            (TransportType::Udp, "SHA-256", sha_256, named, false),
            (TransportType::Udp, "SHA-256, USERHASH", sha_256, anonymous, false),
            (TransportType::Tcp, "SHA-1", sha_1, named, true),
            (TransportType::Tcp, "SHA-256", sha_256, named, true),
            (TransportType::Tcp, "SHA-256, USERHASH", sha_256, anonymous, true),
        ] {
            let context = || format!("{transport}, {what}");
            let mut config = config(PASSWORD);
            config.set_supported_integrity(integrity);
            config.set_anonymous_username(name);
            let mut foreign = Foreign::new(server.local_addrs()[0], transport, config)?;
            let allocated = foreign.allocated();
            if !is_offered {
                let error = allocated.err().with_context(context)?.to_string();
                ensure!(error.contains("AllocationCreateFailed"), "{transport}, {what}: {error}");
                continue;
            }
            allocated.with_context(context)?;
            let echo = Echo::start("127.0.0.1")?;
            foreign.permit(echo.addr).with_context(context)?;
            foreign.echoed(echo.addr, what.as_bytes()).with_context(context)?;
        }
        Ok(())
    });
}

const NONCE: u16 = 0x0015;
const PASSWORD_ALGORITHMS: u16 = 0x8002;
const FINGERPRINT: u16 = 0x8028;
/// Start of a nonce. 24 bits in base64 follow, the first of them for PASSWORD-ALGORITHMS (RFC 8489
/// §9.2).
const COOKIE: &[u8] = b"obMatJos2";

/// Rewrites the attributes of a message and removes its fingerprint.
fn rewritten(message: &[u8], other: impl Fn(u16, &[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let (header, mut rest) = message.split_at(20);
    let mut attributes = Vec::new();
    while let [kind_high, kind_low, len_high, len_low, ..] = *rest {
        let kind = u16::from_be_bytes([kind_high, kind_low]);
        let len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let value = &rest[4..4 + len];
        rest = &rest[4 + len.next_multiple_of(4)..];
        let Some(value) = other(kind, value).filter(|_| kind != FINGERPRINT) else { continue };
        attributes.extend_from_slice(&kind.to_be_bytes());
        attributes.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        attributes.extend_from_slice(&value);
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    }
    let len = u16::try_from(attributes.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&header[..2], &len, &header[4..], &attributes].concat()
}

fn without_algorithms(message: &[u8]) -> Vec<u8> {
    rewritten(message, |kind, value| (kind != PASSWORD_ALGORITHMS).then(|| value.to_vec()))
}

fn with_md5_only(message: &[u8]) -> Vec<u8> {
    rewritten(message, |kind, value| {
        let md5 = || vec![0, 1, 0, 0];
        Some(if kind == PASSWORD_ALGORITHMS { md5() } else { value.to_vec() })
    })
}

/// Rewrites a message as if the server did not support password algorithms.
fn with_another_nonce(message: &[u8]) -> Vec<u8> {
    rewritten(message, |kind, value| match kind {
        NONCE => {
            let tail = value.strip_prefix(COOKIE).and_then(|bits| bits.get(4..))?;
            Some([COOKIE, b"AAAA", tail].concat())
        }
        PASSWORD_ALGORITHMS => None,
        _ => Some(value.to_vec()),
    })
}

#[test]
fn turn_client_proto_detects_bid_down_attacks() {
    let name = "turn_client_proto_detects_bid_down_attacks";
    scene(name, &[], |_| {
        // Over TCP the first response offers everything and arrives in one piece. The first request
        // is always answered 401. If that is the only error, the client sent no other request.
        type Attack = fn(&[u8]) -> Vec<u8>;
        let attacks: [(&str, Attack, &[u16], u64); 4] = [
            ("nothing is changed", <[u8]>::to_vec, &[401], 1),
            ("the algorithms are removed", without_algorithms, &[401], 0),
            ("the better algorithm is removed", with_md5_only, &[400, 401], 0),
            ("the nonce denies algorithms", with_another_nonce, &[401, 438], 0),
        ];
        for (what, attack, errors, allocations) in attacks {
            let server = start(Config { rest_secrets: Vec::new(), ..crate::config()? })?;
            let mut config = config(PASSWORD);
            config.set_supported_integrity(IntegrityAlgorithm::Sha1);
            config.add_supported_integrity(IntegrityAlgorithm::Sha256);
            let to = server.local_addrs()[0];
            let mut foreign = Foreign::new(to, TransportType::Tcp, config)?;
            foreign.attack = attack;
            // The server publishes its counters a moment after it has responded.
            let answered = || {
                let counters = server.stats().counters;
                let answered = counters.errors().filter(|(_, count)| *count > 0);
                let errors: Vec<_> = answered.map(|(error, _)| error.value()).collect();
                (errors, counters.allocations_made)
            };
            let wanted = (errors.to_vec(), allocations);
            // Until the client has succeeded or given up.
            let deadline = Instant::now() + PATIENCE;
            while answered() != wanted {
                ensure!(Instant::now() < deadline, "{what}: {:?} was answered", answered());
                foreign.last_round();
            }
            (0..LAST_ROUNDS).for_each(|_| foreign.last_round());
            ensure!(answered() == wanted, "{what}: {:?} was answered in the end", answered());
        }
        Ok(())
    });
}
