//! The user name fragment and password of one ICE generation (RFC 8839 §5.4).

use std::fmt;

use rand::Rng;

/// Length of our user name fragments: 48 bits; RFC 8445 §5.3 requires 24.
const UFRAG_LEN: usize = 8;
/// Length of our passwords: 144 bits; RFC 8445 §5.3 requires 128.
const PWD_LEN: usize = 24;
/// Longest fragment or password that a peer may send (RFC 8839 §5.4).
const MAX_LEN: usize = 256;
const MIN_UFRAG_LEN: usize = 4;
const MIN_PWD_LEN: usize = 22;

/// The `ice-char`s of RFC 8839 §5.1: 64 of them, so that six random bits choose one uniformly.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The user name fragment and password of one side in one generation (RFC 8445 §5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name fragment. Not secret: every check contains it.
    pub ufrag: String,
    /// The password: the integrity key of every check sent to the side that chose it.
    pub pwd: String,
}

/// Reason for which credentials are refused (RFC 8839 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// The fragment is too short or too long, or has a character that is not an `ice-char`.
    #[error("malformed ICE user name fragment")]
    Ufrag,
    /// The password is too short or too long, or has a character that is not an `ice-char`.
    #[error("malformed ICE password")]
    Pwd,
}

impl Credentials {
    /// Generates credentials for a session or an ICE restart. The generator must be cryptographic.
    pub fn random<R: Rng + ?Sized>(rng: &mut R) -> Self {
        Self { ufrag: ice_chars(rng, UFRAG_LEN), pwd: ice_chars(rng, PWD_LEN) }
    }

    /// Checks the credentials of a peer's description.
    ///
    /// # Errors
    /// Returns an error when RFC 8839 §5.4 does not allow the fragment or the password.
    pub fn parse(ufrag: &str, pwd: &str) -> Result<Self, BadCredentials> {
        if !is_ice_string(ufrag, MIN_UFRAG_LEN) {
            return Err(BadCredentials::Ufrag);
        }
        if !is_ice_string(pwd, MIN_PWD_LEN) {
            return Err(BadCredentials::Pwd);
        }
        Ok(Self { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// Returns true for an `ice-char` of RFC 8839 §5.1: a letter, a digit, `+` or `/`.
pub(super) fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

fn is_ice_string(text: &str, min_len: usize) -> bool {
    (min_len..=MAX_LEN).contains(&text.len()) && text.bytes().all(is_ice_char)
}

fn ice_chars<R: Rng + ?Sized>(rng: &mut R, len: usize) -> String {
    (0..len).map(|_| char::from(ICE_CHARS[usize::from(rng.random::<u8>() & 63)])).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn random_credentials_are_what_a_peer_accepts() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let first = Credentials::random(&mut rng);
        let second = Credentials::random(&mut rng);
        assert_eq!(Credentials::parse(&first.ufrag, &first.pwd), Ok(first.clone()));
        assert_ne!(first, second);
    }

    #[test]
    fn a_password_is_never_shown() {
        let credentials = Credentials { ufrag: "abcd".into(), pwd: "correct+horse".into() };
        assert!(!format!("{credentials:?}").contains("horse"));
    }

    #[test]
    fn malformed_credentials_are_refused() {
        let long = "a".repeat(257);
        let good = "a".repeat(22);
        let cases = [
            ("abc", good.as_str(), BadCredentials::Ufrag),
            ("abcd:", &good, BadCredentials::Ufrag),
            (&long, &good, BadCredentials::Ufrag),
            ("abcd", "short", BadCredentials::Pwd),
            ("abcd", &long, BadCredentials::Pwd),
            ("abcd", "with a space, 22 long..", BadCredentials::Pwd),
        ];
        for (ufrag, pwd, expected) in cases {
            assert_eq!(Credentials::parse(ufrag, pwd), Err(expected), "{ufrag} {pwd}");
        }
    }
}
