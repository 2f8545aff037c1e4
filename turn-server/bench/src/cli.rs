//! The command line.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use porthole_turn_server::Cidr;

/// The name and the password that every server is started with and every client uses.
pub(crate) const USERNAME: &str = "bench";
pub(crate) const PASSWORD: &str = "relayed";
pub(crate) const REALM: &str = "bench";

/// Measures the TURN server beside others on this machine.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) mode: Mode,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Runs our server alone, for a profiler: user `bench`, password `relayed`.
    Serve(Serve),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:3478")]
    pub(crate) listen: SocketAddr,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: usize,
    /// The first port of relayed addresses.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) first_port: u16,
    /// The last port of relayed addresses.
    #[arg(long, default_value_t = 65_535)]
    pub(crate) last_port: u16,
    /// How many allocations there may be.
    #[arg(long, default_value_t = 65_536)]
    pub(crate) quota: usize,
    /// Where peers may be.
    #[arg(long, default_values = ["127.0.0.0/8", "10.0.0.0/8"])]
    pub(crate) allow_peer: Vec<Cidr>,
    /// Ends when standard input does.
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}
