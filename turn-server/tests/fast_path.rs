//! The server with channels relayed in the kernel, between hosts of their own.
#![cfg(target_os = "linux")]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::lab::{Host, Lab, SERVER_ADDRESS};
use porthole_test_support::nat::NatKind;
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::wait;
use porthole_turn_proto::server::Relayed;
use porthole_turn_proto::{ClientConfig, ClientEvent, Transport, TurnClient};
use porthole_turn_server::{Config, FastPathStatus, Server, Stats};

const NEEDS: &[Need] = &[Need::Lab, Need::Tool("ethtool")];
const PATIENCE: Duration = Duration::from_secs(10);
/// Time after which a client has refreshed channel and permission (RFC 8656 §9: 5 minutes).
const RENEWED: Duration = Duration::from_secs(290);

/// A client with an allocation and a channel to one peer.
struct Client {
    socket: UdpSocket,
    turn: TurnClient,
    relayed: SocketAddr,
    peer: SocketAddr,
}

impl Client {
    fn new(socket: UdpSocket, peer: SocketAddr) -> Result<Self> {
        let config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), Transport::Udp);
        let turn = TurnClient::new(config, Instant::now());
        let mut client = Self { socket, turn, relayed: peer, peer };
        wait::until("an allocation", PATIENCE, || {
            client.round(Instant::now())?;
            match client.turn.poll_event() {
                Some(ClientEvent::Allocated { relayed, .. }) => {
                    client.relayed = relayed;
                    Ok(Some(()))
                }
                Some(event) => bail!("no allocation: {event:?}"),
                None => Ok(None),
            }
        })?;
        client.turn.bind_channel(Instant::now(), peer);
        Ok(client)
    }

    /// Sends the requests due at this time and reads until nothing more arrives.
    fn round(&mut self, now: Instant) -> Result<()> {
        self.turn.handle_timeout(now);
        while let Some(bytes) = self.turn.poll_transmit() {
            self.socket.send(&bytes)?;
        }
        while let Some(bytes) = self.read()? {
            self.turn.handle_datagram(now, &bytes);
            while let Some(bytes) = self.turn.poll_transmit() {
                self.socket.send(&bytes)?;
            }
        }
        Ok(())
    }

    fn read(&self) -> Result<Option<Vec<u8>>> {
        let mut buffer = [0; 2048];
        match self.socket.recv(&mut buffer) {
            Ok(length) => Ok(Some(buffer[..length].to_vec())),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a payload to the peer and back.
    fn echo(&mut self, peer: &UdpSocket, payload: &[u8]) -> Result<()> {
        let mut message = Vec::new();
        ensure!(self.turn.wrap(self.peer, payload, &mut message), "there is no channel");
        self.socket.send(&message)?;
        let mut buffer = [0; 2048];
        let (length, from) = peer.recv_from(&mut buffer).context("nothing arrives at the peer")?;
        ensure!((&buffer[..length], from) == (payload, self.relayed), "from {from}");
        peer.send_to(payload, self.relayed)?;
        // Responses to requests may arrive before it.
        let (from, back) = wait::until("the echo", PATIENCE, || {
            let Some(bytes) = self.read()? else { return Ok(None) };
            let data = self.turn.handle_datagram(Instant::now(), &bytes);
            Ok(data.map(|(from, range)| (from, bytes[range].to_vec())))
        })?;
        ensure!((from, &*back) == (self.peer, payload), "from {from}");
        Ok(())
    }
}

fn config(fast_path: &[&str]) -> Config {
    Config {
        listen: vec![(SERVER_ADDRESS, 3478).into()],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        allow_peers: vec!["203.0.113.0/24".parse().expect("a block")],
        workers: 2,
        fast_path: fast_path.iter().map(ToString::to_string).collect(),
        ..Config::default()
    }
}

/// Runs `body` and returns its result with what this thread has logged.
fn logged<T>(body: impl FnOnce() -> T) -> (T, String) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Written(Arc::clone(&writer)))
        .finish();
    let result = tracing::subscriber::with_default(subscriber, body);
    let text = log.lock().unwrap_or_else(PoisonError::into_inner);
    (result, String::from_utf8_lossy(&text).into_owned())
}

struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn socket(host: &Host) -> Result<UdpSocket> {
    // With offloading on, no checksum is computed: the packet never reaches a wire.
    let off = host.command("ethtool").args(["-K", "eth0", "tx", "off"]).output()?;
    ensure!(off.status.success(), "ethtool: {}", String::from_utf8_lossy(&off.stderr));
    let socket = host.inside(|| UdpSocket::bind((host.address(), 0)))??;
    Ok(socket)
}

/// Runs `body` with a server, and both ends of a channel.
fn with_channel(
    name: &str,
    fast_path: &[&str],
    log: &str,
    body: impl FnOnce(&Server, &mut Client, &UdpSocket) -> Result<()>,
) -> Result<()> {
    let lab = Lab::new(name)?;
    let (near, far) = (lab.side(NatKind::Open)?, lab.side(NatKind::Open)?);
    let (server, said) = lab.server().inside(|| logged(|| Server::start(config(fast_path))))?;
    let server = server?;
    ensure!(said.contains(log), "{said}");
    let (to_server, peer) = (socket(&near.host)?, socket(&far.host)?);
    to_server.connect((SERVER_ADDRESS, 3478))?;
    to_server.set_read_timeout(Some(Duration::from_millis(20)))?;
    peer.set_read_timeout(Some(PATIENCE))?;
    let mut client = Client::new(to_server, peer.local_addr()?)?;
    let has_channel = |client: &mut Client| {
        client.round(Instant::now())?;
        let mut message = Vec::new();
        Ok(client.turn.wrap(client.peer, b"", &mut message).then_some(()))
    };
    wait::until("a channel", PATIENCE, || has_channel(&mut client))?;
    body(&server, &mut client, &peer)?;
    server.shutdown(Duration::ZERO);
    Ok(())
}

fn relayed(stats: &Stats) -> u64 {
    stats.counters.relayed().map(|(_, relayed)| both_ways(relayed)).sum()
}

fn by_kernel(stats: &Stats) -> u64 {
    both_ways(stats.counters.offloaded)
}

fn both_ways(relayed: Relayed) -> u64 {
    relayed.to_peers.packets + relayed.to_clients.packets
}

fn wait_for(what: &str, server: &Server, holds: impl Fn(&Stats) -> bool) -> Result<()> {
    wait::until(what, PATIENCE, || Ok(holds(&server.stats()).then_some(())))
        .with_context(|| format!("{:?}", server.stats()))
}

#[test]
fn a_channel_is_relayed_by_the_kernel_as_long_as_it_exists() {
    scene("a_channel_is_relayed_by_the_kernel_as_long_as_it_exists", NEEDS, |_| {
        let log = "TURN channels are relayed in the kernel on eth0";
        with_channel("kernel", &["auto"], log, |server, client, peer| {
            wait_for("the channel to be offloaded", server, |stats| stats.offloaded_channels == 1)?;
            for size in 0..500 {
                client.echo(peer, &vec![7; size])?;
            }
            wait_for("all packets to be counted", server, |stats| relayed(stats) >= 1000)?;
            let stats = server.stats();
            ensure!(by_kernel(&stats) * 100 > relayed(&stats) * 99, "{stats:?}");
            // A packet that was on its way when offloading began may have taken the sockets.
            let by_sockets = relayed(&stats) - by_kernel(&stats);
            let sessions = server.sessions(None, 10)?;
            let bytes: u64 = (0..500).sum();
            ensure!(sessions.len() == 1 && sessions[0].info.to_peer.bytes == bytes, "{sessions:?}");

            // After a refresh it continues.
            client.round(Instant::now() + RENEWED)?;
            client.echo(peer, b"renewed")?;
            wait_for("still the kernel", server, |stats| {
                let is_counted = relayed(stats) >= 1002;
                let goes_on = relayed(stats) - by_kernel(stats) == by_sockets;
                stats.offloaded_channels == 1 && is_counted && goes_on
            })?;

            // Packets left to the sockets are relayed as well, and counted.
            client.socket.set_ttl(1)?;
            client.echo(peer, b"TTL of 1")?;
            let FastPathStatus { interfaces, fallbacks: left } = server.fast_path();
            ensure!(interfaces == 1, "it is attached to {interfaces} interfaces");
            let counts = left.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
            ensure!(counts == [&("ttl", 1)], "{left:?}");

            // Ending the session ends offloading.
            ensure!(server.end_session(sessions[0].id)?);
            wait_for("the end of offloading", server, |stats| stats.offloaded_channels == 0)?;
            let mut message = Vec::new();
            client.turn.wrap(client.peer, b"late", &mut message);
            client.socket.send(&message)?;
            peer.set_read_timeout(Some(Duration::from_millis(100)))?;
            ensure!(peer.recv(&mut [0; 16]).is_err(), "a packet is relayed after the end");
            Ok(())
        })
    });
}

#[test]
fn without_a_fast_path_sockets_relay_the_same() {
    scene("without_a_fast_path_sockets_relay_the_same", NEEDS, |_| {
        let sockets = "TURN channels are relayed by sockets: no fast path";
        for (name, fast_path, log) in
            [("off", &[][..], ""), ("wrong", &["lo"], sockets), ("none", &["eth7"], sockets)]
        {
            with_channel(name, fast_path, log, |server, client, peer| {
                (0..50).try_for_each(|size| client.echo(peer, &vec![7; size]))?;
                wait_for("all packets to be counted", server, |stats| relayed(stats) == 100)?;
                let stats = server.stats();
                ensure!((stats.offloaded_channels, by_kernel(&stats)) == (0, 0), "{stats:?}");
                ensure!(server.fast_path().interfaces == 0, "it reports a fast path");
                Ok(())
            })
            .context(name)?;
        }
        Ok(())
    });
}
