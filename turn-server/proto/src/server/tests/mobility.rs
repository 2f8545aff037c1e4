//! Mobility (RFC 8016).

use super::world::{Answer, PEER_V4, World, addr, credentials, tuple};
use super::*;
use crate::stun::{MessageWriter, attribute};
use crate::{REQUESTED_TCP, REQUESTED_UDP};

const OLD: &str = "198.51.100.7:4000";
const NEW: &str = "203.0.113.77:5000";

fn allocate(world: &mut World, from: &FiveTuple, user: &str, protocol: u32) -> Answer {
    world.ask(from, user, Method::Allocate, |writer| {
        writer
            .u32(attribute::REQUESTED_TRANSPORT, protocol)
            .attribute(attribute::MOBILITY_TICKET, &[]);
    })
}

fn ticket(answer: &Answer) -> Option<Vec<u8>> {
    answer.message().first(attribute::MOBILITY_TICKET).map(|a| a.value.to_vec())
}

fn refresh(ticket: &[u8], lifetime_s: u32) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.u32(attribute::LIFETIME, lifetime_s).attribute(attribute::MOBILITY_TICKET, ticket);
    }
}

/// A channel with [`PEER_V4`].
fn bind(world: &mut World, from: &FiveTuple) {
    let bound = world.ask(from, "anna", Method::ChannelBind, |writer| {
        writer
            .u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
            .xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
    });
    assert_eq!(bound.code(), 0);
}

/// Whom the peer reaches.
fn reached(world: &mut World, allocation: AllocationId) -> Option<FiveTuple> {
    let relay = RelayId { allocation, family: Family::V4 };
    let to_client = world.server.handle_peer(world.now, relay, addr(PEER_V4), 3);
    to_client.map(|to| to.client)
}

#[test]
fn an_allocation_goes_where_its_ticket_is_shown() {
    for (from, to) in [
        (Transport::Udp, Transport::Udp),
        (Transport::Udp, Transport::Tls),
        (Transport::Tcp, Transport::Udp),
    ] {
        let what = format!("{from:?} to {to:?}");
        let mut world = World::new();
        let (old, new) = (tuple(from, OLD), tuple(to, NEW));
        let allocated = allocate(&mut world, &old, "anna", REQUESTED_UDP);
        let first = ticket(&allocated).unwrap();
        bind(&mut world, &old);
        let id = world.server.table.id_of(&old).unwrap();
        if from.is_stream() {
            world.server.client_gone(world.now, &old);
            assert_eq!(world.server.allocations(), 1, "{what}: it may come back");
        }
        world.offloads.clear();
        let moved = world.ask(&new, "anna", Method::Refresh, refresh(&first, 700));
        assert_eq!((moved.code(), world.server.allocations()), (0, 1), "{what}");
        assert_eq!(moved.message().u32(attribute::LIFETIME), Ok(Some(700)), "{what}");
        let second = ticket(&moved).unwrap();
        assert_ne!(second, first, "{what}: unpredictable");
        assert_eq!(reached(&mut world, id), Some(new), "{what}");
        let channel_data = [0x40, 0, 0, 1, b'x'];
        for (tuple, relays) in [(old, false), (new, true)] {
            let before = world.peers_got.len();
            world.server_gets(&tuple, &channel_data);
            assert_eq!(world.peers_got.len() > before, relays, "{what}");
        }
        // The fast path learns of both.
        let told = world.offloads.iter().map(|output| {
            let Output::ChannelInstalled { client, .. } = output else { return None };
            Some(*client)
        });
        let told: Vec<_> = told.collect();
        let taken_back = (from == Transport::Udp).then_some(None);
        let given = (to == Transport::Udp).then_some(Some(new));
        assert_eq!(told, taken_back.into_iter().chain(given).collect::<Vec<_>>(), "{what}");

        // The answer was lost: the same again is good, and on it goes with the next ticket.
        let again = world.ask(&new, "anna", Method::Refresh, refresh(&first, 700));
        assert_eq!(again.code(), 0, "{what}");
        let third = tuple(Transport::Udp, "203.0.113.78:1");
        let moved = world.ask(&third, "anna", Method::Refresh, refresh(&second, 0));
        assert_eq!((moved.code(), world.server.allocations()), (0, 0), "{what}: released");
        assert_eq!(ticket(&moved), None, "{what}");
        assert_eq!((world.ports_taken(), world.quota_in_use()), (0, 0), "{what}");
    }
}

#[test]
fn tickets_are_refused_that_are_not_the_askers_own() {
    let mut world = World::new();
    let (old, new) = (tuple(Transport::Udp, OLD), tuple(Transport::Udp, NEW));
    let good = ticket(&allocate(&mut world, &old, "anna", REQUESTED_UDP)).unwrap();
    let taken = tuple(Transport::Udp, "198.51.100.8:1");
    allocate(&mut world, &taken, "anna", REQUESTED_UDP);
    let flipped = |at: usize| {
        let mut ticket = good.clone();
        ticket[at] ^= 1;
        ticket
    };
    let tampered: Vec<_> = (0..good.len()).map(flipped).collect();
    for ticket in &tampered {
        assert_eq!(world.ask(&new, "anna", Method::Refresh, refresh(ticket, 0)).code(), 400);
    }
    for (what, from, user, ticket, code) in [
        ("an empty one", &new, "anna", &[][..], 400),
        ("a short one", &new, "anna", &good[1..], 400),
        ("somebody else's", &new, "bert", &good[..], 441),
        ("where there is another allocation", &taken, "anna", &good[..], 437),
    ] {
        let answer = world.ask(from, user, Method::Refresh, refresh(ticket, 0));
        assert_eq!(answer.code(), code, "{what}");
        assert_eq!(world.server.table.id_of(&new), None, "{what}");
    }
    assert_eq!((world.server.allocations(), world.quota_in_use()), (2, 2));
    world.ask(&old, "anna", Method::Refresh, |writer| {
        writer.u32(attribute::LIFETIME, 0);
    });
    let late = world.ask(&new, "anna", Method::Refresh, refresh(&good, 600));
    assert_eq!(late.code(), 400, "of what is gone");
    // Another worker's goes to that one.
    let mut elsewhere = World::new();
    elsewhere.server.worker = 9;
    let answer = elsewhere.ask(&new, "anna", Method::Refresh, refresh(&good, 600));
    assert_eq!((answer.code(), elsewhere.passed.len()), (437, 0), "datagrams cannot be passed");
    let stream = tuple(Transport::Tcp, NEW);
    assert!(elsewhere.try_ask(&stream, "anna", Method::Refresh, refresh(&good, 600)).is_none());
    assert_eq!(elsewhere.passed, [(stream, 3)]);
}

#[test]
fn tickets_are_given_where_they_are_asked_for_and_allowed() {
    for (what, mobility, transport, protocol, code, given) in [
        ("allowed", true, Transport::Udp, REQUESTED_UDP, 0, true),
        ("forbidden", false, Transport::Udp, REQUESTED_UDP, 405, false),
        ("TCP relaying", true, Transport::Tcp, REQUESTED_TCP, 0, false),
    ] {
        let mut world = World::new();
        world.server.reconfigure(world.now, Reloadable { mobility, ..credentials() });
        let answer = allocate(&mut world, &tuple(transport, OLD), "anna", protocol);
        assert_eq!((answer.code(), ticket(&answer).is_some()), (code, given), "{what}");
    }
    let mut world = World::new();
    let (old, new) = (tuple(Transport::Udp, OLD), tuple(Transport::Udp, NEW));
    let unasked = world.ask(&old, "anna", Method::Allocate, |writer| {
        writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
    });
    assert_eq!((unasked.code(), ticket(&unasked)), (0, None));

    // Forbidden meanwhile.
    let mut world = World::new();
    let good = ticket(&allocate(&mut world, &old, "anna", REQUESTED_UDP)).unwrap();
    world.server.reconfigure(world.now, Reloadable { mobility: false, ..credentials() });
    let answer = world.ask(&new, "anna", Method::Refresh, refresh(&good, 600));
    assert_eq!(answer.code(), 405);
}
