//! The TURN server's admin API: read metrics, list and end sessions, reload the configuration.
//!
//! It listens on loopback with a bearer token, or on a Unix socket that only the server's own user
//! may open. It never shares a port with clients.
//!
//! Architecture invariants: nothing here runs a command or takes a path from a request; no user
//! name and no address is a label of a metric.

#![warn(missing_docs)]

mod connections;
mod listener;
mod metrics;
mod routes;
mod views;

use std::fmt;
use std::sync::Arc;

use porthole_turn_server::{Change, Server};
use tokio_util::sync::CancellationToken;

use listener::{Bound, bind};

pub use listener::{BadPlace, BindError, Place};

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

/// Function that reads the configuration again and applies it to the server. Returns what has
/// changed, or one sentence that says what is wrong. It may block.
pub type Reload = Arc<dyn Fn() -> Result<Vec<Change>, String> + Send + Sync>;

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
    pub async fn run(self, server: Arc<Server>, reload: Reload, stop: CancellationToken) {
        let router = routes::router(routes::Api { server, reload, token: self.token });
        connections::accept(self.bound, router, stop).await;
    }
}
