//! What happens when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_gateway_core::ice::limits::{MAX_PAIRS, TA, TRIGGERED_TA};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::network::{Hop, Link, Network, Packet, SiteId};
use crate::peer::{FromPeer, Peer, Signal};
use crate::server::{FromServer, SERVER, SERVER_DELAY, ServerHost};

/// More steps at one moment than any sound state machine needs.
const MAX_STEPS_AT_ONCE: u32 = 2_000;

#[derive(Debug)]
enum Happening {
    AtNat(SiteId, Packet),
    AtHost(Packet),
    ToServer { client: SocketAddr, seen: SocketAddr, bytes: Vec<u8> },
    ToClient { client: SocketAddr, bytes: Vec<u8> },
    Signal(usize, Signal),
}

/// Ordered by time, then by when it was arranged.
#[derive(Debug)]
struct Scheduled {
    at: Duration,
    number: u64,
    what: Happening,
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

/// Peers, the server, and everything between them.
#[derive(Debug)]
pub struct World {
    /// Everything between the sockets.
    pub network: Network,
    /// The two peers, by index.
    pub peers: Vec<Peer>,
    /// The time on the signaling link; it keeps the order and loses nothing.
    pub signaling: Link,
    epoch: Instant,
    now: Duration,
    rng: StdRng,
    server: ServerHost,
    owners: HashMap<IpAddr, usize>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    number: u64,
    /// The last arrival of each ordered stream.
    signal_tail: [Duration; 2],
    stream_tails: HashMap<(SocketAddr, bool), Duration>,
    /// As whom the server sees a TCP client, and back.
    clients: HashMap<SocketAddr, SocketAddr>,
    /// TCP segments that wait for a cut to end: whose connection, whether to the server, what.
    stalled: Vec<(SocketAddr, bool, Vec<u8>)>,
    steps_at_once: (Duration, u32),
}

impl World {
    /// Only the server is there.
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
            signal_tail: [Duration::ZERO; 2],
            stream_tails: HashMap::new(),
            clients: HashMap::new(),
            stalled: Vec::new(),
            steps_at_once: (Duration::ZERO, 0),
        }
    }

    /// Where a peer is.
    pub fn site_of(&self, address: IpAddr) -> Option<SiteId> {
        self.network.site_of(address)
    }

    /// Since the beginning.
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// The virtual clock.
    pub fn instant(&self) -> Instant {
        self.epoch + self.now
    }

    /// Puts a peer at its addresses.
    pub fn add_peer(&mut self, peer: Peer, site: SiteId, addresses: &[IpAddr]) {
        let index = self.peers.len();
        self.peers.push(peer);
        for ip in addresses {
            self.network.add_host(site, *ip);
            self.owners.insert(*ip, index);
        }
    }

    /// A peer's address changes; the peer learns it from the caller.
    pub fn move_host(&mut self, index: usize, from: IpAddr, site: SiteId, to: IpAddr) {
        self.network.remove_host(from);
        self.owners.remove(&from);
        self.network.add_host(site, to);
        self.owners.insert(to, index);
    }

    /// Cuts the way between a site and the rest, or restores it: TCP goes on where it stopped.
    pub fn set_cut(&mut self, site: SiteId, cut: bool) {
        self.network.set_cut(site, cut);
        if !cut {
            for (client, to_server, bytes) in std::mem::take(&mut self.stalled) {
                self.send_segment(client, to_server, bytes);
            }
        }
    }

    /// Runs until `done` says so or the time is over; whether it said so.
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
        let (at, steps) = self.steps_at_once;
        self.steps_at_once = if at == to { (at, steps + 1) } else { (to, 0) };
        assert!(self.steps_at_once.1 < MAX_STEPS_AT_ONCE, "something spins at {to:?}");
    }

    fn step(&mut self) {
        let now = self.instant();
        if self.queue.peek().is_some_and(|Reverse(first)| first.at <= self.now) {
            if let Some(Reverse(first)) = self.queue.pop() {
                self.happen(first.what);
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

    fn happen(&mut self, what: Happening) {
        let now = self.instant();
        match what {
            Happening::AtNat(site, packet) => {
                let passed = self.network.through_nat(self.now, &mut self.rng, site, packet);
                if let Some((delay, packet)) = passed {
                    self.arrange(delay, Happening::AtHost(packet));
                }
            }
            Happening::AtHost(packet) if packet.to.ip() == SERVER.ip() => {
                let sent = self.server.handle_datagram(now, &packet);
                self.send_from_server(sent);
            }
            Happening::AtHost(packet) => {
                let owner = self.owners.get(&packet.to.ip());
                if let Some(peer) = owner.and_then(|index| self.peers.get_mut(*index)) {
                    peer.handle_datagram(now, &packet);
                }
            }
            Happening::ToServer { client, seen, bytes } => {
                self.clients.insert(seen, client);
                let sent = self.server.handle_stream(now, seen, &bytes);
                self.send_from_server(sent);
            }
            Happening::ToClient { client, bytes } => {
                let owner = self.owners.get(&client.ip());
                if let Some(peer) = owner.and_then(|index| self.peers.get_mut(*index)) {
                    peer.handle_segment(now, client, &bytes);
                }
            }
            Happening::Signal(to, signal) => self.peers[to].handle_signal(now, signal),
        }
    }

    fn flush(&mut self) {
        let now = self.instant();
        for index in 0..self.peers.len() {
            let sent = self.peers[index].drain(now);
            for what in sent {
                match what {
                    FromPeer::Datagram(packet) => self.send(packet),
                    FromPeer::Segment(local, bytes) => self.send_segment(local, true, bytes),
                    FromPeer::Signal(signal) => self.send_signal(1 - index, signal),
                }
            }
            assert_sound(&self.peers[index]);
        }
    }

    fn send(&mut self, packet: Packet) {
        let Some((delay, hop)) = self.network.send(self.now, &mut self.rng, packet) else { return };
        let what = match hop {
            Hop::Nat(site, packet) => Happening::AtNat(site, packet),
            Hop::Host(packet) => Happening::AtHost(packet),
        };
        self.arrange(delay, what);
    }

    fn send_from_server(&mut self, sent: Vec<FromServer>) {
        for what in sent {
            match what {
                FromServer::Datagram(packet) => self.send(packet),
                FromServer::Frame(seen, bytes) => {
                    if let Some(client) = self.clients.get(&seen).copied() {
                        self.send_segment(client, false, bytes);
                    }
                }
            }
        }
    }

    fn send_segment(&mut self, client: SocketAddr, to_server: bool, bytes: Vec<u8>) {
        let Some((delay, seen)) = self.network.segment(&mut self.rng, client) else {
            self.stalled.push((client, to_server, bytes));
            return;
        };
        // The first one waits for the handshake.
        let is_new = !self.stream_tails.contains_key(&(client, true));
        let delay = if is_new { delay * 3 } else { delay };
        let tail = self.stream_tails.entry((client, to_server)).or_default();
        let at = (self.now + delay).max(*tail);
        *tail = at;
        let what = if to_server {
            Happening::ToServer { client, seen, bytes }
        } else {
            Happening::ToClient { client, bytes }
        };
        self.arrange_at(at, what);
    }

    fn send_signal(&mut self, to: usize, signal: Signal) {
        let delay = self.signaling.pass(&mut self.rng).unwrap_or(self.signaling.delay);
        let at = (self.now + delay).max(self.signal_tail[to]);
        self.signal_tail[to] = at;
        self.arrange_at(at, Happening::Signal(to, signal));
    }

    fn arrange(&mut self, delay: Duration, what: Happening) {
        self.arrange_at(self.now + delay, what);
    }

    fn arrange_at(&mut self, at: Duration, what: Happening) {
        self.number += 1;
        self.queue.push(Reverse(Scheduled { at, number: self.number, what }));
    }
}

/// What must hold after every single step.
fn assert_sound(peer: &Peer) {
    let pairs: Vec<_> = peer.agent.pairs().collect();
    assert!(pairs.iter().filter(|pair| pair.selected).count() <= 1, "two pairs are selected");
    assert!(pairs.len() <= MAX_PAIRS, "{} pairs", pairs.len());
    assert_paced(&peer.checks);
}

/// No window of a tenth of a second has more checks than both lanes allow, a handful of consent
/// and nomination checks included.
fn assert_paced(checks: &[Duration]) {
    let window = Duration::from_millis(100);
    let most = window.as_millis() / TA.as_millis() + window.as_millis() / TRIGGERED_TA.as_millis();
    let Some(last) = checks.last() else { return };
    let recent = checks.iter().rev().take_while(|at| **at + window > *last).count();
    assert!(recent <= usize::try_from(most).unwrap_or(0) + 6, "{recent} checks in {window:?}");
}
