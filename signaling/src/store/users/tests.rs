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
