//! TCP relaying (RFC 6062), without sockets.

use super::world::{PEER_V4, PEER_V6, Response, World, addr, credentials, tuple};
use super::*;
use crate::stun::{MessageWriter, attribute};
use crate::{REQUESTED_TCP, REQUESTED_UDP};

const CONTROL: &str = "198.51.100.7:4000";
const DATA: &str = "198.51.100.7:4001";

type Fill = fn(&mut MessageWriter<'_>);

fn control() -> FiveTuple {
    tuple(Transport::Tcp, CONTROL)
}

fn allocate(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_TCP);
}

fn both(writer: &mut MessageWriter<'_>) {
    allocate(writer);
    writer.u32(attribute::ADDITIONAL_ADDRESS_FAMILY, 0x0200_0000);
}

fn peer(peer: &str) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
    }
}

/// Returns a world with a TCP allocation of both families.
fn world() -> World {
    let mut world = World::new();
    assert_eq!(world.request(&control(), "anna", Method::Allocate, both).code(), 0);
    world
}

/// Sends a Connect. Returns the connection that is being opened, or the error code.
fn connect(world: &mut World, to: &str) -> Result<ConnectionId, u16> {
    let before: Vec<_> = world.connecting.keys().copied().collect();
    match world.try_request(&control(), "anna", Method::Connect, peer(to)) {
        Some(response) => Err(response.code()),
        None => Ok(*world.connecting.keys().find(|id| !before.contains(id)).unwrap()),
    }
}

fn bind(world: &mut World, from: &FiveTuple, user: &str, id: u32) -> Option<Response> {
    world.try_request(from, user, Method::ConnectionBind, |writer| {
        writer.u32(attribute::CONNECTION_ID, id);
    })
}

/// Reports an event of the driver. Returns the messages that the server sends then.
fn report(world: &mut World, event: impl FnOnce(&mut Server, Now)) -> Vec<Response> {
    event(&mut world.server, world.now);
    world.drain().into_iter().map(Response).collect()
}

fn connected(world: &mut World, to: &str) -> ConnectionId {
    let id = connect(world, to).unwrap();
    let sent = report(world, |server, now| server.handle_peer_connected(now, id));
    assert_eq!(sent[0].message().u32(attribute::CONNECTION_ID), Ok(Some(id.value())));
    id
}

#[test]
fn a_client_connects_to_a_peer_and_binds() {
    for peer in [PEER_V4, PEER_V6] {
        let mut world = world();
        let id = connect(&mut world, peer).unwrap();
        let (relay, to) = world.connecting[&id];
        assert_eq!((relay.family, to), (Family::of(&addr(peer).ip()), addr(peer)));
        let sent = report(&mut world, |server, now| server.handle_peer_connected(now, id));
        let [response] = &sent[..] else { panic!("{} responses", sent.len()) };
        let message = response.message();
        assert_eq!((message.class(), message.method()), (Class::Success, Method::Connect));
        assert_eq!(message.u32(attribute::CONNECTION_ID), Ok(Some(id.value())));

        let data = tuple(Transport::Tls, DATA);
        assert_eq!(bind(&mut world, &data, "anna", id.value()).unwrap().code(), 0);
        assert_eq!(world.bound[&id], data);
        world.advance(CONNECTION_TIMEOUT * 2);
        assert_eq!(world.closed, [], "a bound connection has no deadline");
    }
}

#[test]
fn a_permitted_peer_connects_and_is_announced() {
    let mut world = world();
    let id = world.server.table.id_of(&control()).unwrap();
    let relay = |family| RelayId { allocation: id, family };
    let permit = world.request(&control(), "anna", Method::CreatePermission, |writer| {
        for text in [PEER_V4, PEER_V6] {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(text));
        }
    });
    assert_eq!(permit.code(), 0);
    for (what, from, family, is_allowed) in [
        ("permitted", PEER_V4, Family::V4, true),
        ("permitted", PEER_V6, Family::V6, true),
        ("another port of it", "192.0.2.9:1", Family::V4, true),
        ("the same twice", PEER_V4, Family::V4, false),
        ("at the other family's socket", "192.0.2.9:2", Family::V6, false),
        ("without permission", "192.0.2.10:1", Family::V4, false),
        ("forbidden", "10.0.0.1:1", Family::V4, false),
    ] {
        let accepted = world.server.handle_peer_accepted(world.now, relay(family), addr(from));
        assert_eq!(accepted.is_some(), is_allowed, "{what} {from}");
        let sent = world.drain();
        let Some(id) = accepted else {
            assert!(sent.is_empty(), "{what} {from}");
            continue;
        };
        let message = Message::parse(&sent[0]).unwrap();
        let kind = (message.class(), message.method());
        assert_eq!(kind, (Class::Indication, Method::ConnectionAttempt), "{what}");
        assert_eq!(message.u32(attribute::CONNECTION_ID), Ok(Some(id.value())), "{what}");
        let about = message.xor_address(attribute::XOR_PEER_ADDRESS);
        assert_eq!(about, Ok(Some(addr(from))), "{what}");
        let data = tuple(Transport::Tcp, &format!("198.51.100.7:{}", 5000 + addr(from).port() % 7));
        assert_eq!(bind(&mut world, &data, "anna", id.value()).unwrap().code(), 0, "{what}");
    }
    world.advance(PERMISSION_LIFETIME);
    assert_eq!(
        world.server.handle_peer_accepted(world.now, relay(Family::V4), addr("192.0.2.9:3")),
        None
    );
    assert_eq!(world.bound.len(), 3, "bound connections outlive the permission");
    // The policy is checked again, although it was when the permission was made.
    let permit = world.request(&control(), "anna", Method::CreatePermission, peer(PEER_V4));
    assert_eq!(permit.code(), 0);
    world.server.set_reloadable(world.now, credentials());
    assert_eq!(
        world.server.handle_peer_accepted(world.now, relay(Family::V4), addr("192.0.2.9:4")),
        None
    );
}

#[test]
fn tcp_allocations_are_for_streams_without_options() {
    let table: [(&str, Transport, bool, Fill, u16); 8] = [
        ("over TCP", Transport::Tcp, true, allocate, 0),
        ("over TLS", Transport::Tls, true, allocate, 0),
        ("over UDP", Transport::Udp, true, allocate, 400),
        ("over DTLS", Transport::Dtls, true, allocate, 400),
        ("not configured", Transport::Tcp, false, allocate, 442),
        (
            "with EVEN-PORT",
            Transport::Tcp,
            true,
            |w| {
                allocate(w);
                w.attribute(attribute::EVEN_PORT, &[0]);
            },
            400,
        ),
        (
            "with DONT-FRAGMENT",
            Transport::Tcp,
            true,
            |w| {
                allocate(w);
                w.attribute(attribute::DONT_FRAGMENT, &[]);
            },
            400,
        ),
        (
            "with RESERVATION-TOKEN",
            Transport::Tcp,
            true,
            |w| {
                allocate(w);
                w.attribute(attribute::RESERVATION_TOKEN, &[0; 8]);
            },
            400,
        ),
    ];
    for (what, transport, configured, fill, code) in table {
        let mut world = World::new();
        world.server.tcp_relaying = configured;
        let response = world.request(&tuple(transport, CONTROL), "anna", Method::Allocate, fill);
        assert_eq!(response.code(), code, "{what}");
    }
}

#[test]
fn impossible_connects_are_refused() {
    let mut world = World::new();
    assert_eq!(connect(&mut world, PEER_V4), Err(437), "no allocation");
    world.request(&control(), "anna", Method::Allocate, |writer| {
        writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
    });
    assert_eq!(connect(&mut world, PEER_V4), Err(437), "a UDP allocation");

    let mut world = World::new();
    world.request(&control(), "anna", Method::Allocate, allocate);
    for (what, method, peer, code) in [
        ("no peer", Method::Connect, None, 400),
        ("a private peer", Method::Connect, Some("10.0.0.1:80"), 403),
        ("… hidden in IPv6", Method::Connect, Some("[::ffff:10.0.0.1]:80"), 403),
        ("port 0", Method::Connect, Some("192.0.2.9:0"), 403),
        ("another family", Method::Connect, Some(PEER_V6), 443),
        ("a channel", Method::ChannelBind, Some(PEER_V4), 403),
    ] {
        let response = world.request(&control(), "anna", method, |writer| {
            writer.u32(attribute::CHANNEL_NUMBER, 0x4000_0000);
            if let Some(peer) = peer {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
            }
        });
        assert_eq!(response.code(), code, "{what}");
    }
    world.request(&control(), "anna", Method::CreatePermission, peer(PEER_V4));
    assert!(!world.send_raw_from(&control(), addr(PEER_V4)), "no datagrams here");

    // One connection for each peer, and so many in total.
    let first = connect(&mut world, PEER_V4).unwrap();
    assert_eq!(connect(&mut world, PEER_V4), Err(446), "while it is being opened");
    report(&mut world, |server, now| server.handle_peer_connected(now, first));
    assert_eq!(connect(&mut world, PEER_V4), Err(446), "while it waits");
    for port in 1..MAX_CONNECTIONS {
        assert!(connect(&mut world, &format!("192.0.2.9:{port}")).is_ok(), "{port}");
    }
    assert_eq!(connect(&mut world, "192.0.2.10:1"), Err(508));
    report(&mut world, |server, now| server.handle_connection_closed(now, first));
    assert!(connect(&mut world, "192.0.2.10:1").is_ok(), "its unit is free again");
}

#[test]
fn r8_the_connections_of_a_user_are_bounded_over_all_allocations() {
    let allocations = MAX_CONNECTIONS_PER_USER / MAX_CONNECTIONS;
    let mut world = World::with_room_for(allocations + 2);
    let at = |n: usize| tuple(Transport::Tcp, &format!("198.51.100.7:{}", 4000 + n));
    let connects = |world: &mut World, n: usize, user: &str, port: usize| {
        let to = format!("9.9.9.9:{port}");
        world
            .try_request(&at(n), user, Method::Connect, peer(&to))
            .map_or(0, |response| response.code())
    };
    for n in 0..allocations {
        assert_eq!(world.request(&at(n), "anna", Method::Allocate, allocate).code(), 0);
        for port in 1..=MAX_CONNECTIONS {
            assert_eq!(connects(&mut world, n, "anna", port), 0, "{n} {port}");
        }
    }
    for (n, user, wanted) in [(allocations, "anna", 508), (allocations + 1, "bert", 0)] {
        assert_eq!(world.request(&at(n), user, Method::Allocate, allocate).code(), 0);
        assert_eq!(connects(&mut world, n, user, 1), wanted, "{user}");
    }
    let released = world.request(&at(0), "anna", Method::Refresh, |writer| {
        writer.u32(attribute::LIFETIME, 0);
    });
    assert_eq!(released.code(), 0);
    assert_eq!(connects(&mut world, allocations, "anna", 1), 0, "the units are free again");
}

#[test]
fn r9_an_allocation_has_32_connections_both_directions_and_states_together() {
    let mut world = world();
    let allocation = world.server.table.id_of(&control()).unwrap();
    let relay = RelayId { allocation, family: Family::V4 };
    let permit = world.request(&control(), "anna", Method::CreatePermission, peer(PEER_V4));
    assert_eq!(permit.code(), 0);
    let accepted = |world: &mut World, port: u16| {
        let from = SocketAddr::new(addr(PEER_V4).ip(), port);
        let accepted = world.server.handle_peer_accepted(world.now, relay, from);
        world.drain();
        accepted
    };
    let opened: Vec<_> =
        (1..=16).map(|n| connect(&mut world, &format!("192.0.2.10:{n}")).unwrap()).collect();
    let taken: Vec<_> = (1..=16).map(|port| accepted(&mut world, port).unwrap()).collect();
    for id in &opened[..10] {
        report(&mut world, |server, now| server.handle_peer_connected(now, *id));
    }
    for (port, id) in (5000..).zip(opened[..5].iter().chain(&taken[..5])) {
        let data = tuple(Transport::Tcp, &format!("198.51.100.7:{port}"));
        assert_eq!(bind(&mut world, &data, "anna", id.value()).unwrap().code(), 0);
    }
    for (what, gone, port) in [
        ("a bound one", opened[0], 1),
        ("one that waits for its client", taken[15], 2),
        ("one that waits for its peer", opened[15], 3),
    ] {
        assert_eq!(connect(&mut world, "192.0.2.11:1"), Err(508), "{what}");
        assert_eq!(accepted(&mut world, 17), None, "{what}");
        report(&mut world, |server, now| server.handle_connection_closed(now, gone));
        let next = accepted(&mut world, 17).expect(what);
        report(&mut world, |server, now| server.handle_connection_closed(now, next));
        assert!(connect(&mut world, &format!("192.0.2.12:{port}")).is_ok(), "{what}");
    }
}

#[test]
fn a_connection_is_bound_once_by_its_user_from_a_stream_of_its_own() {
    let mut world = world();
    let opening = connect(&mut world, "192.0.2.9:1").unwrap();
    let id = connected(&mut world, PEER_V4);
    let udp = tuple(Transport::Udp, DATA);
    let data = tuple(Transport::Tcp, DATA);
    for (what, from, user, id, code) in [
        ("a made-up one", &data, "anna", id.value() ^ 0x100, 400),
        ("one that is not open yet", &data, "anna", opening.value(), 400),
        ("over UDP", &udp, "anna", id.value(), 400),
        ("on the control connection", &control(), "anna", id.value(), 400),
        ("another user's", &data, "bert", id.value(), 441),
        ("its own", &data, "anna", id.value(), 0),
        ("it once more", &tuple(Transport::Tcp, "198.51.100.7:9"), "anna", id.value(), 400),
    ] {
        assert_eq!(bind(&mut world, from, user, id).unwrap().code(), code, "{what}");
        assert_eq!(world.bound.len(), usize::from(code == 0 || what == "it once more"), "{what}");
    }
    let nameless = world.request(&data, "anna", Method::ConnectionBind, |_| {});
    assert_eq!(nameless.code(), 400, "without an id");
    // The low byte names the worker.
    let elsewhere = tuple(Transport::Tcp, "198.51.100.7:10");
    assert!(bind(&mut world, &elsewhere, "anna", id.value() ^ 1).is_none());
    assert_eq!(world.handed_over, [(elsewhere, 2)]);
}

#[test]
fn a_connection_not_accepted_or_bound_in_half_a_minute_is_given_up() {
    let mut world = world();
    let opening = connect(&mut world, "192.0.2.9:1").unwrap();
    let failing = connect(&mut world, "192.0.2.9:2").unwrap();
    let sent = report(&mut world, |server, now| server.handle_peer_connect_failed(now, failing));
    assert_eq!(sent.iter().map(Response::code).collect::<Vec<_>>(), [447]);
    world.now.instant += CONNECTION_TIMEOUT / 2;
    let waiting = connected(&mut world, "192.0.2.9:3");
    for (after_s, codes, closed) in
        [(14, &[][..], &[][..]), (15, &[447], &[opening]), (29, &[], &[]), (30, &[], &[waiting])]
    {
        let at = world.now.instant + Duration::from_secs(after_s);
        assert!(world.server.poll_timeout().unwrap() > world.now.instant, "{after_s}");
        let now = Now { instant: at, ..world.now };
        world.closed.clear();
        let sent = report(&mut world, |server, _| server.handle_timeout(now));
        assert_eq!(sent.iter().map(Response::code).collect::<Vec<_>>(), codes, "{after_s}");
        assert_eq!(world.closed, closed, "{after_s}");
    }
    assert_eq!(world.server.connections.len(), 0);
    // Too late.
    let late = report(&mut world, |server, now| server.handle_peer_connected(now, opening));
    assert_eq!(late.len(), 0);
}

#[test]
fn repeated_failures_to_connect_leave_nothing_behind() {
    let mut world = world();
    connected(&mut world, PEER_V6);
    for _ in 0..1000 {
        let failing = connect(&mut world, PEER_V4).unwrap();
        report(&mut world, |server, now| server.handle_peer_connect_failed(now, failing));
    }
    let left = (world.server.connections.len(), world.server.connections.deadlines() < 100);
    assert_eq!(left, (1, true), "{} deadlines", world.server.connections.deadlines());
}

#[test]
fn connections_end_with_what_they_depend_on() {
    type End = fn(&mut World);
    let table: [(&str, End, &[Family]); 6] = [
        (
            "its allocation",
            |world| {
                let release = |w: &mut MessageWriter<'_>| {
                    w.u32(attribute::LIFETIME, 0);
                };
                world.request(&control(), "anna", Method::Refresh, release);
            },
            &[],
        ),
        (
            "one family",
            |world| {
                let release = |w: &mut MessageWriter<'_>| {
                    w.u32(attribute::LIFETIME, 0);
                    w.u32(attribute::REQUESTED_ADDRESS_FAMILY, 0x0100_0000);
                };
                world.request(&control(), "anna", Method::Refresh, release);
            },
            &[Family::V6],
        ),
        (
            "its control connection",
            |world| world.server.handle_client_disconnected(world.now, &control()),
            &[],
        ),
        (
            "the operator's command",
            |world| {
                let id = world.server.table.id_of(&control()).unwrap();
                assert!(world.server.end_allocation(world.now, id));
            },
            &[],
        ),
        ("the rules", |world| world.server.set_reloadable(world.now, credentials()), &[]),
        ("nothing", |_| {}, &[Family::V4, Family::V6]),
    ];
    for (what, end, left) in table {
        let mut world = world();
        let mut ids = Vec::new();
        for (peer, data) in [(PEER_V4, "198.51.100.7:1"), (PEER_V6, "198.51.100.7:2")] {
            let id = connected(&mut world, peer);
            bind(&mut world, &tuple(Transport::Tcp, data), "anna", id.value()).unwrap();
            ids.push((id, Family::of(&addr(peer).ip())));
        }
        end(&mut world);
        world.drain();
        for (id, family) in ids {
            let lives = left.contains(&family);
            assert_eq!(world.bound.contains_key(&id), lives, "{what} {family:?}");
            assert_eq!(world.closed.contains(&id), !lives, "{what} {family:?}");
        }
        assert_eq!(world.server.connections.len(), left.len(), "{what}");
    }
}

#[test]
fn bytes_of_connections_are_counted_and_limited_like_those_of_datagrams() {
    for (what, per_allocation, per_user, rate) in [
        ("no limit", None, None, None),
        ("the allocation's", Some(100_000), Some(1 << 30), Some(100_000)),
        ("the user's", None, Some(50_000), Some(50_000)),
    ] {
        let mut world = world();
        let limit = |rate: Option<u64>| rate.and_then(std::num::NonZeroU64::new);
        let bandwidth =
            BandwidthLimits { per_allocation: limit(per_allocation), per_user: limit(per_user) };
        let policy = PolicyConfig {
            allow: vec!["192.0.2.0/24".parse().unwrap()],
            ..PolicyConfig::default()
        };
        let reloadable =
            ReloadableConfig { bandwidth, policy, tcp_relaying: true, ..credentials() };
        world.server.set_reloadable(world.now, reloadable);
        let id = connected(&mut world, PEER_V4);
        bind(&mut world, &tuple(Transport::Tcp, DATA), "anna", id.value()).unwrap();
        let (mut to_peer, mut to_client) = (0, 0);
        for _ in 0..500 {
            world.now.instant += Duration::from_millis(10);
            let carried = world.server.connection_budget(world.now, id).min(10_000);
            let half = carried / 2;
            world.server.handle_connection_traffic(world.now, id, half, carried - half);
            (to_peer, to_client) = (to_peer + half, to_client + carried - half);
        }
        // Five seconds of the rate and a burst of one.
        let most = rate.map_or(500 * 10_000, |rate: usize| 6 * rate);
        let got = to_peer + to_client;
        assert!(got <= most && got + most / 100 >= most, "{what}: {got} of {most}");
        let bytes = |n: usize| Traffic { packets: 0, bytes: u64::try_from(n).unwrap() };
        let counters = world.server.counters();
        assert_eq!(
            (counters.to_peers(), counters.to_clients()),
            (bytes(to_peer), bytes(to_client))
        );
        let info = &world.server.allocation_infos(world.now, 0, 1)[0];
        assert_eq!((info.to_peer, info.to_client), (bytes(to_peer), bytes(to_client)));
        world.server.handle_connection_closed(world.now, id);
        assert_eq!(world.server.connection_budget(world.now, id), 0, "closed");
    }
}

/// In pion, the handler of permissions was not called for TCP, in either direction.
#[test]
fn pion_570_the_policy_applies_to_tcp_peers_in_both_directions() {
    let mut world = world();
    for denied in ["10.0.0.1:80", "127.0.0.1:80", "169.254.169.254:80", "[::1]:80"] {
        assert_eq!(connect(&mut world, denied), Err(403), "{denied}");
    }
    // Without a password, nothing is connected or bound.
    let waiting = connected(&mut world, PEER_V4);
    let before = world.connecting.len();
    for (method, from) in
        [(Method::Connect, control()), (Method::ConnectionBind, tuple(Transport::Tcp, DATA))]
    {
        let mut out = Vec::new();
        let id = crate::stun::TransactionId([1; 12]);
        MessageWriter::new(&mut out, Class::Request, method, id)
            .xor_address(attribute::XOR_PEER_ADDRESS, addr("192.0.2.9:1"))
            .u32(attribute::CONNECTION_ID, waiting.value())
            .finish()
            .unwrap();
        let sent = world.send_to_server(&from, &out);
        assert_eq!(Response(sent[0].clone()).code(), 401, "{method:?}");
        assert_eq!((world.connecting.len(), world.bound.len()), (before, 0), "{method:?}");
    }

    // A permission does not replace the policy, which is checked again.
    let id = world.server.table.id_of(&control()).unwrap();
    let relay = RelayId { allocation: id, family: Family::V4 };
    let permit = world.request(&control(), "anna", Method::CreatePermission, peer(PEER_V4));
    assert_eq!(permit.code(), 0);
    let from = addr("192.0.2.9:1");
    assert!(
        world.server.handle_peer_accepted(world.now, relay, from).is_some(),
        "while it is allowed"
    );
    assert_eq!(world.drain().len(), 1, "it is announced");
    let settings = ReloadableConfig { tcp_relaying: true, ..credentials() };
    world.server.set_reloadable(world.now, settings);
    world.drain();
    assert_eq!(world.server.handle_peer_accepted(world.now, relay, addr("192.0.2.9:2")), None);
    assert_eq!(world.drain(), Vec::<Vec<u8>>::new(), "it is not announced");
    assert_eq!(connect(&mut world, "192.0.2.9:3"), Err(403));
    assert!(world.connecting.is_empty() && world.bound.is_empty(), "nothing is left open");
}

/// A service of the host may have the port that a client's relay socket has for the other protocol.
#[test]
fn r2_a_relayed_address_is_a_peer_for_its_own_protocol_only() {
    let mut world = world();
    let (of_udp, of_tcp) =
        (tuple(Transport::Udp, "198.51.100.8:1"), tuple(Transport::Tcp, "198.51.100.9:1"));
    for (what, other, fill, code) in [
        ("UDP", &of_udp, allocate_udp as fn(&mut MessageWriter<'_>), Err(403)),
        ("TCP", &of_tcp, allocate, Ok(())),
    ] {
        let allocated = world.request(other, "anna", Method::Allocate, fill);
        let relayed = allocated.message().xor_address(attribute::XOR_RELAYED_ADDRESS);
        let relayed = relayed.unwrap().unwrap().to_string();
        assert_eq!(connect(&mut world, &relayed).map(|_| ()), code, "{what}");
    }
}

fn allocate_udp(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, crate::REQUESTED_UDP);
}
