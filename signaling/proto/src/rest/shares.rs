//! Bodies about shares: links with which anybody watches some cameras until an hour, without
//! signing in.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::CameraAddress;

/// A camera that a link shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SharedCamera {
    /// The address of the camera. It is bound to one gateway when the link is made; in a list it
    /// names its gateway.
    pub camera: CameraAddress,
    /// True: the holder of the link also hears the camera.
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub listen: bool,
}

/// A request to make a link.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct NewShare {
    /// The display name, which the holder of the link sees, too.
    pub name: String,
    /// The cameras that it shows, 1 to 16.
    pub cameras: Vec<SharedCamera>,
    /// The lifetime of the link in seconds, at most a year; a day if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expires_in_seconds: Option<u32>,
    /// The password without which the link shows nothing: at least 10 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub password: Option<String>,
    /// The most that each gateway sends at a time to all who use the link, in kbit/s, 64 to
    /// 1 000 000; if absent, there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub max_kbit_per_s: Option<u32>,
    /// True: the page is for a screen on a wall. It shows pictures without controls, and asks for
    /// the password once.
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub kiosk: bool,
}

/// A link that shows cameras. The server shows it only now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ShareLink {
    /// The secret token in the link.
    pub token: String,
    /// The link, from the root of the dashboard: a path, and the token in the fragment, which
    /// browsers send to no server.
    pub path: String,
    /// The time in seconds for which the link works.
    pub expires_in_seconds: u32,
}

/// A share in the list of all. The link itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ShareInfo {
    /// The number of the share, by which it is revoked.
    #[ts(type = "number")]
    pub id: i64,
    /// The display name.
    pub name: String,
    /// The cameras that it shows, each with its gateway.
    pub cameras: Vec<SharedCamera>,
    /// True if it has a password.
    pub password: bool,
    /// True if its page is for a screen on a wall.
    pub kiosk: bool,
    /// The most that each gateway sends at a time to all who use it, in kbit/s; absent if there is
    /// no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub max_kbit_per_s: Option<u32>,
    /// The name of the user or token that created it; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub giver: Option<String>,
    /// The user or token that created it, such as `user:1`; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub giver_subject: Option<String>,
    /// The time of its creation, in seconds since 1970.
    #[ts(type = "number")]
    pub created_s: u64,
    /// The time at which it ends.
    #[ts(type = "number")]
    pub expires_s: u64,
    /// The time at which it was used last, to the minute; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub seen_s: Option<u64>,
}

/// The shares whose links work, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ShareList {
    /// The list itself, the newest first.
    pub shares: Vec<ShareInfo>,
}

/// A request of the holder of a link to use it.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct OpenShare {
    /// The token in the link, or the one of an [`OpenedShare`] that is used again.
    pub token: String,
    /// The password. Without it, the refusal has `needsPassword` if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub password: Option<String>,
}

/// A share that can be watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct OpenedShare {
    /// The access token with which to watch, as with any other. With a password it says that the
    /// password was right, and does so for a day, for a screen on a wall as long as the link works.
    pub token: String,
    /// The display name.
    pub name: String,
    /// True if the page is for a screen on a wall.
    pub kiosk: bool,
    /// The time in seconds for which the link still works.
    pub expires_in_seconds: u32,
}
