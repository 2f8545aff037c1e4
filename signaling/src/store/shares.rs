//! Shares: links with which anybody watches some cameras until an hour, without signing in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use porthole_clock::Now;
use porthole_signaling_core::{
    Admitted, Everything, Granted, Identity, NotGiven, Principal, RateCap, Sharing,
};
use porthole_signaling_proto::rest::{
    AuditKind, NewShare, Removed, ShareInfo, ShareLink, SharedCamera,
};
use porthole_signaling_proto::{CameraAddress, CameraId, GatewayId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteExecutor};

use super::audit::Event;
use super::credentials::{giver_of, time};
use super::removals::Removal;
use super::tokens::{HAS_LIMITS, SHARED_CAP, check_cap, gateway_in, shared_cap};
use super::{Store, StoreError, TokenError, TokenLookup, Write, seconds, unix_s};
use crate::driver::now;
use crate::secret;
use crate::share_token::ShareToken;

/// The most cameras that one link shows: a wall of four by four.
const MAX_CAMERAS: usize = 16;
/// The most links that one user or token has made.
const MAX_OF_GIVER: i64 = 64;
/// The most links of a server.
const MAX_SHARES: i64 = 256;
/// Lifetime of a link, unless its giver says otherwise.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest lifetime of a link.
const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Time for which a password need not be given again, except on a screen on a wall.
const PROOF_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// An error when making a link. Each sentence says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The database could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sender has less than it wants to give, or it is not certain whose camera is meant.
    #[error(transparent)]
    Given(TokenError),
    /// The link was to show no camera, or too many.
    #[error("a link shows 1 to 16 cameras")]
    Cameras,
    /// The number of links is at its limit.
    #[error(
        "there are 64 links of one user or token, or 256 in all: revoke one that is no longer \
         needed"
    )]
    TooMany,
}

impl From<sqlx::Error> for ShareError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<NotGiven> for ShareError {
    fn from(error: NotGiven) -> Self {
        Self::Given(error.into())
    }
}

impl From<TokenError> for ShareError {
    fn from(error: TokenError) -> Self {
        error.into_store().map_or_else(Self::Given, Self::Store)
    }
}

/// A share whose link works.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) id: i64,
    pub(crate) name: String,
    /// The hash of its password; `None` without one.
    pub(crate) password_hash: Option<String>,
    pub(crate) kiosk: bool,
    pub(crate) expires_s: u64,
    /// The token by which it is counted, if one with limits has made it.
    counted_as: Option<i64>,
    /// The most that is sent to all who use it, in kbit/s.
    max_kbit_per_s: Option<u32>,
    /// The limit of the token that has made it.
    shared_cap: Option<RateCap>,
}

impl Share {
    /// Returns the time until which a password that was right now need not be given again.
    pub(crate) fn proof_end_s(&self) -> u64 {
        let latest = if self.kiosk { u64::MAX } else { unix_s() + PROOF_LIFETIME.as_secs() };
        self.expires_s.min(latest)
    }

    /// Returns the end of what a token gives; `None` if it does not prove the password.
    pub(crate) fn end_s(&self, token: &ShareToken<'_>) -> Option<u64> {
        let Some(hash) = &self.password_hash else { return Some(self.expires_s) };
        Some(token.proved_until_s(hash)?.min(self.expires_s))
    }
}

impl Store {
    /// Makes a link that shows no more than its giver may see.
    pub(crate) async fn create_share(
        &self,
        giver: &Admitted,
        new: &NewShare,
        password_hash: Option<&str>,
    ) -> Result<ShareLink, ShareError> {
        let now = now();
        let mut write = self.begin().await?;
        let gift = write.grant_share(giver, new, now).await?;
        let token = write.insert_share(&gift, new, password_hash, now.unix_s).await?;
        let kind = AuditKind::ShareCreated;
        write.audit(&Event::by(gift.principal(), kind, new.name.as_str())).await?;
        write.commit().await?;
        let path = format!("/share#t={token}");
        let left_s = gift.object().end_s.saturating_sub(now.unix_s);
        let expires_in_seconds = u32::try_from(left_s).unwrap_or(u32::MAX);
        Ok(ShareLink { token, path, expires_in_seconds })
    }

    /// Checks that somebody may make a link, and changes nothing.
    pub(crate) async fn check_share(
        &self,
        giver: &Admitted,
        new: &NewShare,
    ) -> Result<(), ShareError> {
        let mut write = self.begin().await?;
        write.grant_share(giver, new, now()).await?;
        Ok(write.commit().await?)
    }

    /// Returns the shares whose links work, the newest first.
    pub(crate) async fn shares(
        &self,
        _: &Granted<Everything>,
    ) -> Result<Vec<ShareInfo>, StoreError> {
        let query = format!(
            "SELECT id, name, password IS NOT NULL AS password, kiosk, created_s, expires_s, \
             seen_s, max_kbit_per_s, {} FROM shares WHERE expires_s > ? \
             ORDER BY id DESC LIMIT {MAX_SHARES}",
            giver_of("shares")
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(seconds(unix_s()));
        let mut shares = Vec::new();
        for row in query.fetch_all(&self.read).await? {
            let cameras = cameras(&self.read, row.try_get("id")?).await?;
            shares.push(share_info(&row, &cameras)?);
        }
        Ok(shares)
    }

    /// Revokes a link, which ends what is watched with it. Returns `None` if there is no such
    /// share.
    pub(crate) async fn remove_share(
        &self,
        granted: &Granted<Everything>,
        share: i64,
    ) -> Result<Option<Removal>, StoreError> {
        let mut write = self.begin_by(granted.principal()).await?;
        let query = "SELECT COUNT(*) AS grants FROM share_cameras WHERE share_id = ?";
        let grants = sqlx::query(query).bind(share).fetch_one(write.db()).await?;
        let query = sqlx::query("DELETE FROM shares WHERE id = ? RETURNING name").bind(share);
        let Some(row) = query.fetch_optional(write.db()).await? else { return Ok(None) };
        let name: String = row.try_get("name")?;
        let kind = AuditKind::ShareRevoked;
        write.audit(&Event::by(granted.principal(), kind, name)).await?;
        write.commit().await?;
        let removed =
            Removed { shares: 1, grants: grants.try_get("grants")?, ..Removed::default() };
        let credentials = vec![format!("share:{share}")];
        Ok(Some(Removal { removed, credentials, ..Removal::default() }))
    }

    /// Returns the share with the secret in a token; `None` if there is none, or its hour is over.
    pub(crate) async fn share_of(
        &self,
        token: &ShareToken<'_>,
    ) -> Result<Option<Share>, StoreError> {
        let query = format!(
            "SELECT shares.id AS id, shares.name AS name, password, kiosk, \
             shares.expires_s AS expires_s, shares.max_kbit_per_s AS max_kbit_per_s, \
             CASE WHEN {HAS_LIMITS} THEN counted_as END AS counted_as, {SHARED_CAP} \
             FROM shares LEFT JOIN tokens ON 'token:' || tokens.id = shares.giver \
             WHERE shares.hash = ? AND shares.expires_s > ?"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query));
        let query = query.bind(secret::hash(token.secret)).bind(seconds(unix_s()));
        let Some(row) = query.fetch_optional(&self.read).await? else { return Ok(None) };
        Ok(Some(Share {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            password_hash: row.try_get("password")?,
            kiosk: row.try_get("kiosk")?,
            expires_s: time(&row, "expires_s")?.unwrap_or_default(),
            counted_as: row.try_get("counted_as")?,
            max_kbit_per_s: row.try_get("max_kbit_per_s")?,
            shared_cap: shared_cap(&row)?,
        }))
    }

    /// Returns what a token of a share gives now.
    pub(super) async fn find_share(
        &self,
        token: &ShareToken<'_>,
    ) -> Result<TokenLookup, StoreError> {
        let Some(share) = self.share_of(token).await? else { return Ok(TokenLookup::Unknown) };
        let Some(end_s) = share.end_s(token) else { return Ok(TokenLookup::Locked) };
        let [subject, credential] = [(); 2].map(|()| format!("share:{}", share.id));
        let identity = Identity { subject, credential, name: share.name };
        let cameras = cameras(&self.read, share.id).await?;
        let sharing = Sharing { cameras, end_s, max_kbit_per_s: share.max_kbit_per_s };
        let mut principal = Principal::of_share(identity, &sharing);
        if let Some(token) = share.counted_as {
            principal = principal.counted_as(format!("token:{token}"));
        }
        if let Some(cap) = share.shared_cap {
            principal = principal.with_cap(cap);
        }
        if principal.is_expired(unix_s()) {
            return Ok(TokenLookup::Expired);
        }
        Ok(TokenLookup::Valid(principal))
    }

    /// Writes down that somebody at an address has used a link, or gave a wrong password for it.
    pub(crate) async fn note_share(&self, kind: AuditKind, share: &Share, address: IpAddr) {
        self.note(&Event::of_stranger(kind, Some(share.name.clone()), address)).await;
    }
}

impl Write {
    /// Returns what a link that somebody wants to make gives, if it may be made.
    async fn grant_share(
        &mut self,
        giver: &Admitted,
        new: &NewShare,
        now: Now,
    ) -> Result<Granted<Sharing>, ShareError> {
        if !(1..=MAX_CAMERAS).contains(&new.cameras.len()) {
            return Err(ShareError::Cameras);
        }
        check_cap(new.max_kbit_per_s)?;
        let longest = u32::try_from(MAX_LIFETIME.as_secs()).unwrap_or(u32::MAX);
        let lifetime = new
            .expires_in_seconds
            .map_or(LIFETIME, |seconds| Duration::from_secs(u64::from(seconds.min(longest))));
        let mut cameras = BTreeMap::new();
        for SharedCamera { camera: address, listen } in &new.cameras {
            let gateway = gateway_in(self, giver, address).await?;
            cameras.insert((gateway, address.camera.clone()), *listen);
        }
        let end_s = now.unix_s + lifetime.as_secs();
        let max_kbit_per_s = new.max_kbit_per_s;
        let gift = giver.give(Sharing { cameras, end_s, max_kbit_per_s }, now)?;
        self.check_credential(gift.principal()).await?;
        self.check_room_for_share(gift.principal().subject(), now.unix_s).await?;
        Ok(gift)
    }

    /// Forgets the links whose hour is over, and refuses more than there may be.
    async fn check_room_for_share(&mut self, giver: &str, now_s: u64) -> Result<(), ShareError> {
        let query = sqlx::query("DELETE FROM shares WHERE expires_s <= ?");
        query.bind(seconds(now_s)).execute(self.db()).await?;
        let query = "SELECT COUNT(*) AS shares, COALESCE(SUM(giver = ?), 0) AS own FROM shares";
        let row = sqlx::query(query).bind(giver).fetch_one(self.db()).await?;
        let (shares, own): (i64, i64) = (row.try_get("shares")?, row.try_get("own")?);
        let is_full = shares >= MAX_SHARES || own >= MAX_OF_GIVER;
        if is_full { Err(ShareError::TooMany) } else { Ok(()) }
    }

    /// Writes down a share that was granted. Returns the secret in its link.
    async fn insert_share(
        &mut self,
        gift: &Granted<Sharing>,
        new: &NewShare,
        password_hash: Option<&str>,
        now_s: u64,
    ) -> Result<String, StoreError> {
        let token = secret::new_share();
        let Sharing { cameras, end_s, max_kbit_per_s } = gift.object();
        let id = self.next_id("share").await?;
        sqlx::query(
            "INSERT INTO shares \
             (id, hash, name, password, kiosk, giver, created_s, expires_s, max_kbit_per_s) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id)
        .bind(secret::hash(&token))
        .bind(&new.name)
        .bind(password_hash)
        .bind(new.kiosk)
        .bind(gift.principal().subject())
        .bind(seconds(now_s))
        .bind(seconds(*end_s))
        .bind(*max_kbit_per_s)
        .execute(self.db())
        .await?;
        for ((gateway, camera), listen) in cameras {
            let query = "INSERT INTO share_cameras (share_id, gateway_id, camera_id, listen) \
                         VALUES (?, ?, ?, ?)";
            sqlx::query(query)
                .bind(id)
                .bind(gateway.as_str())
                .bind(camera.as_str())
                .bind(listen)
                .execute(self.db())
                .await?;
        }
        Ok(token)
    }
}

/// Returns the cameras of a share, with whether they are heard.
async fn cameras(
    db: impl SqliteExecutor<'_>,
    share: i64,
) -> Result<BTreeMap<(GatewayId, CameraId), bool>, StoreError> {
    let query = "SELECT gateway_id, camera_id, listen FROM share_cameras WHERE share_id = ?";
    let mut cameras = BTreeMap::new();
    for row in sqlx::query(query).bind(share).fetch_all(db).await? {
        let (gateway, camera): (String, String) =
            (row.try_get("gateway_id")?, row.try_get("camera_id")?);
        let listen = row.try_get("listen")?;
        cameras.extend(gateway.parse().ok().zip(camera.parse().ok()).map(|key| (key, listen)));
    }
    Ok(cameras)
}

fn share_info(
    row: &SqliteRow,
    cameras: &BTreeMap<(GatewayId, CameraId), bool>,
) -> Result<ShareInfo, StoreError> {
    let shared = |((gateway, camera), listen): (&(GatewayId, CameraId), &bool)| {
        let camera = CameraAddress { camera: camera.clone(), gateway: Some(gateway.clone()) };
        SharedCamera { camera, listen: *listen }
    };
    Ok(ShareInfo {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        cameras: cameras.iter().map(shared).collect(),
        password: row.try_get("password")?,
        kiosk: row.try_get("kiosk")?,
        max_kbit_per_s: row.try_get("max_kbit_per_s")?,
        giver: row.try_get("giver")?,
        giver_subject: row.try_get("giver_subject")?,
        created_s: time(row, "created_s")?.unwrap_or_default(),
        expires_s: time(row, "expires_s")?.unwrap_or_default(),
        seen_s: time(row, "seen_s")?,
    })
}

#[cfg(test)]
mod tests;
