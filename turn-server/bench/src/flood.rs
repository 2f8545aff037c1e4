//! Packets from strangers, each from an address of its own, while a relay runs: they must cost no
//! memory, and the relay must not notice.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::cli::Flood;
use crate::crowd::{Crowd, Peers, index_of, nth};
use crate::load::{Load, Pace, Traffic};
use crate::place::{Network, Place};
use crate::report;
use crate::stranger::Stranger;
use crate::under_test::{Room, Running};
use crate::wire::Wire;

/// The relay that is not to be disturbed.
const FLOWS: usize = 10;
const RELAY_RATE: u32 = 2_000;
/// Memory may differ by so much.
const FLAT: u64 = 1 << 20;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The first stranger; the others follow.
const STRANGERS: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);
/// The relay runs on for so long after the last stranger.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// Packets of strangers sent in a row, so that the relay has its turn.
const AT_ONCE: usize = 16;

#[derive(Debug, Serialize)]
struct Report {
    strangers: usize,
    kinds: Vec<Answers>,
    memory: Memory,
    relayed: u64,
    lost: u64,
}

/// What one kind of packet brought back. Bytes are of UDP payload.
#[derive(Clone, Debug, Serialize)]
struct Answers {
    kind: Stranger,
    sent: u64,
    sent_bytes: u64,
    answers: u64,
    answer_bytes: u64,
}

pub(crate) fn run(how: &Flood) -> Result<()> {
    let place = Place::new(!how.no_pin, Network::Loopback)?;
    let server = Running::start_ours(&place, Room::of_exactly(FLOWS)?)?;
    let bases = place.addresses();
    let mut peers_wire = Wire::open(false)?;
    let peers = Peers { base: bases.peers, port: peers_wire.port()? };
    let mut crowd = Crowd::new(Wire::open(false)?, server.address, bases.clients);
    crowd.allocate(FLOWS, FLOWS)?;
    crowd.bind(peers, FLOWS)?;
    let load = Load {
        size: 160,
        burst: 1,
        pace: Pace::Rate(RELAY_RATE),
        warm_up: Duration::from_millis(300),
        measured: how.duration() + AFTERWARDS,
        stalls: None,
    };
    let flows = crowd.flows(peers, load.size)?;
    let mut traffic = Traffic::new(&mut crowd, &mut peers_wire, bases, flows, load);
    traffic.verify()?;
    let mut crush = Crush::new(&server, how)?;
    let outcome = traffic.run_beside(&server, |measured| crush.step(measured))?;
    let report = Report {
        strangers: crush.sent,
        kinds: crush.answers,
        memory: crush.memory,
        relayed: outcome.received.iter().sum(),
        lost: outcome.lost(),
    };
    report::print(how.json, &report, &report.lines())?;
    ensure!(outcome.lost() == 0 && outcome.damaged == 0, "the relay lost packets: {outcome}");
    ensure!(report.is_flat(), "memory is not flat: {report:?}");
    ensure!(report.strangers == how.packets, "{} strangers only", report.strangers);
    Ok(())
}

/// The strangers.
struct Crush<'s> {
    server: &'s Running,
    wire: Wire,
    answers: Vec<Answers>,
    packets: usize,
    rate: f64,
    sent: usize,
    scratch: Vec<u8>,
    memory: Memory,
    next_look: Duration,
}

/// In bytes.
#[derive(Clone, Copy, Debug, Serialize)]
struct Memory {
    before: u64,
    lowest: u64,
    highest: u64,
}

impl<'s> Crush<'s> {
    fn new(server: &'s Running, how: &Flood) -> Result<Self> {
        let before = server.memory()?;
        Ok(Self {
            server,
            wire: Wire::open(false)?,
            answers: Stranger::ALL.map(Answers::none).to_vec(),
            packets: how.packets,
            rate: f64::from(how.rate),
            sent: 0,
            scratch: Vec::new(),
            memory: Memory { before, lowest: before, highest: before },
            next_look: Duration::ZERO,
        })
    }

    /// As many as are due; `running` is the time since they began to come.
    fn step(&mut self, running: Duration) -> Result<()> {
        let due = (running.as_secs_f64() * self.rate) as usize;
        let due = due.min(self.packets).min(self.sent + AT_ONCE);
        while self.sent < due {
            self.send()?;
        }
        self.receive()?;
        if running >= self.next_look {
            self.next_look = running + LOOK;
            let now = self.server.memory()?;
            self.memory.lowest = self.memory.lowest.min(now);
            self.memory.highest = self.memory.highest.max(now);
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let kind = Stranger::of(self.sent);
        self.scratch.clear();
        kind.write(&mut self.scratch);
        self.wire.send(nth(STRANGERS, self.sent), self.server.address, &self.scratch, None)?;
        if let Some(answers) = self.answers.iter_mut().find(|answers| answers.kind == kind) {
            answers.sent += 1;
            answers.sent_bytes += self.scratch.len() as u64;
        }
        self.sent += 1;
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let answers = &mut self.answers;
        self.wire.receive(|received| {
            let Some(to) = received.to else { return };
            let kind = Stranger::of(index_of(STRANGERS, to));
            if let Some(answers) = answers.iter_mut().find(|answers| answers.kind == kind) {
                answers.answers += 1;
                answers.answer_bytes += received.bytes.len() as u64;
            }
        })?;
        Ok(())
    }
}

impl Answers {
    fn none(kind: Stranger) -> Self {
        Self { kind, sent: 0, sent_bytes: 0, answers: 0, answer_bytes: 0 }
    }

    /// How many times the bytes that came in went out.
    fn amplification(&self) -> f64 {
        self.answer_bytes as f64 / self.sent_bytes.max(1) as f64
    }
}

impl Report {
    fn is_flat(&self) -> bool {
        let Memory { before, lowest, highest } = self.memory;
        highest - before <= FLAT && before - lowest <= FLAT
    }

    fn lines(&self) -> Vec<String> {
        let Memory { before, lowest, highest } = self.memory.in_kibibytes();
        let mut lines = vec![
            format!("{} packets from as many addresses", self.strangers),
            format!("memory: {before} KiB before, {lowest} to {highest} KiB during"),
            format!("relay beside: {} packets came, {} lost", self.relayed, self.lost),
        ];
        lines.extend(self.kinds.iter().map(|kind| {
            let Answers { kind: what, sent, answers, .. } = kind;
            let (what, times) = (format!("{what:?}"), kind.amplification());
            format!("{what:<28} {sent:6} sent {answers:6} answers, bytes out/in {times:.2}")
        }));
        lines
    }
}

impl Memory {
    fn in_kibibytes(self) -> Self {
        let Self { before, lowest, highest } = self;
        Self { before: before / 1024, lowest: lowest / 1024, highest: highest / 1024 }
    }
}
