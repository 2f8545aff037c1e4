//! WHEP (draft-ietf-wish-whep-03): the HTTP side.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use porthole_signaling_core::{
    Admitted, IfMatch, WhepDelete, WhepFragment, WhepOffer, WhepPatch, WhepResponse,
};
use porthole_signaling_proto::{CameraAddress, IceServer, SessionId};

use crate::api::is_media_type;
use crate::app::App;
use crate::listener::ClientAddress;
use crate::prefix::UsedPrefix;
use crate::refusal::Refusal;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

type HandlerResult = Result<Response, Refusal>;

/// Handles `POST /whep/{camera}`, an SDP offer. Responds with 201 and the SDP answer.
pub(crate) async fn offer(
    State(app): State<Arc<App>>,
    Path(camera): Path<String>,
    Extension(sender): Extension<Admitted>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult {
    let offer = read(&headers, &body, SDP)?.to_owned();
    let camera = endpoint(&camera)?;
    let viewer_address = Some(address.to_canonical());
    let offer = WhepOffer { sender, camera: camera.clone(), offer, viewer_address };
    let response = app
        .driver
        .whep_request(|hub, now, request| hub.handle_whep_offer(now, request, offer))
        .await?;
    // Below a prefix that nobody has named, the one of the public URL is right, which the server
    // itself accepts as well.
    let used = prefix.map(|Extension(UsedPrefix(prefix))| prefix).unwrap_or_default();
    let prefix = if used.as_str().is_empty() { &app.prefix } else { &used };
    // In the form that the player has used, so that its addresses stay below the one it knows.
    respond(response, Some(&format!("{}/whep/{camera}", prefix.as_str())))
}

/// Handles `GET` and `HEAD` of a camera's address: 200 without content, if the caller may use it.
pub(crate) async fn describe_camera(
    State(app): State<Arc<App>>,
    Path(camera): Path<String>,
    Extension(sender): Extension<Admitted>,
) -> HandlerResult {
    let camera = endpoint(&camera)?;
    app.driver.with(|hub, now| hub.handle_whep_look_at_camera(now, &sender, &camera))?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, SDP)]).into_response())
}

/// Handles `GET` and `HEAD` of a session: 200 without content, if it is the caller's.
pub(crate) async fn describe_session(
    State(app): State<Arc<App>>,
    Path((camera, session)): Path<(String, String)>,
    Extension(sender): Extension<Admitted>,
) -> HandlerResult {
    let (_, session) = (endpoint(&camera)?, resource(&session)?);
    app.driver.with(|hub, now| hub.handle_whep_look_at_session(now, &sender, &session))?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, SDP)]).into_response())
}

/// Handles `PATCH` of a session: candidates (204), or an ICE restart (200 and the credentials and
/// candidates of the gateway).
pub(crate) async fn patch(
    State(app): State<Arc<App>>,
    Path((_, session)): Path<(String, String)>,
    Extension(sender): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult {
    let text = read(&headers, &body, FRAGMENT)?;
    let fragment = WhepFragment::parse(text)
        .map_err(|error| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let if_match = if_match(&headers);
    let patch = WhepPatch { sender, session: resource(&session)?, if_match, fragment };
    let response = app
        .driver
        .whep_request(|hub, now, request| hub.handle_whep_patch(now, request, patch))
        .await?;
    respond(response, None)
}

/// Handles `DELETE` of a session.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path((_, session)): Path<(String, String)>,
    Extension(sender): Extension<Admitted>,
) -> HandlerResult {
    let delete = WhepDelete { sender, session: resource(&session)? };
    let response = app
        .driver
        .whep_request(|hub, now, request| hub.handle_whep_delete(now, request, &delete))
        .await?;
    respond(response, None)
}

/// Handles `OPTIONS` before a `POST`, which is also a CORS preflight. Whoever may watch the camera
/// also gets the ICE servers, so that its offer can have all of its candidates.
pub(crate) async fn allow_offer(
    State(app): State<Arc<App>>,
    Path(camera): Path<String>,
    Extension(sender): Extension<Admitted>,
) -> HandlerResult {
    let headers = [
        (header::HeaderName::from_static("accept-post"), SDP),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    let mut response = (StatusCode::OK, headers).into_response();
    let camera = camera.parse::<CameraAddress>().ok();
    if let (true, Some(camera)) = (sender.principal().is_ok(), camera) {
        let servers = app.driver.with(|hub, now| hub.handle_whep_options(now, sender, &camera))?;
        append_links(response.headers_mut(), &servers);
        // The credentials are for this caller, for minutes.
        let never = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, never);
    }
    Ok(response)
}

/// Handles `OPTIONS` before a `PATCH` or `DELETE`, which is also a CORS preflight.
pub(crate) async fn allow_patch() -> Response {
    let headers = [
        (header::HeaderName::from_static("accept-post"), SDP),
        (header::HeaderName::from_static("accept-patch"), FRAGMENT),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, PATCH, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::OK, headers).into_response()
}

/// Allows pages of any site to use WHEP with a token. Cookies are not sent from other sites' pages.
pub(crate) fn allow_origins(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Location, ETag, Link, Retry-After, WWW-Authenticate"),
    );
}

/// Makes the response; `endpoint` is the path of the camera as the caller sees it.
fn respond(response: WhepResponse, endpoint: Option<&str>) -> HandlerResult {
    let mut headers = HeaderMap::new();
    let mut set = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name, value);
        }
    };
    let (status, body) = match response {
        WhepResponse::Created { session, answer, ice_servers, etag } => {
            if let Some(endpoint) = endpoint {
                set(header::LOCATION, &format!("{endpoint}/{session}"));
            }
            set(header::CONTENT_TYPE, SDP);
            set(header::ETAG, &etag);
            append_links(&mut headers, &ice_servers);
            (StatusCode::CREATED, answer)
        }
        WhepResponse::Trickled => (StatusCode::NO_CONTENT, String::new()),
        WhepResponse::Restarted { fragment, ice_servers, etag } => {
            set(header::CONTENT_TYPE, FRAGMENT);
            set(header::ETAG, &etag);
            append_links(&mut headers, &ice_servers);
            (StatusCode::OK, fragment)
        }
        WhepResponse::Deleted => (StatusCode::OK, String::new()),
    };
    Ok((status, headers, body).into_response())
}

fn append_links(headers: &mut HeaderMap, servers: &[IceServer]) {
    for link in servers.iter().flat_map(links) {
        if let Ok(link) = HeaderValue::from_str(&link) {
            headers.append(header::LINK, link);
        }
    }
}

/// Returns the `Link` headers for an ICE server (RFC 9725 §4.6 for WHIP, which WHEP follows).
fn links(server: &IceServer) -> Vec<String> {
    let credentials = match (&server.username, &server.credential) {
        (Some(username), Some(credential)) => format!(
            "; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\""
        ),
        _ => String::new(),
    };
    let link = |url| format!("<{url}>; rel=\"ice-server\"{credentials}");
    server.urls.iter().map(link).collect()
}

/// Reads `If-Match` (RFC 9110 §13.1.1).
fn if_match(headers: &HeaderMap) -> Option<IfMatch> {
    let values = headers.get_all(header::IF_MATCH).into_iter();
    let tags: Vec<String> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().to_owned())
        .collect();
    match tags.as_slice() {
        [] => None,
        tags if tags.iter().any(|tag| tag == "*") => Some(IfMatch::Any),
        _ => Some(IfMatch::Tags(tags)),
    }
}

fn read<'a>(headers: &HeaderMap, body: &'a Bytes, expected: &str) -> Result<&'a str, Refusal> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|value| is_media_type(value, expected)) {
        let text = format!("the body must be `{expected}`");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    std::str::from_utf8(body)
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body is not UTF-8"))
}

fn endpoint(camera: &str) -> Result<CameraAddress, Refusal> {
    camera.parse().map_err(|_| Refusal::new(StatusCode::NOT_FOUND, "there is no such camera"))
}

fn resource(session: &str) -> Result<SessionId, Refusal> {
    session.parse().map_err(|_| Refusal::new(StatusCode::NOT_FOUND, "there is no such session"))
}
