//! The removal of tokens, users and gateways with everything that hangs on them. What would be
//! removed is found by removing it in a transaction that is rolled back.

use porthole_signaling_core::{Everything, Granted, Principal};
use porthole_signaling_proto::GatewayId;
use porthole_signaling_proto::rest::{AuditKind, Removed, RemovedNames, Role};
use sqlx::Row as _;
use tokio::sync::SemaphorePermit;

use super::audit::Event;
use super::cameras::in_words;
use super::credentials::{OfUsers, sign_out};
use super::people::{UserError, role_in};
use super::{BUSY_TIMEOUT, Store, StoreError, Write};

/// The beginning of a query about users or tokens, in a list of JSON, and all tokens that they have
/// given, that these have given, and so on.
const GIVEN: &str = "WITH RECURSIVE given (subject) AS (SELECT value FROM json_each(?1) \
    UNION SELECT 'token:' || id FROM tokens JOIN given ON giver = given.subject) ";

/// The result of a removal: what was removed, some of it by name, and the credentials whose
/// sessions have to end.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    pub(crate) removed: Removed,
    pub(crate) names: RemovedNames,
    pub(crate) credentials: Vec<String>,
}

/// Adds a name to the list of some, unless it is full.
pub(super) fn push_name(names: &mut Vec<String>, name: String) {
    if names.len() < RemovedNames::MAX {
        names.push(name);
    }
}

impl Removal {
    /// Returns everything that was removed, with the sessions that have ended with it.
    pub(crate) fn with_sessions(self, sessions: usize) -> Removed {
        let sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
        let mut removed = self.removed;
        removed += Removed { sessions, ..Removed::default() };
        removed
    }
}

impl Store {
    /// Removes a token, and the tokens and claim codes that it has given. Returns `None` if there
    /// is no such token.
    pub(crate) async fn remove_token(
        &self,
        granted: &Granted<Everything>,
        token: i64,
    ) -> Result<Option<Removal>, StoreError> {
        let mut write = self.begin_by(granted.principal()).await?;
        let Some((removal, name)) = write.take_token(token).await? else { return Ok(None) };
        let tokens = removal.removed.tokens.saturating_sub(1);
        let name = with_rest(&name, &Removed { tokens, ..removal.removed });
        write.audit(&Event::by(granted.principal(), AuditKind::TokenRevoked, name)).await?;
        write.commit().await?;
        Ok(Some(removal))
    }

    /// Removes a user with its sign-ins, and the tokens and claim codes that it has given. Returns
    /// `None` if there is no such user.
    pub(crate) async fn remove_user(
        &self,
        granted: &Granted<Everything>,
        user: i64,
    ) -> Result<Option<Removal>, UserError> {
        let mut write = self.begin_by(granted.principal()).await?;
        let Some((removal, name)) = write.take_user(granted, user).await? else {
            return Ok(None);
        };
        let name = with_rest(&name, &removal.removed);
        write.audit(&Event::by(granted.principal(), AuditKind::UserRemoved, name)).await?;
        write.commit().await?;
        Ok(Some(removal))
    }

    /// Removes a gateway with its cameras and all rights to them: its key is not known any more.
    /// Returns `None` if there is no such gateway.
    pub(crate) async fn remove_gateway(
        &self,
        granted: &Granted<Everything>,
        gateway: &GatewayId,
    ) -> Result<Option<Removal>, StoreError> {
        let mut write = self.begin_by(granted.principal()).await?;
        let Some((removal, name)) = write.take_gateway(gateway).await? else {
            return Ok(None);
        };
        let name = with_rest(&name, &removal.removed);
        write.audit(&Event::by(granted.principal(), AuditKind::GatewayRemoved, name)).await?;
        write.commit().await?;
        Ok(Some(removal))
    }

    /// Returns everything that would go with a token; `None` if there is no such token.
    pub(crate) async fn look_at_token(
        &self,
        granted: &Granted<Everything>,
        token: i64,
    ) -> Result<Option<Removal>, StoreError> {
        let mut look = self.begin_look(granted.principal()).await?;
        let taken = look.write.take_token(token).await;
        look.end().await?;
        Ok(taken?.map(|(removal, _)| removal))
    }

    /// Returns everything that a user has given and that still counts.
    pub(crate) async fn look_at_given(
        &self,
        granted: &Granted<Everything>,
        user: i64,
    ) -> Result<Removed, StoreError> {
        let mut look = self.begin_look(granted.principal()).await?;
        let mut removal = Removal::default();
        let given = remove_given(&mut look.write, &[format!("user:{user}")], &mut removal).await;
        look.end().await?;
        given.map(|()| removal.removed)
    }

    /// Returns everything that would go with a user; `None` if there is no such user.
    pub(crate) async fn look_at_user(
        &self,
        granted: &Granted<Everything>,
        user: i64,
    ) -> Result<Option<Removal>, UserError> {
        let mut look = self.begin_look(granted.principal()).await?;
        let taken = look.write.take_user(granted, user).await;
        look.end().await?;
        Ok(taken?.map(|(removal, _)| removal))
    }

    /// Returns everything that would go with a gateway; `None` if there is no such gateway.
    pub(crate) async fn look_at_gateway(
        &self,
        granted: &Granted<Everything>,
        gateway: &GatewayId,
    ) -> Result<Option<Removal>, StoreError> {
        let mut look = self.begin_look(granted.principal()).await?;
        let taken = look.write.take_gateway(gateway).await;
        look.end().await?;
        Ok(taken?.map(|(removal, _)| removal))
    }

    /// Begins a removal that is only looked at. One is looked at after the other, so that others
    /// who write wait for one at most.
    pub(super) async fn begin_look(&self, by: &Principal) -> Result<Look<'_>, StoreError> {
        let turn = tokio::time::timeout(BUSY_TIMEOUT, self.looks.acquire()).await;
        let turn = turn.map_err(|_late| StoreError::Busy)?.map_err(|_closed| StoreError::Busy)?;
        Ok(Look { write: self.begin_by(by).await?, _turn: turn })
    }
}

/// A removal that is only looked at, and undone.
pub(super) struct Look<'a> {
    pub(super) write: Write,
    _turn: SemaphorePermit<'a>,
}

impl Look<'_> {
    /// Undoes the removal.
    pub(super) async fn end(self) -> Result<(), StoreError> {
        self.write.roll_back().await
    }
}

impl Write {
    /// Removes a token with everything that it has given. Returns its name, too.
    async fn take_token(&mut self, token: i64) -> Result<Option<(Removal, String)>, StoreError> {
        let query = sqlx::query("SELECT name FROM tokens WHERE id = ?").bind(token);
        let Some(row) = query.fetch_optional(self.db()).await? else { return Ok(None) };
        let mut removal = Removal::default();
        remove_given(self, &[format!("token:{token}")], &mut removal).await?;
        Ok(Some((removal, row.try_get("name")?)))
    }

    /// Removes a user with its sign-ins and everything that it has given. Returns its name, too.
    async fn take_user(
        &mut self,
        granted: &Granted<Everything>,
        user: i64,
    ) -> Result<Option<(Removal, String)>, UserError> {
        let query = "SELECT name, role, owner, \
                     (SELECT COUNT(*) FROM user_cameras WHERE user_id = users.id) AS grants \
                     FROM users WHERE id = ?";
        let row = sqlx::query(query).bind(user).fetch_optional(self.db()).await?;
        let Some(row) = row else { return Ok(None) };
        let role = role_in(&row)?;
        granted.over(role)?;
        if role == Role::Owner {
            self.check_other_owner(user).await?;
        }
        let mut removal = Removal::default();
        removal.removed.grants = row.try_get("grants")?;
        sign_out(self, OfUsers::One(user), None, &mut removal).await?;
        remove_given(self, &[format!("user:{user}")], &mut removal).await?;
        sqlx::query("DELETE FROM users WHERE id = ?").bind(user).execute(self.db()).await?;
        removal.removed.users = 1;
        Ok(Some((removal, row.try_get("name")?)))
    }

    /// Removes a gateway with its cameras and all rights to them, as their removal does. Returns
    /// its name, too.
    async fn take_gateway(
        &mut self,
        gateway: &GatewayId,
    ) -> Result<Option<(Removal, String)>, StoreError> {
        let row = sqlx::query(
            "SELECT \
             (SELECT COUNT(*) FROM cameras WHERE gateway_id = ?1 AND NOT former) AS cameras, \
             (SELECT COUNT(*) FROM claims WHERE replaces = ?1) AS claims",
        )
        .bind(gateway.as_str())
        .fetch_one(self.db())
        .await?;
        let mut removal = self.remove_rights(gateway, None).await?;
        removal.removed += Removed {
            gateways: 1,
            cameras: row.try_get("cameras")?,
            claims: row.try_get("claims")?,
            ..Removed::default()
        };
        removal.credentials.push(format!("gateway:{gateway}"));
        let query = "DELETE FROM gateways WHERE id = ? RETURNING name";
        let deleted = sqlx::query(query).bind(gateway.as_str()).fetch_all(self.db()).await?;
        let Some(deleted) = deleted.first() else { return Ok(None) };
        let name = format!("{} ({gateway})", deleted.try_get::<String, _>("name")?);
        Ok(Some((removal, name)))
    }
}

/// Removes the tokens, claim codes, invitations and links that users or tokens have given, that
/// these have given, and so on. The tokens are removed with them.
pub(super) async fn remove_given(
    write: &mut Write,
    subjects: &[String],
    removal: &mut Removal,
) -> Result<(), StoreError> {
    // Subjects are words and numbers, in which nothing is escaped.
    let quoted: Vec<_> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
    let list = format!("[{}]", quoted.join(", "));
    let sql = |rest: &str| sqlx::AssertSqlSafe(format!("{GIVEN}{rest}"));
    let claims = sql("DELETE FROM claims WHERE giver IN (SELECT subject FROM given)");
    let claims = sqlx::query(claims).bind(&list).execute(write.db()).await?;
    removal.removed.claims += count(claims.rows_affected());
    let invitations = sql("DELETE FROM invitations WHERE giver IN (SELECT subject FROM given) \
                           RETURNING name");
    for row in sqlx::query(invitations).bind(&list).fetch_all(write.db()).await? {
        removal.removed.invitations += 1;
        push_name(&mut removal.names.invitations, row.try_get("name")?);
    }
    let shares = sql("DELETE FROM shares WHERE giver IN (SELECT subject FROM given) \
                      RETURNING 'share:' || id AS credential, name");
    for row in sqlx::query(shares).bind(&list).fetch_all(write.db()).await? {
        removal.removed.shares += 1;
        removal.credentials.push(row.try_get("credential")?);
        push_name(&mut removal.names.shares, row.try_get("name")?);
    }
    let grants = sql("DELETE FROM token_cameras \
                      WHERE 'token:' || token_id IN (SELECT subject FROM given)");
    let grants = sqlx::query(grants).bind(&list).execute(write.db()).await?;
    removal.removed.grants += count(grants.rows_affected());
    let tokens = sql("DELETE FROM tokens WHERE 'token:' || id IN (SELECT subject FROM given) \
                      RETURNING 'token:' || id AS credential, name");
    for row in sqlx::query(tokens).bind(&list).fetch_all(write.db()).await? {
        removal.removed.tokens += 1;
        let credential: String = row.try_get("credential")?;
        if !subjects.contains(&credential) {
            push_name(&mut removal.names.tokens, row.try_get("name")?);
        }
        removal.credentials.push(credential);
    }
    Ok(())
}

/// Returns the name of what was removed, and in words what went with it, for the log.
fn with_rest(name: &str, removed: &Removed) -> String {
    match in_words(removed).as_str() {
        "" => name.to_owned(),
        words => format!("{name}, with {words}"),
    }
}

pub(super) fn count(rows: u64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
