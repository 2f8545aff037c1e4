//! Bodies of the REST interface under `/api/v1`, all of them JSON.
//!
//! | route | method | access | request → response |
//! |---|---|---|---|
//! | `/api/v1/setup` | POST | setup token | [`Setup`] → [`Me`] and a session cookie |
//! | `/api/v1/session` | POST | anyone | [`SignIn`] → [`Me`] and a session cookie |
//! | `/api/v1/session` | GET | signed in | → [`Me`]; 401 otherwise |
//! | `/api/v1/session` | DELETE | signed in | → 204 |
//! | `/api/v1/session/password` | PUT | user | [`ChangePassword`] → [`Removed`] |
//! | `/api/v1/session/second-factor` | GET | user | → [`SecondFactor`] |
//! | `/api/v1/session/second-factor` | POST | user | [`OwnPassword`] → [`TotpSecret`] |
//! | `/api/v1/session/second-factor` | PUT | user | [`OneCode`] → [`RecoveryCodes`] |
//! | `/api/v1/session/second-factor` | DELETE | user | [`PasswordAndCode`] → 204 |
//! | `/api/v1/session/ways` | GET | anyone | → [`SignInWays`] |
//! | `/api/v1/session/passkey/request` | POST | anyone | → [`PasskeyRequest`] |
//! | `/api/v1/session/passkey` | POST | anyone | [`PasskeySignIn`] → [`Me`] and a session cookie |
//! | `/api/v1/session/passkeys` | GET | user | → [`PasskeyList`] |
//! | `/api/v1/session/passkeys/request` | POST | user | [`OwnProof`] → [`PasskeyCreation`] |
//! | `/api/v1/session/passkeys` | POST | user | [`NewPasskey`] → [`PasskeyInfo`] |
//! | `/api/v1/session/passkeys/{passkey}` | DELETE | user | → [`Removed`] |
//! | `/api/v1/session/provider/request` | POST | anyone | [`ProviderSignIn`] → [`ProviderRequest`] and a cookie |
//! | `/api/v1/session/provider` | POST | anyone | [`ProviderAnswer`] → [`Me`] and a session cookie; 204 if an account was linked |
//! | `/api/v1/session/identities` | GET | user | → [`IdentityList`] |
//! | `/api/v1/session/identities/request` | POST | user | [`OwnProof`] → [`ProviderRequest`] and a cookie |
//! | `/api/v1/session/identities/{identity}` | DELETE | user | → [`Removed`] |
//! | `/api/v1/users/{user}/second-factor` | DELETE | admin | → 204 |
//! | `/api/v1/cameras` | GET | viewer | → [`CameraList`] |
//! | `/api/v1/ice-servers` | GET | viewer | → [`IceServerList`] |
//! | `/api/v1/gateways` | GET | admin | → [`GatewayList`] |
//! | `/api/v1/gateways/{gateway}` | PATCH | admin | [`RenameGateway`] → 204 |
//! | `/api/v1/gateways/{gateway}` | DELETE | admin | → [`Removed`] |
//! | `/api/v1/gateways/{gateway}/removal` | GET | admin | → [`Foreseen`] |
//! | `/api/v1/gateways/{gateway}/cameras/{camera}/removal` | GET | admin | → [`Foreseen`] |
//! | `/api/v1/claims` | GET | admin | → [`ClaimList`] |
//! | `/api/v1/claims` | POST | admin | [`NewClaim`] or nothing → [`Claim`] |
//! | `/api/v1/claims/{claim}` | DELETE | admin | → [`Removed`] |
//! | `/api/v1/tokens` | GET | admin | → [`TokenList`] |
//! | `/api/v1/tokens` | POST | admin | [`NewToken`] → [`Token`] |
//! | `/api/v1/tokens/{token}` | DELETE | admin | → [`Removed`] |
//! | `/api/v1/tokens/{token}/removal` | GET | admin | → [`Foreseen`] |
//! | `/api/v1/audit` | GET | admin | → [`AuditList`] |
//! | `/api/v1/users` | GET | admin | → [`UserList`] |
//! | `/api/v1/users/{user}` | PATCH | admin | [`UserAccess`] → [`Removed`] |
//! | `/api/v1/users/{user}` | DELETE | admin | → [`Removed`] |
//! | `/api/v1/users/{user}/removal` | GET | admin | → [`Foreseen`] |
//! | `/api/v1/users/{user}/sign-ins` | DELETE | admin | → [`Removed`] |
//! | `/api/v1/users/{user}/reset` | POST | admin | → [`Invitation`] |
//! | `/api/v1/invitations` | GET | admin | → [`InvitationList`] |
//! | `/api/v1/invitations` | POST | admin | [`NewInvitation`] → [`Invitation`] |
//! | `/api/v1/invitations/{invitation}` | DELETE | admin | → [`Removed`] |
//! | `/api/v1/invitations/read` | POST | invitation | [`ReadInvitation`] → [`InvitationOffer`] |
//! | `/api/v1/invitations/accept` | POST | invitation | [`AcceptInvitation`] → [`Me`] and a session cookie; 204 if the user has a second factor and has to sign in |
//! | `/api/v1/shares` | GET | admin | → [`ShareList`] |
//! | `/api/v1/shares` | POST | admin | [`NewShare`] → [`ShareLink`] |
//! | `/api/v1/shares/{share}` | DELETE | admin | → [`Removed`] |
//! | `/api/v1/shares/open` | POST | holder of a link | [`OpenShare`] → [`OpenedShare`] |
//! | `/api/v1/sign-ins` | GET | user | → [`SignInList`] |
//! | `/api/v1/sign-ins` | DELETE | user | → [`Removed`] |
//! | `/api/v1/sign-ins/{sign_in}` | DELETE | user | → [`Removed`] |
//!
//! Every refusal is an [`Error`] with a matching status.

mod account;
mod audit;
mod credentials;
mod identities;
mod passkeys;
mod people;
mod shares;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Camera, CameraAddress, GatewayId, IceServer};

pub use account::{
    ChangePassword, OneCode, OwnPassword, OwnProof, PasswordAndCode, RecoveryCodes, SecondFactor,
    TotpSecret,
};
pub use audit::{AuditEvent, AuditKind, AuditList};
pub use credentials::{
    ClaimInfo, ClaimList, Foreseen, MAX_KBIT_PER_S, NoSuchScope, Removed, RemovedNames, Scope,
    SignInInfo, SignInList, TokenInfo, TokenList,
};
pub use identities::{
    IdentityInfo, IdentityList, ProviderAnswer, ProviderInvitation, ProviderRequest,
    ProviderSignIn, SignInProvider,
};
pub use passkeys::{
    NewPasskey, PasskeyCreation, PasskeyInfo, PasskeyList, PasskeyRequest, PasskeySignIn,
    SignInWays,
};
pub use people::{
    AcceptInvitation, CameraGrant, Invitation, InvitationInfo, InvitationList, InvitationOffer,
    NewInvitation, ReadInvitation, UserAccess, UserInfo, UserList,
};
pub use shares::{NewShare, OpenShare, OpenedShare, ShareInfo, ShareLink, ShareList, SharedCamera};

/// The role of a user or token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything, and decides who owns the server. Only people own it, no tokens.
    Owner,
    /// May do everything, except to owners.
    Admin,
    /// May watch cameras.
    Viewer,
}

/// A request to create the first owner.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct Setup {
    /// The single-use token in the setup link that the server prints when it starts.
    pub token: String,
    /// The name of the new user.
    pub name: String,
    /// The password of the new user: at least 10 characters.
    pub password: String,
}

/// A request to sign in.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct SignIn {
    /// The name of the user.
    pub name: String,
    /// The password of the user.
    pub password: String,
    /// The code of the second factor, or a recovery code, if the user has one. Without it the
    /// refusal has `needsCode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub code: Option<String>,
}

/// The user that is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Me {
    /// The name of the user.
    pub name: String,
    /// The role of the user.
    pub role: Role,
}

/// The cameras that the sender of the request may see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct CameraList {
    /// The cameras, sorted by name.
    pub cameras: Vec<Camera>,
}

/// The ICE servers of a viewer that will choose its camera later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct IceServerList {
    /// The servers, with credentials of the sender; empty if the sender may watch no camera.
    pub ice_servers: Vec<IceServer>,
    /// The time for which the credentials begin an allocation, in seconds; 0 without a TURN server.
    #[ts(type = "number")]
    pub lifetime_s: u64,
}

/// Age of a gateway's program, compared with the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Age {
    /// The server speaks a newer protocol.
    Older,
    /// The gateway speaks a newer protocol.
    Newer,
}

/// A gateway as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// The id, a hash of the gateway's key.
    pub id: GatewayId,
    /// The display name.
    pub name: String,
    /// True while the gateway is connected.
    pub online: bool,
    /// The version of its program, once it has connected since the server started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub version: Option<String>,
    /// The age of its program, if that is not the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub age: Option<Age>,
    /// The time at which it has connected or was disconnected last, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub seen_s: Option<u64>,
}

/// A request to name a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RenameGateway {
    /// The new display name.
    pub name: String,
}

/// A request for a claim code. The body may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct NewClaim {
    /// The gateway whose place the new one takes: its name, and the rights to its cameras.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub replaces: Option<GatewayId>,
}

/// All gateways that have enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GatewayList {
    /// The gateways, sorted by name.
    pub gateways: Vec<Gateway>,
}

/// A claim code, with which one gateway can enrol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The code for `porthole gateway --claim`.
    pub code: String,
    /// The time in seconds within which the code can be used.
    pub expires_in_seconds: u32,
    /// The fingerprint of the server's own certificate authority, if it has one: for
    /// `porthole gateway --ca-fingerprint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub ca_fingerprint: Option<String>,
}

/// A request to create an API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    /// The display name of the token.
    pub name: String,
    /// The role that the token has.
    pub role: Role,
    /// The cameras that the token is limited to; if empty, it is for all. Each is bound to one
    /// gateway when the token is created. A camera that no gateway has yet must name its gateway,
    /// unless there is only one.
    #[serde(default)]
    pub cameras: Vec<CameraAddress>,
    /// True: the token may also turn these cameras, and zoom. Admins may anyway.
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub control: bool,
    /// False: the token may not hear the cameras.
    #[serde(default = "may_listen")]
    #[ts(optional, as = "Option<bool>")]
    pub listen: bool,
    /// The parts of what an administrator may do, to which the token is limited; if absent, it may
    /// do everything. Not for a viewer's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub scopes: Option<Vec<Scope>>,
    /// The most that each gateway sends for the token at a time, in kbit/s, 64 to 1 000 000; if
    /// absent, there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub max_kbit_per_s: Option<u32>,
    /// The lifetime in seconds; if absent, the token does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expires_in_seconds: Option<u32>,
}

/// Returns what holds for a token if nothing else is said.
fn may_listen() -> bool {
    true
}

/// A new API token. The server shows it only once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Token {
    /// The token for `Authorization: Bearer`.
    pub token: String,
}

/// The body of a refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(rename = "ErrorBody")]
pub struct Error {
    /// One sentence that says what to do.
    pub error: String,
    /// True if the same request with the code of the second factor may succeed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub needs_code: bool,
    /// True if the same request with the password of the link may succeed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub needs_password: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_hears_cameras_unless_the_request_says_otherwise() {
        for (fields, listen) in
            [("", true), (r#","listen":true"#, true), (r#","listen":false"#, false)]
        {
            let json = format!(r#"{{"name":"n","role":"viewer"{fields}}}"#);
            let new: NewToken = serde_json::from_str(&json).unwrap();
            assert_eq!((new.listen, new.control), (listen, false), "{json}");
        }
    }
}
