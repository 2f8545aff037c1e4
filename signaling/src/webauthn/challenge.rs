//! Challenges of requests for passkeys. A challenge says itself when it was issued and for what,
//! and is signed with a key of this process, so that nobody can fill a table by asking for many.
//! Only what was used is remembered, for which one needs a passkey or has to be signed in.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use porthole_signaling_core::Recent;
use sha2::Sha256;

use crate::secret;

/// Time within which a challenge has to be answered: enough for a person who looks for the key.
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// The most passkeys and users whose latest challenge is remembered: more than a server can have.
const MAX_REMEMBERED: usize = 32 * 1024;
const KEY_BYTES: usize = 32;
const NUMBER_BYTES: usize = 8;

/// The request that a challenge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// Signing in with any passkey.
    SignIn,
    /// Making a passkey for a user, in the browser with this credential.
    Add { user: i64, credential: &'a str },
}

/// The passkey or user that answers a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Spender {
    Passkey(i64),
    User(i64),
}

/// Issues challenges, and knows which were used. Each has a number, and of each passkey and user
/// only answers to ever later ones count.
pub(crate) struct Challenges {
    key: [u8; KEY_BYTES],
    start: Instant,
    state: Mutex<State>,
}

struct State {
    last: u64,
    used: Recent<Spender, u64>,
}

impl Challenges {
    pub(crate) fn new(start: Instant) -> Self {
        let state = Mutex::new(State { last: 0, used: Recent::new(MAX_REMEMBERED) });
        Self { key: secret::random(), start, state }
    }

    /// Returns a new challenge.
    pub(crate) fn issue(&self, purpose: Purpose<'_>, now: Instant) -> String {
        let number = self.with(|state| {
            state.last += 1;
            state.last
        });
        let mut bytes = [number.to_be_bytes(), self.millis(now).to_be_bytes()].concat();
        let tag = self.mac(&bytes, purpose).finalize().into_bytes();
        bytes.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns the number of a challenge, if it was issued here for this and is not too old.
    pub(crate) fn number_of(
        &self,
        challenge: &str,
        purpose: Purpose<'_>,
        now: Instant,
    ) -> Option<u64> {
        let bytes = URL_SAFE_NO_PAD.decode(challenge).ok()?;
        let (signed, tag) = bytes.split_at_checked(2 * NUMBER_BYTES)?;
        self.mac(signed, purpose).verify_slice(tag).ok()?;
        let (number, rest) = signed.split_first_chunk::<NUMBER_BYTES>()?;
        let issued_ms = u64::from_be_bytes(*rest.first_chunk()?);
        let age = Duration::from_millis(self.millis(now).saturating_sub(issued_ms));
        (age < LIFETIME).then(|| u64::from_be_bytes(*number))
    }

    /// Uses a challenge up. Returns false if this one or a later one was used before.
    pub(crate) fn spend(&self, by: Spender, number: u64) -> bool {
        self.with(|state| {
            let used = state.used.entry(&by, || 0);
            let is_new = number > *used;
            *used = number.max(*used);
            is_new
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn millis(&self, now: Instant) -> u64 {
        let time = now.saturating_duration_since(self.start).as_millis();
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    fn mac(&self, signed: &[u8], purpose: Purpose<'_>) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes any key");
        mac.update(signed);
        match purpose {
            Purpose::SignIn => mac.update(b"sign in"),
            Purpose::Add { user, credential } => {
                mac.update(b"add\0");
                mac.update(&user.to_be_bytes());
                mac.update(credential.as_bytes());
            }
        }
        mac
    }
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenges").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_counts_once_for_its_purpose_and_for_five_minutes() {
        let start = Instant::now();
        let challenges = Challenges::new(start);
        let add = Purpose::Add { user: 1, credential: "cookie:a.0" };
        let other = Purpose::Add { user: 2, credential: "cookie:a.0" };
        let elsewhere = Purpose::Add { user: 1, credential: "cookie:b.0" };
        let challenge = challenges.issue(add, start);
        let foreign = Challenges::new(start).issue(add, start);
        let mut forged = challenge.clone();
        forged.replace_range(..1, "B");
        for (what, challenge, purpose, after_s, expected) in [
            ("at once", challenge.as_str(), add, 0, Some(1)),
            ("in time", &challenge, add, 299, Some(1)),
            ("too late", &challenge, add, 300, None),
            ("another user", &challenge, other, 0, None),
            ("another browser", &challenge, elsewhere, 0, None),
            ("another purpose", &challenge, Purpose::SignIn, 0, None),
            ("another process", &foreign, add, 0, None),
            ("forged", &forged, add, 0, None),
            ("cut", &challenge[..20], add, 0, None),
            ("nothing", "", add, 0, None),
            ("no base64", "?", add, 0, None),
        ] {
            let now = start + Duration::from_secs(after_s);
            assert_eq!(challenges.number_of(challenge, purpose, now), expected, "{what}");
        }
        for (by, number, expected) in [
            (Spender::Passkey(1), 1, true),
            (Spender::Passkey(1), 1, false),
            (Spender::User(1), 1, true),
            (Spender::Passkey(2), 2, true),
            (Spender::Passkey(2), 1, false),
            (Spender::Passkey(1), 3, true),
        ] {
            assert_eq!(challenges.spend(by, number), expected, "{by:?} {number}");
        }
    }

    #[test]
    fn challenges_that_nobody_answers_take_no_memory() {
        let start = Instant::now();
        let challenges = Challenges::new(start);
        let first = challenges.issue(Purpose::SignIn, start);
        for _ in 0..1000 {
            assert_ne!(challenges.issue(Purpose::SignIn, start), first);
        }
        assert!(challenges.with(|state| state.used.is_empty()));
    }
}
