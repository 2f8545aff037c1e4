//! Tests of limits on what is sent: what the gateway is told, and who may extend a session.

use porthole_signaling_proto::method::{Connect, ConnectDevice, Offer, RateCap as Told};
use porthole_signaling_proto::rpc::code;

use super::table::OFFER;
use super::world::{World, admitted, connect_params, principal};
use crate::{Action, Objects, Principal, RateCap, WhepOffer, WhepRequestId};

fn cap(of: &str, kbit_per_s: u32) -> RateCap {
    RateCap { of: of.to_owned(), kbit_per_s }
}

/// Returns a viewer with these limits.
fn viewer(name: &str, caps: &[RateCap]) -> Principal {
    let viewer = principal(name, Objects::All);
    caps.iter().cloned().fold(viewer, Principal::with_cap)
}

/// Returns the limits that a gateway is told of when somebody connects, and when somebody offers.
fn told(viewer: &Principal) -> [Vec<Told>; 2] {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(viewer.clone());
    world.request::<Connect>(client, &connect_params(&id, "cam"));
    let (_, connect) = world.next_request::<ConnectDevice>(gateway).unwrap();
    let sender = admitted(viewer.clone(), Action::Offer);
    let (camera, offer) = ("cam".parse().unwrap(), OFFER.to_owned());
    let offer = WhepOffer { sender, camera, offer, viewer_address: None };
    world.hub.handle_whep_offer(world.now, WhepRequestId(1), offer);
    world.apply_outputs();
    let (_, offer) = world.next_request::<Offer>(gateway).unwrap();
    [connect.caps, offer.caps]
}

#[test]
fn the_gateway_is_told_of_each_limit_under_a_name_that_says_not_whose_it_is() {
    let own = cap("token:2", 500);
    let first = cap("token:1", 2000);
    let [of_both, by_offer] = told(&viewer("ann", &[own.clone(), first.clone()]));
    assert_eq!(of_both, by_offer);
    let rates: Vec<_> = of_both.iter().map(|cap| cap.max_kbit_per_s).collect();
    assert_eq!(rates, [500, 2000]);
    assert!(of_both.len() <= Told::MAX);
    assert_ne!(of_both[0].of, of_both[1].of);
    for told in &of_both {
        assert!(!told.of.contains("token"), "{told:?}");
    }
    // Whoever shares a limit has it under the same name.
    let [of_other, _] = told(&viewer("ben", &[first]));
    assert_eq!(of_other[0], of_both[1]);
    assert_eq!(told(&viewer("cid", &[])), [vec![], vec![]]);
}

#[test]
fn a_session_is_extended_only_with_the_limits_that_it_began_with() {
    let (own, first, other) = (cap("token:2", 500), cap("token:1", 2000), cap("token:3", 500));
    let [none, one, wrong, both] = [vec![], vec![own.clone()], vec![other], vec![own, first]];
    // The limits of the session, those of the token that is to extend it, and whether it does.
    for (began, extends, is_allowed) in [
        (&none, &none, true),
        (&none, &one, false),
        (&one, &one, true),
        (&one, &both, false),
        (&one, &wrong, false),
        (&both, &one, true),
        (&both, &none, true),
    ] {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["cam"]);
        let client = world.client(viewer("ann", began));
        world.tokens.insert("token".into(), viewer("ann", extends));
        let (refused, asked) = world.extend(client, gateway, &connect_params(&id, "cam"));
        let expected = (!is_allowed).then_some(code::FORBIDDEN);
        assert_eq!(refused, expected, "{began:?} {extends:?}");
        assert_eq!(asked, is_allowed, "{began:?} {extends:?}");
    }
}
