//! Tests of who is found where.

use porthole_signaling_proto::CameraState;

use super::*;

fn gateway(name: &str) -> GatewayId {
    name.parse().unwrap()
}

pub(super) fn camera(id: &str) -> CameraReport {
    CameraReport::new(id.parse().unwrap(), id.to_owned(), CameraState::Live)
}

fn restored(name: &str, cameras: &[&str]) -> Directory {
    let cameras = cameras.iter().map(|id| (id.parse().unwrap(), (*id).to_owned())).collect();
    let mut directory = Directory::default();
    directory.restore(StoredGateway { id: gateway(name), name: name.to_owned(), cameras });
    directory
}

#[test]
fn a_gateway_is_on_its_latest_connection() {
    let now = Instant::now();
    let mut directory = restored("gw-a", &["door"]);
    let id = gateway("gw-a");
    assert_eq!(directory.connection_of(&id), None);
    let connect = |directory: &mut Directory, conn| {
        directory.connect_gateway(&id, ConnId(conn), vec!["extend".into()], Some("Barn\n".into()))
    };
    assert_eq!(connect(&mut directory, 1), None);
    assert_eq!(connect(&mut directory, 2), Some(ConnId(1)), "replaced");
    for (conn, is_current, found) in [(1, false, Some(ConnId(2))), (2, true, None)] {
        assert_eq!(directory.disconnect_gateway(&id, ConnId(conn), now), is_current, "{conn}");
        assert_eq!(directory.connection_of(&id), found, "{conn}");
    }
    let minute = Duration::from_secs(60);
    for (after_s, away) in [(0, false), (59, false), (60, true)] {
        let now = now + Duration::from_secs(after_s);
        assert_eq!(directory.is_away(&id, minute, now), away, "{after_s} s");
    }
    assert_eq!(directory.gateways()[0].name, "Barn");
    assert_eq!(directory.capabilities(&id), Some(vec!["extend".to_owned()]));
    connect(&mut directory, 3);
    assert!(!directory.is_away(&id, minute, now + minute), "it is back");
    assert!(!directory.is_away(&gateway("gw-b"), minute, now), "not known");
}

#[test]
fn a_camera_belongs_to_the_first_gateway_that_reports_it() {
    let mut directory = restored("gw-a", &["door", "door.sub"]);
    directory.enroll(gateway("gw-b"), "B".to_owned());
    type Case = (&'static str, &'static [&'static str], &'static [&'static str]);
    let table: [Case; 5] = [
        ("gw-b", &["door", "yard"], &["door"]),
        ("gw-b", &["door.sub", "yard", "yard"], &["door.sub", "yard"]),
        ("gw-a", &["attic", "a", "b", "c"], &["c"]),
        ("gw-b", &["door", "door.sub"], &[]),
        ("gw-a", &["door"], &["door"]),
    ];
    for (name, reported, expected) in table {
        let cameras = reported.iter().map(|id| camera(id)).collect();
        let refused = directory.set_cameras(&gateway(name), cameras, 3);
        let refused: Vec<_> = refused.iter().map(|refused| refused.id.as_str()).collect();
        assert_eq!(refused, expected, "{name} {reported:?}");
        directory.assert_consistent();
    }
    let owner = |id: &str| directory.owner(&id.parse().unwrap()).map(GatewayId::as_str);
    assert_eq!(
        ["door", "door.sub", "yard", "attic"].map(owner),
        [Some("gw-b"), Some("gw-b"), None, None]
    );
    let profiles: Vec<_> = directory.profiles(&gateway("gw-b")).map(CameraId::as_str).collect();
    assert_eq!(profiles, ["door", "door.sub"]);
}

#[test]
fn a_record_is_written_when_it_has_changed_and_again_after_a_failure() {
    let mut directory = restored("gw-a", &["door"]);
    let id = gateway("gw-a");
    let report = |directory: &mut Directory, ids: &[&str]| {
        directory.set_cameras(&id, ids.iter().map(|id| camera(id)).collect(), 9);
        directory.take_changed(&id).map(|(_, cameras)| cameras.len())
    };
    assert_eq!(report(&mut directory, &["door"]), None, "as restored");
    assert_eq!(report(&mut directory, &["door", "yard"]), Some(2));
    assert_eq!(report(&mut directory, &["yard", "door"]), None, "the order does not count");
    directory.persist_failed(&id);
    assert_eq!(report(&mut directory, &["door", "yard"]), Some(2));
    directory.enroll(id.clone(), "Barn".to_owned());
    assert_eq!(directory.take_changed(&id).map(|(name, _)| name).as_deref(), Some("Barn"));
}

#[test]
fn a_user_is_found_on_each_of_its_connections() {
    let mut directory = Directory::default();
    for (subject, conn) in [("ann", 1), ("bob", 2), ("ann", 3)] {
        directory.connect_client(subject, ConnId(conn));
    }
    let of = |directory: &Directory, subject: &str| -> Vec<u64> {
        directory.clients_of(subject).map(|conn| conn.0).collect()
    };
    assert_eq!(
        ["ann", "bob", "cid"].map(|subject| of(&directory, subject)),
        [vec![1, 3], vec![2], vec![]]
    );
    directory.disconnect_client("bob", ConnId(1));
    directory.disconnect_client("bob", ConnId(2));
    directory.disconnect_client("ann", ConnId(1));
    assert_eq!(directory.subjects().collect::<Vec<_>>(), ["ann"]);
    assert_eq!(of(&directory, "ann"), [3]);
}

#[test]
fn cameras_of_a_gateway_that_is_away_are_offline_and_only_visible_ones_are_listed() {
    let mut directory = restored("gw-a", &[]);
    let id = gateway("gw-a");
    directory.connect_gateway(&id, ConnId(1), Vec::new(), None);
    directory.set_cameras(&id, ["yard", "door"].map(camera).to_vec(), 9);
    let list = |directory: &Directory, visible: &[&str]| -> Vec<(String, CameraState)> {
        let cameras = directory.cameras(|id, _| visible.contains(&id.as_str()));
        cameras.into_iter().map(|c| (c.report.id.to_string(), c.report.state)).collect()
    };
    let both = |state| vec![("door".to_owned(), state), ("yard".to_owned(), state)];
    assert_eq!(list(&directory, &["door", "yard"]), both(CameraState::Live));
    assert_eq!(list(&directory, &["yard"]), both(CameraState::Live)[1..]);
    directory.disconnect_gateway(&id, ConnId(1), Instant::now());
    assert_eq!(list(&directory, &["door", "yard"]), both(CameraState::Offline));
}
