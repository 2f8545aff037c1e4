//! Which protocols the router offers to open a port: NAT-PMP (RFC 6886), PCP (RFC 6887), UPnP.
//!
//! Only whether somebody answers is asked; nothing is mapped.

use serde::Serialize;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::UdpSocket, time::timeout};

/// NAT-PMP's and PCP's port on the router (RFC 6887 §19.1).
const PORT: u16 = 5351;
/// Where UPnP devices listen.
const SSDP: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), 1900);
/// RFC 6886 §3.1 begins with 250 ms; a LAN answers in less. UPnP asks for up to a second's wait.
const TRIES: u32 = 3;
const TRY: Duration = Duration::from_millis(300);
const SSDP_TRY: Duration = Duration::from_millis(1200);
const MAX_ANSWER_BYTES: usize = 1500;

/// What the router answers to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Router {
    pub(super) nat_pmp: bool,
    pub(super) pcp: bool,
    pub(super) upnp: bool,
}

impl Router {
    pub(super) fn sentence(self) -> String {
        let offers = [("PCP", self.pcp), ("NAT-PMP", self.nat_pmp), ("UPnP", self.upnp)];
        let names: Vec<_> = offers.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        if names.is_empty() {
            return "offers no port mapping; switch on UPnP, NAT-PMP or PCP in it, or map the \
                    gateway's UDP port by hand, if direct connections fail"
                .to_owned();
        }
        format!("offers port mapping by {}", names.join(", "))
    }
}

/// Asks the router behind the default route. `None`: there is no such route.
pub(super) async fn discover() -> Option<Router> {
    let routes = tokio::fs::read_to_string("/proc/net/route").await.ok()?;
    Some(ask(SocketAddr::new(gateway(&routes)?.into(), PORT), SSDP).await)
}

async fn ask(router: SocketAddr, ssdp: SocketAddr) -> Router {
    let (nat_pmp, pcp, upnp) = tokio::join!(
        answers(router, &NAT_PMP_ADDRESS, TRIES, TRY, is_nat_pmp),
        answers(router, &PCP_ANNOUNCE, TRIES, TRY, is_pcp),
        answers(ssdp, SEARCH.as_bytes(), 1, SSDP_TRY, is_gateway_device),
    );
    Router { nat_pmp, pcp, upnp }
}

/// "What is your external address?" (RFC 6886 §3.2).
const NAT_PMP_ADDRESS: [u8; 2] = [0, 0];
/// Version 2, opcode ANNOUNCE, lifetime 0, from an address that it need not look at (RFC 6887
/// §14.1): who speaks PCP answers, if only with ADDRESS_MISMATCH.
const PCP_ANNOUNCE: [u8; 24] = {
    let mut request = [0; 24];
    request[0] = 2;
    request
};
/// UPnP's search for an Internet gateway.
const SEARCH: &str = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\
                      MAN: \"ssdp:discover\"\r\nMX: 1\r\n\
                      ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n";

fn is_nat_pmp(answer: &[u8]) -> bool {
    // Version 0, the response to opcode 0; the result may be anything but "unknown version".
    matches!(answer, [0, 128, result @ ..] if result.get(..2).is_some_and(|code| code != [0, 1]))
}

fn is_pcp(answer: &[u8]) -> bool {
    matches!(answer, [2, opcode, ..] if *opcode >= 128)
}

fn is_gateway_device(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.starts_with("HTTP/1.1 200") && text.contains("InternetGatewayDevice")
}

async fn answers(
    to: SocketAddr,
    question: &[u8],
    tries: u32,
    patience: Duration,
    accept: fn(&[u8]) -> bool,
) -> bool {
    let Ok(socket) = UdpSocket::bind(super::any_local(to)).await else { return false };
    let mut bytes = [0; MAX_ANSWER_BYTES];
    for _ in 0..tries {
        if socket.send_to(question, to).await.is_err() {
            return false;
        }
        if let Ok(Ok((length, _))) = timeout(patience, socket.recv_from(&mut bytes)).await
            && bytes.get(..length).is_some_and(accept)
        {
            return true;
        }
    }
    false
}

/// The default route's gateway in what Linux says of its routes, in the host's byte order.
fn gateway(routes: &str) -> Option<Ipv4Addr> {
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
    fn the_gateway_is_the_default_routes() {
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
            assert_eq!(gateway(&format!("{header}{rows}")), found, "{rows}");
        }
    }

    #[test]
    fn an_answer_of_another_protocol_is_none() {
        for (answer, is) in [
            (&[0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7][..], [true, false, false]),
            // "Version 2 it is not": a router of NAT-PMP answers PCP so.
            (&[0, 128, 0, 1], [false, false, false]),
            (&[2, 128, 0, 0], [false, true, false]),
            (&[2, 0, 0, 0], [false, false, false]),
            (b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n",
                [false, false, true]),
            (b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n", [false, false, false]),
            (&[], [false, false, false]),
        ] {
            let found = [is_nat_pmp(answer), is_pcp(answer), is_gateway_device(answer)];
            assert_eq!(found, is, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_router_is_asked_for_each_protocol() {
        let router = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (at, ssdp) = (router.local_addr().unwrap(), device.local_addr().unwrap());
        tokio::spawn(async move {
            let mut bytes = [0; 64];
            while let Ok((length, from)) = router.recv_from(&mut bytes).await {
                // This one speaks NAT-PMP only.
                let answer: &[u8] = match &bytes[..length] {
                    [0, 0] => &[0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7],
                    _ => &[0, 128, 0, 1, 0, 0, 0, 9],
                };
                router.send_to(answer, from).await.unwrap();
            }
        });
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            let (length, from) = device.recv_from(&mut bytes).await.unwrap();
            assert!(bytes[..length].starts_with(b"M-SEARCH"));
            let answer = "HTTP/1.1 200 OK\r\nST: x:InternetGatewayDevice:1\r\n\r\n";
            device.send_to(answer.as_bytes(), from).await.unwrap();
        });
        let found = ask(at, ssdp).await;
        assert_eq!(found, Router { nat_pmp: true, pcp: false, upnp: true });
        assert!(found.sentence().ends_with("NAT-PMP, UPnP"));
        assert!(Router::default().sentence().contains("by hand"));
    }
}
