//! SIGHUP, or a change of the file: the configuration is read again.

mod watch;

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use porthole_admin::{Change, Reload};
use porthole_gateway::ChangeError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::config;
use crate::config::{Config, Fingerprint, Loaded, Signaling};
use watch::State;

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
        Role::Gateway => vec![("gateway", changes_gateway(running, new))],
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

/// Returns true if settings of the gateway have changed that count from the next start on.
pub fn changes_gateway(running: &Config, new: &Config) -> bool {
    let mut gateway = new.gateway.clone();
    gateway.max_uplink_kbit_per_s = running.gateway.max_uplink_kbit_per_s;
    running.gateway != gateway
}

/// Returns true if settings of the signaling server of `up` have changed that count from the next
/// start on. Further TURN servers count at once, other URLs of its own do not.
pub fn changes_signaling_of_up(running: &Config, new: &Config) -> bool {
    let mut signaling = new.signaling.clone();
    signaling.turn_server.clone_from(&running.signaling.turn_server);
    running.signaling != signaling
}

/// Returns the settings of a signaling server with the TURN servers of the running one: others
/// count at once.
fn without_turn_servers(new: &Config, running: &Config) -> Signaling {
    let mut signaling = new.signaling.clone();
    signaling.turn_server.clone_from(&running.signaling.turn_server);
    signaling.turn_urls.clone_from(&running.signaling.turn_urls);
    signaling.turn_secret.clone_from(&running.signaling.turn_secret);
    signaling
}

/// The way to load the configuration again, from the same file, environment and flags.
#[derive(Clone)]
pub struct Loader {
    load: Arc<dyn Fn() -> anyhow::Result<Loaded> + Send + Sync>,
    file: Option<PathBuf>,
    /// The contents of the file that the program has started with.
    contents: Option<Fingerprint>,
}

impl Loader {
    /// Creates the source of the configurations that come after the one that was `loaded`.
    pub fn new(
        loaded: &Loaded,
        load: impl Fn() -> anyhow::Result<Loaded> + Send + Sync + 'static,
    ) -> Self {
        Self { load: Arc::new(load), file: loaded.file.clone(), contents: loaded.contents }
    }

    /// Returns the source whose configurations are completed.
    #[must_use]
    pub fn completed(
        self,
        complete: impl Fn(Config) -> anyhow::Result<Config> + Send + Sync + 'static,
    ) -> Self {
        let before = self.load;
        let load = move || {
            let mut loaded = before()?;
            loaded.config = complete(loaded.config)?;
            Ok(loaded)
        };
        Self { load: Arc::new(load), ..self }
    }
}

/// The SIGHUPs to this process. One that comes before they are followed is kept.
pub struct Hangups(Signal);

impl Hangups {
    /// Listens for them from now on, instead of being ended by them.
    pub fn listen() -> anyhow::Result<Self> {
        signal(SignalKind::hangup()).map(Self).context("cannot listen for signals")
    }
}

/// An error that may be gone when the same configuration is loaded once more.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TryAgain(pub anyhow::Error);

/// Returns true if the same configuration may be accepted later.
fn may_pass(error: &anyhow::Error) -> bool {
    let passes = |cause: &(dyn Error + 'static)| {
        cause.is::<TryAgain>()
            || cause.is::<io::Error>()
            || matches!(cause.downcast_ref(), Some(ChangeError::Busy))
            || matches!(cause.downcast_ref(), Some(config::Error::Unreadable { .. }))
    };
    error.chain().any(passes)
}

/// Loads the configuration again and passes it to `apply`, which applies all of it or nothing: on
/// each SIGHUP, and after each change of the file since the program has read it. Logs the result:
/// the number of changes, or the reason for which nothing was changed. Returns the function for
/// others to call; one call runs at a time.
pub fn follow(
    source: Loader,
    hangups: Hangups,
    apply: impl Fn(Config) -> anyhow::Result<Vec<Change>> + Send + Sync + 'static,
) -> Reload {
    let Loader { load, file, contents } = source;
    let state = Arc::new(Mutex::new(State::new(contents)));
    let reload: Reload = {
        let (state, file) = (Arc::clone(&state), file.clone());
        Arc::new(move || {
            // The configuration that is loaded last must also be applied last.
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let attempt = state.begin(file.as_deref().and_then(watch::contents));
            let applied = load().and_then(|loaded| Ok((loaded.contents, apply(loaded.config)?)));
            match applied {
                Ok((contents, changes)) => {
                    *state = State::new(contents);
                    Ok(changes)
                }
                Err(error) => {
                    if may_pass(&error) {
                        state.try_later(&attempt, Instant::now());
                    }
                    Err(format!("{error:#}"))
                }
            }
        })
    };
    tokio::spawn(follow_signals(hangups, Arc::clone(&reload)));
    if let Some(file) = file {
        tokio::spawn(watch::watch(file, state, Arc::clone(&reload)));
    }
    reload
}

async fn follow_signals(mut hangups: Hangups, reload: Reload) {
    while hangups.0.recv().await.is_some() {
        call(&reload, "SIGHUP").await;
    }
}

async fn call(reload: &Reload, cause: &str) {
    let reload = Arc::clone(reload);
    match tokio::task::spawn_blocking(move || reload()).await {
        Ok(Ok(changes)) => tracing::info!(cause, changes = changes.len(), "configuration reloaded"),
        Ok(Err(reason)) => tracing::error!(cause, "the configuration was not reloaded: {reason}"),
        Err(error) => tracing::error!(cause, %error, "the reload has panicked"),
    }
}

#[cfg(test)]
mod tests;
