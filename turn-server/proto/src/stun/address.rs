//! Addresses inside attributes, with and without XOR (RFC 8489 §14.1, §14.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{MAGIC_COOKIE, TransactionId};

const FAMILY_V4: u8 = 0x01;
const FAMILY_V6: u8 = 0x02;
/// Bytes before the IP address: a zero byte, the family and the port.
const PREFIX_LEN: usize = 4;
const MAX_LEN: usize = PREFIX_LEN + 16;

/// An address attribute of a wrong length or an unknown family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed address")]
pub struct BadAddress;

/// Returns the value of an XOR address attribute, as bytes and how many of them are used.
pub fn encode_xor_address(addr: SocketAddr, id: TransactionId) -> ([u8; MAX_LEN], usize) {
    encode(addr, mask(id))
}

/// Returns the value of an address attribute without XOR, as [`encode_xor_address`] does.
pub(super) fn encode_address(addr: SocketAddr) -> ([u8; MAX_LEN], usize) {
    encode(addr, [0; 16])
}

fn encode(addr: SocketAddr, mask: [u8; 16]) -> ([u8; MAX_LEN], usize) {
    let mut out = [0; MAX_LEN];
    let [cookie_high, cookie_low, ..] = mask;
    let [port_high, port_low] = addr.port().to_be_bytes();
    let (family, octets, len) = match addr.ip() {
        IpAddr::V4(ip) => (FAMILY_V4, widen(ip), PREFIX_LEN + 4),
        IpAddr::V6(ip) => (FAMILY_V6, ip.octets(), PREFIX_LEN + 16),
    };
    out[..PREFIX_LEN].copy_from_slice(&[0, family, port_high ^ cookie_high, port_low ^ cookie_low]);
    for ((to, octet), mask) in out[PREFIX_LEN..len].iter_mut().zip(octets).zip(mask) {
        *to = octet ^ mask;
    }
    (out, len)
}

/// Reads the value of an XOR address attribute.
pub fn decode_xor_address(value: &[u8], id: TransactionId) -> Result<SocketAddr, BadAddress> {
    decode(value, mask(id))
}

/// Reads the value of an address attribute without XOR (MAPPED-ADDRESS, ALTERNATE-SERVER).
pub(crate) fn decode_address(value: &[u8]) -> Result<SocketAddr, BadAddress> {
    decode(value, [0; 16])
}

fn decode(value: &[u8], mask: [u8; 16]) -> Result<SocketAddr, BadAddress> {
    let (&[_, family, port_high, port_low], octets) =
        value.split_first_chunk::<PREFIX_LEN>().ok_or(BadAddress)?;
    let port = u16::from_be_bytes([port_high ^ mask[0], port_low ^ mask[1]]);
    let mut unmasked = [0_u8; 16];
    for ((to, octet), mask) in unmasked.iter_mut().zip(octets).zip(mask) {
        *to = octet ^ mask;
    }
    let ip = match (family, octets.len()) {
        (FAMILY_V4, 4) => {
            let [a, b, c, d, ..] = unmasked;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        (FAMILY_V6, 16) => IpAddr::V6(Ipv6Addr::from(unmasked)),
        _ => return Err(BadAddress),
    };
    Ok(SocketAddr::new(ip, port))
}

fn mask(id: TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&id.0);
    mask
}

fn widen(ip: Ipv4Addr) -> [u8; 16] {
    let [a, b, c, d] = ip.octets();
    let mut wide = [0; 16];
    wide[..4].copy_from_slice(&[a, b, c, d]);
    wide
}
