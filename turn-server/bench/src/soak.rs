//! Many allocations, held for a long time and then dropped: nothing of them may remain.
//!
//! The server has just enough quota and ports for the clients. Filling it again proves that both
//! were freed. Its memory must return to that of a fresh server, except for [`MAX_GROWTH`].

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::cli::Soak;
use crate::client_pool::{ClientPool, Peers};
use crate::environment::{Environment, Network};
use crate::load::{Load, Pace, Traffic};
use crate::socket::MultiHostSocket;
use crate::under_test::{Capacity, RunningServer};
use crate::{progress, report};

/// Concurrent transactions while allocations are made and released.
const AT_ONCE: usize = 32;
/// Number of samples while allocations are held.
const SAMPLES: u32 = 20;
/// Permitted growth above a fresh server, in bytes: code that ran for the first time, and partly
/// used pages that the allocator keeps.
const MAX_GROWTH: u64 = 2 << 20;
/// Time within which a client refreshes everything at least once: its allocation after 540 s,
/// permission and channel after 240 s.
const ALL_RENEWED: Duration = Duration::from_secs(560);
/// Time after which the allocation of a silent client has expired: its lifetime (RFC 8656 §7.2) and
/// a little more.
const ALL_EXPIRED: Duration = Duration::from_secs(610);
/// Time limit to free the resources of released allocations. The allocator keeps free memory for a
/// second or two.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
struct Report {
    allocations: usize,
    /// Number of requests that kept them alive.
    renewals: usize,
    timeline: Vec<Moment>,
}

#[derive(Clone, Debug, Serialize)]
struct Moment {
    at_s: f64,
    what: String,
    resident_bytes: u64,
    /// Open file descriptors, mostly sockets.
    descriptors: usize,
}

pub(crate) fn run(options: &Soak) -> Result<()> {
    let environment = Environment::new(!options.no_pin, Network::Loopback)?;
    let server =
        RunningServer::start_ours(&environment, Capacity::of_exactly(options.allocations)?)?;
    let report = Report { allocations: options.allocations, renewals: 0, timeline: Vec::new() };
    let (began, fresh) = (Instant::now(), server.memory()?);
    let mut soak = SoakRun { options, environment: &environment, server, began, fresh, report };
    let fresh = soak.sample("fresh")?;
    soak.round("first round", Duration::ZERO, End::Released)?;
    let first = soak.sample("after the first round")?;
    let end = if options.abandon { End::Abandoned } else { End::Released };
    soak.round("held", options.hold(), end)?;
    let after = soak.sample("after")?;
    soak.round("again", Duration::ZERO, End::Released)?;
    let last = soak.sample("end")?;
    report::print(options.json, &soak.report, &soak.report.lines())?;
    for moment in [&first, &after, &last] {
        ensure!(
            moment.descriptors == fresh.descriptors,
            "sockets were not closed: {fresh:?} {moment:?}"
        );
        let growth = moment.resident_bytes.saturating_sub(fresh.resident_bytes);
        ensure!(growth <= MAX_GROWTH, "memory was not freed: {fresh:?} {moment:?}");
    }
    Ok(())
}

/// The ways in which allocations end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Released,
    /// The clients stop sending.
    Abandoned,
}

struct SoakRun<'h> {
    options: &'h Soak,
    environment: &'h Environment,
    server: RunningServer,
    began: Instant,
    /// Memory of the fresh server in bytes.
    fresh: u64,
    report: Report,
}

impl SoakRun<'_> {
    /// Fills the server, holds the allocations, and ends them.
    fn round(&mut self, name: &str, hold: Duration, end: End) -> Result<()> {
        let idle = (self.server.descriptors()?, self.fresh + MAX_GROWTH);
        let bases = self.environment.addresses();
        let mut peers_socket = MultiHostSocket::open(false)?;
        let peers = Peers { base: bases.peers, port: peers_socket.port()? };
        let mut pool =
            ClientPool::new(MultiHostSocket::open(false)?, self.server.address, bases.clients);
        pool.allocate(self.options.allocations, AT_ONCE)?;
        self.sample(&format!("{name}: allocated"))?;
        pool.bind(peers, AT_ONCE)?;
        self.sample(&format!("{name}: channels bound"))?;
        self.hold(name, &mut pool, hold)?;
        let load = Load {
            size: 160,
            burst: 1,
            pace: Pace::Level(1),
            warm_up: Duration::ZERO,
            measured: Duration::ZERO,
            stalls: None,
        };
        let flows = pool.flows(peers, load.size).context("while they were held")?;
        Traffic::new(&mut pool, &mut peers_socket, bases, flows, load).verify()?;
        self.sample(&format!("{name}: a packet each way over all"))?;
        let patience = match end {
            End::Released => {
                pool.release(AT_ONCE)?;
                RELEASE_PATIENCE
            }
            End::Abandoned => ALL_EXPIRED,
        };
        drop(pool);
        self.wait_for(idle, patience)
    }

    /// Keeps everything alive. If the time is too short to require refreshes, the clock of the
    /// clients is advanced.
    fn hold(&mut self, name: &str, pool: &mut ClientPool, hold: Duration) -> Result<()> {
        if hold.is_zero() {
            return Ok(());
        }
        let before = pool.requests();
        for sample in 1..=SAMPLES {
            pool.hold(hold / SAMPLES)?;
            if sample == SAMPLES / 2 && hold < ALL_RENEWED {
                pool.advance_clock(ALL_RENEWED);
            }
            self.report.renewals = pool.requests() - before;
            let (alive, renewals) = (pool.allocated(), self.report.renewals);
            self.sample(&format!("{name}: {alive} alive, {renewals} renewals"))?;
        }
        let (alive, count) = (pool.allocated(), self.options.allocations);
        ensure!(alive == count, "only {alive} of {count} allocations are alive");
        // At least the allocation and its channel are refreshed.
        ensure!(self.report.renewals >= 2 * count, "only {} refreshes", self.report.renewals);
        Ok(())
    }

    /// Waits until descriptors and memory are back to those of an idle server.
    fn wait_for(&mut self, idle: (usize, u64), patience: Duration) -> Result<()> {
        let (descriptors, memory) = idle;
        let until = Instant::now() + patience;
        let mut next_sample = Instant::now() + patience / SAMPLES;
        while (self.server.descriptors()? > descriptors || self.server.memory()? > memory)
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(100));
            if Instant::now() > next_sample {
                next_sample += patience / SAMPLES;
                self.sample("waiting for the end")?;
            }
        }
        Ok(())
    }

    fn sample(&mut self, what: &str) -> Result<Moment> {
        let moment = Moment {
            at_s: self.began.elapsed().as_secs_f64(),
            what: what.to_owned(),
            resident_bytes: self.server.memory()?,
            descriptors: self.server.descriptors()?,
        };
        progress(&moment.line());
        self.report.timeline.push(moment.clone());
        Ok(moment)
    }
}

impl Report {
    fn lines(&self) -> Vec<String> {
        let head = format!("{} allocations", self.allocations);
        [head].into_iter().chain(self.timeline.iter().map(Moment::line)).collect()
    }
}

impl Moment {
    fn line(&self) -> String {
        let Self { at_s, what, resident_bytes, descriptors } = self;
        let kilobytes = resident_bytes / 1024;
        format!("{at_s:7.1} s  {kilobytes:8} KiB  {descriptors:6} descriptors  {what}")
    }
}
