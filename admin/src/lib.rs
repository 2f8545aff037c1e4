//! The admin API: health, metrics, reload, and what a component adds to it.
//!
//! It listens on loopback with a bearer token, or on a Unix socket that only the program's own user
//! may open. It never shares a port with clients.
//!
//! Architecture invariants: no component is known here; nothing runs a command or takes a path from
//! a request.

#![warn(missing_docs)]

mod connections;
mod listener;
mod routes;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use listener::{Bound, bind};

pub use listener::{BadPlace, BindError, Place};
pub use routes::{Refusal, blocking};

/// The configuration of the API.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address or socket to listen on.
    pub at: Place,
    /// The token that requests must carry. Required over TCP, optional over a Unix socket.
    pub token: Option<Token>,
}

impl Config {
    /// Checks what can be checked without a socket. [`Admin::bind`] checks the same.
    pub fn check(&self) -> Result<(), BindError> {
        listener::check(&self.at, self.token.as_ref())
    }
}

/// A bearer token. `Debug` does not show it.
#[derive(Clone)]
pub struct Token(String);

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A setting that a reload has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The name of the setting.
    pub setting: String,
    /// The change in words, without secrets.
    pub what: String,
    /// True if it counts from the next start on.
    pub needs_restart: bool,
}

/// Function that reads the configuration again and applies it. Returns what has changed, or one
/// sentence that says what is wrong. It may block.
pub type Reload = Arc<dyn Fn() -> Result<Vec<Change>, String> + Send + Sync>;

/// Function that returns all metrics in the text format of Prometheus.
pub type Metrics = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// Function that returns true while the program is about to stop.
pub type IsDraining = Arc<dyn Fn() -> bool + Send + Sync>;

/// The functions behind the routes.
#[derive(Clone)]
pub struct Api {
    /// Decides on `GET /healthz`.
    pub is_draining: IsDraining,
    /// Answers `GET /metrics`.
    pub metrics: Metrics,
    /// Answers `POST /reload`.
    pub reload: Reload,
    /// The further routes, which require the token as well.
    pub further: Router,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// The API with its socket bound, not yet serving.
#[derive(Debug)]
pub struct Admin {
    bound: Bound,
    token: Option<Token>,
}

impl Admin {
    /// Binds the socket. Refuses addresses that others could reach, and TCP without a token.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let Config { at, token } = config;
        Ok(Self { bound: bind(&at, token.as_ref()).await?, token })
    }

    /// Returns the address or socket it listens on, with the port that a configured port 0 became.
    pub fn place(&self) -> Place {
        self.bound.place()
    }

    /// Serves requests until `stop` is cancelled.
    pub async fn run(self, api: Api, stop: CancellationToken) {
        connections::accept(self.bound, routes::router(api, self.token), stop).await;
    }
}
