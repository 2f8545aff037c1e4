//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use porthole_turn_server::Cidr;

use crate::under_test::Contender;

/// User name that every server is started with and every client uses.
pub(crate) const USERNAME: &str = "bench";
/// Password of [`USERNAME`].
pub(crate) const PASSWORD: &str = "relayed";
/// Realm of [`USERNAME`].
pub(crate) const REALM: &str = "bench";

/// Measures the TURN server beside others on this machine.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) mode: Mode,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Runs our server alone, for a profiler: user `bench`, password `relayed`.
    Serve(Serve),
    /// Runs the `turn` crate as a server until standard input ends. Started by `compare`.
    #[command(hide = true)]
    ServeTurnCrate(ServeTurnCrate),
    /// Measures every installed server and prints a table.
    Compare(Compare),
    /// Holds many allocations and drops them: all ports, quota and memory must be freed.
    Soak(Soak),
    /// Sends unauthenticated packets from many addresses while it relays: memory must not grow, and
    /// no relayed packet may be lost.
    Flood(Flood),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:3478")]
    pub(crate) listen: SocketAddr,
    /// Number of worker threads.
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: u8,
    /// The first port of relayed addresses.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) first_port: u16,
    /// The last port of relayed addresses.
    #[arg(long, default_value_t = 65_535)]
    pub(crate) last_port: u16,
    /// Most allocations at a time.
    #[arg(long, default_value_t = 55_536)]
    pub(crate) quota: usize,
    /// Address blocks that peers may be in.
    #[arg(long, default_values = ["127.0.0.0/8", "10.0.0.0/8"])]
    pub(crate) allow_peer: Vec<Cidr>,
    /// Interfaces on which the kernel relays channels, or `auto`.
    #[arg(long)]
    pub(crate) fast_path: Vec<String>,
    /// End when standard input ends.
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}

/// Options of the `turn` crate as a server, which has no quota.
#[derive(Debug, Args)]
pub(crate) struct ServeTurnCrate {
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    #[arg(long)]
    pub(crate) first_port: u16,
    #[arg(long)]
    pub(crate) last_port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Measure once and briefly, for a first impression.
    #[arg(long)]
    quick: bool,
    /// Seconds of each measurement.
    #[arg(long)]
    seconds: Option<f64>,
    /// Number of repetitions of each measurement.
    #[arg(long)]
    repetitions: Option<usize>,
    /// Only measurements whose name contains this: relay, bursts, allocations, stall, fairness,
    /// latency.
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// Servers to measure. Default: all that are installed.
    #[arg(long, value_delimiter = ',')]
    pub(crate) servers: Vec<Contender>,
    /// Number of allocations for measuring memory and set-up.
    #[arg(long, default_value_t = 9_000)]
    pub(crate) allocations: usize,
    /// Do not pin server and generator to cores.
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Measure relaying between two network namespaces instead of over loopback. Needs root.
    #[arg(long)]
    pub(crate) veth: bool,
    /// With --veth, the interval in microseconds at which the receiver polls for packets, as a NIC
    /// coalesces interrupts. The default of Linux's i40e and ice is 50.
    #[arg(long, default_value_t = 50)]
    coalesced_us: u16,
    /// Print every value as JSON instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Fail if a target is missed.
    #[arg(long)]
    pub(crate) strict: bool,
}

impl Compare {
    pub(crate) fn coalesced(&self) -> Duration {
        Duration::from_micros(self.coalesced_us.into())
    }

    pub(crate) fn measured(&self) -> Duration {
        let seconds = self.seconds.unwrap_or(if self.quick { 0.5 } else { 2.0 });
        Duration::from_secs_f64(seconds.clamp(0.05, 60.0))
    }

    pub(crate) fn warm_up(&self) -> Duration {
        self.measured().min(Duration::from_millis(300))
    }

    pub(crate) fn repetitions(&self) -> usize {
        self.repetitions.unwrap_or(if self.quick { 1 } else { 3 }).clamp(1, 100)
    }

    pub(crate) fn includes(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Number of allocations; the limit of open files must allow as many.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) allocations: usize,
    /// Seconds to hold them. If less than ten minutes, everything is refreshed once, early.
    #[arg(long, default_value_t = 600.0)]
    hold: f64,
    /// Let allocations expire instead of releasing them. Takes ten minutes more.
    #[arg(long)]
    pub(crate) abandon: bool,
    /// Do not pin server and generator to cores.
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Soak {
    pub(crate) fn hold(&self) -> Duration {
        Duration::from_secs_f64(self.hold.clamp(0.2, 86_400.0))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Flood {
    /// Number of packets, each from its own address.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) packets: usize,
    /// Packets per second.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) rate: u32,
    /// Do not pin server and generator to cores.
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Flood {
    /// Returns the time from the first to the last packet.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.packets as f64 / f64::from(self.rate.max(1)))
    }
}
