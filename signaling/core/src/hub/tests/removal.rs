//! Tests of what is left of the rights to a camera when it is removed.

use std::time::Duration;

use porthole_signaling_proto::manage::{
    CameraOrigin, CancelParams, RemoveCameraParams, RemovedResult, StoredCamerasResult,
};
use porthole_signaling_proto::method::{
    Cancel, Register, RegisterParams, RemoveCamera, StoredCameras,
};
use porthole_signaling_proto::rest::Removed;
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{CameraId, GatewayId};
use serde_json::json;

use super::rights::admin;
use super::world::{World, connect_params, principal};
use crate::{Close, ConnId, Objects};

const CAMERA: &str = "door";

fn only(gateway: &GatewayId, cameras: &[&str]) -> Objects {
    cameras.iter().map(|id| (gateway.clone(), id.parse().unwrap())).collect()
}

/// A gateway with two cameras and an admin who removes one of them.
struct Scene {
    world: World,
    gateway: ConnId,
    id: GatewayId,
    admin: ConnId,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &[CAMERA, "yard"]);
        let admin = world.client(admin(Objects::All));
        world.grants = 1;
        Self { world, gateway, id, admin }
    }

    /// Asks for the removal. Returns its number for the admin and for the gateway.
    fn ask(&mut self) -> (i64, RequestId) {
        let (peer, camera) = (self.id.clone(), CAMERA.parse().unwrap());
        let params = RemoveCameraParams { peer, revision: 1, camera, by: None };
        let asked = self.world.request::<RemoveCamera>(self.admin, &params);
        self.list(1, &[(CAMERA, CameraOrigin::Stored), ("yard", CameraOrigin::Stored)]);
        let (number, params) = self.world.next_request::<RemoveCamera>(self.gateway).unwrap();
        assert_eq!(params.by.as_deref(), Some("root"));
        (asked, number)
    }

    /// Answers for the gateway which cameras it has.
    fn list(&mut self, revision: u32, cameras: &[(&str, CameraOrigin)]) {
        let (number, _) = self.world.next_request::<StoredCameras>(self.gateway).unwrap();
        let cameras = cameras.iter().map(|(id, origin)| {
            let camera = json!({"id": id, "name": id, "origin": origin});
            serde_json::from_value(camera).unwrap()
        });
        let result = StoredCamerasResult { revision, cameras: cameras.collect() };
        self.world.send(self.gateway, Message::result::<StoredCameras>(number, &result));
    }

    fn succeed(&mut self, number: RequestId) {
        let camera: CameraId = CAMERA.parse().unwrap();
        let result = RemovedResult { camera, revision: 2, removed: None };
        self.world.send(self.gateway, Message::result::<RemoveCamera>(number, &result));
    }
}

#[test]
fn the_rights_to_a_camera_go_before_its_gateway_is_asked_and_once_more_when_it_is_removed() {
    let mut scene = Scene::new();
    let viewers = [
        ("the camera", only(&scene.id, &[CAMERA]), true),
        ("its sub stream", only(&scene.id, &["door.sub"]), true),
        ("this one and another", only(&scene.id, &[CAMERA, "yard"]), true),
        ("another", only(&scene.id, &["yard"]), false),
        ("the gateway", Objects::Gateways([scene.id.clone()].into()), false),
        ("everything", Objects::All, false),
    ];
    let viewers = viewers
        .map(|(name, objects, ends)| (name, scene.world.client(principal(name, objects)), ends));
    let params = connect_params(&scene.id, CAMERA);
    let watching = viewers[5].1;
    scene.world.play(watching, scene.gateway, &params).unwrap();
    let elsewhere = connect_params(&scene.id, "yard");
    scene.world.play(viewers[3].1, scene.gateway, &elsewhere).unwrap();

    let (asked, number) = scene.ask();
    assert_eq!(scene.world.taken, [(CAMERA.to_owned(), false)]);
    for (name, conn, ends) in viewers {
        let expected = ends.then_some(&Close::RIGHTS_CHANGED);
        assert_eq!(scene.world.closed.get(&conn), expected, "{name}");
    }
    let closes = scene.world.take(watching).into_iter().filter(|message| {
        matches!(message, Message::Notification { method, .. } if method == "portholeClose")
    });
    assert_eq!(closes.count(), 1, "the picture of whoever may see everything ends, too");
    assert_eq!(scene.world.hub.counts().1, 1, "that of the other camera goes on");

    scene.succeed(number);
    assert_eq!(scene.world.taken[1..], [(CAMERA.to_owned(), true)]);
    let result = scene.world.response::<RemoveCamera>(scene.admin, asked).unwrap().unwrap();
    let removed = Removed { cameras: 1, grants: 2, sessions: 1, ..Removed::default() };
    assert_eq!((result.revision, result.removed), (2, Some(removed)), "one right was new");
}

#[test]
fn a_removal_goes_on_although_whoever_has_asked_does_not_wait() {
    for way in ["gone", "cancelled"] {
        let mut scene = Scene::new();
        let (asked, number) = scene.ask();
        match way {
            "gone" => scene.world.close(scene.admin),
            _ => {
                let params = CancelParams { request: RequestId::Number(asked) };
                scene.world.send(scene.admin, Message::notification::<Cancel>(&params));
            }
        }
        let told = scene.world.take(scene.gateway);
        assert!(told.is_empty(), "{way}: the gateway is not told to stop: {told:?}");
        scene.succeed(number);
        assert_eq!(scene.world.taken.len(), 2, "{way}");
        assert!(scene.world.hub.exchanges.is_empty() && scene.world.hub.lookups.is_empty());
    }
}

#[test]
fn a_camera_that_stays_has_lost_its_rights_and_the_reason_says_so() {
    for (grants, says) in [(0, false), (1, true)] {
        let mut scene = Scene::new();
        scene.world.grants = grants;
        let (asked, number) = scene.ask();
        let fault = Fault::new(code::FORBIDDEN, "somebody else has changed the cameras.");
        scene.world.send(scene.gateway, Message::fault(Some(number), fault));
        let refused = scene.world.response::<RemoveCamera>(scene.admin, asked).unwrap();
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, code::FORBIDDEN);
        let expected = "somebody else has changed the cameras. What gave access to the camera was \
                        taken away before: give it again if it stays";
        assert_eq!(refused.message == expected, says, "{refused}");
        assert_eq!(scene.world.taken.len(), 1, "it is asked for again");
    }
}

#[test]
fn rights_are_taken_only_if_the_gateway_has_said_that_it_can_remove_the_camera() {
    use CameraOrigin::{Configured, Hidden, Stored};
    // The list of the gateway; how often rights are taken before it is asked, and after it has
    // removed the camera all the same.
    for (name, revision, cameras, before, after) in [
        ("as it was seen", 1, &[(CAMERA, Stored)][..], 1, 1),
        ("somebody else has changed one", 2, &[(CAMERA, Stored)], 0, 1),
        ("another camera only", 1, &[("yard", Stored)], 0, 1),
        ("a camera of the configuration", 1, &[(CAMERA, Configured)], 0, 1),
        ("hidden by the configuration", 1, &[(CAMERA, Configured), (CAMERA, Hidden)], 0, 1),
    ] {
        let mut scene = Scene::new();
        let (peer, camera) = (scene.id.clone(), CAMERA.parse().unwrap());
        let params = RemoveCameraParams { peer, revision: 1, camera, by: None };
        let asked = scene.world.request::<RemoveCamera>(scene.admin, &params);
        scene.list(revision, cameras);
        let (number, _) = scene.world.next_request::<RemoveCamera>(scene.gateway).unwrap();
        assert_eq!(scene.world.taken.len(), before, "{name}");
        scene.succeed(number);
        assert_eq!(scene.world.taken.len(), before + after, "{name}");
        assert!(
            scene.world.response::<RemoveCamera>(scene.admin, asked).unwrap().is_ok(),
            "{name}"
        );
        let is_hidden = cameras.len() == 2;
        assert_eq!(scene.world.hidden, is_hidden, "{name}: the other one keeps its rights");
    }
}

#[test]
fn a_removal_that_is_not_begun_takes_nothing() {
    for way in ["refused", "the admin is gone", "the gateway is gone"] {
        let mut scene = Scene::new();
        let (peer, camera) = (scene.id.clone(), CAMERA.parse().unwrap());
        let params = RemoveCameraParams { peer, revision: 1, camera, by: None };
        scene.world.request::<RemoveCamera>(scene.admin, &params);
        match way {
            "refused" => {
                let found = scene.world.next_request::<StoredCameras>(scene.gateway);
                let fault = Fault::new(code::INTERNAL_ERROR, "no");
                scene.world.send(scene.gateway, Message::fault(Some(found.unwrap().0), fault));
            }
            "the admin is gone" => {
                scene.world.close(scene.admin);
                scene.list(1, &[(CAMERA, CameraOrigin::Stored)]);
            }
            _ => scene.world.close(scene.gateway),
        }
        assert!(scene.world.taken.is_empty(), "{way}");
        assert!(scene.world.hub.exchanges.is_empty() && scene.world.hub.lookups.is_empty());
    }
}

#[test]
fn nothing_is_taken_for_a_removal_that_cannot_be_asked_for() {
    let mut scene = Scene::new();
    scene.world.close(scene.gateway);
    let (peer, camera) = (scene.id.clone(), CAMERA.parse().unwrap());
    let params = RemoveCameraParams { peer, revision: 1, camera, by: None };
    let asked = scene.world.request::<RemoveCamera>(scene.admin, &params);
    let refused = scene.world.response::<RemoveCamera>(scene.admin, asked).unwrap().unwrap_err();
    assert_eq!(refused.code, code::UNAVAILABLE);
    assert!(scene.world.taken.is_empty());
}

#[test]
fn rights_that_were_read_before_they_were_taken_have_no_effect_after() {
    // Whether the database was asked before; the seconds since; whether it is refused.
    for (before, seconds, refused) in [(true, 0, true), (true, 61, false), (false, 0, false)] {
        let mut scene = Scene::new();
        let world = &mut scene.world;
        let known = world.hub.takings();
        let camera = CAMERA.parse().unwrap();
        world.hub.handle_rights_taken(world.now, &scene.id, &camera);
        world.wait(Duration::from_secs(seconds));
        if seconds > 60 {
            // The next one forgets it, since no request takes as long.
            world.hub.handle_rights_taken(world.now, &scene.id, &"other".parse().unwrap());
        }
        let as_of = if before { known } else { world.hub.takings() };
        let ann = principal("ann", only(&scene.id, &[CAMERA])).as_of(as_of);
        assert_eq!(world.hub.is_revoked(&ann), refused, "{before} {seconds}");
        let other = principal("bob", only(&scene.id, &["yard"])).as_of(known);
        assert!(!world.hub.is_revoked(&other), "{before} {seconds}");

        let waiting = world.open(Some(ann.clone()));
        world.apply_outputs();
        let expected = refused.then_some(&Close::RIGHTS_CHANGED);
        assert_eq!(world.closed.get(&waiting), expected, "its WebSocket");
        world.tokens.insert("t".to_owned(), ann);
        let register = RegisterParams { authorization: Some("t".into()), ..Default::default() };
        let late = world.open(None);
        world.send(late, Message::request::<Register>(7, &register));
        let response = world.response::<Register>(late, 7).unwrap();
        assert_eq!(response.is_err(), refused, "its token: {response:?}");
    }
}
