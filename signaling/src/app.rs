//! The table of all routes and their access rights. The router is built from it, and a test has a
//! row for each route.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use porthole_signaling_proto::WEBSOCKET_PATH;
use porthole_signaling_proto::rest::Role;
use tokio::time::timeout;
use tracing::debug;
use url::Url;

use crate::caller::{Caller, check_same_site};
use crate::config::Asset;
use crate::driver::Driver;
use crate::prefix::Prefix;
use crate::refusal::Refusal;
use crate::throttle::Throttle;
use crate::{api, assets, socket, whep};

/// The longest body, in bytes. The SDP of a browser has about 8 kB.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Time a client has to send the body: enough for 64 KiB over a very slow uplink.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Forbids inline scripts and styles, content from other sites, and framing the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; \
    img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// The state that all routes share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) driver: Arc<Driver>,
    pub(crate) public_url: Option<Url>,
    /// The path in the public URL.
    pub(crate) prefix: Prefix,
    pub(crate) assets: fn(&str) -> Option<Asset>,
    pub(crate) throttle: Mutex<Throttle>,
}

/// The access rights that a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// No credential: the route is open to anyone.
    Open,
    /// A valid token or cookie.
    Viewer,
    /// The role of an admin.
    Admin,
}

pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    handler: MethodRouter<Arc<App>>,
}

/// Returns the table of routes.
pub(crate) fn routes() -> Vec<Route> {
    use Access::{Admin, Open, Viewer};
    let camera = "/whep/{camera}";
    let resource = "/whep/{camera}/{session}";
    vec![
        row(Method::GET, "/healthz", Open, async || "ok\n"),
        row(Method::GET, WEBSOCKET_PATH, Open, open_socket),
        row(Method::POST, "/api/v1/setup", Open, api::set_up),
        row(Method::POST, "/api/v1/session", Open, api::sign_in),
        row(Method::GET, "/api/v1/session", Viewer, api::me),
        row(Method::DELETE, "/api/v1/session", Viewer, api::sign_out),
        row(Method::GET, "/api/v1/cameras", Viewer, api::cameras),
        row(Method::GET, "/api/v1/gateways", Admin, api::gateways),
        row(Method::POST, "/api/v1/claims", Admin, api::create_claim),
        row(Method::POST, "/api/v1/tokens", Admin, api::create_token),
        row(Method::POST, camera, Viewer, whep::offer),
        row(Method::GET, camera, Viewer, whep::describe_camera),
        row(Method::OPTIONS, camera, Open, whep::allow_offer),
        row(Method::PATCH, resource, Viewer, whep::patch),
        row(Method::GET, resource, Viewer, whep::describe_session),
        row(Method::DELETE, resource, Viewer, whep::delete),
        row(Method::OPTIONS, resource, Open, whep::allow_patch),
    ]
}

fn row<H, T>(method: Method, path: &'static str, access: Access, handler: H) -> Route
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    let filter =
        MethodFilter::try_from(method.clone()).expect("the table has only HTTP's own methods");
    Route { method, path, access, handler: on(filter, handler) }
}

/// Builds the router for all of HTTP.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for Route { method, path, access, handler } in routes() {
        debug!(%method, path, ?access, "route");
        let guard = from_fn_with_state((Arc::clone(app), access), guard);
        router = router.route(path, handler.route_layer(guard));
    }
    router
        .fallback(assets::serve)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(add_headers))
        .with_state(Arc::clone(app))
}

/// Checks the access rights of a request, and passes its sender on to the route.
async fn guard(
    State((app, access)): State<(Arc<App>, Access)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match authorize(&app, access, &parts).await {
        Ok(caller) => parts.extensions.insert(caller),
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

async fn authorize(app: &App, access: Access, request: &Parts) -> Result<Caller, Refusal> {
    let Parts { headers, method, uri, .. } = request;
    let is_socket = uri.path() == WEBSOCKET_PATH;
    let caller = Caller::identify(&app.driver, headers, uri, is_socket).await?;
    // Signing in sets the cookie, so pages of other sites must not do it either.
    let signs_in = access == Access::Open && !is_socket && method == Method::POST;
    if caller.by_cookie || signs_in {
        check_same_site(method, headers, app.public_url.as_ref(), is_socket)?;
    }
    let role = caller.principal.as_ref().map(|principal| principal.role);
    match (access, role) {
        (Access::Open, _)
        | (Access::Viewer, Some(Role::Viewer | Role::Admin))
        | (Access::Admin, Some(Role::Admin)) => Ok(caller),
        (Access::Viewer | Access::Admin, None) => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "sign in, or send an access token as `Authorization: Bearer`",
        )),
        (Access::Admin, Some(Role::Viewer)) => {
            Err(Refusal::new(StatusCode::FORBIDDEN, "only an admin may do this"))
        }
    }
}

async fn open_socket(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    socket::upgrade(&app.driver, request, caller.principal)
}

async fn add_headers(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::REFERRER_POLICY, "no-referrer");
    if path.starts_with("/api/") {
        set(header::CACHE_CONTROL, "no-store");
    }
    if path.starts_with("/whep/") {
        whep::allow_origins(headers);
    }
    response
}

#[cfg(test)]
mod tests;
