//! Changes of cameras, which are written down once their gateway has confirmed them, whether or not
//! whoever has asked still waits: nobody changes a camera and leaves no trace by going away.

use porthole_signaling_proto::manage::{AddCameraParams, ChangeCameraParams, ChangedResult};
use porthole_signaling_proto::method::{AddCamera, ChangeCamera, Method};
use porthole_signaling_proto::rpc::{Fault, code};
use porthole_signaling_proto::{CameraId, GatewayId, rpc};
use serde_json::Value;

use crate::call::Call;
use crate::exchanges::{Asker, Effect};
use crate::lookup::Continuation;
use crate::{Admitted, Granted, Hub, Lookup};

/// The most changes that wait to be written down. A person makes a few a minute, and the database
/// needs milliseconds for each.
const MAX_WAITING: usize = 64;

/// A change of a camera.
#[derive(Debug, Clone)]
pub struct CameraChange {
    /// The gateway, and whoever has changed its cameras.
    pub granted: Granted<GatewayId>,
    /// The camera. Until one that is added has its id, the provisional one.
    pub camera: CameraId,
    /// The kind of change.
    pub kind: ChangeKind,
}

/// A kind of change of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The camera was added.
    Added,
    /// Its name was changed, or how it is shown.
    Changed,
    /// Its addresses and password were replaced: from now on it may show something else.
    Readdressed,
}

impl Hub {
    /// Handles `portholeAddCamera`: asks the gateway, and remembers who has asked.
    pub(crate) fn handle_add_camera(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let params: AddCameraParams = rpc::read(params)?;
        let (peer, camera) = (&params.peer, params.provisional.clone());
        let granted = self.managed(call, &admitted, peer)?;
        let change = CameraChange { granted, camera, kind: ChangeKind::Added };
        self.ask_change::<AddCamera>(call, &params, change)
    }

    /// Handles `portholeChangeCamera` in the same way.
    pub(crate) fn handle_change_camera(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let params: ChangeCameraParams = rpc::read(params)?;
        let (peer, camera) = (&params.peer, params.camera.clone());
        let granted = self.managed(call, &admitted, peer)?;
        let kind = match params.provisional {
            Some(_) => ChangeKind::Readdressed,
            None => ChangeKind::Changed,
        };
        let change = CameraChange { granted, camera, kind };
        self.ask_change::<ChangeCamera>(call, &params, change)
    }

    fn ask_change<M: Method>(
        &mut self,
        call: &Call,
        params: &M::Params,
        change: CameraChange,
    ) -> Result<(), Fault> {
        if self.lookups.to_be_written() >= MAX_WAITING {
            let text = "too many changes wait to be written down; try again in a minute";
            return Err(Fault::new(code::INSUFFICIENT_RESOURCES, text));
        }
        let granted = change.granted.clone();
        let (gateway, params) = (granted.object(), rpc::write(params));
        let effect = Some(Effect::Change(Box::new(change)));
        self.start_exchange(call, gateway, &granted, M::NAME, params, effect)
    }

    /// Handles the response of a gateway to such a request: a change is written down before whoever
    /// has asked is told of it.
    pub(crate) fn handle_change_result(
        &mut self,
        asker: Asker,
        mut change: CameraChange,
        outcome: Result<Value, Fault>,
    ) {
        match outcome {
            Ok(result) => {
                if let Ok(ChangedResult { camera, .. }) = rpc::read(result.clone())
                    && change.kind == ChangeKind::Added
                {
                    change.camera = camera;
                }
                let lookup = Lookup::WriteDown(Box::new(change));
                self.look_up_at_last(asker, lookup, Continuation::CameraChanged { result });
            }
            Err(fault) => self.answer(asker, Err(fault)),
        }
    }
}
