//! Tests of what is written down about changes of cameras.

use std::time::Duration;

use porthole_signaling_proto::manage::{
    AddCameraParams, CancelParams, ChangeCameraParams, ChangedResult,
};
use porthole_signaling_proto::method::{AddCamera, Cancel, ChangeCamera};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{CameraId, GatewayId};

use super::rights::admin;
use super::world::World;
use crate::{ChangeKind, ConnId, Objects, Output};

/// A gateway with a camera, and an admin who changes it.
struct Scene {
    world: World,
    gateway: ConnId,
    id: GatewayId,
    admin: ConnId,
}

/// The change that is asked for.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Add,
    Rename,
    Replace,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["door"]);
        let admin = world.client(admin(Objects::All));
        Self { world, gateway, id, admin }
    }

    /// Asks for a change. Returns its number for the admin and for the gateway.
    fn ask(&mut self, ask: Ask) -> (i64, RequestId) {
        match ask {
            Ask::Add => {
                let params = AddCameraParams {
                    peer: self.id.clone(),
                    revision: 1,
                    provisional: "probe.1".parse().unwrap(),
                    name: "Yard".to_owned(),
                    by: None,
                };
                let asked = self.world.request::<AddCamera>(self.admin, &params);
                let (number, params) = self.world.next_request::<AddCamera>(self.gateway).unwrap();
                assert_eq!((params.by.as_deref(), &*params.name), (Some("root"), "Yard"));
                (asked, number)
            }
            Ask::Rename | Ask::Replace => {
                let params = change(&self.id, ask);
                let asked = self.world.request::<ChangeCamera>(self.admin, &params);
                let next = self.world.next_request::<ChangeCamera>(self.gateway);
                let (number, params) = next.unwrap();
                assert_eq!(params.by.as_deref(), Some("root"));
                (asked, number)
            }
        }
    }

    /// Confirms a change of this camera.
    fn confirm(&mut self, number: RequestId, camera: &str) {
        self.world.send(self.gateway, Message::result::<ChangeCamera>(number, &changed(camera)));
    }
}

fn change(peer: &GatewayId, ask: Ask) -> ChangeCameraParams {
    ChangeCameraParams {
        peer: peer.clone(),
        revision: 1,
        camera: "door".parse().unwrap(),
        name: matches!(ask, Ask::Rename).then(|| "Gate".to_owned()),
        provisional: matches!(ask, Ask::Replace).then(|| "probe.1".parse().unwrap()),
        rotation: None,
        mirrored: None,
        on_demand: None,
        by: None,
    }
}

fn changed(camera: &str) -> ChangedResult {
    ChangedResult { camera: camera.parse::<CameraId>().unwrap(), revision: 2 }
}

const CASES: [(Ask, &str, ChangeKind); 3] = [
    (Ask::Add, "yard", ChangeKind::Added),
    (Ask::Rename, "door", ChangeKind::Changed),
    (Ask::Replace, "door", ChangeKind::Readdressed),
];

#[test]
fn a_change_that_the_gateway_has_made_is_written_down_with_who_asked_for_it() {
    for (ask, camera, kind) in CASES {
        let mut scene = Scene::new();
        let (asked, number) = scene.ask(ask);
        assert_eq!(scene.world.written, [], "{ask:?}: the gateway has not changed it yet");
        scene.confirm(number, camera);
        let line = format!("root: {camera} of {}", scene.id);
        assert_eq!(scene.world.written, [(kind, line)], "{ask:?}");
        let result = scene.world.response::<ChangeCamera>(scene.admin, asked).unwrap().unwrap();
        assert_eq!(result, changed(camera), "{ask:?}: the answer is the gateway's");
    }
}

#[test]
fn a_change_is_written_down_although_whoever_has_asked_does_not_wait() {
    for (ask, camera, kind) in CASES {
        for way in ["gone", "cancelled", "signed out"] {
            let mut scene = Scene::new();
            let (asked, number) = scene.ask(ask);
            match way {
                "gone" => scene.world.close(scene.admin),
                "cancelled" => {
                    let params = CancelParams { request: RequestId::Number(asked) };
                    scene.world.send(scene.admin, Message::notification::<Cancel>(&params));
                }
                _ => {
                    scene.world.hub.handle_revoked(scene.world.now, "root");
                    scene.world.apply_outputs();
                }
            }
            let told = scene.world.take(scene.gateway);
            assert!(told.is_empty(), "{ask:?} {way}: the gateway is not told to stop: {told:?}");
            scene.confirm(number, camera);
            let kinds: Vec<_> = scene.world.written.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds, [kind], "{ask:?} {way}");
            assert!(scene.world.hub.exchanges.is_empty() && scene.world.hub.lookups.is_empty());
        }
    }
}

#[test]
fn a_change_that_the_gateway_has_not_confirmed_is_not_written_down() {
    for (ask, camera, _) in CASES {
        for way in ["refused", "silent", "disconnected"] {
            let mut scene = Scene::new();
            let (asked, number) = scene.ask(ask);
            let expected = match way {
                "refused" => {
                    let fault = Fault::new(code::FORBIDDEN, "somebody else has changed it");
                    scene.world.send(scene.gateway, Message::fault(Some(number), fault));
                    code::FORBIDDEN
                }
                "silent" => {
                    scene.world.wait(Duration::from_secs(30));
                    scene.confirm(number, camera);
                    code::REQUEST_TIMEOUT
                }
                _ => {
                    scene.world.close(scene.gateway);
                    code::UNAVAILABLE
                }
            };
            let response = scene.world.response::<ChangeCamera>(scene.admin, asked).unwrap();
            assert_eq!(response.unwrap_err().code, expected, "{ask:?} {way}");
            assert_eq!(scene.world.written, [], "{ask:?} {way}");
        }
    }
}

#[test]
fn a_change_is_refused_while_64_wait_to_be_written_down() {
    let Scene { mut world, gateway, id, admin } = Scene::new();
    let mut outcomes = Vec::new();
    for number in 0..66 {
        let request = Message::request::<ChangeCamera>(number, &change(&id, Ask::Rename));
        world.hub.handle_message(world.now, admin, Ok(request));
        // The database does not answer.
        let mut outcome = None;
        while let Some(output) = world.hub.poll_output() {
            match output {
                Output::Send { to, message: Message::Request { id, .. } } if to == gateway => {
                    let confirmed = Message::result::<ChangeCamera>(id, &changed("door"));
                    world.hub.handle_message(world.now, gateway, Ok(confirmed));
                }
                Output::Send { to, message: Message::Response { outcome: refused, .. } } => {
                    assert_eq!(to, admin);
                    outcome = refused.err().map(|fault| fault.code);
                }
                _ => {}
            }
        }
        outcomes.push(outcome);
    }
    assert_eq!(outcomes[..64], [None; 64]);
    assert_eq!(outcomes[64..], [Some(code::INSUFFICIENT_RESOURCES); 2]);
}
