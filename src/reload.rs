//! SIGHUP, or a change of the file: the configuration is read again.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use porthole_admin::{Change, Reload};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Signaling};

/// The variable with the folder in which systemd puts its copies for a service (`LoadCredential`).
const COPIES: &str = "CREDENTIALS_DIRECTORY";

/// Interval at which the file is looked at. A change counts once two looks have found it.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

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

/// A role that runs alone, for the settings that it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Gateway,
    Signaling,
}

/// Returns and logs the changed settings of a role that count from the next start on. Their values
/// may be secret, and are not shown.
pub fn at_restart(running: &Config, new: &Config, role: Role) -> Vec<Change> {
    let common = [
        ("data", running.data != new.data),
        ("log_format", running.log_format != new.log_format),
        ("admin", running.admin != new.admin),
    ];
    let own = match role {
        Role::Gateway => vec![("gateway", running.gateway != new.gateway)],
        Role::Signaling => vec![
            ("public_address", running.public_address != new.public_address),
            ("public", running.public != new.public),
            ("signaling", running.signaling != without_turn_servers(new, running)),
        ],
    };
    let changed = common.into_iter().chain(own).filter(|(_, differs)| *differs);
    let change = |(setting, _): (&str, bool)| {
        tracing::warn!("the configuration: {setting}: changed since the start; takes a restart");
        let what = "changed since the start".to_owned();
        Change { setting: setting.to_owned(), what, needs_restart: true }
    };
    changed.map(change).collect()
}

/// Returns the settings of a signaling server with the TURN servers of the running one: others
/// count at once.
fn without_turn_servers(new: &Config, running: &Config) -> Signaling {
    let mut signaling = new.signaling.clone();
    signaling.turn_urls.clone_from(&running.signaling.turn_urls);
    signaling.turn_secret.clone_from(&running.signaling.turn_secret);
    signaling
}

/// The way to load the configuration again, from the same file, environment and flags.
#[derive(Clone)]
pub struct Loader {
    load: Arc<dyn Fn() -> anyhow::Result<Config> + Send + Sync>,
    file: Option<PathBuf>,
}

impl Loader {
    /// Creates the source of a configuration, with its file if there is one.
    pub fn new(
        file: Option<PathBuf>,
        load: impl Fn() -> anyhow::Result<Config> + Send + Sync + 'static,
    ) -> Self {
        Self { load: Arc::new(load), file }
    }

    /// Returns the source whose configurations are completed.
    #[must_use]
    pub fn completed(
        self,
        complete: impl Fn(Config) -> anyhow::Result<Config> + Send + Sync + 'static,
    ) -> Self {
        let load = self.load;
        Self { load: Arc::new(move || complete(load()?)), file: self.file }
    }
}

/// Loads the configuration again and passes it to `apply`, on each SIGHUP and after each change of
/// the file. Logs the result: the number of changes, or the reason for which nothing was changed.
/// Returns the function for others to call; one call runs at a time.
pub fn follow(
    source: Loader,
    apply: impl Fn(Config) -> anyhow::Result<Vec<Change>> + Send + Sync + 'static,
) -> anyhow::Result<Reload> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let Loader { load, file } = source;
    let loaded = Arc::new(Mutex::new(file.as_deref().and_then(contents)));
    let reload: Reload = {
        let (loaded, file) = (Arc::clone(&loaded), file.clone());
        Arc::new(move || {
            // The configuration that is loaded last must also be applied last.
            let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
            *loaded = file.as_deref().and_then(contents);
            load().and_then(&apply).map_err(|error| format!("{error:#}"))
        })
    };
    let called = Arc::clone(&reload);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            call(&called).await;
        }
    });
    if let Some(file) = file {
        tokio::spawn(watch(file, loaded, Arc::clone(&reload)));
    }
    Ok(reload)
}

async fn call(reload: &Reload) {
    let reload = Arc::clone(reload);
    match tokio::task::spawn_blocking(move || reload()).await {
        Ok(Ok(changes)) => tracing::info!(changes = changes.len(), "configuration reloaded"),
        Ok(Err(reason)) => tracing::error!("the configuration was not reloaded: {reason}"),
        Err(error) => tracing::error!(%error, "the reload has panicked"),
    }
}

/// Calls `reload` when the file has other contents than those that were `loaded` last, and they
/// have stayed the same for one look: an editor may not be done before.
async fn watch(file: PathBuf, loaded: Arc<Mutex<Option<u64>>>, reload: Reload) {
    let mut before = None;
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let path = file.clone();
        let found = tokio::task::spawn_blocking(move || contents(&path)).await.ok().flatten();
        // While it is being replaced there is no file, and what is in effect stays so.
        let Some(found) = found else { continue };
        let is_settled = before.replace(found) == Some(found);
        // While a reload runs, the next look decides.
        let is_new = loaded.try_lock().is_ok_and(|loaded| *loaded != Some(found));
        if is_settled && is_new {
            call(&reload).await;
        }
    }
}

/// Returns a number that stands for the contents of a file; `None` if it cannot be read.
fn contents(file: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    std::fs::read(file).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests;
