//! Single HTTP requests, from this machine or from a lab host.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::program::Place;

/// Time in which a server must respond.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A response, of whatever status.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status code.
    pub status: u16,
    /// The body, which must be UTF-8.
    pub body: String,
}

/// Sends a `GET` request, with a bearer token if there is one.
pub fn get(place: Place<'_>, url: &str, token: Option<&str>) -> Result<Response> {
    let request = || -> Result<Response> {
        let mut request = agent().get(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        receive(request.call())
    };
    place.inside(request)?.with_context(|| format!("GET {url}"))
}

/// Sends a `POST` request with a JSON body, with a bearer token if there is one.
pub fn post(place: Place<'_>, url: &str, token: Option<&str>, body: &Value) -> Result<Response> {
    let request = || -> Result<Response> {
        let mut request = agent().post(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        receive(request.send_json(body))
    };
    place.inside(request)?.with_context(|| format!("POST {url}"))
}

/// Sends a `POST` request with a WHEP player's offer and a bearer token.
pub fn post_offer(place: Place<'_>, url: &str, token: &str, offer: &str) -> Result<Response> {
    let request = || -> Result<Response> {
        let request = agent().post(url).header("Authorization", format!("Bearer {token}"));
        receive(request.header("Content-Type", "application/sdp").send(offer))
    };
    place.inside(request)?.with_context(|| format!("POST {url}"))
}

/// Sends a `DELETE` request, with a bearer token if there is one.
pub fn delete(place: Place<'_>, url: &str, token: Option<&str>) -> Result<Response> {
    let request = || -> Result<Response> {
        let mut request = agent().delete(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        receive(request.call())
    };
    place.inside(request)?.with_context(|| format!("DELETE {url}"))
}

impl Response {
    /// Parses the body of a successful response.
    ///
    /// # Errors
    ///
    /// Fails if the status is 300 or above, or if the body is not JSON.
    pub fn json(&self) -> Result<Value> {
        ensure!(self.status < 300, "status {}: {}", self.status, self.body);
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        // A status of 400 or above is a response, too.
        .http_status_as_error(false)
        .build()
        .into()
}

fn receive(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Response> {
    let mut response = response?;
    let status = response.status().as_u16();
    Ok(Response { status, body: response.body_mut().read_to_string()? })
}
