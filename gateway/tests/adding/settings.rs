//! The settings of a fake camera are looked at and set by questions of the signaling server.

use porthole_gateway::OnvifPlace;
use porthole_gateway::ingest::Credentials;
use porthole_gateway::onvif::ServiceAddress;
use porthole_test_support::onvif::Running as Device;
use porthole_test_support::onvif::encoder::{Encoder, Encoders, Reaction};

use super::*;

/// A gateway with one camera, whose ONVIF service is a fake one.
struct Scene {
    asking: Connected,
    gateway: Running,
    device: Device,
    encoders: Encoders,
    _data: tempfile::TempDir,
    _server: ScriptedServer,
}

impl Scene {
    /// Starts both, with key frames too far apart in both streams.
    async fn start(fake: Fake) -> Self {
        let sub = Encoder { rate: 15, ..Encoder::new((640, 360), 90) };
        let encoders = Encoders::new(vec![Encoder::new((1920, 1080), 200), sub]);
        let port = free_port().expect("a port").port();
        let sockets = Sockets::open_http([127, 0, 0, 1].into(), port).expect("loopback");
        let fake = Fake { encoders: Some(encoders.clone()), ..fake };
        let device = fake.start(sockets).expect("threads");
        let service = format!("http://{}/onvif/device_service", device.http);
        let credentials =
            Credentials { user: USER.to_owned(), password: DEVICE_PASSWORD.to_owned() };
        let door = CameraConfig {
            onvif: Some(OnvifPlace {
                service: ServiceAddress::parse(&service).expect("an address"),
                credentials: Some(credentials),
                allows_text: false,
                number: 1,
            }),
            ..camera("door")
        };
        let data = tempfile::tempdir().expect("a folder");
        let server = ScriptedServer::bind().await;
        let cameras = vec![door, camera("yard")];
        let (gateway, _) = Running::start(&server, data.path(), cameras);
        let asking = server.accept().await;
        Self { asking, gateway, device, encoders, _data: data, _server: server }
    }

    async fn check(&mut self) -> Value {
        let heard = self.asking.ask("portholeCheckSettings", json!({ "camera": "door" })).await;
        heard.response["result"].clone()
    }

    async fn apply(&mut self, plan: &Value) -> Heard {
        let params = json!({ "camera": "door", "plan": plan, "by": "Ada" });
        self.asking.ask("portholeApplySettings", params).await
    }

    async fn end(self) {
        let log = self.device.seen.log();
        assert!(!log.contains(DEVICE_PASSWORD) && !self.asking.log.contains(DEVICE_PASSWORD));
        self.gateway.stop().await;
    }
}

fn camera(id: &str) -> CameraConfig {
    CameraConfig {
        id: id.parse().expect("an id"),
        name: id.to_owned(),
        source: "test:320x180@5".parse().expect("a source"),
        sub_source: None,
        on_demand: true,
        picture: Picture::default(),
        onvif: None,
    }
}

/// The changes to the streams, without that of the clock.
fn streams(changes: &Value) -> Value {
    let changes = changes.as_array().expect("changes");
    changes.iter().filter(|change| change["key"] != "clock").cloned().collect()
}

#[tokio::test]
async fn before_and_after_are_shown_and_exactly_the_shown_values_are_set() {
    for (name, auth, media2_only) in [
        ("the first media service", Auth::Digest("MD5"), false),
        ("the second one", Auth::Digest("SHA-256"), true),
        ("a token with the camera's own time", Auth::Token, true),
    ] {
        let fake = Fake { auth, media2_only, ahead_s: -7200, ..Fake::default() };
        let mut scene = Scene::start(fake).await;
        let before = scene.encoders.now();
        let shown = scene.check().await;
        let expected = json!([
            {
                "key": "key-frames", "stream": "main",
                "before": "every 8 s (200 frames)", "after": "every 2 s (50 frames)",
            },
            {
                "key": "key-frames", "stream": "sub",
                "before": "every 6 s (90 frames)", "after": "every 2 s (30 frames)",
            },
        ]);
        assert_eq!(streams(&shown["changes"]), expected, "{name}: {shown}");
        assert_eq!(shown["changes"][2]["key"], "clock", "{name}: {shown}");
        assert!(shown["changes"][2]["before"].as_str().is_some_and(|it| it.ends_with("behind")));
        assert_eq!(scene.encoders.now(), before, "{name}: a look changes nothing");
        assert_eq!(scene.encoders.requests(), 0, "{name}: a look changes nothing");

        let heard = scene.apply(&shown["plan"]).await;
        let set = heard.response["result"].clone();
        assert_eq!(streams(&set["changes"]), expected, "{name}: {heard:?}");
        let wanted = vec![
            Encoder { gov_length: 50, ..before[0].clone() },
            Encoder { gov_length: 30, ..before[1].clone() },
        ];
        assert_eq!(scene.encoders.now(), wanted, "{name}: these values, and no others");
        assert!((7195..=7205).contains(&scene.encoders.moved_s()), "{name}");
        assert_eq!(scene.encoders.requests(), 3, "{name}");
        let after = scene.check().await;
        assert_eq!(after["changes"], json!([]), "{name}: nothing is left: {after}");
        scene.end().await;
    }
}

type Refusal = (&'static str, &'static [Reaction], &'static str);

#[tokio::test]
async fn a_camera_that_refuses_stays_as_it_is_and_a_sentence_says_so() {
    use Reaction::{Accept, Refuse};
    let cases: &[Refusal] = &[
        ("the first change", &[Refuse], "main stream (ter:ConfigModify), and nothing was changed:"),
        (
            "the second change",
            &[Accept, Refuse],
            "sub stream (ter:ConfigModify), and nothing was changed, because what was set before \
             it was put back:",
        ),
        (
            "putting back, too",
            &[Accept, Refuse, Refuse],
            "and what was set before it could not be put back (main stream: key-frames every 2 s \
             (50 frames)):",
        ),
    ];
    for media2_only in [false, true] {
        let mut scene = Scene::start(Fake { media2_only, ..Fake::default() }).await;
        let before = scene.encoders.now();
        let plan = scene.check().await["plan"].clone();
        for (name, reactions, words) in cases {
            scene.encoders.set_reactions(reactions);
            let heard = scene.apply(&plan).await;
            let (code, sentence) = heard.fault().unwrap_or_else(|| panic!("{name}: {heard:?}"));
            assert_eq!(code, 400, "{name}: {sentence}");
            assert!(sentence.contains(words), "{name}: {sentence}");
            let is_changed = scene.encoders.now() != before;
            assert_eq!(is_changed, *name == "putting back, too", "{name}: {:?}", before);
        }
        scene.end().await;
    }
}

#[tokio::test]
async fn another_plan_than_the_one_that_was_shown_is_refused_and_changes_nothing() {
    let mut scene = Scene::start(Fake::default()).await;
    let plan = scene.check().await["plan"].clone();
    // Somebody else sets another rate meanwhile.
    let other = Encoder { rate: 10, ..Encoder::new((1920, 1080), 200) };
    scene.encoders.set(0, other.clone());
    for plan in [plan, json!("1--"), json!("")] {
        let heard = scene.apply(&plan).await;
        let (code, sentence) = heard.fault().expect("a fault");
        assert_eq!(code, 409, "{sentence}");
        assert!(sentence.contains("have changed since they were shown"), "{sentence}");
    }
    let heard = scene.apply(&json!("x".repeat(1000))).await;
    assert_eq!(heard.fault().map(|(code, _)| code), Some(400), "{heard:?}");
    assert_eq!((scene.encoders.requests(), scene.encoders.now()[0].clone()), (0, other));
    scene.end().await;
}

#[tokio::test]
async fn a_camera_that_ignores_a_value_is_told_with_the_value_that_it_has() {
    let mut scene = Scene::start(Fake { media2_only: true, ..Fake::default() }).await;
    let plan = scene.check().await["plan"].clone();
    scene.encoders.set_reactions(&[Reaction::Ignore, Reaction::Accept]);
    let heard = scene.apply(&plan).await;
    let changes = &heard.response["result"]["changes"];
    assert_eq!(changes[0]["after"], "every 8 s (200 frames)", "{heard:?}");
    assert_eq!(changes[1]["after"], "every 2 s (30 frames)", "{heard:?}");
    scene.end().await;
}

#[tokio::test]
async fn a_camera_without_a_known_service_is_not_asked() {
    let mut scene = Scene::start(Fake::default()).await;
    for (camera, words) in [("yard", "does not know the ONVIF service"), ("attic", "no such")] {
        let heard = scene.asking.ask("portholeCheckSettings", json!({ "camera": camera })).await;
        let (code, sentence) = heard.fault().expect("a fault");
        assert_eq!(code, 404, "{sentence}");
        assert!(sentence.contains(words), "{sentence}");
    }
    // The device of the other camera is asked what it can do, but not for its settings.
    let log = scene.device.seen.log();
    assert!(!log.contains("VideoEncoder"), "{log}");
    scene.end().await;
}
