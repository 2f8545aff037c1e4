//! A camera is added by questions of the signaling server, as the dashboard does it.

mod import;
mod server;
mod settings;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use porthole_gateway::ingest::Timeouts;
use porthole_gateway::{CameraConfig, Config, Gateway, Picture};
use porthole_signaling_proto::manage::{Login, seal_info};
use porthole_test_support::onvif::{Auth, Fake, PASSWORD as DEVICE_PASSWORD, Sockets, USER};
use porthole_test_support::ports::free_port;
use porthole_test_support::seal::seal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::scripted_camera::{RunningCamera, ScriptedCamera, challenge, digest, is_authorized};
use server::{Connected, Heard, ScriptedServer};

/// The password of scripted cameras, which appears nowhere.
const PASSWORD: &str = "secret";

/// Time for the gateway to connect to a camera.
const PATIENCE: Duration = Duration::from_secs(30);

/// Number of wrong tries after which cameras lock an account.
const LOCKED_AFTER: usize = 5;

/// A gateway that runs until it is dropped.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(server: &ScriptedServer, data: &Path, cameras: Vec<CameraConfig>) -> (Self, String) {
        let config = Config {
            server: server.url().parse().expect("a URL"),
            claim: None,
            data: data.to_owned(),
            name: "Attic".to_owned(),
            cameras,
            udp_port: 0,
            camera_timeouts: Timeouts::default(),
            networks: vec!["127.0.0.0/8".parse().expect("a network")],
            allow_ice_servers: Vec::new(),
            authorities: Vec::new(),
            allow_plain_http: false,
            turn_only: false,
            port_mapping: None,
            max_uplink: None,
        };
        let gateway = Gateway::start(config).expect("it starts");
        let (id, stop) = (gateway.id().to_string(), CancellationToken::new());
        let token = stop.clone();
        let task = tokio::spawn(async move { gateway.run(token).await.expect("no fault") });
        (Self { stop, task }, id)
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic");
    }
}

/// Requires the password with one of these hashes.
fn guarded(lines: &'static [(&'static str, &'static str)]) -> ScriptedCamera {
    // Without pictures: it is known and added once it has accepted the password.
    ScriptedCamera::new(Vec::new()).answer(move |request, reply| {
        let hashes: Vec<&str> = lines.iter().map(|(hash, _)| *hash).collect();
        if is_authorized(request, "n1", &hashes) {
            return reply;
        }
        let lines: Vec<_> = lines.iter().map(|(_, more)| digest("n1", more)).collect();
        challenge(reply, &lines)
    })
}

/// Requests with a password that a camera has had.
fn shown(camera: &RunningCamera) -> usize {
    let requests = camera.requests();
    requests.iter().filter(|request| request.header("Authorization").is_some()).count()
}

/// Begins a probe with the user and this password.
async fn probe(server: &mut Connected, gateway: &str, address: &str, password: &str) -> i64 {
    probe_as(server, gateway, address, ("ada", password)).await
}

/// Begins a probe with user and password, which are sealed as a browser does it.
async fn probe_as(
    server: &mut Connected,
    gateway: &str,
    address: &str,
    (user, password): (&str, &str),
) -> i64 {
    let key = server.ask("portholeSealingKey", json!({})).await.response["result"].clone();
    let text = |name: &str| key[name].as_str().expect("a text").to_owned();
    let login = Login { user: user.to_owned(), password: password.to_owned() };
    let gateway = gateway.parse().expect("an id");
    let info = seal_info(&gateway, &text("nonce"), None, address, false);
    let (enc, ciphertext) = seal(&text("sealingKey"), &info, &login.to_json()).expect("a key");
    let login = json!({ "nonce": text("nonce"), "enc": enc, "ciphertext": ciphertext });
    let params = json!({ "address": address, "allowsText": false, "login": login });
    server.begin("portholeProbe", params).await
}

/// Probes, and returns the id of the camera as soon as it can be watched.
async fn found(server: &mut Connected, gateway: &str, address: &str) -> (i64, String) {
    let id = probe(server, gateway, address, PASSWORD).await;
    let heard = server.wait(id, |value| value["camera"].is_object()).await;
    let camera = heard.camera().unwrap_or_else(|| panic!("{heard:?}"));
    (id, camera["id"].as_str().expect("an id").to_owned())
}

async fn add(server: &mut Connected, revision: u32, provisional: &str, name: &str) -> Heard {
    let params = json!({
        "revision": revision, "provisional": provisional, "name": name, "by": "Ada",
    });
    server.ask("portholeAddCamera", params).await
}

/// Checks that no file and no message has the password, in any of the usual spellings.
fn check_canary(data: &Path, messages: &str) {
    let spellings = [PASSWORD, "c2VjcmV0", "736563726574"];
    let mut places = vec![("the messages".to_owned(), messages.as_bytes().to_vec())];
    for entry in std::fs::read_dir(data).expect("a folder") {
        let path = entry.expect("a file").path();
        places.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
    }
    for (place, bytes) in places {
        let text = String::from_utf8_lossy(&bytes);
        let has = spellings.iter().find(|spelling| text.contains(**spelling));
        assert_eq!(has, None, "{place} has the password");
    }
}

#[tokio::test]
async fn a_camera_is_added_changed_and_removed_and_its_password_stays_at_the_gateway() {
    let data = tempfile::tempdir().expect("a folder");
    let server = ScriptedServer::bind().await;
    let (gateway, id) = Running::start(&server, data.path(), Vec::new());
    let mut asking = server.accept().await;
    let camera = guarded(&[("MD5", "")]).start().await;
    let (probing, provisional) = found(&mut asking, &id, &camera.url("")).await;
    asking.cancel(probing).await;
    asking.wait_for_camera(&provisional, |camera| camera["provisional"] == true).await;

    let early = add(&mut asking, 7, &provisional, "Front door").await;
    assert_eq!(early.fault().map(|(code, _)| code), Some(409), "{early:?}");
    let added = add(&mut asking, 0, &provisional, "Front door").await;
    let expected = json!({ "camera": "front-door", "revision": 1 });
    assert_eq!(added.response["result"], expected);
    let twice = add(&mut asking, 1, &provisional, "Front door").await;
    assert_eq!(twice.fault().map(|(code, _)| code), Some(404), "{twice:?}");
    let is_running =
        |camera: &Value| ["live", "connecting"].contains(&camera["state"].as_str().unwrap_or(""));
    asking.wait_for_camera("front-door", is_running).await;

    let renaming = json!({ "revision": 1, "camera": "front-door", "name": "Haustür" });
    let renamed = asking.ask("portholeChangeCamera", renaming).await;
    assert_eq!(renamed.response["result"]["revision"], 2, "{renamed:?}");
    let list = asking.ask("portholeStoredCameras", json!({})).await.response["result"].clone();
    let kept = &list["cameras"][0];
    assert_eq!((&kept["name"], &kept["hasPassword"]), (&"Haustür".into(), &true.into()), "{list}");
    assert_eq!((&kept["origin"], &kept["address"]), (&"stored".into(), &camera.url("").into()));
    check_canary(data.path(), &asking.log);
    gateway.stop().await;

    // After a restart it is still there, with its password.
    let (gateway, _) = Running::start(&server, data.path(), Vec::new());
    let before = shown(&camera);
    let mut asking = server.accept().await;
    let has_name = |camera: &Value| camera["name"] == "Haustür";
    asking.wait_for_camera("front-door", has_name).await;
    let connected = async {
        while shown(&camera) == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.expect("it is connected");
    let removing = json!({ "revision": 2, "camera": "front-door" });
    let removed = asking.ask("portholeRemoveCamera", removing).await;
    assert_eq!(removed.response["result"]["revision"], 3, "{removed:?}");
    asking.wait_for_camera("front-door", Value::is_null).await;
    check_canary(data.path(), &asking.log);
    gateway.stop().await;
}

#[tokio::test]
async fn an_account_that_locks_after_five_wrong_tries_is_not_locked_by_two_probes() {
    type Account = (&'static str, &'static [(&'static str, &'static str)]);
    let cases: [Account; 2] = [
        ("one hash", &[("MD5", "")]),
        ("two", &[("SHA-256", ", algorithm=SHA-256"), ("MD5", ", algorithm=MD5")]),
    ];
    for (name, lines) in cases {
        let data = tempfile::tempdir().expect("a folder");
        let server = ScriptedServer::bind().await;
        let (gateway, id) = Running::start(&server, data.path(), Vec::new());
        let mut asking = server.accept().await;
        let camera = guarded(lines).start().await;
        for _ in 0..2 {
            let probing = probe(&mut asking, &id, &camera.url(""), "wrong").await;
            let heard = asking.wait(probing, |_| false).await;
            assert_eq!(heard.findings(), ["wrong-password"], "{name}");
            assert!(heard.camera().is_none(), "{name}: {heard:?}");
            assert!(heard.response["result"]["refused"].as_u64() <= Some(2), "{name}: {heard:?}");
        }
        assert!((2..LOCKED_AFTER).contains(&shown(&camera)), "{name}: {}", shown(&camera));
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_password_is_sent_as_readable_text_only_if_that_was_allowed() {
    let data = tempfile::tempdir().expect("a folder");
    let server = ScriptedServer::bind().await;
    let (gateway, id) = Running::start(&server, data.path(), Vec::new());
    let mut asking = server.accept().await;
    let camera = ScriptedCamera::new(Vec::new()).answer(|request, reply| {
        if request.header("Authorization").is_some() {
            return reply;
        }
        challenge(reply, &["Basic realm=\"camera\"".to_owned()])
    });
    let camera = camera.start().await;
    let probing = probe(&mut asking, &id, &camera.url(""), PASSWORD).await;
    let heard = asking.wait(probing, |_| false).await;
    assert_eq!((heard.findings(), shown(&camera)), (vec!["wants-text"], 0));
    gateway.stop().await;
}

/// A lie of the server: its name, the request, and words of the sentence that answers it.
type Lie = (&'static str, &'static str, Value, &'static str);

fn lies(url: &str) -> Vec<Lie> {
    let sealed = json!({ "nonce": "AAAA", "enc": "AAAA", "ciphertext": "AAAA" });
    vec![
        (
            "a password that was not sealed",
            "portholeProbe",
            json!({ "address": url, "login": sealed }),
            "type it again",
        ),
        ("a cloud", "portholeProbe", json!({ "address": "169.254.169.254" }), "not a camera"),
        (
            "elsewhere",
            "portholeProbe",
            json!({ "address": "rtsp://8.8.8.8/x" }),
            "not in a network",
        ),
        (
            "a password in the address",
            "portholeProbe",
            json!({ "address": "rtsp://ada:x@127.0.0.1/" }),
            "leave user and password out",
        ),
        (
            "a range that is too large",
            "portholeDiscover",
            json!({ "addresses": ["10.0.0.0/8"] }),
            "at most 256",
        ),
        (
            "a camera that was not probed",
            "portholeAddCamera",
            json!({ "revision": 0, "provisional": "door", "name": "Door" }),
            "ask it again",
        ),
        (
            "a camera of the configuration",
            "portholeRemoveCamera",
            json!({ "revision": 0, "camera": "door" }),
            "configuration",
        ),
        (
            "a camera that is unknown",
            "portholeChangeCamera",
            json!({ "revision": 0, "camera": "attic", "name": "Attic" }),
            "no such camera",
        ),
    ]
}

#[tokio::test]
async fn a_server_that_lies_gets_a_sentence_and_nothing_else() {
    let data = tempfile::tempdir().expect("a folder");
    let server = ScriptedServer::bind().await;
    let door = CameraConfig {
        id: "door".parse().expect("an id"),
        name: "Door".to_owned(),
        source: "test:320x180@5".parse().expect("a source"),
        sub_source: None,
        on_demand: true,
        picture: Picture::default(),
        onvif: None,
    };
    let (gateway, _) = Running::start(&server, data.path(), vec![door]);
    let mut asking = server.accept().await;
    let camera = guarded(&[("MD5", "")]).start().await;
    let url = camera.url("");
    for (name, method, params, words) in lies(&url) {
        let heard = asking.ask(method, params).await;
        let (_, sentence) = heard.fault().unwrap_or_else(|| panic!("{name}: {heard:?}"));
        assert!(sentence.contains(words) && !sentence.contains("--"), "{name}: {sentence}");
        assert_eq!(heard.progress, Vec::<Value>::new(), "{name}");
    }
    assert_eq!(camera.requests().len(), 0, "nobody was contacted");
    gateway.stop().await;
}

#[tokio::test]
async fn a_password_that_was_sealed_for_one_address_goes_to_no_other() {
    let data = tempfile::tempdir().expect("a folder");
    let server = ScriptedServer::bind().await;
    let (gateway, id) = Running::start(&server, data.path(), Vec::new());
    let mut asking = server.accept().await;
    let camera = guarded(&[("MD5", "")]).start().await;
    let key = asking.ask("portholeSealingKey", json!({})).await.response["result"].clone();
    let nonce = key["nonce"].as_str().expect("a nonce");
    let info = seal_info(&id.parse().expect("an id"), nonce, None, "192.168.1.20", false);
    let plain = Login { user: "ada".to_owned(), password: PASSWORD.to_owned() }.to_json();
    let key = key["sealingKey"].as_str().expect("a key");
    let (enc, ciphertext) = seal(key, &info, &plain).expect("a key");
    let login = json!({ "nonce": nonce, "enc": enc, "ciphertext": ciphertext });
    let heard =
        asking.ask("portholeProbe", json!({ "address": camera.url(""), "login": login })).await;
    let (_, sentence) = heard.fault().expect("it is refused");
    assert!(sentence.contains("another gateway, camera or address"), "{sentence}");
    assert_eq!(camera.requests().len(), 0, "the password goes nowhere");
    gateway.stop().await;
}

/// Columns: the login, the way in which the device answers, the findings, and the cameras.
type Case = (&'static str, Auth, (&'static str, &'static str), &'static [&'static str], bool);

#[tokio::test]
async fn a_device_is_asked_with_onvif_first_and_its_password_is_refused_twice_at_most() {
    let cases: &[Case] = &[
        ("an open one", Auth::Open, ("ada", PASSWORD), &[], true),
        ("separate users", Auth::Digest("MD5"), (USER, DEVICE_PASSWORD), &["separate-user"], false),
        ("a wrong password", Auth::Digest("SHA-256"), (USER, "falsch"), &["wrong-password"], false),
        ("text", Auth::Text, (USER, DEVICE_PASSWORD), &["wrong-password"], false),
    ];
    for (name, auth, login, findings, has_camera) in cases {
        let data = tempfile::tempdir().expect("a folder");
        let server = ScriptedServer::bind().await;
        let (gateway, id) = Running::start(&server, data.path(), Vec::new());
        let mut asking = server.accept().await;
        let streams = guarded(&[("MD5", "")]).start().await;
        let port = free_port().expect("a port").port();
        let sockets = Sockets::open_http([127, 0, 0, 1].into(), port).expect("loopback");
        let fake = Fake { auth: *auth, stream: Some(streams.url("")), ..Fake::default() };
        let device = fake.start(sockets).expect("threads");
        let probing = probe_as(&mut asking, &id, &device.http.to_string(), *login).await;
        let ends = |value: &Value| *has_camera && value["camera"].is_object();
        let heard = asking.wait(probing, ends).await;
        assert_eq!(heard.findings(), *findings, "{name}: {heard:?}");
        assert_eq!(heard.camera().is_some(), *has_camera, "{name}: {heard:?}");
        let is_told = heard.progress.iter().any(|value| value["device"].is_object());
        assert_eq!(is_told, *findings != ["wrong-password"], "{name}: {heard:?}");
        if let Some(camera) = heard.camera() {
            assert_eq!(camera["streams"].as_array().map(Vec::len), Some(2), "{camera}");
            asking.cancel(probing).await;
            let provisional = camera["id"].as_str().expect("an id");
            asking.wait_for_camera(provisional, |camera| camera["provisional"] == true).await;
        } else {
            let refused = device.seen.refused.load(Ordering::Relaxed) + shown(&streams);
            assert!((1..=2).contains(&refused), "{name}: {refused} were refused");
        }
        let log = device.seen.log();
        assert!(!log.contains(login.1) && !asking.log.contains(login.1), "{name}");
        gateway.stop().await;
    }
}
