//! Many TURN clients that share one socket, each with its own address.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_turn_proto::channel::{CHANNEL_HEADER_LEN, channel_header};
use porthole_turn_proto::{ClientConfig, ClientEvent, Transport, TurnClient};

use crate::cli::{PASSWORD, USERNAME};
use crate::socket::MultiHostSocket;

/// Interval at which timeouts of clients are handled: retransmissions, refreshes.
const UPKEEP: Duration = Duration::from_millis(20);
/// Time limit of a step.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first addresses of clients and peers; each of them has the next one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) clients: Ipv4Addr,
    pub(crate) peers: Ipv4Addr,
}

impl Addresses {
    /// Addresses over loopback: all of 127/8 belong to this host.
    pub(crate) const LOOPBACK: Self =
        Self { clients: Ipv4Addr::new(127, 10, 0, 1), peers: Ipv4Addr::new(127, 20, 0, 1) };
}

/// Returns the address `index` after `base`.
pub(crate) fn nth(base: Ipv4Addr, index: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(base.to_bits().wrapping_add(u32::try_from(index).unwrap_or(u32::MAX)))
}

/// Computes the inverse of [`nth`].
pub(crate) fn index_of(base: Ipv4Addr, addr: Ipv4Addr) -> usize {
    usize::try_from(addr.to_bits().wrapping_sub(base.to_bits())).unwrap_or(usize::MAX)
}

/// The clients. Their time may be ahead of the clock.
pub(crate) struct ClientPool {
    pub(crate) socket: MultiHostSocket,
    server: SocketAddr,
    base: Ipv4Addr,
    clients: Vec<TurnClient>,
    ahead: Duration,
    next_upkeep: Instant,
    requests: usize,
    /// The event of a client whose request was refused.
    refused: Option<ClientEvent>,
}

/// One bound channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) client: Ipv4Addr,
    pub(crate) peer: Ipv4Addr,
    pub(crate) relayed: SocketAddr,
    /// The header of a ChannelData message with a payload of the given size.
    pub(crate) header: [u8; CHANNEL_HEADER_LEN],
}

impl ClientPool {
    pub(crate) fn new(socket: MultiHostSocket, server: SocketAddr, base: Ipv4Addr) -> Self {
        let (ahead, next_upkeep) = (Duration::ZERO, Instant::now());
        Self {
            socket,
            server,
            base,
            clients: Vec::new(),
            ahead,
            next_upkeep,
            requests: 0,
            refused: None,
        }
    }

    /// Makes `count` allocations, `at_once` of them concurrently. Returns the time it took.
    pub(crate) fn allocate(&mut self, count: usize, at_once: usize) -> Result<Duration> {
        self.clients.clear();
        let start = |pool: &mut Self, _| {
            let (name, password) = (USERNAME.to_owned(), PASSWORD.to_owned());
            let config = ClientConfig::new(name, password, Transport::Udp);
            let client = TurnClient::new(config, pool.now());
            pool.clients.push(client);
        };
        let step = Step { name: "Allocate", count, at_once };
        self.run_step(step, start, |_, client| client.relayed().is_some())
    }

    /// Binds a channel of each client to its own peer.
    pub(crate) fn bind(&mut self, peers: Peers, at_once: usize) -> Result<Duration> {
        let start = |pool: &mut Self, index: usize| {
            let now = pool.now();
            if let Some(client) = pool.clients.get_mut(index) {
                client.bind_channel(now, peers.address(index));
            }
        };
        let step = Step { name: "ChannelBind", count: self.clients.len(), at_once };
        self.run_step(step, start, |index, client| client.channel(peers.address(index)).is_some())
    }

    /// Releases every allocation.
    pub(crate) fn release(&mut self, at_once: usize) -> Result<Duration> {
        let start = |pool: &mut Self, index: usize| {
            let now = pool.now();
            if let Some(client) = pool.clients.get_mut(index) {
                client.close(now);
            }
        };
        let step = Step { name: "Refresh", count: self.clients.len(), at_once };
        self.run_step(step, start, |_, client| client.is_finished())
    }

    /// Returns the flows that carry payloads of `size` bytes over the bound channels.
    pub(crate) fn flows(&self, peers: Peers, size: usize) -> Result<Vec<Flow>> {
        let flow = |(index, client): (usize, &TurnClient)| {
            let peer = peers.address(index);
            let header = channel_header(client.channel(peer)?, size)?;
            let (client_at, peer_at) = (nth(self.base, index), nth(peers.base, index));
            Some(Flow { client: client_at, peer: peer_at, relayed: client.relayed()?, header })
        };
        let flows: Option<Vec<_>> = self.clients.iter().enumerate().map(flow).collect();
        flows.context("an allocation or a channel has ended")
    }

    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// Returns the number of clients with an allocation.
    pub(crate) fn allocated(&self) -> usize {
        self.clients.iter().filter(|client| client.relayed().is_some()).count()
    }

    /// Returns the number of requests sent.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// Advances the time of the clients, not of the server: refreshes due by then are sent now.
    pub(crate) fn advance_clock(&mut self, time: Duration) {
        self.ahead += time;
    }

    /// Keeps all allocations alive for `time`.
    pub(crate) fn hold(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.receive(|_, _| {})? == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.handle_timeouts(0..self.clients.len())?;
        }
        Ok(())
    }
}

/// The peers of a pool: one address each, all with the same port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peers {
    pub(crate) base: Ipv4Addr,
    pub(crate) port: u16,
}

impl Peers {
    fn address(self, index: usize) -> SocketAddr {
        SocketAddr::from((nth(self.base, index), self.port))
    }
}

/// A transaction that every client makes.
#[derive(Clone, Copy, Debug)]
struct Step {
    name: &'static str,
    count: usize,
    at_once: usize,
}

impl ClientPool {
    /// Runs a step for one client after the other. Returns the time that all took.
    fn run_step(
        &mut self,
        step: Step,
        mut start: impl FnMut(&mut Self, usize),
        is_done: impl Fn(usize, &TurnClient) -> bool,
    ) -> Result<Duration> {
        let began = Instant::now();
        let (mut started, mut finished) = (0, vec![false; step.count]);
        let mut done = 0;
        while done < step.count {
            while started < step.count && started - done < step.at_once {
                start(self, started);
                self.flush(started)?;
                started += 1;
            }
            self.receive(|index, client| {
                if let Some(known @ false) = finished.get_mut(index)
                    && is_done(index, client)
                {
                    *known = true;
                    done += 1;
                }
            })?;
            self.handle_timeouts(0..started)?;
            let Step { name, count, .. } = step;
            if let Some(refused) = &self.refused {
                bail!("{name}: {done} of {count} done, then {refused:?}");
            }
            ensure!(began.elapsed() < PATIENCE, "{name}: {done} of {count} done in {PATIENCE:?}");
        }
        Ok(began.elapsed())
    }

    /// Gives a batch of packets to the clients and sends what they send in return. Calls `then` for
    /// each client concerned; returns the number of packets.
    fn receive(&mut self, mut then: impl FnMut(usize, &TurnClient)) -> Result<usize> {
        let now = self.now();
        let mut receivers = Vec::new();
        let (clients, server, base) = (&mut self.clients, self.server, self.base);
        let packets = self.socket.receive(|received| {
            let Some(index) = received.to.map(|to| index_of(base, to)) else { return };
            if let Some(client) = clients.get_mut(index).filter(|_| received.from == server) {
                client.handle_datagram(now, received.bytes);
                receivers.push(index);
            }
        })?;
        for index in receivers {
            self.flush(index)?;
            if let Some(client) = self.clients.get(index) {
                then(index, client);
            }
        }
        Ok(packets)
    }

    /// Handles timeouts of some clients; the others follow a moment later, so that thousands do not
    /// send at once.
    fn handle_timeouts(&mut self, which: std::ops::Range<usize>) -> Result<()> {
        const AT_ONCE: usize = 64;
        if Instant::now() < self.next_upkeep {
            return Ok(());
        }
        let now = self.now();
        let due = |client: &TurnClient| client.poll_timeout().is_some_and(|at| at <= now);
        let due: Vec<usize> =
            which.filter(|index| self.clients.get(*index).is_some_and(due)).take(AT_ONCE).collect();
        for index in &due {
            if let Some(client) = self.clients.get_mut(*index) {
                client.handle_timeout(now);
            }
            self.flush(*index)?;
        }
        let wait = if due.len() == AT_ONCE { UPKEEP / 10 } else { UPKEEP };
        self.next_upkeep = Instant::now() + wait;
        Ok(())
    }

    /// Sends a client's packets and handles its events.
    fn flush(&mut self, index: usize) -> Result<()> {
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        while let Some(bytes) = client.poll_transmit() {
            self.socket.send(nth(self.base, index), self.server, &bytes, None)?;
            self.requests += 1;
        }
        while let Some(event) = client.poll_event() {
            match event {
                ClientEvent::Allocated { .. } => {}
                ClientEvent::Failed { .. }
                | ClientEvent::PermissionRefused { .. }
                | ClientEvent::Expired => self.refused = Some(event),
            }
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }
}
