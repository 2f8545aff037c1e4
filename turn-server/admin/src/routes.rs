//! The routes of the TURN server.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use porthole_admin::{Refusal, blocking};
use porthole_turn_server::{Server, SessionId, WorkerUnresponsive};
use serde::Deserialize;

use crate::views::SessionPage;

/// Most sessions in one response: some 200 kB of JSON.
const MAX_PAGE: usize = 1000;
const DEFAULT_PAGE: usize = 100;

/// Returns the routes to the sessions of a server.
pub fn routes(server: Arc<Server>) -> Router {
    Router::new()
        .route("/sessions", get(sessions))
        .route("/sessions/{id}", delete(end))
        .with_state(server)
}

/// Waits for the workers of the server.
async fn answered<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, WorkerUnresponsive> + Send + 'static,
) -> Result<T, Refusal> {
    let answer = blocking(ask).await?;
    answer.map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error))
}

/// The query of a page of sessions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<usize>,
    after: Option<String>,
}

async fn sessions(
    State(server): State<Arc<Server>>,
    Query(page): Query<Page>,
) -> Result<Json<SessionPage>, Refusal> {
    let limit = page.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
    let after = page.after.as_deref().map(parse).transpose()?;
    let found = answered(move || server.sessions(after, limit)).await?;
    Ok(Json(SessionPage::new(found, limit)))
}

async fn end(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let id = parse(&id)?;
    if answered(move || server.end_session(id)).await? {
        tracing::info!(session = %id, "an operator ended a TURN session");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such session"))
}

fn parse(id: &str) -> Result<SessionId, Refusal> {
    id.parse().map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error))
}
