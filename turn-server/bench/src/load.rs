//! Packets through the relay, both ways, by one thread.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use porthole_turn_proto::channel::Kind;

use crate::crowd::{Addresses, Crowd, Flow, index_of};
use crate::payload::{Direction, Pattern, Stamp};
use crate::under_test::Running;
use crate::wire::{Received, Wire, wait_for_any};

/// After the last packet was sent, this long nothing more may come before the rest is lost.
const DRAIN: Duration = Duration::from_millis(150);
/// In a closed loop, what did not come within this time is taken for lost, and others are sent.
const GIVEN_UP: Duration = Duration::from_millis(200);
/// So much longer is measured if nothing came through: others may have the server's core.
const STARVED: Duration = Duration::from_secs(10);
/// A wait for the next packet that is due, or for one that comes, is worth a system call from here
/// on. Whoever always runs is stopped by the scheduler for 50 ms in each second of SCHED_RR, and
/// would take that for latency.
const REST: Duration = Duration::from_micros(100);
/// Packets sent before the generator looks for arrivals again.
const SENT_AT_ONCE: u64 = 32;
/// Latencies kept; enough for a minute at the rates they are measured at.
const MAX_LATENCIES: usize = 2_000_000;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Bytes of payload.
    pub(crate) size: usize,
    /// Packets of one flow in a row, handed over in one system call.
    pub(crate) burst: u64,
    pub(crate) pace: Pace,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) stalls: Option<Stalls>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// At most so many packets of each direction under way; neither gets ahead of the other.
    Level(u64),
    /// The same, each direction for itself.
    Window(u64),
    /// Packets a second in both directions together, whatever comes back.
    Rate(u32),
}

/// The server is stopped for `length` again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stalls {
    pub(crate) every: Duration,
    pub(crate) length: Duration,
}

/// What came of it; arrays are by [`Direction`].
#[derive(Clone, Default)]
pub(crate) struct Outcome {
    /// From the first to the last packet, warm-up included.
    pub(crate) sent: [u64; 2],
    pub(crate) received: [u64; 2],
    /// Wrong bytes, wrong flow, wrong source.
    pub(crate) damaged: u64,
    /// Of the measured time only.
    pub(crate) relayed: [u64; 2],
    pub(crate) server_cpu: Duration,
    /// One-way, ascending; of the measured time, at a given rate only.
    pub(crate) latencies: Vec<Duration>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, received, damaged, .. } = self;
        write!(f, "sent {sent:?}, received {received:?} (to peers, to clients), {damaged} damaged")
    }
}

impl Outcome {
    pub(crate) fn lost(&self) -> u64 {
        let (sent, received): (u64, u64) = (self.sent.iter().sum(), self.received.iter().sum());
        sent.saturating_sub(received)
    }

    /// Nanoseconds.
    pub(crate) fn cpu_per_packet(&self) -> f64 {
        let relayed: u64 = self.relayed.iter().sum();
        self.server_cpu.as_secs_f64() * 1e9 / relayed.max(1) as f64
    }

    /// How many times as much the favoured direction got.
    pub(crate) fn unfairness(&self) -> f64 {
        let [a, b] = self.relayed.map(|relayed| relayed.max(1) as f64);
        (a / b).max(b / a)
    }

    /// In microseconds.
    pub(crate) fn latency(&self, share: f64) -> f64 {
        let place = (self.latencies.len() as f64 * share) as usize;
        let found = self.latencies.get(place).or(self.latencies.last());
        found.map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// Clients, peers and what runs between them.
pub(crate) struct Traffic<'t> {
    crowd: &'t mut Crowd,
    peers: &'t mut Wire,
    bases: Addresses,
    flows: Vec<Flow>,
    load: Load,
    pattern: Pattern,
    epoch: Instant,
    scratch: Vec<u8>,
    outcome: Outcome,
    given_up: [u64; 2],
    next_flow: [usize; 2],
    sequence: u64,
}

impl<'t> Traffic<'t> {
    pub(crate) fn new(
        crowd: &'t mut Crowd,
        peers: &'t mut Wire,
        bases: Addresses,
        flows: Vec<Flow>,
        load: Load,
    ) -> Self {
        Self {
            crowd,
            peers,
            bases,
            flows,
            load,
            pattern: Pattern::new(),
            epoch: Instant::now(),
            scratch: Vec::new(),
            outcome: Outcome::default(),
            given_up: [0; 2],
            next_flow: [0; 2],
            sequence: 0,
        }
    }

    /// A packet both ways over every flow; each must arrive whole.
    pub(crate) fn verify(&mut self) -> Result<()> {
        const TRIES: u32 = 3;
        const UNDER_WAY: u64 = 32;
        for _ in 0..TRIES {
            self.outcome = Outcome::default();
            for flow in 0..self.flows.len() {
                for direction in Direction::BOTH {
                    self.send(direction, flow, 1)?;
                }
                self.catch_up(UNDER_WAY, GIVEN_UP)?;
            }
            self.catch_up(0, DRAIN)?;
            if self.outcome.lost() == 0 && self.outcome.damaged == 0 {
                return Ok(());
            }
        }
        bail!("not every packet comes through whole: {}", self.outcome);
    }

    /// Warms up, then measures.
    pub(crate) fn run(self, server: &Running) -> Result<Outcome> {
        self.run_beside(server, |_| Ok(()))
    }

    /// The same; `beside` is called again and again with the time that was measured so far.
    pub(crate) fn run_beside(
        mut self,
        server: &Running,
        mut beside: impl FnMut(Duration) -> Result<()>,
    ) -> Result<Outcome> {
        self.outcome = Outcome::default();
        self.crowd.wire.forget_destinations()?;
        self.peers.forget_destinations()?;
        let began = Instant::now();
        let measure_at = began + self.load.warm_up;
        let end = measure_at + self.load.measured;
        let mut stalling = Stalling::new(self.load.stalls, measure_at);
        let mut quiet_since = began;
        let mut before = None;
        loop {
            let now = Instant::now();
            if before.is_none() && now >= measure_at {
                before = Some((server.cpu()?, self.outcome.received));
                self.outcome.latencies.clear();
            }
            let relayed = before.is_some_and(|(_, received)| self.has_relayed_since(received));
            if now >= end && !stalling.is_stopped() && (relayed || now >= end + STARVED) {
                break;
            }
            stalling.step(now, server)?;
            if before.is_some() {
                beside(now - measure_at)?;
            }
            if self.receive()? > 0 {
                quiet_since = now;
            } else if now - quiet_since > GIVEN_UP {
                self.give_up();
                quiet_since = now;
            }
            self.send_more(now - began)?;
            self.rest(began.elapsed())?;
        }
        let (cpu, received) = before.unwrap_or_default();
        self.outcome.server_cpu = server.cpu()?.saturating_sub(cpu);
        self.outcome.relayed = std::array::from_fn(|d| self.outcome.received[d] - received[d]);
        self.catch_up(0, DRAIN)?;
        self.outcome.latencies.sort_unstable();
        Ok(self.outcome)
    }

    /// In both directions.
    fn has_relayed_since(&self, received: [u64; 2]) -> bool {
        self.outcome.received.iter().zip(received).all(|(now, then)| *now > then)
    }

    /// As much as the pace allows.
    fn send_more(&mut self, running: Duration) -> Result<()> {
        match self.load.pace {
            Pace::Rate(rate) => {
                let due = (running.as_secs_f64() * f64::from(rate)) as u64;
                let sent: u64 = self.outcome.sent.iter().sum();
                for _ in 0..due.saturating_sub(sent).min(SENT_AT_ONCE) {
                    let [to_peer, to_client] = self.outcome.sent;
                    let turn = Direction::BOTH[usize::from(to_peer > to_client)];
                    self.send_next(turn)?;
                }
            }
            Pace::Window(window) | Pace::Level(window) => {
                for direction in Direction::BOTH {
                    let mut sent = 0;
                    while sent < SENT_AT_ONCE && self.may_send(direction, window) {
                        self.send_next(direction)?;
                        sent += self.load.burst;
                    }
                }
            }
        }
        Ok(())
    }

    fn rest(&self, running: Duration) -> Result<()> {
        let Pace::Rate(rate) = self.load.pace else { return Ok(()) };
        let next = self.outcome.sent.iter().sum::<u64>() + 1;
        let due = Duration::from_secs_f64(next as f64 / f64::from(rate));
        let time = due.saturating_sub(running);
        if time >= REST {
            wait_for_any([&self.crowd.wire, &*self.peers], time)?;
        }
        Ok(())
    }

    fn may_send(&self, direction: Direction, window: u64) -> bool {
        let d = direction.index();
        let done = self.outcome.received[d] + self.given_up[d];
        let other = self.outcome.received[1 - d] + self.given_up[1 - d];
        let done = match self.load.pace {
            Pace::Level(_) => done.min(other),
            Pace::Window(_) | Pace::Rate(_) => done,
        };
        self.outcome.sent[d] + self.load.burst <= done + window.max(self.load.burst)
    }

    fn give_up(&mut self) {
        for (d, given_up) in self.given_up.iter_mut().enumerate() {
            *given_up = self.outcome.sent[d].saturating_sub(self.outcome.received[d]);
        }
    }

    /// A burst of the next flow.
    fn send_next(&mut self, direction: Direction) -> Result<()> {
        let flow = self.next_flow[direction.index()];
        self.next_flow[direction.index()] = (flow + 1) % self.flows.len().max(1);
        self.send(direction, flow, self.load.burst)
    }

    fn send(&mut self, direction: Direction, index: usize, packets: u64) -> Result<()> {
        let Some(flow) = self.flows.get(index) else { return Ok(()) };
        self.scratch.clear();
        for _ in 0..packets {
            self.sequence += 1;
            let stamp = Stamp {
                flow: u32::try_from(index)?,
                direction,
                sequence: self.sequence,
                sent_ns: nanoseconds(self.epoch.elapsed()),
            };
            if direction == Direction::ToPeer {
                self.scratch.extend_from_slice(&flow.header);
            }
            self.pattern.write(stamp, self.load.size, &mut self.scratch);
        }
        let segment = (packets > 1).then_some(self.scratch.len() / usize::try_from(packets)?);
        let (wire, from, to) = match direction {
            Direction::ToPeer => (&self.crowd.wire, flow.client, self.crowd.server()),
            Direction::ToClient => (&*self.peers, flow.peer, flow.relayed),
        };
        wire.send(from, to, &self.scratch, segment)?;
        self.outcome.sent[direction.index()] += packets;
        Ok(())
    }

    /// Takes a batch from either socket.
    fn receive(&mut self) -> Result<usize> {
        let now = nanoseconds(self.epoch.elapsed());
        let keep = matches!(self.load.pace, Pace::Rate(_));
        let mut tally = Tally { outcome: &mut self.outcome, now, keep };
        let (flows, pattern, size) = (&self.flows, &self.pattern, self.load.size);
        let (bases, server) = (self.bases, self.crowd.server());
        let came_to = |base, to: Option<_>, flow| to.is_none_or(|to| index_of(base, to) == flow);
        let at_peers = self.peers.receive(|Received { bytes, from, to }| {
            let stamp = pattern.read(Direction::ToPeer, size, bytes).filter(|stamp| {
                let flow = flows.get(stamp.flow());
                flow.is_some_and(|flow| flow.relayed == from)
                    && came_to(bases.peers, to, stamp.flow())
            });
            tally.count(Direction::ToPeer, stamp);
        })?;
        let at_clients = self.crowd.wire.receive(|Received { bytes, from, to }| {
            // The answer to a late request is no packet of the load.
            if Kind::of(bytes) != Kind::ChannelData {
                return;
            }
            let Some((header, payload)) = bytes.split_first_chunk() else { return };
            let stamp = pattern.read(Direction::ToClient, size, payload).filter(|stamp| {
                let flow = flows.get(stamp.flow());
                flow.is_some_and(|flow| flow.header == *header)
                    && from == server
                    && came_to(bases.clients, to, stamp.flow())
            });
            tally.count(Direction::ToClient, stamp);
        })?;
        Ok(at_peers + at_clients)
    }

    /// Waits until no more than so many are under way, or until nothing has come for so long.
    fn catch_up(&mut self, under_way: u64, patience: Duration) -> Result<()> {
        let mut quiet_since = Instant::now();
        while self.outcome.lost() > under_way && quiet_since.elapsed() < patience {
            if self.receive()? > 0 {
                quiet_since = Instant::now();
            }
        }
        Ok(())
    }
}

/// Counts arrivals.
struct Tally<'o> {
    outcome: &'o mut Outcome,
    now: u64,
    keep: bool,
}

impl Tally<'_> {
    /// `None` is a packet that is not what was sent.
    fn count(&mut self, direction: Direction, stamp: Option<Stamp>) {
        let Some(stamp) = stamp else {
            self.outcome.damaged += 1;
            return;
        };
        self.outcome.received[direction.index()] += 1;
        if self.keep && self.outcome.latencies.len() < MAX_LATENCIES {
            let latency = Duration::from_nanos(self.now.saturating_sub(stamp.sent_ns));
            self.outcome.latencies.push(latency);
        }
    }
}

/// Takes the server's time away, as a busy host does.
struct Stalling {
    stalls: Option<Stalls>,
    next: Instant,
    stopped_until: Option<Instant>,
}

impl Stalling {
    fn new(stalls: Option<Stalls>, measure_at: Instant) -> Self {
        let next = measure_at + stalls.map_or(Duration::ZERO, |stalls| stalls.every / 2);
        Self { stalls, next, stopped_until: None }
    }

    fn is_stopped(&self) -> bool {
        self.stopped_until.is_some()
    }

    fn step(&mut self, now: Instant, server: &Running) -> Result<()> {
        let Some(stalls) = self.stalls else { return Ok(()) };
        match self.stopped_until {
            Some(until) if now >= until => {
                server.resume()?;
                self.stopped_until = None;
            }
            None if now >= self.next => {
                server.stop()?;
                self.stopped_until = Some(now + stalls.length);
                self.next = now + stalls.every;
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
