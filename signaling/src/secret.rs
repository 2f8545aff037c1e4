//! Random secrets, and the hashes under which they are stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};

/// Prefix of API tokens, by which scanners for leaked secrets recognise them.
const TOKEN_PREFIX: &str = "ph_";
/// Prefix of the secrets in links that show cameras. No token begins with it.
const SHARE_PREFIX: &str = "phs_";
/// Length of tokens and cookies: 256 bits.
const TOKEN_BYTES: usize = 32;
/// Length of setup tokens: 128 bits, since each can be used once.
const SETUP_BYTES: usize = 16;
/// Length of claim codes: 16 characters of 5 bits are 80 bits, and a person can read them out.
const CLAIM_CHARS: usize = 16;
/// Crockford's base32 alphabet: no I, L, O or U, which are easily confused.
const CLAIM_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Creates an API token.
pub(crate) fn new_token() -> String {
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>()))
}

/// Creates the secret in a link that shows cameras.
pub(crate) fn new_share() -> String {
    format!("{SHARE_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>()))
}

/// Returns true for what begins like the secret in such a link.
pub(crate) fn is_share(token: &str) -> bool {
    token.starts_with(SHARE_PREFIX)
}

/// Creates the cookie of a browser session.
pub(crate) fn new_cookie() -> String {
    URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>())
}

/// Creates the token of a setup link.
pub(crate) fn new_setup_token() -> String {
    URL_SAFE_NO_PAD.encode(random::<SETUP_BYTES>())
}

/// Creates a claim code, in groups of four characters.
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

/// Brings a claim code into the form that is hashed, however it was typed.
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

/// Returns the hash of a random secret, which is all that is stored of it.
pub(crate) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Returns random bytes from the operating system.
///
/// # Panics
/// Panics if the operating system has no randomness, because nothing is safe without it.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system provides random bytes");
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
    fn tokens_have_a_prefix_and_differ() {
        assert!(new_token().starts_with(TOKEN_PREFIX));
        assert_eq!(new_token().len(), 3 + 43);
        assert_ne!(new_token(), new_token());
    }
}
