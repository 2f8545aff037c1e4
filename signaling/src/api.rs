//! The REST interface under `/api/v1`, whose bodies are in `porthole_signaling_proto::rest`.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod credentials;
pub(crate) mod identities;
pub(crate) mod invitations;
pub(crate) mod passkeys;
pub(crate) mod people;
pub(crate) mod removal;
pub(crate) mod shares;

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode, header};
use porthole_signaling_core::Admitted;
use porthole_signaling_proto::names::is_shown;
use porthole_signaling_proto::rest::{
    CameraList, Claim, GatewayList, Me, NewClaim, NewToken, Removed, RenameGateway, Setup, SignIn,
    Token,
};
use porthole_signaling_proto::{CameraId, GatewayId};
use serde::de::DeserializeOwned;
use tracing::info;

use crate::app::App;
use crate::caller::{COOKIE, DEVICE_COOKIE, cookie_to_set, cookies};
use crate::device::DeviceId;
use crate::driver::now;
use crate::listener::ClientAddress;
use crate::prefix::UsedPrefix;
use crate::refusal::Refusal;
use crate::store::users::{COOKIE_LIFETIME, User};
use crate::store::{CLAIM_LIFETIME, Means, RightsEnd};
use crate::throttle::{Attempt, Lane, Throttle};
use crate::{device, password};

/// The longest name of a user or a token.
const MAX_NAME_CHARS: usize = 64;
/// The longest name of a browser that is stored.
const MAX_BROWSER_CHARS: usize = 256;
/// The most cameras that one token or user can be limited to.
const MAX_LIMITED_CAMERAS: usize = 256;

type HandlerResult<T> = Result<T, Refusal>;

pub(crate) async fn set_up(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Response> {
    let Setup { token, name, password } = read(&headers, &body)?;
    let name = check_name(&name)?;
    let attempt = Attempt { address: client.0, name: &name, device: None };
    admit_attempt(&app, &attempt)?;
    if let Some(weakness) = password::weakness(&password) {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, weakness));
    }
    let store = &app.driver.store;
    let invalid = || {
        let text = "the setup link is wrong or has already been used; \
                    the server prints a new one when it starts, as long as there is no owner";
        Refusal::new(StatusCode::FORBIDDEN, text)
    };
    // Checked first, so that a password is only hashed for a valid token.
    if !store.is_setup_token(&token).await? {
        return Err(invalid());
    }
    let hash = password::hash(password).await.map_err(busy)?;
    let user =
        store.create_first_owner(&token, &name, &hash, client.0).await?.ok_or_else(invalid)?;
    info!(name = user.name, "the first owner was created");
    respond_signed_in(&app, &user, Means::Password, client, &headers, prefix).await
}

pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Response> {
    let SignIn { name, password, code } = read(&headers, &body)?;
    let name = name.trim();
    // No user has such a name, and the throttle must not store it.
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(wrong_credentials());
    }
    let user = app.driver.store.find_user(name).await?;
    let device = device_of(&app, &headers, user.as_ref());
    let attempt = Attempt { address: client.0, name, device };
    let lane = admit_attempt(&app, &attempt)?;
    lane.wait().await.map_err(busy)?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let is_known = lane == Lane::Known;
    let matches = password::verify(password, hash, is_known).await.map_err(busy)?;
    match user {
        Some(user) if matches => {
            let code_of = account::CodeOf { user: user.id, is_known };
            let checked = code_of.check(&app, code.as_deref(), StatusCode::UNAUTHORIZED).await;
            account::note_code(&app, &user.name, client, code.as_deref(), &checked).await;
            checked?;
            throttle(&app).forgive(&attempt);
            respond_signed_in(&app, &user, Means::Password, client, &headers, prefix).await
        }
        user => {
            let name = user.map(|user| user.name);
            app.driver.store.note_failed_sign_in(name.as_deref(), client.0).await;
            Err(wrong_credentials())
        }
    }
}

/// Returns the browser that sends a request, if it has signed in before, as whatever user.
fn any_device_of(app: &App, headers: &HeaderMap) -> Option<DeviceId> {
    let read = |cookie| app.devices.read_any(cookie, now().unix_s);
    cookies(headers, DEVICE_COOKIE).find_map(read)
}

/// Returns the browser that sends a request, if it has signed in as this user before.
fn device_of(app: &App, headers: &HeaderMap, user: Option<&User>) -> Option<DeviceId> {
    let user = user?;
    let read = |cookie| app.devices.read(cookie, user, now().unix_s);
    cookies(headers, DEVICE_COOKIE).find_map(read)
}

fn wrong_credentials() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "the name or the password is wrong")
}

pub(crate) async fn me(Extension(admitted): Extension<Admitted>) -> HandlerResult<Json<Me>> {
    let principal = admitted.principal()?;
    Ok(Json(Me { name: principal.name().to_owned(), role: principal.role() }))
}

pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
) -> HandlerResult<Response> {
    for cookie in cookies(&headers, COOKIE) {
        if let Some(credential) = app.driver.store.delete_cookie(cookie).await? {
            app.driver.with(|hub, now| hub.handle_revoked(now, &credential));
        }
    }
    let expired = set_cookie(&app, prefix.as_ref(), COOKIE, "", Duration::ZERO);
    let expired = AppendHeaders([(header::SET_COOKIE, expired)]);
    Ok((StatusCode::NO_CONTENT, expired).into_response())
}

pub(crate) async fn cameras(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<CameraList>> {
    admitted.check_scope()?;
    Ok(Json(CameraList { cameras: app.driver.with(|hub, now| hub.cameras(now, &admitted)) }))
}

pub(crate) async fn ice_servers(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Response> {
    let list = app.driver.with(|hub, now| hub.handle_ice_servers(now, &admitted))?;
    // The credentials are for this sender, for minutes.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(list)).into_response())
}

pub(crate) async fn gateways(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<GatewayList>> {
    let granted = admitted.everything(now())?;
    Ok(Json(GatewayList { gateways: app.driver.with(|hub, _| hub.gateways(&granted)) }))
}

pub(crate) async fn rename_gateway(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    gateway: Result<extract::Path<GatewayId>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<StatusCode> {
    let granted = admitted.on_gateway(&gateway_in(gateway)?, now())?;
    let RenameGateway { name } = read(&headers, &body)?;
    let name = check_name(&name)?;
    if !app.driver.store.rename_gateway(&granted, &name).await? {
        return Err(no_such_gateway());
    }
    app.driver.with(|hub, _| hub.rename_gateway(&granted, &name));
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn remove_gateway(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    gateway: Result<extract::Path<GatewayId>, PathRejection>,
) -> HandlerResult<Json<Removed>> {
    let granted = admitted.everything(now())?;
    let gateway = gateway_in(gateway)?;
    let removal = app.driver.store.remove_gateway(&granted, &gateway).await?;
    Ok(Json(app.driver.end_removed(removal.ok_or_else(no_such_gateway)?)))
}

pub(crate) async fn release_camera(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    path: Result<extract::Path<(GatewayId, CameraId)>, PathRejection>,
) -> HandlerResult<StatusCode> {
    let granted = admitted.everything(now())?;
    let text = "the gateway has had no camera with this id, or still has it";
    let refused = || Refusal::new(StatusCode::NOT_FOUND, text);
    let extract::Path((gateway, camera)) = path.map_err(|_| refused())?;
    if !app.driver.with(|hub, _| hub.is_former_camera(&gateway, &camera)) {
        return Err(refused());
    }
    // Its rights go first: another camera may get the id as soon as it is released.
    let end = RightsEnd::Released;
    let removal = app.driver.store.take_rights(&granted, &gateway, &camera, end).await?;
    app.driver.end_rights(&gateway, &camera, removal);
    if !app.driver.with(|hub, now| hub.release_camera(now, &granted, &gateway, &camera)) {
        return Err(refused());
    }
    Ok(StatusCode::NO_CONTENT)
}

fn gateway_in(path: Result<extract::Path<GatewayId>, PathRejection>) -> HandlerResult<GatewayId> {
    path.map(|extract::Path(gateway)| gateway).map_err(|_| no_such_gateway())
}

fn no_such_gateway() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such gateway")
}

pub(crate) async fn create_claim(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<Claim>> {
    let granted = admitted.give_enrolment(CLAIM_LIFETIME, now());
    let granted = audit::given(&app, &admitted, granted).await?;
    let NewClaim { replaces } =
        if body.is_empty() { NewClaim::default() } else { read(&headers, &body)? };
    if let Some(replaces) = &replaces
        && app.driver.store.gateway_key(replaces).await?.is_none()
    {
        return Err(no_such_gateway());
    }
    let mut claim = app.driver.store.create_claim(&granted, replaces.as_ref()).await?;
    let authority = app.authority.as_ref();
    claim.ca_fingerprint = authority.map(|authority| authority.fingerprint().to_string());
    Ok(Json(claim))
}

pub(crate) async fn create_token(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<Token>> {
    let mut new: NewToken = read(&headers, &body)?;
    new.name = check_name(&new.name)?;
    if new.cameras.len() > MAX_LIMITED_CAMERAS {
        let text = "a token can be limited to at most 256 cameras";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let created = app.driver.store.create_token(&admitted, &new).await;
    Ok(Json(audit::given(&app, &admitted, created).await?))
}

async fn respond_signed_in(
    app: &App,
    user: &User,
    means: Means,
    ClientAddress(address): ClientAddress,
    headers: &HeaderMap,
    prefix: Option<Extension<UsedPrefix>>,
) -> HandlerResult<Response> {
    let browser = browser_name(headers);
    let cookie = app.driver.store.create_cookie(user, means, address, browser.as_deref()).await?;
    let cookie = cookie.ok_or_else(wrong_credentials)?;
    let known = device_of(app, headers, Some(user));
    let prefix = prefix.as_ref();
    let cookies = [
        set_cookie(app, prefix, COOKIE, &cookie, COOKIE_LIFETIME),
        known_cookie(app, prefix, user, known),
    ];
    let me = Me { name: user.name.clone(), role: user.role };
    let cookies = cookies.map(|cookie| (header::SET_COOKIE, cookie));
    Ok((AppendHeaders(cookies), Json(me)).into_response())
}

/// Returns the value of `Set-Cookie` that makes a browser one that has signed in as this user.
/// `known` is the browser that it was before, if it was one.
fn known_cookie(
    app: &App,
    prefix: Option<&Extension<UsedPrefix>>,
    user: &User,
    known: Option<DeviceId>,
) -> String {
    let device = app.devices.issue(user, known, now().unix_s);
    set_cookie(app, prefix, DEVICE_COOKIE, &device, device::LIFETIME)
}

/// Returns the beginning of the name that the browser gives itself, as far as it is plain text.
fn browser_name(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(name.chars().take(MAX_BROWSER_CHARS).collect())
}

/// Returns the value of `Set-Cookie`, for the paths below the prefix that the caller uses.
fn set_cookie(
    app: &App,
    prefix: Option<&Extension<UsedPrefix>>,
    name: &str,
    value: &str,
    max_age: Duration,
) -> String {
    let secure = if is_secure(app) { "; Secure" } else { "" };
    let name = cookie_name(app, prefix.map(|Extension(used)| used), name);
    let prefix = prefix.map_or("", |Extension(UsedPrefix(prefix))| prefix.as_str());
    let max_age_s = max_age.as_secs();
    format!(
        "{name}={value}; Path={prefix}/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"
    )
}

/// Returns the name of a cookie that is set for the paths below the prefix that the caller uses.
pub(crate) fn cookie_name(app: &App, prefix: Option<&UsedPrefix>, name: &str) -> String {
    let is_for_all_paths = prefix.is_none_or(|used| used.0.as_str().is_empty());
    cookie_to_set(name, is_secure(app), is_for_all_paths)
}

/// Returns true if browsers come with TLS.
fn is_secure(app: &App) -> bool {
    app.public_url.as_ref().is_some_and(|url| url.scheme() == "https")
}

/// Limits how often passwords and setup tokens can be guessed.
fn admit_attempt(app: &App, attempt: &Attempt<'_>) -> HandlerResult<Lane> {
    throttle(app).admit(Instant::now(), attempt).map_err(too_many_attempts)
}

fn too_many_attempts(wait: Duration) -> Refusal {
    let text = "too many attempts; wait a minute";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, text).retry_after(wait)
}

fn throttle(app: &App) -> MutexGuard<'_, Throttle> {
    app.throttle.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_name(name: &str) -> HandlerResult<String> {
    let name = name.trim();
    let length = name.chars().count();
    if (1..=MAX_NAME_CHARS).contains(&length) && name.chars().all(is_shown) {
        return Ok(name.to_owned());
    }
    let text = "a name has 1 to 64 characters that are shown as they are, on one line";
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text))
}

fn busy(_: password::Busy) -> Refusal {
    let text = "too many people are signing in at the moment; try again";
    let mut refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text);
    refusal.header(header::RETRY_AFTER, "1");
    refusal
}

/// Reads a JSON body. Its media type is required because a form on another site's page cannot
/// send it.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> HandlerResult<T> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|value| is_media_type(value, "application/json")) {
        let text = "the body must be `application/json`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not valid: {error}"))
    })
}

/// Compares a media type without its parameters.
pub(crate) fn is_media_type(value: &str, expected: &str) -> bool {
    let name = value.split(';').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case(expected)
}
