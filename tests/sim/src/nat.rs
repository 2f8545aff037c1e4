//! Simulated NATs, defined by their behaviour (RFC 4787).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use porthole_test_support::nat::Behaviour;
use rand::Rng;
use rand::rngs::StdRng;

/// Time after which an unused mapping expires: the minimum of RFC 4787 REQ-5.
pub const MAPPING_TIMEOUT: Duration = Duration::from_secs(120);

/// Returns the part of an outer endpoint that decides which mapping or filter applies.
const fn scope(behaviour: Behaviour, outer: SocketAddr) -> Scope {
    match behaviour {
        Behaviour::EndpointIndependent => None,
        Behaviour::AddressDependent => Some((outer.ip(), None)),
        Behaviour::AddressAndPortDependent => Some((outer.ip(), Some(outer.port()))),
    }
}

type Scope = Option<(IpAddr, Option<u16>)>;
type MappingKey = (SocketAddr, Scope);

/// A NAT with one public address.
#[derive(Debug)]
pub struct Nat {
    /// The public address.
    pub public: IpAddr,
    /// The mapping behaviour (RFC 4787 §4.1).
    pub mapping: Behaviour,
    /// The filtering behaviour (RFC 4787 §5).
    pub filtering: Behaviour,
    /// True if UDP is let out.
    pub udp: bool,
    /// True if hosts behind the NAT reach each other by its public address (RFC 4787 REQ-9).
    pub hairpin: bool,
    mappings: HashMap<MappingKey, u16>,
    ports: HashMap<u16, (SocketAddr, Duration)>,
    contacted: HashSet<(SocketAddr, SocketAddr)>,
}

impl Nat {
    /// Creates a NAT without mappings that lets UDP out and supports hairpinning.
    pub fn new(public: IpAddr, mapping: Behaviour, filtering: Behaviour) -> Self {
        Self {
            public,
            mapping,
            filtering,
            udp: true,
            hairpin: true,
            mappings: HashMap::new(),
            ports: HashMap::new(),
            contacted: HashSet::new(),
        }
    }

    /// Drops all mappings and filters, as after a power cut.
    pub fn reboot(&mut self) {
        self.mappings.clear();
        self.ports.clear();
        self.contacted.clear();
    }

    /// Gives every mapping another port as soon as it is used again, at this public address.
    pub fn rebind(&mut self, public: IpAddr) {
        self.public = public;
        self.reboot();
    }

    /// Translates an outbound datagram; returns its new source, or `None` if it is blocked.
    pub fn outbound(
        &mut self,
        now: Duration,
        rng: &mut StdRng,
        inner: SocketAddr,
        outer: SocketAddr,
    ) -> Option<SocketAddr> {
        if !self.udp {
            return None;
        }
        self.expire(now);
        let key = (inner, scope(self.mapping, outer));
        let port = match self.mappings.get(&key) {
            Some(port) => *port,
            None => self.free_port(rng),
        };
        self.mappings.insert(key, port);
        self.ports.insert(port, (inner, now));
        self.contacted.insert((inner, outer));
        Some(SocketAddr::new(self.public, port))
    }

    /// Translates a datagram that arrived at a public port; returns its new destination, or `None`
    /// if it is filtered.
    pub fn inbound(&mut self, now: Duration, outer: SocketAddr, port: u16) -> Option<SocketAddr> {
        self.expire(now);
        let (inner, _) = *self.ports.get(&port)?;
        let wanted = scope(self.filtering, outer);
        let matches = |to: &SocketAddr| scope(self.filtering, *to) == wanted;
        let passes = self.contacted.iter().any(|(from, to)| *from == inner && matches(to));
        passes.then_some(inner)
    }

    fn expire(&mut self, now: Duration) {
        self.ports.retain(|_, (_, used)| now < *used + MAPPING_TIMEOUT);
        let ports = &self.ports;
        self.mappings.retain(|_, port| ports.contains_key(port));
    }

    fn free_port(&self, rng: &mut StdRng) -> u16 {
        loop {
            let port = rng.random_range(1024..=u16::MAX);
            if !self.ports.contains_key(&port) {
                return port;
            }
        }
    }
}

/// Returns true if two peers behind NATs with these mappings and filterings can connect directly.
///
/// Each side needs an address at which the other can reach it. If one side's mapping depends on the
/// endpoint, the other side must let in packets from unknown ports to learn that address. If both
/// mappings do, both must let them in, and at least one must keep its port for one remote address.
pub const fn can_meet(a: (Behaviour, Behaviour), b: (Behaviour, Behaviour)) -> bool {
    use Behaviour::{AddressAndPortDependent as Both, EndpointIndependent as Constant};
    let constant = (matches!(a.0, Constant), matches!(b.0, Constant));
    let admits_unknown = (!matches!(a.1, Both), !matches!(b.1, Both));
    match constant {
        (true, true) => true,
        (true, false) => admits_unknown.0,
        (false, true) => admits_unknown.1,
        (false, false) => {
            let hopeless = matches!(a.0, Both) && matches!(b.0, Both);
            !hopeless && admits_unknown.0 && admits_unknown.1
        }
    }
}
