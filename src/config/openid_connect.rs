//! The table `[signaling.openid_connect]`: the provider whose accounts may sign in.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Join, Secret};

/// Settings of a provider of OpenID Connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenidConnect {
    /// The URL of the provider, as it writes it itself.
    pub issuer: String,
    /// The id under which this server is registered there.
    pub client_id: String,
    /// The secret for that, unless it is registered as a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// The name of the provider, for people; if absent, its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The scopes to ask for, beside `openid`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim with the name of a new user.
    #[serde(default = "name_claim")]
    pub name_claim: String,
    /// The rights of somebody who is not known and has no invitation.
    #[serde(default)]
    pub join: Join,
    /// The domains of verified e-mail addresses that may sign in; if empty, all.
    #[serde(default)]
    pub email_domains: Vec<String>,
    /// The groups that may sign in; if empty, all accounts.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The claim with the groups of an account.
    #[serde(default = "groups_claim")]
    pub groups_claim: String,
    /// A PEM file with certificates of authorities to trust beside those that browsers trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<PathBuf>,
}

fn scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).to_vec()
}

fn name_claim() -> String {
    "preferred_username".to_owned()
}

fn groups_claim() -> String {
    "groups".to_owned()
}
