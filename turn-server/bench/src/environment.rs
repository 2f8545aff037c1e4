//! The cores and the network that server and generator use.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Pid, geteuid};

use crate::client_pool::Addresses;
use crate::veth::Veth;
use crate::{progress, veth};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    Server,
    Generator,
}

impl Core {
    const fn number(self) -> usize {
        match self {
            Self::Server => 0,
            Self::Generator => 1,
        }
    }
}

/// Priority in SCHED_RR of server and generator. That of the receiving kernel threads is higher, as
/// an interrupt takes precedence over the process that waits for it.
const PROCESS: &str = "1";
/// Priority in SCHED_RR of the receiving kernel threads.
const RECEIVER: &str = "2";

/// The network between server and generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Loopback,
    Veth { coalesced: Duration },
}

/// The resources of the machine that a measurement uses.
#[derive(Debug)]
pub(crate) struct Environment {
    pinned: bool,
    realtime: bool,
    veth: Option<Veth>,
    /// Kernel threads that receive packets for the server.
    helpers: Vec<i32>,
}

impl Environment {
    /// Raises the limit of open files as far as possible. `pin` gives server and generator a core
    /// each, and real-time priority if permitted.
    pub(crate) fn new(pin: bool, network: Network) -> Result<Self> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let both = [Core::Server, Core::Generator].map(|core| allowed.is_set(core.number()));
        let pinned = pin && both == [Ok(true); 2];
        let realtime = pinned && geteuid().is_root();
        let mut environment = Self { pinned, realtime, veth: None, helpers: Vec::new() };
        environment.assign(Core::Generator, std::process::id(), PROCESS)?;
        if let Network::Veth { coalesced } = network {
            ensure!(geteuid().is_root(), "--veth makes network namespaces: run it as root");
            let veth = Veth::up(coalesced)?;
            let [server, generator] = veth.threads()?;
            environment.assign(Core::Server, u32::try_from(server)?, RECEIVER)?;
            environment.assign(Core::Generator, u32::try_from(generator)?, RECEIVER)?;
            environment.helpers.push(server);
            environment.veth = Some(veth);
        }
        progress(&environment.describe().join("; "));
        Ok(environment)
    }

    /// Pins a thread to its core and sets its priority, as far as the environment does that.
    fn assign(&self, core: Core, pid: u32, priority: &str) -> Result<()> {
        if self.pinned {
            pin(Pid::from_raw(i32::try_from(pid)?), core)?;
        }
        if self.realtime {
            let command = ["-r", "-p", priority, &pid.to_string()];
            let output = Command::new("chrt").args(command).output().context("chrt")?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "chrt: {}", stderr.trim());
        }
        Ok(())
    }

    pub(crate) fn describe(&self) -> Vec<String> {
        let cores = match (self.pinned, self.realtime) {
            (true, true) => "server on core 0, generator on core 1, both SCHED_RR",
            (true, false) => "server on core 0, generator on core 1 (no SCHED_RR: not root)",
            (false, _) => "server and generator not pinned: only the ratios are meaningful",
        };
        let network = match self.veth {
            Some(_) => "over veth; the kernel thread that receives for the server counts as server",
            None => "over loopback",
        };
        vec![cores.to_owned(), network.to_owned()]
    }

    pub(crate) fn addresses(&self) -> Addresses {
        if self.veth.is_some() { veth::ADDRESSES } else { Addresses::LOOPBACK }
    }

    /// Returns an address that a server may listen on and that is free now.
    pub(crate) fn server_address(&self) -> Result<SocketAddr> {
        if self.veth.is_some() {
            // Servers run one after the other, and nothing else is in the namespace.
            return Ok(SocketAddr::from((veth::SERVER, 3478)));
        }
        // An address derived from the process id: a concurrent benchmark has another one.
        let [.., high, low] = std::process::id().to_be_bytes();
        Ok(UdpSocket::bind((Ipv4Addr::new(127, 1, high, low), 0))?.local_addr()?)
    }

    /// Returns the kernel threads that do part of the server's work.
    pub(crate) fn helpers(&self) -> &[i32] {
        &self.helpers
    }

    /// Starts a server on its core; it inherits SCHED_RR.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child> {
        let mut inside = self.veth.as_ref().map(|veth| veth.beside_server(command));
        let command = inside.as_mut().unwrap_or(command);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        if !self.pinned {
            return Ok(command.spawn()?);
        }
        pin(SELF, Core::Server)?;
        let child = command.spawn();
        pin(SELF, Core::Generator)?;
        Ok(child?)
    }
}

const SELF: Pid = Pid::from_raw(0);

fn pin(pid: Pid, core: Core) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core.number())?;
    Ok(sched_setaffinity(pid, &set)?)
}
