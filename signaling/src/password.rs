//! Passwords of people: argon2id, and always the same work whether the user exists or not.

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use std::sync::OnceLock;
use tokio::{sync::Semaphore, task::spawn_blocking};

/// NIST SP 800-63B asks for 8; ten cost nobody anything.
const LEAST_CHARS: usize = 10;
/// A longer one would only be work for the hash.
const MOST_BYTES: usize = 1024;
/// 19 MiB and some 20 ms each: two at once leave the machine to the others.
static AT_ONCE: Semaphore = Semaphore::const_new(2);
/// Who waits for them; the last has to wait less than a second.
static WAITING: Semaphore = Semaphore::const_new(32);

/// Too many wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// Why a password cannot be one.
pub(crate) fn weakness(password: &str) -> Option<&'static str> {
    if password.chars().count() < LEAST_CHARS {
        return Some("the password needs at least 10 characters");
    }
    (password.len() > MOST_BYTES).then_some("the password is too long: at most 1024 bytes")
}

/// What of a password is kept.
pub(crate) async fn hash(password: String) -> Result<String, Busy> {
    let _place = WAITING.try_acquire().map_err(|_| Busy)?;
    let _turn = AT_ONCE.acquire().await.map_err(|_| Busy)?;
    spawn_blocking(move || hash_now(&password)).await.map_err(|_| Busy)
}

/// Whether it is the password. Without a hash it takes as long and is not.
pub(crate) async fn verify(password: String, hash: Option<String>) -> Result<bool, Busy> {
    let _place = WAITING.try_acquire().map_err(|_| Busy)?;
    let _turn = AT_ONCE.acquire().await.map_err(|_| Busy)?;
    spawn_blocking(move || verify_now(&password, hash)).await.map_err(|_| Busy)
}

fn verify_now(password: &str, hash: Option<String>) -> bool {
    static NOBODY: OnceLock<String> = OnceLock::new();
    let nobody = NOBODY.get_or_init(|| hash_now("nobody has this password"));
    let known = hash.is_some();
    let hash = hash.unwrap_or_else(|| nobody.clone());
    let right = PasswordHash::new(&hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
    right && known
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
    async fn only_the_right_password_of_somebody_is_right() {
        let hash = hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!verify("correct house".into(), Some(hash)).await.unwrap());
        assert!(!verify("nobody has this password".into(), None).await.unwrap());
        assert!(!verify("x".into(), Some("no hash".into())).await.unwrap());
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        for (password, weak) in
            [("123456789", true), ("1234567890", false), (&"x".repeat(1025), true)]
        {
            assert_eq!(weakness(password).is_some(), weak);
        }
    }
}
