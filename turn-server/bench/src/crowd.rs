//! Many TURN clients behind one socket, each with an address of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_turn_proto::channel::{CHANNEL_HEADER_LEN, channel_header};
use porthole_turn_proto::{ClientConfig, ClientEvent, Transport, TurnClient};

use crate::cli::{PASSWORD, USERNAME};
use crate::wire::Wire;

/// How often clients are asked what is due: retransmissions, renewals.
const UPKEEP: Duration = Duration::from_millis(20);
/// A step that takes longer will not end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where clients and peers are: one address each, counted up from these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) clients: Ipv4Addr,
    pub(crate) peers: Ipv4Addr,
}

impl Addresses {
    /// Every address of 127/8 is this host.
    pub(crate) const LOOPBACK: Self =
        Self { clients: Ipv4Addr::new(127, 10, 0, 1), peers: Ipv4Addr::new(127, 20, 0, 1) };
}

/// The address that is `index` behind `base`.
pub(crate) fn nth(base: Ipv4Addr, index: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(base.to_bits().wrapping_add(u32::try_from(index).unwrap_or(u32::MAX)))
}

/// The inverse of [`nth`].
pub(crate) fn index_of(base: Ipv4Addr, addr: Ipv4Addr) -> usize {
    usize::try_from(addr.to_bits().wrapping_sub(base.to_bits())).unwrap_or(usize::MAX)
}

/// The clients. What they are told is the time may be ahead of the clock.
pub(crate) struct Crowd {
    pub(crate) wire: Wire,
    server: SocketAddr,
    base: Ipv4Addr,
    clients: Vec<TurnClient>,
    ahead: Duration,
    next_upkeep: Instant,
    requests: usize,
    /// What a client was refused.
    refused: Option<ClientEvent>,
}

/// One bound channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) client: Ipv4Addr,
    pub(crate) peer: Ipv4Addr,
    pub(crate) relayed: SocketAddr,
    /// Of a ChannelData message with a payload of the size asked for.
    pub(crate) header: [u8; CHANNEL_HEADER_LEN],
}

impl Crowd {
    pub(crate) fn new(wire: Wire, server: SocketAddr, base: Ipv4Addr) -> Self {
        let (ahead, next_upkeep) = (Duration::ZERO, Instant::now());
        Self {
            wire,
            server,
            base,
            clients: Vec::new(),
            ahead,
            next_upkeep,
            requests: 0,
            refused: None,
        }
    }

    /// Makes `count` allocations, `at_once` of them under way at any time.
    pub(crate) fn allocate(&mut self, count: usize, at_once: usize) -> Result<Duration> {
        self.clients.clear();
        let start = |crowd: &mut Self, _| {
            let (name, password) = (USERNAME.to_owned(), PASSWORD.to_owned());
            let config = ClientConfig::new(name, password, Transport::Udp);
            let client = TurnClient::new(config, crowd.now());
            crowd.clients.push(client);
        };
        let step = Step { name: "Allocate", count, at_once };
        self.work_through(step, start, |_, client| client.relayed().is_some())
    }

    /// Binds a channel to each client's own peer.
    pub(crate) fn bind(&mut self, peers: Peers, at_once: usize) -> Result<Duration> {
        let start = |crowd: &mut Self, index: usize| {
            let now = crowd.now();
            if let Some(client) = crowd.clients.get_mut(index) {
                client.bind_channel(now, peers.address(index));
            }
        };
        let step = Step { name: "ChannelBind", count: self.clients.len(), at_once };
        self.work_through(step, start, |index, client| {
            client.channel(peers.address(index)).is_some()
        })
    }

    /// Gives every allocation back.
    pub(crate) fn release(&mut self, at_once: usize) -> Result<Duration> {
        let start = |crowd: &mut Self, index: usize| {
            let now = crowd.now();
            if let Some(client) = crowd.clients.get_mut(index) {
                client.close(now);
            }
        };
        let step = Step { name: "Refresh", count: self.clients.len(), at_once };
        self.work_through(step, start, |_, client| client.is_finished())
    }

    /// What carries payloads of `size` bytes over each bound channel.
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

    /// How many clients have their allocation.
    pub(crate) fn alive(&self) -> usize {
        self.clients.iter().filter(|client| client.relayed().is_some()).count()
    }

    /// How many requests they have sent.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// Makes the clients believe that so much time has passed: what is due by then is renewed
    /// now. The server knows nothing of it.
    pub(crate) fn skip(&mut self, time: Duration) {
        self.ahead += time;
    }

    /// Keeps all allocations for `time`.
    pub(crate) fn hold(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.listen(|_, _| {})? == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.keep_up(0..self.clients.len())?;
        }
        Ok(())
    }
}

/// The peers of a crowd.
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

/// Something that every client does.
#[derive(Clone, Copy, Debug)]
struct Step {
    name: &'static str,
    count: usize,
    at_once: usize,
}

impl Crowd {
    /// Lets one client after the other do a step; returns how long all took.
    fn work_through(
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
            self.listen(|index, client| {
                if let Some(known @ false) = finished.get_mut(index)
                    && is_done(index, client)
                {
                    *known = true;
                    done += 1;
                }
            })?;
            self.keep_up(0..started)?;
            let Step { name, count, .. } = step;
            if let Some(refused) = &self.refused {
                bail!("{name}: {done} of {count} done, then {refused:?}");
            }
            ensure!(began.elapsed() < PATIENCE, "{name}: {done} of {count} done in {PATIENCE:?}");
        }
        Ok(began.elapsed())
    }

    /// Hands a batch of packets to the clients, and what they say to the server.
    fn listen(&mut self, mut then: impl FnMut(usize, &TurnClient)) -> Result<usize> {
        let now = self.now();
        let mut heard = Vec::new();
        let (clients, server, base) = (&mut self.clients, self.server, self.base);
        let packets = self.wire.receive(|received| {
            let Some(index) = received.to.map(|to| index_of(base, to)) else { return };
            if let Some(client) = clients.get_mut(index).filter(|_| received.from == server) {
                client.handle_datagram(now, received.bytes);
                heard.push(index);
            }
        })?;
        for index in heard {
            self.flush(index)?;
            if let Some(client) = self.clients.get(index) {
                then(index, client);
            }
        }
        Ok(packets)
    }

    /// Does what is due by the clock, some of it: others have their turn a moment later, so that
    /// thousands do not all speak at once.
    fn keep_up(&mut self, which: std::ops::Range<usize>) -> Result<()> {
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

    /// Sends what a client has to send, and hears what it has to tell.
    fn flush(&mut self, index: usize) -> Result<()> {
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        while let Some(bytes) = client.poll_transmit() {
            self.wire.send(nth(self.base, index), self.server, &bytes, None)?;
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
