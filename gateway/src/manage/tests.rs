use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use porthole_signaling_proto::identity;
use porthole_signaling_proto::manage::AddCameraParams;

use super::*;

/// A manager of a gateway without cameras, and what it must not outlive.
fn manager(folder: &std::path::Path) -> (Manager, mpsc::Receiver<Vec<crate::cameras::Update>>) {
    let key = Arc::new(Key::load_or_create(folder).unwrap());
    let ((_, questions), (answers, _)) = (mpsc::channel(1), mpsc::channel(1));
    let channels = ManagerChannels { questions, answers };
    let (file, store, vault) = StoreFile::load(folder, key.id()).unwrap();
    let shelf = Shelf { file, store, vault };
    let (updates, received) = mpsc::channel(16);
    let timeouts = crate::ingest::Timeouts::default();
    let (places, _) = tokio::sync::watch::channel(Default::default());
    let (cameras, _) = Cameras::new(Vec::new(), Vec::new(), timeouts, updates, places).unwrap();
    let named = vec!["192.0.2.0/24".parse().unwrap()];
    (Manager::new(key, shelf, cameras, named, channels), received)
}

#[tokio::test]
async fn a_camera_that_has_another_address_is_found_by_its_uuid_or_mac() {
    let folder = tempfile::tempdir().unwrap();
    let (mut manager, _updates) = manager(folder.path());
    let provisional = |host: &str, uuid: Option<&str>, mac: Option<&str>| {
        let id: CameraId = format!("probe.{host}").parse().unwrap();
        let main = crate::ingest::Address::parse(&format!("rtsp://{host}/main")).unwrap();
        let (uuid, mac) = (uuid.map(str::to_owned), mac.map(str::to_owned));
        let place =
            store::Place { main, sub: None, uuid, mac, number: 1, allows_text: true, onvif: None };
        let probed = store::Probed { place, credentials: None };
        Provisional { id, name: "Camera".to_owned(), probed, on_demand: false, replaces: None }
    };
    let cameras = [
        provisional("192.0.2.1", Some("a"), None),
        provisional("192.0.2.2", None, Some("00:11:22:33:44:55")),
        provisional("192.0.2.3", None, None),
        provisional("192.0.2.4", Some("d"), None),
    ];
    for (revision, provisional) in (0..).zip(cameras) {
        let params = AddCameraParams {
            peer: manager.key.id(),
            revision,
            provisional: provisional.id.clone(),
            name: format!("Camera {revision}"),
            by: None,
        };
        manager.provisional.insert(provisional.id.clone(), provisional);
        manager.add_camera(params).await.unwrap();
    }
    let device = |ip: &str, uuid: Option<&str>, mac: Option<&str>| Device {
        number: 0,
        from: std::net::SocketAddr::new(ip.parse().unwrap(), 3702),
        service: None,
        uuid: uuid.map(str::to_owned),
        vendor: None,
        model: None,
        name: None,
        mac: mac.map(str::to_owned),
    };
    let devices = [
        device("192.0.2.11", Some("a"), None),
        device("192.0.2.12", None, Some("00:11:22:33:44:55")),
        device("192.0.2.13", None, None),
        device("198.51.100.14", Some("d"), None),
    ];
    manager.lost = manager.shelf.store.cameras().map(|kept| kept.id.clone()).collect();
    manager.handle_sought(&devices).await;
    let hosts: Vec<_> =
        manager.shelf.store.cameras().map(|kept| kept.place.main.host().to_owned()).collect();
    assert_eq!(hosts, ["192.0.2.11", "192.0.2.12", "192.0.2.3", "192.0.2.4"]);
    let text: Vec<_> = manager.shelf.store.cameras().map(|it| it.place.allows_text).collect();
    assert_eq!(text, [false, false, true, true], "only known devices get a password as text");
}

#[tokio::test]
async fn a_task_that_panics_is_answered_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (mut manager, _updates) = manager(folder.path());
    let (answers, mut answered) = mpsc::channel(1);
    manager.channels.answers = answers;
    let id = QuestionId::default();
    manager.start(id, async { panic!("a device does something new") });
    let ended = manager.tasks.join_next_with_id().await.unwrap();
    manager.handle_ended(ended).await;
    let Some(QuestionEvent::Answered(_, Err(fault))) = answered.recv().await else {
        panic!("it is not answered")
    };
    assert!(fault.message.contains("defect"), "{fault}");
    assert!(manager.running.is_empty());
}

#[tokio::test]
async fn the_sealing_key_is_signed_with_the_key_of_the_gateway_and_bound_to_its_nonce() {
    let folder = tempfile::tempdir().unwrap();
    let (mut manager, _updates) = manager(folder.path());
    let key = Arc::clone(&manager.key);
    let result = manager.sealing_key();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let public: [u8; 32] = decode(&result.public_key).try_into().unwrap();
    assert_eq!(identity::gateway_id(&public), key.id());
    let verifying = VerifyingKey::from_bytes(&public).unwrap();
    let signature = Signature::from_slice(&decode(&result.signature)).unwrap();
    let signed = |gateway, nonce: &str, key: &str| {
        let message = sealing_key_message(gateway, nonce, key);
        verifying.verify_strict(&message, &signature).is_ok()
    };
    let (id, other) = (key.id(), "gw2".parse().unwrap());
    assert!(signed(&id, &result.nonce, &result.sealing_key));
    let second = manager.sealing_key();
    assert!(!signed(&id, &second.nonce, &result.sealing_key), "another nonce");
    assert!(!signed(&id, &result.nonce, &result.public_key), "another key");
    assert!(!signed(&other, &result.nonce, &result.sealing_key), "another gateway");
}
