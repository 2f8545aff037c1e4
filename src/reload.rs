//! SIGHUP: the configuration is read again.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::signal::unix::{SignalKind, signal};

/// The variable with the folder in which systemd puts its copies for a service (`LoadCredential`).
const COPIES: &str = "CREDENTIALS_DIRECTORY";

/// Checks that reading the configuration file again can bring in a change.
pub fn check_can_change(file: Option<&Path>) -> anyhow::Result<()> {
    refuse_copy(file, std::env::var_os(COPIES).as_deref())
}

fn refuse_copy(file: Option<&Path>, copies: Option<&OsStr>) -> anyhow::Result<()> {
    let is_in = |copies: &OsStr| file.is_some_and(|file| file.starts_with(copies));
    ensure!(
        !copies.is_some_and(is_in),
        "systemd has made the copy of the file when the service started, which never changes: \
         run `systemctl restart` for this service"
    );
    Ok(())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_systemd_has_made_at_the_start_is_not_read_again() {
        for (file, copies, is_read) in [
            (Some("/run/credentials/porthole.service/porthole.toml"), None, true),
            (Some("/etc/porthole/porthole.toml"), Some("/run/credentials/porthole.service"), true),
            (None, Some("/run/credentials/porthole.service"), true),
            (
                Some("/run/credentials/porthole.service/porthole.toml"),
                Some("/run/credentials/porthole.service"),
                false,
            ),
        ] {
            let result = refuse_copy(file.map(Path::new), copies.map(OsStr::new));
            assert_eq!(result.is_ok(), is_read, "{file:?} {copies:?}");
        }
    }
}
