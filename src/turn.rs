//! `porthole turn`, and the STUN/TURN server of `porthole up`.

mod external;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{anyhow, ensure};
use porthole_admin::{Change, Reload};
use porthole_signaling::TurnUser;
use porthole_turn_server::{Server, StartError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin_api::{AdminApi, Roles};
use crate::config::Config;
use crate::reload::{Hangups, Loader, TryAgain};
use crate::turn_servers::CREDENTIALS_LIFETIME;
use crate::{admin_api, console, public, reload, service_manager, shutdown};

pub use external::resolve_public_address;
pub use settings::for_sessions;
#[cfg(test)]
pub use settings::{changes_at_restart, server_config};

/// Function that checks the other parts of a configuration that was reloaded, and changes nothing.
pub type PrepareRest = Box<dyn Fn(&Config) -> anyhow::Result<ApplyRest> + Send + Sync>;

/// Function that applies the other parts, which have been checked.
pub type ApplyRest = Box<dyn FnOnce() -> Vec<Change>>;

/// Runs a TURN server until the program is told to stop.
pub async fn run(config: &Config, source: Loader) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let hangups = Hangups::listen()?;
    let config = resolve_public_address(config).await?;
    let nothing: PrepareRest = Box::new(|_| Ok(Box::new(Vec::new)));
    let admin = AdminApi::bind(admin_api::configuration_with_turn(&config)).await?;
    let turn = TurnServer::start(&config, Vec::new())?;
    let roles = Roles { turn: Some(turn.server()), ..Roles::default() };
    let reload = turn.follow(&config, source, hangups, nothing);
    // It stops last, because it reports the progress.
    let _serving = admin.serve(roles, reload, &CancellationToken::new());
    service_manager::report_ready(&stop);
    stop.cancelled().await;
    turn.drain().await?;
    turn.stop().await
}

/// A running TURN server.
pub struct TurnServer {
    server: Arc<Server>,
    drain: Duration,
}

impl TurnServer {
    /// Starts the server, which serves clients over UDP at some more addresses if they are free.
    pub fn start(config: &Config, udp: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let turn = &config.turn;
        let listening: Vec<_> = turn.listen.iter().map(ToString::to_string).collect();
        console::print_progress(format_args!(
            "starting STUN/TURN on {}, UDP and TCP",
            listening.join(", ")
        ));
        let server = Arc::new(start(config, udp)?);
        for address in server.udp_addrs() {
            console::print_progress(format_args!("starting STUN/TURN on {address}, UDP"));
        }
        let drain = Duration::from_secs(turn.drain_s.get().into());
        Ok(Self { server, drain })
    }

    /// Applies each new configuration to the server and to the rest of the role, which must be
    /// running. Returns the function that reloads it, as SIGHUP does.
    pub fn follow(
        &self,
        running: &Config,
        source: Loader,
        hangups: Hangups,
        rest: PrepareRest,
    ) -> Reload {
        reload::follow(source, hangups, apply(running, &self.server, rest))
    }

    /// Returns the server, for clients that are accepted at the public port.
    pub fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server)
    }

    /// Returns true if clients are served over UDP at the number of the public port.
    pub fn has_public_udp(&self) -> bool {
        !self.server.udp_addrs().is_empty()
    }

    /// Ends each of these TURN users: its allocations, and its credentials.
    pub fn end_users(&self, mut ended: mpsc::Receiver<TurnUser>) {
        let server = Arc::downgrade(&self.server);
        tokio::spawn(async move {
            while let Some(user) = ended.recv().await {
                let Some(server) = server.upgrade() else { return };
                // Credentials that were made until now have expired by then.
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let until_s = (now + CREDENTIALS_LIFETIME).as_secs() + 1;
                let end = move || server.end_user(user.as_str(), until_s);
                if let Ok(Err(error)) = tokio::task::spawn_blocking(end).await {
                    tracing::warn!(%error, "the relays of a TURN user were not ended");
                }
            }
        });
    }

    /// Accepts no new allocations from now on, and waits up to `turn.drain_s` until the existing
    /// ones have ended.
    pub async fn drain(&self) -> anyhow::Result<()> {
        let (server, drain) = (self.server(), self.drain);
        Ok(tokio::task::spawn_blocking(move || server.drain(drain)).await?)
    }

    /// Stops, and ends the allocations that are left.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { server, .. } = self;
        Ok(tokio::task::spawn_blocking(move || server.shutdown(Duration::ZERO)).await?)
    }
}

fn start(config: &Config, listen_udp: Vec<SocketAddr>) -> anyhow::Result<Server> {
    let server = settings::server_config(config)?;
    Server::start(porthole_turn_server::Config { listen_udp, ..server }).map_err(|error| {
        if matches!(error, StartError::NoRelayAddress) {
            return anyhow!("{error}; set it with --public-address or turn.relay_address");
        }
        error.into()
    })
}

/// Returns the function that applies a configuration that was loaded again: all of it or, if some
/// of it is refused, nothing. The rest follows the TURN server, which then accepts a new secret.
fn apply(
    config: &Config,
    server: &Arc<Server>,
    prepare_rest: PrepareRest,
) -> impl Fn(Config) -> anyhow::Result<Vec<Change>> + Send + Sync + 'static {
    let server = Arc::clone(server);
    let runtime = Handle::current();
    let running = config.clone();
    move |new| {
        let new = complete_reloaded(new, &running, &runtime)?;
        let apply_rest = prepare_rest(&new)?;
        let mut changes = server.reload(settings::server_config(&new)?)?;
        let at_restart = settings::changes_at_restart(&running, &new);
        for change in &at_restart {
            tracing::warn!("the configuration: {change}");
        }
        changes.extend(at_restart);
        let mut changes: Vec<_> = changes.into_iter().map(porthole_turn_admin::change).collect();
        changes.extend(apply_rest());
        Ok(changes)
    }
}

/// Checks a reloaded configuration as a start would, and fills in the public address found at the
/// start. It is looked up again only if `external_address` has changed, so that a STUN server that
/// does not respond cannot make a reload fail.
fn complete_reloaded(
    mut new: Config,
    running: &Config,
    runtime: &Handle,
) -> anyhow::Result<Config> {
    if let Some(admin) = admin_api::configuration_with_turn(&new) {
        admin.check()?;
    }
    if new.turn.external_address != running.turn.external_address {
        new = runtime.block_on(resolve_public_address(&new)).map_err(TryAgain)?;
    }
    if new.public_address.is_none() {
        new.public_address = running.public_address;
        new.other_public_address = running.other_public_address;
    }
    Ok(new)
}

/// Returns the ICE servers' URIs for browsers and gateways: STUN and TURN at each address, over UDP
/// and TCP, TURN over UDP, if it has that, and TLS at the public port, and those in
/// `signaling.turn_urls`. TURN over TLS at other ports must be among the latter, because only the
/// configuration knows the name in the certificate.
pub fn ice_server_urls(config: &Config, has_public_udp: bool) -> anyhow::Result<Vec<String>> {
    let mut urls = Vec::new();
    for listen in &config.turn.listen {
        let public = [config.public_address, config.other_public_address].into_iter().flatten();
        let mut of_family = public.filter(|public| public.is_ipv6() == listen.is_ipv6());
        let host = match of_family.next() {
            Some(public) => public,
            None if listen.ip().is_unspecified() => continue,
            None => listen.ip(),
        };
        // `SocketAddr` writes an IPv6 address in brackets, as URIs do (RFC 7064 §3.1).
        let server = SocketAddr::new(host, listen.port());
        urls.push(format!("stun:{server}"));
        urls.push(format!("turn:{server}?transport=udp"));
        urls.push(format!("turn:{server}?transport=tcp"));
    }
    urls.extend(public::turn_udp_url(config).filter(|_| has_public_udp));
    urls.extend(public::turn_url(config));
    urls.extend(config.signaling.turn_urls.iter().cloned());
    ensure!(
        !urls.is_empty(),
        "the STUN/TURN server listens on every address: give the one that others can reach with \
         --public-address"
    );
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &[&str], public: &[&str]) -> Config {
        let mut config = Config::default();
        config.turn.listen = listen.iter().map(|address| address.parse().unwrap()).collect();
        let mut public = public.iter().map(|address| address.parse().unwrap());
        (config.public_address, config.other_public_address) = (public.next(), public.next());
        config
    }

    #[test]
    fn ice_server_urls_have_the_public_address() {
        for (listen, public, servers) in [
            (&["127.0.0.1:3478"][..], &[][..], &["127.0.0.1:3478"][..]),
            (&["0.0.0.0:3478"], &["203.0.113.7"], &["203.0.113.7:3478"]),
            (&["10.0.0.1:1"], &["203.0.113.7"], &["203.0.113.7:1"]),
            (
                &["0.0.0.0:1", "[2001:db8::1]:2"],
                &["203.0.113.7"],
                &["203.0.113.7:1", "[2001:db8::1]:2"],
            ),
            (&["0.0.0.0:1", "[::]:2"], &["203.0.113.7"], &["203.0.113.7:1"]),
            (
                &["0.0.0.0:1", "[::]:2"],
                &["203.0.113.7", "2001:db8::1"],
                &["203.0.113.7:1", "[2001:db8::1]:2"],
            ),
        ] {
            let urls = ice_server_urls(&config(listen, public), true).unwrap();
            let stun: Vec<_> = urls.iter().filter_map(|url| url.strip_prefix("stun:")).collect();
            assert_eq!(stun, servers);
            assert_eq!(urls.len(), 3 * servers.len());
        }
        assert!(ice_server_urls(&config(&["0.0.0.0:3478"], &[]), true).is_err());
    }

    #[test]
    fn turn_at_the_public_port_is_an_ice_server_over_tls_and_where_it_is_free_over_udp() {
        let mut config = config(&["127.0.0.1:3478"], &[]);
        config.public.listen = vec!["0.0.0.0:443".parse().unwrap()];
        config.public.names = vec!["cameras.example.org".parse().unwrap()];
        let tls = "turns:cameras.example.org:443?transport=tcp";
        let udp = "turn:cameras.example.org:443?transport=udp";
        for (has_udp, expected) in [(true, &[udp, tls][..]), (false, &[tls])] {
            let urls = ice_server_urls(&config, has_udp).unwrap();
            assert_eq!(urls[3..], *expected, "{has_udp}");
        }
    }

    #[test]
    fn ice_server_urls_include_the_configured_ones() {
        let tls = "turns:home.example.org:443?transport=tcp";
        for (listen, count) in [("127.0.0.1:3478", 4), ("0.0.0.0:3478", 1)] {
            let mut config = config(&[listen], &[]);
            config.signaling.turn_urls = vec![tls.to_owned()];
            let urls = ice_server_urls(&config, true).unwrap();
            assert_eq!((urls.len(), urls.last().unwrap().as_str()), (count, tls), "{listen}");
        }
    }
}
