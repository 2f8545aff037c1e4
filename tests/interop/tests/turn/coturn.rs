//! Our clients against coturn's server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::ports::free_port;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_turn_proto::{
    ClientConfig, ClientEvent, StreamDecoder, StunClient, Transport, TurnClient,
};

use crate::uclient::echo;
use crate::{PASSWORD, PATIENCE, REALM, Running, USER};

/// coturn's server, on a free port.
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

/// Our TURN client on a real socket, one round at a time.
struct Caller {
    client: TurnClient,
    wire: Wire,
    decoder: StreamDecoder,
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Caller {
    fn new(server: SocketAddr, transport: Transport) -> Result<Self> {
        let timeout = Some(Duration::from_millis(10));
        let wire = match transport {
            Transport::Udp | Transport::Dtls => {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                socket.connect(server)?;
                socket.set_read_timeout(timeout)?;
                Wire::Udp(socket)
            }
            Transport::Tcp | Transport::Tls => {
                let stream = TcpStream::connect(server)?;
                stream.set_read_timeout(timeout)?;
                Wire::Tcp(stream)
            }
        };
        let config = ClientConfig::new(USER.to_owned(), PASSWORD.to_owned(), transport);
        let client = TurnClient::new(config, Instant::now());
        Ok(Self { client, wire, decoder: StreamDecoder::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.wire {
            Wire::Udp(socket) => ensure!(socket.send(bytes)? == bytes.len(), "cut"),
            Wire::Tcp(stream) => stream.write_all(bytes)?,
        }
        Ok(())
    }

    /// Sends what waits, reads what is there; returns what peers sent.
    fn round(&mut self) -> Result<Vec<(SocketAddr, Vec<u8>)>> {
        self.client.handle_timeout(Instant::now());
        while let Some(bytes) = self.client.poll_transmit() {
            self.write(&bytes)?;
        }
        let mut buffer = [0; 65_536];
        let mut frames = Vec::new();
        let read = match &mut self.wire {
            Wire::Udp(socket) => socket.recv(&mut buffer),
            Wire::Tcp(stream) => stream.read(&mut buffer),
        };
        match (read, &self.wire) {
            (Ok(n), Wire::Udp(_)) => frames.push(buffer[..n].to_vec()),
            (Ok(n), Wire::Tcp(_)) => {
                self.decoder.push(&buffer[..n])?;
                while let Some(frame) = self.decoder.next_frame()? {
                    frames.push(frame.to_vec());
                }
            }
            (Err(_), _) => {}
        }
        let now = Instant::now();
        let payload = |client: &mut TurnClient, frame: Vec<u8>| {
            let (peer, range) = client.handle_datagram(now, &frame)?;
            Some((peer, frame[range].to_vec()))
        };
        Ok(frames.into_iter().filter_map(|frame| payload(&mut self.client, frame)).collect())
    }

    /// Rounds until there is an event.
    fn event(&mut self) -> Result<ClientEvent> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.round()?;
            if let Some(event) = self.client.poll_event() {
                return Ok(event);
            }
        }
        bail!("nothing happened")
    }

    /// Sends until it comes back.
    fn echoed(&mut self, peer: SocketAddr, payload: &[u8]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let mut out = Vec::new();
            if self.client.wrap(peer, payload, &mut out) {
                self.write(&out)?;
            }
            if self.round()?.contains(&(peer, payload.to_vec())) {
                return Ok(());
            }
        }
        bail!("nothing comes back")
    }
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
            let mut caller = Caller::new(server, transport).with_context(context)?;
            let event = caller.event().with_context(context)?;
            ensure!(matches!(event, ClientEvent::Allocated { .. }), "{transport:?}: {event:?}");
            caller.client.create_permission(Instant::now(), peer.ip());
            caller.echoed(peer, b"in an indication").with_context(context)?;
            // Its nonces go stale after a second: this one must be asked for twice.
            std::thread::sleep(Duration::from_millis(2_100));
            caller.client.bind_channel(Instant::now(), peer);
            let deadline = Instant::now() + PATIENCE;
            while caller.client.channel(peer).is_none() {
                ensure!(Instant::now() < deadline, "{transport:?}: no channel");
                caller.round()?;
            }
            let mut out = Vec::new();
            caller.client.wrap(peer, b"x", &mut out);
            ensure!(out.starts_with(&[0x40, 0]), "{transport:?}: no channel");
            caller.echoed(peer, b"in a channel").with_context(context)?;
            caller.client.close(Instant::now());
            let deadline = Instant::now() + PATIENCE;
            while !caller.client.is_finished() {
                ensure!(Instant::now() < deadline, "{transport:?}: no farewell");
                caller.round()?;
            }
        }
        Ok(())
    });
}
