//! Tests of who is found where.

use porthole_signaling_proto::CameraState;
use porthole_signaling_proto::method::PROTOCOL;
use porthole_signaling_proto::rest::Age;

use super::*;
use crate::{Identity, Objects, StoredCamera};

fn gateway(name: &str) -> GatewayId {
    name.parse().unwrap()
}

/// Returns the permissions of somebody who may watch a camera, or may not.
fn watch(may_see: bool) -> Option<Vec<CameraPermission>> {
    may_see.then(|| vec![CameraPermission::Watch])
}

fn person(name: &str) -> Principal {
    let [subject, credential, name] = [name; 3].map(str::to_owned);
    let identity = Identity { subject, credential, name };
    Principal::new(identity, rest::Role::Viewer, Objects::All, None)
}

pub(super) fn camera(id: &str) -> CameraReport {
    CameraReport::new(id.parse().unwrap(), id.to_owned(), CameraState::Live)
}

fn stored(name: &str, cameras: &[(&str, u64)]) -> StoredGateway {
    let camera = |&(id, place): &(&str, u64)| {
        let (name, id) = (id.to_owned(), id.parse().unwrap());
        StoredCamera { id, name, place, former: false }
    };
    let cameras = cameras.iter().map(camera).collect();
    let (id, name) = (gateway(name), name.to_owned());
    StoredGateway { id, name, renamed: false, seen_s: None, cameras }
}

fn restored(name: &str, cameras: &[&str]) -> Directory {
    let cameras: Vec<_> = cameras.iter().copied().zip(1..).collect();
    let mut directory = Directory::default();
    directory.restore(stored(name, &cameras));
    directory
}

fn report(directory: &mut Directory, name: &str, cameras: &[&str]) -> Vec<RefusedCamera> {
    let cameras = cameras.iter().map(|id| camera(id)).collect();
    let refused = directory.set_cameras(&gateway(name), cameras, 3);
    directory.assert_consistent();
    refused
}

/// Returns the gateways that these ids alone mean.
fn owners<'a>(directory: &'a Directory, ids: &[&str]) -> Vec<Option<&'a str>> {
    let owner = |id: &&str| directory.owner(&id.parse().unwrap()).map(GatewayId::as_str);
    ids.iter().map(owner).collect()
}

#[test]
fn a_gateway_is_on_its_latest_connection() {
    let now = Now { instant: Instant::now(), unix_s: 1000 };
    let mut directory = restored("gw-a", &["door"]);
    let id = gateway("gw-a");
    assert_eq!(directory.connection_of(&id), None);
    let connect = |directory: &mut Directory, conn| {
        let introduction = Introduction {
            name: Some("Barn\n".into()),
            version: Some("0.1.0".into()),
            protocol: Some(PROTOCOL),
            capabilities: vec!["extend".into()],
        };
        directory.connect_gateway(&id, ConnId(conn), introduction, now)
    };
    assert_eq!(connect(&mut directory, 1), None);
    assert_eq!(connect(&mut directory, 2), Some(ConnId(1)), "replaced");
    for (conn, is_current, found) in [(1, false, Some(ConnId(2))), (2, true, None)] {
        assert_eq!(directory.disconnect_gateway(&id, ConnId(conn), now), is_current, "{conn}");
        assert_eq!(directory.connection_of(&id), found, "{conn}");
    }
    let minute = Duration::from_secs(60);
    for (after_s, away) in [(0, false), (59, false), (60, true)] {
        let now = now.instant + Duration::from_secs(after_s);
        assert_eq!(directory.is_away(&id, minute, now), away, "{after_s} s");
    }
    let listed = &directory.gateways()[0];
    let shown = (listed.name.as_str(), listed.version.as_deref(), listed.seen_s);
    assert_eq!(shown, ("Barn", Some("0.1.0"), Some(1000)));
    assert_eq!(directory.capabilities(&id), Some(vec!["extend".to_owned()]));
    connect(&mut directory, 3);
    assert!(!directory.is_away(&id, minute, now.instant + minute), "it is back");
    assert!(!directory.is_away(&gateway("gw-b"), minute, now.instant), "not known");
}

#[test]
fn the_age_of_a_gateway_is_that_of_its_protocol() {
    let now = Now { instant: Instant::now(), unix_s: 0 };
    let mut directory = restored("gw-a", &[]);
    let id = gateway("gw-a");
    assert_eq!(directory.gateways()[0].age, None, "it has not connected yet");
    for (version, protocol, expected) in [
        (Some("0.1.0"), Some(PROTOCOL), None),
        (Some("0.1.0"), Some(PROTOCOL - 1), Some(Age::Older)),
        (Some("9.9.9"), Some(PROTOCOL + 1), Some(Age::Newer)),
        // From before there were numbers.
        (Some("0.1.0"), None, Some(Age::Older)),
        // No gateway of ours.
        (None, None, None),
    ] {
        let version = version.map(str::to_owned);
        let introduction = Introduction { version, protocol, ..Introduction::default() };
        directory.connect_gateway(&id, ConnId(1), introduction, now);
        assert_eq!(directory.gateways()[0].age, expected, "{protocol:?}");
    }
}

#[test]
fn the_name_that_a_person_has_given_stays() {
    let now = Now { instant: Instant::now(), unix_s: 0 };
    let mut directory = restored("gw-a", &["door"]);
    let id = gateway("gw-a");
    let connect = |directory: &mut Directory, name: &str| {
        let introduction = Introduction { name: Some(name.to_owned()), ..Default::default() };
        directory.connect_gateway(&id, ConnId(1), introduction, now);
        directory.gateways()[0].name.clone()
    };
    assert_eq!(connect(&mut directory, "Barn"), "Barn");
    directory.rename(&id, "Stable".to_owned());
    assert_eq!(connect(&mut directory, "Barn"), "Stable");
    let stored = directory.take_changed(&id).unwrap();
    assert_eq!((stored.name.as_str(), stored.renamed), ("Stable", true));
    let mut restarted = Directory::default();
    restarted.restore(stored);
    assert_eq!(connect(&mut restarted, "Barn"), "Stable");
    assert_eq!(restarted.remove(&id), Some(ConnId(1)));
    assert_eq!(owners(&restarted, &["door"]), [None]);
    restarted.assert_consistent();
}

#[test]
fn an_id_is_refused_only_if_its_own_gateway_uses_it_twice() {
    let mut directory = restored("gw-a", &["door", "door.sub"]);
    directory.enroll(gateway("gw-b"), "B".to_owned(), false);
    type Case = (&'static str, &'static [&'static str], &'static [&'static str]);
    let table: [Case; 4] = [
        ("gw-b", &["door", "yard"], &[]),
        ("gw-b", &["door.sub", "yard", "yard"], &["yard", "door.sub"]),
        ("gw-a", &["attic", "a", "b", "c"], &["c"]),
        ("gw-b", &["door", "door.sub"], &[]),
    ];
    for (name, reported, expected) in table {
        let refused = report(&mut directory, name, reported);
        let refused: Vec<_> = refused.iter().map(|refused| refused.id.as_str()).collect();
        assert_eq!(refused, expected, "{name} {reported:?}");
    }
    let profiles: Vec<_> = directory.profiles(&gateway("gw-b")).map(CameraId::as_str).collect();
    assert_eq!(profiles, ["door", "door.sub"]);
}

#[test]
fn an_id_alone_means_the_gateway_that_got_the_camera_first_even_if_it_no_longer_has_it() {
    const A: Option<&str> = Some("gw-a");
    const B: Option<&str> = Some("gw-b");
    let mut directory = restored("gw-b", &[]);
    directory.enroll(gateway("gw-a"), "A".to_owned(), false);
    type Case = (&'static str, &'static [&'static str], [Option<&'static str>; 3]);
    // The owners of `door`, `door.sub` and `yard`.
    let table: [Case; 8] = [
        ("gw-b", &["door"], [B, B, None]),
        ("gw-a", &["door", "yard"], [B, B, A]),
        ("gw-a", &["door", "door.sub", "yard"], [B, B, A]),
        ("gw-b", &["yard", "door", "door.sub"], [B, B, A]),
        ("gw-a", &["yard", "door"], [B, B, A]),
        ("gw-a", &["door"], [B, B, A]),
        ("gw-b", &[], [B, B, A]),
        ("gw-a", &["door", "yard"], [B, B, A]),
    ];
    for (name, reported, expected) in table {
        assert_eq!(report(&mut directory, name, reported), [], "{name} {reported:?}");
        let found = owners(&directory, &["door", "door.sub", "yard"]);
        assert_eq!(found, expected, "{name} {reported:?}");
    }
}

#[test]
fn the_gateway_that_an_id_alone_means_is_the_same_after_a_restart() {
    let ids = ["door", "door.sub", "yard", "gate"];
    let mut before = restored("gw-b", &["door"]);
    before.enroll(gateway("gw-a"), "A".to_owned(), false);
    report(&mut before, "gw-a", &["door", "door.sub", "yard"]);
    report(&mut before, "gw-b", &["gate", "yard", "door"]);
    report(&mut before, "gw-a", &["gate", "yard", "door"]);
    let expected = [Some("gw-b"), Some("gw-b"), Some("gw-a"), Some("gw-b")];
    assert_eq!(owners(&before, &ids), expected);
    let records = ["gw-a", "gw-b"].map(|name| before.take_changed(&gateway(name)).unwrap());
    for order in [[0, 1], [1, 0]] {
        let mut after = Directory::default();
        for index in order {
            after.restore(records[index].clone());
        }
        after.assert_consistent();
        assert_eq!(owners(&after, &ids), expected, "{order:?}");
        report(&mut after, "gw-a", &["shed"]);
        report(&mut after, "gw-b", &["yard", "door", "gate"]);
        assert_eq!(owners(&after, &ids), expected, "they are kept for it, {order:?}");
    }
}

#[test]
fn the_id_of_a_camera_that_is_away_goes_back_to_its_gateway_and_not_to_the_first_who_reports_it() {
    let mut directory = restored("gw-a", &["door", "yard"]);
    directory.enroll(gateway("gw-rogue"), "R".to_owned(), false);
    report(&mut directory, "gw-a", &["yard"]);
    report(&mut directory, "gw-rogue", &["door"]);
    // The server starts again while the camera is away.
    let records = ["gw-rogue", "gw-a"].map(|name| directory.take_changed(&gateway(name)).unwrap());
    let mut directory = Directory::default();
    for record in records {
        directory.restore(record);
    }
    directory.assert_consistent();
    let ids = ["door", "door.sub"];
    assert_eq!(owners(&directory, &ids), [Some("gw-a"); 2], "while it is away");
    let profiles: Vec<_> = directory.profiles(&gateway("gw-a")).map(CameraId::as_str).collect();
    assert_eq!(profiles, ["yard"], "it cannot be watched");
    report(&mut directory, "gw-a", &["yard", "door"]);
    assert_eq!(owners(&directory, &ids), [Some("gw-a"); 2], "it is back");
    let door = "door".parse().unwrap();
    assert!(!directory.release(&gateway("gw-a"), &door), "it is in use");
    report(&mut directory, "gw-a", &["yard"]);
    assert!(directory.release(&gateway("gw-a"), &door));
    directory.assert_consistent();
    assert_eq!(owners(&directory, &ids), [Some("gw-rogue"); 2], "it was released");
    assert!(!directory.release(&gateway("gw-a"), &door), "twice");
    assert!(!directory.release(&gateway("gw-none"), &door), "of nobody");
}

#[test]
fn only_the_gateway_of_a_camera_reports_its_sub_stream() {
    let mut directory = restored("gw-a", &["door"]);
    directory.enroll(gateway("gw-rogue"), "R".to_owned(), false);
    for (name, reported, expected) in [
        ("gw-rogue", &["door.sub", "shed"][..], &["door.sub"][..]),
        ("gw-rogue", &["door", "door.sub"], &[]),
        ("gw-rogue", &["attic.sub"], &[]),
        ("gw-a", &["door", "door.sub"], &[]),
        ("gw-a", &["yard"], &[]),
        // It has had the camera.
        ("gw-a", &["door.sub"], &[]),
        ("gw-rogue", &["door.sub"], &["door.sub"]),
    ] {
        let refused = report(&mut directory, name, reported);
        let refused: Vec<_> = refused.iter().map(|refused| refused.id.as_str()).collect();
        assert_eq!(refused, expected, "{name} {reported:?}");
    }
}

#[test]
fn a_gateway_that_replaces_another_gets_the_places_of_its_cameras() {
    let mut directory = restored("gw-old", &["door", "yard"]);
    directory.enroll(gateway("gw-rogue"), "R".to_owned(), false);
    report(&mut directory, "gw-rogue", &["door", "yard"]);
    report(&mut directory, "gw-old", &["yard"]);
    directory.enroll(gateway("gw-new"), "N".to_owned(), false);
    directory.replace(&gateway("gw-old"), &gateway("gw-new"));
    directory.remove(&gateway("gw-old"));
    directory.assert_consistent();
    assert_eq!(owners(&directory, &["door", "yard"]), [Some("gw-new"); 2]);
    report(&mut directory, "gw-new", &["door", "yard"]);
    assert_eq!(owners(&directory, &["door", "yard"]), [Some("gw-new"); 2]);
}

#[test]
fn the_ids_that_are_kept_for_a_gateway_are_bounded() {
    let mut directory = restored("gw-a", &["first"]);
    for number in 0..600 {
        report(&mut directory, "gw-a", &[&format!("c{number}")]);
    }
    let stored = directory.take_changed(&gateway("gw-a")).unwrap();
    assert_eq!(stored.cameras.len(), 256 + 1);
    assert_eq!(owners(&directory, &["first", "c599"]), [Some("gw-a"); 2]);
}

#[test]
fn a_camera_is_listed_with_the_shortest_address_that_means_it() {
    let mut directory = restored("gw-b", &["door", "door.sub"]);
    directory.restore(stored("gw-a", &[("door", 8), ("door.sub", 8), ("yard", 9)]));
    let list = |visible: &[(&str, &str)]| -> Vec<String> {
        let may_see = |gateway: &GatewayId, id: &CameraId| {
            watch(visible.contains(&(gateway.as_str(), id.as_str())))
        };
        directory.cameras(may_see).iter().map(|camera| camera.address.to_string()).collect()
    };
    let all = [("gw-a", "door"), ("gw-a", "yard"), ("gw-b", "door")];
    for (visible, expected) in [
        (&all[..], &["door", "door@gw-a", "yard"][..]),
        (&all[..2], &["door@gw-a", "yard"]),
        (&[("gw-a", "door.sub"), ("gw-b", "door.sub")], &["door.sub", "door.sub@gw-a"]),
    ] {
        assert_eq!(list(visible), expected, "{visible:?}");
    }
}

#[test]
fn a_record_is_written_when_it_has_changed_and_again_after_a_failure() {
    let mut directory = restored("gw-a", &["door"]);
    let id = gateway("gw-a");
    let report = |directory: &mut Directory, ids: &[&str]| {
        report(directory, "gw-a", ids);
        directory.take_changed(&id).map(|stored| stored.cameras.len())
    };
    assert_eq!(report(&mut directory, &["door"]), None, "as restored");
    assert_eq!(report(&mut directory, &["door", "yard"]), Some(2));
    assert_eq!(report(&mut directory, &["yard", "door"]), None, "the order does not count");
    directory.persist_failed(&id);
    assert_eq!(report(&mut directory, &["door", "yard"]), Some(2));
    directory.enroll(id.clone(), "Barn".to_owned(), false);
    assert_eq!(directory.take_changed(&id).map(|stored| stored.name).as_deref(), Some("Barn"));
}

#[test]
fn a_user_is_found_on_each_of_its_connections() {
    let mut directory = Directory::default();
    for (subject, conn) in [("ann", 1), ("bob", 2), ("ann", 3)] {
        directory.connect_client(&person(subject), ConnId(conn));
    }
    let of = |directory: &Directory, subject: &str| -> Vec<u64> {
        directory.clients_of(subject).map(|conn| conn.0).collect()
    };
    assert_eq!(
        ["ann", "bob", "cid"].map(|subject| of(&directory, subject)),
        [vec![1, 3], vec![2], vec![]]
    );
    directory.disconnect_client(&person("bob"), ConnId(1));
    directory.disconnect_client(&person("bob"), ConnId(2));
    directory.disconnect_client(&person("ann"), ConnId(1));
    assert_eq!(directory.subjects().collect::<Vec<_>>(), ["ann"]);
    assert_eq!(of(&directory, "ann"), [3]);
}

#[test]
fn a_token_that_another_has_given_is_counted_for_that_and_found_under_its_own_name() {
    let mut directory = Directory::default();
    let given = person("token:2").counted_as("token:1".to_owned());
    directory.connect_client(&person("token:1"), ConnId(1));
    directory.connect_client(&given, ConnId(2));
    let found = |directory: &Directory, name: &str| {
        let own: Vec<u64> = directory.clients_of(name).map(|conn| conn.0).collect();
        let counted = directory.clients_counted_for(name).map(|conn| conn.0).collect::<Vec<_>>();
        (own, counted)
    };
    assert_eq!(found(&directory, "token:1"), (vec![1], vec![1, 2]));
    assert_eq!(found(&directory, "token:2"), (vec![2], vec![]));
    directory.assert_consistent();
    directory.disconnect_client(&given, ConnId(2));
    assert_eq!(found(&directory, "token:1"), (vec![1], vec![1]));
    assert_eq!(found(&directory, "token:2"), (vec![], vec![]));
    directory.assert_consistent();
}

#[test]
fn cameras_of_a_gateway_that_is_away_are_offline_and_only_visible_ones_are_listed() {
    let mut directory = restored("gw-a", &[]);
    let id = gateway("gw-a");
    let now = Now { instant: Instant::now(), unix_s: 0 };
    directory.connect_gateway(&id, ConnId(1), Introduction::default(), now);
    directory.set_cameras(&id, ["yard", "door"].map(camera).to_vec(), 9);
    let list = |directory: &Directory, visible: &[&str]| -> Vec<(String, CameraState)> {
        let cameras = directory.cameras(|_, id| watch(visible.contains(&id.as_str())));
        cameras.into_iter().map(|c| (c.report.id.to_string(), c.report.state)).collect()
    };
    let both = |state| vec![("door".to_owned(), state), ("yard".to_owned(), state)];
    assert_eq!(list(&directory, &["door", "yard"]), both(CameraState::Live));
    assert_eq!(list(&directory, &["yard"]), both(CameraState::Live)[1..]);
    directory.disconnect_gateway(&id, ConnId(1), now);
    assert_eq!(list(&directory, &["door", "yard"]), both(CameraState::Offline));
}
