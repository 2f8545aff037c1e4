//! Bursts of datagrams with and without UDP_GRO and UDP_SEGMENT, and ICMP errors about them.
#![cfg(target_os = "linux")]

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg, setsockopt, sockopt};
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::turn_client::{Socket, TestTurnClient};
use porthole_turn_proto::Transport;
use porthole_turn_proto::stun::{Class, MessageWriter, Method, TransactionId, attribute};
use porthole_turn_server::{Config, Server};

const PATIENCE: Duration = Duration::from_secs(10);

fn start(segmentation: bool) -> Result<Server> {
    Ok(Server::start(Config {
        listen: vec!["127.0.0.1:0".parse()?],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        allow_peers: vec!["127.0.0.0/8".parse()?],
        segmentation,
        workers: 1,
        ..Config::default()
    })?)
}

/// A client with an allocation.
struct Client {
    inner: TestTurnClient,
    relayed: SocketAddr,
}

impl Client {
    fn new(listen: SocketAddr) -> Result<Self> {
        let mut inner = TestTurnClient::anna(listen, Transport::Udp)?;
        let relayed = inner.allocate()?;
        Ok(Self { inner, relayed })
    }

    fn socket(&self) -> Result<&UdpSocket> {
        match &self.inner.link {
            Socket::Udp(socket) => Ok(socket),
            Socket::Tcp(..) => bail!("not a UDP socket"),
        }
    }

    /// Gets a permission or a channel for a peer. From then on payloads for it are wrapped in Send
    /// indications or ChannelData.
    fn open(&mut self, peer: SocketAddr, channel: bool) -> Result<()> {
        if channel {
            self.inner.bind(peer)?;
        } else {
            self.inner.permit(peer.ip())?;
        }
        let wrapped = self.wrap(peer, &[vec![0]])?;
        ensure!((wrapped[0][0] & 0xC0 == 0x40) == channel, "channel {channel}");
        Ok(())
    }

    fn wrap(&mut self, peer: SocketAddr, payloads: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let wrap = |payload: &Vec<u8>| {
            let mut out = Vec::new();
            let wrapped = self.inner.client.wrap(peer, payload, &mut out);
            wrapped.then_some(out).context("no permission")
        };
        payloads.iter().map(wrap).collect()
    }

    /// Receives payloads of peers, at most `count`.
    fn receive(&mut self, count: usize) -> Result<Vec<Vec<u8>>> {
        let deadline = Instant::now() + PATIENCE;
        while self.inner.received.len() < count && Instant::now() < deadline {
            self.inner.round()?;
        }
        let received = self.inner.received.drain(..count.min(self.inner.received.len()));
        Ok(received.map(|(_, payload)| payload).collect())
    }
}

/// Sends datagrams; if `coalesced`, each run of equal length in one call.
fn send(socket: &UdpSocket, to: SocketAddr, all: &[Vec<u8>], coalesced: bool) -> Result<()> {
    let alike = |a: &Vec<u8>, b: &Vec<u8>| coalesced && a.len() == b.len() && !a.is_empty();
    for run in all.chunk_by(alike) {
        let parts: Vec<_> = run.iter().map(|datagram| IoSlice::new(datagram)).collect();
        let segment = u16::try_from(run[0].len())?;
        let control = [ControlMessage::UdpGsoSegments(&segment)];
        let control = if run.len() > 1 { control.as_slice() } else { &[] };
        let to = SockaddrStorage::from(to);
        sendmsg(socket.as_raw_fd(), &parts, control, MsgFlags::empty(), Some(&to))?;
    }
    Ok(())
}

fn receive(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let next = std::iter::from_fn(|| {
        let n = socket.recv(&mut buffer).ok()?;
        Some(buffer[..n].to_vec())
    });
    next.take(count).collect()
}

fn lens(datagrams: &[Vec<u8>]) -> Vec<usize> {
    datagrams.iter().map(Vec::len).collect()
}

/// Makes payloads of which no two of equal length are equal.
fn payloads(lens: &[usize]) -> Vec<Vec<u8>> {
    let payload = |(i, len): (usize, &usize)| {
        (0..*len).map(|at| u8::try_from((31 * i + at) % 251).unwrap_or(0)).collect()
    };
    lens.iter().enumerate().map(payload).collect()
}

#[test]
fn a_burst_arrives_complete_and_in_order_in_both_directions_however_it_is_sent() -> Result<()> {
    let bursts: [&[usize]; 10] = [
        &[1200; 8],
        &[1200, 1200, 1200, 300],
        &[300, 1200, 1200, 300, 1200],
        &[1; 40],
        &[0, 7, 0, 0, 7, 7],
        &[33; 30],
        &[1468; 5],
        &[1473; 5],
        &[2, 3, 4, 5, 6, 5, 4, 3, 2],
        &[9000, 9000, 1200, 1200],
    ];
    for segmentation in [true, false] {
        let server = start(segmentation)?;
        let mut client = Client::new(server.local_addrs()[0])?;
        let peer = UdpSocket::bind("127.0.0.1:0")?;
        peer.set_read_timeout(Some(PATIENCE))?;
        let at = peer.local_addr()?;
        for (channel, burst) in [false, true].iter().flat_map(|c| bursts.map(|b| (*c, b))) {
            if burst == bursts[0] {
                client.open(at, channel)?;
            }
            let sent = payloads(burst);
            for coalesced in [true, false] {
                let what = format!("{burst:?} {segmentation} {channel} {coalesced}");
                let wrapped = client.wrap(at, &sent)?;
                send(client.socket()?, server.local_addrs()[0], &wrapped, coalesced)?;
                let got = receive(&peer, sent.len());
                assert_eq!(lens(&got), burst, "to the peer {what}");
                assert!(got == sent, "to the peer {what}: the bytes differ");
                send(&peer, client.relayed, &sent, coalesced)?;
                let got = client.receive(sent.len())?;
                assert_eq!(lens(&got), burst, "to the client {what}");
                assert!(got == sent, "to the client {what}: the bytes differ");
            }
        }
        assert_eq!(server.stats().not_sent, 0);
    }
    Ok(())
}

#[test]
fn a_burst_is_sent_in_one_call_with_segmentation_and_one_by_one_without() -> Result<()> {
    for segmentation in [true, false] {
        let server = start(segmentation)?;
        let mut client = Client::new(server.local_addrs()[0])?;
        let peer = UdpSocket::bind("127.0.0.1:0")?;
        peer.set_read_timeout(Some(PATIENCE))?;
        // With UDP_GRO it receives datagrams sent in one call in one piece.
        setsockopt(&peer, sockopt::UdpGroSegment, &true)?;
        let at = peer.local_addr()?;
        client.open(at, true)?;
        let sent = payloads(&[1200; 8]);
        let wrapped = client.wrap(at, &sent)?;
        send(client.socket()?, server.local_addrs()[0], &wrapped, true)?;
        let mut got = Vec::new();
        while got.iter().sum::<usize>() < 8 * 1200 {
            let piece = receive(&peer, 1);
            got.push(piece.first().with_context(|| format!("{segmentation}: {got:?}"))?.len());
        }
        let wanted = if segmentation { vec![8 * 1200] } else { vec![1200; 8] };
        assert_eq!(got, wanted, "{segmentation}");
    }
    Ok(())
}

/// Reads the ICMP attribute (RFC 8656 §18.13) of a Data indication: type and code.
fn icmp_of(message: &[u8]) -> Option<(u8, u16)> {
    if !message.starts_with(&[0x00, 0x17]) {
        return None;
    }
    let mut rest = message.get(20..)?;
    while let [k0, k1, l0, l1, value @ ..] = rest {
        if [*k0, *k1] == [0x80, 0x04] {
            let &[_, _, t, c, ..] = value else { return None };
            return Some((t >> 1, u16::from(t & 1) << 8 | u16::from(c)));
        }
        let len = usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
        rest = value.get(len..)?;
    }
    None
}

#[test]
fn a_closed_port_is_reported_to_the_client_and_does_not_affect_other_peers() -> Result<()> {
    let server = start(true)?;
    let listen = server.local_addrs()[0];
    let mut client = Client::new(listen)?;
    // Connected to another address: for everyone else its port is closed, and stays reserved.
    let connected = UdpSocket::bind("127.0.0.1:0")?;
    connected.connect("127.0.0.1:9")?;
    let closed = connected.local_addr()?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    peer.set_read_timeout(Some(PATIENCE))?;
    let open = peer.local_addr()?;
    client.open(open, false)?;
    for round in 0..10_u8 {
        let to_closed = client.wrap(closed, &[vec![round]])?;
        let to_open = client.wrap(open, &[vec![round; 5]])?;
        // The error about the first has arrived when the second is sent.
        send(client.socket()?, listen, &[to_closed, to_open].concat(), false)?;
        assert_eq!(receive(&peer, 1), [vec![round; 5]]);
        let deadline = Instant::now() + PATIENCE;
        let reported = loop {
            ensure!(Instant::now() < deadline, "the client gets no error");
            let messages = client.inner.round()?;
            if let Some(icmp) = messages.iter().find_map(|message| icmp_of(message)) {
                break icmp;
            }
        };
        assert_eq!(reported, (3, 3), "destination unreachable, port unreachable");
    }
    Ok(())
}

/// Runs a test in a network namespace of its own, where the path to [`NARROW`] has this MTU.
fn with_narrow_path(mtu: u16, test: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let ip = move |arguments: &str| {
        let status = Command::new("ip").args(arguments.split(' ')).status()?;
        ensure!(status.success(), "ip {arguments}");
        Ok(())
    };
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        ip("link set lo up")?;
        ip(&format!("route add local {NARROW} dev lo table local mtu lock {mtu}"))?;
        test()
    });
    thread.join().map_err(|_| anyhow::anyhow!("a panic"))?
}

/// Makes a Send indication (RFC 8656 §11.1).
fn indication(peer: SocketAddr, payload: &[u8], dont_fragment: bool) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (class, id) = (Class::Indication, TransactionId([9; 12]));
    let mut message = MessageWriter::new(&mut bytes, class, Method::Send, id);
    message.xor_address(attribute::XOR_PEER_ADDRESS, peer).attribute(attribute::DATA, payload);
    if dont_fragment {
        message.attribute(attribute::DONT_FRAGMENT, &[]);
    }
    message.finish()?;
    Ok(bytes)
}

/// Address of this host that the path with a small MTU leads to; see [`with_narrow_path`].
const NARROW: &str = "127.9.9.9";

#[test]
fn a_narrow_path_carries_fragments_but_nothing_with_dont_fragment() {
    let name = "a_narrow_path_carries_fragments_but_nothing_with_dont_fragment";
    scene(name, &[Need::Lab], |_| with_narrow_path(600, segmented_and_whole));
}

fn segmented_and_whole() -> Result<()> {
    let server = start(true)?;
    let listen = server.local_addrs()[0];
    let mut client = Client::new(listen)?;
    let peer = UdpSocket::bind((NARROW, 0))?;
    peer.set_read_timeout(Some(PATIENCE))?;
    let at = peer.local_addr()?;
    client.open(at, false)?;
    // Before and after a datagram was fragmented.
    for round in 0..2 {
        for (len, dont_fragment, arrives) in
            [(500, true, true), (1200, true, false), (1200, false, true), (1200, true, false)]
        {
            let payload = payloads(&[len]).remove(0);
            let before = server.stats().not_sent;
            let message = indication(at, &payload, dont_fragment)?;
            send(client.socket()?, listen, &[message], false)?;
            let what = format!("{len} {dont_fragment} {round}");
            if arrives {
                assert_eq!(receive(&peer, 1), [payload], "{what}");
            }
            // The counter is published a moment after the attempt.
            let refused = || server.stats().not_sent - before;
            let deadline = Instant::now() + PATIENCE;
            while refused() < u64::from(!arrives) {
                ensure!(Instant::now() < deadline, "{what}: it was not refused");
                std::thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(refused(), u64::from(!arrives), "{what}");
            peer.set_nonblocking(true)?;
            assert_eq!(receive(&peer, 1), [[0; 0]; 0], "{what}");
            peer.set_nonblocking(false)?;
        }
    }
    // They arrive in one piece and should leave in one, which the kernel refuses on this path.
    for round in 0..3 {
        let before = server.stats().not_sent;
        let sent = payloads(&[1200; 8]);
        let wrapped = client.wrap(at, &sent)?;
        send(client.socket()?, listen, &wrapped, true)?;
        let got = receive(&peer, sent.len());
        assert_eq!(lens(&got), lens(&sent), "{round}");
        assert!(got == sent, "{round}: the bytes differ");
        assert_eq!(server.stats().not_sent, before, "{round}");
    }
    Ok(())
}
