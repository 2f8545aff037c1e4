//! The commands that administer a server in its data folder: tokens, claim codes, users and
//! gateways. They may write to the database while the server runs.

mod reset;
pub mod share;
mod table;

use anyhow::ensure;
use porthole_signaling::admin;
use porthole_signaling_proto::CameraAddress;
use porthole_signaling_proto::rest;
use porthole_signaling_proto::rest::Removed;

use crate::admin::table::{Row, ago, print_table, until};
use crate::cli::{
    Asking, Claim, Invite, ManageGateways, NewToken, Role, Token, User, UserAccess, UserRole,
};
use crate::config::Config;
use crate::{console, data, signaling};

/// Runs `porthole token`.
pub async fn token(config: &Config, command: &Token) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    match command {
        Token::Create(flags) => {
            let token = admin::create_token(&config.data, new_token(flags)).await?.token;
            console::print_line(token)
        }
        Token::List(_) => {
            let tokens = admin::tokens(&config.data).await?;
            print_table(
                ["NUMBER", "NAME", "ROLE", "CAMERAS", "GIVEN BY", "LAST USED", "ENDS", "AT MOST"],
                tokens.iter().map(token_row),
            )
        }
        Token::Revoke(flags) => {
            if asks(&flags.asking) {
                confirm(admin::foresee_token(&config.data, flags.token).await?)?;
            }
            print_removed(admin::revoke_token(&config.data, flags.token).await?)
        }
    }
}

/// Runs `porthole claim`.
pub async fn claim(config: &Config, command: &Claim) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    match command {
        Claim::Create(_) => console::print_line(admin::create_claim(&config.data).await?.code),
        Claim::List(_) => {
            let claims = admin::claims(&config.data).await?;
            let row = |claim: &rest::ClaimInfo| {
                let giver = claim.giver.clone().unwrap_or_default();
                let replaces = claim.replaces.as_ref().map(ToString::to_string);
                let created = ago(claim.created_s);
                let end = until(Some(claim.expires_s));
                [claim.id.clone(), giver, created, end, replaces.unwrap_or_default()]
            };
            print_table(["ID", "GIVEN BY", "CREATED", "ENDS", "REPLACES"], claims.iter().map(row))
        }
        Claim::Revoke(flags) => print_removed(admin::revoke_claim(&config.data, &flags.id).await?),
    }
}

/// Runs `porthole invite`.
pub async fn invite(config: &Config, command: &Invite) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    match command {
        Invite::Create(flags) => {
            let new = rest::NewInvitation {
                name: flags.name.clone(),
                access: user_access(&flags.access),
                expires_in_seconds: flags.expires.map(|expires| expires.seconds),
            };
            print_link(config, &admin::invite(&config.data, &new).await?.path)
        }
        Invite::List(_) => {
            let invitations = admin::invitations(&config.data).await?;
            let row = |one: &rest::InvitationInfo| {
                let what = if one.reset { "new password" } else { role_name(one.access.role) };
                let giver = one.giver.clone().unwrap_or_default();
                let (what, end) = (what.to_owned(), until(Some(one.expires_s)));
                [one.id.to_string(), one.name.clone(), what, cameras(&one.access), giver, end]
            };
            let names = ["NUMBER", "NAME", "FOR", "CAMERAS", "GIVEN BY", "ENDS"];
            print_table(names, invitations.iter().map(row))
        }
        Invite::Revoke(flags) => {
            print_removed(admin::revoke_invitation(&config.data, flags.invitation).await?)
        }
    }
}

/// Prints a link below the address of the dashboard.
fn print_link(config: &Config, path: &str) -> anyhow::Result<()> {
    let public = config.signaling.public_url.as_ref();
    let base = public.map(|url| url.as_str().trim_end_matches('/').to_owned());
    let base = base.unwrap_or_else(|| signaling::dashboard_url(config));
    console::print_line(format_args!("{base}{path}"))
}

/// Runs `porthole user`.
pub async fn user(config: &Config, command: &User) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    match command {
        User::List(_) => {
            let (users, _) = admin::users(&config.data).await?;
            let row = |user: &rest::UserInfo| {
                let (role, cameras) =
                    (role_name(user.access.role).to_owned(), cameras(&user.access));
                [user.name.clone(), role, cameras, user.sign_ins.to_string(), ago(user.seen_s)]
            };
            let names = ["NAME", "ROLE", "CAMERAS", "SIGN-INS", "LAST SEEN"];
            print_table(names, users.iter().map(row))
        }
        User::Change(flags) => {
            let access = user_access(&flags.access);
            print_removed(admin::change_user(&config.data, &flags.name, &access).await?)
        }
        User::Remove(flags) => {
            let name = &flags.user.name;
            if asks(&flags.asking) {
                confirm(admin::foresee_user(&config.data, name).await?)?;
            }
            print_removed(admin::remove_user(&config.data, name).await?)
        }
        User::SignOut(flags) => {
            print_removed(admin::sign_user_out(&config.data, &flags.name).await?)
        }
        User::Reset(flags) => reset::run(config, flags).await,
    }
}

/// Runs `porthole gateway list` and `porthole gateway remove`.
pub async fn gateways(config: &Config, command: &ManageGateways) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    match command {
        ManageGateways::List(_) => {
            let gateways = admin::gateways(&config.data).await?;
            let rows = gateways.iter().map(|gateway| {
                let cameras: Vec<_> =
                    gateway.cameras.iter().map(|camera| camera.id.to_string()).collect();
                let (id, name) = (gateway.id.to_string(), gateway.name.clone());
                [id, name, ago(gateway.seen_s), cameras.join(" ")]
            });
            print_table(["ID", "NAME", "LAST SEEN", "CAMERAS"], rows)
        }
        ManageGateways::Remove(flags) => {
            if asks(&flags.asking) {
                confirm(admin::foresee_gateway(&config.data, &flags.gateway).await?)?;
            }
            print_removed(admin::remove_gateway(&config.data, &flags.gateway).await?)
        }
    }
}

/// Runs `porthole audit`.
pub async fn audit(config: &Config) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    let events = admin::audit(&config.data).await?;
    let row = |event: &rest::AuditEvent| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (kind, times) = (event.kind.name().to_owned(), event.count.to_string());
        let (actor, object, address) =
            (text(&event.actor), text(&event.object), text(&event.address));
        [ago(Some(event.last_s)), times, kind, actor, object, address]
    };
    print_table(["WHEN", "TIMES", "WHAT", "BY", "ABOUT", "FROM"], events.iter().map(row))
}

fn new_token(flags: &NewToken) -> rest::NewToken {
    rest::NewToken {
        name: flags.name.clone(),
        role: match flags.role {
            Role::Viewer => rest::Role::Viewer,
            Role::Admin => rest::Role::Admin,
        },
        cameras: flags.cameras.clone(),
        control: flags.control,
        listen: !flags.no_listen,
        scopes: (!flags.scopes.is_empty()).then(|| flags.scopes.clone()),
        max_kbit_per_s: flags.max_kbit_per_s,
        expires_in_seconds: flags.expires.map(|expires| expires.seconds),
    }
}

fn user_access(flags: &UserAccess) -> rest::UserAccess {
    let (listen, control) = (!flags.no_listen, flags.control);
    let grant =
        |camera: &CameraAddress| rest::CameraGrant { camera: camera.clone(), listen, control };
    rest::UserAccess {
        role: match flags.role {
            UserRole::Viewer => rest::Role::Viewer,
            UserRole::Admin => rest::Role::Admin,
            UserRole::Owner => rest::Role::Owner,
        },
        limited: !flags.cameras.is_empty(),
        cameras: flags.cameras.iter().map(grant).collect(),
        listen,
        control,
    }
}

/// Returns the cameras of a person in words.
fn cameras(access: &rest::UserAccess) -> String {
    if !access.limited {
        return "all".to_owned();
    }
    let cameras: Vec<_> = access.cameras.iter().map(|grant| grant.camera.to_string()).collect();
    if cameras.is_empty() { "none".to_owned() } else { cameras.join(" ") }
}

fn token_row(token: &rest::TokenInfo) -> Row<8> {
    let cameras: Vec<_> = token.cameras.iter().map(ToString::to_string).collect();
    let cameras = if token.limited { cameras.join(" ") } else { "all".to_owned() };
    [
        token.id.to_string(),
        token.name.clone(),
        role_and_scopes(token),
        cameras,
        token.giver.clone().unwrap_or_default(),
        ago(token.seen_s),
        until(token.expires_s),
        table::rate(token.max_kbit_per_s),
    ]
}

/// Returns the role of a token and, if it is limited to scopes, these.
fn role_and_scopes(token: &rest::TokenInfo) -> String {
    let role = role_name(token.role);
    let Some(scopes) = &token.scopes else { return role.to_owned() };
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
    format!("{role}: {}", scopes.join(" "))
}

fn role_name(role: rest::Role) -> &'static str {
    match role {
        rest::Role::Owner => "owner",
        rest::Role::Admin => "admin",
        rest::Role::Viewer => "viewer",
    }
}

/// Returns true if somebody is asked, which nobody can be without a terminal.
fn asks(asking: &Asking) -> bool {
    !asking.yes && console::can_ask()
}

/// Lists what a removal takes, and asks. Sessions are not counted here: the server has them.
fn confirm(removed: Removed) -> anyhow::Result<()> {
    let question = format_args!(
        "This is removed: {}. Pictures that are watched with it stop.\nRemove it?",
        in_words(removed)
    );
    ensure!(console::ask(question)?, "nothing was removed");
    Ok(())
}

/// Prints what was removed. The sessions are not counted here: the running server ends them.
fn print_removed(removed: Removed) -> anyhow::Result<()> {
    console::print_line(format_args!("removed: {}", in_words(removed)))
}

/// Returns everything that a removal takes in words, without sessions.
fn in_words(removed: Removed) -> String {
    let Removed { users, sign_ins, tokens, claims, invitations, shares, .. } = removed;
    let Removed { gateways, cameras, grants, sessions: _, .. } = removed;
    let parts: Vec<_> = [
        (users, "user"),
        (sign_ins, "sign-in"),
        (tokens, "token"),
        (claims, "claim code"),
        (invitations, "invitation"),
        (shares, "link"),
        (gateways, "gateway"),
        (cameras, "camera"),
        (grants, "right to a camera"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, name)| format!("{count} × {name}"))
    .collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}
