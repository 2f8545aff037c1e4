//! The servers: starts each, measures its resources, and ends it.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_turn_proto::StunClient;
use serde::Serialize;
use tempfile::TempDir;

use crate::cli::{PASSWORD, REALM, USERNAME};
use crate::environment::Environment;

/// Time limit for a server to start.
const START: Duration = Duration::from_secs(10);
/// Unit of time in /proc/PID/stat: `USER_HZ`, the same on every Linux.
const TICK: Duration = Duration::from_millis(10);
/// First relay port, below the range that the system assigns itself (`ip_local_port_range`).
const FIRST_PORT: u16 = 10_000;

/// A server to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// The installed `turnserver`
    Coturn,
    /// The `turn` crate of webrtc-rs, in a process of this program.
    TurnCrate,
    /// Our server, relaying with sockets
    Porthole,
    /// Our server with channels relayed in the kernel.
    PortholeKernel,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] =
        [Self::Coturn, Self::TurnCrate, Self::Porthole, Self::PortholeKernel];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Coturn => "coturn",
            Self::TurnCrate => "turn crate",
            Self::Porthole => "Porthole",
            Self::PortholeKernel => "Porthole, kernel",
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Coturn => version_of_coturn().is_some(),
            Self::TurnCrate | Self::Porthole | Self::PortholeKernel => true,
        }
    }

    /// Returns true for our own server, whose failures end the run.
    pub(crate) const fn is_ours(self) -> bool {
        match self {
            Self::Coturn | Self::TurnCrate => false,
            Self::Porthole | Self::PortholeKernel => true,
        }
    }

    fn command(self, at: SocketAddr, capacity: Capacity, scratch: &TempDir) -> Result<Command> {
        let (first, last) = (FIRST_PORT.to_string(), capacity.last_port.to_string());
        Ok(match self {
            Self::Coturn => coturn(at, capacity, scratch),
            Self::TurnCrate => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve-turn-crate", "--listen", &at.to_string()]);
                command.args(["--first-port", &first, "--last-port", &last]);
                command
            }
            Self::Porthole | Self::PortholeKernel => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve", "--until-eof", "--listen", &at.to_string()]);
                command.args(["--quota", &capacity.quota.to_string()]);
                command.args(["--first-port", &first, "--last-port", &last]);
                if self == Self::PortholeKernel {
                    command.args(["--fast-path", "auto"]);
                }
                command
            }
        })
    }
}

/// Returns the version of the installed coturn.
pub(crate) fn version_of_coturn() -> Option<String> {
    let output = Command::new("turnserver").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(version.to_owned())
}

/// Makes the command of coturn: one relay thread, no log, and only the features compared.
fn coturn(at: SocketAddr, capacity: Capacity, scratch: &TempDir) -> Command {
    let (ip, port) = (at.ip().to_string(), at.port().to_string());
    let mut command = Command::new("turnserver");
    command
        .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--no-rfc5780"])
        .args(["-L", &ip, "-E", &ip, "-p", &port, "-m", "1", "--allow-loopback-peers"])
        .args(["--lt-cred-mech", "--user", &format!("{USERNAME}:{PASSWORD}"), "--realm", REALM])
        .args([
            "--min-port",
            &FIRST_PORT.to_string(),
            "--max-port",
            &capacity.last_port.to_string(),
        ])
        .args(["--no-stdout-log", "--simple-log", "--log-file", "/dev/null", "--pidfile"])
        .arg(scratch.path().join("pid"))
        .arg("--userdb")
        .arg(scratch.path().join("db"));
    command
}

/// Limits of the number of allocations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    last_port: u16,
    quota: usize,
}

impl Capacity {
    /// Makes limits for this number: exactly the quota, and a few more ports in case some are in
    /// use.
    pub(crate) fn of_exactly(allocations: usize) -> Result<Self> {
        let ports = u16::try_from(allocations + allocations / 100 + 8).ok();
        let last_port = ports.and_then(|ports| FIRST_PORT.checked_add(ports));
        let last_port = last_port.context("there are not enough ports: use fewer allocations")?;
        Ok(Self { last_port, quota: allocations })
    }
}

/// A running server that responds. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct RunningServer {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Kernel threads that do part of its work.
    helpers: Vec<i32>,
    _scratch: TempDir,
}

impl RunningServer {
    /// Starts a server with limits that no measurement reaches.
    pub(crate) fn start(contender: Contender, environment: &Environment) -> Result<Self> {
        Self::start_with(contender, environment, Capacity { last_port: u16::MAX, quota: 1 << 16 })
    }

    /// Ours with no more room than that.
    pub(crate) fn start_ours(environment: &Environment, capacity: Capacity) -> Result<Self> {
        Self::start_with(Contender::Porthole, environment, capacity)
    }

    fn start_with(
        contender: Contender,
        environment: &Environment,
        capacity: Capacity,
    ) -> Result<Self> {
        let scratch = TempDir::new()?;
        let address = environment.server_address()?;
        let mut command = contender.command(address, capacity, &scratch)?;
        let child = environment
            .spawn(&mut command)
            .with_context(|| format!("cannot start {}", contender.name()))?;
        let helpers = environment.helpers().to_vec();
        let mut server = Self { child, address, helpers, _scratch: scratch };
        server.wait_for_response().with_context(|| contender.name())?;
        Ok(server)
    }

    /// Returns the user and system time so far, of the process and its helper threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let pids = self.helpers.iter().copied().chain([self.pid().as_raw()]);
        pids.map(cpu_of).sum()
    }

    /// Returns the resident memory in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let pid = self.pid();
        // Exact; the other value is updated by the kernel from time to time only.
        let exact = format!("/proc/{pid}/smaps_rollup");
        let (text, name) = match std::fs::read_to_string(exact) {
            Ok(text) => (text, "Rss:"),
            Err(_) => (std::fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:"),
        };
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kilobytes.context("the kernel does not report how much memory")?.parse::<u64>()? * 1024)
    }

    /// Returns the number of open files, mostly sockets.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    pub(crate) fn stop(&self) -> Result<()> {
        Ok(kill(self.pid(), Signal::SIGSTOP)?)
    }

    pub(crate) fn resume(&self) -> Result<()> {
        Ok(kill(self.pid(), Signal::SIGCONT)?)
    }

    /// Returns true while the process runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    fn wait_for_response(&mut self) -> Result<()> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let deadline = Instant::now() + START;
        let mut buffer = [0; 512];
        while Instant::now() < deadline {
            if !self.is_alive() {
                bail!("it ended at once");
            }
            let mut binding = StunClient::new(Instant::now());
            let sent = binding.poll_transmit().map(|bytes| socket.send_to(&bytes, self.address));
            if let (Some(Ok(_)), Ok(len)) = (sent, socket.recv(&mut buffer))
                && binding.handle_datagram(buffer.get(..len).unwrap_or_default()).is_some()
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("it does not respond at {}", self.address)
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cpu_of(pid: i32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may contain anything; then follow fields 3 and on.
    let (_, fields) = text.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let ticks: Result<Vec<u32>, _> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect();
    Ok(TICK * ticks?.iter().sum::<u32>())
}
