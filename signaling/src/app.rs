//! The table of all routes and the actions they are for. The router is built from it, and checks
//! the sender of each request against the row of its action in the table of rights
//! (`porthole_signaling_core::Action`). A test has a row for each route.

use std::sync::{Arc, Mutex};
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
use porthole_signaling_core::{Action, Admitted, Need, Sender};
use porthole_signaling_proto::WEBSOCKET_PATH;
use tokio::time::timeout;
use tracing::debug;
use url::Url;

use crate::api::{audit, credentials};
use crate::caller::{Caller, check_same_site};
use crate::config::Asset;
use crate::device::Devices;
use crate::driver::{Driver, now};
use crate::headers::PageHeaders;
use crate::places::{Full, Place};
use crate::prefix::Prefix;
use crate::refusal::Refusal;
use crate::throttle::Throttle;
use crate::{api, assets, headers, socket, whep};

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
}

pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    action: Action,
    handler: MethodRouter<Arc<App>>,
}

/// Returns the table of routes.
pub(crate) fn routes() -> Vec<Route> {
    let camera = "/whep/{camera}";
    let resource = "/whep/{camera}/{session}";
    let gateway = "/api/v1/gateways/{gateway}";
    let sign_ins = "/api/v1/sign-ins";
    let sign_in = "/api/v1/sign-ins/{sign_in}";
    let user_sign_ins = "/api/v1/users/{user}/sign-ins";
    let former_camera = "/api/v1/gateways/{gateway}/former-cameras/{camera}";
    vec![
        row(Action::Health, Method::GET, "/healthz", async || "ok\n"),
        row(Action::OpenSocket, Method::GET, WEBSOCKET_PATH, open_socket),
        row(Action::SetUp, Method::POST, "/api/v1/setup", api::set_up),
        row(Action::SignIn, Method::POST, "/api/v1/session", api::sign_in),
        row(Action::ReadSelf, Method::GET, "/api/v1/session", api::me),
        row(Action::SignOut, Method::DELETE, "/api/v1/session", api::sign_out),
        row(Action::ListCameras, Method::GET, "/api/v1/cameras", api::cameras),
        row(Action::ListGateways, Method::GET, "/api/v1/gateways", api::gateways),
        row(Action::RenameGateway, Method::PATCH, gateway, api::rename_gateway),
        row(Action::RemoveGateway, Method::DELETE, gateway, api::remove_gateway),
        row(Action::ReleaseCamera, Method::DELETE, former_camera, api::release_camera),
        row(Action::CreateClaim, Method::POST, "/api/v1/claims", api::create_claim),
        row(Action::ListClaims, Method::GET, "/api/v1/claims", credentials::claims),
        row(
            Action::RevokeClaim,
            Method::DELETE,
            "/api/v1/claims/{claim}",
            credentials::revoke_claim,
        ),
        row(Action::CreateToken, Method::POST, "/api/v1/tokens", api::create_token),
        row(Action::ListTokens, Method::GET, "/api/v1/tokens", credentials::tokens),
        row(
            Action::RevokeToken,
            Method::DELETE,
            "/api/v1/tokens/{token}",
            credentials::revoke_token,
        ),
        row(Action::ReadAudit, Method::GET, "/api/v1/audit", audit::list),
        row(Action::ListUsers, Method::GET, "/api/v1/users", credentials::users),
        row(Action::RemoveUser, Method::DELETE, "/api/v1/users/{user}", credentials::remove_user),
        row(Action::SignUserOut, Method::DELETE, user_sign_ins, credentials::sign_user_out),
        row(Action::ListSignIns, Method::GET, sign_ins, credentials::sign_ins),
        row(Action::SignOutEverywhere, Method::DELETE, sign_ins, credentials::sign_out_everywhere),
        row(Action::RevokeSignIn, Method::DELETE, sign_in, credentials::revoke_sign_in),
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
    let mut router = Router::new();
    for Route { method, path, action, handler } in routes() {
        debug!(%method, path, ?action, "route");
        let guard = from_fn_with_state((Arc::clone(app), action), guard);
        router = router.route(path, handler.route_layer(guard));
    }
    router
        .fallback(assets::serve)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(PageHeaders::new(app.public_url.as_ref()), headers::add))
        .with_state(Arc::clone(app))
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
    match whole_body(&parts, body).await {
        Ok(body) => next.run(Request::from_parts(parts, body.into())).await,
        Err(refused) => refused,
    }
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
    // Whatever a monitor sends along, the answer is whether the server is there.
    if action == Action::Health {
        return Ok(action.admit(Sender::Nobody, now())?);
    }
    let is_socket = uri.path() == WEBSOCKET_PATH;
    let caller = Caller::identify(&app.driver, headers, uri, is_socket).await?;
    if let (Some(place), Some(owner)) = (extensions.get::<Place>(), &caller.principal) {
        place.note_owner(owner.subject()).map_err(|Full| too_many_connections())?;
    }
    // Signing in sets the cookie, so pages of other sites must not do it either.
    let signs_in = action.need() == Need::Nothing && method == Method::POST;
    if caller.by_cookie || signs_in {
        check_same_site(method, headers, app.public_url.as_ref(), is_socket)?;
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

async fn open_socket(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    request: Request,
) -> Response {
    socket::upgrade(&app.driver, request, admitted.principal().ok().cloned())
}

#[cfg(test)]
mod tests;
