//! Invitations: links with which a person becomes a user, or sets a new password, once.

use std::net::IpAddr;
use std::time::Duration;

use porthole_signaling_core::{Admitted, Everything, Granted, Membership, Principal};
use porthole_signaling_proto::rest::{
    AuditKind, Invitation, InvitationInfo, InvitationOffer, NewInvitation, Removed, Role,
};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::audit::Event;
use super::credentials::{giver_of, sign_out, time};
use super::people::{Holder, RIGHTS, UserError, membership_in, role_in, role_name, shown, stored};
use super::removals::Removal;
use super::users::{Means, User};
use super::{OfUsers, Store, StoreError, Write, seconds, unix_s};
use crate::driver::now;
use crate::openid::Account;
use crate::secret;

/// Lifetime of an invitation, unless its giver says otherwise.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest lifetime of an invitation.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Lifetime of a link that resets a password.
const RESET_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The most invitations that wait to be accepted, links for a new password included.
const MAX_INVITATIONS: i64 = 256;
/// The most of them that one user, or one token and those that count as it, has given.
const MAX_INVITATIONS_OF_GIVER: i64 = 64;
/// The most users of a server.
const MAX_USERS: i64 = 1024;

/// The result of accepting an invitation.
#[derive(Debug)]
pub(crate) enum Acceptance {
    /// The link is wrong, has expired, was revoked or was used before.
    Unknown,
    /// Another user has the name.
    NameTaken,
    /// The server has as many users as it can have.
    TooManyUsers,
    /// The account at the provider is that of a user already.
    Linked,
    /// The account at the provider was that of a user who was removed.
    Removed,
    /// The account at the provider was linked to a user who is still there.
    Unlinked,
    /// The person is a new user, who has shown this.
    Joined(User, Means),
    /// The user has a new password, and is signed out everywhere.
    Reset(User, Removal),
}

/// The means by which a new user will sign in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry<'a> {
    /// A password with this hash.
    Password(&'a str),
    /// An account at the provider.
    Identity(&'a Account),
}

/// A row of `invitations` without its rights.
struct Row<'a> {
    name: &'a str,
    /// The user whose password it resets.
    user: Option<i64>,
    giver: &'a Principal,
    lifetime: Duration,
}

impl Store {
    /// Creates an invitation that gives no more than its giver has.
    pub(crate) async fn create_invitation(
        &self,
        giver: &Admitted,
        new: &NewInvitation,
    ) -> Result<Invitation, UserError> {
        let longest = u32::try_from(MAX_LIFETIME.as_secs()).unwrap_or(u32::MAX);
        let lifetime = new
            .expires_in_seconds
            .map_or(LIFETIME, |seconds| Duration::from_secs(u64::from(seconds.min(longest))));
        let mut write = self.begin().await?;
        let membership = write.membership(giver, &new.access).await?;
        let gift = giver.give(membership, now())?;
        write.check_credential(gift.principal()).await?;
        let giver = gift.principal();
        let row = Row { name: &new.name, user: None, giver, lifetime };
        let invitation = write.insert_invitation(&row, gift.object()).await?;
        let kind = AuditKind::InvitationCreated;
        write.audit(&Event::by(giver, kind, new.name.as_str())).await?;
        write.commit().await?;
        Ok(invitation)
    }

    /// Creates a link with which a user sets a new password. Whoever has the link has what the user
    /// has, so it is given as that is. Returns `None` if there is no such user.
    pub(crate) async fn create_reset(
        &self,
        giver: &Admitted,
        user: i64,
    ) -> Result<Option<Invitation>, UserError> {
        let mut write = self.begin().await?;
        let Some(membership) = write.membership_of_user(user).await? else { return Ok(None) };
        let gift = giver.give(membership, now())?;
        write.check_credential(gift.principal()).await?;
        write.check_other(gift.principal(), user, UserError::OwnReset).await?;
        let name = write.name_of_user(user).await?;
        write.remove_resets(user).await?;
        let (giver, lifetime) = (gift.principal(), RESET_LIFETIME);
        let row = Row { name: &name, user: Some(user), giver, lifetime };
        let invitation = write.insert_invitation(&row, gift.object()).await?;
        let kind = AuditKind::InvitationCreated;
        write.audit(&Event::by(giver, kind, name.as_str())).await?;
        write.commit().await?;
        Ok(Some(invitation))
    }

    /// Returns the invitations that can be accepted, the newest first.
    pub(crate) async fn invitations(
        &self,
        _: &Granted<Everything>,
    ) -> Result<Vec<InvitationInfo>, StoreError> {
        let query = format!(
            "SELECT id, name, user_id, {RIGHTS}, created_s, expires_s, {} FROM invitations \
             WHERE expires_s > ? ORDER BY id DESC LIMIT {MAX_INVITATIONS}",
            giver_of("invitations")
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(seconds(unix_s()));
        let mut invitations = Vec::new();
        for row in query.fetch_all(&self.read).await? {
            let id = row.try_get("id")?;
            let membership = membership_in(&row, &self.read, Holder::Invitation(id)).await?;
            let user: Option<i64> = row.try_get("user_id")?;
            invitations.push(InvitationInfo {
                id,
                name: row.try_get("name")?,
                access: shown(&membership),
                reset: user.is_some(),
                giver: row.try_get("giver")?,
                giver_subject: row.try_get("giver_subject")?,
                created_s: time(&row, "created_s")?.unwrap_or_default(),
                expires_s: time(&row, "expires_s")?.unwrap_or_default(),
            });
        }
        Ok(invitations)
    }

    /// Removes an invitation that nobody has accepted. Returns `None` if there is no such
    /// invitation.
    pub(crate) async fn remove_invitation(
        &self,
        granted: &Granted<Everything>,
        invitation: i64,
    ) -> Result<Option<Removal>, StoreError> {
        let mut write = self.begin_by(granted.principal()).await?;
        let query = "DELETE FROM invitations WHERE id = ? RETURNING name";
        let query = sqlx::query(query).bind(invitation);
        let Some(row) = query.fetch_optional(write.db()).await? else { return Ok(None) };
        let name: String = row.try_get("name")?;
        let kind = AuditKind::InvitationRevoked;
        write.audit(&Event::by(granted.principal(), kind, name)).await?;
        write.commit().await?;
        let removed = Removed { invitations: 1, ..Removed::default() };
        Ok(Some(Removal { removed, ..Removal::default() }))
    }

    /// Returns what the holder of a link is offered; `None` if the link is not valid.
    pub(crate) async fn read_invitation(
        &self,
        token: &str,
    ) -> Result<Option<InvitationOffer>, StoreError> {
        let query = sqlx::query(VALID).bind(secret::hash(token)).bind(seconds(unix_s()));
        let Some(row) = query.fetch_optional(&self.read).await? else { return Ok(None) };
        let user: Option<i64> = row.try_get("user_id")?;
        let (name, role) = (row.try_get("name")?, role_in(&row)?);
        Ok(Some(InvitationOffer { name, role, reset: user.is_some() }))
    }

    /// Uses an invitation up: creates the user, or gives the one that there is a new password.
    pub(crate) async fn accept_invitation(
        &self,
        token: &str,
        name: &str,
        entry: Entry<'_>,
        address: IpAddr,
    ) -> Result<Acceptance, StoreError> {
        let mut write = self.begin().await?;
        let query = sqlx::query(VALID).bind(secret::hash(token)).bind(seconds(unix_s()));
        let Some(row) = query.fetch_optional(write.db()).await? else {
            return Ok(Acceptance::Unknown);
        };
        let acceptance = match (row.try_get("user_id")?, entry) {
            (Some(user), Entry::Password(hash)) => write.reset_password(user, hash).await?,
            // The link is for a password.
            (Some(_), Entry::Identity(_)) => Acceptance::Unknown,
            (None, entry) => write.join(&row, name, entry).await?,
        };
        let event = match &acceptance {
            Acceptance::Joined(user, _) => {
                Some(Event::of_invited(user, row.try_get("giver")?, address))
            }
            Acceptance::Reset(user, _) => {
                let mut event = Event::of_user(user, AuditKind::UserReset, address);
                event.object = Some(user.name.clone());
                Some(event)
            }
            Acceptance::Unknown
            | Acceptance::NameTaken
            | Acceptance::TooManyUsers
            | Acceptance::Linked
            | Acceptance::Removed
            | Acceptance::Unlinked => None,
        };
        if let Some(event) = event {
            write.audit(&event).await?;
            let id: i64 = row.try_get("id")?;
            let query = sqlx::query("DELETE FROM invitations WHERE id = ?").bind(id);
            query.execute(write.db()).await?;
            write.commit().await?;
        }
        Ok(acceptance)
    }
}

/// The query for the invitation with a hash, if it can be accepted now.
const VALID: &str = "SELECT id, name, user_id, giver, role, owner, limited, listen, control \
    FROM invitations WHERE hash = ? AND expires_s > ?";

impl Write {
    async fn insert_invitation(
        &mut self,
        Row { name, user, giver, lifetime }: &Row<'_>,
        membership: &Membership,
    ) -> Result<Invitation, UserError> {
        let now_s = unix_s();
        self.check_room_for_invitation(giver, now_s).await?;
        let token = secret::new_setup_token();
        let id = self.next_id("invitation").await?;
        let (limited, usage) = stored(membership);
        let query = format!(
            "INSERT INTO invitations \
             (id, hash, name, user_id, giver, created_s, expires_s, {RIGHTS}) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(id)
            .bind(secret::hash(&token))
            .bind(*name)
            .bind(*user)
            .bind(giver.subject())
            .bind(seconds(now_s))
            .bind(seconds(now_s + lifetime.as_secs()))
            .bind(role_name(membership.role))
            .bind(membership.role == Role::Owner)
            .bind(limited)
            .bind(usage.listen)
            .bind(usage.control)
            .execute(self.db())
            .await?;
        self.insert_cameras(Holder::Invitation(id), membership).await?;
        let path = format!("/invitation#t={token}");
        let expires_in_seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        Ok(Invitation { token, path, expires_in_seconds })
    }

    /// Forgets invitations that have expired, and refuses more than may wait.
    async fn check_room_for_invitation(
        &mut self,
        giver: &Principal,
        now_s: u64,
    ) -> Result<(), UserError> {
        let query = sqlx::query("DELETE FROM invitations WHERE expires_s <= ?");
        query.bind(seconds(now_s)).execute(self.db()).await?;
        // The number after `token:` finds the row of the token.
        let query = "SELECT COUNT(*) AS waiting, COALESCE(SUM(COALESCE( \
                     (SELECT 'token:' || counted_as FROM tokens \
                     WHERE id = CAST(substr(invitations.giver, 7) AS INTEGER) \
                     AND 'token:' || id = invitations.giver), \
                     invitations.giver) = ?), 0) AS own FROM invitations";
        let row = sqlx::query(query).bind(giver.account()).fetch_one(self.db()).await?;
        let (waiting, own): (i64, i64) = (row.try_get("waiting")?, row.try_get("own")?);
        let is_full = waiting >= MAX_INVITATIONS || own >= MAX_INVITATIONS_OF_GIVER;
        if is_full { Err(UserError::TooManyInvitations) } else { Ok(()) }
    }

    /// Makes the links invalid that reset the password of a user.
    pub(super) async fn remove_resets(&mut self, user: i64) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM invitations WHERE user_id = ?").bind(user);
        query.execute(self.db()).await?;
        Ok(())
    }

    async fn join(
        &mut self,
        row: &SqliteRow,
        name: &str,
        entry: Entry<'_>,
    ) -> Result<Acceptance, StoreError> {
        let invitation = Holder::Invitation(row.try_get("id")?);
        let membership = membership_in(row, self.db(), invitation).await?;
        self.add_user(name, entry, &membership).await
    }

    /// Creates a user with these rights.
    pub(super) async fn add_user(
        &mut self,
        name: &str,
        entry: Entry<'_>,
        membership: &Membership,
    ) -> Result<Acceptance, StoreError> {
        let query = "SELECT COUNT(*) AS users, COALESCE(SUM(name = ?), 0) AS same FROM users";
        let found = sqlx::query(query).bind(name).fetch_one(self.db()).await?;
        if found.try_get::<i64, _>("same")? > 0 {
            return Ok(Acceptance::NameTaken);
        }
        if found.try_get::<i64, _>("users")? >= MAX_USERS {
            return Ok(Acceptance::TooManyUsers);
        }
        // The empty text is the hash of no password.
        let password_hash = match entry {
            Entry::Password(hash) => hash,
            Entry::Identity(_) => "",
        };
        let (limited, usage) = stored(membership);
        let id = self.next_id("user").await?;
        let query = format!(
            "INSERT INTO users (id, name, password, created_s, {RIGHTS}) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(id)
            .bind(name)
            .bind(password_hash)
            .bind(seconds(unix_s()))
            .bind(role_name(membership.role))
            .bind(membership.role == Role::Owner)
            .bind(limited)
            .bind(usage.listen)
            .bind(usage.control)
            .execute(self.db())
            .await?;
        self.insert_cameras(Holder::User(id), membership).await?;
        if membership.role == Role::Owner {
            // The setup link is for a server without an owner.
            sqlx::query("DELETE FROM setup_tokens").execute(self.db()).await?;
        }
        let means = match entry {
            Entry::Password(_) => Means::Password,
            Entry::Identity(account) => match self.link(id, account).await? {
                Some(identity) => Means::Identity(identity),
                None => return Ok(Acceptance::Linked),
            },
        };
        let (name, password_hash) = (name.to_owned(), password_hash.to_owned());
        Ok(Acceptance::Joined(User { id, name, password_hash, role: membership.role }, means))
    }

    async fn reset_password(
        &mut self,
        user: i64,
        password_hash: &str,
    ) -> Result<Acceptance, StoreError> {
        let query = "UPDATE users SET password = ? WHERE id = ? RETURNING name, role, owner";
        let query = sqlx::query(query).bind(password_hash).bind(user);
        let Some(row) = query.fetch_optional(self.db()).await? else {
            return Ok(Acceptance::Unknown);
        };
        let mut removal = Removal::default();
        sign_out(self, OfUsers::One(user), None, &mut removal).await?;
        self.remove_resets(user).await?;
        self.remove_passkeys(user).await?;
        self.remove_identities(user).await?;
        self.remove_unconfirmed_factor(user).await?;
        let (name, role) = (row.try_get("name")?, role_in(&row)?);
        let password_hash = password_hash.to_owned();
        Ok(Acceptance::Reset(User { id: user, name, password_hash, role }, removal))
    }
}

#[cfg(test)]
mod tests;
