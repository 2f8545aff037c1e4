//! Tests of who may hear a camera: what the gateway and the client are told.

use porthole_signaling_proto::CameraPermission;
use porthole_signaling_proto::method::{
    Cameras, CamerasParams, Connect, ConnectDevice, ConnectParams, Notification as _, Offer,
};
use porthole_signaling_proto::rpc::{self, Message, code};

use super::rights::admin;
use super::table::OFFER;
use super::world::{World, admitted, connect_params, only, principal};
use crate::{Action, ConnId, Objects, Principal, WhepOffer, WhepRequestId};

/// The kinds of viewers, and true if they may hear the camera `cam`.
fn viewers() -> [(&'static str, Principal, bool); 6] {
    let ann = |objects| principal("ann", objects);
    [
        ("a viewer", ann(Objects::All), true),
        ("a viewer of cam", ann(only(&["cam"])), true),
        ("an admin", admin(Objects::All), true),
        ("a viewer without listen", ann(Objects::All).without_listening(), false),
        ("one who controls", ann(only(&["cam"])).with_control().without_listening(), false),
        ("an admin without listen", admin(Objects::All).without_listening(), false),
    ]
}

#[test]
fn the_gateway_sends_sound_to_those_who_want_it_and_may_hear_the_camera() {
    for (who, viewer, may_listen) in viewers() {
        for (wanted, by_token) in
            [(None, false), (Some(true), false), (Some(false), false), (None, true)]
        {
            let mut world = World::new();
            let (gateway, id) = world.gateway(1, &["cam"]);
            // The token counts for the session, not whose WebSocket it is.
            world.tokens.insert("token".into(), viewer.clone());
            let other = principal("ben", Objects::All);
            let client = world.client(if by_token { other } else { viewer.clone() });
            let authorization = by_token.then(|| "token".to_owned());
            let params =
                ConnectParams { audio: wanted, authorization, ..connect_params(&id, "cam") };
            world.request::<Connect>(client, &params);
            let (_, device) = world.next_request::<ConnectDevice>(gateway).unwrap();
            let expected = may_listen && wanted != Some(false);
            assert_eq!(device.audio, expected, "{who} {wanted:?} by a token: {by_token}");
        }
    }
}

#[test]
fn a_player_gets_sound_if_its_token_may_hear_the_camera() {
    for (who, viewer, may_listen) in viewers() {
        let mut world = World::new();
        let (gateway, _) = world.gateway(1, &["cam"]);
        let sender = admitted(viewer, Action::Offer);
        let (camera, offer) = ("cam".parse().unwrap(), OFFER.to_owned());
        let offer = WhepOffer { sender, camera, offer, viewer_address: None };
        world.hub.handle_whep_offer(world.now, WhepRequestId(1), offer);
        world.apply_outputs();
        let (_, params) = world.next_request::<Offer>(gateway).unwrap();
        assert_eq!(params.audio, may_listen, "{who}");
    }
}

/// Takes what the latest list of cameras allows with the first of them.
fn permissions(world: &mut World, client: ConnId) -> Vec<CameraPermission> {
    let mut lists = world.take(client).into_iter().filter_map(|message| match message {
        Message::Notification { method, params } if method == Cameras::NAME => Some(params),
        _ => None,
    });
    let list = rpc::read::<CamerasParams>(lists.next_back().unwrap()).unwrap();
    list.cameras[0].permissions.clone()
}

#[test]
fn the_list_of_cameras_says_who_may_listen_and_everyone_still_watches() {
    for (who, viewer, may_listen) in viewers() {
        let mut world = World::new();
        world.gateway(1, &["cam"]);
        let client = world.client(viewer);
        let found = permissions(&mut world, client);
        assert!(found.contains(&CameraPermission::Watch), "{who}");
        assert_eq!(found.contains(&CameraPermission::Listen), may_listen, "{who}");
    }
}

#[test]
fn a_session_with_sound_is_extended_only_by_those_who_may_hear_the_camera() {
    for (wanted, may_listen, expected) in [
        (true, true, None),
        (true, false, Some(code::FORBIDDEN)),
        (false, true, None),
        (false, false, None),
    ] {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["cam"]);
        let client = world.client(principal("ann", Objects::All));
        let token = principal("ann", Objects::All);
        let token = if may_listen { token } else { token.without_listening() };
        world.tokens.insert("token".into(), token);
        let params = ConnectParams { audio: Some(wanted), ..connect_params(&id, "cam") };
        let (refused, asked) = world.extend(client, gateway, &params);
        assert_eq!(refused, expected, "{wanted} {may_listen}");
        assert_eq!(asked, expected.is_none(), "{wanted} {may_listen}");
    }
}
