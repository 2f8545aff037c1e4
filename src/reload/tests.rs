use std::collections::BTreeSet;
use std::time::Duration;

use porthole_turn_server::{Effect, Server};

use super::*;
use crate::config::known_keys;
use crate::turn::{changes_at_restart, server_config};

/// Another value of each key than the default, as TOML. Keys that are read as a pair have both.
const OTHERS: &[(&str, &str)] = &[
    ("data", "data = '/d'"),
    ("public_address", "public_address = '203.0.113.7'"),
    ("log_format", "log_format = 'json'"),
    ("turn.listen", "turn.listen = ['127.0.0.1:1']"),
    ("turn.listen_tls", "turn.listen_tls = ['127.0.0.1:1']"),
    ("turn.listen_dtls", "turn.listen_dtls = ['127.0.0.1:1']"),
    ("turn.discovery_address", "turn.discovery_address = '127.0.0.2:1'"),
    ("turn.alternate_servers", "turn.alternate_servers = ['203.0.113.8:3478']"),
    ("turn.tls_certificate", "turn.tls_certificate = '/c'\nturn.tls_key = '/k'"),
    ("turn.tls_key", "turn.tls_certificate = '/c'\nturn.tls_key = '/k'"),
    ("turn.realm", "turn.realm = 'home'"),
    ("turn.users", "turn.users.berta = 'geheim'"),
    ("turn.secret", "turn.secret = 'geheim'"),
    ("turn.old_secrets", "turn.old_secrets = ['geheim']"),
    ("turn.oauth_keys", "turn.oauth_keys.north = 'MDEyMzQ1Njc4OTAxMjM0NQ=='"),
    ("turn.external_address", "turn.external_address = '203.0.113.7'"),
    ("turn.relay_address", "turn.relay_address = ['203.0.113.7']"),
    ("turn.relay_bind", "turn.relay_bind = ['127.0.0.1']"),
    ("turn.relay_ports", "turn.relay_ports = '5000-6000'"),
    ("turn.allow_peers", "turn.allow_peers = ['10.0.0.0/8']"),
    ("turn.deny_peers", "turn.deny_peers = ['198.51.100.0/24']"),
    ("turn.lowest_peer_port", "turn.lowest_peer_port = 1024"),
    ("turn.relayed_peers_only", "turn.relayed_peers_only = true"),
    ("turn.workers", "turn.workers = 2"),
    ("turn.max_allocations_per_user", "turn.max_allocations_per_user = 2"),
    ("turn.max_allocations_per_source", "turn.max_allocations_per_source = 2"),
    ("turn.max_allocations", "turn.max_allocations = 2"),
    ("turn.max_bytes_per_s_per_allocation", "turn.max_bytes_per_s_per_allocation = 2"),
    ("turn.max_bytes_per_s_per_user", "turn.max_bytes_per_s_per_user = 2"),
    ("turn.tcp_relaying", "turn.tcp_relaying = false"),
    ("turn.mobility", "turn.mobility = true"),
    ("turn.strict_expiry", "turn.strict_expiry = true"),
    ("turn.rfc5766_channels", "turn.rfc5766_channels = false"),
    ("turn.segmentation", "turn.segmentation = false"),
    ("turn.fast_path", "turn.fast_path = ['auto']"),
    ("turn.drain_s", "turn.drain_s = 7"),
    ("turn.admin", "turn.admin = 'unix:/a'"),
    ("turn.admin_token", "turn.admin_token = '0123456789abcdef'"),
    ("signaling.turn_urls", "signaling.turn_urls = ['stun:203.0.113.8:3478']"),
    ("signaling.turn_secret", "signaling.turn_secret = 'geheim'"),
    ("signaling.turn_server.NAME.urls", "signaling.turn_server.a.urls = ['turn:203.0.113.8']"),
    (
        "signaling.turn_server.NAME.secret",
        "signaling.turn_server.a = { urls = ['turn:203.0.113.8'], secret = 'geheim' }",
    ),
    (
        "signaling.turn_server.NAME.weight",
        "signaling.turn_server.a = { urls = ['turn:203.0.113.8'], weight = 7 }",
    ),
    (
        "signaling.turn_server.NAME.region",
        "signaling.turn_server.a = { urls = ['turn:203.0.113.8'], region = 'b' }",
    ),
    ("gateway.max_uplink_kbit_per_s", "gateway.max_uplink_kbit_per_s = 700"),
];
/// The tables whose keys all count from the next start on.
const AT_RESTART: [(&str, &str); 4] = [
    ("admin.", "admin.listen = 'unix:/a'"),
    ("public.", "public.listen = ['127.0.0.1:1']"),
    ("signaling.", "signaling.http = '127.0.0.1:1'"),
    ("gateway.", "gateway.name = 'north'"),
];

/// Returns true if a change of a key counts at once; the TURN server itself decides on its own, and
/// the keys of the signaling server and the gateway are those of their own roles.
fn counts_at_once(server: &Server, base: &Config, key: &str) -> bool {
    // Cameras are given to the gateway as a whole; tests of the program change each of their keys.
    if key.starts_with("camera.") {
        return true;
    }
    let table = AT_RESTART.iter().find(|(table, _)| key.starts_with(table));
    let other = OTHERS.iter().find(|(other, _)| *other == key).or(table);
    let (_, toml) = other.unwrap_or_else(|| panic!("{key} has no other value in this test"));
    let mut new: Config = toml::from_str(toml).unwrap();
    if key.starts_with("signaling.") {
        assert_ne!(new.signaling, base.signaling, "{key}");
        return at_restart(base, &new, Role::Signaling).is_empty();
    }
    if key.starts_with("gateway.") {
        assert_ne!(new.gateway, base.gateway, "{key}");
        return at_restart(base, &new, Role::Gateway).is_empty();
    }
    if !toml.starts_with("turn.listen =") {
        new.turn.listen.clone_from(&base.turn.listen);
    }
    if key != "turn.workers" {
        new.turn.workers = base.turn.workers;
    }
    let settings = |config| server_config(config).unwrap();
    // What the server refuses alone, such as files that are not there, does not count at once.
    let Ok(mut changes) = server.reload(settings(&new)) else { return false };
    server.reload(settings(base)).unwrap();
    changes.extend(changes_at_restart(base, &new));
    assert!(!changes.is_empty(), "{key} changes nothing, and nobody is told");
    changes.iter().all(|change| change.effect == Effect::AtOnce)
}

#[test]
fn the_reference_says_which_keys_count_at_once() {
    let mut base = Config::default();
    base.turn.listen = vec!["127.0.0.1:0".parse().unwrap()];
    base.turn.workers = crate::config::Bounded::new(1);
    let server = Server::start(server_config(&base).unwrap()).unwrap();
    let found: BTreeSet<String> =
        known_keys().into_iter().filter(|key| counts_at_once(&server, &base, key)).collect();
    let reference = include_str!("../../docs/ref/config.md");
    let (_, section) = reference.split_once("## When a change counts").unwrap();
    let row = section.lines().find(|line| line.starts_with("| at once |")).unwrap();
    let documented: BTreeSet<String> =
        row.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(documented, found, "docs/ref/config.md, \"When a change counts\"");
    server.shutdown(Duration::ZERO);
}

#[test]
fn a_role_tells_of_its_own_settings_that_take_a_restart() {
    let settings = |text: &str, role| -> Vec<String> {
        let new = toml::from_str(text).unwrap();
        let changes = at_restart(&Config::default(), &new, role);
        assert!(changes.iter().all(|change| change.needs_restart));
        changes.into_iter().map(|change| change.setting).collect()
    };
    for (text, of_gateway, of_signaling) in [
        ("", &[][..], &[][..]),
        ("data = '/d'", &["data"], &["data"]),
        ("[admin]\nlisten = 'unix:/a'", &["admin"], &["admin"]),
        ("[admin]\nlisten = 'unix:/a'\ntoken = '0123456789abcdef'", &["admin"], &["admin"]),
        ("[admin]\ntoken = '0123456789abcdef'", &["admin"], &["admin"]),
        ("[turn]\nadmin = 'unix:/a'\nadmin_token = '0123456789abcdef'", &[], &[]),
        ("[turn]\nrealm = 'a'", &[], &[]),
        ("[gateway]\nname = 'a'", &["gateway"], &[]),
        ("[gateway]\nmax_uplink_kbit_per_s = 700", &[], &[]),
        ("[signaling]\nhttp = '127.0.0.1:1'", &[], &["signaling"]),
        ("[signaling]\nturn_urls = ['stun:a:1']\nturn_secret = 'b'", &[], &[]),
        ("[signaling.turn_server.a]\nurls = ['turn:a:1']", &[], &[]),
        ("public_address = '1.2.3.4'", &[], &["public_address"]),
        ("[public]\nlisten = ['0.0.0.0:443']", &[], &["public"]),
    ] {
        assert_eq!(settings(text, Role::Gateway), of_gateway, "{text}");
        assert_eq!(settings(text, Role::Signaling), of_signaling, "{text}");
    }
}

#[test]
fn a_copy_that_systemd_has_made_at_the_start_is_not_read_again() {
    for (file, copies, is_read) in [
        (Some("/run/credentials/porthole.service/porthole.toml"), None, true),
        (Some("/etc/porthole/porthole.toml"), Some("/run/credentials/porthole.service"), true),
        (None, Some("/run/credentials/porthole.service"), true),
        (
            Some("/run/credentials/porthole.service/porthole.toml"),
            Some("/run/credentials/porthole.service"),
            false,
        ),
    ] {
        let result = refuse_copy(file.map(Path::new), copies.map(OsStr::new));
        assert_eq!(result.is_ok(), is_read, "{file:?} {copies:?}");
    }
}
