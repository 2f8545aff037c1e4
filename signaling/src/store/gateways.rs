//! Gateways, their cameras, and the claim codes with which gateways enrol.

use std::collections::BTreeMap;
use std::time::Duration;

use porthole_signaling_core::{Enrolled, Enrolment, Expiry, Granted, StoredCamera, StoredGateway};
use porthole_signaling_proto::rest::{AuditKind, Claim};
use porthole_signaling_proto::{CameraId, GatewayId};
use sqlx::Row as _;

use super::audit::Event;
use super::{Store, StoreError, TokenError, Write, seconds, unix_s};
use crate::secret;

/// Lifetime of a claim code.
pub(crate) const CLAIM_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Time an expired claim code is remembered, so that its user can be told that it has expired.
const CLAIM_REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The most claim codes that wait for a gateway.
const MAX_CLAIMS: i64 = 256;
/// The most of them that one user or token has given.
const MAX_CLAIMS_OF_GIVER: i64 = 64;
/// The most expired claim codes that are remembered.
const MAX_EXPIRED_CLAIMS: i64 = 1024;

/// The outcome of an attempt to enrol a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnrollOutcome {
    Enrolled(Enrolled),
    ClaimExpired,
    ClaimUnknown,
}

impl Write {
    /// Forgets claim codes that expired long ago, and refuses more than may wait.
    async fn check_room_for_claim(&mut self, giver: &str, now_s: u64) -> Result<(), TokenError> {
        let query = "DELETE FROM claims WHERE expires_s <= ?1 AND (expires_s <= ?2 OR hash NOT IN \
                     (SELECT hash FROM claims WHERE expires_s <= ?1 \
                      ORDER BY expires_s DESC LIMIT ?3))";
        sqlx::query(query)
            .bind(seconds(now_s))
            .bind(seconds(now_s.saturating_sub(CLAIM_REMEMBERED.as_secs())))
            .bind(MAX_EXPIRED_CLAIMS)
            .execute(self.db())
            .await?;
        let query = "SELECT COUNT(*) AS claims, COALESCE(SUM(giver = ?), 0) AS own FROM claims \
                     WHERE expires_s > ?";
        let row = sqlx::query(query).bind(giver).bind(seconds(now_s)).fetch_one(self.db()).await?;
        let (claims, own): (i64, i64) = (row.try_get("claims")?, row.try_get("own")?);
        let is_full = claims >= MAX_CLAIMS || own >= MAX_CLAIMS_OF_GIVER;
        if is_full { Err(TokenError::TooManyClaims) } else { Ok(()) }
    }
}

impl Store {
    /// Creates a claim code. The gateway that uses it takes over the name of the one that it
    /// `replaces`, which must be known, and the rights to its cameras.
    pub(crate) async fn create_claim(
        &self,
        granted: &Granted<Enrolment>,
        replaces: Option<&GatewayId>,
    ) -> Result<Claim, TokenError> {
        let code = secret::new_claim();
        let now = unix_s();
        let end_s = match granted.object().expiry {
            Expiry::At(end_s) => end_s,
            Expiry::Never => now + CLAIM_LIFETIME.as_secs(),
        };
        let mut write = self.begin_by(granted.principal()).await?;
        write.check_room_for_claim(granted.principal().subject(), now).await?;
        sqlx::query(
            "INSERT INTO claims (hash, expires_s, replaces, giver, created_s) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(secret::hash(&secret::plain_claim(&code)))
        .bind(seconds(end_s))
        .bind(replaces.map(GatewayId::as_str))
        .bind(granted.principal().subject())
        .bind(seconds(now))
        .execute(write.db())
        .await?;
        let mut event = Event::by(granted.principal(), AuditKind::ClaimCreated, "");
        event.object = replaces.map(ToString::to_string);
        write.audit(&event).await?;
        write.commit().await?;
        let expires_in_seconds = u32::try_from(end_s.saturating_sub(now)).unwrap_or(u32::MAX);
        Ok(Claim { code, expires_in_seconds, ca_fingerprint: None })
    }

    /// Uses up a claim code and records the gateway, both or neither.
    pub(crate) async fn enroll(
        &self,
        claim: &str,
        gateway: &GatewayId,
        public_key: &[u8; 32],
        name: &str,
    ) -> Result<EnrollOutcome, StoreError> {
        let hash = secret::hash(&secret::plain_claim(claim));
        let now = seconds(unix_s());
        // Whoever has no claim code that is good must not keep others from writing.
        let known = sqlx::query("SELECT expires_s FROM claims WHERE hash = ?").bind(&hash);
        let known = known.fetch_optional(&self.read).await?;
        let end: Option<i64> = known.map(|row| row.try_get("expires_s")).transpose()?;
        if end.is_none_or(|end| end <= now) {
            self.count_refused_enrolment();
            return Ok(match end {
                Some(_) => EnrollOutcome::ClaimExpired,
                None => EnrollOutcome::ClaimUnknown,
            });
        }
        let mut write = self.begin().await?;
        let used = "DELETE FROM claims WHERE hash = ? AND expires_s > ? RETURNING replaces, giver";
        let used = sqlx::query(used).bind(&hash).bind(now).fetch_optional(write.db()).await?;
        let Some(used) = used else {
            // Somebody else has used it meanwhile.
            self.count_refused_enrolment();
            return Ok(EnrollOutcome::ClaimUnknown);
        };
        sqlx::query(
            "INSERT INTO gateways (id, public_key, name, created_s) VALUES (?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE renamed = 0",
        )
        .bind(gateway.as_str())
        .bind(public_key.as_slice())
        .bind(name)
        .bind(now)
        .execute(write.db())
        .await?;
        let replaces: Option<String> = used.try_get("replaces")?;
        let replaces = replaces.and_then(|id| id.parse::<GatewayId>().ok());
        let replaces = replaces.filter(|old| old != gateway);
        if let Some(old) = &replaces {
            take_over(&mut write, old, gateway).await?;
        }
        // The server must not end what the gateway starts now for a removal from before.
        sqlx::query("DELETE FROM revoked WHERE credential = 'gateway:' || ?")
            .bind(gateway.as_str())
            .execute(write.db())
            .await?;
        let named = find(&mut write, gateway).await?;
        let object = match &replaces {
            Some(old) => format!("{name} ({gateway}), in place of {old}"),
            None => format!("{name} ({gateway})"),
        };
        write.audit(&Event::of_gateway(used.try_get("giver")?, object)).await?;
        write.commit().await?;
        let (name, renamed) = named.unwrap_or_else(|| (name.to_owned(), false));
        Ok(EnrollOutcome::Enrolled(Enrolled { name, renamed, replaces }))
    }

    /// Names a gateway, whatever its own configuration says. Returns false if there is no such
    /// gateway.
    pub(crate) async fn rename_gateway(
        &self,
        granted: &Granted<GatewayId>,
        name: &str,
    ) -> Result<bool, StoreError> {
        let mut write = self.begin_by(granted.principal()).await?;
        let gateway = granted.object();
        let query = sqlx::query("SELECT name FROM gateways WHERE id = ?").bind(gateway.as_str());
        let Some(row) = query.fetch_optional(write.db()).await? else { return Ok(false) };
        let before: String = row.try_get("name")?;
        sqlx::query("UPDATE gateways SET name = ?, renamed = 1 WHERE id = ?")
            .bind(name)
            .bind(gateway.as_str())
            .execute(write.db())
            .await?;
        if before != name {
            let object = format!("{before} ({gateway}) to {name}");
            let kind = AuditKind::GatewayRenamed;
            write.audit(&Event::by(granted.principal(), kind, object)).await?;
        }
        write.commit().await?;
        Ok(true)
    }

    pub(crate) async fn gateway_key(
        &self,
        gateway: &GatewayId,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let row = sqlx::query("SELECT public_key FROM gateways WHERE id = ?")
            .bind(gateway.as_str())
            .fetch_optional(&self.read)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let key: Vec<u8> = row.try_get("public_key")?;
        Ok(key.try_into().ok())
    }

    pub(crate) async fn gateways(&self) -> Result<Vec<StoredGateway>, StoreError> {
        let rows = sqlx::query(
            "SELECT gateways.id AS id, gateways.name AS name, renamed, seen_s, \
                    cameras.id AS camera, cameras.name AS camera_name, place, former \
             FROM gateways LEFT JOIN cameras ON gateway_id = gateways.id",
        )
        .fetch_all(&self.read)
        .await?;
        let mut gateways = BTreeMap::<GatewayId, StoredGateway>::new();
        for row in rows {
            let id: String = row.try_get("id")?;
            let Ok(id) = id.parse::<GatewayId>() else { continue };
            let seen_s: Option<i64> = row.try_get("seen_s")?;
            let stored = StoredGateway {
                id: id.clone(),
                name: row.try_get("name")?,
                renamed: row.try_get("renamed")?,
                seen_s: seen_s.map(i64::unsigned_abs),
                cameras: Vec::new(),
            };
            let gateway = gateways.entry(id).or_insert(stored);
            let camera: Option<String> = row.try_get("camera")?;
            if let Some(Ok(id)) = camera.map(|camera| camera.parse::<CameraId>()) {
                let place: i64 = row.try_get("place")?;
                let (name, place) = (row.try_get("camera_name")?, place.unsigned_abs());
                let former = row.try_get("former")?;
                gateway.cameras.push(StoredCamera { id, name, place, former });
            }
        }
        Ok(gateways.into_values().collect())
    }

    /// Saves the name of a gateway, unless a person has named it, when it was last seen, and its
    /// complete list of cameras. Does nothing if it was removed meanwhile.
    pub(crate) async fn save_gateway(&self, stored: &StoredGateway) -> Result<(), StoreError> {
        let StoredGateway { id: gateway, name, seen_s, cameras, renamed: _ } = stored;
        let mut write = self.begin().await?;
        let known = sqlx::query(
            "UPDATE gateways SET name = iif(renamed, name, ?), seen_s = ? WHERE id = ?",
        )
        .bind(name)
        .bind(seen_s.map(seconds))
        .bind(gateway.as_str())
        .execute(write.db())
        .await?;
        if known.rows_affected() == 0 {
            return Ok(());
        }
        sqlx::query("DELETE FROM cameras WHERE gateway_id = ?")
            .bind(gateway.as_str())
            .execute(write.db())
            .await?;
        for StoredCamera { id, name, place, former } in cameras {
            sqlx::query(
                "INSERT INTO cameras (gateway_id, id, name, place, former) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(gateway.as_str())
            .bind(id.as_str())
            .bind(name)
            .bind(i64::try_from(*place).unwrap_or(i64::MAX))
            .bind(*former)
            .execute(write.db())
            .await?;
        }
        write.commit().await
    }
}

/// Returns the name of a gateway, and true if a person has given it; `None` if it is not known.
async fn find(
    write: &mut Write,
    gateway: &GatewayId,
) -> Result<Option<(String, bool)>, StoreError> {
    let row = sqlx::query("SELECT name, renamed FROM gateways WHERE id = ?")
        .bind(gateway.as_str())
        .fetch_optional(write.db())
        .await?;
    row.map(|row| Ok((row.try_get("name")?, row.try_get("renamed")?))).transpose()
}

/// Gives a new gateway the name of another, its cameras and the rights to them, and removes the
/// other.
async fn take_over(write: &mut Write, old: &GatewayId, new: &GatewayId) -> Result<(), StoreError> {
    for sql in [
        "UPDATE gateways SET name = old.name, renamed = old.renamed \
         FROM (SELECT name, renamed FROM gateways WHERE id = ?1) AS old WHERE id = ?2",
        "UPDATE OR IGNORE cameras SET gateway_id = ?2 WHERE gateway_id = ?1",
        "UPDATE OR IGNORE token_cameras SET gateway_id = ?2 WHERE gateway_id = ?1",
        "UPDATE OR IGNORE user_cameras SET gateway_id = ?2 WHERE gateway_id = ?1",
        "UPDATE OR IGNORE invitation_cameras SET gateway_id = ?2 WHERE gateway_id = ?1",
        "UPDATE OR IGNORE share_cameras SET gateway_id = ?2 WHERE gateway_id = ?1",
        "DELETE FROM gateways WHERE id = ?1 AND ?2 <> ?1",
    ] {
        sqlx::query(sql).bind(old.as_str()).bind(new.as_str()).execute(write.db()).await?;
    }
    Ok(())
}
