//! Bodies about passkeys (WebAuthn). Bytes are written in base64url without padding.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::SignInProvider;

/// The ways to sign in that the server offers beside name and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SignInWays {
    /// The origin whose pages may use passkeys; absent if the server has no domain with HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub passkey_origin: Option<String>,
    /// The provider whose accounts sign in, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub provider: Option<SignInProvider>,
}

/// A request of the server to sign in with a passkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PasskeyRequest {
    /// The challenge, which can be answered once and for five minutes.
    pub challenge: String,
    /// The domain that passkeys belong to (the RP ID).
    pub site: String,
}

/// A request to sign in with a passkey: what the browser returned.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PasskeySignIn {
    /// The id of the passkey.
    pub credential: String,
    /// The handle of the user (`userHandle`).
    pub user_handle: String,
    /// The data that the browser has written about the request (`clientDataJSON`).
    pub client_data: String,
    /// The data of the authenticator.
    pub authenticator_data: String,
    /// The signature over both.
    pub signature: String,
}

/// A request of the server to make a passkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PasskeyCreation {
    /// The challenge, which can be answered once and for five minutes.
    pub challenge: String,
    /// The domain that the passkey will belong to (the RP ID).
    pub site: String,
    /// The handle of the user.
    pub user_handle: String,
    /// The name of the user.
    pub user_name: String,
    /// The algorithms that count (COSE), the best first.
    pub algorithms: Vec<i32>,
    /// The passkeys that the user has. A device with one of them makes no other.
    pub exclude: Vec<String>,
}

/// A request to store a new passkey: what the browser returned.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct NewPasskey {
    /// The name by which the user knows it.
    pub name: String,
    /// The data that the browser has written about the request (`clientDataJSON`).
    pub client_data: String,
    /// The attestation object with the public key.
    pub attestation: String,
}

/// A passkey in the list of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PasskeyInfo {
    /// The number of the passkey, by which it is removed.
    #[ts(type = "number")]
    pub id: i64,
    /// The name that its user gave it.
    pub name: String,
    /// The time of its creation, in seconds since 1970.
    #[ts(type = "number")]
    pub created_s: u64,
    /// The time of the last sign-in with it; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub seen_s: Option<u64>,
    /// True if it may be on several devices of the user; false if it stays on one.
    pub synced: bool,
}

/// The own passkeys, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PasskeyList {
    /// The list itself, the oldest first.
    pub passkeys: Vec<PasskeyInfo>,
    /// The origin whose pages may make passkeys, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub origin: Option<String>,
    /// One sentence that says why no passkeys can be made, if there is no such origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub unavailable: Option<String>,
}
