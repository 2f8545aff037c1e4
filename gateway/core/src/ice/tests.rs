//! Tests of one agent, and of two agents on a perfect link, in virtual time. `tests/sim` simulates
//! networks with NATs, loss and TURN servers over thousands of seeds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_turn_proto::stun::{
    Class, ErrorCode, Message, MessageWriter, Method, ShortTermKey, TransactionId, attribute,
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::config::{
    DEFAULT_TA, MAX_PAIRS, MAX_PEER_REFLEXIVE, MAX_REMOTE, MAX_TA, MIN_TA, ROLE_PATIENCE, TA,
};
use super::*;

mod hostile;
mod moving;
mod pair_of_agents;
mod requests;
mod roles;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn credentials(seed: u64) -> Credentials {
    Credentials::random(&mut StdRng::seed_from_u64(seed))
}

const LEFT: &str = "192.0.2.1:5000";
const RIGHT: &str = "192.0.2.2:5000";

fn base(address: &str) -> LocalBase {
    LocalBase::Socket(addr(address))
}

fn agent(now: Instant, role: Role, seed: u64, address: &str) -> Agent {
    let mut agent = Agent::new(Config::new(role, credentials(seed), seed), now);
    let address = addr(address);
    let host = CandidateKind::Host;
    agent.add_local(now, host, LocalBase::Socket(address), address, None, 65_535).unwrap();
    agent
}

fn host_candidate(address: SocketAddr) -> Candidate {
    Candidate {
        kind: CandidateKind::Host,
        address,
        priority: priority(CandidateKind::Host, 65_535),
        foundation: "1".into(),
        related: None,
        ufrag: None,
    }
}

/// Two agents that can reach each other, one millisecond apart.
struct Two {
    epoch: Instant,
    now: Instant,
    left: Agent,
    right: Agent,
    /// Datagrams in flight: time of arrival, true if for the right agent, from, to, bytes.
    under_way: Vec<(Instant, bool, SocketAddr, SocketAddr, Vec<u8>)>,
    events: Vec<(bool, Event)>,
    /// Addresses of the right agent that the left one can reach.
    reachable: Vec<SocketAddr>,
    /// The address of the left agent as its NAT shows it to the right one.
    left_mapped: SocketAddr,
    /// False if nothing answers the checks of the left agent with a role conflict.
    conflicts: bool,
}

impl Two {
    fn new(left: Role, right: Role) -> Self {
        let now = Instant::now();
        let mut two = Self {
            epoch: now,
            now,
            left: agent(now, left, 1, LEFT),
            right: agent(now, right, 2, RIGHT),
            under_way: Vec::new(),
            events: Vec::new(),
            reachable: vec![addr(RIGHT)],
            left_mapped: addr(LEFT),
            conflicts: true,
        };
        two.left.set_remote_pacing(Some(TA));
        two.right.set_remote_pacing(Some(TA));
        two.left.add_remote(now, host_candidate(addr(RIGHT)));
        two.right.add_remote(now, host_candidate(addr(LEFT)));
        two
    }

    fn introduce(&mut self) {
        self.left.set_remote_credentials(self.now, self.right.local_credentials().clone());
        self.right.set_remote_credentials(self.now, self.left.local_credentials().clone());
    }

    /// Runs until `done` returns true or `limit` has passed; returns true in the first case.
    fn run(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let limit = self.now + limit;
        loop {
            self.drain();
            if done(self) {
                return true;
            }
            let arrivals = self.under_way.iter().map(|(at, ..)| *at);
            let timers = [&self.left, &self.right].into_iter().filter_map(Agent::poll_timeout);
            let Some(next) = arrivals.chain(timers).min().filter(|at| *at <= limit) else {
                self.now = limit;
                return false;
            };
            self.now = self.now.max(next);
            self.deliver();
            self.left.handle_timeout(self.now);
            self.right.handle_timeout(self.now);
        }
    }

    fn drain(&mut self) {
        let arrival = self.now + Duration::from_millis(1);
        for (agent, is_right) in [(&mut self.left, false), (&mut self.right, true)] {
            while let Some(Transmit { base, to, bytes }) = agent.poll_transmit() {
                let LocalBase::Socket(from) = base else { panic!("there are no allocations here") };
                let (from, to, reaches) = if is_right {
                    (from, addr(LEFT), to == self.left_mapped)
                } else {
                    (self.left_mapped, to, self.reachable.contains(&to))
                };
                if reaches && (self.conflicts || !is_role_conflict(&bytes)) {
                    self.under_way.push((arrival, !is_right, from, to, bytes));
                }
            }
            while let Some(event) = agent.poll_event() {
                self.events.push((is_right, event));
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.under_way.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, to_right, from, to, bytes) in due {
            let agent = if to_right { &mut self.right } else { &mut self.left };
            let _ = agent.handle_stun(now, LocalBase::Socket(to), from, &bytes);
        }
    }

    fn connect(&mut self) {
        self.introduce();
        let connected =
            |two: &Self| two.left.selected().is_some() && two.right.selected().is_some();
        assert!(self.run(Duration::from_secs(1), connected));
    }
}

fn is_role_conflict(bytes: &[u8]) -> bool {
    Message::parse(bytes).unwrap().error_code() == Some(ErrorCode::ROLE_CONFLICT)
}

/// A hand-made check of a peer with these credentials.
struct Forged<'a> {
    id: [u8; 12],
    username: String,
    password: &'a str,
    role: u16,
    tie_breaker: u64,
    priority: Option<u32>,
    use_candidate: bool,
    unknown: Option<u16>,
    fingerprint: bool,
}

impl<'a> Forged<'a> {
    /// Makes a valid check from `from` to `to`.
    fn check(from: &Agent, to: &'a Agent) -> Self {
        let (ours, theirs) = (from.local_credentials(), to.local_credentials());
        Self {
            id: [9; 12],
            username: format!("{}:{}", theirs.ufrag, ours.ufrag),
            password: &theirs.pwd,
            role: match to.role() {
                Role::Controlling => attribute::ICE_CONTROLLED,
                Role::Controlled => attribute::ICE_CONTROLLING,
            },
            tie_breaker: 7,
            priority: Some(priority(CandidateKind::PeerReflexive, 65_535)),
            use_candidate: false,
            unknown: None,
            fingerprint: true,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let id = TransactionId(self.id);
        let mut writer = MessageWriter::new(&mut bytes, Class::Request, Method::Binding, id);
        writer.attribute(attribute::USERNAME, self.username.as_bytes());
        if let Some(priority) = self.priority {
            writer.u32(attribute::PRIORITY, priority);
        }
        writer.u64(self.role, self.tie_breaker);
        if self.use_candidate {
            writer.attribute(attribute::USE_CANDIDATE, &[]);
        }
        if let Some(kind) = self.unknown {
            writer.attribute(kind, &[1, 2, 3, 4]);
        }
        writer.short_term_integrity(&ShortTermKey::new(self.password));
        if self.fingerprint {
            writer.fingerprint();
        }
        writer.finish().unwrap();
        bytes
    }
}

/// Returns the class and the error code of the next datagram that the agent sends.
fn response(agent: &mut Agent) -> Option<(Class, Option<u16>)> {
    let transmit = agent.poll_transmit()?;
    let message = Message::parse(&transmit.bytes).unwrap();
    Some((message.class(), message.error_code().map(ErrorCode::value)))
}
