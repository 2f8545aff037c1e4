//! The people and gateways that somebody has added, as far as the audit log tells: what there is to
//! look at after somebody else had the password of a user.

use porthole_signaling_proto::rest::AuditKind;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{StoreError, Write};

/// The beginning of a query about a user, the tokens that it has given, the people who have joined
/// by an invitation of one of these, and so on.
const ADDED: &str = "WITH RECURSIVE added (subject) AS (VALUES (?1) \
    UNION SELECT 'token:' || id FROM tokens JOIN added ON giver = added.subject \
    UNION SELECT audit.subject FROM audit JOIN added ON source = added.subject \
    WHERE kind = ?2 AND audit.subject IS NOT NULL) ";

/// The people and gateways that a user has added and that are still there, the latest first. The
/// log keeps a thousand of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Added {
    /// People who have accepted an invitation.
    pub people: Vec<AddedOne>,
    /// Gateways that have used a claim code.
    pub gateways: Vec<AddedOne>,
}

/// A person or gateway that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedOne {
    /// The name; of a gateway with its id.
    pub name: String,
    /// The time of it, in seconds since 1970.
    pub at_s: u64,
}

impl Write {
    /// Returns what a user has added, with the tokens that it has given and that are still there,
    /// and what the people have added who have joined so.
    pub(super) async fn added_by(&mut self, user: i64) -> Result<Added, StoreError> {
        // Before givers were written down, the person itself stood there.
        let people = "SELECT users.name AS name, last_s FROM audit \
                      JOIN users ON 'user:' || users.id = audit.subject \
                      WHERE kind = ?3 AND source IN (SELECT subject FROM added) \
                      AND source <> audit.subject ORDER BY audit.id DESC";
        let gateways = "SELECT gateways.name || ' (' || gateways.id || ')' AS name, \
                        MAX(last_s) AS last_s FROM audit \
                        JOIN gateways ON instr(object, '(' || gateways.id || ')') > 0 \
                        WHERE kind = ?3 AND source IN (SELECT subject FROM added) \
                        GROUP BY gateways.id ORDER BY last_s DESC, gateways.id";
        let people = self.events(user, AuditKind::InvitationAccepted, people).await?;
        let gateways = self.events(user, AuditKind::GatewayEnrolled, gateways).await?;
        Ok(Added { people, gateways })
    }

    /// Returns what a query finds in the events of a kind.
    async fn events(
        &mut self,
        user: i64,
        kind: AuditKind,
        query: &str,
    ) -> Result<Vec<AddedOne>, StoreError> {
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{ADDED}{query}")))
            .bind(format!("user:{user}"))
            .bind(AuditKind::InvitationAccepted.name())
            .bind(kind.name());
        query.fetch_all(self.db()).await?.iter().map(added).collect()
    }
}

fn added(row: &SqliteRow) -> Result<AddedOne, StoreError> {
    let at_s: i64 = row.try_get("last_s")?;
    Ok(AddedOne { name: row.try_get("name")?, at_s: at_s.unsigned_abs() })
}
