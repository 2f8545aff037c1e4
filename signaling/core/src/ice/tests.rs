use std::time::Instant;

use super::choice::MAX_OFFERED;
use super::*;
use crate::Config;

const NOW_UNIX_S: u64 = 1_000_000_000;

fn server(name: &str, weight: u16, region: &str) -> TurnServer {
    TurnServer {
        name: name.to_owned(),
        urls: vec![format!("stun:{name}"), format!("turn:{name}")],
        secret: b"north".to_vec(),
        weight: NonZeroU16::new(weight).unwrap(),
        region: Some(region.to_owned()).filter(|region| !region.is_empty()),
    }
}

fn config(servers: Vec<TurnServer>) -> TurnConfig {
    TurnConfig { servers, lifetime: Duration::from_secs(600) }
}

fn now() -> Now {
    Now { instant: Instant::now(), unix_s: NOW_UNIX_S }
}

/// Returns the names of the TURN servers that a user is offered.
fn offered(turn: &TurnConfig, conditions: &TurnConditions, user: &str) -> Vec<String> {
    let servers = turn.for_user(&TurnUser::new(user.to_owned()), conditions, now());
    let relaying = servers.iter().filter(|server| server.username.is_some());
    relaying.map(|server| server.urls[0].trim_start_matches("turn:").to_owned()).collect()
}

#[test]
fn another_secret_or_server_counts_for_credentials_from_then_on() {
    let turn = |name: &str, secret: &str| {
        Some(config(vec![TurnServer {
            secret: secret.as_bytes().to_vec(),
            ..server(name, 100, "")
        }]))
    };
    let before = Config { turn: turn("h", "north"), ..Config::default() };
    let mut hub = Hub::new(before, [7; 32]);
    let session: SessionId = "s1".parse().unwrap();
    let mut before = hub.ice_servers(&session, now());
    for (next, is_new) in [
        (turn("h", "north"), false),
        (turn("h", "south"), true),
        (turn("h", "south"), false),
        (turn("i", "south"), true),
        (None, true),
        (None, false),
        (turn("h", "north"), true),
    ] {
        assert_eq!(hub.set_turn(next.clone()), is_new, "{next:?}");
        let after = hub.ice_servers(&session, now());
        assert_eq!(after != before, is_new, "{next:?}");
        assert_eq!(after.len(), 2 * usize::from(next.is_some()));
        before = after;
    }
}

#[test]
fn a_session_gets_credentials_of_its_own() {
    let urls = ["stun:h:3478", "turn:h:3478?transport=udp", "turn:h:3478?transport=tcp"];
    let turn =
        config(vec![TurnServer { urls: urls.map(str::to_owned).to_vec(), ..server("h", 100, "") }]);
    let user = TurnUser::new("s1".to_owned());
    let servers = turn.for_user(&user, &TurnConditions::default(), now());
    assert_eq!(servers.len(), 2);
    assert_eq!(servers[0].urls, ["stun:h:3478"]);
    assert_eq!(servers[0].username, None);
    assert_eq!(servers[1].urls.len(), 2);
    assert_eq!(servers[1].username.as_deref(), Some("1000000600:s1"));
    // echo -n 1000000600:s1 | openssl dgst -sha1 -hmac north -binary | base64
    assert_eq!(servers[1].credential.as_deref(), Some("zVqhq5+vy4e+9+4gPZKECvAetCg="));
    assert!(!format!("{turn:?}").contains("north"));
    assert!(turn.has_users());
    let stun = TurnServer { urls: vec!["stun:h:3478".to_owned()], ..server("h", 100, "") };
    assert!(!config(vec![stun]).has_users());
}

#[test]
fn each_server_has_credentials_of_its_own_secret() {
    let south = TurnServer { secret: b"south".to_vec(), ..server("b", 100, "") };
    let turn = config(vec![server("a", 100, ""), south]);
    let user = TurnUser::new("s1".to_owned());
    let servers = turn.for_user(&user, &TurnConditions::default(), now());
    let credentials: Vec<_> = servers.iter().filter_map(|one| one.credential.clone()).collect();
    assert_eq!(credentials.len(), 2);
    assert_ne!(credentials[0], credentials[1]);
}

#[test]
fn a_session_is_offered_two_servers_and_none_that_drains_or_is_down_while_others_work() {
    use TurnCondition::{Down, Draining, Up};
    for (conditions, expected) in [
        ([Up, Up, Up], "abc"),
        ([Down, Up, Up], "bc"),
        ([Up, Draining, Up], "ac"),
        ([Down, Draining, Up], "c"),
        ([Down, Down, Down], "abc"),
        ([Draining, Down, Draining], "abc"),
    ] {
        let turn = config(["a", "b", "c"].map(|name| server(name, 100, "")).to_vec());
        let names = ["a", "b", "c"].map(str::to_owned);
        let known: TurnConditions = names.into_iter().zip(conditions).collect();
        let mut seen = std::collections::BTreeSet::new();
        for user in 0..200 {
            let offered = offered(&turn, &known, &format!("s{user}"));
            assert_eq!(offered.len(), expected.len().min(MAX_OFFERED), "{conditions:?}");
            seen.extend(offered);
        }
        assert_eq!(seen.into_iter().collect::<String>(), expected, "{conditions:?}");
    }
}

#[test]
fn both_peers_of_a_session_get_the_same_servers_and_other_sessions_follow_the_weights() {
    let turn = config(vec![server("a", 300, ""), server("b", 100, ""), server("c", 100, "")]);
    let known = TurnConditions::default();
    let mut first = BTreeMap::<String, u32>::new();
    for user in 0..5000 {
        let user = format!("s{user}");
        let found = offered(&turn, &known, &user);
        assert_eq!(found, offered(&turn, &known, &user), "{user}");
        *first.entry(found[0].clone()).or_default() += 1;
    }
    // Three of five, with five standard deviations to each side.
    for (name, expected) in [("a", 3000), ("b", 1000), ("c", 1000)] {
        assert!(first[name].abs_diff(expected) < 180, "{first:?}");
    }
}

#[test]
fn a_server_that_is_gone_moves_only_the_sessions_that_it_had() {
    let turn = config(["a", "b", "c", "d"].map(|name| server(name, 100, "")).to_vec());
    let gone: TurnConditions = [("b".to_owned(), TurnCondition::Down)].into();
    let mut moved = 0;
    for user in 0..500 {
        let user = format!("s{user}");
        let before = offered(&turn, &TurnConditions::default(), &user);
        let after = offered(&turn, &gone, &user);
        let kept: Vec<_> = before.iter().filter(|name| *name != "b").cloned().collect();
        assert_eq!(after[..kept.len()], kept, "{user}");
        moved += usize::from(before != after);
    }
    assert!((150..350).contains(&moved), "half of the sessions are offered it: {moved}");
}

#[test]
fn the_second_server_is_of_another_region_if_there_is_one() {
    for (regions, are_different) in [
        (["fra", "fra", "nyc", "fra"], true),
        (["fra", "fra", "fra", ""], true),
        (["fra", "fra", "fra", "fra"], false),
        (["", "", "", ""], false),
    ] {
        let names = ["a", "b", "c", "d"];
        let servers = names.into_iter().zip(regions);
        let servers = servers.map(|(name, region)| server(name, 100, region)).collect();
        let turn = config(servers);
        let region = |name: &str| regions[names.iter().position(|one| *one == name).unwrap()];
        for user in 0..200 {
            let found = offered(&turn, &TurnConditions::default(), &format!("s{user}"));
            let differ = region(&found[0]) != region(&found[1]);
            assert_eq!(differ, are_different, "{regions:?} {found:?}");
        }
    }
}

#[test]
fn a_server_that_tells_addresses_alone_is_offered_beside_those_that_relay() {
    let stun = TurnServer { urls: vec!["stun:s".to_owned()], ..server("s", 100, "") };
    let turn = config(vec![server("a", 100, ""), stun, server("b", 100, ""), server("c", 1, "")]);
    let user = TurnUser::new("s1".to_owned());
    let servers = turn.for_user(&user, &TurnConditions::default(), now());
    assert_eq!(servers[0].urls, ["stun:s"]);
    assert_eq!(servers.len(), 1 + 2 * MAX_OFFERED);
}
