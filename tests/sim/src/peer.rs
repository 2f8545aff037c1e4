//! One side of a connection: the production ICE agent with production STUN and TURN clients.

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
/// Interval between two packets of media: fifty a second are enough to see every gap.
pub const MEDIA_INTERVAL: Duration = Duration::from_millis(20);
/// A packet of media. It begins as RTP does, so that it cannot be taken for STUN.
const MEDIA: [u8; 4] = [0x80, b'r', b't', b'p'];
/// Local port of the first TURN client; the others use the ports above, because each needs its own.
const FIRST_TURN_PORT: u16 = 5001;
/// Local preferences of relayed candidates: over UDP first, then over TCP.
const ALLOCATION_PREFERENCES: [u16; 2] = [65_535, 1_000];

/// Delay of the credentials with [`Trickle::CandidatesFirst`].
const CREDENTIALS_DELAY: Duration = Duration::from_millis(200);

/// A message between the peers through the signaling server.
#[derive(Clone, Debug)]
pub enum Signal {
    /// An offer: credentials, and the number of the offer, from 1.
    Offer(Credentials, u32),
    /// An answer: credentials, and the number of the offer that it answers.
    Answer(Credentials, u32),
    /// The answerer requests a new offer.
    RestartRequest,
    /// A candidate line.
    Candidate(String),
    /// The end of the candidates.
    EndOfCandidates,
}

/// An output of a peer.
#[derive(Debug)]
pub enum PeerOutput {
    /// A datagram from one of its UDP sockets.
    Datagram(Packet),
    /// Bytes on its TCP connection from this address to the server.
    Segment(SocketAddr, Vec<u8>),
    /// A message to the other peer.
    Signal(Signal),
}

/// The order in which signaling delivers credentials and candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trickle {
    /// The credentials arrive before the candidates.
    CredentialsFirst,
    /// The candidates overtake the credentials; those of the first generation have no `ufrag`.
    CandidatesFirst,
}

#[derive(Debug)]
struct Allocation {
    client: TurnClient,
    transport: Transport,
    local: SocketAddr,
    stream: StreamDecoder,
}

/// One side of a connection: an ICE agent, its STUN and TURN clients and its media.
#[derive(Debug)]
pub struct Peer {
    /// The agent under test.
    pub agent: Agent,
    /// All events of the agent, with their times.
    pub events: Vec<(Duration, Event)>,
    /// Times at which media arrived from validated addresses.
    pub media: Vec<Duration>,
    /// Number of media packets from addresses that were not validated.
    pub unvalidated_media: u32,
    /// Times at which checks were sent.
    pub checks: Vec<Duration>,
    /// Interval between two packets of media that it sends, [`MEDIA_INTERVAL`] at first.
    pub media_interval: Duration,
    epoch: Instant,
    rng: StdRng,
    sockets: Vec<(SocketAddr, StunClient)>,
    allocations: Vec<Allocation>,
    next_turn_port: u16,
    permitted: HashSet<IpAddr>,
    trickle: Trickle,
    is_offerer: bool,
    offers: u32,
    /// Credentials that are signaled at this time.
    delayed_credentials: Option<(Instant, Signal)>,
    end_signaled: bool,
    next_media: Duration,
    out: Vec<PeerOutput>,
}

impl Peer {
    /// Creates a peer and begins gathering.
    pub fn new(
        now: Instant,
        addresses: &[IpAddr],
        role: Role,
        trickle: Trickle,
        turn_transports: &[Transport],
        seed: u64,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let config = Config::new(role, Credentials::random(&mut rng), rng.random());
        let mut peer = Self {
            agent: Agent::new(config, now),
            events: Vec::new(),
            media: Vec::new(),
            unvalidated_media: 0,
            checks: Vec::new(),
            media_interval: MEDIA_INTERVAL,
            epoch: now,
            rng,
            sockets: Vec::new(),
            allocations: Vec::new(),
            next_turn_port: FIRST_TURN_PORT,
            permitted: HashSet::new(),
            trickle,
            is_offerer: false,
            offers: 0,
            delayed_credentials: None,
            end_signaled: false,
            next_media: Duration::ZERO,
            out: Vec::new(),
        };
        peer.gather(now, addresses, turn_transports);
        peer
    }

    fn gather(&mut self, now: Instant, addresses: &[IpAddr], turn_transports: &[Transport]) {
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
        for transport in turn_transports {
            let config = ClientConfig {
                username: USER.to_owned(),
                password: PASSWORD.to_owned(),
                transport: *transport,
                software: None,
                requested_family: None,
                seed: self.rng.random(),
            };
            self.allocations.push(Allocation {
                client: TurnClient::new(config, now),
                transport: *transport,
                local: SocketAddr::new(*first, self.next_turn_port),
                stream: StreamDecoder::new(),
            });
            self.next_turn_port += 1;
        }
    }

    /// Sends the first offer.
    pub fn offer(&mut self, now: Instant) {
        self.is_offerer = true;
        self.offers = 1;
        let credentials = self.agent.local_credentials().clone();
        self.signal_credentials(now, Signal::Offer(credentials, self.offers));
    }

    /// Restarts ICE. Only the offerer makes offers, so that offers never cross.
    pub fn restart(&mut self, now: Instant) {
        if !self.is_offerer {
            return self.out.push(PeerOutput::Signal(Signal::RestartRequest));
        }
        self.offers += 1;
        let credentials = self.restart_agent(now);
        self.signal_credentials(now, Signal::Offer(credentials, self.offers));
        self.signal_all_candidates(now);
    }

    /// Moves the peer to another address: the old bases are gone, TURN allocations included.
    pub fn move_to(&mut self, now: Instant, address: IpAddr, turn_transports: &[Transport]) {
        for (socket, _) in std::mem::take(&mut self.sockets) {
            self.agent.remove_local(now, LocalBase::Socket(socket));
        }
        for (index, _) in (0_u8..).zip(std::mem::take(&mut self.allocations)) {
            self.agent.remove_local(now, LocalBase::Allocation(index));
        }
        self.permitted.clear();
        self.end_signaled = false;
        self.restart(now);
        self.gather(now, &[address], turn_transports);
    }

    fn restart_agent(&mut self, now: Instant) -> Credentials {
        let credentials = Credentials::random(&mut self.rng);
        self.agent.restart(now, credentials.clone());
        credentials
    }

    /// Handles a message of the other peer.
    pub fn handle_signal(&mut self, now: Instant, signal: Signal) {
        match signal {
            Signal::Offer(credentials, number) => {
                let is_restart = number > 1;
                self.offers = number;
                if is_restart {
                    self.restart_agent(now);
                }
                self.agent.set_remote_credentials(now, credentials);
                let ours = self.agent.local_credentials().clone();
                self.signal_credentials(now, Signal::Answer(ours, number));
                if is_restart {
                    self.signal_all_candidates(now);
                }
            }
            Signal::Answer(credentials, number) => {
                if number == self.offers {
                    self.agent.set_remote_credentials(now, credentials);
                }
            }
            Signal::RestartRequest => self.restart(now),
            Signal::Candidate(line) => {
                let candidate: Candidate = line.parse().expect("peers here write valid candidates");
                self.agent.add_remote(now, candidate);
            }
            Signal::EndOfCandidates => self.agent.end_of_remote_candidates(now),
        }
    }

    /// Handles a datagram that arrived at one of its sockets.
    pub fn handle_datagram(&mut self, now: Instant, packet: &Packet) {
        if let Some(index) = self.allocations.iter().position(|r| r.local == packet.to) {
            return self.handle_turn(now, index, &packet.bytes);
        }
        if packet.from == SERVER {
            return self.handle_stun_response(now, packet);
        }
        self.deliver(now, LocalBase::Socket(packet.to), packet.from, &packet.bytes);
    }

    /// Handles bytes on the TCP connection that this local address opened.
    pub fn handle_segment(&mut self, now: Instant, local: SocketAddr, bytes: &[u8]) {
        let Some(index) = self.allocations.iter().position(|r| r.local == local) else { return };
        let mut frames = Vec::new();
        if let Some(allocation) = self.allocations.get_mut(index) {
            allocation.stream.push(bytes).expect("the server keeps to the framing");
            while let Some(frame) =
                allocation.stream.next_frame().expect("the server keeps to the framing")
            {
                frames.push(frame.to_vec());
            }
        }
        for frame in frames {
            self.handle_turn(now, index, &frame);
        }
    }

    fn handle_turn(&mut self, now: Instant, index: usize, bytes: &[u8]) {
        let Some(allocation) = self.allocations.get_mut(index) else { return };
        let Some((from, payload)) = allocation.client.handle_datagram(now, bytes) else { return };
        let payload = bytes.get(payload).unwrap_or_default();
        let base = LocalBase::Allocation(u8::try_from(index).expect("two allocations"));
        self.deliver(now, base, from, payload);
    }

    fn handle_stun_response(&mut self, now: Instant, packet: &Packet) {
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
                self.unvalidated_media += 1;
            }
            // All media here is authentic.
            return self.agent.handle_media(now, base, from);
        }
        // Refused messages are normal: late responses, old generations.
        let _ = self.agent.handle_stun(now, base, from, bytes);
    }

    /// Processes everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.agent.poll_timeout().is_some_and(|at| at <= now) {
            self.agent.handle_timeout(now);
        }
        for (_, client) in &mut self.sockets {
            client.handle_timeout(now);
        }
        for allocation in &mut self.allocations {
            allocation.client.handle_timeout(now);
        }
        if self.agent.selected().is_some() && self.epoch + self.next_media <= now {
            self.next_media = now - self.epoch + self.media_interval;
            self.send_media();
        }
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let media = self.agent.selected().map(|_| self.epoch + self.next_media);
        let stun = self.sockets.iter().filter_map(|(_, client)| client.poll_timeout());
        let turn =
            self.allocations.iter().filter_map(|allocation| allocation.client.poll_timeout());
        let late = self.delayed_credentials.as_ref().map(|(at, _)| *at);
        let agent = self.agent.poll_timeout();
        agent.into_iter().chain(media).chain(stun).chain(turn).chain(late).min()
    }

    /// Returns everything to be sent. Called after every input.
    pub fn poll_outputs(&mut self, now: Instant) -> Vec<PeerOutput> {
        self.process_turn_events(now);
        let remotes: Vec<IpAddr> = self.agent.remote_addresses().map(|a| a.ip()).collect();
        for ip in remotes {
            if self.permitted.insert(ip) {
                self.allocations
                    .iter_mut()
                    .for_each(|allocation| allocation.client.create_permission(now, ip));
            }
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            // A STUN request has neither of the two class bits set.
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
                self.out.push(PeerOutput::Datagram(Packet { from: *socket, to: SERVER, bytes }));
            }
        }
        for allocation in &mut self.allocations {
            while let Some(bytes) = allocation.client.poll_transmit() {
                self.out.push(to_server(allocation.transport, allocation.local, bytes));
            }
        }
        self.signal_end_of_candidates();
        if self.delayed_credentials.as_ref().is_some_and(|(at, _)| *at <= now) {
            let late = self.delayed_credentials.take();
            self.out.extend(late.map(|(_, signal)| PeerOutput::Signal(signal)));
        }
        std::mem::take(&mut self.out)
    }

    fn process_turn_events(&mut self, now: Instant) {
        for (index, preference) in ALLOCATION_PREFERENCES.into_iter().enumerate() {
            while let Some(event) =
                self.allocations.get_mut(index).and_then(|r| r.client.poll_event())
            {
                let ClientEvent::Allocated { relayed, mapped } = event else { continue };
                let kind = CandidateKind::Relay;
                let base = LocalBase::Allocation(u8::try_from(index).expect("two allocations"));
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
                self.out.push(PeerOutput::Datagram(Packet { from, to, bytes }))
            }
            LocalBase::Allocation(index) => {
                let Some(allocation) = self.allocations.get_mut(usize::from(index)) else { return };
                let mut wrapped = Vec::new();
                if allocation.client.wrap(to, &bytes, &mut wrapped) {
                    self.out.push(to_server(allocation.transport, allocation.local, wrapped));
                }
            }
        }
    }

    fn signal_credentials(&mut self, now: Instant, signal: Signal) {
        match self.trickle {
            Trickle::CredentialsFirst => self.out.push(PeerOutput::Signal(signal)),
            Trickle::CandidatesFirst => {
                self.delayed_credentials = Some((now + CREDENTIALS_DELAY, signal))
            }
        }
    }

    fn signal_candidate(&mut self, candidate: Option<Candidate>) {
        if let Some(mut candidate) = candidate {
            if self.trickle == Trickle::CandidatesFirst && self.offers <= 1 {
                candidate.ufrag = None;
            }
            self.out.push(PeerOutput::Signal(Signal::Candidate(candidate.to_string())));
        }
    }

    /// Signals all known candidates and queries the STUN server again.
    fn signal_all_candidates(&mut self, now: Instant) {
        let candidates: Vec<Candidate> = self.agent.local_candidates().cloned().collect();
        candidates.into_iter().for_each(|candidate| self.signal_candidate(Some(candidate)));
        for (_, client) in &mut self.sockets {
            *client = StunClient::with_id(now, TransactionId(self.rng.random()));
        }
        self.end_signaled = false;
    }

    /// Signals the end of candidates once all queries and allocations have succeeded or failed.
    fn signal_end_of_candidates(&mut self) {
        let querying = self.sockets.iter().any(|(_, c)| c.mapped().is_none() && !c.has_failed());
        let allocating = self.allocations.iter().any(|allocation| {
            allocation.client.relayed().is_none() && !allocation.client.is_finished()
        });
        if querying || allocating {
            return;
        }
        if !std::mem::replace(&mut self.end_signaled, true) {
            self.out.push(PeerOutput::Signal(Signal::EndOfCandidates));
        }
    }
}

fn to_server(transport: Transport, local: SocketAddr, bytes: Vec<u8>) -> PeerOutput {
    match transport {
        Transport::Udp | Transport::Dtls => {
            PeerOutput::Datagram(Packet { from: local, to: SERVER, bytes })
        }
        Transport::Tcp | Transport::Tls => PeerOutput::Segment(local, bytes),
    }
}
