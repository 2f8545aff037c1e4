//! The route of the audit log, and what handlers of other routes write there.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use http::{StatusCode, Uri};
use porthole_signaling_core::{Admitted, NotGiven};
use porthole_signaling_proto::rest::AuditList;

use super::HandlerResult;
use crate::app::App;
use crate::driver::now;
use crate::refusal::Refusal;
use crate::store::{ShareError, TokenError, UserError};

/// Returns a page of the audit log: the newest events, or those before the one in the query.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    uri: Uri,
) -> HandlerResult<Json<AuditList>> {
    let granted = admitted.everything(now())?;
    let mut pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let before = pairs.find(|(name, _)| name == "before");
    let before = before.map(|(_, value)| value.parse::<i64>()).transpose().map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "`before` must be the number of an event")
    })?;
    Ok(Json(AuditList { events: app.driver.store.audit(&granted, before).await? }))
}

/// An error that may say that its sender wanted to give more than they have.
pub(super) trait Giving: Into<Refusal> {
    /// Returns in words what was too much, if that is the reason.
    fn too_much(&self) -> Option<String>;
}

impl Giving for NotGiven {
    fn too_much(&self) -> Option<String> {
        self.too_much()
    }
}

impl Giving for TokenError {
    fn too_much(&self) -> Option<String> {
        match self {
            Self::NotGiven(error) => error.too_much(),
            Self::Store(_)
            | Self::TooMany
            | Self::TooManyClaims
            | Self::Owner
            | Self::ScopesOfViewer
            | Self::NoScopes
            | Self::Cap
            | Self::ScopeOfCameras(_)
            | Self::NoSuchGateway(_)
            | Self::NoGateway(_)
            | Self::NoSuchCamera { .. } => None,
        }
    }
}

impl Giving for UserError {
    fn too_much(&self) -> Option<String> {
        match self {
            Self::Given(error) => error.too_much(),
            Self::Store(_)
            | Self::Denied(_)
            | Self::LastOwner
            | Self::TooManyInvitations
            | Self::LimitedAdmin
            | Self::OwnFactor
            | Self::OwnReset => None,
        }
    }
}

impl Giving for ShareError {
    fn too_much(&self) -> Option<String> {
        match self {
            Self::Given(error) => error.too_much(),
            Self::Store(_) | Self::Cameras | Self::TooMany => None,
        }
    }
}

/// Passes the result of a gift on, and writes it down if it was too much.
pub(super) async fn given<T, E: Giving>(
    app: &App,
    giver: &Admitted,
    result: Result<T, E>,
) -> HandlerResult<T> {
    if let Err(error) = &result
        && let (Some(gift), Ok(giver)) = (error.too_much(), giver.principal())
    {
        app.driver.store.note_refused_gift(giver, &gift).await;
    }
    result.map_err(Into::into)
}
