//! Settings of the server, and the form of the dashboard's files.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use porthole_signaling_core::{Limits, TurnConfig, TurnUser};
use tokio::sync::mpsc;
use tokio_rustls::rustls::pki_types::CertificateDer;
use url::Url;

use crate::authority::Authority;

/// Returns true for the address of a proxy that may say which client a request comes from.
pub type TrustProxy = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Settings of a server, fixed for its lifetime.
#[derive(Clone)]
pub struct Config {
    /// The address to listen on for HTTP.
    pub http: SocketAddr,
    /// The URL that browsers use, if it differs from [`Self::http`], for example behind a proxy.
    /// If its scheme is `https`, cookies are `Secure`.
    pub public_url: Option<Url>,
    /// The reverse proxies whose `X-Forwarded-For` is believed: those on this machine by default.
    pub trusts_proxy: TrustProxy,
    /// Further URLs that gateways use. If there is one, gateways must sign in for one of them, the
    /// public URL or this machine.
    pub gateway_urls: Vec<Url>,
    /// The data folder, which has the database.
    pub data: PathBuf,
    /// The TURN server to issue credentials for, if there is one.
    pub turn: Option<TurnConfig>,
    /// The provider whose accounts may sign in, if there is one.
    pub openid_connect: Option<OpenidConnect>,
    /// The authority that the server has made for its own certificate, if there is one.
    pub authority: Option<Authority>,
    /// Takes the TURN users that have ended, so that the TURN server can end their allocations.
    pub ended_turn_users: Option<mpsc::Sender<TurnUser>>,
    /// Returns the file of the dashboard at a path, which has no leading `/`.
    pub assets: fn(&str) -> Option<Asset>,
    /// The bounds of the hub.
    pub limits: Limits,
    /// The bounds on TCP connections.
    pub places: PlaceLimits,
}

/// Settings of a provider of OpenID Connect.
#[derive(Clone)]
pub struct OpenidConnect {
    /// The URL of the provider, exactly as it writes it itself.
    pub issuer: String,
    /// The id under which this server is registered there.
    pub client_id: String,
    /// The secret for that, unless the provider knows this server as a public client.
    pub client_secret: Option<String>,
    /// The name of the provider, for people.
    pub name: String,
    /// The scopes to ask for, beside `openid`.
    pub scopes: Vec<String>,
    /// The claim with the name of a new user.
    pub name_claim: String,
    /// The rights of somebody who is not known and has no invitation.
    pub join: Join,
    /// The domains of e-mail addresses that may sign in; all if there are none.
    pub email_domains: Vec<String>,
    /// The groups that may sign in; all accounts if there are none.
    pub groups: Vec<String>,
    /// The claim with the groups of an account.
    pub groups_claim: String,
    /// Certificates of authorities to trust beside those that browsers trust.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for OpenidConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenidConnect")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("join", &self.join)
            .finish_non_exhaustive()
    }
}

/// The rights of somebody who is not known and signs in at the provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Join {
    /// No rights: an invitation is needed.
    #[default]
    Nobody,
    /// A new viewer sees nothing until an admin gives it cameras.
    WithoutCameras,
    /// A new viewer sees and hears all cameras.
    Viewer,
}

/// An error in the settings of a provider. Each sentence says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The issuer is no URL that can be used.
    #[error(
        "signaling.openid_connect.issuer must be an https URL without user, query and fragment, as \
         the provider writes it"
    )]
    Issuer,
    /// The client id is missing.
    #[error("signaling.openid_connect.client_id is empty: register this server at the provider")]
    Client,
    /// A certificate cannot be used.
    #[error("a certificate in signaling.openid_connect.ca_certificates cannot be used: {0}")]
    Authorities(String),
    /// The server does not know under which URL browsers reach it.
    #[error("set signaling.public_url: the provider sends browsers back to it")]
    PublicUrl,
}

/// Bounds on the number of TCP connections, so that nobody can take those of all others.
#[derive(Debug, Clone, Copy)]
pub struct PlaceLimits {
    /// Most connections at once: below the usual limit of open files, with room for the rest.
    pub total: usize,
    /// Most connections of clients that have shown no credential. The rest is for users, tokens
    /// and gateways.
    pub strangers: usize,
    /// Most of these of one address (IPv6: /64; four times as many of a /48): an office behind one
    /// address, with a dozen connections for each page that is just being opened.
    pub per_network: usize,
    /// Most connections of one user, token or gateway: its WebSockets, and requests beside them.
    pub per_owner: usize,
}

/// Open files that are left for the database, the dashboard and everything else.
const OTHER_FILES: usize = 512;

/// Most connections, however many files may be open: 8 kB of memory each.
const MAX_CONNECTIONS: usize = 65_536;

impl PlaceLimits {
    /// Returns the bounds of a process that may open this many files.
    #[must_use]
    pub fn within(open_files: usize) -> Self {
        let total = open_files.saturating_sub(OTHER_FILES).clamp(1, MAX_CONNECTIONS);
        Self { total, strangers: total / 4 * 3, ..Self::default() }
    }
}

impl Default for PlaceLimits {
    fn default() -> Self {
        Self { total: 16_384, strangers: 12_288, per_network: 512, per_owner: 256 }
    }
}

impl Config {
    /// Creates the settings of a server with the default limits, no dashboard and no TURN server.
    pub fn new(http: SocketAddr, data: impl Into<PathBuf>) -> Self {
        Self {
            http,
            public_url: None,
            trusts_proxy: Arc::new(|address| address.is_loopback()),
            gateway_urls: Vec::new(),
            data: data.into(),
            turn: None,
            openid_connect: None,
            authority: None,
            ended_turn_users: None,
            assets: |_| None,
            limits: Limits::default(),
            places: PlaceLimits::default(),
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
            .field("places", &self.places)
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
