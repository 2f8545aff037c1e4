//! Our certificate, and the fingerprints that announce certificates.

use std::fmt;
use std::sync::Arc;

use rtc_crypto::{HashAlgorithm, RTCCryptoProvider};
use rtc_dtls::crypto::Certificate;

use super::DtlsSrtpError;

/// The SHA-256 fingerprint of a DTLS certificate (RFC 8122 §5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// The DTLS certificate of a gateway or viewer and its private key, shared by all sessions.
#[derive(Clone)]
pub struct Identity {
    pub(super) certificate: Certificate,
    fingerprint: Fingerprint,
    pub(super) crypto: Arc<dyn RTCCryptoProvider>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Identity {
    /// Generates a self-signed ECDSA P-256 certificate.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Certificate`] if the platform provides no randomness or
    /// cryptography.
    pub fn generate() -> Result<Self, DtlsSrtpError> {
        let fail = |e: &dyn fmt::Display| DtlsSrtpError::Certificate(e.to_string());
        let crypto = rtc_crypto::default_provider().map_err(|e| fail(&e))?;
        let certificate =
            Certificate::generate_self_signed(vec!["porthole".to_owned()], crypto.crypto())
                .map_err(|e| fail(&e))?;
        let leaf = certificate.certificate.first().ok_or_else(|| fail(&"no certificate"))?;
        let fingerprint =
            sha256(crypto.as_ref(), leaf).ok_or_else(|| fail(&"SHA-256 is not available"))?;
        Ok(Self { certificate, fingerprint, crypto })
    }

    /// Returns the fingerprint that descriptions announce.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// Returns the fingerprint of a certificate in DER.
pub(super) fn sha256(crypto: &dyn RTCCryptoProvider, bytes: &[u8]) -> Option<Fingerprint> {
    let hash = crypto.crypto().hash(HashAlgorithm::Sha256, bytes).ok()?;
    Some(Fingerprint(<[u8; 32]>::try_from(hash.as_slice()).ok()?))
}
