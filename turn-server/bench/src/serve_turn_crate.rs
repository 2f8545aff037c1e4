//! Runs the `turn` crate as a server, in its own process so that its CPU and memory are measured
//! alone.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::UdpSocket;
use turn::auth::{AuthHandler, generate_auth_key};
use turn::relay::relay_range::RelayAddressGeneratorRanges;
use turn::server::Server;
use turn::server::config::{ConnConfig, ServerConfig};
use webrtc_util::vnet::net::Net;

use crate::cli::{PASSWORD, REALM, ServeTurnCrate, USERNAME};

/// Returns the version of the crate from the lock file.
pub(crate) fn version() -> Option<&'static str> {
    let (_, entry) = include_str!("../../../Cargo.lock").split_once("\nname = \"turn\"\n")?;
    entry.strip_prefix("version = \"")?.split('"').next()
}

/// Serves until standard input ends, with one thread like the other servers.
pub(crate) fn run(options: &ServeTurnCrate) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::new(config(options).await?).await.context("the turn crate")?;
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(server.close().await?)
    })
}

async fn config(options: &ServeTurnCrate) -> Result<ServerConfig> {
    let ip = options.listen.ip();
    let relay = RelayAddressGeneratorRanges {
        relay_address: ip,
        min_port: options.first_port,
        max_port: options.last_port,
        // The default of the crate.
        max_retries: 0,
        address: ip.to_string(),
        net: Arc::new(Net::new(None)),
    };
    let conn = ConnConfig {
        conn: Arc::new(UdpSocket::bind(options.listen).await?),
        relay_addr_generator: Box::new(relay),
    };
    Ok(ServerConfig {
        conn_configs: vec![conn],
        realm: REALM.to_owned(),
        auth_handler: Arc::new(OneUser { key: generate_auth_key(USERNAME, REALM, PASSWORD) }),
        // The default of the crate.
        channel_bind_timeout: Duration::ZERO,
        alloc_close_notify: None,
    })
}

/// The account of the benchmark. The key is hashed once, as in the example of the crate.
struct OneUser {
    key: Vec<u8>,
}

impl AuthHandler for OneUser {
    fn auth_handle(
        &self,
        username: &str,
        _realm: &str,
        _source: SocketAddr,
    ) -> Result<Vec<u8>, turn::Error> {
        if username == USERNAME { Ok(self.key.clone()) } else { Err(turn::Error::ErrNoSuchUser) }
    }
}
