//! The rules R1 to R12 as far as they concern the protocol; `docs/ref/turn-safety.md` names the
//! tests of the others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use porthole_fuzz::world::{
    CLIENT, ID, LIMITS, PEER_V4, REALM, REST_SECRET, START_UNIX_S, USER, World, addr, allocate,
    channel, code, config, lifetime, password, peer, signed, tuple, unsigned,
};
use porthole_turn_proto::rest_credentials;
use porthole_turn_proto::server::{
    FiveTuple, MAX_CHANNELS, MAX_LIFETIME, MAX_PEERS_PER_REQUEST, MAX_PERMISSIONS, ReloadableConfig,
};
use porthole_turn_proto::stun::{
    Class, Message, MessageWriter, Method, attribute, encode_xor_address, long_term_key,
};
use proptest::prelude::*;

use super::{encodings, world};

/// The IPv4 blocks that are denied unless they are allowed explicitly: network, prefix length.
const DENIED_V4: [(Ipv4Addr, u32); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];
/// The IPv6 blocks that are denied unless they are allowed explicitly.
const DENIED_V6: [(&str, u32); 15] = [
    ("::", 64),
    ("64:ff9b::", 96),
    ("64:ff9b:1::", 48),
    ("100::", 64),
    ("100:0:0:1::", 64),
    ("2001::", 23),
    ("2001:db8::", 32),
    ("2002::", 16),
    ("2620:4f:8000::", 48),
    ("3fff::", 20),
    ("5f00::", 16),
    ("fc00::", 7),
    ("fe80::", 10),
    ("fec0::", 10),
    ("ff00::", 8),
];

/// Writes the attributes of an Allocate for IPv6 peers.
fn allocate_v6(writer: &mut MessageWriter<'_>) {
    allocate(writer);
    writer.u32(attribute::REQUESTED_ADDRESS_FAMILY, 2 << 24);
}

/// Tries to reach a peer in every way. Returns true if a packet would get through to it.
fn reaches(world: &mut World, from: &FiveTuple, target: SocketAddr) -> bool {
    world.request_code(USER, from, Method::CreatePermission, peer(target));
    let bound = world.request_code(USER, from, Method::ChannelBind, channel(0x4000, target));
    bound == 0 || world.send_indication(from, target)
}

/// Returns true if every way is refused, with 403, or with 443 if an IPv4 address is embedded.
fn is_refused(world: &mut World, from: &FiveTuple, target: SocketAddr) -> bool {
    let permitted = world.request_code(USER, from, Method::CreatePermission, peer(target));
    matches!(permitted, 403 | 443) && !reaches(world, from, target)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn r1_every_encoding_of_every_denied_address_is_refused(
        range in 0..DENIED_V4.len(), host: u32, prefix: u64, port in 1_u16..,
    ) {
        // All of IPv6 is allowed, so that only the embedded address can be denied.
        let mut world = world(&["::/0"], &[]);
        let (v4, v6) = (tuple(CLIENT), tuple("198.51.100.7:4001"));
        world.allocate(&v4);
        prop_assert_eq!(world.request_code(USER, &v6, Method::Allocate, allocate_v6), 0);
        let (net, length) = DENIED_V4[range];
        let denied = Ipv4Addr::from_bits(net.to_bits() | host & (u32::MAX >> length));
        // The relayed address, at which two clients of the server may meet.
        prop_assume!(denied != Ipv4Addr::new(203, 0, 113, 1));
        prop_assert!(is_refused(&mut world, &v4, (denied, port).into()), "{denied}");
        for (how, hidden) in encodings(denied, prefix) {
            // ::0.0.0.0 and ::0.0.0.1 are the unspecified address and loopback of IPv6.
            if hidden.to_bits() <= 1 {
                continue;
            }
            for from in [&v4, &v6] {
                let refused = is_refused(&mut world, from, (hidden, port).into());
                prop_assert!(refused, "{denied} as {hidden}, {how}");
            }
        }
    }

    #[test]
    fn r2_special_purpose_addresses_are_denied_by_default(
        v4 in 0..DENIED_V4.len(), v6 in 0..DENIED_V6.len(), host: u128, port in 1_u16..,
    ) {
        let mut world = world(&[], &[]);
        let (from_v4, from_v6) = (tuple(CLIENT), tuple("198.51.100.7:4001"));
        world.allocate(&from_v4);
        prop_assert_eq!(world.request_code(USER, &from_v6, Method::Allocate, allocate_v6), 0);
        let (net, length) = DENIED_V4[v4];
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let denied = Ipv4Addr::from_bits(net.to_bits() | host as u32 & (u32::MAX >> length));
        // The relayed address, at which two clients of the server may meet.
        prop_assume!(denied != Ipv4Addr::new(203, 0, 113, 1));
        prop_assert!(is_refused(&mut world, &from_v4, (denied, port).into()), "{denied}");
        let (net, length) = DENIED_V6[v6];
        let net: Ipv6Addr = net.parse().unwrap();
        let denied = Ipv6Addr::from_bits(net.to_bits() | host & (u128::MAX >> length));
        prop_assert!(is_refused(&mut world, &from_v6, (denied, port).into()), "{denied}");
    }
}

#[test]
fn r2_the_hosts_own_addresses_are_denied_by_default() {
    let mut world = world(&[], &[]);
    let from = tuple(CLIENT);
    world.allocate(&from);
    for (target, reached) in [
        ("198.41.0.4:3478", false),
        ("198.41.0.4:22", false),
        ("203.0.113.1:3478", false),
        ("203.0.113.1:22", false),
        ("9.9.9.9:9000", true),
    ] {
        assert_eq!(reaches(&mut world, &from, addr(target)), reached, "{target}");
    }
}

#[test]
fn r3_the_policy_is_checked_for_each_packet() {
    let mut world = World::default();
    let (from, target) = (tuple(CLIENT), addr(PEER_V4));
    let relayed = world.allocate(&from);
    assert_eq!(world.request_code(USER, &from, Method::ChannelBind, channel(0x4000, target)), 0);
    let channel_data = [&[0x40, 0, 0, 1][..], b"x"].concat();
    let open = config().reloadable;
    let mut closed = open.clone();
    closed.policy.deny = vec!["192.0.2.0/24".parse().unwrap()];
    for (what, settings, allowed) in [("open", &open, true), ("closed", &closed, false)].repeat(2) {
        world.server.set_reloadable(world.now, ReloadableConfig::clone(settings));
        assert_eq!(world.send_indication(&from, target), allowed, "{what}: Send");
        let before = world.to_peers.len();
        world.send_to_server(&from, &channel_data);
        assert_eq!(world.to_peers.len() > before, allowed, "{what}: ChannelData");
        let back = world.peer_sends(relayed, target, b"back");
        assert_eq!(back.is_some(), allowed, "{what}: from the peer");
        let code = if allowed { 0 } else { 403 };
        assert_eq!(world.request_code(USER, &from, Method::CreatePermission, peer(target)), code);
        assert_eq!(
            world.request_code(USER, &from, Method::ChannelBind, channel(0x4000, target)),
            code
        );
    }
}

#[test]
fn r4_unauthenticated_clients_leave_no_state() {
    let mut world = World::default();
    let elsewhere = world.nonce(&tuple("198.51.100.9:1"));
    for n in 0..2_000_u16 {
        let [a, b] = n.to_be_bytes();
        let mut from = tuple(CLIENT);
        from.client = SocketAddr::new(IpAddr::from([198, a, b, 51]), 4000);
        for method in [Method::Allocate, Method::Refresh, Method::CreatePermission] {
            world.send_to_server(&from, &unsigned(method, allocate));
            // A nonce is valid for the client that received it.
            let stolen = signed(USER, &password(USER), &elsewhere, method, allocate);
            assert_eq!(
                world.send_to_server(&from, &stolen).iter().map(|a| code(a)).max(),
                Some(438)
            );
        }
        let guess = world.nonce(&from);
        let guessed = signed(USER, "guess", &guess, Method::Allocate, allocate);
        assert_eq!(world.send_to_server(&from, &guessed).iter().map(|a| code(a)).max(), Some(401));
    }
    assert_eq!((world.server.allocations(), world.open.len()), (0, 0));
    assert_eq!((world.ports_taken(), world.quota_in_use()), (0, 0));
    assert_eq!(world.server.poll_timeout(), None, "no timer is set");
}

fn indication(method: Method) -> Vec<u8> {
    let mut out = Vec::new();
    MessageWriter::new(&mut out, Class::Indication, method, ID).finish().unwrap();
    out
}

/// Checks the bytes in and out for each kind of message that needs no credentials. The table is
/// shown with `--nocapture`.
#[test]
fn r5_responses_to_unauthenticated_clients_are_small() {
    let mut world = World::default();
    let (v4, v6) = (tuple(CLIENT), tuple("[2001:db8::7]:4000"));
    let nothing = |_: &mut MessageWriter<'_>| {};
    let fingerprint = |writer: &mut MessageWriter<'_>| {
        writer.fingerprint();
    };
    let unknown = |writer: &mut MessageWriter<'_>| {
        (0..8).for_each(|n| {
            writer.attribute(0x7000 + n, &[]);
        });
    };
    println!("{:32} {:>4} {:>4} {:>6}", "request", "in", "out", "ratio");
    for (what, from, request, most) in [
        ("Binding, IPv4", &v4, unsigned(Method::Binding, nothing), 32.0 / 20.0),
        ("Binding, IPv6", &v6, unsigned(Method::Binding, nothing), 44.0 / 20.0),
        ("Binding with FINGERPRINT", &v4, unsigned(Method::Binding, fingerprint), 40.0 / 28.0),
        ("Binding with unknown attributes", &v4, unsigned(Method::Binding, unknown), 1.0),
        ("Binding indication", &v4, indication(Method::Binding), 0.0),
        ("Send indication", &v4, indication(Method::Send), 0.0),
        ("Data indication", &v4, indication(Method::Data), 0.0),
        ("ChannelData", &v4, vec![0x40, 0, 0, 0], 0.0),
    ] {
        let out: usize = world.send_to_server(from, &request).iter().map(Vec::len).sum();
        let ratio = f64::from(u32::try_from(out).unwrap())
            / f64::from(u32::try_from(request.len()).unwrap());
        println!("{what:32} {:4} {out:4} {ratio:6.2}", request.len());
        assert!(ratio <= most, "{what}: {ratio}");
    }
}

fn append(mut request: Vec<u8>, kind: u16, value: &[u8]) -> Vec<u8> {
    request.extend_from_slice(&kind.to_be_bytes());
    request.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    request.extend_from_slice(value);
    let body = u16::try_from(request.len() - 20).unwrap();
    request[2..4].copy_from_slice(&body.to_be_bytes());
    request
}

#[test]
fn r6_only_the_first_covered_attribute_of_each_type_counts() {
    let mut world = World::default();
    let from = tuple(CLIENT);
    world.allocate(&from);
    let nonce = world.nonce(&from);
    let by_anna = |method, fill: &dyn Fn(&mut MessageWriter<'_>)| {
        signed(USER, &password(USER), &nonce, method, fill)
    };

    let released = append(by_anna(Method::Refresh, &|_| {}), attribute::LIFETIME, &[0; 4]);
    assert_eq!(world.send_to_server(&from, &released).iter().map(|a| code(a)).max(), Some(0));
    assert_eq!(world.server.allocations(), 1, "a LIFETIME of 0 behind the integrity");

    let (target, len) = encode_xor_address(addr(PEER_V4), ID);
    let permit = by_anna(Method::CreatePermission, &|_| {});
    let permit = append(permit, attribute::XOR_PEER_ADDRESS, &target[..len]);
    assert_eq!(world.send_to_server(&from, &permit).iter().map(|a| code(a)).max(), Some(400));

    // The first of two attributes counts.
    let twice = by_anna(Method::Refresh, &|writer| {
        writer.u32(attribute::LIFETIME, 1_000).u32(attribute::LIFETIME, 0);
    });
    let sent = world.send_to_server(&from, &twice);
    let message = Message::parse(&sent[0]).unwrap();
    assert_eq!(message.u32(attribute::LIFETIME), Ok(Some(1_000)));

    // An unknown comprehension-required attribute.
    let unknown = by_anna(Method::Refresh, &|writer| {
        writer.attribute(0x7ABC, &[]);
    });
    assert_eq!(world.send_to_server(&from, &unknown).iter().map(|a| code(a)).max(), Some(420));
    // An unknown comprehension-optional attribute is ignored.
    let optional = by_anna(Method::Refresh, &|writer| {
        writer.attribute(0xFABC, &[1, 2, 3]);
    });
    assert_eq!(world.send_to_server(&from, &optional).iter().map(|a| code(a)).max(), Some(0));

    // A length that is not that of the message, or not a multiple of four.
    for change in [-4_i8, -1, 1, 4] {
        let mut bent = by_anna(Method::Refresh, &|_| {});
        bent[3] = bent[3].wrapping_add_signed(change);
        assert!(world.send_to_server(&from, &bent).is_empty(), "{change}");
    }
}

#[test]
fn r8_scarce_resources_are_released_however_an_allocation_ends() {
    let mut world = World::default();
    for way in ["released", "expired", "connection closed", "by the operator", "shut down", "never"]
    {
        for round in 0..30_u16 {
            let mut from = tuple(CLIENT);
            from.client.set_port(4000 + round % 3);
            // A pair of ports, one of them reserved and never claimed.
            let pair = |writer: &mut MessageWriter<'_>| {
                allocate(writer);
                writer.attribute(attribute::EVEN_PORT, &[0x80]);
            };
            world.failing_opens = if way == "never" { usize::MAX } else { usize::from(round % 4) };
            let made = world.request_code(USER, &from, Method::Allocate, pair);
            assert_eq!(made, if way == "never" { 508 } else { 0 }, "{way} {round}");
            world.request_code(USER, &from, Method::CreatePermission, peer(addr(PEER_V4)));
            match way {
                "released" => {
                    assert_eq!(world.request_code(USER, &from, Method::Refresh, lifetime(0)), 0);
                }
                "expired" => world.advance(MAX_LIFETIME),
                "connection closed" => world.server.handle_client_disconnected(world.now, &from),
                "by the operator" => {
                    let id = world.server.allocation_infos(world.now, 0, 1)[0].id;
                    assert!(world.server.end_allocation(world.now, id));
                }
                "shut down" => world.server.close(world.now),
                _ => {}
            }
            world.drain();
            assert_eq!((world.server.allocations(), world.open.len()), (0, 0), "{way} {round}");
            assert_eq!(world.quota_in_use(), 0, "{way} {round}");
            // Reservations wait for 30 s (RFC 8656 §7.2).
            world.advance(Duration::from_secs(31));
            assert_eq!(world.ports_taken(), 0, "{way} {round}");
        }
        world.failing_opens = 0;
    }
    assert_eq!(world.ended.len(), 5 * 30, "each end was reported once");
}

#[test]
fn r9_everything_that_a_client_can_accumulate_is_bounded() {
    let mut world = World::default();
    let from = tuple(CLIENT);
    world.allocate(&from);
    for n in 0..=MAX_CHANNELS {
        let target = SocketAddr::new(addr(PEER_V4).ip(), u16::try_from(n + 1).unwrap());
        let number = 0x4000 + u16::try_from(n).unwrap();
        let bound = world.request_code(USER, &from, Method::ChannelBind, channel(number, target));
        assert_eq!(bound, if n < MAX_CHANNELS { 0 } else { 508 }, "channel {n}");
    }
    for n in 0..=MAX_PERMISSIONS {
        let target = SocketAddr::new([192, 0, 2, u8::try_from(n).unwrap()].into(), 1);
        let permitted = world.request_code(USER, &from, Method::CreatePermission, peer(target));
        // The peer of the channels has a permission already.
        assert_eq!(permitted, if n < MAX_PERMISSIONS { 0 } else { 508 }, "permission {n}");
    }
    let many = |writer: &mut MessageWriter<'_>| {
        (0..=MAX_PEERS_PER_REQUEST).for_each(|_| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
        });
    };
    assert_eq!(world.request_code(USER, &from, Method::CreatePermission, many), 508);

    for n in 1..=4_u16 {
        let mut other = from;
        other.client.set_port(5000 + n);
        let code = world.request_code(USER, &other, Method::Allocate, allocate);
        assert_eq!(code, if n < LIMITS.per_user.try_into().unwrap() { 0 } else { 486 }, "{n}");
    }
}

#[test]
fn r10_time_limited_credentials_expire_and_secrets_roll_over() {
    let mut settings = config();
    settings.reloadable.rest_secrets = vec!["new".to_owned(), REST_SECRET.to_owned()];
    let mut world = World::new(settings);
    for (what, secret, until, expected) in [
        ("the old secret", REST_SECRET, START_UNIX_S + 60, 0),
        ("the new secret", "new", START_UNIX_S + 60, 0),
        ("a guessed secret", "guess", START_UNIX_S + 60, 401),
        ("expired", REST_SECRET, START_UNIX_S - 1, 401),
        ("expires now", REST_SECRET, START_UNIX_S, 401),
    ] {
        let from = tuple(CLIENT);
        let nonce = world.nonce(&from);
        let (user, password) = rest_credentials(secret, "carl", until);
        let request = signed(&user, &password, &nonce, Method::Allocate, allocate);
        let sent = world.send_to_server(&from, &request);
        assert_eq!(sent.iter().map(|a| code(a)).max(), Some(expected), "{what}");
        world.server.close(world.now);
        world.drain();
    }
    // Credentials made with a secret that was withdrawn are invalid.
    let mut withdrawn = config().reloadable;
    withdrawn.rest_secrets = vec!["new".to_owned()];
    world.server.set_reloadable(world.now, withdrawn);
    let (user, password) = rest_credentials(REST_SECRET, "carl", START_UNIX_S + 60);
    let nonce = world.nonce(&tuple(CLIENT));
    let request = signed(&user, &password, &nonce, Method::Allocate, allocate);
    let sent = world.send_to_server(&tuple(CLIENT), &request);
    assert_eq!(sent.iter().map(|a| code(a)).max(), Some(401));
}

#[test]
fn r10_no_secret_is_shown() {
    let shown = format!("{:?} {:?}", config(), World::default());
    for secret in [REST_SECRET, &password(USER)] {
        assert!(!shown.contains(&format!("{secret:?}")), "{secret} in {shown}");
    }
}

#[test]
fn r11_nothing_but_stun_and_turn_is_answered() {
    let mut world = World::default();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /admin HTTP/1.1\r\n\r\n",
        "help\r\n",
        "\u{3}\u{0}\u{0}",
        "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
    ] {
        assert!(world.send_to_server(&tuple(CLIENT), request.as_bytes()).is_empty(), "{request:?}");
        let mut stream = porthole_turn_proto::StreamDecoder::new();
        stream.push(request.as_bytes()).unwrap();
        // The connection is closed, or waits for the rest of a header.
        assert!(!matches!(stream.next_frame(), Ok(Some(_))), "{request:?}");
    }
}

#[test]
fn r12_a_hostile_username_is_only_a_username() {
    const HOSTILE: [&str; 5] =
        ["%s%s%n", "a\nb\"} 1", "'; DROP TABLE users; --", "\u{1b}[2J", "${jndi:ldap://x}"];
    let mut settings = config();
    settings.reloadable.users = HOSTILE.map(|user| (user.to_owned(), password(user))).to_vec();
    let mut world = World::new(settings);
    for user in HOSTILE {
        let from = tuple(CLIENT);
        assert_eq!(world.request_code(user, &from, Method::Allocate, allocate), 0, "{user:?}");
        assert_eq!(world.server.allocation_infos(world.now, 0, 1)[0].username, user);
        assert_eq!(world.request_code(user, &from, Method::Refresh, lifetime(0)), 0, "{user:?}");
        // An unknown hostile name is refused like any unknown name.
        let nonce = world.nonce(&from);
        let other = format!("{user}x");
        let mut request = Vec::new();
        MessageWriter::new(&mut request, Class::Request, Method::Refresh, ID)
            .attribute(attribute::USERNAME, other.as_bytes())
            .attribute(attribute::REALM, user.as_bytes())
            .attribute(attribute::NONCE, nonce.as_bytes())
            .integrity(&long_term_key(&other, REALM, "x"))
            .finish()
            .unwrap();
        let sent = world.send_to_server(&from, &request);
        assert_eq!(sent.iter().map(|a| code(a)).max(), Some(401), "{user:?}");
    }
}
