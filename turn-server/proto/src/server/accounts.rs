//! Who may have an allocation: users with a password, and secrets of time-limited users.

use std::collections::HashMap;
use std::sync::Arc;

use crate::credentials::{rest_password, split_rest_username};
use crate::stun::{Integrity, LongTermKey, Message, PasswordAlgorithm, userhash};

/// The longest username of RFC 8489 §14.3.
const MAX_USERNAME: usize = 508;

/// How a request names its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named<'m> {
    /// USERNAME.
    Name(&'m str),
    /// USERHASH (RFC 8489 §14.4).
    Hash(&'m [u8]),
}

/// How a request is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Means {
    pub(super) algorithm: PasswordAlgorithm,
    pub(super) integrity: Integrity,
}

/// Users and secrets of one realm.
pub(super) struct Accounts {
    realm: Arc<str>,
    users: HashMap<Arc<str>, Keys>,
    /// The users by USERHASH. That of a time-limited user cannot be turned round: there is no
    /// list of them.
    by_hash: HashMap<[u8; 32], Arc<str>>,
    rest_secrets: Vec<String>,
}

/// Without names and keys.
impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("users", &self.users.len())
            .field("rest_secrets", &self.rest_secrets.len())
            .finish_non_exhaustive()
    }
}

/// Of one user, one for each algorithm.
struct Keys {
    md5: LongTermKey,
    sha256: LongTermKey,
}

impl Accounts {
    /// Of nobody yet.
    pub(super) fn new(realm: String) -> Self {
        Self {
            realm: realm.into(),
            users: HashMap::new(),
            by_hash: HashMap::new(),
            rest_secrets: Vec::new(),
        }
    }

    /// Instead of those there are.
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

    pub(super) fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether every user can be found by USERHASH. To offer it to others would lock them out.
    pub(super) fn take_userhash(&self) -> bool {
        self.rest_secrets.is_empty() && !self.users.is_empty()
    }

    /// Whether this name is meant, however it is written.
    pub(super) fn is(&self, name: &str, named: Named<'_>) -> bool {
        match named {
            Named::Name(named) => named == name,
            Named::Hash(hash) => userhash(name, &self.realm) == *hash,
        }
    }

    /// Name and key of whoever made the message, if that is a user of ours who has not expired.
    pub(super) fn find(
        &self,
        named: Named<'_>,
        means: Means,
        message: &Message<'_>,
        unix_s: u64,
    ) -> Option<(Arc<str>, LongTermKey)> {
        let name = match named {
            Named::Name(name) => Some(name),
            Named::Hash(hash) => self.by_hash.get(hash).map(AsRef::as_ref),
        };
        if let Some((name, keys)) = name.and_then(|name| self.users.get_key_value(name)) {
            let key = match means.algorithm {
                PasswordAlgorithm::Md5 => keys.md5.with_integrity(means.integrity),
                PasswordAlgorithm::Sha256 => keys.sha256.with_integrity(means.integrity),
            };
            return message.is_made_with(&key).then(|| (Arc::clone(name), key));
        }
        let Named::Name(name) = named else { return None };
        if name.len() > MAX_USERNAME || is_expired(name, unix_s)? {
            return None;
        }
        let key = |secret: &String| {
            let parts = [name, self.realm.as_ref(), &rest_password(secret, name)];
            LongTermKey::new(means.algorithm, parts, means.integrity)
        };
        let key = self.rest_secrets.iter().map(key).find(|key| message.is_made_with(key))?;
        Some((name.into(), key))
    }
}

/// `None` for a name that is not time-limited.
pub(super) fn is_expired(name: &str, unix_s: u64) -> Option<bool> {
    split_rest_username(name).map(|(expiry, _)| expiry <= unix_s)
}
