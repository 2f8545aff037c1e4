//! Authentication of requests: long-term credentials (RFC 8489 §9.2), static or time-limited, and
//! access tokens (RFC 7635).

use std::sync::Arc;

use porthole_clock::Now;

use super::FiveTuple;
use super::accounts::{Accounts, AuthMethod, ClaimedUser, is_expired};
use super::nonce::{Features, Nonces};
use super::oauth::{OauthKey, Tokens};
use crate::credentials::split_rest_username;
use crate::stun::{
    ErrorCode, Integrity, LongTermKey, Message, Method, PasswordAlgorithm, attribute,
};

/// The algorithms in our PASSWORD-ALGORITHMS, the preferred one first.
pub(super) const PASSWORD_ALGORITHMS: [PasswordAlgorithm; 2] =
    [PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5];

/// Bytes of a token's key that coturn's clients use for HMAC-SHA1, as if it were the MD5 of a
/// password.
const COTURN_SESSION_KEY_LEN: usize = 16;

/// The authenticated user of a request.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) username: Arc<str>,
    pub(super) key: LongTermKey,
    algorithm: PasswordAlgorithm,
    /// True if the credentials were derived from a secret.
    is_time_limited: bool,
    token: Option<TokenHolder>,
}

/// The user of an access token.
#[derive(Clone, Debug)]
struct TokenHolder {
    /// The user to count for the quota. Not the username: it names a key that all clients of a
    /// third party share.
    quota_user: Arc<str>,
    /// End of the token's validity in seconds since 1970.
    until_s: u64,
}

impl Identity {
    /// Returns the lifetime, shortened so that the allocation does not outlive the token that made
    /// or prolonged it (RFC 7635 §5). At least 1 s.
    pub(super) fn bounded_lifetime(&self, lifetime_s: u32, now: Now) -> u32 {
        let until_s = self.token.as_ref().map(|token| token.until_s);
        let left = until_s.map(|until_s| until_s.saturating_sub(now.unix_s).max(1));
        left.map_or(lifetime_s, |left| lifetime_s.min(u32::try_from(left).unwrap_or(u32::MAX)))
    }

    /// Returns the end of time-limited credentials with which an allocation is requested, in
    /// seconds since 1970.
    pub(super) fn expiry_s(&self, method: Method) -> Option<u64> {
        let allocates = matches!(method, Method::Allocate) && self.is_time_limited;
        split_rest_username(&self.username).filter(|_| allocates).map(|(expiry_s, _)| expiry_s)
    }

    /// Returns true if this is the time-limited user with this id.
    pub(super) fn is_time_limited_user(&self, user_id: &str) -> bool {
        let user = split_rest_username(&self.username).filter(|_| self.is_time_limited);
        user.is_some_and(|(_, user)| user == user_id)
    }

    /// Returns true if the user has an access token; the next token will have another key.
    pub(super) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Returns true if `next` may take over an allocation of this user. Tokens of one client may
    /// be sealed with different keys, and only a Refresh makes the next one the owner.
    pub(super) const fn may_be_taken_over_by(&self, next: &Self, method: Method) -> bool {
        self.has_token() && next.has_token() && matches!(method, Method::Refresh)
    }

    /// Returns true if both are the same user. Users with tokens of one third party share a
    /// username but are different users.
    pub(super) fn is_same_user(&self, other: &Self) -> bool {
        self.username == other.username && self.quota_user() == other.quota_user()
    }

    /// Returns the user to count for the quota. Time-limited usernames of one user differ in their
    /// expiry; each token counts as a user of its own.
    pub(super) fn quota_user(&self) -> &str {
        if let Some(token) = &self.token {
            return &token.quota_user;
        }
        match split_rest_username(&self.username) {
            Some((_, user)) if !user.is_empty() => user,
            Some(_) | None => &self.username,
        }
    }
}

/// The error in response to an unauthenticated request. All but 400 carry realm and a fresh nonce.
pub(super) type Challenge = ErrorCode;

/// Checks credentials; keeps no state of clients.
pub(super) struct Authenticator {
    accounts: Accounts,
    tokens: Tokens,
    nonces: Nonces,
    strict_expiry: bool,
}

impl std::fmt::Debug for Authenticator {
    /// Shows the realm, but no names or secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("realm", &self.realm()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Creates an authenticator that knows no users yet.
    pub(super) fn new(realm: String, nonces: Nonces) -> Self {
        let accounts = Accounts::new(realm);
        Self { accounts, tokens: Tokens::default(), nonces, strict_expiry: false }
    }

    /// Replaces all users and secrets.
    pub(super) fn set_credentials(
        &mut self,
        users: Vec<(String, String)>,
        rest_secrets: Vec<String>,
        strict_expiry: bool,
    ) {
        self.accounts.set(users, rest_secrets);
        self.strict_expiry = strict_expiry;
    }

    /// Refuses the credentials of a time-limited user until the last of them has expired.
    pub(super) fn end_user(&mut self, user_id: &str, until_s: u64, now: Now) {
        self.accounts.end(user_id, until_s, now.unix_s);
    }

    /// Replaces the keys of access tokens.
    pub(super) fn set_oauth_keys(&mut self, keys: &[OauthKey]) {
        self.tokens = Tokens::new(keys);
    }

    /// Returns true if access tokens of a third party are accepted.
    pub(super) fn accepts_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    pub(super) fn realm(&self) -> &str {
        self.accounts.realm()
    }

    /// Returns the security features of a full challenge (RFC 8489 §9.2.1).
    pub(super) fn features(&self) -> Features {
        Features::Algorithms { userhash: self.accounts.accepts_userhash() }
    }

    pub(super) fn nonce(&self, client: &FiveTuple, now: Now, features: Features) -> Vec<u8> {
        self.nonces.make(client, now.unix_s, features)
    }

    /// Returns true if the message carries a valid nonce of this client, which shows that it
    /// receives what is sent to its address.
    pub(super) fn has_proved_its_address(
        &self,
        client: &FiveTuple,
        message: &Message<'_>,
        now: Now,
    ) -> bool {
        let nonce = message.first(attribute::NONCE);
        nonce.is_some_and(|n| self.nonces.check(n.value, client, now.unix_s).is_some())
    }

    /// Returns the user that signed the request.
    ///
    /// `owner` is the user that made the allocation of this client, if there is one. Its
    /// credentials were valid then and may have expired since: an allocation may outlive them.
    pub(super) fn authenticate(
        &self,
        client: &FiveTuple,
        message: &Message<'_>,
        owner: Option<&Identity>,
        now: Now,
    ) -> Result<Identity, Challenge> {
        let integrity = message.integrity().ok_or(ErrorCode::UNAUTHENTICATED)?;
        let (named, nonce) = named(message).ok_or(ErrorCode::BAD_REQUEST)?;
        // Check the nonce first: it is cheaper than the password, and it stops forged source
        // addresses.
        let features = self.nonces.check(nonce, client, now.unix_s);
        let features = features.ok_or(ErrorCode::STALE_NONCE)?;
        if let Some(token) = message.first(attribute::ACCESS_TOKEN) {
            let found = self.authenticate_token(named, token.value, message, now);
            return found.ok_or(ErrorCode::UNAUTHENTICATED);
        }
        let algorithm = chosen_algorithm(message, features)?;
        let method = AuthMethod { algorithm, integrity };
        let same = |owner: &&Identity| {
            owner.algorithm == algorithm
                && owner.key.integrity() == integrity
                && self.accounts.is_named(&owner.username, named)
        };
        if let Some(owner) = owner.filter(same) {
            let good = message.has_valid_integrity(&owner.key)
                && !self.outlives_credentials(owner, message, now);
            return if good { Ok(owner.clone()) } else { Err(ErrorCode::UNAUTHENTICATED) };
        }
        let found = self.accounts.find(named, method, message, now.unix_s);
        let (username, key) = found.ok_or(ErrorCode::UNAUTHENTICATED)?;
        let is_time_limited = !self.accounts.has_user(&username);
        Ok(Identity { username, key, algorithm, is_time_limited, token: None })
    }

    /// Returns the end of the time-limited credentials with which a message is signed, if they have
    /// expired, in seconds since 1970.
    pub(super) fn expired(&self, message: &Message<'_>, now: Now) -> Option<u64> {
        let (ClaimedUser::Name(name), _) = named(message)? else { return None };
        let chosen = message.first(attribute::PASSWORD_ALGORITHM);
        let algorithm = chosen.and_then(|chosen| PasswordAlgorithm::decode(chosen.value));
        let algorithm = algorithm.unwrap_or(PasswordAlgorithm::Md5);
        let method = AuthMethod { algorithm, integrity: message.integrity()? };
        self.accounts.expired(name, method, message, now.unix_s)
    }

    /// Returns the user of an access token, who must know the key sealed in it (RFC 7635 §5).
    fn authenticate_token(
        &self,
        named: ClaimedUser<'_>,
        token: &[u8],
        message: &Message<'_>,
        now: Now,
    ) -> Option<Identity> {
        let (ClaimedUser::Name(kid), Some(integrity)) = (named, message.integrity()) else {
            return None;
        };
        let granted = self.tokens.open(kid, self.realm(), token, integrity, now.unix_s)?;
        let short = granted.key.as_bytes().get(..COTURN_SESSION_KEY_LEN);
        let short = short.filter(|_| integrity == Integrity::Sha1);
        let short = short.and_then(|key| LongTermKey::from_bytes(key, integrity));
        let keys = [Some(granted.key), short];
        let key = keys.into_iter().flatten().find(|key| message.has_valid_integrity(key))?;
        let quota_user = format!("{kid} {:x?}", granted.token_id).into();
        let token = TokenHolder { quota_user, until_s: granted.until_s };
        let algorithm = PasswordAlgorithm::Md5;
        let (is_time_limited, token) = (false, Some(token));
        Some(Identity { username: kid.into(), key, algorithm, is_time_limited, token })
    }

    /// Returns true if the request would prolong an allocation beyond the end of its credentials.
    /// A token never may; other credentials may unless expiry is strict. Ending the allocation is
    /// always allowed.
    fn outlives_credentials(&self, owner: &Identity, message: &Message<'_>, now: Now) -> bool {
        let is_over = match &owner.token {
            Some(token) => token.until_s <= now.unix_s,
            None => self.strict_expiry && is_expired(&owner.username, now.unix_s) == Some(true),
        };
        is_over
            && message.method() == Method::Refresh
            && message.u32(attribute::LIFETIME) != Ok(Some(0))
    }
}

/// Returns the user that the message names, and its nonce. `None` if one of the attributes that
/// authentication needs is missing (RFC 8489 §9.2.4).
fn named<'m>(message: &Message<'m>) -> Option<(ClaimedUser<'m>, &'m [u8])> {
    let name = message.text(attribute::USERNAME).ok()?.map(ClaimedUser::Name);
    let hash = message.first(attribute::USERHASH).map(|hash| ClaimedUser::Hash(hash.value));
    message.text(attribute::REALM).ok()??;
    let nonce = message.first(attribute::NONCE)?;
    Some((name.or(hash)?, nonce.value))
}

/// Returns the password algorithm that the client chose, MD5 by default. A choice must be among
/// the algorithms of the challenge, and they must be repeated unchanged (RFC 8489 §9.2.4).
fn chosen_algorithm(
    message: &Message<'_>,
    features: Features,
) -> Result<PasswordAlgorithm, Challenge> {
    let listed = message.first(attribute::PASSWORD_ALGORITHMS).map(|a| a.value);
    let chosen = message.first(attribute::PASSWORD_ALGORITHM).map(|a| a.value);
    match (features, listed, chosen) {
        (Features::None, _, _) | (Features::Algorithms { .. }, None, None) => {
            Ok(PasswordAlgorithm::Md5)
        }
        (Features::Algorithms { .. }, Some(listed), Some(chosen))
            if *listed == *PASSWORD_ALGORITHMS.map(PasswordAlgorithm::encode).as_flattened() =>
        {
            PasswordAlgorithm::decode(chosen).ok_or(ErrorCode::BAD_REQUEST)
        }
        (Features::Algorithms { .. }, _, _) => Err(ErrorCode::BAD_REQUEST),
    }
}
