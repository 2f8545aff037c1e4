//! A worker thread. Each round polls, serves the sockets that are ready within a budget, ends what
//! has expired and publishes the counters.

mod commands;
mod dtls_clients;
mod handover;
mod inbox;
mod outbox;
mod outputs;
mod ready;
mod tcp_clients;
mod tcp_peers;
mod udp_clients;
mod udp_peers;

use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use porthole_clock::Now;
use porthole_turn_proto::Family;
use porthole_turn_proto::server::{FiveTuple, Server, ServerConfig};
use rand::Rng as _;

use crate::control::stats::Stats;
use crate::control::{Command, Control, Phase};
use crate::net::sockets::Sockets;
use crate::net::udp;
use crate::net::udp::Udp;
use crate::quota::SharedQuota;
use crate::relay::offload::Offload;
use crate::relay::sockets::{RelaySockets, ToRelay};
use crate::tcp::connections::{Connections, MAX_CONNECTIONS};
use crate::tcp::peer_connections::PeerConnections;
use crate::tls::certificates::Certificates;
use dtls_clients::DtlsClients;
use handover::Handover;
use inbox::{Inbox, MAX_BATCH};
use outbox::Outbox;
use ready::{CONNECTION, DTLS, PEER, RELAY, Ready, TCP, TCP_RELAY, TLS, UDP, WAKER, split, token};
use tcp_peers::PausedSplices;
use udp_clients::Listener;
use udp_peers::FromListener;

/// Most reads or accepted connections of one source before the others are served.
const BUDGET: usize = 64;
/// Most datagrams between two polls: about a millisecond of work.
const ROUND: usize = 256;
/// Buffers for datagrams of peers, which are sent together at the end of a round.
const PEER_BUFFERS: usize = 64;
/// Most events of one poll: relay sockets are level-triggered, so events that a round cannot serve
/// are reported again.
const EVENTS: usize = ROUND;
/// Size of the largest datagram.
const MAX_DATAGRAM: usize = 65_535;
/// Pause after a panic, so that a worker that keeps panicking takes no time from the others. The
/// worker never ends: the kernel would then distribute the others' clients differently.
const PANIC_PAUSE: Duration = Duration::from_millis(100);
/// Interval at which connections are checked, and pause of a listener that cannot accept.
const SWEEP: Duration = Duration::from_secs(1);

/// The handles of all workers, by number; empty until all of them are made.
pub(crate) type AllWorkers = Arc<OnceLock<Vec<Arc<Control>>>>;

/// The state of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    control: Arc<Control>,
    commands: Receiver<Command>,
    poll: Poll,
    server: Server,
    /// The configuration of `server`, kept to make it again after a panic.
    config: ServerConfig,
    quota: SharedQuota,
    /// The sums of the counters before each panic.
    past_stats: Stats,
    panics: u32,
    /// The time, read once for each round.
    now: Now,
    /// The number of rounds; it wraps.
    round: u32,
    udp: Vec<Listener>,
    tcp: Vec<TcpListener>,
    tls: Vec<TcpListener>,
    certificates: Option<Arc<Certificates>>,
    dtls: DtlsClients,
    connections: Connections,
    relays: RelaySockets,
    peers: PeerConnections,
    paused: PausedSplices,
    all_workers: AllWorkers,
    handover: Handover,
    offload: Offload,
    /// Sources to serve.
    ready: Ready,
    receiver: udp::Receiver,
    from_clients: Inbox,
    to_peers: Outbox<ToRelay>,
    from_peers: Inbox,
    to_clients: Outbox<FromListener>,
    /// Listeners that could not accept, usually for lack of file descriptors.
    paused_listeners: Vec<Token>,
    /// Buffer for reading streams and DTLS.
    buffer: Vec<u8>,
    not_sent: u64,
    next_sweep: Instant,
    /// True if [`Self::release_memory`] may have something to release.
    was_busy: bool,
}

/// The result of serving a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Served {
    datagrams: usize,
    /// True if it may have more. If not, an event reports when it has.
    more: bool,
}

impl Served {
    const EMPTY: Self = Self { datagrams: 0, more: false };
}

impl Worker {
    pub(crate) fn new(
        sockets: Sockets,
        config: ServerConfig,
        quota: SharedQuota,
        (relays, peers, offload): (RelaySockets, PeerConnections, Offload),
        all_workers: AllWorkers,
        certificates: Option<Arc<Certificates>>,
        segmentation: bool,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let Sockets { udp: sockets, mut dtls, mut tcp, mut tls } = sockets;
        let mut udp = Vec::new();
        for (index, (addr, socket)) in sockets.into_iter().enumerate() {
            let mut socket = Udp::new(socket, Family::of(&addr.ip()), segmentation);
            socket.enable_coalescing();
            socket.register(poll.registry(), token(UDP, index))?;
            udp.push(Listener { addr, udp: socket });
        }
        for (index, (_, socket)) in dtls.iter_mut().enumerate() {
            poll.registry().register(socket, token(DTLS, index), Interest::READABLE)?;
        }
        for (kind, listeners) in [(TCP, &mut tcp), (TLS, &mut tls)] {
            for (index, listener) in listeners.iter_mut().enumerate() {
                poll.registry().register(listener, token(kind, index), Interest::READABLE)?;
            }
        }
        let waker = Waker::new(poll.registry(), token(WAKER, 0))?;
        let (control, commands) = Control::new(waker);
        Ok(Self {
            control: Arc::new(control),
            commands,
            poll,
            server: Server::new(config.clone(), Box::new(quota.clone())),
            config,
            quota,
            past_stats: Stats::default(),
            panics: 0,
            udp,
            tcp,
            tls,
            dtls: DtlsClients::new(dtls, certificates.as_ref()),
            certificates,
            connections: Connections::new(MAX_CONNECTIONS),
            peers,
            paused: PausedSplices::default(),
            all_workers,
            handover: Handover::default(),
            relays,
            offload,
            now: now(),
            round: 0,
            ready: Ready::default(),
            receiver: udp::Receiver::new()?,
            from_clients: Inbox::new(MAX_BATCH),
            to_peers: Outbox::new(segmentation),
            from_peers: Inbox::new(PEER_BUFFERS),
            to_clients: Outbox::new(segmentation),
            paused_listeners: Vec::new(),
            buffer: vec![0; MAX_DATAGRAM],
            not_sent: 0,
            next_sweep: Instant::now() + SWEEP,
            was_busy: false,
        })
    }

    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Runs until it is told to stop. A panic ends the allocations of this worker, because its
    /// state can no longer be trusted, and nothing else.
    pub(crate) fn run(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.panics += 1;
            tracing::error!(panics = self.panics, "a TURN worker panicked: its allocations end");
            self.log_lost_sessions();
            std::thread::sleep(PANIC_PAUSE);
            self.reset();
        }
    }

    fn work(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if let Err(error) = self.poll.poll(&mut events, Some(self.timeout()))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "a TURN worker cannot poll");
                return;
            }
            self.now = now();
            self.round = self.round.wrapping_add(1);
            for event in &events {
                self.ready.push(event.token());
                if event.is_error() {
                    self.drain_error_queue(event.token());
                }
            }
            self.serve_round();
            self.expire();
            self.release_memory();
            self.publish();
            match self.control.phase() {
                Phase::Run => {}
                // Even without allocations its sockets stay open as long as another worker has
                // clients: the kernel would redistribute those among the remaining sockets.
                Phase::Drain => {
                    self.server.start_draining();
                    if self.server.allocations() == 0 {
                        self.control.set_drained();
                    }
                }
                Phase::Stop => break,
            }
        }
        self.server.close(now());
        self.apply_outputs();
        self.publish();
    }

    /// Replaces all state after a panic. Dropping the old state returns ports and quota. The
    /// listening sockets stay; data already waiting in them causes no event, so all of them are
    /// served next.
    fn reset(&mut self) {
        self.past_stats = self.stats();
        (self.past_stats.allocations, self.past_stats.tcp_connections) = (0, 0);
        self.past_stats.dtls_associations = 0;
        self.past_stats.offloaded_channels = 0;
        self.config.seed = rand::rng().random();
        self.server = Server::new(self.config.clone(), Box::new(self.quota.clone()));
        self.relays.close_all();
        self.peers.reset();
        self.offload.clear();
        self.connections = Connections::new(MAX_CONNECTIONS);
        self.dtls.reset(self.certificates.as_ref());
        (self.not_sent, self.ready) = (0, Ready::default());
        (self.handover, self.paused) = (Handover::default(), PausedSplices::default());
        self.to_peers.clear();
        self.to_clients.clear();
        self.from_peers.clear();
        let listeners = [(UDP, self.udp.len()), (TCP, self.tcp.len()), (TLS, self.tls.len())];
        for (kind, len) in listeners.into_iter().chain([(DTLS, self.dtls.sockets()), (WAKER, 1)]) {
            (0..len).for_each(|index| self.ready.push(token(kind, index)));
        }
    }

    /// Serves ready sources, clients and peers in turn, within the budget of a round.
    fn serve_round(&mut self) {
        self.ready.begin_round();
        let mut budget = ROUND;
        while budget > 0
            && let Some(token) = self.ready.next(budget == ROUND)
        {
            let Served { datagrams, more } = self.serve(token);
            self.ready.count(token, datagrams);
            if more {
                self.ready.push(token);
            }
            budget = budget.saturating_sub(datagrams.max(1));
        }
        self.flush_to_clients();
    }

    fn timeout(&self) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let expiry = self.server.poll_timeout();
        let clients = self.connections.len() + self.dtls.len();
        let sweep = (clients > 0 || !self.paused_listeners.is_empty()).then_some(self.next_sweep);
        let now = Instant::now();
        let ends =
            [self.dtls.poll_timeout(), self.offload.poll_timeout(), self.paused.poll_timeout()];
        let next = expiry.into_iter().chain(sweep).chain(ends.into_iter().flatten()).min();
        next.map_or(Duration::from_secs(60), |at| at.saturating_duration_since(now))
    }

    fn serve(&mut self, token: Token) -> Served {
        let (kind, index) = split(token);
        match kind {
            UDP => self.serve_udp(index),
            TCP | TLS => self.serve_listener(kind, index),
            CONNECTION => self.serve_connection(index),
            RELAY => self.serve_relay(index),
            WAKER => {
                self.run_commands();
                self.serve_handed_over()
            }
            DTLS => self.serve_dtls(index),
            TCP_RELAY => self.serve_tcp_relay(index),
            PEER => self.serve_peer(index),
            _ => Served::EMPTY,
        }
    }

    fn expire(&mut self) {
        self.count_offloaded();
        self.resume_paused();
        self.server.handle_timeout(self.now);
        self.apply_outputs();
        let now = self.now.instant;
        self.dtls.handle_timeout(now);
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        self.paused_listeners.drain(..).for_each(|token| self.ready.push(token));
        let has_allocation = |tuple: &FiveTuple| self.server.has_allocation(tuple);
        for slot in self.connections.overdue(now, has_allocation) {
            self.close(slot);
        }
        let has_allocation = |tuple: &FiveTuple| self.server.has_allocation(tuple);
        self.dtls.expire(now, has_allocation);
    }

    /// Releases the memory of queues after the last allocation has ended. Until then they keep it
    /// for the next packets; tables shrink on their own.
    fn release_memory(&mut self) {
        let busy = self.server.allocations() > 0;
        if self.was_busy && !busy && self.ready.is_empty() {
            self.ready.release_memory();
            self.to_peers.release_memory();
            self.to_clients.release_memory();
        }
        self.was_busy = busy || self.was_busy && !self.ready.is_empty();
    }

    fn publish(&self) {
        self.control.publish(self.stats());
    }

    fn stats(&self) -> Stats {
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.past_stats
            + Stats {
                allocations: number(self.server.allocations()),
                tcp_connections: number(self.connections.len()),
                dtls_associations: number(self.dtls.len()),
                not_sent: self.not_sent + self.dtls.not_sent,
                offloaded_channels: number(self.offload.len()),
                counters: self.server.counters(),
            }
    }
}

/// Removes flow label and scope, which the kernel fills in for IPv6.
fn without_scope(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), addr.port())
}

fn now() -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_s: since_1970.as_secs() }
}

#[cfg(test)]
mod tests;
