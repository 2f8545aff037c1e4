//! The default route of this machine, from the table of the kernel.

use std::net::Ipv4Addr;

use porthole_gateway_core::port_mapping::{Network, ROUTER_PORT};
use tokio::net::UdpSocket;

/// The table of IPv4 routes.
const TABLE: &str = "/proc/net/route";

/// Flags of a route that is up and leads to a router (`RTF_UP`, `RTF_GATEWAY`).
const TO_ROUTER: u32 = 0x3;

/// Returns the network of the default route; `None` if there is none, or none to a router.
pub(super) async fn network() -> Option<Network> {
    let table = tokio::fs::read_to_string(TABLE).await.ok()?;
    let router = default_router(&table)?;
    // Nothing is sent: the kernel only says from which address it would be.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect((router, ROUTER_PORT)).await.ok()?;
    match socket.local_addr().ok()? {
        std::net::SocketAddr::V4(local) => Some(Network { router, local: *local.ip() }),
        std::net::SocketAddr::V6(_) => None,
    }
}

/// Returns the router of the default route with the lowest metric. The table has addresses in the
/// byte order of the machine.
fn default_router(table: &str) -> Option<Ipv4Addr> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [_, destination, router, flags, _, _, metric, mask, ..] = columns.as_slice() else {
            return None;
        };
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let is_default = number(destination) == Some(0) && number(mask) == Some(0);
        let router = number(router).filter(|router| *router != 0)?;
        let leads = number(flags)? & TO_ROUTER == TO_ROUTER;
        let metric = metric.parse::<u32>().ok()?;
        (is_default && leads).then(|| (metric, Ipv4Addr::from(router.to_ne_bytes())))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, router)| router)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let found = found.map(|ip| ip.parse().unwrap());
            assert_eq!(default_router(&format!("{header}{rows}")), found, "{name}");
        }
    }
}
