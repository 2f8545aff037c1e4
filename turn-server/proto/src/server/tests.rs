//! Tests of the server with its clients, without sockets and with virtual time.

mod conservation;
mod credentials;
mod discovery;
mod dropped;
mod families;
mod features;
mod fragments;
mod lifetimes;
mod limits;
mod mobility;
mod oauth;
mod offload;
mod ownership;
mod pairs;
mod peers;
mod refusals;
mod responses;
mod tcp;
mod world;

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::client::{ClientEvent, FailureReason};
use crate::stun::attribute;
use crate::{REQUESTED_UDP, rest_credentials};
use world::{PEER_V4, PEER_V6, SERVER, World, addr};

#[test]
fn data_goes_both_ways_over_either_transport_and_family() {
    for (transport, family, peer) in [
        (Transport::Udp, Family::V4, PEER_V4),
        (Transport::Udp, Family::V6, PEER_V6),
        (Transport::Tcp, Family::V4, PEER_V4),
        (Transport::Tcp, Family::V6, PEER_V6),
    ] {
        let what = format!("{transport:?} {family:?}");
        let mut world = World::new();
        let mut config = world.anna(transport);
        config.requested_family = Some(family);
        let anna = world.connect(config, "198.51.100.7:4000");
        let relayed = world.allocate(anna);
        let peer = addr(peer);
        assert_eq!(Family::of(&relayed.ip()), family, "{what}");

        // Nothing passes without a permission, in either direction.
        assert!(!world.send(anna, peer, b"early"), "{what}");
        assert_eq!(world.peer_sends(anna, peer, b"early"), None, "{what}");

        // Send and Data indications.
        world.permit(anna, peer.ip());
        for payload in [&b""[..], b"x", b"four", b"hello"] {
            assert!(world.send(anna, peer, payload), "{what}");
            assert_eq!(
                world.sent_to_peers.pop(),
                Some((relayed, peer, payload.to_vec())),
                "{what}"
            );
            let got = world.peer_sends(anna, peer, payload);
            assert_eq!(got, Some((peer, payload.to_vec())), "{what}");
        }

        // ChannelData.
        world.bind(anna, peer);
        for payload in [&b""[..], b"x", b"four", b"hello"] {
            assert!(world.send(anna, peer, payload), "{what}");
            assert_eq!(
                world.sent_to_peers.pop(),
                Some((relayed, peer, payload.to_vec())),
                "{what}"
            );
            let got = world.peer_sends(anna, peer, payload);
            assert_eq!(got, Some((peer, payload.to_vec())), "{what}");
        }
        let overhead = if transport == Transport::Tcp { 4 + 3 } else { 4 };
        assert_eq!(world.last_to_client_len, 5 + overhead, "{what}");
    }
}

#[test]
fn when_many_allocations_expire_at_once_other_packets_are_served_in_between() {
    let many = MAX_EXPIRED_AT_ONCE + 1;
    let mut world = World::with_room_for(many);
    for n in 0..many {
        let config = world.anna(Transport::Udp);
        let client = world.connect(config, &format!("198.51.100.7:{}", 4000 + n));
        world.allocate(client);
        world.clients[client].silent = true;
    }
    world.advance(Duration::from_secs(599));
    assert_eq!(world.open_count(), many);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.open_count(), 1);
    assert!(world.server.poll_timeout().is_some_and(|at| at <= world.now.instant));
    world.advance(Duration::ZERO);
    assert_eq!((world.open_count(), world.quota_in_use(), world.ports_taken()), (0, 0, 0));
}

#[test]
fn two_clients_meet_at_their_relayed_addresses() {
    let mut world = World::new();
    let config = world.anna(Transport::Udp);
    let (a, b) = (
        world.connect(config.clone(), "198.51.100.7:4000"),
        world.connect(config, "198.51.100.8:4000"),
    );
    let (relayed_a, relayed_b) = (world.allocate(a), world.allocate(b));
    world.bind(a, relayed_b);
    world.permit(b, relayed_a.ip());
    assert!(world.send(a, relayed_b, b"hello"));
    let (from, to, payload) = world.sent_to_peers.pop().unwrap();
    assert_eq!((from, to), (relayed_a, relayed_b));
    assert_eq!(world.peer_sends(b, from, &payload), Some((relayed_a, b"hello".to_vec())));

    // The address alone is not enough: no other socket of the relay's host may be a peer.
    let unallocated = SocketAddr::new(relayed_b.ip(), 22);
    assert!(!world.send_raw(a, unallocated));
    assert_eq!(world.peer_sends(a, unallocated, b"hello"), None);
    // Nor may a port that is free again.
    world.clients[b].client.close(world.now.instant);
    world.run();
    assert!(!world.send_raw(a, relayed_b));
}

#[test]
fn everything_stays_alive_for_hours() {
    let mut world = World::new();
    let config = world.anna(Transport::Udp);
    let anna = world.connect(config, "198.51.100.7:4000");
    world.allocate(anna);
    let peer = addr(PEER_V4);
    world.bind(anna, peer);
    for minute in 0..180 {
        world.advance(Duration::from_secs(60));
        assert!(world.send(anna, peer, b"still here"), "minute {minute}");
        assert!(world.peer_sends(anna, peer, b"me too").is_some(), "minute {minute}");
        assert_eq!(world.clients[anna].client.poll_event(), None);
    }
    // Nonces became stale in between.
    assert!(world.server.counters().challenged >= 3);
}

#[test]
fn what_is_not_renewed_ends_on_time() {
    let mut world = World::new();
    let config = world.anna(Transport::Udp);
    let anna = world.connect(config, "198.51.100.7:4000");
    let relayed = world.allocate(anna);
    let (bound, permitted) = (addr(PEER_V4), addr("192.0.2.10:7000"));
    world.bind(anna, bound);
    world.permit(anna, permitted.ip());
    world.clients[anna].silent = true;

    for (second, permission, channel, allocation) in [
        (299, true, true, true),
        (300, false, true, true),
        (599, false, true, true),
        (600, false, false, false),
    ] {
        while world.elapsed() < Duration::from_secs(second) {
            world.advance(Duration::from_secs(1));
        }
        assert_eq!(world.send_raw(anna, permitted), permission, "permission at {second}");
        assert_eq!(world.channel_raw(anna, 0x4000), channel, "channel at {second}");
        assert_eq!(world.is_open(relayed), allocation, "allocation at {second}");
        assert_eq!(world.server.allocations(), usize::from(allocation));
    }
    assert_eq!(world.server.poll_timeout(), None);
    assert_eq!(world.ports_taken(), 0);
}

#[test]
fn a_closed_connection_or_allocation_releases_everything() {
    for by_refresh in [true, false] {
        let mut world = World::new();
        let config = world.anna(Transport::Tcp);
        let anna = world.connect(config, "198.51.100.7:4000");
        let relayed = world.allocate(anna);
        if by_refresh {
            world.clients[anna].client.close(world.now.instant);
        } else {
            let tuple = world.clients[anna].tuple;
            world.server.handle_client_disconnected(world.now, &tuple);
        }
        world.run();
        assert!(!world.is_open(relayed));
        assert_eq!((world.ports_taken(), world.server.allocations()), (0, 0));
        assert_eq!(world.quota_in_use(), 0);
    }
}

#[test]
fn a_lost_response_is_sent_again() {
    let mut world = World::new();
    let config = world.anna(Transport::Udp);
    let anna = world.connect(config, "198.51.100.7:4000");
    // The first success response is lost; the client retransmits its request.
    world.clients[anna].lose_success = 1;
    world.run();
    assert_eq!(world.clients[anna].client.poll_event(), None);
    assert_eq!(world.server.allocations(), 1);
    world.advance(Duration::from_millis(600));
    assert!(matches!(world.clients[anna].client.poll_event(), Some(ClientEvent::Allocated { .. })));
    assert_eq!((world.server.allocations(), world.ports_taken()), (1, 1));
}

#[test]
fn a_port_that_another_program_holds_is_skipped() {
    for (bad_opens, want) in [(1, true), (7, true), (8, false)] {
        let mut world = World::new();
        world.failing_opens = bad_opens;
        let config = world.anna(Transport::Udp);
        let anna = world.connect(config, "198.51.100.7:4000");
        world.run();
        let event = world.clients[anna].client.poll_event();
        let failed = ClientEvent::Failed { code: Some(508), reason: FailureReason::NoCapacity };
        if want {
            assert!(matches!(event, Some(ClientEvent::Allocated { .. })), "{bad_opens} {event:?}");
        } else {
            assert_eq!(event, Some(failed), "{bad_opens}");
        }
        let left = usize::from(want);
        assert_eq!((world.ports_taken(), world.quota_in_use()), (left, left), "{bad_opens}");
    }
}

#[test]
fn each_port_of_a_range_is_taken_once_and_none_beyond_it() {
    for range in [49_152..=65_535, 50_000..=50_000, 65_535..=65_535, 40_001..=40_066] {
        let pool = PortPool::new(range.clone());
        let mut rng = StdRng::from_seed([7; 32]);
        let guards: Vec<_> = std::iter::from_fn(|| pool.take(&mut rng)).collect();
        let mut ports: Vec<_> = guards.iter().map(port::PortGuard::port).collect();
        ports.sort_unstable();
        assert!(ports.iter().copied().eq(range.clone()), "{range:?}: {} ports", ports.len());
        drop(guards);
        assert_eq!(pool.taken(), 0, "{range:?}");
    }
}

#[test]
fn time_limited_credentials_work_until_they_expire() {
    let mut world = World::new();
    let unix_s = world.now.unix_s;
    for (what, secret, expires_at, works) in [
        ("good", "rest-1", unix_s + 100, true),
        ("the other secret", "rest-2", unix_s + 100, true),
        ("expired", "rest-1", unix_s, false),
        ("another secret", "rest-3", unix_s + 100, false),
    ] {
        let (username, password) = rest_credentials(secret, "anna", expires_at);
        let mut config = world.anna(Transport::Udp);
        (config.username, config.password) = (username, password);
        let client = world.connect(config, "198.51.100.7:4000");
        world.run();
        let event = world.clients[client].client.poll_event();
        assert_eq!(
            matches!(event, Some(ClientEvent::Allocated { .. })),
            works,
            "{what}: {event:?}"
        );
        world.clients[client].client.close(world.now.instant);
        world.run();
    }
    // An allocation made in time outlives the credentials.
    let (username, password) = rest_credentials("rest-1", "anna", world.now.unix_s + 100);
    let mut config = world.anna(Transport::Udp);
    (config.username, config.password) = (username, password);
    let anna = world.connect(config, "198.51.100.7:4000");
    world.allocate(anna);
    for _ in 0..30 {
        world.advance(Duration::from_secs(60));
    }
    assert_eq!(world.clients[anna].client.poll_event(), None);
    assert!(world.clients[anna].client.relayed().is_some());
}

#[test]
fn s7_the_end_of_a_user_ends_its_relays_and_credentials_and_others_outlive_their_own() {
    let mut world = World::new();
    let until_s = world.now.unix_s + 600;
    let connect = |world: &mut World, user: &str, source: &str| {
        let (username, password) = rest_credentials("rest-1", user, until_s);
        let mut config = world.anna(Transport::Udp);
        (config.username, config.password) = (username, password);
        world.connect(config, source)
    };
    let running = connect(&mut world, "s1", "198.51.100.7:4000");
    let ending = connect(&mut world, "s2", "198.51.100.8:4000");
    world.allocate(running);
    world.allocate(ending);
    world.server.end_user(world.now, "s2", until_s + 1);
    world.run();
    let [AllocationEnd { reason, allocation }] = &world.ended[..] else { panic!("one end") };
    assert_eq!(*reason, EndReason::UserEnded);
    assert!(allocation.username.ends_with(":s2"), "{}", allocation.username);

    let again = connect(&mut world, "s2", "198.51.100.8:4001");
    world.run();
    let event = world.clients[again].client.poll_event();
    assert!(matches!(event, Some(ClientEvent::Failed { .. })), "{event:?}");
    // Three times as long as the credentials are valid, with a refresh every few minutes.
    for _ in 0..30 {
        world.advance(Duration::from_secs(60));
    }
    assert_eq!(world.clients[running].client.poll_event(), None);
    let left = world.server.allocation_infos(world.now, 0, 9);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].username.ends_with(":s1"));
}

#[test]
fn quotas_count_users_and_sources_and_units_are_released() {
    let mut world = World::new(); // 3 per user, 4 per source, 5 in total
    let mut allocated = Vec::new();
    for (what, user, source, code) in [
        ("first", "anna", "198.51.100.1:1", None),
        ("second", "anna", "198.51.100.2:1", None),
        ("third", "anna", "198.51.100.3:1", None),
        ("user's quota", "anna", "198.51.100.4:1", Some(486)),
        ("another user", "bert", "198.51.100.1:2", None),
        ("and again", "bert", "198.51.100.1:3", None),
        ("total", "bert", "198.51.100.9:1", Some(508)),
    ] {
        let client = world.connect_as(user, Transport::Udp, source);
        world.run();
        match (world.clients[client].client.poll_event(), code) {
            (Some(ClientEvent::Allocated { .. }), None) => allocated.push(client),
            (Some(ClientEvent::Failed { code: got, .. }), Some(_)) => {
                assert_eq!(got, code, "{what}")
            }
            (event, _) => panic!("{what}: {event:?}"),
        }
    }
    for client in allocated {
        world.clients[client].client.close(world.now.instant);
    }
    world.run();
    assert_eq!(world.quota_in_use(), 0);
    for port in 1..=4 {
        let user = if port < 4 { "anna" } else { "bert" };
        let client = world.connect_as(user, Transport::Udp, &format!("198.51.100.1:{port}"));
        world.allocate(client);
    }
    let client = world.connect_as("bert", Transport::Udp, "198.51.100.1:5");
    world.run();
    let reason = FailureReason::QuotaReached;
    let failed = ClientEvent::Failed { code: Some(486), reason };
    assert_eq!(world.clients[client].client.poll_event(), Some(failed), "four per source");
}

#[test]
fn a_source_is_an_ipv4_address_or_an_ipv6_subnet_of_64_bits() {
    for (what, source, last, code) in [
        ("one IPv4 address", "198.51.100.1", "198.51.100.1", 486),
        ("its neighbour", "198.51.100.1", "198.51.100.2", 0),
        ("the same, mapped", "198.51.100.1", "::ffff:198.51.100.1", 486),
        ("one IPv6 address", "2001:db8:7::1", "2001:db8:7::1", 486),
        ("another of its /64", "2001:db8:7::1", "2001:db8:7:0:ffff:ffff:ffff:ffff", 486),
        ("the next /64", "2001:db8:7::1", "2001:db8:7:1::1", 0),
    ] {
        let mut world = World::new(); // 3 per user, 4 per source, 5 in total
        let mut allocate = |user: &str, ip: &str, port: u16| {
            let client = SocketAddr::new(ip.parse().unwrap(), port);
            let from = FiveTuple { transport: Transport::Udp, client, server: addr(SERVER) };
            let response = world.request(&from, user, Method::Allocate, |writer| {
                writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
            });
            response.code()
        };
        for (port, user) in (1..).zip(["anna", "anna", "bert", "bert"]) {
            assert_eq!(allocate(user, source, port), 0, "{what}");
        }
        assert_eq!(allocate("anna", last, 5), code, "{what}");
    }
}

#[test]
fn a_draining_server_keeps_what_it_has() {
    let mut world = World::new();
    let config = world.anna(Transport::Udp);
    let anna = world.connect(config.clone(), "198.51.100.7:4000");
    world.allocate(anna);
    world.server.start_draining();
    let late = world.connect(config, "198.51.100.8:4000");
    world.run();
    let reason = FailureReason::NoCapacity;
    let failed = ClientEvent::Failed { code: Some(508), reason };
    assert_eq!(world.clients[late].client.poll_event(), Some(failed));
    world.bind(anna, addr(PEER_V4));
    assert!(world.send(anna, addr(PEER_V4), b"goes on"));
}

#[test]
fn the_end_of_an_allocation_reports_its_reason_and_traffic() {
    let reasons = [
        EndReason::Released,
        EndReason::ConnectionClosed,
        EndReason::Expired,
        EndReason::EndedByOperator,
        EndReason::Shutdown,
    ];
    for reason in reasons {
        let mut world = World::new();
        let anna = world.connect_as("anna", Transport::Tcp, "198.51.100.7:4000");
        let relayed = world.allocate(anna);
        let (tuple, peer) = (world.clients[anna].tuple, addr(PEER_V4));
        world.bind(anna, peer);
        for payload in [&b"one"[..], b"four"] {
            assert!(world.send(anna, peer, payload));
        }
        assert!(world.peer_sends(anna, peer, b"hello").is_some());
        assert!(world.peer_sends(anna, addr("192.0.2.77:1"), b"unknown").is_none());

        let [before] = &world.server.allocation_infos(world.now, 0, 9)[..] else {
            panic!("{reason:?}")
        };
        assert_eq!((before.client, &*before.username), (tuple, "anna"), "{reason:?}");
        assert_eq!(before.expires_in, DEFAULT_LIFETIME, "{reason:?}");
        assert_eq!(world.server.allocation_infos(world.now, 0, 0), []);
        let id = before.id;
        assert_eq!(AllocationId::from_bits(id.to_bits()), id);

        world.clients[anna].silent = reason != EndReason::Released;
        world.now.instant += Duration::from_secs(600);
        match reason {
            EndReason::Released => world.clients[anna].client.close(world.now.instant),
            EndReason::ConnectionClosed => {
                world.server.handle_client_disconnected(world.now, &tuple)
            }
            EndReason::Expired => world.server.handle_timeout(world.now),
            EndReason::EndedByOperator => assert!(world.server.end_allocation(world.now, id)),
            EndReason::Shutdown => world.server.close(world.now),
            EndReason::UserEnded => panic!("it is not among the reasons"),
        }
        world.run();
        let [AllocationEnd { allocation, reason: got }] = &world.ended[..] else {
            panic!("{reason:?}")
        };
        assert_eq!((*got, allocation.id, &allocation.relayed[..]), (reason, id, &[relayed][..]));
        assert_eq!(allocation.age, Duration::from_secs(600), "{reason:?}");
        assert_eq!(allocation.to_peer, Traffic { packets: 2, bytes: 7 }, "{reason:?}");
        assert_eq!(allocation.to_client, Traffic { packets: 1, bytes: 5 }, "{reason:?}");
        assert!(!world.server.end_allocation(world.now, id), "{reason:?}: it is over");
    }
}

#[test]
fn new_settings_take_effect_at_once_and_end_nothing() {
    let mut world = World::new();
    let anna = world.connect_as("anna", Transport::Udp, "198.51.100.7:4000");
    world.allocate(anna);
    let peer = addr(PEER_V4);
    world.bind(anna, peer);
    assert!(world.send(anna, peer, b"allowed"));

    let allow = vec!["192.0.2.128/25".parse().unwrap()];
    let policy = PolicyConfig { allow, ..PolicyConfig::default() };
    let users = vec![("carl".to_owned(), "carl's".to_owned())];
    world.server.set_reloadable(
        world.now,
        ReloadableConfig { users, policy, ..ReloadableConfig::default() },
    );
    assert!(!world.send(anna, peer, b"not any more"));
    assert_eq!(world.peer_sends(anna, peer, b"nor back"), None);
    world.bind(anna, addr("192.0.2.200:1"));
    assert!(world.send(anna, addr("192.0.2.200:1"), b"still served"));

    for (user, works) in [("anna", false), ("carl", true)] {
        let client =
            world.connect_as(user, Transport::Udp, &format!("198.51.100.8:{}", user.len()));
        world.run();
        let event = world.clients[client].client.poll_event();
        assert_eq!(matches!(event, Some(ClientEvent::Allocated { .. })), works, "{user} {event:?}");
        world.clients[client].client.close(world.now.instant);
        world.run();
    }
}
