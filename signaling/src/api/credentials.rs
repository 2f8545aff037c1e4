//! Routes that list and revoke credentials: tokens, users, sign-ins and claim codes.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::{Extension, Json};
use http::StatusCode;
use porthole_signaling_core::{Action, Admitted};
use porthole_signaling_proto::rest::{ClaimList, Removed, SignInList, TokenList, UserList};

use super::HandlerResult;
use crate::app::App;
use crate::driver::now;
use crate::refusal::Refusal;
use crate::store::OfUsers;

pub(crate) async fn tokens(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<TokenList>> {
    let granted = admitted.everything(now())?;
    Ok(Json(TokenList { tokens: app.driver.store.tokens(&granted).await? }))
}

pub(crate) async fn revoke_token(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    token: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Removed>> {
    let granted = admitted.everything(now())?;
    let missing = || not_found("there is no such token");
    let extract::Path(token) = token.map_err(|_| missing())?;
    let removal = app.driver.store.remove_token(&granted, token).await?.ok_or_else(missing)?;
    Ok(Json(app.driver.end_removed(removal)))
}

pub(crate) async fn users(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<UserList>> {
    let granted = admitted.everything(now())?;
    Ok(Json(UserList { users: app.driver.store.users(&granted).await? }))
}

pub(crate) async fn remove_user(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    user: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Removed>> {
    let granted = admitted.everything(now())?;
    let extract::Path(user) = user.map_err(|_| no_such_user())?;
    let removal = app.driver.store.remove_user(&granted, user).await?;
    Ok(Json(app.driver.end_removed(removal.ok_or_else(no_such_user)?)))
}

pub(crate) async fn sign_user_out(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    user: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Removed>> {
    let granted = admitted.everything(now())?;
    let extract::Path(user) = user.map_err(|_| no_such_user())?;
    let removal = app.driver.store.sign_user_out(&granted, user).await?;
    Ok(Json(app.driver.end_removed(removal.ok_or_else(no_such_user)?)))
}

/// Lists the browsers of all users for an admin, else those of the user itself. The addresses and
/// browsers of others are only for those who decide about people or read the log, which has them.
pub(crate) async fn sign_ins(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<SignInList>> {
    let current = admitted.principal()?.credential().to_owned();
    let may = |action| admitted.clone().also(action, now()).is_ok();
    let sees_addresses = may(Action::SignUserOut) || may(Action::ReadAudit);
    let of = whose(admitted, Action::ListUsers)?;
    let mut sign_ins = app.driver.store.sign_ins(of, &current).await?;
    if of == OfUsers::All && !sees_addresses {
        for sign_in in &mut sign_ins {
            (sign_in.address, sign_in.browser, sign_in.account) = (None, None, None);
        }
    }
    Ok(Json(SignInList { sign_ins }))
}

/// Signs one browser out: any for an admin, except those of owners, else one of the user itself.
pub(crate) async fn revoke_sign_in(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    extract::Path(id): extract::Path<String>,
) -> HandlerResult<Json<Removed>> {
    let store = &app.driver.store;
    let removal = match whose(admitted.clone(), Action::SignUserOut)? {
        OfUsers::All => {
            let granted = admitted.also(Action::SignUserOut, now())?.everything(now())?;
            store.remove_any_sign_in(&granted, &id).await?
        }
        own @ OfUsers::One(_) => {
            store.remove_sign_ins(admitted.principal()?, own, Some(&id)).await?
        }
    };
    if removal.removed.sign_ins == 0 {
        return Err(not_found("there is no such sign-in"));
    }
    Ok(Json(app.driver.end_removed(removal)))
}

/// Signs the user of the request out everywhere.
pub(crate) async fn sign_out_everywhere(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<Removed>> {
    let of = OfUsers::One(own_user(&admitted)?);
    let by = admitted.principal()?;
    let removal = app.driver.store.remove_sign_ins(by, of, None).await?;
    Ok(Json(app.driver.end_removed(removal)))
}

pub(crate) async fn claims(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<ClaimList>> {
    let granted = admitted.everything(now())?;
    Ok(Json(ClaimList { claims: app.driver.store.claims(&granted).await? }))
}

pub(crate) async fn revoke_claim(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    extract::Path(id): extract::Path<String>,
) -> HandlerResult<Json<Removed>> {
    let granted = admitted.everything(now())?;
    let removal = app.driver.store.remove_claim(&granted, &id).await?;
    let removal = removal.ok_or_else(|| not_found("there is no such claim code"))?;
    Ok(Json(app.driver.end_removed(removal)))
}

/// Returns whose sign-ins the sender may see or revoke: of all users, if it may do the same to them
/// by this action.
fn whose(admitted: Admitted, action: Action) -> HandlerResult<OfUsers> {
    let own = own_user(&admitted);
    match (admitted.also(action, now()), own) {
        (Ok(_), _) => Ok(OfUsers::All),
        (Err(_), Ok(own)) => Ok(OfUsers::One(own)),
        // A token has no sign-ins of its own.
        (Err(denied), Err(_)) => Err(denied.into()),
    }
}

/// Returns the id of the user that is signed in. Tokens have no sign-ins of their own.
pub(super) fn own_user(admitted: &Admitted) -> HandlerResult<i64> {
    let subject = admitted.principal()?.subject();
    let user = subject.strip_prefix("user:").and_then(|id| id.parse().ok());
    let text = "an access token is no user; sign in with name and password";
    user.ok_or_else(|| Refusal::new(StatusCode::FORBIDDEN, text))
}

pub(super) fn no_such_user() -> Refusal {
    not_found("there is no such user")
}

pub(super) fn not_found(text: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, text)
}
