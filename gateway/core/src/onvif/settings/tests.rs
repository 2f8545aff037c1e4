//! Settings of odd cameras, in virtual time.

mod fake;

use std::net::IpAddr;

use super::*;
use fake::{Fake, Reaction, encoder};

const UNIX_S: i64 = 1_795_867_200;
const PEER: [u8; 4] = [192, 168, 12, 2];
const MEDIAS: [Media; 2] = [Media::First, Media::Second];

fn config(task: Task) -> Config {
    let networks = Networks { own: vec!["192.168.12.0/24".parse().unwrap()], named: Vec::new() };
    Config {
        peer: SocketAddr::from((PEER, 0)),
        service: ServiceAddress::parse("http://192.168.12.2/onvif/device_service").unwrap(),
        credentials: None,
        allows_text: false,
        networks,
        number: 1,
        task,
        unix_s: UNIX_S,
        seed: 1,
    }
}

/// Runs a task to its end, in virtual time. Each request takes a second.
fn run(config: Config, camera: &mut Fake) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let mut now = start;
    let Ok(mut settings) = Settings::new(config, now) else { panic!("the address is allowed") };
    let mut waiting = None;
    for _ in 0..1000 {
        while let Some(output) = settings.poll_output() {
            match output {
                Output::Send(request) => {
                    assert_eq!(request.to.ip(), IpAddr::from(PEER), "{request:?}");
                    waiting = Some(request);
                }
                Output::Cancel(_) => waiting = None,
                Output::Done(result) => {
                    assert!(settings.poll_timeout().is_none() && settings.poll_output().is_none());
                    assert!(now.duration_since(start).as_secs() <= 60);
                    return result;
                }
            }
        }
        let due = settings.poll_timeout().expect("a deadline");
        now += Duration::from_secs(1);
        let passed = i64::try_from(now.duration_since(start).as_secs()).unwrap_or(0);
        let request = waiting.take();
        let reply = request.as_ref().map(|request| camera.handle(request, UNIX_S + passed));
        match request.zip(reply.flatten()) {
            Some((request, reply)) => settings.handle_reply(now, request.id, &reply),
            None => {
                now = now.max(due);
                settings.handle_timeout(now);
            }
        }
    }
    panic!("the task has no end");
}

fn check(camera: &mut Fake) -> Outcome {
    run(config(Task::Check([Facts::default(); 2])), camera).unwrap()
}

/// Writes changes as `stream key: before > after`.
fn written(changes: &[Change]) -> Vec<String> {
    let write = |change: &Change| {
        let stream = change.stream.map(decide::role_name);
        let Change { key, before, after, .. } = change;
        format!("{} {key}: {before} > {after}", stream.unwrap_or("camera"))
    };
    changes.iter().map(write).collect()
}

fn keys(left: &[Finding]) -> Vec<&'static str> {
    left.iter().map(Finding::key).collect()
}

type Case = (&'static str, fn(&mut Fake), &'static [&'static str], &'static [&'static str]);

/// The cameras: what is odd about each, which changes are shown, and what is left.
const CASES: &[Case] = &[
    ("nothing wrong", |_| {}, &[], &[]),
    (
        "far key frames",
        |camera| camera.encoders[0] = main(camera, "H264", (1920, 1080), 200),
        &["main key-frames: every 8 s (200 frames) > every 2 s (50 frames)"],
        &[],
    ),
    (
        "key frames at the limit",
        |camera| camera.encoders[0] = main(camera, "H264", (1920, 1080), 100),
        &[],
        &[],
    ),
    (
        "a range of key frames that begins late",
        |camera| {
            camera.encoders[0] = main(camera, "H264", (1920, 1080), 200);
            replace(camera, 0, &[("\"1 250\"", "\"100 250\""), ("<tt:Min>1<", "<tt:Min>100<")]);
        },
        &["main key-frames: every 8 s (200 frames) > every 4 s (100 frames)"],
        &[],
    ),
    (
        "a fixed distance of key frames",
        |camera| {
            camera.encoders[0] = main(camera, "H264", (1920, 1080), 200);
            replace(camera, 0, &[("\"1 250\"", "\"200 200\""), ("<tt:Min>1<", "<tt:Min>200<")]);
        },
        &[],
        &["far-key-frames"],
    ),
    (
        "one encoder only",
        |camera| {
            camera.encoders.pop();
        },
        &[],
        &["no-sub-stream"],
    ),
    (
        "a clock that is behind",
        |camera| camera.ahead_s = -183 * 86_400,
        &["camera clock: 2026-05-29 12:00:01 UTC, 183 days behind > 2026-11-28 12:00:07 UTC"],
        &[],
    ),
    (
        "a clock that was never set",
        |camera| camera.ahead_s = 300 - UNIX_S,
        &["camera clock: never set > 2026-11-28 12:00:07 UTC"],
        &[],
    ),
    (
        "a time server that is wrong",
        |camera| (camera.ahead_s, camera.time_type) = (3600, "NTP"),
        &[],
        &["clock-off"],
    ),
    ("a clock that is a little off", |camera| camera.ahead_s = 5, &[], &[]),
    ("no options", |camera| camera.lacks.push("GetVideoEncoderConfigurationOptions"), &[], &[]),
];

fn main(camera: &Fake, encoding: &str, size: (u32, u32), gov: u32) -> fake::FakeEncoder {
    encoder(camera.media, "e1", encoding, size, 25, gov)
}

/// Replaces texts in what an encoder tells of itself.
fn replace(camera: &mut Fake, index: usize, texts: &[(&str, &str)]) {
    let encoder = &mut camera.encoders[index];
    for (from, to) in texts {
        // The first number of the first media service is that of the key frames.
        encoder.options = encoder.options.replacen(from, to, 1);
        encoder.text = encoder.text.replace(from, to);
    }
}

#[test]
fn what_spoils_webrtc_is_shown_with_its_values_before_and_after() {
    for media in MEDIAS {
        for (name, change, expected, left) in CASES {
            let mut camera = Fake::new(media);
            change(&mut camera);
            let found = check(&mut camera);
            assert_eq!(written(&found.changes), *expected, "{name}, {media:?}");
            assert_eq!(keys(&found.left), *left, "{name}, {media:?}");
            assert!(camera.set.is_empty(), "{name}, {media:?}: a look sets nothing");
            assert!(found.plan.len() <= MAX_PLAN, "{name}: {}", found.plan);
        }
    }
}

type CodecCase = (&'static str, (&'static str, (u32, u32)), &'static [&'static str]);

#[test]
fn a_stream_that_every_browser_plays_is_made_of_the_second_encoder_before_the_first() {
    let cases: &[CodecCase] = &[
        (
            "H.265 in both: the sub stream changes, the main one stays",
            ("H265", (640, 360)),
            &["sub codec: H.265 > H.264"],
        ),
        (
            "a second stream as large as the first",
            ("H265", (1920, 1080)),
            &[
                "sub codec: H.265 > H.264",
                "sub size: 1920\u{d7}1080 > 640\u{d7}360",
                "sub frame-rate: 25 fps > 12.5 fps",
                "sub bit-rate: 2048 kbit/s > 500 kbit/s",
                "sub key-frames: every 2 s (50 frames) > every 2 s (25 frames)",
            ],
        ),
    ];
    for (name, (encoding, size), expected) in cases {
        let mut camera = Fake::new(Media::Second);
        camera.encoders[0] = main(&camera, "H265", (1920, 1080), 50);
        camera.encoders[1] = encoder(Media::Second, "e2", encoding, *size, 25, 50);
        let found = check(&mut camera);
        assert_eq!(written(&found.changes), *expected, "{name}");
        assert_eq!(keys(&found.left), [""; 0], "{name}");
    }
    let mut camera = Fake::new(Media::Second);
    camera.encoders = vec![main(&camera, "H265", (1920, 1080), 50)];
    let found = check(&mut camera);
    assert_eq!(written(&found.changes), ["main codec: H.265 > H.264"], "the only stream");
    camera.encoders[0].options = camera.encoders[0].options.replace("H264", "JPEG");
    let found = check(&mut camera);
    assert_eq!(written(&found.changes), [""; 0], "H.264 is not offered");
    assert_eq!(keys(&found.left), ["no-sub-stream", "no-h264"]);
}

type BCase = (&'static str, [Facts; 2], &'static str, &'static str, &'static [&'static str]);

#[test]
fn b_pictures_are_switched_off_by_their_distance_or_by_the_profile_and_only_if_there_are_some() {
    let b = Facts { has_b_pictures: true, ..Facts::default() };
    let none = Facts::default();
    let cases: &[BCase] = &[
        ("none", [none, none], "", "", &[]),
        ("in the main stream", [b, none], "", "", &["main profile: High > Baseline"]),
        ("no Baseline", [none, b], "Baseline", "x", &["sub profile: High > Main"]),
        (
            "the distance of pictures",
            [none, none],
            "Profile=\"High\"",
            "Profile=\"High\" AnchorFrameDistance=\"3\"",
            &["main b-pictures: 2 of 3 pictures > none", "sub b-pictures: 2 of 3 pictures > none"],
        ),
    ];
    for (name, facts, from, to, expected) in cases {
        let mut camera = Fake::new(Media::Second);
        if !from.is_empty() {
            replace(&mut camera, 0, &[(from, to)]);
            replace(&mut camera, 1, &[(from, to)]);
        }
        let found = run(config(Task::Check(*facts)), &mut camera).unwrap();
        assert_eq!(written(&found.changes), *expected, "{name}");
        assert_eq!(found.left, [], "{name}");
        let set = run(config(Task::Apply(found.plan)), &mut camera).unwrap();
        assert_eq!(written(&set.changes), *expected, "{name}: the plan has what was measured");
    }
    let mut camera = Fake::new(Media::First);
    replace(&mut camera, 0, &[("High", "Baseline")]);
    let found = run(config(Task::Check([b, none])), &mut camera).unwrap();
    assert_eq!((written(&found.changes), keys(&found.left)), (vec![], vec!["b-pictures"]));
}

#[test]
fn a_smart_codec_that_onvif_does_not_show_is_told_with_the_distance_that_was_measured() {
    for distance in [None, Some(10)] {
        let far =
            Facts { has_far_key_frames: true, key_frame_distance_s: distance, ..Facts::default() };
        let mut camera = Fake::new(Media::First);
        let found = run(config(Task::Check([far, Facts::default()])), &mut camera).unwrap();
        let stream = "main 1".to_owned();
        assert_eq!(found.left, [Finding::FarKeyFrames { stream, seconds: distance }]);
        assert_eq!(found.changes, []);
    }
}

/// Returns a camera whose both streams and clock are wrong.
fn wrong(media: Media) -> Fake {
    let mut camera = Fake::new(media);
    camera.encoders[0] = main(&camera, "H264", (1920, 1080), 200);
    camera.encoders[1] = encoder(media, "e2", "H264", (640, 360), 15, 150);
    camera.ahead_s = -86_400;
    camera
}

#[test]
fn exactly_what_was_shown_is_set_and_everything_else_stays_as_it_was_read() {
    for media in MEDIAS {
        let mut camera = wrong(media);
        let before: Vec<_> = camera.encoders.iter().map(|it| it.text.clone()).collect();
        let shown = check(&mut camera);
        assert_eq!(shown.changes.len(), 3, "{media:?}");
        let set = run(config(Task::Apply(shown.plan.clone())), &mut camera).unwrap();
        assert_eq!(written(&set.changes[..2]), written(&shown.changes[..2]), "{media:?}");
        // A request takes a second here.
        assert_eq!(camera.ahead_s, -1, "{media:?}: the time of the moment of setting");
        assert_eq!(camera.set.len(), 3, "{media:?}: one request each");
        for (index, (old, new)) in [("200", "50"), ("150", "30")].into_iter().enumerate() {
            let expected = before[index].replace(old, new);
            let (_, content) = expected.split_once('>').unwrap();
            let content = content.rsplit_once("</").unwrap().0;
            let set = &camera.set[index];
            assert!(set.contains(content), "{media:?}: {set} has not {content}");
            assert!(set.contains("v:Model='x&amp;y'") && set.contains("xmlns:v=\"urn:v\""));
            let persists = set.contains("<c:ForcePersistence>true<");
            assert_eq!(persists, media == Media::First, "{set}");
        }
        let clock = &camera.set[2];
        for part in ["Manual<", "DaylightSavings>true<", "<t:TZ>CET-1CEST<"] {
            assert!(clock.contains(part), "{clock}");
        }
        assert_eq!(check(&mut camera).changes, [], "{media:?}: nothing is left to set");
    }
}

#[test]
fn settings_that_have_changed_since_are_not_set() {
    let mut camera = wrong(Media::Second);
    let shown = check(&mut camera);
    camera.encoders[1] = encoder(Media::Second, "e2", "H264", (640, 360), 10, 150);
    for plan in [shown.plan.as_str(), "", "1--", "2--0", &"x".repeat(200)] {
        let result = run(config(Task::Apply(plan.to_owned())), &mut camera);
        assert_eq!(result, Err(Failure::Changed), "{plan}");
    }
    assert!(camera.set.is_empty());
}

type RefusalCase = (&'static str, &'static [Reaction], &'static str);

#[test]
fn a_refusal_changes_nothing_and_says_so() {
    use Reaction::{Accepts, Forbids, IsSilent, Refuses};
    let cases: &[RefusalCase] = &[
        (
            "the first change",
            &[Refuses],
            "the camera refuses the settings of its main stream (Not now), and nothing was \
             changed: set it in the camera's own pages",
        ),
        (
            "the second one",
            &[Accepts, Refuses],
            "the camera refuses the settings of its sub stream (Not now), and nothing was \
             changed, because what was set before it was put back: set it in the camera's own \
             pages",
        ),
        (
            "the clock",
            &[Accepts, Accepts, Refuses],
            "the camera refuses the time (Not now), and nothing was changed, because what was set \
             before it was put back: set it in the camera's own pages",
        ),
        (
            "no answer to the second one, which was set",
            &[Accepts, IsSilent],
            "the camera refuses the settings of its sub stream (it does not answer), and nothing \
             was changed, because what was set before it was put back: set it in the camera's own \
             pages",
        ),
    ];
    for media in MEDIAS {
        for (name, reactions, expected) in cases {
            let mut camera = wrong(media);
            let before = values(&camera);
            let plan = check(&mut camera).plan;
            camera.reactions = reactions.to_vec();
            let failure = run(config(Task::Apply(plan)), &mut camera).unwrap_err();
            assert_eq!(failure.to_string(), *expected, "{name}, {media:?}");
            assert_eq!(values(&camera), before, "{name}, {media:?}");
        }
    }
    let mut camera = wrong(Media::First);
    let plan = check(&mut camera).plan;
    camera.reactions = vec![Forbids];
    let failure = run(config(Task::Apply(plan)), &mut camera).unwrap_err();
    let sentence = failure.to_string();
    assert!(sentence.contains("requires user and password"), "{sentence}");
    assert!(sentence.contains("nothing was changed") && camera.set.len() == 1, "{sentence}");
}

/// Returns the settings of a camera as they are read.
fn values(camera: &Fake) -> Vec<encoder::Values> {
    let read = |it: &fake::FakeEncoder| {
        let answer = format!("<a xmlns:tt='t' xmlns:m='m' xmlns:v='v'>{}</a>", it.text);
        Encoder::read(camera.media, it.token, answer.as_bytes()).unwrap().values
    };
    camera.encoders.iter().map(read).collect()
}

#[test]
fn what_cannot_be_put_back_is_told_exactly() {
    use Reaction::{Accepts, Refuses};
    let mut camera = wrong(Media::First);
    let plan = check(&mut camera).plan;
    camera.reactions = vec![Accepts, Refuses, Refuses];
    let failure = run(config(Task::Apply(plan)), &mut camera).unwrap_err();
    let stands = "main stream: key-frames every 2 s (50 frames)".to_owned();
    let what = "the settings of its sub stream";
    let reason = "Not now".to_owned();
    let expected = Failure::Refused { what, reason, undone: Undone::Stands(stands) };
    assert_eq!(failure, expected);
    assert_eq!(values(&camera)[0].gov_length, Some(50));
}

#[test]
fn a_camera_that_ignores_values_is_told_by_what_it_has_afterwards() {
    let mut camera = wrong(Media::Second);
    let plan = check(&mut camera).plan;
    camera.reactions = vec![Reaction::Ignores; 3];
    let set = run(config(Task::Apply(plan)), &mut camera).unwrap();
    for change in &set.changes[..2] {
        assert_eq!(change.before, change.after, "{change:?}");
    }
    assert!(set.changes[2].after.contains("behind"), "{:?}", set.changes[2]);
}

#[test]
fn a_clock_that_was_set_without_an_answer_is_looked_at() {
    for (reactions, is_set) in [
        (vec![Reaction::Accepts, Reaction::Accepts, Reaction::IsSilent], true),
        (vec![Reaction::IsSilent], false),
    ] {
        let mut camera = wrong(Media::First);
        let plan = check(&mut camera).plan;
        camera.reactions = reactions;
        let result = run(config(Task::Apply(plan)), &mut camera);
        assert_eq!(result.is_ok(), is_set, "{result:?}");
        assert_eq!(camera.ahead_s.abs() <= 10, is_set);
    }
}

type OddCase = (&'static str, fn(&mut Fake), &'static str);

#[test]
fn a_device_that_does_not_tell_its_settings_is_explained() {
    let cases: &[OddCase] = &[
        ("no profiles", |camera| camera.encoders.clear(), "no profile with H.264"),
        (
            "no encoders",
            |camera| {
                camera.lacks = vec!["GetVideoEncoderConfiguration"];
            },
            "does not tell its settings",
        ),
        (
            "a configuration that is cut",
            |camera| camera.is_cut = true,
            "does not tell its settings",
        ),
    ];
    for (name, change, expected) in cases {
        let mut camera = Fake::new(Media::First);
        change(&mut camera);
        let result = run(config(Task::Check([Facts::default(); 2])), &mut camera);
        let sentence = result.unwrap_err().to_string();
        assert!(sentence.contains(expected), "{name}: {sentence}");
    }
    let mut config = config(Task::Check([Facts::default(); 2]));
    config.number = 2;
    let failure = run(config, &mut Fake::new(Media::First)).unwrap_err();
    assert_eq!(failure, Failure::NoCamera(2));
}

#[test]
fn an_address_outside_of_the_networks_is_not_contacted() {
    let peer = SocketAddr::from(([8, 8, 8, 8], 0));
    let config = Config { peer, ..config(Task::Check([Facts::default(); 2])) };
    let error = Settings::new(config, Instant::now()).unwrap_err();
    assert_eq!(error, NotAllowed::Elsewhere(peer.ip()));
}
