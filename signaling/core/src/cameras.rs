//! Cameras: the reports of gateways, and the lists that clients get.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use porthole_clock::Now;
use porthole_signaling_proto::method::{
    Cameras, CamerasParams, RefusedCamera, Report, ReportParams, ReportResult,
};
use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{
    Camera, CameraId, CameraReport, CameraState, GatewayId, StreamReport, StreamRole, rpc,
};
use serde_json::Value;

use crate::call::Call;
use crate::connection::Stage;
use crate::gateway::plain_name;
use crate::timer::Timer;
use crate::{Action, Admitted, ConnId, Granted, Hub, Output};

/// The longest reason of a camera's failure: a sentence.
const MAX_REASON_CHARS: usize = 300;
/// The longest name of a codec, such as `H264`.
const MAX_CODEC_CHARS: usize = 16;
/// Most streams of a camera: main and sub.
const MAX_STREAMS: usize = 2;

impl Hub {
    /// Handles a gateway's report: the complete list of its cameras, and of its sessions if it
    /// reports them. Cameras that are no longer listed are removed.
    pub(crate) fn handle_report(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let gateway = admitted.gateway()?.clone();
        let ReportParams { cameras, sessions, starting } = rpc::read(params)?;
        let (cameras, refused) = self.accept_cameras(&gateway, cameras);
        self.set_owner(&gateway, &cameras);
        if let Some(known) = self.gateways.get_mut(&gateway) {
            known.cameras = cameras;
        }
        self.persist(&gateway);
        if let Some(sessions) = sessions {
            self.reconcile_sessions(call.now, &gateway, &sessions, starting.as_deref());
        }
        self.respond::<Report>(call, &ReportResult { refused });
        self.schedule_cameras(call.now);
        Ok(())
    }

    /// Splits reported cameras into accepted and refused ones.
    fn accept_cameras(
        &self,
        gateway: &GatewayId,
        cameras: Vec<CameraReport>,
    ) -> (Vec<CameraReport>, Vec<RefusedCamera>) {
        let limit = self.config.limits.cameras_per_gateway;
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        let is_taken = |id: &CameraId| self.owners.get(id).is_some_and(|owner| owner != gateway);
        for camera in cameras {
            let reason = if is_taken(&camera.id) {
                "another gateway has a camera with this id; choose another id".to_owned()
            } else if !seen.insert(camera.id.clone()) {
                "this id is used twice; choose another id".to_owned()
            } else if accepted.len() >= limit {
                format!("a gateway can have at most {limit} cameras; run another gateway")
            } else {
                let mut camera = displayable(camera);
                // A sub stream must not take the id of another gateway's camera.
                camera.streams.retain(|stream| !is_taken(&stream.id));
                accepted.push(camera);
                continue;
            };
            refused.push(RefusedCamera { id: camera.id, reason });
        }
        (fold_sub_streams(accepted), refused)
    }

    fn set_owner(&mut self, gateway: &GatewayId, cameras: &[CameraReport]) {
        let before = self.gateways.get(gateway).map(|known| known.cameras.as_slice());
        for id in before.unwrap_or_default().iter().flat_map(profiles) {
            self.owners.remove(id);
        }
        for id in cameras.iter().flat_map(profiles) {
            self.owners.insert(id.clone(), gateway.clone());
        }
    }

    /// Persists a gateway's name and cameras if they have changed. A sub stream is a row of its
    /// own, as older versions wrote it and read it.
    fn persist(&mut self, id: &GatewayId) {
        let Some(gateway) = self.gateways.get_mut(id) else { return };
        let rows = |camera: &CameraReport| {
            let rows = profiles(camera).map(|id| (id.clone(), camera.name.clone()));
            rows.collect::<Vec<_>>()
        };
        let mut cameras: Vec<_> = gateway.cameras.iter().flat_map(rows).collect();
        cameras.sort();
        let name = gateway.name.clone();
        let current = (name.clone(), cameras.clone());
        if gateway.persisted.as_ref() != Some(&current) {
            gateway.persisted = Some(current);
            self.push_output(Output::Persist { gateway: id.clone(), name, cameras });
        }
    }

    /// Returns all cameras that somebody who was admitted to list them may see, sorted by name.
    pub fn cameras(&self, now: Now, admitted: &Admitted) -> Vec<Camera> {
        let mut cameras = Vec::new();
        for (id_of_gateway, gateway) in &self.gateways {
            let seen = gateway.cameras.iter().flat_map(|camera| {
                visible(camera, |id| admitted.camera(id, Some(id_of_gateway), now).is_ok())
            });
            cameras.extend(seen.map(|camera| Camera {
                gateway: id_of_gateway.clone(),
                report: match gateway.conn {
                    Some(_) => camera,
                    None => offline(camera),
                },
            }));
        }
        cameras.sort_by(|a, b| {
            a.report.name.cmp(&b.report.name).then_with(|| a.report.id.cmp(&b.report.id))
        });
        cameras
    }

    /// Returns the camera to connect to: `camera`, or without one the first that the sender may
    /// use. Cameras that it may not use get the same response, whether or not they exist.
    pub(crate) fn find_camera(
        &self,
        now: Now,
        admitted: &Admitted,
        gateway: &GatewayId,
        camera: Option<&CameraId>,
    ) -> Result<Granted<CameraId>, Fault> {
        admitted.check_expiry(now)?;
        let known = self.gateways.get(gateway);
        let mut known = known.iter().flat_map(|gateway| gateway.cameras.iter()).flat_map(profiles);
        let granted = |camera: &CameraId| admitted.camera(camera, Some(gateway), now);
        match camera {
            Some(camera) => {
                let granted = granted(camera)?;
                let is_known = known.any(|known| known == camera);
                is_known.then_some(granted).ok_or_else(no_such_camera)
            }
            None => known.find_map(|camera| granted(camera).ok()).ok_or_else(no_such_camera),
        }
    }

    /// Returns the gateway of a camera.
    pub(crate) fn owner(&self, camera: &CameraId) -> Option<&GatewayId> {
        self.owners.get(camera)
    }

    /// Sends the list of cameras to clients: at once, or after the interval that limits how often
    /// they get it.
    pub(crate) fn schedule_cameras(&mut self, now: Now) {
        if self.cameras_scheduled {
            return;
        }
        let next =
            self.cameras_sent_at.map(|sent_at| sent_at + self.config.limits.cameras_interval);
        match next {
            Some(next) if next > now.instant => {
                self.cameras_scheduled = true;
                self.timers.add(next, Timer::Cameras);
            }
            Some(_) | None => self.handle_cameras_timeout(now),
        }
    }

    pub(crate) fn handle_cameras_timeout(&mut self, now: Now) {
        self.cameras_scheduled = false;
        self.cameras_sent_at = Some(now.instant);
        let is_client = |stage: &Stage| matches!(stage, Stage::Client(_));
        let clients = self.connections.iter().filter(|(_, c)| is_client(&c.stage));
        let clients: Vec<ConnId> = clients.map(|(id, _)| *id).collect();
        for conn in clients {
            self.send_cameras(now, conn);
        }
    }

    /// Sends a client the cameras it may see, unless it has just this list already.
    pub(crate) fn send_cameras(&mut self, now: Now, conn: ConnId) {
        let Ok(admitted) = self.admit(now, conn, Action::ListCameras) else { return };
        let cameras = self.cameras(now, &admitted);
        let mut hasher = DefaultHasher::new();
        cameras.hash(&mut hasher);
        let hash = Some(hasher.finish());
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if std::mem::replace(&mut connection.cameras_hash, hash) != hash {
            self.send(conn, Message::notification::<Cameras>(&CamerasParams { cameras }));
        }
    }
}

/// Cuts the texts and lists of a report to a size and form that can be displayed and stored.
fn displayable(camera: CameraReport) -> CameraReport {
    let cut = |text: String, max| text.chars().filter(|c| !c.is_control()).take(max).collect();
    let name = plain_name(&camera.name);
    let mut streams = camera.streams;
    // Any other id could be that of another camera.
    let sub = camera.id.sub_stream();
    streams.retain(|stream| match stream.role {
        StreamRole::Main => stream.id == camera.id,
        StreamRole::Sub => Some(&stream.id) == sub.as_ref(),
    });
    streams.truncate(MAX_STREAMS);
    for stream in &mut streams {
        stream.reason = stream.reason.take().map(|reason| cut(reason, MAX_REASON_CHARS));
        stream.codec = stream.codec.take().map(|codec| cut(codec, MAX_CODEC_CHARS));
    }
    CameraReport {
        name: if name.is_empty() { camera.id.to_string() } else { name },
        reason: camera.reason.map(|reason| cut(reason, MAX_REASON_CHARS)),
        codec: camera.codec.map(|codec| cut(codec, MAX_CODEC_CHARS)),
        streams,
        ..camera
    }
}

/// Makes sub streams of cameras that older gateways report, and older databases list, as cameras of
/// their own: `ID.sub` beside `ID`.
pub(crate) fn fold_sub_streams(cameras: Vec<CameraReport>) -> Vec<CameraReport> {
    let ids: BTreeSet<_> = cameras.iter().map(|camera| camera.id.clone()).collect();
    let is_sub =
        |camera: &CameraReport| camera.id.main_stream().is_some_and(|main| ids.contains(&main));
    let (subs, mut cameras): (Vec<_>, Vec<_>) = cameras.into_iter().partition(is_sub);
    for sub in subs {
        let main = sub.id.main_stream();
        let Some(camera) = cameras.iter_mut().find(|camera| Some(&camera.id) == main.as_ref())
        else {
            continue;
        };
        camera.viewers = camera.viewers.saturating_add(sub.viewers);
        if camera.streams.is_empty() {
            camera.streams = vec![stream_of(camera, StreamRole::Main)];
        }
        if camera.streams.len() < MAX_STREAMS {
            camera.streams.push(stream_of(&sub, StreamRole::Sub));
        }
    }
    cameras
}

fn stream_of(camera: &CameraReport, role: StreamRole) -> StreamReport {
    StreamReport {
        id: camera.id.clone(),
        role,
        state: camera.state,
        reason: camera.reason.clone(),
        codec: camera.codec.clone(),
        width: camera.width,
        height: camera.height,
    }
}

/// Returns the ids under which a camera can be watched: its own, then those of further streams.
fn profiles(camera: &CameraReport) -> impl Iterator<Item = &CameraId> {
    let streams = camera.streams.iter().map(|stream| &stream.id);
    std::iter::once(&camera.id).chain(streams.filter(|id| **id != camera.id))
}

/// Returns the camera as somebody may see it: the whole camera, or each stream that may be seen as
/// a camera of its own.
fn visible(camera: &CameraReport, may_see: impl Fn(&CameraId) -> bool) -> Vec<CameraReport> {
    if may_see(&camera.id) {
        return vec![camera.clone()];
    }
    let seen = camera.streams.iter().filter(|stream| may_see(&stream.id));
    let alone = seen.map(|stream| CameraReport {
        id: stream.id.clone(),
        name: format!("{} (low resolution)", camera.name),
        state: stream.state,
        reason: stream.reason.clone(),
        codec: stream.codec.clone(),
        width: stream.width,
        height: stream.height,
        viewers: 0,
        streams: Vec::new(),
    });
    alone.collect()
}

fn offline(mut camera: CameraReport) -> CameraReport {
    for stream in &mut camera.streams {
        stream.state = CameraState::Offline;
        stream.reason = None;
    }
    CameraReport { state: CameraState::Offline, reason: None, viewers: 0, ..camera }
}

pub(crate) fn no_such_camera() -> Fault {
    Fault::new(code::NOT_FOUND, "there is no such camera")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(id: &str) -> CameraReport {
        CameraReport {
            id: id.parse().unwrap(),
            name: id.to_owned(),
            state: CameraState::Live,
            reason: None,
            codec: None,
            width: None,
            height: None,
            viewers: 0,
            streams: Vec::new(),
        }
    }

    #[test]
    fn sub_streams_that_are_listed_as_cameras_become_streams_of_their_camera() {
        type Case = (&'static [&'static str], &'static [(&'static str, &'static [&'static str])]);
        let table: [Case; 4] = [
            (&["door"], &[("door", &[])]),
            (&["door.sub", "door", "yard"], &[("door", &["door", "door.sub"]), ("yard", &[])]),
            (&["attic.sub"], &[("attic.sub", &[])]),
            (&["a", "a.sub", "a.sub.sub"], &[("a", &["a", "a.sub"])]),
        ];
        for (reported, expected) in table {
            let folded = fold_sub_streams(reported.iter().map(|id| camera(id)).collect());
            let folded: Vec<_> = folded
                .iter()
                .map(|camera| {
                    let streams = camera.streams.iter().map(|stream| stream.id.as_str());
                    (camera.id.as_str(), streams.collect::<Vec<_>>())
                })
                .collect();
            let expected: Vec<_> = expected.iter().map(|(id, ids)| (*id, ids.to_vec())).collect();
            assert_eq!(folded, expected, "{reported:?}");
        }
    }
}
