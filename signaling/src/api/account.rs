//! Routes about the own account: the password, and the second factor.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode, header};
use porthole_signaling_core::{Action, Admitted};
use porthole_signaling_proto::rest::{
    ChangePassword, OneCode, OwnPassword, OwnProof, PasswordAndCode, RecoveryCodes, SecondFactor,
    TotpSecret,
};

use super::audit::given;
use super::credentials::{no_such_user, not_found, own_user};
use super::{
    HandlerResult, admit_attempt, busy, device_of, known_cookie, read, throttle, too_many_attempts,
};
use crate::app::App;
use crate::driver::now;
use crate::listener::ClientAddress;
use crate::prefix::UsedPrefix;
use crate::refusal::Refusal;
use crate::store::Code;
use crate::store::users::User;
use crate::throttle::{Attempt, Lane};
use crate::{password, totp};

/// Changes the own password, and signs all other browsers out. Those count as new from then on; the
/// one that sent the request stays known.
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    Extension(admitted): Extension<Admitted>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Response> {
    own_user(&admitted)?;
    let ChangePassword { old, new } = read(&headers, &body)?;
    if let Some(weakness) = password::weakness(&new) {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, weakness));
    }
    let user = verify_own(&app, client, &admitted, &headers, old).await?;
    let hash = password::hash(new).await.map_err(busy)?;
    let store = &app.driver.store;
    let removal = store.change_password(admitted.principal()?, &user, &hash).await?;
    let removal = removal.ok_or_else(wrong_password)?;
    let known = device_of(&app, &headers, Some(&user));
    let changed = User { password_hash: hash, ..user };
    let cookie = known_cookie(&app, prefix.as_ref(), &changed, known);
    let removed = app.driver.end_removed(removal);
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(removed)).into_response())
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
    let user = verify_own(&app, client, &admitted, &headers, password).await?;
    let secret = totp::new_secret();
    let own = admitted.principal()?;
    if !app.driver.store.begin_second_factor(own, user.id, &secret).await? {
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
    let proof = OwnProof { password, code: Some(code) };
    let user = prove_own(&app, client, &admitted, &headers, proof).await?;
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
    admitted.everything(now())?;
    let extract::Path(user) = user.map_err(|_| no_such_user())?;
    let giver = admitted.also(Action::InvitePerson, now())?;
    let result = app.driver.store.take_second_factor(&giver, user).await;
    if !given(&app, &giver, result).await?.ok_or_else(no_such_user)? {
        return Err(no_second_factor());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The user whose second factor is asked for, after its password was right.
pub(super) struct CodeOf {
    pub(super) user: i64,
    /// True if the browser has signed in before.
    pub(super) is_known: bool,
}

impl CodeOf {
    /// Checks the code, if the user has a second factor, and uses it up. A refusal has the status
    /// `refused`.
    pub(super) async fn check(
        &self,
        app: &App,
        code: Option<&str>,
        refused: StatusCode,
    ) -> HandlerResult<()> {
        let Some(code) = code.filter(|code| !code.trim().is_empty()) else {
            if app.driver.store.second_factor(self.user).await?.enrolled {
                let text = "enter the code that your app shows, or a recovery code";
                return Err(Refusal::new(refused, text).needs_code());
            }
            return Ok(());
        };
        let admitted = throttle(app).admit_code(Instant::now(), self.user, self.is_known);
        admitted.map_err(too_many_attempts)?;
        match app.driver.store.use_code(self.user, code).await? {
            Code::NotNeeded | Code::Right => {
                throttle(app).forgive_code(self.user, self.is_known);
                Ok(())
            }
            Code::Wrong => {
                let text = "the code is wrong or was used before; wait for the next one";
                Err(Refusal::new(refused, text).needs_code())
            }
        }
    }
}

/// Checks the password of the user that is signed in, with the limits of signing in.
async fn verify_own(
    app: &App,
    client: ClientAddress,
    admitted: &Admitted,
    headers: &HeaderMap,
    password: String,
) -> HandlerResult<User> {
    let (attempt, user) = own_attempt(app, client, admitted, headers).await?;
    let (user, _) = match_own(app, &attempt, user, password).await?;
    throttle(app).forgive(&attempt);
    Ok(user)
}

/// Checks the password of the user that is signed in, and the code if it has a second factor. A
/// wrong code counts as a wrong password does.
pub(super) async fn prove_own(
    app: &App,
    client: ClientAddress,
    admitted: &Admitted,
    headers: &HeaderMap,
    OwnProof { password, code }: OwnProof,
) -> HandlerResult<User> {
    let (attempt, user) = own_attempt(app, client, admitted, headers).await?;
    let (user, is_known) = match_own(app, &attempt, user, password).await?;
    let code_of = CodeOf { user: user.id, is_known };
    let checked = code_of.check(app, code.as_deref(), StatusCode::FORBIDDEN).await;
    note_code(app, &user.name, client, code.as_deref(), &checked).await;
    checked?;
    throttle(app).forgive(&attempt);
    Ok(user)
}

/// Writes down how a code was given after a right password: wrong, or not at all. With the right
/// one it is forgotten that it was asked for.
pub(super) async fn note_code(
    app: &App,
    user: &str,
    ClientAddress(address): ClientAddress,
    code: Option<&str>,
    checked: &HandlerResult<()>,
) {
    let store = &app.driver.store;
    let is_given = code.is_some_and(|code| !code.trim().is_empty());
    match (checked, is_given) {
        (Ok(()), false) => {}
        (Ok(()), true) => store.forget_missing_code(user, address).await,
        (Err(_), false) => store.note_missing_code(user, address).await,
        (Err(_), true) => store.note_failed_sign_in(Some(user), address).await,
    }
}

/// Returns the attempt of the user that is signed in to prove who it is, and the user.
async fn own_attempt<'a>(
    app: &App,
    client: ClientAddress,
    admitted: &'a Admitted,
    headers: &HeaderMap,
) -> HandlerResult<(Attempt<'a>, Option<User>)> {
    let id = own_user(admitted)?;
    let name = admitted.principal()?.name();
    let user = app.driver.store.find_user(name).await?.filter(|user| user.id == id);
    let device = device_of(app, headers, user.as_ref());
    Ok((Attempt { address: client.0, name, device }, user))
}

/// Checks the password of the user that is signed in. Returns the user, and if its browser has
/// signed in before.
async fn match_own(
    app: &App,
    attempt: &Attempt<'_>,
    user: Option<User>,
    password: String,
) -> HandlerResult<(User, bool)> {
    let lane = admit_attempt(app, attempt)?;
    lane.wait().await.map_err(busy)?;
    let is_known = lane == Lane::Known;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let matches = password::verify(password, hash, is_known).await.map_err(busy)?;
    let Some(user) = user.filter(|_| matches) else {
        app.driver.store.note_failed_sign_in(Some(attempt.name), attempt.address).await;
        return Err(wrong_password());
    };
    Ok((user, is_known))
}

fn wrong_password() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "the password is wrong")
}

fn no_second_factor() -> Refusal {
    not_found("the user has no second factor")
}
