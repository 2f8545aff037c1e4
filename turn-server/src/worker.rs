//! One thread: poll, serve what is ready within a budget, expire, publish, again.

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use porthole_turn_proto::Transport;
use porthole_turn_proto::server::{
    AllocationQuota, FiveTuple, HEADROOM, Now, Output, Server, ServerConfig, TAILROOM, ToClient,
};

use crate::connection::{Connection, Connections, IDLE};
use crate::listen::Sockets;
use crate::relays::Relays;
use crate::stats::{Published, Stats};

/// Datagrams, reads or connections taken from one source before the others have their turn.
const BUDGET: usize = 64;
/// Events of one poll.
const EVENTS: usize = 1024;
/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;
/// How often connections are looked at, and how long a listener rests that cannot accept.
const SWEEP: Duration = Duration::from_secs(1);

/// What a token's low bits say it is; the rest is its index.
const WAKER: usize = 0;
const UDP: usize = 1;
const TCP: usize = 2;
const CONNECTION: usize = 3;
const RELAY: usize = 4;
const KIND_BITS: u32 = 3;

const fn token(kind: usize, index: usize) -> Token {
    Token(index << KIND_BITS | kind)
}

/// How others steer a worker and read its numbers.
#[derive(Debug)]
pub(crate) struct Control {
    state: AtomicU8,
    waker: Waker,
    stats: Published,
}

const RUN: u8 = 0;
const DRAIN: u8 = 1;
const STOP: u8 = 2;

impl Control {
    pub(crate) fn drain(&self) {
        self.become_state(DRAIN);
    }

    pub(crate) fn stop(&self) {
        self.become_state(STOP);
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats.load()
    }

    fn become_state(&self, state: u8) {
        self.state.fetch_max(state, Ordering::Relaxed);
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "a TURN worker cannot be woken");
        }
    }
}

/// Everything of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    control: Arc<Control>,
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
        let stats = Published::default();
        Ok(Self {
            control: Arc::new(Control { state: AtomicU8::new(RUN), waker, stats }),
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
            match self.control.state.load(Ordering::Relaxed) {
                RUN => {}
                DRAIN if self.server.allocations() > 0 => self.server.start_draining(),
                _ => break,
            }
        }
        self.server.end_all();
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
        let index = token.0 >> KIND_BITS;
        match token.0 & ((1 << KIND_BITS) - 1) {
            UDP => self.serve_udp(index),
            TCP => self.serve_listener(index),
            CONNECTION => self.serve_connection(index),
            RELAY => self.serve_relay(index),
            _ => Rest::Empty,
        }
    }

    /// Clients over UDP.
    fn serve_udp(&mut self, index: usize) -> Rest {
        let now = clocks();
        for _ in 0..BUDGET {
            let Some((server, socket)) = self.udp.get(index) else { return Rest::Empty };
            let server = *server;
            let (len, from) = match socket.recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Rest::Empty,
                Err(_) => continue,
            };
            let client = FiveTuple { transport: Transport::Udp, client: plain(from), server };
            let datagram = self.buffer.get(..len).unwrap_or_default();
            if let Some(to_peer) = self.server.handle_client(now, &client, datagram) {
                let payload = datagram.get(to_peer.payload).unwrap_or_default();
                let sent = self.relays.send(to_peer.id, payload, to_peer.peer);
                self.not_sent += u64::from(!sent);
            }
            self.do_outputs();
        }
        Rest::More
    }

    /// Peers.
    fn serve_relay(&mut self, slot: usize) -> Rest {
        let now = clocks();
        for _ in 0..BUDGET {
            let Some(relay) = self.relays.at(slot) else { return Rest::Empty };
            let room = self.buffer.get_mut(HEADROOM..).unwrap_or_default();
            let (len, from) = match relay.recv(room) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Rest::Empty,
                Err(_) => continue,
            };
            let id = relay.id;
            if let Some(to_client) = self.server.handle_peer(now, id, plain(from), len) {
                self.send_to_client(&to_client, len);
            }
        }
        Rest::More
    }

    /// Puts the header before and the padding behind the payload that lies in the buffer.
    fn send_to_client(&mut self, to: &ToClient, len: usize) {
        let header = to.header.as_bytes();
        let (start, end) = (HEADROOM - header.len(), HEADROOM + len);
        if let Some(place) = self.buffer.get_mut(start..HEADROOM) {
            place.copy_from_slice(header);
        }
        if let Some(padding) = self.buffer.get_mut(end..end + to.padding) {
            padding.fill(0);
        }
        let Some(packet) = self.buffer.get(start..end + to.padding) else { return };
        self.not_sent += match to.client.transport {
            Transport::Udp => u64::from(!send_udp(&self.udp, &to.client, packet)),
            Transport::Tcp => {
                self.connections.of_client(&to.client).map_or(1, |c| c.send_relayed(packet))
            }
        };
    }

    fn serve_listener(&mut self, index: usize) -> Rest {
        for _ in 0..BUDGET {
            let Some(listener) = self.tcp.get(index) else { return Rest::Empty };
            match listener.accept() {
                Ok((stream, from)) => self.accept(stream, from),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Rest::Empty,
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "the TURN server cannot accept a connection");
                    self.resting.push(token(TCP, index));
                    return Rest::Empty;
                }
            }
        }
        Rest::More
    }

    fn accept(&mut self, mut stream: mio::net::TcpStream, from: SocketAddr) {
        // Dropping closes: there is nobody to tell.
        let Ok(server) = stream.local_addr() else { return };
        if self.connections.is_full() {
            return;
        }
        // Video in small packets: waiting to fill a segment is what TCP must not do.
        let _ = stream.set_nodelay(true);
        let slot = self.connections.next_slot();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        if registry.register(&mut stream, token(CONNECTION, slot), interest).is_ok() {
            let (client, server) = (plain(from), plain(server));
            let tuple = FiveTuple { transport: Transport::Tcp, client, server };
            self.connections.insert(Connection::new(stream, tuple, Instant::now()));
        }
    }

    /// Clients over TCP: writes what waits, then reads.
    fn serve_connection(&mut self, slot: usize) -> Rest {
        let now = clocks();
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.flush();
        }
        for _ in 0..BUDGET {
            let Some(connection) = self.connections.get_mut(slot) else { return Rest::Empty };
            let room = self.buffer.get_mut(..MAX_DATAGRAM).unwrap_or_default();
            match connection.read(room) {
                Ok(n) if n > 0 => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Rest::Empty,
                Ok(_) | Err(_) => {
                    self.close(slot);
                    return Rest::Empty;
                }
            }
            self.serve_frames(slot, now);
        }
        Rest::More
    }

    fn serve_frames(&mut self, slot: usize, now: Now) {
        while let Some(connection) = self.connections.get_mut(slot) {
            let frame = match connection.decoder.next_frame() {
                Ok(Some(frame)) if !connection.broken => frame,
                Ok(None) => return,
                Ok(Some(_)) | Err(_) => return self.close(slot),
            };
            connection.heard = now.instant;
            if let Some(to_peer) = self.server.handle_client(now, &connection.tuple, frame) {
                let payload = frame.get(to_peer.payload).unwrap_or_default();
                let sent = self.relays.send(to_peer.id, payload, to_peer.peer);
                self.not_sent += u64::from(!sent);
            }
            self.do_outputs();
        }
    }

    fn close(&mut self, slot: usize) {
        if let Some(connection) = self.connections.remove(slot) {
            self.server.client_gone(&connection.tuple);
            self.do_outputs();
        }
    }

    fn do_outputs(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send { client, bytes } => match client.transport {
                    Transport::Udp => {
                        self.not_sent += u64::from(!send_udp(&self.udp, &client, &bytes));
                    }
                    Transport::Tcp => {
                        if let Some(connection) = self.connections.of_client(&client) {
                            connection.send_answer(bytes);
                        }
                    }
                },
                Output::OpenRelay { id, family, port } => {
                    let slot = usize::try_from(id.slot()).unwrap_or(usize::MAX);
                    let registry = self.poll.registry();
                    match self.relays.open(id, family, port, registry, token(RELAY, slot)) {
                        Ok(()) => self.server.relay_opened(id),
                        Err(error) => {
                            tracing::debug!(port, %error, "a relay port cannot be opened");
                            self.server.relay_failed(clocks(), id);
                        }
                    }
                }
                Output::CloseRelay { id } => self.relays.close(id),
            }
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
        self.control.stats.store(Stats {
            allocations: number(self.server.allocations()),
            tcp_connections: number(self.connections.len()),
            not_sent: self.not_sent,
            counters: self.server.counters(),
        });
    }
}

/// Sources to serve, each at most once in the queue.
#[derive(Debug, Default)]
struct Ready {
    queue: VecDeque<Token>,
    queued: HashSet<Token>,
}

impl Ready {
    fn push(&mut self, token: Token) {
        if self.queued.insert(token) {
            self.queue.push_back(token);
        }
    }

    fn pop(&mut self) -> Option<Token> {
        let token = self.queue.pop_front()?;
        self.queued.remove(&token);
        Some(token)
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// From the socket that the client sent to.
fn send_udp(sockets: &[(SocketAddr, UdpSocket)], client: &FiveTuple, packet: &[u8]) -> bool {
    let socket = sockets.iter().find(|(addr, _)| *addr == client.server);
    socket.is_some_and(|(_, socket)| socket.send_to(packet, client.client).is_ok())
}

/// Without flow label and scope, which the kernel fills in for IPv6.
fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), addr.port())
}

/// Errors of a connection that died while it waited to be accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

fn clocks() -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_s: since_1970.as_secs() }
}
