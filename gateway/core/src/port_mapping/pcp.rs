//! Messages of PCP, the Port Control Protocol (RFC 6887): MAP and ANNOUNCE.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::common::REFUSES;

/// The version of PCP; NAT-PMP has version 0 on the same port.
pub(super) const VERSION: u8 = 2;

/// Longest message (RFC 6887 §7).
const MAX_LEN: usize = 1100;

/// The number of UDP in the protocol field.
const UDP: u8 = 17;

/// The bit that tells responses from requests.
const RESPONSE: u8 = 0x80;

const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;

/// The result of a request that has succeeded.
pub(super) const SUCCESS: u8 = 0;

/// The result of a request in a version that the router does not speak.
pub(super) const UNSUPPORTED_VERSION: u8 = 1;

/// A secret number that shows a mapping to be ours.
pub(super) type Nonce = [u8; 12];

/// A response of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    /// The result code; 0 is success.
    pub(super) result: u8,
    /// Seconds for which the mapping exists, or for which the error stays the same.
    pub(super) lifetime: u32,
    /// Seconds since the router has begun to keep its mappings.
    pub(super) epoch: u32,
    pub(super) body: Body,
}

/// The part of a response that depends on its opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// The router tells its epoch, unasked or asked.
    Announce,
    /// The answer to a MAP request; without a mapping if it is an error that is cut short.
    Map(Option<Mapped>),
}

/// The mapping in a response to MAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) nonce: Nonce,
    pub(super) internal_port: u16,
    pub(super) external: SocketAddr,
}

/// Writes a request to map a UDP port for this many seconds; 0 gives the mapping back.
pub(super) fn map(
    nonce: &Nonce,
    client: Ipv4Addr,
    internal_port: u16,
    suggested: SocketAddr,
    lifetime: u32,
) -> Vec<u8> {
    let mut bytes = vec![VERSION, MAP, 0, 0];
    bytes.extend(lifetime.to_be_bytes());
    bytes.extend(client.to_ipv6_mapped().octets());
    bytes.extend(nonce);
    bytes.extend([UDP, 0, 0, 0]);
    bytes.extend(internal_port.to_be_bytes());
    bytes.extend(suggested.port().to_be_bytes());
    bytes.extend(mapped_form(suggested.ip()).octets());
    bytes
}

/// Reads a response; `None` for anything else.
pub(super) fn read(bytes: &[u8]) -> Option<Response> {
    if bytes.len() > MAX_LEN || bytes.len() < 24 || bytes.first() != Some(&VERSION) {
        return None;
    }
    let opcode = *bytes.get(1)?;
    if opcode & RESPONSE == 0 {
        return None;
    }
    let body = match opcode & !RESPONSE {
        ANNOUNCE => Body::Announce,
        MAP => Body::Map(read_mapped(bytes.get(24..)?)),
        _ => return None,
    };
    Some(Response {
        result: *bytes.get(3)?,
        lifetime: u32::from_be_bytes(array(bytes, 4)?),
        epoch: u32::from_be_bytes(array(bytes, 8)?),
        body,
    })
}

fn read_mapped(bytes: &[u8]) -> Option<Mapped> {
    if *bytes.get(12)? != UDP {
        return None;
    }
    let external_port = u16::from_be_bytes(array(bytes, 18)?);
    let external = IpAddr::V6(Ipv6Addr::from(array::<16>(bytes, 20)?)).to_canonical();
    Some(Mapped {
        nonce: array(bytes, 0)?,
        internal_port: u16::from_be_bytes(array(bytes, 16)?),
        external: SocketAddr::new(external, external_port),
    })
}

/// Returns the bytes from `at` on as an array.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn mapped_form(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Describes a result code (RFC 6887 §7.4).
pub(super) const fn describe(result: u8) -> &'static str {
    match result {
        2 => "it does not allow this machine to map ports",
        7 => "its own network is down",
        8 | 10 => "it has no room for another mapping",
        11 => "the port is taken",
        12 => "another router stands between it and this machine",
        _ => REFUSES,
    }
}

/// Returns true for a result with a short lifetime (RFC 6887 §7.4): it says nothing about a mapping
/// that exists.
pub(super) const fn is_transient(result: u8) -> bool {
    matches!(result, 7 | 8 | 10 | 11)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = [7; 12];

    /// Writes the response of a router to MAP.
    fn response(result: u8, epoch: u32) -> Vec<u8> {
        let mut bytes = vec![VERSION, RESPONSE | MAP, 0, result, 0, 0, 14, 16];
        bytes.extend(epoch.to_be_bytes());
        bytes.extend([0; 12]);
        bytes.extend(NONCE);
        bytes.extend([UDP, 0, 0, 0, 0x10, 0x01, 0x20, 0x02]);
        bytes.extend(Ipv4Addr::new(198, 51, 100, 7).to_ipv6_mapped().octets());
        bytes
    }

    #[test]
    fn a_request_is_as_the_rfc_draws_it() {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0x1001));
        let bytes = map(&NONCE, Ipv4Addr::new(192, 168, 1, 2), 0x1001, any, 3600);
        assert_eq!(bytes.len(), 60);
        assert_eq!(bytes[..8], [2, 1, 0, 0, 0, 0, 14, 16]);
        assert_eq!(bytes[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 168, 1, 2]);
        assert_eq!(bytes[24..36], NONCE);
        assert_eq!(bytes[36..44], [17, 0, 0, 0, 0x10, 1, 0x10, 1]);
        assert_eq!(bytes[44..60], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0]);
    }

    #[test]
    fn a_response_is_read_and_anything_else_is_not() {
        let external = "198.51.100.7:8194".parse().unwrap();
        let mapped = Mapped { nonce: NONCE, internal_port: 0x1001, external };
        let full = Response { result: 0, lifetime: 3600, epoch: 9, body: Body::Map(Some(mapped)) };
        let refused = Response { result: 2, body: Body::Map(None), ..full };
        let announced = Response { lifetime: 0, body: Body::Announce, ..full };
        let mut request = response(0, 9);
        request[1] = MAP;
        let mut nat_pmp = response(0, 9);
        nat_pmp[0] = 0;
        let mut other = response(0, 9);
        other[36] = 6;
        let mut announce = vec![2, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        announce.extend([0; 12]);
        for (name, bytes, expected) in [
            ("a mapping", response(0, 9), Some(full)),
            ("an error without its request", response(2, 9)[..24].to_vec(), Some(refused)),
            ("the epoch", announce, Some(announced)),
            ("a request", request, None),
            ("NAT-PMP", nat_pmp, None),
            ("TCP", other, Some(Response { body: Body::Map(None), ..full })),
            ("too short", response(0, 9)[..23].to_vec(), None),
            ("too long", [response(0, 9), vec![0; MAX_LEN]].concat(), None),
            ("nothing", Vec::new(), None),
        ] {
            assert_eq!(read(&bytes), expected, "{name}");
        }
    }
}
