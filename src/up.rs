//! `porthole up`: everything on one machine. Its gateway connects over the WebSocket and enrols
//! with a claim code, like any other gateway, so that there is only one way in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use porthole_admin::Change;
use porthole_gateway::Gateway;
use porthole_signaling::{PlaceLimits, Server, TurnConfig, admin};
use porthole_turn_proto::uri::ServerUri;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::admin_api::{AdminApi, Roles};
use crate::config::{Config, MAIN_SERVER};
use crate::public::PublicPort;
use crate::reload::{Hangups, Loader};
use crate::turn::{PrepareRest, TurnServer};
use crate::turn_servers::Watcher;
use crate::{
    admin_api, console, data, gateway, public, service_manager, shutdown, signaling, turn,
    turn_servers,
};

/// Capacity of the queue of TURN users that have ended: all of a large server at once, those of
/// sessions and those of viewers without one.
const ENDED_QUEUE: usize = 8192;

/// Runs everything until the program is told to stop. Then the TURN server drains first, while
/// everything else goes on: whoever looks for the server meanwhile finds it, and all of it is away
/// for the same short time.
pub async fn run(config: &Config, source: Loader) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    let stop = shutdown::on_signal()?;
    let hangups = Hangups::listen()?;
    let data = config.data.clone();
    let complete = move |config| with_secret(turn::for_sessions(public::with_turn(config)), &data);
    let config = turn::resolve_public_address(&complete(config.clone())?).await?;
    let config = &public::with_address(config).await?;
    let source = source.completed(complete);

    let admin = AdminApi::bind(admin_api::configuration_with_turn(config)).await?;
    let public = PublicPort::bind(config)?;
    let udp = public.as_ref().map(PublicPort::udp_addresses).unwrap_or_default();
    let turn_server = TurnServer::start(config, udp)?;
    let urls = turn::ice_server_urls(config, turn_server.has_public_udp())?;
    let allowing = allow_own_ice_servers(config, &urls);
    let turn_config = turn_servers::of_up(config, urls.clone())?;
    let (ended, users) = mpsc::channel(ENDED_QUEUE);
    turn_server.end_users(users);
    // The TURN server needs open files, too.
    let places = PlaceLimits::default();
    let authority = public.as_ref().and_then(PublicPort::authority);
    let turn = turn_config.clone();
    let signaling = signaling::bind(config, turn, places, authority, Some(ended)).await?;
    // Everything else goes on while the TURN server drains.
    let end = CancellationToken::new();
    if let Some(public) = public {
        public.open(signaling.entrance(), Some(turn_server.server()), &end);
    }
    let gateway = start_gateway(&allowing, signaling.local_addr()).await?;
    // All that a reload changes is there from now on.
    let watcher = watch_turn_servers(config, &signaling, turn_config.as_ref())?;
    let rest = prepare_rest(gateway::Live::of(&gateway), watcher, urls, config);
    let reload = turn_server.follow(config, source, hangups, rest);
    console::print_welcome(&signaling::dashboard_url(config), signaling.setup_link().as_deref())?;

    let roles = Roles {
        signaling: Some(signaling.metrics()),
        gateway: Some(gateway.metrics()),
        turn: Some(turn_server.server()),
    };
    // It stops last, because it reports the progress.
    let _serving = admin.serve(roles, reload, &stop);
    service_manager::report_ready(&stop);
    let run = async {
        let ended = run_both(signaling, gateway, end.clone()).await;
        stop.cancel();
        ended
    };
    let drain = async {
        stop.cancelled().await;
        let drained = turn_server.drain().await;
        end.cancel();
        drained
    };
    let (ended, drained) = tokio::join!(run, drain);
    turn_server.stop().await?;
    ended.and(drained)
}

/// Returns the configuration with the secret of the data folder, which is generated there, unless
/// it has one.
fn with_secret(mut config: Config, data: &Path) -> anyhow::Result<Config> {
    if config.turn.secret.is_none() {
        config.turn.secret = Some(data::turn_secret(data)?);
    }
    Ok(config)
}

/// Checks the further TURN servers from now on; its own is a part of this program.
fn watch_turn_servers(
    config: &Config,
    signaling: &Server,
    turn: Option<&TurnConfig>,
) -> anyhow::Result<Watcher> {
    let tls = turn_servers::connector(config.gateway.ca_certificates.as_deref())?;
    Ok(Watcher::start(signaling.turn_servers(), turn, Some(MAIN_SERVER), tls))
}

/// Returns the function that checks a reloaded configuration as a start would, and then applies the
/// gateway's part and the secret. The TURN server accepts the secret by then.
fn prepare_rest(
    live: gateway::Live,
    watcher: Watcher,
    urls: Vec<String>,
    running: &Config,
) -> PrepareRest {
    let watcher = Arc::new(watcher);
    let last = Arc::new(Mutex::new(running.signaling.turn_server.clone()));
    Box::new(move |new: &Config| {
        public::check_reloaded(new)?;
        signaling::check_provider(new)?;
        gateway::authorities_of(new)?;
        let gateway = live.prepare(new)?;
        let turn_config = turn_servers::of_up(new, urls.clone())?;
        let (watcher, last) = (Arc::clone(&watcher), Arc::clone(&last));
        let tables = new.signaling.turn_server.clone();
        Ok(Box::new(move || {
            watcher.replace(turn_config);
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = *last != tables;
            *last = tables;
            let mut changes: Vec<Change> =
                is_new.then(change_of_turn_servers).into_iter().collect();
            changes.extend(gateway.apply());
            changes
        }))
    })
}

fn change_of_turn_servers() -> Change {
    Change {
        setting: "signaling.turn_server".to_owned(),
        what: "new sessions are offered other TURN servers".to_owned(),
        needs_restart: false,
    }
}

/// Starts the gateway of this machine, whether or not it has cameras yet: they are found with it.
async fn start_gateway(config: &Config, server: SocketAddr) -> anyhow::Result<Gateway> {
    // Needed for the first start only; later ones leave it unused, and it expires.
    let claim = admin::create_claim(&config.data).await?;
    gateway::start(config, loopback_url(server)?, Some(claim.code))
}

/// Returns the configuration with this server's own STUN and TURN servers among those that the
/// gateway may contact: it is the owner who has named them.
fn allow_own_ice_servers(config: &Config, urls: &[String]) -> Config {
    let mut config = config.clone();
    let tables = config.signaling.turn_server.values().flat_map(|server| server.urls.iter());
    let hosts = urls.iter().chain(tables).filter_map(|url| ServerUri::parse(url));
    let hosts: Vec<_> = hosts.map(|uri| uri.host).collect();
    let hosts = hosts.iter().filter_map(|host| host.parse().ok());
    config.gateway.allow_ice_servers.extend(hosts);
    config
}

/// Returns the URL by which this machine reaches its own server.
fn loopback_url(server: SocketAddr) -> anyhow::Result<Url> {
    let ip = match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(ip),
    };
    Ok(Url::parse(&format!("http://{}", SocketAddr::new(ip, server.port())))?)
}

/// Runs both until the stop or until one of them ends. The gateway ends first, so that it can sign
/// off at the signaling server.
async fn run_both(
    signaling: Server,
    gateway: Gateway,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let stop_signaling = CancellationToken::new();
    let run_gateway = async {
        let ended = gateway.run(stop.clone()).await;
        stop_signaling.cancel();
        ended
    };
    let run_signaling = async {
        signaling.run(stop_signaling.clone()).await;
        stop.cancel();
    };
    let (gateway, ()) = tokio::join!(run_gateway, run_signaling);
    Ok(gateway?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_of_up_may_contact_the_ice_servers_of_up() {
        let further = "[signaling.turn_server.north]\nurls = ['turn:north.lan']";
        let urls = [
            "stun:192.168.1.7:3478",
            "turn:192.168.1.7:3478?transport=tcp",
            "turn:[fd00::7]:3478?transport=udp",
            "turns:turn.lan:5349?transport=tcp",
            "nonsense",
        ];
        let config = toml::from_str(further).unwrap();
        let config = allow_own_ice_servers(&config, &urls.map(str::to_owned));
        let allowed: Vec<_> =
            config.gateway.allow_ice_servers.iter().map(ToString::to_string).collect();
        assert_eq!(
            allowed,
            ["192.168.1.7/32", "192.168.1.7/32", "fd00::7/128", "turn.lan", "north.lan"]
        );
    }
}
