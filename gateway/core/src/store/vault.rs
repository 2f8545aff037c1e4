//! The encryption of passwords on the disk, with XChaCha20-Poly1305.
//!
//! The key is a file of its own. Each ciphertext is bound to the gateway, the camera and its
//! addresses, so that nobody who can write to the file of cameras has a password sent elsewhere.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use porthole_signaling_proto::manage::Login;
use porthole_signaling_proto::{CameraId, GatewayId};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

use super::Place;
use crate::rtsp::Credentials;

/// Length of a nonce in bytes: long enough to be chosen at random.
const NONCE_LEN: usize = 24;

/// Encrypts and decrypts the passwords of one gateway. `Debug` does not show the key.
pub struct Vault {
    gateway: GatewayId,
    cipher: XChaCha20Poly1305,
    rng: StdRng,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Vault {
    /// Creates the vault of a gateway. `seed` must come from the operating system.
    #[must_use]
    pub fn new(gateway: GatewayId, key: &[u8; 32], seed: [u8; 32]) -> Self {
        let cipher = XChaCha20Poly1305::new(&Key::from(*key));
        Self { gateway, cipher, rng: StdRng::from_seed(seed) }
    }

    /// Encrypts user and password for a camera at a place; the text is base64url without padding.
    pub(super) fn seal(&mut self, camera: &CameraId, place: &Place, login: &Credentials) -> String {
        let nonce: [u8; NONCE_LEN] = self.rng.random();
        let (user, password) = (login.user.clone(), login.password.clone());
        let plain = Zeroizing::new(Login { user, password }.to_json());
        let aad = self.binding(camera, place);
        let payload = Payload { msg: &plain, aad: &aad };
        // Fails for plaintexts of gigabytes only; without a text, the password is typed again.
        let ciphertext = self.cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([&nonce[..], &ciphertext].concat())
    }

    /// Decrypts user and password of a camera at a place; `None` if they were encrypted for others.
    pub(super) fn open(&self, camera: &CameraId, place: &Place, text: &str) -> Option<Credentials> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let aad = self.binding(camera, place);
        let payload = Payload { msg: ciphertext, aad: &aad };
        let plain = Zeroizing::new(self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?);
        Login::from_json(&plain).map(Credentials::from)
    }

    /// Returns what a ciphertext is bound to.
    fn binding(&self, camera: &CameraId, place: &Place) -> Vec<u8> {
        let Self { gateway, .. } = self;
        let Place { main, sub, allows_text, .. } = place;
        let sub = sub.as_ref().map_or_else(|| "-".to_owned(), crate::rtsp::Address::url);
        let main = main.url();
        format!("porthole-camera-login-v1\n{gateway}\n{camera}\n{main}\n{sub}\n{allows_text}")
            .into_bytes()
    }
}
