//! Users, their browser sessions, and the setup token for the first of them.

use std::net::IpAddr;
use std::time::Duration;

use porthole_signaling_core::{Expiry, Identity, Principal};
use porthole_signaling_proto::rest::{AuditKind, Role};
use sqlx::Row as _;

use super::audit::Event;
use super::people::{Holder, RIGHTS, UserError, membership_in, role_in};
use super::removals::Removal;
use super::{Store, StoreError, Write, seconds, unix_s};
use crate::secret;

/// Time a browser stays signed in.
pub(crate) const COOKIE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The migration of the first version that reads the cookie under one name only.
const FIRST_WITH_COOKIE_NAMES: i64 = 15;
/// The most browsers in which one user is signed in.
const MAX_SIGN_INS: i64 = 64;
/// The name of the credential in a row of `browser_sessions`: the id of the cookie, and how often
/// the rights behind it have changed.
pub(super) const CREDENTIAL: &str =
    "'cookie:' || lower(hex(substr(hash, 1, 8))) || '.' || rights_version";

#[derive(Debug)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) password_hash: String,
    pub(crate) role: Role,
}

/// The means with which a user has signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// A password, or a link that sets one.
    Password,
    /// The passkey with this number. Without it, the sign-in ends.
    Passkey(i64),
    /// The account at the provider with this number. Without it, the sign-in ends.
    Identity(i64),
}

impl Store {
    pub(crate) async fn has_owner(&self) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM users WHERE owner = 1 LIMIT 1")
            .fetch_optional(&self.read)
            .await?;
        Ok(row.is_some())
    }

    /// Creates a setup token, which invalidates older ones.
    pub(crate) async fn create_setup_token(&self) -> Result<String, StoreError> {
        let token = secret::new_setup_token();
        let mut write = self.begin().await?;
        sqlx::query("DELETE FROM setup_tokens").execute(write.db()).await?;
        sqlx::query("INSERT INTO setup_tokens (hash) VALUES (?)")
            .bind(secret::hash(&token))
            .execute(write.db())
            .await?;
        write.commit().await?;
        Ok(token)
    }

    pub(crate) async fn is_setup_token(&self, token: &str) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM setup_tokens WHERE hash = ?")
            .bind(secret::hash(token))
            .fetch_optional(&self.read)
            .await?;
        Ok(row.is_some())
    }

    /// Uses up the setup token to create the first owner. Returns `None` if the token is not valid.
    pub(crate) async fn create_first_owner(
        &self,
        token: &str,
        name: &str,
        password_hash: &str,
        address: IpAddr,
    ) -> Result<Option<User>, StoreError> {
        let mut write = self.begin().await?;
        let used = sqlx::query("DELETE FROM setup_tokens WHERE hash = ?")
            .bind(secret::hash(token))
            .execute(write.db())
            .await?;
        if used.rows_affected() == 0 {
            return Ok(None);
        }
        let id = write.next_id("user").await?;
        sqlx::query(
            "INSERT INTO users (id, name, password, role, owner, created_s) \
             VALUES (?, ?, ?, 'admin', 1, ?)",
        )
        .bind(id)
        .bind(name)
        .bind(password_hash)
        .bind(seconds(unix_s()))
        .execute(write.db())
        .await?;
        let (name, password_hash) = (name.to_owned(), password_hash.to_owned());
        let user = User { id, name, password_hash, role: Role::Owner };
        write.audit(&Event::of_user(&user, AuditKind::SetUp, address)).await?;
        write.commit().await?;
        Ok(Some(user))
    }

    pub(crate) async fn find_user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let row = sqlx::query("SELECT id, name, password, role, owner FROM users WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.read)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(User {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            password_hash: row.try_get("password")?,
            role: role_in(&row)?,
        }))
    }

    /// Starts a browser session from an address, in a browser that names itself. Returns the value
    /// of its cookie; `None` if the password that was right is no longer that of the user.
    pub(crate) async fn create_cookie(
        &self,
        user: &User,
        means: Means,
        address: IpAddr,
        browser: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let (passkey, identity) = match means {
            Means::Password => (None, None),
            Means::Passkey(passkey) => (Some(passkey), None),
            Means::Identity(identity) => (None, Some(identity)),
        };
        let cookie = secret::new_cookie();
        let now = unix_s();
        let mut write = self.begin().await?;
        sqlx::query("DELETE FROM browser_sessions WHERE expires_s <= ?")
            .bind(seconds(now))
            .execute(write.db())
            .await?;
        if matches!(means, Means::Password) && !write.has_password(user).await? {
            return Ok(None);
        }
        sqlx::query(
            "INSERT INTO browser_sessions \
             (hash, user_id, expires_s, created_s, seen_s, address, browser, passkey_id, \
             identity_id) VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(secret::hash(&cookie))
        .bind(user.id)
        .bind(seconds(now + COOKIE_LIFETIME.as_secs()))
        .bind(seconds(now))
        .bind(address.to_string())
        .bind(browser)
        .bind(passkey)
        .bind(identity)
        .execute(write.db())
        .await?;
        sqlx::query("UPDATE users SET seen_s = ? WHERE id = ?")
            .bind(seconds(now))
            .bind(user.id)
            .execute(write.db())
            .await?;
        write.remove_oldest_cookies(user.id, &secret::hash(&cookie)).await?;
        write.audit(&Event::of_user(user, AuditKind::SignedIn, address)).await?;
        write.commit().await?;
        Ok(Some(cookie))
    }

    /// Returns the user of a browser session, unless it has expired.
    pub(crate) async fn find_cookie(&self, cookie: &str) -> Result<Option<Principal>, StoreError> {
        let query = format!(
            "SELECT users.id AS id, name, {RIGHTS}, expires_s, {CREDENTIAL} AS credential \
             FROM browser_sessions JOIN users ON users.id = user_id \
             WHERE hash = ? AND expires_s > ?"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query));
        let query = query.bind(secret::hash(cookie)).bind(seconds(unix_s()));
        let row = query.fetch_optional(&self.read).await?;
        let Some(row) = row else { return Ok(None) };
        let id: i64 = row.try_get("id")?;
        let expires_s: i64 = row.try_get("expires_s")?;
        let identity = Identity {
            subject: format!("user:{id}"),
            credential: row.try_get("credential")?,
            name: row.try_get("name")?,
        };
        let membership = membership_in(&row, &self.read, Holder::User(id)).await?;
        let end = Expiry::At(expires_s.unsigned_abs());
        Ok(Some(Principal::signed_in(identity, &membership, end)))
    }

    /// Returns the user of a browser session that an earlier version of the server has started,
    /// which gave its cookie another name.
    pub(crate) async fn find_earlier_cookie(
        &self,
        cookie: &str,
    ) -> Result<Option<Principal>, StoreError> {
        let query = "SELECT 1 FROM browser_sessions WHERE hash = ? AND created_s < \
                     (SELECT CAST(strftime('%s', installed_on) AS INTEGER) \
                     FROM _sqlx_migrations WHERE version = ?)";
        let query = sqlx::query(query).bind(secret::hash(cookie)).bind(FIRST_WITH_COOKIE_NAMES);
        match query.fetch_optional(&self.read).await? {
            Some(_) => self.find_cookie(cookie).await,
            None => Ok(None),
        }
    }

    /// Creates a user and signs it in. Returns the cookie.
    #[cfg(test)]
    pub(crate) async fn create_user_for_test(&self, name: &str, role: Role) -> String {
        let mut write = self.begin().await.unwrap();
        let id = write.next_id("user").await.unwrap();
        let query = "INSERT INTO users (id, name, password, role, owner, created_s) \
                     VALUES (?, ?, '', ?, ?, 0)";
        sqlx::query(query)
            .bind(id)
            .bind(name)
            .bind(super::people::role_name(role))
            .bind(role == Role::Owner)
            .execute(write.db())
            .await
            .unwrap();
        write.commit().await.unwrap();
        let user = self.find_user(name).await.unwrap().unwrap();
        let cookie = self.create_cookie(&user, Means::Password, [127, 0, 0, 1].into(), None);
        cookie.await.unwrap().unwrap()
    }

    /// Makes the cookies of a user expire now.
    #[cfg(test)]
    pub(crate) async fn expire_cookies_for_test(&self, name: &str) {
        let mut write = self.begin().await.unwrap();
        sqlx::query("UPDATE browser_sessions SET expires_s = ? WHERE user_id = ?")
            .bind(seconds(unix_s()))
            .bind(self.find_user(name).await.unwrap().unwrap().id)
            .execute(write.db())
            .await
            .unwrap();
        write.commit().await.unwrap();
    }

    /// Replaces the password of the user who is signed in, if it is still the one with the old
    /// hash, and signs its other browsers out. Returns `None` if it is not.
    pub(crate) async fn change_password(
        &self,
        own: &Principal,
        user: &User,
        password_hash: &str,
    ) -> Result<Option<Removal>, UserError> {
        let mut write = self.begin_by(own).await?;
        let query = "UPDATE users SET password = ? WHERE id = ? AND password = ?";
        let query = sqlx::query(query).bind(password_hash).bind(user.id).bind(&user.password_hash);
        if query.execute(write.db()).await?.rows_affected() == 0 {
            return Ok(None);
        }
        write.remove_resets(user.id).await?;
        let mut removal = Removal::default();
        let query = format!(
            "DELETE FROM browser_sessions WHERE user_id = ? AND {CREDENTIAL} <> ? \
             RETURNING {CREDENTIAL} AS credential"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(user.id).bind(own.credential());
        for row in query.fetch_all(write.db()).await? {
            removal.removed.sign_ins += 1;
            removal.credentials.push(row.try_get("credential")?);
        }
        write.audit(&Event::by(own, AuditKind::PasswordChanged, own.name())).await?;
        write.commit().await?;
        Ok(Some(removal))
    }

    /// Signs the browser with this cookie out, by its own request. Returns the name of its
    /// credential, if there was one.
    pub(crate) async fn delete_cookie(&self, cookie: &str) -> Result<Option<String>, StoreError> {
        let owner = self.find_cookie(cookie).await?;
        let mut write = self.begin().await?;
        let query = format!(
            "DELETE FROM browser_sessions WHERE hash = ? RETURNING {CREDENTIAL} AS credential"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(secret::hash(cookie));
        let row = query.fetch_optional(write.db()).await?;
        if let Some(owner) = owner.filter(|_| row.is_some()) {
            write.audit(&Event::by(&owner, AuditKind::SignedOut, owner.name())).await?;
        }
        write.commit().await?;
        Ok(row.map(|row| row.try_get("credential")).transpose()?)
    }
}

impl Write {
    /// Returns true if the password of a user is still the one that was read.
    async fn has_password(&mut self, user: &User) -> Result<bool, StoreError> {
        let query = sqlx::query("SELECT 1 FROM users WHERE id = ? AND password = ?");
        let query = query.bind(user.id).bind(&user.password_hash);
        Ok(query.fetch_optional(self.db()).await?.is_some())
    }

    /// Signs browsers of a user out of which there are too many, those first that were used least
    /// lately. Like any that are signed out, they are noted for the hub.
    async fn remove_oldest_cookies(&mut self, user: i64, new: &[u8]) -> Result<(), StoreError> {
        let query = "DELETE FROM browser_sessions WHERE hash IN (SELECT hash FROM browser_sessions \
                     WHERE user_id = ? AND hash <> ? \
                     ORDER BY seen_s DESC, created_s DESC LIMIT -1 OFFSET ?)";
        let query = sqlx::query(query).bind(user).bind(new).bind(MAX_SIGN_INS - 1);
        query.execute(self.db()).await?;
        Ok(())
    }
}

/// Returns the id of the cookie that a credential names; `None` if it names no cookie.
pub(super) fn cookie_id(credential: &str) -> Option<&str> {
    let name = credential.strip_prefix("cookie:")?;
    name.split('.').next()
}

/// Reads a role, of which the table allows two.
pub(super) fn role(text: &str) -> Role {
    if text == "admin" { Role::Admin } else { Role::Viewer }
}

#[cfg(test)]
mod tests;
