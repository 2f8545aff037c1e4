//! coturn's clients against our TURN server, and our clients against coturn's server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_turn_proto::{
    ClientConfig, ClientEvent, StreamDecoder, StunClient, Transport, TurnClient,
};
use porthole_turn_server::{Config, Server};

/// The slowest of them sends for a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const REALM: &str = "example.org";
const MESSAGES: u64 = 20;

/// A child that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn needs() -> [Need; 3] {
    ["turnutils_uclient", "turnutils_peer", "turnutils_stunclient"].map(Need::Tool)
}

fn server() -> Result<Server> {
    let allow = ["127.0.0.0/8", "::1"];
    let config = Config {
        listen: vec!["127.0.0.1:0".parse()?, "[::1]:0".parse()?],
        realm: REALM.to_owned(),
        users: vec![("anna".to_owned(), "secret".to_owned())],
        rest_secrets: vec!["shared".to_owned()],
        allow_peers: allow.iter().map(|block| block.parse()).collect::<Result<_, _>>()?,
        // Debian's turnutils_uclient is one of RFC 5766.
        rfc5766_channels: true,
        workers: 2,
        ..Config::default()
    };
    Ok(Server::start(config)?)
}

/// coturn's echo peer, on a free port.
fn echo(ip: &str) -> Result<(Running, u16)> {
    let free = UdpSocket::bind((ip, 0))?.local_addr()?.port();
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
    bail!("turnutils_peer does not answer")
}

/// `name` is its log's.
fn run(scene: &Scene, name: &str, command: &mut Command) -> Result<(bool, String)> {
    let path = scene.folder().join(format!("{name}.log"));
    let log = std::fs::File::create(&path)?;
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let mut child = Running(child);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.0.try_wait()? {
            return Ok((status.success(), std::fs::read_to_string(path)?));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("{command:?} does not end:\n{}", std::fs::read_to_string(path)?)
}

/// What `turnutils_uclient` says at its end.
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
            ("client to client, UDP", v4, "-c -y", "", fixed),
            ("client to client, UDP, indications", v4, "-c -y -s", "", fixed),
            ("client to client, TCP", v4, "-c -y -t", "", fixed),
            ("client to client, IPv6", v6, "-c -y -x", "", fixed),
        ];
        // Most of each run is coturn's own waiting.
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
            started.into_iter().try_for_each(|thread| match thread.join() {
                Ok(result) => result,
                Err(_) => bail!("a thread panicked"),
            })
        })?;
        ensure!(server.stats().not_sent == 0, "{:?}", server.stats());
        Ok(())
    });
}

#[test]
fn turnutils_uclient_is_refused_with_wrong_credentials() {
    scene("turnutils_uclient_is_refused_with_wrong_credentials", &needs(), |scene| {
        let server = server()?;
        let to = server.local_addrs()[0];
        for user in [["-w", "guess"], ["-W", "other"]] {
            let flags = [&["-c", "-y", "-u", "anna"][..], &user].concat();
            ensure!(uclient(scene, "uclient", to, &flags).is_err(), "{user:?} was let in");
        }
        ensure!(server.stats().counters.allocations_made == 0, "an allocation was made");
        Ok(())
    });
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

/// coturn's server, on a free port.
fn coturn(scene: &Scene) -> Result<(Running, SocketAddr)> {
    let at = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
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
        let config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), transport);
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
            caller.client.permit(peer.ip(), Instant::now());
            caller.echoed(peer, b"in an indication").with_context(context)?;
            // Its nonces go stale after a second: this one must be asked for twice.
            std::thread::sleep(Duration::from_millis(2_100));
            caller.client.bind_channel(peer, Instant::now());
            (0..30).try_for_each(|_| caller.round().map(drop))?;
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
