//! A viewer whose NAT gives it another port or address in mid-picture.

use std::net::IpAddr;
use std::time::Duration;

use porthole_gateway_core::ice::{Event, Role};
use porthole_sim::network::Link;
use porthole_sim::scenario::{PathKind, Scenario, agree_on, longest_gap};
use porthole_sim::world::World;
use porthole_test_support::nat::NatKind::{self, *};

const SECOND: Duration = Duration::from_secs(1);
/// Interval of a browser's reports.
const REPORTS: Duration = Duration::from_secs(1);
/// Index of the viewer in the world.
const VIEWER: usize = 1;

/// Connects a gateway and a viewer, of which only the gateway sends more than reports.
fn watching(scenario: &Scenario, kind: PathKind) -> World {
    let mut world = scenario.build();
    world.peers[VIEWER].media_interval = REPORTS;
    assert!(world.run(SECOND * 10, |w| agree_on(w, kind)), "{kind:?} at first: {scenario:?}");
    world.run(world.now() + SECOND * 20, |_| false);
    // Nobody can help from outside.
    world.signaling = Link::new(SECOND * 3600);
    world
}

/// Gives the viewer another port, or another address, and returns the time without a picture.
fn rebind(world: &mut World, scenario: &Scenario, public: Option<&str>) -> Duration {
    let start = world.now();
    let site = world.site_of(scenario.address(VIEWER)).expect("the viewer's site");
    let nat = world.network.nat_mut(site).expect("the viewer is behind a NAT");
    let public = public.map_or(nat.public, |ip| ip.parse::<IpAddr>().expect("an address"));
    nat.rebind(public);
    world.run(start + SECOND * 10, |_| false);
    let last = &world.peers[VIEWER].media;
    assert!(last.last().is_some_and(|at| *at + SECOND > world.now()), "the picture is back");
    longest_gap(&world.peers[VIEWER], start, world.now())
}

/// Runs the case for both roles and several moments, and returns the longest time without picture.
fn longest(kinds: (NatKind, NatKind), kind: PathKind, public: Option<&str>) -> Duration {
    let mut longest = Duration::ZERO;
    for roles in [[Role::Controlling, Role::Controlled], [Role::Controlled, Role::Controlling]] {
        for seed in 0..10_u32 {
            let scenario = Scenario { roles, seed: seed.into(), ..Scenario::new(kinds.0, kinds.1) };
            let mut world = watching(&scenario, kind);
            world.run(world.now() + SECOND * seed / 3, |_| false);
            let gap = rebind(&mut world, &scenario, public);
            assert!(gap <= SECOND * 3, "{kinds:?}, {roles:?}, seed {seed}: {gap:?}");
            for peer in &world.peers {
                let lost = |(_, event): &(Duration, Event)| {
                    matches!(event, Event::Disconnected | Event::Failed(_))
                };
                assert!(!peer.events.iter().any(lost), "{kinds:?}, {roles:?}: {:?}", peer.events);
            }
            longest = longest.max(gap);
        }
    }
    longest
}

#[test]
fn a_viewer_whose_nat_changes_its_port_sees_the_picture_again_within_three_seconds() {
    for kinds in [
        (Open, PortRestricted),
        (Open, Symmetric),
        (FullCone, PortRestricted),
        (FullCone, Symmetric),
        (Restricted, PortRestricted),
        (Restricted, Symmetric),
    ] {
        println!("{kinds:?}: {:?} without picture", longest(kinds, PathKind::Direct, None));
    }
}

#[test]
fn a_viewer_whose_nat_changes_its_address_sees_the_picture_again_within_three_seconds() {
    for kinds in [
        (Open, PortRestricted),
        (Open, Symmetric),
        (FullCone, PortRestricted),
        (FullCone, Symmetric),
    ] {
        let gap = longest(kinds, PathKind::Direct, Some("203.0.113.77"));
        println!("{kinds:?}: {gap:?} without picture");
    }
}

#[test]
fn a_relayed_viewer_whose_nat_changes_its_port_sees_the_picture_again_within_three_seconds() {
    for kinds in [(Symmetric, PortRestricted), (Symmetric, Symmetric), (UdpBlocked, PortRestricted)]
    {
        println!("{kinds:?}: {:?} without picture", longest(kinds, PathKind::Relayed, None));
    }
}

#[test]
fn behind_a_port_restricted_nat_the_gateway_learns_of_the_new_port_by_its_relay() {
    let kinds = (PortRestricted, PortRestricted);
    println!("{kinds:?}: {:?} without picture", longest(kinds, PathKind::Direct, None));
}
