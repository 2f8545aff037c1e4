//! Access tokens of a third party (RFC 7635): whoever has one needs no account here.

use std::collections::HashMap;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::stun::{Integrity, LongTermKey};

/// The clocks of the third party and ours may differ by so much (RFC 7635 §4.1.1).
const CLOCK_SKEW_S: u64 = 5;
/// A token is some 60 bytes long; more is not looked at.
const MAX_TOKEN: usize = 512;
/// Timestamps count 1/65536 s (RFC 7635 §6.2).
const TIMESTAMP_FRACTION_BITS: u32 = 16;

/// A key that we share with the third party, and its name.
#[derive(Clone, PartialEq, Eq)]
pub struct OauthKey {
    /// What clients give as USERNAME (RFC 7635 §5).
    pub kid: String,
    /// 16 bytes for A128GCM, 32 for A256GCM.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for OauthKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OauthKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// What a token grants.
#[derive(Debug)]
pub(super) struct Granted {
    /// The session key, as the integrity's key.
    pub(super) key: LongTermKey,
    /// Seconds since 1970.
    pub(super) until_s: u64,
    /// Which token under its key: the nonce it is sealed with comes once.
    pub(super) token_id: [u8; NONCE_LEN],
}

/// Opens tokens.
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
    /// Keys of another length are left out: whoever configures them is told before.
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

    /// What the token under this key grants now. `server_name` is the one of the challenge: a
    /// token is for one server (RFC 7635 §6.2).
    pub(super) fn open(
        &self,
        kid: &str,
        server_name: &str,
        token: &[u8],
        integrity: Integrity,
        unix_s: u64,
    ) -> Option<Granted> {
        let key = self.keys.get(kid)?;
        if token.len() > MAX_TOKEN {
            return None;
        }
        // Before anything is decrypted: the nonce has one length (CVE-2026-43994).
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
        valid.then_some(Granted { key, until_s, token_id })
    }
}

/// Bytes behind their 16-bit length, and what follows.
fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}
