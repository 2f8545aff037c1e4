//! `porthole gateway`, and the gateway of `porthole up`.

use anyhow::Context;
use porthole_gateway::{CameraConfig, Gateway};
use url::Url;

use crate::config::Config;
use crate::{console, data, shutdown};

/// Runs a gateway until the program is told to stop.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    let stop = shutdown::on_signal()?;
    let server = config.gateway.server.clone();
    let server = server.context("give the URL of the signaling server with --server")?;
    let claim = config.gateway.claim.as_ref().map(|claim| claim.reveal().to_owned());
    let gateway = start(config, server, claim)?;
    gateway.run(stop).await?;
    Ok(())
}

/// Starts a gateway: binds its port and loads or creates its key. It connects when it runs.
pub fn start(config: &Config, server: Url, claim: Option<String>) -> anyhow::Result<Gateway> {
    let cameras = config.camera.len();
    console::print_progress(format_args!(
        "starting a gateway with {cameras} camera{}",
        plural(cameras)
    ));
    let gateway = &config.gateway;
    let camera = |(id, camera): (&porthole_signaling_proto::CameraId, &crate::config::Camera)| {
        CameraConfig {
            id: id.clone(),
            name: camera.name.clone().unwrap_or_else(|| id.to_string()),
            source: camera.source.parsed(),
            sub_source: camera.sub_source.as_ref().map(crate::config::Source::parsed),
            on_demand: camera.on_demand,
        }
    };
    Ok(Gateway::start(porthole_gateway::Config {
        server,
        claim,
        data: config.data.clone(),
        name: gateway.name.clone(),
        cameras: config.camera.iter().map(camera).collect(),
        udp_port: gateway.udp_port,
        turn_only: gateway.turn_only,
    })?)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
