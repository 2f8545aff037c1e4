//! One HTTP request, from the machine or from inside a lab host.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::program::Place;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What a server said.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// `GET`, with a Bearer token if there is one.
pub fn get(place: Place<'_>, url: &str, token: Option<&str>) -> Result<Answer> {
    let request = || -> Result<Answer> {
        let mut request = agent().get(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        answer(request.call())
    };
    place.inside(request)?.with_context(|| format!("GET {url}"))
}

/// `POST` of JSON, with a Bearer token if there is one.
pub fn post(place: Place<'_>, url: &str, token: Option<&str>, body: &Value) -> Result<Answer> {
    let request = || -> Result<Answer> {
        let mut request = agent().post(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        answer(request.send_json(body))
    };
    place.inside(request)?.with_context(|| format!("POST {url}"))
}

/// `DELETE`, with a Bearer token if there is one.
pub fn delete(place: Place<'_>, url: &str, token: Option<&str>) -> Result<Answer> {
    let request = || -> Result<Answer> {
        let mut request = agent().delete(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        answer(request.call())
    };
    place.inside(request)?.with_context(|| format!("DELETE {url}"))
}

impl Answer {
    pub fn json(&self) -> Result<Value> {
        ensure!(self.status < 300, "status {}: {}", self.status, self.body);
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        // A refusal is an answer too.
        .http_status_as_error(false)
        .build()
        .into()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut response = response?;
    let status = response.status().as_u16();
    Ok(Answer { status, body: response.body_mut().read_to_string()? })
}
