//! Bodies about credentials: their lists, and what is removed with one.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::Role;
use crate::{CameraAddress, GatewayId};

/// The limits in kbit/s that an access token or share link may have. With less than the first, not
/// even the key frames of a small stream arrive.
pub const MAX_KBIT_PER_S: RangeInclusive<u32> = 64..=1_000_000;

/// A part of what an administrator may do, to which an API token can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Watching, hearing and moving cameras.
    Watch,
    /// Gateways and their cameras: enrolling, naming and removing them, and adding and changing
    /// cameras.
    Gateways,
    /// Users, invitations, sign-ins and API tokens.
    People,
    /// Links that show cameras.
    Shares,
    /// Lists of cameras, gateways, claim codes, users, tokens, invitations, sign-ins and share
    /// links.
    Read,
    /// Reading the audit log.
    Audit,
}

impl Scope {
    /// All scopes, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Watch, Self::Gateways, Self::People, Self::Shares, Self::Read, Self::Audit];

    /// Returns the name as it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Gateways => "gateways",
            Self::People => "people",
            Self::Shares => "shares",
            Self::Read => "read",
            Self::Audit => "audit",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error of a name that is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the scopes are watch, gateways, people, shares, read and audit")]
pub struct NoSuchScope;

impl FromStr for Scope {
    type Err = NoSuchScope;

    fn from_str(text: &str) -> Result<Self, NoSuchScope> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or(NoSuchScope)
    }
}

/// An API token in the list of all. The token itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct TokenInfo {
    /// The number of the token, by which it is revoked.
    #[ts(type = "number")]
    pub id: i64,
    /// The display name.
    pub name: String,
    /// The role that the token has.
    pub role: Role,
    /// True: the token is for its `cameras` only; false: for all.
    pub limited: bool,
    /// The cameras that the token is limited to, each with its gateway.
    pub cameras: Vec<CameraAddress>,
    /// True if the token may turn cameras; admins may anyway.
    pub control: bool,
    /// True if the token may hear cameras.
    pub listen: bool,
    /// The scopes to which an administrator's token is limited; absent if it has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub scopes: Option<Vec<Scope>>,
    /// The most that each gateway sends for the token at a time, in kbit/s; absent if there is no
    /// limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub max_kbit_per_s: Option<u32>,
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
    /// The time at which it ends; absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub expires_s: Option<u64>,
    /// The time at which it was used last, to the minute; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub seen_s: Option<u64>,
}

/// All API tokens, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TokenList {
    /// The list itself, the newest first.
    pub tokens: Vec<TokenInfo>,
}

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SignInInfo {
    /// The id of the sign-in, by which it is revoked.
    pub id: String,
    /// The name of the user.
    pub user: String,
    /// True if it is the one of this request.
    pub current: bool,
    /// The time of the sign-in, in seconds since 1970; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub created_s: Option<u64>,
    /// The time at which it ends.
    #[ts(type = "number")]
    pub expires_s: u64,
    /// The time at which it was used last, to the minute; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub seen_s: Option<u64>,
    /// The address from which the user has signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub address: Option<String>,
    /// The name that the browser gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub browser: Option<String>,
    /// The name of the account at the provider with which the user has signed in; absent without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub account: Option<String>,
}

/// The browsers that are signed in, the latest first: all for an admin, else one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SignInList {
    /// The sign-ins.
    pub sign_ins: Vec<SignInInfo>,
}

/// A claim code that no gateway has used yet. The code itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ClaimInfo {
    /// The id of the claim code, by which it is revoked.
    pub id: String,
    /// The name of the user or token that created it; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub giver: Option<String>,
    /// The user or token that created it, as `user:3` or `token:7`: it is removed with that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub giver_subject: Option<String>,
    /// The time of its creation, in seconds since 1970; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub created_s: Option<u64>,
    /// The time at which it ends.
    #[ts(type = "number")]
    pub expires_s: u64,
    /// The gateway whose place the new one takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub replaces: Option<GatewayId>,
}

/// The claim codes that can be used, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ClaimList {
    /// The claim codes.
    pub claims: Vec<ClaimInfo>,
}

/// Counts of everything that one request has removed, the object itself included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    /// The number of users.
    pub users: u32,
    /// The number of browsers that were signed in.
    pub sign_ins: u32,
    /// The number of tokens: those that it has given, and those that they have given, too.
    pub tokens: u32,
    /// The number of claim codes.
    pub claims: u32,
    /// The number of invitations that nobody has accepted.
    pub invitations: u32,
    /// The number of links that show cameras.
    pub shares: u32,
    /// The number of gateways.
    pub gateways: u32,
    /// The number of cameras.
    pub cameras: u32,
    /// The number of rights of users and tokens to single cameras.
    pub grants: u32,
    /// The number of sessions: pictures that somebody was watching.
    pub sessions: u32,
}

/// The things that a removal would take, if it were made now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Foreseen {
    /// The counts, the object itself included.
    pub removed: Removed,
    /// Names of those that go with the object, some of each kind.
    pub names: RemovedNames,
}

/// Names of access tokens, invitations and share links that a removal takes with it; of each kind
/// [`RemovedNames::MAX`] at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RemovedNames {
    /// Names of access tokens.
    pub tokens: Vec<String>,
    /// Names of people who were invited.
    pub invitations: Vec<String>,
    /// Names of share links.
    pub shares: Vec<String>,
}

impl RemovedNames {
    /// The most names of one kind.
    pub const MAX: usize = 16;
}

impl std::ops::AddAssign for Removed {
    fn add_assign(&mut self, other: Self) {
        let add = |to: &mut u32, more: u32| *to = to.saturating_add(more);
        add(&mut self.users, other.users);
        add(&mut self.sign_ins, other.sign_ins);
        add(&mut self.tokens, other.tokens);
        add(&mut self.claims, other.claims);
        add(&mut self.invitations, other.invitations);
        add(&mut self.shares, other.shares);
        add(&mut self.gateways, other.gateways);
        add(&mut self.cameras, other.cameras);
        add(&mut self.grants, other.grants);
        add(&mut self.sessions, other.sessions);
    }
}
