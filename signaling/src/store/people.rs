//! The rights of users: how they are stored, and how they change.

use std::collections::BTreeMap;

use porthole_signaling_core::{
    Admitted, CameraUse, Denied, Everything, Granted, Membership, NotGiven, Principal, Viewed,
};
use porthole_signaling_proto::rest::{AuditKind, CameraGrant, Removed, Role, UserAccess};
use porthole_signaling_proto::{CameraAddress, CameraId, GatewayId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteExecutor};

use super::audit::Event;
use super::cameras::in_words;
use super::removals::{Removal, count, remove_given};
use super::tokens::gateway_in;
use super::users::{CREDENTIAL, role};
use super::{Store, StoreError, TokenError, Write};
use crate::driver::now;

/// The columns with the rights of a person, of which the cameras are in another table.
pub(super) const RIGHTS: &str = "role, owner, limited, listen, control";

/// An error when changing a person. Each sentence says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The database could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sender may not change this user.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The sender has less than it wants to give, or it is not certain whose camera is meant.
    #[error(transparent)]
    Given(TokenError),
    /// The user is the only owner, without whom nobody could decide about the server.
    #[error("the last owner stays: make another user an owner first")]
    LastOwner,
    /// The number of invitations that wait is at its limit.
    #[error(
        "64 invitations of one user or token wait to be accepted, or 256 in all: revoke some that \
         are no longer needed"
    )]
    TooManyInvitations,
    /// An admin or owner was to be limited to cameras.
    #[error("only a viewer can be limited to some cameras")]
    LimitedAdmin,
    /// The sender wanted to take its own second factor off without a code.
    #[error(
        "this takes the second factor off others: yours goes with your password and a code, under \
         Account or with `DELETE /api/v1/session/second-factor`"
    )]
    OwnFactor,
    /// The sender wanted a link that resets its own password.
    #[error(
        "this is for the passwords of others: change yours with the present one, under Account or \
         with `PUT /api/v1/session/password`; if you do not know it, ask another administrator"
    )]
    OwnReset,
}

impl From<sqlx::Error> for UserError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<NotGiven> for UserError {
    fn from(error: NotGiven) -> Self {
        Self::Given(error.into())
    }
}

impl From<TokenError> for UserError {
    fn from(error: TokenError) -> Self {
        error.into_store().map_or_else(Self::Given, Self::Store)
    }
}

/// The owner of rights to single cameras: the row whose cameras another table has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holder {
    User(i64),
    Invitation(i64),
}

impl Holder {
    /// Returns the table with the cameras, its column with the id, and the id.
    fn table(self) -> (&'static str, &'static str, i64) {
        match self {
            Self::User(id) => ("user_cameras", "user_id", id),
            Self::Invitation(id) => ("invitation_cameras", "invitation_id", id),
        }
    }
}

impl Store {
    /// Gives a user other rights in place of those that it has. What was started with those ends,
    /// and with a lower role what it has given goes. Returns `None` if there is no such user.
    pub(crate) async fn change_user(
        &self,
        granted: &Granted<Everything>,
        giver: &Admitted,
        user: i64,
        access: &UserAccess,
    ) -> Result<Option<Removal>, UserError> {
        let mut write = self.begin().await?;
        let Some(old) = write.membership_of_user(user).await? else { return Ok(None) };
        granted.over(old.role)?;
        let membership = write.membership(giver, access).await?;
        let gift = giver.give(membership, now())?;
        write.check_credential(gift.principal()).await?;
        let new = gift.object();
        if *new == old {
            return Ok(Some(Removal::default()));
        }
        if old.role == Role::Owner && new.role != Role::Owner {
            write.check_other_owner(user).await?;
        }
        let mut removal = Removal::default();
        // A link to reset the password would give the new rights to whoever has it.
        write.remove_resets(user).await?;
        if new.role == Role::Admin {
            write.remove_ownerships(user, &mut removal).await?;
        }
        if new.role == Role::Viewer {
            remove_given(&mut write, &[format!("user:{user}")], &mut removal).await?;
        }
        let credentials = format!(
            "SELECT 'changed:' || {CREDENTIAL} AS credential FROM browser_sessions \
             WHERE user_id = ?"
        );
        let credentials = sqlx::query(sqlx::AssertSqlSafe(credentials)).bind(user);
        for row in credentials.fetch_all(write.db()).await? {
            removal.credentials.push(row.try_get("credential")?);
        }
        // A trigger gives the user's cookies another version, whatever has changed.
        let (limited, usage) = stored(new);
        sqlx::query(
            "UPDATE users SET role = ?, owner = ?, limited = ?, listen = ?, control = ? \
             WHERE id = ?",
        )
        .bind(role_name(new.role))
        .bind(new.role == Role::Owner)
        .bind(limited)
        .bind(usage.listen)
        .bind(usage.control)
        .bind(user)
        .execute(write.db())
        .await?;
        let query = "DELETE FROM user_cameras WHERE user_id = ?";
        sqlx::query(query).bind(user).execute(write.db()).await?;
        write.insert_cameras(Holder::User(user), new).await?;
        let name = write.name_of_user(user).await?;
        let name = with_change(&name, (old.role, new.role), &removal.removed);
        write.audit(&Event::by(gift.principal(), AuditKind::UserChanged, name)).await?;
        write.commit().await?;
        Ok(Some(removal))
    }
}

impl Write {
    /// Returns the rights that a user has now; `None` if there is no such user.
    pub(super) async fn membership_of_user(
        &mut self,
        user: i64,
    ) -> Result<Option<Membership>, StoreError> {
        let query = format!("SELECT {RIGHTS} FROM users WHERE id = ?");
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(user);
        match query.fetch_optional(self.db()).await? {
            Some(row) => Ok(Some(membership_in(&row, self.db(), Holder::User(user)).await?)),
            None => Ok(None),
        }
    }

    /// Returns the name of a user that exists.
    pub(super) async fn name_of_user(&mut self, user: i64) -> Result<String, StoreError> {
        let query = sqlx::query("SELECT name FROM users WHERE id = ?").bind(user);
        Ok(query.fetch_one(self.db()).await?.try_get("name")?)
    }

    /// Returns the rights that a request means. Each camera is bound to one gateway.
    pub(super) async fn membership(
        &mut self,
        giver: &Admitted,
        access: &UserAccess,
    ) -> Result<Membership, UserError> {
        let UserAccess { role, limited, cameras, listen, control } = access;
        match role {
            Role::Owner | Role::Admin if *limited => Err(UserError::LimitedAdmin),
            Role::Owner | Role::Admin => Ok(Membership::of_role(*role)),
            Role::Viewer if *limited => {
                let mut viewed = BTreeMap::new();
                for CameraGrant { camera: address, listen, control } in cameras {
                    let gateway = gateway_in(self, giver, address).await?;
                    let usage = CameraUse { listen: *listen, control: *control };
                    viewed.insert((gateway, address.camera.clone()), usage);
                }
                Ok(Membership { role: *role, viewed: Viewed::Each(viewed) })
            }
            Role::Viewer => {
                let usage = CameraUse { listen: *listen, control: *control };
                Ok(Membership { role: *role, viewed: Viewed::All(usage) })
            }
        }
    }

    /// Writes down the single cameras of rights, if they are for such.
    pub(super) async fn insert_cameras(
        &mut self,
        of: Holder,
        membership: &Membership,
    ) -> Result<(), StoreError> {
        let Viewed::Each(cameras) = &membership.viewed else { return Ok(()) };
        let (table, column, id) = of.table();
        let query = format!(
            "INSERT INTO {table} ({column}, gateway_id, camera_id, listen, control) \
             VALUES (?, ?, ?, ?, ?)"
        );
        for ((gateway, camera), usage) in cameras {
            sqlx::query(sqlx::AssertSqlSafe(query.clone()))
                .bind(id)
                .bind(gateway.as_str())
                .bind(camera.as_str())
                .bind(usage.listen)
                .bind(usage.control)
                .execute(self.db())
                .await?;
        }
        Ok(())
    }

    /// Removes the invitations by which somebody who is an owner no longer would make owners.
    async fn remove_ownerships(
        &mut self,
        giver: i64,
        removal: &mut Removal,
    ) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM invitations WHERE owner = 1 AND giver = ?");
        let query = query.bind(format!("user:{giver}"));
        removal.removed.invitations += count(query.execute(self.db()).await?.rows_affected());
        Ok(())
    }

    /// Refuses to go on if somebody is this user itself, or has a token of it: what others decide
    /// about an account is not for whoever finds its browser open.
    pub(super) async fn check_other(
        &mut self,
        by: &Principal,
        user: i64,
        own: UserError,
    ) -> Result<(), UserError> {
        let subject = format!("user:{user}");
        // The number after `token:` finds the row of the token.
        let query = "SELECT 1 FROM tokens WHERE id = CAST(substr(?1, 7) AS INTEGER) \
                     AND 'token:' || id = ?1 AND giver = ?2";
        let query = sqlx::query(query).bind(by.origin().to_owned()).bind(subject.clone());
        let is_token = query.fetch_optional(self.db()).await?.is_some();
        if by.subject() == subject || is_token { Err(own) } else { Ok(()) }
    }

    /// Refuses to go on if this user is the only owner.
    pub(super) async fn check_other_owner(&mut self, user: i64) -> Result<(), UserError> {
        let query = "SELECT 1 FROM users WHERE owner = 1 AND id <> ? LIMIT 1";
        let other = sqlx::query(query).bind(user).fetch_optional(self.db()).await?;
        other.map(drop).ok_or(UserError::LastOwner)
    }
}

/// Returns the role of a user; `None` if there is no such user.
pub(super) async fn role_of_user(
    db: impl SqliteExecutor<'_>,
    user: i64,
) -> Result<Option<Role>, StoreError> {
    let query = sqlx::query("SELECT role, owner FROM users WHERE id = ?").bind(user);
    let row = query.fetch_optional(db).await?;
    Ok(row.as_ref().map(role_in).transpose()?)
}

/// Reads the role in a row with the columns `role` and `owner`.
pub(super) fn role_in(row: &SqliteRow) -> Result<Role, sqlx::Error> {
    let is_owner: bool = row.try_get("owner")?;
    Ok(if is_owner { Role::Owner } else { role(row.try_get("role")?) })
}

/// Returns the name of a user whose rights have changed, for the log: with the roles before and
/// after, if the role has changed, and in words what has ended with it.
fn with_change(name: &str, (old, new): (Role, Role), removed: &Removed) -> String {
    if old == new {
        return name.to_owned();
    }
    let word = |role| match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Viewer => "viewer",
    };
    let roles = format!("from {} to {}", word(old), word(new));
    match in_words(removed).as_str() {
        "" => format!("{name} ({roles})"),
        words => format!("{name} ({roles}; ended with it: {words})"),
    }
}

/// Returns the name of a role in the database, where an owner is an admin with a mark.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Owner | Role::Admin => "admin",
        Role::Viewer => "viewer",
    }
}

/// Returns whether rights are for single cameras, and what may be done with all if not.
pub(super) fn stored(membership: &Membership) -> (bool, CameraUse) {
    match &membership.viewed {
        Viewed::All(usage) => (false, *usage),
        Viewed::Each(_) => (true, CameraUse { listen: false, control: false }),
    }
}

/// Reads the rights in a row with the columns [`RIGHTS`], and their cameras.
pub(super) async fn membership_in(
    row: &SqliteRow,
    db: impl SqliteExecutor<'_>,
    of: Holder,
) -> Result<Membership, StoreError> {
    let role = role_in(row)?;
    if role != Role::Viewer {
        return Ok(Membership::of_role(role));
    }
    let usage = CameraUse { listen: row.try_get("listen")?, control: row.try_get("control")? };
    let viewed = match row.try_get("limited")? {
        true => Viewed::Each(cameras(db, of).await?),
        false => Viewed::All(usage),
    };
    Ok(Membership { role, viewed })
}

async fn cameras(
    db: impl SqliteExecutor<'_>,
    of: Holder,
) -> Result<BTreeMap<(GatewayId, CameraId), CameraUse>, StoreError> {
    let (table, column, id) = of.table();
    let query =
        format!("SELECT gateway_id, camera_id, listen, control FROM {table} WHERE {column} = ?");
    let mut cameras = BTreeMap::new();
    for row in sqlx::query(sqlx::AssertSqlSafe(query)).bind(id).fetch_all(db).await? {
        let (gateway, camera): (String, String) =
            (row.try_get("gateway_id")?, row.try_get("camera_id")?);
        let usage = CameraUse { listen: row.try_get("listen")?, control: row.try_get("control")? };
        cameras.extend(gateway.parse().ok().zip(camera.parse().ok()).map(|key| (key, usage)));
    }
    Ok(cameras)
}

/// Returns rights as they are shown in a list.
pub(super) fn shown(membership: &Membership) -> UserAccess {
    let (limited, usage) = stored(membership);
    let cameras = match &membership.viewed {
        Viewed::All(_) => Vec::new(),
        Viewed::Each(cameras) => cameras.iter().map(grant).collect(),
    };
    let CameraUse { listen, control } = usage;
    UserAccess { role: membership.role, limited, cameras, listen, control }
}

fn grant(((gateway, camera), usage): (&(GatewayId, CameraId), &CameraUse)) -> CameraGrant {
    let camera = CameraAddress { camera: camera.clone(), gateway: Some(gateway.clone()) };
    CameraGrant { camera, listen: usage.listen, control: usage.control }
}

#[cfg(test)]
mod tests;
