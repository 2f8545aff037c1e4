//! Tests of lists and revocation in the database.

use porthole_signaling_core::{Action, Sender};
use porthole_signaling_proto::rest::{NewToken, Role, Scope};
use serde_json::json;

use super::super::RightsEnd::{Released, Removing};
use super::super::{Means, TokenError, TokenLookup, UserError};
use super::*;
use crate::admin::{by_operator, operator};
use crate::driver::now;
use crate::webauthn::NewCredential;

async fn store() -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    (data, store)
}

fn new_token(role: &str) -> NewToken {
    serde_json::from_value(json!({"name": role, "role": role})).unwrap()
}

/// Returns the proof that a principal may give tokens.
fn giver(principal: porthole_signaling_core::Principal) -> porthole_signaling_core::Admitted {
    Action::CreateToken.admit(Sender::Principal(principal), now()).unwrap()
}

/// Creates a token of an admin with the credential of another. Returns its own.
async fn given_by(
    store: &Store,
    giver: &porthole_signaling_core::Admitted,
) -> porthole_signaling_core::Principal {
    let token = store.create_token(giver, &new_token("admin")).await.unwrap().token;
    let TokenLookup::Valid(principal) = store.find_token(&token).await.unwrap() else {
        panic!("it was created just now")
    };
    principal
}

fn number(principal: &porthole_signaling_core::Principal) -> i64 {
    principal.subject().strip_prefix("token:").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_token_is_removed_with_everything_that_was_given_with_it() {
    let (_data, store) = store().await;
    let operator = operator(Action::CreateToken).unwrap();
    let first = given_by(&store, &operator).await;
    let second = given_by(&store, &giver(first.clone())).await;
    let third = given_by(&store, &giver(second.clone())).await;
    let other = given_by(&store, &operator).await;
    let granted = Action::CreateClaim.admit(Sender::Principal(third.clone()), now()).unwrap();
    let granted = granted.give_enrolment(super::super::CLAIM_LIFETIME, now()).unwrap();
    store.create_claim(&granted, None).await.unwrap();

    let listing = by_operator(Action::ListTokens).unwrap();
    let tokens = store.tokens(&listing).await.unwrap();
    let givers: Vec<_> = tokens.iter().map(|token| token.giver.as_deref().unwrap()).collect();
    assert_eq!(givers, ["operator", "admin", "admin", "operator"]);
    let subjects = tokens.iter().map(|token| token.giver_subject.as_deref().unwrap());
    let expected = ["operator", second.subject(), first.subject(), "operator"];
    assert_eq!(subjects.collect::<Vec<_>>(), expected);
    let claims = store.claims(&listing).await.unwrap();
    let subjects = claims.iter().map(|claim| claim.giver_subject.as_deref().unwrap());
    assert_eq!(subjects.collect::<Vec<_>>(), [third.subject()]);

    let removal = store.remove_token(&listing, number(&first)).await.unwrap().unwrap();
    let expected = Removed { tokens: 3, claims: 1, ..Removed::default() };
    assert_eq!(removal.removed, expected);
    let mut noted = store.revoked().await.unwrap();
    noted.sort();
    let credentials = [&first, &second, &third].map(|one| one.credential().to_owned());
    assert_eq!(noted, credentials, "the server will end what they have started");
    drop(store.take_revoked().await.unwrap());
    assert_eq!(store.revoked().await.unwrap().len(), noted.len(), "not forgotten, so still there");
    let taken = store.take_revoked().await.unwrap();
    assert_eq!(taken.credentials().len(), noted.len());
    taken.forget().await.unwrap();
    assert_eq!(store.revoked().await.unwrap(), [""; 0]);
    let left = store.tokens(&listing).await.unwrap();
    assert_eq!(left.iter().map(|token| token.id).collect::<Vec<_>>(), [number(&other)]);
    assert!(store.remove_token(&listing, number(&first)).await.unwrap().is_none(), "it is gone");

    // A request of the token that was authenticated before its end gives nothing.
    let late = store.create_token(&giver(first.clone()), &new_token("viewer")).await;
    assert!(matches!(late, Err(TokenError::Store(StoreError::Revoked))), "{late:?}");
    // The number of a token is never given again.
    assert!(store.remove_token(&listing, number(&other)).await.unwrap().is_some());
    assert_eq!(number(&given_by(&store, &operator).await), number(&other) + 1);
    store.close().await;
}

#[tokio::test]
async fn a_user_is_removed_with_its_sign_ins_and_gifts_unless_it_is_the_last_owner() {
    let (_data, store) = store().await;
    let ann = store.create_user_for_test("ann", Role::Owner).await;
    store.create_user_for_test("bob", Role::Viewer).await;
    let listing = by_operator(Action::ListUsers).unwrap();
    let ann = store.find_cookie(&ann).await.unwrap().unwrap();
    let token = given_by(&store, &giver(ann)).await;
    let users = store.users(&listing).await.unwrap();
    let shown: Vec<_> = users.iter().map(|user| (user.name.as_str(), user.sign_ins)).collect();
    assert_eq!(shown, [("ann", 1), ("bob", 1)]);
    let [ann, bob] = [users[0].id, users[1].id];

    let last = store.remove_user(&listing, ann).await.unwrap_err();
    assert!(matches!(last, UserError::LastOwner), "{last}");
    let removal = store.remove_user(&listing, bob).await.unwrap().unwrap();
    assert_eq!(removal.removed, Removed { users: 1, sign_ins: 1, ..Removed::default() });
    store.create_user_for_test("eve", Role::Owner).await;
    let removal = store.remove_user(&listing, ann).await.unwrap().unwrap();
    let expected = Removed { users: 1, sign_ins: 1, tokens: 1, ..Removed::default() };
    assert_eq!(removal.removed, expected);
    assert!(removal.credentials.contains(&token.credential().to_owned()));
    assert!(store.remove_user(&listing, ann).await.unwrap().is_none(), "it is gone");
    store.close().await;
}

#[tokio::test]
async fn a_password_is_reset_and_its_user_signed_out_everywhere() {
    let (_data, store) = store().await;
    let cookie = store.create_user_for_test("ann", Role::Admin).await;
    let user = store.find_user("ANN").await.unwrap().unwrap();
    let own = store.find_cookie(&cookie).await.unwrap().unwrap();
    let (means, from) = (Means::Password, [192, 0, 2, 1].into());
    store.create_cookie(&user, means, from, Some("Browser")).await.unwrap();
    let sign_ins = store.sign_ins(OfUsers::One(user.id), own.credential()).await.unwrap();
    assert_eq!(sign_ins.iter().filter(|one| one.current).count(), 1);
    let other = sign_ins.iter().find(|one| !one.current).unwrap();
    assert_eq!(other.browser.as_deref(), Some("Browser"));
    assert_eq!(other.address.as_deref(), Some("192.0.2.1"));
    assert_eq!(store.sign_ins(OfUsers::One(user.id + 1), "").await.unwrap(), []);

    // Whoever names another's sign-in removes nothing.
    let foreign =
        store.remove_sign_ins(&own, OfUsers::One(user.id + 1), Some(&other.id)).await.unwrap();
    assert_eq!(foreign.removed, Removed::default());
    let one = store.remove_sign_ins(&own, OfUsers::All, Some(&other.id)).await.unwrap();
    assert_eq!(one.credentials, [format!("cookie:{}.0", other.id)]);
    let granted = by_operator(Action::ResetUser).unwrap();
    let (removal, _) =
        store.reset_user(&granted, user.id, "new hash", Given::Kept).await.unwrap().unwrap();
    assert_eq!(removal.credentials, [own.credential()]);
    assert!(store.find_cookie(&cookie).await.unwrap().is_none());
    let user = store.find_user("ann").await.unwrap().unwrap();
    assert_eq!(user.password_hash, "new hash");
    assert!(store.reset_user(&granted, user.id + 1, "x", Given::Kept).await.unwrap().is_none());
    store.close().await;
}

#[tokio::test]
async fn whatever_is_deleted_by_another_program_is_noted_as_revoked() {
    let (_data, store) = store().await;
    let cookie = store.create_user_for_test("ann", Role::Admin).await;
    let cookie = store.find_cookie(&cookie).await.unwrap().unwrap();
    let token = given_by(&store, &operator(Action::CreateToken).unwrap()).await;
    for query in ["DELETE FROM users", "DELETE FROM tokens"] {
        sqlx::query(query).execute(&store.write).await.unwrap();
    }
    let mut noted = store.revoked().await.unwrap();
    noted.sort();
    assert_eq!(noted, [cookie.credential(), token.credential()]);
    store.close().await;
}

#[tokio::test]
async fn a_credential_that_is_gone_or_has_other_rights_does_not_exist() {
    let (_data, store) = store().await;
    let cookie = store.create_user_for_test("ann", Role::Admin).await;
    let cookie = store.find_cookie(&cookie).await.unwrap().unwrap();
    let token = given_by(&store, &operator(Action::CreateToken).unwrap()).await;
    let changed = cookie.credential().replace(".0", ".1");
    let table = [
        (cookie.credential(), true),
        (&changed, false),
        ("cookie:0123456789abcdef.0", false),
        (token.credential(), true),
        ("token:999", false),
        ("operator", true),
    ];
    for (credential, exists) in table {
        let gone = store.without_existing(&[credential.to_owned()].into()).await.unwrap();
        assert_eq!(gone.is_empty(), exists, "{credential}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_use_is_in_the_list() {
    let (_data, store) = store().await;
    let token = given_by(&store, &operator(Action::CreateToken).unwrap()).await;
    let listing = by_operator(Action::ListTokens).unwrap();
    assert_eq!(store.tokens(&listing).await.unwrap()[0].seen_s, None);
    assert!(store.is_use_due(token.credential()));
    store.note_use(token.credential()).await.unwrap();
    assert!(store.tokens(&listing).await.unwrap()[0].seen_s.is_some());
    assert!(!store.is_use_due(token.credential()), "not again within a minute");
    store.close().await;
}

/// Checks that each call is refused because the credential was revoked meanwhile.
macro_rules! check_revoked {
    ($($what:literal: $call:expr;)*) => {
        $(
            let error = $call.await.expect_err($what).to_string();
            assert!(error.contains("revoked or changed meanwhile"), "{}: {error}", $what);
        )*
    };
}

#[tokio::test]
async fn s2_nothing_is_changed_with_a_credential_that_was_revoked_while_the_request_waited() {
    let (_data, store) = store().await;
    let cookie = store.create_user_for_test("ann", Role::Owner).await;
    let own = store.find_cookie(&cookie).await.unwrap().unwrap();
    let ann = store.find_user("ann").await.unwrap().unwrap();
    let bob = store.create_user_for_test("bob", Role::Viewer).await;
    let bob = store.find_cookie(&bob).await.unwrap().unwrap();
    let of_bob = store.find_user("bob").await.unwrap().unwrap().id;
    let token = number(&given_by(&store, &operator(Action::CreateToken).unwrap()).await);
    let admit = |action: Action| action.admit(Sender::Principal(own.clone()), now()).unwrap();
    let on_all = |action: Action| admit(action).everything(now()).unwrap();
    let (gateway, door) = ("gw-a".parse().unwrap(), "door".parse().unwrap());
    let on_gateway = admit(Action::RenameGateway).on_gateway(&gateway, now()).unwrap();
    let claim = admit(Action::CreateClaim);
    let claim = claim.give_enrolment(super::super::CLAIM_LIFETIME, now()).unwrap();
    let access = json!({"name": "n", "role": "admin", "limited": false});
    let invitation = serde_json::from_value(access.clone()).unwrap();
    let access = serde_json::from_value(access).unwrap();
    let [issuer, subject, name] = ["https://a.example", "7", "n"].map(str::to_owned);
    let account = crate::openid::Account { issuer, subject, name };
    let (challenge, counter, is_synced) = (1, 0, false);
    let passkey = NewCredential { challenge, id: vec![7], key: vec![7], counter, is_synced };
    let (invites, gives) = (admit(Action::InvitePerson), admit(Action::CreateToken));
    let query = sqlx::query("DELETE FROM browser_sessions WHERE user_id = ?").bind(ann.id);
    query.execute(&store.write).await.unwrap();
    let before = store.users(&by_operator(Action::ListUsers).unwrap()).await.unwrap();
    check_revoked! {
        "a token": store.create_token(&gives, &new_token("viewer"));
        "an invitation": store.create_invitation(&invites, &invitation);
        "a link for a password": store.create_reset(&invites, of_bob);
        "a claim code": store.create_claim(&claim, None);
        "rights": store.change_user(&on_all(Action::ChangeUser), &invites, of_bob, &access);
        "a password": store.change_password(&own, &ann, "x");
        "a user": store.remove_user(&on_all(Action::RemoveUser), of_bob);
        "the end of a token": store.remove_token(&on_all(Action::RevokeToken), token);
        "a gateway": store.remove_gateway(&on_all(Action::RemoveGateway), &gateway);
        "the name of a gateway": store.rename_gateway(&on_gateway, "n");
        "the end of a claim": store.remove_claim(&on_all(Action::RevokeClaim), "x");
        "the end of an invitation":
            store.remove_invitation(&on_all(Action::RevokeInvitation), 1);
        "the end of a link": store.remove_share(&on_all(Action::RevokeShare), 1);
        "sign-ins": store.remove_sign_ins(&own, OfUsers::All, None);
        "a reset": store.reset_user(&on_all(Action::ResetUser), of_bob, "x", Given::Kept);
        "a secret": store.begin_second_factor(&own, ann.id, b"secret");
        "a code": store.confirm_second_factor(&own, ann.id, "000000");
        "the end of a second factor": store.remove_second_factor(&own, of_bob);
        "the sign-ins of another": store.sign_user_out(&on_all(Action::SignUserOut), of_bob);
        "a sign-in of another": store.remove_any_sign_in(&on_all(Action::SignUserOut), "x");
        "the end of another's second factor": store.take_second_factor(&invites, of_bob);
        "a passkey": store.add_passkey(&own, ann.id, "n", &passkey);
        "the end of a passkey": store.remove_passkey(&own, ann.id, 1);
        "an account": store.add_identity(&own, ann.id, &account);
        "the end of an account": store.remove_identity(&own, ann.id, 1);
        "the rights to a camera": store.take_rights(&on_gateway, &gateway, &door, Removing);
        "a camera that went": store.take_rights(&on_gateway, &gateway, &door, Released);
        "a look at a user": store.look_at_user(&on_all(Action::ForeseeUser), of_bob);
        "a look at a token": store.look_at_token(&on_all(Action::ForeseeToken), token);
        "a look at a gateway": store.look_at_gateway(&on_all(Action::ForeseeGateway), &gateway);
        "a look at a camera": store.look_at_camera(&on_gateway, &door);
    }
    let after = store.users(&by_operator(Action::ListUsers).unwrap()).await.unwrap();
    assert_eq!(after, before);
    // The credential of somebody else still counts.
    store.remove_sign_ins(&bob, OfUsers::One(of_bob), None).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn s4_a_token_and_those_after_it_are_64_and_a_token_with_all_scopes_gives_no_more() {
    let (_data, store) = store().await;
    let operator = operator(Action::CreateToken).unwrap();
    let trusted = given_by(&store, &operator).await;
    let mut last = trusted.clone();
    let mut first = None;
    for number in 0..=64 {
        let mut new = new_token("admin");
        new.scopes = Some(vec![Scope::People, Scope::Watch]);
        let token = store.create_token(&giver(last.clone()), &new).await.unwrap().token;
        let TokenLookup::Valid(given) = store.find_token(&token).await.unwrap() else {
            panic!("it was created just now")
        };
        let first = first.get_or_insert_with(|| given.subject().to_owned());
        assert_eq!((given.account(), given.origin()), (first.as_str(), trusted.subject()));
        assert_eq!(given.subject() == first, number == 0);
        last = given;
    }
    let more = store.create_token(&giver(last.clone()), &new_token("viewer")).await.unwrap_err();
    assert!(more.to_string().contains("64 that one token with scopes"), "{more}");
    let other = given_by(&store, &operator).await;
    assert_eq!((other.account(), other.origin()), (other.subject(), other.subject()));

    let mut new = new_token("admin");
    new.scopes = Some(Scope::ALL.to_vec());
    let token = store.create_token(&giver(other.clone()), &new).await.unwrap().token;
    let TokenLookup::Valid(all) = store.find_token(&token).await.unwrap() else { panic!("valid") };
    for (giver_of, expected) in [(&all, Some(6)), (&other, None)] {
        let given = given_by(&store, &giver(giver_of.clone())).await;
        assert_eq!(given.scopes().map(std::collections::BTreeSet::len), expected);
    }
    // Of a user there may be more, up to the maximum of the server.
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 5100) \
                INSERT INTO tokens (id, hash, name, role, limited, created_s, expires_s) \
                SELECT i, CAST(i AS BLOB), 'n', 'viewer', 0, 0, ? FROM n";
    let end = i64::try_from(now().unix_s).unwrap();
    for (expires_s, fits) in [(0, true), (end, false)] {
        sqlx::query("DELETE FROM tokens WHERE id >= 1000").execute(&store.write).await.unwrap();
        sqlx::query(fill).bind(expires_s).execute(&store.write).await.unwrap();
        let found = store.create_token(&operator, &new_token("viewer")).await;
        assert_eq!(found.is_ok(), fits, "expired at {expires_s}: {found:?}");
    }
    store.close().await;
}

#[tokio::test]
async fn s4_claim_codes_are_64_of_each_giver_and_256_in_all() {
    let (_data, store) = store().await;
    let operator = operator(Action::CreateToken).unwrap();
    let mut made = Vec::new();
    for _ in 0..5 {
        let token = given_by(&store, &operator).await;
        let granted = Action::CreateClaim.admit(Sender::Principal(token), now()).unwrap();
        let granted = granted.give_enrolment(super::super::CLAIM_LIFETIME, now()).unwrap();
        let mut fitting = 0;
        while fitting < 100 && store.create_claim(&granted, None).await.is_ok() {
            fitting += 1;
        }
        made.push(fitting);
    }
    assert_eq!(made, [64, 64, 64, 64, 0]);
    // Those that have expired make room, and only the last of them are remembered.
    sqlx::query("UPDATE claims SET expires_s = 1").execute(&store.write).await.unwrap();
    let recent = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
                  INSERT INTO claims (hash, expires_s) SELECT CAST(i AS BLOB), ? - i FROM n";
    let now_s = i64::try_from(now().unix_s).unwrap();
    sqlx::query(recent).bind(now_s).execute(&store.write).await.unwrap();
    let granted = crate::admin::enrolment_by_operator().unwrap();
    store.create_claim(&granted, None).await.unwrap();
    let rows = sqlx::query("SELECT COUNT(*) AS rows FROM claims").fetch_one(&store.read).await;
    assert_eq!(rows.unwrap().try_get::<i64, _>("rows").unwrap(), 1024 + 1);
    store.close().await;
}

#[tokio::test]
async fn tokens_that_come_from_one_with_a_limit_share_it_and_give_no_larger_one() {
    let (_data, store) = store().await;
    let operator = operator(Action::CreateToken).unwrap();
    let limited = |cap: Option<u32>| NewToken { max_kbit_per_s: cap, ..new_token("admin") };
    for (cap, is_made) in
        [(63, false), (64, true), (1_000_000, true), (1_000_001, false), (u32::MAX, false)]
    {
        let made = store.create_token(&operator, &limited(Some(cap))).await;
        assert_eq!(made.is_ok(), is_made, "{cap}: {made:?}");
    }
    let mut last = given_by(&store, &operator).await;
    let mut subjects = Vec::new();
    // The limit of each token, which the one before gives, and its limits with the place in the
    // chain of whoever has them.
    type Case<'a> = (Option<u32>, &'a [(usize, u32)]);
    let table: [Case<'_>; 4] = [
        (None, &[]),
        (Some(2000), &[(1, 2000)]),
        (Some(2000), &[(2, 2000), (1, 2000)]),
        (Some(500), &[(3, 500), (1, 2000)]),
    ];
    for (cap, expected) in table {
        let token = store.create_token(&giver(last.clone()), &limited(cap)).await.unwrap().token;
        let TokenLookup::Valid(given) = store.find_token(&token).await.unwrap() else {
            panic!("it was created just now")
        };
        subjects.push(given.subject().to_owned());
        let found: Vec<_> =
            given.caps().iter().map(|cap| (cap.of.as_str(), cap.kbit_per_s)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(place, rate)| (subjects[*place].as_str(), *rate)).collect();
        assert_eq!(found, expected, "{cap:?}");
        last = given;
    }
    for cap in [None, Some(501)] {
        let more = store.create_token(&giver(last.clone()), &limited(cap)).await.unwrap_err();
        assert!(more.to_string().contains("at most 500 kbit/s"), "{more}");
    }
    let listed = store.tokens(&by_operator(Action::ListTokens).unwrap()).await.unwrap();
    let listed: Vec<_> = listed.iter().take(4).map(|token| token.max_kbit_per_s).collect();
    assert_eq!(listed, [Some(500), Some(2000), Some(2000), None]);
    let log = store.audit(&by_operator(Action::ReadAudit).unwrap(), None).await.unwrap();
    assert_eq!(log[0].object.as_deref(), Some("admin (admin, at most 500 kbit/s)"));
    store.close().await;
}
