//! The removal of a camera, with which every right to it goes. The rights are taken before the
//! gateway is asked, and once more when it has removed the camera: wherever the server is
//! interrupted, no right is left that another camera with the same id would inherit.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_proto::manage::RemoveCameraParams;
use porthole_signaling_proto::method::{Method as _, RemoveCamera};
use porthole_signaling_proto::rest::Removed;
use porthole_signaling_proto::rpc::Fault;
use porthole_signaling_proto::{CameraId, GatewayId, rpc};
use serde_json::Value;
use tracing::info;

use crate::address::Address;
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

    /// Handles `portholeRemoveCamera`: checks that the gateway can be asked, and takes the rights
    /// to the camera first.
    pub(crate) fn handle_remove_camera(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let params: RemoveCameraParams = rpc::read(params)?;
        let granted = self.managed(call, &admitted, &params.peer)?;
        let asker = Asker { conn: call.conn, id: call.id.clone() };
        self.check_exchange(&asker, &rpc::write(&params))?;
        let gateway = self.reach(Address::Gateway(&params.peer))?;
        self.check_room(call.conn, gateway)?;
        let camera = params.camera.clone();
        let removal = Box::new(CameraRemoval { granted, camera, before: None });
        let continuation = Continuation::AskRemoval { removal: removal.clone(), params };
        self.look_up(call, Lookup::TakeRights(removal), continuation)
    }

    /// Asks the gateway to remove a camera whose rights are gone.
    pub(crate) fn ask_removal(
        &mut self,
        call: &Call,
        removal: CameraRemoval,
        params: &RemoveCameraParams,
        removed: Removed,
    ) -> Result<(), Fault> {
        info!(gateway = %params.peer, camera = %params.camera, "the rights to a camera are gone");
        let granted = removal.granted.clone();
        let removal = CameraRemoval { before: Some(removed), ..removal };
        let effect = Some(Effect::Removal(Box::new(removal)));
        let (gateway, params) = (&params.peer, rpc::write(params));
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

/// Adds to the reason why a camera was not removed that the rights to it are gone.
fn without_rights(fault: Fault, removed: &Removed) -> Fault {
    if *removed == (Removed { cameras: 1, ..Removed::default() }) {
        return fault;
    }
    let message = format!(
        "{}. What gave access to the camera was taken away before: give it again if it stays",
        fault.message.trim_end_matches('.')
    );
    Fault { message, ..fault }
}
