//! The table of messages that peers send: their actions, whose rows in the table of rights say what
//! they need, and their handlers. The hub passes messages on from it, and a test has a row for
//! each.

use porthole_clock::Now;
use porthole_signaling_proto::method::{
    AddCamera, ApplySettings, Cancel, Challenge, ChangeCamera, CheckSettings, Close, Connect,
    Discover, Enroll, Extend, GoToPreset, Invite, Method as _, Move, Notification as _, Ping,
    Presets, Probe, Progress, ReadConfiguration, Register, RemoveCamera, RemovePreset, Report,
    SavePreset, SealingKey, Shown, StoredCameras, Trickle, Unregister,
};
use porthole_signaling_proto::rpc::{Fault, code};
use serde_json::Value;

use crate::call::Call;
use crate::{Action, Admitted, ConnId, Hub};

/// The longest part of an unknown method's name that is repeated in the fault.
const MAX_METHOD_CHARS: usize = 40;

type Handler = fn(&mut Hub, &Call, Admitted, Value) -> Result<(), Fault>;
type NotificationHandler = fn(&mut Hub, Now, ConnId, Admitted, Value) -> Result<(), Fault>;

/// The requests that peers send.
pub(crate) const REQUESTS: [(&str, Action, Handler); 24] = [
    (Register::NAME, Action::Register, Hub::handle_register),
    (Unregister::NAME, Action::Unregister, Hub::handle_unregister),
    (Ping::NAME, Action::Ping, Hub::handle_ping),
    (Challenge::NAME, Action::Challenge, Hub::handle_challenge),
    (Enroll::NAME, Action::Enroll, Hub::handle_enroll),
    (Connect::NAME, Action::Connect, Hub::handle_connect),
    (Extend::NAME, Action::Extend, Hub::handle_extend),
    (Invite::NAME, Action::Invite, Hub::handle_invite),
    (Report::NAME, Action::Report, Hub::handle_report),
    (SealingKey::NAME, Action::SealingKey, Hub::handle_exchange::<SealingKey>),
    (Discover::NAME, Action::Discover, Hub::handle_exchange::<Discover>),
    (Probe::NAME, Action::Probe, Hub::handle_exchange::<Probe>),
    (ReadConfiguration::NAME, Action::ReadConfiguration, Hub::handle_exchange::<ReadConfiguration>),
    (StoredCameras::NAME, Action::StoredCameras, Hub::handle_exchange::<StoredCameras>),
    (AddCamera::NAME, Action::AddCamera, Hub::handle_add_camera),
    (ChangeCamera::NAME, Action::ChangeCamera, Hub::handle_change_camera),
    (RemoveCamera::NAME, Action::RemoveCamera, Hub::handle_remove_camera),
    (Move::NAME, Action::Move, Hub::handle_camera_exchange::<Move>),
    (Presets::NAME, Action::Presets, Hub::handle_camera_exchange::<Presets>),
    (GoToPreset::NAME, Action::GoToPreset, Hub::handle_camera_exchange::<GoToPreset>),
    (SavePreset::NAME, Action::SavePreset, Hub::handle_camera_exchange::<SavePreset>),
    (RemovePreset::NAME, Action::RemovePreset, Hub::handle_camera_exchange::<RemovePreset>),
    (CheckSettings::NAME, Action::CheckSettings, Hub::handle_exchange::<CheckSettings>),
    (ApplySettings::NAME, Action::ApplySettings, Hub::handle_exchange::<ApplySettings>),
];

/// The notifications that peers send, except `error`, which has a form of its own.
pub(crate) const NOTIFICATIONS: [(&str, Action, NotificationHandler); 5] = [
    (Trickle::NAME, Action::Trickle, Hub::handle_trickle),
    (Close::NAME, Action::Close, Hub::handle_close_session),
    (Shown::NAME, Action::Shown, Hub::handle_shown),
    (Progress::NAME, Action::Progress, Hub::handle_progress),
    (Cancel::NAME, Action::Cancel, Hub::handle_cancel),
];

impl Hub {
    pub(crate) fn handle_request(
        &mut self,
        call: &Call,
        method: &str,
        params: Value,
    ) -> Result<(), Fault> {
        let row = REQUESTS.iter().find(|(name, ..)| *name == method);
        let Some((_, action, handle)) = row else { return Err(no_such_method(method)) };
        let admitted = self.admit(call.now, call.conn, *action)?;
        handle(self, call, admitted, params)
    }

    pub(crate) fn handle_notification(
        &mut self,
        now: Now,
        conn: ConnId,
        method: &str,
        params: Value,
    ) -> Result<(), Fault> {
        let row = NOTIFICATIONS.iter().find(|(name, ..)| *name == method);
        // JSON-RPC 2.0 §4.1: a notification never gets a response, so an unknown one is ignored.
        let Some((_, action, handle)) = row else { return Ok(()) };
        let admitted = self.admit(now, conn, *action)?;
        handle(self, now, conn, admitted, params)
    }

    /// Handles `error`, which is for the other side of its session.
    pub(crate) fn handle_error(&mut self, now: Now, conn: ConnId, fault: Fault) {
        if self.admit(now, conn, Action::Error).is_ok() {
            self.forward_error(conn, fault);
        }
    }
}

fn no_such_method(name: &str) -> Fault {
    let name: String = name.chars().take(MAX_METHOD_CHARS).collect();
    Fault::new(code::METHOD_NOT_FOUND, format!("there is no method `{name}`"))
}
