//! The accounts that may have allocations: users with a password, and the secrets of time-limited
//! users.

use std::collections::HashMap;
use std::sync::Arc;

use crate::credentials::{rest_password, split_rest_username};
use crate::stun::{Integrity, LongTermKey, Message, PasswordAlgorithm, userhash};

/// Bytes of the longest username (RFC 8489 §14.3).
const MAX_USERNAME: usize = 508;

/// Limit of remembered users that have ended. Those beyond it go on until their credentials expire.
const MAX_ENDED: usize = 65_536;

/// The user that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClaimedUser<'m> {
    /// The value of USERNAME.
    Name(&'m str),
    /// The value of USERHASH (RFC 8489 §14.4).
    Hash(&'m [u8]),
}

/// The algorithms that authenticate a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AuthMethod {
    pub(super) algorithm: PasswordAlgorithm,
    pub(super) integrity: Integrity,
}

/// Users and secrets of one realm.
pub(super) struct Accounts {
    realm: Arc<str>,
    users: HashMap<Arc<str>, Keys>,
    /// The users by USERHASH. Time-limited users cannot be found by it, as there is no list of
    /// them.
    by_hash: HashMap<[u8; 32], Arc<str>>,
    rest_secrets: Vec<String>,
    /// The ids of time-limited users that are no longer accepted, until the second since 1970.
    ended: HashMap<Box<str>, u64>,
}

/// Shows no names and keys.
impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("users", &self.users.len())
            .field("rest_secrets", &self.rest_secrets.len())
            .finish_non_exhaustive()
    }
}

/// The keys of one user, one for each algorithm.
struct Keys {
    md5: LongTermKey,
    sha256: LongTermKey,
}

impl Accounts {
    /// Creates an empty set of accounts.
    pub(super) fn new(realm: String) -> Self {
        Self {
            realm: realm.into(),
            users: HashMap::new(),
            by_hash: HashMap::new(),
            rest_secrets: Vec::new(),
            ended: HashMap::new(),
        }
    }

    /// Replaces all users and secrets.
    pub(super) fn set(&mut self, users: Vec<(String, String)>, rest_secrets: Vec<String>) {
        self.users.clear();
        self.by_hash.clear();
        for (name, password) in users {
            let key = |algorithm| {
                let parts = [name.as_str(), self.realm.as_ref(), password.as_str()];
                LongTermKey::new(algorithm, parts, Integrity::Sha1)
            };
            let keys =
                Keys { md5: key(PasswordAlgorithm::Md5), sha256: key(PasswordAlgorithm::Sha256) };
            let hash = userhash(&name, &self.realm);
            let name: Arc<str> = name.into();
            self.by_hash.insert(hash, Arc::clone(&name));
            self.users.insert(name, keys);
        }
        self.rest_secrets = rest_secrets;
    }

    /// Refuses the credentials of a time-limited user until the last of them has expired.
    pub(super) fn end(&mut self, user_id: &str, until_s: u64, unix_s: u64) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.retain(|_, until_s| *until_s > unix_s);
        }
        if self.ended.len() < MAX_ENDED {
            self.ended.insert(user_id.into(), until_s);
        }
    }

    fn has_ended(&self, name: &str, unix_s: u64) -> bool {
        let user = split_rest_username(name).and_then(|(_, user_id)| self.ended.get(user_id));
        user.is_some_and(|until_s| *until_s > unix_s)
    }

    pub(super) fn realm(&self) -> &str {
        &self.realm
    }

    /// Returns true if every user can be found by USERHASH. If the server offered it nevertheless,
    /// the other users could not sign in.
    pub(super) fn accepts_userhash(&self) -> bool {
        self.rest_secrets.is_empty() && !self.users.is_empty()
    }

    /// Returns true if the request names this user, by name or by hash.
    pub(super) fn is_named(&self, name: &str, named: ClaimedUser<'_>) -> bool {
        match named {
            ClaimedUser::Name(named) => named == name,
            ClaimedUser::Hash(hash) => userhash(name, &self.realm) == *hash,
        }
    }

    /// Returns name and key of the user that signed the message, unless the user is unknown or the
    /// credentials have expired.
    pub(super) fn find(
        &self,
        named: ClaimedUser<'_>,
        means: AuthMethod,
        message: &Message<'_>,
        unix_s: u64,
    ) -> Option<(Arc<str>, LongTermKey)> {
        let name = match named {
            ClaimedUser::Name(name) => Some(name),
            ClaimedUser::Hash(hash) => self.by_hash.get(hash).map(AsRef::as_ref),
        };
        if let Some((name, keys)) = name.and_then(|name| self.users.get_key_value(name)) {
            let key = match means.algorithm {
                PasswordAlgorithm::Md5 => keys.md5.with_integrity(means.integrity),
                PasswordAlgorithm::Sha256 => keys.sha256.with_integrity(means.integrity),
            };
            return message.has_valid_integrity(&key).then(|| (Arc::clone(name), key));
        }
        let ClaimedUser::Name(name) = named else { return None };
        if is_expired(name, unix_s)? || self.has_ended(name, unix_s) {
            return None;
        }
        let key = self.time_limited_key(name, means, message)?;
        Some((name.into(), key))
    }

    /// Returns the end of the time-limited credentials with which a message is signed, if they have
    /// expired, in seconds since 1970.
    pub(super) fn expired(
        &self,
        name: &str,
        means: AuthMethod,
        message: &Message<'_>,
        unix_s: u64,
    ) -> Option<u64> {
        let (expiry_s, _) = split_rest_username(name)?;
        if expiry_s > unix_s || self.has_user(name) {
            return None;
        }
        self.time_limited_key(name, means, message).map(|_| expiry_s)
    }

    /// Returns true if there is a user with a password of this name.
    pub(super) fn has_user(&self, name: &str) -> bool {
        self.users.contains_key(name)
    }

    /// Returns the key of a time-limited user that signed a message.
    fn time_limited_key(
        &self,
        name: &str,
        means: AuthMethod,
        message: &Message<'_>,
    ) -> Option<LongTermKey> {
        if name.len() > MAX_USERNAME {
            return None;
        }
        let key = |secret: &String| {
            let parts = [name, self.realm.as_ref(), &rest_password(secret, name)];
            LongTermKey::new(means.algorithm, parts, means.integrity)
        };
        self.rest_secrets.iter().map(key).find(|key| message.has_valid_integrity(key))
    }
}

/// Returns true if a time-limited username has expired, and `None` if it is not time-limited.
pub(super) fn is_expired(name: &str, unix_s: u64) -> Option<bool> {
    split_rest_username(name).map(|(expiry, _)| expiry <= unix_s)
}
