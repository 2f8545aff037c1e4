//! The ways to prove who we are, tried one after another: nothing, HTTP digest, WS-UsernameToken
//! with a hash, and the password as text if that is allowed.
//!
//! Cameras lock accounts after some wrong tries, so that no probe has more than two requests with a
//! password refused.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::finding::Finding;
use super::{clock, soap};
use crate::rtsp::Credentials;
use crate::rtsp::auth::{Attempts, Authenticator};

/// Maximum number of requests with a password that may be refused. Cameras lock after five wrong
/// tries or more, and a person wants to correct a typing error.
pub const MAX_REFUSED: u8 = 2;

/// The steps of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// No credentials at all.
    Nothing,
    /// The camera's HTTP challenge (RFC 7616; ONVIF Core §5.9.1).
    Http,
    /// WS-UsernameToken with a hash (ONVIF Core §5.9.3).
    Digest,
    /// WS-UsernameToken with the password as text.
    Text,
}

/// The credentials in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// No credentials at all.
    Nothing,
    /// A password with a nonce of its own.
    Fresh,
    /// An answer to a nonce that was used before, and may have expired.
    Reused,
}

/// The proof in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// Value of `Authorization`, or empty.
    pub(super) authorization: String,
    /// The request with its security header, if it has one.
    pub(super) envelope: String,
    pub(super) shown: Shown,
}

/// The reaction to a refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Send the request again: the proof will be another one.
    Again,
    /// Give up, for this reason.
    Stop(Finding),
}

/// The ladder of one camera.
#[derive(Debug)]
pub(super) struct Ladder {
    credentials: Option<Credentials>,
    allows_text: bool,
    rung: Rung,
    http: Authenticator,
    /// Number of answers to the challenge at hand.
    uses: u32,
    /// True if the camera takes each nonce once only.
    forgets_nonces: bool,
    refused: u8,
    is_proven: bool,
    rng: StdRng,
}

impl Ladder {
    pub(super) fn new(credentials: Option<Credentials>, allows_text: bool, seed: u64) -> Self {
        let mut http = Authenticator::new(credentials.clone());
        http.set_allows_basic(allows_text);
        Self {
            credentials,
            allows_text,
            rung: Rung::Nothing,
            http,
            uses: 0,
            forgets_nonces: false,
            refused: 0,
            is_proven: false,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Returns true once the camera has accepted the password.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Returns the number of requests with a password that were refused.
    pub(super) fn refused(&self) -> u8 {
        self.refused
    }

    /// Forgets what was refused before the camera accepted the password again: on a long way
    /// together nonces expire and clocks are set, which is no wrong try.
    pub(super) fn forgive(&mut self) {
        self.refused = 0;
    }

    /// Returns true if the password goes over the network as text.
    pub(super) fn sends_text(&self) -> bool {
        self.rung == Rung::Text || self.rung == Rung::Http && self.http.is_basic()
    }

    /// Returns the request with the proof; `camera_s` is the time of the camera's clock, in seconds
    /// since 1970.
    pub(super) fn prove(&mut self, target: &str, body: &str, camera_s: i64) -> Proof {
        self.prove_with(target, "", body, camera_s)
    }

    /// Returns the request with these further headers and the proof.
    pub(super) fn prove_with(
        &mut self,
        target: &str,
        headers: &str,
        body: &str,
        camera_s: i64,
    ) -> Proof {
        let mut proof = Proof {
            authorization: String::new(),
            envelope: soap::envelope(headers, body),
            shown: Shown::Nothing,
        };
        let token = match (self.rung, &self.credentials) {
            (Rung::Nothing, _) | (_, None) => return proof,
            (Rung::Http, Some(_)) => {
                let envelope = proof.envelope.as_bytes();
                proof.authorization = self.http.authorize(&mut self.rng, "POST", target, envelope);
                if !proof.authorization.is_empty() {
                    proof.shown = if self.uses == 0 { Shown::Fresh } else { Shown::Reused };
                    self.uses += 1;
                }
                return proof;
            }
            (Rung::Digest, Some(credentials)) => {
                soap::digest_token(credentials, self.rng.random(), &clock::format(camera_s))
            }
            (Rung::Text, Some(credentials)) => {
                soap::text_token(credentials, self.rng.random(), &clock::format(camera_s))
            }
        };
        proof.envelope = soap::envelope(&format!("{token}{headers}"), body);
        proof.shown = Shown::Fresh;
        proof
    }

    /// Handles the success of a request.
    pub(super) fn handle_success(&mut self, shown: Shown) {
        self.is_proven |= shown != Shown::Nothing;
        if self.forgets_nonces {
            self.http.forget_challenge();
        }
    }

    /// Handles a request that was refused for its credentials, with the values of
    /// `WWW-Authenticate`.
    pub(super) fn handle_denied(
        &mut self,
        shown: Shown,
        attempts: &mut Attempts,
        challenges: &[String],
    ) -> Reaction {
        if self.credentials.is_none() {
            return Reaction::Stop(Finding::PasswordMissing);
        }
        let is_stale =
            challenges.iter().any(|value| value.to_ascii_lowercase().contains("stale=true"));
        if shown != Shown::Nothing && !is_stale {
            self.refused += 1;
            self.forgets_nonces |= shown == Shown::Reused;
        }
        let is_over = self.refused >= MAX_REFUSED;
        let next = if is_over { None } else { self.next_rung(attempts, challenges) };
        match next {
            Some(rung) => {
                self.rung = rung;
                Reaction::Again
            }
            None => Reaction::Stop(self.verdict(challenges)),
        }
    }

    /// Returns the way to try next; `None` if there is none.
    fn next_rung(&mut self, attempts: &mut Attempts, challenges: &[String]) -> Option<Rung> {
        match self.rung {
            Rung::Nothing | Rung::Http => {
                let values = challenges.iter().map(String::as_str);
                if self.http.handle_challenges(attempts, values).is_ok() {
                    self.uses = 0;
                    return Some(Rung::Http);
                }
                // If the password was accepted before, this is about the rights of the user.
                (!self.is_proven).then_some(Rung::Digest)
            }
            Rung::Digest => (!self.is_proven && self.allows_text).then_some(Rung::Text),
            Rung::Text => None,
        }
    }

    /// Returns what the last refusal means.
    fn verdict(&self, challenges: &[String]) -> Finding {
        if self.is_proven {
            return Finding::NotPermitted;
        }
        if is_basic_only(challenges) && !self.allows_text {
            return Finding::WantsText;
        }
        let may_want_text = !self.allows_text && self.rung == Rung::Digest;
        Finding::WrongPassword { refused: self.refused, may_want_text }
    }
}

/// Returns true if there are challenges, and all of them want the password as text.
fn is_basic_only(challenges: &[String]) -> bool {
    let is_basic = |value: &String| {
        let value = value.to_ascii_lowercase();
        value.trim_start().starts_with("basic") && !value.contains("digest")
    };
    !challenges.is_empty() && challenges.iter().all(is_basic)
}

#[cfg(test)]
mod tests;
