//! Mobility (RFC 8016), and handover between workers.

use super::world::{PEER_V4, Response, World, addr, credentials, tuple};
use super::*;
use crate::stun::{MessageWriter, attribute};
use crate::{REQUESTED_TCP, REQUESTED_UDP};

const OLD: &str = "198.51.100.7:4000";
const NEW: &str = "203.0.113.77:5000";

fn allocate(world: &mut World, from: &FiveTuple, user: &str, protocol: u32) -> Response {
    world.request(from, user, Method::Allocate, |writer| {
        writer
            .u32(attribute::REQUESTED_TRANSPORT, protocol)
            .attribute(attribute::MOBILITY_TICKET, &[]);
    })
}

fn ticket(response: &Response) -> Option<Vec<u8>> {
    response.message().first(attribute::MOBILITY_TICKET).map(|a| a.value.to_vec())
}

fn refresh(ticket: &[u8], lifetime_s: u32) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.u32(attribute::LIFETIME, lifetime_s).attribute(attribute::MOBILITY_TICKET, ticket);
    }
}

/// Binds a channel to [`PEER_V4`].
fn bind(world: &mut World, from: &FiveTuple) {
    let bound = world.request(from, "anna", Method::ChannelBind, |writer| {
        writer
            .u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
            .xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
    });
    assert_eq!(bound.code(), 0);
}

/// Returns the client that a packet of the peer is sent to.
fn reached(world: &mut World, allocation: AllocationId) -> Option<FiveTuple> {
    let relay = RelayId { allocation, family: Family::V4 };
    let to_client = world.server.handle_peer(world.now, relay, addr(PEER_V4), 3);
    to_client.map(|to| to.client)
}

#[test]
fn an_allocation_moves_to_the_client_that_shows_its_ticket() {
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
            world.server.handle_client_disconnected(world.now, &old);
            assert_eq!(world.server.allocations(), 1, "{what}: it may come back");
        }
        world.offloads.clear();
        let moved = world.request(&new, "anna", Method::Refresh, refresh(&first, 700));
        assert_eq!((moved.code(), world.server.allocations()), (0, 1), "{what}");
        assert_eq!(moved.message().u32(attribute::LIFETIME), Ok(Some(700)), "{what}");
        let second = ticket(&moved).unwrap();
        assert_ne!(second, first, "{what}: unpredictable");
        assert_eq!(reached(&mut world, id), Some(new), "{what}");
        let channel_data = [0x40, 0, 0, 1, b'x'];
        for (tuple, relays) in [(old, false), (new, true)] {
            let before = world.sent_to_peers.len();
            world.send_to_server(&tuple, &channel_data);
            assert_eq!(world.sent_to_peers.len() > before, relays, "{what}");
        }
        // The fast path is told of both.
        let told = world.offloads.iter().map(|output| {
            let Output::InstallChannel(OffloadedChannel { client, .. }) = output else {
                return None;
            };
            Some(*client)
        });
        let told: Vec<_> = told.collect();
        let removed = (from == Transport::Udp).then_some(None);
        let installed = (to == Transport::Udp).then_some(Some(new));
        assert_eq!(told, removed.into_iter().chain(installed).collect::<Vec<_>>(), "{what}");

        // If the response is lost, the same request is valid again; then the next ticket is.
        let again = world.request(&new, "anna", Method::Refresh, refresh(&first, 700));
        assert_eq!(again.code(), 0, "{what}");
        let third = tuple(Transport::Udp, "203.0.113.78:1");
        let moved = world.request(&third, "anna", Method::Refresh, refresh(&second, 0));
        assert_eq!((moved.code(), world.server.allocations()), (0, 0), "{what}: released");
        assert_eq!(ticket(&moved), None, "{what}");
        assert_eq!((world.ports_taken(), world.quota_in_use()), (0, 0), "{what}");
    }
}

#[test]
fn invalid_tickets_and_those_of_others_are_refused() {
    let mut world = World::new();
    let (old, new) = (tuple(Transport::Udp, OLD), tuple(Transport::Udp, NEW));
    let good = ticket(&allocate(&mut world, &old, "anna", REQUESTED_UDP)).unwrap();
    let other = tuple(Transport::Udp, "198.51.100.8:1");
    allocate(&mut world, &other, "anna", REQUESTED_UDP);
    let flipped = |at: usize| {
        let mut ticket = good.clone();
        ticket[at] ^= 1;
        ticket
    };
    let tampered: Vec<_> = (0..good.len()).map(flipped).collect();
    for ticket in &tampered {
        assert_eq!(world.request(&new, "anna", Method::Refresh, refresh(ticket, 0)).code(), 400);
    }
    for (what, from, user, ticket, code) in [
        ("an empty one", &new, "anna", &[][..], 400),
        ("a short one", &new, "anna", &good[1..], 400),
        ("another user's", &new, "bert", &good[..], 441),
        ("from a client with an allocation", &other, "anna", &good[..], 437),
    ] {
        let response = world.request(from, user, Method::Refresh, refresh(ticket, 0));
        assert_eq!(response.code(), code, "{what}");
        assert_eq!(world.server.table.id_of(&new), None, "{what}");
    }
    assert_eq!((world.server.allocations(), world.quota_in_use()), (2, 2));
    world.request(&old, "anna", Method::Refresh, |writer| {
        writer.u32(attribute::LIFETIME, 0);
    });
    let late = world.request(&new, "anna", Method::Refresh, refresh(&good, 600));
    assert_eq!(late.code(), 400, "of an allocation that has ended");
}

const HOME: u8 = 3;
const ELSEWHERE: u8 = 9;

/// The worker that receives the datagrams of a client whose address has changed.
fn elsewhere() -> World {
    let mut world = World::new();
    world.server.worker = ELSEWHERE;
    world
}

/// The worker that has the allocation.
fn home() -> World {
    let world = World::new();
    assert_eq!(world.server.worker, HOME);
    world
}

/// Sends a message to `elsewhere`, which hands it over to `home` or answers itself.
fn send(elsewhere: &mut World, home: &mut World, from: &FiveTuple, bytes: &[u8]) -> Vec<Vec<u8>> {
    let own = elsewhere.send_to_server(from, bytes);
    let Some((client, worker)) = elsewhere.handed_over.pop() else { return own };
    assert_eq!((client, worker, own.len()), (*from, HOME, 0));
    if let Some(to) = home.server.handle_handover(home.now, ELSEWHERE, from, bytes) {
        home.sent_to_peers.push((home.open[&to.relay], to.peer, bytes[to.payload].to_vec()));
    }
    let responses = home.drain();
    for (client, worker) in home.ended_handovers.drain(..) {
        assert_eq!(worker, ELSEWHERE);
        elsewhere.server.handle_handover_ended(&client, HOME, elsewhere.now.instant);
    }
    responses
}

/// Returns the response to a Refresh with a ticket that is sent to `elsewhere`.
fn resume(elsewhere: &mut World, home: &mut World, user: &str, refresh: Refresh<'_>) -> Response {
    let Refresh { from, ticket, lifetime_s } = refresh;
    let mut nonce = String::new();
    for _ in 0..2 {
        let fill = self::refresh(ticket, lifetime_s);
        let bytes = home.signed(user, Method::Refresh, &nonce, fill);
        let response = Response(send(elsewhere, home, from, &bytes).remove(0));
        match response.message().text(attribute::NONCE) {
            Ok(Some(fresh)) if nonce.is_empty() => nonce = fresh.to_owned(),
            _ => return response,
        }
    }
    panic!("nonces are stale at once");
}

#[derive(Clone, Copy)]
struct Refresh<'t> {
    from: &'t FiveTuple,
    ticket: &'t [u8],
    lifetime_s: u32,
}

#[test]
fn datagrams_at_another_worker_are_handed_over_to_the_one_with_the_allocation() {
    let (mut home, mut elsewhere) = (home(), elsewhere());
    let (old, new) = (tuple(Transport::Udp, OLD), tuple(Transport::Udp, NEW));
    let first = ticket(&allocate(&mut home, &old, "anna", REQUESTED_UDP)).unwrap();
    bind(&mut home, &old);
    let id = home.server.table.id_of(&old).unwrap();
    let channel_data = [0x40, 0, 0, 1, b'x'];
    send(&mut elsewhere, &mut home, &new, &channel_data);
    assert_eq!(home.sent_to_peers.len(), 0, "of an unknown client");

    let shown = Refresh { from: &new, ticket: &first, lifetime_s: 600 };
    let moved = resume(&mut elsewhere, &mut home, "anna", shown);
    assert_eq!((moved.code(), elsewhere.server.handed_over_clients()), (0, 1));
    assert_eq!(reached(&mut home, id), Some(new));
    send(&mut elsewhere, &mut home, &new, &channel_data);
    assert_eq!(home.sent_to_peers.len(), 1, "of the client");
    assert_eq!(resume(&mut elsewhere, &mut home, "anna", shown).code(), 0, "the response was lost");

    // To an address whose datagrams the right worker receives, and back again.
    let second = ticket(&moved).unwrap();
    let third = tuple(Transport::Udp, "203.0.113.78:1");
    let direct = home.request(&third, "anna", Method::Refresh, refresh(&second, 600));
    assert_eq!((direct.code(), home.ended_handovers.len()), (0, 1));
    assert_eq!(home.ended_handovers.pop(), Some((new, ELSEWHERE)));
    elsewhere.server.handle_handover_ended(&new, HOME, elsewhere.now.instant);
    assert_eq!(elsewhere.server.handed_over_clients(), 0);
    let third = ticket(&direct).unwrap();
    let back = Refresh { from: &new, ticket: &third, lifetime_s: 600 };
    assert_eq!(resume(&mut elsewhere, &mut home, "anna", back).code(), 0);

    // The client is forgotten with the allocation, however that ends.
    let released = Refresh { lifetime_s: 0, ..back };
    let released = resume(&mut elsewhere, &mut home, "anna", released);
    assert_eq!((released.code(), home.server.allocations()), (0, 0));
    assert_eq!(elsewhere.server.handed_over_clients(), 0, "released");
    let third = ticket(&allocate(&mut home, &old, "anna", REQUESTED_UDP)).unwrap();
    let again = Refresh { ticket: &third, ..back };
    assert_eq!(resume(&mut elsewhere, &mut home, "anna", again).code(), 0);
    home.server.close(home.now);
    home.drain();
    assert_eq!(home.ended_handovers, [(new, ELSEWHERE)]);
}

#[test]
fn only_valid_tickets_from_proven_addresses_are_handed_over_and_remembered() {
    let (mut home, mut elsewhere) = (home(), elsewhere());
    let (old, new) = (tuple(Transport::Udp, OLD), tuple(Transport::Udp, NEW));
    let good = ticket(&allocate(&mut home, &old, "anna", REQUESTED_UDP)).unwrap();
    let mut forged = good.clone();
    forged[0] ^= 1;
    let own = tuple(Transport::Udp, "198.51.100.9:1");
    allocate(&mut elsewhere, &own, "anna", REQUESTED_UDP);
    let secure = tuple(Transport::Dtls, NEW);
    let ended = ticket(&allocate(&mut home, &own, "anna", REQUESTED_UDP)).unwrap();
    home.request(&own, "anna", Method::Refresh, |writer| {
        writer.u32(attribute::LIFETIME, 0);
    });
    for (what, from, user, ticket, code) in [
        ("forged", &new, "anna", &forged[..], 400),
        ("empty", &new, "anna", &[], 400),
        ("from a client with an allocation", &own, "anna", &good, 437),
        ("over DTLS", &secure, "anna", &good, 437),
        ("of an allocation that has ended", &new, "anna", &ended, 400),
        ("another user's", &new, "bert", &good, 441),
    ] {
        let shown = Refresh { from, ticket, lifetime_s: 600 };
        let response = resume(&mut elsewhere, &mut home, user, shown);
        assert_eq!((response.code(), elsewhere.server.handed_over_clients()), (code, 0), "{what}");
    }
    let unproven = home.signed("anna", Method::Refresh, "forged", refresh(&good, 600));
    elsewhere.send_to_server(&new, &unproven);
    assert_eq!((elsewhere.handed_over.len(), elsewhere.server.handed_over_clients()), (0, 0));
    assert_eq!(home.server.table.id_of(&old).map(|_| ()), Some(()), "nothing has moved");

    // A stream is handed over as a whole, so nothing needs to be remembered.
    let stream = tuple(Transport::Tcp, NEW);
    assert!(elsewhere.try_request(&stream, "anna", Method::Refresh, refresh(&good, 600)).is_none());
    assert_eq!(elsewhere.handed_over, [(stream, HOME)]);
    assert_eq!(elsewhere.server.handed_over_clients(), 0);

    // Nothing is handed over twice, whatever two workers believe of each other.
    let now = elsewhere.now;
    assert!(elsewhere.server.handovers.insert(&new, HOME, now.instant));
    elsewhere.handed_over.clear();
    elsewhere.server.handle_handover(now, HOME, &new, &[0x40, 0, 0, 1, b'x']);
    elsewhere.drain();
    assert_eq!(
        (elsewhere.handed_over.len(), &elsewhere.ended_handovers[..]),
        (0, &[(new, HOME)][..])
    );
}

#[test]
fn tickets_are_issued_if_requested_and_allowed() {
    for (what, mobility, transport, protocol, code, given) in [
        ("allowed", true, Transport::Udp, REQUESTED_UDP, 0, true),
        ("forbidden", false, Transport::Udp, REQUESTED_UDP, 405, false),
        ("TCP relaying", true, Transport::Tcp, REQUESTED_TCP, 0, false),
    ] {
        let mut world = World::new();
        world.server.set_reloadable(world.now, ReloadableConfig { mobility, ..credentials() });
        let response = allocate(&mut world, &tuple(transport, OLD), "anna", protocol);
        assert_eq!((response.code(), ticket(&response).is_some()), (code, given), "{what}");
    }
    let mut world = World::new();
    let (old, new) = (tuple(Transport::Udp, OLD), tuple(Transport::Udp, NEW));
    let unasked = world.request(&old, "anna", Method::Allocate, |writer| {
        writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
    });
    assert_eq!((unasked.code(), ticket(&unasked)), (0, None));

    // Forbidden since the ticket was issued.
    let mut world = World::new();
    let good = ticket(&allocate(&mut world, &old, "anna", REQUESTED_UDP)).unwrap();
    world.server.set_reloadable(world.now, ReloadableConfig { mobility: false, ..credentials() });
    let response = world.request(&new, "anna", Method::Refresh, refresh(&good, 600));
    assert_eq!(response.code(), 405);
}

/// In coturn, each address that a ticket was shown from was kept, without a bound.
#[test]
fn coturn_a97f1924_a_ticket_shown_from_many_addresses_counts_for_one() {
    for (what, newest) in [("the newest ticket", true), ("always the first one", false)] {
        let (mut home, mut elsewhere) = (home(), elsewhere());
        let old = tuple(Transport::Udp, OLD);
        let mut shown = ticket(&allocate(&mut home, &old, "anna", REQUESTED_UDP)).unwrap();
        let id = home.server.table.id_of(&old).unwrap();
        for port in 1..=300 {
            let place = tuple(Transport::Udp, &format!("203.0.113.77:{port}"));
            let refresh = Refresh { from: &place, ticket: &shown, lifetime_s: 600 };
            let response = resume(&mut elsewhere, &mut home, "anna", refresh);
            let kept = (home.server.allocations(), elsewhere.server.handed_over_clients());
            assert_eq!(kept, (1, 1), "{what}, place {port}");
            assert_eq!(response.code(), 0, "{what}, place {port}");
            assert_eq!(home.server.table.id_of(&place), Some(id), "{what}, place {port}");
            if newest {
                shown = ticket(&response).unwrap();
            }
        }
        // The addresses that it has left are not served.
        for port in [1, 299] {
            let left = tuple(Transport::Udp, &format!("203.0.113.77:{port}"));
            assert_eq!(home.server.table.id_of(&left), None, "{what}, place {port}");
        }
        assert_eq!(home.server.table.id_of(&old), None, "{what}");
    }
}

/// In coturn, the first move released the quota unit, so that the user got one more each time.
#[test]
fn coturn_3c5b2615_the_quota_of_a_living_allocation_is_not_released() {
    let mut world = World::new();
    let mut place = tuple(Transport::Tcp, OLD);
    let mut current = ticket(&allocate(&mut world, &place, "anna", REQUESTED_UDP)).unwrap();
    for port in 1..=50 {
        // Over TCP the connection may end first.
        if place.transport == Transport::Tcp {
            world.server.handle_client_disconnected(world.now, &place);
            world.drain();
            assert_eq!((world.server.allocations(), world.quota_in_use()), (1, 1), "{port}");
        }
        let transport = if port % 2 == 0 { Transport::Tcp } else { Transport::Udp };
        place = tuple(transport, &format!("203.0.113.77:{port}"));
        let moved = world.request(&place, "anna", Method::Refresh, refresh(&current, 600));
        assert_eq!(moved.code(), 0, "{port}");
        current = ticket(&moved).unwrap();
        assert_eq!((world.server.allocations(), world.quota_in_use()), (1, 1), "{port}");
    }
    let released = world.request(&place, "anna", Method::Refresh, refresh(&current, 0));
    assert_eq!(released.code(), 0);
    assert_eq!((world.server.allocations(), world.quota_in_use()), (0, 0), "once");
}

/// The allocation has ended, and its client requests a new one while the other worker does not
/// know yet.
#[test]
fn a_handover_for_an_allocation_that_fails_ends() {
    let (mut home, mut elsewhere) = (home(), elsewhere());
    let new = tuple(Transport::Udp, NEW);
    home.failing_opens = usize::MAX;
    let mut nonce = String::new();
    for code in [438, 508] {
        assert!(elsewhere.server.handovers.insert(&new, HOME, elsewhere.now.instant));
        let allocate = home.signed("anna", Method::Allocate, &nonce, |writer| {
            writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
        });
        let response = Response(send(&mut elsewhere, &mut home, &new, &allocate).remove(0));
        assert_eq!((response.code(), elsewhere.server.handed_over_clients()), (code, 0));
        let given = response.message().text(attribute::NONCE).unwrap();
        nonce = given.unwrap_or_default().to_owned();
    }
}

/// A NAT assigns the address of the closed connection to another client.
#[test]
fn a_detached_allocation_does_not_serve_the_next_client_of_its_address() {
    let mut world = World::new();
    let ends = tuple(Transport::Tls, OLD);
    let first = ticket(&allocate(&mut world, &ends, "anna", REQUESTED_UDP)).unwrap();
    bind(&mut world, &ends);
    let id = world.server.table.id_of(&ends).unwrap();
    world.server.handle_client_disconnected(world.now, &ends);
    world.drain();
    assert_eq!((world.server.allocations(), world.quota_in_use()), (1, 1), "it may come back");
    let before = world.sent_to_peers.len();
    world.send_to_server(&ends, &[0x40, 0, 0, 1, b'x']);
    assert_eq!(world.sent_to_peers.len(), before, "of another client");
    assert_eq!(reached(&mut world, id), None, "there is no client");
    let other = allocate(&mut world, &ends, "bert", REQUESTED_UDP);
    assert_eq!((other.code(), world.server.allocations()), (0, 2));

    // From another address, and from there again after the connection was closed.
    let new = tuple(Transport::Tls, NEW);
    let moved = world.request(&new, "anna", Method::Refresh, refresh(&first, 600));
    assert_eq!((moved.code(), reached(&mut world, id)), (0, Some(new)));
    let second = ticket(&moved).unwrap();
    world.server.handle_client_disconnected(world.now, &new);
    let back = world.request(&new, "anna", Method::Refresh, refresh(&second, 600));
    assert_eq!((back.code(), reached(&mut world, id)), (0, Some(new)));
    world.server.close(world.now);
    world.drain();
    assert_eq!((world.server.allocations(), world.quota_in_use()), (0, 0));
}
