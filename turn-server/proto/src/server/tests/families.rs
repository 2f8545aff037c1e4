//! One allocation with an address of each family (RFC 8656 §7.2, §8).

use super::world::{PEER_V4, PEER_V6, Response, World, addr, tuple};
use super::*;
use crate::REQUESTED_UDP;
use crate::stun::{MessageWriter, attribute};

const CLIENT: &str = "198.51.100.7:4000";
const V4: u32 = 0x0100_0000;
const V6: u32 = 0x0200_0000;

fn allocate(world: &mut World, fill: impl Fn(&mut MessageWriter<'_>)) -> Response {
    world.request(&tuple(Transport::Udp, CLIENT), "anna", Method::Allocate, |writer| {
        writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
        fill(writer);
    })
}

fn both(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::ADDITIONAL_ADDRESS_FAMILY, V6);
}

fn refresh(family: Option<u32>, lifetime_s: u32) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.u32(attribute::LIFETIME, lifetime_s);
        if let Some(family) = family {
            writer.u32(attribute::REQUESTED_ADDRESS_FAMILY, family);
        }
    }
}

fn permit(peer: &'static str) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
    }
}

#[test]
fn one_allocation_relays_for_both_families() {
    let mut world = World::new();
    let response = allocate(&mut world, both);
    let relayed = response.relayed();
    assert_eq!(relayed.iter().map(|a| a.is_ipv4()).collect::<Vec<_>>(), [true, false]);
    assert_eq!((world.open_count(), world.ports_taken(), world.quota_in_use()), (2, 2, 1));

    let from = tuple(Transport::Udp, CLIENT);
    for (peer, relayed) in [PEER_V4, PEER_V6].into_iter().zip(&relayed) {
        let permitted = world.request(&from, "anna", Method::CreatePermission, permit(peer));
        assert_eq!(permitted.code(), 0, "{peer}");
        assert!(world.send_raw_from(&from, addr(peer)), "{peer}");
        let (left, to, _) = world.sent_to_peers.pop().unwrap();
        assert_eq!((left, to), (*relayed, addr(peer)));
    }
    // Packets of a peer of one family are dropped at the socket of the other.
    let allocation = world.server.table.id_of(&from).unwrap();
    for (family, relayed) in [(Family::V4, true), (Family::V6, false)] {
        let relay = RelayId { allocation, family };
        let to_client = world.server.handle_peer(world.now, relay, addr(PEER_V4), 1);
        assert_eq!(to_client.is_some(), relayed, "{family:?}");
    }
}

#[test]
fn the_missing_one_of_two_families_is_named() {
    for (what, fill_v4, fill_v6, failing, relayed, error, code) in [
        ("both", false, false, &[][..], 2, None, 0),
        ("no IPv4 port", true, false, &[], 1, Some(V4 | 5 << 8 | 8), 0),
        ("no IPv6 port", false, true, &[], 1, Some(V6 | 5 << 8 | 8), 0),
        ("neither", true, true, &[], 0, None, 508),
        ("IPv4 cannot be opened", false, false, &[Family::V4], 1, Some(V4 | 5 << 8 | 8), 0),
        ("neither can be opened", false, false, &[Family::V4, Family::V6], 0, None, 508),
    ] {
        let mut world = World::new();
        let mut guards = Vec::new();
        for (ports, fill) in world.ports().into_iter().zip([fill_v4, fill_v6]) {
            while fill && let Some(guard) = ports.take(&mut rand::rng()) {
                guards.push(guard);
            }
        }
        let before = world.ports_taken();
        world.failing_families = failing.to_vec();
        let response = allocate(&mut world, both);
        assert_eq!((response.code(), response.relayed().len()), (code, relayed), "{what}");
        assert_eq!(response.message().u32(attribute::ADDRESS_ERROR_CODE), Ok(error), "{what}");
        assert_eq!(world.open_count(), relayed, "{what}");
        assert_eq!(world.ports_taken(), before + relayed, "{what}");
        assert_eq!(world.quota_in_use(), usize::from(relayed > 0), "{what}");
    }
}

#[test]
fn a_family_that_the_server_lacks_is_440() {
    for (what, family, additional, code, error) in [
        ("IPv4", V4, None, 0, None),
        ("IPv6", V6, None, 440, None),
        ("both", 0, Some(V6), 0, Some(V6 | 4 << 8 | 40)),
    ] {
        let mut world = World::new();
        world.server.relay_v6 = None;
        let response = allocate(&mut world, |writer| {
            if let Some(additional) = additional {
                writer.u32(attribute::ADDITIONAL_ADDRESS_FAMILY, additional);
            } else {
                writer.u32(attribute::REQUESTED_ADDRESS_FAMILY, family);
            }
        });
        assert_eq!(response.code(), code, "{what}");
        assert_eq!(response.message().u32(attribute::ADDRESS_ERROR_CODE), Ok(error), "{what}");
    }
}

#[test]
fn the_draft_number_of_the_second_family_is_understood_as_well() {
    let (standard, draft) =
        (attribute::ADDITIONAL_ADDRESS_FAMILY, attribute::DRAFT_ADDITIONAL_ADDRESS_FAMILY);
    for (attributes, code) in [
        (&[(draft, V6)][..], 0),
        (&[(draft, V4)], 400),
        (&[(draft, V6), (standard, V6)], 0),
        (&[(draft, V6), (standard, V4)], 400),
        (&[(draft, V6), (attribute::REQUESTED_ADDRESS_FAMILY, V4)], 400),
    ] {
        let mut world = World::new();
        let response = allocate(&mut world, |writer| {
            attributes.iter().for_each(|(name, value)| {
                writer.u32(*name, *value);
            });
        });
        assert_eq!(response.code(), code, "{attributes:?}");
        assert_eq!(response.relayed().len(), if code == 0 { 2 } else { 0 }, "{attributes:?}");
    }
}

#[test]
fn contradicting_attributes_are_400() {
    type Fill = fn(&mut MessageWriter<'_>);
    let table: [(&str, Fill); 5] = [
        ("IPv4 is no additional family", |w| {
            w.u32(attribute::ADDITIONAL_ADDRESS_FAMILY, V4);
        }),
        ("nor is 3", |w| {
            w.u32(attribute::ADDITIONAL_ADDRESS_FAMILY, 0x0300_0000);
        }),
        ("requested and additional", |w| {
            both(w);
            w.u32(attribute::REQUESTED_ADDRESS_FAMILY, V4);
        }),
        ("a pair of ports and two families", |w| {
            both(w);
            w.attribute(attribute::EVEN_PORT, &[0x80]);
        }),
        ("a token and two families", |w| {
            both(w);
            w.attribute(attribute::RESERVATION_TOKEN, &[0; 8]);
        }),
    ];
    for (what, fill) in table {
        let mut world = World::new();
        assert_eq!(allocate(&mut world, fill).code(), 400, "{what}");
        assert_eq!((world.ports_taken(), world.quota_in_use()), (0, 0), "{what}");
    }
}

#[test]
fn a_refresh_ends_one_of_two_or_both() {
    let from = tuple(Transport::Udp, CLIENT);
    for (what, family, lifetime_s, left) in [
        ("both", None, 0, &[][..]),
        ("IPv4", Some(V4), 0, &[Family::V6]),
        ("IPv6", Some(V6), 0, &[Family::V4]),
        ("neither", Some(V6), 700, &[Family::V4, Family::V6]),
    ] {
        let mut world = World::new();
        let relayed = allocate(&mut world, both).relayed();
        for peer in [PEER_V4, PEER_V6] {
            world.request(&from, "anna", Method::CreatePermission, permit(peer));
        }
        let fill = refresh(family, lifetime_s);
        assert_eq!(world.request(&from, "anna", Method::Refresh, &fill).code(), 0, "{what}");
        let living = |addr: &SocketAddr| left.contains(&Family::of(&addr.ip()));
        for (addr, peer) in relayed.iter().zip([PEER_V4, PEER_V6]) {
            assert_eq!(world.is_open(*addr), living(addr), "{what}");
            assert_eq!(world.send_raw_from(&from, self::addr(peer)), living(addr), "{what}");
        }
        assert_eq!((world.ports_taken(), world.open_count()), (left.len(), left.len()), "{what}");
        assert_eq!(world.quota_in_use(), usize::from(!left.is_empty()), "{what}");
        if let ([_], Some(gone)) = (left, family) {
            // The allocation behaves as if it had never had the second one.
            let response = world.request(&from, "anna", Method::Refresh, refresh(Some(gone), 0));
            assert_eq!(response.code(), 443, "{what}");
            let peer = if gone == V4 { PEER_V4 } else { PEER_V6 };
            let response = world.request(&from, "anna", Method::CreatePermission, permit(peer));
            assert_eq!(response.code(), 443, "{what}");
            assert_eq!(world.request(&from, "anna", Method::Refresh, refresh(None, 0)).code(), 0);
            assert_eq!((world.ports_taken(), world.open_count()), (0, 0), "{what}");
        }
    }
}
