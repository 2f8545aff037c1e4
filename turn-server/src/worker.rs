//! One thread: poll, serve what is ready within a budget, expire, publish, again.

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

use porthole_clock::Now;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use porthole_turn_proto::Family;
use porthole_turn_proto::server::{FiveTuple, Server, ServerConfig};

use rand::Rng as _;

use crate::config::SharedQuota;
use crate::control::stats::Stats;
use crate::control::{Command, Control, Phase};
use crate::net::sockets::Sockets;
use crate::net::udp::{self, Udp};
use crate::relay::offload::Offload;
use crate::relay::sockets::{Relays, ToRelay};
use crate::tcp::connections::{Connections, MAX_CONNECTIONS};
use crate::tcp::peer_connections::PeerConnections;
use crate::tls::certificates::Certificates;
use dtls_clients::DtlsClients;
use handover::Passing;
use inbox::{Inbox, MAX_BATCH};
use outbox::Outbox;
use ready::{CONNECTION, DTLS, PEER, RELAY, Ready, TCP, TCP_RELAY, TLS, UDP, WAKER, split, token};
use tcp_peers::Held;
use udp_clients::Listener;
use udp_peers::FromListener;

/// Reads or connections taken from one source before the others have their turn.
const BUDGET: usize = 64;
/// Datagrams taken between two polls: about a millisecond of work.
const ROUND: usize = 256;
/// Buffers for datagrams of peers: those of a round leave together.
const PEER_BUFFERS: usize = 64;
/// Events of one poll: those of relay sockets come again, so more than a round can serve is waste.
const EVENTS: usize = ROUND;
/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;
/// How long a worker that panicked rests: one that goes on panicking takes no time from the others.
/// It never ends, since the system would then give the others' clients to the wrong ones.
const REST: Duration = Duration::from_millis(100);
/// How often connections are looked at, and how long a listener rests that cannot accept.
const SWEEP: Duration = Duration::from_secs(1);

/// How workers reach one another; empty until all of them are made.
pub(crate) type Others = Arc<OnceLock<Vec<Arc<Control>>>>;

/// Everything of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    control: Arc<Control>,
    commands: Receiver<Command>,
    poll: Poll,
    server: Server,
    /// What the next one is made from if this one panics.
    config: ServerConfig,
    quota: SharedQuota,
    /// What earlier ones counted.
    past: Stats,
    panics: u32,
    /// Read once for each round.
    now: Now,
    /// How many there were; it wraps.
    round: u32,
    udp: Vec<Listener>,
    tcp: Vec<TcpListener>,
    tls: Vec<TcpListener>,
    certificates: Option<Arc<Certificates>>,
    dtls: DtlsClients,
    connections: Connections,
    relays: Relays,
    peers: PeerConnections,
    held: Held,
    /// All workers, by number.
    others: Others,
    passing: Passing,
    offload: Offload,
    /// Sources with more to give than their budget.
    ready: Ready,
    receiver: udp::Receiver,
    from_clients: Inbox,
    to_peers: Outbox<ToRelay>,
    from_peers: Inbox,
    to_clients: Outbox<FromListener>,
    /// Listeners that could not accept: no file descriptors left.
    resting: Vec<Token>,
    /// What is read from streams.
    buffer: Vec<u8>,
    not_sent: u64,
    next_sweep: Instant,
    /// Whether there may be something for [`Self::give_back`].
    was_busy: bool,
}

/// What a source gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Served {
    datagrams: usize,
    /// Whether it may have more. If not, there will be an event when it has.
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
        (relays, peers, offload): (Relays, PeerConnections, Offload),
        others: Others,
        certificates: Option<Arc<Certificates>>,
        segmentation: bool,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let Sockets { udp: sockets, mut dtls, mut tcp, mut tls } = sockets;
        let mut udp = Vec::new();
        for (index, (addr, socket)) in sockets.into_iter().enumerate() {
            let mut socket = Udp::new(socket, Family::of(&addr.ip()), segmentation);
            socket.join_datagrams();
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
            past: Stats::default(),
            panics: 0,
            udp,
            tcp,
            tls,
            dtls: DtlsClients::new(dtls, certificates.as_ref()),
            certificates,
            connections: Connections::new(MAX_CONNECTIONS),
            peers,
            held: Held::default(),
            others,
            passing: Passing::default(),
            relays,
            offload,
            now: clocks(),
            round: 0,
            ready: Ready::default(),
            receiver: udp::Receiver::new()?,
            from_clients: Inbox::new(MAX_BATCH),
            to_peers: Outbox::new(segmentation),
            from_peers: Inbox::new(PEER_BUFFERS),
            to_clients: Outbox::new(segmentation),
            resting: Vec::new(),
            buffer: vec![0; MAX_DATAGRAM],
            not_sent: 0,
            next_sweep: Instant::now() + SWEEP,
            was_busy: false,
        })
    }

    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Until told to stop. A panic ends the allocations of this worker, whose
    /// state is not to be trusted any more, and nothing else.
    pub(crate) fn run(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.panics += 1;
            tracing::error!(panics = self.panics, "a TURN worker panicked: its allocations end");
            self.log_lost();
            std::thread::sleep(REST);
            self.start_over();
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
            self.now = clocks();
            self.round = self.round.wrapping_add(1);
            for event in &events {
                self.ready.push(event.token());
                if event.is_error() {
                    self.hear_errors(event.token());
                }
            }
            self.serve_round();
            self.expire();
            self.give_back();
            self.publish();
            match self.control.phase() {
                Phase::Run => {}
                // Even with nothing left its sockets stay open as long as another worker has
                // clients: the kernel would spread them anew over those that are left.
                Phase::Drain => {
                    self.server.start_draining();
                    if self.server.allocations() == 0 {
                        self.control.set_drained();
                    }
                }
                Phase::Stop => break,
            }
        }
        self.server.close(clocks());
        self.do_outputs();
        self.publish();
    }

    /// Dropping what there was gives ports and quota back. The listening sockets stay, with what
    /// waits in them, of which there will be no event.
    fn start_over(&mut self) {
        self.past = self.stats();
        (self.past.allocations, self.past.tcp_connections) = (0, 0);
        self.past.dtls_associations = 0;
        self.past.offloaded_channels = 0;
        self.config.seed = rand::rng().random();
        self.server = Server::new(self.config.clone(), Box::new(self.quota.clone()));
        self.relays.close_all();
        self.peers.start_over();
        self.offload.clear();
        self.connections = Connections::new(MAX_CONNECTIONS);
        self.dtls.start_over(self.certificates.as_ref());
        (self.not_sent, self.ready) = (0, Ready::default());
        (self.passing, self.held) = (Passing::default(), Held::default());
        self.to_peers.clear();
        self.to_clients.clear();
        self.from_peers.clear();
        let listeners = [(UDP, self.udp.len()), (TCP, self.tcp.len()), (TLS, self.tls.len())];
        for (kind, len) in listeners.into_iter().chain([(DTLS, self.dtls.sockets()), (WAKER, 1)]) {
            (0..len).for_each(|index| self.ready.push(token(kind, index)));
        }
    }

    /// Both directions in turns.
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
        let sweep = (clients > 0 || !self.resting.is_empty()).then_some(self.next_sweep);
        let now = Instant::now();
        let ends = [self.dtls.poll_timeout(), self.offload.timeout(), self.held.next()];
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
                self.obey();
                self.serve_passed()
            }
            DTLS => self.serve_dtls(index),
            TCP_RELAY => self.serve_tcp_relay(index),
            PEER => self.serve_peer(index),
            _ => Served::EMPTY,
        }
    }

    fn expire(&mut self) {
        self.count_offloaded();
        self.wake_held();
        self.server.handle_timeout(self.now);
        self.do_outputs();
        let now = self.now.instant;
        self.dtls.drive(now);
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        self.resting.drain(..).for_each(|token| self.ready.push(token));
        let kept = |tuple: &FiveTuple| self.server.has_allocation(tuple);
        for slot in self.connections.overdue(now, kept) {
            self.close(slot);
        }
        let kept = |tuple: &FiveTuple| self.server.has_allocation(tuple);
        self.dtls.expire(now, kept);
    }

    /// With the last allocation goes what the packets of all of them had grown. While there are
    /// some, tables shrink by themselves and this is kept for the next packets.
    fn give_back(&mut self) {
        let busy = self.server.allocations() > 0;
        if self.was_busy && !busy && self.ready.is_empty() {
            self.ready.forget();
            self.to_peers.forget();
            self.to_clients.forget();
        }
        self.was_busy = busy || self.was_busy && !self.ready.is_empty();
    }

    fn publish(&self) {
        self.control.publish(self.stats());
    }

    fn stats(&self) -> Stats {
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.past
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

/// Without flow label and scope, which the kernel fills in for IPv6.
fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), addr.port())
}

fn clocks() -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_s: since_1970.as_secs() }
}

#[cfg(test)]
mod tests;
