//! Tests of accounts at a provider in the database.

use std::net::Ipv4Addr;

use porthole_signaling_proto::rest::Role;

use super::*;
use crate::store::Means;

/// Creates an owner, and returns its number and principal.
async fn owner(store: &Store, name: &str) -> (i64, Principal) {
    let cookie = store.create_user_for_test(name, Role::Owner).await;
    let own = store.find_cookie(&cookie).await.unwrap().unwrap();
    (store.find_user(name).await.unwrap().unwrap().id, own)
}

fn account(issuer: &str, subject: &str) -> Account {
    let [issuer, subject, name] = [issuer, subject, "name"].map(str::to_owned);
    Account { issuer, subject, name }
}

#[tokio::test]
async fn an_account_is_known_by_its_provider_and_its_id_there() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let (ann, own_ann) = owner(&store, "ann").await;
    let (bob, own_bob) = owner(&store, "bob").await;
    for (own, user, account, expected) in [
        (&own_ann, ann, account("https://a.example", "7"), Linking::Linked),
        (&own_bob, bob, account("https://b.example", "7"), Linking::Linked),
        (&own_bob, bob, account("https://a.example", "8"), Linking::Linked),
        (&own_bob, bob, account("https://a.example", "7"), Linking::Taken),
    ] {
        assert_eq!(store.add_identity(own, user, &account).await.unwrap(), expected);
    }
    for (issuer, subject, expected) in [
        ("https://a.example", "7", Some("ann")),
        ("https://b.example", "7", Some("bob")),
        ("https://a.example", "8", Some("bob")),
        ("https://b.example", "8", None),
    ] {
        let found = store.use_identity(&account(issuer, subject)).await.unwrap();
        let found = found.map(|(user, _)| user.name);
        assert_eq!(found.as_deref(), expected, "{issuer} {subject}");
    }
    store.close().await;
}

#[tokio::test]
async fn one_account_is_unlinked_and_the_only_way_in_stays() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let (ann, own_ann) = owner(&store, "ann").await;
    for subject in ["1", "2"] {
        let account = account("https://a.example", subject);
        let linked = store.add_identity(&own_ann, ann, &account).await.unwrap();
        assert_eq!(linked, Linking::Linked);
    }
    // Somebody who has no password.
    let viewer = Membership::of_role(Role::Viewer);
    let here = Ipv4Addr::LOCALHOST.into();
    let account = account("https://a.example", "3");
    let joined = store.join_with_identity(&account, &viewer, here).await.unwrap();
    let Acceptance::Joined(bob, Means::Identity(only)) = joined else {
        panic!("nobody has the name")
    };
    let refused = store.remove_identity(&own_ann, bob.id, only).await.unwrap();
    assert!(matches!(refused, Unlinking::LastWay), "{refused:?}");

    let first = store.identities(ann).await.unwrap()[0].id;
    let foreign = store.remove_identity(&own_ann, bob.id, first).await.unwrap();
    assert!(matches!(foreign, Unlinking::Unknown), "{foreign:?}");
    // The users of tests have no password either, so the last of theirs would stay, too.
    let removed = store.remove_identity(&own_ann, ann, first).await.unwrap();
    assert!(matches!(removed, Unlinking::Unlinked(_)), "{removed:?}");
    let left = store.identities(ann).await.unwrap();
    assert_eq!(left.len(), 1, "only the one that was meant: {left:?}");
    assert_ne!(left[0].id, first);
    assert_eq!(store.identities(bob.id).await.unwrap().len(), 1);
    store.close().await;
}
