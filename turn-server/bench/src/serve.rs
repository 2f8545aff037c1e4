//! Our server alone.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use porthole_turn_server::{Config, QuotaLimits, Server};

use crate::cli::{PASSWORD, REALM, Serve, USERNAME};
use crate::progress;

pub(crate) fn run(how: &Serve) -> Result<()> {
    let server = Server::start(config(how)).context("the server does not start")?;
    progress(&format!("serving at {:?}", server.local_addrs()));
    if how.until_eof {
        std::io::stdin().read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    loop {
        std::thread::park();
    }
}

fn config(how: &Serve) -> Config {
    let quota = QuotaLimits { per_user: how.quota, per_source: how.quota, total: how.quota };
    Config {
        listen: vec![how.listen],
        realm: REALM.to_owned(),
        users: vec![(USERNAME.to_owned(), PASSWORD.to_owned())],
        relay_ports: how.first_port..=how.last_port,
        allow_peers: how.allow_peer.clone(),
        workers: how.workers,
        fast_path: how.fast_path.clone(),
        quota,
        ..Config::default()
    }
}
