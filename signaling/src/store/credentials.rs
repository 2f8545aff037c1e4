//! The lists of credentials, and the end of single ones.
//!
//! Triggers of the tables note each credential that is removed, whoever removes it and for whatever
//! reason. The running server takes these notes and ends what was started with the credential.

use std::collections::BTreeSet;

use porthole_signaling_core::{Everything, Granted, Principal};
use porthole_signaling_proto::CameraAddress;
use porthole_signaling_proto::rest::{
    AuditKind, ClaimInfo, Removed, SignInInfo, TokenInfo, UserInfo,
};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::added::Added;
use super::audit::Event;
use super::people::{Holder, RIGHTS, membership_in, shown};
use super::removals::{Removal, count, remove_given};
use super::tokens::scopes_in;
use super::users::{CREDENTIAL, cookie_id, role};
use super::{Store, StoreError, Write, seconds, unix_s};

/// The most rows of a list; a server for a household has some dozens.
const MAX_LISTED: u32 = 10_000;

/// The owners of the browsers that are to be listed or signed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfUsers {
    All,
    One(i64),
}

impl OfUsers {
    fn id(self) -> Option<i64> {
        match self {
            Self::All => None,
            Self::One(id) => Some(id),
        }
    }
}

/// The fate of what a user has given, when its password is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Left as it is, and valid.
    Kept,
    /// Removed with it: whoever had the password may have given it.
    Removed,
}

impl Store {
    /// Returns all tokens, the newest first.
    pub(crate) async fn tokens(
        &self,
        _: &Granted<Everything>,
    ) -> Result<Vec<TokenInfo>, StoreError> {
        let query = format!(
            "SELECT id, name, role, limited, control, listen, scopes, created_s, expires_s, \
             seen_s, max_kbit_per_s, {} FROM tokens ORDER BY id DESC LIMIT {MAX_LISTED}",
            giver_of("tokens")
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&self.read).await?;
        let mut tokens = rows.iter().map(token_info).collect::<Result<Vec<_>, _>>()?;
        let query = "SELECT token_id, camera_id, gateway_id FROM token_cameras \
                     WHERE gateway_id IS NOT NULL ORDER BY camera_id, gateway_id";
        for row in sqlx::query(query).fetch_all(&self.read).await? {
            let token: i64 = row.try_get("token_id")?;
            let (camera, gateway): (String, String) =
                (row.try_get("camera_id")?, row.try_get("gateway_id")?);
            let address = camera.parse().ok().zip(gateway.parse().ok());
            let token = tokens.iter_mut().find(|one| one.id == token);
            if let (Some(token), Some((camera, gateway))) = (token, address) {
                token.cameras.push(CameraAddress { camera, gateway: Some(gateway) });
            }
        }
        Ok(tokens)
    }

    /// Returns all users, sorted by name.
    pub(crate) async fn users(&self, _: &Granted<Everything>) -> Result<Vec<UserInfo>, StoreError> {
        let query = format!(
            "SELECT id, name, {RIGHTS}, created_s, seen_s, \
             (SELECT COUNT(*) FROM browser_sessions \
             WHERE user_id = users.id AND expires_s > ?) AS sign_ins, \
             EXISTS (SELECT 1 FROM second_factors WHERE user_id = users.id AND confirmed = 1) \
             AS second_factor FROM users ORDER BY name"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(seconds(unix_s()));
        let mut users = Vec::new();
        for row in query.fetch_all(&self.read).await? {
            let id = row.try_get("id")?;
            let membership = membership_in(&row, &self.read, Holder::User(id)).await?;
            users.push(UserInfo {
                id,
                name: row.try_get("name")?,
                access: shown(&membership),
                created_s: time(&row, "created_s")?.unwrap_or_default(),
                seen_s: time(&row, "seen_s")?,
                sign_ins: row.try_get("sign_ins")?,
                second_factor: row.try_get("second_factor")?,
            });
        }
        Ok(users)
    }

    /// Returns the browsers that are signed in, the latest first. `current` is the credential of
    /// the request.
    pub(crate) async fn sign_ins(
        &self,
        of: OfUsers,
        current: &str,
    ) -> Result<Vec<SignInInfo>, StoreError> {
        let rows = sqlx::query(
            "SELECT lower(hex(substr(hash, 1, 8))) AS id, users.name AS name, \
             browser_sessions.created_s AS created_s, expires_s, \
             browser_sessions.seen_s AS seen_s, address, browser, identities.name AS account \
             FROM browser_sessions JOIN users ON users.id = browser_sessions.user_id \
             LEFT JOIN identities ON identities.id = identity_id \
             WHERE expires_s > ?1 AND (?2 IS NULL OR browser_sessions.user_id = ?2) \
             ORDER BY expires_s DESC, browser_sessions.hash LIMIT ?3",
        )
        .bind(seconds(unix_s()))
        .bind(of.id())
        .bind(MAX_LISTED)
        .fetch_all(&self.read)
        .await?;
        let sign_in = |row: &SqliteRow| -> Result<_, StoreError> {
            let id: String = row.try_get("id")?;
            Ok(SignInInfo {
                current: cookie_id(current) == Some(id.as_str()),
                id,
                user: row.try_get("name")?,
                created_s: time(row, "created_s")?,
                expires_s: time(row, "expires_s")?.unwrap_or_default(),
                seen_s: time(row, "seen_s")?,
                address: row.try_get("address")?,
                browser: row.try_get("browser")?,
                account: row.try_get("account")?,
            })
        };
        rows.iter().map(sign_in).collect()
    }

    /// Returns the claim codes that can be used, the latest first.
    pub(crate) async fn claims(
        &self,
        _: &Granted<Everything>,
    ) -> Result<Vec<ClaimInfo>, StoreError> {
        let query = format!(
            "SELECT lower(hex(substr(hash, 1, 8))) AS id, created_s, expires_s, replaces, {} \
             FROM claims WHERE expires_s > ? ORDER BY expires_s DESC LIMIT {MAX_LISTED}",
            giver_of("claims")
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(seconds(unix_s()));
        let claim = |row: &SqliteRow| -> Result<_, StoreError> {
            let replaces: Option<String> = row.try_get("replaces")?;
            Ok(ClaimInfo {
                id: row.try_get("id")?,
                giver: row.try_get("giver")?,
                giver_subject: row.try_get("giver_subject")?,
                created_s: time(row, "created_s")?,
                expires_s: time(row, "expires_s")?.unwrap_or_default(),
                replaces: replaces.and_then(|id| id.parse().ok()),
            })
        };
        query.fetch_all(&self.read).await?.iter().map(claim).collect()
    }

    /// Gives a user another password, takes its second factor, passkeys and linked accounts off and
    /// signs it out everywhere. What it has given is removed as well, or goes on. Returns also the
    /// people and gateways that it has added, who stay; `None` if there is no such user.
    pub(crate) async fn reset_user(
        &self,
        granted: &Granted<Everything>,
        user: i64,
        password_hash: &str,
        given: Given,
    ) -> Result<Option<(Removal, Added)>, StoreError> {
        let mut write = self.begin_by(granted.principal()).await?;
        let changed = sqlx::query("UPDATE users SET password = ? WHERE id = ? RETURNING name")
            .bind(password_hash)
            .bind(user)
            .fetch_all(write.db())
            .await?;
        let Some(changed) = changed.first() else { return Ok(None) };
        let name: String = changed.try_get("name")?;
        write.audit(&Event::by(granted.principal(), AuditKind::UserReset, name)).await?;
        // Before the tokens are removed with which it was done.
        let added = write.added_by(user).await?;
        let mut removal = Removal::default();
        sign_out(&mut write, OfUsers::One(user), None, &mut removal).await?;
        write.remove_resets(user).await?;
        write.remove_second_factor(user).await?;
        write.remove_passkeys(user).await?;
        write.remove_identities(user).await?;
        match given {
            Given::Kept => {}
            Given::Removed => {
                remove_given(&mut write, &[format!("user:{user}")], &mut removal).await?;
            }
        }
        write.commit().await?;
        Ok(Some((removal, added)))
    }

    /// Signs browsers out by order of somebody: the one with this id, else all of the user.
    pub(crate) async fn remove_sign_ins(
        &self,
        by: &Principal,
        of: OfUsers,
        id: Option<&str>,
    ) -> Result<Removal, StoreError> {
        let mut write = self.begin_by(by).await?;
        let removal = write.sign_out_by(by, of, id).await?;
        write.commit().await?;
        Ok(removal)
    }

    /// Removes a claim code that nobody has used. Returns `None` if there is no such code.
    pub(crate) async fn remove_claim(
        &self,
        granted: &Granted<Everything>,
        id: &str,
    ) -> Result<Option<Removal>, StoreError> {
        let mut write = self.begin_by(granted.principal()).await?;
        let query = "DELETE FROM claims WHERE lower(hex(substr(hash, 1, 8))) = ?";
        let claims = count(sqlx::query(query).bind(id).execute(write.db()).await?.rows_affected());
        if claims == 0 {
            return Ok(None);
        }
        write.audit(&Event::by(granted.principal(), AuditKind::ClaimRevoked, id)).await?;
        write.commit().await?;
        let removed = Removed { claims, ..Removed::default() };
        Ok(Some(Removal { removed, ..Removal::default() }))
    }

    /// Returns the credentials that were revoked and that the server has not ended yet.
    pub(crate) async fn revoked(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT credential FROM revoked").fetch_all(&self.read).await?;
        rows.iter().map(|row| Ok(row.try_get("credential")?)).collect()
    }

    /// Returns those of these credentials that do not exist: they were revoked, have other rights
    /// now, or have expired long ago.
    pub(crate) async fn without_existing(
        &self,
        credentials: &BTreeSet<String>,
    ) -> Result<Vec<String>, StoreError> {
        let mut gone = Vec::new();
        for credential in credentials {
            let query = if credential.starts_with("token:") {
                "SELECT 1 FROM tokens WHERE id = CAST(substr(?, 7) AS INTEGER)".to_owned()
            } else if credential.starts_with("share:") {
                "SELECT 1 FROM shares WHERE id = CAST(substr(?, 7) AS INTEGER)".to_owned()
            } else if credential.starts_with("cookie:") {
                format!("SELECT 1 FROM browser_sessions WHERE {CREDENTIAL} = ?")
            } else {
                continue;
            };
            let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(credential);
            let row = query.fetch_optional(&self.read).await?;
            if row.is_none() {
                gone.push(credential.clone());
            }
        }
        Ok(gone)
    }

    /// Takes the credentials that were revoked. Nobody changes the database until they are
    /// forgotten or dropped, and then they are there again.
    pub(crate) async fn take_revoked(&self) -> Result<TakenRevoked, StoreError> {
        let mut write = self.begin().await?;
        let query = "DELETE FROM revoked RETURNING credential";
        let rows = sqlx::query(query).fetch_all(write.db()).await?;
        let credentials: Result<_, StoreError> =
            rows.iter().map(|row| Ok(row.try_get("credential")?)).collect();
        Ok(TakenRevoked { credentials: credentials?, write })
    }
}

impl Write {
    /// Signs browsers out by order of somebody, and writes it down, if there was anything to do.
    pub(super) async fn sign_out_by(
        &mut self,
        by: &Principal,
        of: OfUsers,
        id: Option<&str>,
    ) -> Result<Removal, StoreError> {
        let mut removal = Removal::default();
        if let Some(user) = sign_out(self, of, id, &mut removal).await? {
            self.audit(&Event::by(by, AuditKind::SignedOut, user)).await?;
        }
        Ok(removal)
    }
}

/// Credentials that were revoked, on their way out of the database.
pub(crate) struct TakenRevoked {
    credentials: Vec<String>,
    write: Write,
}

impl TakenRevoked {
    pub(crate) fn credentials(&self) -> &[String] {
        &self.credentials
    }

    /// Notes that the server has ended everything that was started with them.
    pub(crate) async fn forget(self) -> Result<(), StoreError> {
        self.write.commit().await
    }
}

/// Returns the columns with the name of whoever gave a token, claim code or invitation (its subject
/// if it is gone), and with the subject itself.
pub(super) fn giver_of(table: &str) -> String {
    format!(
        "COALESCE((SELECT users.name FROM users WHERE 'user:' || users.id = {table}.giver), \
         (SELECT other.name FROM tokens AS other WHERE 'token:' || other.id = {table}.giver), \
         {table}.giver) AS giver, {table}.giver AS giver_subject"
    )
}

fn token_info(row: &SqliteRow) -> Result<TokenInfo, StoreError> {
    Ok(TokenInfo {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: role(row.try_get("role")?),
        limited: row.try_get("limited")?,
        cameras: Vec::new(),
        control: row.try_get("control")?,
        listen: row.try_get("listen")?,
        scopes: scopes_in(row)?,
        max_kbit_per_s: row.try_get("max_kbit_per_s")?,
        giver: row.try_get("giver")?,
        giver_subject: row.try_get("giver_subject")?,
        created_s: time(row, "created_s")?.unwrap_or_default(),
        expires_s: time(row, "expires_s")?,
        seen_s: time(row, "seen_s")?,
    })
}

pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Option<u64>, sqlx::Error> {
    let time: Option<i64> = row.try_get(column)?;
    Ok(time.map(i64::unsigned_abs))
}

/// Signs browsers out: the one with this id, else all of the users. Returns the name of the user,
/// if there was anything to do.
pub(super) async fn sign_out(
    write: &mut Write,
    of: OfUsers,
    id: Option<&str>,
    removal: &mut Removal,
) -> Result<Option<String>, StoreError> {
    let query = format!(
        "DELETE FROM browser_sessions WHERE (?1 IS NULL OR user_id = ?1) \
         AND (?2 IS NULL OR lower(hex(substr(hash, 1, 8))) = ?2) \
         RETURNING {CREDENTIAL} AS credential, \
         (SELECT name FROM users WHERE id = user_id) AS name"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(of.id()).bind(id);
    let mut name = None;
    for row in query.fetch_all(write.db()).await? {
        removal.removed.sign_ins += 1;
        removal.credentials.push(row.try_get("credential")?);
        name = row.try_get("name")?;
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
