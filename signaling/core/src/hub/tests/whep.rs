//! Tests of players that use WHEP in their own ways.

use porthole_signaling_proto::SessionId;
use porthole_signaling_proto::method::{
    Notification as _, Offer, OfferResult, Restart, RestartResult, Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc::{Fault, Message};

use super::world::{World, principal};
use crate::{
    ConnId, IfMatch, Scope, WhepFragment, WhepOffer, WhepPatch, WhepRequestId, WhepResponse,
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
        let principal = principal("player", Scope::All);
        let (camera, offer) = ("cam".parse().unwrap(), offer.to_owned());
        let offer = WhepOffer { principal, camera, offer };
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
            principal: principal("player", Scope::All),
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
