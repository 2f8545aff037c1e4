//! The measurements: each case runs against one server and fills one or more rows of the table.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::client_pool::{ClientPool, Peers, nth};
use crate::environment::{Environment, Network};
use crate::load::{Load, Outcome, Pace, Stalls, Traffic};
use crate::socket::MultiHostSocket;
use crate::table::{Row, Wanted};
use crate::under_test::{Contender, RunningServer};

/// Concurrent transactions while allocations are made.
const AT_ONCE: usize = 32;
/// Packets in flight in each direction at saturation: as many as fit the default receive buffer of
/// a socket, so that no server loses any.
const WINDOW: u64 = 64;
/// The same over veth, where packets arrive in batches.
const WINDOW_VETH: u64 = 256;
/// Packets in flight in each direction to measure fairness: more than a second core can receive
/// without loss in the buffers that a server requests.
const FAIRNESS_WINDOW: u64 = 256;
const STALL_RATE: u32 = 20_000;
const STALL: Duration = Duration::from_millis(50);
const STALL_EVERY: Duration = Duration::from_millis(400);
const LOW_RATE: u32 = 2_000;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    Relay { flows: usize, size: usize, window: u64, wanted: Wanted },
    Bursts { receivers_join: bool, wanted: Wanted },
    Allocations(usize),
    Stall,
    Fairness,
    Latency,
}

/// Duration and size of the measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) measured: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) allocations: usize,
}

/// A value and its row.
pub(crate) type Value = (Row, f64);

pub(crate) fn all(effort: Effort, network: Network) -> Vec<Case> {
    if network != Network::Loopback {
        return over_veth();
    }
    let relay = |flows, size| {
        let wanted = match (flows, size) {
            (100, 160) => Wanted::Ratio(1.0),
            (1000, 160) => Wanted::Ratio(0.7),
            _ => Wanted::Nothing,
        };
        Case::Relay { flows, size, window: WINDOW, wanted }
    };
    let sizes = [160, 1200].into_iter();
    let mut cases: Vec<_> =
        sizes.flat_map(|size| [1, 10, 100, 1000].map(|flows| relay(flows, size))).collect();
    cases.extend([
        Case::Bursts { receivers_join: false, wanted: Wanted::Ratio(0.55) },
        Case::Bursts { receivers_join: true, wanted: Wanted::Ratio(0.3) },
        Case::Allocations(effort.allocations),
        Case::Stall,
        Case::Fairness,
        Case::Latency,
    ]);
    cases
}

/// Returns the cases over veth. Receivers use GRO there, as the driver does.
fn over_veth() -> Vec<Case> {
    let wanted = Wanted::Ratio(0.3);
    let relay = |flows| Case::Relay { flows, size: 160, window: WINDOW_VETH, wanted };
    let bursts = Case::Bursts { receivers_join: true, wanted };
    vec![relay(100), relay(1000), bursts]
}

impl Case {
    /// Returns the name that `--only` is compared with.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Relay { flows, size, .. } => format!("relay {flows} flows {size} B"),
            Self::Bursts { receivers_join: false, .. } => "bursts".to_owned(),
            Self::Bursts { receivers_join: true, .. } => "bursts with GRO".to_owned(),
            Self::Allocations(count) => format!("{count} allocations"),
            Self::Stall => "stall".to_owned(),
            Self::Fairness => "fairness".to_owned(),
            Self::Latency => "latency".to_owned(),
        }
    }

    /// Runs the case against a server started for it.
    pub(crate) fn run(
        self,
        contender: Contender,
        environment: &Environment,
        effort: Effort,
    ) -> Result<Vec<Value>> {
        let mut bench = Bench::start(contender, environment, effort, self.receivers_join())?;
        match self {
            Self::Relay { flows, size, window, wanted } => {
                let pace = Pace::Level(window);
                let outcome = bench.relay(flows, Sending { size, pace, ..Sending::default() })?;
                let title = format!("CPU per packet, {flows} flows, {size} B");
                Ok(vec![(Row::new(title, "ns").wanted(wanted), outcome.cpu_per_packet())])
            }
            Self::Bursts { receivers_join, wanted } => {
                let sending = Sending { size: 1200, burst: 8, ..Sending::default() };
                let outcome = bench.relay(100, sending)?;
                let receivers = if receivers_join { "GRO" } else { "no GRO" };
                let title = format!("CPU per packet, bursts of 8 × 1200 B, receivers: {receivers}");
                Ok(vec![(Row::new(title, "ns").wanted(wanted), outcome.cpu_per_packet())])
            }
            Self::Allocations(count) => bench.allocations(count),
            Self::Stall => bench.stall(),
            Self::Fairness => {
                let pace = Pace::Window(FAIRNESS_WINDOW);
                let outcome = bench.relay(100, Sending { pace, ..Sending::default() })?;
                let row = Row::new("favoured direction at saturation".to_owned(), "×");
                Ok(vec![(row.wanted(Wanted::AtMost(2.0)), outcome.unfairness())])
            }
            Self::Latency => bench.latency(),
        }
    }

    fn receivers_join(self) -> bool {
        matches!(self, Self::Bursts { receivers_join: true, .. })
    }
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    size: usize,
    burst: u64,
    pace: Pace,
    stalls: Option<Stalls>,
}

impl Default for Sending {
    fn default() -> Self {
        Self { size: 160, burst: 1, pace: Pace::Level(WINDOW), stalls: None }
    }
}

/// A server with the clients and peers that measure it.
struct Bench<'p> {
    environment: &'p Environment,
    server: RunningServer,
    pool: ClientPool,
    peers: MultiHostSocket,
    effort: Effort,
}

impl<'p> Bench<'p> {
    fn start(
        contender: Contender,
        environment: &'p Environment,
        effort: Effort,
        join: bool,
    ) -> Result<Self> {
        let server = RunningServer::start(contender, environment)?;
        let pool = ClientPool::new(
            MultiHostSocket::open(join)?,
            server.address,
            environment.addresses().clients,
        );
        Ok(Self { environment, server, pool, peers: MultiHostSocket::open(join)?, effort })
    }

    fn peers(&self) -> Result<Peers> {
        Ok(Peers { base: self.environment.addresses().peers, port: self.peers.port()? })
    }

    fn relay(&mut self, flows: usize, sending: Sending) -> Result<Outcome> {
        let peers = self.peers()?;
        self.pool.allocate(flows, AT_ONCE)?;
        self.pool.bind(peers, AT_ONCE)?;
        let flows = self.pool.flows(peers, sending.size)?;
        let load = Load {
            size: sending.size,
            burst: sending.burst,
            pace: sending.pace,
            warm_up: self.effort.warm_up,
            measured: self.effort.measured,
            stalls: sending.stalls,
        };
        let addresses = self.environment.addresses();
        let mut traffic = Traffic::new(&mut self.pool, &mut self.peers, addresses, flows, load);
        traffic.verify()?;
        let outcome = traffic.run(&self.server)?;
        ensure!(outcome.damaged == 0, "{} packets arrived damaged", outcome.damaged);
        ensure!(outcome.relayed.iter().all(|n| *n > 0), "nothing was relayed: {outcome}");
        Ok(outcome)
    }

    fn allocations(&mut self, count: usize) -> Result<Vec<Value>> {
        // The first allocation takes memory that is taken only once; it is not counted.
        let clients = self.environment.addresses().clients;
        let mut first = ClientPool::new(
            MultiHostSocket::open(false)?,
            self.server.address,
            nth(clients, count),
        );
        first.allocate(1, 1)?;
        let per_allocation =
            |before: u64, after: u64| after.saturating_sub(before) as f64 / count.max(1) as f64;
        let (cpu, memory) = (self.server.cpu()?, self.server.memory()?);
        let took = self.pool.allocate(count, AT_ONCE)?;
        let spent = self.server.cpu()?.saturating_sub(cpu);
        let allocated = self.server.memory()?;
        self.pool.bind(self.peers()?, AT_ONCE)?;
        let bound = self.server.memory()?;
        let rate = |time: Duration| count as f64 / time.as_secs_f64().max(1e-9);
        let per_core = Row::new("authenticated Allocates per core-second".to_owned(), "/s");
        let memory_row = Row::new(format!("memory per allocation, {count}"), "B");
        Ok(vec![
            (Row::new("authenticated Allocates per second".to_owned(), "/s"), rate(took)),
            (per_core.wanted(Wanted::AtLeast(40_000.0)), rate(spent)),
            (memory_row.wanted(Wanted::AtMost(1_500.0)), per_allocation(memory, allocated)),
            (
                Row::new(format!("memory per allocation with a channel, {count}"), "B"),
                per_allocation(memory, bound),
            ),
        ])
    }

    fn stall(&mut self) -> Result<Vec<Value>> {
        let stalls = Stalls { every: STALL_EVERY, length: STALL };
        let pace = Pace::Rate(STALL_RATE);
        let sending = Sending { size: 1000, pace, stalls: Some(stalls), ..Sending::default() };
        let outcome = self.relay(100, sending)?;
        let row = Row::new("packets lost, 20 000/s of 1000 B, 50 ms stalls".to_owned(), "");
        Ok(vec![(row.wanted(Wanted::AtMost(0.0)), outcome.lost() as f64)])
    }

    fn latency(&mut self) -> Result<Vec<Value>> {
        let pace = Pace::Rate(LOW_RATE);
        let outcome = self.relay(10, Sending { pace, ..Sending::default() })?;
        let row = |what: &str, unit| Row::new(format!("{what} at {LOW_RATE} packets/s"), unit);
        Ok(vec![
            (row("latency p50", "µs"), outcome.latency(0.5)),
            (row("latency p99", "µs"), outcome.latency(0.99)),
            (row("CPU per packet", "ns"), outcome.cpu_per_packet()),
        ])
    }
}
