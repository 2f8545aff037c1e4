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

/// The number and for how many seconds it is good to the peer and to the client, or `None` when it
/// must not be used any more.
fn told(world: &mut World) -> Vec<(u16, Option<(u64, u64)>)> {
    let now = world.now.instant;
    let left = |until: Instant| until.saturating_duration_since(now).as_secs();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the world keeps only these two")]
    let told = |output| match output {
        Output::ChannelInstalled { number, to_peer_until, to_client_until, .. } => {
            (number, Some((left(to_peer_until), left(to_client_until))))
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
    assert_eq!(
        world.offloads,
        [Output::ChannelInstalled {
            relay,
            client,
            number: 0x4000,
            peer: addr(PEER_V4),
            to_peer_until: world.now.instant + CHANNEL_LIFETIME,
            to_client_until: world.now.instant + PERMISSION_LIFETIME,
        }]
    );
    told(&mut world);

    world.now.instant += Duration::from_secs(200);
    permit(&mut world, &client, "192.0.2.200:1");
    assert_eq!(told(&mut world), [], "another peer's permission");
    permit(&mut world, &client, PEER_V4);
    assert_eq!(told(&mut world), [(0x4000, Some((400, 300)))], "the permission's end moves");
    world.now.instant += Duration::from_secs(200);
    permit(&mut world, &client, PEER_V4);
    assert_eq!(told(&mut world), [(0x4000, Some((200, 200)))], "the channel's end bounds both");
    bind(&mut world, &client, 0x4000, PEER_V4);
    assert_eq!(told(&mut world), [(0x4000, Some((600, 300)))], "both begin anew");
    bind(&mut world, &client, 0x4001, "192.0.2.9:1");
    let both = Some((600, 300));
    assert_eq!(told(&mut world), [(0x4000, both), (0x4001, both)]);
    world.now.instant += Duration::from_secs(350);
    let policy = world.server.policy.config().clone();
    world.server.reconfigure(world.now, Reloadable { policy, ..credentials() });
    world.drain();
    let late = Some((250, 0));
    let want = [(0x4000, None), (0x4001, None), (0x4000, late), (0x4001, late)];
    assert_eq!(told(&mut world), want, "the permissions are over, the channels are not");
}

/// RFC 8656 §12.6 names what becomes of ChannelData, and asks for no permission; §11.3 does. What
/// comes here relays as long as what the fast path was told.
#[test]
fn without_the_fast_path_each_direction_ends_at_the_same_time() {
    let mut world = World::new();
    let client = allocated(&mut world, Transport::Udp, REQUESTED_UDP);
    bind(&mut world, &client, 0x4000, PEER_V4);
    let allocation = world.server.table.id_of(&client).unwrap();
    let relay = RelayId { allocation, family: Family::V4 };
    let bound = world.now.instant;
    let [installed] = &world.offloads[..] else { panic!("{:?}", world.offloads) };
    let Output::ChannelInstalled { to_peer_until, to_client_until, .. } = *installed else {
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
