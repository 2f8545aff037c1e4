//! Where server and generator run: which cores, which network.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Pid, geteuid};

use crate::crowd::Addresses;
use crate::progress;

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

/// The machine as it is used.
#[derive(Debug)]
pub(crate) struct Place {
    pinned: bool,
    realtime: bool,
}

impl Place {
    /// Raises the limit of open files as far as it goes. `pin` gives server and generator a core
    /// each, and lets nobody else interfere as far as we may.
    pub(crate) fn new(pin: bool) -> Result<Self> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let both = [Core::Server, Core::Generator].map(|core| allowed.is_set(core.number()));
        let pinned = pin && both == [Ok(true); 2];
        let place = Self { pinned, realtime: pinned && geteuid().is_root() };
        if pinned {
            pin_to(Core::Generator)?;
        }
        if place.realtime {
            let pid = std::process::id().to_string();
            run(Command::new("chrt").args(["-r", "-p", "1", &pid])).context("chrt")?;
        }
        progress(place.describe());
        Ok(place)
    }

    pub(crate) fn describe(&self) -> &'static str {
        match (self.pinned, self.realtime) {
            (true, true) => "server on core 0, generator on core 1, both SCHED_RR",
            (true, false) => "server on core 0, generator on core 1 (no SCHED_RR: not root)",
            (false, _) => "server and generator not pinned: trust ratios only",
        }
    }

    pub(crate) fn addresses(&self) -> Addresses {
        Addresses::LOOPBACK
    }

    pub(crate) fn server_ip(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }

    /// One that nobody has at this moment.
    pub(crate) fn free_port(&self) -> Result<u16> {
        Ok(UdpSocket::bind((self.server_ip(), 0))?.local_addr()?.port())
    }

    /// Kernel threads that do part of the server's work.
    pub(crate) fn helpers(&self) -> Vec<i32> {
        Vec::new()
    }

    /// A child inherits the core; SCHED_RR as well, which the server has in common with us.
    pub(crate) fn spawn(&self, mut command: Command, core: Core) -> Result<Child> {
        if !self.pinned {
            return Ok(command.spawn()?);
        }
        pin_to(core)?;
        let child = command.spawn();
        pin_to(Core::Generator)?;
        Ok(child?)
    }
}

fn pin_to(core: Core) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core.number())?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
