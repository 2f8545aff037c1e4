//! Attacks that were published against other TURN servers, tried here. Each test is named after
//! the advisory, or after the commit or issue if there is no advisory; `docs/ref/turn-safety.md`
//! explains each.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use porthole_fuzz::world::{
    CLIENT, LIMITS, PEER_V4, USER, World, addr, allocate, channel, code, config, lifetime,
    password, peer, signed, tuple, unsigned,
};
use porthole_turn_proto::server::{Cidr, FiveTuple, NONCE_LIFETIME_S};
use porthole_turn_proto::stun::{Class, MessageWriter, Method, TransactionId, attribute};
use porthole_turn_proto::{Transport, channel as framing};

use super::world;

/// Returns true if a channel or a Send indication gets through to a peer, from an allocation of
/// its family.
fn is_reached(world: &mut World, target: &str) -> bool {
    let target = addr(target);
    let mut from = tuple(CLIENT);
    from.client.set_port(if target.is_ipv4() { 4000 } else { 4001 });
    if !world.server.has_allocation(&from) {
        let family = if target.is_ipv4() { 1 } else { 2 };
        let made = world.request_code(USER, &from, Method::Allocate, |writer| {
            allocate(writer);
            writer.u32(attribute::REQUESTED_ADDRESS_FAMILY, family << 24);
        });
        assert_eq!(made, 0);
    }
    // A permission alone lets nothing through: packets are checked again, with their port.
    world.request_code(USER, &from, Method::CreatePermission, peer(target));
    world.request_code(USER, &from, Method::ChannelBind, channel(0x4000, target)) == 0
        || world.send_indication(&from, target)
}

#[track_caller]
fn refused(targets: &[&str]) {
    let mut world = world(&[], &[]);
    for target in targets {
        assert!(!is_reached(&mut world, target), "{target}");
    }
}

#[test]
fn cve_2018_4058_loopback_is_not_a_peer_by_default() {
    refused(&["127.0.0.1:3478", "127.0.0.1:5766", "127.255.255.254:80", "[::1]:5766"]);
}

#[test]
fn cve_2020_4067_padding_holds_nothing_of_other_messages() {
    for len in 0..=9 {
        // The buffer contains old bytes.
        let mut out = vec![0xEE; 600];
        out.clear();
        MessageWriter::new(&mut out, Class::Request, Method::Allocate, TransactionId([7; 12]))
            .attribute(attribute::SOFTWARE, &vec![0xAA; len])
            .attribute(attribute::NONCE, &vec![0xBB; len])
            .finish()
            .unwrap();
        assert_eq!(out.len(), 20 + 2 * (4 + len.next_multiple_of(4)));
        assert!(!out[20..].contains(&0xEE), "{len}");
        let padding = len.next_multiple_of(4) - len;
        assert!(out[out.len() - padding..].iter().all(|byte| *byte == 0), "{len}");
    }
}

#[test]
fn cve_2020_6061_http_on_the_port_is_not_parsed() {
    let mut world = World::default();
    for request in ["GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 4096\r\n\r\n"] {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Dtls] {
            let mut from = tuple(CLIENT);
            from.transport = transport;
            assert!(world.send_to_server(&from, request.as_bytes()).is_empty());
        }
    }
    assert_eq!(world.server.allocations(), 0);
}

#[test]
fn cve_2020_6062_an_incomplete_post_is_harmless() {
    let mut world = World::default();
    for (request, body) in [
        ("POST", ""),
        ("POST / HTTP/1.1\r\n\r\n", ""),
        ("POST /logon HTTP/1.1\r\nContent-Length: 4294967295\r\n\r\n", "uname"),
        ("POST /logon HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "&=&&==&%"),
        ("POST /logon HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n", "\r\n"),
    ] {
        let bytes = [request, body].concat();
        assert!(world.send_to_server(&tuple(CLIENT), bytes.as_bytes()).is_empty(), "{bytes:?}");
        // Over a stream, and with many bytes behind it.
        let mut stream = framing::StreamDecoder::new();
        let mut from = tuple(CLIENT);
        from.transport = Transport::Tcp;
        stream.push(bytes.as_bytes()).unwrap();
        stream.push(&[b'='; 60_000]).unwrap();
        while let Ok(Some(frame)) = stream.next_frame() {
            assert!(world.send_to_server(&from, frame).is_empty(), "{bytes:?}");
        }
    }
    assert_eq!((world.server.allocations(), world.server.poll_timeout()), (0, None));
    world.allocate(&tuple(CLIENT));
}

#[test]
fn cve_2020_26262_the_unspecified_address_does_not_lead_to_loopback() {
    refused(&["0.0.0.0:80", "0.1.2.3:80", "[::]:80", "[::1]:80"]);
}

#[test]
fn cve_2021_21382_neither_loopback_nor_the_hosts_own_services_are_reached() {
    refused(&["127.0.0.1:8080", "[::1]:8080", "198.41.0.4:8080", "203.0.113.1:8080"]);
}

#[test]
fn cve_2025_69217_nonces_and_ports_cannot_be_predicted() {
    let observe = |seed: u8, key: u8| {
        let mut settings = config();
        (settings.seed, settings.nonce_key) = ([seed; 32], [key; 32]);
        let mut world = World::new(settings);
        let nonce = world.nonce(&tuple(CLIENT));
        let ports = (0..3_u16).map(|n| {
            let mut from = tuple(CLIENT);
            from.client.set_port(4000 + n);
            world.allocate(&from).port()
        });
        let ports: Vec<_> = ports.collect();
        (nonce, ports)
    };
    let known = observe(1, 1);
    assert_eq!(known, observe(1, 1), "all randomness comes from the seed");
    assert_ne!(known.0, observe(1, 2).0, "another key, another nonce");
    // With 20 ports, another seed may happen to choose the same three, but not every other seed.
    assert!((2..12).any(|seed| observe(seed, 1).1 != known.1), "other seeds, other ports");
    let consecutive = |ports: &[u16]| ports.windows(2).all(|two| two[1] == two[0] + 1);
    assert!((2..12).any(|seed| !consecutive(&observe(seed, 1).1)), "ports are not consecutive");
}

#[test]
fn cve_2026_27624_a_mapped_address_is_the_address() {
    refused(&[
        "[::ffff:127.0.0.1]:80",
        "[::ffff:0.0.0.0]:80",
        "[::ffff:169.254.169.254]:80",
        "[::ffff:10.0.0.1]:80",
    ]);
    // A rule for the address holds for the mapped one as well.
    let mut denied = super::world(&[], &["9.9.9.0/24"]);
    assert!(!is_reached(&mut denied, "9.9.9.9:53"));
    assert!(!is_reached(&mut denied, "[::ffff:9.9.9.9]:53"));
}

#[test]
fn coturn_b057acbe_what_looks_like_loopback_is_not_taken_for_it() {
    // Their fix mistook addresses of the shape of ::1 for it. Here embedded addresses are unwrapped
    // first.
    refused(&["[::1]:1", "[::127.0.0.1]:1", "[::ffff:0:1]:1", "[::ffff:0:127.0.0.1]:1"]);
}

#[test]
fn coturn_1945_other_ways_to_embed_an_ipv4_address_are_unwrapped() {
    // All of IPv6 is allowed, so that only the embedded address can be denied.
    let mut world = world(&["::/0"], &[]);
    for (target, reached) in [
        ("[::10.0.0.1]:1", false),
        ("[64:ff9b::10.0.0.1]:1", false),
        ("[64:ff9b:1::10.0.0.1]:1", false),
        ("[2002:a00:1::1]:1", false),
        ("[2001:0:102:304::f5ff:fffe]:1", false),
        ("[2001:0:a00:1::1]:1", false),
        ("[2606:4700::5efe:a00:1]:1", false),
        ("[2606:4700::200:5efe:a00:1]:1", false),
        ("[64:ff9b::9.9.9.9]:1", true),
    ] {
        assert_eq!(is_reached(&mut world, target), reached, "{target}");
    }
}

#[test]
fn coturn_6c13608c_ranges_of_ipv6_are_compared_as_numbers() {
    for (block, inside, outside) in [
        ("2001:db8:8000::/33", "2001:db8:ffff:1::", "2001:db8:7fff::"),
        ("2001:db8::/47", "2001:db8:1:ffff::", "2001:db8:2::"),
        ("fe80::/10", "febf:ffff::1", "fec0::1"),
        ("2001:db8::ff00/120", "2001:db8::ffff", "2001:db8::1:0"),
        ("::/0", "ffff::", ""),
    ] {
        let cidr: Cidr = block.parse().unwrap();
        assert!(cidr.contains(IpAddr::V6(inside.parse().unwrap())), "{inside} in {block}");
        if let Ok(outside) = outside.parse::<Ipv6Addr>() {
            assert!(!cidr.contains(IpAddr::V6(outside)), "{outside} not in {block}");
        }
    }
    assert!("2001:db8::1-2001:db8::9".parse::<Cidr>().is_err(), "only prefixes are allowed");
}

#[test]
fn coturn_1946_databases_and_other_services_of_the_host_are_not_peers() {
    refused(&["198.41.0.4:6379", "198.41.0.4:5432", "[2001:503:ba3e::2:30]:3306"]);
    refused(&["203.0.113.1:5432", "127.0.0.1:6379", "[::1]:27017"]);
    refused(&["192.168.0.10:5432", "10.1.2.3:6379"]);
}

#[test]
fn coturn_1947_link_local_and_unique_local_addresses_are_not_peers() {
    refused(&["169.254.169.254:80", "169.254.0.1:80", "[::ffff:169.254.169.254]:80"]);
    refused(&["[fe80::1]:80", "[fc00::1]:80", "[fd00:ec2::254]:80", "[fec0::1]:80"]);
}

#[test]
fn cve_2026_40613_messages_are_read_at_every_alignment() {
    let nonce = World::default().nonce(&tuple(CLIENT));
    let request = signed(USER, &password(USER), &nonce, Method::Allocate, allocate);
    for offset in 0..16 {
        let mut world = World::default();
        let buffer = [&vec![0xFF; offset][..], &request].concat();
        let sent = world.send_to_server(&tuple(CLIENT), &buffer[offset..]);
        assert_eq!(sent.iter().map(|a| code(a)).max(), Some(0), "{offset}");
        let frame = [&vec![0xFF; offset][..], &[0x40, 0, 0, 3, 1, 2, 3]].concat();
        let read = framing::read_channel_data(&frame[offset..]);
        assert_eq!(read.map(|(_, payload)| payload), Some(&[1, 2, 3][..]), "{offset}");
    }
}

#[test]
fn ghsa_4g7c_p5wg_j4hp_a_username_is_not_a_format_string() {
    let name = "%n%s%p{}{0}";
    let mut settings = config();
    settings.reloadable.users = vec![(name.to_owned(), password(name))];
    let mut world = World::new(settings);
    assert_eq!(world.request_code(name, &tuple(CLIENT), Method::Allocate, allocate), 0);
    world.server.close(world.now);
    world.drain();
    assert_eq!(world.ended[0].allocation.username, name);
}

#[test]
fn coturn_ab762f33_attributes_behind_the_integrity_have_no_effect() {
    let mut world = World::default();
    let from = tuple(CLIENT);
    world.allocate(&from);
    let nonce = world.nonce(&from);
    // An attacker on the path adds attributes and corrects the length.
    for (kind, value) in [
        (attribute::LIFETIME, vec![0; 4]),
        (attribute::USERNAME, b"bert".to_vec()),
        (0x802F, b"origin".to_vec()),
    ] {
        let mut request = signed(USER, &password(USER), &nonce, Method::Refresh, |_| {});
        request.extend_from_slice(&kind.to_be_bytes());
        request.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        request.extend_from_slice(&value);
        request.resize(request.len().next_multiple_of(4), 0);
        let body = u16::try_from(request.len() - 20).unwrap();
        request[2..4].copy_from_slice(&body.to_be_bytes());
        let sent = world.send_to_server(&from, &request);
        assert_eq!(sent.iter().map(|a| code(a)).max(), Some(0), "{kind:#x}");
        assert_eq!(world.server.allocations(), 1, "{kind:#x}");
        assert_eq!(world.server.allocation_infos(world.now, 0, 1)[0].username, USER);
    }
}

#[test]
fn coturn_4adbd82e_an_even_port_does_not_cost_the_odd_one() {
    let mut world = World::default();
    for round in 0..100 {
        for reserve in [0, 0x80] {
            let made = world.request_code(USER, &tuple(CLIENT), Method::Allocate, |writer| {
                allocate(writer);
                writer.attribute(attribute::EVEN_PORT, &[reserve]);
            });
            assert_eq!(made, 0, "{round}: the ports are used up");
            assert_eq!(world.ports_taken(), if reserve == 0 { 1 } else { 2 });
            world.server.close(world.now);
            world.drain();
            world.advance(Duration::from_secs(31));
            assert_eq!(world.ports_taken(), 0, "{round}");
        }
    }
}

/// Returns a client with an address of its own for each number.
fn numbered_client(n: u32) -> FiveTuple {
    FiveTuple { client: SocketAddr::new(IpAddr::from(n.to_be_bytes()), 4000), ..tuple(CLIENT) }
}

#[track_caller]
fn nothing_is_kept(world: &World) {
    assert_eq!((world.server.allocations(), world.quota_in_use(), world.open.len()), (0, 0, 0));
    assert_eq!(world.server.handed_over_clients(), 0);
    assert_eq!(world.server.poll_timeout(), None, "no timer is set");
}

#[test]
fn coturn_1641_a_spoofed_packet_costs_no_memory() {
    let mut world = World::default();
    for n in 0..10_000 {
        // Two zero bytes, as in the issue.
        assert!(world.send_to_server(&numbered_client(n), &[0, 0]).is_empty());
        world.send_to_server(&numbered_client(n), &unsigned(Method::Allocate, allocate));
    }
    nothing_is_kept(&world);
}

#[test]
fn coturn_780_no_unauthenticated_packet_makes_an_allocation() {
    let nothing = |_: &mut MessageWriter<'_>| {};
    let packets = [
        unsigned(Method::Binding, nothing),
        unsigned(Method::Refresh, lifetime(600)),
        unsigned(Method::CreatePermission, peer(addr(PEER_V4))),
        unsigned(Method::ChannelBind, channel(0x4000, addr(PEER_V4))),
        signed("nobody", "guess", "old", Method::Allocate, allocate),
        vec![0x40, 0, 0, 4, 1, 2, 3, 4],
        vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = World::default();
        for n in 0..2_000 {
            let from = FiveTuple { transport, ..numbered_client(n) };
            for packet in &packets {
                world.send_to_server(&from, packet);
            }
        }
        nothing_is_kept(&world);
    }
}

#[test]
fn pion_361_nonces_are_not_remembered() {
    let mut world = World::default();
    let from = tuple(CLIENT);
    let nonce = world.nonce(&from);
    // A nonce of another process with the same key is valid, so nothing is remembered.
    let mut twin = World::default();
    let request = signed(USER, &password(USER), &nonce, Method::Allocate, allocate);
    assert_eq!(twin.send_to_server(&from, &request).iter().map(|a| code(a)).max(), Some(0));
    // An old nonce is not, although no timer has removed it.
    world.advance(Duration::from_secs(NONCE_LIFETIME_S + 1));
    assert_eq!(world.send_to_server(&from, &request).iter().map(|a| code(a)).max(), Some(438));
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn slack_2020_cloud_metadata_and_private_networks_are_not_reached() {
    refused(&["169.254.169.254:80", "10.0.0.2:80", "172.31.0.2:53", "[fd00:ec2::254]:80"]);
}

#[test]
fn resiprocate_484_the_quota_of_a_user_is_enforced() {
    let mut world = World::default();
    let allocate_from = |world: &mut World, user: &str, port: u16| {
        let mut from = tuple(CLIENT);
        from.client.set_port(port);
        world.request_code(user, &from, Method::Allocate, allocate)
    };
    let per_user = u16::try_from(LIMITS.per_user).unwrap();
    for n in 0..per_user {
        assert_eq!(allocate_from(&mut world, USER, 4000 + n), 0, "{n}");
    }
    assert_eq!(allocate_from(&mut world, USER, 5000), 486);
    assert_eq!(allocate_from(&mut world, "bert", 5001), 0, "another user has a quota of its own");
}
