//! The routes. All but `/healthz` require the token if one is configured.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use porthole_turn_server::{Server, SessionId, WorkerUnresponsive};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::views::{ChangeView, SessionPage};
use crate::{Reload, Token, metrics};

/// Most sessions in one response: some 200 kB of JSON.
const MAX_PAGE: usize = 1000;
const DEFAULT_PAGE: usize = 100;
/// The media type of the text format of Prometheus.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The state shared by the routes.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) server: Arc<Server>,
    pub(crate) reload: Reload,
    pub(crate) token: Option<Token>,
}

pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}", delete(end))
        .route("/reload", post(reload))
        .layer(from_fn_with_state(api.clone(), authorize))
        .route("/healthz", get(healthz))
        .with_state(api)
}

/// An error response: a status and one sentence.
#[derive(Debug, Serialize)]
struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    error: String,
}

impl Refusal {
    fn new(status: StatusCode, error: impl ToString) -> Self {
        Self { status, error: error.to_string() }
    }
}

impl From<WorkerUnresponsive> for Refusal {
    fn from(error: WorkerUnresponsive) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let challenge = (self.status == StatusCode::UNAUTHORIZED)
            .then_some([(header::WWW_AUTHENTICATE, "Bearer realm=\"porthole turn\"")]);
        (self.status, challenge, Json(self)).into_response()
    }
}

async fn authorize(State(api): State<Api>, request: Request, next: Next) -> Response {
    if let Some(Token(expected)) = &api.token {
        let credentials = request.headers().get(header::AUTHORIZATION);
        let credentials = credentials.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if !credentials.is_some_and(|sent| bool::from(sent.ct_eq(expected.as_bytes()))) {
            let sentence = "send the token of turn.admin_token as Authorization: Bearer TOKEN";
            return Refusal::new(StatusCode::UNAUTHORIZED, sentence).into_response();
        }
    }
    next.run(request).await
}

async fn healthz(State(api): State<Api>) -> (StatusCode, &'static str) {
    if api.server.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, PROMETHEUS)],
        metrics::render(&api.server.stats(), &api.server.fast_path()),
    )
}

/// The query of a page of sessions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<usize>,
    after: Option<String>,
}

async fn sessions(
    State(api): State<Api>,
    Query(page): Query<Page>,
) -> Result<Json<SessionPage>, Refusal> {
    let limit = page.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
    let after = page.after.as_deref().map(parse).transpose()?;
    let found = blocking(move || api.server.sessions(after, limit)).await??;
    Ok(Json(SessionPage::new(found, limit)))
}

async fn end(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let id = parse(&id)?;
    if blocking(move || api.server.end_session(id)).await?? {
        tracing::info!(session = %id, "an operator ended a TURN session");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such session"))
}

async fn reload(State(api): State<Api>) -> Result<Json<Vec<ChangeView>>, Refusal> {
    let changes = blocking(move || (api.reload)()).await?;
    let changes = changes.map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    Ok(Json(changes.into_iter().map(ChangeView::from).collect()))
}

fn parse(id: &str) -> Result<SessionId, Refusal> {
    id.parse().map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error))
}

/// Runs work that waits for workers or files on a thread where blocking is permitted.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"))
}
