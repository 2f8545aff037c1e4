//! Limits of the bandwidth.

use std::num::NonZeroU64;

use super::world::{PEER_V4, World, addr, credentials};
use super::*;

const LEN: usize = 1000;

/// Returns how many packets are relayed for each client, both ways, if each sends and receives one
/// every millisecond for five seconds.
fn relayed(users: &[&str], per_allocation: Option<u64>, per_user: Option<u64>) -> Vec<u64> {
    let mut world = World::new();
    let limit = |rate: Option<u64>| rate.and_then(NonZeroU64::new);
    let bandwidth =
        BandwidthLimits { per_allocation: limit(per_allocation), per_user: limit(per_user) };
    let allow = vec!["192.0.2.0/24".parse().unwrap()];
    let policy = PolicyConfig { allow, ..PolicyConfig::default() };
    world.server.set_reloadable(world.now, ReloadableConfig { bandwidth, policy, ..credentials() });
    let peer = addr(PEER_V4);
    for (n, user) in users.iter().enumerate() {
        let client = world.connect_as(user, Transport::Udp, &format!("198.51.100.{n}:4000"));
        world.allocate(client);
        world.bind(client, peer);
    }
    let mut relayed = vec![0; users.len()];
    let mut tried = 0;
    for _ in 0..5000 {
        world.now.instant += Duration::from_millis(1);
        for (client, relayed) in relayed.iter_mut().enumerate() {
            *relayed += u64::from(world.send(client, peer, &[0; LEN]));
            *relayed += u64::from(world.peer_sends(client, peer, &[0; LEN]).is_some());
            tried += 2;
        }
    }
    let drops = |reason| world.server.counters().drops().find(|(r, _)| *r == reason).unwrap().1;
    let total: u64 = relayed.iter().sum();
    assert_eq!(drops(DropReason::Bandwidth), tried - total, "{users:?}");
    relayed
}

#[test]
fn bandwidth_is_bounded_for_an_allocation_and_for_a_user() {
    // Five seconds of the rate and a burst of one.
    let about = |got: u64, rate: u64| got.abs_diff(6 * rate / 1000) <= 3;
    let all = 2 * 5000;
    for (what, users, per_allocation, per_user, want) in [
        ("no limit", &["anna", "anna"][..], None, None, &[None, None][..]),
        ("each", &["anna", "anna"], Some(100_000), None, &[Some(100_000); 2]),
        ("a user's", &["anna", "bert"], None, Some(50_000), &[Some(50_000); 2]),
        ("both, the lower", &["anna"], Some(100_000), Some(50_000), &[Some(50_000)]),
        ("both, the lower", &["anna"], Some(50_000), Some(100_000), &[Some(50_000)]),
        ("too high to matter", &["anna"], Some(1 << 30), Some(1 << 30), &[None]),
    ] {
        let got = relayed(users, per_allocation, per_user);
        for (got, want) in got.iter().zip(want) {
            match want {
                Some(rate) => assert!(about(*got, *rate), "{what}: {got}"),
                None => assert_eq!(*got, all, "{what}"),
            }
        }
    }
    let shared = relayed(&["anna", "anna"], None, Some(100_000));
    assert!(about(shared.iter().sum(), 100_000), "a user's allocations share: {shared:?}");
}
