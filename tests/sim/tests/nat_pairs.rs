//! Every pair of NATs reaches the best path that is possible.

use std::time::Duration;

use porthole_gateway_core::ice::{Event, Role, limits};
use porthole_sim::nat::can_meet;
use porthole_sim::network::Link;
use porthole_sim::peer::Trickle;
use porthole_sim::scenario::{PathKind, Scenario, Side, agree_on, both_connected};
use porthole_sim::world::World;
use porthole_test_support::nat::{Behaviour, NatKind};

/// Time until both may send media, and until both use the best path.
struct Times {
    media: Duration,
    best: Duration,
}

fn connect(scenario: &Scenario, best: PathKind, limit: Duration) -> Times {
    let mut world = scenario.build();
    assert!(world.run(limit, both_connected), "no path: {}", describe(&world, scenario));
    let media = world.now();
    assert!(
        world.run(limit, |w| agree_on(w, best)),
        "not {best:?}: {}",
        describe(&world, scenario)
    );
    let times = Times { media, best: world.now() };
    // And they stay there, with media flowing both ways.
    let until = world.now() + Duration::from_secs(15);
    world.run(until, |_| false);
    assert!(agree_on(&world, best), "left {best:?}: {}", describe(&world, scenario));
    for peer in &world.peers {
        let flows = peer.media.iter().any(|at| *at + Duration::from_secs(1) > until);
        assert!(
            flows,
            "no media, {} unvalidated: {}",
            peer.unvalidated_media,
            describe(&world, scenario)
        );
        let bad = |e: &Event| matches!(e, Event::Disconnected | Event::Failed(_));
        assert!(!peer.events.iter().any(|(_, e)| bad(e)), "{}", describe(&world, scenario));
    }
    times
}

fn describe(world: &World, scenario: &Scenario) -> String {
    let peers = world.peers.iter().map(|peer| {
        let pairs: Vec<_> = peer.agent.pairs().map(|pair| format!("\n    {pair:?}")).collect();
        format!("\n  {:?}\n  events {:?}{}", peer.agent.role(), peer.events, pairs.concat())
    });
    format!("{scenario:?} at {:?}{}", world.now(), peers.collect::<String>())
}

fn table(title: &str, loss: f64, roles: [Role; 2], trickle: Trickle, limits: [u64; 2]) -> String {
    let names = NatKind::ALL.map(|b| format!("{:>20}", b.name())).concat();
    let title =
        format!("{title}: ms until media may flow → until the best path (D direct, R relay)");
    let row = |a: NatKind| {
        let cells = NatKind::ALL.map(|b| {
            let mut scenario = Scenario { roles, trickle, seed: 7, ..Scenario::new(a, b) };
            // Each direction passes two access links.
            scenario.access.loss = loss / 2.0;
            let best = PathKind::best(a, b);
            let times = connect(&scenario, best, Duration::from_secs(30));
            let limits = limits.map(Duration::from_millis);
            assert!(times.media <= limits[0], "{} × {}: {:?}", a.name(), b.name(), times.media);
            assert!(times.best <= limits[1], "{} × {}: {:?}", a.name(), b.name(), times.best);
            let letter = if best == PathKind::Direct { 'D' } else { 'R' };
            let cell = format!("{letter} {} → {}", times.media.as_millis(), times.best.as_millis());
            format!("{cell:>20}")
        });
        format!("{:>16}{}\n", a.name(), cells.concat())
    };
    format!("{title}\n{:>16}{names}\n{}", "", NatKind::ALL.map(row).concat())
}

const OFFERER: [Role; 2] = [Role::Controlling, Role::Controlled];
const ANSWERER: [Role; 2] = [Role::Controlled, Role::Controlling];

#[test]
fn all_36_pairs_reach_the_best_path() {
    println!(
        "{}",
        table("offerer controlling", 0.0, OFFERER, Trickle::CredentialsFirst, [360, 400])
    );
}

#[test]
fn all_36_pairs_reach_the_best_path_with_the_answerer_controlling() {
    println!(
        "{}",
        table("answerer controlling", 0.0, ANSWERER, Trickle::CredentialsFirst, [360, 400])
    );
}

#[test]
fn all_36_pairs_reach_the_best_path_when_candidates_overtake_the_offer() {
    println!("{}", table("candidates first", 0.0, OFFERER, Trickle::CandidatesFirst, [700, 800]));
}

#[test]
fn all_36_pairs_reach_the_best_path_with_ten_percent_loss() {
    println!("{}", table("10 % loss", 0.1, OFFERER, Trickle::CredentialsFirst, [4000, 8000]));
    println!(
        "{}",
        table("10 % loss, mirrored", 0.1, ANSWERER, Trickle::CredentialsFirst, [4000, 8000])
    );
}

#[test]
fn the_default_pace_of_50_ms_costs_little_where_a_peer_indicates_none() {
    let kinds = || NatKind::ALL.into_iter().flat_map(|a| NatKind::ALL.map(|b| (a, b)));
    let mut times = [None, Some(limits::TA)].map(|pacing| {
        let all = kinds().flat_map(|(a, b)| {
            [OFFERER, ANSWERER].map(|roles| {
                let scenario = Scenario { roles, pacing, seed: 7, ..Scenario::new(a, b) };
                connect(&scenario, PathKind::best(a, b), Duration::from_secs(30))
            })
        });
        let (media, best): (Vec<_>, Vec<_>) = all.map(|times| (times.media, times.best)).unzip();
        [media, best]
    });
    let mean = |all: &[Duration]| {
        all.iter().sum::<Duration>() / u32::try_from(all.len()).expect("72 connections")
    };
    for (name, pace) in ["50 ms", "20 ms"].iter().zip(&mut times) {
        for (what, all) in ["media", "best path"].iter().zip(pace) {
            all.sort_unstable();
            println!("Ta {name}, {what}: mean {:?}, longest {:?}", mean(all), all.last());
        }
    }
    let [slow, fast] = times.map(|[media, best]| (mean(&media), mean(&best)));
    assert!(slow.0 <= fast.0 + Duration::from_millis(60), "{slow:?} {fast:?}");
    assert!(slow.1 <= fast.1 + Duration::from_millis(60), "{slow:?} {fast:?}");
}

#[test]
fn all_81_pairs_of_behaviours_connect_directly_whenever_it_is_possible() {
    let all = Behaviour::ALL.map(|m| Behaviour::ALL.map(|f| (m, f))).concat();
    for a in &all {
        for b in &all {
            let best = if can_meet(*a, *b) { PathKind::Direct } else { PathKind::Relayed };
            let side = |nat| Side { nat: Some(nat), udp: true };
            connect(&Scenario::new(side(*a), side(*b)), best, Duration::from_secs(10));
        }
    }
}

#[test]
fn in_one_lan_the_path_stays_in_the_lan() {
    for nat in NatKind::ALL.into_iter().filter(|nat| *nat != NatKind::Open) {
        let scenario = Scenario::lan(nat);
        let times = connect(&scenario, PathKind::Direct, Duration::from_secs(10));
        let mut world = scenario.build();
        assert!(world.run(Duration::from_secs(10), |w| agree_on(w, PathKind::Direct)));
        world.run(Duration::from_secs(12), |_| false);
        for peer in &world.peers {
            let path = peer.agent.selected().unwrap();
            assert!(path.remote.to_string().starts_with("10."), "{path:?}");
        }
        println!("one LAN behind {}: {:?}", nat.name(), times.media);
        assert!(times.media <= Duration::from_millis(10), "{:?}", times.media);
    }
}

#[test]
fn on_a_link_of_one_millisecond_media_flows_after_three_one_way_delays() {
    let delay = Duration::from_millis(1);
    for roles in [OFFERER, ANSWERER] {
        let mut scenario = Scenario { roles, ..Scenario::lan(NatKind::PortRestricted) };
        scenario.signaling = Link::new(delay);
        let mut world = scenario.build();
        assert!(world.run(Duration::from_secs(1), both_connected));
        let first_check = world.peers.iter().filter_map(|p| p.checks.first()).min().copied();
        let took = world.now() - first_check.unwrap();
        println!("LAN, {roles:?}: {took:?} from the first check");
        assert!(took <= delay * 3, "{took:?}");
    }
}
