//! Cameras: what gateways report, and what each client is told of it.

use crate::{ConnId, Hub, Output, Principal, connection::Stage, gateway::plain_name, timer::Timer};
use porthole_clock::Now;
use porthole_signaling_proto::{
    Camera, CameraId, CameraReport, CameraState, GatewayId,
    method::{Cameras, CamerasParams, RefusedCamera, Report, ReportParams, ReportResult},
    rpc::{self, Fault, Message, RequestId},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The longest reason of a failure that is shown: a sentence.
const MAX_REASON_CHARS: usize = 300;
/// The longest name of a codec; `H264` is one.
const MAX_CODEC_CHARS: usize = 16;

impl Hub {
    /// What a gateway's cameras are and do, whole, and which sessions it has. What is not in it any
    /// more is gone.
    pub(crate) fn report(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        params: Value,
    ) -> Result<(), Fault> {
        let gateway = self.gateway(conn)?.clone();
        let ReportParams { cameras, sessions } = rpc::read(params)?;
        let (cameras, refused) = self.take_cameras(&gateway, cameras);
        self.own(&gateway, &cameras);
        if let Some(known) = self.gateways.get_mut(&gateway) {
            known.cameras = cameras;
        }
        self.keep(&gateway);
        if let Some(sessions) = sessions {
            self.forget_others(now, &gateway, &sessions);
        }
        self.send(conn, Message::result::<Report>(id.clone(), &ReportResult { refused }));
        self.cameras_changed(now);
        Ok(())
    }

    fn take_cameras(
        &self,
        gateway: &GatewayId,
        cameras: Vec<CameraReport>,
    ) -> (Vec<CameraReport>, Vec<RefusedCamera>) {
        let limit = self.config.limits.cameras_per_gateway;
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for camera in cameras {
            let another = self.owners.get(&camera.id).is_some_and(|owner| owner != gateway);
            let reason = if another {
                "another gateway has a camera of this id; choose another id".to_owned()
            } else if !seen.insert(camera.id.clone()) {
                "this id is there twice; choose another id".to_owned()
            } else if taken.len() >= limit {
                format!("a gateway can have at most {limit} cameras; run another gateway")
            } else {
                taken.push(shown(camera));
                continue;
            };
            refused.push(RefusedCamera { id: camera.id, reason });
        }
        (taken, refused)
    }

    fn own(&mut self, gateway: &GatewayId, cameras: &[CameraReport]) {
        let before = self.gateways.get(gateway).map(|known| known.cameras.as_slice());
        for camera in before.unwrap_or_default() {
            self.owners.remove(&camera.id);
        }
        for camera in cameras {
            self.owners.insert(camera.id.clone(), gateway.clone());
        }
    }

    /// Has it written down if it is not yet.
    fn keep(&mut self, id: &GatewayId) {
        let Some(gateway) = self.gateways.get_mut(id) else { return };
        let mut cameras: Vec<_> = gateway.cameras.iter().map(|c| (&c.id, &c.name)).collect();
        cameras.sort();
        let name = gateway.name.clone();
        let cameras: Vec<_> = cameras.into_iter().map(|(a, b)| (a.clone(), b.clone())).collect();
        let now = (name.clone(), cameras.clone());
        if gateway.saved.as_ref() != Some(&now) {
            gateway.saved = Some(now);
            self.output(Output::Keep { gateway: id.clone(), name, cameras });
        }
    }

    /// All cameras that they may see, sorted by name.
    pub fn cameras(&self, principal: &Principal) -> Vec<Camera> {
        let mut cameras = Vec::new();
        for (id, gateway) in &self.gateways {
            let seen = gateway.cameras.iter().filter(|camera| principal.may_see(&camera.id));
            cameras.extend(seen.map(|camera| Camera {
                gateway: id.clone(),
                report: match gateway.conn {
                    Some(_) => camera.clone(),
                    None => offline(camera),
                },
            }));
        }
        cameras.sort_by(|a, b| {
            a.report.name.cmp(&b.report.name).then_with(|| a.report.id.cmp(&b.report.id))
        });
        cameras
    }

    /// Where a camera is, if there is such a one.
    pub(crate) fn owner(&self, camera: &CameraId) -> Option<&GatewayId> {
        self.owners.get(camera)
    }

    /// Clients are told at once, but not more often than they can look.
    pub(crate) fn cameras_changed(&mut self, now: Now) {
        if self.cameras_due {
            return;
        }
        let next = self.cameras_told.map(|told| told + self.config.limits.cameras_interval);
        match next {
            Some(next) if next > now.instant => {
                self.cameras_due = true;
                self.timers.add(next, Timer::Cameras);
            }
            Some(_) | None => self.cameras_due(now),
        }
    }

    pub(crate) fn cameras_due(&mut self, now: Now) {
        self.cameras_due = false;
        self.cameras_told = Some(now.instant);
        let is_client = |stage: &Stage| matches!(stage, Stage::Client(_));
        let clients = self.connections.iter().filter(|(_, c)| is_client(&c.stage));
        let clients: Vec<ConnId> = clients.map(|(id, _)| *id).collect();
        for conn in clients {
            self.tell_cameras(conn);
        }
    }

    /// Tells one client, unless it knows.
    pub(crate) fn tell_cameras(&mut self, conn: ConnId) {
        let Ok(principal) = self.client(conn) else { return };
        let cameras = self.cameras(principal);
        let mut hasher = DefaultHasher::new();
        cameras.hash(&mut hasher);
        let hash = Some(hasher.finish());
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if std::mem::replace(&mut connection.cameras_hash, hash) != hash {
            self.send(conn, Message::notification::<Cameras>(&CamerasParams { cameras }));
        }
    }
}

/// A report as it can be shown and kept.
fn shown(camera: CameraReport) -> CameraReport {
    let cut = |text: String, most| text.chars().filter(|c| !c.is_control()).take(most).collect();
    let name = plain_name(&camera.name);
    CameraReport {
        name: if name.is_empty() { camera.id.to_string() } else { name },
        reason: camera.reason.map(|reason| cut(reason, MAX_REASON_CHARS)),
        codec: camera.codec.map(|codec| cut(codec, MAX_CODEC_CHARS)),
        ..camera
    }
}

fn offline(camera: &CameraReport) -> CameraReport {
    CameraReport { state: CameraState::Offline, reason: None, viewers: 0, ..camera.clone() }
}
