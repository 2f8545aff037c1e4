//! The browser's side of a sealed password.

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _, single_shot_seal};

/// Seals a text to a key with HPKE in base mode; all are in base64url without padding. Returns the
/// encapsulated key and the ciphertext.
///
/// # Errors
/// If the key is none.
pub fn seal(key: &str, info: &[u8], plaintext: &[u8]) -> Result<(String, String)> {
    let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&URL_SAFE_NO_PAD.decode(key)?)
        .map_err(|error| anyhow!("this is not a key: {error}"))?;
    let (enc, ciphertext) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &key,
        info,
        plaintext,
        b"",
    )
    .map_err(|error| anyhow!("the text cannot be sealed: {error}"))?;
    Ok((URL_SAFE_NO_PAD.encode(enc.to_bytes()), URL_SAFE_NO_PAD.encode(ciphertext)))
}
