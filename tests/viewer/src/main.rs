//! A viewer without a browser: registers as a client, watches one camera and prints events as JSON
//! lines. It uses the gateway's own transport and driver, on the receiving side.

mod events;
mod watch;

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use porthole_gateway::driver::{Channels, Driver, IceServerAccess};
use porthole_gateway::port_mapping::State;
use porthole_signaling_proto::CameraId;
use porthole_viewer::link;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use watch::Watch;

/// Capacity of the queues between the link and the driver.
const QUEUE: usize = 256;

#[derive(Parser)]
struct Arguments {
    /// URL of the signaling server.
    #[arg(long)]
    server: Url,
    /// API token that is allowed to watch.
    #[arg(long)]
    token: String,
    /// Id of the camera to watch.
    #[arg(long)]
    camera: CameraId,
    /// Use relayed candidates only.
    #[arg(long)]
    turn_only: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("PORTHOLE_LOG"))
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let (messages, outgoing) = mpsc::channel(QUEUE);
    let (events, incoming) = mpsc::channel(QUEUE);
    let watch = Watch::new(arguments.camera, arguments.turn_only)?;
    let loopback = arguments.server.host_str().is_some_and(|host| host.starts_with("127."));
    // A viewer has no cameras, and nobody asks it.
    let (_, changes) = mpsc::channel(1);
    let ((questions, _), (_, answers)) = (mpsc::channel(1), mpsc::channel(1));
    let ((controls, _), (_, facts)) = (mpsc::channel(1), mpsc::channel(1));
    let (link, link_events) = (messages, incoming);
    let doubts = Arc::default();
    // Nor does it ask a router for a port, or send pictures.
    let (_, mapped) = tokio::sync::watch::channel(State::Unknown);
    let (_, max_uplink) = tokio::sync::watch::channel(None);
    let channels = Channels {
        link,
        doubts,
        link_events,
        changes,
        questions,
        answers,
        controls,
        facts,
        mapped,
        max_uplink,
    };
    let access = IceServerAccess::default();
    let driver = Driver::new(watch, 0, channels, loopback, access).context("no UDP port")?;
    let stop = CancellationToken::new();
    let terminated = async {
        let mut signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = signal.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        // The driver closes the session, and ends then.
        stop.cancel();
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        linked = link::run(&arguments.server, &arguments.token, events, outgoing) => linked?,
        driven = driver.run(stop.clone()) => driven?,
        terminated = terminated => terminated?,
    }
    Ok(())
}
