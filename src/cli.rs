//! The command line. A flag overrides the key of the configuration that its method here names.

use crate::config::{Account, CameraFlag, Network, Ports, Span, Tree};
use clap::{
    Args, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue},
};
use porthole_signaling_proto::CameraId;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};
use url::Url;

/// Your own camera cloud without the cloud.
#[derive(Debug, Parser)]
#[command(name = "porthole", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// The configuration file [default: ./porthole.toml or porthole.toml in the data folder].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Everything on one machine: dashboard, signaling, STUN/TURN, and a gateway if it has cameras.
    Up(Up),
    /// A gateway beside its cameras, dialling out to a signaling server.
    Gateway(Gateway),
    /// The signaling server with the dashboard.
    Signaling(Signaling),
    /// The STUN/TURN server.
    Turn(Turn),
    /// Tells what this network lets through, and what to do about the rest.
    Netcheck(Netcheck),
    /// API tokens for scripts and players.
    #[command(subcommand)]
    Token(Token),
    /// Claim codes, by which a gateway becomes known.
    #[command(subcommand)]
    Claim(Claim),
    /// Looks at the configuration.
    #[command(subcommand)]
    Config(Config),
}

#[derive(Debug, Args)]
pub struct DataFlag {
    /// The folder for the database, keys and secrets.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct HttpFlags {
    /// Where the dashboard and the signaling server listen [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<SocketAddr>,
    /// How browsers reach the dashboard, if not at that address.
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,
}

#[derive(Debug, Args)]
pub struct GatewayFlags {
    /// A camera: rtsp://…, rtp://… or test: [repeatable].
    #[arg(long = "camera", value_name = "ID=SOURCE")]
    cameras: Vec<CameraFlag>,
    /// What people call the gateway.
    #[arg(long, value_name = "NAME")]
    gateway_name: Option<String>,
    /// The UDP port of all video [default: any].
    #[arg(long, value_name = "PORT")]
    udp_port: Option<u16>,
    /// Never connect directly, always through TURN.
    #[arg(long)]
    turn_only: bool,
}

#[derive(Debug, Args)]
pub struct RelayFlags {
    /// The ports to relay from [default: 49152-65535].
    #[arg(long, value_name = "A-B")]
    relay_ports: Option<Ports>,
    /// A special-purpose network that may be relayed to all the same [repeatable].
    #[arg(long = "allow-peer", value_name = "CIDR")]
    allow_peers: Vec<Network>,
    /// A further network that may not be relayed to [repeatable].
    #[arg(long = "deny-peer", value_name = "CIDR")]
    deny_peers: Vec<Network>,
    /// Threads that relay; 0 is one per core.
    #[arg(long, value_name = "N")]
    workers: Option<u16>,
}

#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    data: DataFlag,
    #[command(flatten)]
    http: HttpFlags,
    /// Where the STUN/TURN server listens, UDP and TCP [default: 127.0.0.1:3478].
    #[arg(long = "turn", value_name = "ADDR:PORT")]
    turns: Vec<SocketAddr>,
    /// The address under which others reach this machine.
    #[arg(long, value_name = "IP")]
    public_address: Option<IpAddr>,
    #[command(flatten)]
    relay: RelayFlags,
    #[command(flatten)]
    gateway: GatewayFlags,
    /// Adds a built-in camera with a moving picture and a clock.
    #[arg(long)]
    demo: bool,
}

#[derive(Debug, Args)]
pub struct Gateway {
    #[command(flatten)]
    data: DataFlag,
    /// The signaling server.
    #[arg(long, value_name = "URL")]
    server: Option<Url>,
    /// The claim code, on the first start.
    #[arg(long, value_name = "CODE")]
    claim: Option<String>,
    #[command(flatten)]
    gateway: GatewayFlags,
}

#[derive(Debug, Args)]
pub struct Signaling {
    #[command(flatten)]
    data: DataFlag,
    #[command(flatten)]
    http: HttpFlags,
    /// A TURN server to offer, as turn:HOST:PORT?transport=udp [repeatable].
    #[arg(long = "turn-url", value_name = "URL")]
    turn_urls: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Turn {
    /// Where to listen, UDP and TCP [default: 127.0.0.1:3478] [repeatable].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// The realm of the users [default: porthole].
    #[arg(long, value_name = "R")]
    realm: Option<String>,
    /// A user [repeatable].
    #[arg(long = "user", value_name = "NAME:PASSWORD")]
    users: Vec<Account>,
    /// The addresses to relay from, at most one IPv4 and one IPv6 [repeatable].
    #[arg(long, value_name = "IP")]
    relay_address: Vec<IpAddr>,
    #[command(flatten)]
    relay: RelayFlags,
}

#[derive(Debug, Args)]
pub struct Netcheck {
    /// A STUN/TURN server, or its URI (turns:HOST:PORT); with two, whether the NAT maps alike to
    /// both [repeatable].
    #[arg(long = "server", value_name = "HOST[:PORT]", required = true)]
    pub servers: Vec<String>,
    /// The servers' port for TLS, where it must work; without this 5349 is tried, and may be
    /// closed.
    #[arg(long, value_name = "PORT")]
    pub tls_port: Option<u16>,
    /// Certificates (PEM) to trust beside those that browsers do, for a server of your own.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// An account on the first server, to try a relay with; without it only whether TURN answers.
    #[arg(long, value_name = "NAME:PASSWORD")]
    pub user: Option<Account>,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Makes a token and prints nothing but it.
    Create(NewToken),
}

/// What somebody with a token may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// Watch.
    Viewer,
    /// Everything.
    Admin,
}

#[derive(Debug, Args)]
pub struct NewToken {
    #[command(flatten)]
    pub data: DataFlag,
    /// What it allows.
    #[arg(long)]
    pub role: Role,
    /// What people call it.
    #[arg(long, value_name = "N")]
    pub name: String,
    /// The only camera it is for [repeatable].
    #[arg(long = "camera", value_name = "ID")]
    pub cameras: Vec<CameraId>,
    /// When it ends: 15m, 1h, 30d; never if absent.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Span>,
}

#[derive(Debug, Subcommand)]
pub enum Claim {
    /// Makes a claim code and prints nothing but it.
    Create(DataFlag),
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Says what is wrong with the configuration, or that it is right.
    Check(DataFlag),
    /// Prints the configuration in effect, without its secrets.
    Show(DataFlag),
}

/// The flags whose values hold secrets.
const SECRET_FLAGS: [&str; 3] = ["--camera ", "--claim ", "--user "];

impl Cli {
    /// What the program was started with; ends it, with a usage message, if that is wrong.
    pub fn from_command_line() -> Self {
        Self::try_parse().unwrap_or_else(|error| without_secrets(error).exit())
    }
}

/// A complaint repeats the value that it is about, unless that is secret.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let is_secret = |flag: &str| SECRET_FLAGS.iter().any(|name| flag.starts_with(name));
    if let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && is_secret(flag)
    {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}

/// The built-in camera of `up --demo`.
const DEMO_CAMERA: &str = "demo";
/// What it shows.
const DEMO_SOURCE: &str = "test:";
const DEMO_NAME: &str = "Demo camera";

impl Command {
    /// Adds what the flags say to the configuration.
    pub fn configure(&self, tree: &mut Tree) {
        match self {
            Self::Up(flags) => flags.configure(tree),
            Self::Gateway(flags) => flags.configure(tree),
            Self::Signaling(flags) => flags.configure(tree),
            Self::Turn(flags) => flags.configure(tree),
            Self::Netcheck(_) => {}
            Self::Token(Token::Create(flags)) => flags.data.configure(tree),
            Self::Claim(Claim::Create(flags)) => flags.configure(tree),
            Self::Config(Config::Check(flags) | Config::Show(flags)) => flags.configure(tree),
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
        self.data.configure(tree);
        tree.add_flag("--server", &["gateway", "server"], self.server.as_ref());
        tree.add_flag("--claim", &["gateway", "claim"], self.claim.as_ref());
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
