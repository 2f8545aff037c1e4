//! Tests of what is told about a removal before it is done, and about people to those who only list
//! them.

mod support;

use porthole_signaling_proto::method::RemoveCamera;
use porthole_signaling_proto::rest::Role;
use serde_json::{Value, json};

use support::{Installation, Peer, http, token};

/// A server whose second admin has given a token, with which another was given, and whose camera
/// `demo` is shown to a person, with a token and by a link, while somebody watches.
struct Scene {
    at: Installation,
    owner: String,
    bob: i64,
    _watching: Vec<Peer>,
}

impl Scene {
    async fn new() -> Self {
        let mut at = Installation::new(&["demo", "barn"]).await;
        let owner = at.set_up("ann", "a password of ann").await;
        let admin = json!({"role": "admin", "limited": false});
        let (bob, by_bob) = at.invite(&owner, "bob", admin, "a password of bob").await;
        let camera = json!([{"camera": "demo"}]);
        let viewer = json!({"role": "viewer", "limited": true, "cameras": camera});
        at.invite(&owner, "cid", viewer.clone(), "a password of cid").await;
        let new = json!({"name": "first", "role": "admin"});
        let first = send(&at, &by_bob, "POST", "/tokens", new).await;
        let first = format!("Bearer {}", first["token"].as_str().expect("a token"));
        let new = json!({"name": "second", "role": "viewer", "cameras": ["demo"]});
        let second = send(&at, &first, "POST", "/tokens", new).await;
        send(&at, &first, "POST", "/claims", Value::Null).await;
        let mut invited = viewer;
        invited["name"] = "dan".into();
        send(&at, &by_bob, "POST", "/invitations", invited).await;
        send(&at, &by_bob, "POST", "/shares", json!({"name": "yard", "cameras": camera})).await;
        let mut watching = Vec::new();
        let second = second["token"].as_str().expect("a token").to_owned();
        let whole = token(at.data.path(), Role::Viewer, &[]).await;
        for credential in [second, whole] {
            let mut viewer = Peer::viewer(at.to(), &credential).await;
            at.play(&mut viewer).await;
            watching.push(viewer);
        }
        Self { at, owner, bob, _watching: watching }
    }

    /// Removes `demo`, as the gateway does it. Returns what was removed with it.
    async fn remove_camera(&mut self) -> Value {
        let owner = self.owner.clone();
        let (mut asking, asked, number) = self.at.ask_removal(&owner, 1).await;
        self.at.confirm_removal(number).await;
        let result = asking.response::<RemoveCamera>(asked).await.expect("a result");
        serde_json::to_value(result.removed).expect("counts")
    }
}

async fn send(at: &Installation, who: &str, method: &str, path: &str, body: Value) -> Value {
    let response = at.send(who, method, path, body).await;
    assert_eq!(response.status, 200, "{method} {path}: {response:?}");
    response.json()
}

/// Returns the names that are told before a removal.
fn names(tokens: &[&str], invitations: &[&str], shares: &[&str]) -> Value {
    json!({"tokens": tokens, "invitations": invitations, "shares": shares})
}

#[tokio::test]
async fn what_is_told_before_a_removal_is_what_the_removal_then_takes() {
    let of_camera = names(&["second"], &["dan"], &["yard"]);
    // What is removed; how many tokens, grants and sessions go with it, and the names of what does.
    for (what, tokens, grants, sessions, names) in [
        ("user", 2, 1, 1, names(&["first", "second"], &["dan"], &["yard"])),
        ("token", 2, 1, 1, names(&["second"], &[], &[])),
        ("gateway", 1, 4, 2, of_camera.clone()),
        ("camera", 1, 4, 2, of_camera),
    ] {
        let mut scene = Scene::new().await;
        let (owner, gateway) = (scene.owner.clone(), scene.at.key.id());
        let path = match what {
            "user" => format!("/users/{}", scene.bob),
            "token" => "/tokens/1".to_owned(),
            "gateway" => format!("/gateways/{gateway}"),
            _ => format!("/gateways/{gateway}/cameras/demo"),
        };
        let look = format!("{path}/removal");
        let told = send(&scene.at, &owner, "GET", &look, Value::Null).await;
        let again = send(&scene.at, &owner, "GET", &look, Value::Null).await;
        assert_eq!(told, again, "{what}: to look changes nothing");
        let log = send(&scene.at, &owner, "GET", "/audit", Value::Null).await;
        assert!(!log.to_string().contains("Removed"), "{what}: {log}");
        let removed = match what {
            "camera" => scene.remove_camera().await,
            _ => send(&scene.at, &owner, "DELETE", &path, Value::Null).await,
        };
        assert_eq!(told["removed"], removed, "{what}");
        let counts = [&removed["tokens"], &removed["grants"], &removed["sessions"]];
        assert_eq!(counts, [tokens, grants, sessions], "{what}: {removed}");
        assert_eq!(told["names"], names, "{what}");
        scene.at.server.stop().await;
    }
}

#[tokio::test]
async fn a_removal_that_would_be_refused_is_refused_before_it_is_asked_for() {
    let scene = Scene::new().await;
    let ann = scene.at.number(&scene.owner, "ann").await;
    let path = format!("/users/{ann}/removal");
    let last = scene.at.send(&scene.owner, "GET", &path, Value::Null).await;
    assert_eq!(last.status, 409, "the last owner: {last:?}");
    scene.at.server.stop().await;
}

#[tokio::test]
async fn only_those_who_decide_about_people_or_read_the_log_see_where_others_have_signed_in() {
    let scene = Scene::new().await;
    for (scopes, sees) in [
        (json!(["read"]), false),
        (json!(["read", "audit"]), true),
        (json!(["people"]), true),
        (Value::Null, true),
    ] {
        let new = json!({"name": "monitor", "role": "admin", "scopes": scopes});
        let made = send(&scene.at, &scene.owner, "POST", "/tokens", new).await;
        let bearer = format!("Bearer {}", made["token"].as_str().expect("a token"));
        let list = send(&scene.at, &bearer, "GET", "/sign-ins", Value::Null).await;
        let list = list["signIns"].as_array().expect("a list").clone();
        assert!(list.len() >= 3, "{scopes}: {list:?}");
        let shown = list.iter().filter(|one| one["address"].is_string()).count();
        assert_eq!(shown, if sees { list.len() } else { 0 }, "{scopes}: {list:?}");
    }
    let own = send(&scene.at, &scene.owner, "GET", "/sign-ins", Value::Null).await;
    assert!(own["signIns"][0]["address"].is_string(), "{own}");
    scene.at.server.stop().await;
}

#[tokio::test]
async fn whoever_looks_at_a_removal_gets_only_those_names_that_they_may_list() {
    let scene = Scene::new().await;
    let path = format!("/gateways/{}/removal", scene.at.key.id());
    for (scopes, tokens, invitations, shares) in [
        (json!(["gateways"]), 0, 0, 0),
        (json!(["gateways", "people"]), 1, 1, 0),
        (json!(["gateways", "shares", "watch"]), 0, 0, 1),
        (json!(["gateways", "read"]), 1, 1, 1),
        (Value::Null, 1, 1, 1),
    ] {
        let new = json!({"name": "monitor", "role": "admin", "scopes": scopes});
        let made = send(&scene.at, &scene.owner, "POST", "/tokens", new).await;
        let bearer = format!("Bearer {}", made["token"].as_str().expect("a token"));
        let told = send(&scene.at, &bearer, "GET", &path, Value::Null).await;
        let listed = ["tokens", "invitations", "shares"].map(|kind| told["names"][kind].clone());
        let counts = listed.map(|names| names.as_array().map_or(0, Vec::len));
        assert_eq!(counts, [tokens, invitations, shares], "{scopes}: {told}");
        assert_eq!(told["removed"]["tokens"], 1, "{scopes}: it is counted all the same");
    }
    scene.at.server.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_cannot_have_a_removal_looked_at() {
    let scene = Scene::new().await;
    let path = format!("/api/v1/users/{}/removal", scene.bob);
    for (site, expected) in [("same-origin", 200), ("same-site", 403), ("cross-site", 403)] {
        let headers = [("cookie", scene.owner.as_str()), ("sec-fetch-site", site)];
        let told = http(scene.at.to(), "GET", &path, &headers, "").await;
        assert_eq!(told.status, expected, "{site}: {told:?}");
    }
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_removal_of_hundreds_of_tokens_is_looked_at_in_one_go() {
    const TOKENS: usize = 300;
    let scene = Scene::new().await;
    let data = scene.at.data.path().to_owned();
    for _ in 0..TOKENS {
        token(&data, Role::Viewer, &["demo"]).await;
    }
    let path = format!("/gateways/{}/removal", scene.at.key.id());
    let look = || send(&scene.at, &scene.owner, "GET", &path, Value::Null);
    // Whoever writes meanwhile waits for one of them at most.
    let new = json!({"name": "meanwhile", "role": "viewer"});
    let write = send(&scene.at, &scene.owner, "POST", "/tokens", new);
    let (told, _, _, _, _) = tokio::join!(look(), look(), look(), look(), write);
    assert_eq!(told["removed"]["tokens"], TOKENS + 1);
    assert_eq!(told["names"]["tokens"].as_array().map(Vec::len), Some(16), "some by name");
    scene.at.server.stop().await;
}
