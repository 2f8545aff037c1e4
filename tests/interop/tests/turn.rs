//! coturn's clients against our TURN server, and our clients against coturn's server.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::scene::{Need, Scene, scene};
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

fn run(scene: &Scene, command: &mut Command) -> Result<(bool, String)> {
    let path = scene.folder().join("client.log");
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

fn uclient(scene: &Scene, to: SocketAddr, flags: &[&str], user: &[&str]) -> Result<(u64, u64)> {
    let mut command = Command::new("turnutils_uclient");
    command
        .args(flags)
        .args(user)
        .args(["-n", &MESSAGES.to_string(), "-m", "2", "-p", &to.port().to_string()])
        .arg(to.ip().to_string());
    let (ended_well, output) = run(scene, &mut command)?;
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
        let (port_v4, port_v6) = (port_v4.to_string(), port_v6.to_string());
        let echo_v4 = ["-e", "127.0.0.1", "-r", &port_v4];
        let echo_v6 = ["-x", "-e", "::1", "-r", &port_v6];
        let fixed = ["-u", "anna", "-w", "secret"];
        let rest = ["-u", "anna", "-W", "shared"];
        for (what, to, flags, peer, user) in [
            ("UDP, channels", v4, &["-c"][..], &echo_v4[..], &fixed[..]),
            ("UDP, indications", v4, &["-c", "-s"], &echo_v4, &fixed),
            ("TCP, channels", v4, &["-c", "-t"], &echo_v4, &fixed),
            ("TCP, indications", v4, &["-c", "-t", "-s"], &echo_v4, &fixed),
            ("padded channels", v4, &["-c", "-D"], &echo_v4, &fixed),
            ("extra requests", v4, &["-c", "-G"], &echo_v4, &fixed),
            ("time-limited credentials", v4, &["-c"], &echo_v4, &rest),
            ("large messages", v4, &["-c", "-l", "1300"], &echo_v4, &fixed),
            ("IPv4 by name", v4, &["-c", "-X"], &echo_v4, &fixed),
            ("IPv6 to IPv6, UDP", v6, &["-c"], &echo_v6, &fixed),
            ("IPv6 to IPv6, TCP", v6, &["-c", "-t"], &echo_v6, &fixed),
            ("IPv4 to IPv6", v4, &["-c"], &echo_v6, &fixed),
            ("IPv6 to IPv4, indications", v6, &["-c", "-s", "-X"], &echo_v4, &fixed),
            ("client to client, UDP", v4, &["-c", "-y"], &[], &fixed),
            ("client to client, UDP, indications", v4, &["-c", "-y", "-s"], &[], &fixed),
            ("client to client, TCP", v4, &["-c", "-y", "-t"], &[], &fixed),
            ("client to client, IPv6", v6, &["-c", "-y", "-x"], &[], &fixed),
        ] {
            let flags = [flags, peer].concat();
            let (sent, received) = uclient(scene, to, &flags, user).context(what)?;
            ensure!(sent >= 2 * MESSAGES && sent == received, "{what}: {sent} out, {received} in");
        }
        ensure!(server.stats().not_sent == 0, "{:?}", server.stats());
        Ok(())
    });
}

#[test]
fn turnutils_uclient_is_refused_with_wrong_credentials() {
    scene("turnutils_uclient_is_refused_with_wrong_credentials", &needs(), |scene| {
        let server = server()?;
        let to = server.local_addrs()[0];
        for user in [["-u", "anna", "-w", "guess"], ["-u", "anna", "-W", "other"]] {
            ensure!(uclient(scene, to, &["-c", "-y"], &user).is_err(), "{user:?} was let in");
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
            let (_, output) = run(scene, &mut command)?;
            ensure!(output.contains("UDP reflexive addr:"), "{output}");
        }
        Ok(())
    });
}
