//! Gateways, their cameras, and the claim codes with which gateways enrol.

use std::collections::BTreeMap;
use std::time::Duration;

use porthole_signaling_core::{Everything, Granted, StoredCamera, StoredGateway};
use porthole_signaling_proto::rest::Claim;
use porthole_signaling_proto::{CameraId, GatewayId};
use sqlx::Row as _;

use super::{Store, StoreError, seconds, unix_s};
use crate::secret;

/// Lifetime of a claim code.
pub(crate) const CLAIM_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Time an expired claim code is remembered, so that its user can be told that it has expired.
const CLAIM_REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The outcome of an attempt to enrol a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnrollOutcome {
    Enrolled,
    ClaimExpired,
    ClaimUnknown,
}

impl Store {
    pub(crate) async fn create_claim(&self, _: &Granted<Everything>) -> Result<Claim, StoreError> {
        let code = secret::new_claim();
        let now = unix_s();
        let mut write = self.begin().await?;
        sqlx::query("DELETE FROM claims WHERE expires_s <= ?")
            .bind(seconds(now.saturating_sub(CLAIM_REMEMBERED.as_secs())))
            .execute(write.db())
            .await?;
        sqlx::query("INSERT INTO claims (hash, expires_s) VALUES (?, ?)")
            .bind(secret::hash(&secret::plain_claim(&code)))
            .bind(seconds(now + CLAIM_LIFETIME.as_secs()))
            .execute(write.db())
            .await?;
        write.commit().await?;
        let expires_in_seconds = u32::try_from(CLAIM_LIFETIME.as_secs()).unwrap_or(u32::MAX);
        Ok(Claim { code, expires_in_seconds })
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
        let mut write = self.begin().await?;
        let used = sqlx::query("DELETE FROM claims WHERE hash = ? AND expires_s > ?")
            .bind(&hash)
            .bind(now)
            .execute(write.db())
            .await?;
        if used.rows_affected() == 0 {
            let expired = sqlx::query("SELECT 1 FROM claims WHERE hash = ?")
                .bind(&hash)
                .fetch_optional(write.db())
                .await?;
            return Ok(match expired {
                Some(_) => EnrollOutcome::ClaimExpired,
                None => EnrollOutcome::ClaimUnknown,
            });
        }
        sqlx::query(
            "INSERT INTO gateways (id, public_key, name, created_s) VALUES (?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        )
        .bind(gateway.as_str())
        .bind(public_key.as_slice())
        .bind(name)
        .bind(now)
        .execute(write.db())
        .await?;
        write.commit().await?;
        Ok(EnrollOutcome::Enrolled)
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
            "SELECT gateways.id AS id, gateways.name AS name, \
                    cameras.id AS camera, cameras.name AS camera_name, place \
             FROM gateways LEFT JOIN cameras ON gateway_id = gateways.id",
        )
        .fetch_all(&self.read)
        .await?;
        let mut gateways = BTreeMap::<GatewayId, StoredGateway>::new();
        for row in rows {
            let id: String = row.try_get("id")?;
            let Ok(id) = id.parse::<GatewayId>() else { continue };
            let name = row.try_get("name")?;
            let stored = StoredGateway { id: id.clone(), name, cameras: Vec::new() };
            let gateway = gateways.entry(id).or_insert(stored);
            let camera: Option<String> = row.try_get("camera")?;
            if let Some(Ok(id)) = camera.map(|camera| camera.parse::<CameraId>()) {
                let place: i64 = row.try_get("place")?;
                let (name, place) = (row.try_get("camera_name")?, place.unsigned_abs());
                gateway.cameras.push(StoredCamera { id, name, place });
            }
        }
        Ok(gateways.into_values().collect())
    }

    /// Saves the name of a gateway and its complete list of cameras.
    pub(crate) async fn save_gateway(
        &self,
        gateway: &GatewayId,
        name: &str,
        cameras: &[StoredCamera],
    ) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        sqlx::query("UPDATE gateways SET name = ? WHERE id = ?")
            .bind(name)
            .bind(gateway.as_str())
            .execute(write.db())
            .await?;
        sqlx::query("DELETE FROM cameras WHERE gateway_id = ?")
            .bind(gateway.as_str())
            .execute(write.db())
            .await?;
        for StoredCamera { id, name, place } in cameras {
            sqlx::query("INSERT INTO cameras (gateway_id, id, name, place) VALUES (?, ?, ?, ?)")
                .bind(gateway.as_str())
                .bind(id.as_str())
                .bind(name)
                .bind(i64::try_from(*place).unwrap_or(i64::MAX))
                .execute(write.db())
                .await?;
        }
        write.commit().await
    }
}
