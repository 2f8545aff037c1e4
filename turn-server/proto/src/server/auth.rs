//! Who asks: long-term credentials (RFC 8489 §9.2), static or time-limited.

use porthole_clock::Now;
use std::sync::Arc;

use super::FiveTuple;
use super::accounts::{Accounts, Means, Named, is_expired};
use super::nonce::{Nonces, Offer};
use super::oauth::{OauthKey, Tokens};
use crate::credentials::split_rest_username;
use crate::stun::{
    ErrorCode, Integrity, LongTermKey, Message, Method, PasswordAlgorithm, attribute,
};

/// PASSWORD-ALGORITHMS: what we take, the better one first.
pub(super) const PASSWORD_ALGORITHMS: [PasswordAlgorithm; 2] =
    [PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5];

/// coturn's clients use so much of a token's key for HMAC-SHA1, as if it were of a password.
const COTURN_SESSION_KEY_LEN: usize = 16;

/// Somebody who proved to know a password.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) username: Arc<str>,
    pub(super) key: LongTermKey,
    algorithm: PasswordAlgorithm,
    token: Option<TokenHolder>,
}

/// Who was let in by a token.
#[derive(Clone, Debug)]
struct TokenHolder {
    /// The username is that of a key, which all of a third party's clients give.
    quota_user: Arc<str>,
    /// Seconds since 1970.
    until_s: u64,
}

impl Identity {
    /// An allocation does not outlive the token that made or prolonged it (RFC 7635 §5).
    pub(super) fn bounded_lifetime(&self, lifetime_s: u32, now: Now) -> u32 {
        let until_s = self.token.as_ref().map(|token| token.until_s);
        let left = until_s.map(|until_s| until_s.saturating_sub(now.unix_s).max(1));
        left.map_or(lifetime_s, |left| lifetime_s.min(u32::try_from(left).unwrap_or(u32::MAX)))
    }

    /// Whether it is a token's: the next one brings another key.
    pub(super) const fn is_tokens(&self) -> bool {
        self.token.is_some()
    }

    /// Whether the other one may take this one's allocation over: tokens of one client may be
    /// sealed with different keys, and only a Refresh makes the next one the owner.
    pub(super) const fn is_followed_by(&self, next: &Self, method: Method) -> bool {
        self.is_tokens() && next.is_tokens() && matches!(method, Method::Refresh)
    }

    /// Whether both are one user, not two with tokens of one third party: those share a username.
    pub(super) fn is_same_user(&self, other: &Self) -> bool {
        self.username == other.username && self.quota_user() == other.quota_user()
    }

    /// Whom the quota counts: time-limited usernames of one user differ in their expiry, and each
    /// token is somebody of its own.
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

/// Why a request is not taken. All but 400 carry realm and a fresh nonce.
pub(super) type Challenge = ErrorCode;

/// Checks credentials; remembers nobody.
pub(super) struct Authenticator {
    accounts: Accounts,
    tokens: Tokens,
    nonces: Nonces,
    strict_expiry: bool,
}

impl std::fmt::Debug for Authenticator {
    /// Without names and secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("realm", &self.realm()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Of nobody yet.
    pub(super) fn new(realm: String, nonces: Nonces) -> Self {
        let accounts = Accounts::new(realm);
        Self { accounts, tokens: Tokens::default(), nonces, strict_expiry: false }
    }

    /// Instead of those there are.
    pub(super) fn set_credentials(
        &mut self,
        users: Vec<(String, String)>,
        rest_secrets: Vec<String>,
        strict_expiry: bool,
    ) {
        self.accounts.set(users, rest_secrets);
        self.strict_expiry = strict_expiry;
    }

    /// Instead of those there are.
    pub(super) fn set_oauth_keys(&mut self, keys: &[OauthKey]) {
        self.tokens = Tokens::new(keys);
    }

    /// Whether a third party's tokens are taken.
    pub(super) fn takes_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    pub(super) fn realm(&self) -> &str {
        self.accounts.realm()
    }

    /// What a challenge with all that RFC 8489 has to offer offers.
    pub(super) fn offer(&self) -> Offer {
        Offer::Algorithms { userhash: self.accounts.take_userhash() }
    }

    pub(super) fn nonce(&self, client: &FiveTuple, now: Now, offer: Offer) -> Vec<u8> {
        self.nonces.make(client, now.unix_s, offer)
    }

    /// Whether the message shows a nonce of this client: it receives what is sent to its address.
    pub(super) fn has_proved_its_address(
        &self,
        client: &FiveTuple,
        message: &Message<'_>,
        now: Now,
    ) -> bool {
        let nonce = message.first(attribute::NONCE);
        nonce.is_some_and(|n| self.nonces.check(n.value, client, now.unix_s).is_some())
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
        let integrity = message.integrity().ok_or(ErrorCode::UNAUTHENTICATED)?;
        let (named, nonce) = named(message).ok_or(ErrorCode::BAD_REQUEST)?;
        // Before the password: cheaper, and a forged source gets no further.
        let offer = self.nonces.check(nonce, client, now.unix_s);
        let offer = offer.ok_or(ErrorCode::STALE_NONCE)?;
        if let Some(token) = message.first(attribute::ACCESS_TOKEN) {
            let found = self.of_token(named, token.value, message, now);
            return found.ok_or(ErrorCode::UNAUTHENTICATED);
        }
        let algorithm = chosen_algorithm(message, offer)?;
        let means = Means { algorithm, integrity };
        let same = |owner: &&Identity| {
            owner.algorithm == algorithm
                && owner.key.integrity() == integrity
                && self.accounts.is(&owner.username, named)
        };
        if let Some(owner) = owner.filter(same) {
            let good = message.is_made_with(&owner.key) && !self.is_too_late(owner, message, now);
            return if good { Ok(owner.clone()) } else { Err(ErrorCode::UNAUTHENTICATED) };
        }
        let found = self.accounts.find(named, means, message, now.unix_s);
        let (username, key) = found.ok_or(ErrorCode::UNAUTHENTICATED)?;
        Ok(Identity { username, key, algorithm, token: None })
    }

    /// Whoever knows the key inside of the token (RFC 7635 §5).
    fn of_token(
        &self,
        named: Named<'_>,
        token: &[u8],
        message: &Message<'_>,
        now: Now,
    ) -> Option<Identity> {
        let (Named::Name(kid), Some(integrity)) = (named, message.integrity()) else { return None };
        let granted = self.tokens.open(kid, self.realm(), token, integrity, now.unix_s)?;
        let short = granted.key.as_bytes().get(..COTURN_SESSION_KEY_LEN);
        let short = short.filter(|_| integrity == Integrity::Sha1);
        let short = short.and_then(|key| LongTermKey::from_bytes(key, integrity));
        let keys = [Some(granted.key), short];
        let key = keys.into_iter().flatten().find(|key| message.is_made_with(key))?;
        let quota_user = format!("{kid} {:x?}", granted.token_id).into();
        let token = TokenHolder { quota_user, until_s: granted.until_s };
        let algorithm = PasswordAlgorithm::Md5;
        Some(Identity { username: kid.into(), key, algorithm, token: Some(token) })
    }

    /// With strict expiry nobody prolongs an allocation beyond the credentials' end; a token never
    /// does. To end it is always allowed.
    fn is_too_late(&self, owner: &Identity, message: &Message<'_>, now: Now) -> bool {
        let is_over = match &owner.token {
            Some(token) => token.until_s <= now.unix_s,
            None => self.strict_expiry && is_expired(&owner.username, now.unix_s) == Some(true),
        };
        is_over
            && message.method() == Method::Refresh
            && message.u32(attribute::LIFETIME) != Ok(Some(0))
    }
}

/// Whom the message names, and its nonce; `None` when it lacks what it needs (RFC 8489 §9.2.4).
fn named<'m>(message: &Message<'m>) -> Option<(Named<'m>, &'m [u8])> {
    let name = message.text(attribute::USERNAME).ok()?.map(Named::Name);
    let hash = message.first(attribute::USERHASH).map(|hash| Named::Hash(hash.value));
    message.text(attribute::REALM).ok()??;
    let nonce = message.first(attribute::NONCE)?;
    Some((name.or(hash)?, nonce.value))
}

/// RFC 8489 §9.2.4: without a choice it is MD5; a choice must be among what was offered, and the
/// offer must be repeated as it was made.
fn chosen_algorithm(message: &Message<'_>, offer: Offer) -> Result<PasswordAlgorithm, Challenge> {
    let offered = message.first(attribute::PASSWORD_ALGORITHMS).map(|a| a.value);
    let chosen = message.first(attribute::PASSWORD_ALGORITHM).map(|a| a.value);
    match (offer, offered, chosen) {
        (Offer::Plain, _, _) | (Offer::Algorithms { .. }, None, None) => Ok(PasswordAlgorithm::Md5),
        (Offer::Algorithms { .. }, Some(offered), Some(chosen))
            if *offered == *PASSWORD_ALGORITHMS.map(PasswordAlgorithm::encode).as_flattened() =>
        {
            PasswordAlgorithm::decode(chosen).ok_or(ErrorCode::BAD_REQUEST)
        }
        (Offer::Algorithms { .. }, _, _) => Err(ErrorCode::BAD_REQUEST),
    }
}
