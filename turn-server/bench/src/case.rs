//! What is measured: a case is run against one server, and fills one row or several.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::crowd::{Crowd, Peers, nth};
use crate::load::{Load, Outcome, Pace, Stalls, Traffic};
use crate::place::{Network, Place};
use crate::table::{Row, Wanted};
use crate::under_test::{Contender, Running};
use crate::wire::Wire;

/// Transactions under way while allocations are made.
const AT_ONCE: usize = 32;
/// Packets of each direction under way at saturation: what fits the receive buffer that a socket
/// has without asking, so that no server loses any.
const WINDOW: u64 = 64;
/// The same over veth, where packets come in batches, and 160 B are what is sent one by one.
const WINDOW_VETH: u64 = 256;
/// More than a second core can take in without loss in the buffers a server asks for.
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

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) measured: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) allocations: usize,
}

/// One value of a row.
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

/// The receivers join packets there if anyone does: so does the driver.
fn over_veth() -> Vec<Case> {
    let wanted = Wanted::Ratio(0.3);
    let relay = |flows| Case::Relay { flows, size: 160, window: WINDOW_VETH, wanted };
    let bursts = Case::Bursts { receivers_join: true, wanted };
    vec![relay(100), relay(1000), bursts]
}

impl Case {
    /// What `--only` is compared with.
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

    /// Against a server that is started for it.
    pub(crate) fn run(
        self,
        contender: Contender,
        place: &Place,
        effort: Effort,
    ) -> Result<Vec<Value>> {
        let mut bench = Bench::start(contender, place, effort, self.receivers_join())?;
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

/// A server and everything it needs to be measured.
struct Bench<'p> {
    place: &'p Place,
    server: Running,
    crowd: Crowd,
    peers: Wire,
    effort: Effort,
}

impl<'p> Bench<'p> {
    fn start(contender: Contender, place: &'p Place, effort: Effort, join: bool) -> Result<Self> {
        let server = Running::start(contender, place)?;
        let crowd = Crowd::new(Wire::open(join)?, server.address, place.addresses().clients);
        Ok(Self { place, server, crowd, peers: Wire::open(join)?, effort })
    }

    fn peers(&self) -> Result<Peers> {
        Ok(Peers { base: self.place.addresses().peers, port: self.peers.port()? })
    }

    fn relay(&mut self, flows: usize, sending: Sending) -> Result<Outcome> {
        let peers = self.peers()?;
        self.crowd.allocate(flows, AT_ONCE)?;
        self.crowd.bind(peers, AT_ONCE)?;
        let flows = self.crowd.flows(peers, sending.size)?;
        let load = Load {
            size: sending.size,
            burst: sending.burst,
            pace: sending.pace,
            warm_up: self.effort.warm_up,
            measured: self.effort.measured,
            stalls: sending.stalls,
        };
        let addresses = self.place.addresses();
        let mut traffic = Traffic::new(&mut self.crowd, &mut self.peers, addresses, flows, load);
        traffic.verify()?;
        let outcome = traffic.run(&self.server)?;
        ensure!(outcome.damaged == 0, "{} packets came damaged", outcome.damaged);
        ensure!(outcome.relayed.iter().all(|n| *n > 0), "nothing is relayed: {outcome}");
        Ok(outcome)
    }

    fn allocations(&mut self, count: usize) -> Result<Vec<Value>> {
        // What is taken once, by the first allocation, is not theirs.
        let clients = self.place.addresses().clients;
        let mut first = Crowd::new(Wire::open(false)?, self.server.address, nth(clients, count));
        first.allocate(1, 1)?;
        let per_allocation =
            |before: u64, after: u64| after.saturating_sub(before) as f64 / count.max(1) as f64;
        let (cpu, memory) = (self.server.cpu()?, self.server.memory()?);
        let took = self.crowd.allocate(count, AT_ONCE)?;
        let spent = self.server.cpu()?.saturating_sub(cpu);
        let allocated = self.server.memory()?;
        self.crowd.bind(self.peers()?, AT_ONCE)?;
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
