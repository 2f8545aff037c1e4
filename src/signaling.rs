//! `porthole signaling`, and the signaling server of `porthole up`.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use porthole_admin::Change;
use porthole_signaling::{Authority, PlaceLimits, Server, TrustProxy, TurnConfig, TurnUser};
use tokio::sync::mpsc;
use url::Url;

use crate::admin_api::{AdminApi, Roles};
use crate::config::{Config, Join, Network, OpenidConnect};
use crate::public::PublicPort;
use crate::reload::{Hangups, Loader, Role};
use crate::turn_servers::Watcher;
use crate::{
    admin_api, authorities, console, data, open_files, public, reload, service_manager, shutdown,
    turn_servers,
};

/// Runs a signaling server until the program is told to stop. SIGHUP reads its configuration again.
pub async fn run(config: &Config, source: Loader) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    let stop = shutdown::on_signal()?;
    let places = open_files::raise_limit().map_or_else(PlaceLimits::default, PlaceLimits::within);
    let running = config.clone();
    let hangups = Hangups::listen()?;
    let admin = AdminApi::bind(admin_api::configuration(config)).await?;
    // An address without a name is found; it relays nothing, so that a name is enough.
    let config = if config.public.names.is_empty() {
        &public::with_address(config.clone()).await?
    } else {
        config
    };
    let public = PublicPort::bind(config)?;
    let turn = turn_servers::of_signaling(config)?;
    let authority = public.as_ref().and_then(PublicPort::authority);
    let server = bind(config, turn.clone(), places, authority, None).await?;
    if let Some(public) = public {
        public.open(server.entrance(), None, &stop);
    }
    console::print_welcome(&dashboard_url(config), server.setup_link().as_deref())?;
    let tls = turn_servers::connector(config.gateway.ca_certificates.as_deref())?;
    let watcher = Watcher::start(server.turn_servers(), turn.as_ref(), None, tls);
    let reload = reload::follow(source, hangups, move |new| {
        let turn = check_reloaded(&new)?;
        let mut changes = change_of(watcher.replace(turn));
        changes.extend(reload::at_restart(&running, &new, Role::Signaling));
        Ok(changes)
    });
    let roles = Roles { signaling: Some(server.metrics()), ..Roles::default() };
    let _serving = admin.serve(roles, reload, &stop);
    service_manager::report_ready(&stop);
    server.run(stop).await;
    Ok(())
}

/// Checks a configuration that was read again as far as the start of a server would. Returns its
/// TURN servers.
fn check_reloaded(config: &Config) -> anyhow::Result<Option<TurnConfig>> {
    if let Some(admin) = admin_api::configuration(config) {
        admin.check()?;
    }
    public::check_reloaded(config)?;
    check_provider(config)?;
    turn_servers::of_signaling(config)
}

/// Checks the settings of the provider of OpenID Connect, if there is one.
pub fn check_provider(config: &Config) -> anyhow::Result<()> {
    let provider = config.signaling.openid_connect.as_ref();
    provider.map(openid_connect).transpose().map(drop)
}

/// Returns the change of the TURN servers, if they have changed.
fn change_of(turn_is_new: bool) -> Vec<Change> {
    let change = || Change {
        setting: "signaling.turn_urls, turn_secret or turn_server".to_owned(),
        what: "new sessions get other TURN servers or another secret".to_owned(),
        needs_restart: false,
    };
    turn_is_new.then(change).into_iter().collect()
}

/// Starts a signaling server that issues ICE servers according to `turn`, for so many connections,
/// shows others how to trust its own authority, and tells `ended` which TURN users have ended.
pub async fn bind(
    config: &Config,
    turn: Option<TurnConfig>,
    places: PlaceLimits,
    authority: Option<Authority>,
    ended: Option<mpsc::Sender<TurnUser>>,
) -> anyhow::Result<Server> {
    let http = config.signaling.http;
    console::print_progress(format_args!("starting signaling and dashboard on {http}"));
    let mut server = porthole_signaling::Config::new(http, &config.data);
    server.public_url = public_url(config);
    server.trusts_proxy = trust(&config.signaling.trusted_proxies);
    server.gateway_urls.clone_from(&config.signaling.gateway_urls);
    let provider = config.signaling.openid_connect.as_ref();
    server.openid_connect = provider.map(openid_connect).transpose()?;
    server.turn = turn;
    server.places = places;
    server.authority = authority;
    server.ended_turn_users = ended;
    server.assets = asset;
    Ok(Server::bind(server).await?)
}

/// Returns the function that knows the addresses of these proxies.
fn trust(proxies: &[Network]) -> TrustProxy {
    let proxies = proxies.to_vec();
    Arc::new(move |address| proxies.iter().any(|network| network.0.contains(address)))
}

/// Returns the settings of the provider of OpenID Connect.
fn openid_connect(provider: &OpenidConnect) -> anyhow::Result<porthole_signaling::OpenidConnect> {
    let host = || Url::parse(&provider.issuer).ok()?.host_str().map(str::to_owned);
    let name = provider.name.clone().or_else(host).unwrap_or_default();
    let file = provider.ca_certificates.as_deref();
    let authorities = file.map(authorities::read).transpose()?.unwrap_or_default();
    Ok(porthole_signaling::OpenidConnect {
        issuer: provider.issuer.clone(),
        client_id: provider.client_id.clone(),
        client_secret: provider.client_secret.as_ref().map(|secret| secret.reveal().to_owned()),
        name,
        scopes: provider.scopes.clone(),
        name_claim: provider.name_claim.clone(),
        join: match provider.join {
            Join::Nobody => porthole_signaling::Join::Nobody,
            Join::WithoutCameras => porthole_signaling::Join::WithoutCameras,
            Join::Viewer => porthole_signaling::Join::Viewer,
        },
        email_domains: provider.email_domains.clone(),
        groups: provider.groups.clone(),
        groups_claim: provider.groups_claim.clone(),
        authorities,
    })
}

/// Returns the URL by which browsers reach the server, if it is not the address of its own
/// listener.
fn public_url(config: &Config) -> Option<Url> {
    config.signaling.public_url.clone().or_else(|| public::url(config))
}

/// Returns the URL of the dashboard, for the welcome message.
pub fn dashboard_url(config: &Config) -> String {
    let has_public_port = !config.public.listen.is_empty();
    if let Some(url) = public_url(config).filter(|_| has_public_port) {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    let http = config.signaling.http;
    let host = match (http.ip(), config.public_address) {
        (ip, _) if ip.is_loopback() => return format!("http://localhost:{}", http.port()),
        (ip, Some(public)) if ip.is_unspecified() => public,
        (ip, None) if ip.is_unspecified() => return format!("http://localhost:{}", http.port()),
        (ip, _) => ip,
    };
    match &config.signaling.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{}", SocketAddr::new(host, http.port())),
    }
}

fn asset(path: &str) -> Option<porthole_signaling::Asset> {
    let porthole_web::Asset { bytes, mime, immutable, etag } = porthole_web::asset(path)?;
    Some(porthole_signaling::Asset {
        bytes,
        mime: Cow::Borrowed(mime),
        immutable,
        etag: Some(etag),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_of_openid_connect_is_configured_with_every_key() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = rcgen::generate_simple_self_signed(["id.example".to_owned()]).unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, certificate.cert.pem()).unwrap();
        let least = "issuer = \"https://id.example/realm\"\nclient_id = \"porthole\"";
        let provider: OpenidConnect = toml::from_str(least).unwrap();
        let found = openid_connect(&provider).unwrap();
        assert_eq!(
            (found.name.as_str(), found.name_claim.as_str()),
            ("id.example", "preferred_username")
        );
        assert_eq!(
            (found.scopes.join(" "), found.groups_claim.as_str()),
            ("profile email".into(), "groups")
        );
        assert_eq!((found.client_secret, found.join), (None, porthole_signaling::Join::Nobody));
        let all = format!(
            "{least}\nclient_secret = \"s3\"\nname = \"Home\"\nscopes = [\"groups\"]\n\
             name_claim = \"nickname\"\njoin = \"without_cameras\"\n\
             email_domains = [\"example.org\"]\ngroups = [\"family\"]\n\
             groups_claim = \"roles\"\nca_certificates = \"{}\"",
            file.display()
        );
        let provider: OpenidConnect = toml::from_str(&all).unwrap();
        let found = openid_connect(&provider).unwrap();
        assert_eq!(
            (found.issuer.as_str(), found.client_id.as_str()),
            ("https://id.example/realm", "porthole")
        );
        assert_eq!((found.client_secret.as_deref(), found.name.as_str()), (Some("s3"), "Home"));
        assert_eq!(
            (found.scopes.join(" "), found.name_claim.as_str()),
            ("groups".into(), "nickname")
        );
        assert_eq!(found.join, porthole_signaling::Join::WithoutCameras);
        assert_eq!(
            (found.email_domains.join(" "), found.groups.join(" ")),
            ("example.org".into(), "family".into())
        );
        assert_eq!((found.groups_claim.as_str(), found.authorities.len()), ("roles", 1));
        let absent = OpenidConnect { ca_certificates: Some("/nonexistent".into()), ..provider };
        assert!(openid_connect(&absent).is_err());
    }

    #[test]
    fn the_configured_proxies_are_trusted_and_by_default_those_of_this_machine() {
        let mut signaling = Config::default().signaling;
        for (proxies, address, trusted) in [
            (None, "127.0.0.1", true),
            (None, "127.9.9.9", true),
            (None, "::1", true),
            (None, "10.0.0.7", false),
            (Some(vec!["10.0.0.0/8"]), "10.0.0.7", true),
            (Some(vec!["10.0.0.0/8"]), "127.0.0.1", false),
            (Some(vec!["2001:db8::1"]), "2001:db8::1", true),
            (Some(vec![]), "127.0.0.1", false),
        ] {
            if let Some(proxies) = &proxies {
                let proxies = proxies.iter().map(|network| network.parse().unwrap());
                signaling.trusted_proxies = proxies.collect();
            }
            let trusts = trust(&signaling.trusted_proxies);
            assert_eq!(trusts(address.parse().unwrap()), trusted, "{proxies:?} {address}");
        }
    }

    #[test]
    fn the_public_port_makes_the_public_url_unless_there_is_another() {
        let mut config = Config::default();
        config.public.listen = vec!["0.0.0.0:443".parse().unwrap()];
        config.public.names = vec!["cams.example.org".parse().unwrap()];
        for (url, expected) in [
            (None, "https://cams.example.org"),
            (Some("https://example.org/cams"), "https://example.org/cams"),
        ] {
            config.signaling.public_url = url.map(|url| url.parse().unwrap());
            assert_eq!(dashboard_url(&config), expected);
            let found = public_url(&config).unwrap();
            assert_eq!(found.as_str().trim_end_matches('/'), expected);
        }
    }

    #[test]
    fn the_dashboard_url_is_the_public_url_else_the_public_address() {
        for (http, public_address, public_url, address) in [
            ("127.0.0.1:8080", Some("203.0.113.7"), None, "http://localhost:8080"),
            ("0.0.0.0:8080", Some("203.0.113.7"), None, "http://203.0.113.7:8080"),
            ("0.0.0.0:8080", None, None, "http://localhost:8080"),
            ("192.0.2.1:80", None, None, "http://192.0.2.1:80"),
            ("192.0.2.1:80", None, Some("https://x.example/"), "https://x.example"),
        ] {
            let mut config = Config::default();
            config.signaling.http = http.parse().unwrap();
            config.public_address = public_address.map(|ip| ip.parse().unwrap());
            config.signaling.public_url = public_url.map(|url| url.parse().unwrap());
            assert_eq!(dashboard_url(&config), address);
        }
    }
}
