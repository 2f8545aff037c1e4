//! The end of all rights to a camera: when it is removed from its gateway, or when the gateway
//! gives up its id.

use std::collections::BTreeSet;

use porthole_signaling_core::Granted;
use porthole_signaling_proto::rest::{AuditKind, Removed};
use porthole_signaling_proto::{CameraId, GatewayId};
use sqlx::Row as _;

use super::audit::Event;
use super::removals::{Removal, push_name, remove_given};
use super::{Store, StoreError, Write};

/// The reason why the rights to a camera end.
#[derive(Debug, Clone)]
pub(crate) enum RightsEnd {
    /// The gateway is about to be asked to remove the camera.
    Removing,
    /// The gateway has removed the camera. What was removed before stands in the same line of the
    /// log.
    Removed(Removed),
    /// The gateway has removed a camera, and has another with the same id, which keeps them.
    Hidden,
    /// Its id is not kept for the gateway any more.
    Released,
}

/// The kinds of owners of rights to single cameras.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    User,
    Token,
    Invitation,
    Share,
}

impl Owner {
    const ALL: [Self; 4] = [Self::User, Self::Token, Self::Invitation, Self::Share];

    /// Returns the table with the cameras, and its column with the id of the owner.
    fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::User => ("user_cameras", "user_id"),
            Self::Token => ("token_cameras", "token_id"),
            Self::Invitation => ("invitation_cameras", "invitation_id"),
            Self::Share => ("share_cameras", "share_id"),
        }
    }
}

impl Store {
    /// Takes all rights to a camera of a gateway, and to its sub stream. A token, a link or an
    /// invitation for nothing else goes with them, because it can be given no other camera. A user
    /// stays, who can. Returns everything that was removed since the camera began to be removed.
    pub(crate) async fn take_rights<T>(
        &self,
        granted: &Granted<T>,
        gateway: &GatewayId,
        camera: &CameraId,
        end: RightsEnd,
    ) -> Result<Removal, StoreError> {
        let mut write = match &end {
            RightsEnd::Removing | RightsEnd::Released => self.begin_by(granted.principal()).await?,
            // The camera is gone, whoever may do what by now.
            RightsEnd::Removed(_) | RightsEnd::Hidden => self.begin().await?,
        };
        let mut removal = match &end {
            RightsEnd::Hidden => Removal::default(),
            RightsEnd::Removing | RightsEnd::Removed(_) | RightsEnd::Released => {
                write.remove_rights(gateway, Some(camera)).await?
            }
        };
        let (kind, before) = match end {
            RightsEnd::Removing => {
                let any = removal.removed != Removed::default();
                removal.removed.cameras = 1;
                (any.then_some(AuditKind::CameraRightsEnded), Removed::default())
            }
            RightsEnd::Removed(before) => (Some(AuditKind::CameraRemoved), before),
            RightsEnd::Hidden => {
                let alone = Removed { cameras: 1, ..Removed::default() };
                (Some(AuditKind::CameraRemoved), alone)
            }
            RightsEnd::Released => (Some(AuditKind::CameraReleased), Removed::default()),
        };
        removal.removed += before;
        if let Some(kind) = kind {
            let name = write.name_of_gateway(gateway).await?;
            let object = match in_words(&removal.removed).as_str() {
                "" => format!("{camera} ({name})"),
                words => format!("{camera} ({name}), with {words}"),
            };
            write.audit(&Event::by(granted.principal(), kind, object)).await?;
        }
        write.commit().await?;
        Ok(removal)
    }

    /// Returns everything that would go with a camera.
    pub(crate) async fn look_at_camera(
        &self,
        granted: &Granted<GatewayId>,
        camera: &CameraId,
    ) -> Result<Removal, StoreError> {
        let mut look = self.begin_look(granted.principal()).await?;
        let removal = look.write.remove_rights(granted.object(), Some(camera)).await;
        look.end().await?;
        let mut removal = removal?;
        removal.removed.cameras = 1;
        Ok(removal)
    }
}

impl Write {
    /// Removes the rights to a camera, or to all of a gateway, with those tokens, invitations and
    /// links that have no camera left.
    pub(super) async fn remove_rights(
        &mut self,
        gateway: &GatewayId,
        camera: Option<&CameraId>,
    ) -> Result<Removal, StoreError> {
        let mut removal = Removal::default();
        let sub = camera.and_then(CameraId::sub_stream);
        let mut owners = BTreeSet::new();
        for owner in Owner::ALL {
            let (table, column) = owner.table();
            let query = format!(
                "DELETE FROM {table} WHERE gateway_id = ?1 \
                 AND (?2 IS NULL OR camera_id IN (?2, ?3)) RETURNING {column} AS owner"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(query))
                .bind(gateway.as_str())
                .bind(camera.map(CameraId::as_str))
                .bind(sub.as_ref().map(CameraId::as_str));
            for row in query.fetch_all(self.db()).await? {
                removal.removed.grants += 1;
                owners.insert((owner, row.try_get("owner")?));
            }
        }
        self.remove_without_cameras(owners, &mut removal).await?;
        Ok(removal)
    }

    /// Removes those of these tokens, invitations and links that have no camera left. A link for a
    /// new password stays, since its user does.
    async fn remove_without_cameras(
        &mut self,
        owners: BTreeSet<(Owner, i64)>,
        removal: &mut Removal,
    ) -> Result<(), StoreError> {
        let mut tokens = Vec::new();
        for (owner, id) in owners {
            let query = match owner {
                Owner::User => continue,
                Owner::Token => {
                    "SELECT name FROM tokens WHERE id = ? AND limited = 1 AND NOT EXISTS \
                     (SELECT 1 FROM token_cameras \
                     WHERE token_id = tokens.id AND gateway_id IS NOT NULL)"
                }
                Owner::Invitation => {
                    "DELETE FROM invitations WHERE id = ? AND limited = 1 AND user_id IS NULL \
                     AND NOT EXISTS (SELECT 1 FROM invitation_cameras \
                     WHERE invitation_id = invitations.id) RETURNING name"
                }
                Owner::Share => {
                    "DELETE FROM shares WHERE id = ? AND NOT EXISTS \
                     (SELECT 1 FROM share_cameras WHERE share_id = shares.id) RETURNING name"
                }
            };
            let gone = sqlx::query(query).bind(id).fetch_optional(self.db()).await?;
            let Some(gone) = gone else { continue };
            let name = gone.try_get("name")?;
            match owner {
                Owner::User => {}
                Owner::Token => {
                    push_name(&mut removal.names.tokens, name);
                    tokens.push(format!("token:{id}"));
                }
                Owner::Invitation => {
                    removal.removed.invitations += 1;
                    push_name(&mut removal.names.invitations, name);
                }
                Owner::Share => {
                    removal.removed.shares += 1;
                    removal.credentials.push(format!("share:{id}"));
                    push_name(&mut removal.names.shares, name);
                }
            }
        }
        remove_given(self, &tokens, removal).await
    }

    /// Returns the name of a gateway with its id, or the id alone if it is not known.
    pub(super) async fn name_of_gateway(
        &mut self,
        gateway: &GatewayId,
    ) -> Result<String, StoreError> {
        let query = sqlx::query("SELECT name FROM gateways WHERE id = ?").bind(gateway.as_str());
        let Some(row) = query.fetch_optional(self.db()).await? else {
            return Ok(gateway.to_string());
        };
        Ok(format!("{}, {gateway}", row.try_get::<String, _>("name")?))
    }
}

/// Returns the rights, tokens, invitations, links and the like that were removed, in words; the
/// empty text for none. Cameras are named if they went with a gateway.
pub(super) fn in_words(removed: &Removed) -> String {
    let cameras = if removed.gateways > 0 { removed.cameras } else { 0 };
    let counts = [
        (cameras, "camera", "cameras"),
        (removed.sign_ins, "sign-in", "sign-ins"),
        (removed.grants, "right", "rights"),
        (removed.tokens, "access token", "access tokens"),
        (removed.claims, "claim code", "claim codes"),
        (removed.invitations, "invitation", "invitations"),
        (removed.shares, "share link", "share links"),
    ];
    let there = counts.into_iter().filter(|(count, ..)| *count > 0);
    let words = there.map(|(count, one, several)| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {several}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
