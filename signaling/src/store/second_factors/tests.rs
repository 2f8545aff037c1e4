//! Tests of second factors in the database.

use porthole_signaling_proto::rest::Role;

use super::*;
use crate::admin::{Given, by_operator};

const STEP_S: u64 = 30;

/// Returns the code of a secret, for now and for steps later.
fn code(secret: &[u8], later: u64) -> String {
    format!("{:06}", totp::code_at(secret, unix_s() / STEP_S + later))
}

async fn store_with_ann() -> (tempfile::TempDir, Store, i64, Principal) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let cookie = store.create_user_for_test("ann", Role::Owner).await;
    let own = store.find_cookie(&cookie).await.unwrap().unwrap();
    let ann = store.find_user("ann").await.unwrap().unwrap().id;
    (data, store, ann, own)
}

#[tokio::test]
async fn a_second_factor_counts_once_it_is_confirmed() {
    let (_data, store, ann, own) = store_with_ann().await;
    assert_eq!(store.confirm_second_factor(&own, ann, "123456").await.unwrap(), None);
    let (first, secret) = (totp::new_secret(), totp::new_secret());
    assert!(store.begin_second_factor(&own, ann, &first).await.unwrap());
    assert!(store.begin_second_factor(&own, ann, &secret).await.unwrap(), "the later one counts");
    assert_eq!(store.use_code(ann, "").await.unwrap(), Code::NotNeeded);
    assert!(!store.second_factor(ann).await.unwrap().enrolled);
    for wrong in [code(&first, 0), "000000 ".repeat(2), String::new()] {
        assert_eq!(store.confirm_second_factor(&own, ann, &wrong).await.unwrap(), None, "{wrong}");
    }
    let codes = store.confirm_second_factor(&own, ann, &code(&secret, 0)).await.unwrap().unwrap();
    assert_eq!(codes.len(), RECOVERY_CODES);
    let state = SecondFactor { enrolled: true, recovery_codes: 10 };
    assert_eq!(store.second_factor(ann).await.unwrap(), state);
    assert!(!store.begin_second_factor(&own, ann, &first).await.unwrap(), "it is not replaced");
    store.close().await;
}

#[tokio::test]
async fn each_code_counts_once() {
    let (_data, store, ann, own) = store_with_ann().await;
    let secret = totp::new_secret();
    assert!(store.begin_second_factor(&own, ann, &secret).await.unwrap());
    let first = code(&secret, 0);
    let codes = store.confirm_second_factor(&own, ann, &first).await.unwrap().unwrap();
    let next = code(&secret, 1);
    let typed = codes[0].to_lowercase().replace('-', " ");
    for (code, expected) in [
        (&first, Code::Wrong),
        (&next, Code::Right),
        (&next, Code::Wrong),
        (&codes[0], Code::Right),
        (&typed, Code::Wrong),
        (&codes[1], Code::Right),
        (&String::new(), Code::Wrong),
    ] {
        assert_eq!(store.use_code(ann, code).await.unwrap(), expected, "{code}");
    }
    assert_eq!(store.second_factor(ann).await.unwrap().recovery_codes, 8);
    store.close().await;
}

#[tokio::test]
async fn the_second_factor_of_one_user_says_nothing_of_another() {
    let (_data, store, ann, own_ann) = store_with_ann().await;
    let cookie = store.create_user_for_test("bob", Role::Viewer).await;
    let own_bob = store.find_cookie(&cookie).await.unwrap().unwrap();
    let bob = store.find_user("bob").await.unwrap().unwrap().id;
    let (of_ann, of_bob) = (totp::new_secret(), totp::new_secret());
    assert!(store.begin_second_factor(&own_ann, ann, &of_ann).await.unwrap());
    assert!(store.begin_second_factor(&own_bob, bob, &of_bob).await.unwrap());
    let first = code(&of_ann, 0);
    let codes = store.confirm_second_factor(&own_ann, ann, &first).await.unwrap().unwrap();
    let none = SecondFactor { enrolled: false, recovery_codes: 0 };
    assert_eq!(store.second_factor(bob).await.unwrap(), none, "only begun");
    assert_eq!(store.use_code(bob, &codes[0]).await.unwrap(), Code::NotNeeded);
    let first = code(&of_bob, 0);
    store.confirm_second_factor(&own_bob, bob, &first).await.unwrap().unwrap();
    for foreign in [&codes[0], &code(&of_ann, 1)] {
        assert_eq!(store.use_code(bob, foreign).await.unwrap(), Code::Wrong);
    }
    assert_eq!(store.use_code(ann, &codes[0]).await.unwrap(), Code::Right);
    for (user, recovery_codes) in [(ann, 9), (bob, 10)] {
        let expected = SecondFactor { enrolled: true, recovery_codes };
        assert_eq!(store.second_factor(user).await.unwrap(), expected);
    }
    store.close().await;
}

#[tokio::test]
async fn a_reset_on_the_host_takes_the_second_factor_off() {
    let (_data, store, ann, own) = store_with_ann().await;
    let secret = totp::new_secret();
    let granted = by_operator(porthole_signaling_core::Action::ResetUser).unwrap();
    // The reset comes last, because it signs the user out.
    for on_the_host in [false, true] {
        assert!(store.begin_second_factor(&own, ann, &secret).await.unwrap(), "there is none");
        let earlier = "UPDATE second_factors SET last_step = 0";
        sqlx::query(earlier).execute(&store.write).await.unwrap();
        assert!(store.confirm_second_factor(&own, ann, &code(&secret, 0)).await.unwrap().is_some());
        if on_the_host {
            store.reset_user(&granted, ann, "hash", Given::Kept).await.unwrap().unwrap();
        } else {
            assert!(store.remove_second_factor(&own, ann).await.unwrap());
        }
        assert!(!store.remove_second_factor(granted.principal(), ann).await.unwrap());
        let state = SecondFactor { enrolled: false, recovery_codes: 0 };
        assert_eq!(store.second_factor(ann).await.unwrap(), state);
    }
    store.close().await;
}
