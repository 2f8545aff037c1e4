//! Ctrl-C and SIGTERM: of a server, the first one drains everything and the second one ends it at
//! once; of a command that has changed the terminal, the first one ends it, once that is undone.

use std::process;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::console;

/// The exit code of a program that a signal ended is this and the number of the signal.
const SIGNALLED: i32 = 128;

/// Returns a token that the first signal cancels. The second signal ends the program.
pub fn on_signal() -> anyhow::Result<CancellationToken> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let (interrupt, terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    tokio::spawn(wait(interrupt, terminate, stop.clone()));
    Ok(stop)
}

/// Makes the signals that end the program call `undo` first: of a setting that outlives it.
pub fn undo_on_signal(undo: fn()) -> anyhow::Result<()> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    for kind in kinds.into_iter().chain([SignalKind::quit()]) {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        tokio::spawn(async move {
            signals.recv().await;
            undo();
            process::exit(SIGNALLED + kind.as_raw_value());
        });
    }
    Ok(())
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
    process::exit(SIGNALLED + SignalKind::interrupt().as_raw_value());
}
