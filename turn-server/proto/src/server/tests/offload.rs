//! What the fast path is told.

use std::num::NonZeroU64;

use super::world::{PEER_V4, World, addr, credentials, tuple};
use super::*;
use crate::stun::attribute;
use crate::{REQUESTED_TCP, REQUESTED_UDP};

const CLIENT: &str = "198.51.100.7:4000";

fn allocated(world: &mut World, transport: Transport, protocol: u32) -> FiveTuple {
    let client = tuple(transport, CLIENT);
    world.ask(&client, "anna", Method::Allocate, |writer| {
        writer
            .u32(attribute::REQUESTED_TRANSPORT, protocol)
            .u32(attribute::ADDITIONAL_ADDRESS_FAMILY, 0x0200_0000);
    });
    client
}

fn bind(world: &mut World, client: &FiveTuple, number: u32, peer: &str) {
    world.ask(client, "anna", Method::ChannelBind, |writer| {
        writer
            .u32(attribute::CHANNEL_NUMBER, number << 16)
            .xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
    });
}

fn permit(world: &mut World, client: &FiveTuple, peer: &str) {
    world.ask(client, "anna", Method::CreatePermission, |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
    });
}

/// The number and how long it is good for, or `None` when it must not be used any more.
fn told(world: &mut World) -> Vec<(u16, Option<u64>)> {
    let now = world.now.instant;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the world keeps only these two")]
    let told = |output| match output {
        Output::ChannelInstalled { number, expires_at, .. } => {
            (number, Some((expires_at - now).as_secs()))
        }
        Output::ChannelRemoved { number, .. } => (number, None),
        other => panic!("{other:?}"),
    };
    world.offloads.drain(..).map(told).collect()
}

#[test]
fn channels_are_offloaded_as_long_as_they_and_their_permission_live() {
    let mut world = World::new();
    let client = allocated(&mut world, Transport::Udp, REQUESTED_UDP);
    bind(&mut world, &client, 0x4000, PEER_V4);
    let relay =
        RelayId { allocation: world.server.table.id_of(&client).unwrap(), family: Family::V4 };
    let expires_at = world.now.instant + PERMISSION_LIFETIME;
    let peer = addr(PEER_V4);
    let installed = Output::ChannelInstalled { relay, client, number: 0x4000, peer, expires_at };
    assert_eq!(world.offloads, [installed]);
    told(&mut world);

    world.now.instant += Duration::from_secs(200);
    permit(&mut world, &client, "192.0.2.200:1");
    assert_eq!(told(&mut world), [], "another peer's permission");
    permit(&mut world, &client, PEER_V4);
    assert_eq!(told(&mut world), [(0x4000, Some(300))], "the permission's end moves it");
    world.now.instant += Duration::from_secs(200);
    permit(&mut world, &client, PEER_V4);
    assert_eq!(told(&mut world), [(0x4000, Some(200))], "the channel's end bounds it");
    bind(&mut world, &client, 0x4000, PEER_V4);
    assert_eq!(told(&mut world), [(0x4000, Some(300))], "both begin anew");
    bind(&mut world, &client, 0x4001, "192.0.2.9:1");
    assert_eq!(told(&mut world), [(0x4000, Some(300)), (0x4001, Some(300))]);
}

#[test]
fn what_ends_before_its_time_is_taken_back() {
    let limited = |w: &mut World| {
        let per_user = NonZeroU64::new(1);
        let policy = w.server.policy.config().clone();
        let bandwidth = BandwidthLimits { per_user, ..BandwidthLimits::default() };
        let settings = Reloadable { bandwidth, policy, ..credentials() };
        w.server.reconfigure(w.now, settings);
    };
    let release = |w: &mut World, from: &FiveTuple, family: Option<u32>| {
        w.ask(from, "anna", Method::Refresh, |writer| {
            writer.u32(attribute::LIFETIME, 0);
            if let Some(family) = family {
                writer.u32(attribute::REQUESTED_ADDRESS_FAMILY, family);
            }
        });
    };
    type End = Box<dyn Fn(&mut World, &FiveTuple)>;
    let table: [(&str, End, bool); 6] = [
        ("the allocation", Box::new(move |w, from| release(w, from, None)), true),
        ("its family", Box::new(move |w, from| release(w, from, Some(0x0100_0000))), true),
        ("the other one", Box::new(move |w, from| release(w, from, Some(0x0200_0000))), false),
        ("its being allowed", Box::new(|w, _| w.server.reconfigure(w.now, credentials())), true),
        ("its being free", Box::new(move |w, _| limited(w)), true),
        ("the server", Box::new(|w, _| w.server.end_all(w.now)), true),
    ];
    for (what, end, taken_back) in table {
        let mut world = World::new();
        let client = allocated(&mut world, Transport::Udp, REQUESTED_UDP);
        bind(&mut world, &client, 0x4000, PEER_V4);
        told(&mut world);
        end(&mut world, &client);
        world.drain();
        let want: &[_] = if taken_back { &[(0x4000, None)] } else { &[] };
        assert_eq!(told(&mut world), want, "{what}");
    }
}

#[test]
fn only_datagrams_of_clients_without_limits_are_offloaded() {
    for (what, transport, protocol, rate, offload, told_of) in [
        ("UDP", Transport::Udp, REQUESTED_UDP, 0, true, true),
        ("no fast path", Transport::Udp, REQUESTED_UDP, 0, false, false),
        ("TCP", Transport::Tcp, REQUESTED_UDP, 0, true, false),
        ("TLS", Transport::Tls, REQUESTED_UDP, 0, true, false),
        ("DTLS", Transport::Dtls, REQUESTED_UDP, 0, true, false),
        ("TCP relaying", Transport::Tcp, REQUESTED_TCP, 0, true, false),
        ("limited", Transport::Udp, REQUESTED_UDP, 1_000_000, true, false),
    ] {
        let mut world = World::new();
        world.server.offload = offload;
        world.server.bandwidth.per_allocation = NonZeroU64::new(rate);
        let client = allocated(&mut world, transport, protocol);
        bind(&mut world, &client, 0x4000, PEER_V4);
        permit(&mut world, &client, PEER_V4);
        assert_eq!(!told(&mut world).is_empty(), told_of, "{what}");
        world.server.end_all(world.now);
        world.drain();
        assert_eq!(!told(&mut world).is_empty(), told_of, "{what}");
    }
}

#[test]
fn what_was_offloaded_is_counted_as_if_it_had_not_been() {
    let mut world = World::new();
    let client = allocated(&mut world, Transport::Udp, REQUESTED_UDP);
    let relay =
        RelayId { allocation: world.server.table.id_of(&client).unwrap(), family: Family::V4 };
    let to_peer = Traffic { packets: 2, bytes: 30 };
    let to_client = Traffic { packets: 4, bytes: 50 };
    for _ in 0..2 {
        world.server.account_offloaded(relay, to_peer, to_client);
    }
    world.server.end_all(world.now);
    world.drain();
    let session = &world.ended[0].session;
    assert_eq!((session.to_peer, session.to_client), (to_peer + to_peer, to_client + to_client));
    let counters = world.server.counters();
    assert_eq!(counters.to_peers(), to_peer + to_peer);
    assert_eq!(counters.to_clients(), to_client + to_client);
    let fast = counters.offloaded;
    assert_eq!((fast.to_peers, fast.to_clients), (to_peer + to_peer, to_client + to_client));
    // There is nobody any more to count it for.
    world.server.account_offloaded(relay, to_peer, to_client);
    assert_eq!(world.server.counters(), counters);
}
