//! Refusals of HTTP requests: a status, one sentence, and the headers that belong to it.

use std::time::Duration;

use axum::Json;
use axum::response::{AppendHeaders, IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use porthole_signaling_core::{Denied, NotGiven};
use porthole_signaling_proto::rest;
use porthole_signaling_proto::rpc::{Fault, code};

use crate::driver::storage_fault;
use crate::store::{ShareError, StoreError, TokenError, UserError};

/// `Retry-After` while a gateway is not connected, which reconnects on its own, is full or restarts
/// ICE.
const RETRY_GATEWAY_S: &str = "5";
/// `Retry-After` after too many requests: by then ten more are allowed.
const RETRY_RATE_S: &str = "1";

#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    sentence: String,
    needs_code: bool,
    needs_password: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        let (needs_code, needs_password) = (false, false);
        let headers = Vec::new();
        let mut refusal = Self { status, sentence, needs_code, needs_password, headers };
        if status == StatusCode::UNAUTHORIZED {
            refusal.header(header::WWW_AUTHENTICATE, "Bearer realm=\"porthole\"");
        }
        refusal
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn header(&mut self, name: HeaderName, value: &'static str) {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, HeaderValue::from_static(value)));
    }

    /// Says that the request needs the code of the second factor.
    pub(crate) fn needs_code(mut self) -> Self {
        self.needs_code = true;
        self
    }

    /// Says that the request needs the password of the link.
    pub(crate) fn needs_password(mut self) -> Self {
        self.needs_password = true;
        self
    }

    /// Adds the time after which the request may be repeated, in whole seconds.
    pub(crate) fn retry_after(mut self, time: Duration) -> Self {
        let seconds = time.as_millis().div_ceil(1000).max(1);
        let seconds = HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX));
        self.headers.push((header::RETRY_AFTER, seconds));
        self
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let status = match fault.code {
            // The gateway was slow, not the client that sent this request.
            code::REQUEST_TIMEOUT => StatusCode::GATEWAY_TIMEOUT,
            code::UNAVAILABLE | code::NO_VIDEO | code::INSUFFICIENT_RESOURCES => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            code::INTERNAL_ERROR => StatusCode::INTERNAL_SERVER_ERROR,
            code::STORAGE_FULL => StatusCode::INSUFFICIENT_STORAGE,
            refused @ 400..=499 => u16::try_from(refused)
                .ok()
                .and_then(|refused| StatusCode::from_u16(refused).ok())
                .unwrap_or(StatusCode::BAD_GATEWAY),
            // Any other fault comes from the gateway.
            _ => StatusCode::BAD_GATEWAY,
        };
        let mut refusal = Self::new(status, fault.message);
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT) {
            refusal.header(header::RETRY_AFTER, RETRY_GATEWAY_S);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            refusal.header(header::RETRY_AFTER, RETRY_RATE_S);
        }
        refusal
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Nobody => Self::new(
                StatusCode::UNAUTHORIZED,
                "sign in, or send an access token as `Authorization: Bearer`",
            ),
            Denied::Expired
            | Denied::ClientsOnly
            | Denied::GatewaysOnly
            | Denied::Everything
            | Denied::Scope(_)
            | Denied::Owner
            | Denied::Gateway
            | Denied::Camera => Fault::from(denied).into(),
        }
    }
}

impl From<NotGiven> for Refusal {
    fn from(error: NotGiven) -> Self {
        match error {
            NotGiven::Denied(denied) => denied.into(),
            NotGiven::Missing { .. }
            | NotGiven::TooLong { .. }
            | NotGiven::TooFast { .. }
            | NotGiven::Scoped => Self::new(StatusCode::FORBIDDEN, error.to_string()),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        storage_fault(error).into()
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Store(error) => error.into(),
            TokenError::NotGiven(error) => error.into(),
            TokenError::TooMany | TokenError::TooManyClaims => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
            TokenError::Owner
            | TokenError::ScopesOfViewer
            | TokenError::NoScopes
            | TokenError::Cap
            | TokenError::ScopeOfCameras(_)
            | TokenError::NoSuchGateway(_)
            | TokenError::NoGateway(_)
            | TokenError::NoSuchCamera { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
        }
    }
}

impl From<UserError> for Refusal {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Store(error) => error.into(),
            UserError::Denied(denied) => denied.into(),
            UserError::Given(error) => error.into(),
            UserError::LastOwner
            | UserError::TooManyInvitations
            | UserError::OwnFactor
            | UserError::OwnReset => Self::new(StatusCode::CONFLICT, error.to_string()),
            UserError::LimitedAdmin => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
        }
    }
}

impl From<ShareError> for Refusal {
    fn from(error: ShareError) -> Self {
        match error {
            ShareError::Store(error) => error.into(),
            ShareError::Given(error) => error.into(),
            ShareError::TooMany => Self::new(StatusCode::CONFLICT, error.to_string()),
            ShareError::Cameras => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, sentence, needs_code, needs_password, headers } = self;
        let body = rest::Error { error: sentence, needs_code, needs_password };
        (status, AppendHeaders(headers), Json(body)).into_response()
    }
}
