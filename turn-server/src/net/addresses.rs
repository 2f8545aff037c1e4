//! This host's addresses, the addresses to listen on, and the address to relay from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use porthole_turn_proto::Family;

use crate::error::StartError;

/// Interval at which this host's addresses are read. A new one (SLAAC, DHCP) may be used as a peer
/// for up to this long; reading them takes the kernel some 50 µs.
pub(crate) const POLL: Duration = Duration::from_secs(2);

/// The protocols of a listening address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// UDP and TCP, the latter with TLS inside if there is a certificate.
    Plain,
    /// TLS over TCP.
    Tls,
    /// DTLS over UDP.
    Dtls,
    /// UDP alone: the additional sockets of RFC 5780, and those of the embedding program.
    Udp,
}

impl ListenerKind {
    /// The kinds whose addresses clients are configured with.
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Tls, Self::Dtls];

    pub(crate) fn uses_udp(self) -> bool {
        match self {
            Self::Plain | Self::Dtls | Self::Udp => true,
            Self::Tls => false,
        }
    }

    pub(crate) fn uses_tcp(self) -> bool {
        match self {
            Self::Plain | Self::Tls => true,
            Self::Dtls | Self::Udp => false,
        }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) addr: SocketAddr,
    pub(crate) kind: ListenerKind,
    /// True if it was derived from 0.0.0.0 or [::] for an address of this host (UDP only): a socket
    /// bound to the address responds from it, while for a wildcard socket the kernel may choose
    /// another source address.
    pub(crate) expanded: bool,
}

/// The addresses of the relay sockets of one IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RelaySide {
    /// The address that clients and peers see.
    pub(crate) advertised: IpAddr,
    /// The address that sockets are bound to; differs behind a 1:1 NAT.
    pub(crate) bind: IpAddr,
}

impl RelaySide {
    fn differs(&self) -> bool {
        self.advertised != self.bind && !self.bind.is_unspecified()
    }

    /// Translates a peer's address for sending: a relayed address of this server is reached inside
    /// the host, because not every NAT supports hairpinning.
    pub(crate) fn outbound(&self, peer: SocketAddr) -> SocketAddr {
        if self.differs() && peer.ip() == self.advertised {
            return SocketAddr::new(self.bind, peer.port());
        }
        peer
    }

    /// Translates the source address of a received packet: the inverse of [`Self::outbound`].
    pub(crate) fn inbound(&self, peer: SocketAddr) -> SocketAddr {
        if self.differs() && peer.ip() == self.bind {
            return SocketAddr::new(self.advertised, peer.port());
        }
        peer
    }
}

/// Returns the side of an IP family, or an error if the server does not relay it.
pub(crate) fn side_of(sides: &[RelaySide], family: Family) -> io::Result<RelaySide> {
    let side = sides.iter().find(|side| Family::of(&side.advertised) == family);
    side.copied().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Returns the addresses of this host's interfaces, sorted. Link-local IPv6 addresses are left out
/// because they need a scope.
pub(crate) fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let interfaces = if_addrs::get_if_addrs()?;
    let mut own: Vec<_> = interfaces.iter().map(if_addrs::Interface::ip).filter(usable).collect();
    own.sort_unstable();
    own.dedup();
    Ok(own)
}

/// Finds the local address that sockets for `advertised` can be bound to: `bind` if it is given,
/// else the address itself, else the local address that leads to it.
pub(crate) fn relay_side(
    advertised: IpAddr,
    bind: Option<IpAddr>,
) -> Result<RelaySide, StartError> {
    if advertised.is_unspecified() {
        return Err(StartError::UnspecifiedRelayAddress(advertised));
    }
    let bind = match bind {
        Some(bind) => bind,
        None if UdpSocket::bind((advertised, 0)).is_ok() => advertised,
        None => source_towards(advertised).map_err(|source| StartError::RelayBind {
            ip: advertised,
            bind: advertised,
            source,
        })?,
    };
    UdpSocket::bind((bind, 0))
        .map(|_| RelaySide { advertised, bind })
        .map_err(|source| StartError::RelayBind { ip: advertised, bind, source })
}

/// Returns the local address that packets to `ip` would leave from. Connecting sends nothing.
fn source_towards(ip: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((ip, 9))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relayed_addresses_behind_a_1_to_1_nat_are_reached_inside_the_host() {
        let side = |bind: &str| RelaySide {
            advertised: "203.0.113.1".parse().unwrap(),
            bind: bind.parse().unwrap(),
        };
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (bind, peer, out) in [
            ("10.0.0.5", "203.0.113.1:50000", "10.0.0.5:50000"),
            ("10.0.0.5", "203.0.113.2:50000", "203.0.113.2:50000"),
            ("203.0.113.1", "203.0.113.1:50000", "203.0.113.1:50000"),
            ("0.0.0.0", "203.0.113.1:50000", "203.0.113.1:50000"),
        ] {
            assert_eq!(side(bind).outbound(addr(peer)), addr(out));
            assert_eq!(side(bind).inbound(addr(out)), addr(peer));
        }
    }
}
