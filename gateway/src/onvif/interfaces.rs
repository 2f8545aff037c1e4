//! The interfaces of this machine: where cameras are looked for, and what may be contacted.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use if_addrs::{IfOperStatus, Interface};
use porthole_gateway_core::onvif::{Cidr, Networks};

/// Beginnings of the names of interfaces that belong to containers and virtual machines.
const VIRTUAL: &[&str] = &[
    "br-", "cni", "docker", "flannel", "cali", "lxc", "lxd", "podman", "tap", "veth", "virbr",
    "vnet", "vmnet",
];

/// Maximum number of links that are searched; a machine with containers has dozens.
const MAX_LINKS: usize = 32;

/// An address of this machine on a network, from which cameras are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Name of the interface, such as `eth0`.
    pub name: String,
    /// Index of the interface.
    pub index: u32,
    /// The address to send from, with port 0.
    pub local: SocketAddr,
}

/// Returns the links to search, one for each interface and address family; those of virtual
/// networks come last.
///
/// # Errors
/// If the interfaces cannot be read.
pub fn links() -> io::Result<Vec<Link>> {
    Ok(choose_links(&if_addrs::get_if_addrs()?))
}

/// Returns the networks that this machine has an address in, and those that are named.
///
/// # Errors
/// If the interfaces cannot be read.
pub fn networks(named: Vec<Cidr>) -> io::Result<Networks> {
    let interfaces = if_addrs::get_if_addrs()?;
    let usable = interfaces.iter().filter(|interface| is_usable(interface));
    Ok(Networks { own: usable.filter_map(network_of).collect(), named })
}

fn is_usable(interface: &Interface) -> bool {
    let is_up = matches!(interface.oper_status, IfOperStatus::Up | IfOperStatus::Unknown);
    is_up && !interface.is_p2p && !interface.is_loopback()
}

fn choose_links(interfaces: &[Interface]) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for interface in interfaces.iter().filter(|interface| is_usable(interface)) {
        let index = interface.index.unwrap_or(0);
        let local = match interface.ip() {
            IpAddr::V4(ip) => SocketAddr::from((ip, 0)),
            // Groups of the link are reached from the address of the link.
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                SocketAddrV6::new(ip, 0, 0, index).into()
            }
            IpAddr::V6(_) => continue,
        };
        let is_known = |link: &Link| link.index == index && link.local.is_ipv6() && local.is_ipv6();
        if !links.iter().any(is_known) {
            links.push(Link { name: interface.name.clone(), index, local });
        }
    }
    links.sort_by_key(|link| is_virtual(&link.name));
    links.truncate(MAX_LINKS);
    links
}

fn is_virtual(name: &str) -> bool {
    VIRTUAL.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the network of an address of this machine.
fn network_of(interface: &Interface) -> Option<Cidr> {
    let (ip, prefix) = match &interface.addr {
        if_addrs::IfAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(address.prefixlen.min(32))).unwrap_or(0);
            (IpAddr::V4((address.ip.to_bits() & mask).into()), address.prefixlen)
        }
        if_addrs::IfAddr::V6(address) => {
            let mask =
                u128::MAX.checked_shl(128 - u32::from(address.prefixlen.min(128))).unwrap_or(0);
            (IpAddr::V6((address.ip.to_bits() & mask).into()), address.prefixlen)
        }
    };
    format!("{ip}/{prefix}").parse().ok()
}

#[cfg(test)]
mod tests {
    use if_addrs::{IfAddr, Ifv4Addr, Ifv6Addr};

    use super::*;

    fn interface(name: &str, index: u32, ip: &str, prefixlen: u8) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr { ip, netmask: ip, prefixlen, broadcast: None }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr { ip, netmask: ip, prefixlen, broadcast: None }),
        };
        let (index, oper_status) = (Some(index), IfOperStatus::Up);
        Interface { name: name.to_owned(), addr, index, oper_status, is_p2p: false }
    }

    #[test]
    fn every_real_interface_is_searched_in_both_families_and_virtual_ones_last() {
        let mut down = interface("eth9", 9, "10.9.9.9", 24);
        down.oper_status = IfOperStatus::Down;
        let mut tunnel = interface("wg0", 8, "10.8.8.8", 24);
        tunnel.is_p2p = true;
        let interfaces = [
            interface("docker0", 3, "172.17.0.1", 16),
            interface("lo", 1, "127.0.0.1", 8),
            interface("eth0", 2, "192.168.1.2", 24),
            interface("eth0", 2, "2001:db8::2", 64),
            interface("eth0", 2, "fe80::2", 64),
            interface("eth0", 2, "fe80::3", 64),
            down,
            tunnel,
        ];
        let links = choose_links(&interfaces);
        let found: Vec<_> = links.iter().map(|link| (&*link.name, link.local)).collect();
        let v6 = SocketAddrV6::new("fe80::2".parse().unwrap(), 0, 0, 2).into();
        let v4 = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let expected = [("eth0", v4("192.168.1.2")), ("eth0", v6), ("docker0", v4("172.17.0.1"))];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_network_is_what_an_address_has_in_common_with_its_neighbours() {
        for (ip, prefix, expected) in [
            ("192.168.1.2", 24, "192.168.1.0/24"),
            ("10.1.2.3", 8, "10.0.0.0/8"),
            ("10.1.2.3", 32, "10.1.2.3/32"),
            ("10.1.2.3", 0, "0.0.0.0/0"),
            ("fe80::2", 64, "fe80::/64"),
        ] {
            let found = network_of(&interface("eth0", 2, ip, prefix));
            assert_eq!(found.map(|network| network.to_string()).as_deref(), Some(expected), "{ip}");
        }
    }
}
