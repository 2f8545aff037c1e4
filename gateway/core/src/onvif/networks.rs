//! The addresses that a gateway may contact when it is asked to look for cameras.
//!
//! Whoever may add a camera must not be able to use the gateway as a way into other networks, to
//! services of its own machine, or to the metadata service of a cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

pub use porthole_turn_proto::server::Cidr;

/// Addresses where clouds hand out secrets to the machines that ask.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xFD00, 0xEC2, 0, 0, 0, 0, 0, 0x254)),
];

/// Reasons for not contacting an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotAllowed {
    /// The address is that of no single machine.
    #[error("{0} is not the address of a single machine: use the camera's own address")]
    NoMachine(IpAddr),
    /// The address is one of this machine.
    #[error("{0} is this machine itself: name it with --network if the camera runs here")]
    ThisMachine(IpAddr),
    /// The address is that of a cloud's metadata service.
    #[error("{0} is a service of the cloud that this machine runs in, not a camera")]
    Metadata(IpAddr),
    /// The address is outside of the gateway's networks.
    #[error(
        "{0} is not in a network of this machine: if the camera is really there, name its network \
         with --network"
    )]
    Elsewhere(IpAddr),
}

/// The networks of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// Networks that this machine has an address in.
    pub own: Vec<Cidr>,
    /// Further networks that the owner has named.
    pub named: Vec<Cidr>,
}

impl Networks {
    /// Checks that the gateway may contact an address.
    ///
    /// # Errors
    /// With the reason if it may not.
    pub fn check(&self, ip: IpAddr) -> Result<(), NotAllowed> {
        let ip = ip.to_canonical();
        let is_in = |networks: &[Cidr]| networks.iter().any(|network| network.contains(ip));
        let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
            return Err(NotAllowed::NoMachine(ip));
        }
        if is_in(&self.named) {
            return Ok(());
        }
        if METADATA.contains(&ip) {
            return Err(NotAllowed::Metadata(ip));
        }
        if ip.is_loopback() {
            return Err(NotAllowed::ThisMachine(ip));
        }
        if is_in(&self.own) { Ok(()) } else { Err(NotAllowed::Elsewhere(ip)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_machines_of_the_own_and_the_named_networks_are_contacted() {
        let cidrs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let own: &[&str] = &["192.168.1.0/24", "fe80::/64", "169.254.0.0/16"];
        let ok: fn(IpAddr) -> Result<(), NotAllowed> = |_| Ok(());
        let elsewhere: fn(IpAddr) -> Result<(), NotAllowed> = |ip| Err(NotAllowed::Elsewhere(ip));
        let this: fn(IpAddr) -> Result<(), NotAllowed> = |ip| Err(NotAllowed::ThisMachine(ip));
        let cloud: fn(IpAddr) -> Result<(), NotAllowed> = |ip| Err(NotAllowed::Metadata(ip));
        let none: fn(IpAddr) -> Result<(), NotAllowed> = |ip| Err(NotAllowed::NoMachine(ip));
        for (ip, named, expected) in [
            ("192.168.1.20", "10.9.0.0/16", ok),
            ("::ffff:192.168.1.20", "10.9.0.0/16", ok),
            ("192.168.2.20", "10.9.0.0/16", elsewhere),
            ("8.8.8.8", "10.9.0.0/16", elsewhere),
            ("10.9.1.1", "10.9.0.0/16", ok),
            ("fe80::1", "10.9.0.0/16", ok),
            ("2001:db8::1", "10.9.0.0/16", elsewhere),
            ("169.254.7.7", "10.9.0.0/16", ok),
            ("169.254.169.254", "10.9.0.0/16", cloud),
            ("::ffff:169.254.169.254", "10.9.0.0/16", cloud),
            ("169.254.169.254", "169.254.169.254", ok),
            ("127.0.0.1", "10.9.0.0/16", this),
            ("::1", "10.9.0.0/16", this),
            ("127.0.0.1", "127.0.0.0/8", ok),
            ("0.0.0.0", "0.0.0.0/0", none),
            ("255.255.255.255", "0.0.0.0/0", none),
            ("239.255.255.250", "0.0.0.0/0", none),
            ("ff02::c", "::/0", none),
        ] {
            let networks = Networks { own: cidrs(own), named: cidrs(&[named]) };
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(networks.check(ip), expected(ip.to_canonical()), "{ip} with {named}");
        }
    }
}
