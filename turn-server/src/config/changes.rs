//! The difference between the settings in effect and new ones, and which of it applies at once.

use std::fmt;
use std::fmt::Debug;

use crate::config::Config;

/// A setting whose new value differs from the one in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The name of the field of [`Config`], or a key of the embedding program.
    pub setting: &'static str,
    /// The time at which the new value takes effect.
    pub effect: Effect,
    /// The old and the new value; for secrets, how many have changed.
    pub description: String,
}

impl Change {
    /// Describes a setting that needs a restart, if it differs. `shown` formats a value.
    pub fn at_restart<T: PartialEq>(
        setting: &'static str,
        (old, new): (&T, &T),
        shown: impl Fn(&T) -> String,
    ) -> Option<Self> {
        let description = || format!("{} becomes {}", shown(old), shown(new));
        (old != new).then(|| Self {
            setting,
            effect: Effect::AtRestart,
            description: description(),
        })
    }
}

/// The time at which a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The next message on, for existing allocations as well.
    AtOnce,
    /// The next start, because sockets and threads are made then. The old value stays until then.
    AtRestart,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::AtOnce => "",
            Effect::AtRestart => "; takes a restart",
        };
        write!(f, "{}: {}{effect}", self.setting, self.description)
    }
}

/// Lists the settings that differ. A field of [`Config`] missing here is a compile error.
pub(crate) fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let Config {
        listen,
        listen_tls,
        listen_dtls,
        // The embedding program has it from a setting of its own.
        listen_udp: _,
        tls,
        realm,
        users,
        rest_secrets,
        relay_address_v4,
        relay_address_v6,
        relay_bind_v4,
        relay_bind_v6,
        relay_ports,
        allow_peers,
        deny_peers,
        lowest_peer_port,
        relayed_peers_only,
        segmentation,
        fast_path,
        workers,
        quota,
        bandwidth,
        mobility,
        rfc5766_channels,
        strict_expiry,
        tcp_relaying,
        discovery_address,
        alternate_servers,
        oauth_keys,
    } = new;
    let mut found = Differences::default();
    found.at_restart("listen", &old.listen, listen);
    found.at_restart("listen_tls", &old.listen_tls, listen_tls);
    found.at_restart("listen_dtls", &old.listen_dtls, listen_dtls);
    found.at_restart("tls", &old.tls, tls);
    found.at_restart("realm", &old.realm, realm);
    found.secret("users", &old.users, users);
    found.secret("oauth_keys", &old.oauth_keys, oauth_keys);
    found.secret("rest_secrets", &old.rest_secrets, rest_secrets);
    found.at_restart("relay_address_v4", &old.relay_address_v4, relay_address_v4);
    found.at_restart("relay_address_v6", &old.relay_address_v6, relay_address_v6);
    found.at_restart("relay_bind_v4", &old.relay_bind_v4, relay_bind_v4);
    found.at_restart("relay_bind_v6", &old.relay_bind_v6, relay_bind_v6);
    found.at_restart("relay_ports", &old.relay_ports, relay_ports);
    found.at_once("allow_peers", &texts(&old.allow_peers), &texts(allow_peers));
    found.at_once("deny_peers", &texts(&old.deny_peers), &texts(deny_peers));
    found.at_once("lowest_peer_port", &old.lowest_peer_port, lowest_peer_port);
    found.at_once("relayed_peers_only", &old.relayed_peers_only, relayed_peers_only);
    found.at_restart("segmentation", &old.segmentation, segmentation);
    found.at_restart("fast_path", &old.fast_path, fast_path);
    found.at_restart("workers", &old.workers, workers);
    found.at_once("quota", &old.quota, quota);
    found.at_once("bandwidth", &old.bandwidth, bandwidth);
    found.at_once("mobility", &old.mobility, mobility);
    found.at_once("rfc5766_channels", &old.rfc5766_channels, rfc5766_channels);
    found.at_restart("discovery_address", &old.discovery_address, discovery_address);
    found.at_once("alternate_servers", &old.alternate_servers, alternate_servers);
    found.at_once("strict_expiry", &old.strict_expiry, strict_expiry);
    found.at_once("tcp_relaying", &old.tcp_relaying, tcp_relaying);
    found.0
}

/// Returns the settings in effect after a reload: those that need a restart keep their old value.
pub(crate) fn in_effect(old: &Config, new: Config) -> Config {
    Config {
        users: new.users,
        rest_secrets: new.rest_secrets,
        allow_peers: new.allow_peers,
        deny_peers: new.deny_peers,
        lowest_peer_port: new.lowest_peer_port,
        relayed_peers_only: new.relayed_peers_only,
        quota: new.quota,
        bandwidth: new.bandwidth,
        mobility: new.mobility,
        rfc5766_channels: new.rfc5766_channels,
        strict_expiry: new.strict_expiry,
        tcp_relaying: new.tcp_relaying,
        alternate_servers: new.alternate_servers,
        oauth_keys: new.oauth_keys,
        ..old.clone()
    }
}

/// Formats values as an operator writes them.
fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[derive(Default)]
struct Differences(Vec<Change>);

impl Differences {
    fn at_once<T: PartialEq + Debug>(&mut self, setting: &'static str, old: &T, new: &T) {
        self.add(setting, Effect::AtOnce, old, new);
    }

    fn at_restart<T: PartialEq + Debug>(&mut self, setting: &'static str, old: &T, new: &T) {
        self.add(setting, Effect::AtRestart, old, new);
    }

    fn add<T: PartialEq + Debug>(
        &mut self,
        setting: &'static str,
        effect: Effect,
        old: &T,
        new: &T,
    ) {
        if old != new {
            self.0.push(Change {
                setting,
                effect,
                description: format!("{old:?} becomes {new:?}"),
            });
        }
    }

    /// Adds a setting that applies at once, without its values.
    fn secret<T: PartialEq>(&mut self, setting: &'static str, old: &[T], new: &[T]) {
        if old != new {
            let fresh = new.iter().filter(|value| !old.contains(value)).count();
            let gone = old.iter().filter(|value| !new.contains(value)).count();
            let description =
                format!("{fresh} new or changed, {gone} gone or changed, {} now", new.len());
            self.0.push(Change { setting, effect: Effect::AtOnce, description });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            listen: vec!["127.0.0.1:3478".parse().unwrap()],
            users: vec![("anna".to_owned(), "geheim".to_owned())],
            rest_secrets: vec!["geheim-1".to_owned()],
            ..Config::default()
        }
    }

    #[test]
    fn equal_settings_are_no_change() {
        assert_eq!(changes(&config(), &config()), []);
    }

    #[test]
    fn a_change_names_its_effect_and_reveals_no_secret() {
        let mut new = config();
        new.users = vec![("anna".to_owned(), "geheim-2".to_owned())];
        new.rest_secrets.push("geheim-3".to_owned());
        new.deny_peers = vec!["198.51.100.0/24".parse().unwrap()];
        new.workers = 3;
        let found = changes(&config(), &new);
        let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(lines[0], "users: 1 new or changed, 1 gone or changed, 1 now");
        assert_eq!(lines[1], "rest_secrets: 1 new or changed, 0 gone or changed, 2 now");
        assert_eq!(lines[2], "deny_peers: [] becomes [\"198.51.100.0/24\"]");
        assert_eq!(lines[3], "workers: 0 becomes 3; takes a restart");
        assert!(!lines.concat().contains("geheim"));
    }

    #[test]
    fn a_setting_that_needs_a_restart_stays_and_is_reported_again() {
        let mut new = config();
        new.workers = 3;
        new.users.clear();
        let now = in_effect(&config(), new.clone());
        assert_eq!((now.workers, now.users.len()), (0, 0));
        let again: Vec<_> = changes(&now, &new).iter().map(|change| change.setting).collect();
        assert_eq!(again, ["workers"]);
    }

    #[test]
    fn a_setting_takes_effect_at_once_or_after_a_restart() {
        let mut new = config();
        new.allow_peers = vec!["10.0.0.0/8".parse().unwrap()];
        new.lowest_peer_port = 1024;
        new.relayed_peers_only = true;
        new.quota.total = 1;
        new.relay_ports = 5000..=5001;
        let now = in_effect(&config(), new.clone());
        let left = changes(&now, &new);
        for change in changes(&config(), &new) {
            let stayed = left.iter().any(|left| left.setting == change.setting);
            assert_eq!(stayed, change.effect == Effect::AtRestart, "{change}");
        }
    }
}
