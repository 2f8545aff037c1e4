//! From where an address can be reached.

use std::net::Ipv4Addr;

/// The part of the Internet from which an address can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The whole Internet.
    Public,
    /// A private network: another router stands before this one.
    Private,
    /// The network of a provider that shares its public addresses (RFC 6598).
    Shared,
    /// No other machine.
    Nowhere,
}

impl Standing {
    /// Returns the standing of an address.
    pub fn of(ip: Ipv4Addr) -> Self {
        let [first, second, ..] = ip.octets();
        let is_nowhere = first == 0
            || first >= 224
            || ip.is_loopback()
            || ip.is_link_local()
            // RFC 6890 §2.2.2: addresses of the protocols themselves.
            || ip.octets().starts_with(&[192, 0, 0]);
        if is_nowhere {
            Self::Nowhere
        } else if ip.is_private() {
            Self::Private
        } else if first == 100 && second & 0xC0 == 64 {
            Self::Shared
        } else {
            Self::Public
        }
    }

    /// Describes what limits the reach, for the end of a sentence about a mapped address.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Public => "",
            Self::Private => {
                ", but its own address is private: another router stands before it, and only its \
                 network reaches the port"
            }
            Self::Shared => {
                ", but its own address is one that the provider shares among customers (CGNAT): \
                 only the provider's network reaches the port"
            }
            Self::Nowhere => ", but its own address is of no use",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_not_everybody_reaches_are_known() {
        use Standing::{Nowhere, Private, Public, Shared};
        for (ip, expected) in [
            ("203.0.113.7", Public),
            ("8.8.8.8", Public),
            ("100.63.255.255", Public),
            ("100.64.0.1", Shared),
            ("100.127.255.255", Shared),
            ("100.128.0.1", Public),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("192.168.0.1", Private),
            ("0.0.0.0", Nowhere),
            ("0.1.2.3", Nowhere),
            ("127.0.0.1", Nowhere),
            ("169.254.1.1", Nowhere),
            ("192.0.0.4", Nowhere),
            ("224.0.0.1", Nowhere),
            ("255.255.255.255", Nowhere),
        ] {
            assert_eq!(Standing::of(ip.parse().unwrap()), expected, "{ip}");
        }
        let sentences = [Public, Private, Shared, Nowhere].map(Standing::describe);
        assert!(sentences[0].is_empty() && sentences[2].contains("CGNAT"), "{sentences:?}");
    }
}
