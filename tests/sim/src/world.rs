//! The event loop of a simulation.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_gateway_core::ice::limits::{MAX_PAIRS, TA, TRIGGERED_TA};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::network::{Hop, Link, Network, Packet, SiteId};
use crate::peer::{Peer, PeerOutput, Signal};
use crate::server::{SERVER, SERVER_DELAY, ServerHost, ServerOutput};

/// Limit of steps at one instant: more than any sound state machine needs.
const MAX_STEPS_AT_INSTANT: u32 = 2_000;

#[derive(Debug)]
enum Arrival {
    AtNat(SiteId, Packet),
    AtHost(Packet),
    ToServer { client: SocketAddr, mapped: SocketAddr, bytes: Vec<u8> },
    ToClient { client: SocketAddr, bytes: Vec<u8> },
    Signal(usize, Signal),
}

/// An arrival in the queue, ordered by time, then by number.
#[derive(Debug)]
struct Scheduled {
    at: Duration,
    number: u64,
    arrival: Arrival,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The peers, the server, and the network between them.
#[derive(Debug)]
pub struct World {
    /// The network between the sockets.
    pub network: Network,
    /// The two peers, by index.
    pub peers: Vec<Peer>,
    /// The signaling link, which keeps the order and loses nothing.
    pub signaling: Link,
    epoch: Instant,
    now: Duration,
    rng: StdRng,
    server: ServerHost,
    owners: HashMap<IpAddr, usize>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    number: u64,
    /// Time of the last arrival at each peer, which keeps signaling in order.
    last_signal: [Duration; 2],
    /// Time of the last arrival on each TCP connection, for each direction.
    last_segment: HashMap<(SocketAddr, bool), Duration>,
    /// The local address of each TCP client, by the address that the server sees.
    clients: HashMap<SocketAddr, SocketAddr>,
    /// TCP segments that wait for a cut to end: client, true if to the server, bytes.
    stalled: Vec<(SocketAddr, bool, Vec<u8>)>,
    steps_at_instant: (Duration, u32),
}

impl World {
    /// Creates a world that contains only the server.
    pub fn new(seed: u64, signaling: Link) -> Self {
        let mut network = Network::default();
        let site = network.add_site(None, Link::new(Duration::ZERO), Link::new(SERVER_DELAY));
        network.add_host(site, SERVER.ip());
        Self {
            network,
            peers: Vec::new(),
            signaling,
            epoch: Instant::now(),
            now: Duration::ZERO,
            rng: StdRng::seed_from_u64(seed),
            server: ServerHost::new(seed.to_le_bytes()[0]),
            owners: HashMap::new(),
            queue: BinaryHeap::new(),
            number: 0,
            last_signal: [Duration::ZERO; 2],
            last_segment: HashMap::new(),
            clients: HashMap::new(),
            stalled: Vec::new(),
            steps_at_instant: (Duration::ZERO, 0),
        }
    }

    /// Returns the site of an address.
    pub fn site_of(&self, address: IpAddr) -> Option<SiteId> {
        self.network.site_of(address)
    }

    /// Returns the virtual time since the beginning.
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// Returns the virtual time as an `Instant`.
    pub fn instant(&self) -> Instant {
        self.epoch + self.now
    }

    /// Adds a peer with its addresses.
    pub fn add_peer(&mut self, peer: Peer, site: SiteId, addresses: &[IpAddr]) {
        let index = self.peers.len();
        self.peers.push(peer);
        for ip in addresses {
            self.network.add_host(site, *ip);
            self.owners.insert(*ip, index);
        }
    }

    /// Changes the address of a peer's host; the caller tells the peer.
    pub fn move_host(&mut self, index: usize, from: IpAddr, site: SiteId, to: IpAddr) {
        self.network.remove_host(from);
        self.owners.remove(&from);
        self.network.add_host(site, to);
        self.owners.insert(to, index);
    }

    /// Cuts the access link of a site, or restores it: TCP then continues where it stopped.
    pub fn set_cut(&mut self, site: SiteId, cut: bool) {
        self.network.set_cut(site, cut);
        if !cut {
            for (client, to_server, bytes) in std::mem::take(&mut self.stalled) {
                self.send_segment(client, to_server, bytes);
            }
        }
    }

    /// Runs until `done` returns true or the virtual time `limit` is reached; returns true in the
    /// first case.
    pub fn run(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        self.flush();
        while !done(self) {
            let Some(next) = self.next().filter(|next| *next <= limit) else {
                self.now = limit;
                return false;
            };
            self.advance(next);
            self.step();
            self.flush();
        }
        true
    }

    fn next(&self) -> Option<Duration> {
        let queued = self.queue.peek().map(|Reverse(first)| first.at);
        let peers = self.peers.iter().filter_map(Peer::poll_timeout);
        let timers = peers.chain(self.server.poll_timeout());
        let timers = timers.map(|at| at.saturating_duration_since(self.epoch));
        queued.into_iter().chain(timers).min().map(|at| at.max(self.now))
    }

    fn advance(&mut self, to: Duration) {
        self.now = to;
        let (at, steps) = self.steps_at_instant;
        self.steps_at_instant = if at == to { (at, steps + 1) } else { (to, 0) };
        assert!(
            self.steps_at_instant.1 < MAX_STEPS_AT_INSTANT,
            "a state machine does not come to rest at {to:?}"
        );
    }

    fn step(&mut self) {
        let now = self.instant();
        if self.queue.peek().is_some_and(|Reverse(first)| first.at <= self.now) {
            if let Some(Reverse(first)) = self.queue.pop() {
                self.handle_arrival(first.arrival);
            }
            return;
        }
        for peer in &mut self.peers {
            if peer.poll_timeout().is_some_and(|at| at <= now) {
                peer.handle_timeout(now);
            }
        }
        if self.server.poll_timeout().is_some_and(|at| at <= now) {
            self.server.handle_timeout(now);
        }
    }

    fn handle_arrival(&mut self, arrival: Arrival) {
        let now = self.instant();
        match arrival {
            Arrival::AtNat(site, packet) => {
                let admitted = self.network.through_nat(self.now, &mut self.rng, site, packet);
                if let Some((delay, packet)) = admitted {
                    self.schedule(delay, Arrival::AtHost(packet));
                }
            }
            Arrival::AtHost(packet) if packet.to.ip() == SERVER.ip() => {
                let outputs = self.server.handle_datagram(now, &packet);
                self.send_from_server(outputs);
            }
            Arrival::AtHost(packet) => {
                let owner = self.owners.get(&packet.to.ip());
                if let Some(peer) = owner.and_then(|index| self.peers.get_mut(*index)) {
                    peer.handle_datagram(now, &packet);
                }
            }
            Arrival::ToServer { client, mapped, bytes } => {
                self.clients.insert(mapped, client);
                let outputs = self.server.handle_stream(now, mapped, &bytes);
                self.send_from_server(outputs);
            }
            Arrival::ToClient { client, bytes } => {
                let owner = self.owners.get(&client.ip());
                if let Some(peer) = owner.and_then(|index| self.peers.get_mut(*index)) {
                    peer.handle_segment(now, client, &bytes);
                }
            }
            Arrival::Signal(to, signal) => self.peers[to].handle_signal(now, signal),
        }
    }

    fn flush(&mut self) {
        let now = self.instant();
        for index in 0..self.peers.len() {
            let outputs = self.peers[index].poll_outputs(now);
            for output in outputs {
                match output {
                    PeerOutput::Datagram(packet) => self.send(packet),
                    PeerOutput::Segment(local, bytes) => self.send_segment(local, true, bytes),
                    PeerOutput::Signal(signal) => self.send_signal(1 - index, signal),
                }
            }
            assert_invariants(&self.peers[index]);
        }
    }

    fn send(&mut self, packet: Packet) {
        let Some((delay, hop)) = self.network.send(self.now, &mut self.rng, packet) else { return };
        let arrival = match hop {
            Hop::Nat(site, packet) => Arrival::AtNat(site, packet),
            Hop::Host(packet) => Arrival::AtHost(packet),
        };
        self.schedule(delay, arrival);
    }

    fn send_from_server(&mut self, outputs: Vec<ServerOutput>) {
        for output in outputs {
            match output {
                ServerOutput::Datagram(packet) => self.send(packet),
                ServerOutput::Frame(mapped, bytes) => {
                    if let Some(client) = self.clients.get(&mapped).copied() {
                        self.send_segment(client, false, bytes);
                    }
                }
            }
        }
    }

    fn send_segment(&mut self, client: SocketAddr, to_server: bool, bytes: Vec<u8>) {
        let Some((delay, mapped)) = self.network.segment(&mut self.rng, client) else {
            self.stalled.push((client, to_server, bytes));
            return;
        };
        // The first segment waits for the TCP handshake.
        let is_new = !self.last_segment.contains_key(&(client, true));
        let delay = if is_new { delay * 3 } else { delay };
        let last = self.last_segment.entry((client, to_server)).or_default();
        let at = (self.now + delay).max(*last);
        *last = at;
        let arrival = if to_server {
            Arrival::ToServer { client, mapped, bytes }
        } else {
            Arrival::ToClient { client, bytes }
        };
        self.schedule_at(at, arrival);
    }

    fn send_signal(&mut self, to: usize, signal: Signal) {
        let delay = self.signaling.transit(&mut self.rng).unwrap_or(self.signaling.delay);
        let at = (self.now + delay).max(self.last_signal[to]);
        self.last_signal[to] = at;
        self.schedule_at(at, Arrival::Signal(to, signal));
    }

    fn schedule(&mut self, delay: Duration, arrival: Arrival) {
        self.schedule_at(self.now + delay, arrival);
    }

    fn schedule_at(&mut self, at: Duration, arrival: Arrival) {
        self.number += 1;
        self.queue.push(Reverse(Scheduled { at, number: self.number, arrival }));
    }
}

/// Asserts what must hold after every step.
fn assert_invariants(peer: &Peer) {
    let pairs: Vec<_> = peer.agent.pairs().collect();
    assert!(pairs.iter().filter(|pair| pair.selected).count() <= 1, "two pairs are selected");
    assert!(pairs.len() <= MAX_PAIRS, "{} pairs", pairs.len());
    assert_paced(&peer.checks);
}

/// Asserts that no window of 100 ms has more checks than the pacing of ordinary and triggered
/// checks allows, plus a few consent and nomination checks.
fn assert_paced(checks: &[Duration]) {
    let window = Duration::from_millis(100);
    let most = window.as_millis() / TA.as_millis() + window.as_millis() / TRIGGERED_TA.as_millis();
    let Some(last) = checks.last() else { return };
    let recent = checks.iter().rev().take_while(|at| **at + window > *last).count();
    assert!(recent <= usize::try_from(most).unwrap_or(0) + 6, "{recent} checks in {window:?}");
}
