//! Tests of the rights of users in the database.

use porthole_signaling_core::{Action, Principal, Sender};
use serde_json::json;

use super::super::OfUsers;
use super::*;
use crate::admin::{by_operator, operator};

async fn store() -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    (data, store)
}

/// The two proofs that a principal needs to change a user.
fn proofs(of: &Principal) -> (Granted<Everything>, Admitted) {
    let admit = |action: Action| action.admit(Sender::Principal(of.clone()), now()).unwrap();
    (admit(Action::ChangeUser).everything(now()).unwrap(), admit(Action::InvitePerson))
}

fn access(role: &str) -> UserAccess {
    serde_json::from_value(json!({"role": role, "limited": false})).unwrap()
}

async fn owner_and_others(store: &Store) -> [(i64, Principal); 3] {
    let mut users = Vec::new();
    for (name, role) in [("ann", Role::Owner), ("bob", Role::Admin), ("cid", Role::Viewer)] {
        let cookie = store.create_user_for_test(name, role).await;
        let principal = store.find_cookie(&cookie).await.unwrap().unwrap();
        users.push((store.find_user(name).await.unwrap().unwrap().id, principal));
    }
    users.try_into().unwrap()
}

#[tokio::test]
async fn only_owners_make_change_and_remove_owners_and_the_last_one_stays() {
    let (_data, store) = store().await;
    let [(ann, owner), (bob, admin), (cid, _)] = owner_and_others(&store).await;
    type Case<'a> = (&'a Principal, i64, Option<&'a str>, &'a str);
    // Who asks, about whom, for which role (`None` to remove), and what the answer contains.
    let table: [Case<'_>; 11] = [
        (&admin, ann, Some("viewer"), "only an owner"),
        (&admin, ann, Some("owner"), "only an owner"),
        (&admin, ann, None, "only an owner"),
        (&admin, bob, Some("owner"), "does not include owning"),
        (&admin, cid, Some("owner"), "does not include owning"),
        (&owner, ann, Some("admin"), "the last owner"),
        (&owner, ann, None, "the last owner"),
        (&admin, cid, Some("admin"), ""),
        (&owner, cid, Some("owner"), ""),
        (&owner, ann, Some("admin"), ""),
        (&admin, 99, Some("admin"), "nobody"),
    ];
    for (sender, user, role, expected) in table {
        let (granted, giver) = proofs(sender);
        let found = match role {
            Some(role) => store.change_user(&granted, &giver, user, &access(role)).await,
            None => store.remove_user(&granted, user).await,
        };
        let answer = match found {
            Ok(Some(_)) => String::new(),
            Ok(None) => "nobody".to_owned(),
            Err(error) => error.to_string(),
        };
        let is_expected =
            if expected.is_empty() { answer.is_empty() } else { answer.contains(expected) };
        assert!(is_expected, "{} about {user}, {role:?}: {answer}", sender.name());
    }
    store.close().await;
}

#[tokio::test]
async fn other_rights_rename_the_credential_and_keep_the_cookie() {
    let (_data, store) = store().await;
    let owner = operator(Action::InvitePerson).unwrap();
    let granted = by_operator(Action::ChangeUser).unwrap();
    let cookie = store.create_user_for_test("cid", Role::Viewer).await;
    let before = store.find_cookie(&cookie).await.unwrap().unwrap();
    let cid = store.find_user("cid").await.unwrap().unwrap().id;
    let none = serde_json::from_value(json!({"role": "viewer", "limited": true})).unwrap();
    let removal = store.change_user(&granted, &owner, cid, &none).await.unwrap().unwrap();
    assert_eq!(removal.credentials, [format!("changed:{}", before.credential())]);
    assert_eq!(store.revoked().await.unwrap(), removal.credentials, "for other programs, too");
    let after = store.find_cookie(&cookie).await.unwrap().unwrap();
    assert_ne!(after.credential(), before.credential());
    assert_eq!(after.subject(), before.subject());
    let sign_ins = store.sign_ins(OfUsers::One(cid), after.credential()).await.unwrap();
    assert!(sign_ins.len() == 1 && sign_ins[0].current);
    let listed = store.users(&by_operator(Action::ListUsers).unwrap()).await.unwrap();
    assert_eq!((listed[0].access.limited, listed[0].access.cameras.len()), (true, 0));

    let again = store.change_user(&granted, &owner, cid, &none).await.unwrap().unwrap();
    assert!(again.credentials.is_empty(), "nothing has changed, so nothing ends");
    let admin = json!({"role": "admin", "limited": true});
    let admin = serde_json::from_value(admin).unwrap();
    let refused = store.change_user(&granted, &owner, cid, &admin).await.unwrap_err();
    assert!(matches!(refused, UserError::LimitedAdmin), "{refused}");
    assert_eq!(store.delete_cookie(&cookie).await.unwrap().as_deref(), Some(after.credential()));
    store.close().await;
}

#[tokio::test]
async fn an_admin_who_becomes_a_viewer_loses_what_it_has_given() {
    let (_data, store) = store().await;
    let [(ann, owner), (bob, admin), _] = owner_and_others(&store).await;
    let giver = Action::CreateToken.admit(Sender::Principal(admin.clone()), now()).unwrap();
    let new = serde_json::from_value(json!({"name": "t", "role": "admin"})).unwrap();
    store.create_token(&giver, &new).await.unwrap();
    let owners = serde_json::from_value(json!({"name": "t", "role": "owner"})).unwrap();
    let refused = store.create_token(&operator(Action::CreateToken).unwrap(), &owners).await;
    assert!(matches!(refused, Err(TokenError::Owner)), "{refused:?}");
    let (granted, owner) = proofs(&owner);
    let removal = store.change_user(&granted, &owner, bob, &access("viewer")).await.unwrap();
    let removal = removal.unwrap();
    assert_eq!(removal.removed.tokens, 1);
    assert_eq!(removal.credentials.len(), 2, "the token's and the cookie's");
    let log = store.audit(&by_operator(Action::ReadAudit).unwrap(), None).await.unwrap();
    let object = log[0].object.as_deref();
    assert_eq!(object, Some("bob (from admin to viewer; ended with it: 1 access token)"));
    // What was authenticated before has no effect after.
    let (granted, late) = proofs(&admin);
    let late = store.change_user(&granted, &late, bob, &access("admin")).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(role_of_user(&store.read, ann).await.unwrap(), Some(Role::Owner));
    assert_eq!(role_of_user(&store.read, bob).await.unwrap(), Some(Role::Viewer));
    store.close().await;
}

#[test]
fn the_log_has_the_roles_before_and_after_and_what_has_ended() {
    let ended = Removed { tokens: 2, shares: 1, ..Removed::default() };
    let none = Removed::default();
    for (old, new, removed, expected) in [
        (Role::Viewer, Role::Viewer, none, "bob"),
        (Role::Viewer, Role::Admin, none, "bob (from viewer to admin)"),
        (
            Role::Owner,
            Role::Viewer,
            ended,
            "bob (from owner to viewer; ended with it: 2 access tokens, 1 share link)",
        ),
    ] {
        assert_eq!(with_change("bob", (old, new), &removed), expected);
    }
}
