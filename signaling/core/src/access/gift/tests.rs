//! Tests of giving: nobody gives more than they have, whatever it is.

use std::collections::BTreeSet;
use std::time::Instant;

use porthole_signaling_proto::GatewayId;
use proptest::prelude::*;

use super::*;
use crate::{Action, Identity, Membership, RateCap, Sender, Sharing};

const GATEWAYS: [&str; 2] = ["gw-a", "gw-b"];
const CAMERAS: [&str; 3] = ["door", "door.sub", "yard"];

fn objects() -> impl Strategy<Value = Objects> {
    let gateways = prop::sample::subsequence(GATEWAYS.to_vec(), 0..=2);
    let gateways = gateways.prop_map(|ids| ids.iter().map(|id| id.parse().unwrap()).collect());
    let pairs = GATEWAYS.iter().flat_map(|id| CAMERAS.map(|camera| (*id, camera)));
    let cameras = prop::sample::subsequence(pairs.collect::<Vec<_>>(), 0..=6);
    let cameras = cameras.prop_map(|pairs| {
        pairs.iter().map(|(id, camera)| (id.parse().unwrap(), camera.parse().unwrap())).collect()
    });
    prop_oneof![Just(Objects::All), gateways.prop_map(Objects::Gateways), cameras]
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![Just(Expiry::Never), (100_u64..104).prop_map(Expiry::At)]
}

fn access() -> impl Strategy<Value = Access> {
    let role = prop_oneof![Just(Role::Viewer), Just(Role::Admin)];
    (role, objects(), any::<bool>(), any::<bool>(), scopes(), expiry(), cap()).prop_map(
        |(role, objects, control, listen, scopes, expiry, max_kbit_per_s)| Access {
            role,
            objects,
            control,
            listen,
            // A viewer's token has none.
            scopes: scopes.filter(|_| role == Role::Admin),
            expiry,
            max_kbit_per_s,
        },
    )
}

/// Returns no limit of what is sent, or a small or a large one.
fn cap() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![4 => Just(None), 1 => Just(Some(1000)), 1 => Just(Some(2000))]
}

/// Returns true if more would be sent than for the giver.
fn is_faster(given: Option<u32>, own: Option<u32>) -> bool {
    let rate = |cap: Option<u32>| cap.unwrap_or(u32::MAX);
    rate(given) > rate(own)
}

/// Returns no limit, or some scopes; often many, so that something can be given.
fn scopes() -> impl Strategy<Value = Option<BTreeSet<Scope>>> {
    let count = 1..=Scope::ALL.len();
    let some = prop::sample::subsequence(Scope::ALL.to_vec(), count);
    let some = some.prop_map(|scopes| Some(scopes.into_iter().collect::<BTreeSet<_>>()));
    let all_but_one = (0..Scope::ALL.len()).prop_map(|left_out| {
        let kept = Scope::ALL.into_iter().enumerate().filter(|(index, _)| *index != left_out);
        Some(kept.map(|(_, scope)| scope).collect::<BTreeSet<_>>())
    });
    prop_oneof![2 => Just(None::<BTreeSet<Scope>>), 1 => some, 1 => all_but_one]
}

fn sharing() -> impl Strategy<Value = Sharing> {
    let pairs = GATEWAYS.iter().flat_map(|id| CAMERAS.map(|camera| (*id, camera)));
    let cameras = prop::sample::subsequence(pairs.collect::<Vec<_>>(), 1..=6);
    let cameras = cameras.prop_flat_map(|pairs| {
        let sound = prop::collection::vec(any::<bool>(), pairs.len());
        sound.prop_map(move |sound| {
            let key = |(id, camera): &(&str, &str)| (id.parse().unwrap(), camera.parse().unwrap());
            pairs.iter().map(key).zip(sound).collect()
        })
    });
    (cameras, 100_u64..104, cap()).prop_map(|(cameras, end_s, max_kbit_per_s)| Sharing {
        cameras,
        end_s,
        max_kbit_per_s,
    })
}

fn now() -> Now {
    Now { instant: Instant::now(), unix_s: 100 }
}

fn giver(action: Action, access: &Access) -> Result<Admitted, Denied> {
    let [subject, credential, name] = ["token:1", "token:1", "ann"].map(str::to_owned);
    let principal = Principal::with_access(Identity { subject, credential, name }, access);
    action.admit(Sender::Principal(principal), now())
}

/// Returns each permission on each object for which one of the rights exceeds the other, with
/// cameras and gateways that neither names; and the objects of the first on which the other lacks
/// the permission to give in this way.
fn exceeding(given: &Rights, own: &Rights, way: Permission) -> Vec<(Permission, String)> {
    let gateways: BTreeSet<GatewayId> =
        ["gw-a", "gw-b", "gw-c"].map(|id| id.parse().unwrap()).into();
    let cameras: BTreeSet<CameraId> =
        ["door", "door.sub", "yard", "yard.sub", "attic"].map(|id| id.parse().unwrap()).into();
    let mut objects = vec![Object::Everything];
    objects.extend(gateways.iter().map(Object::Gateway));
    for camera in &cameras {
        objects.push(Object::Camera { camera, gateway: None });
        objects.extend(
            gateways.iter().map(|gateway| Object::Camera { camera, gateway: Some(gateway) }),
        );
    }
    let each = Permission::ALL.into_iter().flat_map(|p| objects.iter().map(move |o| (p, *o)));
    let is_more = |&(permission, object): &(Permission, Object<'_>)| {
        // `None`, the lack of the permission, is less than any end.
        let end = given.until(permission, object);
        end > own.until(permission, object) || end > own.until(way, object)
    };
    each.filter(is_more).map(|(permission, object)| (permission, object.to_string())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_given_is_never_more_than_its_giver_has(own in access(), given in access()) {
        match giver(Action::CreateToken, &own) {
            Ok(giver) => {
                let excess = exceeding(&given.rights(), &own.rights(), Permission::RunPeople);
                let is_faster = is_faster(given.max_kbit_per_s, own.max_kbit_per_s);
                match giver.give(given.clone(), now()) {
                    Ok(granted) => {
                        prop_assert!(excess.is_empty(), "{excess:?}");
                        prop_assert!(given.expiry <= own.expiry, "also on no object");
                        prop_assert!(!is_faster, "{:?}", given.max_kbit_per_s);
                        prop_assert_eq!(granted.object(), &given);
                    }
                    Err(_) => {
                        let is_longer = given.expiry > own.expiry;
                        let is_more = !excess.is_empty() || is_longer || is_faster;
                        prop_assert!(is_more, "it could have been given");
                    }
                }
            }
            Err(_) => prop_assert!(
                own.role == Role::Viewer
                    || own.expiry == Expiry::At(100)
                    || own.scopes.is_some_and(|scopes| !scopes.contains(&Scope::People))
            ),
        }
    }

    #[test]
    fn what_is_shared_is_never_more_than_its_giver_has(own in access(), shared in sharing()) {
        if let Ok(giver) = giver(Action::CreateShare, &own) {
            let excess = exceeding(&shared.rights(), &own.rights(), Permission::Share);
            let is_faster = is_faster(shared.max_kbit_per_s, own.max_kbit_per_s);
            match giver.give(shared.clone(), now()) {
                Ok(granted) => {
                    prop_assert!(excess.is_empty(), "{excess:?}");
                    prop_assert!(!is_faster, "{:?}", shared.max_kbit_per_s);
                    prop_assert_eq!(granted.object(), &shared);
                }
                Err(_) => {
                    prop_assert!(!excess.is_empty() || is_faster, "it could have been shared");
                }
            }
        }
    }

    #[test]
    fn a_claim_is_for_admins_of_everything_and_ends_with_them(own in access()) {
        let giver = giver(Action::CreateClaim, &own).ok();
        let has_scope = own.scopes.as_ref().is_none_or(|all| all.contains(&Scope::Gateways));
        let has_all = own.role == Role::Admin && own.objects == Objects::All && has_scope;
        let granted = giver.map(|giver| giver.give_enrolment(Duration::from_secs(2), now()));
        match granted {
            Some(Ok(granted)) => {
                prop_assert!(has_all);
                prop_assert_eq!(granted.object().expiry, own.expiry.min(Expiry::At(102)));
            }
            Some(Err(_)) => prop_assert!(!has_all),
            None => {}
        }
    }
}

#[test]
fn a_refusal_says_what_is_too_much() {
    let cameras = |names: &[&str]| -> Objects {
        names.iter().map(|name| ("gw-a".parse().unwrap(), name.parse().unwrap())).collect()
    };
    let of = |role, objects, expiry| Access {
        role,
        objects,
        control: false,
        listen: true,
        scopes: None,
        expiry,
        max_kbit_per_s: None,
    };
    let all = || of(Role::Viewer, Objects::All, Expiry::At(160));
    let own = of(Role::Admin, cameras(&["door"]), Expiry::At(160));
    let deaf = Access { listen: false, ..own.clone() };
    let with = |scopes: &[Scope]| Access {
        scopes: Some(scopes.iter().copied().collect()),
        ..of(Role::Admin, Objects::All, Expiry::At(160))
    };
    let blind = with(&[Scope::People, Scope::Read]);
    let table = [
        (&own, all(), Some("giving others access to the server with all its cameras")),
        (&own, of(Role::Viewer, cameras(&["yard"]), Expiry::At(160)), Some("camera `yard`")),
        (&own, of(Role::Viewer, cameras(&["door"]), Expiry::Never), Some("ends in 60 seconds")),
        (&own, of(Role::Viewer, cameras(&["door"]), Expiry::At(161)), Some("ends in 60 seconds")),
        (&own, of(Role::Admin, cameras(&["door"]), Expiry::At(160)), None),
        (&own, of(Role::Viewer, cameras(&["door.sub"]), Expiry::At(160)), None),
        (&deaf, of(Role::Viewer, cameras(&["door"]), Expiry::At(160)), Some("listening to")),
        (&blind, all(), Some("which is in the scope `watch`")),
        (&blind, with(&[Scope::Audit]), Some("reading the log of the server with all its cameras")),
        (&blind, with(&[Scope::Read, Scope::People]), None),
    ];
    for (own, given, expected) in table {
        let refusal = giver(Action::CreateToken, own).unwrap().give(given.clone(), now()).err();
        match (refusal.map(|refusal| refusal.to_string()), expected) {
            (Some(text), Some(part)) => assert!(text.contains(part), "{given:?}: {text}"),
            (found, expected) => assert_eq!(found.as_deref(), expected, "{given:?}"),
        }
    }
}

/// Returns the access of an admin without any limit.
fn everything() -> Access {
    Access {
        role: Role::Admin,
        objects: Objects::All,
        control: true,
        listen: true,
        scopes: None,
        expiry: Expiry::Never,
        max_kbit_per_s: None,
    }
}

#[test]
fn whoever_has_a_limit_gives_no_larger_one_and_no_rights_without_one() {
    const OWN: Option<u32> = Some(1000);
    let access = |cap| Access { max_kbit_per_s: cap, ..everything() };
    // The limits of the giver and of what is given, and whether it may be.
    for (own, given, expected) in [
        (None, None, true),
        (None, Some(64), true),
        (OWN, None, false),
        (OWN, Some(1001), false),
        (OWN, Some(1000), true),
        (OWN, Some(64), true),
    ] {
        let refused = |refusal: Result<(), NotGiven>| {
            if let Err(refusal) = &refusal {
                assert_eq!(refusal, &NotGiven::TooFast { kbit_per_s: 1000 });
                assert!(refusal.to_string().contains("at most 1000 kbit/s"), "{refusal}");
                assert!(refusal.too_much().is_some(), "it is written down");
            }
            refusal.is_err()
        };
        let tokens = giver(Action::CreateToken, &access(own)).unwrap();
        let found = tokens.give(access(given), now()).map(drop);
        assert_eq!(refused(found), !expected, "a token: {own:?} {given:?}");
        let shares = giver(Action::CreateShare, &access(own)).unwrap();
        let key = ("gw-a".parse().unwrap(), "door".parse().unwrap());
        let cameras = [(key, false)].into();
        let sharing = Sharing { cameras, end_s: 101, max_kbit_per_s: given };
        let found = shares.give(sharing, now()).map(drop);
        assert_eq!(refused(found), !expected, "a link: {own:?} {given:?}");
        // A person has no limit, and with a claim code nothing is watched.
        let people = giver(Action::InvitePerson, &access(own)).unwrap();
        let found = people.give(Membership::of_role(Role::Viewer), now()).map(drop);
        assert_eq!(refused(found), own.is_some(), "a person: {own:?}");
        let claims = giver(Action::CreateClaim, &access(own)).unwrap();
        let found = claims.give(Enrolment { expiry: Expiry::At(101) }, now()).map(drop);
        assert!(!refused(found), "a claim code: {own:?}");
    }
}

#[test]
fn the_least_of_several_limits_counts_for_what_is_given() {
    let [subject, credential, name] = ["token:2", "token:2", "ann"].map(str::to_owned);
    let access = Access { max_kbit_per_s: Some(2000), ..everything() };
    let principal = Principal::with_access(Identity { subject, credential, name }, &access);
    let cap = RateCap { of: "token:1".to_owned(), kbit_per_s: 1500 };
    let principal = principal.with_cap(cap);
    assert_eq!(principal.max_kbit_per_s(), Some(1500));
    let named: Vec<_> = principal.caps().iter().map(|cap| cap.of.as_str()).collect();
    assert_eq!(named, ["token:2", "token:1"]);
    let giver = Action::CreateToken.admit(Sender::Principal(principal), now()).unwrap();
    for (cap, is_given) in [(1500, true), (1501, false)] {
        let access = Access { max_kbit_per_s: Some(cap), ..everything() };
        assert_eq!(giver.give(access, now()).is_ok(), is_given, "{cap}");
    }
}

#[test]
fn s1_a_token_with_scopes_makes_nobody_an_administrator_and_says_why() {
    const ALL: &[Scope] = &Scope::ALL;
    const PEOPLE: &[Scope] = &[Scope::People];
    for (scopes, role, expected) in [
        (None, Role::Viewer, None),
        (None, Role::Admin, None),
        (None, Role::Owner, Some("does not include owning")),
        (Some(ALL), Role::Viewer, None),
        (Some(ALL), Role::Admin, Some("a token without scopes")),
        (Some(ALL), Role::Owner, Some("a token without scopes")),
        (Some(PEOPLE), Role::Viewer, Some("which is in the scope")),
        (Some(PEOPLE), Role::Admin, Some("a token without scopes")),
    ] {
        let scopes = scopes.map(|scopes| scopes.iter().copied().collect());
        let giver = giver(Action::InvitePerson, &Access { scopes, ..everything() }).unwrap();
        let refusal = giver.give(Membership::of_role(role), now()).err();
        if let Some(refusal) = &refusal {
            assert!(refusal.too_much().is_some(), "it is written down: {refusal}");
        }
        match (refusal.map(|refusal| refusal.to_string()), expected) {
            (Some(text), Some(part)) => assert!(text.contains(part), "{role:?}: {text}"),
            (found, expected) => assert_eq!(found.as_deref(), expected, "{role:?}"),
        }
    }
}

#[test]
fn a_user_gives_for_longer_than_its_cookie_lasts() {
    let [subject, credential, name] = ["user:1", "cookie:1", "ann"].map(str::to_owned);
    let identity = Identity { subject, credential, name };
    let ann = Membership::of_role(Role::Admin);
    let ann = Principal::signed_in(identity, &ann, Expiry::At(160));
    assert_eq!(ann.expiry(), Expiry::At(160));
    let giver = Action::CreateToken.admit(Sender::Principal(ann.clone()), now()).unwrap();
    let access = everything();
    assert!(giver.give(access.clone(), now()).is_ok());
    let later = Now { unix_s: 160, ..now() };
    assert_eq!(giver.give(access, later).err(), Some(NotGiven::Denied(Denied::Expired)));
    let other = Action::ListGateways.admit(Sender::Principal(ann), now()).unwrap();
    let enrolment = Enrolment { expiry: Expiry::At(101) };
    assert!(other.give(enrolment, now()).is_err(), "the request is not for giving");
}

#[test]
fn each_way_of_giving_is_for_its_own_requests() {
    let own = everything();
    let share = Sharing { cameras: [].into(), end_s: 101, max_kbit_per_s: None };
    let enrolment = Enrolment { expiry: Expiry::At(101) };
    let membership = Membership::of_role(Role::Viewer);
    for (action, expected) in [
        (Action::CreateToken, [true, true, false, false]),
        (Action::InvitePerson, [true, true, false, false]),
        (Action::CreateShare, [false, false, true, false]),
        (Action::CreateClaim, [false, false, false, true]),
        (Action::ChangeUser, [false; 4]),
    ] {
        let giver = giver(action, &own).unwrap();
        let found = [
            giver.give(own.clone(), now()).is_ok(),
            giver.give(membership.clone(), now()).is_ok(),
            giver.give(share.clone(), now()).is_ok(),
            giver.give(enrolment.clone(), now()).is_ok(),
        ];
        assert_eq!(found, expected, "{action:?}");
    }
}

#[test]
fn a_right_is_given_for_no_longer_than_the_giver_has_it_on_that_camera() {
    let now = Now { instant: Instant::now(), unix_s: 0 };
    let key = |camera: &str| ("gw-a".parse().unwrap(), camera.parse().unwrap());
    let until = |camera: &str, end_s| {
        let objects = [key(camera)].into_iter().collect();
        Grant::new(Permissions::of_role(Role::Admin), objects, Expiry::At(end_s))
    };
    let rights = Rights::new(vec![until("door", 50), until("yard", 100)]);
    let [subject, credential, name] = ["token:1"; 3].map(str::to_owned);
    let giver = Principal::of(Identity { subject, credential, name }, Role::Admin, rights);
    let admitted = Action::CreateShare.admit(Sender::Principal(giver), now).unwrap();
    for (camera, end_s, expected) in [
        ("door", 50, Ok(())),
        ("door", 51, Err(NotGiven::TooLong { left_s: 50 })),
        ("yard", 100, Ok(())),
        ("yard", 101, Err(NotGiven::TooLong { left_s: 100 })),
    ] {
        let cameras = [(key(camera), false)].into();
        let sharing = Sharing { cameras, end_s, max_kbit_per_s: None };
        let given = admitted.give(sharing, now).map(drop);
        assert_eq!(given, expected, "{camera} until {end_s}");
    }
}
