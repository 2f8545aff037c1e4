//! Kinds of NAT, shared by the simulation and the NAT lab.

use std::fmt;

/// The part of an outer endpoint that a NAT's mapping or filtering depends on.
///
/// RFC 4787 §4.1 defines the three mapping behaviours, §5 the three filtering behaviours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Behaviour {
    /// The same for every outer endpoint.
    EndpointIndependent,
    /// Different for each outer address.
    AddressDependent,
    /// Different for each outer address and port.
    AddressAndPortDependent,
}

impl Behaviour {
    /// Every behaviour, from the most permissive to the strictest.
    pub const ALL: [Self; 3] =
        [Self::EndpointIndependent, Self::AddressDependent, Self::AddressAndPortDependent];
}

/// The network equipment between a host and the internet.
///
/// The names are those of RFC 3489, which everybody knows; each variant is defined in the words of
/// RFC 4787. `tests/net/tests/lab.rs` measures that the lab's routers behave as defined here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// No NAT: the host has a public address.
    Open,
    /// Endpoint-independent mapping, endpoint-independent filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    Restricted,
    /// Endpoint-independent mapping, address and port-dependent filtering.
    PortRestricted,
    /// Address and port-dependent mapping, address and port-dependent filtering.
    Symmetric,
    /// A NAT whose firewall lets TCP connections out and drops all UDP.
    UdpBlocked,
}

impl NatKind {
    /// Every kind, from the most permissive to the strictest.
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::FullCone,
        Self::Restricted,
        Self::PortRestricted,
        Self::Symmetric,
        Self::UdpBlocked,
    ];

    /// Returns the mapping and the filtering behaviour, or `None` without a NAT.
    ///
    /// A NAT that drops all UDP has the strictest of both.
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

    /// Returns the name used in tables, camera ids and test output.
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

impl fmt::Display for NatKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
