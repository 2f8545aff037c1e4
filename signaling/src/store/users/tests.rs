//! Tests of signing in, as far as the database decides.

use std::net::Ipv4Addr;

use super::*;
use crate::admin::{Given, by_operator};

#[tokio::test]
async fn s2_a_sign_in_that_began_with_the_former_password_comes_to_nothing() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    store.create_user_for_test("ann", Role::Owner).await;
    // The password was right, and is another one before the cookie is made.
    let before = store.find_user("ann").await.unwrap().unwrap();
    let granted = by_operator(porthole_signaling_core::Action::ResetUser).unwrap();
    store.reset_user(&granted, before.id, "another hash", Given::Kept).await.unwrap().unwrap();
    let address = Ipv4Addr::LOCALHOST.into();
    let late = store.create_cookie(&before, Means::Password, address, None).await.unwrap();
    assert_eq!(late, None);
    let after = store.find_user("ann").await.unwrap().unwrap();
    assert!(store.create_cookie(&after, Means::Password, address, None).await.unwrap().is_some());
    store.close().await;
}

#[tokio::test]
async fn s4_a_user_is_signed_in_in_so_many_browsers_at_most_and_the_oldest_makes_room() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let first = store.create_user_for_test("ann", Role::Owner).await;
    let own = store.find_cookie(&first).await.unwrap().unwrap();
    let earlier = "UPDATE browser_sessions SET seen_s = seen_s - 60";
    sqlx::query(earlier).execute(&store.write).await.unwrap();
    let other = store.create_user_for_test("bob", Role::Owner).await;
    let ann = store.find_user("ann").await.unwrap().unwrap();
    let address = Ipv4Addr::LOCALHOST.into();
    for number in 1..=MAX_SIGN_INS {
        assert!(store.find_cookie(&first).await.unwrap().is_some(), "{number}");
        let new = store.create_cookie(&ann, Means::Password, address, None).await.unwrap();
        assert!(store.find_cookie(&new.unwrap()).await.unwrap().is_some());
    }
    assert!(store.find_cookie(&first).await.unwrap().is_none(), "the one that is not used");
    assert_eq!(store.revoked().await.unwrap(), [own.credential()], "what it has started ends");
    assert!(store.find_cookie(&other).await.unwrap().is_some(), "that of another user");
    store.close().await;
}

#[tokio::test]
async fn a_password_is_changed_only_by_those_who_know_the_one_that_is_stored() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let cookie = store.create_user_for_test("ann", Role::Owner).await;
    let own = store.find_cookie(&cookie).await.unwrap().unwrap();
    let before = store.find_user("ann").await.unwrap().unwrap();
    let first = store.change_password(&own, &before, "first").await.unwrap();
    assert!(first.is_some());
    // Another request has compared the former password, and comes to the database later.
    let late = store.change_password(&own, &before, "late").await.unwrap();
    assert!(late.is_none());
    assert_eq!(store.find_user("ann").await.unwrap().unwrap().password_hash, "first");
    store.close().await;
}

#[tokio::test]
async fn a_cookie_counts_under_its_earlier_name_only_if_it_is_from_before() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let old = store.create_user_for_test("ann", Role::Owner).await;
    sqlx::query("UPDATE browser_sessions SET created_s = 0").execute(&store.write).await.unwrap();
    let new = store.create_user_for_test("bob", Role::Owner).await;
    for (cookie, counts) in [(old, true), (new, false), ("unknown".to_owned(), false)] {
        let found = store.find_earlier_cookie(&cookie).await.unwrap();
        assert_eq!(found.is_some(), counts, "{cookie}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_setup_link_makes_one_owner_although_two_requests_have_found_it_valid() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let token = store.create_setup_token().await.unwrap();
    let make = |name| store.create_first_owner(&token, name, "hash", Ipv4Addr::LOCALHOST.into());
    assert!(make("ann").await.unwrap().is_some());
    assert!(make("bob").await.unwrap().is_none());
    assert!(store.find_user("bob").await.unwrap().is_none());
    store.close().await;
}
