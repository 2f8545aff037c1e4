//! Messages of NAT-PMP (RFC 6886), the older sibling of PCP on the same port.

use std::net::Ipv4Addr;

use super::common::REFUSES;
use super::pcp::array;

/// The version of NAT-PMP.
pub(super) const VERSION: u8 = 0;

const ADDRESS: u8 = 0;
const MAP_UDP: u8 = 1;
const RESPONSE: u8 = 0x80;

/// The result of a request that has succeeded.
pub(super) const SUCCESS: u16 = 0;

/// The result of a request in a version that the router does not speak, such as PCP's.
pub(super) const UNSUPPORTED_VERSION: u16 = 1;

/// A response of a router, or the announcement of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    /// The result code; 0 is success.
    pub(super) result: u16,
    /// Seconds since the router has begun to keep its mappings.
    pub(super) epoch: u32,
    /// The content, if the request has succeeded.
    pub(super) body: Body,
}

/// The part of a response that depends on its opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// The external address of the router.
    Address(Option<Ipv4Addr>),
    /// The answer to a request to map a UDP port.
    Map(Option<Mapped>),
    /// The answer to a request of another protocol.
    Other,
}

impl Body {
    /// Returns true for the answer to a request that gives the mapping of this port back.
    pub(super) fn is_given_back(self, port: u16) -> bool {
        matches!(self, Self::Map(Some(it)) if it.lifetime == 0 && it.internal_port == port)
    }

    /// Returns true for the answer to a request that has mapped this port.
    pub(super) fn maps(self, port: u16) -> bool {
        matches!(self, Self::Map(Some(it)) if it.lifetime != 0 && it.internal_port == port)
    }
}

/// The mapping in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) internal_port: u16,
    pub(super) external_port: u16,
    /// Seconds for which the mapping exists.
    pub(super) lifetime: u32,
}

/// Writes a request for the external address.
pub(super) fn address() -> Vec<u8> {
    vec![VERSION, ADDRESS]
}

/// Writes a request to map a UDP port for this many seconds; 0 gives the mapping back.
pub(super) fn map(internal_port: u16, suggested_port: u16, lifetime: u32) -> Vec<u8> {
    let mut bytes = vec![VERSION, MAP_UDP, 0, 0];
    bytes.extend(internal_port.to_be_bytes());
    bytes.extend(suggested_port.to_be_bytes());
    bytes.extend(lifetime.to_be_bytes());
    bytes
}

/// Reads a response; `None` for anything else.
pub(super) fn read(bytes: &[u8]) -> Option<Response> {
    let opcode = *bytes.get(1)?;
    if bytes.first() != Some(&VERSION) || opcode & RESPONSE == 0 {
        return None;
    }
    let result = u16::from_be_bytes(array(bytes, 2)?);
    // Short errors of old routers have no epoch.
    let epoch = array(bytes, 4).map_or(0, u32::from_be_bytes);
    let body = match opcode & !RESPONSE {
        ADDRESS => Body::Address(array::<4>(bytes, 8).map(Ipv4Addr::from)),
        MAP_UDP => Body::Map(read_mapped(bytes)),
        _ => Body::Other,
    };
    if result == SUCCESS && matches!(body, Body::Address(None) | Body::Map(None)) {
        return None;
    }
    Some(Response { result, epoch, body })
}

fn read_mapped(bytes: &[u8]) -> Option<Mapped> {
    Some(Mapped {
        internal_port: u16::from_be_bytes(array(bytes, 8)?),
        external_port: u16::from_be_bytes(array(bytes, 10)?),
        lifetime: u32::from_be_bytes(array(bytes, 12)?),
    })
}

/// Describes a result code (RFC 6886 §3.5).
pub(super) const fn describe(result: u16) -> &'static str {
    match result {
        2 => "it does not allow this machine to map ports",
        3 => "its own network is down",
        4 => "it has no room for another mapping",
        _ => REFUSES,
    }
}

/// Returns true for a result that says nothing about a mapping that exists.
pub(super) const fn is_transient(result: u16) -> bool {
    matches!(result, 3 | 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_rfc_draws_them() {
        assert_eq!(address(), [0, 0]);
        assert_eq!(map(0x1001, 0x2002, 3600), [0, 1, 0, 0, 0x10, 1, 0x20, 2, 0, 0, 14, 16]);
        let mapped = Mapped { internal_port: 0x1001, external_port: 0x2002, lifetime: 3600 };
        let response = |result, body| Some(Response { result, epoch: 9, body });
        for (name, bytes, expected) in [
            (
                "an address",
                &[0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7][..],
                response(0, Body::Address(Some(Ipv4Addr::new(203, 0, 113, 7)))),
            ),
            (
                "a mapping",
                &[0, 129, 0, 0, 0, 0, 0, 9, 0x10, 1, 0x20, 2, 0, 0, 14, 16],
                response(0, Body::Map(Some(mapped))),
            ),
            ("an error", &[0, 129, 0, 2, 0, 0, 0, 9], response(2, Body::Map(None))),
            (
                "an error without anything",
                &[0, 128, 0, 1],
                Some(Response { result: 1, epoch: 0, body: Body::Address(None) }),
            ),
            ("success that is cut", &[0, 129, 0, 0, 0, 0, 0, 9, 0x10, 1], None),
            ("a request", &[0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0], None),
            ("PCP", &[2, 129, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0], None),
            ("nothing", &[], None),
        ] {
            assert_eq!(read(bytes), expected, "{name}");
        }
    }
}
