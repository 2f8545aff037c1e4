//! Tests of shares in the database.

use porthole_signaling_core::{Action, Expiry, Sender};
use porthole_signaling_proto::rest::Role;
use serde_json::json;

use super::*;
use crate::admin::{by_operator, operator};

const GATEWAY: &str = "gw-a";

async fn store() -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let mut write = store.begin().await.unwrap();
    let query = "INSERT INTO gateways (id, name, public_key, created_s) VALUES (?, 'A', x'00', 0)";
    sqlx::query(query).bind(GATEWAY).execute(write.db()).await.unwrap();
    write.commit().await.unwrap();
    (data, store)
}

fn new(cameras: &[&str], lifetime_s: Option<u32>) -> NewShare {
    let camera = |id: &&str| json!({"camera": format!("{id}@{GATEWAY}")});
    let cameras: Vec<_> = cameras.iter().map(camera).collect();
    let new = json!({"name": "yard", "cameras": cameras, "expiresInSeconds": lifetime_s});
    serde_json::from_value(new).unwrap()
}

/// Creates a user and returns its number and its proof that it may share.
async fn giver(store: &Store, name: &str) -> (i64, Admitted) {
    let cookie = store.create_user_for_test(name, Role::Admin).await;
    let principal = store.find_cookie(&cookie).await.unwrap().unwrap();
    let admitted = Action::CreateShare.admit(Sender::Principal(principal), now()).unwrap();
    (store.find_user(name).await.unwrap().unwrap().id, admitted)
}

async fn lookup(store: &Store, token: &str) -> TokenLookup {
    store.find_token(token).await.unwrap()
}

#[tokio::test]
async fn a_link_lasts_a_day_or_as_long_as_its_giver_says_and_a_year_at_most() {
    let (_data, store) = store().await;
    let operator = operator(Action::CreateShare).unwrap();
    for (lifetime_s, expected) in
        [(None, 86_400), (Some(90), 90), (Some(u32::MAX), 365 * 86_400), (Some(0), 0)]
    {
        let link = store.create_share(&operator, &new(&["cam"], lifetime_s), None).await.unwrap();
        assert_eq!(link.expires_in_seconds, expected);
        assert_eq!(link.path, format!("/share#t={}", link.token));
        let found = lookup(&store, &link.token).await;
        match found {
            TokenLookup::Valid(principal) => {
                let Expiry::At(end_s) = principal.expiry() else { panic!("it ends") };
                let left_s = end_s - unix_s();
                assert!(left_s <= expected.into() && left_s + 5 > expected.into(), "{left_s}");
            }
            TokenLookup::Expired | TokenLookup::Locked | TokenLookup::Unknown => {
                assert_eq!(expected, 0, "{found:?}");
            }
        }
    }
    store.close().await;
}

#[tokio::test]
async fn a_link_ends_with_its_revocation_and_with_the_rights_of_its_giver() {
    let (_data, store) = store().await;
    let operator = operator(Action::InvitePerson).unwrap();
    let granted = by_operator(Action::ChangeUser).unwrap();
    store.create_user_for_test("ann", Role::Owner).await;
    for way in ["revoked", "giver removed", "giver a viewer", "gateway removed"] {
        let (bob, giver) = giver(&store, "bob").await;
        let link = store.create_share(&giver, &new(&["cam"], None), None).await.unwrap();
        let listed = store.shares(&granted).await.unwrap();
        assert_eq!(listed[0].giver.as_deref(), Some("bob"), "{listed:?}");
        let credential = format!("share:{}", listed[0].id);
        let named = [credential.clone()].into();
        assert!(store.without_existing(&named).await.unwrap().is_empty(), "{way}");
        let removal = match way {
            "revoked" => store.remove_share(&granted, listed[0].id).await.unwrap(),
            "giver a viewer" => {
                let access = json!({"role": "viewer", "limited": false});
                let access = serde_json::from_value(access).unwrap();
                store.change_user(&granted, &operator, bob, &access).await.unwrap()
            }
            "giver removed" => store.remove_user(&granted, bob).await.unwrap(),
            _ => {
                let gateway = GATEWAY.parse().unwrap();
                store.remove_gateway(&granted, &gateway).await.unwrap()
            }
        };
        let removal = removal.unwrap();
        assert_eq!(removal.removed.shares, 1, "{way}");
        assert!(removal.credentials.contains(&credential), "{way}: {removal:?}");
        assert!(store.revoked().await.unwrap().contains(&credential), "{way}");
        let gone = store.without_existing(&named).await.unwrap();
        assert_eq!(gone, [credential], "{way}: a session that goes on after a restart");
        assert!(matches!(lookup(&store, &link.token).await, TokenLookup::Unknown), "{way}");
        let _gone = store.remove_user(&granted, bob).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn a_link_with_a_password_gives_nothing_without_the_proof_of_it() {
    let (_data, store) = store().await;
    let operator = operator(Action::CreateShare).unwrap();
    for (kiosk, lifetime_s, proof_s) in
        [(false, 60, 60), (false, 200_000, 86_400), (true, 200_000, 200_000)]
    {
        let new = NewShare { kiosk, ..new(&["cam"], Some(lifetime_s)) };
        let link = store.create_share(&operator, &new, Some("hash")).await.unwrap();
        let token = ShareToken::parse(&link.token).unwrap();
        let share = store.share_of(&token).await.unwrap().unwrap();
        let left_s = share.proof_end_s() - unix_s();
        assert!(left_s <= proof_s && left_s + 5 > proof_s, "{kiosk} {left_s}");
        let proved = token.proved("hash", share.proof_end_s());
        for (token, expected) in [
            (link.token.clone(), "Locked"),
            (token.proved("another hash", unix_s() + 60), "Locked"),
            (token.proved("hash", unix_s()), "Expired"),
            (proved, "Valid"),
        ] {
            let found = format!("{:?}", lookup(&store, &token).await);
            assert!(found.starts_with(expected), "{found}");
        }
    }
    store.close().await;
}

#[tokio::test]
async fn links_and_their_cameras_are_bounded() {
    let (_data, store) = store().await;
    let operator = operator(Action::CreateShare).unwrap();
    let ids: Vec<_> = (0..17).map(|number| format!("cam{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    for (cameras, is_made) in [(&ids[..0], false), (&ids[..16], true), (&ids[..], false)] {
        let made = store.create_share(&operator, &new(cameras, Some(0)), None).await;
        assert_eq!(made.is_ok(), is_made, "{made:?}");
    }
    let (_, bob) = giver(&store, "bob").await;
    for _ in 0..MAX_OF_GIVER {
        store.create_share(&bob, &new(&["cam"], None), None).await.unwrap();
    }
    let full = store.create_share(&bob, &new(&["cam"], None), None).await.unwrap_err();
    assert!(matches!(full, ShareError::TooMany), "{full}");
    for number in MAX_OF_GIVER..MAX_SHARES {
        let (_, giver) = giver(&store, &format!("user{number}")).await;
        store.create_share(&giver, &new(&["cam"], None), None).await.unwrap();
    }
    let full = store.create_share(&operator, &new(&["cam"], None), None).await.unwrap_err();
    assert!(matches!(full, ShareError::TooMany), "{full}");
    store.close().await;
}

#[tokio::test]
async fn a_link_is_not_made_by_whoever_was_revoked_meanwhile_and_counts_as_the_token_of_its_maker()
{
    let (_data, store) = store().await;
    let (ann, gives) = giver(&store, "ann").await;
    let query = sqlx::query("DELETE FROM browser_sessions WHERE user_id = ?").bind(ann);
    query.execute(&store.write).await.unwrap();
    for late in [
        store.create_share(&gives, &new(&["cam"], None), None).await.map(drop),
        store.check_share(&gives, &new(&["cam"], None)).await,
    ] {
        assert!(matches!(late, Err(ShareError::Store(StoreError::Revoked))), "{late:?}");
    }
    let operator = operator(Action::CreateToken).unwrap();
    let token = serde_json::from_value(
        json!({"name": "t", "role": "admin", "scopes": ["shares", "watch"]}),
    )
    .unwrap();
    let token = store.create_token(&operator, &token).await.unwrap().token;
    let TokenLookup::Valid(token) = lookup(&store, &token).await else { panic!("it is valid") };
    let by_token = Action::CreateShare.admit(Sender::Principal(token.clone()), now()).unwrap();
    let link = store.create_share(&by_token, &new(&["cam"], None), None).await.unwrap();
    let TokenLookup::Valid(shown) = lookup(&store, &link.token).await else { panic!("valid") };
    assert_eq!((shown.account(), shown.subject()), (token.account(), "share:1"));
    store.close().await;
}

#[tokio::test]
async fn a_link_has_its_own_limit_and_shares_the_one_of_the_token_that_has_made_it() {
    let (_data, store) = store().await;
    let operator = operator(Action::CreateToken).unwrap();
    let token = json!({"name": "t", "role": "admin", "maxKbitPerS": 2000});
    let token = serde_json::from_value(token).unwrap();
    let token = store.create_token(&operator, &token).await.unwrap().token;
    let TokenLookup::Valid(token) = lookup(&store, &token).await else { panic!("it is valid") };
    let by_token = Action::CreateShare.admit(Sender::Principal(token), now()).unwrap();
    let (_, bob) = giver(&store, "bob").await;
    let limited = |cap: Option<u32>| NewShare { max_kbit_per_s: cap, ..new(&["cam"], Some(3600)) };
    type Case<'a> = (&'a str, &'a Admitted, Option<u32>, Option<&'a [(&'a str, u32)]>);
    // Who makes a link with which limit, and the limits that it then has; `None` if it is refused.
    let table: [Case<'_>; 7] = [
        ("a user", &bob, None, Some(&[])),
        ("a user", &bob, Some(500), Some(&[("share:2", 500)])),
        ("a user", &bob, Some(63), None),
        ("a user", &bob, Some(1_000_001), None),
        ("a token", &by_token, None, None),
        ("a token", &by_token, Some(2001), None),
        ("a token", &by_token, Some(1000), Some(&[("share:3", 1000), ("token:1", 2000)])),
    ];
    for (who, giver, cap, expected) in table {
        let made = store.create_share(giver, &limited(cap), None).await;
        assert_eq!(made.is_ok(), expected.is_some(), "{who}: {cap:?}: {made:?}");
        let Ok(link) = made else { continue };
        let TokenLookup::Valid(shown) = lookup(&store, &link.token).await else {
            panic!("it was made just now")
        };
        let found: Vec<_> =
            shown.caps().iter().map(|cap| (cap.of.as_str(), cap.kbit_per_s)).collect();
        assert_eq!(Some(&found[..]), expected, "{who}: {cap:?}");
    }
    let listed = store.shares(&by_operator(Action::ListShares).unwrap()).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|share| share.max_kbit_per_s).collect();
    assert_eq!(listed, [Some(1000), Some(500), None]);
    store.close().await;
}
