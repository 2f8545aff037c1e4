//! NATs by their behaviour (RFC 4787).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use porthole_test_support::nat::Behaviour;
use rand::Rng;
use rand::rngs::StdRng;

/// A mapping nobody uses is forgotten after this: the least that RFC 4787 REQ-5 allows.
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

/// One NAT with one public address.
#[derive(Debug)]
pub struct Nat {
    /// Its address outside.
    pub public: IpAddr,
    /// See [`Behaviour`].
    pub mapping: Behaviour,
    /// See [`Behaviour`].
    pub filtering: Behaviour,
    /// Whether UDP gets out.
    pub udp: bool,
    /// Whether its public address works from inside (RFC 4787 REQ-9).
    pub hairpin: bool,
    mappings: HashMap<MappingKey, u16>,
    ports: HashMap<u16, (SocketAddr, Duration)>,
    contacted: HashSet<(SocketAddr, SocketAddr)>,
}

impl Nat {
    /// Without any mapping.
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

    /// Forgets everything, as after a power cut.
    pub fn reboot(&mut self) {
        self.mappings.clear();
        self.ports.clear();
        self.contacted.clear();
    }

    /// A datagram on its way out; returns its new source.
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

    /// A datagram that arrived on a public port; returns who gets it.
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

/// Whether two peers behind such NATs can meet without a relay. Each needs one address under which
/// the other can answer it: with a constant mapping on one side, the other side's address must be
/// let in to become known; with none, both must at least keep one address for one peer.
pub const fn can_meet(a: (Behaviour, Behaviour), b: (Behaviour, Behaviour)) -> bool {
    use Behaviour::{AddressAndPortDependent as Both, EndpointIndependent as Constant};
    let constant = (matches!(a.0, Constant), matches!(b.0, Constant));
    let lets_strangers_in = (!matches!(a.1, Both), !matches!(b.1, Both));
    match constant {
        (true, true) => true,
        (true, false) => lets_strangers_in.0,
        (false, true) => lets_strangers_in.1,
        (false, false) => {
            let hopeless = matches!(a.0, Both) && matches!(b.0, Both);
            !hopeless && lets_strangers_in.0 && lets_strangers_in.1
        }
    }
}
