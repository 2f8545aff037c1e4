//! Lifetimes of channels, permissions and allocations that are not renewed.

use super::world::{PEER_V4, World, addr, tuple};
use super::*;
use crate::REQUESTED_UDP;
use crate::channel::Kind;
use crate::stun::attribute;

const CLIENT: &str = "198.51.100.7:4000";

/// Advances the time to so many seconds after the start.
fn advance_to(world: &mut World, second: u64) {
    world.advance(Duration::from_secs(second) - world.elapsed());
}

#[test]
fn a_channel_lasts_600_s_and_gives_its_peer_a_permission_of_300_s() {
    let peer = addr(PEER_V4);
    for (bound_at, moments) in [
        (
            &[0][..],
            &[(299, true, true), (300, false, true), (599, false, true), (600, false, false)][..],
        ),
        (
            &[0, 200],
            &[(499, true, true), (500, false, true), (799, false, true), (800, false, false)],
        ),
    ] {
        let from = tuple(Transport::Udp, CLIENT);
        let mut world = World::new();
        // For an hour, so that the allocation does not end.
        let allocated = world.request(&from, "anna", Method::Allocate, |writer| {
            writer
                .u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP)
                .u32(attribute::LIFETIME, 3600);
        });
        assert_eq!(allocated.code(), 0);
        let allocation = world.server.table.id_of(&from).unwrap();
        let relay = RelayId { allocation, family: Family::V4 };
        for second in bound_at {
            advance_to(&mut world, *second);
            let bound = world.request(&from, "anna", Method::ChannelBind, |writer| {
                writer
                    .u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
                    .xor_address(attribute::XOR_PEER_ADDRESS, peer);
            });
            assert_eq!(bound.code(), 0);
        }
        for &(second, permission, channel) in moments {
            let what = format!("bound at {bound_at:?}, seen at {second}");
            advance_to(&mut world, second);
            assert_eq!(world.send_raw_from(&from, peer), permission, "{what}");
            world.sent_to_peers.clear();
            assert_eq!(world.send_to_server(&from, &[0x40, 0, 0, 1, b'x']).len(), 0, "{what}");
            assert_eq!(world.sent_to_peers.len(), usize::from(channel), "{what}");
            let to_client = world.server.handle_peer(world.now, relay, peer, 4);
            let kind = to_client.map(|to_client| Kind::of(to_client.header.as_bytes()));
            assert_eq!(kind, permission.then_some(Kind::ChannelData), "{what}");
        }
        // Renewing the permission alone does not bring the channel back.
        let permitted = world.request(&from, "anna", Method::CreatePermission, |writer| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        assert_eq!(permitted.code(), 0);
        let to_client = world.server.handle_peer(world.now, relay, peer, 4).unwrap();
        assert_eq!(Kind::of(to_client.header.as_bytes()), Kind::Stun, "a Data indication");
        assert!(world.server.has_allocation(&from));
    }
}

#[test]
fn an_allocation_lives_as_long_as_its_refresh_was_granted() {
    for (requested, granted) in [
        (None, 600),
        (Some(1), 600),
        (Some(1000), 1000),
        (Some(3600), 3600),
        (Some(u32::MAX), 3600),
    ] {
        let from = tuple(Transport::Udp, CLIENT);
        let mut world = World::new();
        let allocated = world.request(&from, "anna", Method::Allocate, |writer| {
            writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
        });
        assert_eq!(allocated.message().u32(attribute::LIFETIME), Ok(Some(600)));
        advance_to(&mut world, 100);
        let refreshed = world.request(&from, "anna", Method::Refresh, |writer| {
            if let Some(requested) = requested {
                writer.u32(attribute::LIFETIME, requested);
            }
        });
        assert_eq!(refreshed.code(), 0, "{requested:?}");
        assert_eq!(
            refreshed.message().u32(attribute::LIFETIME),
            Ok(Some(granted)),
            "{requested:?}"
        );
        for (second, alive) in [(99, true), (100, false)] {
            advance_to(&mut world, u64::from(granted) + second);
            assert_eq!(world.server.has_allocation(&from), alive, "{requested:?} {second}");
            let left = usize::from(alive);
            assert_eq!((world.ports_taken(), world.quota_in_use()), (left, left), "{requested:?}");
        }
        assert_eq!(
            world.request(&from, "anna", Method::Refresh, |_| {}).code(),
            437,
            "{requested:?}"
        );
    }
}
