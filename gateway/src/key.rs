//! The gateway's key: its identity, generated on its first start and kept in its data folder.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use porthole_signaling_proto::{GatewayId, identity};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::atomic_file::write_atomically;

/// Name of the key file in the data folder.
const FILE: &str = "gateway.key";

/// Reason for which the gateway has no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file cannot be read or written.
    #[error("cannot {verb} {}: {source}; check that the folder exists, is yours and has room",
            path.display())]
    File {
        /// The operation that failed: `read` or `write`.
        verb: &'static str,
        /// The path of the key file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file contains something other than a key.
    #[error("{} is not a gateway key; move it away to start with a new identity", .0.display())]
    Damaged(PathBuf),
}

/// The Ed25519 key of this gateway.
pub(crate) struct Key(SigningKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.id()).finish()
    }
}

impl Key {
    /// Reads the key from the data folder, or generates one if there is no file yet.
    pub(crate) fn load_or_create(data: &Path) -> Result<Self, KeyError> {
        let path = data.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).ok_or(KeyError::Damaged(path)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create(data, path),
            Err(source) => Err(KeyError::File { verb: "read", path, source }),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.trim()).ok()?);
        let seed: &[u8; 32] = bytes.as_slice().try_into().ok()?;
        Some(Self(SigningKey::from_bytes(seed)))
    }

    fn create(data: &Path, path: PathBuf) -> Result<Self, KeyError> {
        let key = SigningKey::from_bytes(&rand::random());
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(key.as_bytes()));
        let written = std::fs::create_dir_all(data)
            .and_then(|()| write_atomically(data, FILE, text.as_bytes()));
        written.map_err(|source| KeyError::File { verb: "write", path, source })?;
        Ok(Self(key))
    }

    pub(crate) fn id(&self) -> GatewayId {
        identity::gateway_id(self.0.verifying_key().as_bytes())
    }

    /// Returns the public key, base64url without padding.
    pub(crate) fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes())
    }

    /// Returns a secret for a purpose, the same after every start. It reveals nothing of the key.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let digest = Sha256::new()
            .chain_update(b"porthole secret for ")
            .chain_update(purpose)
            .chain_update([0])
            .chain_update(self.0.as_bytes());
        digest.finalize().into()
    }

    /// Signs a message; the signature is base64url without padding.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.0.sign(message).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_that_of_one_key_and_one_purpose() {
        let [key, other] = [1, 2].map(|byte| Key(SigningKey::from_bytes(&[byte; 32])));
        assert_eq!(key.derive("a"), key.derive("a"));
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_ne!(key.derive("a"), other.derive("a"));
    }
}
