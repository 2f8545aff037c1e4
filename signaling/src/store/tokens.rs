//! API tokens for scripts and players.

use std::collections::BTreeSet;

use porthole_signaling_core::{Everything, Granted, Identity, Objects, Principal};
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::rest::{NewToken, Role, Token};
use sqlx::Row as _;

use super::users::role;
use super::{Store, StoreError, seconds, unix_s};
use crate::secret;

/// The result of looking up a token.
#[derive(Debug)]
pub(crate) enum TokenLookup {
    Valid(Principal),
    Expired,
    Unknown,
}

impl Store {
    pub(crate) async fn create_token(
        &self,
        _: &Granted<Everything>,
        new: &NewToken,
    ) -> Result<Token, StoreError> {
        let token = secret::new_token();
        let now = unix_s();
        let expires_s = new.expires_in_seconds.map(|time| seconds(now + u64::from(time)));
        let mut write = self.begin().await?;
        let id = sqlx::query(
            "INSERT INTO tokens (hash, name, role, limited, created_s, expires_s) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(secret::hash(&token))
        .bind(&new.name)
        .bind(match new.role {
            Role::Admin => "admin",
            Role::Viewer => "viewer",
        })
        .bind(!new.cameras.is_empty())
        .bind(seconds(now))
        .bind(expires_s)
        .execute(write.db())
        .await?
        .last_insert_rowid();
        for camera in &new.cameras {
            sqlx::query("INSERT OR IGNORE INTO token_cameras (token_id, camera_id) VALUES (?, ?)")
                .bind(id)
                .bind(camera.as_str())
                .execute(write.db())
                .await?;
        }
        write.commit().await?;
        Ok(Token { token })
    }

    pub(crate) async fn find_token(&self, token: &str) -> Result<TokenLookup, StoreError> {
        let row =
            sqlx::query("SELECT id, name, role, limited, expires_s FROM tokens WHERE hash = ?")
                .bind(secret::hash(token))
                .fetch_optional(&self.read)
                .await?;
        let Some(row) = row else { return Ok(TokenLookup::Unknown) };
        let id: i64 = row.try_get("id")?;
        let expires_s: Option<i64> = row.try_get("expires_s")?;
        let limited: bool = row.try_get("limited")?;
        let objects = if limited { self.token_cameras(id).await? } else { Objects::All };
        let identity = Identity {
            subject: format!("token:{id}"),
            credential: format!("token:{id}"),
            name: row.try_get("name")?,
        };
        let expires_s = expires_s.and_then(|end| u64::try_from(end).ok());
        let principal = Principal::new(identity, role(row.try_get("role")?), objects, expires_s);
        if principal.is_expired(unix_s()) {
            return Ok(TokenLookup::Expired);
        }
        Ok(TokenLookup::Valid(principal))
    }

    async fn token_cameras(&self, id: i64) -> Result<Objects, StoreError> {
        let rows = sqlx::query("SELECT camera_id FROM token_cameras WHERE token_id = ?")
            .bind(id)
            .fetch_all(&self.read)
            .await?;
        let mut cameras = BTreeSet::<CameraId>::new();
        for row in rows {
            let camera: String = row.try_get("camera_id")?;
            cameras.extend(camera.parse().ok());
        }
        Ok(Objects::Cameras(cameras))
    }
}
