//! Unauthenticated packets, each from its own address, while the server relays: they must not take
//! memory, and no relayed packet may be lost.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::cli::Flood;
use crate::client_pool::{ClientPool, Peers, index_of, nth};
use crate::environment::{Environment, Network};
use crate::load::{Load, Pace, Traffic};
use crate::report;
use crate::socket::MultiHostSocket;
use crate::unauthenticated::UnauthenticatedPacket;
use crate::under_test::{Capacity, RunningServer};

/// Flows that are relayed meanwhile.
const FLOWS: usize = 10;
const RELAY_RATE: u32 = 2_000;
/// Permitted change of memory, in bytes.
const FLAT: u64 = 1 << 20;
/// Interval at which memory is measured.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);
/// Source of the first packet; the next addresses follow.
const FLOOD_BASE: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);
/// Time that relaying continues after the last packet of the flood.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// Most packets of the flood sent in a row before relayed packets are sent again.
const AT_ONCE: usize = 16;

#[derive(Debug, Serialize)]
struct Report {
    #[serde(rename = "strangers")]
    packets: usize,
    kinds: Vec<Responses>,
    memory: Memory,
    relayed: u64,
    lost: u64,
}

/// The responses to one kind of packet. Bytes are UDP payload.
#[derive(Clone, Debug, Serialize)]
struct Responses {
    kind: UnauthenticatedPacket,
    sent: u64,
    sent_bytes: u64,
    #[serde(rename = "answers")]
    responses: u64,
    #[serde(rename = "answer_bytes")]
    response_bytes: u64,
}

pub(crate) fn run(options: &Flood) -> Result<()> {
    let environment = Environment::new(!options.no_pin, Network::Loopback)?;
    let server = RunningServer::start_ours(&environment, Capacity::of_exactly(FLOWS)?)?;
    let bases = environment.addresses();
    let mut peers_socket = MultiHostSocket::open(false)?;
    let peers = Peers { base: bases.peers, port: peers_socket.port()? };
    let mut pool = ClientPool::new(MultiHostSocket::open(false)?, server.address, bases.clients);
    pool.allocate(FLOWS, FLOWS)?;
    pool.bind(peers, FLOWS)?;
    let load = Load {
        size: 160,
        burst: 1,
        pace: Pace::Rate(RELAY_RATE),
        warm_up: Duration::from_millis(300),
        measured: options.duration() + AFTERWARDS,
        stalls: None,
    };
    let flows = pool.flows(peers, load.size)?;
    let mut traffic = Traffic::new(&mut pool, &mut peers_socket, bases, flows, load);
    traffic.verify()?;
    let mut flood = PacketFlood::new(&server, options)?;
    let outcome = traffic.run_beside(&server, |measured| flood.step(measured))?;
    // A machine that stalls is behind when the relayed packets end.
    while flood.sent < options.packets {
        flood.step(load.measured)?;
    }
    let report = Report {
        packets: flood.sent,
        kinds: flood.responses,
        memory: flood.memory,
        relayed: outcome.received.iter().sum(),
        lost: outcome.lost(),
    };
    report::print(options.json, &report, &report.lines())?;
    ensure!(outcome.lost() == 0 && outcome.damaged == 0, "the relay lost packets: {outcome}");
    ensure!(report.is_flat(), "memory has changed: {report:?}");
    ensure!(report.packets == options.packets, "only {} packets were sent", report.packets);
    Ok(())
}

/// The flood while it is being sent.
struct PacketFlood<'s> {
    server: &'s RunningServer,
    socket: MultiHostSocket,
    responses: Vec<Responses>,
    packets: usize,
    rate: f64,
    sent: usize,
    scratch: Vec<u8>,
    memory: Memory,
    next_sample: Duration,
}

/// Memory of the server in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
struct Memory {
    before: u64,
    lowest: u64,
    highest: u64,
}

impl<'s> PacketFlood<'s> {
    fn new(server: &'s RunningServer, options: &Flood) -> Result<Self> {
        let before = server.memory()?;
        Ok(Self {
            server,
            socket: MultiHostSocket::open(false)?,
            responses: UnauthenticatedPacket::ALL.map(Responses::none).to_vec(),
            packets: options.packets,
            rate: f64::from(options.rate),
            sent: 0,
            scratch: Vec::new(),
            memory: Memory { before, lowest: before, highest: before },
            next_sample: Duration::ZERO,
        })
    }

    /// Sends the packets due; `running` is the time since the first one.
    fn step(&mut self, running: Duration) -> Result<()> {
        let due = (running.as_secs_f64() * self.rate) as usize;
        let due = due.min(self.packets).min(self.sent + AT_ONCE);
        while self.sent < due {
            self.send()?;
        }
        self.receive()?;
        if running >= self.next_sample {
            self.next_sample = running + SAMPLE_INTERVAL;
            let now = self.server.memory()?;
            self.memory.lowest = self.memory.lowest.min(now);
            self.memory.highest = self.memory.highest.max(now);
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let kind = UnauthenticatedPacket::of(self.sent);
        self.scratch.clear();
        kind.write(&mut self.scratch);
        self.socket.send(nth(FLOOD_BASE, self.sent), self.server.address, &self.scratch, None)?;
        if let Some(responses) = self.responses.iter_mut().find(|responses| responses.kind == kind)
        {
            responses.sent += 1;
            responses.sent_bytes += self.scratch.len() as u64;
        }
        self.sent += 1;
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let responses = &mut self.responses;
        self.socket.receive(|received| {
            let Some(to) = received.to else { return };
            let kind = UnauthenticatedPacket::of(index_of(FLOOD_BASE, to));
            if let Some(responses) = responses.iter_mut().find(|responses| responses.kind == kind) {
                responses.responses += 1;
                responses.response_bytes += received.bytes.len() as u64;
            }
        })?;
        Ok(())
    }
}

impl Responses {
    fn none(kind: UnauthenticatedPacket) -> Self {
        Self { kind, sent: 0, sent_bytes: 0, responses: 0, response_bytes: 0 }
    }

    /// Returns the ratio of bytes sent to bytes received by the server.
    fn amplification(&self) -> f64 {
        self.response_bytes as f64 / self.sent_bytes.max(1) as f64
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
            format!("{} packets from as many addresses", self.packets),
            format!("memory: {before} KiB before, {lowest} to {highest} KiB during"),
            format!("relayed meanwhile: {} packets arrived, {} lost", self.relayed, self.lost),
        ];
        lines.extend(self.kinds.iter().map(|kind| {
            let Responses { kind: name, sent, responses, .. } = kind;
            let (name, times) = (format!("{name:?}"), kind.amplification());
            format!("{name:<28} {sent:6} sent {responses:6} responses, bytes out/in {times:.2}")
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
