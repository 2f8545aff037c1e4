//! The `turn` crate as a server: a process of its own, so that what it costs is counted alone.

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

/// Which one was built in, as Cargo chose it.
pub(crate) fn version() -> Option<&'static str> {
    let (_, entry) = include_str!("../../../Cargo.lock").split_once("\nname = \"turn\"\n")?;
    entry.strip_prefix("version = \"")?.split('"').next()
}

/// Until standard input ends, in one thread, as the others have one.
pub(crate) fn run(how: &ServeTurnCrate) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::new(config(how).await?).await.context("the turn crate")?;
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(server.close().await?)
    })
}

async fn config(how: &ServeTurnCrate) -> Result<ServerConfig> {
    let ip = how.listen.ip();
    let relay = RelayAddressGeneratorRanges {
        relay_address: ip,
        min_port: how.first_port,
        max_port: how.last_port,
        // Its own default.
        max_retries: 0,
        address: ip.to_string(),
        net: Arc::new(Net::new(None)),
    };
    let conn = ConnConfig {
        conn: Arc::new(UdpSocket::bind(how.listen).await?),
        relay_addr_generator: Box::new(relay),
    };
    Ok(ServerConfig {
        conn_configs: vec![conn],
        realm: REALM.to_owned(),
        auth_handler: Arc::new(OneUser { key: generate_auth_key(USERNAME, REALM, PASSWORD) }),
        // Its own default.
        channel_bind_timeout: Duration::ZERO,
        alloc_close_notify: None,
    })
}

/// The key is hashed once, as its example does.
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
