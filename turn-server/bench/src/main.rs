//! Measures the TURN server beside others on one machine, and stress-tests it.
//!
//! `compare` prints the table, `soak` and `flood` try to exhaust the server, `serve` runs it alone
//! for a profiler. The load comes from one thread with two sockets: every client and every peer
//! has its own address (IP_PKTINFO) but no socket of its own, so that the generator costs the same
//! for one flow and for thousands.

mod case;
mod cli;
mod client_pool;
mod compare;
mod environment;
mod flood;
mod load;
mod payload;
mod report;
mod serve;
mod serve_turn_crate;
mod soak;
mod socket;
mod table;
mod unauthenticated;
mod under_test;
mod veth;

use std::io::Write as _;

use anyhow::Result;
use clap::Parser as _;

/// The allocator that the program uses.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<()> {
    match cli::Arguments::parse().mode {
        cli::Mode::Serve(options) => serve::run(&options),
        cli::Mode::ServeTurnCrate(options) => serve_turn_crate::run(&options),
        cli::Mode::Compare(options) => compare::run(&options),
        cli::Mode::Soak(options) => soak::run(&options),
        cli::Mode::Flood(options) => flood::run(&options),
    }
}

/// Prints the progress to standard error.
fn progress(text: &str) {
    // Progress is optional: an error does not stop the measurement.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
