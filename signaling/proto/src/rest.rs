//! The bodies of the REST interface under `/api/v1`. Every one is JSON.
//!
//! | route | method | who | body → answer |
//! |---|---|---|---|
//! | `/api/v1/setup` | POST | who has the setup token | [`Setup`] → [`Me`] and a session cookie |
//! | `/api/v1/session` | POST | anybody | [`SignIn`] → [`Me`] and a session cookie |
//! | `/api/v1/session` | GET | signed in | → [`Me`]; 401 otherwise |
//! | `/api/v1/session` | DELETE | signed in | → 204 |
//! | `/api/v1/cameras` | GET | viewer | → [`CameraList`] |
//! | `/api/v1/gateways` | GET | admin | → [`GatewayList`] |
//! | `/api/v1/claims` | POST | admin | → [`Claim`] |
//! | `/api/v1/tokens` | POST | admin | [`NewToken`] → [`Token`] |
//!
//! Every refusal is an [`Error`] with a fitting status.

use crate::{Camera, CameraId, GatewayId};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Watch.
    Viewer,
}

/// Makes the first admin.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct Setup {
    /// The single-use token that the server printed when it first started.
    pub token: String,
    /// A user name.
    pub name: String,
    /// A password of at least 10 characters.
    pub password: String,
}

/// Signs in.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct SignIn {
    /// A user name.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Me {
    /// A user name.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// The cameras that whoever asks may see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct CameraList {
    /// Sorted by name.
    pub cameras: Vec<Camera>,
}

/// A gateway as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Gateway {
    /// The hash of its key.
    pub id: GatewayId,
    /// What people call it.
    pub name: String,
    /// Whether it is connected now.
    pub online: bool,
}

/// All gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GatewayList {
    /// Sorted by name.
    pub gateways: Vec<Gateway>,
}

/// A claim code, by which one gateway can become known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// To be given to `porthole gateway --claim`.
    pub code: String,
    /// How long it can be used.
    pub expires_in_seconds: u32,
}

/// Asks for an API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The only cameras it is for; empty means all.
    #[serde(default)]
    pub cameras: Vec<CameraId>,
    /// When it ends; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expires_in_seconds: Option<u32>,
}

/// An API token, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Token {
    /// For `Authorization: Bearer`.
    pub token: String,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(rename = "ErrorBody")]
pub struct Error {
    /// One sentence that says what to do.
    pub error: String,
}
