//! The configuration: a TOML file, then `PORTHOLE__SECTION__KEY` in the environment, then flags.
//!
//! Each key is a documented field below, in `docs/ref/config.md` and in
//! `deploy/porthole.example.toml`; tests compare the three.

mod read;
#[cfg(test)]
mod tests;
mod tree;
mod types;

pub use read::Refused;
pub use tree::{Syntax, Tree};
pub use types::{
    Account, AdminPlace, CameraFlag, ExternalAddress, Limited, Network, Ports, Secret, Source, Span,
};

use porthole_signaling_proto::CameraId;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use url::Url;

/// The configuration file's name, looked for in the working directory and in the data folder.
const FILE_NAME: &str = "porthole.toml";

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder for the database, keys and secrets.
    pub data: PathBuf,
    /// The address under which others reach this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_address: Option<IpAddr>,
    /// That of the other family, if it was found with the first one; no key of the file.
    #[serde(skip)]
    pub other_public_address: Option<IpAddr>,
    pub signaling: Signaling,
    pub turn: Turn,
    pub gateway: Gateway,
    /// The gateway's cameras, by id.
    pub camera: BTreeMap<CameraId, Camera>,
}

/// The signaling server, which is the dashboard's web server too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Signaling {
    /// The address and port to listen on.
    pub http: SocketAddr,
    /// How browsers reach it, if not at `http`: behind a proxy, say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<Url>,
    /// The TURN server to offer when it runs elsewhere; for `up` further URLs of its own.
    pub turn_urls: Vec<String>,
    /// The secret shared with that TURN server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_secret: Option<Secret>,
}

impl Default for Signaling {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            turn_urls: Vec::new(),
            turn_secret: None,
        }
    }
}

/// The STUN and TURN server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turn {
    /// The addresses and ports to listen on, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for TLS alone.
    pub listen_tls: Vec<SocketAddr>,
    /// Where to listen for DTLS.
    pub listen_dtls: Vec<SocketAddr>,
    /// A second address and port for RFC 5780.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery_address: Option<SocketAddr>,
    /// Servers to name to who comes when this one drains or is full.
    pub alternate_servers: Vec<SocketAddr>,
    /// The certificate with its intermediates, PEM; read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// The realm of its users.
    pub realm: String,
    /// Users with a password, by name.
    pub users: BTreeMap<String, Secret>,
    /// The secret that short-lived credentials are made from. `up` makes one by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Secrets whose credentials are taken besides, while a new one takes over.
    pub old_secrets: Vec<Secret>,
    /// Keys shared with a third party whose access tokens are taken, by their names, in base64.
    pub oauth_keys: BTreeMap<String, Secret>,
    /// How to find out `public_address` if it is not named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_address: Option<ExternalAddress>,
    /// The addresses to relay from, at most one IPv4 and one IPv6; `public_address` if empty.
    pub relay_address: Vec<IpAddr>,
    /// Where relay sockets are bound, at most one IPv4 and one IPv6; found out if empty.
    pub relay_bind: Vec<IpAddr>,
    /// The ports to relay from.
    pub relay_ports: Ports,
    /// Special-purpose networks (private, loopback, …) that may be relayed to all the same.
    pub allow_peers: Vec<Network>,
    /// Further networks that may not be relayed to.
    pub deny_peers: Vec<Network>,
    /// Ports below this one may not be relayed to.
    pub lowest_peer_port: Limited<1, { u16::MAX as u32 }>,
    /// Relay to other clients' relayed addresses and `allow_peers` only.
    pub relayed_peers_only: bool,
    /// Threads that relay; 0 is one per core.
    pub workers: Limited<0, { u8::MAX as u32 }>,
    /// Allocations of one user at a time.
    pub max_allocations_per_user: Limited<1, MAX_ALLOCATIONS>,
    /// Allocations of one client address (IPv6: /64) at a time.
    pub max_allocations_per_source: Limited<1, MAX_ALLOCATIONS>,
    /// Allocations at a time.
    pub max_allocations: Limited<1, MAX_ALLOCATIONS>,
    /// Payload bytes a second of one allocation, both directions together; 0 is without a limit.
    pub max_bytes_per_s_per_allocation: u32,
    /// The same for all allocations of one user.
    pub max_bytes_per_s_per_user: u32,
    /// Let clients have connections to peers and from them (RFC 6062).
    pub tcp_relaying: bool,
    /// Let clients take their allocations along to another address (RFC 8016).
    pub mobility: bool,
    /// Refuse Refresh once short-lived credentials have expired.
    pub strict_expiry: bool,
    /// Let clients bind channels above 0x4FFF, as RFC 5766 did.
    pub rfc5766_channels: bool,
    /// Take and give datagrams in bursts where the system can.
    pub segmentation: bool,
    /// Interfaces on which the kernel relays bound channels, or `auto` alone.
    pub fast_path: Vec<String>,
    /// How long living allocations may go on when the program is told to stop.
    pub drain_s: Limited<0, MAX_DRAIN_S>,
    /// Where the admin API listens; off if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminPlace>,
    /// What callers of the admin API must know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token: Option<Secret>,
}

/// As many as there are ports, for each family.
const MAX_ALLOCATIONS: u32 = 131_072;
/// A day: whoever has not found another way by then will not.
const MAX_DRAIN_S: u32 = 86_400;

impl Default for Turn {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 3478))],
            listen_tls: Vec::new(),
            listen_dtls: Vec::new(),
            discovery_address: None,
            alternate_servers: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            realm: "porthole".into(),
            users: BTreeMap::new(),
            secret: None,
            old_secrets: Vec::new(),
            oauth_keys: BTreeMap::new(),
            external_address: None,
            relay_address: Vec::new(),
            relay_bind: Vec::new(),
            // The dynamic ports of RFC 6335 §6, as RFC 8656 §7.2 asks for.
            relay_ports: Ports { first: 49152, last: 65535 },
            allow_peers: Vec::new(),
            deny_peers: Vec::new(),
            lowest_peer_port: Limited::of(1),
            relayed_peers_only: false,
            workers: Limited::of(0),
            max_allocations_per_user: Limited::of(128),
            max_allocations_per_source: Limited::of(1024),
            max_allocations: Limited::of(16_384),
            max_bytes_per_s_per_allocation: 0,
            max_bytes_per_s_per_user: 0,
            tcp_relaying: true,
            mobility: false,
            strict_expiry: false,
            rfc5766_channels: false,
            segmentation: true,
            fast_path: Vec::new(),
            drain_s: Limited::of(3),
            admin: None,
            admin_token: None,
        }
    }
}

/// The gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// The signaling server's URL. `up` knows its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Url>,
    /// The claim code, needed on the first start only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Secret>,
    /// What people call it.
    pub name: String,
    /// The UDP port of all video; 0 is any.
    pub udp_port: u16,
    /// Never connect directly, always through TURN.
    pub turn_only: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { server: None, claim: None, name: "gateway".into(), udp_port: 0, turn_only: false }
    }
}

/// A camera of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// What people call it; its id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where its video comes from.
    pub source: Source,
    /// A smaller stream of the same picture, for tiles and slow paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_source: Option<Source>,
    /// Connect to it when somebody watches, not all the time.
    #[serde(default)]
    pub on_demand: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Syntax(#[from] Syntax),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("neither HOME nor XDG_DATA_HOME is set; name a data folder with --data")]
    Homeless,
}

/// A configuration and the file it came from, if any.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub file: Option<PathBuf>,
}

/// Reads all layers. `flags` adds the topmost.
pub fn load(file: Option<&Path>, flags: impl Fn(&mut Tree)) -> Result<Loaded, Error> {
    // A name or value that is not Unicode is not one of ours.
    let unicode = |(key, value): (OsString, OsString)| {
        Some((key.into_string().ok()?, value.into_string().ok()?))
    };
    let environment: Vec<_> = std::env::vars_os().filter_map(unicode).collect();
    load_with(file, &environment, flags)
}

fn load_with(
    file: Option<&Path>,
    environment: &[(String, String)],
    flags: impl Fn(&mut Tree),
) -> Result<Loaded, Error> {
    // The data folder may be named by the environment or a flag, and then holds the file.
    let mut above = Tree::default();
    above.add_env(environment.iter().cloned());
    flags(&mut above);
    let default_data = default_data(environment);
    let file = match file {
        Some(file) => Some(file.to_owned()),
        None => find_file(above.text("data").map(PathBuf::from).or(default_data.clone())),
    };

    let mut tree = Tree::default();
    if let Some(path) = &file {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| Error::Unreadable { path: path.clone(), cause })?;
        tree.add_file(path, &text)?;
    }
    tree.add_env(environment.iter().cloned());
    flags(&mut tree);
    let mut config: Config = tree.read()?;
    if config.data.as_os_str().is_empty() {
        config.data = default_data.ok_or(Error::Homeless)?;
    }
    Ok(Loaded { config, file })
}

fn find_file(data: Option<PathBuf>) -> Option<PathBuf> {
    let beside = PathBuf::from(FILE_NAME);
    let inside = data.map(|data| data.join(FILE_NAME));
    [Some(beside), inside].into_iter().flatten().find(|path| path.is_file())
}

/// The user's data folder by the XDG Base Directory Specification.
fn default_data(environment: &[(String, String)]) -> Option<PathBuf> {
    let get = |name: &str| {
        let (_, value) = environment.iter().find(|(key, _)| key == name)?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    let base = get("XDG_DATA_HOME").or_else(|| Some(get("HOME")?.join(".local/share")))?;
    Some(base.join("porthole"))
}
