//! Passwords of users, hashed with argon2id. Verifying takes as long for a user that does not
//! exist.

use std::sync::OnceLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// NIST SP 800-63B asks for 8; two more are little to ask.
const MIN_CHARS: usize = 10;
/// A longer password would only make the hash slower.
const MAX_BYTES: usize = 1024;
/// Hashes computed at once. Each takes 19 MiB and some 20 ms; two leave room for everything else.
static RUNNING: Semaphore = Semaphore::const_new(2);
/// Hashes that may wait; the last of them waits less than a second.
static WAITING: Semaphore = Semaphore::const_new(32);
/// Hashes that may wait beside these for people who are known: whose browser has signed in before,
/// or who have a setup token.
static KNOWN_WAITING: Semaphore = Semaphore::const_new(8);

/// The error that too many hashes are waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// Returns the reason why a new password is refused, or `None` if it is good.
pub(crate) fn weakness(password: &str) -> Option<&'static str> {
    if password.chars().count() < MIN_CHARS {
        return Some("the password needs at least 10 characters");
    }
    (password.len() > MAX_BYTES).then_some("the password is too long: at most 1024 bytes")
}

/// Returns the hash of a password, which is all that is stored of it.
pub(crate) async fn hash(password: String) -> Result<String, Busy> {
    let _waiting = KNOWN_WAITING.try_acquire().map_err(|_| Busy)?;
    let _running = RUNNING.acquire().await.map_err(|_| Busy)?;
    spawn_blocking(move || hash_now(&password)).await.map_err(|_| Busy)
}

/// Returns true if the password matches the hash. Without a hash, or with the empty one of a user
/// who has no password, it takes as long and returns false. For a person who is known there is a
/// place even if strangers have taken all of theirs.
pub(crate) async fn verify(
    password: String,
    hash: Option<String>,
    is_known: bool,
) -> Result<bool, Busy> {
    let waiting = if is_known { &KNOWN_WAITING } else { &WAITING };
    let _waiting = waiting.try_acquire().map_err(|_| Busy)?;
    let _running = RUNNING.acquire().await.map_err(|_| Busy)?;
    spawn_blocking(move || verify_now(&password, hash)).await.map_err(|_| Busy)
}

fn verify_now(password: &str, hash: Option<String>) -> bool {
    static DUMMY: OnceLock<String> = OnceLock::new();
    let dummy = DUMMY.get_or_init(|| hash_now("the dummy's password"));
    let hash = hash.filter(|hash| !hash.is_empty());
    let is_known = hash.is_some();
    let hash = hash.unwrap_or_else(|| dummy.clone());
    let matches = PasswordHash::new(&hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
    matches && is_known
}

fn hash_now(password: &str) -> String {
    let salt: [u8; 16] = crate::secret::random();
    let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.expect("the default parameters are valid").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_user_matches() {
        let hash = hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        for (password, hash, matches) in [
            ("correct horse", Some(hash.clone()), true),
            ("correct house", Some(hash.clone()), false),
            ("the dummy's password", None, false),
            ("x", Some("no hash".into()), false),
        ] {
            for is_known in [false, true] {
                let found = verify(password.into(), hash.clone(), is_known).await.unwrap();
                assert_eq!(found, matches, "{password}");
            }
        }
        let _all = WAITING.acquire_many(32).await.unwrap();
        assert_eq!(verify("x".into(), None, false).await, Err(Busy));
        assert!(verify("correct horse".into(), Some(hash), true).await.unwrap());
    }

    #[test]
    fn a_password_is_neither_too_short_nor_too_long() {
        for (password, weak) in
            [("123456789", true), ("1234567890", false), (&"x".repeat(1025), true)]
        {
            assert_eq!(weakness(password).is_some(), weak);
        }
    }
}
