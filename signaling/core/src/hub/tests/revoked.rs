//! Tests of what a request can do whose credential is revoked while it is on its way.

use std::time::Duration;

use porthole_signaling_proto::method::{
    Close as CloseSession, Connect, Register, RegisterParams, Report, ReportParams, SessionParams,
};
use porthole_signaling_proto::rest::Role;
use porthole_signaling_proto::rpc::{Message, code};
use porthole_signaling_proto::{GatewayId, SessionId};

use super::world::{World, admitted, connect_params, principal};
use crate::{
    Action, Close, ConnId, Hub, Identity, LookupId, LookupResult, Objects, Output, Principal,
    WhepOffer, WhepRequestId,
};

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

#[test]
fn s2_rights_to_the_cameras_of_a_removed_gateway_end_in_open_connections() {
    let mut world = World::new();
    let (_, id) = world.gateway(1, &["cam"]);
    let (_, other) = world.gateway(2, &["yard"]);
    let only = |gateway: &GatewayId, camera: &str| {
        [(gateway.clone(), camera.parse().unwrap())].into_iter().collect::<Objects>()
    };
    let ann = world.client(principal("ann", only(&id, "cam")));
    let bob = world.client(principal("bob", Objects::Gateways([id.clone()].into())));
    let eve = world.client(principal("eve", only(&other, "yard")));
    let all = world.client(principal("all", Objects::All));
    world.hub.handle_gateway_removed(world.now, &id);
    world.apply_outputs();
    for (name, conn, expected) in [
        ("one camera of it", ann, Some(&Close::RIGHTS_CHANGED)),
        ("all of its cameras", bob, Some(&Close::RIGHTS_CHANGED)),
        ("another gateway", eve, None),
        ("everything", all, None),
    ] {
        assert_eq!(world.closed.get(&conn), expected, "{name}");
    }
}

/// Returns a token, whose number is in the ids of its sessions.
fn token(number: u64) -> Principal {
    let [subject, credential] = [format!("token:{number}"), format!("token:{number}")];
    let identity = Identity { subject, credential, name: "wall".to_owned() };
    Principal::new(identity, Role::Viewer, Objects::All, None)
}

/// Starts a session with each of two tokens.
fn play_two(world: &mut World, gateway: ConnId, id: &GatewayId) -> [(ConnId, SessionId); 2] {
    [7, 8].map(|number| {
        let client = world.client(token(number));
        let params = connect_params(id, "cam");
        (client, world.play(client, gateway, &params).unwrap().session)
    })
}

fn report_sessions(world: &mut World, gateway: ConnId, sessions: &[SessionId]) {
    let cameras = vec![super::world::camera("cam")];
    let params =
        ReportParams { cameras, sessions: Some(sessions.to_vec()), ..ReportParams::default() };
    world.call::<Report>(gateway, &params).unwrap().unwrap();
}

/// Returns the messages that end these sessions.
fn closing(sessions: &[&SessionId]) -> Vec<Message> {
    let close = |session: &&SessionId| {
        let params = SessionParams { session: (*session).clone() };
        Message::notification::<CloseSession>(&params)
    };
    sessions.iter().map(close).collect()
}

#[test]
fn a_session_of_before_a_restart_goes_on_and_ends_with_its_credential() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let [(_, first), (_, second)] = play_two(&mut world, gateway, &id);
    // Another hub with the same key, and nothing else.
    world.hub = Hub::new(world.hub.config.clone(), [8; 32]);
    let (gateway, _) = world.gateway(1, &["cam"]);
    let unknown: SessionId = "s0123456789abcdef0123456789abcdef".parse().unwrap();
    for asked in [vec!["token:7", "token:8"], Vec::new()] {
        report_sessions(&mut world, gateway, &[first.clone(), second.clone(), unknown.clone()]);
        assert_eq!(std::mem::take(&mut world.to_check), asked);
        assert_eq!(world.take(gateway), [], "they go on");
    }
    assert_eq!(world.hub.handle_revoked(world.now, "token:7"), 1);
    world.apply_outputs();
    assert_eq!(world.take(gateway), closing(&[&first]));
    assert_eq!(world.hub.handle_revoked(world.now, "token:9"), 0);

    assert_eq!(world.hub.handle_gateway_removed(world.now, &id), 0);
    world.apply_outputs();
    assert_eq!(world.take(gateway), closing(&[&second]));
    assert!(world.hub.forgotten.is_empty());
}

#[test]
fn a_session_whose_viewer_is_long_away_ends_with_its_credential() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let [(ann, first), (bob, second)] = play_two(&mut world, gateway, &id);
    for client in [ann, bob] {
        world.close(client);
    }
    for _ in 0..11 {
        report_sessions(&mut world, gateway, &[first.clone(), second.clone()]);
        world.wait(Duration::from_secs(60));
    }
    assert_eq!(world.hub.counts().1, 0, "they are forgotten");
    world.take(gateway);
    world.hub.handle_revoked(world.now, "token:8");
    world.apply_outputs();
    assert_eq!(world.take(gateway), closing(&[&second]));
    // The other ends without the server.
    report_sessions(&mut world, gateway, &[]);
    assert!(world.hub.forgotten.is_empty());
    assert_eq!(world.to_check, [""; 0]);
}

#[test]
fn a_session_that_was_revoked_while_its_gateway_was_away_ends_when_it_comes_back() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let [(_, first), (_, second)] = play_two(&mut world, gateway, &id);
    world.close(gateway);
    assert_eq!(world.hub.handle_revoked(world.now, "token:7"), 1);
    world.apply_outputs();
    let (gateway, _) = world.gateway(1, &["cam"]);
    report_sessions(&mut world, gateway, &[first.clone(), second]);
    assert_eq!(world.to_check, ["token:7"], "the database is asked");
    assert_eq!(world.hub.handle_revoked(world.now, "token:7"), 2, "told once more");
    world.apply_outputs();
    let expected = closing(&[&first]);
    assert!(world.take(gateway).ends_with(&expected));
}
