//! Who asks: long-term credentials (RFC 8489 §9.2), static or time-limited.

use std::collections::HashMap;
use std::sync::Arc;

use super::nonce::Nonces;
use super::{FiveTuple, Now};
use crate::credentials::{rest_password, split_rest_username};
use crate::stun::{ErrorCode, LongTermKey, Message, attribute, long_term_key};

/// The longest username and realm of RFC 8489 §14.3.
const MAX_USERNAME: usize = 508;

/// Somebody who proved to know a password.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) username: Arc<str>,
    pub(super) key: LongTermKey,
}

impl Identity {
    /// Whom the quota counts: time-limited usernames of one user differ in their expiry.
    pub(super) fn quota_user(&self) -> &str {
        match split_rest_username(&self.username) {
            Some((_, user)) if !user.is_empty() => user,
            Some(_) | None => &self.username,
        }
    }
}

/// Why a request is not taken. All but 400 carry realm and a fresh nonce.
pub(super) type Challenge = ErrorCode;

/// Checks credentials; remembers nobody.
pub(super) struct Authenticator {
    realm: String,
    users: HashMap<String, LongTermKey>,
    rest_secrets: Vec<String>,
    nonces: Nonces,
}

impl std::fmt::Debug for Authenticator {
    /// Without names and secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Of nobody yet.
    pub(super) fn new(realm: String, nonces: Nonces) -> Self {
        Self { realm, users: HashMap::new(), rest_secrets: Vec::new(), nonces }
    }

    /// Instead of those there are.
    pub(super) fn set_credentials(
        &mut self,
        users: Vec<(String, String)>,
        rest_secrets: Vec<String>,
    ) {
        let key = |(name, password): (String, String)| {
            let key = long_term_key(&name, &self.realm, &password);
            (name, key)
        };
        self.users = users.into_iter().map(key).collect();
        self.rest_secrets = rest_secrets;
    }

    pub(super) fn realm(&self) -> &str {
        &self.realm
    }

    pub(super) fn nonce(&self, client: &FiveTuple, now: Now) -> String {
        self.nonces.make(client, now.unix_s)
    }

    /// `owner` is whoever made the allocation of this client, if there is one: its credentials
    /// were good then, and an allocation may outlive them.
    pub(super) fn authenticate(
        &self,
        client: &FiveTuple,
        message: &Message<'_>,
        owner: Option<&Identity>,
        now: Now,
    ) -> Result<Identity, Challenge> {
        if !message.has_integrity() {
            return Err(ErrorCode::UNAUTHENTICATED);
        }
        let username = message.text(attribute::USERNAME).ok().flatten();
        let realm = message.text(attribute::REALM).ok().flatten();
        let nonce = message.first(attribute::NONCE);
        let (Some(username), Some(_), Some(nonce)) = (username, realm, nonce) else {
            return Err(ErrorCode::BAD_REQUEST);
        };
        // Before the password: cheaper, and a forged source gets no further.
        if !self.nonces.is_fresh(nonce.value, client, now.unix_s) {
            return Err(ErrorCode::STALE_NONCE);
        }
        if let Some(owner) = owner.filter(|owner| *owner.username == *username) {
            let proven = message.is_made_with(&owner.key);
            return if proven { Ok(owner.clone()) } else { Err(ErrorCode::UNAUTHENTICATED) };
        }
        let key = self.key_of(username, message, now).ok_or(ErrorCode::UNAUTHENTICATED)?;
        Ok(Identity { username: username.into(), key })
    }

    fn key_of(&self, username: &str, message: &Message<'_>, now: Now) -> Option<LongTermKey> {
        if username.len() > MAX_USERNAME {
            return None;
        }
        if let Some(key) = self.users.get(username) {
            return message.is_made_with(key).then(|| key.clone());
        }
        let (expiry, _) = split_rest_username(username)?;
        if expiry <= now.unix_s {
            return None;
        }
        self.rest_secrets
            .iter()
            .map(|secret| long_term_key(username, &self.realm, &rest_password(secret, username)))
            .find(|key| message.is_made_with(key))
    }
}
