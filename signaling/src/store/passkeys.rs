//! Passkeys of users: their public keys, and how often they were used.

use std::net::IpAddr;

use porthole_signaling_core::Principal;
use porthole_signaling_proto::rest::{AuditKind, PasskeyInfo};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::audit::Event;
use super::credentials::time;
use super::people::{UserError, role_in};
use super::removals::Removal;
use super::users::{CREDENTIAL, User};
use super::{Store, StoreError, Write, seconds, unix_s};
use crate::secret;
use crate::webauthn::{KnownCredential, NewCredential};

/// The most passkeys of a user: several for each of its devices.
const MAX_OF_USER: i64 = 16;
const HANDLE_BYTES: usize = 16;
const COLUMNS: &str = "id, name, created_s, seen_s, synced";

/// A passkey that somebody wants to sign in with.
#[derive(Debug)]
pub(crate) struct Passkey {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) user: User,
    handle: Vec<u8>,
    key: Vec<u8>,
    is_synced: bool,
}

impl Passkey {
    pub(crate) fn known(&self) -> KnownCredential<'_> {
        KnownCredential { key: &self.key, is_synced: self.is_synced, handle: &self.handle }
    }
}

/// The result of noting the use of a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasskeyUse {
    Counted,
    /// The authenticator has counted less than before: there is a copy of the passkey.
    Copied,
    /// The passkey was removed in the meantime.
    Removed,
}

/// The result of adding a passkey.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Addition {
    Added(PasskeyInfo),
    TooMany,
    /// The server has this passkey already.
    Known,
}

impl Store {
    /// Returns the passkeys of a user, the oldest first.
    pub(crate) async fn passkeys(&self, user: i64) -> Result<Vec<PasskeyInfo>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM passkeys WHERE user_id = ? ORDER BY id");
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(user);
        query.fetch_all(&self.read).await?.iter().map(info).collect()
    }

    /// Returns the ids that authenticators have given the passkeys of a user.
    pub(crate) async fn credentials_of(&self, user: i64) -> Result<Vec<Vec<u8>>, StoreError> {
        let query = "SELECT credential FROM passkeys WHERE user_id = ? ORDER BY id";
        let rows = sqlx::query(query).bind(user).fetch_all(&self.read).await?;
        rows.iter().map(|row| Ok(row.try_get("credential")?)).collect()
    }

    /// Returns the handle by which authenticators know a user.
    pub(crate) async fn passkey_handle(&self, user: i64) -> Result<Vec<u8>, StoreError> {
        let mut write = self.begin().await?;
        let query = "UPDATE users SET passkey_handle = COALESCE(passkey_handle, ?) \
                     WHERE id = ? RETURNING passkey_handle";
        let query = sqlx::query(query).bind(secret::random::<HANDLE_BYTES>().to_vec()).bind(user);
        let rows = query.fetch_all(write.db()).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let handle = row.try_get("passkey_handle")?;
        write.commit().await?;
        Ok(handle)
    }

    /// Adds a passkey to the user who is signed in.
    pub(crate) async fn add_passkey(
        &self,
        own: &Principal,
        user: i64,
        name: &str,
        new: &NewCredential,
    ) -> Result<Addition, UserError> {
        let mut write = self.begin_by(own).await?;
        let query = "SELECT COUNT(*) AS count FROM passkeys WHERE user_id = ?";
        let row = sqlx::query(query).bind(user).fetch_one(write.db()).await?;
        if row.try_get::<i64, _>("count")? >= MAX_OF_USER {
            return Ok(Addition::TooMany);
        }
        let known = sqlx::query("SELECT 1 FROM passkeys WHERE credential = ?").bind(&new.id);
        if known.fetch_optional(write.db()).await?.is_some() {
            return Ok(Addition::Known);
        }
        let id = write.next_id("passkey").await?;
        let query = format!(
            "INSERT INTO passkeys \
             (id, user_id, credential, public_key, counter, synced, name, created_s) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(id)
            .bind(user)
            .bind(&new.id)
            .bind(&new.key)
            .bind(i64::from(new.counter))
            .bind(new.is_synced)
            .bind(name)
            .bind(seconds(unix_s()));
        let rows = query.fetch_all(write.db()).await?;
        let added = info(rows.first().ok_or(sqlx::Error::RowNotFound)?)?;
        write.audit(&Event::by(own, AuditKind::PasskeyAdded, name)).await?;
        write.commit().await?;
        Ok(Addition::Added(added))
    }

    /// Returns the passkey with the id that its authenticator has given it.
    pub(crate) async fn find_passkey(
        &self,
        credential: &[u8],
    ) -> Result<Option<Passkey>, StoreError> {
        let query = "SELECT passkeys.id AS id, passkeys.name AS name, public_key, synced, \
                     users.id AS user_id, users.name AS user_name, password, role, owner, \
                     passkey_handle FROM passkeys JOIN users ON users.id = user_id \
                     WHERE credential = ?";
        let row = sqlx::query(query).bind(credential).fetch_optional(&self.read).await?;
        let Some(row) = row else { return Ok(None) };
        let user = User {
            id: row.try_get("user_id")?,
            name: row.try_get("user_name")?,
            password_hash: row.try_get("password")?,
            role: role_in(&row)?,
        };
        Ok(Some(Passkey {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            user,
            handle: row.try_get("passkey_handle")?,
            key: row.try_get("public_key")?,
            is_synced: row.try_get("synced")?,
        }))
    }

    /// Notes the use of a passkey, whose counter must have grown. Authenticators that do not count
    /// send 0 for ever.
    pub(crate) async fn use_passkey(
        &self,
        passkey: &Passkey,
        counter: u32,
        address: IpAddr,
    ) -> Result<PasskeyUse, StoreError> {
        let mut write = self.begin().await?;
        let query = "UPDATE passkeys SET counter = ?1, seen_s = ?2 \
                     WHERE id = ?3 AND (counter < ?1 OR (counter = 0 AND ?1 = 0))";
        let query =
            sqlx::query(query).bind(i64::from(counter)).bind(seconds(unix_s())).bind(passkey.id);
        if query.execute(write.db()).await?.rows_affected() > 0 {
            write.commit().await?;
            return Ok(PasskeyUse::Counted);
        }
        let found = sqlx::query("SELECT 1 FROM passkeys WHERE id = ?").bind(passkey.id);
        if found.fetch_optional(write.db()).await?.is_none() {
            return Ok(PasskeyUse::Removed);
        }
        let mut event = Event::of_user(&passkey.user, AuditKind::PasskeyCopied, address);
        event.object = Some(passkey.name.clone());
        write.audit(&event).await?;
        write.commit().await?;
        Ok(PasskeyUse::Copied)
    }

    /// Removes a passkey of the user who is signed in, and signs the browsers out that have signed
    /// in with it. Returns `None` if there is no such passkey.
    pub(crate) async fn remove_passkey(
        &self,
        own: &Principal,
        user: i64,
        passkey: i64,
    ) -> Result<Option<Removal>, StoreError> {
        let mut write = self.begin_by(own).await?;
        let mut removal = Removal::default();
        let query = format!(
            "DELETE FROM browser_sessions WHERE passkey_id = ? AND user_id = ? \
             RETURNING {CREDENTIAL} AS credential"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(passkey).bind(user);
        for row in query.fetch_all(write.db()).await? {
            removal.removed.sign_ins += 1;
            removal.credentials.push(row.try_get("credential")?);
        }
        let query = "DELETE FROM passkeys WHERE id = ? AND user_id = ? RETURNING name";
        let rows = sqlx::query(query).bind(passkey).bind(user).fetch_all(write.db()).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let name: String = row.try_get("name")?;
        write.audit(&Event::by(own, AuditKind::PasskeyRemoved, name)).await?;
        write.commit().await?;
        Ok(Some(removal))
    }
}

impl Write {
    /// Removes the passkeys of a user whose password is reset.
    pub(super) async fn remove_passkeys(&mut self, user: i64) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM passkeys WHERE user_id = ?").bind(user);
        query.execute(self.db()).await?;
        Ok(())
    }
}

fn info(row: &SqliteRow) -> Result<PasskeyInfo, StoreError> {
    Ok(PasskeyInfo {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        created_s: time(row, "created_s")?.unwrap_or_default(),
        seen_s: time(row, "seen_s")?,
        synced: row.try_get("synced")?,
    })
}
