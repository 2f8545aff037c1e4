//! Runs our server alone.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use porthole_turn_server::{Config, QuotaLimits, Server};

use crate::cli::{PASSWORD, REALM, Serve, USERNAME};
use crate::progress;

pub(crate) fn run(options: &Serve) -> Result<()> {
    let server = Server::start(config(options)).context("cannot start the server")?;
    progress(&format!("serving at {:?}", server.local_addrs()));
    if options.until_eof {
        std::io::stdin().read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    loop {
        std::thread::park();
    }
}

fn config(options: &Serve) -> Config {
    let quota =
        QuotaLimits { per_user: options.quota, per_source: options.quota, total: options.quota };
    Config {
        listen: vec![options.listen],
        realm: REALM.to_owned(),
        users: vec![(USERNAME.to_owned(), PASSWORD.to_owned())],
        relay_ports: options.first_port..=options.last_port,
        allow_peers: options.allow_peer.clone(),
        workers: options.workers,
        fast_path: options.fast_path.clone(),
        quota,
        ..Config::default()
    }
}
