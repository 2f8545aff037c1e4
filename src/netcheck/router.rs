//! The port mapping protocols of the router: NAT-PMP (RFC 6886), PCP (RFC 6887), UPnP.
//!
//! The router is asked which of them it supports, and if that is wanted, to forward a port for a
//! moment, as a gateway does.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use porthole_gateway::port_mapping::{self, Protocols, Standing, State};
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

/// The protocols that the router supports, and what has come of using them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Router {
    pub(super) nat_pmp: bool,
    pub(super) pcp: bool,
    pub(super) upnp: bool,
    /// The protocol with which it has mapped a port.
    pub(super) mapped_by: Option<String>,
    /// The address at which it has.
    pub(super) external_address: Option<Ipv4Addr>,
    /// True if everybody can reach that address.
    pub(super) is_public: Option<bool>,
    /// The reason for which it has mapped none.
    pub(super) refusal: Option<&'static str>,
}

impl Router {
    /// Describes the router, for a sentence that starts with "the router".
    pub(super) fn describe(&self) -> String {
        let offers = [("PCP", self.pcp), ("NAT-PMP", self.nat_pmp), ("UPnP", self.upnp)];
        let names: Vec<_> = offers.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        if names.is_empty() {
            return "offers no port mapping; if direct connections fail, enable UPnP, NAT-PMP or \
                    PCP on it, or forward the gateway's UDP port manually"
                .to_owned();
        }
        let result = match (&self.mapped_by, self.external_address, self.refusal) {
            (Some(protocol), Some(address), _) => {
                let limit = Standing::of(address).describe();
                format!("; it has forwarded a port at {address} with {protocol}{limit}")
            }
            (_, _, Some(reason)) => format!(", but forwards no port: {reason}"),
            _ => String::new(),
        };
        format!("offers port mapping with {}{result}", names.join(", "))
    }

    /// Notes what has come of a request for a port.
    fn with_trial(self, state: Option<State>) -> Self {
        match state {
            Some(State::Mapped(mapping)) => Self {
                mapped_by: Some(mapping.protocol.to_string()),
                external_address: Some(*mapping.external.ip()),
                is_public: Some(mapping.standing() == Standing::Public),
                ..self
            },
            Some(State::Unmapped(reason)) => Self { refusal: Some(reason), ..self },
            Some(State::Unknown | State::NotNeeded) | None => self,
        }
    }
}

/// Asks the router of the default route for its protocols, and with `map_port` to forward a port.
/// Returns `None` without such a route.
pub(super) async fn probe(map_port: bool) -> Option<Router> {
    let router = SocketAddr::new(port_mapping::default_router().await?.into(), PORT);
    let trial =
        async { if map_port { port_mapping::try_once(Protocols::All).await } else { None } };
    let (found, tried) = tokio::join!(probe_at(router, SSDP), trial);
    Some(found.with_trial(tried))
}

async fn probe_at(router: SocketAddr, ssdp: SocketAddr) -> Router {
    let (nat_pmp, pcp, upnp) = tokio::join!(
        responds(router, &NAT_PMP_ADDRESS, TRIES, TRY, is_nat_pmp),
        responds(router, &PCP_ANNOUNCE, TRIES, TRY, is_pcp),
        responds(ssdp, SEARCH.as_bytes(), 1, SSDP_TRY, is_gateway_device),
    );
    Router { nat_pmp, pcp, upnp, ..Router::default() }
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

#[cfg(test)]
mod tests {
    use porthole_gateway::port_mapping::{Mapping, Protocol};

    use super::*;

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
        assert_eq!(found, Router { nat_pmp: true, upnp: true, ..Router::default() });
        assert!(found.describe().ends_with("NAT-PMP, UPnP"));
        assert!(Router::default().describe().contains("manually"));
    }

    #[test]
    fn the_report_says_what_has_come_of_a_request_for_a_port() {
        let mapped = |external: &str| {
            State::Mapped(Mapping {
                protocol: Protocol::NatPmp,
                internal: "192.168.1.2:4000".parse().unwrap(),
                external: external.parse().unwrap(),
            })
        };
        for (name, state, is_public, sentence) in [
            ("a port", Some(mapped("203.0.113.7:1")), Some(true), "at 203.0.113.7 with NAT-PMP"),
            ("behind another router", Some(mapped("10.0.0.7:1")), Some(false), "another router"),
            ("behind CGNAT", Some(mapped("100.64.0.7:1")), Some(false), "CGNAT"),
            ("a refusal", Some(State::Unmapped("it is full")), None, "no port: it is full"),
            ("no need", Some(State::NotNeeded), None, "offers port mapping with NAT-PMP"),
            ("nothing", None, None, "offers port mapping with NAT-PMP"),
        ] {
            let router = Router { nat_pmp: true, ..Router::default() }.with_trial(state);
            assert_eq!(router.is_public, is_public, "{name}");
            assert!(router.describe().contains(sentence), "{name}: {}", router.describe());
        }
    }
}
