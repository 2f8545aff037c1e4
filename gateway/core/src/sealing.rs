//! Passwords of cameras on their way from a browser: sealed to this gateway with HPKE (RFC 9180),
//! so that the signaling server between them cannot read them.
//!
//! A key pair lives in memory only and is replaced once a day. Each password has a nonce of its
//! own, and can be opened for the camera, the address and the way of sending it for which it was
//! sealed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem as _, X25519HkdfSha256};
use hpke::{Deserializable as _, HpkeError, OpModeR, Serializable as _, single_shot_open};
use porthole_signaling_proto::manage::{
    Login, MAX_PIECE_CHARS, MAX_PIECES, Sealed, file_info, seal_info,
};
use porthole_signaling_proto::{CameraId, GatewayId};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::rtsp::Credentials;

/// Maximum number of nonces that wait for a password. With more, the oldest one is forgotten.
const MAX_OPEN: usize = 64;

/// Time for which a nonce can be used: long enough to find and type a password.
const NONCE_TIME: Duration = Duration::from_secs(600);

/// Time for which a key is handed out.
const KEY_TIME: Duration = Duration::from_secs(24 * 3600);

/// Maximum length of the name of a user in characters.
const MAX_USER_CHARS: usize = 128;

/// Maximum length of a password in characters.
const MAX_PASSWORD_CHARS: usize = 256;

/// Maximum length of a ciphertext in base64: the longest user and password, in which JSON may write
/// each character with twelve bytes.
const MAX_CIPHERTEXT: usize = 8 * 1024;

/// Maximum length of the ciphertext of a file in base64: all pieces that may be sent.
const MAX_FILE_CIPHERTEXT: usize = MAX_PIECE_CHARS * MAX_PIECES as usize;

/// Maximum length of an encapsulated key in base64; it has 43 characters.
const MAX_ENC: usize = 64;

/// The key encapsulation of a sealed password.
type Kem = X25519HkdfSha256;

/// A key pair. `Debug` does not show the private key, which is overwritten when it is dropped.
struct KeyPair {
    private: <Kem as hpke::Kem>::PrivateKey,
    /// The public key in base64url.
    public: String,
    /// Time until which it is handed out.
    until: Instant,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A nonce that was handed out, with the key that goes with it.
#[derive(Debug)]
struct Nonce {
    text: String,
    until: Instant,
    key: Arc<KeyPair>,
}

/// A key and a nonce for one password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOut {
    /// The X25519 public key, in base64url without padding.
    pub sealing_key: String,
    /// The nonce for that password.
    pub nonce: String,
}

/// The use that a password was sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose<'a> {
    /// The camera whose address or password is changed, if one is.
    pub camera: Option<&'a CameraId>,
    /// The address of the device, letter by letter as it was typed.
    pub address: &'a str,
    /// True if the password may be sent to the device as readable text.
    pub allows_text: bool,
}

/// Reasons for not opening a sealed password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// The nonce is unknown, was used, or has expired.
    #[error("this password was used before or took too long: type it again")]
    Nonce,
    /// The password was sealed to another key, or for another use.
    #[error(
        "this password was sealed for another gateway, camera or address: load the page again, and \
         type the password again"
    )]
    Purpose,
    /// The sealed text is no user and password.
    #[error("the sealed text is no user and password: load the page again, and try again")]
    Content,
    /// User or password is too long.
    #[error(
        "a user has at most {MAX_USER_CHARS} characters, and a password {MAX_PASSWORD_CHARS}: \
         choose shorter ones in the camera"
    )]
    TooLong,
}

/// The keys and nonces of a gateway.
#[derive(Debug)]
pub struct Sealing {
    gateway: GatewayId,
    rng: StdRng,
    key: Arc<KeyPair>,
    /// The nonces that were handed out, the oldest first.
    nonces: VecDeque<Nonce>,
}

impl Sealing {
    /// Creates the keys of a gateway from a seed, which must come from the operating system.
    #[must_use]
    pub fn new(gateway: GatewayId, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let key = new_key(&mut rng, now);
        Self { gateway, rng, key, nonces: VecDeque::new() }
    }

    /// Hands out the key and a nonce for one password.
    pub fn hand_out(&mut self, now: Instant) -> HandedOut {
        if self.key.until <= now {
            self.key = new_key(&mut self.rng, now);
        }
        self.nonces.retain(|nonce| nonce.until > now);
        if self.nonces.len() >= MAX_OPEN {
            self.nonces.pop_front();
        }
        let text = URL_SAFE_NO_PAD.encode(self.rng.random::<[u8; 16]>());
        let (until, key) = (now + NONCE_TIME, Arc::clone(&self.key));
        self.nonces.push_back(Nonce { text: text.clone(), until, key });
        HandedOut { sealing_key: self.key.public.clone(), nonce: text }
    }

    /// Opens a sealed user and password. Its nonce cannot be used again, whatever the result is.
    ///
    /// # Errors
    /// With the reason if it was not sealed for this use, or was opened before.
    pub fn open(
        &mut self,
        now: Instant,
        sealed: &Sealed,
        purpose: Purpose<'_>,
    ) -> Result<Credentials, SealError> {
        let Purpose { camera, address, allows_text } = purpose;
        let info = seal_info(&self.gateway, &sealed.nonce, camera, address, allows_text);
        let plaintext = self.open_for(now, sealed, &info, MAX_CIPHERTEXT)?;
        let login = Login::from_json(&plaintext).ok_or(SealError::Content)?;
        let credentials = Credentials::from(login);
        let is_short = credentials.user.chars().count() <= MAX_USER_CHARS
            && credentials.password.chars().count() <= MAX_PASSWORD_CHARS;
        if is_short { Ok(credentials) } else { Err(SealError::TooLong) }
    }

    /// Opens a sealed file. Its nonce cannot be used again, whatever the result is.
    ///
    /// # Errors
    /// With the reason if it was not sealed as a file, or was opened before.
    pub fn open_file(
        &mut self,
        now: Instant,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let info = file_info(&self.gateway, &sealed.nonce);
        self.open_for(now, sealed, &info, MAX_FILE_CIPHERTEXT)
    }

    fn open_for(
        &mut self,
        now: Instant,
        sealed: &Sealed,
        info: &[u8],
        max_ciphertext: usize,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let known = self.nonces.iter().position(|nonce| nonce.text == sealed.nonce);
        let nonce = known.and_then(|index| self.nonces.remove(index)).ok_or(SealError::Nonce)?;
        if nonce.until <= now {
            return Err(SealError::Nonce);
        }
        if sealed.enc.len() > MAX_ENC || sealed.ciphertext.len() > max_ciphertext {
            return Err(SealError::TooLong);
        }
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Content);
        let (enc, ciphertext) = (decode(&sealed.enc)?, decode(&sealed.ciphertext)?);
        let plaintext = open(&nonce.key.private, &enc, info, b"", &ciphertext);
        plaintext.map(Zeroizing::new).map_err(|_| SealError::Purpose)
    }
}

fn new_key(rng: &mut StdRng, now: Instant) -> Arc<KeyPair> {
    let seed = Zeroizing::new(rng.random::<[u8; 32]>());
    let (private, public) = Kem::derive_keypair(seed.as_slice());
    let public = URL_SAFE_NO_PAD.encode(public.to_bytes());
    Arc::new(KeyPair { private, public, until: now + KEY_TIME })
}

/// Opens a message of HPKE in base mode (RFC 9180 §6.1).
fn open(
    private: &<Kem as hpke::Kem>::PrivateKey,
    enc: &[u8],
    info: &[u8],
    additional: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, HpkeError> {
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(enc)?;
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        private,
        &enc,
        info,
        ciphertext,
        additional,
    )
}

#[cfg(test)]
mod tests;
