//! Many allocations held for long and then dropped: nothing of them may remain.
//!
//! The server has as much quota as there are clients, and hardly more ports. That it can be filled
//! again proves both to be back. Its memory must return to that of a fresh server, but for
//! [`KEPT`].

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::cli::Soak;
use crate::crowd::{Crowd, Peers};
use crate::load::{Load, Pace, Traffic};
use crate::place::{Network, Place};
use crate::progress;
use crate::report;
use crate::under_test::{Room, Running};
use crate::wire::Wire;

/// Transactions under way while allocations are made and given back.
const AT_ONCE: usize = 32;
/// Looks at the server while allocations are held.
const LOOKS: u32 = 20;
/// Above a fresh server: code that ran for the first time, and what the allocator keeps of pages
/// that are used in part.
const KEPT: u64 = 2 << 20;
/// Once within this time a client renews everything: its allocation after 540 s, permission and
/// channel after 240 s.
const ALL_RENEWED: Duration = Duration::from_secs(560);
/// Who is not heard of is gone after the lifetime of an allocation (RFC 8656 §7.2) and a little.
const ALL_EXPIRED: Duration = Duration::from_secs(610);
/// A server that knows of the end has seen to it by then. The allocator keeps what is free for a
/// second or two, should it be needed again.
const SETTLED: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
struct Report {
    allocations: usize,
    /// Requests that kept them alive.
    renewals: usize,
    timeline: Vec<Moment>,
}

#[derive(Clone, Debug, Serialize)]
struct Moment {
    at_s: f64,
    what: String,
    resident_bytes: u64,
    /// Sockets, above all.
    descriptors: usize,
}

pub(crate) fn run(how: &Soak) -> Result<()> {
    let place = Place::new(!how.no_pin, Network::Loopback)?;
    let server = Running::start_ours(&place, Room::of_exactly(how.allocations)?)?;
    let report = Report { allocations: how.allocations, renewals: 0, timeline: Vec::new() };
    let (began, fresh) = (Instant::now(), server.memory()?);
    let mut soak = Watched { how, place: &place, server, began, fresh, report };
    let fresh = soak.look("fresh")?;
    soak.round("first round", Duration::ZERO, End::Released)?;
    let first = soak.look("after the first round")?;
    let end = if how.abandon { End::Abandoned } else { End::Released };
    soak.round("held", how.hold(), end)?;
    let after = soak.look("after")?;
    soak.round("again", Duration::ZERO, End::Released)?;
    let last = soak.look("end")?;
    report::print(how.json, &soak.report, &soak.report.lines())?;
    for moment in [&first, &after, &last] {
        ensure!(moment.descriptors == fresh.descriptors, "sockets are left: {fresh:?} {moment:?}");
        let growth = moment.resident_bytes.saturating_sub(fresh.resident_bytes);
        ensure!(growth <= KEPT, "memory is left: {fresh:?} {moment:?}");
    }
    Ok(())
}

/// How allocations end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Released,
    /// The clients fall silent.
    Abandoned,
}

struct Watched<'h> {
    how: &'h Soak,
    place: &'h Place,
    server: Running,
    began: Instant,
    /// Bytes of memory that it took at first.
    fresh: u64,
    report: Report,
}

impl Watched<'_> {
    /// Fills the server, holds, and empties it.
    fn round(&mut self, name: &str, hold: Duration, end: End) -> Result<()> {
        let idle = (self.server.descriptors()?, self.fresh + KEPT);
        let bases = self.place.addresses();
        let mut peers_wire = Wire::open(false)?;
        let peers = Peers { base: bases.peers, port: peers_wire.port()? };
        let mut crowd = Crowd::new(Wire::open(false)?, self.server.address, bases.clients);
        crowd.allocate(self.how.allocations, AT_ONCE)?;
        self.look(&format!("{name}: allocated"))?;
        crowd.bind(peers, AT_ONCE)?;
        self.look(&format!("{name}: channels bound"))?;
        self.hold(name, &mut crowd, hold)?;
        let load = Load {
            size: 160,
            burst: 1,
            pace: Pace::Level(1),
            warm_up: Duration::ZERO,
            measured: Duration::ZERO,
            stalls: None,
        };
        let flows = crowd.flows(peers, load.size).context("while they were held")?;
        Traffic::new(&mut crowd, &mut peers_wire, bases, flows, load).verify()?;
        self.look(&format!("{name}: a packet each way over all"))?;
        let patience = match end {
            End::Released => {
                crowd.release(AT_ONCE)?;
                SETTLED
            }
            End::Abandoned => ALL_EXPIRED,
        };
        drop(crowd);
        self.wait_for(idle, patience)
    }

    /// The clients keep everything alive. If the time is too short for that to need renewal, they
    /// are made to believe it was longer.
    fn hold(&mut self, name: &str, crowd: &mut Crowd, hold: Duration) -> Result<()> {
        if hold.is_zero() {
            return Ok(());
        }
        let before = crowd.requests();
        for look in 1..=LOOKS {
            crowd.hold(hold / LOOKS)?;
            if look == LOOKS / 2 && hold < ALL_RENEWED {
                crowd.skip(ALL_RENEWED);
            }
            self.report.renewals = crowd.requests() - before;
            let (alive, renewals) = (crowd.alive(), self.report.renewals);
            self.look(&format!("{name}: {alive} alive, {renewals} renewals"))?;
        }
        let (alive, count) = (crowd.alive(), self.how.allocations);
        ensure!(alive == count, "{alive} of {count} allocations live");
        // The allocation and its channel, at least.
        ensure!(self.report.renewals >= 2 * count, "{} renewals only", self.report.renewals);
        Ok(())
    }

    /// No more descriptors and no more memory than that.
    fn wait_for(&mut self, idle: (usize, u64), patience: Duration) -> Result<()> {
        let (descriptors, memory) = idle;
        let until = Instant::now() + patience;
        let mut next_look = Instant::now() + patience / LOOKS;
        while (self.server.descriptors()? > descriptors || self.server.memory()? > memory)
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(100));
            if Instant::now() > next_look {
                next_look += patience / LOOKS;
                self.look("waiting for the end")?;
            }
        }
        Ok(())
    }

    fn look(&mut self, what: &str) -> Result<Moment> {
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
