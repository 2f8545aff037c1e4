//! The servers: how each is started, what it costs, how it is ended.

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
use crate::place::Place;

/// A server that does not answer by then will not.
const START: Duration = Duration::from_secs(10);
/// What /proc/PID/stat counts in: `USER_HZ`, the same on every Linux.
const TICK: Duration = Duration::from_millis(10);
/// Below the ports that the system gives out by itself (`ip_local_port_range`).
const FIRST_PORT: u16 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// The `turnserver` that is installed.
    Coturn,
    /// The `turn` crate of webrtc-rs, in a process of this program.
    TurnCrate,
    /// Ours.
    Porthole,
    /// Ours, with channels relayed in the kernel.
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

    /// Whether a failure is our own to explain.
    pub(crate) const fn is_ours(self) -> bool {
        match self {
            Self::Coturn | Self::TurnCrate => false,
            Self::Porthole | Self::PortholeKernel => true,
        }
    }

    fn command(self, at: SocketAddr, room: Room, scratch: &TempDir) -> Result<Command> {
        let (first, last) = (FIRST_PORT.to_string(), room.last_port.to_string());
        Ok(match self {
            Self::Coturn => coturn(at, room, scratch),
            Self::TurnCrate => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve-turn-crate", "--listen", &at.to_string()]);
                command.args(["--first-port", &first, "--last-port", &last]);
                command
            }
            Self::Porthole | Self::PortholeKernel => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve", "--until-eof", "--listen", &at.to_string()]);
                command.args(["--quota", &room.quota.to_string()]);
                command.args(["--first-port", &first, "--last-port", &last]);
                if self == Self::PortholeKernel {
                    command.args(["--fast-path", "auto"]);
                }
                command
            }
        })
    }
}

/// The version that is installed, as it says it.
pub(crate) fn version_of_coturn() -> Option<String> {
    let output = Command::new("turnserver").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(version.to_owned())
}

/// One relay thread, no log, and none of what ours does not have to do.
fn coturn(at: SocketAddr, room: Room, scratch: &TempDir) -> Command {
    let (ip, port) = (at.ip().to_string(), at.port().to_string());
    let mut command = Command::new("turnserver");
    command
        .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--no-rfc5780"])
        .args(["-L", &ip, "-E", &ip, "-p", &port, "-m", "1", "--allow-loopback-peers"])
        .args(["--lt-cred-mech", "--user", &format!("{USERNAME}:{PASSWORD}"), "--realm", REALM])
        .args(["--min-port", &FIRST_PORT.to_string(), "--max-port", &room.last_port.to_string()])
        .args(["--no-stdout-log", "--simple-log", "--log-file", "/dev/null", "--pidfile"])
        .arg(scratch.path().join("pid"))
        .arg("--userdb")
        .arg(scratch.path().join("db"));
    command
}

/// For how many allocations there is room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    last_port: u16,
    quota: usize,
}

impl Room {
    /// Quota for so many, and a few ports more: the host may have given one away.
    pub(crate) fn of_exactly(allocations: usize) -> Result<Self> {
        let ports = u16::try_from(allocations + allocations / 100 + 8).ok();
        let last_port = ports.and_then(|ports| FIRST_PORT.checked_add(ports));
        let last_port = last_port.context("there are not so many ports: take fewer allocations")?;
        Ok(Self { last_port, quota: allocations })
    }
}

/// A server that answers. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Kernel threads that work for the server.
    helpers: Vec<i32>,
    _scratch: TempDir,
}

impl Running {
    /// With room for the most allocations that are measured.
    pub(crate) fn start(contender: Contender, place: &Place) -> Result<Self> {
        Self::start_with(contender, place, Room { last_port: u16::MAX, quota: 1 << 16 })
    }

    /// Ours with no more room than that.
    pub(crate) fn start_ours(place: &Place, room: Room) -> Result<Self> {
        Self::start_with(Contender::Porthole, place, room)
    }

    fn start_with(contender: Contender, place: &Place, room: Room) -> Result<Self> {
        let scratch = TempDir::new()?;
        let address = place.server_address()?;
        let mut command = contender.command(address, room, &scratch)?;
        let child = place
            .spawn(&mut command)
            .with_context(|| format!("{} does not start", contender.name()))?;
        let helpers = place.helpers().to_vec();
        let mut server = Self { child, address, helpers, _scratch: scratch };
        server.wait_for_answer().with_context(|| contender.name())?;
        Ok(server)
    }

    /// User and system time so far, of the process and of what helps it.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let pids = self.helpers.iter().copied().chain([self.pid().as_raw()]);
        pids.map(cpu_of).sum()
    }

    /// Bytes of physical memory in use.
    pub(crate) fn memory(&self) -> Result<u64> {
        let pid = self.pid();
        // Exact; the other is a sum of parts that the kernel adds up now and then.
        let exact = format!("/proc/{pid}/smaps_rollup");
        let (text, name) = match std::fs::read_to_string(exact) {
            Ok(text) => (text, "Rss:"),
            Err(_) => (std::fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:"),
        };
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kilobytes.context("the kernel does not say how much memory")?.parse::<u64>()? * 1024)
    }

    /// Open files, that is, sockets.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    pub(crate) fn stop(&self) -> Result<()> {
        Ok(kill(self.pid(), Signal::SIGSTOP)?)
    }

    pub(crate) fn resume(&self) -> Result<()> {
        Ok(kill(self.pid(), Signal::SIGCONT)?)
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    fn wait_for_answer(&mut self) -> Result<()> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let deadline = Instant::now() + START;
        let mut buffer = [0; 512];
        while Instant::now() < deadline {
            if !self.is_alive() {
                bail!("it ended at once");
            }
            let mut question = StunClient::new(Instant::now());
            let asked = question.poll_transmit().map(|bytes| socket.send_to(&bytes, self.address));
            if let (Some(Ok(_)), Ok(len)) = (asked, socket.recv(&mut buffer))
                && question.handle_datagram(buffer.get(..len).unwrap_or_default()).is_some()
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("it does not answer at {}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
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
