//! WHEP (draft-ietf-wish-whep-03): the HTTP side.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use porthole_signaling_core::{
    IfMatch, WhepDelete, WhepFragment, WhepOffer, WhepPatch, WhepResponse,
};
use porthole_signaling_proto::{CameraId, IceServer, SessionId};

use crate::api::is_media_type;
use crate::app::App;
use crate::caller::Caller;
use crate::refusal::Refusal;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

type HandlerResult = Result<Response, Refusal>;

/// Handles `POST /whep/{camera}`, an SDP offer. Responds with 201 and the SDP answer.
pub(crate) async fn offer(
    State(app): State<Arc<App>>,
    Path(camera): Path<String>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult {
    let principal = caller.into_principal()?;
    let offer = read(&headers, &body, SDP)?.to_owned();
    let camera: CameraId = camera
        .parse()
        .map_err(|_| Refusal::new(StatusCode::NOT_FOUND, "there is no such camera"))?;
    let offer = WhepOffer { principal, camera: camera.clone(), offer };
    let response = app
        .driver
        .whep_request(|hub, now, request| hub.handle_whep_offer(now, request, offer))
        .await?;
    respond(response, Some(&camera))
}

/// Handles `PATCH` of a session: candidates (204), or an ICE restart (200 and the credentials and
/// candidates of the gateway).
pub(crate) async fn patch(
    State(app): State<Arc<App>>,
    Path((_, session)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult {
    let principal = caller.into_principal()?;
    let text = read(&headers, &body, FRAGMENT)?;
    let fragment = WhepFragment::parse(text)
        .map_err(|error| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let if_match = if_match(&headers);
    let patch = WhepPatch { principal, session: resource(&session)?, if_match, fragment };
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
    Extension(caller): Extension<Caller>,
) -> HandlerResult {
    let delete = WhepDelete { principal: caller.into_principal()?, session: resource(&session)? };
    let response = app
        .driver
        .whep_request(|hub, now, request| hub.handle_whep_delete(now, request, &delete))
        .await?;
    respond(response, None)
}

/// Handles `OPTIONS` before a `POST`, which is also a CORS preflight.
pub(crate) async fn allow_offer() -> Response {
    let headers = [
        (header::HeaderName::from_static("accept-post"), SDP),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Handles `OPTIONS` before a `PATCH` or `DELETE`, which is also a CORS preflight.
pub(crate) async fn allow_patch() -> Response {
    let headers = [
        (header::HeaderName::from_static("accept-patch"), FRAGMENT),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "PATCH, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Allows pages of any site to use WHEP with a token. Cookies are not sent from other sites' pages.
pub(crate) fn allow_origins(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Location, ETag, Link, Retry-After, WWW-Authenticate"),
    );
}

fn respond(response: WhepResponse, camera: Option<&CameraId>) -> HandlerResult {
    let mut headers = HeaderMap::new();
    let mut set = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name, value);
        }
    };
    let (status, body) = match response {
        WhepResponse::Created { session, answer, ice_servers, etag } => {
            if let Some(camera) = camera {
                set(header::LOCATION, &format!("/whep/{camera}/{session}"));
            }
            set(header::CONTENT_TYPE, SDP);
            set(header::ETAG, &etag);
            for link in ice_servers.iter().flat_map(links) {
                set(header::LINK, &link);
            }
            (StatusCode::CREATED, answer)
        }
        WhepResponse::Trickled => (StatusCode::NO_CONTENT, String::new()),
        WhepResponse::Restarted { fragment, ice_servers, etag } => {
            set(header::CONTENT_TYPE, FRAGMENT);
            set(header::ETAG, &etag);
            for link in ice_servers.iter().flat_map(links) {
                set(header::LINK, &link);
            }
            (StatusCode::OK, fragment)
        }
        WhepResponse::Deleted => (StatusCode::OK, String::new()),
    };
    Ok((status, headers, body).into_response())
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

fn resource(session: &str) -> Result<SessionId, Refusal> {
    session.parse().map_err(|_| Refusal::new(StatusCode::NOT_FOUND, "there is no such session"))
}
