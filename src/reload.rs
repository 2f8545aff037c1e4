//! SIGHUP: the configuration is read again.

use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Calls `reload` on each SIGHUP, one call at a time, and logs its result: the number of changes,
/// or the reason for which nothing was changed.
pub fn on_hangup(
    reload: impl Fn() -> Result<usize, String> + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let reload = Arc::new(reload);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let reload = Arc::clone(&reload);
            match tokio::task::spawn_blocking(move || reload()).await {
                Ok(Ok(changes)) => tracing::info!(changes, "configuration reloaded"),
                Ok(Err(reason)) => tracing::error!("the configuration was not reloaded: {reason}"),
                Err(error) => tracing::error!(%error, "the reload has panicked"),
            }
        }
    });
    Ok(())
}
