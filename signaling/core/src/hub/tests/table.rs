//! Tests of each method in each situation, mostly as tables.

use std::time::Duration;

use porthole_signaling_proto::method::{
    Cameras, CamerasParams, Close as CloseSession, Connect, ConnectDevice, ConnectParams, Extend,
    ExtendParams, IceServers, Invite, InviteParams, InviteResult, Method as _, Notification as _,
    Offer, OfferResult, Ping, Register, RegisterParams, Report, ReportParams, Restart,
    RestartResult, SessionParams, Trickle, Unregister,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{
    CameraReport, CameraState, SessionId, StreamReport, StreamRole, rpc,
};
use serde_json::{Value, json};

use super::world::{World, admitted, camera, connect_params, expiring, only, principal};
use crate::{
    Action, Close, ConnId, IfMatch, Limits, Objects, Rate, WhepDelete, WhepFragment, WhepOffer,
    WhepPatch, WhepRequestId, WhepResponse,
};

/// Sends a request. Returns the code of the immediate response, 0 for success; `None` if the
/// response has to wait for another peer.
fn outcome(world: &mut World, conn: ConnId, method: &str, params: Value) -> Option<i64> {
    let id = RequestId::Text("x".into());
    let method = method.to_owned();
    world.send(conn, Message::Request { id: id.clone(), method, params });
    world.take(conn).into_iter().find_map(|message| match message {
        Message::Response { id: found, outcome } if found.as_ref() == Some(&id) => {
            Some(outcome.err().map_or(0, |fault| fault.code))
        }
        _ => None,
    })
}

#[test]
fn each_method_is_for_its_role() {
    const OK: Option<i64> = Some(0);
    const PENDING: Option<i64> = None;
    const UNREGISTERED: Option<i64> = Some(code::NOT_FOUND);
    const FORBIDDEN: Option<i64> = Some(code::FORBIDDEN);
    const ALREADY: Option<i64> = Some(code::BAD_REQUEST);
    let session = json!({"session": "s1"});
    let offer = json!({"session": "s1", "offer": "o"});
    let enroll = json!({"claim": "c", "publicKey": "k", "signature": "s", "name": "n"});
    for (method, params, unregistered, client, gateway) in [
        ("register", json!({}), Some(code::UNAUTHORIZED), ALREADY, ALREADY),
        ("register", json!({"authorization": "no"}), Some(code::UNAUTHORIZED), ALREADY, ALREADY),
        (
            "register",
            json!({"authorization": 5}),
            Some(code::INVALID_PARAMS),
            Some(code::INVALID_PARAMS),
            Some(code::INVALID_PARAMS),
        ),
        ("unregister", json!({}), UNREGISTERED, OK, OK),
        ("portholeChallenge", json!({}), OK, ALREADY, ALREADY),
        ("portholeEnroll", enroll, Some(code::UNAUTHORIZED), ALREADY, ALREADY),
        ("connect", json!({"peer": "gw-x"}), UNREGISTERED, Some(code::NOT_FOUND), FORBIDDEN),
        ("connect", json!({}), UNREGISTERED, Some(code::INVALID_PARAMS), FORBIDDEN),
        ("connect", json!({"peer": "@gw", "profile": "cam"}), UNREGISTERED, PENDING, FORBIDDEN),
        ("extend", session.clone(), UNREGISTERED, Some(code::NOT_FOUND), FORBIDDEN),
        ("invite", offer, UNREGISTERED, FORBIDDEN, Some(code::BAD_REQUEST)),
        ("portholeReport", json!({"cameras": []}), UNREGISTERED, FORBIDDEN, OK),
        (
            "portholeOffer",
            session,
            Some(code::METHOD_NOT_FOUND),
            Some(code::METHOD_NOT_FOUND),
            Some(code::METHOD_NOT_FOUND),
        ),
        (
            "nonsense",
            json!(null),
            Some(code::METHOD_NOT_FOUND),
            Some(code::METHOD_NOT_FOUND),
            Some(code::METHOD_NOT_FOUND),
        ),
    ] {
        for (role, expected) in
            [("unregistered", unregistered), ("client", client), ("gateway", gateway)]
        {
            let mut world = World::new();
            let (gateway, id) = world.gateway(1, &["cam"]);
            let conn = match role {
                "unregistered" => world.open(None),
                "client" => world.client(principal("ann", Objects::All)),
                _ => gateway,
            };
            let params = params.to_string().replace("@gw", id.as_str());
            let params: Value = serde_json::from_str(&params).unwrap();
            let found = outcome(&mut world, conn, method, params.clone());
            assert_eq!(found, expected, "{role}: {method} {params}");
        }
    }
}

#[test]
fn connect_is_decided_by_camera_scope_and_gateway() {
    for (scope, camera, online, expected) in [
        (Objects::All, Some("cam"), true, Ok(())),
        (Objects::All, None, true, Ok(())),
        (only(&["cam"]), Some("cam"), true, Ok(())),
        (only(&["cam2"]), None, true, Ok(())),
        (only(&["cam"]), Some("cam2"), true, Err(code::FORBIDDEN)),
        (only(&["cam"]), Some("none"), true, Err(code::FORBIDDEN)),
        (only(&["other"]), None, true, Err(code::NOT_FOUND)),
        (Objects::All, Some("none"), true, Err(code::NOT_FOUND)),
        (Objects::All, Some("cam"), false, Err(code::UNAVAILABLE)),
        (only(&["cam"]), Some("cam2"), false, Err(code::FORBIDDEN)),
    ] {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["cam", "cam2"]);
        let client = world.client(principal("ann", scope.clone()));
        if !online {
            world.close(gateway);
        }
        let params = ConnectParams {
            peer: id,
            profile: camera.map(|camera| camera.parse().unwrap()),
            authorization: None,
            audio: None,
        };
        let found = world.play(client, gateway, &params);
        assert_eq!(
            found.map(|_| ()).map_err(|f| f.code),
            expected,
            "{scope:?} {camera:?} {online}"
        );
    }
}

#[test]
fn another_token_in_connect_counts_for_that_session() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam", "cam2"]);
    world.tokens.insert("wide".into(), principal("wall", Objects::All));
    let client = world.client(principal("ann", only(&["cam"])));
    for (token, expected) in [("wide", Ok(())), ("unknown", Err(code::UNAUTHORIZED))] {
        let params =
            ConnectParams { authorization: Some(token.into()), ..connect_params(&id, "cam2") };
        let found = world.play(client, gateway, &params);
        assert_eq!(found.map(|_| ()).map_err(|fault| fault.code), expected, "{token}");
    }
}

#[test]
fn a_gateway_that_does_not_respond_is_480_and_the_session_is_closed() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(principal("ann", Objects::All));
    let request_id = world.request::<Connect>(client, &connect_params(&id, "cam"));
    let (request, device) = world.next_request::<ConnectDevice>(gateway).unwrap();
    world.wait(Duration::from_secs(9));
    assert_eq!(world.response::<Connect>(client, request_id), None);
    world.wait(Duration::from_secs(1));
    let fault = world.response::<Connect>(client, request_id).unwrap().unwrap_err();
    assert_eq!(fault.code, code::UNAVAILABLE);
    let close = Message::notification::<CloseSession>(&SessionParams { session: device.session });
    assert_eq!(world.take(gateway), [close]);
    world.send(gateway, Message::Response { id: Some(request), outcome: Ok(json!({})) });
    assert_eq!(world.hub.counts().1, 0, "a late response starts no session");
}

#[test]
fn an_invite_is_renumbered_forwarded_and_answered_in_time() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(principal("ann", Objects::All));
    let session = world.play(client, gateway, &connect_params(&id, "cam")).unwrap().session;
    let invite = |world: &mut World| {
        // Unknown parameters are forwarded.
        let params = json!({"session": session, "offer": "o", "portholeProof": {"nonce": "n"}});
        let id = RequestId::Text("from-gateway".into());
        let method = Invite::NAME.to_owned();
        world.send(gateway, Message::Request { id, method, params: params.clone() });
        params
    };
    let outcome_of = |world: &mut World| {
        world.take(gateway).into_iter().find_map(|message| match message {
            Message::Response { id: Some(RequestId::Text(id)), outcome } => Some((id, outcome)),
            _ => None,
        })
    };
    world.take(client);
    let params = invite(&mut world);
    let forwarded = world.take(client);
    let [Message::Request { id: RequestId::Number(number), params: found, .. }] = &forwarded[..]
    else {
        panic!("{forwarded:?}");
    };
    assert_eq!(*found, params, "unchanged");
    let answer = json!({"answer": "a", "portholeMore": 1});
    let id = Some(RequestId::Number(*number));
    world.send(client, Message::Response { id: id.clone(), outcome: Ok(answer.clone()) });
    assert_eq!(outcome_of(&mut world), Some(("from-gateway".into(), Ok(answer))));
    world.send(client, Message::Response { id, outcome: Ok(json!({"answer": "again"})) });
    assert_eq!(outcome_of(&mut world), None, "answered once");

    invite(&mut world);
    invite(&mut world);
    let twice = outcome_of(&mut world).unwrap().1.unwrap_err();
    assert_eq!(twice.code, code::BAD_REQUEST, "one at a time");
    world.wait(Duration::from_secs(15));
    assert_eq!(outcome_of(&mut world).unwrap().1.unwrap_err().code, code::REQUEST_TIMEOUT);
    invite(&mut world);
    world.close(client);
    assert_eq!(outcome_of(&mut world).unwrap().1.unwrap_err().code, code::GONE);
    invite(&mut world);
    assert_eq!(outcome_of(&mut world).unwrap().1.unwrap_err().code, code::GONE);
}

#[test]
fn trickle_is_forwarded_unchanged_in_both_directions_and_to_no_one_else() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let (other_gateway, _) = world.gateway(2, &["other"]);
    let client = world.client(principal("ann", Objects::All));
    let other = world.client(principal("bob", Objects::All));
    let session = world.play(client, gateway, &connect_params(&id, "cam")).unwrap().session;
    for conn in [gateway, other_gateway, client, other] {
        world.take(conn);
    }
    let candidate = json!({"candidate": "c", "sdpMid": "0", "unknown": [1, 2]});
    let trickle = Message::Notification {
        method: Trickle::NAME.into(),
        params: json!({"session": session, "candidate": candidate, "portholeMore": true}),
    };
    for (from, to) in
        [(gateway, Some(client)), (client, Some(gateway)), (other, None), (other_gateway, None)]
    {
        world.send(from, trickle.clone());
        for conn in [gateway, other_gateway, client, other] {
            let expected = if to == Some(conn) { vec![trickle.clone()] } else { vec![] };
            assert_eq!(world.take(conn), expected, "{from:?} to {conn:?}");
        }
    }
    let malformed = json!({"session": session, "candidate": 5});
    world.send(client, Message::Notification { method: Trickle::NAME.into(), params: malformed });
    assert_eq!(world.errors(client), [(code::MALFORMED_CANDIDATE, Some(session.clone()))]);
    world.send(
        client,
        Message::Error(Fault { session: Some(session.clone()), ..Fault::new(1001, "full") }),
    );
    assert_eq!(world.errors(gateway), [(1001, Some(session.clone()))]);
    world.send(other, Message::Error(Fault { session: Some(session), ..Fault::new(1001, "full") }));
    assert_eq!(world.errors(gateway), []);
}

#[test]
fn candidates_and_sentences_that_are_too_long_are_not_forwarded() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(principal("ann", Objects::All));
    let session = world.play(client, gateway, &connect_params(&id, "cam")).unwrap().session;
    let params = |fill: usize| {
        let candidate = json!({"candidate": "c".repeat(fill)});
        json!({"session": session, "candidate": candidate})
    };
    let empty = params(0).to_string().len();
    for (from, to) in [(client, gateway), (gateway, client)] {
        for (bytes, forwarded) in [(512, true), (2048, true), (2049, false), (60_000, false)] {
            world.take(from);
            world.take(to);
            let params = params(bytes - empty);
            world.send(from, Message::Notification { method: Trickle::NAME.into(), params });
            assert_eq!(world.take(to).len(), usize::from(forwarded), "{bytes}");
            let refused = [(code::MALFORMED_CANDIDATE, Some(session.clone()))];
            assert_eq!(world.errors(from), refused[usize::from(forwarded)..], "{bytes}");
        }
    }
    let fault = Fault { session: Some(session.clone()), ..Fault::new(1001, "x".repeat(60_000)) };
    world.send(client, Message::Error(fault.clone()));
    let shortened = Fault { message: "x".repeat(300), ..fault };
    assert_eq!(world.take(gateway), [Message::Error(shortened)]);
}

#[test]
fn a_session_outlives_the_websockets_of_both_sides() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(principal("ann", Objects::All));
    let session = world.play(client, gateway, &connect_params(&id, "cam")).unwrap().session;
    world.take(client);
    world.close(gateway);
    assert_eq!(world.errors(client), [(code::PEER_DISCONNECTED, Some(session.clone()))]);
    let (gateway, _) = world.gateway(1, &["cam"]);
    world.close(client);
    assert_eq!(world.errors(gateway), [(code::PEER_DISCONNECTED, Some(session.clone()))]);
    assert_eq!(world.hub.counts().1, 1);

    let extend =
        ExtendParams { session: session.clone(), authorization: None, expiry_time_seconds: None };
    let other = world.client(principal("bob", Objects::All));
    let fault = world.call::<Extend>(other, &extend).unwrap().unwrap_err();
    assert_eq!(fault.code, code::NOT_FOUND, "the session belongs to another user");
    let back = world.client(principal("ann", Objects::All));
    let request_id = world.request::<Extend>(back, &extend);
    let is_ice_servers = |message: &Message| {
        let Message::Notification { method, .. } = message else { return false };
        method == IceServers::NAME
    };
    for conn in [back, gateway] {
        assert!(world.inbox[&conn].iter().any(is_ice_servers), "for an ICE restart");
    }
    let (request, params) = world.next_request::<Extend>(gateway).unwrap();
    assert_eq!(params.expiry_time_seconds, Some(3600));
    let outcome = Ok(json!({"expiryTimeSeconds": 3600}));
    world.send(gateway, Message::Response { id: Some(request), outcome });
    assert!(world.response::<Extend>(back, request_id).unwrap().is_ok());
    let offer = InviteParams { session: session.clone(), offer: "o".into(), subprotocols: None };
    let invited = world.request::<Invite>(gateway, &offer);
    let (request, _) =
        world.next_request::<Invite>(back).expect("the session has moved to this client");
    let answer = InviteResult { answer: "a".into(), subprotocols: None };
    world.send(back, Message::result::<Invite>(request, &answer));
    assert_eq!(world.response::<Invite>(gateway, invited), Some(Ok(answer)));

    world.close(back);
    world.take(gateway);
    world.wait(Duration::from_secs(599));
    assert_eq!(world.hub.counts().1, 1, "the client may reconnect for ten minutes");
    world.wait(Duration::from_secs(1));
    assert_eq!(world.hub.counts().1, 0, "then the session is removed");
    assert_eq!(world.take(gateway), [], "the gateway is not told: the stream may go on");
}

#[test]
fn sessions_that_a_gateway_does_not_report_are_removed_unless_they_have_just_started() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let (other, other_id) = world.gateway(2, &["other"]);
    let client = world.client(principal("ann", Objects::All));
    let play = |world: &mut World, gateway, id, camera: &str| {
        world.play(client, gateway, &connect_params(id, camera)).unwrap().session
    };
    let lost = play(&mut world, gateway, &id, "cam");
    let kept = play(&mut world, gateway, &id, "cam");
    let of_other = play(&mut world, other, &other_id, "other");
    let player = principal("player", Objects::All);
    let offer = WhepOffer {
        sender: admitted(player.clone(), Action::Offer),
        camera: "cam".parse().unwrap(),
        offer: OFFER.into(),
        viewer_address: None,
    };
    let now = world.now;
    world.hub.handle_whep_offer(now, WhepRequestId(1), offer);
    world.apply_outputs();
    let (request, whep) = world.next_request::<Offer>(gateway).unwrap();
    world.send(gateway, Message::result::<Offer>(request, &OfferResult { answer: "a".into() }));
    world.wait(Duration::from_secs(20));
    let young = play(&mut world, gateway, &id, "cam");
    for conn in [client, gateway] {
        world.take(conn);
    }
    let report = |world: &mut World, sessions| {
        let cameras = vec![camera("cam")];
        let params = ReportParams { cameras, sessions, ..Default::default() };
        world.call::<Report>(gateway, &params).unwrap().unwrap();
    };
    report(&mut world, None);
    assert_eq!(world.hub.counts().1, 5, "sessions are not reported");
    let all = [&lost, &kept, &of_other, &young, &whep.session].map(Clone::clone).to_vec();
    report(&mut world, Some(all));
    assert_eq!(world.hub.counts().1, 5, "all sessions are reported");
    report(&mut world, Some(vec![kept.clone()]));
    let left: Vec<_> = [&lost, &kept, &of_other, &young, &whep.session]
        .map(|name| world.hub.sessions.get(name).is_some())
        .to_vec();
    assert_eq!(left, [false, true, true, true, false]);
    let close = Message::notification::<CloseSession>(&SessionParams { session: lost });
    assert_eq!(world.take(client), [close]);
    assert_eq!(world.take(gateway), [], "it has just reported");
    let sender = admitted(player, Action::Delete);
    let delete = WhepDelete { sender, session: whep.session };
    world.hub.handle_whep_delete(world.now, WhepRequestId(2), &delete);
    world.apply_outputs();
    assert_eq!(world.responses[&WhepRequestId(2)].clone().unwrap_err().code, code::NOT_FOUND);
    world.wait(Duration::from_secs(20));
    report(&mut world, Some(vec![]));
    assert_eq!(world.hub.counts().1, 1);
}

#[test]
fn a_client_that_disconnects_before_the_gateway_accepts_leaves_no_session() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(principal("ann", Objects::All));
    world.request::<Connect>(client, &connect_params(&id, "cam"));
    let (_, device) = world.next_request::<ConnectDevice>(gateway).unwrap();
    world.close(client);
    let close = Message::notification::<CloseSession>(&SessionParams { session: device.session });
    assert_eq!(world.take(gateway), [close]);
    assert_eq!(world.hub.counts().1, 0);
}

#[test]
fn a_session_ends_with_its_lifetime_or_its_token() {
    for (token_s, lifetime_s) in [(None, 3600), (Some(100), 100), (Some(9999), 3600)] {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["cam"]);
        let expires_s = token_s.map(|time| world.now.unix_s + time);
        let client = world.client(expiring("ann", Objects::All, expires_s));
        let result = world.play(client, gateway, &connect_params(&id, "cam")).unwrap();
        assert_eq!(result.expiry_time_seconds, Some(lifetime_s));
        world.take(gateway);
        world.wait(Duration::from_secs(u64::from(lifetime_s) - 1));
        assert_eq!(world.take(gateway), []);
        world.wait(Duration::from_secs(1));
        let close = SessionParams { session: result.session };
        let close = Message::notification::<CloseSession>(&close);
        assert!(world.take(gateway).contains(&close), "{token_s:?}");
        let closed = world.closed.get(&client);
        let expected = (token_s == Some(100)).then_some(&Close::EXPIRED);
        assert_eq!(closed, expected, "{token_s:?}");
    }
}

#[test]
fn an_expired_token_cannot_extend_a_session_and_a_new_one_can() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(principal("ann", Objects::All));
    let session = world.play(client, gateway, &connect_params(&id, "cam")).unwrap().session;
    let old = expiring("ann", Objects::All, Some(world.now.unix_s));
    world.tokens.insert("old".into(), old);
    world.tokens.insert("new".into(), principal("ann", Objects::All));
    world.tokens.insert("narrow".into(), principal("ann", only(&["other"])));
    for (token, expected) in [
        ("old", Some(code::UNAUTHORIZED)),
        ("none", Some(code::UNAUTHORIZED)),
        ("narrow", Some(code::FORBIDDEN)),
        ("new", None),
    ] {
        let params = json!({"session": session, "authorization": token});
        assert_eq!(outcome(&mut world, client, "extend", params), expected, "{token}");
    }
}

#[test]
fn limits_are_enforced_and_reported() {
    let limits = Limits {
        sessions_per_subject: 2,
        sessions_per_gateway: 3,
        cameras_per_gateway: 2,
        ..Limits::default()
    };
    let mut world = World::with(limits);
    let (gateway, id) = world.gateway(1, &["cam"]);
    let (ann, bob) = (
        world.client(principal("ann", Objects::All)),
        world.client(principal("bob", Objects::All)),
    );
    for (client, expected) in [
        (ann, None),
        (ann, None),
        (ann, Some(code::INSUFFICIENT_RESOURCES)),
        (bob, None),
        (bob, Some(code::INSUFFICIENT_RESOURCES)),
    ] {
        let found = world.play(client, gateway, &connect_params(&id, "cam")).err();
        assert_eq!(found.map(|fault| fault.code), expected);
    }
    let refused = world.report(gateway, &["a", "b", "c", "b"]).refused;
    let ids: Vec<_> = refused.iter().map(|refused| refused.id.as_str()).collect();
    assert_eq!(ids, ["c", "b"]);
}

#[test]
fn too_many_messages_are_refused_and_then_end_the_connection() {
    let limits = Limits {
        client_rate: Rate { burst: 3, per_minute: 60 },
        excess_rate: Rate { burst: 2, per_minute: 60 },
        ..Limits::default()
    };
    let mut world = World::with(limits);
    let client = world.client(principal("ann", Objects::All));
    for (number, expected) in
        [(1, code::METHOD_NOT_FOUND), (4, code::TOO_MANY_REQUESTS), (5, code::TOO_MANY_REQUESTS)]
    {
        let mut found = outcome(&mut world, client, "nonsense", json!(null));
        if number == 1 {
            outcome(&mut world, client, "nonsense", json!(null));
            found = outcome(&mut world, client, "nonsense", json!(null));
        }
        assert_eq!(found, Some(expected), "message {number}");
    }
    assert_eq!(outcome(&mut world, client, "nonsense", json!(null)), None);
    assert_eq!(world.closed.get(&client), Some(&Close::TOO_MANY));
}

#[test]
fn unregistered_and_replaced_connections_are_closed() {
    let mut world = World::new();
    let silent = world.open(Some(principal("ann", Objects::All)));
    let client = world.client(principal("bob", Objects::All));
    world.wait(Duration::from_secs(10));
    assert_eq!(world.closed.get(&silent), Some(&Close::NOT_REGISTERED));
    assert_eq!(world.closed.get(&client), None);
    assert_eq!(outcome(&mut world, client, Ping::NAME, json!({})), Some(0));
    assert_eq!(outcome(&mut world, client, Unregister::NAME, json!({})), Some(0));
    assert_eq!(world.closed.get(&client), Some(&Close::UNREGISTERED));
    let (gateway, _) = world.gateway(1, &[]);
    let (newer, _) = world.gateway(1, &[]);
    assert_eq!(world.closed.get(&gateway), Some(&Close::REPLACED));
    assert_eq!(world.closed.get(&newer), None);
}

#[test]
fn signing_out_ends_the_connections_of_that_browser_only() {
    let mut world = World::new();
    let (ann, bob) = (
        world.client(principal("ann", Objects::All)),
        world.client(principal("bob", Objects::All)),
    );
    let silent = world.open(Some(principal("ann", Objects::All)));
    let now = world.now;
    world.hub.handle_revoked(now, "cookie:ann");
    world.apply_outputs();
    let closed: Vec<_> = world.closed.keys().copied().collect();
    assert_eq!(closed, [ann, silent]);
    assert!(!world.closed.contains_key(&bob));
}

#[test]
fn signing_out_ends_the_sessions_of_that_browser_only() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let (ann, bob) = (
        world.client(principal("ann", Objects::All)),
        world.client(principal("bob", Objects::All)),
    );
    let lost = world.client(principal("ann", Objects::All));
    let mut ended = Vec::new();
    for client in [ann, lost] {
        ended.push(world.play(client, gateway, &connect_params(&id, "cam")).unwrap().session);
    }
    world.close(lost);
    let bobs = world.play(bob, gateway, &connect_params(&id, "cam")).unwrap().session;
    for (request, accepted) in [(1, true), (2, false)] {
        let sender = admitted(principal("ann", Objects::All), Action::Offer);
        let camera = "cam".parse().unwrap();
        let offer = WhepOffer { sender, camera, offer: OFFER.into(), viewer_address: None };
        let now = world.now;
        world.hub.handle_whep_offer(now, WhepRequestId(request), offer);
        world.apply_outputs();
        let (request, params) = world.next_request::<Offer>(gateway).unwrap();
        ended.push(params.session);
        if accepted {
            let answer = OfferResult { answer: "a".into() };
            world.send(gateway, Message::result::<Offer>(request, &answer));
        }
    }
    for conn in [gateway, ann] {
        world.take(conn);
    }
    let now = world.now;
    assert_eq!(world.hub.handle_revoked(now, "cookie:ann"), 4);
    assert_eq!(world.hub.handle_revoked(now, "cookie:ann"), 4, "told once more");
    world.apply_outputs();
    let close = |session: &SessionId| {
        let params = SessionParams { session: session.clone() };
        Message::notification::<CloseSession>(&params)
    };
    assert_eq!(world.take(ann), [close(&ended[0])]);
    ended.sort();
    assert_eq!(world.take(gateway), ended.iter().map(close).collect::<Vec<_>>());
    let left: Vec<_> = world.hub.sessions.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(left, [bobs]);
}

/// Takes the lists of cameras that a client was sent.
fn camera_lists(world: &mut World, conn: ConnId) -> Vec<Vec<(String, CameraState)>> {
    let lists = world.take(conn).into_iter().filter_map(|message| match message {
        Message::Notification { method, params } if method == Cameras::NAME => Some(params),
        _ => None,
    });
    let lists = lists.map(|params| rpc::read::<CamerasParams>(params).unwrap().cameras);
    lists
        .map(|list| list.into_iter().map(|c| (c.report.id.to_string(), c.report.state)).collect())
        .collect()
}

#[test]
fn clients_get_their_cameras_when_they_change_but_not_too_often() {
    let mut world = World::new();
    let all = world.client(principal("ann", Objects::All));
    let some = world.client(principal("bob", only(&["b"])));
    assert_eq!(camera_lists(&mut world, all), [vec![]]);
    assert_eq!(camera_lists(&mut world, some), [vec![]]);
    world.wait(Duration::from_secs(1));
    let (gateway, _) = world.gateway(1, &["a", "b"]);
    world.wait(Duration::from_secs(1));
    let idle = |id: &str| (id.to_owned(), CameraState::Idle);
    assert_eq!(camera_lists(&mut world, all).pop(), Some(vec![idle("a"), idle("b")]));
    assert_eq!(camera_lists(&mut world, some).pop(), Some(vec![idle("b")]));

    for round in 0..50 {
        let mut changed = camera("a");
        changed.viewers = round + 1;
        let cameras = vec![changed, camera("b")];
        world
            .call::<Report>(gateway, &ReportParams { cameras, ..Default::default() })
            .unwrap()
            .unwrap();
    }
    world.wait(Duration::from_secs(1));
    assert_eq!(camera_lists(&mut world, all).len(), 2, "one at once and one after the interval");
    assert_eq!(camera_lists(&mut world, some).len(), 0, "its only camera has not changed");
    world.close(gateway);
    let offline = ("b".to_owned(), CameraState::Offline);
    assert_eq!(camera_lists(&mut world, some), [vec![offline]]);
}

#[test]
fn cameras_are_persisted_when_they_change_and_again_after_a_failure() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["a"]);
    world.report(gateway, &["a"]);
    assert_eq!(world.persisted, [(id.clone(), 1)]);
    world.report(gateway, &["a", "b"]);
    assert_eq!(world.persisted.len(), 2);
    world.hub.handle_persist_failed(&id);
    world.report(gateway, &["a", "b"]);
    assert_eq!(world.persisted.len(), 3);
}

/// A camera with a main and a sub stream, as its gateway reports it.
fn camera_with_sub(id: &str, sub: &str) -> CameraReport {
    let stream = |id: &str, role| StreamReport {
        id: id.parse().unwrap(),
        role,
        state: CameraState::Idle,
        reason: None,
        codec: None,
        width: None,
        height: None,
    };
    let streams = vec![stream(id, StreamRole::Main), stream(sub, StreamRole::Sub)];
    CameraReport { streams, ..camera(id) }
}

#[test]
fn a_sub_stream_is_watched_by_its_own_id_and_listed_with_its_camera() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &[]);
    let cameras = vec![camera_with_sub("door", "door.sub"), camera_with_sub("yard", "door")];
    world
        .call::<Report>(gateway, &ReportParams { cameras, ..Default::default() })
        .unwrap()
        .unwrap();
    for (scope, listed, sub_allowed) in [
        (Objects::All, &["door", "yard"][..], Ok(())),
        (only(&["door"]), &["door"], Ok(())),
        (only(&["door.sub"]), &["door.sub"], Ok(())),
        (only(&["yard"]), &["yard"], Err(code::FORBIDDEN)),
    ] {
        let client = world.client(principal("ann", scope.clone()));
        let lists = camera_lists(&mut world, client);
        let ids: Vec<_> = lists[0].iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, listed, "{scope:?}");
        let played = world.play(client, gateway, &connect_params(&id, "door.sub"));
        assert_eq!(played.map(|_| ()).map_err(|fault| fault.code), sub_allowed, "{scope:?}");
    }
    let all = world.client(principal("bob", Objects::All));
    let played = world.play(all, gateway, &connect_params(&id, "yard.sub"));
    assert_eq!(played.map_err(|fault| fault.code).err(), Some(code::NOT_FOUND), "no such stream");
}

#[test]
fn registering_needs_a_fresh_nonce_and_the_right_key() {
    let mut world = World::new();
    world.gateway(1, &[]);
    let key = |seed| ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    let conn = world.open(None);
    let register = |world: &mut World, token: String| {
        let params = RegisterParams { authorization: Some(token), ..Default::default() };
        world.call::<Register>(conn, &params).unwrap().map(|_| ()).map_err(|fault| fault.code)
    };
    let nonce = world.nonce(conn);
    let token = super::world::gateway_token(&key(2), &nonce);
    let id = super::world::gateway_token(&key(1), &nonce);
    let stolen =
        format!("{}.{}", id.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);
    assert_eq!(register(&mut world, stolen), Err(code::UNAUTHORIZED));
    assert_eq!(register(&mut world, id.clone()), Err(code::UNAUTHORIZED), "the nonce is used");
    world.nonce(conn);
    assert_eq!(register(&mut world, id), Err(code::UNAUTHORIZED), "another nonce");
    let nonce = world.nonce(conn);
    assert_eq!(register(&mut world, super::world::gateway_token(&key(1), &nonce)), Ok(()));
}

pub(super) const OFFER: &str = "v=0\r\na=ice-ufrag:abcd\r\n";

pub(super) fn fragment(ufrag: &str) -> WhepFragment {
    let text = format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789012345678901\r\na=mid:0\r\n\
         a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
    );
    WhepFragment::parse(&text).unwrap()
}

#[test]
fn whep_trickles_restarts_and_ends_a_session() {
    let mut world = World::new();
    let (gateway, _) = world.gateway(1, &["cam"]);
    let principal = principal("player", only(&["cam"]));
    let offer = WhepOffer {
        sender: admitted(principal.clone(), Action::Offer),
        camera: "cam".parse().unwrap(),
        offer: OFFER.into(),
        viewer_address: None,
    };
    let now = world.now;
    world.hub.handle_whep_offer(now, WhepRequestId(1), offer.clone());
    world.apply_outputs();
    let (request, params) = world.next_request::<Offer>(gateway).unwrap();
    let answer = OfferResult { answer: "a".into() };
    world.send(gateway, Message::result::<Offer>(request, &answer));
    let Some(Ok(WhepResponse::Created { session, etag, ice_servers, .. })) =
        world.responses.remove(&WhepRequestId(1))
    else {
        panic!("no session was created");
    };
    assert_eq!((&session, &ice_servers), (&params.session, &params.ice_servers));

    let mut request = 1;
    let mut patch = |world: &mut World, who: &str, if_match: Option<&str>, ufrag: &str| {
        request += 1;
        let tag = |tag: &str| match tag {
            "*" => IfMatch::Any,
            tag => IfMatch::Tags(vec![tag.to_owned()]),
        };
        let sender = admitted(super::world::principal(who, Objects::All), Action::Patch);
        let (session, if_match) = (session.clone(), if_match.map(tag));
        let patch = WhepPatch { sender, session, if_match, fragment: fragment(ufrag) };
        let now = world.now;
        world.hub.handle_whep_patch(now, WhepRequestId(request), patch);
        world.apply_outputs();
        let response = world.responses.remove(&WhepRequestId(request));
        (request, response.map(|outcome| outcome.map_err(|fault| fault.code)))
    };
    for (who, if_match, expected) in [
        ("player", None, Err(428)),
        ("player", Some("\"9\""), Err(412)),
        ("other", Some("*"), Err(404)),
        ("player", Some(etag.as_str()), Ok(WhepResponse::Trickled)),
        ("player", Some("*"), Ok(WhepResponse::Trickled)),
    ] {
        let found = patch(&mut world, who, if_match, "abcd").1;
        assert_eq!(found, Some(expected), "{who} {if_match:?}");
    }
    assert_eq!(world.take(gateway).len(), 2);

    assert_eq!(
        patch(&mut world, "player", Some("*"), "efgh").1,
        None,
        "the gateway has to respond first"
    );
    assert_eq!(patch(&mut world, "player", Some("*"), "ijkl").1, Some(Err(409)), "one at a time");
    let (request, _) = world.next_request::<Restart>(gateway).unwrap();
    world.send(gateway, Message::fault(Some(request), Fault::new(1001, "no")));
    let (pending, outcome) = patch(&mut world, "player", Some(&etag), "mnop");
    assert_eq!(outcome, None, "after a refusal the old generation is still valid");
    let (request, _) = world.next_request::<Restart>(gateway).unwrap();
    let result = RestartResult { fragment: "f".into() };
    world.send(gateway, Message::result::<Restart>(request, &result));
    let renewed = match world.responses.remove(&WhepRequestId(pending)) {
        Some(Ok(WhepResponse::Restarted { etag, .. })) => etag,
        other => panic!("{other:?}"),
    };
    assert_eq!(patch(&mut world, "player", Some(&etag), "mnop").1, Some(Err(412)));
    assert_eq!(
        patch(&mut world, "player", Some(&renewed), "mnop").1,
        Some(Ok(WhepResponse::Trickled))
    );

    world.take(gateway);
    let sender = admitted(principal, Action::Delete);
    let delete = WhepDelete { sender, session: session.clone() };
    world.hub.handle_whep_delete(world.now, WhepRequestId(100), &delete);
    world.hub.handle_whep_delete(world.now, WhepRequestId(101), &delete);
    world.apply_outputs();
    assert_eq!(world.responses.remove(&WhepRequestId(100)), Some(Ok(WhepResponse::Deleted)));
    assert!(world.responses.remove(&WhepRequestId(101)).unwrap().is_err());
    let close = Message::notification::<CloseSession>(&SessionParams { session });
    assert_eq!(world.take(gateway), [close]);

    let now = world.now;
    world.hub.handle_whep_offer(now, WhepRequestId(102), offer);
    world.apply_outputs();
    world.hub.handle_whep_abandoned(world.now, WhepRequestId(102));
    world.apply_outputs();
    assert_eq!(world.hub.counts().1, 0, "no session is left");
}

#[test]
fn whep_requests_have_a_rate_for_each_token_or_user() {
    let limits = Limits { whep_rate: Rate { burst: 3, per_minute: 60 }, ..Limits::default() };
    let mut world = World::with(limits);
    world.gateway(1, &["cam"]);
    let (camera, session) = ("cam", "s1");
    const BUSY: i64 = code::TOO_MANY_REQUESTS;
    for (request, (wait_s, name, method, expected)) in [
        (0, "ann", "POST", None),
        (0, "ann", "PATCH", Some(code::NOT_FOUND)),
        (0, "ann", "DELETE", Some(code::NOT_FOUND)),
        (0, "ann", "POST", Some(BUSY)),
        (0, "ann", "PATCH", Some(BUSY)),
        (0, "ann", "DELETE", Some(BUSY)),
        (0, "bob", "DELETE", Some(code::NOT_FOUND)),
        (1, "ann", "PATCH", Some(code::NOT_FOUND)),
        (0, "ann", "PATCH", Some(BUSY)),
    ]
    .into_iter()
    .enumerate()
    {
        world.wait(Duration::from_secs(wait_s));
        let (now, request) = (world.now, WhepRequestId(request as u64));
        let (principal, session) = (principal(name, Objects::All), session.parse().unwrap());
        match method {
            "POST" => {
                let camera = camera.parse().unwrap();
                let (sender, offer) = (admitted(principal, Action::Offer), OFFER.into());
                let offer = WhepOffer { sender, camera, offer, viewer_address: None };
                world.hub.handle_whep_offer(now, request, offer);
            }
            "PATCH" => {
                let (if_match, fragment) = (None, fragment("abcd"));
                let sender = admitted(principal, Action::Patch);
                let patch = WhepPatch { sender, session, if_match, fragment };
                world.hub.handle_whep_patch(now, request, patch);
            }
            _ => {
                let sender = admitted(principal, Action::Delete);
                world.hub.handle_whep_delete(now, request, &WhepDelete { sender, session });
            }
        }
        world.apply_outputs();
        let found = world.responses.remove(&request).map(|outcome| outcome.unwrap_err().code);
        assert_eq!(found, expected, "{name}: {method} {request:?}");
    }
}

#[test]
fn a_server_that_stops_closes_connections_and_refuses_pending_requests() {
    let mut world = World::new();
    let (gateway, _) = world.gateway(1, &["cam"]);
    let client = world.client(principal("ann", Objects::All));
    let offer = WhepOffer {
        sender: admitted(principal("player", Objects::All), Action::Offer),
        camera: "cam".parse().unwrap(),
        offer: OFFER.into(),
        viewer_address: None,
    };
    let now = world.now;
    world.hub.handle_whep_offer(now, WhepRequestId(1), offer);
    world.hub.close();
    world.apply_outputs();
    assert_eq!(world.responses[&WhepRequestId(1)].clone().unwrap_err().code, code::UNAVAILABLE);
    for conn in [gateway, client] {
        assert_eq!(world.closed.get(&conn), Some(&Close::GOING_AWAY));
    }
}

#[test]
fn a_report_in_parts_counts_once_the_last_one_has_arrived() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(principal("ann", Objects::All));
    let mut report = |ids: &[&str], more: bool| {
        let cameras = ids.iter().map(|id| camera(id)).collect();
        let params = ReportParams { cameras, more, ..Default::default() };
        world.call::<Report>(gateway, &params).unwrap().unwrap();
        world.wait(Duration::from_secs(1));
        let admitted = world.hub.admit(world.now, client, Action::ListCameras).unwrap();
        let cameras = world.hub.cameras(world.now, &admitted);
        cameras.iter().map(|camera| camera.report.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(report(&["door", "yard"], true), ["cam"]);
    assert_eq!(report(&["attic"], true), ["cam"]);
    assert_eq!(report(&["gate"], false), ["attic", "door", "gate", "yard"]);
    assert_eq!(report(&["gate"], false), ["gate"], "it replaces all that were reported before");

    // A gateway that connects again begins again.
    assert_eq!(report(&["door"], true), ["gate"]);
    drop(id);
    let (gateway, _) = world.gateway(1, &["cam"]);
    let params = ReportParams { cameras: vec![camera("yard")], ..Default::default() };
    world.call::<Report>(gateway, &params).unwrap().unwrap();
    let client = world.client(principal("ann", Objects::All));
    let admitted = world.hub.admit(world.now, client, Action::ListCameras).unwrap();
    let ids: Vec<_> = world.hub.cameras(world.now, &admitted);
    assert_eq!(ids.len(), 1, "{ids:?}");
}
