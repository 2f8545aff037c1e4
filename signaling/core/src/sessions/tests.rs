//! Tests of sessions and of how they are counted.

use porthole_signaling_proto::rest::Role;

use super::*;
use crate::request::RequestKind;
use crate::{Action, Identity, Objects, Sender};

fn id(text: &str) -> SessionId {
    text.parse().unwrap()
}

fn gateway(name: &str) -> GatewayId {
    name.parse().unwrap()
}

fn admitted(subject: &str, action: Action, now: Now) -> Admitted {
    let [subject, credential] = [subject.to_owned(), format!("cookie:{subject}")];
    let identity = Identity { subject, credential, name: String::new() };
    let principal = Principal::new(identity, Role::Viewer, Objects::All, None);
    action.admit(Sender::Principal(principal), now).unwrap()
}

fn session(now: Now, name: &str, subject: &str, viewer: Viewer) -> Session {
    let camera = "cam".parse().unwrap();
    let sender = admitted(subject, Action::Connect, now);
    let granted = sender.camera(&gateway(name), &camera, now).unwrap();
    Session::new(now, Duration::from_secs(60), granted, viewer)
}

fn client(conn: u64) -> Viewer {
    Viewer::Connected(ConnId(conn))
}

fn player() -> Viewer {
    Viewer::Whep(WhepViewer::new(vec!["a".to_owned()]))
}

fn limits(sessions_per_subject: usize, sessions_per_gateway: usize) -> Limits {
    Limits { sessions_per_subject, sessions_per_gateway, ..Limits::default() }
}

fn start() -> Now {
    Now { instant: Instant::now(), unix_s: 0 }
}

#[test]
fn s5_tokens_that_have_given_each_other_have_the_sessions_of_one() {
    let (now, limits) = (start(), limits(3, 9));
    let mut sessions = Sessions::default();
    for (name, token, first, has_room) in [
        ("s1", "token:1", "token:1", true),
        ("s2", "token:2", "token:1", true),
        ("s3", "token:3", "token:1", true),
        ("s4", "token:4", "token:1", false),
        ("s4", "token:1", "token:1", false),
        ("s4", "token:5", "token:5", true),
    ] {
        let [subject, credential] = [token.to_owned(), token.to_owned()];
        let identity = Identity { subject, credential, name: String::new() };
        let principal = Principal::new(identity, Role::Viewer, Objects::All, None);
        let principal = principal.counted_as(first.to_owned());
        let sender = Action::Connect.admit(Sender::Principal(principal), now).unwrap();
        let granted = sender.camera(&gateway("gw-a"), &"cam".parse().unwrap(), now).unwrap();
        let session = Session::new(now, Duration::from_secs(60), granted, player());
        assert_eq!(sessions.make_room(&session, &limits).is_ok(), has_room, "{name} {token}");
        if has_room {
            sessions.add(id(name), session, &limits).unwrap();
        }
        sessions.assert_consistent(&limits);
    }
    assert_eq!(sessions.all[&id("s2")].subject(), "token:2", "each has its own");
}

#[test]
fn a_session_counts_for_its_gateway_and_its_viewer_until_it_is_removed() {
    let (now, limits) = (start(), limits(3, 3));
    let mut sessions = Sessions::default();
    type Case = (&'static str, &'static str, &'static str, fn() -> Viewer, bool);
    let table: [Case; 6] = [
        ("s1", "gw-a", "ann", || client(1), true),
        ("s2", "gw-a", "ann", || client(1), true),
        ("s3", "gw-a", "ann", player, true),
        ("s4", "gw-a", "bob", player, false),
        ("s4", "gw-b", "bob", player, true),
        ("s5", "gw-b", "bob", || client(2), true),
    ];
    for (name, of, subject, viewer, fits) in table {
        let added = sessions.add(id(name), session(now, of, subject, viewer()), &limits);
        assert_eq!(added.is_ok(), fits, "{name} of {of}");
        sessions.assert_consistent(&limits);
    }
    for (subject, viewer, has_room) in [
        ("ann", client(1), false),
        ("ann", player(), false),
        ("ann", client(3), false),
        ("bob", client(3), true),
    ] {
        let room = sessions.make_room(&session(now, "gw-c", subject, viewer), &limits);
        assert_eq!(room.is_ok(), has_room);
    }
    assert_eq!(sessions.of_gateway(&gateway("gw-b")), [id("s4"), id("s5")]);
    for name in ["s1", "s2", "s3", "s4", "s5"] {
        assert!(sessions.remove(&id(name)).is_some());
        assert!(sessions.remove(&id(name)).is_none());
        sessions.assert_consistent(&limits);
    }
    assert!(sessions.is_empty());
}

#[test]
fn the_oldest_session_without_a_path_makes_room() {
    let (now, limits) = (start(), limits(2, 9));
    for (what, after_s, starting, expected) in [
        ("both are stuck", 6, &["s1", "s2"][..], Some("s1")),
        ("the first plays", 6, &["s2"], Some("s2")),
        ("the second has just begun", 5, &["s2"], None),
        ("both play", 6, &[], None),
    ] {
        let mut sessions = Sessions::default();
        for (name, begins_s) in [("s1", 0), ("s2", 1)] {
            let begins = now.after(Duration::from_secs(begins_s));
            sessions.add(id(name), session(begins, "gw-a", "ann", player()), &limits).unwrap();
        }
        let starting: Vec<_> = starting.iter().map(|name| id(name)).collect();
        sessions.note_progress(&gateway("gw-b"), &[id("s1"), id("s2")], &[]);
        sessions.note_progress(&gateway("gw-a"), &[id("s1"), id("s2")], &starting);
        let later = now.after(Duration::from_secs(after_s));
        let room = sessions.make_room(&session(later, "gw-a", "ann", player()), &limits);
        let expected = expected.map(|name| vec![id(name)]);
        assert_eq!(room.ok(), expected, "{what}");
    }
}

#[test]
fn a_session_whose_client_is_away_makes_room_before_one_that_plays() {
    let (now, limits) = (start(), limits(3, 9));
    let mut sessions = Sessions::default();
    for (name, conn) in [("s1", 1), ("s2", 2), ("s3", 3)] {
        sessions.add(id(name), session(now, "gw-a", "ann", client(conn)), &limits).unwrap();
    }
    sessions.detach_client(now.after(Duration::from_secs(1)), ConnId(3));
    sessions.detach_client(now.after(Duration::from_secs(2)), ConnId(2));
    for expected in [Some("s3"), Some("s2"), None] {
        let room = sessions.make_room(&session(now, "gw-b", "ann", client(4)), &limits);
        assert_eq!(room.ok(), expected.map(|name| vec![id(name)]));
        if let Some(name) = expected {
            sessions.remove(&id(name));
            let new = format!("{name}b");
            sessions.add(id(&new), session(now, "gw-b", "ann", client(4)), &limits).unwrap();
        }
    }
}

#[test]
fn a_session_that_is_extended_with_another_token_counts_for_that_one() {
    let (now, limits) = (start(), limits(1, 9));
    let mut sessions = Sessions::default();
    sessions.add(id("s1"), session(now, "gw-a", "ann", client(1)), &limits).unwrap();
    let granted = |subject| {
        let sender = admitted(subject, Action::Extend, now);
        sender.camera(&gateway("gw-a"), &"cam".parse().unwrap(), now).unwrap()
    };
    sessions.prolong(&id("s1"), granted("bob"), now.instant, &limits).unwrap();
    sessions.assert_consistent(&limits);
    sessions.add(id("s2"), session(now, "gw-a", "ann", client(1)), &limits).unwrap();
    let full = sessions.prolong(&id("s2"), granted("bob"), now.instant, &limits).unwrap_err();
    assert_eq!(full.code, code::INSUFFICIENT_RESOURCES);
    sessions.prolong(&id("s2"), granted("ann"), now.instant, &limits).unwrap();
    sessions.assert_consistent(&limits);
}

#[test]
fn a_client_that_reconnects_takes_its_sessions_up() {
    let now = start();
    let mut sessions = Sessions::default();
    let limits = Limits::default();
    for (name, viewer) in
        [("s1", client(1)), ("s2", client(1)), ("s3", client(2)), ("s4", player())]
    {
        sessions.add(id(name), session(now, "gw-a", "ann", viewer), &limits).unwrap();
    }
    assert_eq!(sessions.detach_client(now, ConnId(1)), [id("s1"), id("s2")]);
    assert_eq!(sessions.detach_client(now, ConnId(1)), []);
    for (name, conn, subject, expected) in [
        ("s1", 5, "ann", true),
        ("s1", 1, "bob", false),
        ("s3", 2, "bob", true),
        ("s3", 5, "ann", true),
        ("s3", 5, "bob", false),
        ("s4", 5, "ann", false),
    ] {
        let session = sessions.get(&id(name)).unwrap();
        let can = session.can_be_extended_by(ConnId(conn), subject);
        assert_eq!(can, expected, "{name} by {subject} on {conn}");
    }
    sessions.attach_client(ConnId(5), &id("s1"));
    sessions.attach_client(ConnId(5), &id("s3"));
    sessions.assert_consistent(&limits);
    let found = |name: &str| sessions.get(&id(name)).and_then(Session::client);
    assert_eq!(["s1", "s2", "s3"].map(found), [Some(ConnId(5)), None, Some(ConnId(5))]);
    let away = |name: &str| sessions.get(&id(name)).and_then(Session::away_since);
    assert_eq!(["s1", "s2"].map(away), [None, Some(now.instant)]);
}

#[test]
fn a_whep_session_is_found_by_its_owner_only() {
    let now = start();
    let mut sessions = Sessions::default();
    let limits = Limits::default();
    sessions.add(id("s1"), session(now, "gw-a", "ann", player()), &limits).unwrap();
    sessions.add(id("s2"), session(now, "gw-a", "ann", client(1)), &limits).unwrap();
    for (name, subject, action, found) in [
        ("s1", "ann", Action::Patch, true),
        ("s1", "ann", Action::Delete, true),
        ("s1", "bob", Action::Delete, false),
        ("s2", "ann", Action::Delete, false),
        ("s3", "ann", Action::Delete, false),
        ("s1", "ann", Action::ReadSelf, false),
    ] {
        let sender = admitted(subject, action, now);
        let owned = sessions.of_owner(&sender, &id(name)).is_some();
        assert_eq!(owned, found, "{name} of {subject}: {action:?}");
    }
    assert_eq!(sessions.of_credential("cookie:ann"), [id("s1"), id("s2")]);
    assert_eq!(sessions.of_credential("cookie:bob"), []);
}

#[test]
fn a_session_that_is_not_reported_is_lost_once_it_is_old() {
    let now = start();
    let mut sessions = Sessions::default();
    let limits = Limits::default();
    for (name, of) in [("s1", "gw-a"), ("s2", "gw-a"), ("s3", "gw-b")] {
        sessions.add(id(name), session(now, of, "ann", player()), &limits).unwrap();
    }
    for (after_s, reported, expected) in [
        (19, &[][..], &[][..]),
        (20, &[], &["s1", "s2"]),
        (20, &["s1"], &["s2"]),
        (20, &["s1", "s2", "s9"], &[]),
    ] {
        let now = now.after(Duration::from_secs(after_s));
        let reported: Vec<_> = reported.iter().map(|name| id(name)).collect();
        let lost = sessions.unreported(now, &gateway("gw-a"), &reported);
        let expected: Vec<_> = expected.iter().map(|name| id(name)).collect();
        assert_eq!(lost, expected, "{after_s} s, {reported:?}");
    }
}

#[test]
fn a_restart_that_succeeds_begins_the_next_generation() {
    let mut viewer = WhepViewer::new(vec!["a".to_owned()]);
    for (what, succeeds, ufrag, generation) in
        [("refused", false, "a", 1), ("restarted", true, "b", 2), ("again", true, "b", 3)]
    {
        viewer.begin_restart(vec!["b".to_owned()]);
        viewer.end_restart(succeeds);
        assert_eq!(
            (viewer.ufrags()[0].as_str(), viewer.generation()),
            (ufrag, generation),
            "{what}"
        );
    }
}

#[test]
fn a_session_has_one_request_of_each_kind_in_flight() {
    let mut session = session(start(), "gw-a", "ann", client(1));
    for (kind, begins) in
        [(RequestKind::Connect, true), (RequestKind::Connect, false), (RequestKind::Extend, true)]
    {
        assert_eq!(session.begin_request(kind), begins, "{kind:?}");
    }
    session.end_request(RequestKind::Connect);
    assert!(!session.has_request(RequestKind::Connect) && session.has_request(RequestKind::Extend));
    assert!(session.is_pending());
    session.accept();
    assert!(!session.is_pending());
}
