//! Routes about the own account: the password, and the second factor.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use porthole_signaling_core::Admitted;
use porthole_signaling_proto::rest::{
    ChangePassword, OneCode, OwnPassword, PasswordAndCode, RecoveryCodes, Removed, SecondFactor,
    TotpSecret,
};

use super::credentials::{no_such_user, not_found, own_user};
use super::{HandlerResult, admit_attempt, busy, device_of, read, throttle, too_many_attempts};
use crate::app::App;
use crate::driver::now;
use crate::listener::ClientAddress;
use crate::refusal::Refusal;
use crate::store::Code;
use crate::store::users::User;
use crate::throttle::{Attempt, Lane};
use crate::{password, totp};

/// Changes the own password, and signs all other browsers out.
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<Removed>> {
    own_user(&admitted)?;
    let ChangePassword { old, new } = read(&headers, &body)?;
    if let Some(weakness) = password::weakness(&new) {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, weakness));
    }
    let (user, _) = verify_own(&app, client, &admitted, &headers, old).await?;
    let hash = password::hash(new).await.map_err(busy)?;
    let store = &app.driver.store;
    let removal = store.change_password(admitted.principal()?, &user, &hash).await?;
    let removal = removal.ok_or_else(wrong_password)?;
    Ok(Json(app.driver.end_removed(removal)))
}

pub(crate) async fn second_factor(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<SecondFactor>> {
    let user = own_user(&admitted)?;
    Ok(Json(app.driver.store.second_factor(user).await?))
}

/// Shows the secret of a second factor, which is to be confirmed with a code.
pub(crate) async fn begin_second_factor(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<TotpSecret>> {
    own_user(&admitted)?;
    let OwnPassword { password } = read(&headers, &body)?;
    let (user, _) = verify_own(&app, client, &admitted, &headers, password).await?;
    let secret = totp::new_secret();
    if !app.driver.store.begin_second_factor(user.id, &secret).await? {
        let text = "there is a second factor; remove it first";
        return Err(Refusal::new(StatusCode::CONFLICT, text));
    }
    let url = totp::address(&secret, &user.name);
    Ok(Json(TotpSecret { url, secret: totp::base32(&secret) }))
}

pub(crate) async fn confirm_second_factor(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<RecoveryCodes>> {
    let user = own_user(&admitted)?;
    let OneCode { code } = read(&headers, &body)?;
    throttle(&app).admit_code(Instant::now(), user, true).map_err(too_many_attempts)?;
    let codes = app.driver.store.confirm_second_factor(admitted.principal()?, user, &code).await?;
    let codes = codes.ok_or_else(|| {
        let text = "the code is wrong, or nothing waits to be confirmed; try the next code";
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text)
    })?;
    throttle(&app).forgive_code(user, true);
    Ok(Json(RecoveryCodes { codes }))
}

pub(crate) async fn remove_second_factor(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<StatusCode> {
    own_user(&admitted)?;
    let PasswordAndCode { password, code } = read(&headers, &body)?;
    let (user, is_known) = verify_own(&app, client, &admitted, &headers, password).await?;
    use_code(&app, user.id, &code, is_known, StatusCode::FORBIDDEN).await?;
    let own = admitted.principal()?;
    if !app.driver.store.remove_second_factor(own, user.id).await? {
        return Err(no_second_factor());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the second factor off a user, who has lost it.
pub(crate) async fn take_second_factor(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    user: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<StatusCode> {
    let granted = admitted.everything(now())?;
    let extract::Path(user) = user.map_err(|_| no_such_user())?;
    let store = &app.driver.store;
    granted.over(store.role_of_user(user).await?.ok_or_else(no_such_user)?)?;
    if !store.remove_second_factor(granted.principal(), user).await? {
        return Err(no_second_factor());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Checks the second factor of a user whose password was right.
pub(super) async fn check_code(
    app: &App,
    user: i64,
    code: Option<&str>,
    is_known: bool,
) -> HandlerResult<()> {
    match code.filter(|code| !code.trim().is_empty()) {
        Some(code) => use_code(app, user, code, is_known, StatusCode::UNAUTHORIZED).await,
        None if app.driver.store.second_factor(user).await?.enrolled => {
            let text = "enter the code that your app shows, or a recovery code";
            Err(Refusal::new(StatusCode::UNAUTHORIZED, text).needs_code())
        }
        None => Ok(()),
    }
}

async fn use_code(
    app: &App,
    user: i64,
    code: &str,
    is_known: bool,
    refused: StatusCode,
) -> HandlerResult<()> {
    throttle(app).admit_code(Instant::now(), user, is_known).map_err(too_many_attempts)?;
    match app.driver.store.use_code(user, code).await? {
        Code::NotNeeded | Code::Right => {
            throttle(app).forgive_code(user, is_known);
            Ok(())
        }
        Code::Wrong => {
            let text = "the code is wrong or was used before; wait for the next one";
            Err(Refusal::new(refused, text).needs_code())
        }
    }
}

/// Checks the password of the user that is signed in, with the limits of signing in. Returns the
/// user, and if its browser has signed in before.
pub(super) async fn verify_own(
    app: &App,
    client: ClientAddress,
    admitted: &Admitted,
    headers: &HeaderMap,
    password: String,
) -> HandlerResult<(User, bool)> {
    let id = own_user(admitted)?;
    let name = admitted.principal()?.name();
    let attempt = Attempt { address: client.0, name, device: device_of(app, headers, name) };
    let lane = admit_attempt(app, &attempt)?;
    lane.wait().await.map_err(busy)?;
    let is_known = lane == Lane::Known;
    let user = app.driver.store.find_user(name).await?.filter(|user| user.id == id);
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let matches = password::verify(password, hash, is_known).await.map_err(busy)?;
    let Some(user) = user.filter(|_| matches) else {
        app.driver.store.note_failed_sign_in(Some(name), client.0).await;
        return Err(wrong_password());
    };
    throttle(app).forgive(&attempt);
    Ok((user, is_known))
}

fn wrong_password() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "the password is wrong")
}

fn no_second_factor() -> Refusal {
    not_found("the user has no second factor")
}
