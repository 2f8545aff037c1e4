//! SIGHUP: the configuration is read again.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use porthole_admin::{Change, Reload};
use tokio::signal::unix::{SignalKind, signal};

use crate::admin_api;
use crate::config::Config;

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
    let (admin, new_admin) = (admin_api::configuration(running), admin_api::configuration(new));
    let shown = |admin: Option<porthole_admin::Config>| admin.map(|admin| admin.at.to_string());
    let common = [
        ("data", running.data != new.data),
        ("admin", running.admin != new.admin || shown(admin) != shown(new_admin)),
    ];
    let own = match role {
        Role::Gateway => vec![("gateway", running.gateway != new.gateway)],
        Role::Signaling => vec![
            ("public_address", running.public_address != new.public_address),
            ("public", running.public != new.public),
            ("signaling", running.signaling != new.signaling),
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

/// Calls `reload` on each SIGHUP, and logs its result: the number of changes, or the reason for
/// which nothing was changed. Returns the function for others to call; one call runs at a time.
pub fn on_hangup(reload: Reload) -> anyhow::Result<Reload> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let one_at_a_time = Mutex::new(());
    let reload: Reload = Arc::new(move || {
        // The configuration that is loaded last must also be applied last.
        let _guard = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        reload()
    });
    let called = Arc::clone(&reload);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let reload = Arc::clone(&called);
            match tokio::task::spawn_blocking(move || reload()).await {
                Ok(Ok(changes)) => {
                    tracing::info!(changes = changes.len(), "configuration reloaded");
                }
                Ok(Err(reason)) => tracing::error!("the configuration was not reloaded: {reason}"),
                Err(error) => tracing::error!(%error, "the reload has panicked"),
            }
        }
    });
    Ok(reload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_tells_of_its_own_settings_that_take_a_restart() {
        let settings = |text: &str, role| -> Vec<String> {
            let new = toml::from_str(text).unwrap();
            let changes = at_restart(&Config::default(), &new, role);
            assert!(changes.iter().all(|change| change.needs_restart));
            changes.into_iter().map(|change| change.setting).collect()
        };
        for (text, of_gateway, of_signaling) in [
            ("", &[][..], &[][..]),
            ("data = '/d'", &["data"], &["data"]),
            ("[admin]\nlisten = 'unix:/a'", &["admin"], &["admin"]),
            ("[turn]\nadmin = 'unix:/a'", &["admin"], &["admin"]),
            ("[turn]\nrealm = 'a'", &[], &[]),
            ("[gateway]\nname = 'a'", &["gateway"], &[]),
            ("[signaling]\nhttp = '127.0.0.1:1'", &[], &["signaling"]),
            ("public_address = '1.2.3.4'", &[], &["public_address"]),
            ("[public]\nlisten = ['0.0.0.0:443']", &[], &["public"]),
        ] {
            assert_eq!(settings(text, Role::Gateway), of_gateway, "{text}");
            assert_eq!(settings(text, Role::Signaling), of_signaling, "{text}");
        }
    }

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
