//! Tests that nobody gives more than they have: every way of giving, tried by every kind of caller.

use porthole_signaling_core::{Action, Expiry, Principal, Sender};
use serde_json::{Value, json};

use super::scene::{CALLERS, Scene, named};
use super::{JSON, MAX_BODY_BYTES};

/// The cameras of both gateways, some of which do not exist, as their gateways' names and ids.
const CAMERAS: [(&str, &str); 6] = [
    ("FIRST", "cam"),
    ("FIRST", "cam.sub"),
    ("FIRST", "other"),
    ("FIRST", "later"),
    ("SECOND", "cam"),
    ("SECOND", "other"),
];

/// Returns everything that a principal may do, as words.
fn powers(principal: &Principal) -> Vec<String> {
    let now = crate::driver::now();
    let admit = |action: Action| action.admit(Sender::Principal(principal.clone()), now);
    let list = admit(Action::ListCameras).unwrap();
    let manage = admit(Action::AddCamera).unwrap();
    let mut powers = Vec::new();
    for (gateway, camera) in CAMERAS {
        let gateway = named(gateway).parse().unwrap();
        let permissions = list.permissions(&gateway, &camera.parse().unwrap(), now);
        let Some(permissions) = permissions else { continue };
        powers.push(format!("List {camera}@{gateway}"));
        powers.extend(permissions.iter().map(|may| format!("{may:?} {camera}@{gateway}")));
    }
    for action in [
        Action::ListGateways,
        Action::RemoveGateway,
        Action::CreateClaim,
        Action::ListUsers,
        Action::RemoveUser,
        Action::CreateToken,
        Action::ListShares,
        Action::RevokeShare,
        Action::CreateShare,
        Action::ReadAudit,
    ] {
        powers.extend(admit(action).is_ok().then(|| format!("{action:?}")));
    }
    for gateway in ["FIRST", "SECOND"] {
        let gateway = named(gateway).parse().unwrap();
        let manages = manage.on_gateway(&gateway, now);
        powers.extend(manages.is_ok().then(|| format!("AddCamera {gateway}")));
    }
    powers
}

/// Returns the tokens that are asked for: every role, cameras, permissions, scopes and lifetimes.
fn wishes() -> Vec<Value> {
    let mut wishes = with_scopes();
    for role in ["viewer", "admin"] {
        for cameras in [
            &[][..],
            &["cam@FIRST"],
            &["other@FIRST"],
            &["cam@SECOND"],
            &["other@FIRST", "cam.sub@FIRST"],
        ] {
            let cameras: Vec<_> = cameras.iter().map(|address| named(address)).collect();
            for (control, listen) in [(false, true), (true, false)] {
                for lifetime in [Value::Null, json!(10)] {
                    wishes.push(json!({
                        "name": "n", "role": role, "cameras": cameras, "control": control,
                        "listen": listen, "expiresInSeconds": lifetime,
                    }));
                }
            }
        }
    }
    wishes
}

/// Returns the tokens of admins with scopes that are asked for. Those about the whole server are
/// not for some cameras.
fn with_scopes() -> Vec<Value> {
    const ALL: &[&str] = &[];
    const OTHER: &[&str] = &["other@FIRST"];
    let table: [(&[&str], &[&[&str]]); 7] = [
        (&["watch"], &[ALL, OTHER]),
        (&["people"], &[ALL, OTHER]),
        (&["shares", "watch"], &[ALL, OTHER]),
        (&["read"], &[ALL, OTHER]),
        (&["read", "people"], &[ALL, OTHER]),
        (&["gateways"], &[ALL]),
        (&["audit"], &[ALL]),
    ];
    let mut wishes = Vec::new();
    for (scopes, cameras) in table {
        for cameras in cameras {
            let cameras: Vec<_> = cameras.iter().map(|address| named(address)).collect();
            for lifetime in [Value::Null, json!(10)] {
                wishes.push(json!({
                    "name": "n", "role": "admin", "scopes": scopes, "cameras": cameras,
                    "expiresInSeconds": lifetime,
                }));
            }
        }
    }
    wishes
}

#[tokio::test]
async fn s1_no_request_gives_more_than_its_sender_has() {
    let scene = Scene::new().await;
    let mut given = [0; CALLERS.len()];
    for (caller, name) in CALLERS.iter().enumerate() {
        for wish in wishes() {
            let response =
                scene.send(caller, "POST", "/api/v1/tokens", JSON, wish.to_string()).await;
            if response.status() != 200 {
                continue;
            }
            let body = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES).await.unwrap();
            let made: Value = serde_json::from_slice(&body).unwrap();
            let child = scene.owner_of(made["token"].as_str().unwrap()).await;
            let giver = scene.principal(caller).await.unwrap();
            let own = powers(&giver);
            for power in powers(&child) {
                assert!(own.contains(&power), "{name} gives {power} with {wish}");
            }
            // The user of a cookie can sign in again; a token ends for good.
            let is_user = giver.subject().starts_with("user:");
            assert!(is_user || child.expiry() <= giver.expiry(), "{name}: {wish}");
            given[caller] += 1;
        }
    }
    // A full admin and an owner give everything, the admin of one camera what concerns it, the
    // token about people just that, everybody else nothing.
    let expected = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 18, 64, 0, 64, 0, 0, 0, 0, 0, 0];
    assert_eq!(given[..21], expected);
    assert_eq!(given[21..], [0, 0, 4, 0, 0, 0, 0, 0, 0]);
    scene.end().await;
}

/// Returns the links that are asked for: every combination of cameras, sound and lifetimes.
fn links() -> Vec<Value> {
    let mut wishes = Vec::new();
    for cameras in
        [&["cam@FIRST"][..], &["other@FIRST"], &["cam@SECOND"], &["other@FIRST", "cam.sub@FIRST"]]
    {
        for listen in [false, true] {
            let shared = |address: &&str| json!({"camera": named(address), "listen": listen});
            let cameras: Vec<_> = cameras.iter().map(shared).collect();
            for lifetime in [Value::Null, json!(10)] {
                wishes.push(json!({
                    "name": "n", "cameras": cameras, "expiresInSeconds": lifetime,
                }));
            }
        }
    }
    wishes
}

#[tokio::test]
async fn no_link_shows_more_than_its_sender_may_see() {
    let scene = Scene::new().await;
    let mut given = [0; CALLERS.len()];
    for (caller, name) in CALLERS.iter().enumerate() {
        for wish in links() {
            let response =
                scene.send(caller, "POST", "/api/v1/shares", JSON, wish.to_string()).await;
            if response.status() != 200 {
                continue;
            }
            let body = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES).await.unwrap();
            let made: Value = serde_json::from_slice(&body).unwrap();
            let child = scene.owner_of(made["token"].as_str().unwrap()).await;
            let own = powers(&scene.principal(caller).await.unwrap());
            let powers = powers(&child);
            assert!(powers.iter().all(|power| own.contains(power)), "{name}: {wish}");
            let kinds = ["List ", "Watch ", "Listen "];
            let is_shown = |power: &String| kinds.iter().any(|kind| power.starts_with(kind));
            assert!(powers.iter().all(is_shown), "{name}: {powers:?} with {wish}");
            assert!(child.expiry() < Expiry::Never, "{name}: {wish}");
            given[caller] += 1;
        }
    }
    let expected = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 4, 16, 0, 16, 0, 0, 0, 0, 0, 0];
    assert_eq!(given[..21], expected);
    // The one that shares what it watches.
    assert_eq!(given[21..], [0, 0, 0, 16, 0, 0, 0, 0, 0]);
    scene.end().await;
}

#[tokio::test]
async fn an_admin_for_an_hour_gives_nothing_that_lasts_longer() {
    let scene = Scene::new().await;
    let admin = CALLERS.iter().position(|name| *name == "admin's cookie").unwrap();
    let hour = json!({"name": "hour", "role": "admin", "expiresInSeconds": 1800});
    let made = scene.send(admin, "POST", "/api/v1/tokens", JSON, hour.to_string()).await;
    let body = axum::body::to_bytes(made.into_body(), MAX_BODY_BYTES).await.unwrap();
    let made: Value = serde_json::from_slice(&body).unwrap();
    let hour = scene.owner_of(made["token"].as_str().unwrap()).await;
    let now = crate::driver::now();
    for (lifetime_s, given) in [(Some(3600), false), (None, false), (Some(1700), true)] {
        let new = serde_json::from_value(json!({
            "name": "n", "role": "viewer", "expiresInSeconds": lifetime_s,
        }));
        let admitted = Action::CreateToken.admit(Sender::Principal(hour.clone()), now).unwrap();
        let found = scene.store().create_token(&admitted, &new.unwrap()).await;
        assert_eq!(found.is_ok(), given, "{lifetime_s:?}: {found:?}");
        if let Err(error) = found {
            assert!(error.to_string().contains("your access ends in 1"), "{error}");
        }
    }
    let admitted = Action::CreateClaim.admit(Sender::Principal(hour.clone()), now).unwrap();
    let claim = admitted.give_enrolment(crate::store::CLAIM_LIFETIME, now).unwrap();
    assert_eq!(claim.object().expiry, hour.expiry());
    assert!(hour.expiry() < Expiry::Never);
    scene.end().await;
}
