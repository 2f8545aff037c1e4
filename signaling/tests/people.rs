//! Tests of people: how they join, what they may do, and how that ends.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use porthole_signaling::admin;
use porthole_signaling::admin::{AddedOne, Given};
use porthole_signaling_proto::method::Close;
use serde_json::{Value, json};

use support::{HttpResponse, Installation, Key, Peer, cookie, http, totp};

const PASSWORD: &str = "0123456789";
/// Time within which a change of rights has ended everything.
const PROMPT: Duration = Duration::from_secs(2);

/// A server with a gateway that has the cameras `demo` and `barn`, and the owner `ann`.
struct Scene {
    at: Installation,
    /// The cookie of the owner.
    ann: String,
}

impl Scene {
    async fn new() -> Self {
        let at = Installation::new(&["demo", "barn"]).await;
        let ann = at.set_up("ann", PASSWORD).await;
        Self { at, ann }
    }

    fn to(&self) -> SocketAddr {
        self.at.to()
    }

    async fn send(&self, who: &str, method: &str, path: &str, body: Value) -> HttpResponse {
        self.at.send(who, method, path, body).await
    }

    /// Invites a person with these rights, who accepts. Returns the number and the cookie.
    async fn invite(&self, name: &str, access: Value) -> (i64, String) {
        self.at.invite(&self.ann, name, access, PASSWORD).await
    }

    async fn number(&self, name: &str) -> i64 {
        self.at.number(&self.ann, name).await
    }

    /// Returns what somebody may do, for each camera that they see.
    async fn permissions(&self, who: &str) -> Vec<(String, Value)> {
        let list = self.send(who, "GET", "/cameras", Value::Null).await.json();
        let list = list["cameras"].as_array().expect("a list").clone();
        let shown = |camera: &Value| {
            (camera["id"].as_str().expect("an id").to_owned(), camera["permissions"].clone())
        };
        list.iter().map(shown).collect()
    }

    /// Opens the WebSocket of somebody, who starts a session with `demo`.
    async fn watch(&mut self, who: &str) -> Peer {
        let mut viewer = Peer::open(self.to(), &[("cookie", who)]).await.expect("a WebSocket");
        viewer.register(None).await.expect("the cookie counts");
        self.at.play(&mut viewer).await;
        viewer
    }

    /// Checks that a WebSocket is closed with this code and its session ends, in time.
    async fn check_ended(&mut self, viewer: &mut Peer, code: u16, what: &str) {
        let since = Instant::now();
        let close = viewer.close_frame().await.expect("a reason");
        assert_eq!(u16::from(close.code), code, "{what}");
        self.at.gateway.next_notification::<Close>().await;
        assert!(since.elapsed() < PROMPT, "{what} took {:?}", since.elapsed());
    }
}

fn only(camera: &str) -> Value {
    json!({"role": "viewer", "limited": true, "cameras": [{"camera": camera, "listen": false}]})
}

#[tokio::test]
async fn an_invited_viewer_sees_its_cameras_and_no_others() {
    let scene = Scene::new().await;
    let all = json!({"role": "viewer", "limited": false, "control": true});
    let (_, bob) = scene.invite("bob", all).await;
    let (_, cid) = scene.invite("cid", only("barn")).await;
    let (_, dan) = scene.invite("dan", json!({"role": "viewer", "limited": true})).await;
    let moves = json!(["watch", "listen", "control"]);
    let both = [("barn".to_owned(), moves.clone()), ("demo".to_owned(), moves)];
    assert_eq!(scene.permissions(&bob).await, both);
    assert_eq!(scene.permissions(&cid).await, [("barn".to_owned(), json!(["watch"]))]);
    assert!(scene.permissions(&dan).await.is_empty());
    for (who, camera, expected) in
        [(&cid, "barn", 200), (&cid, "demo", 403), (&dan, "barn", 403), (&bob, "demo", 200)]
    {
        let path = format!("/whep/{camera}");
        let found = http(scene.to(), "GET", &path, &[("cookie", who)], "").await;
        assert_eq!(found.status, expected, "{camera}");
    }
    for who in [&bob, &cid, &dan] {
        let refused = scene.send(who, "POST", "/invitations", only("barn")).await;
        assert_eq!(refused.status, 403, "a viewer invites nobody");
    }
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_change_of_rights_ends_what_was_started_with_the_former_ones_within_two_seconds() {
    let mut scene = Scene::new().await;
    let (number, bob) = scene.invite("bob", only("demo")).await;
    let path = format!("/users/{number}");
    let data = scene.at.data.path().to_owned();
    for way in ["by a request", "on the host"] {
        let mut viewer = scene.watch(&bob).await;
        match way {
            "by a request" => {
                let ann = scene.ann.clone();
                let ended = scene.send(&ann, "PATCH", &path, only("barn")).await;
                assert_eq!(ended.json()["sessions"], 1, "{ended:?}");
            }
            _ => change_on_the_host(&data, "barn").await,
        }
        scene.check_ended(&mut viewer, 4403, way).await;
        let seen = scene.permissions(&bob).await;
        assert_eq!(seen, [("barn".to_owned(), json!(["watch"]))], "{way}: the cookie goes on");
        let mut again = Peer::open(scene.to(), &[("cookie", &bob)]).await.expect("a WebSocket");
        again.register(None).await.expect("at once, with the new rights");
        change_on_the_host(&data, "demo").await;
        assert_eq!(u16::from(again.close_frame().await.expect("a reason").code), 4403, "{way}");
    }
    let mut viewer = scene.watch(&bob).await;
    let ann = scene.ann.clone();
    let removed = scene.send(&ann, "DELETE", &path, Value::Null).await.json();
    assert_eq!((&removed["users"], &removed["grants"]), (&json!(1), &json!(1)));
    scene.check_ended(&mut viewer, 4401, "the removal").await;
    scene.at.server.stop().await;
}

/// Gives `bob` this camera, as the command line does.
async fn change_on_the_host(data: &Path, camera: &str) {
    let access = serde_json::from_value(only(camera)).expect("rights");
    admin::change_user(data, "bob", &access).await.expect("it can be written");
}

#[tokio::test]
async fn only_an_owner_touches_an_owner() {
    let scene = Scene::new().await;
    let (_, bob) = scene.invite("bob", json!({"role": "admin", "limited": false})).await;
    let ann = scene.number("ann").await;
    let sign_ins = scene.send(&bob, "GET", "/sign-ins", Value::Null).await.json();
    let sign_ins = sign_ins["signIns"].as_array().expect("a list").clone();
    let of_ann = sign_ins.iter().find(|one| one["user"] == "ann").expect("a sign-in of the owner");
    let of_ann = format!("/sign-ins/{}", of_ann["id"].as_str().expect("an id"));
    let owner = json!({"role": "owner", "limited": false});
    let mut invite = owner.clone();
    invite["name"] = "eve".into();
    for (method, path, body) in [
        ("DELETE", format!("/users/{ann}"), Value::Null),
        ("PATCH", format!("/users/{ann}"), only("demo")),
        ("PATCH", format!("/users/{}", scene.number("bob").await), owner),
        ("POST", format!("/users/{ann}/reset"), Value::Null),
        ("DELETE", format!("/users/{ann}/sign-ins"), Value::Null),
        ("DELETE", of_ann, Value::Null),
        ("POST", "/invitations".to_owned(), invite),
    ] {
        let refused = scene.send(&bob, method, &path, body).await;
        assert_eq!(refused.status, 403, "{method} {path}: {refused:?}");
    }
    assert_eq!(scene.send(&scene.ann, "GET", "/session", Value::Null).await.status, 200);
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_link_works_once_and_a_user_sets_a_new_password_with_one() {
    let scene = Scene::new().await;
    let (bob, old) = scene.invite("bob", only("demo")).await;
    let link = scene.send(&scene.ann, "POST", &format!("/users/{bob}/reset"), Value::Null).await;
    let link = link.json();
    assert_eq!(link["path"], format!("/invitation#t={}", link["token"].as_str().unwrap()));
    let listed = scene.send(&scene.ann, "GET", "/invitations", Value::Null).await.json();
    assert_eq!(listed["invitations"][0]["reset"], true, "{listed}");
    assert!(!listed.to_string().contains(link["token"].as_str().unwrap()), "{listed}");
    let offer = json!({"token": link["token"]});
    let offer = scene.send("", "POST", "/invitations/read", offer).await.json();
    assert_eq!(offer, json!({"name": "bob", "role": "viewer", "reset": true}));

    let accept = |password: &str| json!({"token": link["token"], "password": password});
    for (password, expected) in
        [("short", 422), ("another password", 200), ("another password", 403)]
    {
        let found = scene.send("", "POST", "/invitations/accept", accept(password)).await;
        assert_eq!(found.status, expected, "{found:?}");
    }
    assert_eq!(scene.send(&old, "GET", "/session", Value::Null).await.status, 401);
    for (password, expected) in [(PASSWORD, 401), ("another password", 200)] {
        let body = json!({"name": "bob", "password": password});
        assert_eq!(scene.send("", "POST", "/session", body).await.status, expected);
    }
    for attempt in 0.. {
        let found = scene.send("", "POST", "/invitations/read", json!({"token": "guess"})).await;
        match found.status {
            403 => assert!(attempt < 20, "links can be guessed for ever"),
            status => {
                assert_eq!(status, 429);
                break;
            }
        }
    }
    scene.at.server.stop().await;
}

/// Signs in. Returns the response.
async fn sign_in(scene: &Scene, name: &str, password: &str, code: Option<&str>) -> HttpResponse {
    let body = json!({"name": name, "password": password, "code": code});
    scene.send("", "POST", "/session", body).await
}

#[tokio::test]
async fn a_user_changes_its_password_and_is_signed_out_everywhere_else() {
    let scene = Scene::new().await;
    let other = cookie(&sign_in(&scene, "ann", PASSWORD, None).await);
    let change = |old: &str, new: &str| json!({"old": old, "new": new});
    for (old, new, expected) in
        [("wrong password", "another password", 403), (PASSWORD, "short", 422)]
    {
        let path = "/session/password";
        let found = scene.send(&scene.ann, "PUT", path, change(old, new)).await;
        assert_eq!(found.status, expected, "{found:?}");
    }
    let new = change(PASSWORD, "another password");
    let changed = scene.send(&scene.ann, "PUT", "/session/password", new).await.json();
    assert_eq!(changed["signIns"], 1, "{changed}");
    for (who, expected) in [(&scene.ann, 200), (&other, 401)] {
        assert_eq!(scene.send(who, "GET", "/session", Value::Null).await.status, expected);
    }
    assert_eq!(sign_in(&scene, "ann", PASSWORD, None).await.status, 401);
    assert_eq!(sign_in(&scene, "ann", "another password", None).await.status, 200);
    for attempt in 0.. {
        let wrong = change("wrong password", "another password");
        let found = scene.send(&scene.ann, "PUT", "/session/password", wrong).await;
        match found.status {
            403 => assert!(attempt < 20, "the password can be guessed for ever"),
            status => {
                assert_eq!(status, 429);
                break;
            }
        }
    }
    scene.at.server.stop().await;
}

/// Gives the user of a cookie a second factor. Returns its recovery codes.
async fn enrol(scene: &Scene, who: &str) -> Vec<String> {
    let send = async |method, body| scene.send(who, method, "/session/second-factor", body).await;
    totp::enrol(PASSWORD, send).await
}

#[tokio::test]
async fn a_user_with_a_second_factor_needs_a_code_to_sign_in() {
    let scene = Scene::new().await;
    let (bob, of_bob) = scene.invite("bob", only("demo")).await;
    let codes = enrol(&scene, &of_bob).await;
    let listed = scene.send(&scene.ann, "GET", "/users", Value::Null).await.json();
    let enrolled: Vec<_> =
        listed["users"].as_array().unwrap().iter().map(|user| &user["secondFactor"]).collect();
    assert_eq!(enrolled, [&json!(false), &json!(true)]);

    for (password, code, expected, needs_code) in [
        ("wrong password", Some(codes[0].as_str()), 401, false),
        ("wrong password", None, 401, false),
        (PASSWORD, None, 401, true),
        (PASSWORD, Some("000000"), 401, true),
        (PASSWORD, Some(codes[0].as_str()), 200, false),
        (PASSWORD, Some(codes[0].as_str()), 401, true),
    ] {
        let found = sign_in(&scene, "bob", password, code).await;
        assert_eq!(found.status, expected, "{code:?}: {found:?}");
        assert_eq!(found.json()["needsCode"] == true, needs_code, "{code:?}: {found:?}");
    }
    // Who gave the right password and then no code is in the log, until the code comes.
    let missing = async || {
        let log = scene.send(&scene.ann, "GET", "/audit", Value::Null).await.json();
        let events = log["events"].as_array().expect("a list").clone();
        let missing = events.iter().filter(|event| event["kind"] == "codeMissing");
        missing.map(|event| event["object"].clone()).collect::<Vec<_>>()
    };
    assert!(missing().await.is_empty(), "the sign-in was completed");
    assert_eq!(sign_in(&scene, "bob", PASSWORD, Some(" ")).await.status, 401);
    assert_eq!(missing().await, ["bob"]);
    assert_eq!(sign_in(&scene, "bob", PASSWORD, Some(&codes[1])).await.status, 200);
    assert!(missing().await.is_empty(), "it was completed");
    // A link for a new password does not stand for the second factor.
    let reset = scene.send(&scene.ann, "POST", &format!("/users/{bob}/reset"), Value::Null).await;
    let body = json!({"token": reset.json()["token"], "password": PASSWORD});
    let accepted = scene.send("", "POST", "/invitations/accept", body).await;
    assert_eq!((accepted.status, accepted.header("set-cookie")), (204, None));

    // An admin takes it off.
    let path = format!("/users/{bob}/second-factor");
    assert_eq!(scene.send(&scene.ann, "DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(sign_in(&scene, "bob", PASSWORD, None).await.status, 200);
    scene.at.server.stop().await;
}

#[tokio::test]
async fn whoever_finds_the_browser_of_an_owner_takes_neither_its_factor_nor_its_password() {
    let scene = Scene::new().await;
    let ann = scene.number("ann").await;
    let (_, bob) = scene.invite("bob", json!({"role": "owner", "limited": false})).await;
    enrol(&scene, &scene.ann).await;
    let factor = format!("/users/{ann}/second-factor");
    let reset = format!("/users/{ann}/reset");
    // Who asks, for what, the status, and the route that the refusal names.
    for (who, method, path, expected, named) in [
        (&scene.ann, "DELETE", &factor, 409, "`DELETE /api/v1/session/second-factor`"),
        (&scene.ann, "POST", &reset, 409, "`PUT /api/v1/session/password`"),
        (&bob, "POST", &reset, 200, ""),
        (&bob, "DELETE", &factor, 204, ""),
    ] {
        let found = scene.send(who, method, path, Value::Null).await;
        assert_eq!(found.status, expected, "{method} {path}: {found:?}");
        if !named.is_empty() {
            assert!(found.error().contains(named), "{found:?}");
        }
    }
    scene.at.server.stop().await;
}

#[tokio::test]
async fn s10_the_tries_of_somebody_with_the_password_stay_in_the_log_when_its_user_signs_in() {
    let scene = Scene::new().await;
    let (_, of_bob) = scene.invite("bob", only("demo")).await;
    let codes = enrol(&scene, &of_bob).await;
    // Three tries of somebody in the same house, and then the user's own way in, twice.
    let [none, first, second] = [None, Some(codes[0].as_str()), Some(codes[1].as_str())];
    for (code, status, expected) in [
        (none, 401, json!(1)),
        (none, 401, json!(2)),
        (none, 401, json!(3)),
        (none, 401, json!(4)),
        (first, 200, json!(3)),
        (none, 401, json!(4)),
        (second, 200, json!(3)),
    ] {
        let found = sign_in(&scene, "bob", PASSWORD, code).await;
        assert_eq!(found.status, status, "{code:?}: {found:?}");
        let log = scene.send(&scene.ann, "GET", "/audit", Value::Null).await.json();
        let events = log["events"].as_array().expect("a list");
        let missing = events.iter().find(|event| event["kind"] == "codeMissing");
        assert_eq!(missing.map(|event| &event["count"]), Some(&expected), "{code:?}: {log}");
    }
    scene.at.server.stop().await;
}

/// Creates the token of an admin with these scopes, for `send`; without any, with all.
async fn token(scene: &Scene, scopes: Value) -> String {
    let new = json!({"name": "script", "role": "admin", "scopes": scopes});
    let made = scene.send(&scene.ann, "POST", "/tokens", new).await.json();
    format!("Bearer {}", made["token"].as_str().expect("a token"))
}

#[tokio::test]
async fn s1_the_second_factor_of_another_is_taken_off_only_by_those_who_have_what_the_user_has() {
    let scene = Scene::new().await;
    let (bob, of_bob) = scene.invite("bob", json!({"role": "admin", "limited": false})).await;
    let (cid, of_cid) = scene.invite("cid", only("demo")).await;
    let ann = scene.number("ann").await;
    for who in [&scene.ann, &of_bob, &of_cid] {
        enrol(&scene, who).await;
    }
    let people = token(&scene, json!(["people"])).await;
    let watching = token(&scene, json!(["people", "watch"])).await;
    let all = token(&scene, Value::Null).await;
    for (what, who, user, expected) in [
        ("people, of an admin", &people, bob, 403),
        ("people, of a viewer", &people, cid, 403),
        ("people, of nobody", &people, 999, 404),
        ("people and watch, of an admin", &watching, bob, 403),
        ("an admin, of an owner", &of_bob, ann, 403),
        ("a viewer, of a viewer", &of_cid, cid, 403),
        ("people and watch, of a viewer", &watching, cid, 204),
        ("people and watch, once more", &watching, cid, 404),
        ("all, of an owner", &all, ann, 403),
        ("all, of an admin", &all, bob, 204),
    ] {
        let path = format!("/users/{user}/second-factor");
        let found = scene.send(who, "DELETE", &path, Value::Null).await;
        assert_eq!(found.status, expected, "{what}: {found:?}");
    }
    for (name, expected) in [("ann", 401), ("bob", 200), ("cid", 200)] {
        let found = sign_in(&scene, name, PASSWORD, None).await;
        assert_eq!(found.status, expected, "{name} without a code: {found:?}");
    }
    let log = scene.send(&scene.ann, "GET", "/audit", Value::Null).await.json();
    let events = log["events"].as_array().expect("a list");
    let refused = events.iter().filter(|event| event["kind"] == "giftRefused");
    assert!(refused.count() >= 3, "who wanted too much is written down: {log}");
    scene.at.server.stop().await;
}

#[tokio::test]
async fn s1_a_token_with_each_of_the_scopes_makes_no_administrator_in_any_way() {
    let scene = Scene::new().await;
    let [admin, viewer] =
        ["admin", "viewer"].map(|role| json!({"name": "eve", "role": role, "limited": false}));
    let (bob, _) = scene.invite("bob", admin.clone()).await;
    let (cid, _) = scene.invite("cid", only("demo")).await;
    let scopes = json!(["watch", "gateways", "people", "shares", "read", "audit"]);
    let [scoped, whole] = [token(&scene, scopes).await, token(&scene, Value::Null).await];
    let of_cid = format!("/users/{cid}");
    let [reset_bob, reset_cid] = [bob, cid].map(|user| format!("/users/{user}/reset"));
    let script = json!({"name": "script", "role": "admin"});
    // What is asked for, and the status for the token with scopes and for the one without.
    for (method, path, body, with, without) in [
        ("POST", "/invitations", &viewer, 200, 200),
        ("POST", "/invitations", &admin, 403, 200),
        ("POST", &*reset_cid, &Value::Null, 200, 200),
        ("POST", &*reset_bob, &Value::Null, 403, 200),
        ("PATCH", &*of_cid, &viewer, 200, 200),
        ("PATCH", &*of_cid, &admin, 403, 200),
        // Its own scopes are what such a token can give to another token.
        ("POST", "/tokens", &script, 200, 200),
    ] {
        for (who, expected) in [(&scoped, with), (&whole, without)] {
            let found = scene.send(who, method, path, body.clone()).await;
            assert_eq!(found.status, expected, "{method} {path} {body}: {found:?}");
            if expected == 403 {
                assert!(found.error().contains("a token without scopes"), "{found:?}");
            }
        }
    }
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_reset_on_the_host_names_those_who_have_come_in_through_the_user_and_stay() {
    let scene = Scene::new().await;
    let join = async |by: &str, name: &str, role: &str| {
        let access = json!({"role": role, "limited": false});
        scene.at.invite(by, name, access, PASSWORD).await.1
    };
    let bob = join(&scene.ann, "bob", "admin").await;
    join(&scene.ann, "fay", "viewer").await;
    // Somebody who has the password of bob, then acts with a token and as another user as well.
    let cid = join(&bob, "cid", "admin").await;
    let new = json!({"name": "script", "role": "admin"});
    let made = scene.send(&bob, "POST", "/tokens", new).await.json();
    let script = format!("Bearer {}", made["token"].as_str().expect("a token"));
    join(&script, "dan", "viewer").await;
    join(&cid, "eve", "viewer").await;
    let gone = scene.at.invite(&cid, "gus", only("demo"), PASSWORD).await.0;
    let removed = scene.send(&cid, "DELETE", &format!("/users/{gone}"), Value::Null).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    let claim = scene.send(&script, "POST", "/claims", Value::Null).await.json();
    let barn = Key::new(2);
    barn.enroll(scene.to(), claim["code"].as_str().expect("a code")).await.expect("it enrols");
    let barn = format!("Barn ({})", barn.id());

    let log = scene.send(&scene.ann, "GET", "/audit", Value::Null).await.json();
    let events = log["events"].as_array().expect("a list");
    let joined = events.iter().filter(|event| event["kind"] == "invitationAccepted");
    let joined: Vec<_> = joined.map(|event| (&event["actor"], &event["object"])).collect();
    let names = ["gus", "eve", "dan", "cid", "fay", "bob"].map(Value::from);
    assert_eq!(joined, names.iter().map(|name| (name, name)).collect::<Vec<_>>());

    let data = scene.at.data.path();
    let names = |list: &[AddedOne]| list.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    for (given, tokens_left) in [(Given::Kept, 1), (Given::Removed, 0)] {
        let reset = admin::reset_user(data, "bob", "another password".into(), given).await;
        let reset = reset.expect("it can be written");
        assert_eq!(reset.left.tokens, tokens_left, "{given:?}");
        assert_eq!(names(&reset.added.people), ["eve", "dan", "cid"], "{given:?}");
        assert_eq!(names(&reset.added.gateways), [barn.as_str()], "{given:?}");
    }
    let other = admin::reset_user(data, "fay", "another password".into(), Given::Kept).await;
    assert_eq!(other.expect("it can be written").added, admin::Added::default());
    scene.at.server.stop().await;
}

#[tokio::test]
async fn the_log_says_what_went_with_a_person_a_token_and_a_gateway() {
    let scene = Scene::new().await;
    let (bob, of_bob) = scene.invite("bob", json!({"role": "admin", "limited": false})).await;
    scene.invite("cid", only("demo")).await;
    let make = async |who: &str, path: &str, new: Value| {
        let made = scene.send(who, "POST", path, new).await;
        assert_eq!(made.status, 200, "{path}: {made:?}");
        format!("Bearer {}", made.json()["token"].as_str().unwrap_or_default())
    };
    let script = make(&of_bob, "/tokens", json!({"name": "script", "role": "admin"})).await;
    let tablet = json!({"name": "tablet", "role": "viewer", "cameras": ["demo"]});
    make(&script, "/tokens", tablet).await;
    make(&script, "/claims", Value::Null).await;
    make(&of_bob, "/shares", json!({"name": "yard", "cameras": [{"camera": "barn"}]})).await;
    make(&scene.ann, "/tokens", json!({"name": "plain", "role": "viewer"})).await;
    let gateway = scene.at.key.id();
    let with = |name: &str, rest: &str| format!("{name}, with {rest}");
    let barn = format!("Barn ({gateway})");
    for (path, expected) in [
        ("/tokens/3".to_owned(), "plain".to_owned()),
        ("/tokens/1".to_owned(), with("script", "1 right, 1 access token, 1 claim code")),
        (format!("/users/{bob}"), with("bob", "1 sign-in, 1 share link")),
        (format!("/gateways/{gateway}"), with(&barn, "2 cameras, 1 right")),
    ] {
        let removed = scene.send(&scene.ann, "DELETE", &path, Value::Null).await;
        assert_eq!(removed.status, 200, "{path}: {removed:?}");
        let log = scene.send(&scene.ann, "GET", "/audit", Value::Null).await.json();
        assert_eq!(log["events"][0]["object"], expected, "{path}: {log}");
    }
    scene.at.server.stop().await;
}

#[tokio::test]
async fn the_own_second_factor_is_removed_with_password_and_code() {
    let scene = Scene::new().await;
    let codes = enrol(&scene, &scene.ann).await;
    let path = "/session/second-factor";
    let again = scene.send(&scene.ann, "POST", path, json!({"password": PASSWORD})).await;
    assert_eq!(again.status, 409, "{again:?}");
    for (password, code, expected) in [
        ("wrong password", codes[0].as_str(), 403),
        (PASSWORD, "000000", 403),
        (PASSWORD, codes[0].as_str(), 204),
    ] {
        let body = json!({"password": password, "code": code});
        assert_eq!(scene.send(&scene.ann, "DELETE", path, body).await.status, expected, "{code}");
    }
    let state = scene.send(&scene.ann, "GET", path, Value::Null).await.json();
    assert_eq!(state, json!({"enrolled": false, "recoveryCodes": 0}));
    assert_eq!(sign_in(&scene, "ann", PASSWORD, None).await.status, 200);
    let codes = enrol(&scene, &scene.ann).await;
    for attempt in 0.. {
        let found = sign_in(&scene, "ann", PASSWORD, Some("000000")).await;
        match found.status {
            401 => assert!(attempt < 10, "codes can be guessed for ever"),
            status => {
                assert_eq!(status, 429, "{found:?}");
                break;
            }
        }
    }
    assert_eq!(sign_in(&scene, "ann", PASSWORD, Some(&codes[0])).await.status, 429);
    scene.at.server.stop().await;
}
