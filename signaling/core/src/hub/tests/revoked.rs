//! Tests of what a request can do whose credential is revoked while it is on its way.

use porthole_signaling_proto::method::{Connect, Register, RegisterParams};
use porthole_signaling_proto::rpc::code;

use super::world::{World, admitted, connect_params, principal};
use crate::{Action, Close, LookupId, LookupResult, Objects, Output, WhepOffer, WhepRequestId};

#[test]
fn a_request_that_was_authenticated_before_a_revocation_starts_nothing_after_it() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let ann = || principal("ann", Objects::All);
    let bob = world.client(principal("bob", Objects::All));
    let params = connect_params(&id, "cam");
    world.play(bob, gateway, &params).unwrap();
    // The database has not answered yet when the credential is revoked.
    let waiting = world.open(None);
    let register = RegisterParams { authorization: Some("t".to_owned()), ..Default::default() };
    let message = porthole_signaling_proto::rpc::Message::request::<Register>(1, &register);
    world.hub.handle_message(world.now, waiting, Ok(message));
    let lookup = std::iter::from_fn(|| world.hub.poll_output()).find_map(|output| match output {
        Output::Lookup { id, .. } => Some(id),
        _ => None,
    });
    let lookup: LookupId = lookup.unwrap();

    assert_eq!(world.hub.handle_revoked(world.now, "cookie:ann"), 0);
    world.apply_outputs();
    world.hub.handle_lookup_result(world.now, lookup, LookupResult::Token(Ok(ann())));
    world.apply_outputs();
    let refused = world.response::<Register>(waiting, 1).unwrap().unwrap_err();
    assert_eq!(refused.code, code::UNAUTHORIZED, "{refused}");

    let late = world.open(Some(ann()));
    world.apply_outputs();
    assert_eq!(world.closed.get(&late), Some(&Close::SIGNED_OUT), "its WebSocket");

    let sender = admitted(ann(), Action::Offer);
    let camera = "cam".parse().unwrap();
    let offer =
        WhepOffer { sender, camera, offer: "a=ice-ufrag:abcd\r\n".into(), viewer_address: None };
    world.hub.handle_whep_offer(world.now, WhepRequestId(1), offer);
    world.apply_outputs();
    let response = world.responses.remove(&WhepRequestId(1)).unwrap().unwrap_err();
    assert_eq!(response.code, code::UNAUTHORIZED, "its offer: {response}");

    assert!(world.request::<Connect>(bob, &params) > 0, "others go on");
    assert_eq!(world.hub.counts().1, 2);
}

#[test]
fn a_gateway_that_was_removed_does_not_come_back_with_an_answer_from_before() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let ann = world.client(principal("ann", Objects::All));
    world.play(ann, gateway, &connect_params(&id, "cam")).unwrap();
    assert_eq!(world.hub.handle_gateway_removed(world.now, &id), 1);
    assert_eq!(world.hub.handle_gateway_removed(world.now, &id), 1, "told once more");
    world.apply_outputs();
    assert_eq!(world.closed.get(&gateway), Some(&Close::REMOVED));
    // The world's database still has its key, as one that has answered before the removal.
    let again = world.try_gateway(1);
    assert_eq!(again.unwrap_err().code, code::UNAUTHORIZED);
    world.keys.clear();
    let (_, enrolled) = world.gateway(1, &["cam"]);
    assert_eq!(enrolled, id, "a new claim code lets it in");
}
