//! The TURN server's admin API: metrics, the list of sessions, their end, a reload.
//!
//! It listens on loopback with a bearer token, or on a Unix socket that only the server's own user
//! may open; it is never on a port that clients reach.
//!
//! Architecture invariants: nothing here runs a command or takes a path from a request; no user
//! name and no address is a label of a metric.

mod connections;
mod listener;
mod metrics;
mod routes;
mod views;

use std::fmt;
use std::sync::Arc;

use porthole_turn_server::{Change, Server};
use tokio_util::sync::CancellationToken;

pub use listener::{BadPlace, BindError, Place};
use listener::{Bound, bind};

/// What the API is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub at: Place,
    /// What a caller must know; needed over TCP, and asked for over a Unix socket if it is there.
    pub token: Option<Token>,
}

impl Config {
    /// What can be known without a socket; [`Admin::bind`] refuses the same.
    pub fn check(&self) -> Result<(), BindError> {
        listener::check(&self.at, self.token.as_ref())
    }
}

/// A bearer token; never shown.
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

/// Reads the configuration again and hands it to the server: what has changed, or one sentence.
/// It may block.
pub type Reload = Arc<dyn Fn() -> Result<Vec<Change>, String> + Send + Sync>;

/// The API, bound and not yet serving.
#[derive(Debug)]
pub struct Admin {
    bound: Bound,
    token: Option<Token>,
}

impl Admin {
    /// Binds it; refuses whatever others could reach.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let Config { at, token } = config;
        Ok(Self { bound: bind(&at, token.as_ref()).await?, token })
    }

    /// Where it listens; a configured port 0 is a real one here.
    pub fn place(&self) -> Place {
        self.bound.place()
    }

    /// Serves until `stop`.
    pub async fn run(self, server: Arc<Server>, reload: Reload, stop: CancellationToken) {
        let router = routes::router(routes::Api { server, reload, token: self.token });
        connections::accept(self.bound, router, stop).await;
    }
}
