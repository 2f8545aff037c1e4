//! Public keys of others, and signatures by them: of passkeys (COSE, RFC 9052), and of providers of
//! OpenID Connect (JOSE, RFC 7518).

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

/// Length of a coordinate of P-256, and of a key of Ed25519.
pub(crate) const COORDINATE: usize = 32;
/// The longest modulus of RSA, in bytes, that can be verified with.
pub(crate) const MAX_MODULUS: usize = 1024;
/// The longest public exponent of RSA, in bytes.
pub(crate) const MAX_EXPONENT: usize = 8;
/// The first byte of a point of a curve with both coordinates (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A public key of one of the algorithms that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// ECDSA on P-256 with SHA-256 (ES256): both coordinates, as SEC 1 writes a point.
    P256(Vec<u8>),
    /// The 32 bytes of a key of Ed25519 (EdDSA).
    Ed25519(Vec<u8>),
    /// RSA with PKCS #1 v1.5 and SHA-256 (RS256).
    Rsa {
        /// The modulus, without zeros in front.
        n: Vec<u8>,
        /// The public exponent, without zeros in front.
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// Returns the key of P-256 with these coordinates.
    pub(crate) fn p256(x: &[u8], y: &[u8]) -> Option<Self> {
        let fits = x.len() == COORDINATE && y.len() == COORDINATE;
        fits.then(|| Self::P256([&[UNCOMPRESSED], x, y].concat()))
    }

    /// Returns the key of Ed25519 with these bytes.
    pub(crate) fn ed25519(x: &[u8]) -> Option<Self> {
        (x.len() == COORDINATE).then(|| Self::Ed25519(x.to_vec()))
    }

    /// Returns the key of RSA with this modulus and exponent.
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        // Zeros in front are not part of either number.
        let number = |bytes: &[u8], max: usize| {
            let start = bytes.iter().position(|byte| *byte != 0)?;
            bytes.get(start..).filter(|bytes| bytes.len() <= max).map(<[u8]>::to_vec)
        };
        Some(Self::Rsa { n: number(n, MAX_MODULUS)?, e: number(e, MAX_EXPONENT)? })
    }

    /// Returns true if the signature of a passkey is right: one of ECDSA is written in ASN.1.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifies_as(&ECDSA_P256_SHA256_ASN1, message, signature)
    }

    /// Returns true if the signature of a token is right: one of ECDSA is two numbers.
    pub(crate) fn verifies_token(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifies_as(&ECDSA_P256_SHA256_FIXED, message, signature)
    }

    fn verifies_as(
        &self,
        ecdsa: &'static EcdsaVerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let result = match self {
            Self::P256(point) => UnparsedPublicKey::new(ecdsa, point).verify(message, signature),
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rsa { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        result.is_ok()
    }
}
