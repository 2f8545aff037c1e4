//! Changes to an established connection: restarts, moves and cuts; and connections that fail.

use std::time::Duration;

use porthole_gateway_core::ice::{Event, FailReason, Role, limits};
use porthole_sim::network::Link;
use porthole_sim::peer::Peer;
use porthole_sim::scenario::{
    PathKind, Scenario, agree_on, both_connected, first_event, longest_gap,
};
use porthole_sim::world::World;
use porthole_test_support::nat::NatKind;

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn connected(scenario: &Scenario, path_kind: PathKind) -> World {
    let mut world = scenario.build();
    assert!(
        world.run(SECOND * 10, |w| agree_on(w, path_kind)),
        "{path_kind:?} at first: {scenario:?}"
    );
    world.run(world.now() + SECOND * 2, |_| false);
    world
}

fn run_for(world: &mut World, time: Duration) {
    world.run(world.now() + time, |_| false);
}

fn events_since(peer: &Peer, from: Duration) -> Vec<Event> {
    peer.events.iter().filter(|(at, _)| *at > from).map(|(_, event)| *event).collect()
}

fn count_connected(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Connected(_))).count()
}

#[test]
fn a_restart_from_either_side_loses_no_media() {
    for kinds in [
        (NatKind::Open, NatKind::PortRestricted),
        (NatKind::PortRestricted, NatKind::PortRestricted),
        (NatKind::Restricted, NatKind::Symmetric),
        (NatKind::Symmetric, NatKind::Symmetric),
        (NatKind::UdpBlocked, NatKind::Open),
    ] {
        for index in [0, 1] {
            let path_kind = PathKind::best(kinds.0, kinds.1);
            let mut world = connected(&Scenario::new(kinds.0, kinds.1), path_kind);
            let start = world.now();
            let now = world.instant();
            world.peers[index].restart(now);
            run_for(&mut world, SECOND * 5);
            assert!(agree_on(&world, path_kind), "{kinds:?} by {index}");
            for peer in &world.peers {
                let events = events_since(peer, start);
                assert_eq!(count_connected(&events), 1, "{kinds:?} by {index}: {events:?}");
                let no_relay = path_kind == PathKind::Relayed
                    || events.iter().all(|event| match event {
                        Event::Connected(path) | Event::PathChanged(path) => !path.is_relayed(),
                        Event::Quiet => true,
                        Event::Disconnected | Event::Failed(_) => false,
                    });
                assert!(no_relay, "the old direct path waits for a direct one: {events:?}");
                let gap = longest_gap(peer, start, world.now());
                assert!(gap <= ms(150), "{kinds:?} by {index}: {gap:?} without media");
            }
        }
    }
}

#[test]
fn a_restart_that_is_never_answered_leaves_the_old_path_alone() {
    let scenario = Scenario::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let mut world = connected(&scenario, PathKind::Direct);
    let start = world.now();
    world.signaling.delay = SECOND * 3600;
    let now = world.instant();
    world.peers[0].restart(now);
    run_for(&mut world, SECOND * 90);
    for peer in &world.peers {
        assert_eq!(events_since(peer, start), [], "nothing happens");
        assert!(longest_gap(peer, start, world.now()) <= ms(50));
    }
}

#[test]
fn two_restarts_in_a_row_end_in_one_path() {
    let scenario = Scenario::new(NatKind::FullCone, NatKind::PortRestricted);
    let mut world = connected(&scenario, PathKind::Direct);
    for _ in 0..5 {
        let now = world.instant();
        world.peers[0].restart(now);
        run_for(&mut world, ms(35));
    }
    run_for(&mut world, SECOND * 5);
    assert!(agree_on(&world, PathKind::Direct));
}

#[test]
fn a_peer_that_moves_is_back_within_a_second() {
    for index in [0, 1] {
        let scenario = Scenario::new(NatKind::PortRestricted, NatKind::Restricted);
        let mut world = connected(&scenario, PathKind::Direct);
        let start = world.now();
        let from = scenario.address(index);
        let to = format!("10.0.{index}.77").parse().unwrap();
        let site = world.site_of(from).unwrap();
        world.move_host(index, from, site, to);
        let now = world.instant();
        world.peers[index].move_to(now, to, scenario.transports());
        run_for(&mut world, SECOND * 10);
        assert!(agree_on(&world, PathKind::Direct));
        for peer in &world.peers {
            let gap = longest_gap(peer, start, world.now());
            assert!(gap <= SECOND, "{index} moved: {gap:?} without media");
        }
    }
}

#[test]
fn after_a_nat_reboot_media_returns_without_signaling() {
    for (index, kinds) in [
        (0, (NatKind::Restricted, NatKind::FullCone)),
        (1, (NatKind::Restricted, NatKind::FullCone)),
        (0, (NatKind::PortRestricted, NatKind::Open)),
        (1, (NatKind::Open, NatKind::PortRestricted)),
    ] {
        let scenario = Scenario::new(kinds.0, kinds.1);
        let mut world = connected(&scenario, PathKind::Direct);
        let start = world.now();
        world.signaling.delay = SECOND * 3600;
        let site = world.site_of(scenario.address(index)).unwrap();
        world.network.nat_mut(site).unwrap().reboot();
        run_for(&mut world, SECOND * 30);
        for peer in &world.peers {
            // The next consent check, four misses, the other path.
            let gap = longest_gap(peer, start, world.now());
            assert!(gap <= SECOND * 10, "{kinds:?}, {index}: {gap:?} without media");
        }
        assert!(both_connected(&world));
    }
}

#[test]
fn an_address_that_only_the_relay_has_seen_is_reached_directly() {
    // The rebooted NAT shows the other side's TURN server a new address, and the other side's NAT
    // admits only addresses that its host has sent to.
    let scenario = Scenario::new(NatKind::PortRestricted, NatKind::FullCone);
    let mut world = connected(&scenario, PathKind::Direct);
    let start = world.now();
    world.signaling.delay = SECOND * 3600;
    let site = world.site_of(scenario.address(1)).unwrap();
    world.network.nat_mut(site).unwrap().reboot();
    run_for(&mut world, SECOND * 25);
    assert!(agree_on(&world, PathKind::Direct));
    for peer in &world.peers {
        assert!(longest_gap(peer, world.now() - SECOND, world.now()) <= ms(50), "media flows");
    }
    let changed = |event: &Event| matches!(event, Event::PathChanged(_));
    let back = first_event(&world.peers[0], changed).expect("another address") - start;
    println!("direct again after {back:?}");
    assert!(back <= SECOND * 10);
}

#[test]
fn a_direct_path_that_dies_fails_over_to_the_relay_and_comes_back() {
    for roles in [[Role::Controlling, Role::Controlled], [Role::Controlled, Role::Controlling]] {
        let kinds = [NatKind::PortRestricted, NatKind::FullCone];
        let scenario = Scenario { roles, ..Scenario::new(kinds[0], kinds[1]) };
        let mut world = connected(&scenario, PathKind::Direct);
        let start = world.now();
        world.signaling.delay = SECOND * 3600;
        run_for(&mut world, SECOND * 60);
        let start = start + SECOND * 60;
        let sites = [0, 1].map(|index| world.site_of(scenario.address(index)).unwrap());
        world.network.sever(Some((sites[0], sites[1])));
        let failed_over = world.run(start + SECOND * 15, |w| agree_on(w, PathKind::Relayed));
        assert!(failed_over, "{:?}", world.peers.all_events());
        println!("failed over to the relay in {:?}", world.now() - start);
        run_for(&mut world, SECOND * 60);
        assert!(agree_on(&world, PathKind::Relayed));
        world.network.sever(None);
        let restored = world.now();
        assert!(world.run(restored + SECOND * 15, |w| agree_on(w, PathKind::Direct)), "back");
        println!("back on the direct path in {:?}", world.now() - restored);
    }
}

/// Formats the events of all peers for a failed assertion.
trait Events {
    fn all_events(&self) -> Vec<&Vec<(Duration, Event)>>;
}

impl Events for Vec<Peer> {
    fn all_events(&self) -> Vec<&Vec<(Duration, Event)>> {
        self.iter().map(|peer| &peer.events).collect()
    }
}

#[test]
fn silence_is_reported_after_seconds_and_tolerated_until_consent_expires() {
    // The seconds that the cut lasts, and the expected events.
    let cases: [(u64, &[&str]); 3] = [
        (3, &["quiet"]),
        (15, &["quiet", "disconnected", "connected"]),
        (60, &["quiet", "disconnected", "consent expired"]),
    ];
    for (seconds, expected) in cases {
        let scenario =
            Scenario { relays: false, ..Scenario::new(NatKind::Open, NatKind::FullCone) };
        let mut world = connected(&scenario, PathKind::Direct);
        let start = world.now();
        let site = world.site_of(scenario.address(1)).unwrap();
        world.set_cut(site, true);
        run_for(&mut world, Duration::from_secs(seconds));
        world.set_cut(site, false);
        run_for(&mut world, SECOND * 10);
        for peer in &world.peers {
            let seen: Vec<_> = events_since(peer, start)
                .iter()
                .map(|event| match event {
                    Event::Connected(_) => "connected",
                    Event::PathChanged(_) => "path changed",
                    Event::Quiet => "quiet",
                    Event::Disconnected => "disconnected",
                    Event::Failed(FailReason::ConsentExpired) => "consent expired",
                    Event::Failed(FailReason::NoPath) => "no path",
                })
                .collect();
            assert_eq!(seen, expected, "a cut of {seconds} s");
            let silent =
                peer.events.iter().find(|(at, e)| *at > start && *e == Event::Disconnected);
            if let Some((at, _)) = silent {
                let took = *at - start;
                let longest = limits::CONSENT_INTERVAL_MAX + limits::DISCONNECTED_AFTER;
                assert!(took >= SECOND * 5 && took <= longest, "{took:?}");
            }
        }
    }
}

#[test]
fn two_equal_roles_are_resolved_and_connect() {
    for role in [Role::Controlling, Role::Controlled] {
        for kinds in [
            (NatKind::Open, NatKind::Open),
            (NatKind::PortRestricted, NatKind::Restricted),
            (NatKind::Symmetric, NatKind::PortRestricted),
            (NatKind::UdpBlocked, NatKind::Symmetric),
        ] {
            for seed in 0..8 {
                let scenario =
                    Scenario { roles: [role; 2], seed, ..Scenario::new(kinds.0, kinds.1) };
                let mut world = scenario.build();
                let best = PathKind::best(kinds.0, kinds.1);
                assert!(world.run(SECOND * 3, |w| agree_on(w, best)), "{kinds:?}, seed {seed}");
                assert_ne!(world.peers[0].agent.role(), world.peers[1].agent.role());
                run_for(&mut world, SECOND * 10);
                assert!(agree_on(&world, best), "{kinds:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn without_a_path_the_agent_fails_after_its_patience_and_not_before() {
    let scenario =
        Scenario { relays: false, ..Scenario::new(NatKind::Symmetric, NatKind::Symmetric) };
    let mut world = scenario.build();
    run_for(&mut world, SECOND * 100);
    for peer in &world.peers {
        let failed = |event: &Event| *event == Event::Failed(FailReason::NoPath);
        let at = first_event(peer, failed).expect("a failure");
        assert!(at >= limits::PATIENCE && at <= limits::PATIENCE + SECOND, "{at:?}");
        assert_eq!(peer.events.len(), 1, "one failure: {:?}", peer.events);
        let late = peer.checks.iter().filter(|sent| **sent > at + SECOND).count();
        assert_eq!(late, 0, "no checks after the failure");
    }
}

#[test]
fn a_peer_that_answers_late_is_connected_at_once() {
    let mut scenario = Scenario::new(NatKind::PortRestricted, NatKind::Restricted);
    scenario.signaling = Link::new(SECOND * 20);
    let mut world = scenario.build();
    assert!(
        world.run(SECOND * 41, |w| agree_on(w, PathKind::Direct)),
        "within a second of the answer"
    );
}

#[test]
fn an_idle_connection_sends_consent_checks_only() {
    let scenario = Scenario::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let mut world = connected(&scenario, PathKind::Direct);
    run_for(&mut world, SECOND * 60);
    let from = world.now();
    run_for(&mut world, SECOND * 60);
    for peer in &world.peers {
        let checks = peer.checks.iter().filter(|at| **at > from).count();
        assert!((10..=15).contains(&checks), "{checks} consent checks in a minute");
    }
}
