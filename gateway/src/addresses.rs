//! The addresses of this machine that a peer could reach, the best first.

mod kind;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use porthole_gateway_core::ice::interleave_families;
use tracing::warn;

use kind::Kind;

/// Limit of host candidates: more slow every connection down and help none.
const MAX_ADDRESSES: usize = 8;

/// Returns the machine's addresses, each with this port; loopback ones if asked for or if there are
/// no others. Those of virtual private networks and of containers come last. `None` if they cannot
/// be read: then the known ones are better than an empty list.
pub(crate) fn local(port: u16, with_loopback: bool) -> Option<Vec<SocketAddr>> {
    let interfaces = if_addrs::get_if_addrs()
        .inspect_err(|error| warn!("the addresses of this machine cannot be read: {error}"))
        .ok()?;
    let folder = Path::new(kind::FOLDER);
    let found = interfaces.iter().map(|one| (kind::of(folder, &one.name), one.ip()));
    let chosen = choose(found.collect(), with_loopback);
    Some(chosen.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// Returns true if the interface with this name has this address.
pub(crate) fn has(interface: &str, ip: Ipv4Addr) -> bool {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.iter().any(|one| one.name == interface && one.ip() == IpAddr::V4(ip))
}

fn choose(mut found: Vec<(Kind, IpAddr)>, with_loopback: bool) -> Vec<IpAddr> {
    found.retain(|(_, ip)| !is_link_local(*ip));
    let of = |wanted: Kind| {
        let ips = found.iter().filter(|(kind, ip)| *kind == wanted && !ip.is_loopback());
        interleave_families(ips.map(|(_, ip)| *ip).collect())
    };
    let kinds = [Kind::Ordinary, Kind::Private, Kind::Containers];
    let mut chosen: Vec<IpAddr> = kinds.into_iter().flat_map(of).collect();
    chosen.truncate(MAX_ADDRESSES);
    if with_loopback || chosen.is_empty() {
        chosen.extend(found.iter().map(|(_, ip)| *ip).filter(IpAddr::is_loopback));
    }
    chosen.truncate(MAX_ADDRESSES);
    chosen
}

/// Returns true for an address that is meaningful only together with a zone, which SDP cannot
/// carry.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_the_last_resort_and_what_is_not_a_network_card_comes_behind() {
        use Kind::{Containers, Ordinary, Private};
        let eth = |ip: &'static str| (Ordinary, ip);
        let many: Vec<_> = (1..=9).map(|n| (Containers, format!("172.{}.0.1", 16 + n))).collect();
        let many = many.iter().map(|(kind, ip)| (*kind, ip.as_str()));
        for (name, given, with_loopback, expected) in [
            (
                "a LAN",
                vec![eth("127.0.0.1"), eth("192.168.1.2"), eth("fe80::1")],
                false,
                vec!["192.168.1.2"],
            ),
            (
                "the same machine",
                vec![eth("127.0.0.1"), eth("10.0.0.1")],
                true,
                vec!["10.0.0.1", "127.0.0.1"],
            ),
            ("nothing else", vec![eth("127.0.0.1"), eth("169.254.3.4")], false, vec!["127.0.0.1"]),
            (
                "both families",
                vec![eth("10.0.0.1"), eth("10.0.0.2"), eth("2001:db8::1")],
                false,
                vec!["2001:db8::1", "10.0.0.1", "10.0.0.2"],
            ),
            (
                "containers and a VPN",
                vec![
                    (Containers, "172.17.0.1"),
                    (Private, "fd7a:115c::1"),
                    (Private, "100.100.1.1"),
                    eth("192.168.1.2"),
                ],
                false,
                vec!["192.168.1.2", "fd7a:115c::1", "100.100.1.1", "172.17.0.1"],
            ),
            (
                "more networks of containers than there is room for",
                many.chain([eth("192.168.1.2")]).collect(),
                false,
                vec![
                    "192.168.1.2",
                    "172.17.0.1",
                    "172.18.0.1",
                    "172.19.0.1",
                    "172.20.0.1",
                    "172.21.0.1",
                    "172.22.0.1",
                    "172.23.0.1",
                ],
            ),
        ] {
            let parse = |ip: &&str| ip.parse::<IpAddr>().unwrap();
            let found = given.iter().map(|(kind, ip)| (*kind, parse(ip))).collect();
            let chosen = choose(found, with_loopback);
            assert_eq!(chosen, expected.iter().map(parse).collect::<Vec<_>>(), "{name}");
        }
    }
}
