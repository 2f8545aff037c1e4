//! The policy about peers: the only place that decides whom clients may exchange packets with.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::RelayProtocol;
use super::peer::Peer;
use super::port::RelayAddress;

/// A block of addresses such as `10.0.0.0/8` or `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    net: IpAddr,
    prefix: u8,
}

/// The error of a text that is not a [`Cidr`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address block like 10.0.0.0/8 or 2001:db8::/32")]
pub struct InvalidCidr(String);

impl Cidr {
    /// Returns true if the address is in the block. The address must be canonical.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.net, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let differing = net.to_bits() ^ ip.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let differing = net.to_bits() ^ ip.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Self {
        Self { net: IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, 0)), prefix }
    }

    const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Self {
        Self { net: IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)), prefix }
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    /// Reads a block. Refuses host bits that are not zero, and blocks of IPv4-mapped addresses,
    /// because such a rule would not mean what it says.
    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let bad = || InvalidCidr(text.to_owned());
        let (net, prefix) = match text.split_once('/') {
            Some((net, prefix)) => (net, Some(prefix.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let net: IpAddr = net.parse().map_err(|_| bad())?;
        let bits = if net.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        let host_bits = match net {
            IpAddr::V4(net) => net.to_bits().checked_shl(u32::from(prefix)).unwrap_or(0) != 0,
            IpAddr::V6(net) => net.to_bits().checked_shl(u32::from(prefix)).unwrap_or(0) != 0,
        };
        if prefix > bits || host_bits || net.to_canonical() != net {
            return Err(bad());
        }
        Ok(Self { net, prefix })
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.net, self.prefix)
    }
}

/// The IANA special-purpose address registries (RFC 6890 and updates), with multicast and the
/// deprecated site-local block. IPv4-mapped addresses are not needed: [`Peer`] has undone them.
const SPECIAL_PURPOSE: [Cidr; 33] = [
    Cidr::v4(0, 0, 0, 8),       // this network
    Cidr::v4(10, 0, 0, 8),      // private
    Cidr::v4(100, 64, 0, 10),   // carrier-grade NAT
    Cidr::v4(127, 0, 0, 8),     // loopback
    Cidr::v4(169, 254, 0, 16),  // link-local, cloud metadata
    Cidr::v4(172, 16, 0, 12),   // private
    Cidr::v4(192, 0, 0, 24),    // protocol assignments
    Cidr::v4(192, 0, 2, 24),    // TEST-NET-1
    Cidr::v4(192, 31, 196, 24), // AS112
    Cidr::v4(192, 52, 193, 24), // AMT
    Cidr::v4(192, 88, 99, 24),  // 6to4 relay anycast
    Cidr::v4(192, 168, 0, 16),  // private
    Cidr::v4(192, 175, 48, 24), // AS112
    Cidr::v4(198, 18, 0, 15),   // benchmarking
    Cidr::v4(198, 51, 100, 24), // TEST-NET-2
    Cidr::v4(203, 0, 113, 24),  // TEST-NET-3
    Cidr::v4(224, 0, 0, 4),     // multicast
    Cidr::v4(240, 0, 0, 4),     // reserved, broadcast
    Cidr::v6(0, 0, 0, 0, 64),   // unspecified, loopback, IPv4-compatible, SIIT
    NAT64,
    Cidr::v6(0x64, 0xFF9B, 1, 0, 48),      // local-use NAT64
    Cidr::v6(0x100, 0, 0, 0, 64),          // discard
    Cidr::v6(0x100, 0, 0, 1, 64),          // dummy prefix
    Cidr::v6(0x2001, 0, 0, 0, 23),         // protocol assignments, Teredo, benchmarking, ORCHID
    Cidr::v6(0x2001, 0xDB8, 0, 0, 32),     // documentation
    Cidr::v6(0x2002, 0, 0, 0, 16),         // 6to4
    Cidr::v6(0x2620, 0x4F, 0x8000, 0, 48), // AS112
    Cidr::v6(0x3FFF, 0, 0, 0, 20),         // documentation
    Cidr::v6(0x5F00, 0, 0, 0, 16),         // segment routing
    Cidr::v6(0xFC00, 0, 0, 0, 7),          // unique local
    Cidr::v6(0xFE80, 0, 0, 0, 10),         // link-local
    Cidr::v6(0xFEC0, 0, 0, 0, 10),         // site-local
    Cidr::v6(0xFF00, 0, 0, 0, 8),          // multicast
];

/// Returns true for an address on the public Internet, in whatever way it is written. An address
/// behind NAT64 (RFC 6052) is as public as the IPv4 address in it.
pub fn is_public(ip: IpAddr) -> bool {
    let peer = Peer::new(SocketAddr::new(ip, 0));
    let is_special = |ip| SPECIAL_PURPOSE.iter().any(|block| block.contains(ip));
    let own = std::iter::once(peer.ip()).filter(|ip| !NAT64.contains(*ip));
    !own.chain(peer.all_ips().skip(1)).any(is_special)
}

/// The well-known prefix of NAT64 (RFC 6052 §2.1).
const NAT64: Cidr = Cidr::v6(0x64, 0xFF9B, 0, 0, 96);

/// The rules about peers.
#[derive(Clone, Debug, Default)]
pub struct PolicyConfig {
    /// Blocks that are allowed although they are special-purpose or the server's own.
    pub allow: Vec<Cidr>,
    /// Blocks that are denied, even if `allow` contains them.
    pub deny: Vec<Cidr>,
    /// The lowest port that is allowed, even for addresses in `allow`. Port 0 never is.
    pub lowest_port: u16,
    /// True to deny everything but `allow` and the server's relayed addresses.
    pub relayed_only: bool,
    /// The addresses of this host.
    pub own_addresses: Vec<IpAddr>,
    /// The server's listening sockets, which are denied so that messages cannot loop.
    pub listeners: Vec<SocketAddr>,
}

/// Decides about peers, in this order: denied, own listener, own relayed address, allowed, own
/// address, special purpose. The rest is the public Internet, allowed unless `relayed_only`.
#[derive(Clone, Debug)]
pub(super) struct PeerPolicy {
    config: PolicyConfig,
    relays: Vec<RelayAddress>,
}

impl PeerPolicy {
    pub(super) fn new(relays: Vec<RelayAddress>) -> Self {
        Self { config: PolicyConfig::default(), relays }
    }

    pub(super) fn set_config(&mut self, config: PolicyConfig) {
        self.config = config;
    }

    #[cfg(test)]
    pub(super) fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// Returns true if packets, connections and channels may go to or come from this peer.
    pub(super) fn allows(&self, peer: &Peer, protocol: RelayProtocol) -> bool {
        let port = peer.addr().port();
        port >= self.config.lowest_port.max(1)
            && peer.all_ips().all(|ip| self.allows_ip(ip, Some((port, protocol))))
    }

    /// Returns true if this address may have a permission, which has no port. Packets that use the
    /// permission are checked with their port.
    pub(super) fn allows_any_port(&self, peer: &Peer) -> bool {
        peer.all_ips().all(|ip| self.allows_ip(ip, None))
    }

    fn allows_ip(&self, ip: IpAddr, port: Option<(u16, RelayProtocol)>) -> bool {
        let PolicyConfig { allow, deny, relayed_only, own_addresses, listeners, .. } = &self.config;
        if deny.iter().any(|block| block.contains(ip)) {
            return false;
        }
        if port.is_some_and(|(port, _)| listeners.contains(&SocketAddr::new(ip, port))) {
            return false;
        }
        if self.is_relayed_address(ip, port) || allow.iter().any(|block| block.contains(ip)) {
            return true;
        }
        !relayed_only
            && !own_addresses.contains(&ip)
            && !SPECIAL_PURPOSE.iter().any(|block| block.contains(ip))
    }

    /// Returns true for relayed addresses of this server, at which two of its clients may meet.
    /// Only ports with an open relay socket of this protocol count: other sockets of the host may
    /// have ports in the same range, or the same port of the other protocol.
    fn is_relayed_address(&self, ip: IpAddr, port: Option<(u16, RelayProtocol)>) -> bool {
        let is_open = |relay: &RelayAddress| {
            port.is_none_or(|(port, protocol)| relay.ports.is_open(port, protocol))
        };
        self.relays.iter().any(|relay| relay.ip == ip && is_open(relay))
    }
}
