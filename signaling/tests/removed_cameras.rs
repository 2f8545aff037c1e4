//! Tests of what is left of the rights to a camera that is removed, when another one gets its id.

mod support;

use std::time::{Duration, Instant};

use porthole_signaling::admin;
use porthole_signaling_proto::method::{Close, RemoveCamera};
use porthole_signaling_proto::rest::{Removed, Role};
use serde_json::{Value, json};

use support::{Installation, Peer, http, report, token};

const PASSWORD: &str = "a password of bob";
/// Time within which a removal has ended everything.
const PROMPT: Duration = Duration::from_secs(2);

/// A server with a gateway that has the cameras `demo` and `barn`, the cookie of its owner, and
/// those who have rights to `demo`: alone, or with `barn`.
struct Scene {
    at: Installation,
    owner: String,
    /// The name, the credential, and whether it has rights to `barn`, too.
    holders: Vec<(&'static str, String, bool)>,
}

impl Scene {
    async fn new() -> Self {
        let at = Installation::new(&["demo", "barn"]).await;
        let owner = at.set_up("ann", "a password of ann").await;
        let mut scene = Self { at, owner, holders: Vec::new() };
        let (one, two) = (["demo"].as_slice(), ["demo", "barn"].as_slice());
        for (name, cameras) in [("link", one), ("link of two", two)] {
            let link = scene.share(cameras).await;
            scene.holders.push((name, format!("Bearer {link}"), cameras.len() > 1));
        }
        for (name, cameras) in [("token", one), ("token of two", two)] {
            let token = token(scene.at.data.path(), Role::Viewer, cameras).await;
            scene.holders.push((name, format!("Bearer {token}"), cameras.len() > 1));
        }
        for (name, cameras) in [("bob", one), ("bob of two", two)] {
            let access = json!({"role": "viewer", "limited": true, "cameras": addresses(cameras)});
            let (_, cookie) = scene.at.invite(&scene.owner, name, access, PASSWORD).await;
            scene.holders.push((name, cookie, cameras.len() > 1));
        }
        scene
    }

    async fn send(&self, who: &str, method: &str, path: &str, body: Value) -> Value {
        let response = self.at.send(who, method, path, body).await;
        assert!(response.status < 300, "{response:?}");
        response.json()
    }

    async fn share(&self, cameras: &[&str]) -> String {
        let new = json!({"name": "yard", "cameras": addresses(cameras)});
        let made = self.send(&self.owner, "POST", "/shares", new).await;
        made["token"].as_str().expect("a token").to_owned()
    }

    /// Checks what each of them may see, with the status for `demo`.
    async fn check(&self, watches: bool) {
        for (name, credential, has_two) in &self.holders {
            let kind = if credential.starts_with("Bearer ") { "authorization" } else { "cookie" };
            let headers = [(kind, credential.as_str())];
            let list = http(self.at.to(), "GET", "/api/v1/cameras", &headers, "").await;
            let looked = http(self.at.to(), "GET", "/whep/demo", &headers, "").await;
            let is_user = kind == "cookie";
            let expected: &[&str] = match (watches, has_two) {
                (true, true) => &["barn", "demo"],
                (true, false) => &["demo"],
                (false, true) => &["barn"],
                (false, false) if is_user => &[],
                (false, false) => {
                    // There is nothing left that it could be for.
                    assert_eq!((list.status, looked.status), (401, 401), "{name}");
                    continue;
                }
            };
            let list = list.json();
            let seen = list["cameras"].as_array().unwrap_or_else(|| panic!("{name}: {list}"));
            let mut seen: Vec<_> =
                seen.iter().map(|one| one["id"].as_str().expect("an id")).collect();
            seen.sort_unstable();
            assert_eq!(seen, expected, "{name}");
            assert_eq!(looked.status, if watches { 200 } else { 403 }, "{name}");
        }
    }
}

fn addresses(cameras: &[&str]) -> Value {
    cameras.iter().map(|camera| json!({"camera": camera})).collect()
}

#[tokio::test]
async fn another_camera_with_the_id_of_a_removed_one_inherits_no_right() {
    let mut scene = Scene::new().await;
    scene.check(true).await;
    let link = scene.holders[1].1.trim_start_matches("Bearer ").to_owned();
    let mut viewer = Peer::viewer(scene.at.to(), &link).await;
    scene.at.play(&mut viewer).await;
    let since = Instant::now();
    let owner = scene.owner.clone();
    let (mut asking, asked, number) = scene.at.ask_removal(&owner, 1).await;
    let close = viewer.close_frame().await.expect("a reason");
    assert_eq!(u16::from(close.code), 4403, "its link shows the other camera still");
    scene.at.gateway.next_notification::<Close>().await;
    assert!(since.elapsed() < PROMPT, "{:?}", since.elapsed());

    // Whenever the server is killed from now on, the database has no right to the camera.
    let shares = admin::shares(scene.at.data.path()).await.unwrap();
    let cameras: Vec<_> = shares.iter().flat_map(|share| &share.cameras).collect();
    assert_eq!(cameras.len(), 1, "{cameras:?}");
    assert_eq!(cameras[0].camera.camera.as_str(), "barn");
    // What is given while the gateway has not answered yet goes with the camera, too.
    let meanwhile = scene.share(&["demo"]).await;
    scene.holders.push(("link of meanwhile", format!("Bearer {meanwhile}"), false));
    scene.at.confirm_removal(number).await;
    let result = asking.response::<RemoveCamera>(asked).await.unwrap();
    let expected =
        Removed { cameras: 1, grants: 7, tokens: 1, shares: 2, sessions: 1, ..Removed::default() };
    assert_eq!((result.revision, result.removed), (2, Some(expected)));

    report(&mut scene.at.gateway, &["barn"]).await;
    report(&mut scene.at.gateway, &["barn", "demo"]).await;
    scene.check(false).await;
    let log = scene.send(&scene.owner, "GET", "/audit", Value::Null).await;
    let event = &log["events"][0];
    let went = "with 7 rights, 1 access token, 2 share links";
    let object = format!("demo (Barn, {}), {went}", scene.at.key.id());
    assert_eq!((&event["kind"], &event["actor"]), (&json!("cameraRemoved"), &json!("ann")));
    assert_eq!(event["object"], object, "{event}");
    // Whoever gets the right to the other one has it.
    let link = scene.share(&["demo"]).await;
    let headers = [("authorization", format!("Bearer {link}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(http(scene.at.to(), "GET", "/whep/demo", &headers, "").await.status, 200);
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_camera_that_is_only_missing_keeps_its_rights_until_its_id_is_released() {
    let mut scene = Scene::new().await;
    report(&mut scene.at.gateway, &["barn"]).await;
    report(&mut scene.at.gateway, &["barn", "demo"]).await;
    scene.check(true).await;
    let former = format!("/gateways/{}/former-cameras/demo", scene.at.key.id());
    let refused = scene.at.send(&scene.owner, "DELETE", &former, Value::Null).await;
    assert_eq!(refused.status, 404, "the gateway has it: {refused:?}");
    scene.check(true).await;
    report(&mut scene.at.gateway, &["barn"]).await;
    let released = scene.at.send(&scene.owner, "DELETE", &former, Value::Null).await;
    assert_eq!(released.status, 204, "{released:?}");
    report(&mut scene.at.gateway, &["barn", "demo"]).await;
    scene.check(false).await;
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_removal_that_the_gateway_refuses_takes_no_right() {
    let mut scene = Scene::new().await;
    let (owner, share) = (scene.owner.clone(), scene.share(&["demo"]).await);
    // The page is of before somebody else has changed another camera.
    let (mut asking, asked, number) = scene.at.ask_removal(&owner, 2).await;
    scene.at.gateway.refuse(number, 409, "somebody else has changed the cameras").await;
    let refused = asking.response::<RemoveCamera>(asked).await.unwrap_err();
    assert_eq!(refused.message, "somebody else has changed the cameras");
    scene.check(true).await;
    let mut viewer = Peer::viewer(scene.at.to(), &share).await;
    scene.at.play(&mut viewer).await;
    scene.at.server.stop().await;
}
