//! Random secrets, and the hashes by which they are looked up.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRngCore as _, rngs::OsRng};
use sha2::{Digest, Sha256};

/// What an API token begins with, so that scanners of leaked secrets know it.
const TOKEN_PREFIX: &str = "ph_";
/// 256 bits.
const TOKEN_BYTES: usize = 32;
/// 128 bits, for what lives once.
const SETUP_BYTES: usize = 16;
/// 16 characters of 5 bits: 80 bits, and a person can read them out.
const CLAIM_CHARS: usize = 16;
/// RFC 4648 §6 without what looks alike: no I, L, O, U; Crockford's.
const CLAIM_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new API token.
pub(crate) fn new_token() -> String {
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>()))
}

/// A new browser session's cookie.
pub(crate) fn new_cookie() -> String {
    URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>())
}

/// A new token for the setup link.
pub(crate) fn new_setup_token() -> String {
    URL_SAFE_NO_PAD.encode(random::<SETUP_BYTES>())
}

/// A new claim code, in groups of four.
pub(crate) fn new_claim() -> String {
    let mut code = String::new();
    for (index, byte) in random::<CLAIM_CHARS>().into_iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            code.push('-');
        }
        code.push(char::from(CLAIM_ALPHABET[usize::from(byte % 32)]));
    }
    code
}

/// A claim code as it is looked up: however it was typed.
pub(crate) fn plain_claim(code: &str) -> String {
    let letters = code.chars().filter(char::is_ascii_alphanumeric);
    letters
        .map(|letter| match letter.to_ascii_uppercase() {
            'I' | 'L' => '1',
            'O' => '0',
            other => other,
        })
        .collect()
}

/// What of a random secret is kept.
pub(crate) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Random bytes.
///
/// # Panics
/// When the operating system has no randomness: nothing can be done safely then.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_code_is_found_however_it_is_typed() {
        let code = new_claim();
        assert_eq!(code.len(), CLAIM_CHARS + 3, "{code}");
        let typed = format!(" {} ", code.to_lowercase().replace('-', " "));
        assert_eq!(plain_claim(&typed), plain_claim(&code));
        assert_eq!(plain_claim("il-o0"), "1100");
    }

    #[test]
    fn tokens_are_told_by_their_prefix_and_differ() {
        assert!(new_token().starts_with(TOKEN_PREFIX));
        assert_eq!(new_token().len(), 3 + 43);
        assert_ne!(new_token(), new_token());
    }
}
