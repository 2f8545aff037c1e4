//! Access tokens of a third party (RFC 7635), whose holders need no account here.

use std::collections::HashMap;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::stun::{Integrity, LongTermKey};

/// Seconds that the third party's clock and ours may differ by (RFC 7635 §4.1.1).
const CLOCK_SKEW_S: u64 = 5;
/// Bytes of the longest token that is decrypted; usual ones have some 60.
const MAX_TOKEN: usize = 512;
/// Bits of a timestamp for fractions of a second: it counts 1/65536 s (RFC 7635 §6.2).
const TIMESTAMP_FRACTION_BITS: u32 = 16;

/// A key shared with the third party, and its name.
#[derive(Clone, PartialEq, Eq)]
pub struct OauthKey {
    /// The id of the key, which clients send as USERNAME (RFC 7635 §5).
    pub kid: String,
    /// The key: 16 bytes for A128GCM, 32 for A256GCM.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for OauthKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OauthKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The contents of a valid token.
#[derive(Debug)]
pub(super) struct TokenContents {
    /// The session key, which signs the client's messages.
    pub(super) key: LongTermKey,
    /// End of the token's validity in seconds since 1970.
    pub(super) until_s: u64,
    /// The nonce that the token is sealed with, which is unique under its key.
    pub(super) token_id: [u8; NONCE_LEN],
}

/// The keys that open tokens.
#[derive(Default)]
pub(super) struct Tokens {
    keys: HashMap<String, LessSafeKey>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("keys", &self.keys.len()).finish()
    }
}

impl Tokens {
    /// Creates a set of keys. Leaves out keys of another length: the configuration has refused
    /// them before.
    pub(super) fn new(keys: &[OauthKey]) -> Self {
        let usable = |OauthKey { kid, key }: &OauthKey| {
            let algorithm = match key.len() {
                16 => &AES_128_GCM,
                32 => &AES_256_GCM,
                _ => return None,
            };
            Some((kid.clone(), LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?)))
        };
        Self { keys: keys.iter().filter_map(usable).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the contents of a token sealed with this key, if it is valid now. `server_name` is
    /// that of the challenge, because a token is issued for one server (RFC 7635 §6.2).
    pub(super) fn open(
        &self,
        kid: &str,
        server_name: &str,
        token: &[u8],
        integrity: Integrity,
        unix_s: u64,
    ) -> Option<TokenContents> {
        let key = self.keys.get(kid)?;
        if token.len() > MAX_TOKEN {
            return None;
        }
        // The length of the nonce is checked before anything is decrypted (CVE-2026-43994).
        let (nonce, sealed) = split_block(token)?;
        let token_id = <[u8; NONCE_LEN]>::try_from(nonce).ok()?;
        let nonce = Nonce::assume_unique_for_key(token_id);
        let mut sealed = sealed.to_vec();
        let block =
            key.open_in_place(nonce, Aad::from(server_name.as_bytes()), &mut sealed).ok()?;
        let (mac_key, rest) = split_block(block)?;
        let (timestamp, rest) = rest.split_first_chunk::<8>()?;
        let (lifetime, _) = rest.split_first_chunk::<4>()?;
        let from_s = u64::from_be_bytes(*timestamp) >> TIMESTAMP_FRACTION_BITS;
        let until_s = from_s.checked_add(u32::from_be_bytes(*lifetime).into())?;
        let valid =
            from_s <= unix_s + CLOCK_SKEW_S && unix_s < until_s.saturating_add(CLOCK_SKEW_S);
        let key = LongTermKey::from_bytes(mac_key, integrity).filter(|_| !mac_key.is_empty())?;
        valid.then_some(TokenContents { key, until_s, token_id })
    }
}

/// Splits off bytes that are preceded by their length in 16 bits. Returns them and the rest.
fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}
