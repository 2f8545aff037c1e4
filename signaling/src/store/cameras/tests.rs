//! Tests of the end of rights to a camera in the database.

use porthole_signaling_core::Action;
use porthole_signaling_proto::rest::{NewInvitation, NewShare, NewToken, Role, UserAccess};
use serde_json::{Value, json};

use super::*;
use crate::admin::{by_operator, operator};

const GATEWAY: &str = "gw-a";

async fn store() -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let mut write = store.begin().await.unwrap();
    for id in [GATEWAY, "gw-b"] {
        let query =
            "INSERT INTO gateways (id, name, public_key, created_s) VALUES (?, 'A', x'', 0)";
        sqlx::query(query).bind(id).execute(write.db()).await.unwrap();
    }
    write.commit().await.unwrap();
    (data, store)
}

fn addresses(cameras: &[&str]) -> Vec<Value> {
    cameras.iter().map(|address| json!({"camera": address})).collect()
}

/// Gives all four kinds of rights to these cameras: to a user, with a token, with an invitation and
/// with a link.
async fn give(store: &Store, name: &str, cameras: &[&str]) {
    store.create_user_for_test(name, Role::Viewer).await;
    let user = store.find_user(name).await.unwrap().unwrap().id;
    let access = json!({"role": "viewer", "limited": true, "cameras": addresses(cameras)});
    let access: UserAccess = serde_json::from_value(access).unwrap();
    let granted = by_operator(Action::ChangeUser).unwrap();
    let admitted = operator(Action::InvitePerson).unwrap();
    store.change_user(&granted, &admitted, user, &access).await.unwrap().unwrap();

    let new = json!({"name": name, "role": "viewer", "cameras": cameras});
    let new: NewToken = serde_json::from_value(new).unwrap();
    store.create_token(&operator(Action::CreateToken).unwrap(), &new).await.unwrap();

    let new = NewInvitation { name: name.to_owned(), access, expires_in_seconds: None };
    let admitted = operator(Action::InvitePerson).unwrap();
    store.create_invitation(&admitted, &new).await.unwrap();

    let new = json!({"name": name, "cameras": addresses(cameras)});
    let new: NewShare = serde_json::from_value(new).unwrap();
    store.create_share(&operator(Action::CreateShare).unwrap(), &new, None).await.unwrap();
}

/// Returns the cameras that each owner of rights has; those that are gone are missing.
async fn left(store: &Store) -> Value {
    let granted = by_operator(Action::ListUsers).unwrap();
    let mut left = json!({});
    for user in store.users(&granted).await.unwrap() {
        assert!(user.access.limited, "never all cameras");
        let cameras: Vec<_> =
            user.access.cameras.iter().map(|one| one.camera.to_string()).collect();
        left[format!("user {}", user.name)] = json!(cameras);
    }
    for token in store.tokens(&granted).await.unwrap() {
        assert!(token.limited, "never all cameras");
        let cameras: Vec<_> = token.cameras.iter().map(ToString::to_string).collect();
        left[format!("token {}", token.name)] = json!(cameras);
    }
    for invitation in store.invitations(&granted).await.unwrap() {
        assert!(invitation.access.limited, "never all cameras");
        let cameras = invitation.access.cameras.iter();
        let cameras: Vec<_> = cameras.map(|one| one.camera.to_string()).collect();
        left[format!("invitation {}", invitation.name)] = json!(cameras);
    }
    for share in store.shares(&granted).await.unwrap() {
        let cameras: Vec<_> = share.cameras.iter().map(|one| one.camera.to_string()).collect();
        left[format!("share {}", share.name)] = json!(cameras);
    }
    left
}

#[tokio::test]
async fn with_a_camera_goes_every_right_to_it_and_to_no_other() {
    let end = |number: usize| match number {
        0 => RightsEnd::Removing,
        1 => RightsEnd::Removed(Removed::default()),
        _ => RightsEnd::Released,
    };
    for number in 0..3 {
        let (_data, store) = store().await;
        give(&store, "one", &["door@gw-a"]).await;
        give(&store, "sub", &["door.sub@gw-a"]).await;
        give(&store, "two", &["door@gw-a", "yard@gw-a"]).await;
        give(&store, "other", &["door@gw-b", "door2@gw-a"]).await;
        let before = left(&store).await;
        let granted = by_operator(Action::RemoveGateway).unwrap();
        let (gateway, door) = (GATEWAY.parse().unwrap(), "door".parse().unwrap());
        let removal = store.take_rights(&granted, &gateway, &door, end(number)).await.unwrap();
        let expected = Removed {
            grants: 12,
            tokens: 2,
            invitations: 2,
            shares: 2,
            cameras: u32::from(number == 0),
            ..Removed::default()
        };
        assert_eq!(removal.removed, expected);
        let mut expected = before.clone();
        for kind in ["token", "invitation", "share"] {
            for name in ["one", "sub"] {
                expected.as_object_mut().unwrap().remove(&format!("{kind} {name}"));
            }
            expected[format!("{kind} two")] = json!(["yard@gw-a"]);
        }
        expected["user one"] = json!([]);
        expected["user sub"] = json!([]);
        expected["user two"] = json!(["yard@gw-a"]);
        assert_eq!(left(&store).await, expected);
        let mut ended = removal.credentials;
        ended.sort();
        assert_eq!(ended, ["share:1", "share:2", "token:1", "token:2"]);

        let log = store.audit(&by_operator(Action::ReadAudit).unwrap(), None).await.unwrap();
        let kinds =
            [AuditKind::CameraRightsEnded, AuditKind::CameraRemoved, AuditKind::CameraReleased];
        let kind = kinds[number];
        let went = "12 rights, 2 access tokens, 2 invitations, 2 share links";
        let object = format!("door (A, gw-a), with {went}");
        assert_eq!((log[0].kind, log[0].object.as_deref()), (kind, Some(object.as_str())));
        assert_eq!(log[0].actor.as_deref(), Some("operator"));

        let again = store.take_rights(&granted, &gateway, &door, end(number)).await.unwrap();
        let expected = Removed { cameras: u32::from(number == 0), ..Removed::default() };
        assert_eq!(again.removed, expected, "there is nothing left");
        store.close().await;
    }
}

#[tokio::test]
async fn a_link_for_a_new_password_outlives_the_camera_of_its_user() {
    let (_data, store) = store().await;
    give(&store, "bob", &["door@gw-a"]).await;
    let user = store.find_user("bob").await.unwrap().unwrap().id;
    let granted = by_operator(Action::ResetUser).unwrap();
    let admitted = operator(Action::InvitePerson).unwrap();
    let link = store.create_reset(&admitted, user).await.unwrap();
    let (gateway, door) = (GATEWAY.parse().unwrap(), "door".parse().unwrap());
    store.take_rights(&granted, &gateway, &door, RightsEnd::Removing).await.unwrap();
    let invitations = store.invitations(&granted).await.unwrap();
    assert_eq!(invitations.len(), 1, "{link:?}");
    assert!(invitations[0].access.limited && invitations[0].access.cameras.is_empty());
    store.close().await;
}

#[tokio::test]
async fn a_camera_with_the_id_of_one_that_was_removed_keeps_its_rights_if_it_was_there_before() {
    let (_data, store) = store().await;
    give(&store, "one", &["door@gw-a"]).await;
    let before = left(&store).await;
    let granted = by_operator(Action::RemoveGateway).unwrap();
    let (gateway, door) = (GATEWAY.parse().unwrap(), "door".parse().unwrap());
    let removal = store.take_rights(&granted, &gateway, &door, RightsEnd::Hidden).await.unwrap();
    assert_eq!(removal.removed, Removed { cameras: 1, ..Removed::default() });
    assert_eq!(left(&store).await, before);
    let log = store.audit(&by_operator(Action::ReadAudit).unwrap(), None).await.unwrap();
    let line = (log[0].kind, log[0].object.as_deref());
    assert_eq!(line, (AuditKind::CameraRemoved, Some("door (A, gw-a)")));
    store.close().await;
}
