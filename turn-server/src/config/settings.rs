//! The settings of a running server, and the part of them that workers can apply.

use std::net::{IpAddr, SocketAddr};

use porthole_turn_proto::server::{PolicyConfig, ReloadableConfig};

use crate::config::Config;
use crate::net::addresses::{Listen, RelaySide, own_addresses};
use crate::quota::SharedQuota;

/// The settings in effect, with the addresses that new settings for the workers depend on.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    listens: Vec<Listen>,
    sides: Vec<RelaySide>,
    /// The addresses of this host when they were last read.
    own: Vec<IpAddr>,
    /// True if a worker may not have the last change.
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

    /// Replaces the settings. Returns those for the workers; new quotas apply at once.
    pub(crate) fn replace(&mut self, config: Config) -> ReloadableConfig {
        self.config = config;
        self.quota.lock().set_limits(self.config.quota);
        match own_addresses() {
            Ok(own) => self.own = own,
            Err(error) => tracing::warn!(%error, "the addresses of this host cannot be read again"),
        }
        self.reloadable()
    }

    /// Returns new settings for the workers if this host's addresses have changed, or if a worker
    /// may not have the last change. A wildcard socket listens on a new address at once, so no
    /// client may use it as a peer.
    pub(crate) fn follow_addresses(&mut self, own: Vec<IpAddr>) -> Option<ReloadableConfig> {
        if own == self.own && !self.stale {
            return None;
        }
        (self.own, self.stale) = (own, false);
        Some(self.reloadable())
    }

    /// Makes the next [`Self::follow_addresses`] return settings for all workers.
    pub(crate) fn mark_stale(&mut self) {
        self.stale = true;
    }

    /// Returns the settings that workers can change while they run.
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
    let addresses = |listen: &Listen| {
        let (ip, port) = (listen.addr.ip(), listen.addr.port());
        let ips = if ip.is_unspecified() { own.clone() } else { vec![ip] };
        ips.into_iter().map(move |ip| SocketAddr::new(ip, port))
    };
    PolicyConfig {
        allow: config.allow_peers.clone(),
        deny: config.deny_peers.clone(),
        lowest_port: config.lowest_peer_port,
        relayed_only: config.relayed_peers_only,
        listeners: listens.iter().flat_map(addresses).collect(),
        own_addresses: own,
    }
}

#[cfg(test)]
mod tests {
    use porthole_turn_proto::server::{BandwidthLimits, OauthKey};

    use super::*;

    #[test]
    fn settings_that_apply_at_once_reach_the_workers() {
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
            rfc5766_channels: false,
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
        assert_eq!(switches, (false, true, false));
        assert_eq!((given.mobility, given.bandwidth), (true, config.bandwidth));
    }
}
