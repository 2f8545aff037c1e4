//! MESSAGE-INTEGRITY and FINGERPRINT over a message in place (RFC 8489 §14.5, §14.7).

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;

use super::HEADER_LEN;

/// Bytes of an HMAC-SHA1.
pub const INTEGRITY_LEN: usize = 20;
/// The CRC is mixed with this, so that it is no checksum of another layer.
const FINGERPRINT_XOR: u32 = 0x5354_554E;
/// Type and length before a value.
const ATTRIBUTE_HEADER: usize = 4;

/// The key of a long-term credential; as secret as the password.
#[derive(Clone, PartialEq, Eq)]
pub struct LongTermKey([u8; 16]);

impl LongTermKey {
    /// The key as HMAC takes it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LongTermKey(…)")
    }
}

/// The key of a short-term credential: the password itself (RFC 8489 §9.1.1).
#[derive(Clone, PartialEq, Eq)]
pub struct ShortTermKey(Box<[u8]>);

impl ShortTermKey {
    /// `password` is taken as it is; ICE passwords are ASCII (RFC 8839 §5.4).
    pub fn new(password: &str) -> Self {
        Self(password.as_bytes().into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for ShortTermKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShortTermKey(…)")
    }
}

/// MD5 of `username:realm:password` (RFC 8489 §9.2.2).
pub fn long_term_key(username: &str, realm: &str, password: &str) -> LongTermKey {
    let mut md5 = Md5::new();
    md5.update(username);
    md5.update(b":");
    md5.update(realm);
    md5.update(b":");
    md5.update(password);
    LongTermKey(md5.finalize().into())
}

/// `head` is the message up to the attribute. The length in its header is replaced by what it
/// was when the attribute was the last one.
pub(super) fn message_integrity(head: &[u8], key: &[u8]) -> [u8; INTEGRITY_LEN] {
    mac(head, key).finalize().into_bytes().into()
}

/// In constant time.
pub(super) fn integrity_matches(head: &[u8], key: &[u8], tag: &[u8]) -> bool {
    mac(head, key).verify_slice(tag).is_ok()
}

/// As [`message_integrity`], for FINGERPRINT.
pub(super) fn fingerprint(head: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in [kind(head), &length_with(head, 4), after_length(head)] {
        crc.update(part);
    }
    crc.finalize() ^ FINGERPRINT_XOR
}

fn mac(head: &[u8], key: &[u8]) -> Hmac<Sha1> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in [kind(head), &length_with(head, INTEGRITY_LEN), after_length(head)] {
        mac.update(part);
    }
    mac
}

fn kind(head: &[u8]) -> &[u8] {
    head.get(..2).unwrap_or_default()
}

fn length_with(head: &[u8], value_len: usize) -> [u8; 2] {
    let length = (head.len() + ATTRIBUTE_HEADER + value_len).saturating_sub(HEADER_LEN);
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn after_length(head: &[u8]) -> &[u8] {
    head.get(4..).unwrap_or_default()
}
