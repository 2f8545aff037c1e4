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
}

const HOME: u8 = 3;
const ELSEWHERE: u8 = 9;

/// The worker that the kernel brings a client to which has moved.
fn elsewhere() -> World {
    let mut world = World::new();
    world.server.worker = ELSEWHERE;
    world
}

/// The worker that the client came to first.
fn home() -> World {
    let world = World::new();
    assert_eq!(world.server.worker, HOME);
    world
}

/// `elsewhere` gets a message, and passes it on to `home` or answers itself.
fn gets(elsewhere: &mut World, home: &mut World, from: &FiveTuple, bytes: &[u8]) -> Vec<Vec<u8>> {
    let own = elsewhere.server_gets(from, bytes);
    let Some((client, worker)) = elsewhere.passed.pop() else { return own };
    assert_eq!((client, worker, own.len()), (*from, HOME, 0));
    if let Some(to) = home.server.handle_passed(home.now, ELSEWHERE, from, bytes) {
        home.peers_got.push((home.open[&to.relay], to.peer, bytes[to.payload].to_vec()));
    }
    let answers = home.drain();
    for (client, worker) in home.forgotten.drain(..) {
        assert_eq!(worker, ELSEWHERE);
        elsewhere.server.forget_client(&client, HOME, elsewhere.now.instant);
    }
    answers
}

/// The code of the answer to a Refresh that shows a ticket to `elsewhere`.
fn resume(elsewhere: &mut World, home: &mut World, user: &str, refresh: Refresh<'_>) -> Answer {
    let Refresh { from, ticket, lifetime_s } = refresh;
    let mut nonce = String::new();
    for _ in 0..2 {
        let fill = self::refresh(ticket, lifetime_s);
        let bytes = home.signed(user, Method::Refresh, &nonce, fill);
        let answer = Answer(gets(elsewhere, home, from, &bytes).remove(0));
        match answer.message().text(attribute::NONCE) {
            Ok(Some(fresh)) if nonce.is_empty() => nonce = fresh.to_owned(),
            _ => return answer,
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
fn what_comes_to_another_worker_is_for_the_one_that_has_the_allocation() {
    let (mut home, mut elsewhere) = (home(), elsewhere());
    let (old, new) = (tuple(Transport::Udp, OLD), tuple(Transport::Udp, NEW));
    let first = ticket(&allocate(&mut home, &old, "anna", REQUESTED_UDP)).unwrap();
    bind(&mut home, &old);
    let id = home.server.table.id_of(&old).unwrap();
    let channel_data = [0x40, 0, 0, 1, b'x'];
    gets(&mut elsewhere, &mut home, &new, &channel_data);
    assert_eq!(home.peers_got.len(), 0, "a stranger's");

    let shown = Refresh { from: &new, ticket: &first, lifetime_s: 600 };
    let moved = resume(&mut elsewhere, &mut home, "anna", shown);
    assert_eq!((moved.code(), elsewhere.server.moved_clients()), (0, 1));
    assert_eq!(reached(&mut home, id), Some(new));
    gets(&mut elsewhere, &mut home, &new, &channel_data);
    assert_eq!(home.peers_got.len(), 1, "the client's");
    assert_eq!(resume(&mut elsewhere, &mut home, "anna", shown).code(), 0, "the answer was lost");

    // On to where the kernel brings it to the right worker, and back again.
    let second = ticket(&moved).unwrap();
    let third = tuple(Transport::Udp, "203.0.113.78:1");
    let direct = home.ask(&third, "anna", Method::Refresh, refresh(&second, 600));
    assert_eq!((direct.code(), home.forgotten.len()), (0, 1));
    assert_eq!(home.forgotten.pop(), Some((new, ELSEWHERE)));
    elsewhere.server.forget_client(&new, HOME, elsewhere.now.instant);
    assert_eq!(elsewhere.server.moved_clients(), 0);
    let third = ticket(&direct).unwrap();
    let back = Refresh { from: &new, ticket: &third, lifetime_s: 600 };
    assert_eq!(resume(&mut elsewhere, &mut home, "anna", back).code(), 0);

    // What is known of the client dies with the allocation, however that ends.
    let released = Refresh { lifetime_s: 0, ..back };
    let released = resume(&mut elsewhere, &mut home, "anna", released);
    assert_eq!((released.code(), home.server.allocations()), (0, 0));
    assert_eq!(elsewhere.server.moved_clients(), 0, "released");
    let third = ticket(&allocate(&mut home, &old, "anna", REQUESTED_UDP)).unwrap();
    let again = Refresh { ticket: &third, ..back };
    assert_eq!(resume(&mut elsewhere, &mut home, "anna", again).code(), 0);
    home.server.end_all(home.now);
    home.drain();
    assert_eq!(home.forgotten, [(new, ELSEWHERE)]);
}

#[test]
fn only_tickets_of_ours_from_proven_addresses_are_passed_on_and_remembered() {
    let (mut home, mut elsewhere) = (home(), elsewhere());
    let (old, new) = (tuple(Transport::Udp, OLD), tuple(Transport::Udp, NEW));
    let good = ticket(&allocate(&mut home, &old, "anna", REQUESTED_UDP)).unwrap();
    let mut forged = good.clone();
    forged[0] ^= 1;
    let own = tuple(Transport::Udp, "198.51.100.9:1");
    allocate(&mut elsewhere, &own, "anna", REQUESTED_UDP);
    let secure = tuple(Transport::Dtls, NEW);
    let ended = ticket(&allocate(&mut home, &own, "anna", REQUESTED_UDP)).unwrap();
    home.ask(&own, "anna", Method::Refresh, |writer| {
        writer.u32(attribute::LIFETIME, 0);
    });
    for (what, from, user, ticket, code) in [
        ("forged", &new, "anna", &forged[..], 400),
        ("empty", &new, "anna", &[], 400),
        ("where there is another allocation", &own, "anna", &good, 437),
        ("over DTLS", &secure, "anna", &good, 437),
        ("of what is gone", &new, "anna", &ended, 400),
        ("somebody else's", &new, "bert", &good, 441),
    ] {
        let shown = Refresh { from, ticket, lifetime_s: 600 };
        let answer = resume(&mut elsewhere, &mut home, user, shown);
        assert_eq!((answer.code(), elsewhere.server.moved_clients()), (code, 0), "{what}");
    }
    let unproven = home.signed("anna", Method::Refresh, "forged", refresh(&good, 600));
    elsewhere.server_gets(&new, &unproven);
    assert_eq!((elsewhere.passed.len(), elsewhere.server.moved_clients()), (0, 0));
    assert_eq!(home.server.table.id_of(&old).map(|_| ()), Some(()), "nothing has moved");

    // A stream goes as a whole, and nothing need be remembered.
    let stream = tuple(Transport::Tcp, NEW);
    assert!(elsewhere.try_ask(&stream, "anna", Method::Refresh, refresh(&good, 600)).is_none());
    assert_eq!(elsewhere.passed, [(stream, HOME)]);
    assert_eq!(elsewhere.server.moved_clients(), 0);

    // Nothing is passed on twice, whatever two workers believe of each other.
    let now = elsewhere.now;
    assert!(elsewhere.server.moved.insert(&new, HOME, now.instant));
    elsewhere.passed.clear();
    elsewhere.server.handle_passed(now, HOME, &new, &[0x40, 0, 0, 1, b'x']);
    elsewhere.drain();
    assert_eq!((elsewhere.passed.len(), &elsewhere.forgotten[..]), (0, &[(new, HOME)][..]));
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

/// Each place that a ticket was shown at was kept, and there was no end to them.
#[test]
fn coturn_a97f1924_a_ticket_shown_at_many_places_is_kept_at_one() {
    for (what, newest) in [("the newest ticket", true), ("always the first one", false)] {
        let (mut home, mut elsewhere) = (home(), elsewhere());
        let old = tuple(Transport::Udp, OLD);
        let mut shown = ticket(&allocate(&mut home, &old, "anna", REQUESTED_UDP)).unwrap();
        let id = home.server.table.id_of(&old).unwrap();
        for port in 1..=300 {
            let place = tuple(Transport::Udp, &format!("203.0.113.77:{port}"));
            let refresh = Refresh { from: &place, ticket: &shown, lifetime_s: 600 };
            let answer = resume(&mut elsewhere, &mut home, "anna", refresh);
            let kept = (home.server.allocations(), elsewhere.server.moved_clients());
            assert_eq!(kept, (1, 1), "{what}, place {port}");
            assert_eq!(answer.code(), 0, "{what}, place {port}");
            assert_eq!(home.server.table.id_of(&place), Some(id), "{what}, place {port}");
            if newest {
                shown = ticket(&answer).unwrap();
            }
        }
        // At the places that it left, nobody is served.
        for port in [1, 299] {
            let left = tuple(Transport::Udp, &format!("203.0.113.77:{port}"));
            assert_eq!(home.server.table.id_of(&left), None, "{what}, place {port}");
        }
        assert_eq!(home.server.table.id_of(&old), None, "{what}");
    }
}

/// It was given back at the first move, and the user had one more, and one more.
#[test]
fn coturn_3c5b2615_the_quota_of_a_living_allocation_is_not_given_back() {
    let mut world = World::new();
    let mut place = tuple(Transport::Tcp, OLD);
    let mut current = ticket(&allocate(&mut world, &place, "anna", REQUESTED_UDP)).unwrap();
    for port in 1..=50 {
        // Over TCP the connection may end first.
        if place.transport == Transport::Tcp {
            world.server.client_gone(world.now, &place);
            world.drain();
            assert_eq!((world.server.allocations(), world.quota_in_use()), (1, 1), "{port}");
        }
        let transport = if port % 2 == 0 { Transport::Tcp } else { Transport::Udp };
        place = tuple(transport, &format!("203.0.113.77:{port}"));
        let moved = world.ask(&place, "anna", Method::Refresh, refresh(&current, 600));
        assert_eq!(moved.code(), 0, "{port}");
        current = ticket(&moved).unwrap();
        assert_eq!((world.server.allocations(), world.quota_in_use()), (1, 1), "{port}");
    }
    let released = world.ask(&place, "anna", Method::Refresh, refresh(&current, 0));
    assert_eq!(released.code(), 0);
    assert_eq!((world.server.allocations(), world.quota_in_use()), (0, 0), "once");
}

/// An allocation has ended, and its client asks for a new one while the word of it is on its way.
#[test]
fn who_is_passed_on_for_an_allocation_that_fails_is_forgotten() {
    let (mut home, mut elsewhere) = (home(), elsewhere());
    let new = tuple(Transport::Udp, NEW);
    home.failing_opens = usize::MAX;
    let mut nonce = String::new();
    for code in [438, 508] {
        assert!(elsewhere.server.moved.insert(&new, HOME, elsewhere.now.instant));
        let allocate = home.signed("anna", Method::Allocate, &nonce, |writer| {
            writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
        });
        let answer = Answer(gets(&mut elsewhere, &mut home, &new, &allocate).remove(0));
        assert_eq!((answer.code(), elsewhere.server.moved_clients()), (code, 0));
        let given = answer.message().text(attribute::NONCE).unwrap();
        nonce = given.unwrap_or_default().to_owned();
    }
}

/// Another client behind the same NAT gets the port that is free again.
#[test]
fn what_a_closed_connection_leaves_behind_is_nobody_elses() {
    let mut world = World::new();
    let ends = tuple(Transport::Tls, OLD);
    let first = ticket(&allocate(&mut world, &ends, "anna", REQUESTED_UDP)).unwrap();
    bind(&mut world, &ends);
    let id = world.server.table.id_of(&ends).unwrap();
    world.server.client_gone(world.now, &ends);
    world.drain();
    assert_eq!((world.server.allocations(), world.quota_in_use()), (1, 1), "it may come back");
    let before = world.peers_got.len();
    world.server_gets(&ends, &[0x40, 0, 0, 1, b'x']);
    assert_eq!(world.peers_got.len(), before, "a stranger's");
    assert_eq!(reached(&mut world, id), None, "nobody is there");
    let stranger = allocate(&mut world, &ends, "bert", REQUESTED_UDP);
    assert_eq!((stranger.code(), world.server.allocations()), (0, 2));

    // From elsewhere, and from there again when the stranger has left.
    let new = tuple(Transport::Tls, NEW);
    let moved = world.ask(&new, "anna", Method::Refresh, refresh(&first, 600));
    assert_eq!((moved.code(), reached(&mut world, id)), (0, Some(new)));
    let second = ticket(&moved).unwrap();
    world.server.client_gone(world.now, &new);
    let back = world.ask(&new, "anna", Method::Refresh, refresh(&second, 600));
    assert_eq!((back.code(), reached(&mut world, id)), (0, Some(new)));
    world.server.end_all(world.now);
    world.drain();
    assert_eq!((world.server.allocations(), world.quota_in_use()), (0, 0));
}
