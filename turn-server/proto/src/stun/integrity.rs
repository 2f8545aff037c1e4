//! MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT over a message in place
//! (RFC 8489 §14.5, §14.6, §14.7).

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use super::HEADER_LEN;

/// Bytes of an HMAC-SHA1.
pub const INTEGRITY_LEN: usize = 20;
/// Bytes of an HMAC-SHA256. STUN usages may allow truncated ones (RFC 8489 §14.6); TURN does not.
pub const INTEGRITY_SHA256_LEN: usize = 32;
/// Value that the CRC is XORed with, so that it differs from a checksum of another layer
/// (RFC 8489 §14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554E;
/// Bytes of type and length before a value.
const ATTRIBUTE_HEADER: usize = 4;

/// The integrity attribute of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY, an HMAC-SHA1.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256, an HMAC-SHA256.
    Sha256,
}

/// The algorithm that derives a long-term key from a password (RFC 8489 §18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasswordAlgorithm {
    /// MD5, the only one before RFC 8489.
    Md5,
    /// SHA-256 (RFC 8489 §18.5.1.2).
    Sha256,
}

impl PasswordAlgorithm {
    /// Returns the value of PASSWORD-ALGORITHM: the number, and no parameters.
    pub const fn encode(self) -> [u8; 4] {
        match self {
            Self::Md5 => [0, 1, 0, 0],
            Self::Sha256 => [0, 2, 0, 0],
        }
    }

    /// Reads the value of PASSWORD-ALGORITHM. Returns `None` for other algorithms, and if there
    /// are parameters, since neither has any.
    pub const fn decode(value: &[u8]) -> Option<Self> {
        match value {
            [0, 1, 0, 0] => Some(Self::Md5),
            [0, 2, 0, 0] => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// The key of a long-term credential, and the integrity that it is used for. It is as secret as
/// the password.
#[derive(Clone, PartialEq, Eq)]
pub struct LongTermKey {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
    integrity: Integrity,
}

impl LongTermKey {
    /// Bytes of the longest key, which SHA-256 makes.
    const MAX_LEN: usize = 32;

    /// Derives the key of a password (RFC 8489 §9.2.2), for messages with this integrity.
    pub fn new(
        algorithm: PasswordAlgorithm,
        [username, realm, password]: [&str; 3],
        integrity: Integrity,
    ) -> Self {
        let parts = [username.as_bytes(), b":", realm.as_bytes(), b":", password.as_bytes()];
        match algorithm {
            PasswordAlgorithm::Md5 => Self::from_at_most_32(&digest::<Md5>(&parts), integrity),
            PasswordAlgorithm::Sha256 => {
                Self::from_at_most_32(&digest::<Sha256>(&parts), integrity)
            }
        }
    }

    /// Uses `bytes` as the key, such as the session key in a third party's token (RFC 7635 §6.2).
    /// Returns `None` if they are more than 32.
    pub fn from_bytes(bytes: &[u8], integrity: Integrity) -> Option<Self> {
        (bytes.len() <= Self::MAX_LEN).then(|| Self::from_at_most_32(bytes, integrity))
    }

    fn from_at_most_32(key: &[u8], integrity: Integrity) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        let len = key.len().min(Self::MAX_LEN);
        bytes[..len].copy_from_slice(&key[..len]);
        Self { bytes, len: u8::try_from(len).unwrap_or(0), integrity }
    }

    /// Returns the key of the HMAC.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Returns the integrity attribute that the key is used for.
    pub const fn integrity(&self) -> Integrity {
        self.integrity
    }

    /// Returns the same key for another integrity attribute.
    #[must_use]
    pub fn with_integrity(&self, integrity: Integrity) -> Self {
        Self { integrity, ..self.clone() }
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
    /// Uses `password` as the key without preparation; ICE passwords are ASCII (RFC 8839 §5.4).
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

/// Returns the MD5 of `username:realm:password` for MESSAGE-INTEGRITY, the key that every client
/// of RFC 5389 uses.
pub fn long_term_key(username: &str, realm: &str, password: &str) -> LongTermKey {
    LongTermKey::new(PasswordAlgorithm::Md5, [username, realm, password], Integrity::Sha1)
}

/// Returns the value of USERHASH: the SHA-256 of `username:realm` (RFC 8489 §14.4).
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    digest::<Sha256>(&[username.as_bytes(), b":", realm.as_bytes()]).into()
}

fn digest<D: Digest>(parts: &[&[u8]]) -> md5::digest::Output<D> {
    let mut digest = D::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

/// Returns the value of MESSAGE-INTEGRITY for a message that is `head` so far. The length in its
/// header is replaced by that of a message which the attribute ends.
pub(super) fn sha1_tag(head: &[u8], key: &[u8]) -> [u8; INTEGRITY_LEN] {
    sha1_of(head, key).finalize().into_bytes().into()
}

/// Returns the value of MESSAGE-INTEGRITY-SHA256, as [`sha1_tag`] does.
pub(super) fn sha256_tag(head: &[u8], key: &[u8]) -> [u8; INTEGRITY_SHA256_LEN] {
    sha256_of(head, key).finalize().into_bytes().into()
}

/// Compares a tag with the right one in constant time. A tag of another length does not match.
pub(super) fn integrity_matches(head: &[u8], key: &[u8], integrity: Integrity, tag: &[u8]) -> bool {
    match integrity {
        Integrity::Sha1 => sha1_of(head, key).verify_slice(tag).is_ok(),
        Integrity::Sha256 => sha256_of(head, key).verify_slice(tag).is_ok(),
    }
}

/// Returns the value of FINGERPRINT, as [`sha1_tag`] does.
pub(super) fn fingerprint(head: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(kind(head));
    crc.update(&length_with(head, 4));
    crc.update(after_length(head));
    crc.finalize() ^ FINGERPRINT_XOR
}

fn sha1_of(head: &[u8], key: &[u8]) -> Hmac<Sha1> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(kind(head));
    mac.update(&length_with(head, INTEGRITY_LEN));
    mac.update(after_length(head));
    mac
}

fn sha256_of(head: &[u8], key: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(kind(head));
    mac.update(&length_with(head, INTEGRITY_SHA256_LEN));
    mac.update(after_length(head));
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
