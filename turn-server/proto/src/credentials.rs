//! Time-limited credentials ("TURN REST API"): the signaling server derives them from a secret
//! that it shares with the TURN server, so the two need no common database.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// Returns `(username, password)` for `user_id`, valid until `expires_at_unix`, in seconds since
/// 1970.
///
/// The username is `expiry:user_id`, the password base64 of HMAC-SHA1(secret, username).
pub fn rest_credentials(secret: &str, user_id: &str, expires_at_unix: u64) -> (String, String) {
    let username = format!("{expires_at_unix}:{user_id}");
    let password = rest_password(secret, &username);
    (username, password)
}

/// Returns the password of `username` under `secret`.
pub(crate) fn rest_password(secret: &str, username: &str) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Splits a time-limited username into its expiry and user id. The user id of a bare expiry is
/// empty.
pub(crate) fn split_rest_username(username: &str) -> Option<(u64, &str)> {
    let (expiry, user) = username.split_once(':').unwrap_or((username, ""));
    Some((expiry.parse().ok()?, user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_credentials_equal_those_of_other_servers() {
        // printf 1700000000:anna | openssl dgst -sha1 -hmac secret -binary | base64
        let (username, password) = rest_credentials("secret", "anna", 1_700_000_000);
        assert_eq!(username, "1700000000:anna");
        assert_eq!(password, "D3oPVmokbMhXuY+Q2DZ6Vd/1rZM=");
    }

    #[test]
    fn a_rest_username_begins_with_its_expiry() {
        for (username, want) in [
            ("1700000000:anna", Some((1_700_000_000, "anna"))),
            ("1700000000:a:b", Some((1_700_000_000, "a:b"))),
            ("1700000000", Some((1_700_000_000, ""))),
            ("anna", None),
            ("anna:1700000000", None),
            ("-5:anna", None),
            ("", None),
        ] {
            assert_eq!(split_rest_username(username), want, "{username}");
        }
    }
}
