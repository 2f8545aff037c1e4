//! Channels that are offloaded to the fast path.

use std::num::NonZeroU64;

use super::world::{PEER_V4, World, addr, credentials, tuple};
use super::*;
use crate::stun::attribute;
use crate::{REQUESTED_TCP, REQUESTED_UDP};

const CLIENT: &str = "198.51.100.7:4000";

fn allocated(world: &mut World, transport: Transport, protocol: u32) -> FiveTuple {
    let client = tuple(transport, CLIENT);
    world.request(&client, "anna", Method::Allocate, |writer| {
        writer
            .u32(attribute::REQUESTED_TRANSPORT, protocol)
            .u32(attribute::ADDITIONAL_ADDRESS_FAMILY, 0x0200_0000);
    });
    client
}

fn bind(world: &mut World, client: &FiveTuple, number: u32, peer: &str) {
    world.request(client, "anna", Method::ChannelBind, |writer| {
        writer
            .u32(attribute::CHANNEL_NUMBER, number << 16)
            .xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
    });
}

fn permit(world: &mut World, client: &FiveTuple, peer: &str) {
    world.request(client, "anna", Method::CreatePermission, |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
    });
}

/// Returns the outputs for the fast path: the channel number, and the seconds that it may be used
/// to the peer and to the client, or `None` if it was removed.
fn drain_offloads(world: &mut World) -> Vec<(u16, Option<(u64, u64)>)> {
    let now = world.now.instant;
    let left = |until: Instant| until.saturating_duration_since(now).as_secs();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the world keeps only these two")]
    let read = |output| match output {
        Output::InstallChannel(OffloadedChannel {
            number, to_peer_until, to_client_until, ..
        }) => (number, Some((left(to_peer_until), left(to_client_until)))),
        Output::RemoveChannel { number, .. } => (number, None),
        other => panic!("{other:?}"),
    };
    world.offloads.drain(..).map(read).collect()
}

#[test]
fn channels_are_offloaded_as_long_as_they_and_their_permission_live() {
    let mut world = World::new();
    let client = allocated(&mut world, Transport::Udp, REQUESTED_UDP);
    bind(&mut world, &client, 0x4000, PEER_V4);
    let relay =
        RelayId { allocation: world.server.table.id_of(&client).unwrap(), family: Family::V4 };
    assert_eq!(
        world.offloads,
        [Output::InstallChannel(OffloadedChannel {
            relay,
            client,
            number: 0x4000,
            peer: addr(PEER_V4),
            to_peer_until: world.now.instant + CHANNEL_LIFETIME,
            to_client_until: world.now.instant + PERMISSION_LIFETIME,
        })]
    );
    drain_offloads(&mut world);

    world.now.instant += Duration::from_secs(200);
    permit(&mut world, &client, "192.0.2.200:1");
    assert_eq!(drain_offloads(&mut world), [], "another peer's permission");
    permit(&mut world, &client, PEER_V4);
    assert_eq!(
        drain_offloads(&mut world),
        [(0x4000, Some((400, 300)))],
        "the permission's end moves"
    );
    world.now.instant += Duration::from_secs(200);
    permit(&mut world, &client, PEER_V4);
    assert_eq!(
        drain_offloads(&mut world),
        [(0x4000, Some((200, 200)))],
        "the channel's end bounds both"
    );
    bind(&mut world, &client, 0x4000, PEER_V4);
    assert_eq!(drain_offloads(&mut world), [(0x4000, Some((600, 300)))], "both start again");
    bind(&mut world, &client, 0x4001, "192.0.2.9:1");
    let both = Some((600, 300));
    assert_eq!(drain_offloads(&mut world), [(0x4000, both), (0x4001, both)]);
    world.now.instant += Duration::from_secs(350);
    let policy = world.server.policy.config().clone();
    world.server.set_reloadable(world.now, ReloadableConfig { policy, ..credentials() });
    world.drain();
    let late = Some((250, 0));
    let want = [(0x4000, None), (0x4001, None), (0x4000, late), (0x4001, late)];
    assert_eq!(drain_offloads(&mut world), want, "the permissions are over, the channels are not");
}

/// ChannelData needs no permission (RFC 8656 §12.6), a packet of a peer does (§11.3). The server
/// relays each as long as it told the fast path.
#[test]
fn without_the_fast_path_each_direction_ends_at_the_same_time() {
    let mut world = World::new();
    let client = allocated(&mut world, Transport::Udp, REQUESTED_UDP);
    bind(&mut world, &client, 0x4000, PEER_V4);
    let allocation = world.server.table.id_of(&client).unwrap();
    let relay = RelayId { allocation, family: Family::V4 };
    let bound = world.now.instant;
    let [installed] = &world.offloads[..] else { panic!("{:?}", world.offloads) };
    let Output::InstallChannel(OffloadedChannel { to_peer_until, to_client_until, .. }) =
        *installed
    else {
        panic!("{installed:?}");
    };
    for after_s in [0, 299, 300, 301, 599, 600, 601] {
        world.now.instant = bound + Duration::from_secs(after_s);
        let data = [0x40, 0, 0, 1, b'x'];
        let to_peer = world.server.handle_client(world.now, &client, &data);
        let to_client = world.server.handle_peer(world.now, relay, addr(PEER_V4), 1);
        let now = world.now.instant;
        assert_eq!(to_peer.is_some(), now < to_peer_until, "{after_s} s to the peer");
        assert_eq!(to_client.is_some(), now < to_client_until, "{after_s} s to the client");
    }
}

#[test]
fn channels_that_end_early_are_removed_from_the_fast_path() {
    let limited = |w: &mut World| {
        let per_user = NonZeroU64::new(1);
        let policy = w.server.policy.config().clone();
        let bandwidth = BandwidthLimits { per_user, ..BandwidthLimits::default() };
        let settings = ReloadableConfig { bandwidth, policy, ..credentials() };
        w.server.set_reloadable(w.now, settings);
    };
    let release = |w: &mut World, from: &FiveTuple, family: Option<u32>| {
        w.request(from, "anna", Method::Refresh, |writer| {
            writer.u32(attribute::LIFETIME, 0);
            if let Some(family) = family {
                writer.u32(attribute::REQUESTED_ADDRESS_FAMILY, family);
            }
        });
    };
    type End = Box<dyn Fn(&mut World, &FiveTuple)>;
    let table: [(&str, End, bool); 6] = [
        ("the allocation is released", Box::new(move |w, from| release(w, from, None)), true),
        (
            "its family is released",
            Box::new(move |w, from| release(w, from, Some(0x0100_0000))),
            true,
        ),
        (
            "the other family is",
            Box::new(move |w, from| release(w, from, Some(0x0200_0000))),
            false,
        ),
        (
            "the peer is denied",
            Box::new(|w, _| w.server.set_reloadable(w.now, credentials())),
            true,
        ),
        ("bandwidth is limited", Box::new(move |w, _| limited(w)), true),
        ("the server is closed", Box::new(|w, _| w.server.close(w.now)), true),
    ];
    for (what, end, removed) in table {
        let mut world = World::new();
        let client = allocated(&mut world, Transport::Udp, REQUESTED_UDP);
        bind(&mut world, &client, 0x4000, PEER_V4);
        drain_offloads(&mut world);
        end(&mut world, &client);
        world.drain();
        let want: &[_] = if removed { &[(0x4000, None)] } else { &[] };
        assert_eq!(drain_offloads(&mut world), want, "{what}");
    }
}

#[test]
fn only_datagrams_of_clients_without_limits_are_offloaded() {
    for (what, transport, protocol, rate, offload, offloaded) in [
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
        assert_eq!(!drain_offloads(&mut world).is_empty(), offloaded, "{what}");
        world.server.close(world.now);
        world.drain();
        assert_eq!(!drain_offloads(&mut world).is_empty(), offloaded, "{what}");
    }
}

#[test]
fn offloaded_traffic_is_counted_like_relayed_traffic() {
    let mut world = World::new();
    let client = allocated(&mut world, Transport::Udp, REQUESTED_UDP);
    let relay =
        RelayId { allocation: world.server.table.id_of(&client).unwrap(), family: Family::V4 };
    let to_peer = Traffic { packets: 2, bytes: 30 };
    let to_client = Traffic { packets: 4, bytes: 50 };
    for _ in 0..2 {
        world.server.handle_offloaded_traffic(relay, to_peer, to_client);
    }
    world.server.close(world.now);
    world.drain();
    let ended = &world.ended[0].allocation;
    assert_eq!((ended.to_peer, ended.to_client), (to_peer + to_peer, to_client + to_client));
    let counters = world.server.counters();
    assert_eq!(counters.to_peers(), to_peer + to_peer);
    assert_eq!(counters.to_clients(), to_client + to_client);
    let fast = counters.offloaded;
    assert_eq!((fast.to_peers, fast.to_clients), (to_peer + to_peer, to_client + to_client));
    // Traffic reported after the end of the allocation is not counted.
    world.server.handle_offloaded_traffic(relay, to_peer, to_client);
    assert_eq!(world.server.counters(), counters);
}
