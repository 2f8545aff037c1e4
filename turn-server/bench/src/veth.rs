//! Two network namespaces connected by a veth pair, to measure packets with a driver's receive
//! path.
//!
//! Each end of the pair receives in its own kernel thread (threaded NAPI), so that its time can be
//! attributed to the side it serves. That needs generic receive offload on and TCP segmentation
//! off; otherwise the pair takes a short cut. Checksums are computed by the sender, because on a
//! wire they are present when a packet arrives.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, setns};

use crate::client_pool::Addresses;

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const GENERATOR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Addresses of clients and peers, all of which belong to the generator.
const CROWD: &str = "10.78.0.0/15";
pub(crate) const ADDRESSES: Addresses =
    Addresses { clients: Ipv4Addr::new(10, 78, 0, 1), peers: Ipv4Addr::new(10, 79, 0, 1) };
/// Both namespaces. Dropping it deletes them.
#[derive(Debug)]
pub(crate) struct Veth {
    server: End,
    generator: End,
}

/// A namespace and its end of the veth pair.
#[derive(Debug)]
struct End {
    namespace: String,
    device: String,
}

impl Veth {
    /// Creates both namespaces and moves the calling thread, with the sockets it opens from now on,
    /// into that of the generator. Receivers poll for packets every `coalesced`, as a NIC coalesces
    /// interrupts.
    pub(crate) fn up(coalesced: Duration) -> Result<Self> {
        let pid = std::process::id();
        let end = |side: &str| End {
            namespace: format!("porthole-bench-{side}-{pid}"),
            device: format!("p{side}{pid}"),
        };
        // From here on, dropping deletes the namespaces made so far.
        let veth = Self { server: end("s"), generator: end("g") };
        let (server, generator) = (&veth.server, &veth.generator);
        for end in [server, generator] {
            ip(&["netns", "add", &end.namespace])?;
            end.ip(&["link", "set", "lo", "up"])?;
        }
        let (near, far) = (&server.device, &generator.device);
        server.ip(&[
            "link",
            "add",
            near,
            "type",
            "veth",
            "peer",
            "name",
            far,
            "netns",
            &generator.namespace,
        ])?;
        server.bring_up(SERVER, coalesced)?;
        generator.bring_up(GENERATOR, coalesced)?;
        server.ip(&["route", "add", CROWD, "via", &GENERATOR.to_string()])?;
        generator.ip(&["route", "add", "local", CROWD, "dev", "lo"])?;
        let namespace = File::open(format!("/run/netns/{}", generator.namespace))?;
        setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the namespace")?;
        Ok(veth)
    }

    /// `command` in the server's namespace.
    pub(crate) fn beside_server(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.server.namespace]);
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }

    /// The kernel threads that receive for the server and for the generator.
    pub(crate) fn threads(&self) -> Result<[i32; 2]> {
        Ok([self.server.thread()?, self.generator.thread()?])
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        for end in [&self.server, &self.generator] {
            // This deletes its device too. The namespace may not exist yet.
            let _ = ip(&["netns", "del", &end.namespace]);
        }
    }
}

impl End {
    fn bring_up(&self, addr: Ipv4Addr, coalesced: Duration) -> Result<()> {
        let coalesced_ns = coalesced.as_nanos().to_string();
        let device = &self.device;
        self.ip(&["addr", "add", &format!("{addr}/24"), "dev", device])?;
        self.exec(&["ethtool", "-K", device, "gro", "on", "tso", "off", "tx", "off"])?;
        self.ip(&["link", "set", device, "up"])?;
        let settings = [
            ("threaded", "1"),
            ("gro_flush_timeout", &*coalesced_ns),
            ("napi_defer_hard_irqs", "2"),
        ];
        for (name, value) in settings {
            let set = format!("echo {value} > /sys/class/net/{device}/{name}");
            self.exec(&["sh", "-c", &set])?;
        }
        Ok(())
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.namespace], arguments].concat())
    }

    fn exec(&self, command: &[&str]) -> Result<()> {
        ip(&[&["netns", "exec", &self.namespace], command].concat())
    }

    /// Finds the receiving kernel thread, which is named after the device, up to 15 characters.
    fn thread(&self) -> Result<i32> {
        const PATIENCE: Duration = Duration::from_secs(2);
        let name: String = format!("napi/{}-", self.device).chars().take(15).collect();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            for entry in std::fs::read_dir("/proc")? {
                let entry = entry?;
                let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                if comm.starts_with(&name)
                    && let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok())
                {
                    return Ok(pid);
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        anyhow::bail!("the kernel has no thread {name}: it does not support threaded NAPI on veth")
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip (of iproute2)")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), stderr.trim());
    Ok(())
}
