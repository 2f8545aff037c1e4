//! Tests of connections and of the requests on them.

use std::time::Instant;

use porthole_clock::Now;
use porthole_signaling_proto::rest::Role;
use porthole_signaling_proto::rpc::RequestId;

use super::*;
use crate::request::RequestKind;
use crate::{Identity, Limits, Objects, Principal, Rate};

fn now() -> Now {
    Now { instant: Instant::now(), unix_s: 0 }
}

fn principal(credential: &str) -> Principal {
    let identity = Identity {
        subject: "user:1".to_owned(),
        credential: credential.to_owned(),
        name: "ann".to_owned(),
    };
    Principal::new(identity, Role::Viewer, Objects::All, None)
}

fn request(kind: RequestKind, origin: Origin) -> PendingRequest {
    PendingRequest { kind, session: "s1".parse().unwrap(), origin }
}

fn of_peer() -> Origin {
    Origin::Peer { conn: ConnId(9), id: RequestId::Number(1) }
}

#[test]
fn a_request_is_answered_once_and_by_its_peer_only() {
    let mut links = Links::default();
    let (gateway, other) = (ConnId(1), ConnId(2));
    let first = links.add_request(gateway, request(RequestKind::Connect, of_peer()), 0);
    let second = links.add_request(other, request(RequestKind::Connect, of_peer()), 0);
    assert_ne!(first, second);
    for (what, from, id, found) in [
        ("another peer", other, first, false),
        ("another number", gateway, second, false),
        ("the response", gateway, first, true),
        ("the same again", gateway, first, false),
    ] {
        assert_eq!(links.take_request(from, id).is_some(), found, "{what}");
    }
}

#[test]
fn the_requests_of_a_closed_connection_are_taken_together() {
    let mut links = Links::default();
    for (to, bytes) in [(1, 100), (2, 50), (1, 20)] {
        links.add_request(ConnId(to), request(RequestKind::Offer, of_peer()), bytes);
    }
    assert_eq!([1, 2, 3].map(|conn| links.pending_bytes(ConnId(conn))), [120, 50, 0]);
    assert_eq!(links.take_requests_to(ConnId(1)).len(), 2);
    assert_eq!([1, 2].map(|conn| links.pending_bytes(ConnId(conn))), [0, 50]);
    assert_eq!(links.close_all().1.len(), 1);
    assert!(links.is_idle());
}

#[test]
fn the_request_of_an_http_client_is_found_if_it_is_meant() {
    let mut links = Links::default();
    let whep = WhepRequestId(7);
    links.add_request(ConnId(1), request(RequestKind::Offer, of_peer()), 0);
    links.add_request(ConnId(1), request(RequestKind::Offer, Origin::Whep(whep)), 0);
    for (asked, kind, found) in [
        (WhepRequestId(8), RequestKind::Offer, false),
        (whep, RequestKind::Restart, false),
        (whep, RequestKind::Offer, true),
        (whep, RequestKind::Offer, false),
    ] {
        let taken = links.take_request_of(asked, |request| request.kind == kind);
        assert_eq!(taken.is_some(), found, "{asked:?} {kind:?}");
    }
}

#[test]
fn connections_are_found_by_their_credential_before_and_after_they_register() {
    let mut links = Links::default();
    let limits = Limits::default();
    for (conn, credential) in [(1, Some("a")), (2, Some("b")), (3, None), (4, Some("a"))] {
        let principal = credential.map(principal);
        links.open(ConnId(conn), Connection::new(now(), &limits, principal));
    }
    let bucket = || crate::Bucket::new(Rate { burst: 1, per_minute: 1 }, now().instant);
    links.unregistered(ConnId(4)).unwrap().register_client(principal("b"), bucket());
    let gateway = "gw-a".parse().unwrap();
    links.unregistered(ConnId(1)).unwrap().register_gateway(gateway, bucket());
    for (credential, expected) in [("a", vec![]), ("b", vec![ConnId(2), ConnId(4)]), ("c", vec![])]
    {
        assert_eq!(links.of_credential(credential), expected, "{credential}");
    }
    assert!(links.unregistered(ConnId(4)).is_err(), "registered once");
    assert!(links.unregistered(ConnId(5)).is_err(), "not open");
}

#[test]
fn messages_over_the_rate_are_excess_and_then_too_much() {
    let limits = Limits {
        unregistered_rate: Rate { burst: 2, per_minute: 60 },
        excess_rate: Rate { burst: 1, per_minute: 60 },
        ..Limits::default()
    };
    let now = now();
    let mut connection = Connection::new(now, &limits, None);
    for expected in [Pace::Fits, Pace::Fits, Pace::Excess, Pace::TooMuch] {
        assert_eq!(connection.count_message(now), expected);
    }
}

#[test]
fn a_nonce_is_taken_once_and_lookups_are_bounded() {
    let mut connection = Connection::new(now(), &Limits::default(), None);
    assert_eq!(connection.take_nonce(), None);
    connection.set_nonce("n1".to_owned());
    assert_eq!(connection.take_nonce().as_deref(), Some("n1"));
    assert_eq!(connection.take_nonce(), None);
    assert_eq!([true, true, false].map(|_| connection.begin_lookup(2)), [true, true, false]);
    connection.end_lookup();
    assert!(connection.begin_lookup(2));
    assert_eq!([1, 1, 2].map(|hash| connection.note_cameras(hash)), [true, false, true]);
}
