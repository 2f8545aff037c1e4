//! NATs by their behaviour (RFC 4787).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

/// A mapping nobody uses is forgotten after this: the least that RFC 4787 REQ-5 allows.
pub const MAPPING_TIMEOUT: Duration = Duration::from_secs(120);

/// What a mapping or a filter depends on (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Behaviour {
    /// Only on the inner endpoint.
    EndpointIndependent,
    /// On the address of the outer endpoint too.
    AddressDependent,
    /// And on its port.
    AddressAndPortDependent,
}

impl Behaviour {
    /// All three.
    pub const ALL: [Self; 3] =
        [Self::EndpointIndependent, Self::AddressDependent, Self::AddressAndPortDependent];

    /// What of the outer endpoint counts.
    fn scope(self, outer: SocketAddr) -> Option<(IpAddr, Option<u16>)> {
        match self {
            Self::EndpointIndependent => None,
            Self::AddressDependent => Some((outer.ip(), None)),
            Self::AddressAndPortDependent => Some((outer.ip(), Some(outer.port()))),
        }
    }
}

/// The names that people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// No NAT at all.
    Open,
    /// Everybody may answer.
    FullCone,
    /// Contacted addresses may answer.
    Restricted,
    /// Contacted endpoints may answer.
    PortRestricted,
    /// Another mapping for every endpoint.
    Symmetric,
    /// Only TCP gets out.
    UdpBlocked,
}

impl NatKind {
    /// All six.
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::FullCone,
        Self::Restricted,
        Self::PortRestricted,
        Self::Symmetric,
        Self::UdpBlocked,
    ];

    /// Mapping and filtering; nothing where there is no NAT.
    pub const fn behaviour(self) -> Option<(Behaviour, Behaviour)> {
        use Behaviour::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        match self {
            Self::Open => None,
            Self::FullCone => Some((EndpointIndependent, EndpointIndependent)),
            Self::Restricted => Some((EndpointIndependent, AddressDependent)),
            Self::PortRestricted => Some((EndpointIndependent, AddressAndPortDependent)),
            Self::Symmetric | Self::UdpBlocked => {
                Some((AddressAndPortDependent, AddressAndPortDependent))
            }
        }
    }

    /// As in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::FullCone => "full-cone",
            Self::Restricted => "restricted",
            Self::PortRestricted => "port-restricted",
            Self::Symmetric => "symmetric",
            Self::UdpBlocked => "udp-blocked",
        }
    }
}

type MappingKey = (SocketAddr, Option<(IpAddr, Option<u16>)>);

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
        let key = (inner, self.mapping.scope(outer));
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
        let wanted = self.filtering.scope(outer);
        let scope = |to: &SocketAddr| self.filtering.scope(*to);
        let passes = self.contacted.iter().any(|(who, to)| *who == inner && scope(to) == wanted);
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
