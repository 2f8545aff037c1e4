//! Tests of shares: links with which anybody watches some cameras until an hour.

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_signaling::admin;
use porthole_signaling_proto::method::{Close, Connect, ConnectDevice, ConnectParams};
use porthole_signaling_proto::rpc::code;
use serde_json::{Value, json};

use support::{HttpResponse, Installation, JSON, Peer, http};

const PASSWORD: &str = "fence and gate";
/// Time within which a revocation has ended everything.
const PROMPT: Duration = Duration::from_secs(2);

/// A server with a gateway that has the cameras `demo` and `barn`, and the token of an admin.
struct Scene {
    at: Installation,
    admin: String,
}

impl Scene {
    async fn new() -> Self {
        let at = Installation::new(&["demo", "barn"]).await;
        let admin = at.admin().await;
        Self { at, admin }
    }

    fn to(&self) -> SocketAddr {
        self.at.to()
    }

    async fn send(&self, who: &str, method: &str, path: &str, body: Value) -> HttpResponse {
        self.at.send(who, method, path, body).await
    }

    /// Makes a link that shows `demo`, with these fields besides. Returns the token in it.
    async fn share(&self, fields: Value) -> String {
        let mut new = json!({"name": "yard", "cameras": [{"camera": "demo"}]});
        for (name, value) in fields.as_object().expect("an object") {
            new[name] = value.clone();
        }
        let made = self.send(&self.admin, "POST", "/shares", new).await;
        assert_eq!(made.status, 200, "{made:?}");
        let token = made.json()["token"].as_str().expect("a token").to_owned();
        assert_eq!(made.json()["path"], format!("/share#t={token}"));
        token
    }

    async fn open(&self, token: &str, password: Option<&str>) -> HttpResponse {
        let body = json!({"token": token, "password": password});
        self.send("", "POST", "/shares/open", body).await
    }

    /// Starts a session with `demo` by a link, which the gateway accepts.
    async fn watch(&mut self, token: &str) -> Peer {
        let mut viewer = Peer::viewer(self.to(), token).await;
        self.at.play(&mut viewer).await;
        viewer
    }

    /// Returns the number of the newest share.
    async fn newest(&self) -> i64 {
        let list = self.send(&self.admin, "GET", "/shares", Value::Null).await.json();
        list["shares"][0]["id"].as_i64().expect("a number")
    }
}

#[tokio::test]
async fn a_link_shows_its_cameras_without_signing_in_and_nothing_else() {
    let scene = Scene::new().await;
    let link = scene.share(json!({})).await;
    let opened = scene.open(&link, None).await.json();
    assert_eq!((&opened["name"], &opened["kiosk"]), (&json!("yard"), &json!(false)), "{opened}");
    assert_eq!(opened["token"], link);
    assert!(opened["expiresInSeconds"].as_u64().expect("a time") > 86_390, "{opened}");
    let bearer = format!("Bearer {link}");
    let list = scene.send(&bearer, "GET", "/cameras", Value::Null).await.json();
    let seen: Vec<_> = list["cameras"].as_array().expect("a list").iter().collect();
    assert_eq!(seen.len(), 1, "{list}");
    assert_eq!((&seen[0]["id"], &seen[0]["permissions"]), (&json!("demo"), &json!(["watch"])));
    for (method, path, expected) in [
        ("GET", "/whep/demo", 200),
        ("GET", "/whep/barn", 403),
        ("GET", "/api/v1/shares", 403),
        ("GET", "/api/v1/users", 403),
        ("GET", "/api/v1/sign-ins", 403),
    ] {
        let headers = [("authorization", bearer.as_str())];
        let found = http(scene.to(), method, path, &headers, "").await;
        assert_eq!(found.status, expected, "{method} {path}");
    }
    let listed = scene.send(&scene.admin, "GET", "/shares", Value::Null).await.json();
    assert!(!listed.to_string().contains(&link), "{listed}");
    let log = scene.send(&scene.admin, "GET", "/audit", Value::Null).await.json();
    for kind in ["shareCreated", "shareOpened"] {
        let events = log["events"].as_array().expect("a list");
        let event = events.iter().find(|event| event["kind"] == kind).expect(kind);
        assert_eq!(event["object"], "yard", "{event}");
    }
    assert!(!log.to_string().contains(&link), "{log}");
    scene.at.server.stop().await;
}

#[tokio::test]
async fn the_gateway_is_told_of_the_limit_of_a_link_under_one_name_for_all_who_use_it() {
    let mut scene = Scene::new().await;
    let limited = json!({"maxKbitPerS": 1000});
    let [slow, other] = [scene.share(limited.clone()).await, scene.share(limited).await];
    let free = scene.share(json!({})).await;
    let mut told = Vec::new();
    for link in [&slow, &slow, &other, &free] {
        let mut viewer = Peer::viewer(scene.to(), link).await;
        let (peer, profile) = (scene.at.key.id(), Some("demo".parse().expect("an id")));
        let params = ConnectParams { peer, profile, authorization: None, audio: None };
        viewer.request::<Connect>(&params).await;
        let (_, asked) = scene.at.gateway.next_request::<ConnectDevice>().await;
        told.push(asked.caps);
    }
    let rates: Vec<_> = told[0].iter().map(|cap| cap.max_kbit_per_s).collect();
    assert_eq!(rates, [1000]);
    assert_eq!(told[1], told[0], "all who use a link share its limit");
    assert_ne!(told[2], told[0], "another link has its own");
    assert!(told[3].is_empty(), "{told:?}");
    let listed = scene.send(&scene.admin, "GET", "/shares", Value::Null).await.json();
    let listed: Vec<_> = listed["shares"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["maxKbitPerS"])
        .collect();
    assert_eq!(listed, [&Value::Null, &json!(1000), &json!(1000)]);
    scene.at.server.stop().await;
}

#[tokio::test]
async fn s3_passwords_of_links_are_not_hashed_without_end() {
    let scene = Scene::new().await;
    let new =
        |camera: &str| json!({"name": "n", "cameras": [{"camera": camera}], "password": PASSWORD});
    let make = async |camera| scene.send(&scene.admin, "POST", "/shares", new(camera)).await;
    // What is refused anyway is refused before, however often.
    for _ in 0..20 {
        assert_eq!(make("nobody@gw-unknown").await.status, 422);
    }
    for expected in [200, 200, 200, 200, 200, 200, 429] {
        let found = make("demo").await;
        assert_eq!(found.status, expected, "{found:?}");
        assert_eq!(found.header("retry-after").is_some(), expected == 429);
    }
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_password_is_asked_for_and_cannot_be_tried_for_ever() {
    let scene = Scene::new().await;
    let link = scene.share(json!({"password": PASSWORD})).await;
    let locked = scene.send(&format!("Bearer {link}"), "GET", "/cameras", Value::Null).await;
    assert_eq!(locked.status, 401, "the link alone is no token: {locked:?}");
    for (password, expected, needs) in [
        (None, 401, true),
        (Some(""), 401, true),
        (Some("fence and door"), 401, true),
        (Some(PASSWORD), 200, false),
    ] {
        let found = scene.open(&link, password).await;
        assert_eq!(found.status, expected, "{password:?}: {found:?}");
        assert_eq!(found.json()["needsPassword"] == true, needs, "{password:?}: {found:?}");
    }
    let opened = scene.open(&link, Some(PASSWORD)).await.json();
    let proved = opened["token"].as_str().expect("a token").to_owned();
    assert_eq!(scene.open(&proved, None).await.json()["token"], proved, "asked for once");
    let seen = scene.send(&format!("Bearer {proved}"), "GET", "/cameras", Value::Null).await;
    assert_eq!(seen.json()["cameras"].as_array().expect("a list").len(), 1);

    for attempt in 0.. {
        let found = scene.open(&link, Some("fence and door")).await;
        match found.status {
            401 => assert!(attempt < 20, "the password can be guessed for ever"),
            status => {
                assert_eq!(status, 429);
                break;
            }
        }
    }
    let guess = scene.open("phs_guess", None).await;
    assert!([403, 429].contains(&guess.status), "{guess:?}");
    let log = scene.send(&scene.admin, "GET", "/audit", Value::Null).await.json();
    assert!(log.to_string().contains("shareRefused"), "{log}");
    scene.at.server.stop().await;
}

#[tokio::test]
async fn revoking_a_link_ends_what_is_watched_with_it_within_two_seconds() {
    let mut scene = Scene::new().await;
    for way in ["by a request", "on the host", "with its giver"] {
        let mut giver = None;
        if way == "with its giver" {
            let new = json!({"name": "helper", "role": "admin"});
            let made = scene.send(&scene.admin, "POST", "/tokens", new).await.json();
            let helper = format!("Bearer {}", made["token"].as_str().expect("a token"));
            giver = Some(std::mem::replace(&mut scene.admin, helper));
        }
        let link = scene.share(json!({"password": PASSWORD})).await;
        let opened = scene.open(&link, Some(PASSWORD)).await.json();
        let proved = opened["token"].as_str().expect("a token").to_owned();
        let mut viewer = scene.watch(&proved).await;
        let number = scene.newest().await;
        let since = Instant::now();
        match (way, giver) {
            (_, Some(admin)) => {
                scene.admin = admin;
                let tokens = scene.send(&scene.admin, "GET", "/tokens", Value::Null).await.json();
                let path = format!("/tokens/{}", tokens["tokens"][0]["id"]);
                let removed = scene.send(&scene.admin, "DELETE", &path, Value::Null).await.json();
                assert_eq!((&removed["tokens"], &removed["shares"]), (&json!(1), &json!(1)));
            }
            ("by a request", None) => {
                let path = format!("/shares/{number}");
                let removed = scene.send(&scene.admin, "DELETE", &path, Value::Null).await.json();
                assert_eq!((&removed["shares"], &removed["sessions"]), (&json!(1), &json!(1)));
            }
            _ => {
                let removed = admin::revoke_share(scene.at.data.path(), number).await.unwrap();
                assert_eq!((removed.shares, removed.grants), (1, 1));
            }
        }
        assert_eq!(u16::from(viewer.close_frame().await.expect("a reason").code), 4401, "{way}");
        scene.at.gateway.next_notification::<Close>().await;
        assert!(since.elapsed() < PROMPT, "{way} took {:?}", since.elapsed());
        let mut late = Peer::open(scene.to(), &[]).await.unwrap();
        let refused = late.register(Some(proved.clone())).await.unwrap_err();
        assert_eq!(refused.code, code::UNAUTHORIZED, "{way}");
        assert_eq!(scene.open(&proved, Some(PASSWORD)).await.status, 403, "{way}");
    }
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_link_stops_at_its_hour() {
    let mut scene = Scene::new().await;
    let link = scene.share(json!({"expiresInSeconds": 2})).await;
    let mut viewer = scene.watch(&link).await;
    let close = viewer.close_frame().await.expect("a reason");
    assert_eq!(u16::from(close.code), 4401);
    scene.at.gateway.next_notification::<Close>().await;
    assert_eq!(scene.open(&link, None).await.status, 403);
    let late = scene.send(&format!("Bearer {link}"), "GET", "/cameras", Value::Null).await;
    assert_eq!(late.status, 401);
    scene.at.server.stop().await;
}

#[tokio::test]
async fn somebody_who_is_signed_in_watches_a_link_by_its_rights_and_stays_signed_in() {
    let scene = Scene::new().await;
    let setup = scene.at.server.setup_link.clone().expect("a setup link");
    let setup = setup.split_once("#t=").expect("a token").1;
    let body = json!({"token": setup, "name": "ann", "password": PASSWORD}).to_string();
    let set_up = http(scene.to(), "POST", "/api/v1/setup", &[JSON], &body).await;
    let cookie = set_up.header("set-cookie").expect("a cookie").split(';').next().expect("it");
    let cookie = ("cookie", cookie);
    let link = scene.share(json!({})).await;

    let body = json!({"token": link}).to_string();
    let opened = http(scene.to(), "POST", "/api/v1/shares/open", &[JSON, cookie], &body).await;
    assert_eq!((opened.status, opened.header("set-cookie")), (200, None), "no cookie is touched");
    let bearer = format!("Bearer {link}");
    for (headers, cameras) in
        [(vec![cookie], 2), (vec![cookie, ("authorization", bearer.as_str())], 1)]
    {
        let list = http(scene.to(), "GET", "/api/v1/cameras", &headers, "").await.json();
        assert_eq!(list["cameras"].as_array().expect("a list").len(), cameras, "{headers:?}");
    }
    let mut viewer = Peer::open(scene.to(), &[cookie]).await.expect("a WebSocket");
    viewer.register(Some(link)).await.expect("with the link");
    let path = format!("/shares/{}", scene.newest().await);
    scene.send(&scene.admin, "DELETE", &path, Value::Null).await;
    assert_eq!(u16::from(viewer.close_frame().await.expect("a reason").code), 4401);
    let me = http(scene.to(), "GET", "/api/v1/session", &[cookie], "").await;
    assert_eq!(me.status, 200, "still signed in: {me:?}");
    scene.at.server.stop().await;
}
