//! The TURN server's configuration, made from the program's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use porthole_turn_server::{
    BandwidthLimits, Change, Cidr, Effect, OauthKey, QuotaLimits, TlsFiles,
};

use crate::config::{Bounded, Config, Ports, Secret};
use crate::reload;

/// Returns the configuration of the TURN server.
///
/// # Errors
///
/// Fails if settings contradict each other, or if an OAuth key is not base64.
#[allow(clippy::needless_update, reason = "the server may have settings without a key")]
pub fn server_config(config: &Config) -> anyhow::Result<porthole_turn_server::Config> {
    let turn = &config.turn;
    let defaults = porthole_turn_server::Config::default();
    let per_user = turn.max_allocations_per_user;
    let AddressPair { v4, v6 } = relay_addresses(config)?;
    let bind = AddressPair::new("turn.relay_bind", &turn.relay_bind)?;
    let Ports { first, last } = turn.relay_ports;
    let account =
        |(name, password): (&String, &Secret)| (name.clone(), password.reveal().to_owned());
    let secrets = turn.secret.iter().chain(&turn.old_secrets);
    let blocks = |networks: &[crate::config::Network]| -> Vec<Cidr> {
        networks.iter().map(|network| network.0).collect()
    };
    Ok(porthole_turn_server::Config {
        listen: turn.listen.clone(),
        listen_tls: turn.listen_tls.clone(),
        listen_dtls: turn.listen_dtls.clone(),
        discovery_address: turn.discovery_address,
        alternate_servers: turn.alternate_servers.clone(),
        tls: tls_files(config)?,
        realm: turn.realm.clone(),
        users: turn.users.iter().map(account).collect(),
        rest_secrets: secrets.map(|secret| secret.reveal().to_owned()).collect(),
        oauth_keys: turn.oauth_keys.iter().map(oauth_key).collect::<Result<_, _>>()?,
        relay_address_v4: v4,
        relay_address_v6: v6,
        relay_bind_v4: bind.v4,
        relay_bind_v6: bind.v6,
        relay_ports: first..=last,
        allow_peers: blocks(&turn.allow_peers),
        deny_peers: blocks(&turn.deny_peers),
        lowest_peer_port: u16::try_from(turn.lowest_peer_port.get()).unwrap_or(u16::MAX),
        relayed_peers_only: turn.relayed_peers_only,
        bandwidth: BandwidthLimits {
            per_allocation: NonZeroU64::new(turn.max_bytes_per_s_per_allocation.into()),
            per_user: NonZeroU64::new(turn.max_bytes_per_s_per_user.unwrap_or_default().into()),
        },
        tcp_relaying: turn.tcp_relaying.unwrap_or(defaults.tcp_relaying),
        mobility: turn.mobility,
        strict_expiry: turn.strict_expiry,
        rfc5766_channels: turn.rfc5766_channels,
        segmentation: turn.segmentation,
        fast_path: turn.fast_path.clone(),
        workers: u8::try_from(turn.workers.get()).unwrap_or(u8::MAX),
        quota: QuotaLimits {
            per_user: per_user.map_or(defaults.quota.per_user, Bounded::as_usize),
            per_source: turn.max_allocations_per_source.as_usize(),
            total: turn.max_allocations.as_usize(),
        },
        ..defaults
    })
}

fn oauth_key((kid, key): (&String, &Secret)) -> anyhow::Result<OauthKey> {
    let key = STANDARD.decode(key.reveal());
    let key = key.with_context(|| format!("turn.oauth_keys.{kid} is not base64"))?;
    Ok(OauthKey { kid: kid.clone(), key })
}

fn tls_files(config: &Config) -> anyhow::Result<Option<TlsFiles>> {
    match (config.turn.tls_certificate.clone(), config.turn.tls_key.clone()) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => bail!("turn.tls_certificate is set, but turn.tls_key is missing"),
        (None, Some(_)) => bail!("turn.tls_key is set, but turn.tls_certificate is missing"),
    }
}

/// Allocations of one session of `up`: a browser on two networks, over UDP at two ports, TCP and
/// TLS, twice during a restart of ICE, and the gateway on one network, in the same way.
const SESSION_ALLOCATIONS: u32 = 24;
/// Bytes a second of one session of `up`: a camera of 32 Mbit/s that is relayed on both sides, once
/// in the gateway's allocation and once in the viewer's.
const SESSION_BYTES_PER_S: u32 = 8 * 1024 * 1024;

/// Returns the configuration with the limits of `up` where it has none of its own: its relay is for
/// the sessions of one server. Users with a password may be many clients, and have no new limits.
pub fn for_sessions(mut config: Config) -> Config {
    let turn = &mut config.turn;
    turn.tcp_relaying.get_or_insert(false);
    if turn.users.is_empty() {
        turn.max_allocations_per_user.get_or_insert(Bounded::new(SESSION_ALLOCATIONS));
        turn.max_bytes_per_s_per_user.get_or_insert(SESSION_BYTES_PER_S);
    }
    config
}

/// Returns the changes of settings outside the TURN server, which need a restart.
pub fn changes_at_restart(running: &Config, new: &Config) -> Vec<Change> {
    let (turn, new_turn) = (&running.turn, &new.turn);
    let shown = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let secret =
        |token: &Option<Secret>| (if token.is_some() { "(hidden)" } else { "none" }).to_owned();
    let addresses = (&running.public_address, &new.public_address);
    // These contain secrets, so that old and new values cannot be shown.
    let whole = |setting, differs: bool| {
        let what = "changed since the start".to_owned();
        differs.then_some(Change { setting, effect: Effect::AtRestart, description: what })
    };
    [
        Change::at_restart("data", (&running.data, &new.data), |data| format!("{data:?}")),
        Change::at_restart("public_address", addresses, |ip| shown(ip.map(|ip| ip.to_string()))),
        whole("log_format", running.log_format != new.log_format),
        whole("admin", running.admin != new.admin),
        whole("public", running.public != new.public),
        whole("signaling", reload::changes_signaling_of_up(running, new)),
        whole("gateway", reload::changes_gateway(running, new)),
        Change::at_restart("admin", (&turn.admin, &new_turn.admin), |admin| {
            shown(admin.as_ref().map(ToString::to_string))
        }),
        Change::at_restart("admin_token", (&turn.admin_token, &new_turn.admin_token), secret),
        Change::at_restart("drain_s", (&turn.drain_s, &new_turn.drain_s), |drain_s| {
            drain_s.get().to_string()
        }),
        Change::at_restart(
            "external_address",
            (&turn.external_address, &new_turn.external_address),
            |how| shown(how.as_ref().map(ToString::to_string)),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// At most one address of each family.
#[derive(Debug, Default, PartialEq)]
struct AddressPair {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl AddressPair {
    /// Sorts addresses by family; `key` is for the error if there are two of one family.
    fn new(key: &str, addresses: &[IpAddr]) -> anyhow::Result<Self> {
        let mut pair = Self::default();
        for address in addresses {
            let is_second = match *address {
                IpAddr::V4(address) => pair.v4.replace(address).is_some(),
                IpAddr::V6(address) => pair.v6.replace(address).is_some(),
            };
            ensure!(!is_second, "{key} has more than one address of a family");
        }
        Ok(pair)
    }
}

/// Returns the configured relay addresses, or the public ones. Without either, the server uses the
/// address that it listens on.
fn relay_addresses(config: &Config) -> anyhow::Result<AddressPair> {
    let named = &config.turn.relay_address;
    let public: Vec<_> =
        config.public_address.into_iter().chain(config.other_public_address).collect();
    AddressPair::new("turn.relay_address", if named.is_empty() { &public } else { named })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_addresses_are_the_configured_or_the_public_ones() {
        let mut config = Config::default();
        assert_eq!(relay_addresses(&config).unwrap(), AddressPair::default());
        config.public_address = Some("203.0.113.7".parse().unwrap());
        let v4 = Some(Ipv4Addr::new(203, 0, 113, 7));
        assert_eq!(relay_addresses(&config).unwrap(), AddressPair { v4, v6: None });
        config.other_public_address = Some("::1".parse().unwrap());
        assert_eq!(
            relay_addresses(&config).unwrap(),
            AddressPair { v4, v6: Some(Ipv6Addr::LOCALHOST) }
        );
        config.turn.relay_address = vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let both =
            AddressPair { v4: Some(Ipv4Addr::new(10, 0, 0, 1)), v6: Some(Ipv6Addr::LOCALHOST) };
        assert_eq!(relay_addresses(&config).unwrap(), both);
        config.turn.relay_address.push("10.0.0.2".parse().unwrap());
        assert!(relay_addresses(&config).is_err());
    }

    #[test]
    fn the_old_secrets_come_after_the_current_one() {
        let mut config = Config::default();
        config.turn.old_secrets = vec!["old".to_owned().into()];
        assert_eq!(server_config(&config).unwrap().rest_secrets, ["old"]);
        config.turn.secret = Some("new".to_owned().into());
        assert_eq!(server_config(&config).unwrap().rest_secrets, ["new", "old"]);
    }

    #[test]
    fn a_session_of_up_has_no_tcp_small_quotas_and_a_rate_unless_the_owner_says_otherwise() {
        let limits = |config: Config| {
            let server = server_config(&for_sessions(config)).unwrap();
            let rate = server.bandwidth.per_user.map(NonZeroU64::get);
            (server.tcp_relaying, server.quota.per_user, rate)
        };
        let config = |text: &str| toml::from_str::<Config>(text).unwrap();
        for (text, expected) in [
            ("", (false, 24, Some(8_388_608))),
            ("turn.tcp_relaying = true", (true, 24, Some(8_388_608))),
            ("turn.max_allocations_per_user = 128", (false, 128, Some(8_388_608))),
            ("turn.max_bytes_per_s_per_user = 0", (false, 24, None)),
            ("turn.users.anna = 'secret'", (false, 128, None)),
        ] {
            assert_eq!(limits(config(text)), expected, "{text}");
        }
        let alone = server_config(&Config::default()).unwrap();
        assert!(alone.tcp_relaying && alone.quota.per_user == 128, "of `porthole turn`");
    }

    #[test]
    fn oauth_keys_are_read_from_base64() {
        for (written, wanted) in
            [("MDEyMzQ1Njc4OTAxMjM0NQ==", Some(&b"0123456789012345"[..])), ("not base64!", None)]
        {
            let mut config = Config::default();
            config.turn.oauth_keys.insert("north".into(), written.to_owned().into());
            let keys = server_config(&config).map(|settings| settings.oauth_keys);
            let keys =
                keys.ok().map(|keys| keys.into_iter().map(|key| key.key).collect::<Vec<_>>());
            assert_eq!(keys, wanted.map(|key| vec![key.to_vec()]), "{written}");
        }
    }

    #[test]
    fn switches_and_limits_reach_the_server() {
        let mut config = Config::default();
        config.turn.tcp_relaying = Some(false);
        config.turn.mobility ^= true;
        config.turn.relayed_peers_only ^= true;
        config.turn.strict_expiry ^= true;
        config.turn.rfc5766_channels ^= true;
        config.turn.segmentation ^= true;
        config.turn.discovery_address = Some("127.0.0.2:3479".parse().unwrap());
        config.turn.alternate_servers = vec!["127.0.0.3:3478".parse().unwrap()];
        config.turn.fast_path = vec!["auto".to_owned()];
        config.turn.max_bytes_per_s_per_allocation = 7;
        config.turn.max_bytes_per_s_per_user = Some(9);
        let (given, before) =
            (server_config(&config).unwrap(), server_config(&Config::default()).unwrap());
        assert_ne!(given.tcp_relaying, before.tcp_relaying);
        assert_ne!(given.mobility, before.mobility);
        assert_ne!(given.relayed_peers_only, before.relayed_peers_only);
        assert_ne!(given.strict_expiry, before.strict_expiry);
        assert_ne!(given.rfc5766_channels, before.rfc5766_channels);
        assert_ne!(given.segmentation, before.segmentation);
        assert_ne!(given.discovery_address, before.discovery_address);
        assert_ne!(given.alternate_servers, before.alternate_servers);
        assert_eq!(given.fast_path, ["auto"]);
        assert_eq!(given.bandwidth.per_allocation.map(NonZeroU64::get), Some(7));
        assert_eq!(given.bandwidth.per_user.map(NonZeroU64::get), Some(9));
        assert_eq!(before.bandwidth, BandwidthLimits::default());
    }

    #[test]
    fn changes_that_need_a_restart_are_listed_without_secrets() {
        let (running, mut new) = (Config::default(), Config::default());
        assert_eq!(changes_at_restart(&running, &new), []);
        new.public_address = Some("203.0.113.7".parse().unwrap());
        new.gateway.claim = Some("geheim-1".to_owned().into());
        new.turn.admin = Some("unix:/run/turn.sock".parse().unwrap());
        new.turn.admin_token = Some("geheim-2".to_owned().into());
        new.turn.drain_s = serde_json::from_value(9.into()).unwrap();
        new.turn.external_address = Some("interface:eth0".parse().unwrap());
        let found = changes_at_restart(&running, &new);
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "public_address: none becomes 203.0.113.7; takes a restart",
                "gateway: changed since the start; takes a restart",
                "admin: none becomes unix:/run/turn.sock; takes a restart",
                "admin_token: none becomes (hidden); takes a restart",
                "drain_s: 3 becomes 9; takes a restart",
                "external_address: none becomes interface:eth0; takes a restart",
            ],
        );
    }

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_server() {
        let ours = server_config(&Config::default()).unwrap();
        let theirs = porthole_turn_server::Config::default();
        assert_eq!(ours.realm, theirs.realm);
        assert_eq!(ours.relay_ports, theirs.relay_ports);
        assert_eq!(ours.quota, theirs.quota);
        assert_eq!(ours.rfc5766_channels, theirs.rfc5766_channels);
        assert_eq!(ours.segmentation, theirs.segmentation);
        assert_eq!(ours.fast_path, theirs.fast_path);
        assert_eq!(ours.bandwidth, theirs.bandwidth);
        assert_eq!(ours.tcp_relaying, theirs.tcp_relaying);
        assert_eq!(ours.mobility, theirs.mobility);
        assert_eq!(ours.strict_expiry, theirs.strict_expiry);
        assert_eq!(ours.discovery_address, theirs.discovery_address);
        assert_eq!(ours.workers, theirs.workers);
        assert_eq!(ours.lowest_peer_port, theirs.lowest_peer_port);
        assert_eq!(ours.relayed_peers_only, theirs.relayed_peers_only);
    }
}
