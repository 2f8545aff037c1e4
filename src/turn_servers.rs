//! The TURN servers that sessions are offered: which there are, and which of them work.

mod check;
mod health;
#[cfg(test)]
mod tests;
mod watch;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use porthole_signaling::{TurnConfig, TurnServer};

use crate::config::{Config, MAIN_SERVER, Secret};

pub use check::{Outcome, UrlCheck, check, outcome};
pub use watch::{Watcher, connector};

/// The lifetime of a session's TURN credentials, within which it must make its allocations.
pub const CREDENTIALS_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// Limit of the servers in `signaling.turn_server`: each is checked all the time, and is a label of
/// metrics.
const MAX_SERVERS: usize = 16;

/// Returns the TURN servers of `porthole signaling`: that of `signaling.turn_urls`, and those of
/// the tables.
///
/// # Errors
/// Fails if a server that relays has no secret, or if there are too many.
pub fn of_signaling(config: &Config) -> anyhow::Result<Option<TurnConfig>> {
    let signaling = &config.signaling;
    let secret = signaling.turn_secret.as_ref();
    let main = main_server(signaling.turn_urls.clone(), secret);
    ensure!(
        secret.is_some() || !main.has_users(),
        "signaling.turn_urls names a TURN server, but signaling.turn_secret is missing"
    );
    with_tables(config, main, secret.context("set signaling.turn_secret, or one for each server"))
}

/// Returns the TURN servers of `porthole up`: its own, at these URLs, and those of the tables.
///
/// # Errors
/// Fails if there are too many.
pub fn of_up(config: &Config, own_urls: Vec<String>) -> anyhow::Result<Option<TurnConfig>> {
    let secret = config.turn.secret.as_ref();
    let main = main_server(own_urls, secret);
    with_tables(config, main, secret.context("set turn.secret, or one for each server"))
}

fn main_server(urls: Vec<String>, secret: Option<&Secret>) -> TurnServer {
    TurnServer {
        name: MAIN_SERVER.to_owned(),
        urls,
        secret: secret.map_or("", Secret::reveal).as_bytes().to_vec(),
        weight: TurnServer::USUAL_WEIGHT,
        region: None,
    }
}

/// Returns all servers: the main one, if it has URLs, and those of the tables, with the common
/// secret unless they have their own.
fn with_tables(
    config: &Config,
    main: TurnServer,
    common: anyhow::Result<&Secret>,
) -> anyhow::Result<Option<TurnConfig>> {
    let tables = &config.signaling.turn_server;
    ensure!(
        tables.len() <= MAX_SERVERS,
        "signaling.turn_server has {} servers; at most {MAX_SERVERS} are possible",
        tables.len()
    );
    let mut servers: Vec<_> = Some(main).into_iter().filter(|main| !main.urls.is_empty()).collect();
    for (name, server) in tables {
        let secret = match (&server.secret, &common) {
            (Some(own), _) => own,
            (None, Ok(common)) => common,
            (None, Err(advice)) => {
                anyhow::bail!("signaling.turn_server.{name} has no secret: {advice}")
            }
        };
        servers.push(server.offered(name, secret));
    }
    let lifetime = CREDENTIALS_LIFETIME;
    Ok((!servers.is_empty()).then_some(TurnConfig { servers, lifetime }))
}
