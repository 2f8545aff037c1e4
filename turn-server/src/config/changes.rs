//! What differs between the settings in effect and new ones, and which of it can be had at once.

use std::fmt::{self, Debug};

use crate::config::Config;

/// A setting whose new value differs from the one in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The field of [`Config`], or a key of whoever runs the server.
    pub setting: &'static str,
    /// When the new value counts.
    pub effect: Effect,
    /// Old and new; for secrets how many there are.
    pub what: String,
}

impl Change {
    /// Of what takes a restart, if it differs; `shown` is what is told of old and new.
    pub fn at_restart<T: PartialEq>(
        setting: &'static str,
        (old, new): (&T, &T),
        shown: impl Fn(&T) -> String,
    ) -> Option<Self> {
        let what = || format!("{} becomes {}", shown(old), shown(new));
        (old != new).then(|| Self { setting, effect: Effect::AtRestart, what: what() })
    }
}

/// When a change counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// From the next message on, for the allocations that live as well.
    AtOnce,
    /// Sockets and threads are made at the start: the old value stays until then.
    AtRestart,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::AtOnce => "",
            Effect::AtRestart => "; takes a restart",
        };
        write!(f, "{}: {}{effect}", self.setting, self.what)
    }
}

/// Every setting that differs. A field that is not looked at here does not compile.
pub(crate) fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let Config {
        listen,
        listen_tls,
        listen_dtls,
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

/// What is in effect after a reload: of what takes a restart, the old.
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

/// As an operator writes them.
fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[derive(Default)]
struct Differences(Vec<Change>);

impl Differences {
    fn at_once<T: PartialEq + Debug>(&mut self, setting: &'static str, old: &T, new: &T) {
        self.shown(setting, Effect::AtOnce, old, new);
    }

    fn at_restart<T: PartialEq + Debug>(&mut self, setting: &'static str, old: &T, new: &T) {
        self.shown(setting, Effect::AtRestart, old, new);
    }

    fn shown<T: PartialEq + Debug>(
        &mut self,
        setting: &'static str,
        effect: Effect,
        old: &T,
        new: &T,
    ) {
        if old != new {
            self.0.push(Change { setting, effect, what: format!("{old:?} becomes {new:?}") });
        }
    }

    /// At once, and without a word about the values.
    fn secret<T: PartialEq>(&mut self, setting: &'static str, old: &[T], new: &[T]) {
        if old != new {
            let fresh = new.iter().filter(|value| !old.contains(value)).count();
            let gone = old.iter().filter(|value| !new.contains(value)).count();
            let what = format!("{fresh} new or changed, {gone} gone or changed, {} now", new.len());
            self.0.push(Change { setting, effect: Effect::AtOnce, what });
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
    fn what_is_the_same_is_no_change() {
        assert_eq!(changes(&config(), &config()), []);
    }

    #[test]
    fn a_change_says_when_it_counts_and_tells_no_secret() {
        let mut new = config();
        new.users = vec![("anna".to_owned(), "geheim-2".to_owned())];
        new.rest_secrets.push("geheim-3".to_owned());
        new.deny_peers = vec!["198.51.100.0/24".parse().unwrap()];
        new.workers = 3;
        let found = changes(&config(), &new);
        let said: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 4, "{said:?}");
        assert_eq!(said[0], "users: 1 new or changed, 1 gone or changed, 1 now");
        assert_eq!(said[1], "rest_secrets: 1 new or changed, 0 gone or changed, 2 now");
        assert_eq!(said[2], "deny_peers: [] becomes [\"198.51.100.0/24\"]");
        assert_eq!(said[3], "workers: 0 becomes 3; takes a restart");
        assert!(!said.concat().contains("geheim"));
    }

    #[test]
    fn what_takes_a_restart_stays_and_is_reported_again() {
        let mut new = config();
        new.workers = 3;
        new.users.clear();
        let now = in_effect(&config(), new.clone());
        assert_eq!((now.workers, now.users.len()), (0, 0));
        let again: Vec<_> = changes(&now, &new).iter().map(|change| change.setting).collect();
        assert_eq!(again, ["workers"]);
    }

    #[test]
    fn a_setting_counts_at_once_or_after_a_restart_but_not_neither() {
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
