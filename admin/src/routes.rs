//! The routes that every role has. All but `/healthz` require the token if one is configured.

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use porthole_metrics::Exposition;
use serde::Serialize;
use subtle::ConstantTimeEq as _;

use crate::{Api, Change, Token};

pub(crate) fn router(api: Api, token: Option<Token>) -> Router {
    let further = api.further.clone();
    Router::new()
        .route("/metrics", get(metrics))
        .route("/reload", post(reload))
        .with_state(api.clone())
        .merge(further)
        .layer(from_fn_with_state(token, authorize))
        .merge(Router::new().route("/healthz", get(healthz)).with_state(api))
}

/// An error response: a status and one sentence.
#[derive(Debug, Serialize)]
pub struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    error: String,
}

impl Refusal {
    /// Creates a refusal with this sentence.
    pub fn new(status: StatusCode, error: impl ToString) -> Self {
        Self { status, error: error.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let challenge = (self.status == StatusCode::UNAUTHORIZED)
            .then_some([(header::WWW_AUTHENTICATE, "Bearer realm=\"porthole\"")]);
        (self.status, challenge, Json(self)).into_response()
    }
}

async fn authorize(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    if let Some(Token(expected)) = &token {
        let credentials = request.headers().get(header::AUTHORIZATION);
        let credentials = credentials.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if !credentials.is_some_and(|sent| bool::from(sent.ct_eq(expected.as_bytes()))) {
            let sentence = "send the token of admin.token as Authorization: Bearer TOKEN";
            return Refusal::new(StatusCode::UNAUTHORIZED, sentence).into_response();
        }
    }
    next.run(request).await
}

async fn healthz(State(api): State<Api>) -> (StatusCode, &'static str) {
    if (api.is_draining)() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, Exposition::MEDIA_TYPE)], (api.metrics)().await)
}

async fn reload(State(api): State<Api>) -> Result<Json<Vec<Change>>, Refusal> {
    let changes = blocking(move || (api.reload)()).await?;
    changes.map(Json).map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why))
}

/// Runs work that waits for threads or files on a thread where blocking is permitted.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"))
}
