//! Accounts at a provider of OpenID Connect that are linked to users.

use std::net::IpAddr;

use porthole_signaling_core::{Membership, Principal};
use porthole_signaling_proto::rest::{AuditKind, IdentityInfo};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::audit::Event;
use super::credentials::time;
use super::invitations::{Acceptance, Entry};
use super::people::{UserError, role_in};
use super::removals::Removal;
use super::users::{CREDENTIAL, User};
use super::{Store, StoreError, Write, seconds, unix_s};
use crate::openid::Account;

/// The most accounts that are linked to a user: one at each provider that the server has had.
const MAX_OF_USER: i64 = 8;

/// The result of linking an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linking {
    Linked,
    /// The account is linked to this user or another one.
    Taken,
    TooMany,
}

/// The result of unlinking an account.
#[derive(Debug)]
pub(crate) enum Unlinking {
    Unlinked(Removal),
    /// The user has no such account.
    Unknown,
    /// The user has no password, so that nobody could sign in.
    LastWay,
}

impl Store {
    /// Returns the accounts that are linked to a user, the oldest first.
    pub(crate) async fn identities(&self, user: i64) -> Result<Vec<IdentityInfo>, StoreError> {
        let query = "SELECT id, issuer, name, created_s, seen_s FROM identities \
                     WHERE user_id = ? ORDER BY id";
        let rows = sqlx::query(query).bind(user).fetch_all(&self.read).await?;
        rows.iter().map(info).collect()
    }

    /// Returns the user of an account and the number of the link, and notes the use.
    pub(crate) async fn use_identity(
        &self,
        account: &Account,
    ) -> Result<Option<(User, i64)>, StoreError> {
        let mut write = self.begin().await?;
        let query = "UPDATE identities SET name = ?, seen_s = ? \
                     WHERE issuer = ? AND subject = ? RETURNING id, user_id";
        let query = sqlx::query(query)
            .bind(&account.name)
            .bind(seconds(unix_s()))
            .bind(&account.issuer)
            .bind(&account.subject);
        let rows = query.fetch_all(write.db()).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (identity, user): (i64, i64) = (row.try_get("id")?, row.try_get("user_id")?);
        let query = "SELECT name, password, role, owner FROM users WHERE id = ?";
        let row = sqlx::query(query).bind(user).fetch_one(write.db()).await?;
        let user = User {
            id: user,
            name: row.try_get("name")?,
            password_hash: row.try_get("password")?,
            role: role_in(&row)?,
        };
        write.commit().await?;
        Ok(Some((user, identity)))
    }

    /// Makes somebody with an account a user with these rights, without an invitation. Whoever was
    /// removed does not come back so, and whoever has unlinked the account does not become a second
    /// user with other rights.
    pub(crate) async fn join_with_identity(
        &self,
        account: &Account,
        membership: &Membership,
        address: IpAddr,
    ) -> Result<Acceptance, StoreError> {
        let mut write = self.begin().await?;
        let query = "SELECT user_id IN (SELECT id FROM users) AS there FROM former_accounts \
                     WHERE issuer = ? AND subject = ?";
        let former = sqlx::query(query).bind(&account.issuer).bind(&account.subject);
        if let Some(former) = former.fetch_optional(write.db()).await? {
            let is_there: bool = former.try_get("there")?;
            return Ok(if is_there { Acceptance::Unlinked } else { Acceptance::Removed });
        }
        let entry = Entry::Identity(account);
        let acceptance = write.add_user(&account.name, entry, membership).await?;
        if let Acceptance::Joined(user, _) = &acceptance {
            write.audit(&Event::of_user(user, AuditKind::UserJoined, address)).await?;
            write.commit().await?;
        }
        Ok(acceptance)
    }

    /// Links an account to the user who is signed in.
    pub(crate) async fn add_identity(
        &self,
        own: &Principal,
        user: i64,
        account: &Account,
    ) -> Result<Linking, UserError> {
        let mut write = self.begin_by(own).await?;
        let query = "SELECT COUNT(*) AS count FROM identities WHERE user_id = ?";
        let row = sqlx::query(query).bind(user).fetch_one(write.db()).await?;
        if row.try_get::<i64, _>("count")? >= MAX_OF_USER {
            return Ok(Linking::TooMany);
        }
        if write.link(user, account).await?.is_none() {
            return Ok(Linking::Taken);
        }
        let name = account.name.as_str();
        write.audit(&Event::by(own, AuditKind::IdentityAdded, name)).await?;
        write.commit().await?;
        Ok(Linking::Linked)
    }

    /// Unlinks an account from the user who is signed in, and signs the browsers out that have
    /// signed in with it.
    pub(crate) async fn remove_identity(
        &self,
        own: &Principal,
        user: i64,
        identity: i64,
    ) -> Result<Unlinking, StoreError> {
        let mut write = self.begin_by(own).await?;
        let mut removal = Removal::default();
        let query = format!(
            "DELETE FROM browser_sessions WHERE identity_id = ? AND user_id = ? \
             RETURNING {CREDENTIAL} AS credential"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(identity).bind(user);
        for row in query.fetch_all(write.db()).await? {
            removal.removed.sign_ins += 1;
            removal.credentials.push(row.try_get("credential")?);
        }
        let query = "DELETE FROM identities WHERE id = ? AND user_id = ? RETURNING name";
        let rows = sqlx::query(query).bind(identity).bind(user).fetch_all(write.db()).await?;
        let Some(row) = rows.first() else { return Ok(Unlinking::Unknown) };
        let name: String = row.try_get("name")?;
        let query = "SELECT 1 FROM users WHERE id = ?1 AND (password <> '' \
                     OR EXISTS (SELECT 1 FROM identities WHERE user_id = ?1))";
        let way = sqlx::query(query).bind(user).fetch_optional(write.db()).await?;
        if way.is_none() {
            return Ok(Unlinking::LastWay);
        }
        write.audit(&Event::by(own, AuditKind::IdentityRemoved, name)).await?;
        write.commit().await?;
        Ok(Unlinking::Unlinked(removal))
    }
}

impl Write {
    /// Links an account to a user. Returns the number of the link; `None` if the account is linked
    /// already.
    pub(super) async fn link(
        &mut self,
        user: i64,
        account: &Account,
    ) -> Result<Option<i64>, StoreError> {
        let query = "SELECT 1 FROM identities WHERE issuer = ? AND subject = ?";
        let known = sqlx::query(query).bind(&account.issuer).bind(&account.subject);
        if known.fetch_optional(self.db()).await?.is_some() {
            return Ok(None);
        }
        let id = self.next_id("identity").await?;
        let query = "INSERT INTO identities (id, user_id, issuer, subject, name, created_s) \
                     VALUES (?, ?, ?, ?, ?, ?)";
        sqlx::query(query)
            .bind(id)
            .bind(user)
            .bind(&account.issuer)
            .bind(&account.subject)
            .bind(&account.name)
            .bind(seconds(unix_s()))
            .execute(self.db())
            .await?;
        Ok(Some(id))
    }

    /// Unlinks the accounts of a user whose password is reset.
    pub(super) async fn remove_identities(&mut self, user: i64) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM identities WHERE user_id = ?").bind(user);
        query.execute(self.db()).await?;
        Ok(())
    }
}

fn info(row: &SqliteRow) -> Result<IdentityInfo, StoreError> {
    Ok(IdentityInfo {
        id: row.try_get("id")?,
        issuer: row.try_get("issuer")?,
        name: row.try_get("name")?,
        created_s: time(row, "created_s")?.unwrap_or_default(),
        seen_s: time(row, "seen_s")?,
    })
}

#[cfg(test)]
mod tests;
