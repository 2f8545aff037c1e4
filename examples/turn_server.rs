//! Embeds a TURN server with one user, prints its address and serves until standard input ends.
//!
//! `cargo run --example turn_server -- 203.0.113.7:3478 alice secret`
#![allow(clippy::print_stdout)]

use std::time::Duration;

use anyhow::Context as _;
use porthole_turn_server::{Config, Server};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, user, password] = arguments.try_into().ok().context("ADDRESS USER PASSWORD")?;
    let config = Config {
        listen: vec![listen.parse()?],
        users: vec![(user, password)],
        ..Config::default()
    };
    let server = Server::start(config)?;
    for address in server.local_addrs() {
        println!("{address}");
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    // Lets allocations that still exist go on for three seconds at most.
    server.shutdown(Duration::from_secs(3));
    Ok(())
}
