//! The settings of a server, and its named bounds.

use std::net::SocketAddr;
use std::time::Duration;

use super::bandwidth::BandwidthLimits;
use super::binding::NatDiscovery;
use super::oauth::OauthKey;
use super::policy::PolicyConfig;
use super::port::RelayAddress;

/// Lifetime of an allocation if the client requests none, and the least it gets (RFC 8656 §7.2).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// Longest lifetime that is granted (RFC 8656 §7.2 recommends an hour).
pub const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// Lifetime of a permission (RFC 8656 §9).
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// Lifetime of a channel (RFC 8656 §12).
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// Permissions of one allocation: a browser with many interfaces has some twenty candidates.
pub const MAX_PERMISSIONS: usize = 128;
/// Channels of one allocation: one for each candidate in use.
pub const MAX_CHANNELS: usize = 64;
/// TCP connections to and from peers of one allocation: two file descriptors each.
pub const MAX_CONNECTIONS: usize = 32;
/// TCP connections to and from peers of one user in all workers: each worker has room for 8192.
pub const MAX_CONNECTIONS_PER_USER: usize = 512;
/// XOR-PEER-ADDRESS attributes in one CreatePermission; a request with more is refused.
pub const MAX_PEERS_PER_REQUEST: usize = 32;
/// Unknown attributes listed in a 420: enough to fix a client, too few to amplify.
pub(super) const MAX_UNKNOWN_LISTED: usize = 8;
/// Ports tried for one allocation when other programs on the host hold them.
pub(super) const MAX_PORT_TRIES: u8 = 8;

/// Settings of a [`Server`](super::Server).
#[derive(Clone)]
pub struct ServerConfig {
    /// The realm of the users.
    pub realm: String,
    /// The settings that may change while the server runs.
    pub reloadable: ReloadableConfig,
    /// The address and ports to relay IPv4 from; `None` refuses it.
    pub relay_v4: Option<RelayAddress>,
    /// The address and ports to relay IPv6 from; `None` refuses it.
    pub relay_v6: Option<RelayAddress>,
    /// The two addresses for NAT behavior discovery; `None` turns it off.
    pub nat_discovery: Option<NatDiscovery>,
    /// True if the driver can send a packet to a peer unfragmented or not at all. Otherwise
    /// DONT-FRAGMENT is an unknown attribute (RFC 8656 §7.2).
    pub dont_fragment: bool,
    /// True if the driver has a fast path for channels.
    pub offload: bool,
    /// The number of this worker, by which others hand clients over to it.
    pub worker: u8,
    /// Key of nonces, reservation tokens and mobility tickets; the same in all workers.
    pub nonce_key: [u8; 32],
    /// Seed of ports and transaction ids; must be random and differ between workers.
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

/// Settings of a [`Server`](super::Server) that may change while it runs, see
/// [`Server::set_reloadable`](super::Server::set_reloadable).
#[derive(Clone, Default)]
pub struct ReloadableConfig {
    /// Names and passwords of users that do not expire.
    pub users: Vec<(String, String)>,
    /// Secrets of time-limited credentials; more than one while they are rotated.
    pub rest_secrets: Vec<String>,
    /// Keys shared with a third party whose access tokens are accepted (RFC 7635).
    pub oauth_keys: Vec<OauthKey>,
    /// Servers to name in ALTERNATE-SERVER when this one drains or is full (RFC 8489 §10). One of
    /// the client's family is chosen at random, and one of the other family in addition.
    pub alternate_servers: Vec<SocketAddr>,
    /// True if a Refresh with expired credentials is refused. Otherwise an allocation may outlive
    /// the credentials that made it.
    pub strict_expiry: bool,
    /// The rules about peers.
    pub policy: PolicyConfig,
    /// True to allow the channels 0x5000 to 0x7FFE, which clients of RFC 5766 use.
    pub rfc5766_channels: bool,
    /// True to relay TCP (RFC 6062).
    pub tcp_relaying: bool,
    /// True to let clients keep their allocations when their address changes (RFC 8016).
    pub mobility: bool,
    /// The bandwidth limits: datagrams beyond are dropped, streams wait.
    pub bandwidth: BandwidthLimits,
}

impl std::fmt::Debug for ReloadableConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReloadableConfig")
            .field("users", &self.users.len())
            .field("rest_secrets", &self.rest_secrets.len())
            .finish_non_exhaustive()
    }
}
