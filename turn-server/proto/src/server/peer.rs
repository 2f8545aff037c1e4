//! The canonical address of a peer: every way to embed an IPv4 address in an IPv6 one is undone
//! before the policy decides about it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A peer's address as the policy sees it. It cannot be created without being canonicalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    addr: SocketAddr,
    /// IPv4 addresses that the network may translate the IPv6 one to (NAT64, 6to4, Teredo's server
    /// and client, ISATAP, IPv4-compatible). Each must be allowed as well.
    embedded: [Option<Ipv4Addr>; 3],
}

impl Peer {
    /// Canonicalizes an address: IPv4-mapped addresses become IPv4, flow label and scope are
    /// dropped.
    pub fn new(addr: SocketAddr) -> Self {
        let ip = addr.ip().to_canonical();
        let embedded = match ip {
            IpAddr::V4(_) => [None; 3],
            IpAddr::V6(ip) => embedded_in(ip),
        };
        Self { addr: SocketAddr::new(ip, addr.port()), embedded }
    }

    /// Returns the address to send to.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the address without the port, as permissions have it.
    pub const fn ip(&self) -> IpAddr {
        self.addr.ip()
    }

    /// Returns the address itself and all that the network may translate it to.
    pub(super) fn all_ips(&self) -> impl Iterator<Item = IpAddr> {
        let embedded = self.embedded.into_iter().flatten().map(IpAddr::V4);
        std::iter::once(self.ip()).chain(embedded)
    }
}

/// Returns the IPv4 addresses embedded in `ip`. One address may be read in several ways: as its
/// prefix says, and by the ISATAP interface identifier (RFC 5214 §6.1), which may follow any
/// prefix.
fn embedded_in(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let [first, second] = embedded_by_prefix(ip);
    let isatap = match ip.segments() {
        [_, _, _, _, 0x0000 | 0x0200, 0x5EFE, a, b] => Some(v4(a, b)),
        _ => None,
    };
    [first, second, isatap]
}

fn embedded_by_prefix(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    match ip.segments() {
        // The unspecified address and loopback embed nothing (RFC 4291 §2.5.2, §2.5.3).
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 2],
        // IPv4-compatible ::/96 (RFC 4291 §2.5.5.1), SIIT ::ffff:0:0:0/96 (RFC 2765 §2.1).
        [0, 0, 0, 0, 0, 0, a, b] | [0, 0, 0, 0, 0xFFFF, 0, a, b] => [Some(v4(a, b)), None],
        // NAT64 64:ff9b::/96 (RFC 6052 §2.1).
        [0x64, 0xFF9B, 0, 0, 0, 0, a, b] => [Some(v4(a, b)), None],
        // Local-use NAT64 64:ff9b:1::/48 (RFC 8215): as /96 and as /48 (RFC 6052 §2.2).
        [0x64, 0xFF9B, 1, c, d, e, a, b] => {
            [Some(v4(a, b)), Some(v4(c, (d & 0x00FF) << 8 | (e & 0xFF00) >> 8))]
        }
        // 6to4 2002::/16 (RFC 3056).
        [0x2002, a, b, ..] => [Some(v4(a, b)), None],
        // Teredo 2001::/32 (RFC 4380 §4): its client, inverted, and its server.
        [0x2001, 0, c, d, _, _, a, b] => [Some(v4(!a, !b)), Some(v4(c, d))],
        _ => [None; 2],
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}
