//! One thread: poll, serve what is ready within a budget, expire, publish, again.

mod clients;
mod commands;
mod outputs;
mod peers;
mod ready;
mod streams;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use porthole_turn_proto::server::{
    AllocationQuota, FiveTuple, HEADROOM, Now, Server, ServerConfig, TAILROOM,
};

use crate::connection::{Connections, IDLE};
use crate::control::{Command, Control, Phase};
use crate::listen::Sockets;
use crate::relays::Relays;
use crate::stats::Stats;
use ready::{CONNECTION, RELAY, Ready, TCP, UDP, WAKER, split, token};

/// Datagrams, reads or connections taken from one source before the others have their turn.
const BUDGET: usize = 64;
/// Events of one poll.
const EVENTS: usize = 1024;
/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;
/// How often connections are looked at, and how long a listener rests that cannot accept.
const SWEEP: Duration = Duration::from_secs(1);

/// Everything of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    control: Arc<Control>,
    commands: Receiver<Command>,
    poll: Poll,
    server: Server,
    udp: Vec<(SocketAddr, UdpSocket)>,
    tcp: Vec<TcpListener>,
    connections: Connections,
    relays: Relays,
    /// Sources with more to give than their budget.
    ready: Ready,
    /// Listeners that could not accept: no file descriptors left.
    resting: Vec<Token>,
    /// A datagram lies behind [`HEADROOM`], so that its header can be put before it in place.
    buffer: Vec<u8>,
    not_sent: u64,
    next_sweep: Instant,
}

/// Whether a source may have more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Empty,
    More,
}

impl Worker {
    pub(crate) fn new(
        sockets: Sockets,
        config: ServerConfig,
        quota: Box<dyn AllocationQuota>,
        relays: Relays,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let Sockets { mut udp, mut tcp } = sockets;
        for (index, (_, socket)) in udp.iter_mut().enumerate() {
            poll.registry().register(socket, token(UDP, index), Interest::READABLE)?;
        }
        for (index, listener) in tcp.iter_mut().enumerate() {
            poll.registry().register(listener, token(TCP, index), Interest::READABLE)?;
        }
        let waker = Waker::new(poll.registry(), token(WAKER, 0))?;
        let (control, commands) = Control::new(waker);
        Ok(Self {
            control: Arc::new(control),
            commands,
            poll,
            server: Server::new(config, quota),
            udp,
            tcp,
            connections: Connections::default(),
            relays,
            ready: Ready::default(),
            resting: Vec::new(),
            buffer: vec![0; HEADROOM + MAX_DATAGRAM + TAILROOM],
            not_sent: 0,
            next_sweep: Instant::now() + SWEEP,
        })
    }

    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Until told to stop, or until drained.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if let Err(error) = self.poll.poll(&mut events, Some(self.timeout()))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "a TURN worker cannot poll");
                return;
            }
            events.iter().for_each(|event| self.ready.push(event.token()));
            for _ in 0..self.ready.len() {
                let Some(token) = self.ready.pop() else { break };
                if self.serve(token) == Rest::More {
                    self.ready.push(token);
                }
            }
            self.expire();
            self.publish();
            match self.control.phase() {
                Phase::Run => {}
                Phase::Drain if self.server.allocations() > 0 => self.server.start_draining(),
                Phase::Drain | Phase::Stop => break,
            }
        }
        self.server.end_all(clocks());
        self.do_outputs();
        self.publish();
    }

    fn timeout(&self) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let expiry = self.server.poll_timeout();
        let sweep =
            (self.connections.len() > 0 || !self.resting.is_empty()).then_some(self.next_sweep);
        let now = Instant::now();
        let next = expiry.into_iter().chain(sweep).min();
        next.map_or(Duration::from_secs(60), |at| at.saturating_duration_since(now))
    }

    fn serve(&mut self, token: Token) -> Rest {
        let (kind, index) = split(token);
        match kind {
            UDP => self.serve_udp(index),
            TCP => self.serve_listener(index),
            CONNECTION => self.serve_connection(index),
            RELAY => self.serve_relay(index),
            WAKER => self.obey(),
            _ => Rest::Empty,
        }
    }

    fn expire(&mut self) {
        self.server.handle_timeout(clocks());
        self.do_outputs();
        let now = Instant::now();
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        self.resting.drain(..).for_each(|token| self.ready.push(token));
        let since = now.checked_sub(IDLE).unwrap_or(now);
        let kept = |tuple: &FiveTuple| self.server.has_allocation(tuple);
        for slot in self.connections.to_close(since, kept) {
            self.close(slot);
        }
    }

    fn publish(&self) {
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.control.publish(Stats {
            allocations: number(self.server.allocations()),
            tcp_connections: number(self.connections.len()),
            not_sent: self.not_sent,
            counters: self.server.counters(),
        });
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
