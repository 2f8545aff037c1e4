//! `porthole gateway`, and the gateway of `porthole up`.

use std::time::Duration;

use anyhow::{Context, ensure};
use porthole_admin::Change;
use porthole_gateway::ingest::{Source, Timeouts};
use porthole_gateway::{
    CameraConfig, Cameras, Difference, Gateway, MaxUplink, OnvifPlace, Picture, PreparedCameras,
};
use tokio_rustls::rustls::pki_types::CertificateDer;
use url::Url;

use crate::admin_api::{AdminApi, Roles};
use crate::config::Config;
use crate::reload::{Hangups, Loader, Role};
use crate::{
    admin_api, authorities, console, data, public, reload, server_authority, service_manager,
    shutdown,
};

/// Runs a gateway until the program is told to stop. SIGHUP reloads its cameras and its limit.
pub async fn run(config: &Config, source: Loader) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    let stop = shutdown::on_signal()?;
    let server = config.gateway.server.clone();
    let server = server.context("give the URL of the signaling server with --server")?;
    let claim = config.gateway.claim.as_ref().map(|claim| claim.reveal().to_owned());
    let hangups = Hangups::listen()?;
    let admin = AdminApi::bind(admin_api::configuration(config)).await?;
    server_authority::obtain(config, &server).await?;
    let gateway = start(config, server, claim)?;
    let (live, running) = (Live::of(&gateway), config.clone());
    let reload = reload::follow(source, hangups, move |new| {
        if let Some(admin) = admin_api::configuration(&new) {
            admin.check()?;
        }
        authorities_of(&new)?;
        let mut changes = live.prepare(&new)?.apply();
        changes.extend(reload::at_restart(&running, &new, Role::Gateway));
        Ok(changes)
    });
    let roles = Roles { gateway: Some(gateway.metrics()), ..Roles::default() };
    let _serving = admin.serve(roles, reload, &stop);
    service_manager::report_ready(&stop);
    gateway.run(stop).await?;
    Ok(())
}

/// The parts of a running gateway that a reload changes.
pub struct Live {
    cameras: Cameras,
    max_uplink: MaxUplink,
}

impl Live {
    /// Returns those of a gateway.
    pub fn of(gateway: &Gateway) -> Self {
        Self { cameras: gateway.cameras().clone(), max_uplink: gateway.max_uplink().clone() }
    }

    /// Checks what a configuration that was reloaded has for them.
    pub fn prepare(&self, config: &Config) -> anyhow::Result<Prepared> {
        let cameras = self.cameras.prepare(settings_of_cameras(config))?;
        let max_uplink = (self.max_uplink.clone(), max_uplink(config));
        Ok(Prepared { cameras, max_uplink })
    }
}

/// The changes of a running gateway that were checked.
#[must_use]
pub struct Prepared {
    cameras: PreparedCameras,
    max_uplink: (MaxUplink, Option<u64>),
}

impl Prepared {
    /// Gives them to the gateway, and returns and logs what differs.
    pub fn apply(self) -> Vec<Change> {
        let Self { cameras, max_uplink: (running, limit) } = self;
        let cameras = cameras.apply().into_iter();
        let cameras = cameras.map(|one: Difference| change("camera", one.to_string()));
        let before = running.replace(limit);
        let shown =
            |limit: Option<u64>| limit.map_or("none".to_owned(), |it| (it / 1000).to_string());
        let what = format!("{} becomes {}", shown(before), shown(limit));
        let limit = (before != limit).then(|| change("gateway.max_uplink_kbit_per_s", what));
        cameras.chain(limit).collect()
    }
}

fn change(setting: &str, what: String) -> Change {
    tracing::info!("the configuration: {setting}: {what}");
    Change { setting: setting.to_owned(), what, needs_restart: false }
}

/// Starts a gateway: binds its port and loads or creates its key. It connects when it runs.
pub fn start(config: &Config, server: Url, claim: Option<String>) -> anyhow::Result<Gateway> {
    let cameras = config.camera.len();
    console::print_progress(format_args!(
        "starting a gateway with {cameras} camera{}",
        plural(cameras)
    ));
    Ok(Gateway::start(settings(config, server, claim)?)?)
}

/// Returns the settings as the gateway needs them.
fn settings(
    config: &Config,
    server: Url,
    claim: Option<String>,
) -> anyhow::Result<porthole_gateway::Config> {
    let gateway = &config.gateway;
    Ok(porthole_gateway::Config {
        server,
        claim,
        data: config.data.clone(),
        name: gateway.name.clone(),
        cameras: settings_of_cameras(config),
        udp_port: gateway.udp_port,
        camera_timeouts: Timeouts {
            connect: Duration::from_secs(gateway.camera_connect_timeout.seconds.into()),
            silence: Duration::from_secs(gateway.camera_silence_timeout.seconds.into()),
        },
        networks: gateway.networks.iter().map(|network| network.0).collect(),
        allow_ice_servers: gateway.allow_ice_servers.iter().map(|one| one.0.clone()).collect(),
        authorities: authorities_of(config)?,
        allow_plain_http: gateway.allow_plain_http,
        turn_only: gateway.turn_only,
        port_mapping: gateway.port_mapping.protocols(),
        max_uplink: max_uplink(config),
    })
}

/// Returns the limit of the uplink in bits per second.
fn max_uplink(config: &Config) -> Option<u64> {
    config.gateway.max_uplink_kbit_per_s.map(|rate| u64::from(rate.get()) * 1000)
}

/// Returns the authorities to trust beside those that browsers trust: those in the file of
/// `gateway.ca_certificates`, the one of this machine's own public port, and the one with the
/// fingerprint in `gateway.ca_fingerprint`.
pub fn authorities_of(config: &Config) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let mut found = Vec::new();
    if let Some(file) = &config.gateway.ca_certificates {
        found.extend(authorities::read(file)?);
        ensure!(!found.is_empty(), "the file in gateway.ca_certificates has no certificate");
    }
    if config.public.own_ca {
        found.extend(public::own_authority(&config.data)?);
    }
    found.extend(server_authority::stored(&config.data)?);
    Ok(found)
}

fn settings_of_cameras(config: &Config) -> Vec<CameraConfig> {
    let camera = |(id, camera): (&porthole_signaling_proto::CameraId, &crate::config::Camera)| {
        let source = camera.source.parsed();
        let credentials = match &source {
            Source::Rtsp(rtsp) => rtsp.credentials.clone(),
            Source::Rtp { .. } | Source::RtpSdp { .. } | Source::Test(_) => None,
        };
        let onvif = camera.onvif.as_ref().map(|service| OnvifPlace {
            service: service.0.clone(),
            credentials,
            allows_text: false,
            number: camera.onvif_channel.get(),
        });
        CameraConfig {
            id: id.clone(),
            name: camera.name.clone().unwrap_or_else(|| id.to_string()),
            source,
            sub_source: camera.sub_source.as_ref().map(crate::config::Source::parsed),
            on_demand: camera.on_demand,
            picture: Picture { rotation: camera.rotation.degrees(), mirrored: camera.mirrored },
            onvif,
        }
    };
    config.camera.iter().map(camera).collect()
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use porthole_gateway::port_mapping::{Protocol, Protocols};

    use super::*;
    use crate::config::{Bounded, Span};

    #[test]
    fn the_networks_for_cameras_reach_the_gateway() {
        let mut config = Config::default();
        config.gateway.networks = vec!["10.20.0.0/16".parse().unwrap()];
        let server = Url::parse("http://localhost/").unwrap();
        let networks = settings(&config, server, None).unwrap().networks;
        assert_eq!(networks, ["10.20.0.0/16".parse().unwrap()]);
    }

    #[test]
    fn the_own_authority_of_a_server_is_trusted_by_its_gateway() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("own-ca")).unwrap();
        let made = rcgen::generate_simple_self_signed(["cams.lan".to_owned()]).unwrap();
        let file = folder.path().join("own-ca/authority.pem");
        let mut config = Config { data: folder.path().to_owned(), ..Config::default() };
        config.public.own_ca = true;
        assert!(authorities_of(&config).unwrap().is_empty(), "another machine has it");
        std::fs::write(&file, made.cert.pem()).unwrap();
        assert_eq!(authorities_of(&config).unwrap(), [made.cert.der().clone()]);
        config.public.own_ca = false;
        assert!(authorities_of(&config).unwrap().is_empty(), "it is not in use any more");
    }

    #[test]
    fn the_allowed_ice_servers_reach_the_gateway() {
        let mut config = Config::default();
        let allowed = ["turn.lan", "192.168.1.8"];
        config.gateway.allow_ice_servers = allowed.map(|one| one.parse().unwrap()).into();
        let server = Url::parse("http://localhost/").unwrap();
        let settings = settings(&config, server, None).unwrap();
        assert_eq!(settings.allow_ice_servers, allowed.map(|one| one.parse().unwrap()));
        assert!(!settings.allow_plain_http, "unless the owner insists");
    }

    #[test]
    fn the_protocols_of_port_mappings_reach_the_gateway() {
        let server = Url::parse("http://localhost/").unwrap();
        for (text, expected) in [
            ("", Some(Protocols::All)),
            ("port_mapping = 'auto'", Some(Protocols::All)),
            ("port_mapping = 'off'", None),
            ("port_mapping = 'pcp'", Some(Protocols::Only(Protocol::Pcp))),
            ("port_mapping = 'nat-pmp'", Some(Protocols::Only(Protocol::NatPmp))),
            ("port_mapping = 'upnp'", Some(Protocols::Only(Protocol::Upnp))),
        ] {
            let config = Config { gateway: toml::from_str(text).unwrap(), ..Config::default() };
            let settings = settings(&config, server.clone(), None).unwrap();
            assert_eq!(settings.port_mapping, expected, "{text}");
        }
    }

    #[test]
    fn the_onvif_service_of_a_camera_reaches_the_gateway() {
        let text = "source = 'rtsp://anna:geheim@192.168.1.20/main'
             onvif = 'http://192.168.1.20:8000/onvif/device_service'
             onvif_channel = 3";
        let mut config = Config::default();
        config.camera.insert("door".parse().unwrap(), toml::from_str(text).unwrap());
        let cameras = settings_of_cameras(&config);
        let place = cameras[0].onvif.clone().unwrap();
        assert_eq!(place.service.to_string(), "http://192.168.1.20:8000/onvif/device_service");
        assert_eq!((place.number, place.allows_text), (3, false));
        let credentials = place.credentials.unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("anna", "geheim"));
    }

    #[test]
    fn the_cap_of_the_uplink_reaches_the_gateway() {
        let server = Url::parse("http://localhost/").unwrap();
        let mut config = Config::default();
        assert_eq!(settings(&config, server.clone(), None).unwrap().max_uplink, None);
        config.gateway.max_uplink_kbit_per_s = Some(Bounded::new(6_000));
        assert_eq!(settings(&config, server, None).unwrap().max_uplink, Some(6_000_000));
    }

    #[test]
    fn the_timeouts_of_cameras_reach_the_gateway() {
        let mut config = Config::default();
        config.gateway.camera_connect_timeout = Span { seconds: 3 };
        config.gateway.camera_silence_timeout = Span { seconds: 4 };
        let server = Url::parse("http://localhost/").unwrap();
        let timeouts = settings(&config, server, None).unwrap().camera_timeouts;
        let (connect, silence) = (Duration::from_secs(3), Duration::from_secs(4));
        assert_eq!(timeouts, Timeouts { connect, silence });
    }
}
