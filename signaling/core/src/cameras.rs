//! Cameras: the reports of gateways, and the lists that clients get.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_proto::method::{
    Cameras, CamerasParams, Report, ReportParams, ReportResult,
};
use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{Camera, CameraAddress, CameraId, GatewayId, rpc};
use serde_json::Value;

use crate::address::Address;
use crate::call::Call;
use crate::reasons::hide_addresses;
use crate::timer::Timer;
use crate::{Action, Admitted, ConnId, GatewayCamera, Granted, Hub, Output};

/// The pace at which lists of cameras are sent.
#[derive(Debug, Default)]
pub(crate) struct ListPace {
    sent_at: Option<Instant>,
    scheduled: bool,
}

/// The time at which a changed list of cameras is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SendAt {
    Now,
    Later(Instant),
    /// The list that is scheduled will have the change.
    Scheduled,
}

impl ListPace {
    /// Notes that a list has changed.
    fn change(&mut self, now: Instant, interval: Duration) -> SendAt {
        if self.scheduled {
            return SendAt::Scheduled;
        }
        match self.sent_at.map(|sent_at| sent_at + interval) {
            Some(next) if next > now => {
                self.scheduled = true;
                SendAt::Later(next)
            }
            Some(_) | None => SendAt::Now,
        }
    }

    /// Notes that the lists are sent.
    fn send(&mut self, now: Instant) {
        *self = Self { sent_at: Some(now), scheduled: false };
    }
}

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
        let ReportParams { cameras, more, sessions, starting } = rpc::read(params)?;
        let limit = self.config.limits.cameras_per_gateway;
        let Some(cameras) = self.directory.gather_report(&gateway, cameras, more) else {
            self.respond::<Report>(call, &ReportResult::default());
            return Ok(());
        };
        let refused = self.directory.set_cameras(&gateway, cameras, limit);
        if let Some(changed) = self.directory.take_changed(&gateway) {
            self.push_output(Output::Persist(changed));
        }
        if let Some(sessions) = sessions {
            self.reconcile_sessions(call.now, &gateway, &sessions, starting.as_deref());
        }
        self.respond::<Report>(call, &ReportResult { refused });
        self.schedule_cameras(call.now);
        Ok(())
    }

    /// Returns all cameras that somebody who was admitted to list them may see, sorted by name.
    pub fn cameras(&self, now: Now, admitted: &Admitted) -> Vec<Camera> {
        let permissions = |gateway: &_, id: &_| admitted.permissions(gateway, id, now);
        let mut cameras = self.directory.cameras(permissions);
        cameras.iter_mut().for_each(hide_addresses);
        cameras
    }

    /// Returns the camera to connect to: `camera`, or without one the first that the sender may
    /// use. Cameras that it may not use get the same response, whether or not they exist. One that
    /// was probed and not added is only for those who manage its gateway.
    pub(crate) fn find_camera(
        &self,
        now: Now,
        admitted: &Admitted,
        gateway: &GatewayId,
        camera: Option<&CameraId>,
    ) -> Result<Granted<GatewayCamera>, Fault> {
        admitted.check_expiry(now)?;
        let mut known = self.directory.profiles(gateway);
        let granted = |camera: &CameraId| admitted.camera(gateway, camera, now);
        match camera {
            Some(camera) => {
                let granted = granted(camera)?;
                let is_known = known.any(|known| known == camera)
                    || admitted.may_manage(gateway, now)
                        && self.directory.provisional_profiles(gateway).any(|id| id == camera);
                is_known.then_some(granted).ok_or_else(no_such_camera)
            }
            None => known.find_map(|camera| granted(camera).ok()).ok_or_else(no_such_camera),
        }
    }

    /// Returns the camera at an address, which its sender may use. Cameras that it may not use get
    /// the same response, whether or not they exist.
    pub(crate) fn find_address(
        &self,
        now: Now,
        admitted: &Admitted,
        address: &CameraAddress,
    ) -> Result<Granted<GatewayCamera>, Fault> {
        let CameraAddress { camera, gateway } = address;
        match gateway.as_ref().or_else(|| self.directory.owner(camera)) {
            Some(gateway) => self.find_camera(now, admitted, gateway, Some(camera)),
            None => {
                admitted.missing_camera(camera, now)?;
                Err(no_such_camera())
            }
        }
    }

    /// Sends the list of cameras to clients: at once, or after the interval that limits how often
    /// they get it.
    pub(crate) fn schedule_cameras(&mut self, now: Now) {
        match self.list_pace.change(now.instant, self.config.limits.cameras_interval) {
            SendAt::Now => self.handle_cameras_timeout(now),
            SendAt::Later(next) => self.timers.set(next, Timer::Cameras),
            SendAt::Scheduled => {}
        }
    }

    pub(crate) fn handle_cameras_timeout(&mut self, now: Now) {
        self.list_pace.send(now.instant);
        let subjects = self.directory.subjects();
        let clients = subjects.flat_map(|subject| self.resolve(Address::Subject(subject)));
        let mut clients: Vec<ConnId> = clients.collect();
        // In the order in which they have connected.
        clients.sort();
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
        let Some(connection) = self.links.get_mut(conn) else { return };
        if connection.note_cameras(hasher.finish()) {
            self.send(conn, Message::notification::<Cameras>(&CamerasParams { cameras }));
        }
    }
}

pub(crate) fn no_such_camera() -> Fault {
    Fault::new(code::NOT_FOUND, "there is no such camera")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sent_at_once_after_a_pause_and_otherwise_together_after_the_interval() {
        let start = Instant::now();
        let at = |time_ms| start + Duration::from_millis(time_ms);
        let mut pace = ListPace::default();
        for (time_ms, expected) in [
            (0, SendAt::Now),
            (50, SendAt::Later(at(200))),
            (60, SendAt::Scheduled),
            (200, SendAt::Scheduled),
        ] {
            assert_eq!(pace.change(at(time_ms), Duration::from_millis(200)), expected);
            if expected == SendAt::Now {
                pace.send(at(time_ms));
            }
        }
        pace.send(at(200));
        assert_eq!(pace.change(at(400), Duration::from_millis(200)), SendAt::Now);
    }
}
