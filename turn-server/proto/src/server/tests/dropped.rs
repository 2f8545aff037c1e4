//! Data of a client with an allocation that is dropped without an error.

use super::world::{PEER_V4, PEER_V6, World, addr, tuple};
use super::*;
use crate::REQUESTED_UDP;
use crate::stun::{MessageWriter, TransactionId, attribute};

const CLIENT: &str = "198.51.100.7:4000";

/// Returns a world with an allocation of Anna's.
fn allocated(from: &FiveTuple) -> World {
    let mut world = World::new();
    let response = world.request(from, "anna", Method::Allocate, |writer| {
        writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
    });
    assert_eq!(response.code(), 0);
    world
}

fn peer(peer: &str) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
    }
}

/// Returns a Send indication, even one that our client would not send.
fn send(to: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let id = TransactionId([9; 12]);
    let mut writer = MessageWriter::new(&mut out, Class::Indication, Method::Send, id);
    peer(to)(&mut writer);
    writer.attribute(attribute::DATA, b"data").finish().unwrap();
    out
}

fn dropped(world: &World, reason: DropReason) -> u64 {
    world.server.counters().drops().find(|(found, _)| *found == reason).unwrap().1
}

#[test]
fn a_send_without_a_permission_for_its_peers_address_is_dropped_in_silence() {
    for (what, permitted, to, relayed) in [
        ("no permission", None, PEER_V4, false),
        ("the peer's", Some(PEER_V4), PEER_V4, true),
        ("another port of it", Some(PEER_V4), "192.0.2.9:1", true),
        ("its neighbour's", Some(PEER_V4), "192.0.2.10:9000", false),
        ("of the other family", Some(PEER_V4), PEER_V6, false),
    ] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let from = tuple(transport, CLIENT);
            let mut world = allocated(&from);
            if let Some(permitted) = permitted {
                let response =
                    world.request(&from, "anna", Method::CreatePermission, peer(permitted));
                assert_eq!(response.code(), 0, "{what}");
            }
            assert_eq!(world.send_to_server(&from, &send(to)).len(), 0, "{what} {transport:?}");
            assert_eq!(world.sent_to_peers.len(), usize::from(relayed), "{what} {transport:?}");
            let drops: u64 = world.server.counters().drops().map(|(_, count)| count).sum();
            assert_eq!(drops, u64::from(!relayed), "{what} {transport:?}: it is counted");
        }
    }
}

#[test]
fn channel_data_of_a_number_that_is_not_bound_is_dropped_in_silence() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let from = tuple(transport, CLIENT);
        let mut world = allocated(&from);
        let bound = world.request(&from, "anna", Method::ChannelBind, |writer| {
            writer.u32(attribute::CHANNEL_NUMBER, 0x4001_0000);
            peer(PEER_V4)(writer);
        });
        assert_eq!(bound.code(), 0);
        for (number, relayed) in
            [(0x4000_u16, false), (0x4001, true), (0x4002, false), (0x4FFF, false)]
        {
            let [high, low] = number.to_be_bytes();
            world.sent_to_peers.clear();
            let before = dropped(&world, DropReason::NoChannel);
            let responses = world.send_to_server(&from, &[high, low, 0, 4, b'd', b'a', b't', b'a']);
            assert_eq!(responses.len(), 0, "{number:#x} {transport:?}");
            assert_eq!(
                world.sent_to_peers.len(),
                usize::from(relayed),
                "{number:#x} {transport:?}"
            );
            let after = dropped(&world, DropReason::NoChannel);
            assert_eq!(after - before, u64::from(!relayed), "{number:#x} {transport:?}");
        }
    }
}

#[test]
fn several_permissions_are_installed_together_or_not_at_all() {
    let good = "192.0.2.10:7000";
    for (what, bad, code) in [
        ("a private peer", Some("10.0.0.1:1"), 403),
        ("of another family", Some(PEER_V6), 443),
        ("half an address", None, 400),
        ("nothing wrong", Some(PEER_V4), 0),
    ] {
        for bad_at in 0..3 {
            let what = format!("{what} as number {bad_at}");
            let from = tuple(Transport::Udp, CLIENT);
            let mut world = allocated(&from);
            let response = world.request(&from, "anna", Method::CreatePermission, |writer| {
                for at in 0..3 {
                    match bad {
                        _ if at != bad_at => peer(good)(writer),
                        Some(bad) => peer(bad)(writer),
                        None => {
                            writer.attribute(attribute::XOR_PEER_ADDRESS, &[0, 1, 2]);
                        }
                    }
                }
            });
            assert_eq!(response.code(), code, "{what}");
            assert_eq!(world.send_raw_from(&from, addr(good)), code == 0, "{what}");
        }
    }
}
