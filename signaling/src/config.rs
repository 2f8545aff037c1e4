//! Settings of the server, and the form of the dashboard's files.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use porthole_signaling_core::{Limits, TurnConfig};
use url::Url;

/// Settings of a server, fixed for its lifetime.
#[derive(Clone)]
pub struct Config {
    /// The address to listen on for HTTP.
    pub http: SocketAddr,
    /// The URL that browsers use, if it differs from [`Self::http`], for example behind a proxy.
    /// If its scheme is `https`, cookies are `Secure`.
    pub public_url: Option<Url>,
    /// The data folder, which has the database.
    pub data: PathBuf,
    /// The TURN server to issue credentials for, if there is one.
    pub turn: Option<TurnConfig>,
    /// Returns the file of the dashboard at a path, which has no leading `/`.
    pub assets: fn(&str) -> Option<Asset>,
    /// The bounds of the hub.
    pub limits: Limits,
}

impl Config {
    /// Creates the settings of a server with the default limits, no dashboard and no TURN server.
    pub fn new(http: SocketAddr, data: impl Into<PathBuf>) -> Self {
        Self {
            http,
            public_url: None,
            data: data.into(),
            turn: None,
            assets: |_| None,
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("http", &self.http)
            .field("public_url", &self.public_url.as_ref().map(Url::as_str))
            .field("data", &self.data)
            .field("turn", &self.turn)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A file of the dashboard.
#[derive(Debug, Clone)]
pub struct Asset {
    /// The content of the file.
    pub bytes: Cow<'static, [u8]>,
    /// The media type for `Content-Type`.
    pub mime: Cow<'static, str>,
    /// True if the name contains a hash of the content, so that caches may keep it for ever.
    pub immutable: bool,
    /// The entity tag, with its quotes.
    pub etag: Option<String>,
}
