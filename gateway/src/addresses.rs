//! The addresses of this machine that a peer could reach.

use std::net::{IpAddr, SocketAddr};

use tracing::warn;

/// Limit of host candidates: more slow every connection down and help none.
const MAX_ADDRESSES: usize = 8;

/// Returns the machine's addresses, each with this port; loopback ones if asked for or if there are
/// no others. `None` if they cannot be read: then the known ones are better than an empty list.
pub(crate) fn local(port: u16, with_loopback: bool) -> Option<Vec<SocketAddr>> {
    let interfaces = if_addrs::get_if_addrs()
        .inspect_err(|error| warn!("the addresses of this machine cannot be read: {error}"))
        .ok()?;
    let chosen = choose(interfaces.iter().map(|interface| interface.ip()), with_loopback);
    Some(chosen.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

fn choose(ips: impl Iterator<Item = IpAddr>, with_loopback: bool) -> Vec<IpAddr> {
    let (loopback, mut chosen): (Vec<IpAddr>, Vec<IpAddr>) =
        ips.filter(|ip| !is_link_local(*ip)).partition(IpAddr::is_loopback);
    chosen.truncate(MAX_ADDRESSES);
    if with_loopback || chosen.is_empty() {
        chosen.extend(loopback);
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
    fn loopback_is_the_last_resort() {
        for (name, given, with_loopback, expected) in [
            ("a LAN", vec!["127.0.0.1", "192.168.1.2", "fe80::1"], false, vec!["192.168.1.2"]),
            (
                "the same machine",
                vec!["127.0.0.1", "10.0.0.1"],
                true,
                vec!["10.0.0.1", "127.0.0.1"],
            ),
            ("nothing else", vec!["127.0.0.1", "169.254.3.4"], false, vec!["127.0.0.1"]),
            (
                "both families",
                vec!["10.0.0.1", "2001:db8::1"],
                false,
                vec!["10.0.0.1", "2001:db8::1"],
            ),
        ] {
            let parse = |list: &[&str]| -> Vec<IpAddr> {
                list.iter().map(|ip| ip.parse().unwrap()).collect()
            };
            let chosen = choose(parse(&given).into_iter(), with_loopback);
            assert_eq!(chosen, parse(&expected), "{name}");
        }
    }
}
