//! Tests of what one token can take from others.

use std::collections::BTreeMap;
use std::time::Duration;

use porthole_signaling_proto::method::{
    Close, Discover, Extend, ExtendParams, ExtendResult, Invite, InviteParams, InviteResult,
    Notification as _, Register, RegisterParams,
};
use porthole_signaling_proto::rpc::{Message, code};
use porthole_signaling_proto::{GatewayId, SessionId};

use super::manage::search;
use super::rights::admin_named;
use super::world::{World, connect_params, principal};
use crate::{ConnId, Limits, Objects, Principal};

/// Starts a session that the gateway accepts. Returns the code of the refusal, if there is one.
fn connect(
    world: &mut World,
    client: ConnId,
    (gateway, id): (ConnId, &GatewayId),
) -> Result<SessionId, i64> {
    let result = world.play(client, gateway, &connect_params(id, "cam"));
    world.take(client);
    result.map(|result| result.session).map_err(|fault| fault.code)
}

/// Lets the gateway send its offer, and the client its answer.
fn answer(world: &mut World, client: ConnId, gateway: ConnId, session: &SessionId) {
    let params =
        InviteParams { session: session.clone(), offer: "o".to_owned(), subprotocols: None };
    world.request::<Invite>(gateway, &params);
    let (id, _) = world.next_request::<Invite>(client).unwrap();
    let result = InviteResult { answer: "a".to_owned(), subprotocols: None };
    world.send(client, Message::result::<Invite>(id, &result));
    world.take(gateway);
}

/// Opens `sockets` WebSockets of a token, and asks for `each` sessions on each of them. Returns how
/// many it gets.
fn fill(
    world: &mut World,
    name: &str,
    (sockets, each): (usize, usize),
    (gateway, id): (ConnId, &GatewayId),
    answers: bool,
) -> usize {
    let mut count = 0;
    for _ in 0..sockets {
        let client = world.client(principal(name, Objects::All));
        for _ in 0..each {
            match connect(world, client, (gateway, id)) {
                Ok(session) => {
                    count += 1;
                    if answers {
                        answer(world, client, gateway, &session);
                    }
                }
                Err(refused) => assert_eq!(refused, code::INSUFFICIENT_RESOURCES),
            }
        }
    }
    count
}

#[test]
fn s5_one_token_on_ten_sockets_cannot_fill_a_gateway() {
    for (answers, expected) in [(false, 64), (true, 128)] {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["cam"]);
        let taken = fill(&mut world, "greedy", (10, 60), (gateway, &id), answers);
        assert_eq!(taken, expected, "answers: {answers}");
        let other = world.client(principal("other", Objects::All));
        for _ in 0..4 {
            let session = connect(&mut world, other, (gateway, &id)).unwrap();
            answer(&mut world, other, gateway, &session);
        }
    }
}

#[test]
fn s5_sessions_that_nobody_answers_make_room_for_newcomers() {
    let limits = Limits { unanswered_per_gateway: 6, sessions_per_gateway: 9, ..Limits::default() };
    let mut world = World::with(limits);
    let (gateway, id) = world.gateway(1, &["cam"]);
    assert_eq!(fill(&mut world, "viewer", (1, 3), (gateway, &id), true), 3);
    assert_eq!(fill(&mut world, "greedy", (2, 8), (gateway, &id), false), 6, "the pool is full");
    let newcomer = world.client(principal("newcomer", Objects::All));
    for (number, expected) in [
        (1, Ok(())),
        (2, Ok(())),
        // Both have three, and nobody makes room for one more of either.
        (3, Ok(())),
        (4, Err(code::INSUFFICIENT_RESOURCES)),
    ] {
        let session = world.play(newcomer, gateway, &connect_params(&id, "cam"));
        assert_eq!(session.map(drop).map_err(|fault| fault.code), expected, "{number}");
        let told = world.take(gateway);
        let closed = told.iter().filter(|message| {
            matches!(message, Message::Notification { method, .. } if method == Close::NAME)
        });
        assert_eq!(closed.count(), usize::from(expected.is_ok()), "one makes room: {number}");
        world.wait(Duration::from_millis(1));
    }
    assert_eq!(world.hub.counts().1, 9, "pictures make no room");
}

#[test]
fn s4_one_token_holds_a_bounded_number_of_sockets() {
    let limits = Limits { sockets_per_subject: 3, ..Limits::default() };
    let mut world = World::with(limits);
    let mut open = Vec::new();
    for (name, expected) in [
        ("ann", None),
        ("ann", None),
        ("ann", None),
        ("ann", Some(code::INSUFFICIENT_RESOURCES)),
        ("bob", None),
    ] {
        let conn = world.open(Some(principal(name, Objects::All)));
        let result = world.call::<Register>(conn, &RegisterParams::default()).unwrap();
        assert_eq!(result.err().map(|fault| fault.code), expected, "{name}");
        assert_eq!(world.owners.get(&conn).map(String::as_str), expected.is_none().then_some(name));
        open.push(conn);
    }
    world.close(open[0]);
    world.client(principal("ann", Objects::All));
    let (gateway, id) = world.gateway(1, &[]);
    assert_eq!(world.owners[&gateway], id.as_str());
}

/// Returns the token with this number, of a chain that the first one has begun.
pub(super) fn of_chain(number: usize) -> Principal {
    admin_named(&format!("token:{number}"), Objects::All).counted_as("token:1".to_owned())
}

#[test]
fn s4_tokens_that_have_given_each_other_have_the_sockets_and_requests_of_one() {
    // The number of the token; the code of the refusal.
    type Case = (usize, Option<i64>);
    let sockets: [Case; 5] = [
        (1, None),
        (2, None),
        (3, None),
        (4, Some(code::INSUFFICIENT_RESOURCES)),
        (1, Some(code::INSUFFICIENT_RESOURCES)),
    ];
    let requests: [Case; 4] = [
        (1, None),
        (2, None),
        (3, Some(code::TOO_MANY_REQUESTS)),
        (1, Some(code::TOO_MANY_REQUESTS)),
    ];
    let limits = Limits { sockets_per_subject: 3, exchanges_per_subject: 2, ..Limits::default() };
    let mut world = World::with(limits);
    let (_, id) = world.gateway(1, &["cam"]);
    let mut open = BTreeMap::new();
    for (number, expected) in sockets {
        let conn = world.open(Some(of_chain(number)));
        let result = world.call::<Register>(conn, &RegisterParams::default()).unwrap();
        assert_eq!(result.err().map(|fault| fault.code), expected, "socket of token {number}");
        open.entry(number).or_insert(conn);
    }
    let stranger = world.client(admin_named("token:9", Objects::All));
    for (number, expected) in requests {
        let response = world.call::<Discover>(open[&number], &search(&id));
        let refused = response.and_then(Result::err).map(|fault| fault.code);
        assert_eq!(refused, expected, "request of token {number}");
    }
    assert!(world.call::<Discover>(stranger, &search(&id)).is_none(), "others may");
    world.close(open[&1]);
    let fourth = world.client(of_chain(4));
    assert!(world.call::<Discover>(fourth, &search(&id)).is_none(), "there is room again");
}

#[test]
fn s13_nine_thousand_extensions_leave_one_timer() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(principal("ann", Objects::All));
    let session = connect(&mut world, client, (gateway, &id)).unwrap();
    world.wait(Duration::from_secs(30));
    let before = world.hub.timers.len();
    for number in 0..9_000 {
        let session = session.clone();
        let params = ExtendParams { session, authorization: None, expiry_time_seconds: None };
        let request = world.request::<Extend>(client, &params);
        let (forwarded, _) = world.next_request::<Extend>(gateway).unwrap();
        let result = ExtendResult { expiry_time_seconds: 3600 };
        world.send(gateway, Message::result::<Extend>(forwarded, &result));
        assert!(world.response::<Extend>(client, request).is_some(), "{number}");
        world.take(client);
        world.take(gateway);
        world.wait(Duration::from_millis(10));
    }
    assert_eq!(world.hub.timers.len(), before);
    world.close(client);
    assert_eq!(world.hub.timers.len(), before + 1, "the time that the client may be away");
}
