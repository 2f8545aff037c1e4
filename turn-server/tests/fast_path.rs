//! The whole server with channels relayed in the kernel, between hosts of their own.
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
/// Longer than a client waits before it renews channel and permission (RFC 8656 §9: 5 minutes).
const RENEWED: Duration = Duration::from_secs(290);

/// A client with an allocation and a channel to one peer.
struct Caller {
    socket: UdpSocket,
    client: TurnClient,
    relayed: SocketAddr,
    peer: SocketAddr,
}

impl Caller {
    fn new(socket: UdpSocket, peer: SocketAddr) -> Result<Self> {
        let config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), Transport::Udp);
        let client = TurnClient::new(config, Instant::now());
        let mut caller = Self { socket, client, relayed: peer, peer };
        wait::until("an allocation", PATIENCE, || {
            caller.round(Instant::now())?;
            match caller.client.poll_event() {
                Some(ClientEvent::Allocated { relayed, .. }) => {
                    caller.relayed = relayed;
                    Ok(Some(()))
                }
                Some(event) => bail!("no allocation: {event:?}"),
                None => Ok(None),
            }
        })?;
        caller.client.bind_channel(Instant::now(), peer);
        Ok(caller)
    }

    /// Asks what is to be asked at this time, and reads until nothing comes.
    fn round(&mut self, now: Instant) -> Result<()> {
        self.client.handle_timeout(now);
        while let Some(bytes) = self.client.poll_transmit() {
            self.socket.send(&bytes)?;
        }
        while let Some(bytes) = self.read()? {
            self.client.handle_datagram(now, &bytes);
            while let Some(bytes) = self.client.poll_transmit() {
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

    /// There and back.
    fn echo(&mut self, peer: &UdpSocket, payload: &[u8]) -> Result<()> {
        let mut message = Vec::new();
        ensure!(self.client.wrap(self.peer, payload, &mut message), "there is no channel");
        self.socket.send(&message)?;
        let mut buffer = [0; 2048];
        let (length, from) = peer.recv_from(&mut buffer).context("the peer gets nothing")?;
        ensure!((&buffer[..length], from) == (payload, self.relayed), "from {from}");
        peer.send_to(payload, self.relayed)?;
        // Answers to requests may come before it.
        let (from, back) = wait::until("the echo", PATIENCE, || {
            let Some(bytes) = self.read()? else { return Ok(None) };
            let data = self.client.handle_datagram(Instant::now(), &bytes);
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

/// With what this thread says in the log meanwhile.
fn logged<T>(what: impl FnOnce() -> T) -> (T, String) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Written(Arc::clone(&writer)))
        .finish();
    let result = tracing::subscriber::with_default(subscriber, what);
    let said = log.lock().unwrap_or_else(PoisonError::into_inner);
    (result, String::from_utf8_lossy(&said).into_owned())
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
    // A sender beside us leaves the checksum to a wire that is not there.
    let off = host.command("ethtool").args(["-K", "eth0", "tx", "off"]).output()?;
    ensure!(off.status.success(), "ethtool: {}", String::from_utf8_lossy(&off.stderr));
    let socket = host.inside(|| UdpSocket::bind((host.address(), 0)))??;
    Ok(socket)
}

/// A server and both ends of a channel of its.
fn with_channel(
    name: &str,
    fast_path: &[&str],
    log: &str,
    body: impl FnOnce(&Server, &mut Caller, &UdpSocket) -> Result<()>,
) -> Result<()> {
    let lab = Lab::new(name)?;
    let (near, far) = (lab.side(NatKind::Open)?, lab.side(NatKind::Open)?);
    let (server, said) = lab.server().inside(|| logged(|| Server::start(config(fast_path))))?;
    let server = server?;
    ensure!(said.contains(log), "{said}");
    let (client, peer) = (socket(&near.host)?, socket(&far.host)?);
    client.connect((SERVER_ADDRESS, 3478))?;
    client.set_read_timeout(Some(Duration::from_millis(20)))?;
    peer.set_read_timeout(Some(PATIENCE))?;
    let mut caller = Caller::new(client, peer.local_addr()?)?;
    let told = |caller: &mut Caller| {
        caller.round(Instant::now())?;
        let mut message = Vec::new();
        Ok(caller.client.wrap(caller.peer, b"", &mut message).then_some(()))
    };
    wait::until("a channel", PATIENCE, || told(&mut caller))?;
    body(&server, &mut caller, &peer)?;
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
fn a_channel_is_relayed_by_the_kernel_as_long_as_it_lives() {
    scene("a_channel_is_relayed_by_the_kernel_as_long_as_it_lives", NEEDS, |_| {
        let log = "TURN channels are relayed in the kernel, on eth0";
        with_channel("kernel", &["auto"], log, |server, caller, peer| {
            wait_for("the kernel has it", server, |stats| stats.offloaded_channels == 1)?;
            for size in 0..500 {
                caller.echo(peer, &vec![7; size])?;
            }
            wait_for("all is counted", server, |stats| relayed(stats) >= 1000)?;
            let stats = server.stats();
            ensure!(by_kernel(&stats) * 100 > relayed(&stats) * 99, "{stats:?}");
            let sessions = server.sessions(None, 10)?;
            let bytes: u64 = (0..500).sum();
            ensure!(sessions.len() == 1 && sessions[0].info.to_peer.bytes == bytes, "{sessions:?}");

            // Renewed, it goes on.
            caller.round(Instant::now() + RENEWED)?;
            caller.echo(peer, b"renewed")?;
            wait_for("still the kernel", server, |stats| {
                stats.offloaded_channels == 1 && by_kernel(stats) == relayed(stats)
            })?;

            // What it leaves to the sockets is relayed all the same, and counted.
            caller.socket.set_ttl(1)?;
            caller.echo(peer, b"no hop is left")?;
            let FastPathStatus { interfaces, left_to_sockets: left } = server.fast_path();
            ensure!(interfaces == 1, "it is on at {interfaces} interfaces");
            let counts = left.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
            ensure!(counts == [&("ttl", 1)], "{left:?}");

            // The operator's end is the kernel's end.
            ensure!(server.end_session(sessions[0].id)?);
            wait_for("it is out of the kernel", server, |stats| stats.offloaded_channels == 0)?;
            let mut message = Vec::new();
            caller.client.wrap(caller.peer, b"late", &mut message);
            caller.socket.send(&message)?;
            peer.set_read_timeout(Some(Duration::from_millis(100)))?;
            ensure!(peer.recv(&mut [0; 16]).is_err(), "it is relayed after its end");
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
            with_channel(name, fast_path, log, |server, caller, peer| {
                (0..50).try_for_each(|size| caller.echo(peer, &vec![7; size]))?;
                wait_for("all is counted", server, |stats| relayed(stats) == 100)?;
                let stats = server.stats();
                ensure!((stats.offloaded_channels, by_kernel(&stats)) == (0, 0), "{stats:?}");
                ensure!(server.fast_path().interfaces == 0, "it is not on, and says it is");
                Ok(())
            })
            .context(name)?;
        }
        Ok(())
    });
}
