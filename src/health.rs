//! `porthole health`: is the server that runs on this machine alive? For container runtimes.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use porthole_admin::Place;
use tokio::net::{TcpStream, UnixStream};

use crate::cli::{self, DoctorRole};
use crate::config::Config;
use crate::{admin_api, doctor, netcheck};

/// Asks the server of the role, by the configuration that it runs with.
///
/// # Errors
///
/// Fails with the reason if it does not answer as a server that is alive.
pub async fn run(config: &Config, flags: &cli::Health) -> anyhow::Result<()> {
    let role = flags.role.unwrap_or_else(|| doctor::role_of(config));
    match role {
        DoctorRole::Up | DoctorRole::Signaling => ask_over_tcp(config.signaling.http).await,
        DoctorRole::Turn => match admin_api::configuration_with_turn(config) {
            Some(admin) => ask_admin(&admin.at).await,
            None => ask_stun(config).await,
        },
        DoctorRole::Gateway => match admin_api::configuration(config) {
            Some(admin) => ask_admin(&admin.at).await,
            None => bail!(
                "a gateway does not listen for such a question unless admin.listen is set; set it, \
                 or ask whoever started the gateway if it runs"
            ),
        },
    }
}

async fn ask_admin(place: &Place) -> anyhow::Result<()> {
    match place {
        Place::Tcp(address) => ask_over_tcp(*address).await,
        Place::Unix(path) => {
            let unhealthy = || format!("the server at {} is not healthy", path.display());
            let stream = UnixStream::connect(path).await.with_context(unhealthy)?;
            doctor::ask_health(stream).await.with_context(unhealthy)
        }
    }
}

async fn ask_over_tcp(listener: SocketAddr) -> anyhow::Result<()> {
    let address = doctor::reachable(listener);
    let unhealthy = || format!("the server at {address} is not healthy");
    let stream = TcpStream::connect(address).await.with_context(unhealthy)?;
    doctor::ask_health(stream).await.with_context(unhealthy)
}

/// Asks a TURN server without an admin API as its clients do.
async fn ask_stun(config: &Config) -> anyhow::Result<()> {
    let listener = config.turn.listen.first().context("turn.listen is empty")?;
    let address = doctor::reachable(*listener);
    ensure!(netcheck::answers_stun(address, true).await, "the server at {address} is silent");
    Ok(())
}
