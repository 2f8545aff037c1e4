//! Ctrl-C and SIGTERM: asked once, everything drains; asked twice, the program ends at once.

use crate::say;
use anyhow::Context;
use std::process;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Cancelled by the first signal.
pub fn on_signal() -> anyhow::Result<CancellationToken> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let (interrupt, terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    tokio::spawn(wait(interrupt, terminate, stop.clone()));
    Ok(stop)
}

async fn wait(mut interrupt: Signal, mut terminate: Signal, stop: CancellationToken) {
    let mut either = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    either().await;
    say::progress("stopping");
    stop.cancel();
    either().await;
    process::exit(INTERRUPTED);
}
