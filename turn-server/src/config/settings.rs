//! The settings of a running server, and what of them workers can take over.

use std::net::{IpAddr, SocketAddr};

use porthole_turn_proto::server::{PolicyConfig, ReloadableConfig};

use crate::config::{Config, SharedQuota};
use crate::net::addresses::{Listen, RelaySide, own_addresses};

/// The settings in effect, and what new ones are made from while the server runs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    listens: Vec<Listen>,
    sides: Vec<RelaySide>,
    /// The addresses of this host as they were last.
    own: Vec<IpAddr>,
    /// Somebody was not told of the last change.
    stale: bool,
    quota: SharedQuota,
}

impl Settings {
    pub(crate) fn new(
        config: Config,
        listens: Vec<Listen>,
        sides: Vec<RelaySide>,
        own: Vec<IpAddr>,
        quota: SharedQuota,
    ) -> Self {
        Self { config, listens, sides, own, stale: false, quota }
    }

    /// What the workers are to be told; the quota counts from now on.
    pub(crate) fn take_over(&mut self, config: Config) -> ReloadableConfig {
        self.config = config;
        self.quota.lock().set_limits(self.config.quota);
        match own_addresses() {
            Ok(own) => self.own = own,
            Err(error) => tracing::warn!(%error, "the addresses of this host cannot be read again"),
        }
        self.reloadable()
    }

    /// What the workers are to be told if this host has other addresses than it had, or if one of
    /// them was not told last time: a new address is listened on through a wildcard, and must be
    /// nobody's peer.
    pub(crate) fn follow_addresses(&mut self, own: Vec<IpAddr>) -> Option<ReloadableConfig> {
        if own == self.own && !self.stale {
            return None;
        }
        (self.own, self.stale) = (own, false);
        Some(self.reloadable())
    }

    /// The next [`Self::follow_addresses`] tells them all.
    pub(crate) fn tell_again(&mut self) {
        self.stale = true;
    }

    pub(crate) fn reloadable(&self) -> ReloadableConfig {
        let Self { config, listens, sides, own, .. } = self;
        reloadable(config, policy(config, listens, sides, own.clone()))
    }
}

fn reloadable(config: &Config, policy: PolicyConfig) -> ReloadableConfig {
    ReloadableConfig {
        users: config.users.clone(),
        rest_secrets: config.rest_secrets.clone(),
        policy,
        rfc5766_channels: config.rfc5766_channels,
        strict_expiry: config.strict_expiry,
        tcp_relaying: config.tcp_relaying,
        alternate_servers: config.alternate_servers.clone(),
        oauth_keys: config.oauth_keys.clone(),
        mobility: config.mobility,
        bandwidth: config.bandwidth,
    }
}

fn policy(
    config: &Config,
    listens: &[Listen],
    sides: &[RelaySide],
    mut own: Vec<IpAddr>,
) -> PolicyConfig {
    own.extend(sides.iter().flat_map(|side| [side.advertised, side.bind]));
    own.extend(listens.iter().map(|listen| listen.addr.ip()));
    own.retain(|ip| !ip.is_unspecified());
    own.sort_unstable();
    own.dedup();
    let everywhere = |listen: &Listen| {
        let (ip, port) = (listen.addr.ip(), listen.addr.port());
        let ips = if ip.is_unspecified() { own.clone() } else { vec![ip] };
        ips.into_iter().map(move |ip| SocketAddr::new(ip, port))
    };
    PolicyConfig {
        allow: config.allow_peers.clone(),
        deny: config.deny_peers.clone(),
        lowest_port: config.lowest_peer_port,
        relayed_only: config.relayed_peers_only,
        listeners: listens.iter().flat_map(everywhere).collect(),
        own_addresses: own,
    }
}

#[cfg(test)]
mod tests {
    use porthole_turn_proto::server::{BandwidthLimits, OauthKey};

    use super::*;

    #[test]
    fn what_counts_at_once_reaches_the_workers() {
        let key = OauthKey { kid: "k".to_owned(), key: vec![7; 16] };
        let config = Config {
            users: vec![("anna".to_owned(), "secret".to_owned())],
            rest_secrets: vec!["shared".to_owned()],
            oauth_keys: vec![key],
            alternate_servers: vec!["203.0.113.9:3478".parse().unwrap()],
            allow_peers: vec!["10.0.0.0/8".parse().unwrap()],
            deny_peers: vec!["9.9.9.9".parse().unwrap()],
            lowest_peer_port: 1024,
            relayed_peers_only: true,
            tcp_relaying: false,
            strict_expiry: true,
            rfc5766_channels: true,
            mobility: true,
            bandwidth: BandwidthLimits {
                per_user: Some(7.try_into().unwrap()),
                per_allocation: None,
            },
            ..Config::default()
        };
        let given = reloadable(&config, policy(&config, &[], &[], Vec::new()));
        assert_eq!(given.users, config.users);
        assert_eq!(given.rest_secrets, config.rest_secrets);
        assert_eq!(given.oauth_keys.first().map(|key| &*key.kid), Some("k"));
        assert_eq!(given.alternate_servers, config.alternate_servers);
        assert_eq!(
            (given.policy.allow, given.policy.deny),
            (config.allow_peers, config.deny_peers)
        );
        assert_eq!((given.policy.lowest_port, given.policy.relayed_only), (1024, true));
        let switches = (given.tcp_relaying, given.strict_expiry, given.rfc5766_channels);
        assert_eq!(switches, (false, true, true));
        assert_eq!((given.mobility, given.bandwidth), (true, config.bandwidth));
    }
}
