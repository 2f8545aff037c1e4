//! The default route of this machine, from the table of the kernel.

use std::net::Ipv4Addr;

use porthole_gateway_core::port_mapping::{Network, ROUTER_PORT};
use tokio::net::UdpSocket;

use crate::addresses;

/// The table of IPv4 routes.
const TABLE: &str = "/proc/net/route";

/// Flags of a route that is up and leads to a router (`RTF_UP`, `RTF_GATEWAY`).
const TO_ROUTER: u32 = 0x3;

/// Addresses on the Internet, in both halves of its addresses, because some VPNs take each half by
/// a route of its own. Nothing is sent to them.
const ELSEWHERE: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 0, 0, 1), Ipv4Addr::new(198, 51, 100, 1)];

/// Returns the network of the default route; `None` if there is none, or none to a router, or if
/// packets to the Internet take another way than through it, such as a VPN: the port would reveal
/// the address that the VPN hides.
pub(super) async fn network() -> Option<Network> {
    let table = tokio::fs::read_to_string(TABLE).await.ok()?;
    let (interface, router) = default_router(&table)?;
    let local = source_towards(router).await?;
    let mut towards_internet = Vec::new();
    for address in ELSEWHERE {
        towards_internet.push(source_towards(address).await);
    }
    // A VPN that takes the LAN too has another interface.
    let leads = addresses::has(&interface, local) && leads_to_internet(local, &towards_internet);
    leads.then_some(Network { router, local })
}

/// Returns true if packets to the Internet leave from the address that packets to the router leave
/// from.
fn leads_to_internet(local: Ipv4Addr, towards_internet: &[Option<Ipv4Addr>]) -> bool {
    towards_internet.iter().all(|source| *source == Some(local))
}

/// Returns the address from which packets to this one leave, by all tables and rules of the kernel;
/// `None` if they do not. Nothing is sent.
async fn source_towards(to: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect((to, ROUTER_PORT)).await.ok()?;
    match socket.local_addr().ok()? {
        std::net::SocketAddr::V4(local) => Some(*local.ip()),
        std::net::SocketAddr::V6(_) => None,
    }
}

/// Returns the interface and router of the default route with the lowest metric. The table has
/// addresses in the byte order of the machine.
fn default_router(table: &str) -> Option<(String, Ipv4Addr)> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [interface, destination, router, flags, _, _, metric, mask, ..] = columns.as_slice()
        else {
            return None;
        };
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let is_default = number(destination) == Some(0) && number(mask) == Some(0);
        let router = number(router).filter(|router| *router != 0)?;
        let leads = number(flags)? & TO_ROUTER == TO_ROUTER;
        let metric = metric.parse::<u32>().ok()?;
        let router = Ipv4Addr::from(router.to_ne_bytes());
        (is_default && leads).then(|| (metric, (*interface).to_owned(), router))
    });
    let best = routes.min_by_key(|(metric, _, _)| *metric);
    best.map(|(_, interface, router)| (interface, router))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_router_is_asked_where_the_internet_is_reached_through_a_vpn() {
        let (lan, vpn) = (Ipv4Addr::new(192, 168, 1, 2), Ipv4Addr::new(10, 8, 0, 2));
        for (name, towards_internet, expected) in [
            ("the router", [Some(lan), Some(lan)], true),
            ("a VPN", [Some(vpn), Some(vpn)], false),
            ("a VPN for one half", [Some(lan), Some(vpn)], false),
            ("a VPN that lets nothing out", [None, None], false),
        ] {
            assert_eq!(leads_to_internet(lan, &towards_internet), expected, "{name}");
        }
    }

    #[test]
    fn the_router_is_that_of_the_best_default_route() {
        let header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n";
        let row = |destination: &str, router: [u8; 4], flags: u32, metric: u32, mask: &str| {
            let router = u32::from_ne_bytes(router);
            format!("eth0\t{destination}\t{router:08X}\t{flags:04X}\t0\t0\t{metric}\t{mask}\t0\n")
        };
        let none = "00000000";
        let lan = row("0001A8C0", [0, 0, 0, 0], 1, 0, "00FFFFFF");
        let default = |router, metric| row(none, router, 3, metric, none);
        for (name, rows, found) in [
            ("one", default([192, 168, 1, 1], 0), Some("192.168.1.1")),
            ("after the LAN", lan.clone() + &default([10, 0, 0, 1], 0), Some("10.0.0.1")),
            ("two", default([10, 0, 0, 1], 600) + &default([10, 0, 0, 2], 100), Some("10.0.0.2")),
            ("no router", row(none, [0, 0, 0, 0], 1, 0, none), None),
            ("down", row(none, [10, 0, 0, 1], 2, 0, none), None),
            ("a half of everything", row(none, [10, 0, 0, 1], 3, 0, "00000080"), None),
            ("the LAN only", lan, None),
            ("cut", "eth0\t00000000".to_owned(), None),
            ("nothing", String::new(), None),
        ] {
            let found = found.map(|ip| ("eth0".to_owned(), ip.parse().unwrap()));
            assert_eq!(default_router(&format!("{header}{rows}")), found, "{name}");
        }
    }
}
