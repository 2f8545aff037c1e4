//! The commands on those who have access: tokens, claim codes, invitations, links
//! and users.

use std::path::PathBuf;

use clap::builder::RangedI64ValueParser;
use clap::{Args, Subcommand, ValueEnum};
use porthole_signaling_proto::CameraAddress;
use porthole_signaling_proto::rest::{MAX_KBIT_PER_S, Scope};

use super::DataFlag;
use crate::config::Span;

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Create a token and print it.
    Create(NewToken),
    /// List the tokens: who has given them, when they were used last, and when they end.
    List(DataFlag),
    /// Revoke a token and those that it has given. What is watched with them ends at once.
    Revoke(NumberedToken),
}

#[derive(Debug, Args)]
pub struct NumberedToken {
    #[command(flatten)]
    data: DataFlag,
    /// Number of the token in the list.
    #[arg(value_name = "NUMBER")]
    pub token: i64,
    #[command(flatten)]
    pub asking: Asking,
}

/// The question before a removal. Only at a terminal is it asked.
#[derive(Debug, Args)]
pub struct Asking {
    /// Remove at once, without listing first what goes with it and asking.
    #[arg(short, long)]
    pub yes: bool,
}

/// The permissions of a token.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// May watch cameras.
    Viewer,
    /// May do everything.
    Admin,
}

#[derive(Debug, Args)]
pub struct NewToken {
    #[command(flatten)]
    pub data: DataFlag,
    /// Permissions of the token.
    #[arg(long)]
    pub role: Role,
    /// Display name of the token.
    #[arg(long, value_name = "N")]
    pub name: String,
    /// Restrict the token to this camera: ID, or ID@GATEWAY if several gateways have it
    /// (repeatable).
    #[arg(long = "camera", value_name = "ID")]
    pub cameras: Vec<CameraAddress>,
    /// Allow the token to turn the cameras, and to zoom.
    #[arg(long)]
    pub control: bool,
    /// Let the token see the cameras, but not hear them.
    #[arg(long)]
    pub no_listen: bool,
    /// Limit an administrator's token to this part of what administrators may do: watch, gateways,
    /// people, shares, read or audit (repeatable) [default: everything].
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<Scope>,
    /// Most that each gateway sends for the token at a time, in kbit/s, with everything that is
    /// watched with it [default: unlimited].
    #[arg(long, value_name = "N", value_parser = kbit_per_s())]
    pub max_kbit_per_s: Option<u32>,
    /// Lifetime of the token, such as 15m, 1h or 30d [default: unlimited].
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Span>,
}

/// Parses a limit of a token or link.
fn kbit_per_s() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new()
        .range(i64::from(*MAX_KBIT_PER_S.start())..=i64::from(*MAX_KBIT_PER_S.end()))
}

#[derive(Debug, Subcommand)]
pub enum Claim {
    /// Create a claim code and print it.
    Create(DataFlag),
    /// List the claim codes that can be used.
    List(DataFlag),
    /// Revoke a claim code.
    Revoke(NamedClaim),
}

#[derive(Debug, Args)]
pub struct NamedClaim {
    #[command(flatten)]
    data: DataFlag,
    /// Id of the claim code in the list.
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Debug, Subcommand)]
pub enum Invite {
    /// Create an invitation and print its link, which can be used once.
    Create(NewInvitation),
    /// List the invitations that nobody has accepted yet.
    List(DataFlag),
    /// Revoke an invitation.
    Revoke(NumberedInvitation),
}

#[derive(Debug, Args)]
pub struct NewInvitation {
    #[command(flatten)]
    data: DataFlag,
    /// Person that it is for. It is proposed as the name of the user.
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub access: UserAccess,
    /// Lifetime of the link, such as 1h or 30d, which is the longest [default: 7d].
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Span>,
}

#[derive(Debug, Args)]
pub struct NumberedInvitation {
    #[command(flatten)]
    data: DataFlag,
    /// Number of the invitation in the list.
    #[arg(value_name = "NUMBER")]
    pub invitation: i64,
}

#[derive(Debug, Subcommand)]
pub enum Share {
    /// Make a link with which anybody watches cameras without signing in, and print it.
    Create(NewShare),
    /// List the links that work: who has made them, when they were used last, and when they end.
    List(DataFlag),
    /// Revoke a link. What is watched with it ends at once.
    Revoke(NumberedShare),
}

#[derive(Debug, Args)]
pub struct NewShare {
    #[command(flatten)]
    data: DataFlag,
    /// Name of the link, which is shown with the pictures.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Camera that the link shows: ID, or ID@GATEWAY if several gateways have it (repeatable, at
    /// most 16).
    #[arg(long = "camera", value_name = "ID", required = true)]
    pub cameras: Vec<CameraAddress>,
    /// Let those who have the link hear the cameras, too.
    #[arg(long)]
    pub listen: bool,
    /// Lifetime of the link, such as 15m or 365d, which is the longest [default: 1d].
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Span>,
    /// File whose first line is a password that the link asks for.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Most that each gateway sends at a time to all who use the link, in kbit/s [default:
    /// unlimited].
    #[arg(long, value_name = "N", value_parser = kbit_per_s())]
    pub max_kbit_per_s: Option<u32>,
    /// Make the page for a screen on a wall: pictures only, without controls.
    #[arg(long)]
    pub kiosk: bool,
}

#[derive(Debug, Args)]
pub struct NumberedShare {
    #[command(flatten)]
    data: DataFlag,
    /// Number of the link in the list.
    #[arg(value_name = "NUMBER")]
    pub share: i64,
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// List the users.
    List(DataFlag),
    /// Change the role and the cameras of a user. What it was watching ends at once.
    Change(ChangeUser),
    /// Remove a user, and everything that it has given.
    Remove(RemoveUser),
    /// Sign a user out everywhere.
    SignOut(NamedUser),
    /// Give a user a new password, and sign it out everywhere: the way back from a lost password.
    Reset(ResetUser),
}

#[derive(Debug, Args)]
pub struct NamedUser {
    #[command(flatten)]
    data: DataFlag,
    /// Name of the user.
    #[arg(value_name = "NAME")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct RemoveUser {
    #[command(flatten)]
    pub user: NamedUser,
    #[command(flatten)]
    pub asking: Asking,
}

/// The roles of people.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum UserRole {
    /// May watch cameras.
    Viewer,
    /// May do everything, except to owners.
    Admin,
    /// May do everything, and decides who owns the server.
    Owner,
}

/// The rights of a person.
#[derive(Debug, Args)]
pub struct UserAccess {
    /// Role of the person.
    #[arg(long)]
    pub role: UserRole,
    /// Restrict a viewer to this camera: ID, or ID@GATEWAY if several gateways have it
    /// (repeatable).
    #[arg(long = "camera", value_name = "ID")]
    pub cameras: Vec<CameraAddress>,
    /// Allow a viewer to turn the cameras, and to zoom.
    #[arg(long)]
    pub control: bool,
    /// Let a viewer see the cameras, but not hear them.
    #[arg(long)]
    pub no_listen: bool,
}

#[derive(Debug, Args)]
pub struct ChangeUser {
    #[command(flatten)]
    data: DataFlag,
    /// Name of the user.
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub access: UserAccess,
}

#[derive(Debug, Args)]
pub struct ResetUser {
    #[command(flatten)]
    data: DataFlag,
    /// Name of the user.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// File whose first line is the new password; without it, the program asks on a terminal.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Remove also all tokens, claim codes, invitations and links that the user has given: whoever
    /// had the old password may have given them.
    #[arg(long)]
    pub everything: bool,
}

impl Token {
    pub(super) fn data(&self) -> &DataFlag {
        match self {
            Self::Create(flags) => &flags.data,
            Self::List(data) => data,
            Self::Revoke(flags) => &flags.data,
        }
    }
}

impl Claim {
    pub(super) fn data(&self) -> &DataFlag {
        match self {
            Self::Create(data) | Self::List(data) => data,
            Self::Revoke(flags) => &flags.data,
        }
    }
}

impl Invite {
    pub(super) fn data(&self) -> &DataFlag {
        match self {
            Self::Create(flags) => &flags.data,
            Self::List(data) => data,
            Self::Revoke(flags) => &flags.data,
        }
    }
}

impl Share {
    pub(super) fn data(&self) -> &DataFlag {
        match self {
            Self::Create(flags) => &flags.data,
            Self::List(data) => data,
            Self::Revoke(flags) => &flags.data,
        }
    }
}

impl User {
    pub(super) fn data(&self) -> &DataFlag {
        match self {
            Self::List(data) => data,
            Self::Remove(flags) => &flags.user.data,
            Self::SignOut(flags) => &flags.data,
            Self::Change(flags) => &flags.data,
            Self::Reset(flags) => &flags.data,
        }
    }
}
