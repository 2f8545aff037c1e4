//! `porthole turn`, and the STUN/TURN server of `porthole up`.

mod external;
mod settings;

use crate::{
    config::{Config, Secret},
    say, shutdown,
};
use anyhow::{Context, anyhow, ensure};
use porthole_turn_admin::{Admin, Reload};
use porthole_turn_server::{Change, Server, StartError};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use external::with_public_address;

/// Reads the configuration again, from where it came from.
pub type ReadAgain = Arc<dyn Fn() -> anyhow::Result<Config> + Send + Sync>;

/// Runs it alone until told to stop.
pub async fn run(config: &Config, read_again: ReadAgain) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let config = with_public_address(config).await?;
    let turn = Turn::start(&config, config.turn.secret.as_ref(), read_again).await?;
    stop.cancelled().await;
    turn.drain().await
}

/// A server that runs, with its admin API; SIGHUP reloads it.
#[derive(Debug)]
pub struct Turn {
    server: Arc<Server>,
    drain: Duration,
    stop_admin: CancellationToken,
}

impl Turn {
    /// Starts it. The secret is the one that short-lived credentials are made from.
    pub async fn start(
        config: &Config,
        secret: Option<&Secret>,
        read_again: ReadAgain,
    ) -> anyhow::Result<Self> {
        let turn = &config.turn;
        let listening: Vec<_> = turn.listen.iter().map(ToString::to_string).collect();
        say::progress(format_args!("starting STUN/TURN on {}, UDP and TCP", listening.join(", ")));
        // Before the server: a wrong place ends the program, and clients with it.
        let admin = match settings::admin(config) {
            Some(admin) => Some(Admin::bind(admin).await?),
            None => None,
        };
        let server = Arc::new(start(config, secret)?);
        let reload = reload(config, secret, &server, read_again);
        reload_on_hangup(&reload)?;
        let stop_admin = CancellationToken::new();
        if let Some(admin) = admin {
            say::progress(format_args!("the TURN server's admin API is on {}", admin.place()));
            tokio::spawn(admin.run(Arc::clone(&server), reload, stop_admin.clone()));
        }
        let drain = Duration::from_secs(turn.drain_s.get().into());
        Ok(Self { server, drain, stop_admin })
    }

    /// Takes no new allocations, waits for the living ones as long as it may, and ends. The admin
    /// API goes last: it says how far that is.
    pub async fn drain(self) -> anyhow::Result<()> {
        let Self { server, drain, stop_admin } = self;
        tokio::task::spawn_blocking(move || server.shutdown(drain)).await?;
        stop_admin.cancel();
        Ok(())
    }
}

fn start(config: &Config, secret: Option<&Secret>) -> anyhow::Result<Server> {
    Server::start(settings::of(config, secret)?).map_err(|error| {
        if matches!(error, StartError::NoRelayAddress) {
            return anyhow!("{error}; name it with --public-address or in turn.relay_address");
        }
        error.into()
    })
}

/// Reads everything again, and takes the TURN server's part over.
fn reload(
    config: &Config,
    secret: Option<&Secret>,
    server: &Arc<Server>,
    read_again: ReadAgain,
) -> Reload {
    let server = Arc::clone(server);
    let runtime = Handle::current();
    let running = config.clone();
    // One that `up` made is not in the file; one that was is taken away with its line.
    let made_secret = secret.filter(|_| config.turn.secret.is_none()).cloned();
    let one_at_a_time = Mutex::new(());
    Arc::new(move || {
        // The file that was read last is the one that counts.
        let _turn = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let again = || -> anyhow::Result<Vec<Change>> {
            let new = again_as_started(read_again()?, &running, &runtime)?;
            let secret = new.turn.secret.clone().or_else(|| made_secret.clone());
            let mut changes = server.reload(settings::of(&new, secret.as_ref())?)?;
            let others = settings::changes_of_others(&running, &new);
            for change in &others {
                tracing::warn!("the configuration: {change}");
            }
            changes.extend(others);
            Ok(changes)
        };
        again().map_err(|error| format!("{error:#}"))
    })
}

/// Refuses what a start would refuse, and fills in what was found out at the start. It is found out
/// anew only if the file says so: a STUN server that is silent now is no reason against a reload.
fn again_as_started(mut new: Config, running: &Config, runtime: &Handle) -> anyhow::Result<Config> {
    if let Some(admin) = settings::admin(&new) {
        admin.check()?;
    }
    if new.turn.external_address != running.turn.external_address {
        new = runtime.block_on(with_public_address(&new))?;
    }
    if new.public_address.is_none() {
        new.public_address = running.public_address;
        new.other_public_address = running.other_public_address;
    }
    Ok(new)
}

fn reload_on_hangup(reload: &Reload) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let reload = Arc::clone(reload);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let reload = Arc::clone(&reload);
            match tokio::task::spawn_blocking(move || reload()).await {
                Ok(Ok(changes)) => {
                    tracing::info!(changes = changes.len(), "configuration reloaded")
                }
                Ok(Err(why)) => tracing::error!("the configuration was not reloaded: {why}"),
                Err(error) => tracing::error!(%error, "the reload broke off"),
            }
        }
    });
    Ok(())
}

/// What browsers and gateways are told: STUN and TURN at each address, over UDP and TCP, and what
/// the settings name besides. TLS is among that: its certificate is for a name that only they know.
pub fn urls(config: &Config) -> anyhow::Result<Vec<String>> {
    let mut urls = Vec::new();
    for listen in &config.turn.listen {
        let public = [config.public_address, config.other_public_address].into_iter().flatten();
        let mut of_family = public.filter(|public| public.is_ipv6() == listen.is_ipv6());
        let host = match of_family.next() {
            Some(public) => public,
            None if listen.ip().is_unspecified() => continue,
            None => listen.ip(),
        };
        // With the brackets that an IPv6 address has in a URI (RFC 7064 §3.1).
        let server = SocketAddr::new(host, listen.port());
        urls.push(format!("stun:{server}"));
        urls.push(format!("turn:{server}?transport=udp"));
        urls.push(format!("turn:{server}?transport=tcp"));
    }
    urls.extend(config.signaling.turn_urls.iter().cloned());
    ensure!(
        !urls.is_empty(),
        "the STUN/TURN server listens on every address: say with --public-address under which one \
         others reach it"
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
    fn clients_are_told_the_public_address() {
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
            let urls = urls(&config(listen, public)).unwrap();
            let stun: Vec<_> = urls.iter().filter_map(|url| url.strip_prefix("stun:")).collect();
            assert_eq!(stun, servers);
            assert_eq!(urls.len(), 3 * servers.len());
        }
        assert!(urls(&config(&["0.0.0.0:3478"], &[])).is_err());
    }

    #[test]
    fn clients_are_told_what_the_settings_name_besides() {
        let tls = "turns:home.example.org:443?transport=tcp";
        for (listen, count) in [("127.0.0.1:3478", 4), ("0.0.0.0:3478", 1)] {
            let mut config = config(&[listen], &[]);
            config.signaling.turn_urls = vec![tls.to_owned()];
            let urls = urls(&config).unwrap();
            assert_eq!((urls.len(), urls.last().unwrap().as_str()), (count, tls), "{listen}");
        }
    }
}
