//! Requests of browsers to sign in that are under way. The browser keeps what the server has to
//! remember of one, in a cookie that is sealed with a key of the server; so nobody fills a table.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::secret;

/// Time in which somebody has to sign in at the provider.
pub(crate) const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The bytes that are sealed along, so that no other cookie is taken for one of these.
const KIND: &[u8] = b"porthole openid connect 1";
/// Length of each random value: 256 bits.
const RANDOM_BYTES: usize = 32;

/// The aim of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Sign in with an account that is known, or join if the rules allow it.
    SignIn,
    /// Accept the invitation with this token, under this name.
    Join { token: String, name: String },
    /// Link the account to the user, in the browser with this credential.
    Link { user: i64, credential: String },
}

/// A request that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flow {
    pub(crate) purpose: Purpose,
    /// The value that comes back with the answer (RFC 6749 §10.12).
    pub(super) state: String,
    /// The value that comes back in the ID token.
    pub(super) nonce: String,
    /// The value whose hash the provider knows (RFC 7636).
    pub(super) verifier: String,
    pub(super) begun_s: u64,
}

impl Flow {
    /// Begins a request.
    pub(super) fn begin(purpose: Purpose, now_s: u64) -> Self {
        let random = || URL_SAFE_NO_PAD.encode(secret::random::<RANDOM_BYTES>());
        let (state, nonce, verifier) = (random(), random(), random());
        Self { purpose, state, nonce, verifier, begun_s: now_s }
    }

    /// Returns the random value by which the request is known.
    pub(crate) fn state(&self) -> &str {
        &self.state
    }

    /// Returns the hash of the verifier (`S256`).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }
}

/// Seals requests, and opens them.
pub(super) struct Seal {
    key: LessSafeKey,
}

impl Seal {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has 32 bytes");
        Self { key: LessSafeKey::new(key) }
    }

    /// Returns the value of the cookie.
    pub(super) fn close(&self, flow: &Flow) -> String {
        let nonce: [u8; NONCE_LEN] = secret::random();
        let mut sealed = serde_json::to_vec(flow).expect("a request is JSON");
        let closed = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(KIND),
            &mut sealed,
        );
        closed.expect("a request is short");
        URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    /// Returns the request in a cookie, if it is of this server and not too old.
    pub(super) fn open(&self, cookie: &str, now_s: u64) -> Option<Flow> {
        let mut bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.key.open_in_place(nonce, Aad::from(KIND), sealed).ok()?;
        let flow: Flow = serde_json::from_slice(opened).ok()?;
        (now_s.saturating_sub(flow.begun_s) < LIFETIME.as_secs()).then_some(flow)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}
