//! Other projects' clients against our TURN server, and our clients against coturn's. One binary,
//! because linking costs more than running.

mod aioice;
mod authority;
mod chromium;
mod coturn;
mod turn_proto;
mod uclient;
mod webrtc_rs;

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use porthole_test_support::scene::Scene;
use porthole_turn_server::{Config, Server};

/// Time limit of a foreign program. The slowest one sends for a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const REALM: &str = "example.org";
const USER: &str = "anna";
const PASSWORD: &str = "secret";
const REST_SECRET: &str = "shared";

/// A child process that is killed on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on the loopback interface, for IPv4 and IPv6, with peers on it.
fn server() -> Result<Server> {
    start(config()?)
}

fn start(config: Config) -> Result<Server> {
    Ok(Server::start(config)?)
}

/// Makes a configuration with TLS and DTLS.
fn secure(authority: &authority::Authority) -> Result<Config> {
    let any = || anyhow::Ok(vec!["127.0.0.1:0".parse()?]);
    Ok(Config {
        listen_tls: any()?,
        listen_dtls: any()?,
        tls: Some(authority.server.clone()),
        ..config()?
    })
}

fn config() -> Result<Config> {
    let allow = ["127.0.0.0/8", "::1"];
    Ok(Config {
        listen: vec!["127.0.0.1:0".parse()?, "[::1]:0".parse()?],
        realm: REALM.to_owned(),
        users: vec![(USER.to_owned(), PASSWORD.to_owned())],
        rest_secrets: vec![REST_SECRET.to_owned()],
        allow_peers: allow.iter().map(|block| block.parse()).collect::<Result<_, _>>()?,
        workers: 2,
        ..Config::default()
    })
}

/// Runs a program; `name` is that of its log. Returns true if it succeeded, and its output.
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
    bail!("{command:?} timed out:\n{}", std::fs::read_to_string(path)?)
}

/// A peer that echoes every datagram until it is dropped.
struct Echo {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Echo {
    fn start(ip: &str) -> Result<Self> {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let addr = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..len], from);
                }
            }
        });
        Ok(Self { addr, stop })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
