//! The configuration: a TOML file, then `PORTHOLE__SECTION__KEY` in the environment, then flags.
//!
//! Each key is a field below, and is described in `docs/ref/config.md` and
//! `deploy/porthole.example.toml`; tests compare the three.

mod check;
mod fingerprint;
mod log_format;
mod openid_connect;
mod port_mapping;
mod read;
mod schema;
mod shown;
#[cfg(test)]
mod tests;
mod tree;
mod turn_servers;
mod types;
mod written;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use porthole_signaling_proto::CameraId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

pub use check::{AllErrors, check};
pub use fingerprint::{CaFingerprint, Fingerprint};
pub use log_format::LogFormat;
pub use openid_connect::OpenidConnect;
pub use port_mapping::PortMapping;
pub use read::InvalidSetting;
pub use schema::schema;
pub use shown::shown;
#[cfg(test)]
pub use tests::known_keys;
pub use tree::{Origins, SyntaxError, Tree};
pub use turn_servers::{MAIN_SERVER, TurnServer, TurnServerName};
pub use types::{
    Account, AdminAddress, Bounded, CameraFlag, ExternalAddress, IceServerHost, Join, Network,
    OnvifService, Ports, PublicName, Rotation, Secret, Source, Span,
};
pub use written::{of_text, with_flags};

/// The name of the configuration file in the working directory and in the data folder.
const FILE_NAME: &str = "porthole.toml";

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder for the database, keys and secrets.
    pub data: PathBuf,
    /// The public IP address of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_address: Option<IpAddr>,
    /// The public address of the other family, if `turn.external_address` has found one. It has no
    /// key.
    #[serde(skip)]
    pub other_public_address: Option<IpAddr>,
    /// The form of the log.
    pub log_format: LogFormat,
    /// The table `[admin]`.
    pub admin: AdminSettings,
    /// The table `[public]`.
    pub public: Public,
    /// The table `[signaling]`.
    pub signaling: Signaling,
    /// The table `[turn]`.
    pub turn: Turn,
    /// The table `[gateway]`.
    pub gateway: Gateway,
    /// The tables `[camera.ID]`: the gateway's cameras by id.
    #[schemars(with = "BTreeMap<String, Camera>")]
    pub camera: BTreeMap<CameraId, Camera>,
}

/// Settings of the admin API of all roles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// The loopback address or Unix socket to listen on; the API is off without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<AdminAddress>,
    /// The bearer token of the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// Settings of the public port, where everything is served over TLS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Public {
    /// The addresses and ports to listen on; without any, there is no public port.
    pub listen: Vec<SocketAddr>,
    /// The names and addresses by which clients reach it; if empty, `public_address`.
    pub names: Vec<PublicName>,
    /// The load balancers that say whose connections they pass on, with the PROXY protocol.
    pub proxy_protocol: Vec<Network>,
    /// A PEM file with the certificate and its intermediates, reloaded when it changes. Without it,
    /// an authority gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// A PEM file with the private key of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Issue the certificate by an authority of the server's own, for a local network.
    pub own_ca: bool,
    /// The ACME directory of the authority.
    pub acme_directory: Url,
    /// The mail address that the authority may write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme_contact: Option<String>,
    /// A PEM file with certificates to trust when connecting to the authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme_ca: Option<PathBuf>,
    /// The addresses where HTTP challenges are answered; if absent, port 80 of those in `listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme_http: Option<Vec<SocketAddr>>,
}

/// The ACME directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl Default for Public {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            names: Vec::new(),
            proxy_protocol: Vec::new(),
            certificate: None,
            key: None,
            own_ca: false,
            acme_directory: Url::parse(LETS_ENCRYPT).expect("the constant is a URL"),
            acme_contact: None,
            acme_ca: None,
            acme_http: None,
        }
    }
}

/// Settings of the signaling server, which also serves the dashboard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Signaling {
    /// The address and port to listen on.
    pub http: SocketAddr,
    /// The URL by which browsers reach it, if it is another one: behind a proxy, for example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<Url>,
    /// The reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Further URLs by which gateways reach it; if there are any, no others are accepted.
    pub gateway_urls: Vec<Url>,
    /// URIs of the STUN and TURN servers for clients; for `up`, in addition to its own.
    pub turn_urls: Vec<String>,
    /// The secret shared with the TURN server in `turn_urls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_secret: Option<Secret>,
    /// The tables `[signaling.turn_server.NAME]`: further TURN servers by name.
    #[schemars(with = "BTreeMap<String, TurnServer>")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub turn_server: BTreeMap<TurnServerName, TurnServer>,
    /// The table `[signaling.openid_connect]`: the provider whose accounts may sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openid_connect: Option<OpenidConnect>,
}

impl Default for Signaling {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            trusted_proxies: this_machine(),
            gateway_urls: Vec::new(),
            turn_urls: Vec::new(),
            turn_secret: None,
            turn_server: BTreeMap::new(),
            openid_connect: None,
        }
    }
}

/// Returns the loopback addresses.
fn this_machine() -> Vec<Network> {
    ["127.0.0.0/8", "::1/128"].into_iter().filter_map(|network| network.parse().ok()).collect()
}

/// Settings of the STUN and TURN server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Turn {
    /// The addresses and ports to listen on, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The addresses and ports to listen on for TLS only.
    pub listen_tls: Vec<SocketAddr>,
    /// The addresses and ports to listen on for DTLS.
    pub listen_dtls: Vec<SocketAddr>,
    /// A second address and port for NAT behavior discovery (RFC 5780).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery_address: Option<SocketAddr>,
    /// Servers to which clients are redirected while this one is draining or full.
    pub alternate_servers: Vec<SocketAddr>,
    /// A PEM file with the certificate and its intermediates, reloaded when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// A PEM file with the private key of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// The realm of the users (RFC 8489 §9.2).
    pub realm: String,
    /// Passwords of long-term users, by user name.
    pub users: BTreeMap<String, Secret>,
    /// The secret from which short-lived credentials are derived. `up` generates one if it is
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Previous secrets, whose credentials are still accepted.
    pub old_secrets: Vec<Secret>,
    /// Base64 keys, by key id, shared with a third party whose access tokens are accepted (RFC
    /// 7635).
    pub oauth_keys: BTreeMap<String, Secret>,
    /// The way to find the public address if `public_address` is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_address: Option<ExternalAddress>,
    /// The relayed addresses, at most one IPv4 and one IPv6; if empty, `public_address`.
    pub relay_address: Vec<IpAddr>,
    /// The local addresses of relay sockets, at most one IPv4 and one IPv6; if empty, detected.
    pub relay_bind: Vec<IpAddr>,
    /// The ports of relayed addresses.
    pub relay_ports: Ports,
    /// Special-purpose networks (private, loopback, …) that are allowed as peers.
    pub allow_peers: Vec<Network>,
    /// Additional networks that are denied as peers.
    pub deny_peers: Vec<Network>,
    /// The lowest port of a peer that may be relayed to.
    pub lowest_peer_port: Bounded<1, { u16::MAX as u32 }>,
    /// Relay only to other clients' relayed addresses and to networks in `allow_peers`.
    pub relayed_peers_only: bool,
    /// Number of worker threads; 0 means one per core.
    pub workers: Bounded<0, { u8::MAX as u32 }>,
    /// Maximum number of simultaneous allocations of one user; the default depends on the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_allocations_per_user: Option<Bounded<1, MAX_ALLOCATIONS>>,
    /// Maximum number of simultaneous allocations of one client address (IPv6: /64 prefix).
    pub max_allocations_per_source: Bounded<1, MAX_ALLOCATIONS>,
    /// Maximum number of simultaneous allocations in total.
    pub max_allocations: Bounded<1, MAX_ALLOCATIONS>,
    /// Maximum payload of one allocation in bytes per second, both directions together; 0:
    /// unlimited.
    pub max_bytes_per_s_per_allocation: u32,
    /// The same limit for all allocations of one user together; the default depends on the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes_per_s_per_user: Option<u32>,
    /// Allow TCP connections between clients and peers (RFC 6062); the default depends on the
    /// command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_relaying: Option<bool>,
    /// Allow clients to keep their allocations when their address changes (RFC 8016).
    pub mobility: bool,
    /// Refuse to refresh an allocation once its short-lived credentials have expired.
    pub strict_expiry: bool,
    /// Allow channel numbers above 0x4FFF, which RFC 5766 allowed.
    pub rfc5766_channels: bool,
    /// Receive and send several datagrams per system call (UDP GRO and GSO) where possible.
    pub segmentation: bool,
    /// Network interfaces on which the kernel relays bound channels, or only `auto`.
    pub fast_path: Vec<String>,
    /// Seconds for which existing allocations may continue when the program is stopped.
    pub drain_s: Bounded<0, MAX_DRAIN_S>,
    /// The former name of `admin.listen`, which counts for `turn` and `up` if that is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminAddress>,
    /// The former name of `admin.token`, which counts for `turn` and `up` if that is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token: Option<Secret>,
}

/// The number of ports of both families.
const MAX_ALLOCATIONS: u32 = 131_072;
/// Ten gigabits a second.
const MAX_UPLINK: u32 = 10_000_000;
/// One day: a client that has not found another server by then will not.
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
            // The dynamic ports of RFC 6335 §6, as RFC 8656 §7.2 recommends.
            relay_ports: Ports { first: 49152, last: 65535 },
            allow_peers: Vec::new(),
            deny_peers: Vec::new(),
            lowest_peer_port: Bounded::new(1),
            relayed_peers_only: false,
            workers: Bounded::new(0),
            max_allocations_per_user: None,
            max_allocations_per_source: Bounded::new(1024),
            max_allocations: Bounded::new(16_384),
            max_bytes_per_s_per_allocation: 0,
            max_bytes_per_s_per_user: None,
            tcp_relaying: None,
            mobility: false,
            strict_expiry: false,
            rfc5766_channels: true,
            segmentation: true,
            fast_path: Vec::new(),
            drain_s: Bounded::new(3),
            admin: None,
            admin_token: None,
        }
    }
}

/// Settings of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// The URL of the signaling server; `up` uses its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Url>,
    /// The claim code, needed on the first start only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Secret>,
    /// The display name.
    pub name: String,
    /// The UDP port for all video; 0 means any free port.
    pub udp_port: u16,
    /// Never connect directly, only through TURN.
    pub turn_only: bool,
    /// The way in which the router is asked to forward the UDP port.
    pub port_mapping: PortMapping,
    /// The rate of what viewers outside the local network get in all; absent is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uplink_kbit_per_s: Option<Bounded<100, MAX_UPLINK>>,
    /// Networks in which cameras may be looked for although the machine has no address in them.
    pub networks: Vec<Network>,
    /// STUN and TURN servers that are neither public nor on the signaling server's machine.
    pub allow_ice_servers: Vec<IceServerHost>,
    /// A PEM file with certificates of authorities to trust beside those that browsers trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<PathBuf>,
    /// The fingerprint of the server's own authority, which is trusted from the first start on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_fingerprint: Option<CaFingerprint>,
    /// Connect to a signaling server on the Internet without TLS.
    pub allow_plain_http: bool,
    /// The time in which an RTSP camera must answer.
    pub camera_connect_timeout: Span,
    /// The time without packets after which an RTSP camera is connected again.
    pub camera_silence_timeout: Span,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            server: None,
            claim: None,
            name: "gateway".into(),
            udp_port: 0,
            turn_only: false,
            port_mapping: PortMapping::Auto,
            max_uplink_kbit_per_s: None,
            networks: Vec::new(),
            allow_ice_servers: Vec::new(),
            ca_certificates: None,
            ca_fingerprint: None,
            allow_plain_http: false,
            camera_connect_timeout: Span { seconds: 10 },
            camera_silence_timeout: Span { seconds: 15 },
        }
    }
}

/// Settings of one camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// The display name; if absent, the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The source of its main stream.
    pub source: Source,
    /// The source of its sub stream, for tiles and slow paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_source: Option<Source>,
    /// Connect to the camera only while somebody watches, instead of all the time.
    #[serde(default)]
    pub on_demand: bool,
    /// The rotation of its picture, in degrees clockwise.
    #[serde(default)]
    pub rotation: Rotation,
    /// Mirror its picture, left to right, before it is turned.
    #[serde(default)]
    pub mirrored: bool,
    /// The ONVIF device service, which moves the camera and tells of motion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onvif: Option<OnvifService>,
    /// The number of the camera in this device, from one: a channel of a recorder.
    #[serde(default = "first")]
    pub onvif_channel: NonZeroU32,
}

fn first() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl Config {
    /// Returns true if it has something that only its owner may read.
    pub fn has_secrets(&self) -> bool {
        let Self { admin, signaling, turn, gateway, camera, .. } = self;
        let provider = signaling.openid_connect.as_ref();
        let tokens = [&admin.token, &turn.admin_token, &gateway.claim];
        let mut secrets = [&signaling.turn_secret, &turn.secret].into_iter().chain(tokens);
        let mut sources = camera.values().flat_map(|camera| {
            [Some(&camera.source), camera.sub_source.as_ref()].into_iter().flatten()
        });
        secrets.any(Option::is_some)
            || signaling.turn_server.values().any(|server| server.secret.is_some())
            || provider.is_some_and(|provider| provider.client_secret.is_some())
            || !turn.users.is_empty()
            || !turn.old_secrets.is_empty()
            || !turn.oauth_keys.is_empty()
            || sources.any(Source::has_password)
    }
}

/// The reason why the configuration cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    #[error(transparent)]
    Invalid(#[from] InvalidSetting),
    #[error("neither HOME nor XDG_DATA_HOME is set; give the data folder with --data")]
    NoDataFolder,
}

/// The configuration, the path of its file if there is one, and where its values came from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub file: Option<PathBuf>,
    /// The contents of the file that were read.
    pub contents: Option<Fingerprint>,
    pub origins: Origins,
}

/// Loads all layers: the file, the environment, and the flags, which `flags` adds to the tree.
///
/// # Errors
///
/// Fails if the file cannot be read or is not TOML, if a key is unknown or a value invalid, or if
/// there is no data folder.
pub fn load(file: Option<&Path>, flags: impl Fn(&mut Tree)) -> Result<Loaded, Error> {
    load_with(file, &environment(), flags)
}

/// Returns the variables of the environment. Those that are not Unicode are not Porthole's.
fn environment() -> Vec<(String, String)> {
    let unicode = |(key, value): (OsString, OsString)| {
        Some((key.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(unicode).collect()
}

fn load_with(
    file: Option<&Path>,
    environment: &[(String, String)],
    flags: impl Fn(&mut Tree),
) -> Result<Loaded, Error> {
    let layers = Layers::read(file, environment, flags)?;
    if let Some(error) = layers.syntax.first() {
        return Err(Error::Syntax(error.clone()));
    }
    let config = layers.tree.clone().deserialize()?;
    layers.finish(config)
}

/// All layers, merged and not read yet.
struct Layers {
    tree: Tree,
    file: Option<PathBuf>,
    contents: Option<Fingerprint>,
    default_data: Option<PathBuf>,
    /// Errors of the file as TOML.
    syntax: Vec<SyntaxError>,
}

impl Layers {
    fn read(
        file: Option<&Path>,
        environment: &[(String, String)],
        flags: impl Fn(&mut Tree),
    ) -> Result<Self, Error> {
        // The environment or a flag may set the data folder, in which the file is looked for.
        let mut above = Tree::default();
        above.add_env(environment.iter().cloned());
        flags(&mut above);
        let default_data = default_data(environment);
        let data = above.top_level_text("data").map(PathBuf::from).or(default_data.clone());
        let file = file.map(Path::to_owned).or_else(|| find_file(data));

        let (mut tree, mut syntax, mut contents) = (Tree::default(), Vec::new(), None);
        if let Some(path) = &file {
            let text = std::fs::read_to_string(path)
                .map_err(|cause| Error::Unreadable { path: path.clone(), cause })?;
            contents = Some(Fingerprint::of(text.as_bytes()));
            syntax = tree.add_file(path, &text);
        }
        tree.add_env(environment.iter().cloned());
        flags(&mut tree);
        Ok(Self { tree, file, contents, default_data, syntax })
    }

    /// Completes a configuration that was read from the tree.
    fn finish(self, mut config: Config) -> Result<Loaded, Error> {
        if config.data.as_os_str().is_empty() {
            config.data = self.default_data.clone().ok_or(Error::NoDataFolder)?;
        }
        let Self { tree, file, contents, .. } = self;
        Ok(Loaded { config, file, contents, origins: tree.origins() })
    }
}

/// Returns the first configuration file that exists, in the working directory or the data folder.
fn find_file(data: Option<PathBuf>) -> Option<PathBuf> {
    let in_working_directory = PathBuf::from(FILE_NAME);
    let in_data = data.map(|data| data.join(FILE_NAME));
    [Some(in_working_directory), in_data].into_iter().flatten().find(|path| path.is_file())
}

/// Returns the user's data folder according to the XDG Base Directory Specification.
fn default_data(environment: &[(String, String)]) -> Option<PathBuf> {
    let get = |name: &str| {
        let (_, value) = environment.iter().find(|(key, _)| key == name)?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    let base = get("XDG_DATA_HOME").or_else(|| Some(get("HOME")?.join(".local/share")))?;
    Some(base.join("porthole"))
}
