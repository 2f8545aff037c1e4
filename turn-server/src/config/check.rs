//! Checks of a configuration that need no socket to listen on.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use porthole_turn_proto::server::NatDiscovery;

use crate::config::Config;
use crate::error::StartError;
use crate::net::addresses::{ListenerKind, RelaySide, relay_side};
use crate::net::sockets;
use crate::tls::certificates::Certificates;

/// Bound of the characters of a realm, exclusive (RFC 8489 §14.9).
const REALM_CHARS: usize = 128;
/// Longest realm with which the response to a browser's first Allocate (28 bytes) is no more than
/// twice as long.
const REALM_WITHIN_BUDGET: usize = 8;

/// The results of a check that a start uses.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) discovery: Option<NatDiscovery>,
    pub(crate) addrs: Vec<(SocketAddr, ListenerKind)>,
    pub(crate) sides: Vec<RelaySide>,
}

/// Checks everything that needs no socket to listen on.
pub(crate) fn check(config: &Config) -> Result<Checked, StartError> {
    check_ports(&config.relay_ports)?;
    check_realm(&config.realm)?;
    let discovery = discovery(config)?;
    let addrs = listen_addrs(config, discovery);
    if addrs.is_empty() {
        return Err(StartError::NoListenAddress);
    }
    sockets::check_duplicates(&addrs)?;
    let sides = relay_sides(config)?;
    let certificates = load_certificates(config)?;
    if let Some(key) = config.oauth_keys.iter().find(|key| ![16, 32].contains(&key.key.len())) {
        return Err(StartError::OauthKey { kid: key.kid.clone() });
    }
    let no_accounts = config.users.is_empty() && config.rest_secrets.is_empty();
    if no_accounts && config.oauth_keys.is_empty() {
        tracing::warn!("no TURN users and no secrets are configured: the server only does STUN");
    }
    Ok(Checked { certificates, discovery, addrs, sides })
}

fn check_realm(realm: &str) -> Result<(), StartError> {
    let chars = realm.chars().count();
    if chars == 0 || chars >= REALM_CHARS {
        return Err(StartError::Realm { chars });
    }
    if realm.len() > REALM_WITHIN_BUDGET {
        tracing::warn!(
            "the realm is longer than {REALM_WITHIN_BUDGET} bytes: responses to forged requests \
             are more than twice their size"
        );
    }
    Ok(())
}

fn listen_addrs(
    config: &Config,
    discovery: Option<NatDiscovery>,
) -> Vec<(SocketAddr, ListenerKind)> {
    let Config { listen, listen_tls, listen_dtls, .. } = config;
    let all = |addrs: &[SocketAddr], kind| addrs.iter().map(|a| (*a, kind)).collect::<Vec<_>>();
    let (plain, tls) = (all(listen, ListenerKind::Plain), all(listen_tls, ListenerKind::Tls));
    let discovery = discovery.map(|NatDiscovery { primary, alternate }| {
        let crossed = [(primary.ip(), alternate.port()), (alternate.ip(), primary.port())];
        let sockets = [alternate].into_iter().chain(crossed.map(SocketAddr::from));
        sockets.map(|addr| (addr, ListenerKind::Udp)).collect()
    });
    [plain, tls, all(listen_dtls, ListenerKind::Dtls), discovery.unwrap_or_default()].concat()
}

/// Finds the two addresses of NAT behavior discovery. Neither may be a wildcard or have port 0: the
/// server must respond from them and name them.
fn discovery(config: &Config) -> Result<Option<NatDiscovery>, StartError> {
    let Some(alternate) = config.discovery_address else { return Ok(None) };
    let is_specific = |addr: &&SocketAddr| !addr.ip().is_unspecified() && addr.port() != 0;
    let fits = |addr: &&SocketAddr| addr.is_ipv4() == alternate.is_ipv4() && is_specific(addr);
    let primary = config.listen.iter().find(fits).filter(|primary| {
        is_specific(&&alternate)
            && primary.ip() != alternate.ip()
            && primary.port() != alternate.port()
    });
    let primary = *primary.ok_or(StartError::DiscoveryAddress { alternate })?;
    Ok(Some(NatDiscovery { primary, alternate }))
}

fn load_certificates(config: &Config) -> Result<Option<Arc<Certificates>>, StartError> {
    let dtls = !config.listen_dtls.is_empty();
    let Some(files) = config.tls.clone() else {
        let needed = dtls || !config.listen_tls.is_empty();
        return if needed { Err(StartError::NoCertificate) } else { Ok(None) };
    };
    Ok(Some(Arc::new(Certificates::load(files, dtls)?)))
}

fn check_ports(ports: &RangeInclusive<u16>) -> Result<(), StartError> {
    let (first, last) = (*ports.start(), *ports.end());
    if first == 0 || first > last {
        return Err(StartError::RelayPorts { first, last });
    }
    Ok(())
}

fn relay_sides(config: &Config) -> Result<Vec<RelaySide>, StartError> {
    let all = || config.listen.iter().chain(&config.listen_tls).chain(&config.listen_dtls);
    let specific = || all().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
    let is_named = config.relay_address_v4.is_some() || config.relay_address_v6.is_some();
    // An operator who names one family has left out the other on purpose.
    let first = |wanted: fn(&IpAddr) -> bool| specific().find(wanted).filter(|_| !is_named);
    let v4 = config.relay_address_v4.map(IpAddr::V4).or_else(|| first(IpAddr::is_ipv4));
    let v6 = config.relay_address_v6.map(IpAddr::V6).or_else(|| first(IpAddr::is_ipv6));
    let v4 = v4.map(|ip| relay_side(ip, config.relay_bind_v4.map(IpAddr::V4)));
    let v6 = v6.map(|ip| relay_side(ip, config.relay_bind_v6.map(IpAddr::V6)));
    let sides = v4.into_iter().chain(v6).collect::<Result<Vec<_>, _>>()?;
    if sides.is_empty() { Err(StartError::NoRelayAddress) } else { Ok(sides) }
}
