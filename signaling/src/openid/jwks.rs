//! Keys of the provider (RFC 7517) and signatures by them (RFC 7515, RFC 7518).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::Flaw;
use crate::public_key::PublicKey;

/// The most keys of a provider that are read.
const MAX_KEYS: usize = 64;

/// An algorithm of signatures that counts. None of them has a secret that the provider would share
/// with others, and all of them sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSA with PKCS #1 v1.5 and SHA-256, with at least 2048 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519 (RFC 8037).
    EdDsa,
}

impl Algorithm {
    pub(super) const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// Returns true if the algorithm has this name (RFC 7518 §3.1, RFC 8037, RFC 9864).
    pub(super) fn has_name(self, name: &str) -> bool {
        match self {
            Self::Rs256 => name == "RS256",
            Self::Es256 => name == "ES256",
            Self::EdDsa => name == "EdDSA" || name == "Ed25519",
        }
    }

    /// Returns the algorithm with a name, if it is one of these.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.has_name(name))
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A key with which the provider signs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: PublicKey,
}

/// The keys with which a provider signs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// Reads a JWK set. Keys for other purposes or of other algorithms are left out.
    pub(super) fn read(document: &[u8]) -> Result<Self, Flaw> {
        let set: Set = serde_json::from_slice(document).map_err(|_| Flaw::Malformed)?;
        let jwk = |value| serde_json::from_value::<Jwk>(value).ok();
        let keys = set.keys.into_iter().filter_map(jwk).filter_map(Key::read);
        Ok(Self(keys.take(MAX_KEYS).collect()))
    }

    /// Checks a signature by the key with this id; without an id, by the only one of the
    /// algorithm.
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Flaw> {
        let fits =
            |key: &&Key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id);
        let mut fitting = self.0.iter().filter(fits);
        let (Some(key), None) = (fitting.next(), fitting.next()) else {
            return Err(Flaw::UnknownKey);
        };
        if key.key.verifies_token(message, signature) { Ok(()) } else { Err(Flaw::Signature) }
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let (algorithm, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => (Algorithm::Rs256, PublicKey::rsa(&bytes(&jwk.n)?, &bytes(&jwk.e)?)),
            ("EC", Some("P-256")) => {
                (Algorithm::Es256, PublicKey::p256(&bytes(&jwk.x)?, &bytes(&jwk.y)?))
            }
            ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, PublicKey::ed25519(&bytes(&jwk.x)?)),
            _ => return None,
        };
        let signs = jwk.r#use.is_none_or(|purpose| purpose == "sig")
            && jwk.key_ops.is_none_or(|all| all.iter().any(|one| one == "verify"))
            && jwk.alg.is_none_or(|name| algorithm.has_name(&name));
        signs.then_some(Self { id: jwk.kid, algorithm, key: key? })
    }
}
