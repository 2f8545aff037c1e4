//! Tests of invitations in the database.

use porthole_signaling_core::{Action, Principal, Sender};
use serde_json::json;

use super::super::people::role_of_user;
use super::*;
use crate::admin::{by_operator, operator};

/// The address of those who accept.
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// The means with which they will sign in.
const HASH: Entry<'_> = Entry::Password("hash");

async fn store() -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    (data, store)
}

fn new(role: &str) -> NewInvitation {
    serde_json::from_value(json!({"name": "Dan", "role": role, "limited": false})).unwrap()
}

/// Creates a user and returns its number and its proof that it may invite.
async fn giver(store: &Store, name: &str, role: Role) -> (i64, Admitted) {
    let cookie = store.create_user_for_test(name, role).await;
    let principal = store.find_cookie(&cookie).await.unwrap().unwrap();
    (store.find_user(name).await.unwrap().unwrap().id, admitted(principal))
}

fn admitted(principal: Principal) -> Admitted {
    Action::InvitePerson.admit(Sender::Principal(principal), now()).unwrap()
}

#[tokio::test]
async fn a_link_makes_one_user_with_the_rights_that_it_was_made_for() {
    let (_data, store) = store().await;
    let (_, ann) = giver(&store, "ann", Role::Owner).await;
    for (role, expected) in
        [("viewer", Role::Viewer), ("admin", Role::Admin), ("owner", Role::Owner)]
    {
        let link = store.create_invitation(&ann, &new(role)).await.unwrap();
        assert_eq!(link.path, format!("/invitation#t={}", link.token));
        let offer = store.read_invitation(&link.token).await.unwrap().unwrap();
        assert_eq!((offer.name.as_str(), offer.role, offer.reset), ("Dan", expected, false));
        let taken = store.accept_invitation(&link.token, "ANN", HASH, HERE).await.unwrap();
        assert!(matches!(taken, Acceptance::NameTaken), "{taken:?}");
        let joined = store.accept_invitation(&link.token, role, HASH, HERE).await.unwrap();
        let Acceptance::Joined(user, _) = joined else { panic!("{joined:?}") };
        assert_eq!((user.name.as_str(), user.role), (role, expected));
        assert_eq!(role_of_user(&store.read, user.id).await.unwrap(), Some(expected));
        let again = store.accept_invitation(&link.token, "eve", HASH, HERE).await.unwrap();
        assert!(matches!(again, Acceptance::Unknown), "it is used up: {again:?}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_link_ends_with_its_time_its_revocation_and_the_rights_of_its_giver() {
    let (_data, store) = store().await;
    giver(&store, "ann", Role::Owner).await;
    let operator = operator(Action::InvitePerson).unwrap();
    let granted = by_operator(Action::ChangeUser).unwrap();
    for way in ["time", "revoked", "giver removed", "giver a viewer", "giver no owner"] {
        let (bob, giver) = giver(&store, "bob", Role::Owner).await;
        let lifetime = if way == "time" { 0 } else { 60 };
        let new = NewInvitation { expires_in_seconds: Some(lifetime), ..new("owner") };
        let link = store.create_invitation(&giver, &new).await.unwrap();
        let as_role = async |role: &str| {
            let access = json!({"role": role, "limited": false});
            let access = serde_json::from_value(access).unwrap();
            store.change_user(&granted, &operator, bob, &access).await.unwrap().unwrap()
        };
        let removed = match way {
            "time" => 1,
            "revoked" => {
                let listed = store.invitations(&granted).await.unwrap();
                assert_eq!(listed[0].giver.as_deref(), Some("bob"), "{listed:?}");
                let removal = store.remove_invitation(&granted, listed[0].id).await.unwrap();
                removal.unwrap().removed.invitations
            }
            "giver a viewer" => as_role("viewer").await.removed.invitations,
            "giver no owner" => as_role("admin").await.removed.invitations,
            _ => store.remove_user(&granted, bob).await.unwrap().unwrap().removed.invitations,
        };
        assert_eq!(removed, 1, "{way}");
        assert!(store.read_invitation(&link.token).await.unwrap().is_none(), "{way}");
        let late = store.accept_invitation(&link.token, "eve", HASH, HERE).await.unwrap();
        assert!(matches!(late, Acceptance::Unknown), "{way}: {late:?}");
        let _gone = store.remove_user(&granted, bob).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn an_owner_who_becomes_an_admin_makes_no_owners_with_links_of_before() {
    let (_data, store) = store().await;
    let (_, ann) = giver(&store, "ann", Role::Owner).await;
    let (number, bob) = giver(&store, "bob", Role::Owner).await;
    let of_ann = store.create_invitation(&ann, &new("owner")).await.unwrap();
    let viewer = store.create_invitation(&bob, &new("viewer")).await.unwrap();
    let owner = store.create_invitation(&bob, &new("owner")).await.unwrap();
    let granted = by_operator(Action::ChangeUser).unwrap();
    let access = serde_json::from_value(json!({"role": "admin", "limited": false})).unwrap();
    let operator = operator(Action::InvitePerson).unwrap();
    let removal = store.change_user(&granted, &operator, number, &access).await.unwrap().unwrap();
    assert_eq!(removal.removed.invitations, 1);
    for (whose, link, stays) in
        [("of another owner", of_ann, true), ("a viewer", viewer, true), ("an owner", owner, false)]
    {
        let found = store.read_invitation(&link.token).await.unwrap();
        assert_eq!(found.is_some(), stays, "{whose}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_link_for_a_password_is_for_those_who_have_what_the_user_has() {
    let (_data, store) = store().await;
    let (ann, owner) = giver(&store, "ann", Role::Owner).await;
    let (bob, admin) = giver(&store, "bob", Role::Admin).await;
    let refused = store.create_reset(&admin, ann).await.unwrap_err();
    assert!(refused.to_string().contains("does not include owning"), "{refused}");
    assert!(store.create_reset(&owner, 99).await.unwrap().is_none());

    let first = store.create_reset(&owner, bob).await.unwrap().unwrap();
    let link = store.create_reset(&owner, bob).await.unwrap().unwrap();
    assert!(store.read_invitation(&first.token).await.unwrap().is_none(), "one for each user");
    let offer = store.read_invitation(&link.token).await.unwrap().unwrap();
    assert_eq!((offer.name.as_str(), offer.role, offer.reset), ("bob", Role::Admin, true));
    let secret = crate::totp::new_secret();
    assert!(
        store.begin_second_factor(admin.principal().unwrap(), bob, &secret).await.unwrap(),
        "somebody has the password"
    );
    let reset = store
        .accept_invitation(&link.token, "ignored", Entry::Password("new"), HERE)
        .await
        .unwrap();
    let Acceptance::Reset(user, removal) = reset else { panic!("{reset:?}") };
    assert_eq!((user.name.as_str(), removal.removed.sign_ins), ("bob", 1));
    assert_eq!(store.find_user("bob").await.unwrap().unwrap().password_hash, "new");
    let begun = sqlx::query("SELECT 1 FROM second_factors").fetch_optional(&store.read).await;
    assert!(begun.unwrap().is_none(), "the secret that somebody else knows is gone");

    // Whoever has a link for a user must not get what the user is given later.
    let link = store.create_reset(&owner, bob).await.unwrap().unwrap();
    let granted = by_operator(Action::ChangeUser).unwrap();
    let access = serde_json::from_value(json!({"role": "owner", "limited": false})).unwrap();
    store.change_user(&granted, &owner, bob, &access).await.unwrap();
    assert!(store.read_invitation(&link.token).await.unwrap().is_none());
    store.close().await;
}

#[tokio::test]
async fn a_token_that_ends_invites_nobody() {
    let (_data, store) = store().await;
    let token = operator(Action::CreateToken).unwrap();
    let hour = json!({"name": "t", "role": "admin", "expiresInSeconds": 3600});
    let hour = serde_json::from_value(hour).unwrap();
    let hour = store.create_token(&token, &hour).await.unwrap().token;
    let super::super::TokenLookup::Valid(hour) = store.find_token(&hour).await.unwrap() else {
        panic!("it was created just now")
    };
    let nothing = json!({"name": "n", "role": "viewer", "limited": true, "cameras": []});
    let nothing: NewInvitation = serde_json::from_value(nothing).unwrap();
    for invitation in [&new("viewer"), &nothing] {
        let hour = admitted(hour.clone());
        let refused = store.create_invitation(&hour, invitation).await.unwrap_err();
        assert!(refused.to_string().contains("your access ends in"), "{refused}");
    }
    store.close().await;
}

/// Creates the token of an admin with the scope `people`.
async fn token(store: &Store, giver: &Admitted) -> Principal {
    let new = json!({"name": "t", "role": "admin", "scopes": ["people"]});
    let new = serde_json::from_value(new).unwrap();
    let token = store.create_token(giver, &new).await.unwrap().token;
    let super::super::TokenLookup::Valid(token) = store.find_token(&token).await.unwrap() else {
        panic!("it was created just now")
    };
    token
}

/// Invites viewers of nothing until that is refused. Returns how many.
async fn fill(store: &Store, giver: &Admitted) -> i64 {
    let nothing = json!({"name": "n", "role": "viewer", "limited": true, "cameras": []});
    let nothing: NewInvitation = serde_json::from_value(nothing).unwrap();
    for fitting in 0..=MAX_INVITATIONS {
        let Err(full) = store.create_invitation(giver, &nothing).await else { continue };
        let text = full.to_string();
        assert!(text.contains("64 invitations of one user or token wait"), "{text}");
        return fitting;
    }
    panic!("there is no bound")
}

#[tokio::test]
async fn s4_invitations_are_64_of_each_giver_with_its_tokens_and_256_in_all() {
    let (_data, store) = store().await;
    let host = operator(Action::CreateToken).unwrap();
    let first = token(&store, &host).await;
    let gives = Action::CreateToken.admit(Sender::Principal(first.clone()), now()).unwrap();
    let child = admitted(token(&store, &gives).await);
    let (first, other) = (admitted(first), admitted(token(&store, &host).await));
    let (_, ann) = giver(&store, "ann", Role::Owner).await;
    let (bob, of_bob) = giver(&store, "bob", Role::Admin).await;
    store.create_user_for_test("cid", Role::Viewer).await;
    let cid = store.find_user("cid").await.unwrap().unwrap().id;
    for _ in 0..2 {
        // The second one takes the place of the first.
        store.create_reset(&ann, bob).await.unwrap().unwrap();
    }
    for (whose, giver, expected) in [
        ("a token with a scope", &first, 64),
        ("the one that it has given", &child, 0),
        ("another token", &other, 64),
        ("a user with a link for a password", &ann, 63),
        ("the host", &operator(Action::InvitePerson).unwrap(), 64),
        ("another user", &of_bob, 0),
    ] {
        assert_eq!(fill(&store, giver).await, expected, "{whose}");
    }
    let reset = store.create_reset(&ann, cid).await;
    assert!(matches!(reset, Err(UserError::TooManyInvitations)), "{reset:?}");
    // Those that have expired make room, and count as before for all of a chain.
    let query = "UPDATE invitations SET expires_s = 1 WHERE giver = ?";
    let query = sqlx::query(query).bind(first.principal().unwrap().subject());
    query.execute(&store.write).await.unwrap();
    let again = [fill(&store, &child).await, fill(&store, &first).await];
    assert_eq!(again, [64, 0]);
    store.close().await;
}
