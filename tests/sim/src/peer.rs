//! One side of a connection: a real ICE agent with real STUN and TURN clients.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_gateway_core::ice::{
    Agent, Candidate, CandidateKind, Config, Credentials, Event, LocalBase, Role,
    dual_stack_preferences,
};
use porthole_turn_proto::stun::TransactionId;
use porthole_turn_proto::{
    ClientConfig, ClientEvent, StreamDecoder, StunClient, Transport, TurnClient,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::network::Packet;
use crate::server::{PASSWORD, SERVER, USER};

/// The UDP port of every peer.
pub const PORT: u16 = 5000;
/// Between two packets of media: fifty in a second are enough to see every gap.
pub const MEDIA_INTERVAL: Duration = Duration::from_millis(20);
/// First byte of an RTP packet: no STUN message begins with it.
const MEDIA: [u8; 4] = [0x80, b'r', b't', b'p'];
/// The first local port of a TURN client; every other one has the next, as TCP wants it.
const FIRST_RELAY_PORT: u16 = 5001;
/// A relayed candidate over UDP is better than one over TCP.
const RELAY_PREFERENCES: [u16; 2] = [65_535, 1_000];

/// How long candidates may be ahead of the credentials.
const LATE: Duration = Duration::from_millis(200);

/// What peers tell each other through the signaling server.
#[derive(Clone, Debug)]
pub enum Signal {
    /// The how manieth offer this is.
    Offer(Credentials, u32),
    /// To which offer this is the answer.
    Answer(Credentials, u32),
    /// The answerer asks for a new offer.
    WantsRestart,
    /// One candidate, spelled out.
    Candidate(String),
    /// There are no more.
    EndOfCandidates,
}

/// What a peer wants sent.
#[derive(Debug)]
pub enum FromPeer {
    /// From one of its UDP sockets.
    Datagram(Packet),
    /// On its TCP connection from this address to the server.
    Segment(SocketAddr, Vec<u8>),
    /// To the other one.
    Signal(Signal),
}

/// When signaling carries what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trickle {
    /// Offer, then candidates.
    CredentialsFirst,
    /// All candidates overtake the offer; those of the first one do not say whose they are.
    CandidatesFirst,
}

#[derive(Debug)]
struct RelayEnd {
    client: TurnClient,
    transport: Transport,
    local: SocketAddr,
    stream: StreamDecoder,
}

/// See the module.
#[derive(Debug)]
pub struct Peer {
    /// The value under test.
    pub agent: Agent,
    /// All that it told, and when.
    pub events: Vec<(Duration, Event)>,
    /// Arrivals of media.
    pub media: Vec<Duration>,
    /// Media from where no check came from.
    pub unproven_media: u32,
    /// When checks left.
    pub checks: Vec<Duration>,
    epoch: Instant,
    rng: StdRng,
    sockets: Vec<(SocketAddr, StunClient)>,
    relays: Vec<RelayEnd>,
    next_relay_port: u16,
    permitted: HashSet<IpAddr>,
    trickle: Trickle,
    is_offerer: bool,
    offers: u32,
    /// Held back until then.
    late_credentials: Option<(Instant, Signal)>,
    ended: bool,
    next_media: Duration,
    out: Vec<FromPeer>,
}

impl Peer {
    /// Gathers at once.
    pub fn new(
        now: Instant,
        addresses: &[IpAddr],
        role: Role,
        trickle: Trickle,
        relays: &[Transport],
        seed: u64,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let config = Config::new(role, Credentials::random(&mut rng), rng.random());
        let mut peer = Self {
            agent: Agent::new(config, now),
            events: Vec::new(),
            media: Vec::new(),
            unproven_media: 0,
            checks: Vec::new(),
            epoch: now,
            rng,
            sockets: Vec::new(),
            relays: Vec::new(),
            next_relay_port: FIRST_RELAY_PORT,
            permitted: HashSet::new(),
            trickle,
            is_offerer: false,
            offers: 0,
            late_credentials: None,
            ended: false,
            next_media: Duration::ZERO,
            out: Vec::new(),
        };
        peer.gather(now, addresses, relays);
        peer
    }

    fn gather(&mut self, now: Instant, addresses: &[IpAddr], relays: &[Transport]) {
        for (ip, preference) in addresses.iter().zip(dual_stack_preferences(addresses)) {
            let socket = SocketAddr::new(*ip, PORT);
            let base = LocalBase::Socket(socket);
            let kind = CandidateKind::Host;
            let candidate = self.agent.add_local(now, kind, base, socket, None, preference);
            self.signal_candidate(candidate);
            if ip.is_ipv4() == SERVER.is_ipv4() {
                let id = TransactionId(self.rng.random());
                self.sockets.push((socket, StunClient::with_id(now, id)));
            }
        }
        let Some(first) = addresses.iter().find(|ip| ip.is_ipv4() == SERVER.is_ipv4()) else {
            return;
        };
        for transport in relays {
            let config = ClientConfig {
                username: USER.to_owned(),
                password: PASSWORD.to_owned(),
                transport: *transport,
                software: None,
                requested_family: None,
                seed: self.rng.random(),
            };
            self.relays.push(RelayEnd {
                client: TurnClient::new(config, now),
                transport: *transport,
                local: SocketAddr::new(*first, self.next_relay_port),
                stream: StreamDecoder::new(),
            });
            self.next_relay_port += 1;
        }
    }

    /// Begins as the offerer.
    pub fn offer(&mut self, now: Instant) {
        self.is_offerer = true;
        self.offers = 1;
        let credentials = self.agent.local_credentials().clone();
        self.signal_credentials(now, Signal::Offer(credentials, self.offers));
    }

    /// A new generation; only the offerer offers, so that offers never cross.
    pub fn restart(&mut self, now: Instant) {
        if !self.is_offerer {
            return self.out.push(FromPeer::Signal(Signal::WantsRestart));
        }
        self.offers += 1;
        let credentials = self.renew(now);
        self.signal_credentials(now, Signal::Offer(credentials, self.offers));
        self.signal_all(now);
    }

    /// The machine has another address now: the old ends are gone, TURN included.
    pub fn move_to(&mut self, now: Instant, address: IpAddr, relays: &[Transport]) {
        for (socket, _) in std::mem::take(&mut self.sockets) {
            self.agent.remove_local(now, LocalBase::Socket(socket));
        }
        for (index, _) in (0_u8..).zip(std::mem::take(&mut self.relays)) {
            self.agent.remove_local(now, LocalBase::Allocation(index));
        }
        self.permitted.clear();
        self.ended = false;
        self.restart(now);
        self.gather(now, &[address], relays);
    }

    fn renew(&mut self, now: Instant) -> Credentials {
        let credentials = Credentials::random(&mut self.rng);
        self.agent.restart(now, credentials.clone());
        credentials
    }

    /// Something from the other side.
    pub fn handle_signal(&mut self, now: Instant, signal: Signal) {
        match signal {
            Signal::Offer(credentials, number) => {
                let is_restart = number > 1;
                self.offers = number;
                if is_restart {
                    self.renew(now);
                }
                self.agent.set_remote_credentials(now, credentials);
                let ours = self.agent.local_credentials().clone();
                self.signal_credentials(now, Signal::Answer(ours, number));
                if is_restart {
                    self.signal_all(now);
                }
            }
            Signal::Answer(credentials, number) => {
                if number == self.offers {
                    self.agent.set_remote_credentials(now, credentials);
                }
            }
            Signal::WantsRestart => self.restart(now),
            Signal::Candidate(line) => {
                let candidate: Candidate = line.parse().expect("peers here spell candidates well");
                self.agent.add_remote(now, candidate);
            }
            Signal::EndOfCandidates => self.agent.end_of_remote_candidates(now),
        }
    }

    /// A datagram to one of its sockets.
    pub fn handle_datagram(&mut self, now: Instant, packet: &Packet) {
        if let Some(index) = self.relays.iter().position(|r| r.local == packet.to) {
            return self.handle_turn(now, index, &packet.bytes);
        }
        if packet.from == SERVER {
            return self.handle_stun_answer(now, packet);
        }
        self.deliver(now, LocalBase::Socket(packet.to), packet.from, &packet.bytes);
    }

    /// Bytes on the TCP connection that this address began.
    pub fn handle_segment(&mut self, now: Instant, local: SocketAddr, bytes: &[u8]) {
        let Some(index) = self.relays.iter().position(|r| r.local == local) else { return };
        let mut frames = Vec::new();
        if let Some(relay) = self.relays.get_mut(index) {
            relay.stream.push(bytes).expect("the server keeps to the framing");
            while let Some(frame) = relay.stream.next_frame().expect("the server keeps to it") {
                frames.push(frame.to_vec());
            }
        }
        for frame in frames {
            self.handle_turn(now, index, &frame);
        }
    }

    fn handle_turn(&mut self, now: Instant, index: usize, bytes: &[u8]) {
        let Some(relay) = self.relays.get_mut(index) else { return };
        let Some((from, payload)) = relay.client.handle_datagram(now, bytes) else { return };
        let payload = bytes.get(payload).unwrap_or_default();
        let base = LocalBase::Allocation(u8::try_from(index).expect("two relays"));
        self.deliver(now, base, from, payload);
    }

    fn handle_stun_answer(&mut self, now: Instant, packet: &Packet) {
        let found = self.sockets.iter_mut().find(|(socket, _)| *socket == packet.to);
        let Some((socket, client)) = found else { return };
        let (socket, mapped) = (*socket, client.handle_datagram(&packet.bytes));
        let Some(mapped) = mapped else { return };
        let kind = CandidateKind::ServerReflexive;
        let base = LocalBase::Socket(socket);
        let candidate = self.agent.add_local(now, kind, base, mapped, Some(socket), 65_535);
        self.signal_candidate(candidate);
    }

    fn deliver(&mut self, now: Instant, base: LocalBase, from: SocketAddr, bytes: &[u8]) {
        if bytes == MEDIA {
            if self.agent.is_validated(base, from) {
                self.media.push(now - self.epoch);
            } else {
                self.unproven_media += 1;
            }
            return;
        }
        // Refused ones are part of the game: late answers, old generations.
        let _ = self.agent.handle_stun(now, base, from, bytes);
    }

    /// Lets the time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.agent.poll_timeout().is_some_and(|at| at <= now) {
            self.agent.handle_timeout(now);
        }
        for (_, client) in &mut self.sockets {
            client.handle_timeout(now);
        }
        for relay in &mut self.relays {
            relay.client.handle_timeout(now);
        }
        if self.agent.selected().is_some() && self.epoch + self.next_media <= now {
            self.next_media = now - self.epoch + MEDIA_INTERVAL;
            self.send_media();
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let media = self.agent.selected().map(|_| self.epoch + self.next_media);
        let stun = self.sockets.iter().filter_map(|(_, client)| client.poll_timeout());
        let turn = self.relays.iter().filter_map(|relay| relay.client.poll_timeout());
        let late = self.late_credentials.as_ref().map(|(at, _)| *at);
        let agent = self.agent.poll_timeout();
        agent.into_iter().chain(media).chain(stun).chain(turn).chain(late).min()
    }

    /// All that it wants sent. To be called after every input.
    pub fn drain(&mut self, now: Instant) -> Vec<FromPeer> {
        self.drain_turn_events(now);
        let remotes: Vec<IpAddr> = self.agent.remote_addresses().map(|a| a.ip()).collect();
        for ip in remotes {
            if self.permitted.insert(ip) {
                self.relays.iter_mut().for_each(|relay| relay.client.create_permission(now, ip));
            }
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            // Requests have neither class bit set.
            if transmit.bytes.first().is_some_and(|b| b & 1 == 0) && transmit.bytes[1] & 0x10 == 0 {
                self.checks.push(now - self.epoch);
            }
            self.send_from(transmit.base, transmit.to, transmit.bytes);
        }
        while let Some(event) = self.agent.poll_event() {
            self.events.push((now - self.epoch, event));
        }
        for (socket, client) in &mut self.sockets {
            while let Some(bytes) = client.poll_transmit() {
                self.out.push(FromPeer::Datagram(Packet { from: *socket, to: SERVER, bytes }));
            }
        }
        for relay in &mut self.relays {
            while let Some(bytes) = relay.client.poll_transmit() {
                self.out.push(to_server(relay.transport, relay.local, bytes));
            }
        }
        self.signal_end();
        if self.late_credentials.as_ref().is_some_and(|(at, _)| *at <= now) {
            let late = self.late_credentials.take();
            self.out.extend(late.map(|(_, signal)| FromPeer::Signal(signal)));
        }
        std::mem::take(&mut self.out)
    }

    fn drain_turn_events(&mut self, now: Instant) {
        for (index, preference) in RELAY_PREFERENCES.into_iter().enumerate() {
            while let Some(event) = self.relays.get_mut(index).and_then(|r| r.client.poll_event()) {
                let ClientEvent::Allocated { relayed, mapped } = event else { continue };
                let kind = CandidateKind::Relay;
                let base = LocalBase::Allocation(u8::try_from(index).expect("two relays"));
                let candidate =
                    self.agent.add_local(now, kind, base, relayed, Some(mapped), preference);
                self.signal_candidate(candidate);
            }
        }
    }

    fn send_media(&mut self) {
        if let Some(path) = self.agent.selected() {
            self.send_from(path.base, path.remote, MEDIA.to_vec());
        }
    }

    fn send_from(&mut self, base: LocalBase, to: SocketAddr, bytes: Vec<u8>) {
        match base {
            LocalBase::Socket(from) => {
                self.out.push(FromPeer::Datagram(Packet { from, to, bytes }))
            }
            LocalBase::Allocation(index) => {
                let Some(relay) = self.relays.get_mut(usize::from(index)) else { return };
                let mut wrapped = Vec::new();
                if relay.client.wrap(to, &bytes, &mut wrapped) {
                    self.out.push(to_server(relay.transport, relay.local, wrapped));
                }
            }
        }
    }

    fn signal_credentials(&mut self, now: Instant, signal: Signal) {
        match self.trickle {
            Trickle::CredentialsFirst => self.out.push(FromPeer::Signal(signal)),
            Trickle::CandidatesFirst => self.late_credentials = Some((now + LATE, signal)),
        }
    }

    fn signal_candidate(&mut self, candidate: Option<Candidate>) {
        if let Some(mut candidate) = candidate {
            if self.trickle == Trickle::CandidatesFirst && self.offers <= 1 {
                candidate.ufrag = None;
            }
            self.out.push(FromPeer::Signal(Signal::Candidate(candidate.to_string())));
        }
    }

    /// What is known, and once more the question to the STUN server.
    fn signal_all(&mut self, now: Instant) {
        let all: Vec<Candidate> = self.agent.local_candidates().cloned().collect();
        all.into_iter().for_each(|candidate| self.signal_candidate(Some(candidate)));
        for (_, client) in &mut self.sockets {
            *client = StunClient::with_id(now, TransactionId(self.rng.random()));
        }
        self.ended = false;
    }

    /// Once everything has been asked and answered.
    fn signal_end(&mut self) {
        let asking = self.sockets.iter().any(|(_, c)| c.mapped().is_none() && !c.has_failed());
        let allocating = self
            .relays
            .iter()
            .any(|relay| relay.client.relayed().is_none() && !relay.client.is_finished());
        if asking || allocating {
            return;
        }
        if !std::mem::replace(&mut self.ended, true) {
            self.out.push(FromPeer::Signal(Signal::EndOfCandidates));
        }
    }
}

fn to_server(transport: Transport, local: SocketAddr, bytes: Vec<u8>) -> FromPeer {
    match transport {
        Transport::Udp | Transport::Dtls => {
            FromPeer::Datagram(Packet { from: local, to: SERVER, bytes })
        }
        Transport::Tcp | Transport::Tls => FromPeer::Segment(local, bytes),
    }
}
