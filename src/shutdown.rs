//! Ctrl-C and SIGTERM: the first one drains everything, the second one ends the program at once.

use std::process;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::console;

/// The exit code of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Returns a token that the first signal cancels. The second signal ends the program.
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
    console::print_progress("stopping");
    stop.cancel();
    either().await;
    process::exit(INTERRUPTED);
}
