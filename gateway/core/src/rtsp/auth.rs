//! Authentication: challenges of RFC 7616 (Digest) and RFC 7617 (Basic), as RTSP uses them.

mod challenge;
mod digest;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use porthole_signaling_proto::manage::Login;
use rand::Rng as _;
use rand::rngs::StdRng;
use zeroize::Zeroize as _;

use challenge::{Challenge, Scheme};

/// Maximum number of answers to challenges for one request: each scheme once, and nonces that
/// expire at once.
const MAX_ATTEMPTS: usize = 8;

/// The user and password of a camera. `Debug` does not show the password, which is overwritten when
/// it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the user.
    pub user: String,
    /// Password of the user.
    pub password: String,
}

impl From<Login> for Credentials {
    fn from(mut login: Login) -> Self {
        let (user, password) = (&mut login.user, &mut login.password);
        Self { user: std::mem::take(user), password: std::mem::take(password) }
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Reasons why a challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthFailure {
    /// No user and password are configured.
    Missing,
    /// Every scheme was tried.
    Refused,
    /// The camera offers no scheme that is known.
    Unknown,
    /// The camera takes the password as readable text only, which is not allowed.
    WantsText,
}

/// The answers that were given to the challenges for one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    count: usize,
    refused: Vec<Scheme>,
}

/// Answers the challenges of one camera.
#[derive(Debug)]
pub(crate) struct Authenticator {
    credentials: Option<Credentials>,
    /// The challenge that is answered in every request.
    challenge: Option<Challenge>,
    /// Number of requests with the nonce of the challenge.
    nonce_count: u32,
    /// Schemes that were refused with a fresh nonce, on any request.
    refused: Vec<Scheme>,
    /// False: challenges that want the password as readable text are not answered.
    allows_basic: bool,
}

impl Authenticator {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        let (nonce_count, refused, allows_basic) = (0, Vec::new(), true);
        Self { credentials, challenge: None, nonce_count, refused, allows_basic }
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Replaces user and password, because the camera has named others.
    pub(super) fn set_credentials(&mut self, credentials: Credentials) {
        *self = Self { allows_basic: self.allows_basic, ..Self::new(Some(credentials)) };
    }

    /// Allows or forbids answers to challenges that want the password as readable text.
    pub(crate) fn set_allows_basic(&mut self, allows_basic: bool) {
        self.allows_basic = allows_basic;
    }

    /// Returns true if the password is sent as readable text.
    pub(crate) fn is_basic(&self) -> bool {
        self.challenge.as_ref().is_some_and(|challenge| challenge.scheme == Scheme::Basic)
    }

    /// Forgets the challenge, so that the next request is sent without an answer to it.
    pub(crate) fn forget_challenge(&mut self) {
        self.challenge = None;
    }

    /// Chooses the challenge to answer, after a request was refused with `values` of
    /// `WWW-Authenticate`.
    pub(crate) fn handle_challenges<'a>(
        &mut self,
        attempts: &mut Attempts,
        values: impl Iterator<Item = &'a str>,
    ) -> Result<(), AuthFailure> {
        if self.credentials.is_none() {
            return Err(AuthFailure::Missing);
        }
        let mut offered: Vec<Challenge> = values.flat_map(challenge::read).collect();
        if offered.is_empty() {
            return Err(AuthFailure::Unknown);
        }
        offered.retain(|c| self.allows_basic || c.scheme != Scheme::Basic);
        if offered.is_empty() {
            return Err(AuthFailure::WantsText);
        }
        if let Some(tried) = self.challenge.take().filter(|_| attempts.count > 0) {
            // Refused although its nonce was fresh, unless the camera says that the nonce was old.
            let is_stale = offered.iter().any(|c| c.scheme == tried.scheme && c.is_stale);
            if !is_stale {
                attempts.refused.push(tried.scheme);
            }
        }
        attempts.count += 1;
        if attempts.count > MAX_ATTEMPTS {
            return Err(AuthFailure::Refused);
        }
        offered.retain(|c| !attempts.refused.contains(&c.scheme));
        // What failed for an earlier request comes last.
        offered.sort_by_key(|c| (self.refused.contains(&c.scheme), c.scheme.rank()));
        self.refused.clone_from(&attempts.refused);
        self.challenge = offered.into_iter().next();
        self.nonce_count = 0;
        if self.challenge.is_some() { Ok(()) } else { Err(AuthFailure::Refused) }
    }

    /// Returns the value of `Authorization` for a request; empty if none was demanded so far.
    pub(crate) fn authorize(
        &mut self,
        rng: &mut StdRng,
        method: &str,
        uri: &str,
        body: &[u8],
    ) -> String {
        let (Some(challenge), Some(credentials)) = (&self.challenge, &self.credentials) else {
            return String::new();
        };
        match challenge.scheme {
            Scheme::Basic => {
                let pair = format!("{}:{}", credentials.user, credentials.password);
                format!("Basic {}", STANDARD.encode(pair))
            }
            Scheme::Digest(hash) => {
                self.nonce_count += 1;
                let client_nonce = format!("{:016x}", rng.random::<u64>());
                let request = digest::Request {
                    method,
                    uri,
                    body,
                    count: self.nonce_count,
                    client_nonce: &client_nonce,
                };
                digest::answer(hash, challenge, credentials, &request)
            }
        }
    }
}

#[cfg(test)]
mod tests;
