//! Tokens of links that show cameras: the secret in the link and, for a link with a password, the
//! proof that the password was right. The proof is signed with the hash of the password, which only
//! the database has; so nothing is stored for those who use a link, and the proof ends with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::secret;

/// The token of a share, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShareToken<'a> {
    /// The secret in the link.
    pub(crate) secret: &'a str,
    /// The time until which the password was proved in seconds since 1970, and the signature.
    proof: Option<(u64, &'a str)>,
}

impl<'a> ShareToken<'a> {
    /// Reads a token; `None` if it is none of a share.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        if !secret::is_share(token) {
            return None;
        }
        let Some((secret, proof)) = token.split_once('.') else {
            return Some(Self { secret: token, proof: None });
        };
        let (until_s, signature) = proof.split_once('.')?;
        Some(Self { secret, proof: Some((until_s.parse().ok()?, signature)) })
    }

    /// Returns the token with the proof that the password with this hash was right.
    pub(crate) fn proved(&self, password_hash: &str, until_s: u64) -> String {
        let signature = mac(self.secret, password_hash, until_s).finalize().into_bytes();
        format!("{}.{until_s}.{}", self.secret, URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the time until which the password with this hash was proved, which may be past;
    /// `None` if it was not.
    pub(crate) fn proved_until_s(&self, password_hash: &str) -> Option<u64> {
        let (until_s, signature) = self.proof?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        mac(self.secret, password_hash, until_s).verify_slice(&signature).ok()?;
        Some(until_s)
    }
}

fn mac(secret: &str, password_hash: &str, until_s: u64) -> Hmac<Sha256> {
    let key = password_hash.as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(b"porthole share\0");
    mac.update(&until_s.to_be_bytes());
    mac.update(secret.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_for_one_link_one_password_and_one_time() {
        let [link, other] = [secret::new_share(), secret::new_share()];
        let token = ShareToken::parse(&link).unwrap();
        assert_eq!((token.secret, token.proved_until_s("hash")), (link.as_str(), None));
        let proved = token.proved("hash", 100);
        assert!(proved.starts_with(&format!("{link}.100.")), "{proved}");
        for (token, hash, expected) in [
            (proved.clone(), "hash", Some(100)),
            (proved.clone(), "hash of another password", None),
            (proved.replace(".100.", ".101."), "hash", None),
            (proved.replace(&link, &other), "hash", None),
            (format!("{proved}A"), "hash", None),
            (format!("{link}.100."), "hash", None),
        ] {
            let parsed = ShareToken::parse(&token).unwrap();
            assert_eq!(parsed.proved_until_s(hash), expected, "{token} {hash}");
        }
        for token in ["", "ph_abc", "phs", &format!("{link}.100"), &format!("{link}.x.y")] {
            assert_eq!(ShareToken::parse(token), None, "{token}");
        }
    }
}
