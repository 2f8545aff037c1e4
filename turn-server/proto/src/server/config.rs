//! What a server is told at its start, and its named bounds.

use std::net::SocketAddr;
use std::time::Duration;

use super::bandwidth::BandwidthLimits;
use super::binding::Discovery;
use super::oauth::OauthKey;
use super::policy::PolicyConfig;
use super::port::RelayAddress;

/// LIFETIME when the client names none, and the least it gets (RFC 8656 §7.2).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// The most a client gets (RFC 8656 §7.2 recommends an hour).
pub const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// Of a permission (RFC 8656 §9).
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// Of a channel (RFC 8656 §12).
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// Peer addresses of one allocation: a browser with many interfaces has some twenty candidates.
pub const MAX_PERMISSIONS: usize = 128;
/// Channels of one allocation: one for each candidate in use.
pub const MAX_CHANNELS: usize = 64;
/// TCP connections to and from peers of one allocation: two file descriptors each.
pub const MAX_CONNECTIONS: usize = 32;
/// Of one user in all workers: one of them has room for 8192.
pub const MAX_CONNECTIONS_OF_USER: usize = 512;
/// XOR-PEER-ADDRESS attributes looked at in one CreatePermission; more are refused.
pub const MAX_PEERS_PER_REQUEST: usize = 32;
/// Unknown attributes listed in a 420: enough to mend a client, too few to amplify.
pub(super) const MAX_UNKNOWN_LISTED: usize = 8;
/// Ports tried for one allocation when somebody else on the host holds them.
pub(super) const MAX_PORT_TRIES: u8 = 8;

/// What a [`Server`](super::Server) needs to know.
#[derive(Clone)]
pub struct ServerConfig {
    /// The realm of its users.
    pub realm: String,
    /// What may change while the server runs.
    pub reloadable: Reloadable,
    /// Where IPv4 is relayed, if it is.
    pub relay_v4: Option<RelayAddress>,
    /// Where IPv6 is relayed, if it is.
    pub relay_v6: Option<RelayAddress>,
    /// The second address for RFC 5780, if there is one.
    pub discovery: Option<Discovery>,
    /// Whether the driver can keep a packet to a peer from being fragmented: without that,
    /// DONT-FRAGMENT is an unknown attribute (RFC 8656 §7.2).
    pub dont_fragment: bool,
    /// Whether the driver has a fast path for channels.
    pub offload: bool,
    /// Which worker this is. Clients whose connection another one has are passed on to it.
    pub worker: u8,
    /// Key of nonces, reservation tokens and mobility tickets; the same in all workers.
    pub nonce_key: [u8; 32],
    /// Seed of ports and transaction ids: random and another one in each worker.
    pub seed: [u8; 32],
}

impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("realm", &self.realm)
            .field("reloadable", &self.reloadable)
            .finish_non_exhaustive()
    }
}

/// What [`Server::reconfigure`](super::Server::reconfigure) takes.
#[derive(Clone, Default)]
pub struct Reloadable {
    /// Names and passwords that do not expire.
    pub users: Vec<(String, String)>,
    /// Secrets of time-limited credentials; several while they are exchanged.
    pub rest_secrets: Vec<String>,
    /// Keys shared with a third party whose access tokens are taken (RFC 7635).
    pub oauth_keys: Vec<OauthKey>,
    /// Servers to name to who comes when this one drains or is full (RFC 8489 §10); one of the
    /// client's family is chosen at random, and one of the other besides.
    pub alternate_servers: Vec<SocketAddr>,
    /// Whether credentials that have expired prolong nothing. Otherwise an allocation may outlive
    /// the credentials that made it.
    pub strict_expiry: bool,
    /// Which peers are allowed.
    pub policy: PolicyConfig,
    /// Whether channels 0x5000 to 0x7FFE may be bound: clients of RFC 5766 use them.
    pub rfc5766_channels: bool,
    /// Whether clients may have TCP relayed (RFC 6062).
    pub tcp_relaying: bool,
    /// Whether clients may take their allocations along to another address (RFC 8016).
    pub mobility: bool,
    /// How much they may have relayed: datagrams beyond are dropped, streams wait.
    pub bandwidth: BandwidthLimits,
}

impl std::fmt::Debug for Reloadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloadable")
            .field("users", &self.users.len())
            .field("rest_secrets", &self.rest_secrets.len())
            .finish_non_exhaustive()
    }
}
