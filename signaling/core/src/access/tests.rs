//! Tests of rights and of the proofs that they were checked.

use std::collections::BTreeSet;
use std::time::Instant;

use super::*;

fn ids<T: std::str::FromStr<Err: fmt::Debug> + Ord>(names: &[&str]) -> BTreeSet<T> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Returns cameras of `gw-a`.
fn cameras(names: &[&str]) -> Objects {
    cameras_of("gw-a", names)
}

fn cameras_of(gateway: &str, names: &[&str]) -> Objects {
    names.iter().map(|name| (gateway.parse().unwrap(), name.parse().unwrap())).collect()
}

fn gateways(names: &[&str]) -> Objects {
    Objects::Gateways(ids(names))
}

fn now(unix_s: u64) -> Now {
    Now { instant: Instant::now(), unix_s }
}

fn principal(role: Role, objects: Objects, expires_s: Option<u64>) -> Principal {
    let [subject, credential, name] = ["user:1", "token:1", "ada"].map(str::to_owned);
    Principal::new(Identity { subject, credential, name }, role, objects, expires_s)
}

#[test]
fn a_grant_covers_its_objects_and_no_others() {
    type Case = (Objects, &'static str, Option<&'static str>, bool);
    let table: [Case; 16] = [
        (Objects::All, "door", None, true),
        (Objects::All, "door", Some("gw-a"), true),
        (cameras(&["door"]), "door", None, false),
        (cameras(&["door"]), "door", Some("gw-a"), true),
        (cameras(&["door"]), "door", Some("gw-b"), false),
        (cameras(&["door"]), "door.sub", Some("gw-a"), true),
        (cameras(&["door"]), "door.sub", Some("gw-b"), false),
        (cameras(&["door.sub"]), "door.sub", Some("gw-a"), true),
        (cameras(&["door.sub"]), "door", Some("gw-a"), false),
        (cameras(&["door.sub"]), "door.sub", Some("gw-b"), false),
        (cameras(&["door"]), "yard", Some("gw-a"), false),
        (cameras(&["door"]), "door2.sub", Some("gw-a"), false),
        (cameras(&[]), "door", Some("gw-a"), false),
        (gateways(&["gw-a"]), "door", Some("gw-a"), true),
        (gateways(&["gw-a"]), "door", Some("gw-b"), false),
        (gateways(&["gw-a"]), "door", None, false),
    ];
    for (objects, camera, gateway, expected) in table {
        let (camera, gateway) = (camera.parse().unwrap(), gateway.map(|id| id.parse().unwrap()));
        let ann = principal(Role::Viewer, objects.clone(), None);
        let admitted = Action::Connect.admit(Sender::Principal(ann), now(0)).unwrap();
        let found = match &gateway {
            Some(gateway) => admitted.camera(gateway, &camera, now(0)).map(drop),
            None => admitted.missing_camera(&camera, now(0)),
        };
        let expected = if expected { Ok(()) } else { Err(Denied::Camera) };
        assert_eq!(found, expected, "{objects:?} {camera} {gateway:?}");
    }
}

#[test]
fn each_role_has_its_permissions_on_its_objects() {
    use Permission::{
        Control, List, Listen, Manage, Own, ReadLog, RunGateways, RunPeople, Share, Talk,
        ViewGateways, ViewPeople, ViewShares, Watch,
    };
    let (door, yard, gateway) = ("door", "yard", "gw-a".parse().unwrap());
    for (role, permission, expected) in [
        (Role::Viewer, List, [true, false, false, false]),
        (Role::Viewer, Watch, [true, false, false, false]),
        (Role::Viewer, Listen, [true, false, false, false]),
        (Role::Viewer, Talk, [false; 4]),
        (Role::Viewer, Control, [false; 4]),
        (Role::Viewer, Manage, [false; 4]),
        (Role::Viewer, ViewGateways, [false; 4]),
        (Role::Viewer, RunGateways, [false; 4]),
        (Role::Viewer, ViewPeople, [false; 4]),
        (Role::Viewer, RunPeople, [false; 4]),
        (Role::Viewer, ViewShares, [false; 4]),
        (Role::Viewer, Share, [false; 4]),
        (Role::Viewer, ReadLog, [false; 4]),
        (Role::Viewer, Own, [false; 4]),
        (Role::Admin, List, [true, false, false, false]),
        (Role::Admin, Watch, [true, false, false, false]),
        (Role::Admin, Listen, [true, false, false, false]),
        (Role::Admin, Talk, [true, false, false, false]),
        (Role::Admin, Control, [true, false, false, false]),
        (Role::Admin, Manage, [true, false, false, false]),
        (Role::Admin, ViewGateways, [true, false, false, false]),
        (Role::Admin, RunGateways, [true, false, false, false]),
        (Role::Admin, ViewPeople, [true, false, false, false]),
        (Role::Admin, RunPeople, [true, false, false, false]),
        (Role::Admin, ViewShares, [true, false, false, false]),
        (Role::Admin, Share, [true, false, false, false]),
        (Role::Admin, ReadLog, [true, false, false, false]),
        (Role::Admin, Own, [false; 4]),
        (Role::Owner, Own, [true, false, false, false]),
        (Role::Owner, RunPeople, [true, false, false, false]),
    ] {
        let rights = Rights::of_role(role, cameras(&[door]), Expiry::Never);
        let [door, yard] = [door, yard].map(|id| id.parse().unwrap());
        let camera = |camera| Object::Camera { camera, gateway: Some(&gateway) };
        let objects = [camera(&door), camera(&yard), Object::Gateway(&gateway), Object::Everything];
        let found = objects.map(|object| rights.until(permission, object).is_some());
        assert_eq!(found, expected, "{role:?} {permission:?}");
    }
}

#[test]
fn a_right_lasts_as_long_as_the_longest_grant_of_it() {
    let watch = Permissions::NONE.with(Permission::Watch);
    let grant = |objects, expiry| Grant::new(watch, objects, expiry);
    let rights = Rights::new(vec![
        grant(cameras(&["door"]), Expiry::At(40)),
        grant(cameras_of("gw-b", &["door"]), Expiry::At(50)),
        grant(gateways(&["gw-a"]), Expiry::At(100)),
        grant(cameras(&["yard"]), Expiry::Never),
    ]);
    let [gateway, other] = ["gw-a", "gw-b"].map(|id| id.parse().unwrap());
    for (camera, gateway, expected) in [
        ("door", Some(&other), Some(Expiry::At(50))),
        ("door", Some(&gateway), Some(Expiry::At(100))),
        ("yard", Some(&gateway), Some(Expiry::Never)),
        ("yard", Some(&other), None),
        ("attic", None, None),
    ] {
        let camera = camera.parse().unwrap();
        let object = Object::Camera { camera: &camera, gateway };
        assert_eq!(rights.until(Permission::Watch, object), expected, "{camera} {gateway:?}");
        assert_eq!(rights.until(Permission::Listen, object), None, "{camera}");
    }
    assert_eq!(rights.expiry(), Expiry::Never);
    assert_eq!(Rights::new(Vec::new()).expiry(), Expiry::At(0));
    for (expiry, at_s, past) in [
        (Expiry::At(50), 49, false),
        (Expiry::At(50), 50, true),
        (Expiry::At(50), 51, true),
        (Expiry::Never, u64::MAX, false),
    ] {
        assert_eq!(expiry.is_past(at_s), past, "{expiry:?} {at_s}");
    }
}

#[test]
fn an_expired_right_is_refused_and_a_granted_one_ends_in_time() {
    let (door, gateway) = ("door".parse().unwrap(), "gw-a".parse().unwrap());
    let hour = Duration::from_secs(3600);
    for (expires_s, at_s, expected) in [
        (None, 100, Ok(3600)),
        (Some(200), 100, Ok(100)),
        (Some(101), 100, Ok(1)),
        (Some(100), 100, Err(Denied::Expired)),
        (Some(99), 100, Err(Denied::Expired)),
    ] {
        let admin = principal(Role::Admin, Objects::All, expires_s);
        let sender = Sender::Principal(admin);
        let admitted = Action::Connect.admit(sender.clone(), now(at_s)).unwrap();
        let granted = admitted.camera(&gateway, &door, now(at_s));
        let lifetime = granted.map(|granted| granted.lifetime(now(at_s), hour).as_secs());
        assert_eq!(lifetime, expected, "{expires_s:?}");
        let admitted = Action::CreateToken.admit(sender, now(at_s));
        assert_eq!(admitted.map(|_| ()), expected.map(|_| ()), "{expires_s:?}");
    }
}

#[test]
fn a_proof_is_for_the_kind_of_object_that_the_action_needs() {
    let admin = || Sender::Principal(principal(Role::Admin, Objects::All, None));
    let (door, gateway) = ("door".parse().unwrap(), "gw-a".parse().unwrap());
    for action in Action::ALL {
        let Ok(admitted) = action.admit(admin(), now(0)) else {
            assert_eq!(action.need(), Need::Gateway, "{action:?}");
            continue;
        };
        let found = [
            admitted.camera(&gateway, &door, now(0)).is_ok(),
            admitted.on_gateway(&gateway, now(0)).is_ok(),
            admitted.everything(now(0)).is_ok(),
        ];
        let needs = |kind| matches!(action.need(), Need::On(_, needed) if needed == kind);
        let expected = [Kind::Camera, Kind::Gateway, Kind::Everything].map(needs);
        assert_eq!(found, expected, "{action:?}");
    }
}

#[test]
fn the_list_of_cameras_says_what_its_receiver_may_do() {
    type Case = (Role, Objects, &'static str, Option<&'static [CameraPermission]>);
    use CameraPermission::{Control, Listen, Manage, Talk, Watch};
    let table: [Case; 6] = [
        (Role::Viewer, Objects::All, "door", Some(&[Watch, Listen])),
        (Role::Viewer, cameras(&["door"]), "door.sub", Some(&[Watch, Listen])),
        (Role::Viewer, cameras(&["yard"]), "door", None),
        (Role::Admin, Objects::All, "door", Some(&[Watch, Listen, Talk, Control, Manage])),
        (Role::Admin, cameras(&["door"]), "door", Some(&[Watch, Listen, Talk, Control])),
        (Role::Admin, cameras(&["yard"]), "door", None),
    ];
    for (role, objects, camera, expected) in table {
        let sender = Sender::Principal(principal(role, objects.clone(), Some(10)));
        let admitted = Action::ListCameras.admit(sender, now(0)).unwrap();
        let (gateway, camera) = ("gw-a".parse().unwrap(), camera.parse().unwrap());
        let found = admitted.permissions(&gateway, &camera, now(9));
        assert_eq!(found.as_deref(), expected, "{role:?} {objects:?} {camera}");
        assert_eq!(admitted.permissions(&gateway, &camera, now(10)), None, "it has expired");
    }
}

#[test]
fn listening_can_be_withheld_and_turning_cameras_allowed() {
    use CameraPermission::{Control, Listen, Talk, Watch};
    type Case = (Role, bool, bool, &'static [CameraPermission]);
    let table: [Case; 6] = [
        (Role::Viewer, true, false, &[Watch, Listen]),
        (Role::Viewer, true, true, &[Watch, Listen, Control]),
        (Role::Viewer, false, false, &[Watch]),
        (Role::Viewer, false, true, &[Watch, Control]),
        (Role::Admin, true, false, &[Watch, Listen, Talk, Control]),
        (Role::Admin, false, false, &[Watch, Talk, Control]),
    ];
    for (role, listens, controls, expected) in table {
        let mut ann = principal(role, cameras(&["door"]), None);
        if controls {
            ann = ann.with_control();
        }
        if !listens {
            ann = ann.without_listening();
        }
        let admitted = Action::ListCameras.admit(Sender::Principal(ann), now(0)).unwrap();
        let gateway = "gw-a".parse().unwrap();
        for (camera, expected) in
            [("door", Some(expected)), ("door.sub", Some(expected)), ("yard", None)]
        {
            let camera = camera.parse().unwrap();
            let found = admitted.permissions(&gateway, &camera, now(0));
            assert_eq!(found.as_deref(), expected, "{role:?} {listens} {controls} {camera}");
            let hears = admitted.may_listen(&gateway, &camera, now(0));
            let expected = expected.is_some_and(|may| may.contains(&Listen));
            assert_eq!(hears, expected, "{role:?} {listens} {camera}");
        }
    }
}

/// Returns a principal that has got its rights in several ways.
fn with_grants(grants: Vec<Grant>) -> Principal {
    let rights = Rights::new(grants);
    Principal { own_rights: rights.clone(), rights, ..principal(Role::Viewer, cameras(&[]), None) }
}

#[test]
fn each_right_counts_on_its_own_objects_until_its_own_end() {
    use Permission::{Control, List, Listen, Share, ViewPeople, Watch};
    let only = |permission| Permissions::NONE.with(permission);
    let ann = with_grants(vec![
        Grant::new(only(List).with(Watch), cameras(&["door"]), Expiry::At(50)),
        Grant::new(only(List).with(Watch).with(Share), cameras(&["yard"]), Expiry::Never),
        Grant::new(only(Listen), cameras(&["attic"]), Expiry::Never),
        Grant::new(only(List), cameras(&["shed"]), Expiry::Never),
        Grant::new(only(ViewPeople), Objects::All, Expiry::At(50)),
    ]);
    let sender = || Sender::Principal(ann.clone());
    let gateway = "gw-a".parse().unwrap();
    for (camera, at_s, watches, shown) in [
        ("door", 49, Ok(()), Some(&[CameraPermission::Watch][..])),
        ("door", 50, Err(Denied::Camera), None),
        ("yard", 50, Ok(()), Some(&[CameraPermission::Watch])),
        // Who hears a camera and does not see it is told nothing about it.
        ("attic", 49, Err(Denied::Camera), None),
        ("shed", 49, Err(Denied::Camera), Some(&[])),
    ] {
        let camera = camera.parse().unwrap();
        let admitted = Action::Connect.admit(sender(), now(at_s)).unwrap();
        let found = admitted.camera(&gateway, &camera, now(at_s)).map(drop);
        assert_eq!(found, watches, "{camera} at {at_s} s");
        let list = Action::ListCameras.admit(sender(), now(at_s)).unwrap();
        let found = list.permissions(&gateway, &camera, now(at_s));
        assert_eq!(found.as_deref(), shown, "{camera}");
    }
    for (at_s, expected) in [(49, Ok(())), (50, Err(Denied::Everything))] {
        assert_eq!(Action::ListUsers.admit(sender(), now(at_s)).map(drop), expected, "{at_s} s");
    }
    // To have a right is not to give it.
    let giver = Action::CreateShare.admit(sender(), now(0)).unwrap();
    for (camera, expected) in [("yard", true), ("door", false)] {
        let key = ("gw-a".parse().unwrap(), camera.parse().unwrap());
        let sharing = Sharing { cameras: [(key, false)].into(), end_s: 40, max_kbit_per_s: None };
        assert_eq!(giver.give(sharing, now(0)).is_ok(), expected, "{camera}");
    }
    // Nobody turns what they do not see.
    let mut ears = Rights::new(vec![Grant::new(only(Listen), cameras(&["attic"]), Expiry::Never)]);
    ears.allow_control();
    assert!(!ears.has(Control));
}

#[test]
fn an_owner_is_changed_by_owners_only_and_a_session_by_its_own_requests() {
    let (viewer, admin, owner) = (Role::Viewer, Role::Admin, Role::Owner);
    for (by, over, expected) in [
        (admin, viewer, Ok(())),
        (admin, admin, Ok(())),
        (admin, owner, Err(Denied::Owner)),
        (owner, owner, Ok(())),
    ] {
        let sender = Sender::Principal(principal(by, Objects::All, None));
        let granted = Action::RemoveUser.admit(sender, now(0)).unwrap().everything(now(0));
        assert_eq!(granted.unwrap().over(over), expected, "{by:?} over {over:?}");
    }
    for (action, expected) in [
        (Action::Patch, Some("user:1")),
        (Action::Delete, Some("user:1")),
        (Action::LookAtCamera, None),
        (Action::ListCameras, None),
    ] {
        let sender = Sender::Principal(principal(viewer, Objects::All, None));
        let admitted = action.admit(sender, now(0)).unwrap();
        assert_eq!(admitted.owner_of_session(), expected, "{action:?}");
    }
    for (role, objects, expected) in [
        (admin, Objects::All, true),
        (admin, gateways(&["gw-a"]), true),
        (admin, gateways(&["gw-b"]), false),
        (admin, cameras(&["door"]), false),
        (viewer, Objects::All, false),
    ] {
        let sender = Sender::Principal(principal(role, objects.clone(), None));
        let admitted = Action::ListCameras.admit(sender, now(0)).unwrap();
        let manages = admitted.may_manage(&"gw-a".parse().unwrap(), now(0));
        assert_eq!(manages, expected, "{role:?} {objects:?}");
    }
}

#[test]
fn an_action_admits_the_senders_that_it_needs_and_refuses_others_with_the_reason() {
    use Denied::{ClientsOnly, Everything, Expired, GatewaysOnly, Nobody};
    type Case = (Action, [Result<(), Denied>; 5]);
    let table: [Case; 10] = [
        (Action::Health, [Ok(()); 5]),
        (Action::ReadAuthority, [Ok(()); 5]),
        (Action::Trickle, [Ok(()); 5]),
        (Action::Unregister, [Err(Nobody), Ok(()), Ok(()), Ok(()), Ok(())]),
        (
            Action::Report,
            [Err(Nobody), Ok(()), Err(GatewaysOnly), Err(GatewaysOnly), Err(GatewaysOnly)],
        ),
        (Action::ReadSelf, [Err(Nobody), Err(ClientsOnly), Ok(()), Ok(()), Ok(())]),
        (Action::Patch, [Err(Nobody), Err(ClientsOnly), Ok(()), Ok(()), Ok(())]),
        (Action::Offer, [Err(Nobody), Err(ClientsOnly), Ok(()), Ok(()), Ok(())]),
        (Action::ListUsers, [Err(Nobody), Err(ClientsOnly), Err(Everything), Ok(()), Err(Expired)]),
        (
            Action::CreateToken,
            [Err(Nobody), Err(ClientsOnly), Err(Everything), Ok(()), Err(Expired)],
        ),
    ];
    let someone = |role, end_s| Sender::Principal(principal(role, Objects::All, end_s));
    let senders = [
        Sender::Nobody,
        Sender::Gateway("gw-a".parse().unwrap()),
        someone(Role::Viewer, None),
        someone(Role::Admin, Some(101)),
        someone(Role::Admin, Some(100)),
    ];
    for (action, expected) in table {
        let found = senders.clone().map(|sender| action.admit(sender, now(100)).map(drop));
        assert_eq!(found, expected, "{action:?}");
    }
}

#[test]
fn a_token_turns_cameras_if_it_says_so_and_names_what_is_not_there_if_it_has_all() {
    let (door, gateway) = ("door".parse().unwrap(), "gw-a".parse().unwrap());
    for (objects, control, names) in [
        (Objects::All, true, true),
        (Objects::All, false, true),
        (cameras(&["door"]), false, false),
    ] {
        let access = |role| Access {
            role,
            objects: objects.clone(),
            control,
            listen: true,
            scopes: None,
            expiry: Expiry::Never,
            max_kbit_per_s: None,
        };
        let object = Object::Camera { camera: &door, gateway: Some(&gateway) };
        let turns = access(Role::Viewer).rights().until(Permission::Control, object).is_some();
        assert_eq!(turns, control, "{objects:?}");
        let [subject, credential, name] = ["token:1", "token:1", "ann"].map(str::to_owned);
        let identity = Identity { subject, credential, name };
        let giver = Sender::Principal(Principal::with_access(identity, &access(Role::Admin)));
        let giver = Action::CreateToken.admit(giver, now(0)).unwrap();
        assert_eq!(giver.gives_on_everything(&door).is_ok(), names, "{objects:?}");
    }
}

#[test]
fn a_token_does_what_its_scopes_include_and_is_told_which_one_it_lacks() {
    use Denied::{Everything, Scope as Lacks};
    use Scope::{Audit, Gateways, People, Read, Shares, Watch};
    let all: Vec<Scope> = Scope::ALL.to_vec();
    let (door, gateway) = ("door".parse().unwrap(), "gw-a".parse().unwrap());
    // Each action, the scopes that admit to it, and the one that others are told.
    let table: [(Action, &[Scope], Scope); 16] = [
        (Action::ListCameras, &[Watch, Gateways, Read], Read),
        (Action::Connect, &[Watch], Watch),
        (Action::Offer, &[Watch], Watch),
        (Action::Move, &[Watch], Watch),
        (Action::AddCamera, &[Gateways], Gateways),
        (Action::RenameGateway, &[Gateways], Gateways),
        (Action::ListGateways, &[Gateways, Read], Read),
        (Action::CreateClaim, &[Gateways], Gateways),
        (Action::RemoveGateway, &[Gateways], Gateways),
        (Action::ListUsers, &[People, Read], Read),
        (Action::RemoveUser, &[People], People),
        (Action::CreateToken, &[People], People),
        (Action::ListShares, &[Shares, Read], Read),
        (Action::CreateShare, &[Shares], Shares),
        (Action::RevokeShare, &[Shares], Shares),
        (Action::ReadAudit, &[Audit], Audit),
    ];
    let someone = |role, scopes: Option<Vec<Scope>>| {
        let scopes = scopes.map(|scopes| scopes.into_iter().collect());
        let [subject, credential, name] = ["token:1", "token:1", "ann"].map(str::to_owned);
        let identity = Identity { subject, credential, name };
        let (objects, expiry, max_kbit_per_s) = (Objects::All, Expiry::Never, None);
        let (control, listen) = (true, true);
        let access = Access { role, objects, control, listen, scopes, expiry, max_kbit_per_s };
        Sender::Principal(Principal::with_access(identity, &access))
    };
    for (action, included, lacking) in table {
        let admit = |scopes| {
            let admitted = action.admit(someone(Role::Admin, scopes), now(0))?;
            if let Need::On(_, Kind::Camera) = action.need() {
                admitted.camera(&gateway, &door, now(0))?;
            }
            if let Need::On(_, Kind::Gateway) = action.need() {
                admitted.on_gateway(&gateway, now(0))?;
            }
            Ok(())
        };
        assert_eq!(admit(None), Ok(()), "{action:?}");
        assert_eq!(admit(Some(all.clone())), Ok(()), "{action:?}");
        for scope in Scope::ALL {
            let is_included = included.contains(&scope);
            let expected = if is_included { Ok(()) } else { Err(Lacks(lacking)) };
            assert_eq!(admit(Some(vec![scope])), expected, "{action:?} with {scope}");
        }
    }
    for (scope, expected) in [(Read, Ok(())), (Watch, Ok(())), (People, Err(Lacks(Read)))] {
        let sender = someone(Role::Admin, Some(vec![scope]));
        let list = Action::ListCameras.admit(sender, now(0)).unwrap();
        assert_eq!(list.check_scope(), expected, "{scope}");
        let shown = list.permissions(&gateway, &door, now(0));
        assert_eq!(shown.is_some(), expected.is_ok(), "{scope}");
        assert_eq!(shown.is_some_and(|may| may.is_empty()), scope == Read, "{scope}");
    }
    // A scope is no role: whoever lacks more than a scope is told that.
    let viewer = Action::ListUsers.admit(someone(Role::Viewer, Some(vec![Read])), now(0));
    assert_eq!(viewer.map(drop), Err(Everything));
    let text = Lacks(People).to_string();
    assert!(text.contains("`people`"), "{text}");
}
