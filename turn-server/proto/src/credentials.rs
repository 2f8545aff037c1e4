//! Time-limited credentials ("TURN REST API"): the signaling server makes them from a secret it
//! shares with the TURN server, and no database stands between the two.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// `(username, password)` for `user_id`, valid until `expires_at_unix` (seconds).
///
/// The username is `expiry:user_id`, the password base64 of HMAC-SHA1(secret, username).
pub fn rest_credentials(secret: &str, user_id: &str, expires_at_unix: u64) -> (String, String) {
    let username = format!("{expires_at_unix}:{user_id}");
    let password = rest_password(secret, &username);
    (username, password)
}

/// What belongs to `username` under `secret`.
pub(crate) fn rest_password(secret: &str, username: &str) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Expiry and user id of a REST username; a bare expiry has an empty user id.
pub(crate) fn split_rest_username(username: &str) -> Option<(u64, &str)> {
    let (expiry, user) = username.split_once(':').unwrap_or((username, ""));
    Some((expiry.parse().ok()?, user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_credentials_are_what_other_servers_compute() {
        // printf 1700000000:anna | openssl dgst -sha1 -hmac secret -binary | base64
        let (username, password) = rest_credentials("secret", "anna", 1_700_000_000);
        assert_eq!(username, "1700000000:anna");
        assert_eq!(password, "D3oPVmokbMhXuY+Q2DZ6Vd/1rZM=");
    }

    #[test]
    fn rest_usernames_begin_with_their_expiry() {
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
