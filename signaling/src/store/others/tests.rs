//! Tests of what an administrator takes off other users.

use porthole_signaling_core::{Action, Admitted, Principal, Sender};
use porthole_signaling_proto::rest::AuditKind;
use serde_json::json;

use super::super::TokenLookup;
use super::*;
use crate::admin::operator;
use crate::driver::now;

/// A store with an admin, who has been admitted to each action here, and a user with a cookie and a
/// second factor.
struct Scene {
    _data: tempfile::TempDir,
    store: Store,
    granted: Granted<Everything>,
    inviting: Admitted,
    user: i64,
    cookie: String,
    sign_in: String,
}

impl Scene {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path()).await.unwrap();
        let ann = store.create_user_for_test("ann", Role::Admin).await;
        let ann = store.find_cookie(&ann).await.unwrap().unwrap();
        let admit = |action: Action| action.admit(Sender::Principal(ann.clone()), now()).unwrap();
        let (granted, inviting) = (admit(Action::SignUserOut), admit(Action::InvitePerson));
        let granted = granted.everything(now()).unwrap();
        let cookie = store.create_user_for_test("bob", Role::Viewer).await;
        let user = store.find_user("bob").await.unwrap().unwrap().id;
        let query = "INSERT INTO second_factors (user_id, secret, confirmed) VALUES (?, ?, 1)";
        let query = sqlx::query(query).bind(user).bind(&b"secret"[..]);
        query.execute(&store.write).await.unwrap();
        let sign_in = store.sign_ins(OfUsers::One(user), "").await.unwrap()[0].id.clone();
        Self { _data: data, store, granted, inviting, user, cookie, sign_in }
    }

    /// Takes something off the user. Returns how many sign-ins or second factors that were.
    async fn take(&self, what: &str) -> Result<u32, UserError> {
        let Self { store, granted, inviting, user, sign_in, .. } = self;
        match what {
            "its sign-ins" => {
                let removal = store.sign_user_out(granted, *user).await?;
                Ok(removal.unwrap().removed.sign_ins)
            }
            "one sign-in" => {
                let removal = store.remove_any_sign_in(granted, sign_in).await?;
                Ok(removal.removed.sign_ins)
            }
            "its second factor" => {
                Ok(u32::from(store.take_second_factor(inviting, *user).await?.unwrap()))
            }
            other => panic!("{other}"),
        }
    }

    /// Returns the number of sign-ins and second factors that the user has.
    async fn left(&self) -> (usize, bool) {
        let sign_ins = self.store.sign_ins(OfUsers::One(self.user), "").await.unwrap();
        let factor = self.store.second_factor(self.user).await.unwrap();
        (sign_ins.len(), factor.enrolled)
    }
}

const EACH: [&str; 3] = ["its sign-ins", "one sign-in", "its second factor"];

#[tokio::test]
async fn a_user_who_becomes_an_owner_while_the_request_waits_keeps_its_sign_ins_and_factor() {
    for what in EACH {
        let scene = Scene::new().await;
        // The request waits for this transaction, in which the user is made an owner.
        let mut write = scene.store.begin().await.unwrap();
        let query = sqlx::query("UPDATE users SET role = 'admin', owner = 1 WHERE id = ?");
        query.bind(scene.user).execute(write.db()).await.unwrap();
        let promotion = async { write.commit().await };
        let (taken, promoted) = tokio::join!(scene.take(what), promotion);
        promoted.unwrap();
        let refused = taken.expect_err(what);
        let refused = refused.to_string();
        let says = ["only an owner", "owning the server"].map(|text| refused.contains(text));
        assert!(says.contains(&true), "{what}: {refused}");
        assert_eq!(scene.left().await, (1, true), "{what}");
        assert!(scene.store.find_cookie(&scene.cookie).await.unwrap().is_some(), "{what}");
        scene.store.close().await;
    }
}

#[tokio::test]
async fn what_is_taken_off_a_user_is_written_down_and_taken_once() {
    for (what, left, kind) in [
        (EACH[0], (0, true), AuditKind::SignedOut),
        (EACH[1], (0, true), AuditKind::SignedOut),
        (EACH[2], (1, false), AuditKind::SecondFactorRemoved),
    ] {
        let scene = Scene::new().await;
        assert_eq!(scene.take(what).await.unwrap(), 1, "{what}");
        assert_eq!(scene.left().await, left, "{what}");
        assert_eq!(scene.take(what).await.unwrap(), 0, "{what}");
        let log = scene.store.audit(&scene.granted, None).await.unwrap();
        let noted: Vec<_> = log.iter().filter(|event| event.kind == kind).collect();
        assert_eq!(noted.len(), 1, "{what}: {log:?}");
        assert_eq!(
            (noted[0].actor.as_deref(), noted[0].object.as_deref()),
            (Some("ann"), Some("bob"))
        );
        scene.store.close().await;
    }
}

#[tokio::test]
async fn nothing_is_taken_off_a_user_who_is_not_there() {
    let scene = Scene::new().await;
    let Scene { store, granted, inviting, .. } = &scene;
    assert!(store.sign_user_out(granted, 99).await.unwrap().is_none());
    assert_eq!(store.take_second_factor(inviting, 99).await.unwrap(), None);
    let none = store.remove_any_sign_in(granted, "none").await.unwrap();
    assert_eq!(none.removed.sign_ins, 0);
    assert_eq!(scene.left().await, (1, true));
    scene.store.close().await;
}

/// Creates the token of an admin, which somebody gives.
async fn token_by(store: &Store, giver: Principal) -> Principal {
    let giver = Action::CreateToken.admit(Sender::Principal(giver), now()).unwrap();
    let new = serde_json::from_value(json!({"name": "t", "role": "admin"})).unwrap();
    let token = store.create_token(&giver, &new).await.unwrap().token;
    let TokenLookup::Valid(token) = store.find_token(&token).await.unwrap() else {
        panic!("it was created just now")
    };
    token
}

#[tokio::test]
async fn nobody_does_to_themselves_what_is_for_others_to_do_not_with_a_token_either() {
    let scene = Scene::new().await;
    let store = &scene.store;
    let ann = scene.inviting.principal().unwrap().clone();
    let id = store.find_user("ann").await.unwrap().unwrap().id;
    let of_ann = token_by(store, ann.clone()).await;
    let after = token_by(store, of_ann.clone()).await;
    let host = operator(Action::CreateToken).unwrap().principal().unwrap().clone();
    let of_host = token_by(store, host).await;
    let eve = store.create_user_for_test("eve", Role::Owner).await;
    let eve = store.find_cookie(&eve).await.unwrap().unwrap();
    for (who, sender, is_own) in [
        ("the user", ann, true),
        ("its token", of_ann, true),
        ("the token that this one has given", after, true),
        ("a token of the host", of_host, false),
        ("another user", eve, false),
    ] {
        let inviting = Action::InvitePerson.admit(Sender::Principal(sender), now()).unwrap();
        let reset = store.create_reset(&inviting, id).await;
        assert_eq!(matches!(reset, Err(UserError::OwnReset)), is_own, "{who}: {reset:?}");
        let factor = store.take_second_factor(&inviting, id).await;
        assert_eq!(matches!(factor, Err(UserError::OwnFactor)), is_own, "{who}: {factor:?}");
        assert_eq!(reset.is_ok() && factor.is_ok(), !is_own, "{who}");
    }
    scene.store.close().await;
}
