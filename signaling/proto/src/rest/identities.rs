//! Bodies about accounts at a provider of OpenID Connect, with which users sign in.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The provider whose accounts sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SignInProvider {
    /// The name of the provider, for people.
    pub name: String,
    /// The origin of the pages to which the provider sends browsers back: nobody signs in with it
    /// elsewhere.
    pub origin: String,
}

/// A request to sign in at the provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ProviderSignIn {
    /// The invitation to accept with the account; without one, an account that is linked signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub invitation: Option<ProviderInvitation>,
}

/// An invitation that is accepted with an account of the provider, in place of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ProviderInvitation {
    /// The token of the link.
    pub token: String,
    /// The name of the new user; without one, that of the invitation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
}

/// The address at which a browser signs in. It has ten minutes to come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ProviderRequest {
    /// The address, which is of the provider.
    pub url: String,
}

/// The parameters with which the provider has sent the browser back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ProviderAnswer {
    /// The value by which the request is known.
    pub state: String,
    /// The code, which counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub code: Option<String>,
    /// The issuer of the answer, if the provider names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub iss: Option<String>,
    /// The reason why there is no code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub error: Option<String>,
}

/// An account that is linked to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct IdentityInfo {
    /// The number of the link, by which it is removed.
    #[ts(type = "number")]
    pub id: i64,
    /// The issuer of the account.
    pub issuer: String,
    /// The name of the account when it was used last.
    pub name: String,
    /// The time at which it was linked, in seconds since 1970.
    #[ts(type = "number")]
    pub created_s: u64,
    /// The time of the last sign-in with it; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub seen_s: Option<u64>,
}

/// The accounts that are linked to the own user, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct IdentityList {
    /// The list itself, the oldest first.
    pub identities: Vec<IdentityInfo>,
    /// The provider whose accounts can be linked, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub provider: Option<SignInProvider>,
}
