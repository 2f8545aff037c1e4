//! Networks in which one client can have every address: what is limited by address is limited by
//! them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The prefix of the network of IPv6 that one host or household has.
const HOUSEHOLD: u32 = 64;
/// The prefix of the network of IPv6 that one site or customer has: 65 536 households.
const SITE: u32 = 48;
/// The number of households that a site may be as busy as.
const SITE_SHARE: usize = 4;

/// An address of IPv4, or a network of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    first: IpAddr,
    prefix: u32,
}

impl Network {
    /// Returns the narrowest network of an address: the address itself, or its /64 of IPv6.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self { first: v4.into(), prefix: u32::BITS },
            IpAddr::V6(v6) => Self::v6(v6, HOUSEHOLD),
        }
    }

    /// Returns the networks of an address, the narrowest first.
    pub(crate) fn all(address: IpAddr) -> impl DoubleEndedIterator<Item = Self> {
        let site = match address.to_canonical() {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(Self::v6(v6, SITE)),
        };
        [Some(Self::of(address)), site].into_iter().flatten()
    }

    /// Returns the widest network of an address: the address itself, or its /48 of IPv6.
    pub(crate) fn widest(address: IpAddr) -> Self {
        Self::all(address).next_back().unwrap_or_else(|| Self::of(address))
    }

    /// Returns how many times as much as the narrowest network it may have.
    pub(crate) fn share(self) -> usize {
        match self.first {
            IpAddr::V6(_) if self.prefix == SITE => SITE_SHARE,
            IpAddr::V4(_) | IpAddr::V6(_) => 1,
        }
    }

    fn v6(address: Ipv6Addr, prefix: u32) -> Self {
        let host = u128::MAX.checked_shr(prefix).unwrap_or_default();
        Self { first: Ipv6Addr::from(u128::from(address) & !host).into(), prefix }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/{}", self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_is_limited_as_its_household_and_its_site() {
        for (one, other, networks, shared) in [
            ("192.0.2.1", "192.0.2.2", 1, 0),
            ("192.0.2.1", "::ffff:192.0.2.1", 1, 1),
            ("2001:db8:1:2:3::4", "2001:db8:1:2:ffff::", 2, 2),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", 2, 1),
            ("2001:db8:1:2::1", "2001:db8:2:2::1", 2, 0),
        ] {
            let [one, other]: [IpAddr; 2] = [one, other].map(|address| address.parse().unwrap());
            let (ones, others): (Vec<_>, Vec<_>) =
                (Network::all(one).collect(), Network::all(other).collect());
            assert_eq!(ones.len(), networks, "{one}");
            assert_eq!(ones[0], Network::of(one));
            let same = ones.iter().filter(|network| others.contains(network));
            assert_eq!(same.count(), shared, "{one} {other}");
            let shares: Vec<usize> = ones.iter().map(|network| network.share()).collect();
            assert_eq!(shares, &[1, SITE_SHARE][..networks]);
        }
    }
}
