//! The removal of tokens, users and gateways with everything that hangs on them.

use porthole_signaling_core::{Everything, Granted};
use porthole_signaling_proto::GatewayId;
use porthole_signaling_proto::rest::{AuditKind, Removed, Role};
use sqlx::Row as _;

use super::audit::Event;
use super::credentials::{OfUsers, sign_out};
use super::people::{UserError, role_in};
use super::{Store, StoreError, Write};

/// The beginning of a query about a user or token and all tokens that it has given, that these have
/// given, and so on.
const GIVEN: &str = "WITH RECURSIVE given (subject) AS (VALUES (?1) \
    UNION SELECT 'token:' || id FROM tokens JOIN given ON giver = given.subject) ";

/// The result of a removal: what was removed, and the credentials whose sessions have to end.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    pub(crate) removed: Removed,
    pub(crate) credentials: Vec<String>,
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
        let mut removal = Removal::default();
        let query = "SELECT name FROM tokens WHERE id = ?";
        let row = sqlx::query(query).bind(token).fetch_optional(write.db()).await?;
        let Some(row) = row else { return Ok(None) };
        let name: String = row.try_get("name")?;
        remove_given(&mut write, &format!("token:{token}"), &mut removal).await?;
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
        let query = "SELECT name, role, owner, \
                     (SELECT COUNT(*) FROM user_cameras WHERE user_id = users.id) AS grants \
                     FROM users WHERE id = ?";
        let row = sqlx::query(query).bind(user).fetch_optional(write.db()).await?;
        let Some(row) = row else { return Ok(None) };
        let role = role_in(&row)?;
        granted.over(role)?;
        if role == Role::Owner {
            write.check_other_owner(user).await?;
        }
        let mut removal = Removal::default();
        removal.removed.grants = row.try_get("grants")?;
        sign_out(&mut write, OfUsers::One(user), None, &mut removal).await?;
        remove_given(&mut write, &format!("user:{user}"), &mut removal).await?;
        sqlx::query("DELETE FROM users WHERE id = ?").bind(user).execute(write.db()).await?;
        removal.removed.users = 1;
        let name: String = row.try_get("name")?;
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
        let row = sqlx::query(
            "SELECT \
             (SELECT COUNT(*) FROM cameras WHERE gateway_id = ?1 AND NOT former) AS cameras, \
             (SELECT COUNT(*) FROM token_cameras WHERE gateway_id = ?1) \
             + (SELECT COUNT(*) FROM user_cameras WHERE gateway_id = ?1) \
             + (SELECT COUNT(*) FROM invitation_cameras WHERE gateway_id = ?1) \
             + (SELECT COUNT(*) FROM share_cameras WHERE gateway_id = ?1) AS grants, \
             (SELECT COUNT(*) FROM claims WHERE replaces = ?1) AS claims",
        )
        .bind(gateway.as_str())
        .fetch_one(write.db())
        .await?;
        let removed = Removed {
            gateways: 1,
            cameras: row.try_get("cameras")?,
            grants: row.try_get("grants")?,
            claims: row.try_get("claims")?,
            ..Removed::default()
        };
        let query = "DELETE FROM gateways WHERE id = ? RETURNING name";
        let deleted = sqlx::query(query).bind(gateway.as_str()).fetch_all(write.db()).await?;
        let Some(deleted) = deleted.first() else { return Ok(None) };
        let name = format!("{} ({gateway})", deleted.try_get::<String, _>("name")?);
        write.audit(&Event::by(granted.principal(), AuditKind::GatewayRemoved, name)).await?;
        write.commit().await?;
        Ok(Some(Removal { removed, credentials: vec![format!("gateway:{gateway}")] }))
    }
}

/// Removes the tokens, claim codes, invitations and links that a user or token has given, that
/// these have given, and so on. A token is removed with them.
pub(super) async fn remove_given(
    write: &mut Write,
    subject: &str,
    removal: &mut Removal,
) -> Result<(), StoreError> {
    let sql = |rest: &str| sqlx::AssertSqlSafe(format!("{GIVEN}{rest}"));
    let claims = sql("DELETE FROM claims WHERE giver IN (SELECT subject FROM given)");
    let claims = sqlx::query(claims).bind(subject).execute(write.db()).await?;
    removal.removed.claims += count(claims.rows_affected());
    let invitations = sql("DELETE FROM invitations WHERE giver IN (SELECT subject FROM given)");
    let invitations = sqlx::query(invitations).bind(subject).execute(write.db()).await?;
    removal.removed.invitations += count(invitations.rows_affected());
    let shares = sql("DELETE FROM shares WHERE giver IN (SELECT subject FROM given) \
                      RETURNING 'share:' || id AS credential");
    for row in sqlx::query(shares).bind(subject).fetch_all(write.db()).await? {
        removal.removed.shares += 1;
        removal.credentials.push(row.try_get("credential")?);
    }
    let grants = sql("DELETE FROM token_cameras \
                      WHERE 'token:' || token_id IN (SELECT subject FROM given)");
    let grants = sqlx::query(grants).bind(subject).execute(write.db()).await?;
    removal.removed.grants += count(grants.rows_affected());
    let tokens = sql("DELETE FROM tokens WHERE 'token:' || id IN (SELECT subject FROM given) \
                      RETURNING 'token:' || id AS credential");
    for row in sqlx::query(tokens).bind(subject).fetch_all(write.db()).await? {
        removal.removed.tokens += 1;
        removal.credentials.push(row.try_get("credential")?);
    }
    Ok(())
}

pub(super) fn count(rows: u64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
