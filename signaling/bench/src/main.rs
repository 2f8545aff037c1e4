//! Shows that nothing is delivered to the wrong peer, over real connections to a server that is
//! killed. A program of its own, because it measures nothing and is for developers:
//! `docs/ref/signaling-benchmark.md`.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use porthole_signaling_bench::{WhoseCamera, whose_camera};

/// Lets sessions be asked for, of cameras with the same names, while connections, tokens and the
/// server end; fails if anything reaches the wrong peer.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program to test [default: `porthole` beside this one].
    #[arg(long, value_name = "PATH")]
    porthole: Option<PathBuf>,
    /// Number of gateways.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    gateways: usize,
    /// Number of sessions that are asked for.
    #[arg(long, value_name = "SESSIONS", default_value_t = 20_000)]
    whose_camera: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let program = match arguments.porthole {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("porthole"),
    };
    let plan =
        WhoseCamera { program, gateways: arguments.gateways, sessions: arguments.whose_camera };
    whose_camera(&plan, &|line| Ok(writeln!(std::io::stdout(), "{line}")?))
}
