//! Tests of the requests to gateways that belong to no session.

use std::time::Duration;

use porthole_signaling_proto::manage::{
    CancelParams, DiscoverParams, DiscoverResult, FoundDevice, GatewayParams, ProgressParams,
};
use porthole_signaling_proto::method::{
    Cameras, CamerasParams, Cancel, Close as CloseSession, Discover, Notification, Probe, Progress,
    Report, ReportParams, StoredCameras,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{CameraReport, GatewayId, rpc};
use serde_json::{Value, json};

use super::rights::{admin, admin_named};
use super::world::{World, admitted, camera, connect_params};
use crate::{Action, Close, ConnId, Limits, Objects};

pub(super) fn search(gateway: &GatewayId) -> DiscoverParams {
    DiscoverParams { peer: gateway.clone(), addresses: Vec::new(), by: None }
}

fn progress(request: &RequestId, value: Value) -> Message {
    Message::notification::<Progress>(&ProgressParams { request: request.clone(), value })
}

/// Takes the messages to a connection; returns the parameters of notifications of this kind.
fn notified<N: Notification>(world: &mut World, conn: ConnId) -> Vec<N::Params> {
    let of_kind = |message| match message {
        Message::Notification { method, params } if method == N::NAME => rpc::read(params).ok(),
        _ => None,
    };
    world.take(conn).into_iter().filter_map(of_kind).collect()
}

#[test]
fn a_search_is_sent_on_with_the_name_of_who_asks_and_answered_piece_by_piece() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(admin(Objects::All));
    let asked = world.request::<Discover>(client, &search(&id));
    let (number, params) = world.next_request::<Discover>(gateway).unwrap();
    assert_eq!(params.by.as_deref(), Some("root"));
    world.take(client);
    for place in [1, 2] {
        world.send(gateway, progress(&number, json!({"number": place, "address": "10.0.0.1"})));
    }
    let pieces = notified::<Progress>(&mut world, client);
    let found: Vec<_> = pieces
        .into_iter()
        .map(|piece| {
            assert_eq!(piece.request, RequestId::Number(asked));
            rpc::read::<FoundDevice>(piece.value).unwrap_or_else(|fault| panic!("{fault}")).number
        })
        .collect();
    assert_eq!(found, [1, 2]);
    world.send(gateway, Message::result::<Discover>(number.clone(), &DiscoverResult::default()));
    assert!(world.response::<Discover>(client, asked).unwrap().is_ok());
    // What comes afterwards reaches nobody.
    world.send(gateway, progress(&number, json!({})));
    assert!(world.take(client).is_empty());
}

#[test]
fn who_asks_cannot_pretend_to_be_somebody_else() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(admin(Objects::All));
    let params = GatewayParams { peer: id, by: Some("the owner".to_owned()) };
    world.request::<StoredCameras>(client, &params);
    let (_, params) = world.next_request::<StoredCameras>(gateway).unwrap();
    assert_eq!(params.by.as_deref(), Some("root"));
}

/// The event that ends a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Cancelled,
    ClientGone,
    GatewayGone,
    Silence,
}

#[test]
fn a_search_ends_with_the_first_who_gives_up_and_the_other_side_is_told() {
    // The end; the gateway is told to stop; the code that the client gets.
    type Case = (End, bool, Option<i64>);
    let table: [Case; 4] = [
        (End::Cancelled, true, None),
        (End::ClientGone, true, None),
        (End::GatewayGone, false, Some(code::UNAVAILABLE)),
        (End::Silence, true, Some(code::REQUEST_TIMEOUT)),
    ];
    for (end, cancels, expected) in table {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["cam"]);
        let client = world.client(admin(Objects::All));
        let asked = world.request::<Discover>(client, &search(&id));
        let (number, _) = world.next_request::<Discover>(gateway).unwrap();
        match end {
            End::Cancelled => {
                let params = CancelParams { request: RequestId::Number(asked) };
                world.send(client, Message::notification::<Cancel>(&params));
            }
            End::ClientGone => world.close(client),
            End::GatewayGone => world.close(gateway),
            End::Silence => world.wait(Duration::from_secs(30)),
        }
        let cancelled = notified::<Cancel>(&mut world, gateway);
        let told = cancelled.iter().any(|params| params.request == number);
        assert_eq!(told, cancels, "{end:?}");
        let response = world.response::<Discover>(client, asked);
        let fault = response.and_then(Result::err).map(|fault| fault.code);
        assert_eq!(fault, expected, "{end:?}");
        assert!(world.hub.exchanges.is_empty(), "{end:?}");
    }
}

#[test]
fn a_gateway_that_goes_on_finding_has_time_but_not_without_end() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(admin(Objects::All));
    let asked = world.request::<Discover>(client, &search(&id));
    let (number, _) = world.next_request::<Discover>(gateway).unwrap();
    for _ in 0..23 {
        world.wait(Duration::from_secs(25));
        world.send(gateway, progress(&number, json!({})));
        assert!(world.response::<Discover>(client, asked).is_none(), "it goes on");
    }
    world.wait(Duration::from_secs(25));
    let fault = world.response::<Discover>(client, asked).unwrap().unwrap_err();
    assert_eq!(fault.code, code::REQUEST_TIMEOUT, "ten minutes are over");
}

#[test]
fn what_cannot_be_sent_on_is_refused_with_what_to_do() {
    type Case = (&'static str, &'static str, Value, i64, &'static str);
    let table: [Case; 6] = [
        ("no gateway", "portholeDiscover", json!({}), code::INVALID_PARAMS, "peer"),
        ("unknown", "portholeDiscover", json!({"peer": "gw-x"}), code::NOT_FOUND, "no such"),
        ("no address", "portholeProbe", json!({"peer": "@"}), code::INVALID_PARAMS, "address"),
        (
            "too long",
            "portholeProbe",
            json!({"peer": "@", "address": "x".repeat(17_000)}),
            code::BAD_REQUEST,
            "16 KiB",
        ),
        ("offline", "portholeDiscover", json!({"peer": "@2"}), code::UNAVAILABLE, "later"),
        ("used id", "portholeDiscover", json!({"peer": "@"}), code::BAD_REQUEST, "another id"),
    ];
    for (case, method, params, expected, words) in table {
        let mut world = World::new();
        let (_, id) = world.gateway(1, &["cam"]);
        let (second, offline) = world.gateway(2, &["door"]);
        world.close(second);
        let client = world.client(admin(Objects::All));
        let text = params.to_string().replace("\"@2\"", &format!("\"{offline}\""));
        let params: Value =
            serde_json::from_str(&text.replace("\"@\"", &format!("\"{id}\""))).unwrap();
        let request = |params: &Value| Message::Request {
            id: RequestId::Text("q".into()),
            method: method.to_owned(),
            params: params.clone(),
        };
        if case == "used id" {
            world.send(client, request(&params));
        }
        world.take(client);
        world.send(client, request(&params));
        let answers = world.take(client);
        let [Message::Response { outcome: Err(Fault { code, message, .. }), .. }] =
            answers.as_slice()
        else {
            panic!("{case}: {answers:?}")
        };
        assert_eq!(*code, expected, "{case}");
        assert!(message.contains(words), "{case}: {message}");
    }
}

#[test]
fn nobody_keeps_a_gateway_busy_beyond_its_bounds() {
    let limits = Limits { exchanges_per_subject: 2, exchanges_per_gateway: 3, ..Limits::default() };
    let mut world = World::with(limits);
    let (gateway, id) = world.gateway(1, &["cam"]);
    let clients = [admin(Objects::All), admin_named("other", Objects::All), admin(Objects::All)];
    let clients = clients.map(|admin| world.client(admin));
    type Case = (usize, Option<i64>);
    let table: [Case; 6] = [
        (0, None),
        (0, None),
        (0, Some(code::TOO_MANY_REQUESTS)),
        (2, Some(code::TOO_MANY_REQUESTS)),
        (1, None),
        (1, Some(code::INSUFFICIENT_RESOURCES)),
    ];
    for (client, expected) in table {
        let response = world.call::<Discover>(clients[client], &search(&id));
        assert_eq!(response.and_then(Result::err).map(|fault| fault.code), expected);
    }
    let (number, _) = world.next_request::<Discover>(gateway).unwrap();
    world.send(gateway, Message::result::<Discover>(number, &DiscoverResult::default()));
    assert!(world.call::<Discover>(clients[1], &search(&id)).is_none(), "there is room again");
    world.close(clients[0]);
    world.close(clients[1]);
    assert!(world.hub.exchanges.is_empty());
}

#[test]
fn a_camera_that_was_probed_is_in_no_list_and_not_stored() {
    let mut world = World::new();
    let (gateway, _) = world.gateway(1, &["cam"]);
    let client = world.client(admin(Objects::All));
    world.take(client);
    world.persisted.clear();
    let provisional = CameraReport { provisional: true, ..camera("probe.1") };
    let cameras = vec![camera("cam"), camera("yard"), provisional];
    let report = ReportParams { cameras, ..Default::default() };
    assert!(world.call::<Report>(gateway, &report).unwrap().unwrap().refused.is_empty());
    world.wait(Duration::from_secs(1));
    let lists = notified::<Cameras>(&mut world, client);
    let CamerasParams { cameras } = lists.last().unwrap();
    let ids: Vec<_> = cameras.iter().map(|camera| camera.report.id.as_str()).collect();
    assert_eq!(ids, ["cam", "yard"]);
    assert_eq!(world.persisted.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_probe_may_be_refused_by_the_gateway_in_its_own_words() {
    let mut world = World::new();
    let (gateway, id) = world.gateway(1, &["cam"]);
    let client = world.client(admin(Objects::All));
    let params: <Probe as porthole_signaling_proto::method::Method>::Params =
        rpc::read(json!({"peer": id, "address": "192.168.1.20"})).unwrap();
    let asked = world.request::<Probe>(client, &params);
    let (number, _) = world.next_request::<Probe>(gateway).unwrap();
    let text = "two cameras are being asked already; wait for one of them";
    let fault = Fault::new(code::INSUFFICIENT_RESOURCES, text);
    world.send(gateway, Message::fault(Some(number), fault.clone()));
    assert_eq!(world.response::<Probe>(client, asked).unwrap().unwrap_err(), fault);
}

#[test]
fn a_gateway_that_is_removed_or_replaced_is_gone_with_its_sessions() {
    for replaced in [false, true] {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["cam"]);
        let client = world.client(admin(Objects::All));
        let session = world.play(client, gateway, &connect_params(&id, "cam")).unwrap().session;
        world.take(client);
        if replaced {
            world.replaces = Some(id.clone());
            world.gateway(2, &["yard"]);
        } else {
            assert_eq!(world.hub.handle_gateway_removed(world.now, &id), 1);
            world.apply_outputs();
        }
        assert_eq!(world.closed.get(&gateway), Some(&Close::REMOVED), "{replaced}");
        assert_eq!(world.hub.counts().1, 0, "{replaced}: its session has ended");
        let ended = notified::<CloseSession>(&mut world, client);
        assert_eq!(ended.first().map(|params| &params.session), Some(&session), "{replaced}");
        world.wait(Duration::from_secs(1));
        let listing = admitted(admin(Objects::All), Action::ListCameras);
        let cameras = world.hub.cameras(world.now, &listing);
        let ids: Vec<_> = cameras.iter().map(|camera| camera.report.id.as_str()).collect();
        let expected: &[&str] = if replaced { &["yard"] } else { &[] };
        assert_eq!(ids, expected, "{replaced}");
    }
}
