//! Tests of players that use WHEP in their own ways.

use std::net::IpAddr;
use std::time::Duration;

use porthole_signaling_proto::SessionId;
use porthole_signaling_proto::method::{
    Close, Notification as _, Offer, OfferResult, Report, ReportParams, Restart, RestartResult,
    SessionParams, Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc::{Fault, Message, code};

use super::table::OFFER;
use super::world::{World, admitted, gateway_of, only, only_of, principal};
use crate::{
    Action, ConnId, IfMatch, Limits, Objects, Rate, WhepFragment, WhepOffer, WhepPatch,
    WhepRequestId, WhepResponse,
};

const PWD: &str = "a=ice-pwd:0123456789012345678901\r\n";
const HOST: &str = "candidate:1 1 udp 1 192.0.2.1 9 typ host";

/// A player and its session.
struct Player {
    world: World,
    gateway: ConnId,
    session: SessionId,
    etag: String,
    last: u64,
}

impl Player {
    /// Starts a session with this offer, which the gateway answers.
    fn playing(offer: &str) -> Self {
        let mut world = World::new();
        let (gateway, _) = world.gateway(1, &["cam"]);
        let sender = admitted(principal("player", Objects::All), Action::Offer);
        let (camera, offer) = ("cam".parse().unwrap(), offer.to_owned());
        let offer = WhepOffer { sender, camera, offer, viewer_address: None };
        world.hub.handle_whep_offer(world.now, WhepRequestId(1), offer);
        world.apply_outputs();
        let (request, _) = world.next_request::<Offer>(gateway).unwrap();
        let answer = OfferResult { answer: "a".into() };
        world.send(gateway, Message::result::<Offer>(request, &answer));
        match world.responses.remove(&WhepRequestId(1)) {
            Some(Ok(WhepResponse::Created { session, etag, .. })) => {
                Self { world, gateway, session, etag, last: 1 }
            }
            other => panic!("no session was created: {other:?}"),
        }
    }

    /// Sends a fragment for the current ICE generation. `None` if the gateway has to respond first.
    fn patch(&mut self, fragment: &str) -> Option<Result<WhepResponse, Fault>> {
        self.last += 1;
        let patch = WhepPatch {
            sender: admitted(principal("player", Objects::All), Action::Patch),
            session: self.session.clone(),
            if_match: Some(IfMatch::Tags(vec![self.etag.clone()])),
            fragment: WhepFragment::parse(fragment).unwrap(),
        };
        self.world.hub.handle_whep_patch(self.world.now, WhepRequestId(self.last), patch);
        self.world.apply_outputs();
        self.world.responses.remove(&WhepRequestId(self.last))
    }

    /// Returns the candidates that the gateway has got, with the names of their sections.
    fn trickled(&mut self) -> Vec<(String, Option<String>)> {
        let messages = self.world.take(self.gateway).into_iter();
        let params = messages.map(|message| match message {
            Message::Notification { method, params } if method == Trickle::NAME => {
                porthole_signaling_proto::rpc::read::<TrickleParams>(params).unwrap()
            }
            other => panic!("not a candidate: {other:?}"),
        });
        params.map(|params| (params.candidate.candidate, params.candidate.sdp_mid)).collect()
    }
}

/// Returns the fragment for one section with credentials of its own.
fn of_section(mid: &str, ufrag: &str) -> String {
    format!("m=x 9 X 0\r\na=mid:{mid}\r\na=ice-ufrag:{ufrag}\r\n{PWD}a={HOST}\r\n")
}

/// Returns an offer whose sections have credentials of their own.
fn offer_of(ufrags: &[&str]) -> String {
    let sections = ufrags.iter().map(|ufrag| format!("m=x 9 X 0\r\na=ice-ufrag:{ufrag}\r\n{PWD}"));
    format!("v=0\r\na=group:BUNDLE 0 1\r\n{}", sections.collect::<String>())
}

#[test]
fn a_user_name_fragment_per_section_is_no_restart() {
    let mut player = Player::playing(&offer_of(&["aaaa", "bbbb"]));
    let of = |mid: &str| (HOST.to_owned(), Some(mid.to_owned()));
    for (what, fragment, trickled) in [
        ("the first section", of_section("0", "aaaa"), vec![of("0")]),
        ("the second section", of_section("1", "bbbb"), vec![of("1")]),
        (
            "both",
            format!("{}{}", of_section("0", "aaaa"), of_section("1", "bbbb")),
            vec![of("0"), of("1")],
        ),
        ("the second before the m= line", format!("a=ice-ufrag:bbbb\r\n{PWD}"), vec![]),
        ("no credentials", format!("m=x\r\na=mid:1\r\na={HOST}\r\n"), vec![of("1")]),
    ] {
        assert_eq!(player.patch(&fragment), Some(Ok(WhepResponse::Trickled)), "{what}");
        assert_eq!(player.trickled(), trickled, "{what}");
    }
}

#[test]
fn after_a_restart_the_fragments_of_all_its_sections_are_current() {
    let mut player = Player::playing(&offer_of(&["aaaa", "bbbb"]));
    let restart = format!("{}{}", of_section("0", "cccc"), of_section("1", "dddd"));
    assert_eq!(player.patch(&restart), None, "the gateway has to respond first");
    let (request, _) = player.world.next_request::<Restart>(player.gateway).unwrap();
    let result = RestartResult { fragment: "f".into() };
    player.world.send(player.gateway, Message::result::<Restart>(request, &result));
    match player.world.responses.remove(&WhepRequestId(player.last)) {
        Some(Ok(WhepResponse::Restarted { etag, .. })) => player.etag = etag,
        other => panic!("{other:?}"),
    }
    for (ufrag, trickles) in [("cccc", true), ("dddd", true), ("aaaa", false)] {
        let outcome = player.patch(&of_section("1", ufrag));
        assert_eq!(outcome == Some(Ok(WhepResponse::Trickled)), trickles, "{ufrag}: {outcome:?}");
    }
}

/// Sends a player's offer from this address. Returns the outcome, if the gateway need not respond.
fn offer_from(
    world: &mut World,
    request: u64,
    who: &str,
    viewer_address: Option<IpAddr>,
    offer: &str,
) -> Option<Result<WhepResponse, Fault>> {
    let sender = admitted(principal(who, Objects::All), Action::Offer);
    let camera = "cam".parse().unwrap();
    let offer = WhepOffer { sender, camera, offer: offer.to_owned(), viewer_address };
    world.hub.handle_whep_offer(world.now, WhepRequestId(request), offer);
    world.apply_outputs();
    world.responses.remove(&WhepRequestId(request))
}

/// Lets the gateway answer the next offer. Returns its session.
fn answer(world: &mut World, gateway: ConnId) -> SessionId {
    let (request, params) = world.next_request::<Offer>(gateway).unwrap();
    let answer = OfferResult { answer: "a".into() };
    world.send(gateway, Message::result::<Offer>(request, &answer));
    params.session
}

#[test]
fn the_gateway_learns_the_address_of_a_viewer_unless_it_is_nobodys() {
    for (address, passed_on) in [
        ("203.0.113.7", true),
        ("192.168.1.7", true),
        ("2001:db8::7", true),
        ("127.0.0.1", false),
        ("::1", false),
        ("0.0.0.0", false),
        ("239.1.1.1", false),
    ] {
        let mut world = World::new();
        let (gateway, _) = world.gateway(1, &["cam"]);
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(offer_from(&mut world, 1, "player", Some(address), OFFER), None);
        let (_, params) = world.next_request::<Offer>(gateway).unwrap();
        assert_eq!(params.viewer_address, passed_on.then_some(address));
    }
}

#[test]
fn a_session_that_found_no_path_makes_room_for_another_of_its_token() {
    let limits = Limits { sessions_per_subject: 2, ..Limits::default() };
    let full = || Err(code::INSUFFICIENT_RESOURCES);
    for (what, age_s, reported, expected) in [
        ("neither has a path", 5, Some(&[0, 1][..]), Ok(0)),
        ("the first has a path", 5, Some(&[1]), Ok(1)),
        ("both have a path", 5, Some(&[]), full()),
        ("they have just begun", 4, Some(&[0, 1]), full()),
        ("the gateway does not say", 5, None, full()),
    ] {
        let mut world = World::with(limits.clone());
        let (gateway, _) = world.gateway(1, &["cam"]);
        let sessions: Vec<SessionId> = (1..=2)
            .map(|request| {
                assert_eq!(offer_from(&mut world, request, "player", None, OFFER), None);
                world.wait(Duration::from_millis(1));
                answer(&mut world, gateway)
            })
            .collect();
        let starting = |index: &usize| sessions[*index].clone();
        let params = ReportParams {
            cameras: vec![super::world::camera("cam")],
            sessions: reported.map(|_| sessions.clone()),
            starting: reported.map(|reported| reported.iter().map(starting).collect()),
            more: false,
        };
        world.call::<Report>(gateway, &params).unwrap().unwrap();
        world.wait(Duration::from_secs(age_s));
        world.take(gateway);
        let other = offer_from(&mut world, 3, "another", None, OFFER);
        assert_eq!(other, None, "{what}: another token has places of its own");
        world.take(gateway);
        let outcome = offer_from(&mut world, 4, "player", None, OFFER);
        let closed = world.take(gateway).into_iter().find_map(|message| match message {
            Message::Notification { method, params } if method == Close::NAME => {
                Some(porthole_signaling_proto::rpc::read::<SessionParams>(params).unwrap().session)
            }
            _ => None,
        });
        let found = match outcome {
            None => Ok(sessions.iter().position(|id| Some(id) == closed.as_ref()).unwrap()),
            Some(outcome) => Err(outcome.unwrap_err().code),
        };
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn long_offers_reach_the_gateway_but_do_not_fill_its_queue() {
    let offer = |line: &str, bytes: usize| {
        let line = format!("{line}\r\n");
        format!("{OFFER}{}", line.repeat(bytes / line.len()))
    };
    // A control character becomes six as JSON.
    for (what, text, expected) in [
        ("60 kB", offer("a=x", 60_000), None),
        ("64 KiB of short lines", offer("a", 65_000), None),
        ("64 KiB of control characters", offer(&"\u{1}".repeat(50), 65_000), Some(413)),
    ] {
        let mut world = World::new();
        let (gateway, _) = world.gateway(1, &["cam"]);
        let outcome = offer_from(&mut world, 1, "player", None, &text);
        let refused = outcome.map(|outcome| outcome.unwrap_err().code);
        assert_eq!(refused, expected, "{what}");
        assert_eq!(world.hub.counts().1, usize::from(expected.is_none()), "{what}");
        if expected.is_none() {
            let (_, params) = world.next_request::<Offer>(gateway).unwrap();
            assert_eq!(params.offer, text, "{what}");
        }
    }
    let mut world = World::new();
    let (gateway, _) = world.gateway(1, &["cam"]);
    let text = offer("a=x", 60_000);
    let send = |world: &mut World, request| offer_from(world, request, "player", None, &text);
    let fits = (1..30).take_while(|request| send(&mut world, *request).is_none()).count();
    assert!((5..10).contains(&fits), "{fits} of 80 kB each");
    answer(&mut world, gateway);
    assert_eq!(send(&mut world, 40), None, "there is room again");
    assert_eq!(world.hub.counts().1, fits + 1, "a refused offer leaves no session");
}

#[test]
fn a_player_that_asks_first_gets_ice_servers_at_the_rate_of_its_token() {
    let limits = Limits { whep_rate: Rate { burst: 2, per_minute: 60 }, ..Limits::default() };
    let mut world = World::with(limits);
    world.gateway(1, &["cam"]);
    let camera = "cam".parse().unwrap();
    let mut ask = |who: &str, objects: Objects| {
        let sender = admitted(principal(who, objects), Action::AskCamera);
        let servers = world.hub.handle_whep_options(world.now, sender, &camera);
        servers.map(|servers| servers.len()).map_err(|fault| fault.code)
    };
    assert_eq!(ask("player", Objects::All), Ok(2));
    assert_eq!(ask("player", only(&["other"])), Ok(0), "not its camera");
    assert_eq!(ask("player", Objects::All), Err(code::TOO_MANY_REQUESTS));
    assert_eq!(ask("another", Objects::All), Ok(2));
}

#[test]
fn a_response_that_nobody_waits_for_leaves_no_session() {
    let mut player = Player::playing(OFFER);
    assert_eq!(player.world.hub.counts().1, 1);
    let response = WhepResponse::Created {
        session: player.session.clone(),
        answer: String::new(),
        ice_servers: Vec::new(),
        etag: String::new(),
    };
    player.world.hub.handle_whep_undelivered(player.world.now, &WhepResponse::Trickled);
    assert_eq!(player.world.hub.counts().1, 1);
    player.world.hub.handle_whep_undelivered(player.world.now, &response);
    player.world.apply_outputs();
    let close = Message::notification::<Close>(&SessionParams { session: player.session });
    assert_eq!(player.world.take(player.gateway), [close]);
    assert_eq!(player.world.hub.counts().1, 0);
}

#[test]
fn an_address_means_the_camera_of_one_gateway() {
    const FIRST: Result<u8, i64> = Ok(1);
    const SECOND: Result<u8, i64> = Ok(2);
    const DENIED: Result<u8, i64> = Err(code::FORBIDDEN);
    const NONE: Result<u8, i64> = Err(code::NOT_FOUND);
    let [first, second] = [gateway_of(1), gateway_of(2)].map(|id| id.to_string());
    // The addresses, with the outcome for a token for everything, for `cam` of the first gateway
    // and for `cam` of the second, and for both gateways as such.
    type Case = (&'static str, [Result<u8, i64>; 5]);
    let table: [Case; 11] = [
        ("cam", [FIRST, FIRST, DENIED, FIRST, DENIED]),
        ("cam@FIRST", [FIRST, FIRST, DENIED, FIRST, DENIED]),
        ("cam@SECOND", [SECOND, DENIED, SECOND, DENIED, SECOND]),
        ("cam.sub", [NONE, NONE, DENIED, NONE, DENIED]),
        ("cam.sub@SECOND", [SECOND, DENIED, SECOND, DENIED, SECOND]),
        ("yard", [SECOND, DENIED, DENIED, DENIED, SECOND]),
        ("yard@FIRST", [NONE, DENIED, DENIED, NONE, DENIED]),
        ("yard@SECOND", [SECOND, DENIED, DENIED, DENIED, SECOND]),
        ("none", [NONE, DENIED, DENIED, DENIED, DENIED]),
        ("none@SECOND", [NONE, DENIED, DENIED, DENIED, NONE]),
        ("cam@gw-unknown", [NONE, DENIED, DENIED, DENIED, DENIED]),
    ];
    let gateways = |seed| Objects::Gateways([gateway_of(seed)].into());
    for (address, outcomes) in table {
        let callers =
            [Objects::All, only(&["cam"]), only_of(2, &["cam"]), gateways(1), gateways(2)];
        for (objects, expected) in callers.into_iter().zip(outcomes) {
            let mut world = World::new();
            let conns = [(1, &["cam"][..]), (2, &["cam", "cam.sub", "yard"])]
                .map(|(seed, cameras)| world.gateway(seed, cameras).0);
            let sender = admitted(principal("player", objects.clone()), Action::Offer);
            let camera = address.replace("FIRST", &first).replace("SECOND", &second);
            let camera = camera.parse().unwrap();
            let look = world.hub.handle_whep_look_at_camera(
                world.now,
                &admitted(principal("player", objects.clone()), Action::LookAtCamera),
                &camera,
            );
            let offer = WhepOffer { sender, camera, offer: OFFER.into(), viewer_address: None };
            world.hub.handle_whep_offer(world.now, WhepRequestId(1), offer);
            world.apply_outputs();
            let got = conns.map(|conn| world.next_request::<Offer>(conn).is_some());
            let found = match world.responses.remove(&WhepRequestId(1)) {
                Some(response) => Err(response.unwrap_err().code),
                None => Ok(if got == [true, false] { 1 } else { 2 }),
            };
            assert_eq!(found, expected, "{address} {objects:?}");
            let looked = look.map_err(|fault| fault.code);
            assert_eq!(looked, expected.map(drop), "{address} {objects:?}");
        }
    }
}
