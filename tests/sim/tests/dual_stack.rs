//! IPv6 and IPv4 side by side, and many useless candidates.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use porthole_gateway_core::ice::{Candidate, CandidateKind, Role, priority};
use porthole_sim::network::{Link, SiteId};
use porthole_sim::peer::{Peer, Trickle};
use porthole_sim::scenario::{PathKind, agree_on};
use porthole_sim::world::World;

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().expect("an address")).collect()
}

/// Two hosts with public addresses, of which those in `unreachable` do not work.
fn world(addresses: [&[&str]; 2], unreachable: &[&str]) -> World {
    let mut world = World::new(3, Link::new(Duration::from_millis(30)));
    let link = Link::new(Duration::from_millis(20));
    for (seed, list) in (0..).zip(addresses) {
        let site: SiteId = world.network.add_site(None, link, link);
        let role = if seed == 0 { Role::Controlling } else { Role::Controlled };
        let all = ips(list);
        let peer = Peer::new(world.instant(), &all, role, Trickle::CredentialsFirst, &[], seed);
        world.add_peer(peer, site, &all);
    }
    ips(unreachable).into_iter().for_each(|ip| world.network.remove_host(ip));
    let now = world.instant();
    world.peers[0].offer(now);
    world
}

const BOTH: [&[&str]; 2] = [&["203.0.113.1", "2001:db8::1"], &["203.0.113.2", "2001:db8::2"]];

#[test]
fn ipv6_is_used_when_it_works_and_costs_little_time_when_not() {
    // The unreachable addresses, and the remote address that is selected.
    let cases: [(&[&str], &str); 4] = [
        (&[], "2001:db8::2"),
        (&["2001:db8::2"], "203.0.113.2"),
        (&["2001:db8::1", "2001:db8::2"], "203.0.113.2"),
        (&["203.0.113.1"], "2001:db8::2"),
    ];
    for (unreachable, expected) in cases {
        let mut world = world(BOTH, unreachable);
        assert!(
            world.run(Duration::from_secs(5), |w| agree_on(w, PathKind::Direct)),
            "{unreachable:?}"
        );
        let took = world.now();
        assert!(took <= Duration::from_millis(250), "{unreachable:?}: {took:?}");
        world.run(Duration::from_secs(15), |_| false);
        let path = world.peers[0].agent.selected().unwrap();
        assert_eq!(path.remote.ip(), expected.parse::<IpAddr>().unwrap(), "{unreachable:?}");
        assert!(agree_on(&world, PathKind::Direct), "{unreachable:?}");
    }
}

#[test]
fn sixty_hopeless_candidates_cost_less_than_three_seconds() {
    let mut world = world(BOTH, &[]);
    let now = world.instant();
    for octet in 1..=60 {
        let address = SocketAddr::from(([198, 18, 0, octet], 5000));
        for peer in &mut world.peers {
            let kind = CandidateKind::Host;
            let (priority, foundation) = (priority(kind, u16::MAX), "hopeless".to_owned());
            let (related, ufrag) = (None, None);
            let hopeless = Candidate { kind, address, priority, foundation, related, ufrag };
            peer.agent.add_remote(now, hopeless);
        }
    }
    assert!(world.run(Duration::from_secs(3), |w| agree_on(w, PathKind::Direct)));
    println!("with sixty hopeless candidates: {:?}", world.now());
}
