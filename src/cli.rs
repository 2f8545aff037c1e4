//! The command line. A flag overrides a key of the configuration; `configure` says which one.

mod access;
mod bench;
mod service;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};
use porthole_signaling_proto::GatewayId;
use serde::Serialize;
use url::Url;

use crate::config::{
    Account, CaFingerprint, CameraFlag, LogFormat, Network, Ports, PublicName, Tree,
};

pub use access::{
    Asking, Claim, Invite, NewShare, NewToken, ResetUser, Role, Share, Token, User, UserAccess,
    UserRole,
};
pub use bench::Bench;
pub use service::{Service, ServiceFlag};

/// Your own camera cloud without the cloud.
#[derive(Debug, Parser)]
#[command(name = "porthole", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// Configuration file [default: ./porthole.toml, else porthole.toml in the data folder].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Form of the log: text, or json with one object a line [default: text].
    #[arg(long, global = true, value_name = "FORM")]
    pub log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on one machine: dashboard, signaling, STUN/TURN, and a gateway for its
    /// cameras.
    Up(Up),
    /// Run a gateway next to its cameras, connected to a signaling server. With `list` or `remove`,
    /// manage the gateways of this server.
    Gateway(Gateway),
    /// Run the signaling server with the dashboard.
    Signaling(Signaling),
    /// Run the STUN/TURN server.
    Turn(Turn),
    /// Check what works on this network, with advice for what does not.
    Netcheck(Netcheck),
    /// Check this machine and its configuration, with advice for what is wrong.
    Doctor(Doctor),
    /// Ask the server that runs on this machine if it is alive, as container runtimes do.
    Health(Health),
    /// Find the cameras in this machine's networks.
    Discover(Discover),
    /// Ask a camera for its streams, with advice for what is wrong.
    Probe(Probe),
    /// Show the cameras in a configuration of go2rtc, Frigate or MediaMTX, and add them.
    Import(Import),
    /// Manage API tokens for scripts and players.
    #[command(subcommand)]
    Token(Token),
    /// Manage claim codes, by which gateways enrol.
    #[command(subcommand)]
    Claim(Claim),
    /// Manage the links by which people become users.
    #[command(subcommand)]
    Invite(Invite),
    /// Manage the links with which anybody watches cameras without signing in.
    #[command(subcommand)]
    Share(Share),
    /// Manage the people who sign in.
    #[command(subcommand)]
    User(User),
    /// Show who has signed in, failed to, or changed who has access: the newest 200 events.
    Audit(DataFlag),
    /// Write the data folder to an encrypted file, also while Porthole runs.
    Backup(Backup),
    /// Write the files of a backup to a new data folder.
    Restore(Restore),
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(Config),
    /// Measure how much a server on this machine carries.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Debug, Default, Args)]
pub struct DataFlag {
    /// Folder for the database, keys and secrets.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct HttpFlags {
    /// Address where the dashboard and the signaling server listen [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<SocketAddr>,
    /// URL by which browsers reach the dashboard, if it is not that address.
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,
}

#[derive(Debug, Args)]
pub struct GatewayFlags {
    /// Camera: rtsp://…, rtp://… or test: (repeatable).
    #[arg(long = "camera", value_name = "ID=SOURCE")]
    cameras: Vec<CameraFlag>,
    /// Display name of the gateway.
    #[arg(long, value_name = "NAME")]
    gateway_name: Option<String>,
    /// UDP port for all video [default: any free port].
    #[arg(long, value_name = "PORT")]
    udp_port: Option<u16>,
    /// Never connect directly, only through TURN.
    #[arg(long)]
    turn_only: bool,
}

#[derive(Debug, Args)]
pub struct RelayFlags {
    /// Ports of relayed addresses [default: 49152-65535].
    #[arg(long, value_name = "A-B")]
    relay_ports: Option<Ports>,
    /// Special-purpose network (private, loopback, …) to allow as peers (repeatable).
    #[arg(long = "allow-peer", value_name = "CIDR")]
    allow_peers: Vec<Network>,
    /// Additional network to deny as peers (repeatable).
    #[arg(long = "deny-peer", value_name = "CIDR")]
    deny_peers: Vec<Network>,
    /// Number of worker threads; 0 means one per core.
    #[arg(long, value_name = "N")]
    workers: Option<u16>,
}

#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    data: DataFlag,
    #[command(flatten)]
    http: HttpFlags,
    /// Address where the STUN/TURN server listens for UDP and TCP [default: 127.0.0.1:3478]
    /// (repeatable).
    #[arg(long = "turn", value_name = "ADDR:PORT")]
    turns: Vec<SocketAddr>,
    /// Serve everything at port 443 over TLS, with a certificate of Let's Encrypt for this domain
    /// name; without a name, for the public IP address.
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    public: Option<Option<PublicName>>,
    /// Public IP address of this machine.
    #[arg(long, value_name = "IP")]
    public_address: Option<IpAddr>,
    #[command(flatten)]
    relay: RelayFlags,
    #[command(flatten)]
    gateway: GatewayFlags,
    /// Add a built-in demo camera with a moving picture and a clock.
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    service: ServiceFlag,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Gateway {
    #[command(subcommand)]
    pub manage: Option<ManageGateways>,
    #[command(flatten)]
    data: DataFlag,
    /// URL of the signaling server.
    #[arg(long, value_name = "URL")]
    server: Option<Url>,
    /// Claim code, needed on the first start only.
    #[arg(long, value_name = "CODE")]
    claim: Option<String>,
    /// SHA-256 fingerprint of the server's own certificate authority, as its log shows it; needed
    /// on the first start only, and only if the server has one.
    #[arg(long, value_name = "SHA256")]
    ca_fingerprint: Option<CaFingerprint>,
    #[command(flatten)]
    gateway: GatewayFlags,
    #[command(flatten)]
    service: ServiceFlag,
}

/// The commands on the gateways of a server.
#[derive(Debug, Subcommand)]
pub enum ManageGateways {
    /// List the gateways that have enrolled, with their cameras.
    List(DataFlag),
    /// Remove a gateway with its cameras and the rights to them. Its key is refused from then on.
    Remove(NamedGateway),
}

#[derive(Debug, Args)]
pub struct NamedGateway {
    #[command(flatten)]
    data: DataFlag,
    /// Id of the gateway.
    #[arg(value_name = "ID")]
    pub gateway: GatewayId,
    #[command(flatten)]
    pub asking: Asking,
}

#[derive(Debug, Args)]
pub struct Signaling {
    #[command(flatten)]
    data: DataFlag,
    #[command(flatten)]
    http: HttpFlags,
    /// TURN server for clients, such as turn:HOST:PORT?transport=udp (repeatable).
    #[arg(long = "turn-url", value_name = "URL")]
    turn_urls: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Turn {
    /// Address to listen on for UDP and TCP [default: 127.0.0.1:3478] (repeatable).
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// Realm of the users [default: porthole].
    #[arg(long, value_name = "R")]
    realm: Option<String>,
    /// User name and password (repeatable).
    #[arg(long = "user", value_name = "NAME:PASSWORD")]
    users: Vec<Account>,
    /// Relayed address, at most one IPv4 and one IPv6 (repeatable).
    #[arg(long, value_name = "IP")]
    relay_address: Vec<IpAddr>,
    #[command(flatten)]
    relay: RelayFlags,
}

#[derive(Debug, Args)]
pub struct Netcheck {
    /// STUN/TURN server, or its URI, such as turns:HOST:PORT; two servers at different addresses
    /// show how the NAT maps (repeatable).
    #[arg(long = "server", value_name = "HOST[:PORT]", required = true)]
    pub servers: Vec<String>,
    /// TLS port of the servers, where TLS must work; without this, 5349 is tried but may be
    /// closed.
    #[arg(long, value_name = "PORT")]
    pub tls_port: Option<u16>,
    /// Additional trusted certificates (PEM), for a server with a private authority.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Account on the first server, for a test allocation; without it, only TURN's response is
    /// checked. The password is asked for, unless it is in the file. NAME:PASSWORD is accepted,
    /// but shows the password to every user of this machine.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Ask the router to forward a port of this machine for a moment.
    #[arg(long)]
    pub map_port: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Default, Args)]
pub struct Backup {
    /// File to write, which must not exist yet.
    pub file: PathBuf,
    #[command(flatten)]
    pub data: DataFlag,
    /// File with the password in its first line, instead of asking for it.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub struct Restore {
    /// Backup to read.
    pub file: PathBuf,
    #[command(flatten)]
    pub data: DataFlag,
    /// File with the password in its first line, instead of asking for it.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// Command that is to be checked [default: gateway if gateway.server is set, else up].
    pub role: Option<DoctorRole>,
    #[command(flatten)]
    pub data: DataFlag,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Also write it to a new file, with the configuration without its secrets and facts about this
    /// machine, for whoever helps.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Health {
    /// Command that runs here [default: gateway if gateway.server is set, else up].
    pub role: Option<DoctorRole>,
    #[command(flatten)]
    pub data: DataFlag,
}

/// The commands that serve something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoctorRole {
    /// Runs everything on one machine.
    Up,
    /// Runs a gateway.
    Gateway,
    /// Runs the signaling server.
    Signaling,
    /// Runs the STUN/TURN server.
    Turn,
}

impl fmt::Display for DoctorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Gateway => "gateway",
            Self::Signaling => "signaling",
            Self::Turn => "turn",
        })
    }
}

#[derive(Debug, Args)]
pub struct Discover {
    /// Addresses to ask, such as those of cameras in another network; without any, every network
    /// of this machine is searched.
    #[arg(value_name = "ADDRESS")]
    pub addresses: Vec<IpAddr>,
    /// Network that may be contacted although this machine has no address in it (repeatable).
    #[arg(long = "network", value_name = "CIDR")]
    pub networks: Vec<Network>,
    /// Print the cameras as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Import {
    /// The configuration file, such as go2rtc.yaml, frigate.yml or mediamtx.yml. Nothing in it is
    /// executed.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Add the cameras to the gateway with the data folder, which must not be running. Without
    /// this, the program asks on a terminal.
    #[arg(long)]
    pub add: bool,
    #[command(flatten)]
    data: DataFlag,
}

#[derive(Debug, Args)]
pub struct Probe {
    /// Address or name of the camera, with a port if it is unusual; or the URL of its ONVIF device
    /// service.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// Name of the camera's ONVIF user. The password is asked for, unless it is in the file or in
    /// PORTHOLE_CAMERA_PASSWORD.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Allow the password to be sent as readable text, if the camera takes nothing else.
    #[arg(long)]
    pub allow_text: bool,
    /// Do not play the streams that are found.
    #[arg(long)]
    pub no_streams: bool,
    /// Vendor whose RTSP paths are tried if the camera does not speak ONVIF; any other word tries
    /// those that are common.
    #[arg(long, value_name = "NAME")]
    pub vendor: Option<String>,
    /// Network that may be contacted although this machine has no address in it (repeatable).
    #[arg(long = "network", value_name = "CIDR")]
    pub networks: Vec<Network>,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check the configuration and print all mistakes in it.
    Check(DataFlag),
    /// Print the effective configuration without secrets, and where each value came from.
    Show(DataFlag),
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
}

/// The flags whose values contain secrets.
const SECRET_FLAGS: [&str; 3] = ["--camera ", "--claim ", "--user "];

impl Cli {
    /// Adds the flags to the configuration.
    pub fn configure(&self, tree: &mut Tree) {
        tree.add_flag("--log-format", &["log_format"], self.log_format);
        self.command.configure(tree);
    }

    /// Parses the command line; prints a usage message and exits if it is invalid.
    pub fn from_command_line() -> Self {
        Self::try_parse().unwrap_or_else(|error| without_secrets(error).exit())
    }
}

/// Removes the invalid value from an error message if it may contain a secret.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let is_secret = |flag: &str| SECRET_FLAGS.iter().any(|name| flag.starts_with(name));
    if let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && is_secret(flag)
    {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}

/// The addresses of `up --public`.
const PUBLIC_LISTEN: [&str; 2] = ["0.0.0.0:443", "[::]:443"];

/// The id of the built-in camera of `up --demo`.
const DEMO_CAMERA: &str = "demo";
const DEMO_SOURCE: &str = "test:";
const DEMO_NAME: &str = "Demo camera";

impl Command {
    /// Adds the flags to the configuration.
    pub fn configure(&self, tree: &mut Tree) {
        match self {
            Self::Up(flags) => flags.configure(tree),
            Self::Gateway(flags) => flags.configure(tree),
            Self::Signaling(flags) => flags.configure(tree),
            Self::Turn(flags) => flags.configure(tree),
            Self::Netcheck(_) | Self::Discover(_) | Self::Probe(_) => {}
            Self::Doctor(flags) => flags.data.configure(tree),
            Self::Health(flags) => flags.data.configure(tree),
            Self::Import(flags) => flags.data.configure(tree),
            Self::Token(command) => command.data().configure(tree),
            Self::Claim(command) => command.data().configure(tree),
            Self::Invite(command) => command.data().configure(tree),
            Self::Share(command) => command.data().configure(tree),
            Self::User(command) => command.data().configure(tree),
            Self::Audit(flags) => flags.configure(tree),
            Self::Backup(flags) => flags.data.configure(tree),
            Self::Restore(flags) => flags.data.configure(tree),
            Self::Config(Config::Check(flags) | Config::Show(flags)) => flags.configure(tree),
            Self::Bench(_) | Self::Config(Config::Schema) => {}
        }
    }
}

impl Command {
    /// Returns true if a password is among the arguments, which others can read.
    pub fn shows_password(&self) -> bool {
        let of_camera = |flags: &GatewayFlags| {
            flags.cameras.iter().any(|CameraFlag { source, .. }| source.has_password())
        };
        match self {
            Self::Up(up) => of_camera(&up.gateway),
            Self::Gateway(gateway) => of_camera(&gateway.gateway),
            Self::Turn(turn) => !turn.users.is_empty(),
            Self::Netcheck(netcheck) => {
                netcheck.user.as_ref().is_some_and(|user| user.contains(':'))
            }
            Self::Signaling(_)
            | Self::Doctor(_)
            | Self::Health(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Discover(_)
            | Self::Probe(_)
            | Self::Import(_)
            | Self::Token(_)
            | Self::Claim(_)
            | Self::Invite(_)
            | Self::Share(_)
            | Self::User(_)
            | Self::Audit(_)
            | Self::Bench(_)
            | Self::Config(_) => false,
        }
    }
}

impl DataFlag {
    fn configure(&self, tree: &mut Tree) {
        let data = self.data.as_ref().map(|data| data.display());
        tree.add_flag("--data", &["data"], data);
    }
}

impl HttpFlags {
    fn configure(&self, tree: &mut Tree) {
        tree.add_flag("--http", &["signaling", "http"], self.http);
        tree.add_flag("--public-url", &["signaling", "public_url"], self.public_url.as_ref());
    }
}

impl GatewayFlags {
    fn configure(&self, tree: &mut Tree) {
        for CameraFlag { id, source } in &self.cameras {
            let path = ["camera", id.as_str(), "source"];
            tree.add_flag("--camera", &path, Some(source.reveal()));
        }
        tree.add_flag("--gateway-name", &["gateway", "name"], self.gateway_name.as_ref());
        tree.add_flag("--udp-port", &["gateway", "udp_port"], self.udp_port);
        tree.add_flag("--turn-only", &["gateway", "turn_only"], self.turn_only.then_some(true));
    }
}

impl RelayFlags {
    fn configure(&self, tree: &mut Tree) {
        tree.add_flag("--relay-ports", &["turn", "relay_ports"], self.relay_ports);
        tree.add_flags("--allow-peer", &["turn", "allow_peers"], &self.allow_peers);
        tree.add_flags("--deny-peer", &["turn", "deny_peers"], &self.deny_peers);
        tree.add_flag("--workers", &["turn", "workers"], self.workers);
    }
}

impl Up {
    fn configure(&self, tree: &mut Tree) {
        self.data.configure(tree);
        self.http.configure(tree);
        if let Some(name) = &self.public {
            tree.add_flags("--public", &["public", "listen"], &PUBLIC_LISTEN);
            tree.add_flags("--public", &["public", "names"], name.as_slice());
        }
        tree.add_flags("--turn", &["turn", "listen"], &self.turns);
        tree.add_flag("--public-address", &["public_address"], self.public_address);
        self.relay.configure(tree);
        if self.demo {
            tree.add_flag("--demo", &["camera", DEMO_CAMERA, "source"], Some(DEMO_SOURCE));
            tree.add_flag("--demo", &["camera", DEMO_CAMERA, "name"], Some(DEMO_NAME));
        }
        self.gateway.configure(tree);
    }
}

impl Gateway {
    fn configure(&self, tree: &mut Tree) {
        match &self.manage {
            None => self.data.configure(tree),
            Some(ManageGateways::List(data)) => data.configure(tree),
            Some(ManageGateways::Remove(flags)) => flags.data.configure(tree),
        }
        tree.add_flag("--server", &["gateway", "server"], self.server.as_ref());
        tree.add_flag("--claim", &["gateway", "claim"], self.claim.as_ref());
        let fingerprint = self.ca_fingerprint.as_ref();
        tree.add_flag("--ca-fingerprint", &["gateway", "ca_fingerprint"], fingerprint);
        self.gateway.configure(tree);
    }
}

impl Signaling {
    fn configure(&self, tree: &mut Tree) {
        self.data.configure(tree);
        self.http.configure(tree);
        tree.add_flags("--turn-url", &["signaling", "turn_urls"], &self.turn_urls);
    }
}

impl Turn {
    fn configure(&self, tree: &mut Tree) {
        tree.add_flags("--listen", &["turn", "listen"], &self.listen);
        tree.add_flag("--realm", &["turn", "realm"], self.realm.as_ref());
        for Account { name, password } in &self.users {
            tree.add_flag("--user", &["turn", "users", name], Some(password.reveal()));
        }
        tree.add_flags("--relay-address", &["turn", "relay_address"], &self.relay_address);
        self.relay.configure(tree);
    }
}

#[cfg(test)]
mod tests;
