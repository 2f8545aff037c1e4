//! Measures the TURN server beside others on one machine, and tries what must not break it.
//!
//! `compare` prints the table, `soak` and `flood` try to exhaust the server, `serve` runs it alone
//! for a profiler. The load comes from one thread with two sockets: every client and every peer
//! has an address of its own (IP_PKTINFO), but none has a socket, so that the generator costs the
//! same for one flow and for thousands.

mod case;
mod cli;
mod compare;
mod crowd;
mod flood;
mod load;
mod payload;
mod place;
mod report;
mod serve;
mod serve_turn_crate;
mod soak;
mod stranger;
mod table;
mod under_test;
mod veth;
mod wire;

use std::io::Write as _;

use anyhow::Result;
use clap::Parser as _;

/// As in the program.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<()> {
    match cli::Arguments::parse().mode {
        cli::Mode::Serve(how) => serve::run(&how),
        cli::Mode::ServeTurnCrate(how) => serve_turn_crate::run(&how),
        cli::Mode::Compare(how) => compare::run(&how),
        cli::Mode::Soak(how) => soak::run(&how),
        cli::Mode::Flood(how) => flood::run(&how),
    }
}

/// What is being done, for whoever waits.
fn progress(text: &str) {
    // Nobody needs to read it.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
