use super::*;

const GATEWAY: &str = "gw1";

fn vault(key: u8) -> Vault {
    Vault::new(GATEWAY.parse().unwrap(), &[key; 32], [1; 32])
}

fn place(host: &str) -> Place {
    let address = |path: &str| Address::parse(&format!("rtsp://{host}/{path}")).unwrap();
    Place {
        main: address("main?x=1"),
        sub: Some(address("sub")),
        uuid: Some("4d454930".to_owned()),
        mac: None,
        number: 1,
        allows_text: false,
        onvif: ServiceAddress::parse(&format!("http://{host}/onvif/device_service")),
    }
}

fn probed(host: &str) -> Probed {
    let (user, password) = ("anna".to_owned(), "geheim".to_owned());
    Probed { place: place(host), credentials: Some(Credentials { user, password }) }
}

fn author(revision: u32) -> Author {
    Author { revision, by: Some("Ada".to_owned()), at_s: 1_795_900_000 + u64::from(revision) }
}

fn ids(ids: &[&str]) -> BTreeSet<CameraId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

/// A store with the camera `door`.
fn with_door(vault: &mut Vault) -> Store {
    let mut store = Store::default();
    let (door, none) = (probed("192.168.1.20"), ids(&[]));
    let result = store.add(author(0), "Door".to_owned(), &door, &none, vault).unwrap();
    assert_eq!((result.camera.as_str(), result.revision), ("door", 1));
    store
}

#[test]
fn cameras_are_added_changed_and_removed_and_survive_the_disk() {
    let mut vault = vault(1);
    let mut store = with_door(&mut vault);
    let door: CameraId = "door".parse().unwrap();
    let none = ids(&[]);
    let second = probed("192.168.1.21");
    store.add(author(1), "Door".to_owned(), &second, &none, &mut vault).unwrap();
    let adjustment = Adjustment {
        name: Some("Front door".to_owned()),
        rotation: Some(270),
        mirrored: Some(true),
        on_demand: Some(true),
    };
    let result = store.change(author(2), &door, adjustment, None, &mut vault).unwrap();
    assert_eq!((result.camera, result.revision), (door.clone(), 3));
    let text = store.write();
    assert!(!text.contains("geheim") && !text.contains("anna"), "{text}");
    let read = Store::read(&text).unwrap();
    assert_eq!(read, store);
    let kept = read.camera(&door).unwrap();
    assert_eq!((kept.name.as_str(), &kept.place), ("Front door", &place("192.168.1.20")));
    let picture = Picture { rotation: 270, mirrored: true };
    assert_eq!((kept.picture, kept.on_demand), (picture, true));
    let credentials = kept.credentials(&vault).unwrap();
    assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("anna", "geheim"));

    let moved = Probed { credentials: None, ..probed("192.168.1.22") };
    store.change(author(3), &door, Adjustment::default(), Some(&moved), &mut vault).unwrap();
    let kept = store.camera(&door).unwrap();
    assert_eq!((kept.place.main.host(), kept.has_login()), ("192.168.1.22", false));
    store.remove(author(4), &door).unwrap();
    assert_eq!(store.camera(&door), None);
    assert_eq!((store.cameras().count(), store.revision()), (1, 5));
}

#[test]
fn a_camera_that_moves_keeps_its_password_and_never_sends_it_as_text_again() {
    let mut vault = vault(1);
    let mut store = Store::default();
    let mut probed = probed("192.168.1.20");
    probed.place.allows_text = true;
    store.add(author(0), "Door".to_owned(), &probed, &ids(&[]), &mut vault).unwrap();
    let door: CameraId = "door".parse().unwrap();
    assert!(store.relocate(&door, "192.168.1.99", 7, &mut vault));
    assert!(!store.relocate(&"attic".parse().unwrap(), "192.168.1.99", 7, &mut vault));
    let store = Store::read(&store.write()).unwrap();
    let kept = store.camera(&door).unwrap();
    assert_eq!(kept.place, Place { allows_text: false, ..place("192.168.1.99") });
    assert_eq!(kept.credentials(&vault).unwrap().password, "geheim");
    assert_eq!(store.revision(), 2, "whoever edits sees it");
}

#[test]
fn two_people_who_change_at_once_see_it() {
    let mut vault = vault(1);
    let mut store = with_door(&mut vault);
    let before = store.clone();
    let door: CameraId = "door".parse().unwrap();
    let (probed, none) = (probed("192.168.1.20"), ids(&[]));
    for revision in [0, 2, u32::MAX] {
        let refused = [
            store.add(author(revision), "Yard".to_owned(), &probed, &none, &mut vault),
            store.change(author(revision), &door, Adjustment::default(), Some(&probed), &mut vault),
            store.remove(author(revision), &door),
        ];
        for result in refused {
            let error = result.unwrap_err();
            assert_eq!(error, ChangeError::Conflict(Some("Ada".to_owned())));
            assert_eq!(error.fault().code, code::CONFLICT);
            assert!(error.to_string().starts_with("Ada changed"), "{error}");
        }
    }
    assert_eq!(store, before);
    let attic = "attic".parse().unwrap();
    assert_eq!(store.remove(author(1), &attic), Err(ChangeError::NoCamera));
    assert_eq!(store, before);
}

#[test]
fn a_configured_camera_hides_a_kept_one_and_its_id_is_never_given_away() {
    let mut vault = vault(1);
    let mut store = with_door(&mut vault);
    let configured = ids(&["door", "door-2", "door-3.sub"]);
    let origins: Vec<_> = store.shown(&configured).iter().map(|shown| shown.origin).collect();
    assert_eq!(origins, [CameraOrigin::Hidden]);
    assert_eq!(store.shown(&ids(&[]))[0].origin, CameraOrigin::Stored);
    let probed = probed("192.168.1.21");
    let added = store.add(author(1), "Door".to_owned(), &probed, &configured, &mut vault);
    assert_eq!(added.unwrap().camera.as_str(), "door-4");
}

#[test]
fn no_more_than_256_cameras_are_kept() {
    let mut vault = vault(1);
    let mut store = Store::default();
    let (probed, none) = (probed("192.168.1.20"), ids(&[]));
    for number in 0..256 {
        store.add(author(number), "Door".to_owned(), &probed, &none, &mut vault).unwrap();
    }
    let full = store.add(author(256), "Door".to_owned(), &probed, &none, &mut vault);
    assert_eq!(full, Err(ChangeError::Full));
    assert_eq!(Store::read(&store.write()), Ok(store));
}

#[test]
fn a_password_cannot_be_moved_to_another_camera_or_address() {
    let mut vault_1 = vault(1);
    let text = with_door(&mut vault_1).write();
    type Edit = fn(&str) -> String;
    let cases: &[(&str, Edit, u8, &str)] = &[
        ("another key", str::to_owned, 2, GATEWAY),
        ("another gateway", str::to_owned, 1, "gw2"),
        ("another camera", |text| text.replace("\"door\"", "\"yard\""), 1, GATEWAY),
        ("another address", |text| text.replace("20/main", "66/main"), 1, GATEWAY),
        ("another sub stream", |text| text.replace("20/sub", "66/sub"), 1, GATEWAY),
        (
            "readable text",
            |text| text.replace("\"number\": 1,", "\"number\": 1, \"allows_text\": true,"),
            1,
            GATEWAY,
        ),
        (
            "another ciphertext",
            |text| text.replace("\"login\": \"", "\"login\": \"AAAA"),
            1,
            GATEWAY,
        ),
        ("as it was", str::to_owned, 1, GATEWAY),
    ];
    for (name, edit, key, gateway) in cases {
        let edited = edit(&text);
        assert_eq!(edited == text, *key != 1 || *gateway != GATEWAY || *name == "as it was");
        let store = Store::read(&edited).expect(name);
        let vault = Vault::new(gateway.parse().unwrap(), &[*key; 32], [1; 32]);
        let kept = store.cameras().next().unwrap();
        assert!(kept.has_login());
        assert_eq!(kept.credentials(&vault).is_some(), *name == "as it was", "{name}");
    }
    let vault = format!("{vault_1:?}");
    assert!(!vault.contains("cipher"), "{vault}");
}

#[test]
fn a_file_that_was_not_written_by_us_is_refused() {
    let mut vault = vault(1);
    let text = with_door(&mut vault).write();
    let damaged = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let cases: &[(&str, String, ReadError)] = &[
        ("nothing", String::new(), ReadError::Damaged),
        ("half of it", text[..text.len() / 2].to_owned(), ReadError::Damaged),
        ("another version", damaged("\"version\": 2", "\"version\": 3"), ReadError::Newer(3)),
        ("a newer one with more", "{\"version\":9,\"x\":[]}".to_owned(), ReadError::Newer(9)),
        ("no version", damaged("\"version\": 2,", ""), ReadError::Damaged),
        ("an id that is none", damaged("\"door\"", "\"../door\""), ReadError::Damaged),
        ("an address that is none", damaged("rtsp://", "http://"), ReadError::Damaged),
        ("no name", damaged("\"Door\"", "\"\""), ReadError::Damaged),
        (
            "a rotation that is none",
            damaged("\"number\"", "\"rotation\": 45, \"number\""),
            ReadError::Damaged,
        ),
        ("a field that is unknown", damaged("\"number\"", "\"numbers\""), ReadError::Damaged),
    ];
    for (name, text, expected) in cases {
        assert_eq!(Store::read(text), Err(*expected), "{name}");
    }
    let entry = &text[text.find("    {").unwrap()..text.rfind("  ]").unwrap()];
    let twice = text.replace(entry, &format!("{},\n{entry}", entry.trim_end()));
    assert_eq!(Store::read(&twice), Err(ReadError::Damaged), "a camera twice");
}

#[test]
fn an_onvif_service_on_another_machine_is_not_used() {
    let mut vault = vault(1);
    let text = with_door(&mut vault).write();
    for (host, expected) in [("192.168.1.20", true), ("192.168.1.66", false)] {
        let edited = text.replace("http://192.168.1.20/", &format!("http://{host}/"));
        let store = Store::read(&edited).unwrap();
        let kept = store.cameras().next().unwrap();
        assert_eq!(kept.place.onvif.is_some(), expected, "{host}");
    }
}
