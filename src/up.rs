//! `porthole up`: everything on one machine. The gateway comes in over the WebSocket, enrolled by
//! a claim code, like one that runs elsewhere: there is one way in.

use crate::{
    config::Config,
    data, gateway, say, shutdown, signaling,
    turn::{self, ReadAgain, Turn},
};
use porthole_gateway::Gateway;
use porthole_signaling::{Server, admin};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio_util::sync::CancellationToken;
use url::Url;

/// Runs everything until told to stop.
pub async fn run(config: &Config, read_again: ReadAgain) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    let stop = shutdown::on_signal()?;
    let config = &turn::with_public_address(config).await?;

    let secret = match &config.turn.secret {
        Some(secret) => secret.clone(),
        None => data::turn_secret(&config.data)?,
    };
    let turn_server = Turn::start(config, Some(&secret), read_again).await?;
    let turn_config = signaling::turn_config(turn::urls(config)?, secret.reveal());
    let signaling = signaling::bind(config, Some(turn_config)).await?;
    let gateway = start_gateway(config, signaling.local_addr()).await?;
    say::welcome(&signaling::address(config), signaling.setup_link().as_deref())?;

    let ended = run_both(signaling, gateway, stop).await;
    turn_server.drain().await?;
    ended
}

/// A gateway, if there is a camera for it.
async fn start_gateway(config: &Config, server: SocketAddr) -> anyhow::Result<Option<Gateway>> {
    if config.camera.is_empty() {
        return Ok(None);
    }
    // Not needed once the gateway is known; it expires unused.
    let claim = admin::create_claim(&config.data).await?;
    Ok(Some(gateway::start(config, over_loopback(server)?, Some(claim.code))?))
}

/// How this machine reaches a server of its own.
fn over_loopback(server: SocketAddr) -> anyhow::Result<Url> {
    let ip = match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(ip),
    };
    Ok(Url::parse(&format!("http://{}", SocketAddr::new(ip, server.port())))?)
}

/// The gateway goes first, so that it can say goodbye; when either fails, both end.
async fn run_both(
    signaling: Server,
    gateway: Option<Gateway>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let stop_signaling = CancellationToken::new();
    let run_gateway = async {
        let ended = match gateway {
            Some(gateway) => gateway.run(stop.clone()).await,
            None => {
                stop.cancelled().await;
                Ok(())
            }
        };
        stop_signaling.cancel();
        ended
    };
    let run_signaling = async {
        signaling.run(stop_signaling.clone()).await;
        stop.cancel();
    };
    let (gateway, ()) = tokio::join!(run_gateway, run_signaling);
    Ok(gateway?)
}
