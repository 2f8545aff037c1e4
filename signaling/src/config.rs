//! What the program tells the server.

use porthole_signaling_core::{Limits, TurnConfig};
use std::{borrow::Cow, fmt, net::SocketAddr, path::PathBuf};
use url::Url;

/// What the server is told once.
#[derive(Clone)]
pub struct Config {
    /// Where to listen.
    pub http: SocketAddr,
    /// What browsers call it, if that is another address: behind a proxy, for example. Cookies
    /// are `Secure` when it is https.
    pub public_url: Option<Url>,
    /// The data folder.
    pub data: PathBuf,
    /// The TURN server to give credentials for.
    pub turn: Option<TurnConfig>,
    /// The files of the dashboard, by path without the first `/`.
    pub assets: fn(&str) -> Option<Asset>,
    /// Bounds of the hub.
    pub limits: Limits,
}

impl Config {
    /// A server with the default limits, no dashboard and no TURN.
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
    /// Its content.
    pub bytes: Cow<'static, [u8]>,
    /// Its media type.
    pub mime: Cow<'static, str>,
    /// Its name contains a hash of its content: it can be kept for ever.
    pub immutable: bool,
    /// Its entity tag, with its quotes.
    pub etag: Option<String>,
}
