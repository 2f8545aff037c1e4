//! Tests of the TURN users of viewers without a session: they end with their credential, and before
//! if nobody needs them.

use std::time::Duration;

use porthole_signaling_proto::method::{Offer, OfferResult, Report, ReportParams};
use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{GatewayId, IceServer, SessionId};

use super::admission::of_chain;
use super::rights::admin_named;
use super::table::OFFER;
use super::world::{World, admitted, camera, connect_params, expiring, only, principal};
use crate::{
    Action, ConnId, Identity, Objects, Principal, TurnConfig, TurnServer, WhepDelete, WhepOffer,
    WhepRequestId, WhepResponse,
};

/// Lifetime of TURN credentials in a world, and the time after it in which a session may start.
const LIFETIME: Duration = Duration::from_secs(600);
const MINUTE: Duration = Duration::from_secs(60);

/// Asks for ICE servers before a camera is chosen. Returns the name of the TURN user.
fn ask(world: &mut World, principal: &Principal) -> String {
    let sender = admitted(principal.clone(), Action::ReadIceServers);
    let list = world.hub.handle_ice_servers(world.now, &sender).unwrap();
    world.apply_outputs();
    name_of(&list.ice_servers)
}

/// Asks for the ICE servers of a camera. Returns the name of the TURN user.
fn ask_for_camera(world: &mut World, principal: &Principal) -> String {
    let sender = admitted(principal.clone(), Action::AskCamera);
    let camera = "cam".parse().unwrap();
    let servers = world.hub.handle_whep_options(world.now, sender, &camera).unwrap();
    world.apply_outputs();
    name_of(&servers)
}

fn name_of(servers: &[IceServer]) -> String {
    let [_, turn] = servers else { panic!("STUN and TURN: {servers:?}") };
    turn.username.as_deref().unwrap().split_once(':').unwrap().1.to_owned()
}

/// Starts a session by WHEP, which the gateway answers.
fn play(world: &mut World, gateway: ConnId, number: u64, principal: &Principal) -> SessionId {
    let sender = admitted(principal.clone(), Action::Offer);
    let camera = "cam".parse().unwrap();
    let offer = WhepOffer { sender, camera, offer: OFFER.into(), viewer_address: None };
    world.hub.handle_whep_offer(world.now, WhepRequestId(number), offer);
    world.apply_outputs();
    let (request, _) = world.next_request::<Offer>(gateway).unwrap();
    let answer = OfferResult { answer: "a".into() };
    world.send(gateway, Message::result::<Offer>(request, &answer));
    match world.responses.remove(&WhepRequestId(number)) {
        Some(Ok(WhepResponse::Created { session, .. })) => session,
        other => panic!("no session was created: {other:?}"),
    }
}

/// Ends a session as its viewer does.
fn stop(world: &mut World, number: u64, principal: &Principal, session: SessionId) {
    let sender = admitted(principal.clone(), Action::Delete);
    let delete = WhepDelete { sender, session };
    world.hub.handle_whep_delete(world.now, WhepRequestId(number), &delete);
    world.apply_outputs();
    assert!(world.responses.remove(&WhepRequestId(number)).unwrap().is_ok());
}

/// Returns the credential of another sign-in of the same user.
fn elsewhere(principal: &Principal) -> Principal {
    let identity = Identity {
        subject: principal.subject().to_owned(),
        credential: format!("{} elsewhere", principal.credential()),
        name: principal.name().to_owned(),
    };
    Principal::new(identity, principal.role(), Objects::All, None)
}

#[test]
fn s7_turn_users_without_a_session_end_with_their_credential_in_whatever_way_it_ends() {
    type Way = fn(&mut World, &GatewayId);
    // What happens; the seconds in which the credential of a user that may watch `cam` expires;
    // whether that ends its TURN user.
    let table: [(&str, u64, Way, bool); 10] = [
        ("it is revoked", 3_600, |world, _| revoke(world, "cookie:ann"), true),
        ("another is revoked", 3_600, |world, _| revoke(world, "cookie:bob"), false),
        ("its rights change", 3_600, |world, _| change(world, "cookie:ann"), true),
        ("the gateway is removed", 3_600, remove, true),
        ("its camera is removed", 3_600, |world, id| take(world, id, "cam"), true),
        ("another camera is removed", 3_600, |world, id| take(world, id, "yard"), false),
        ("ten minutes pass", 3_600, |world, _| world.wait(LIFETIME), false),
        ("a minute more passes", 3_600, |world, _| world.wait(LIFETIME + MINUTE), true),
        ("it expires", 60, |world, _| world.wait(MINUTE), true),
        ("it is about to expire", 60, |world, _| world.wait(Duration::from_secs(59)), false),
    ];
    for (way, expires_in, end, ends) in table {
        for by_camera in [false, true] {
            let mut world = World::new();
            let (_, id) = world.gateway(1, &["cam", "yard"]);
            let expires_s = Some(world.now.unix_s + expires_in);
            let ann = expiring("ann", only(&["cam"]), expires_s);
            let ask = if by_camera { ask_for_camera } else { ask };
            let user = ask(&mut world, &ann);
            assert!(user.starts_with('o') && !user.contains("ann"), "{user}");
            end(&mut world, &id);
            world.apply_outputs();
            let expected = if ends { vec![user.as_str()] } else { Vec::new() };
            assert_eq!(world.ended, expected, "{way}");
            assert_eq!(world.hub.turn_users.is_empty(), ends, "{way}");
            world.wait(Duration::from_secs(3_600));
            assert_eq!(world.ended, [user], "{way}: it ends once, and at last");
            assert_eq!(world.hub.poll_timeout(), None, "{way}");
        }
    }
}

fn revoke(world: &mut World, credential: &str) {
    world.hub.handle_revoked(world.now, credential);
}

fn change(world: &mut World, credential: &str) {
    world.hub.handle_rights_changed(world.now, credential);
}

fn remove(world: &mut World, gateway: &GatewayId) {
    world.hub.handle_gateway_removed(world.now, gateway);
}

/// Takes the rights to a camera.
fn take(world: &mut World, gateway: &GatewayId, camera: &str) {
    world.hub.handle_rights_taken(world.now, gateway, &camera.parse().unwrap());
}

#[test]
fn s7_a_relayed_picture_goes_on_while_its_session_lives_and_ends_with_its_credential() {
    for way in ["the viewer stops", "revoked", "another camera removed", "its rights end"] {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["cam", "yard"]);
        let expires_s = Some(world.now.unix_s + 5 * 3_600);
        let ann = expiring("ann", only(&["cam", "yard"]), expires_s);
        // A user who has signed in twice may have asked with the other cookie.
        let asker = if way == "the viewer stops" { elsewhere(&ann) } else { ann.clone() };
        let user = ask(&mut world, &asker);
        let other = ask(&mut world, &principal("bob", Objects::All));
        world.wait(LIFETIME);
        let session = play(&mut world, gateway, 1, &ann);
        world.wait(4 * Duration::from_secs(3_600));
        assert_eq!(world.ended, [other], "who watches nothing needs none: {way}");
        world.ended.clear();
        match way {
            "the viewer stops" => stop(&mut world, 2, &ann, session.clone()),
            "revoked" => revoke(&mut world, ann.credential()),
            "another camera removed" => take(&mut world, &id, "yard"),
            _ => take(&mut world, &id, "cam"),
        }
        world.apply_outputs();
        let at_once = match way {
            "the viewer stops" => vec![session.as_str()],
            "another camera removed" => Vec::new(),
            _ => vec![session.as_str(), user.as_str()],
        };
        assert_eq!(world.ended, at_once, "{way}");
        world.wait(MINUTE);
        let expected = match way {
            "another camera removed" => Vec::new(),
            _ => vec![session.as_str(), user.as_str()],
        };
        assert_eq!(world.ended, expected, "{way}");
    }
}

#[test]
fn s7_the_picture_of_a_forgotten_session_goes_on_as_well() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let ann = principal("ann", Objects::All);
    let user = ask(&mut world, &ann);
    let client = world.client(ann);
    let session = world.play(client, gateway, &connect_params(&id, "cam")).unwrap().session;
    world.close(client);
    world.wait(Duration::from_secs(3_600));
    assert_eq!(world.hub.counts().1, 0, "it is forgotten");
    assert_eq!(world.ended, [""; 0], "it goes on");
    for (sessions, expected) in [(vec![session], vec![]), (vec![], vec![user])] {
        let cameras = vec![camera("cam")];
        let params = ReportParams { cameras, sessions: Some(sessions), ..ReportParams::default() };
        world.call::<Report>(gateway, &params).unwrap().unwrap();
        world.wait(MINUTE);
        assert_eq!(world.ended, expected);
    }
}

#[test]
fn s7_whoever_comes_back_gets_other_turn_users_than_those_that_have_ended() {
    let mut world = World::new();
    world.gateway(1, &["cam"]);
    let ann = principal("ann", Objects::All);
    let mut seen: Vec<String> = Vec::new();
    for time in ["first", "after the credentials", "after a revocation"] {
        let again = if time == "after a revocation" { elsewhere(&ann) } else { ann.clone() };
        for number in 0..20 {
            let user = ask(&mut world, &again);
            assert!(!world.ended.contains(&user), "{time} {number}: it is refused");
            if !seen.contains(&user) {
                seen.push(user);
            }
        }
        let credential = again.credential();
        match time {
            "first" => world.wait(LIFETIME + MINUTE),
            _ => revoke(&mut world, credential),
        }
        world.apply_outputs();
        assert_eq!(world.ended, seen, "{time}");
    }
    assert_eq!(seen.len(), 3 * 8, "the quotas of eight sessions at a time");
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn s7_without_a_turn_server_nothing_is_remembered() {
    let server = TurnServer {
        name: "main".to_owned(),
        urls: vec!["stun:h".into()],
        secret: Vec::new(),
        weight: TurnServer::USUAL_WEIGHT,
        region: None,
    };
    let stun = TurnConfig { servers: vec![server], lifetime: LIFETIME };
    for (turn, servers) in [(None, 0), (Some(stun), 1)] {
        let mut world = World::new();
        world.gateway(1, &["cam"]);
        world.hub.set_turn(turn);
        let sender = admitted(principal("ann", Objects::All), Action::ReadIceServers);
        let list = world.hub.handle_ice_servers(world.now, &sender).unwrap();
        assert_eq!(list.ice_servers.len(), servers);
        assert!(world.hub.turn_users.is_empty());
    }
}

#[test]
fn s7_tokens_that_have_given_each_other_have_the_turn_users_of_one() {
    let mut world = World::new();
    world.gateway(1, &["cam"]);
    let mut living: Vec<String> = Vec::new();
    for number in (1..=64).chain(1..=64) {
        let user = ask(&mut world, &of_chain(number));
        living.push(user);
        living.retain(|user| !world.ended.contains(user));
        living.sort();
        living.dedup();
        assert!(living.len() <= 8, "token {number}: {living:?}");
    }
    assert_eq!(living.len(), 8);
    let stranger = ask(&mut world, &admin_named("token:99", Objects::All));
    assert!(!living.contains(&stranger) && !world.ended.contains(&living[0]), "others may");
}
