//! Tests of the database and its upgrade.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use porthole_clock::Now;
use porthole_signaling_core::{Action, Sender, StoredCamera, StoredGateway};
use porthole_signaling_proto::rest::{NewToken, Removed, Role};
use porthole_signaling_proto::{CameraAddress, CameraPermission, GatewayId};

use super::*;
use crate::admin::{by_operator, enrolment_by_operator, operator};

#[tokio::test]
async fn only_the_owner_can_read_the_database_whatever_its_folder_allows() {
    let data = tempfile::tempdir().unwrap();
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for start in ["first", "second"] {
        let store = Store::open(data.path()).await.unwrap();
        let granted = enrolment_by_operator().unwrap();
        store.create_claim(&granted, None).await.unwrap();
        let mut found = 0;
        for entry in std::fs::read_dir(data.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{start} {entry:?}");
            found += 1;
        }
        assert_eq!(found, 4, "with -wal and -shm, and the lock");
        store.close().await;
    }
}

/// The gateways of the fixture; `ATTIC` is the older one.
const ATTIC: &str = "gw-sosc4tzxf57ct4a5";
const BARN: &str = "gw-i4rluepfolavtio4";

/// Returns a folder with the database of 29 November 2026, which has the first version.
fn old_data() -> tempfile::TempDir {
    let fixture = "../tests/program/data/2026-11-29/signaling.sqlite3";
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join(FILE);
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture), &file).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    data
}

async fn texts(store: &Store, query: &'static str) -> Vec<String> {
    let rows = sqlx::query(query).fetch_all(&store.read).await.unwrap();
    rows.iter().map(|row| row.try_get(0).unwrap()).collect()
}

fn new_token(cameras: &[&str]) -> NewToken {
    let cameras = cameras.iter().map(|camera| camera.parse::<CameraAddress>().unwrap()).collect();
    NewToken {
        name: "n".into(),
        role: Role::Viewer,
        cameras,
        control: false,
        listen: true,
        scopes: None,
        max_kbit_per_s: None,
        expires_in_seconds: None,
    }
}

/// Creates a token for a camera. Returns the gateways to which it is bound, or the refusal.
async fn bound_to(store: &Store, cameras: &[&str]) -> Result<Vec<String>, String> {
    let granted = operator(Action::CreateToken).unwrap();
    let created = store.create_token(&granted, &new_token(cameras)).await;
    created.map_err(|error| error.to_string())?;
    let query = "SELECT gateway_id FROM token_cameras \
                 WHERE token_id = (SELECT MAX(id) FROM tokens) ORDER BY camera_id, gateway_id";
    Ok(texts(store, query).await)
}

async fn save(store: &Store, gateway: &str, cameras: &[(&str, u64)]) {
    let camera = |&(id, place): &(&str, u64)| {
        let (name, id) = (id.to_owned(), id.parse().unwrap());
        StoredCamera { id, name, place, former: false }
    };
    let cameras: Vec<_> = cameras.iter().map(camera).collect();
    let gateway: GatewayId = gateway.parse().unwrap();
    let name = gateway.to_string();
    let stored = StoredGateway { id: gateway, name, renamed: false, seen_s: Some(1), cameras };
    store.save_gateway(&stored).await.unwrap();
}

/// Records a gateway that has enrolled.
async fn enroll(store: &Store, gateway: &str) {
    let granted = enrolment_by_operator().unwrap();
    let claim = store.create_claim(&granted, None).await.unwrap();
    let gateway = gateway.parse().unwrap();
    let outcome = store.enroll(&claim.code, &gateway, &[0; 32], "Shed").await.unwrap();
    assert!(matches!(outcome, EnrollOutcome::Enrolled(_)), "{outcome:?}");
}

#[tokio::test]
async fn an_upgrade_binds_each_right_to_the_gateway_that_has_the_camera() {
    let data = old_data();
    let store = Store::open(data.path()).await.unwrap();
    let rows = "SELECT tokens.name || ' ' || camera_id || ' ' || COALESCE(gateway_id, 'dormant') \
                FROM token_cameras JOIN tokens ON tokens.id = token_id \
                ORDER BY token_id, camera_id";
    let on = |token: &str, camera: &str, gateway: &str| format!("{token} {camera} {gateway}");
    let expected = [
        on("door", "door", ATTIC),
        on("sub", "door.sub", ATTIC),
        on("mixed", "barn", BARN),
        on("mixed", "cellar", "dormant"),
        on("mixed", "door", ATTIC),
        on("cellar", "attic.sub", "dormant"),
        on("cellar", "cellar", "dormant"),
        on("admin for gate", "gate", BARN),
    ];
    assert_eq!(texts(&store, rows).await, expected);
    assert_eq!(store.dormant_rights().await.unwrap(), 3);
    let cameras = "SELECT id || ' ' || gateway_id || ' ' || name FROM cameras ORDER BY place";
    let expected = [
        on("door", ATTIC, "Front door"),
        on("door.sub", ATTIC, "Front door"),
        on("yard", ATTIC, "yard"),
        on("barn", BARN, "barn"),
        on("barn.sub", BARN, "barn"),
        on("gate", BARN, "Gate"),
    ];
    assert_eq!(texts(&store, cameras).await, expected);
    assert_eq!(texts(&store, "SELECT name FROM users ORDER BY id").await, ["ann", "bob"]);
    assert_eq!(texts(&store, "SELECT name FROM gateways ORDER BY name").await, ["Attic", "Barn"]);
    assert_eq!(texts(&store, "SELECT hex(hash) FROM claims").await.len(), 1);
    assert_eq!(texts(&store, "PRAGMA foreign_key_check").await, [""; 0]);

    // Whoever gets these cameras now does not get the rights to them.
    save(&store, BARN, &[("barn", 4), ("cellar", 7), ("attic", 8), ("attic.sub", 8)]).await;
    let token = "ph_U1ua1XmXbWjjS7c0qWVIdJeyRGYwow_rBiRPHZUVJ7Y";
    let TokenLookup::Valid(principal) = store.find_token(token).await.unwrap() else {
        panic!("the token is valid");
    };
    let sender = porthole_signaling_core::Sender::Principal(principal);
    let now = crate::driver::now();
    let admitted = Action::Connect.admit(sender, now).unwrap();
    for (gateway, camera) in [(BARN, "cellar"), (BARN, "attic.sub"), (ATTIC, "cellar")] {
        let (gateway, camera) = (gateway.parse().unwrap(), camera.parse().unwrap());
        assert!(admitted.camera(&gateway, &camera, now).is_err(), "{gateway} {camera}");
    }
    store.close().await;
}

#[tokio::test]
async fn the_ids_that_a_gateway_no_longer_has_are_kept() {
    let data = old_data();
    let store = Store::open(data.path()).await.unwrap();
    let is_former = |gateways: Vec<StoredGateway>| {
        let mut rows: Vec<_> = gateways.into_iter().flat_map(|one| one.cameras).collect();
        rows.retain(|camera| camera.former);
        rows.iter().map(|camera| camera.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(is_former(store.gateways().await.unwrap()), [""; 0], "after the upgrade");
    let gateways = store.gateways().await.unwrap();
    let mut attic = gateways.into_iter().find(|gateway| gateway.id.as_str() == ATTIC).unwrap();
    for camera in &mut attic.cameras {
        camera.former = camera.id.as_str() == "yard";
    }
    store.save_gateway(&attic).await.unwrap();
    assert_eq!(is_former(store.gateways().await.unwrap()), ["yard"]);
    // A new token for it is one for its former gateway, even if another has reported it.
    save(&store, BARN, &[("yard", 99)]).await;
    assert_eq!(bound_to(&store, &["yard"]).await, Ok(vec![ATTIC.to_owned()]));
    store.close().await;
}

#[tokio::test]
async fn the_database_is_copied_once_before_its_upgrade() {
    let data = old_data();
    let before = std::fs::read(data.path().join(FILE)).unwrap();
    let copy = data.path().join("signaling.sqlite3.v1");
    // What a start that was killed has left.
    std::fs::write(data.path().join("signaling.sqlite3.v1.part"), "half").unwrap();
    let store = Store::open(data.path()).await.unwrap();
    store.close().await;
    let copied = std::fs::read(&copy).unwrap();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let files = || {
        let entries = std::fs::read_dir(data.path()).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    };
    assert_eq!(files(), [lock::FILE, FILE, "signaling.sqlite3.v1"]);

    // The copy is a database that the older program opens.
    let restored = tempfile::tempdir().unwrap();
    std::fs::copy(&copy, restored.path().join(FILE)).unwrap();
    let older = Store::open_as(restored.path(), &MIGRATIONS[..1]).await.unwrap();
    assert_eq!(texts(&older, "SELECT id FROM cameras").await.len(), 6);
    assert_eq!(texts(&older, "SELECT camera_id FROM token_cameras").await.len(), 8);
    older.close().await;

    // Neither a start of this version nor another upgrade replaces it.
    Store::open(data.path()).await.unwrap().close().await;
    std::fs::write(data.path().join(FILE), before).unwrap();
    Store::open(data.path()).await.unwrap().close().await;
    assert_eq!(std::fs::read(&copy).unwrap(), copied);
    assert_eq!(files(), [lock::FILE, FILE, "signaling.sqlite3.v1"]);
}

#[tokio::test]
async fn an_older_program_refuses_an_upgraded_database_in_a_sentence() {
    let data = old_data();
    Store::open_as(data.path(), &MIGRATIONS[..1]).await.unwrap().close().await;
    Store::open(data.path()).await.unwrap().close().await;
    let error = Store::open_as(data.path(), &MIGRATIONS[..1]).await.unwrap_err().to_string();
    assert!(error.contains("was written by a newer version of this program"), "{error}");
    Store::open(data.path()).await.unwrap().close().await;
}

#[tokio::test]
async fn a_database_of_each_version_is_upgraded_with_a_copy() {
    for version in 1..MIGRATIONS.len() {
        let data = tempfile::tempdir().unwrap();
        Store::open_as(data.path(), &MIGRATIONS[..version]).await.unwrap().close().await;
        let store = Store::open(data.path()).await.unwrap();
        assert!(data.path().join(format!("{FILE}.v{version}")).exists(), "{version}");
        enroll(&store, "gw-a").await;
        assert_eq!(bound_to(&store, &["door"]).await, Ok(vec!["gw-a".to_owned()]), "{version}");
        store.close().await;
    }
}

#[tokio::test]
async fn a_copy_that_fails_stops_the_start_and_leaves_the_database_as_it_is() {
    let data = old_data();
    // Root may write anywhere, but not into a folder as if it were a file.
    let part = data.path().join("signaling.sqlite3.v1.part");
    std::fs::create_dir(&part).unwrap();
    let error = Store::open(data.path()).await.unwrap_err().to_string();
    assert!(error.contains("cannot be copied to"), "{error}");
    assert!(error.contains("signaling.sqlite3.v1 before its tables are upgraded"), "{error}");
    assert!(error.contains("make room there and start again"), "{error}");
    Store::open_as(data.path(), &MIGRATIONS[..1]).await.unwrap().close().await;
    std::fs::remove_dir(&part).unwrap();
    let other = std::fs::File::create(&part).unwrap();
    other.try_lock().unwrap();
    let error = Store::open(data.path()).await.unwrap_err().to_string();
    assert!(error.contains("another start is copying it"), "{error}");
    drop(other);
    Store::open(data.path()).await.unwrap().close().await;
    assert!(data.path().join("signaling.sqlite3.v1").exists());
}

#[tokio::test]
async fn a_new_database_is_not_copied() {
    let data = tempfile::tempdir().unwrap();
    Store::open(data.path()).await.unwrap().close().await;
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 2, "with the lock");
}

#[tokio::test]
async fn a_token_is_bound_to_the_gateway_that_got_the_camera_first() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let error = bound_to(&store, &["door"]).await.unwrap_err();
    assert!(error.contains("start the gateway of the camera first"), "{error}");

    enroll(&store, "gw-b").await;
    for cameras in [&["door"][..], &["door.sub"], &["door@gw-b"]] {
        assert_eq!(bound_to(&store, cameras).await, Ok(vec!["gw-b".to_owned()]), "the only one");
    }
    enroll(&store, "gw-a").await;
    save(&store, "gw-a", &[("door", 3), ("door.sub", 3), ("shed.sub", 4)]).await;
    save(&store, "gw-b", &[("yard", 1), ("door", 2), ("shed", 5)]).await;
    type Case = (&'static [&'static str], Result<&'static [&'static str], &'static str>);
    let table: [Case; 11] = [
        (&["door"], Ok(&["gw-b"])),
        (&["door.sub"], Ok(&["gw-b"])),
        (&["door@gw-a"], Ok(&["gw-a"])),
        (&["door.sub@gw-a", "door"], Ok(&["gw-b", "gw-a"])),
        (&["shed"], Ok(&["gw-b"])),
        (&["shed.sub"], Ok(&["gw-a"])),
        (&["attic@gw-a", "attic@gw-b", "attic@gw-a"], Ok(&["gw-a", "gw-b"])),
        (&["attic"], Err("`attic@GATEWAY` with the id of its gateway: gw-")),
        (&["attic"], Err("gw-a (gw-a)")),
        (&["yard", "attic"], Err("no gateway has a camera `attic`")),
        (&["door@gw-c"], Err("no gateway with the id `gw-c` has enrolled")),
    ];
    for (cameras, expected) in table {
        let tokens = texts(&store, "SELECT hex(hash) FROM tokens").await.len();
        match (bound_to(&store, cameras).await, expected) {
            (Ok(gateways), Ok(expected)) => assert_eq!(gateways, expected, "{cameras:?}"),
            (Err(error), Err(part)) => {
                assert!(error.contains(part), "{cameras:?}: {error}");
                let after = texts(&store, "SELECT hex(hash) FROM tokens").await.len();
                assert_eq!(after, tokens, "no token is left of a refusal");
            }
            (found, _) => panic!("{cameras:?}: {found:?}"),
        }
    }
    store.close().await;
}

/// Returns a gateway as it is stored: its name, when it was seen, and its cameras.
async fn stored(store: &Store, gateway: &str) -> Option<(String, Option<u64>, Vec<String>)> {
    let gateways = store.gateways().await.unwrap();
    let found = gateways.into_iter().find(|stored| stored.id.as_str() == gateway)?;
    let cameras = found.cameras.iter().map(|camera| camera.id.to_string()).collect();
    Some((found.name, found.seen_s, cameras))
}

#[tokio::test]
async fn the_name_that_a_person_gives_to_a_gateway_outlives_its_reports() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    enroll(&store, "gw-a").await;
    let now = crate::driver::now();
    let admitted = operator(Action::RenameGateway).unwrap();
    for (gateway, known) in [("gw-a", true), ("gw-none", false)] {
        let granted = admitted.on_gateway(&gateway.parse().unwrap(), now).unwrap();
        assert_eq!(store.rename_gateway(&granted, "Stable").await.unwrap(), known, "{gateway}");
    }
    save(&store, "gw-a", &[("door", 1)]).await;
    let expected = ("Stable".to_owned(), Some(1), vec!["door".to_owned()]);
    assert_eq!(stored(&store, "gw-a").await, Some(expected.clone()));
    enroll(&store, "gw-a").await;
    assert_eq!(stored(&store, "gw-a").await, Some(expected));
    store.close().await;
}

#[tokio::test]
async fn a_claim_code_enrols_once_and_others_stay() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let granted = enrolment_by_operator().unwrap();
    let first = store.create_claim(&granted, None).await.unwrap().code;
    let second = store.create_claim(&granted, None).await.unwrap().code;
    for (code, gateway, is_good) in
        [(&first, "gw-a", true), (&first, "gw-b", false), (&second, "gw-b", true)]
    {
        let gateway = gateway.parse().unwrap();
        let outcome = store.enroll(code, &gateway, &[1; 32], "Barn").await.unwrap();
        assert_eq!(matches!(outcome, EnrollOutcome::Enrolled(_)), is_good, "{gateway}");
    }
    store.close().await;
}

#[tokio::test]
async fn s4_whoever_has_no_claim_code_does_not_wait_for_the_writer_and_keeps_it_from_nobody() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    let held = store.begin().await.unwrap();
    let gateway = "gw-a".parse().unwrap();
    let refused = store.enroll("ABCD-EFGH-JKLM", &gateway, &[1; 32], "Barn");
    let refused = tokio::time::timeout(BUSY_TIMEOUT / 2, refused).await.expect("at once");
    assert!(matches!(refused.unwrap(), EnrollOutcome::ClaimUnknown));
    drop(held);
    store.close().await;
}

#[tokio::test]
async fn a_gateway_that_takes_the_place_of_another_gets_its_name_and_the_rights_to_its_cameras() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    enroll(&store, "gw-old").await;
    save(&store, "gw-old", &[("door", 1), ("yard", 2)]).await;
    assert_eq!(bound_to(&store, &["door"]).await.unwrap(), ["gw-old"]);
    let old: GatewayId = "gw-old".parse().unwrap();
    let granted = operator(Action::RenameGateway).unwrap().on_gateway(&old, crate::driver::now());
    store.rename_gateway(&granted.unwrap(), "Stable").await.unwrap();
    let granted = enrolment_by_operator().unwrap();
    let claim = store.create_claim(&granted, Some(&old)).await.unwrap();
    let new = "gw-new".parse().unwrap();
    let outcome = store.enroll(&claim.code, &new, &[1; 32], "Shed").await.unwrap();
    let EnrollOutcome::Enrolled(enrolled) = outcome else { panic!("{outcome:?}") };
    assert_eq!((enrolled.name.as_str(), enrolled.renamed), ("Stable", true));
    assert_eq!(enrolled.replaces, Some(old));
    assert_eq!(stored(&store, "gw-old").await, None);
    let (name, _, cameras) = stored(&store, "gw-new").await.unwrap();
    assert_eq!((name.as_str(), cameras), ("Stable", vec!["door".to_owned(), "yard".to_owned()]));
    assert_eq!(texts(&store, "SELECT gateway_id FROM token_cameras").await, ["gw-new"]);
    // What the old one still had to report is not stored.
    save(&store, "gw-old", &[("door", 1)]).await;
    assert_eq!(stored(&store, "gw-old").await, None);
    store.close().await;
}

#[tokio::test]
async fn a_gateway_is_removed_with_its_cameras_and_the_rights_to_them() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    enroll(&store, "gw-a").await;
    save(&store, "gw-a", &[("door", 1)]).await;
    assert_eq!(bound_to(&store, &["door"]).await.unwrap(), ["gw-a"]);
    let granted = by_operator(Action::RemoveGateway).unwrap();
    let id = "gw-a".parse().unwrap();
    let removal = store.remove_gateway(&granted, &id).await.unwrap().unwrap();
    let expected = Removed { gateways: 1, cameras: 1, tokens: 1, grants: 1, ..Removed::default() };
    assert_eq!(removal.removed, expected);
    assert!(store.remove_gateway(&granted, &id).await.unwrap().is_none(), "it is gone");
    assert!(store.gateway_key(&id).await.unwrap().is_none(), "it cannot register");
    for table in ["SELECT id FROM cameras", "SELECT camera_id FROM token_cameras"] {
        assert_eq!(texts(&store, table).await, Vec::<String>::new(), "{table}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_token_for_turning_cameras_turns_only_those_that_it_watches() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    enroll(&store, ATTIC).await;
    let granted = operator(Action::CreateToken).unwrap();
    let now = Now { instant: Instant::now(), unix_s: unix_s() };
    for (control, camera, expected) in
        [(false, "door", false), (true, "door", true), (true, "yard", false)]
    {
        let new = NewToken { control, ..new_token(&["door"]) };
        let token = store.create_token(&granted, &new).await.unwrap().token;
        let TokenLookup::Valid(principal) = store.find_token(&token).await.unwrap() else {
            panic!("the token was created just now")
        };
        let admitted = Action::Move.admit(Sender::Principal(principal), now).unwrap();
        let (gateway, id) = (ATTIC.parse().unwrap(), camera.parse().unwrap());
        let may_turn = admitted.camera(&gateway, &id, now).is_ok();
        assert_eq!(may_turn, expected, "control={control} {camera}");
    }
}

/// Returns true if a token may hear the camera `door` of `ATTIC`.
async fn hears_door(store: &Store, token: &str) -> bool {
    let TokenLookup::Valid(principal) = store.find_token(token).await.unwrap() else {
        panic!("{token} is valid")
    };
    let now = Now { instant: Instant::now(), unix_s: unix_s() };
    let admitted = Action::ListCameras.admit(Sender::Principal(principal), now).unwrap();
    let permissions =
        admitted.permissions(&ATTIC.parse().unwrap(), &"door".parse().unwrap(), now).unwrap();
    assert!(permissions.contains(&CameraPermission::Watch), "{token}: {permissions:?}");
    permissions.contains(&CameraPermission::Listen)
}

#[tokio::test]
async fn a_token_hears_cameras_unless_it_was_made_without() {
    let data = old_data();
    let store = Store::open(data.path()).await.unwrap();
    let granted = operator(Action::CreateToken).unwrap();
    for token in [
        "ph_tadoYLO6KHqlWLHxYZEv-4EkPCpaLp_LU10mz9fKYjE",
        "ph_FLP-Vc0XsIVlIZj_5-qkpDMQ1jaJG9EWQRTL1PwnLUY",
        "ph_hByoV0IEBe-uV_Fj6MDLLxx5fTQTB9UXbeOn7kSatDE",
    ] {
        assert!(hears_door(&store, token).await, "{token} is older than this right");
    }
    for (role, listen, control) in [
        (Role::Viewer, true, false),
        (Role::Viewer, false, false),
        (Role::Viewer, false, true),
        (Role::Admin, true, false),
        (Role::Admin, false, false),
    ] {
        let new = NewToken { role, listen, control, ..new_token(&["door"]) };
        let token = store.create_token(&granted, &new).await.unwrap().token;
        assert_eq!(hears_door(&store, &token).await, listen, "{role:?} {listen} {control}");
    }
    store.close().await;
}

#[tokio::test]
async fn the_last_accounts_of_removed_users_are_kept() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    store.create_user_for_test("bob", Role::Viewer).await;
    let user = store.find_user("bob").await.unwrap().unwrap().id;
    let mut write = store.begin().await.unwrap();
    for number in 0..1030 {
        let query = "INSERT INTO identities (id, user_id, issuer, subject, name, created_s) \
                     VALUES (?1, ?2, 'https://id.example', 's' || ?1, 'n', 0)";
        sqlx::query(query).bind(number).bind(user).execute(write.db()).await.unwrap();
    }
    let query = sqlx::query("DELETE FROM users WHERE id = ?").bind(user);
    query.execute(write.db()).await.unwrap();
    write.commit().await.unwrap();
    let kept = texts(&store, "SELECT subject FROM former_accounts ORDER BY id").await;
    assert_eq!((kept.len(), kept[1023].as_str()), (1024, "s1029"));
    store.close().await;
}
