//! Tests of what can be guessed, and of checks that are easily left out because another one comes
//! after them.

mod support;

use serde_json::{Value, json};

use support::provider::Provider;
use support::{Installation, cookie};

const PASSWORD: &str = "a password of ann";
/// Tries after which there must have been a refusal.
const TRIES: usize = 80;

/// A server with the owner `ann` and a provider.
async fn installation() -> (Installation, Provider, String) {
    let provider = Provider::start().await;
    let openid = provider.config(porthole_signaling::Join::Nobody);
    let change = |config: &mut porthole_signaling::Config| config.openid_connect = Some(openid);
    let installation = Installation::with(&["demo", "barn"], change).await;
    let ann = installation.set_up("ann", PASSWORD).await;
    (installation, provider, ann)
}

async fn stop(installation: Installation) {
    installation.server.stop().await;
}

#[tokio::test]
async fn s3_nothing_that_can_be_guessed_can_be_tried_for_ever() {
    let invitation = json!({"invitation": {"token": "wrong"}});
    let password = json!({"old": "wrong password", "new": "another password"});
    let removal = json!({"password": PASSWORD, "code": "000000"});
    for (what, is_ann, method, path, body) in [
        ("the setup link", false, "POST", "/setup", setup("wrong")),
        ("a password", false, "POST", "/session", json!({"name": "ann", "password": "wrong"})),
        ("the own password", true, "PUT", "/session/password", password),
        ("a code that confirms", true, "PUT", "/session/second-factor", json!({"code": "000000"})),
        ("a code that removes", true, "DELETE", "/session/second-factor", removal),
        ("a link that is read", false, "POST", "/invitations/read", json!({"token": "wrong"})),
        ("a link that is accepted", false, "POST", "/invitations/accept", setup("wrong")),
        ("a link, with an account", false, "POST", "/session/provider/request", invitation),
        ("a link that shows", false, "POST", "/shares/open", json!({"token": "wrong"})),
    ] {
        let (installation, _provider, ann) = installation().await;
        if path == "/session/second-factor" {
            let began = json!({"password": PASSWORD});
            let began = installation.send(&ann, "POST", path, began).await;
            assert_eq!(began.status, 200, "{began:?}");
        }
        let who = if is_ann { ann.as_str() } else { "" };
        let mut statuses = Vec::new();
        while statuses.len() < TRIES && statuses.last() != Some(&429) {
            let found = installation.send(who, method, path, body.clone()).await;
            if found.status == 429 {
                assert!(found.header("retry-after").is_some(), "{what}: {found:?}");
            }
            statuses.push(found.status);
        }
        assert_eq!(statuses.last(), Some(&429), "{what}: {statuses:?}");
        assert!(statuses.len() > 3, "{what}: a few tries are everybody's: {statuses:?}");
        stop(installation).await;
    }
}

#[tokio::test]
async fn those_who_follow_their_links_in_one_house_do_not_use_up_each_others_tries() {
    let (installation, _provider, ann) = installation().await;
    for number in 0..11 {
        let new = json!({"name": format!("guest {number}"), "role": "viewer", "limited": false});
        let made = installation.send(&ann, "POST", "/invitations", new).await.json();
        for _ in 0..2 {
            let body = json!({"token": made["token"]});
            let found = installation.send("", "POST", "/invitations/read", body).await;
            assert_eq!(found.status, 200, "{number}: {found:?}");
        }
    }
    stop(installation).await;
}

fn setup(token: &str) -> Value {
    json!({"token": token, "name": "eve", "password": "a password of eve"})
}

#[tokio::test]
async fn a_body_is_not_read_for_those_who_may_not_send_it() {
    let (installation, _provider, ann) = installation().await;
    let admin = installation.admin().await;
    for (method, path) in [
        ("PUT", "/session/password"),
        ("POST", "/session/second-factor"),
        ("DELETE", "/session/second-factor"),
        ("POST", "/session/passkeys/request"),
        ("POST", "/session/identities/request"),
    ] {
        for (who, expected) in [(ann.as_str(), 400), (admin.as_str(), 403), ("", 401)] {
            let found = installation.send(who, method, path, json!({"nonsense": 1})).await;
            assert_eq!(found.status, expected, "{method} {path} {who}: {found:?}");
        }
    }
    stop(installation).await;
}

#[tokio::test]
async fn rights_name_256_cameras_at_most() {
    let (installation, _provider, ann) = installation().await;
    let (user, _) = installation.invite(&ann, "bob", rights(1), PASSWORD).await;
    let path = format!("/users/{user}");
    for (cameras, expected) in [(256, 200), (257, 422)] {
        let mut invitation = rights(cameras);
        invitation["name"] = "eve".into();
        let invited = installation.send(&ann, "POST", "/invitations", invitation).await;
        assert_eq!(invited.status, expected, "{cameras}: {invited:?}");
        let changed = installation.send(&ann, "PATCH", &path, rights(cameras)).await;
        assert_eq!(changed.status, expected, "{cameras}: {changed:?}");
    }
    stop(installation).await;
}

/// Returns the rights of a viewer on so many entries, each for the same camera.
fn rights(cameras: usize) -> Value {
    let cameras = vec![json!({"camera": "demo", "listen": false}); cameras];
    json!({"role": "viewer", "limited": true, "cameras": cameras})
}

#[tokio::test]
async fn an_admin_of_some_cameras_gives_no_user_another_password() {
    let (installation, _provider, ann) = installation().await;
    let (user, _) = installation.invite(&ann, "bob", rights(1), PASSWORD).await;
    let new = json!({"name": "door", "role": "admin", "cameras": ["demo"]});
    let token = installation.send(&ann, "POST", "/tokens", new).await.json();
    let bearer = format!("Bearer {}", token["token"].as_str().expect("a token"));
    let path = format!("/users/{user}/reset");
    // It could give all that the user has, and invite somebody with that.
    let refused = installation.send(&bearer, "POST", &path, Value::Null).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(installation.send(&ann, "POST", &path, Value::Null).await.status, 200);
    stop(installation).await;
}

#[tokio::test]
async fn an_account_is_linked_to_nobody_but_the_user_who_has_asked_for_it() {
    let (installation, provider, ann) = installation().await;
    let (_, bob) = installation.invite(&ann, "bob", rights(1), PASSWORD).await;
    let again = json!({"name": "ann", "password": PASSWORD});
    let other_browser = cookie(&installation.send("", "POST", "/session", again).await);
    for (what, who, expected) in [
        ("another user", &bob, 403),
        ("another browser of the user", &other_browser, 403),
        ("the browser that has asked", &ann, 204),
    ] {
        let path = "/session/identities/request";
        let begun = installation.send(&ann, "POST", path, json!({"password": PASSWORD})).await;
        let url = begun.json()["url"].as_str().expect("an address").to_owned();
        let account = json!({"sub": "7", "preferred_username": "somebody"});
        let answer = provider.sign_in(&url, account, json!({}));
        let who = format!("{who}; {}", cookie(&begun));
        let found = installation.send(&who, "POST", "/session/provider", answer).await;
        assert_eq!(found.status, expected, "{what}: {found:?}");
    }
    stop(installation).await;
}
