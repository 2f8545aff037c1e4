//! DONT-FRAGMENT (RFC 8656 §14), and ICMP errors about packets (§11.5).

use super::world::{PEER_V4, PEER_V6, World, addr, tuple};
use super::*;
use crate::REQUESTED_UDP;
use crate::stun::{MessageWriter, TransactionId, attribute};

const CLIENT: &str = "198.51.100.7:4000";

fn allocate(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
    writer.u32(attribute::ADDITIONAL_ADDRESS_FAMILY, 0x0200_0000);
}

fn permit_both(writer: &mut MessageWriter<'_>) {
    writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
    writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V6));
}

fn send(dont_fragment: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let id = TransactionId([9; 12]);
    let mut writer = MessageWriter::new(&mut out, Class::Indication, Method::Send, id);
    writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
    if dont_fragment {
        writer.attribute(attribute::DONT_FRAGMENT, &[]);
    }
    writer.attribute(attribute::DATA, b"data").finish().unwrap();
    out
}

#[test]
fn dont_fragment_is_honoured_where_supported_and_unknown_elsewhere() {
    let from = tuple(Transport::Udp, CLIENT);
    for (supported, code) in [(true, 0), (false, 420)] {
        let mut world = World::new();
        world.server.dont_fragment = supported;
        let response = world.request(&from, "anna", Method::Allocate, |writer| {
            allocate(writer);
            writer.attribute(attribute::DONT_FRAGMENT, &[]);
        });
        assert_eq!(response.code(), code, "{supported}");
        let unknown = response.message().first(attribute::UNKNOWN_ATTRIBUTES).map(|a| a.value);
        assert_eq!(unknown, (code == 420).then_some(&[0, 0x1A][..]), "{supported}");

        // Without DONT-FRAGMENT in the Allocate request, too.
        world.request(&from, "anna", Method::Allocate, allocate);
        world.request(&from, "anna", Method::CreatePermission, permit_both);
        for (dont_fragment, sent) in [(false, true), (true, supported)] {
            let before = world.sent_to_peers.len();
            world.send_to_server(&from, &send(dont_fragment));
            assert_eq!(world.sent_to_peers.len() > before, sent, "{supported} {dont_fragment}");
            assert!(!sent || world.last_dont_fragment == dont_fragment);
        }
    }
}

#[test]
fn icmp_reaches_the_client_if_its_peer_is_permitted() {
    let v4 = |kind, code, data| (PEER_V4, Icmp { kind, code, data });
    let v6 = |kind, code, data| (PEER_V6, Icmp { kind, code, data });
    for (what, (peer, icmp), want) in [
        ("port unreachable", v4(3, 3, 7), Some(0x0603_0000_0000)),
        ("too big", v4(3, 4, 1400), Some(0x0604_0000_0578)),
        ("time exceeded", v4(11, 0, 7), Some(0x1600_0000_0000)),
        ("an echo reply", v4(0, 0, 0), None),
        ("a redirect", v4(5, 1, 0), None),
        ("no route", v6(1, 0, 7), Some(0x0200_0000_0000)),
        ("too big", v6(2, 0, 1280), Some(0x0400_0000_0500)),
        ("hop limit", v6(3, 0, 7), Some(0x0600_0000_0000)),
        ("a bad parameter", v6(4, 0, 0), None),
        ("code 255", v4(3, 255, 0), Some(0x06FF_0000_0000)),
        ("of another peer", ("192.0.2.77:9", Icmp { kind: 3, code: 3, data: 0 }), None),
        ("of a forbidden peer", ("10.0.0.1:9", Icmp { kind: 3, code: 3, data: 0 }), None),
    ] {
        let mut world = World::new();
        let from = tuple(Transport::Udp, CLIENT);
        world.request(&from, "anna", Method::Allocate, allocate);
        world.request(&from, "anna", Method::CreatePermission, permit_both);
        let allocation = world.server.table.id_of(&from).unwrap();
        for family in [Family::V4, Family::V6] {
            let relay = RelayId { allocation, family };
            world.server.handle_icmp(world.now, relay, addr(peer), icmp);
            let sent = world.drain();
            let its_own = family == Family::of(&addr(peer).ip());
            let Some(want) = want.filter(|_| its_own) else {
                assert!(sent.is_empty(), "{what} {family:?}");
                continue;
            };
            let message = Message::parse(&sent[0]).unwrap();
            assert_eq!((message.class(), message.method()), (Class::Indication, Method::Data));
            assert_eq!(message.u64(attribute::ICMP), Ok(Some(want)), "{what}");
            let about = message.xor_address(attribute::XOR_PEER_ADDRESS);
            assert_eq!(about, Ok(Some(addr(peer))), "{what}");
            assert_eq!(message.first(attribute::DATA), None, "{what}");
        }
        // Not after the permission has expired.
        world.now.instant += PERMISSION_LIFETIME;
        let relay = RelayId { allocation, family: Family::of(&addr(peer).ip()) };
        world.server.handle_icmp(world.now, relay, addr(peer), icmp);
        assert!(world.drain().is_empty(), "{what}");
    }
}
