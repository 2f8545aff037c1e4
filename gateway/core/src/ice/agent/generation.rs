//! One ICE generation: the credentials of both sides and its time limit (RFC 8445 §9, RFC 8863).

use std::time::{Duration, Instant};

use porthole_turn_proto::stun::ShortTermKey;

use super::Credentials;

#[derive(Debug)]
pub(super) struct Generation {
    number: u32,
    local: Credentials,
    local_key: ShortTermKey,
    remote: Option<RemoteSide>,
    remote_ended: bool,
    last_remote_candidate: Option<Instant>,
}

#[derive(Debug)]
struct RemoteSide {
    credentials: Credentials,
    key: ShortTermKey,
    /// USERNAME of our checks: the peer's fragment, a colon, ours (RFC 8445 §7.2.2).
    username: String,
    since: Instant,
}

impl Generation {
    pub(super) fn new(number: u32, local: Credentials) -> Self {
        let local_key = ShortTermKey::new(&local.pwd);
        Self {
            number,
            local,
            local_key,
            remote: None,
            remote_ended: false,
            last_remote_candidate: None,
        }
    }

    pub(super) fn set_remote(&mut self, credentials: Credentials, now: Instant) {
        let key = ShortTermKey::new(&credentials.pwd);
        let username = format!("{}:{}", credentials.ufrag, self.local.ufrag);
        self.remote = Some(RemoteSide { credentials, key, username, since: now });
    }

    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    pub(super) const fn local(&self) -> &Credentials {
        &self.local
    }

    pub(super) const fn local_key(&self) -> &ShortTermKey {
        &self.local_key
    }

    pub(super) fn remote_credentials(&self) -> Option<&Credentials> {
        self.remote.as_ref().map(|remote| &remote.credentials)
    }

    pub(super) fn remote_since(&self) -> Option<Instant> {
        self.remote.as_ref().map(|remote| remote.since)
    }

    pub(super) fn remote_key(&self) -> Option<&ShortTermKey> {
        self.remote.as_ref().map(|remote| &remote.key)
    }

    pub(super) fn check_username(&self) -> Option<&str> {
        self.remote.as_ref().map(|remote| remote.username.as_str())
    }

    /// Returns true if a check with this USERNAME is for this generation. Before the peer's
    /// credentials are known its half may be anything, because checks may overtake the answer.
    pub(super) fn is_addressed(&self, username: &str) -> bool {
        let Some((ours, theirs)) = username.split_once(':') else { return false };
        let known = self.remote_credentials();
        ours == self.local.ufrag && known.is_none_or(|remote| remote.ufrag == theirs)
    }

    pub(super) const fn record_remote_candidate(&mut self, now: Instant) {
        self.last_remote_candidate = Some(now);
    }

    pub(super) const fn end_of_remote_candidates(&mut self) {
        self.remote_ended = true;
    }

    /// Returns the time at which to give up: `patience` after the peer's credentials arrived, or,
    /// while the peer still trickles, after its last candidate, but never later than twice
    /// `patience` (RFC 8863 §4).
    pub(super) fn failure_deadline(&self, patience: Duration) -> Option<Instant> {
        let since = self.remote.as_ref()?.since;
        let late = if self.remote_ended { None } else { self.last_remote_candidate };
        let from = late.map_or(since, |late| late.clamp(since, since + patience));
        Some(from + patience)
    }
}
