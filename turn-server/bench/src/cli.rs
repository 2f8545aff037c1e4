//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use porthole_turn_server::Cidr;

use crate::under_test::Contender;

/// The name and the password that every server is started with and every client uses.
pub(crate) const USERNAME: &str = "bench";
pub(crate) const PASSWORD: &str = "relayed";
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
    /// Runs the `turn` crate as a server until standard input ends: `compare` starts it.
    #[command(hide = true)]
    ServeTurnCrate(ServeTurnCrate),
    /// Measures every server that is installed and prints a table.
    Compare(Compare),
    /// Holds many allocations for long and drops them: ports, quota and memory must come back.
    Soak(Soak),
    /// Sends unauthenticated packets from many addresses beside a relay: memory must be flat, and
    /// the relay must lose nothing.
    Flood(Flood),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:3478")]
    pub(crate) listen: SocketAddr,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: u8,
    /// The first port of relayed addresses.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) first_port: u16,
    /// The last port of relayed addresses.
    #[arg(long, default_value_t = 65_535)]
    pub(crate) last_port: u16,
    /// How many allocations there may be.
    #[arg(long, default_value_t = 55_536)]
    pub(crate) quota: usize,
    /// Where peers may be.
    #[arg(long, default_values = ["127.0.0.0/8", "10.0.0.0/8"])]
    pub(crate) allow_peer: Vec<Cidr>,
    /// Interfaces on which the kernel relays, or `auto`.
    #[arg(long)]
    pub(crate) fast_path: Vec<String>,
    /// Ends when standard input does.
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}

/// No quota: the crate has none.
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
    /// Once and briefly instead of three times: for a first look.
    #[arg(long)]
    quick: bool,
    /// How long each load is measured.
    #[arg(long)]
    seconds: Option<f64>,
    /// How often each measurement is made.
    #[arg(long)]
    repetitions: Option<usize>,
    /// Only measurements with this in their name: relay, bursts, allocations, stall, fairness,
    /// latency.
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// Only these servers.
    #[arg(long, value_delimiter = ',')]
    pub(crate) servers: Vec<Contender>,
    /// How many allocations memory and set-up are measured with.
    #[arg(long, default_value_t = 9_000)]
    pub(crate) allocations: usize,
    /// Leaves the choice of cores to the system.
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Over a pair of network namespaces instead of loopback; only relaying. Needs root.
    #[arg(long)]
    pub(crate) veth: bool,
    /// Over veth: every so many microseconds the receiver looks for packets, as a NIC waits for
    /// more before it interrupts. Linux's i40e and ice begin with 50.
    #[arg(long, default_value_t = 50)]
    coalesced_us: u16,
    /// Every value as JSON instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Fails when something is not as wanted.
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
    /// How many; as many files must be allowed.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) allocations: usize,
    /// How long, in seconds. In less than ten minutes everything is renewed once early.
    #[arg(long, default_value_t = 600.0)]
    hold: f64,
    /// The clients fall silent instead of releasing their allocations: ten minutes more.
    #[arg(long)]
    pub(crate) abandon: bool,
    /// Leaves the choice of cores to the system.
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// The result as JSON.
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
    /// How many, each from an address of its own.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) packets: usize,
    /// Packets a second.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) rate: u32,
    /// Leaves the choice of cores to the system.
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// The result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Flood {
    /// From the first to the last.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.packets as f64 / f64::from(self.rate.max(1)))
    }
}
