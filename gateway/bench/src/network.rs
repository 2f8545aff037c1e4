//! A network namespace of the benchmark's own, so that nothing else is counted.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The address of servers and viewers: not one of loopback, which Janus would not use. Packets go
/// over loopback all the same.
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));

/// Enters a new namespace with one address. Call it before any thread is started.
///
/// # Errors
/// Returns an error without root, or without iproute2.
pub(crate) fn enter() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    unshare(CloneFlags::CLONE_NEWNET).context("a network namespace needs root")?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", "bench0", "type", "veth", "peer", "name", "bench1"])?;
    ip(&["addr", "add", &format!("{ADDRESS}/24"), "dev", "bench0"])?;
    ip(&["link", "set", "bench0", "up"])?;
    ip(&["link", "set", "bench1", "up"])
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip (of iproute2)")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), stderr.trim());
    Ok(())
}
