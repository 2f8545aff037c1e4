//! The client's first message (RFC 6347 §4.2.1, RFC 5764 §4.1.1), read before the engine sees it.
//!
//! The engine's server takes the first SRTP profile of the *client* that both have. Browsers list
//! AES-CM first, although AES-GCM costs a fraction. So a [`HelloPeek`] reads which profiles the
//! ClientHello offers, and the engine is then configured with the best one alone.

use bytes::BytesMut;

use super::admission::{HANDSHAKE, Record, Records};

/// Maximum number of bytes that are held back until the ClientHello is whole. One with a key share
/// of a post-quantum group has about 2000.
pub const MAX_HELD_BYTES: usize = 16 * 1024;

/// Maximum number of handshake records that are held back; a ClientHello has one to three.
const MAX_HELD_RECORDS: usize = 32;

/// Type of a ClientHello among handshake messages.
const CLIENT_HELLO: u8 = 1;

/// Number of the extension `use_srtp`.
const USE_SRTP: u16 = 14;

/// Length of the protocol version and the random bytes.
const VERSION_AND_RANDOM: usize = 34;

/// An SRTP protection profile that we support, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SrtpProfile {
    /// `SRTP_AEAD_AES_128_GCM` (RFC 7714 §14.2).
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM` (RFC 7714 §14.2).
    AeadAes256Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80` (RFC 5764 §4.1.2), which every player supports.
    Aes128CmHmacSha1_80,
}

impl SrtpProfile {
    /// The profiles in order of preference. AES-GCM takes a third of the work of AES-CM with
    /// HMAC-SHA1; 256 bits take more rounds than 128.
    pub const PREFERRED: [Self; 3] =
        [Self::AeadAes128Gcm, Self::AeadAes256Gcm, Self::Aes128CmHmacSha1_80];

    /// Returns the name in IANA's registry, which is also that of `srtpCipher` in `getStats`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Self::Aes128CmHmacSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        match number {
            0x0001 => Some(Self::Aes128CmHmacSha1_80),
            0x0007 => Some(Self::AeadAes128Gcm),
            0x0008 => Some(Self::AeadAes256Gcm),
            _ => None,
        }
    }
}

/// A step of reading the ClientHello.
#[derive(Debug, PartialEq, Eq)]
pub enum Peeked {
    /// The ClientHello is not whole yet; its records are held back.
    Wait,
    /// The engine gets these records now.
    Done {
        /// All records that were held back, in the order of their arrival.
        records: BytesMut,
        /// The best profile that the client offers; `None`: it offers none that we support, or its
        /// message cannot be read, and the engine decides.
        profile: Option<SrtpProfile>,
    },
}

/// Holds the first records of a client back until its ClientHello is whole.
#[derive(Debug, Default)]
pub struct HelloPeek {
    held: BytesMut,
}

impl HelloPeek {
    /// Handles the records of a datagram. Those that belong to no unencrypted handshake message are
    /// dropped: before the ClientHello they mean nothing.
    pub fn handle_records(&mut self, datagram: &[u8]) -> Peeked {
        for record in handshake_records(datagram) {
            self.held.extend_from_slice(record.whole);
        }
        let count = Records(&self.held).count();
        let full = self.held.len() > MAX_HELD_BYTES || count > MAX_HELD_RECORDS;
        let hello = if full { None } else { assemble(&self.held) };
        if hello.is_none() && !full {
            return Peeked::Wait;
        }
        let profile = hello.and_then(|hello| best_profile(&hello));
        Peeked::Done { records: std::mem::take(&mut self.held), profile }
    }
}

fn handshake_records(datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    Records(datagram).filter(|record| record.kind == HANDSHAKE && record.epoch == 0)
}

/// A fragment of a handshake message (RFC 6347 §4.2.2).
struct Fragment<'a> {
    kind: u8,
    /// Length of the whole message.
    len: usize,
    sequence: u16,
    offset: usize,
    bytes: &'a [u8],
}

/// The fragments in a record; ends at the first malformed one.
struct Fragments<'a>(&'a [u8]);

impl<'a> Iterator for Fragments<'a> {
    type Item = Fragment<'a>;

    fn next(&mut self) -> Option<Fragment<'a>> {
        let mut reader = Reader(self.0);
        let [kind] = *reader.take(1)? else { return None };
        let len = reader.number(3)?;
        let sequence = reader.number_u16()?;
        let offset = reader.number(3)?;
        let bytes = reader.vector(3)?;
        self.0 = reader.0;
        Some(Fragment { kind, len, sequence, offset, bytes })
    }
}

/// Joins the fragments of the first message, in any order and overlapping, if it is a ClientHello
/// and nothing of it is missing.
fn assemble(records: &[u8]) -> Option<Vec<u8>> {
    let fragments = || {
        handshake_records(records)
            .flat_map(|record| Fragments(record.body))
            .filter(|fragment| fragment.kind == CLIENT_HELLO && fragment.sequence == 0)
    };
    let len = fragments().next()?.len;
    let mut hello = Vec::new();
    // Each turn but the last adds at least one byte of a record that has not been used before.
    for _ in 0..=MAX_HELD_RECORDS {
        let before = hello.len();
        for fragment in fragments().filter(|fragment| fragment.len == len) {
            let known = hello.len().checked_sub(fragment.offset);
            let new = known.and_then(|known| fragment.bytes.get(known..));
            hello.extend_from_slice(new.unwrap_or_default());
        }
        if hello.len() >= len {
            return (hello.len() == len).then_some(hello);
        }
        if hello.len() == before {
            break;
        }
    }
    None
}

/// Returns the best profile that a ClientHello offers (RFC 5764 §4.1.1).
fn best_profile(hello: &[u8]) -> Option<SrtpProfile> {
    let mut reader = Reader(hello);
    reader.take(VERSION_AND_RANDOM)?;
    // The session id, the cookie, the cipher suites and the compression methods.
    for width in [1, 1, 2, 1] {
        reader.vector(width)?;
    }
    let mut extensions = Reader(reader.vector(2)?);
    while let Some(number) = extensions.number_u16() {
        let body = extensions.vector(2)?;
        if number == USE_SRTP {
            let profiles = Reader(body).vector(2)?.chunks_exact(2);
            return profiles
                .filter_map(|bytes| SrtpProfile::from_number(Reader(bytes).number_u16()?))
                .min();
        }
    }
    None
}

/// Reads big-endian numbers, and vectors behind their lengths.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads a number of at most three bytes.
    fn number(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        Some(bytes.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    }

    fn number_u16(&mut self) -> Option<u16> {
        u16::try_from(self.number(2)?).ok()
    }

    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let len = self.number(width)?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests;
