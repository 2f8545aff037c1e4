//! Bodies about people: users, what each of them may do, and invitations.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Role, may_listen};
use crate::CameraAddress;

/// A camera that a viewer may watch, and what else it may do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct CameraGrant {
    /// The address of the camera. It is bound to one gateway when it is given; in a list it names
    /// its gateway.
    pub camera: CameraAddress,
    /// False: the viewer may not hear the camera.
    #[serde(default = "may_listen")]
    #[ts(optional, as = "Option<bool>")]
    pub listen: bool,
    /// True: the viewer may also turn the camera, and zoom.
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub control: bool,
}

/// The rights of a user. Owners and admins have all cameras with everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct UserAccess {
    /// The role of the user.
    pub role: Role,
    /// True: a viewer may watch its `cameras` only; false: all, including ones added later.
    pub limited: bool,
    /// The cameras of a viewer that is limited to them; none if it is empty.
    #[serde(default)]
    pub cameras: Vec<CameraGrant>,
    /// False: a viewer of all cameras may not hear them.
    #[serde(default = "may_listen")]
    #[ts(optional, as = "Option<bool>")]
    pub listen: bool,
    /// True: a viewer of all cameras may also turn them, and zoom.
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub control: bool,
}

/// A user in the list of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct UserInfo {
    /// The number of the user.
    #[ts(type = "number")]
    pub id: i64,
    /// The name of the user.
    pub name: String,
    /// The rights of the user.
    #[serde(flatten)]
    pub access: UserAccess,
    /// The time of its creation, in seconds since 1970.
    #[ts(type = "number")]
    pub created_s: u64,
    /// The time at which it was here last, to the minute; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub seen_s: Option<u64>,
    /// The number of browsers that are signed in.
    pub sign_ins: u32,
    /// True if the user has a second factor.
    pub second_factor: bool,
}

/// All users, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct UserList {
    /// The list itself, sorted by name.
    pub users: Vec<UserInfo>,
}

/// A request to invite a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct NewInvitation {
    /// The person that it is for. It is proposed as the name of the user.
    pub name: String,
    /// The rights of the new user.
    #[serde(flatten)]
    pub access: UserAccess,
    /// The lifetime of the link in seconds, at most 30 days; 7 days if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expires_in_seconds: Option<u32>,
}

/// A link that can be used once. The server shows it only now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// The secret token in the link.
    pub token: String,
    /// The link, from the root of the dashboard: a path, and the token in the fragment, which
    /// browsers send to no server.
    pub path: String,
    /// The time in seconds within which the link can be used.
    pub expires_in_seconds: u32,
}

/// An invitation in the list of all. The link itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct InvitationInfo {
    /// The number of the invitation, by which it is revoked.
    #[ts(type = "number")]
    pub id: i64,
    /// The person that it is for.
    pub name: String,
    /// The rights of the new user, or of the one whose password is reset.
    #[serde(flatten)]
    pub access: UserAccess,
    /// True if it is for a user that exists, who sets a new password with it.
    pub reset: bool,
    /// The name of the user or token that created it; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub giver: Option<String>,
    /// The user or token that created it, as `user:3` or `token:7`: it is removed with that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub giver_subject: Option<String>,
    /// The time of its creation, in seconds since 1970.
    #[ts(type = "number")]
    pub created_s: u64,
    /// The time at which it ends.
    #[ts(type = "number")]
    pub expires_s: u64,
}

/// The invitations that can be accepted, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct InvitationList {
    /// The list itself, the newest first.
    pub invitations: Vec<InvitationInfo>,
}

/// A request to read what an invitation offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ReadInvitation {
    /// The token in the link.
    pub token: String,
}

/// The offer to the holder of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct InvitationOffer {
    /// The name that is proposed, or that of the user whose password is reset.
    pub name: String,
    /// The role of the user.
    pub role: Role,
    /// True if the user exists and sets a new password.
    pub reset: bool,
}

/// A request to accept an invitation.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct AcceptInvitation {
    /// The token in the link.
    pub token: String,
    /// The name of the new user; absent for the one that is proposed. A reset does not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
    /// The password: at least 10 characters.
    pub password: String,
}
