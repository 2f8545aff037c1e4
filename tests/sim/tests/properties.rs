//! Properties over random networks and random changes: the best path is always reached.
//!
//! After every step the world asserts that at most one pair is selected, that lists keep their
//! bounds, that checks are paced and that every state machine comes to rest.

use std::net::IpAddr;
use std::time::Duration;

use porthole_gateway_core::ice::{Event, Role};
use porthole_sim::nat::can_meet;
use porthole_sim::network::Link;
use porthole_sim::peer::{Peer, Trickle};
use porthole_sim::scenario::{PathKind, Scenario, Side, agree_on, both_connected};
use porthole_sim::world::World;
use porthole_test_support::nat::{Behaviour, NatKind};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn ms(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn link(delay: std::ops::Range<u64>, jitter: u64, loss: f64) -> impl Strategy<Value = Link> {
    (ms(delay), ms(0..jitter + 1), 0.0..=loss).prop_map(|(delay, jitter, loss)| Link {
        delay,
        jitter,
        loss,
    })
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop::sample::select(Behaviour::ALL.to_vec())
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![
        prop::sample::select(NatKind::ALL.to_vec()).prop_map(Side::from),
        (behaviour(), behaviour()).prop_map(|nat| Side { nat: Some(nat), udp: true }),
    ]
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Controlling, Role::Controlled])
}

fn trickle() -> impl Strategy<Value = Trickle> {
    prop::sample::select(vec![Trickle::CredentialsFirst, Trickle::CandidatesFirst])
}

prop_compose! {
    /// Generates any network, whose access links lose up to `loss`.
    fn scenario(loss: f64)(
        sides in [side(), side()],
        same_site in prop::bool::weighted(0.2),
        roles in [role(), role()],
        access in link(1..150, 40, loss),
        lan in link(0..5, 2, loss),
        signaling in link(1..500, 100, 0.0),
        trickle in trickle(),
        seed: u64,
    ) -> Scenario {
        let same_site = same_site && sides[0].nat.is_some();
        let (pacing, relays) = (None, true);
        Scenario { sides, same_site, roles, access, lan, signaling, trickle, pacing, relays, seed }
    }
}

/// Returns the best kind of path that this network allows.
fn best(scenario: &Scenario) -> PathKind {
    let [a, b] = scenario.sides;
    let possible = match (a.nat, b.nat) {
        _ if scenario.same_site => true,
        _ if !a.udp || !b.udp => false,
        (Some(a), Some(b)) => can_meet(a, b),
        _ => true,
    };
    if possible { PathKind::Direct } else { PathKind::Relayed }
}

fn describe(world: &World) -> String {
    let events = world.peers.iter().map(|peer| format!("\n{:?}", peer.events));
    format!("{:?}{}", world.now(), events.collect::<String>())
}

/// A change to a running connection.
#[derive(Clone, Copy, Debug)]
enum Change {
    Restart(usize),
    Move(usize),
    RebootNat(usize),
    Cut(usize, Duration),
}

fn change() -> impl Strategy<Value = Change> {
    let index = 0..2_usize;
    prop_oneof![
        index.clone().prop_map(Change::Restart),
        index.clone().prop_map(Change::Move),
        index.clone().prop_map(Change::RebootNat),
        (index, ms(100..4000)).prop_map(|(index, time)| Change::Cut(index, time)),
    ]
}

fn apply(world: &mut World, scenario: &Scenario, addresses: &mut [IpAddr; 2], change: Change) {
    let now = world.instant();
    match change {
        Change::Restart(index) => world.peers[index].restart(now),
        Change::Move(index) => {
            let from = addresses[index];
            let IpAddr::V4(ip) = from else { return };
            let [a, b, c, d] = ip.octets();
            let to = IpAddr::from([a, b, c, d.wrapping_add(2)]);
            let site = world.site_of(from).expect("the address belongs to a site");
            world.move_host(index, from, site, to);
            addresses[index] = to;
            world.peers[index].move_to(now, to, scenario.transports());
        }
        Change::RebootNat(index) => {
            let site = world.site_of(addresses[index]).expect("the address belongs to a site");
            if let Some(nat) = world.network.nat_mut(site) {
                nat.reboot();
            }
        }
        Change::Cut(index, time) => {
            let site = world.site_of(addresses[index]).expect("the address belongs to a site");
            world.set_cut(site, true);
            world.run(world.now() + time, |_| false);
            world.set_cut(site, false);
        }
    }
}

/// Restarts peers that lost their path, as a session does.
fn restart_when_silent(world: &mut World, seen: &mut [usize; 2]) {
    for (index, seen) in seen.iter_mut().enumerate() {
        let now = world.instant();
        let peer: &mut Peer = &mut world.peers[index];
        let new = peer.events.get(*seen..).unwrap_or_default();
        let silent = new.iter().any(|(_, e)| matches!(e, Event::Disconnected | Event::Failed(_)));
        *seen = peer.events.len();
        if silent {
            peer.restart(now);
        }
    }
}

proptest! {
    #[test]
    fn every_network_reaches_its_best_path(scenario in scenario(0.0)) {
        let mut world = scenario.build();
        let kind = best(&scenario);
        let limit = SECOND * 12;
        prop_assert!(world.run(limit, |w| agree_on(w, kind)), "{kind:?}: {}", describe(&world));
        world.run(world.now() + SECOND * 15, |_| false);
        prop_assert!(agree_on(&world, kind), "left {kind:?}: {}", describe(&world));
    }

    #[test]
    fn every_lossy_network_connects_and_reaches_its_best_path(scenario in scenario(0.1)) {
        let mut world = scenario.build();
        let kind = best(&scenario);
        prop_assert!(world.run(SECOND * 15, both_connected), "{}", describe(&world));
        let reached = world.run(SECOND * 45, |w| agree_on(w, kind));
        prop_assert!(reached, "{kind:?}: {}", describe(&world));
    }

    #[test]
    fn after_any_change_the_best_path_returns(
        scenario in scenario(0.02),
        at in ms(0..4000),
        changes in prop::collection::vec((change(), ms(0..3000)), 1..4),
    ) {
        let mut world = scenario.build();
        let kind = best(&scenario);
        world.run(at, |_| false);
        let mut addresses = [scenario.address(0), scenario.address(1)];
        let mut seen = [0; 2];
        for (change, pause) in changes {
            apply(&mut world, &scenario, &mut addresses, change);
            world.run(world.now() + pause, |_| false);
        }
        let mut steps = 0;
        let reached = loop {
            restart_when_silent(&mut world, &mut seen);
            let until = world.now() + SECOND;
            if world.run(until, |w| agree_on(w, kind)) {
                break true;
            }
            steps += 1;
            if steps > 60 {
                break false;
            }
        };
        prop_assert!(reached, "{kind:?}: {}", describe(&world));
    }
}
