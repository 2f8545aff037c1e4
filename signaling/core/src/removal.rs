//! The removal of a camera, with which every right to it goes. The gateway is asked for its list
//! first, since it would refuse to remove what it does not have, or what somebody else has changed.
//! Then the rights are taken before it is asked to remove the camera, and once more when it has:
//! wherever the server is interrupted, no right is left that another camera with the same id would
//! inherit.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_proto::manage::{
    CameraOrigin, GatewayParams, RemoveCameraParams, StoredCamera, StoredCamerasResult,
};
use porthole_signaling_proto::method::{Method as _, RemoveCamera, StoredCameras};
use porthole_signaling_proto::rest::Removed;
use porthole_signaling_proto::rpc::Fault;
use porthole_signaling_proto::{CameraId, GatewayId, rpc};
use serde_json::Value;
use tracing::info;

use crate::call::Call;
use crate::exchanges::{Asker, Effect};
use crate::lookup::Continuation;
use crate::stats::EndReason;
use crate::{Admitted, Close, Granted, Hub, Lookup, Principal};

/// Time for which it is remembered that the rights to a camera were taken: longer than any request
/// takes from its authentication to its effect, as for revocations.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The most that are remembered; beyond it, the oldest are forgotten.
const MAX_REMEMBERED: usize = 4096;

/// The removal of a camera that somebody has asked for.
#[derive(Debug, Clone)]
pub struct CameraRemoval {
    /// The gateway, and whoever may manage it.
    pub granted: Granted<GatewayId>,
    /// The camera that is removed.
    pub camera: CameraId,
    /// The number of the last change of the gateway's cameras that whoever has asked knows of.
    pub revision: u32,
    /// True if another camera with the same id stays, which the gateway's configuration has: then
    /// the rights are for that one.
    pub is_hidden: bool,
    /// The sum of what was removed before the gateway was asked; `None` until then.
    pub before: Option<Removed>,
}

/// The cameras whose rights were taken lately. A request that was authenticated just before, and
/// goes on just after, must not use them.
#[derive(Debug, Default)]
pub(crate) struct Takings {
    recent: VecDeque<Taking>,
    /// The number of all since the start.
    last: u64,
}

#[derive(Debug)]
struct Taking {
    at: Instant,
    number: u64,
    gateway: GatewayId,
    camera: CameraId,
}

impl Takings {
    fn add(&mut self, at: Instant, gateway: &GatewayId, camera: &CameraId) {
        self.last += 1;
        self.recent.retain(|other| other.at + REMEMBERED > at);
        if self.recent.len() >= MAX_REMEMBERED {
            self.recent.pop_front();
        }
        let (gateway, camera) = (gateway.clone(), camera.clone());
        self.recent.push_back(Taking { at, number: self.last, gateway, camera });
    }

    /// Returns true if a principal has a right that was taken after its rights were read.
    pub(crate) fn concern(&self, principal: &Principal) -> bool {
        let known = principal.known_takings();
        let later = self.recent.iter().filter(|taking| taking.number > known);
        later.into_iter().any(|taking| {
            let Taking { gateway, camera, .. } = taking;
            principal.has_rights_on_camera(gateway, camera)
        })
    }
}

impl Hub {
    /// Returns how many cameras have lost their rights since the start. Whoever reads the rights of
    /// a principal asks before, and notes it with [`Principal::as_of`].
    pub fn takings(&self) -> u64 {
        self.takings.last
    }

    /// Handles that all rights to a camera are gone from the database: ends its sessions, and
    /// closes the connections of those who had rights to it, who may come again with those that are
    /// left. Returns the number of sessions.
    pub fn handle_rights_taken(
        &mut self,
        now: Now,
        gateway: &GatewayId,
        camera: &CameraId,
    ) -> usize {
        self.takings.add(now.instant, gateway, camera);
        let sessions = self.sessions.of_camera(gateway, camera);
        for session in &sessions {
            self.end_session_on_both_sides(now, session, EndReason::Revoked);
        }
        let has_rights = |principal: &Principal| principal.has_rights_on_camera(gateway, camera);
        for conn in self.links.of_principals(has_rights) {
            self.close_connection(now, conn, Close::RIGHTS_CHANGED);
        }
        self.end_turn_users_without_rights(now, has_rights);
        sessions.len()
    }

    /// Returns the number of sessions that end with these credentials, and with this camera.
    pub fn count_sessions(
        &self,
        credentials: &[String],
        camera: Option<(&GatewayId, &CameraId)>,
    ) -> usize {
        let mut found = BTreeSet::new();
        let gateways = credentials.iter().filter_map(|one| one.strip_prefix("gateway:"));
        for gateway in gateways.filter_map(|id| id.parse().ok()) {
            found.extend(self.sessions.of_gateway(&gateway));
        }
        // One look at each session: there can be thousands of both.
        let credentials = credentials.iter().map(String::as_str).collect();
        found.extend(self.sessions.of_credentials(&credentials));
        found.extend(self.forgotten.of_credentials(&credentials));
        if let Some((gateway, camera)) = camera {
            found.extend(self.sessions.of_camera(gateway, camera));
        }
        found.len()
    }

    /// Handles `portholeRemoveCamera`: asks the gateway which cameras it has.
    pub(crate) fn handle_remove_camera(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let RemoveCameraParams { peer, revision, camera, by: _ } = rpc::read(params)?;
        let granted = self.managed(call, &admitted, &peer)?;
        let (before, is_hidden) = (None, false);
        let removal =
            CameraRemoval { granted: granted.clone(), camera, revision, is_hidden, before };
        let effect = Some(Effect::RemovalCheck(Box::new(removal)));
        let params = rpc::write(&GatewayParams { peer: peer.clone(), by: None });
        self.start_exchange(call, &peer, &granted, StoredCameras::NAME, params, effect)
    }

    /// Handles the list of a gateway that is to remove a camera: the rights to the camera are taken
    /// if the gateway will remove it. Else it is asked all the same, and says why not.
    pub(crate) fn handle_removal_check(
        &mut self,
        now: Now,
        asker: Asker,
        mut removal: CameraRemoval,
        outcome: Result<Value, Fault>,
    ) {
        if self.links.get(asker.conn).is_none() {
            return;
        }
        let list: StoredCamerasResult = match outcome.and_then(rpc::read) {
            Ok(list) => list,
            Err(fault) => return self.answer(asker, Err(fault)),
        };
        let is = |origin| {
            let is = |camera: &StoredCamera| camera.id == removal.camera && camera.origin == origin;
            list.cameras.iter().any(is)
        };
        let is_hidden = is(CameraOrigin::Hidden);
        if list.revision == removal.revision && is(CameraOrigin::Stored) {
            let removal = Box::new(removal);
            let continuation = Continuation::AskRemoval { removal: removal.clone() };
            return self.look_up_at_last(asker, Lookup::TakeRights(removal), continuation);
        }
        removal.is_hidden = is_hidden;
        let call = Call { now, conn: asker.conn, id: asker.id.clone() };
        if let Err(fault) = self.ask_removal(&call, removal, alone()) {
            self.answer(asker, Err(fault));
        }
    }

    /// Asks the gateway to remove a camera, after this was removed with it.
    pub(crate) fn ask_removal(
        &mut self,
        call: &Call,
        removal: CameraRemoval,
        removed: Removed,
    ) -> Result<(), Fault> {
        let CameraRemoval { granted, camera, revision, .. } = removal.clone();
        let gateway = granted.object();
        if removed != alone() {
            info!(%gateway, %camera, "the rights to a camera are gone");
        }
        let removal = CameraRemoval { before: Some(removed), ..removal };
        let effect = Some(Effect::Removal(Box::new(removal)));
        let params = RemoveCameraParams { peer: gateway.clone(), revision, camera, by: None };
        let params = rpc::write(&params);
        self.start_exchange(call, gateway, &granted, RemoveCamera::NAME, params, effect)
            .map_err(|fault| without_rights(fault, &removed))
    }

    /// Handles the response of a gateway to such a request.
    pub(crate) fn handle_removal_result(
        &mut self,
        asker: Asker,
        removal: CameraRemoval,
        outcome: Result<Value, Fault>,
    ) {
        let before = removal.before.unwrap_or_default();
        match outcome {
            // Rights that were given meanwhile go as well.
            Ok(result) => {
                let continuation = Continuation::CameraRemoved { result, before };
                let lookup = Lookup::TakeRights(Box::new(removal));
                self.look_up_at_last(asker, lookup, continuation);
            }
            Err(fault) => self.answer(asker, Err(without_rights(fault, &before))),
        }
    }

    /// Tells whoever has asked that the camera is removed, and what was removed with it.
    pub(crate) fn answer_removal(&mut self, asker: Asker, mut result: Value, removed: &Removed) {
        if let Some(result) = result.as_object_mut() {
            result.insert("removed".to_owned(), rpc::write(removed));
        }
        self.answer(asker, Ok(result));
    }
}

/// Returns what was removed if no right to the camera went with it.
fn alone() -> Removed {
    Removed { cameras: 1, ..Removed::default() }
}

/// Adds to the reason why a camera was not removed that the rights to it are gone.
fn without_rights(fault: Fault, removed: &Removed) -> Fault {
    if *removed == alone() {
        return fault;
    }
    let message = format!(
        "{}. What gave access to the camera was taken away before: give it again if it stays",
        fault.message.trim_end_matches('.')
    );
    Fault { message, ..fault }
}
