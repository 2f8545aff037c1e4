//! The audit log: who has got access, who has tried to, and who has changed it. What has changed
//! something is written in the same transaction as the change, so that neither is there without the
//! other.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use porthole_signaling_core::{CameraChange, ChangeKind, Everything, Granted, Principal};
use porthole_signaling_proto::rest::{AuditEvent, AuditKind};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use tracing::{info, warn};

use super::users::User;
use super::{Store, StoreError, Write, seconds, unix_s};
use crate::network::Network;

/// The most rows of each kind. Each kind has its own, so that a flood of failures pushes out
/// nothing but failures.
const MAX_OF_KIND: i64 = 1000;
/// Time within which equal events that can be caused again and again stand in one row.
const ONE_ROW_S: u64 = 60 * 60;
/// The most events on one page.
const PAGE: i64 = 200;

/// An event that is to be written down.
#[derive(Debug)]
pub(super) struct Event<'a> {
    kind: AuditKind,
    /// Whoever has caused it: the origin of a credential, the giver of the invitation or claim code
    /// that was used, or else the network of the client.
    source: String,
    /// The user or token that has done it, if it is known.
    subject: Option<String>,
    /// The name of it.
    actor: Option<&'a str>,
    /// The name of the object that it was done to.
    pub(super) object: Option<String>,
    address: Option<IpAddr>,
    /// The number of events that this one stands for.
    times: u32,
}

impl<'a> Event<'a> {
    /// Creates an event that somebody with a credential has caused.
    pub(super) fn by(actor: &'a Principal, kind: AuditKind, object: impl Into<String>) -> Self {
        let (source, subject) = (actor.origin().to_owned(), Some(actor.subject().to_owned()));
        let (actor, object) = (Some(actor.name()), Some(object.into()));
        Self { kind, source, subject, actor, object, address: None, times: 1 }
    }

    /// Creates an event that a user has caused with its name and password, or the setup link.
    pub(super) fn of_user(user: &'a User, kind: AuditKind, address: IpAddr) -> Self {
        let (source, actor) = (format!("user:{}", user.id), Some(&*user.name));
        let (subject, address) = (Some(source.clone()), Some(address));
        Self { kind, source, subject, actor, object: None, address, times: 1 }
    }

    /// Creates the event of a person who has become a user by an invitation of this giver.
    pub(super) fn of_invited(user: &'a User, giver: String, address: IpAddr) -> Self {
        let event = Self::of_user(user, AuditKind::InvitationAccepted, address);
        Self { source: giver, object: Some(user.name.clone()), ..event }
    }

    /// Creates an event that somebody without a name has caused.
    pub(super) fn of_stranger(kind: AuditKind, object: Option<String>, address: IpAddr) -> Self {
        let (source, address) = (Network::widest(address).to_string(), Some(address));
        Self { kind, source, subject: None, actor: None, object, address, times: 1 }
    }

    /// Creates an event of a gateway that uses the claim code of a giver.
    pub(super) fn of_gateway(giver: Option<String>, object: String) -> Self {
        let (kind, source) = (AuditKind::GatewayEnrolled, giver.unwrap_or_default());
        let object = Some(object);
        Self { kind, source, subject: None, actor: None, object, address: None, times: 1 }
    }
}

impl Write {
    /// Writes an event down. The log line names no address, which is for the database only.
    pub(super) async fn audit(&mut self, event: &Event<'_>) -> Result<(), StoreError> {
        let Event { kind, source, subject, actor, object, address, times } = event;
        let name = kind.name();
        info!(actor, object, "audit: {name}");
        let now = unix_s();
        let (mut first_s, mut count) = (seconds(now), i64::from(*times));
        if is_counted(*kind) {
            let before = sqlx::query(
                "DELETE FROM audit WHERE id = (SELECT id FROM audit WHERE kind = ?1 \
                 AND source = ?2 AND subject IS ?6 AND actor IS ?3 AND object IS ?4 \
                 AND first_s > ?5 ORDER BY id DESC LIMIT 1) RETURNING first_s, count",
            )
            .bind(name)
            .bind(source)
            .bind(actor)
            .bind(object)
            .bind(seconds(now.saturating_sub(ONE_ROW_S)))
            .bind(subject)
            .fetch_optional(self.db())
            .await?;
            if let Some(before) = before {
                first_s = before.try_get("first_s")?;
                count = before.try_get::<i64, _>("count")?.saturating_add(count);
            }
        }
        sqlx::query(
            "INSERT INTO audit \
             (kind, source, subject, first_s, last_s, count, actor, object, address) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(name)
        .bind(source)
        .bind(subject)
        .bind(first_s)
        .bind(seconds(now))
        .bind(count.min(u32::MAX.into()))
        .bind(actor)
        .bind(object)
        .bind(address.map(|address| address.to_canonical().to_string()))
        .execute(self.db())
        .await?;
        self.make_room(name).await
    }

    /// Removes a row of whoever has most of a kind, if there are too many: who causes ten thousand
    /// pushes out its own, and of these never the first, which says how it began.
    async fn make_room(&mut self, kind: &str) -> Result<(), StoreError> {
        sqlx::query(
            "WITH most AS (SELECT source, COUNT(*) AS rows, MIN(id) AS first FROM audit \
                           WHERE kind = ?1 GROUP BY source ORDER BY rows DESC, first LIMIT 1) \
             DELETE FROM audit WHERE (SELECT COUNT(*) FROM audit WHERE kind = ?1) > ?2 \
             AND id = (SELECT MIN(audit.id) FROM audit, most WHERE kind = ?1 \
                       AND audit.source = most.source AND (rows = 1 OR audit.id > first))",
        )
        .bind(kind)
        .bind(MAX_OF_KIND)
        .execute(self.db())
        .await?;
        Ok(())
    }
}

impl Store {
    /// Returns a page of the audit log, the newest events first: those before the event with this
    /// number.
    pub(crate) async fn audit(
        &self,
        _: &Granted<Everything>,
        before: Option<i64>,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, kind, first_s, last_s, count, subject, actor, object, address FROM audit \
             WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
        )
        .bind(before)
        .bind(PAGE)
        .fetch_all(&self.read)
        .await?;
        Ok(rows.iter().map(event).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Writes down that somebody gave a wrong name or password, if that is possible: the response
    /// is the same. `user` is the name if there is such a user, since another may be a password
    /// that was typed into the wrong field.
    pub(crate) async fn note_failed_sign_in(&self, user: Option<&str>, address: IpAddr) {
        let (kind, object) = (AuditKind::SignInFailed, user.map(str::to_owned));
        self.note(&Event::of_stranger(kind, object, address)).await;
    }

    /// Writes down that somebody gave the right password of a user and not the code that belongs to
    /// it, if that is possible. Whoever then signs in from there takes one time back, with
    /// [`Self::forget_missing_code`].
    pub(crate) async fn note_missing_code(&self, user: &str, address: IpAddr) {
        let (kind, object) = (AuditKind::CodeMissing, Some(user.to_owned()));
        self.note(&Event::of_stranger(kind, object, address)).await;
    }

    /// Takes back that a user was asked for the code, because the code has come from the same
    /// network, if that is possible. It is one time of all that stand in the row: others there may
    /// have tried the password, and these stay.
    pub(crate) async fn forget_missing_code(&self, user: &str, address: IpAddr) {
        let written = async {
            let mut write = self.begin().await?;
            let kind = AuditKind::CodeMissing.name();
            sqlx::query(
                "UPDATE audit SET count = count - 1 WHERE id = (SELECT MAX(id) FROM audit \
                 WHERE kind = ? AND source = ? AND object = ? AND first_s > ?)",
            )
            .bind(kind)
            .bind(Network::widest(address).to_string())
            .bind(user)
            .bind(seconds(unix_s().saturating_sub(ONE_ROW_S)))
            .execute(write.db())
            .await?;
            let query = sqlx::query("DELETE FROM audit WHERE kind = ? AND count <= 0").bind(kind);
            query.execute(write.db()).await?;
            write.commit().await
        };
        if let Err(error) = written.await {
            warn!(%error, "cannot write to the audit log");
        }
    }

    /// Writes down that somebody has used a passkey of a user in a wrong way, if that is possible.
    pub(crate) async fn note_refused_passkey(&self, user: &str, address: IpAddr) {
        let (kind, object) = (AuditKind::PasskeyRefused, Some(user.to_owned()));
        self.note(&Event::of_stranger(kind, object, address)).await;
    }

    /// Writes down that an account at the provider was refused, if that is possible. It has a name
    /// if the provider has vouched for it.
    pub(crate) async fn note_refused_identity(&self, account: Option<&str>, address: IpAddr) {
        let (kind, object) = (AuditKind::IdentityRefused, account.map(str::to_owned));
        self.note(&Event::of_stranger(kind, object, address)).await;
    }

    /// Writes down that somebody wanted to give more than they have, if that is possible.
    pub(crate) async fn note_refused_gift(&self, giver: &Principal, gift: &str) {
        self.note(&Event::by(giver, AuditKind::GiftRefused, gift)).await;
    }

    /// Writes down the change of a camera, which its gateway has made, if that is possible: a full
    /// disk of the server does not undo it. The line names no address of the camera.
    pub(crate) async fn note_camera_change(&self, change: &CameraChange) {
        let CameraChange { granted, camera, kind } = change;
        let kind = match kind {
            ChangeKind::Added => AuditKind::CameraAdded,
            ChangeKind::Changed => AuditKind::CameraChanged,
            ChangeKind::Readdressed => AuditKind::CameraReaddressed,
        };
        let written = async {
            let mut write = self.begin().await?;
            let gateway = write.name_of_gateway(granted.object()).await?;
            let object = format!("{camera} ({gateway})");
            write.audit(&Event::by(granted.principal(), kind, object)).await?;
            write.commit().await
        };
        if let Err(error) = written.await {
            warn!(%error, "cannot write to the audit log");
        }
    }

    /// Writes down what has changed nothing, so that it need not be there.
    pub(super) async fn note(&self, event: &Event<'_>) {
        let written = async {
            let mut write = self.begin().await?;
            write.audit(event).await?;
            write.commit().await
        };
        if let Err(error) = written.await {
            warn!(%error, "cannot write to the audit log");
        }
    }

    /// Counts an enrolment that is refused, which anybody can cause. It is written down by
    /// [`Self::write_refusals`], because whoever is refused must not keep others from writing.
    pub(super) fn count_refused_enrolment(&self) {
        self.refusals.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes down the refused enrolments that were counted since the last time, once a minute.
    pub(crate) async fn write_refusals(&self) {
        let kind = AuditKind::EnrolmentRefused;
        if self.refusals.0.load(Ordering::Relaxed) == 0 || !self.is_use_due(kind.name()) {
            return;
        }
        let times = self.refusals.0.swap(0, Ordering::Relaxed);
        let event = Event::of_gateway(None, String::new());
        self.note(&Event { kind, object: None, times, ..event }).await;
    }
}

/// The enrolments that were refused and are not written down yet.
#[derive(Debug, Default)]
pub(super) struct Refusals(AtomicU32);

/// Returns an event of the table; `None` if its kind is not known.
fn event(row: &SqliteRow) -> Result<Option<AuditEvent>, StoreError> {
    let kind: String = row.try_get("kind")?;
    let Some(kind) = AuditKind::ALL.into_iter().find(|known| known.name() == kind) else {
        return Ok(None);
    };
    Ok(Some(AuditEvent {
        id: row.try_get("id")?,
        kind,
        first_s: row.try_get::<i64, _>("first_s")?.unsigned_abs(),
        last_s: row.try_get::<i64, _>("last_s")?.unsigned_abs(),
        count: row.try_get("count")?,
        actor: row.try_get("actor")?,
        actor_subject: row.try_get("subject")?,
        object: row.try_get("object")?,
        address: row.try_get("address")?,
    }))
}

/// Returns true for events that change nothing, so that they can be caused again and again.
fn is_counted(kind: AuditKind) -> bool {
    matches!(
        kind,
        AuditKind::SignedIn
            | AuditKind::SignInFailed
            | AuditKind::CodeMissing
            | AuditKind::GiftRefused
            | AuditKind::EnrolmentRefused
            | AuditKind::ShareOpened
            | AuditKind::ShareRefused
            | AuditKind::PasskeyRefused
            | AuditKind::PasskeyCopied
            | AuditKind::IdentityRefused
    )
}

#[cfg(test)]
mod tests;
