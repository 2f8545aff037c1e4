//! The port mapping protocols of the router: NAT-PMP (RFC 6886), PCP (RFC 6887), UPnP.
//!
//! The router is only asked which of them it supports; no port is mapped.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// The port of NAT-PMP and PCP on the router (RFC 6887 §19.1).
const PORT: u16 = 5351;
/// The multicast address where UPnP devices listen.
const SSDP: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), 1900);
/// RFC 6886 §3.1 begins with 250 ms, and a router in the LAN responds faster. A UPnP device may
/// wait for up to the one second of [`SEARCH`] before it responds.
const TRIES: u32 = 3;
const TRY: Duration = Duration::from_millis(300);
const SSDP_TRY: Duration = Duration::from_millis(1200);
const MAX_RESPONSE_BYTES: usize = 1500;

/// The protocols that the router supports.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Router {
    pub(super) nat_pmp: bool,
    pub(super) pcp: bool,
    pub(super) upnp: bool,
}

impl Router {
    /// Describes the router, for a sentence that starts with "the router".
    pub(super) fn describe(self) -> String {
        let offers = [("PCP", self.pcp), ("NAT-PMP", self.nat_pmp), ("UPnP", self.upnp)];
        let names: Vec<_> = offers.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        if names.is_empty() {
            return "offers no port mapping; if direct connections fail, enable UPnP, NAT-PMP or \
                    PCP on it, or forward the gateway's UDP port manually"
                .to_owned();
        }
        format!("offers port mapping with {}", names.join(", "))
    }
}

/// Asks the router of the default route for its protocols. Returns `None` without such a route.
pub(super) async fn probe() -> Option<Router> {
    let routes = tokio::fs::read_to_string("/proc/net/route").await.ok()?;
    Some(probe_at(SocketAddr::new(default_gateway(&routes)?.into(), PORT), SSDP).await)
}

async fn probe_at(router: SocketAddr, ssdp: SocketAddr) -> Router {
    let (nat_pmp, pcp, upnp) = tokio::join!(
        responds(router, &NAT_PMP_ADDRESS, TRIES, TRY, is_nat_pmp),
        responds(router, &PCP_ANNOUNCE, TRIES, TRY, is_pcp),
        responds(ssdp, SEARCH.as_bytes(), 1, SSDP_TRY, is_gateway_device),
    );
    Router { nat_pmp, pcp, upnp }
}

/// A request for the external address (RFC 6886 §3.2).
const NAT_PMP_ADDRESS: [u8; 2] = [0, 0];
/// A request of version 2 with the opcode ANNOUNCE, lifetime 0 and no client address (RFC 6887
/// §14.1). A PCP server responds, if only with ADDRESS_MISMATCH.
const PCP_ANNOUNCE: [u8; 24] = {
    let mut request = [0; 24];
    request[0] = 2;
    request
};
/// A UPnP search for an internet gateway device.
const SEARCH: &str = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\
                      MAN: \"ssdp:discover\"\r\nMX: 1\r\n\
                      ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n";

fn is_nat_pmp(response: &[u8]) -> bool {
    // Version 0, response to opcode 0, any result except "unsupported version".
    matches!(response, [0, 128, result @ ..] if result.get(..2).is_some_and(|code| code != [0, 1]))
}

fn is_pcp(response: &[u8]) -> bool {
    matches!(response, [2, opcode, ..] if *opcode >= 128)
}

fn is_gateway_device(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response);
    text.starts_with("HTTP/1.1 200") && text.contains("InternetGatewayDevice")
}

/// Sends a request up to `tries` times, and returns true once a response is accepted.
async fn responds(
    to: SocketAddr,
    request: &[u8],
    tries: u32,
    wait: Duration,
    accept: fn(&[u8]) -> bool,
) -> bool {
    let Ok(socket) = UdpSocket::bind(super::any_local(to)).await else { return false };
    let mut bytes = [0; MAX_RESPONSE_BYTES];
    for _ in 0..tries {
        if socket.send_to(request, to).await.is_err() {
            return false;
        }
        if let Ok(Ok((length, _))) = timeout(wait, socket.recv_from(&mut bytes)).await
            && bytes.get(..length).is_some_and(accept)
        {
            return true;
        }
    }
    false
}

/// Returns the gateway of the default route in `/proc/net/route`, which has addresses in the byte
/// order of the machine.
fn default_gateway(routes: &str) -> Option<Ipv4Addr> {
    routes.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (destination, gateway) = (columns.next()?, columns.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
        (destination == "00000000").then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_that_of_the_default_route() {
        let header = "Iface\tDestination\tGateway \tFlags\n";
        let row = |destination: &str, gateway: [u8; 4]| {
            format!("eth0\t{destination}\t{:08X}\t0003\n", u32::from_ne_bytes(gateway))
        };
        for (rows, found) in [
            (row("00000000", [192, 168, 1, 1]), Some("192.168.1.1")),
            (row("0001A8C0", [0, 0, 0, 0]) + &row("00000000", [10, 0, 0, 1]), Some("10.0.0.1")),
            (row("0001A8C0", [192, 168, 1, 1]), None),
            (row("00000000", [0, 0, 0, 0]), None),
            (String::new(), None),
        ] {
            let found = found.map(|ip| ip.parse().unwrap());
            assert_eq!(default_gateway(&format!("{header}{rows}")), found, "{rows}");
        }
    }

    #[test]
    fn a_response_of_another_protocol_is_not_accepted() {
        for (response, expected) in [
            (&[0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7][..], [true, false, false]),
            // Unsupported version: the response of a NAT-PMP router to a PCP request.
            (&[0, 128, 0, 1], [false, false, false]),
            (&[2, 128, 0, 0], [false, true, false]),
            (&[2, 0, 0, 0], [false, false, false]),
            (b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n",
                [false, false, true]),
            (b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n", [false, false, false]),
            (&[], [false, false, false]),
        ] {
            let found = [is_nat_pmp(response), is_pcp(response), is_gateway_device(response)];
            assert_eq!(found, expected, "{response:?}");
        }
    }

    #[tokio::test]
    async fn each_protocol_of_a_router_is_probed() {
        let router = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (at, ssdp) = (router.local_addr().unwrap(), device.local_addr().unwrap());
        tokio::spawn(async move {
            let mut bytes = [0; 64];
            while let Ok((length, from)) = router.recv_from(&mut bytes).await {
                // Supports NAT-PMP, not PCP.
                let response: &[u8] = match &bytes[..length] {
                    [0, 0] => &[0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7],
                    _ => &[0, 128, 0, 1, 0, 0, 0, 9],
                };
                router.send_to(response, from).await.unwrap();
            }
        });
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            let (length, from) = device.recv_from(&mut bytes).await.unwrap();
            assert!(bytes[..length].starts_with(b"M-SEARCH"));
            let response = "HTTP/1.1 200 OK\r\nST: x:InternetGatewayDevice:1\r\n\r\n";
            device.send_to(response.as_bytes(), from).await.unwrap();
        });
        let found = probe_at(at, ssdp).await;
        assert_eq!(found, Router { nat_pmp: true, pcp: false, upnp: true });
        assert!(found.describe().ends_with("NAT-PMP, UPnP"));
        assert!(Router::default().describe().contains("manually"));
    }
}
