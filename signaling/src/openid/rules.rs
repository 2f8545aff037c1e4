//! Rules for accounts of the provider: which of them may sign in here, and under which name.

use porthole_signaling_proto::names::is_shown;
use serde_json::Value;

use super::id_token::Claims;
use crate::config::OpenidConnect;

/// The claim with the address, and the one that says if the provider has verified it.
pub(super) const EMAIL: &str = "email";
pub(super) const EMAIL_VERIFIED: &str = "email_verified";
/// The longest name of a user.
const MAX_NAME_CHARS: usize = 64;
/// Claims that may have a name if the configured one has none.
const OTHER_NAMES: [&str; 4] = ["preferred_username", "nickname", "name", "email"];

/// An account of the provider that may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) issuer: String,
    /// The id of the account at the issuer, which stays the same.
    pub(crate) subject: String,
    /// The name of the account, which may change.
    pub(crate) name: String,
}

/// A reason why an account may not sign in, although it is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    /// The address is none of the configured domains, or the provider has not verified it.
    #[error("your account there has no verified e-mail address of a domain that may sign in here")]
    Domain,
    /// The account is in none of the configured groups.
    #[error("your account there is in no group that may sign in here")]
    Group,
}

/// Returns true if the statements lack one that the configuration needs, so that the provider has
/// to be asked for more.
pub(super) fn lacks_claims(config: &OpenidConnect, claims: &Claims) -> bool {
    let lacks = |name: &str| !claims.all.contains_key(name);
    lacks(&config.name_claim)
        || (!config.email_domains.is_empty() && (lacks(EMAIL) || lacks(EMAIL_VERIFIED)))
        || (!config.groups.is_empty() && lacks(&config.groups_claim))
}

/// Returns the account, if it may sign in here.
pub(super) fn admit(config: &OpenidConnect, claims: Claims) -> Result<Account, Forbidden> {
    if !config.email_domains.is_empty() && !has_domain(&config.email_domains, &claims) {
        return Err(Forbidden::Domain);
    }
    if !config.groups.is_empty() && !has_group(config, &claims) {
        return Err(Forbidden::Group);
    }
    let name = name_of(config, &claims);
    Ok(Account { issuer: config.issuer.clone(), subject: claims.subject, name })
}

/// Returns true if the provider has verified an address of one of these domains. An address that
/// anybody can have typed proves nothing.
fn has_domain(domains: &[String], claims: &Claims) -> bool {
    let is_verified = claims.all.get(EMAIL_VERIFIED) == Some(&Value::Bool(true));
    let email = claims.all.get(EMAIL).and_then(Value::as_str).unwrap_or_default();
    let domain = email.rsplit_once('@').map(|(_, domain)| domain);
    let is_listed = |domain: &str| domains.iter().any(|one| one.eq_ignore_ascii_case(domain));
    is_verified && domain.is_some_and(is_listed)
}

fn has_group(config: &OpenidConnect, claims: &Claims) -> bool {
    let is_listed = |group: &Value| config.groups.iter().any(|one| group.as_str() == Some(one));
    match claims.all.get(&config.groups_claim) {
        Some(Value::Array(groups)) => groups.iter().any(is_listed),
        Some(group) => is_listed(group),
        None => false,
    }
}

/// Returns the name that a new user gets, and by which people know the account.
fn name_of(config: &OpenidConnect, claims: &Claims) -> String {
    let claim = |name: &&str| claims.all.get(*name).and_then(Value::as_str);
    let candidates = [config.name_claim.as_str()].into_iter().chain(OTHER_NAMES);
    let usable = candidates.filter_map(|name| claim(&name)).map(plain);
    let mut usable = usable.filter(|name| !name.is_empty());
    usable.next().unwrap_or_else(|| plain(&claims.subject))
}

/// Returns the beginning of a text, as far as it can be a name of a user.
fn plain(text: &str) -> String {
    let shown: String = text.trim().chars().filter(|letter| is_shown(*letter)).collect();
    shown.trim().chars().take(MAX_NAME_CHARS).collect::<String>().trim().to_owned()
}
