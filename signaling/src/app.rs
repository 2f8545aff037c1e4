//! The table of all routes and the actions they are for. The router is built from it, and checks
//! the sender of each request against the row of its action in the table of rights
//! (`porthole_signaling_core::Action`). A test has a row for each route.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router};
use http::request::Parts;
use http::{Method, StatusCode, header};
use porthole_metrics::Tally;
use porthole_signaling_core::{Action, Admitted, Need, Principal, Sender};
use porthole_signaling_proto::WEBSOCKET_PATH;
use tokio::time::timeout;
use tracing::debug;
use url::Url;

use crate::api::cookie_name;
use crate::api::passkeys::Passkeys;
use crate::api::{
    account, audit, credentials, identities, invitations, passkeys, people, removal, shares,
};
use crate::authority::Authority;
use crate::caller::{COOKIE, Caller, check_same_site};
use crate::config::Asset;
use crate::device::Devices;
use crate::driver::{Driver, now};
use crate::headers::PageHeaders;
use crate::metrics::Status;
use crate::openid::Provider;
use crate::places::{Full, Place};
use crate::prefix::{Prefix, UsedPrefix};
use crate::refusal::Refusal;
use crate::throttle::Throttle;
use crate::{api, assets, authority, headers, socket, whep};

/// The longest body, in bytes. The SDP of a browser has about 8 kB.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Time a client has to send the body: enough for 64 KiB over a very slow uplink.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Time after which a client with too many connections may try again.
const RETRY_CONNECTION: Duration = Duration::from_secs(5);

/// The state that all routes share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) driver: Arc<Driver>,
    pub(crate) public_url: Option<Url>,
    /// The path in the public URL.
    pub(crate) prefix: Prefix,
    pub(crate) assets: fn(&str) -> Option<Asset>,
    pub(crate) throttle: Mutex<Throttle>,
    /// The browsers that have signed in before.
    pub(crate) devices: Devices,
    pub(crate) passkeys: Passkeys,
    /// The provider whose accounts may sign in, if there is one.
    pub(crate) provider: Option<Provider>,
    /// The authority that the server has made for its own certificate, if there is one.
    pub(crate) authority: Option<Authority>,
    /// The numbers of responses by status.
    pub(crate) responses: Mutex<Tally<Status>>,
}

pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    action: Action,
    handler: MethodRouter<Arc<App>>,
}

/// Returns the table of routes.
pub(crate) fn routes() -> Vec<Route> {
    let groups = [
        general(),
        of_gateways(),
        of_tokens(),
        of_people(),
        of_shares(),
        of_removals(),
        of_sign_ins(),
        of_account(),
        of_passkeys(),
        of_identities(),
        of_whep(),
    ];
    groups.into_iter().flatten().collect()
}

fn general() -> Vec<Route> {
    vec![
        row(Action::Health, Method::GET, "/healthz", async || "ok\n"),
        row(Action::Health, Method::GET, "/readyz", ready),
        row(Action::ReadAuthority, Method::GET, "/ca.crt", authority::certificate),
        row(Action::ReadAuthority, Method::GET, "/trust", authority::page),
        row(Action::OpenSocket, Method::GET, WEBSOCKET_PATH, open_socket),
        row(Action::SetUp, Method::POST, "/api/v1/setup", api::set_up),
        row(Action::SignIn, Method::POST, "/api/v1/session", api::sign_in),
        row(Action::ReadSelf, Method::GET, "/api/v1/session", api::me),
        row(Action::SignOut, Method::DELETE, "/api/v1/session", api::sign_out),
        row(Action::ListCameras, Method::GET, "/api/v1/cameras", api::cameras),
        row(Action::ReadIceServers, Method::GET, "/api/v1/ice-servers", api::ice_servers),
    ]
}

fn of_gateways() -> Vec<Route> {
    let gateway = "/api/v1/gateways/{gateway}";
    let former_camera = "/api/v1/gateways/{gateway}/former-cameras/{camera}";
    let (claims, claim) = ("/api/v1/claims", "/api/v1/claims/{claim}");
    vec![
        row(Action::ListGateways, Method::GET, "/api/v1/gateways", api::gateways),
        row(Action::RenameGateway, Method::PATCH, gateway, api::rename_gateway),
        row(Action::RemoveGateway, Method::DELETE, gateway, api::remove_gateway),
        row(Action::ReleaseCamera, Method::DELETE, former_camera, api::release_camera),
        row(Action::CreateClaim, Method::POST, claims, api::create_claim),
        row(Action::ListClaims, Method::GET, claims, credentials::claims),
        row(Action::RevokeClaim, Method::DELETE, claim, credentials::revoke_claim),
    ]
}

fn of_tokens() -> Vec<Route> {
    let (tokens, token) = ("/api/v1/tokens", "/api/v1/tokens/{token}");
    vec![
        row(Action::CreateToken, Method::POST, tokens, api::create_token),
        row(Action::ListTokens, Method::GET, tokens, credentials::tokens),
        row(Action::RevokeToken, Method::DELETE, token, credentials::revoke_token),
    ]
}

fn of_people() -> Vec<Route> {
    let user = "/api/v1/users/{user}";
    let (invitations, invitation) = ("/api/v1/invitations", "/api/v1/invitations/{invitation}");
    let (read, accept) = ("/api/v1/invitations/read", "/api/v1/invitations/accept");
    let reset = "/api/v1/users/{user}/reset";
    let factor = "/api/v1/users/{user}/second-factor";
    vec![
        row(Action::ReadAudit, Method::GET, "/api/v1/audit", audit::list),
        row(Action::ListUsers, Method::GET, "/api/v1/users", credentials::users),
        row(Action::ChangeUser, Method::PATCH, user, people::change_user),
        row(Action::RemoveUser, Method::DELETE, user, credentials::remove_user),
        row(Action::TakeSecondFactor, Method::DELETE, factor, account::take_second_factor),
        row(Action::ResetUser, Method::POST, reset, invitations::create_reset),
        row(Action::InvitePerson, Method::POST, invitations, invitations::create),
        row(Action::ListInvitations, Method::GET, invitations, invitations::list),
        row(Action::RevokeInvitation, Method::DELETE, invitation, invitations::revoke),
        row(Action::ReadInvitation, Method::POST, read, invitations::read_offer),
        row(Action::AcceptInvitation, Method::POST, accept, invitations::accept),
    ]
}

fn of_shares() -> Vec<Route> {
    let (all, one) = ("/api/v1/shares", "/api/v1/shares/{share}");
    vec![
        row(Action::CreateShare, Method::POST, all, shares::create),
        row(Action::ListShares, Method::GET, all, shares::list),
        row(Action::RevokeShare, Method::DELETE, one, shares::revoke),
        row(Action::OpenShare, Method::POST, "/api/v1/shares/open", shares::open),
    ]
}

fn of_removals() -> Vec<Route> {
    let (token, user) = ("/api/v1/tokens/{token}/removal", "/api/v1/users/{user}/removal");
    let gateway = "/api/v1/gateways/{gateway}/removal";
    let camera = "/api/v1/gateways/{gateway}/cameras/{camera}/removal";
    vec![
        row(Action::ForeseeToken, Method::GET, token, removal::of_token),
        row(Action::ForeseeUser, Method::GET, user, removal::of_user),
        row(Action::ForeseeGateway, Method::GET, gateway, removal::of_gateway),
        row(Action::ForeseeCamera, Method::GET, camera, removal::of_camera),
    ]
}

fn of_sign_ins() -> Vec<Route> {
    let sign_ins = "/api/v1/sign-ins";
    let sign_in = "/api/v1/sign-ins/{sign_in}";
    let of_user = "/api/v1/users/{user}/sign-ins";
    vec![
        row(Action::ListSignIns, Method::GET, sign_ins, credentials::sign_ins),
        row(Action::SignOutEverywhere, Method::DELETE, sign_ins, credentials::sign_out_everywhere),
        row(Action::RevokeSignIn, Method::DELETE, sign_in, credentials::revoke_sign_in),
        row(Action::SignUserOut, Method::DELETE, of_user, credentials::sign_user_out),
    ]
}

fn of_account() -> Vec<Route> {
    let password = "/api/v1/session/password";
    let factor = "/api/v1/session/second-factor";
    vec![
        row(Action::ChangePassword, Method::PUT, password, account::change_password),
        row(Action::ReadSecondFactor, Method::GET, factor, account::second_factor),
        row(Action::BeginSecondFactor, Method::POST, factor, account::begin_second_factor),
        row(Action::ConfirmSecondFactor, Method::PUT, factor, account::confirm_second_factor),
        row(Action::RemoveSecondFactor, Method::DELETE, factor, account::remove_second_factor),
    ]
}

fn of_passkeys() -> Vec<Route> {
    let (ways, sign_in) = ("/api/v1/session/ways", "/api/v1/session/passkey");
    let request = "/api/v1/session/passkey/request";
    let (own, one) = ("/api/v1/session/passkeys", "/api/v1/session/passkeys/{passkey}");
    let begin = "/api/v1/session/passkeys/request";
    vec![
        row(Action::ReadSignInWays, Method::GET, ways, passkeys::ways),
        row(Action::RequestPasskey, Method::POST, request, passkeys::request),
        row(Action::SignInWithPasskey, Method::POST, sign_in, passkeys::sign_in),
        row(Action::ListPasskeys, Method::GET, own, passkeys::list),
        row(Action::BeginPasskey, Method::POST, begin, passkeys::begin),
        row(Action::AddPasskey, Method::POST, own, passkeys::add),
        row(Action::RemovePasskey, Method::DELETE, one, passkeys::remove),
    ]
}

fn of_identities() -> Vec<Route> {
    let (sign_in, request) = ("/api/v1/session/provider", "/api/v1/session/provider/request");
    let (own, one) = ("/api/v1/session/identities", "/api/v1/session/identities/{identity}");
    let link = "/api/v1/session/identities/request";
    vec![
        row(Action::RequestProvider, Method::POST, request, identities::request),
        row(Action::AnswerProvider, Method::POST, sign_in, identities::answer),
        row(Action::ListIdentities, Method::GET, own, identities::list),
        row(Action::BeginIdentity, Method::POST, link, identities::begin),
        row(Action::RemoveIdentity, Method::DELETE, one, identities::remove),
    ]
}

fn of_whep() -> Vec<Route> {
    let camera = "/whep/{camera}";
    let resource = "/whep/{camera}/{session}";
    vec![
        row(Action::Offer, Method::POST, camera, whep::offer),
        row(Action::LookAtCamera, Method::GET, camera, whep::describe_camera),
        row(Action::AskCamera, Method::OPTIONS, camera, whep::allow_offer),
        row(Action::Patch, Method::PATCH, resource, whep::patch),
        row(Action::LookAtSession, Method::GET, resource, whep::describe_session),
        row(Action::Delete, Method::DELETE, resource, whep::delete),
        row(Action::AskSession, Method::OPTIONS, resource, whep::allow_patch),
    ]
}

fn row<H, T>(action: Action, method: Method, path: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    let filter =
        MethodFilter::try_from(method.clone()).expect("the table has only HTTP's own methods");
    Route { method, path, action, handler: on(filter, handler) }
}

/// Builds the router for all of HTTP.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let page_headers = PageHeaders::new(app.public_url.as_ref(), app.authority.is_some());
    let mut router = Router::new();
    for Route { method, path, action, handler } in routes() {
        debug!(%method, path, ?action, "route");
        let guard = from_fn_with_state((Arc::clone(app), action), guard);
        router = router.route(path, handler.route_layer(guard));
    }
    router
        .fallback(assets::serve)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(app), count_response))
        .layer(from_fn_with_state(page_headers, headers::add))
        .with_state(Arc::clone(app))
}

async fn count_response(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = Status::of(response.status().as_u16());
    app.responses.lock().unwrap_or_else(PoisonError::into_inner).add(status, 1);
    response
}

/// Admits the sender of a request to the action of its route, and passes the proof on to the route.
async fn guard(
    State((app, action)): State<(Arc<App>, Action)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match authorize(&app, action, &parts).await {
        Ok(admitted) => parts.extensions.insert(admitted),
        Err(refusal) => return refusal.into_response(),
    };
    // The bytes after the handshake of a WebSocket are not a body.
    if parts.uri.path() == WEBSOCKET_PATH {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let body = match whole_body(&parts, body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    // The body may have taken its time, in which the credential was revoked.
    let is_revoked = |owner: &Principal| app.driver.with(|hub, _| hub.is_revoked(owner));
    if parts
        .extensions
        .get::<Admitted>()
        .and_then(|one| one.principal().ok())
        .is_some_and(is_revoked)
    {
        let text = "the credential was revoked, or its rights have changed; sign in again";
        return Refusal::new(StatusCode::UNAUTHORIZED, text).into_response();
    }
    next.run(Request::from_parts(parts, body.into())).await
}

/// Reads the whole body, if it arrives in time and is not too long.
async fn whole_body(parts: &Parts, body: Body) -> Result<Bytes, Response> {
    let request = Request::from_parts(parts.clone(), body);
    match timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(body) => body.map_err(IntoResponse::into_response),
        Err(_) => {
            let text = "the body did not arrive within 10 s";
            let mut refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, text);
            refusal.header(header::CONNECTION, "close");
            Err(refusal.into_response())
        }
    }
}

async fn authorize(app: &App, action: Action, request: &Parts) -> Result<Admitted, Refusal> {
    let Parts { headers, method, uri, extensions, .. } = request;
    // Whatever a monitor sends along, the answer is whether the server is there; and a browser with
    // an old cookie needs the authority as others do.
    if matches!(action, Action::Health | Action::ReadAuthority) {
        return Ok(action.admit(Sender::Nobody, now())?);
    }
    let is_socket = uri.path() == WEBSOCKET_PATH;
    let cookie = cookie_name(app, extensions.get::<UsedPrefix>(), COOKIE);
    let caller = Caller::identify(&app.driver, headers, uri, is_socket, &cookie).await?;
    if let (Some(place), Some(owner)) = (extensions.get::<Place>(), &caller.principal) {
        place.note_owner(owner.account()).map_err(|Full| too_many_connections())?;
    }
    // Signing in sets the cookie, so pages of other sites must not do it either.
    let signs_in = action.need() == Need::Nothing && method == Method::POST;
    if caller.by_cookie || signs_in {
        let works = is_socket || action.foresees();
        check_same_site(method, headers, app.public_url.as_ref(), works)?;
    }
    if let Some(principal) = &caller.principal {
        app.driver.note_use(principal);
    }
    Ok(action.admit(Sender::from(caller.principal), now())?)
}

fn too_many_connections() -> Refusal {
    let text = "too many connections of this user or token; close some";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, text).retry_after(RETRY_CONNECTION)
}

/// Answers if the server can serve requests: its database must answer.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.driver.store.check().await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            debug!(%error, "the database does not answer");
            let text = "the database does not answer: see the log, and the room on the disk";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn open_socket(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    request: Request,
) -> Response {
    socket::upgrade(&app.driver, request, admitted.principal().ok().cloned())
}

#[cfg(test)]
mod tests;
