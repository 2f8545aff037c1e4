//! The policy about peers, however their addresses are encoded.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::super::policy::PeerPolicy;
use super::world::{World, addr, tuple};
use super::*;
use crate::REQUESTED_UDP;
use crate::stun::attribute;

fn policy(allow: &[&str], deny: &[&str]) -> PeerPolicy {
    let blocks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let config = PolicyConfig {
        allow: blocks(allow),
        deny: blocks(deny),
        own_addresses: vec!["8.8.8.8".parse().unwrap(), "10.0.0.1".parse().unwrap()],
        listeners: vec![addr("8.8.8.8:3478"), addr("10.0.0.1:3478")],
        ..PolicyConfig::default()
    };
    let mut policy = PeerPolicy::new(Vec::new());
    policy.set_config(config);
    policy
}

#[test]
fn special_purpose_peers_are_denied_by_default() {
    let policy = policy(&[], &[]);
    for (peer, allowed) in [
        ("1.1.1.1:1", true),
        ("9.255.255.255:1", true),
        ("10.0.0.0:1", false),
        ("10.255.255.255:1", false),
        ("11.0.0.0:1", true),
        ("0.0.0.0:1", false),
        ("100.63.255.255:1", true),
        ("100.64.0.0:1", false),
        ("100.127.255.255:1", false),
        ("100.128.0.0:1", true),
        ("127.0.0.1:1", false),
        ("169.254.169.254:80", false),
        ("172.15.255.255:1", true),
        ("172.16.0.0:1", false),
        ("172.31.255.255:1", false),
        ("172.32.0.0:1", true),
        ("192.0.0.8:1", false),
        ("192.0.2.1:1", false),
        ("192.88.99.1:1", false),
        ("192.168.1.1:1", false),
        ("198.17.255.255:1", true),
        ("198.18.0.0:1", false),
        ("198.19.255.255:1", false),
        ("198.51.100.1:1", false),
        ("203.0.113.1:1", false),
        ("223.255.255.255:1", true),
        ("224.0.0.1:1", false),
        ("255.255.255.255:1", false),
        ("[::]:1", false),
        ("[::1]:1", false),
        ("[::127.0.0.1]:1", false),
        ("[::ffff:127.0.0.1]:1", false),
        ("[::ffff:1.1.1.1]:1", true),
        ("[64:ff9b::101:101]:1", false),
        ("[64:ff9b:1::1]:1", false),
        ("[100::1]:1", false),
        ("[2001::1]:1", false),
        ("[2001:1ff:ffff::1]:1", false),
        ("[2001:200::1]:1", true),
        ("[2001:db8::1]:1", false),
        ("[2002:101:101::1]:1", false),
        ("[2606:4700::1111]:1", true),
        ("[2606:4700::5efe:a00:1]:1", false),
        ("[2606:4700::5efe:101:101]:1", true),
        ("[3fff::1]:1", false),
        ("[5f00::1]:1", false),
        ("[fc00::1]:1", false),
        ("[fdff::1]:1", false),
        ("[fe80::1]:1", false),
        ("[fec0::1]:1", false),
        ("[ff02::1]:1", false),
        ("1.1.1.1:0", false),
        ("8.8.8.8:1", false),
        ("8.8.8.8:3478", false),
    ] {
        assert_eq!(policy.allows(&Peer::new(addr(peer)), RelayProtocol::Udp), allowed, "{peer}");
    }
}

#[test]
fn rules_are_applied_in_their_order() {
    for (what, allow, deny, peer, allowed) in [
        ("a LAN is opened", &["192.168.1.0/24"][..], &[][..], "192.168.1.5:1", true),
        ("and only it", &["192.168.1.0/24"], &[], "192.168.2.5:1", false),
        ("mapped as well", &["192.168.1.0/24"], &[], "[::ffff:192.168.1.5]:1", true),
        ("deny wins", &["192.168.1.0/24"], &["192.168.1.5"], "192.168.1.5:1", false),
        ("public denied", &[], &["1.1.1.0/24"], "1.1.1.1:1", false),
        ("denied inside NAT64", &["64:ff9b::/96"], &["1.1.1.0/24"], "[64:ff9b::101:101]:1", false),
        ("private inside NAT64", &["64:ff9b::/96"], &[], "[64:ff9b::a00:1]:1", false),
        ("public inside NAT64", &["64:ff9b::/96"], &[], "[64:ff9b::101:101]:1", true),
        ("own address opened", &["10.0.0.0/8"], &[], "10.0.0.1:9000", true),
        ("own listener never", &["10.0.0.0/8"], &[], "10.0.0.1:3478", false),
        ("loopback opened", &["127.0.0.0/8"], &[], "127.0.0.1:9000", true),
        ("v6 loopback opened", &["::1"], &[], "[::1]:9000", true),
        ("v6 block", &["fd00:1::/32"], &[], "[fd00:1::5]:1", true),
        ("everything v4 is not v6", &["0.0.0.0/0"], &[], "[fd00:1::5]:1", false),
        ("everything v6", &["::/0"], &[], "[fd00:1::5]:1", true),
    ] {
        let policy = policy(allow, deny);
        assert_eq!(policy.allows(&Peer::new(addr(peer)), RelayProtocol::Udp), allowed, "{what}");
    }
}

#[test]
fn r2_peers_may_be_bound_to_high_ports_and_to_relayed_addresses() {
    let allow = vec!["192.0.2.0/24".parse().unwrap()];
    let low = PolicyConfig { allow: allow.clone(), lowest_port: 1024, ..PolicyConfig::default() };
    let inside = PolicyConfig { allow, relayed_only: true, ..PolicyConfig::default() };
    let from = tuple(Transport::Udp, "198.51.100.7:4000");
    let other = tuple(Transport::Udp, "198.51.100.8:4000");
    for (what, config, peer, codes) in [
        ("public, a high port", &low, "9.9.9.9:1024", [0, 0]),
        ("public, a low port", &low, "9.9.9.9:1023", [0, 403]),
        ("allowed, a low port", &low, "192.0.2.9:1023", [0, 403]),
        ("hidden in IPv6", &low, "[::ffff:9.9.9.9]:1023", [0, 403]),
        ("relayed", &low, "", [0, 0]),
        ("public, from inside", &inside, "9.9.9.9:1024", [403, 403]),
        ("allowed, from inside", &inside, "192.0.2.9:1023", [0, 0]),
        ("relayed, from inside", &inside, "", [0, 0]),
    ] {
        let mut world = World::with_policy(config.clone());
        let mut relayed = [&from, &other].map(|client| {
            let response = world.request(client, "anna", Method::Allocate, |writer| {
                writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
            });
            response.message().xor_address(attribute::XOR_RELAYED_ADDRESS).unwrap().unwrap()
        });
        let peer = if peer.is_empty() { relayed[1] } else { addr(peer) };
        let permitted = world.request(&from, "anna", Method::CreatePermission, |writer| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        let bound = world.request(&from, "anna", Method::ChannelBind, |writer| {
            writer
                .u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
                .xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        assert_eq!([permitted.code(), bound.code()], codes, "{what}");
        // A port of the range without a relay socket.
        relayed.sort_unstable();
        let beside = SocketAddr::new(relayed[1].ip(), relayed[1].port().wrapping_add(1));
        let bound = world.request(&from, "anna", Method::ChannelBind, |writer| {
            writer
                .u32(attribute::CHANNEL_NUMBER, 0x4001_0000)
                .xor_address(attribute::XOR_PEER_ADDRESS, beside);
        });
        assert_eq!(bound.code(), 403, "{what}: beside it");
    }
}

#[test]
fn blocks_that_do_not_say_what_they_mean_are_refused() {
    for (text, good) in [
        ("10.0.0.0/8", true),
        ("10.0.0.1", true),
        ("0.0.0.0/0", true),
        ("::/0", true),
        ("2001:db8::/32", true),
        ("::1", true),
        ("10.0.0.1/8", false),
        ("10.0.0.0/33", false),
        ("2001:db8::/129", false),
        ("2001:db8::1/64", false),
        ("::ffff:10.0.0.0/104", false),
        ("::ffff:10.0.0.1", false),
        ("10.0.0.0/", false),
        ("10.0.0/8", false),
        ("localhost", false),
        ("", false),
    ] {
        assert_eq!(text.parse::<Cidr>().is_ok(), good, "{text}");
        if let (true, Ok(cidr)) = (text.contains('/'), text.parse::<Cidr>()) {
            assert_eq!(cidr.to_string(), text);
        }
    }
}

/// Returns every known encoding of an IPv4 address in an IPv6 one.
fn encodings(v4: Ipv4Addr, prefix: u64) -> Vec<Ipv6Addr> {
    let bits = u128::from(v4.to_bits());
    let high = |segments: [u16; 8]| Ipv6Addr::from(segments).to_bits();
    let site = |c: u128| high([0x64, 0xFF9B, 1, 0, 0, 0, 0, 0]) | c;
    [
        bits,
        high([0, 0, 0, 0, 0, 0xFFFF, 0, 0]) | bits,
        high([0, 0, 0, 0, 0xFFFF, 0, 0, 0]) | bits,
        high([0x64, 0xFF9B, 0, 0, 0, 0, 0, 0]) | bits,
        site(bits),
        site((bits >> 16) << 64 | (bits & 0xFFFF) << 40),
        high([0x2002, 0, 0, 0, 0, 0, 0, 1]) | bits << 80,
        high([0x2001, 0, 0x0101, 0x0101, 0, 0, 0, 0]) | (!bits & 0xFFFF_FFFF),
        high([0x2001, 0, 0, 0, 0, 0, 0xFEFE, 0xFEFE]) | bits << 64,
        u128::from(prefix) << 64 | 0x0000_5EFE << 32 | bits,
        u128::from(prefix) << 64 | 0x0200_5EFE << 32 | bits,
    ]
    .map(Ipv6Addr::from_bits)
    .to_vec()
}

proptest! {
    #[test]
    fn a_denied_address_is_denied_in_every_encoding(bits: u32, prefix: u64, port: u16) {
        // Everything is allowed but one address.
        let v4 = Ipv4Addr::from_bits(bits.max(2));
        let policy = policy(&["0.0.0.0/0", "::/0"], &[&v4.to_string()]);
        let peer = Peer::new(SocketAddr::new(v4.into(), port));
        prop_assert!(!policy.allows(&peer, RelayProtocol::Udp));
        for v6 in encodings(v4, prefix) {
            let peer = Peer::new(SocketAddr::new(v6.into(), port));
            prop_assert!(!policy.allows(&peer, RelayProtocol::Udp), "{v6}");
            prop_assert!(!policy.allows_any_port(&peer), "{v6}");
        }
    }

    #[test]
    fn a_special_address_is_denied_in_every_encoding(
        host: u32, block in 0_usize..5, prefix: u64, port: u16,
    ) {
        let (net, len) = [
            (0x0A00_0000, 8), (0x7F00_0000, 8), (0xA9FE_0000, 16), (0xC0A8_0000, 16),
            (0xE000_0000, 4),
        ][block];
        let v4 = Ipv4Addr::from_bits(net | host & (u32::MAX >> len));
        let policy = policy(&[], &[]);
        for v6 in encodings(v4, prefix) {
            let peer = Peer::new(SocketAddr::new(v6.into(), port));
            prop_assert!(!policy.allows(&peer, RelayProtocol::Udp), "{v6}");
        }
    }
}
