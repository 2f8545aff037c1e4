//! The REST interface under `/api/v1`; its bodies are `porthole_signaling_proto::rest`.

use crate::{
    app::App,
    caller::{COOKIE, Caller, cookie},
    password,
    peer::PeerAddress,
    refusal::Refusal,
    store::people::{COOKIE_LIFETIME, User, cookie_name},
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    response::{AppendHeaders, IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use porthole_signaling_core::Principal;
use porthole_signaling_proto::rest::{
    CameraList, Claim, GatewayList, Me, NewToken, Setup, SignIn, Token,
};
use serde::de::DeserializeOwned;
use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};
use tracing::info;

/// The longest name of a user or a token.
const MAX_NAME_CHARS: usize = 64;
/// The most cameras one token can be limited to.
const MAX_TOKEN_CAMERAS: usize = 256;

type Answer<T> = Result<T, Refusal>;

pub(crate) async fn set_up(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let Setup { token, name, password } = read(&headers, &body)?;
    let name = check_name(&name)?;
    check_try(&app, peer, &name)?;
    if let Some(weakness) = password::weakness(&password) {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, weakness));
    }
    let store = &app.driver.store;
    let used = || {
        let text = "the setup link is wrong or was used already; \
                    the server prints a new one at its start while there is no admin";
        Refusal::new(StatusCode::FORBIDDEN, text)
    };
    // Looked at first, so that a password is only hashed for who has it.
    if !store.is_setup_token(&token).await? {
        return Err(used());
    }
    let hash = password::hash(password).await.map_err(busy)?;
    let user = store.set_up(&token, &name, &hash).await?.ok_or_else(used)?;
    info!(name = user.name, "the first admin was made");
    signed_in(&app, user).await
}

pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let SignIn { name, password } = read(&headers, &body)?;
    let name = name.trim();
    // Nobody is called that, and it is not to be remembered.
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(wrong());
    }
    check_try(&app, peer, name)?;
    let user = app.driver.store.user(name).await?;
    let hash = user.as_ref().map(|user| user.password.clone());
    let right = password::verify(password, hash).await.map_err(busy)?;
    match user {
        Some(user) if right => signed_in(&app, user).await,
        _ => Err(wrong()),
    }
}

fn wrong() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "the name or the password is wrong")
}

pub(crate) async fn me(Extension(caller): Extension<Caller>) -> Answer<Json<Me>> {
    let Principal { name, role, .. } = who(caller)?;
    Ok(Json(Me { name, role }))
}

pub(crate) async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer<Response> {
    if let Some(cookie) = cookie(&headers) {
        app.driver.store.forget_cookie(cookie).await?;
        app.driver.with(|hub, now| hub.handle_revoked(now, &cookie_name(cookie)));
    }
    let gone = AppendHeaders([(header::SET_COOKIE, set_cookie(&app, "", 0))]);
    Ok((StatusCode::NO_CONTENT, gone).into_response())
}

pub(crate) async fn cameras(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Answer<Json<CameraList>> {
    let principal = who(caller)?;
    let cameras = app.driver.with(|hub, _| hub.cameras(&principal));
    Ok(Json(CameraList { cameras }))
}

pub(crate) async fn gateways(State(app): State<Arc<App>>) -> Json<GatewayList> {
    Json(GatewayList { gateways: app.driver.with(|hub, _| hub.gateways()) })
}

pub(crate) async fn new_claim(State(app): State<Arc<App>>) -> Answer<Json<Claim>> {
    Ok(Json(app.driver.store.new_claim().await?))
}

pub(crate) async fn new_token(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Json<Token>> {
    let mut new: NewToken = read(&headers, &body)?;
    new.name = check_name(&new.name)?;
    if new.cameras.len() > MAX_TOKEN_CAMERAS {
        let text = "a token can be limited to at most 256 cameras";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    Ok(Json(app.driver.store.new_token(&new).await?))
}

async fn signed_in(app: &App, user: User) -> Answer<Response> {
    let cookie = app.driver.store.new_cookie(user.id).await?;
    let cookie = set_cookie(app, &cookie, COOKIE_LIFETIME.as_secs());
    let me = Me { name: user.name, role: user.role };
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(me)).into_response())
}

fn set_cookie(app: &App, value: &str, max_age_s: u64) -> String {
    let https = app.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    let secure = if https { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}")
}

fn who(caller: Caller) -> Answer<Principal> {
    caller.principal.ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "sign in first"))
}

/// Passwords and setup tokens are not to be guessed.
fn check_try(app: &App, PeerAddress(address): PeerAddress, name: &str) -> Answer<()> {
    let mut throttle = app.throttle.lock().unwrap_or_else(PoisonError::into_inner);
    if throttle.allows(Instant::now(), address, name) {
        return Ok(());
    }
    let mut refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many tries; wait a minute");
    refusal.header(header::RETRY_AFTER, "60");
    Err(refusal)
}

fn check_name(name: &str) -> Answer<String> {
    let name = name.trim();
    let length = name.chars().count();
    if (1..=MAX_NAME_CHARS).contains(&length) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    let text = "a name has 1 to 64 characters, on one line";
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text))
}

fn busy(_: password::Busy) -> Refusal {
    let text = "too many people sign in at this moment; try again";
    let mut refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text);
    refusal.header(header::RETRY_AFTER, "1");
    refusal
}

/// A body of JSON that says so: a form of another site's page cannot.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Answer<T> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|value| is_media_type(value, "application/json")) {
        let text = "the body must be `application/json`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("the body does not fit: {error}"))
    })
}

/// Whatever its parameters are.
pub(crate) fn is_media_type(value: &str, expected: &str) -> bool {
    let name = value.split(';').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case(expected)
}
