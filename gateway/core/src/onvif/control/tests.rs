mod fake;

use std::time::Duration;

use super::*;
use fake::{Camera, World, event, motion};

const DAY: Duration = Duration::from_secs(86_400);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn what_a_camera_can_do_is_found_wherever_it_says_so() {
    type Case = (&'static str, Camera, u32, Option<(bool, bool, bool)>);
    let camera = Camera::default;
    let cases: Vec<Case> = vec![
        ("everything", camera(), 1, Some((true, true, true))),
        ("no zoom", Camera { space: "pan and tilt", ..camera() }, 1, Some((true, false, false))),
        ("a zoom only", Camera { space: "zoom", ..camera() }, 1, Some((false, true, true))),
        ("no speeds", Camera { space: "", ..camera() }, 1, None),
        (
            "no answer about the mechanics",
            Camera { lacks: vec!["GetNode", "GetConfigurationOptions"], ..camera() },
            1,
            Some((true, false, true)),
        ),
        (
            "options only",
            Camera { lacks: vec!["GetNode"], ..camera() },
            1,
            Some((true, true, true)),
        ),
        (
            "PTZ in the first media service only",
            Camera { has_media2: true, ..camera() },
            1,
            Some((true, true, true)),
        ),
        ("the second camera", Camera { sources: 3, ..camera() }, 2, Some((true, true, true))),
        ("no such camera", Camera { sources: 3, ..camera() }, 4, None),
        ("no configuration", Camera { lacks: vec!["configuration"], ..camera() }, 1, None),
        ("no service", Camera { lacks: vec!["PTZ"], ..camera() }, 1, None),
        (
            "a clock from another year",
            Camera { ahead_s: -9_999_999, ..camera() },
            1,
            Some((true, true, true)),
        ),
    ];
    for (name, camera, number, expected) in cases {
        let mut world = World::new(camera, number);
        world.run(Duration::from_secs(2));
        let found = world.state.abilities.as_ref();
        assert_eq!(found.map(|it| (it.pan_tilt, it.zoom, it.presets)), expected, "{name}");
        let moved = world.moves("Ann", 50, 0, 0);
        assert_eq!(moved.is_ok(), expected.is_some(), "{name}: {moved:?}");
        world.run(ms(100));
        let used = world.camera.log.iter().find(|(_, call, _)| call == "ContinuousMove");
        if expected.is_some_and(|(pan_tilt, ..)| pan_tilt) {
            let profile = format!("<c:ProfileToken>ptz{number}<");
            assert!(used.is_some_and(|(_, _, text)| text.contains(&profile)), "{name}: {used:?}");
        }
    }
}

#[test]
fn a_camera_moves_while_it_is_asked_to_and_stops_soon_after() {
    // Times of the requests, the oddities, and the latest time of the stop.
    type Case = (&'static str, Camera, &'static [(u64, i32)], u64);
    let camera = Camera::default;
    let held: &[(u64, i32)] = &[(0, 50), (300, 50), (600, 50), (900, 50), (1200, 50)];
    let cases: Vec<Case> = vec![
        ("the button is let go", camera(), &[(0, 50), (300, 50), (450, 0)], 500),
        ("the viewer is cut off", camera(), held, 2250),
        ("a camera of few words", Camera { is_terse: true, ..camera() }, held, 2250),
        ("without a call to stop", Camera { lacks: vec!["Stop"], ..camera() }, held, 2300),
        (
            "a stop whose answer is lost",
            Camera { loses: vec![("Stop", 3)], ..camera() },
            held,
            2300,
        ),
        (
            "without any way to stop",
            Camera { lacks: vec!["Stop"], loses: vec![("ContinuousMove", 99)], ..camera() },
            &[(0, 50)],
            2000,
        ),
        (
            "a movement whose answer is lost",
            Camera { loses: vec![("ContinuousMove", 1)], ..camera() },
            &[(0, 50), (300, 50)],
            1400,
        ),
        (
            "a camera that knows no timeout",
            Camera { lacks: vec!["Timeout"], ..camera() },
            held,
            2300,
        ),
    ];
    for (name, camera, requests, stopped_by) in cases {
        let mut world = World::ready(camera);
        let start = world.now;
        for (at, pan) in requests {
            world.run(start + ms(*at) - world.now);
            world.moves("Ann", *pan, 0, 0).unwrap();
            world.run(ms(60));
            let is_last = requests.last().is_some_and(|(last, _)| last == at);
            assert!(is_last || world.is_moving(), "{name} at {at}");
        }
        world.run(start + ms(stopped_by) - world.now);
        assert!(!world.is_moving(), "{name}");
        world.run(Duration::from_secs(20));
        assert!(!world.is_moving(), "{name}, later");
        let count = world.count("ContinuousMove") + world.count("Stop");
        assert!(count <= 16, "{name}: {count} calls");
        world.camera.log.clear();
        world.run(Duration::from_secs(60));
        assert_eq!(world.count("Stop") + world.count("ContinuousMove"), 0, "{name}: it goes on");
    }
}

#[test]
fn a_stop_that_never_arrives_is_told_until_the_camera_ends_by_itself() {
    let mut world = World::ready(Camera::default());
    world.moves("Ann", 50, 0, 0).unwrap();
    world.run(ms(100));
    world.camera.is_away = true;
    world.run(ms(1950));
    assert!(!world.is_moving(), "the camera's own timeout");
    world.camera.is_away = false;
    world.run(ms(1500));
    assert!(world.count("Stop") >= 1, "it is told as soon as the camera is there again");
}

#[test]
fn only_the_newest_speed_is_sent_and_nothing_waits_behind_it() {
    let mut world = World::ready(Camera::default());
    for pan in 1..=50 {
        world.moves("Ann", pan, 0, 0).unwrap();
        world.run(ms(2));
    }
    world.run(ms(100));
    let moves: Vec<_> =
        world.camera.log.iter().filter(|(_, call, _)| call == "ContinuousMove").collect();
    assert!(moves.len() <= 7, "{}", moves.len());
    assert!(moves.last().is_some_and(|(_, _, text)| text.contains("x=\"0.5000\" y=\"0\"")));
}

#[test]
fn the_parts_of_a_speed_are_those_that_change() {
    let mut world = World::ready(Camera::default());
    for (velocity, parts) in [
        ((-100, 25, 0), "<t:PanTilt x=\"-1.0000\" y=\"0.2500\"/>"),
        ((0, 0, 300), "<t:PanTilt x=\"0\" y=\"0\"/><t:Zoom x=\"1.0000\"/>"),
        ((0, 0, -50), "<t:Zoom x=\"-0.5000\"/>"),
    ] {
        world.camera.log.clear();
        let (pan, tilt, zoom) = velocity;
        world.moves("Ann", pan, tilt, zoom).unwrap();
        world.run(ms(100));
        let (_, _, text) = &world.camera.log[0];
        assert!(text.contains(&format!(">{parts}</c:Velocity>")), "{text}");
    }
}

#[test]
fn a_second_person_waits_until_the_first_one_has_let_go() {
    let mut world = World::ready(Camera::default());
    let held = Err(Refusal::Held("Ann".to_owned()));
    world.moves("Ann", 50, 0, 0).unwrap();
    assert_eq!(world.state.abilities.as_ref().unwrap().held_by.as_deref(), Some("Ann"));
    assert_eq!(world.moves("Ben", -50, 0, 0), held.clone().map(drop));
    world.run(ms(1990));
    assert_eq!(world.moves("Ben", 0, 0, 0), held.clone().map(drop), "nor may Ben stop it");
    let go_to = |by: &str| Command::GoTo { by: by.to_owned(), preset: "3".to_owned() };
    assert_eq!(world.command(go_to("Ben")), Some(held.map(|()| Done::Nothing)));
    world.run(ms(20));
    assert_eq!(world.state.abilities.as_ref().unwrap().held_by, None);
    world.moves("Ben", -50, 0, 0).unwrap();
    assert!(world.moves("Ann", 50, 0, 0).unwrap_err().to_string().starts_with("Ben is moving"));
}

#[test]
fn presets_are_listed_visited_saved_and_removed() {
    let mut world = World::ready(Camera::default());
    let Ok(Done::Presets(presets)) = world.ask(Command::Presets) else { panic!("no presets") };
    assert_eq!((presets.len(), presets[7].name.as_str()), (128, "P7"));
    let by = "Ann".to_owned();
    world.moves("Ann", 50, 0, 0).unwrap();
    world.calls();
    assert_eq!(world.ask(Command::GoTo { by, preset: "<3>".to_owned() }), Ok(Done::Nothing));
    let calls = world.calls();
    let calls: Vec<_> = calls.iter().filter(|call| *call != "PullMessages").collect();
    assert_eq!(calls, ["Stop", "GotoPreset"], "the movement ends first");
    let saved = world.ask(Command::Save { name: "Gate".to_owned() });
    let preset = Preset { token: "new".to_owned(), name: "Gate".to_owned() };
    assert_eq!(saved, Ok(Done::Saved(preset)));
    assert_eq!(world.ask(Command::Remove { preset: "new".to_owned() }), Ok(Done::Nothing));
    world.camera.lacks.push("GotoPreset");
    let command = Command::GoTo { by: "Ann".to_owned(), preset: "3".to_owned() };
    assert_eq!(world.ask(command), Err(Refusal::Refused));
    world.camera.loses = vec![("GetPresets", 1)];
    assert_eq!(world.ask(Command::Presets), Err(Refusal::Silent));
    let answers: Vec<_> = (0..9).filter_map(|_| world.command(Command::Presets)).collect();
    assert!(answers.len() >= 3 && answers.iter().all(|it| *it == Err(Refusal::Busy)));
}

#[test]
fn a_person_is_told_that_the_camera_refuses_or_does_not_answer() {
    for (camera, expected) in [
        (Camera { lacks: vec!["ContinuousMove"], ..Camera::default() }, Refusal::Refused),
        (Camera { loses: vec![("ContinuousMove", 9)], ..Camera::default() }, Refusal::Silent),
    ] {
        let mut world = World::ready(camera);
        let mut answers = Vec::new();
        for _ in 0..10 {
            answers.push(world.moves("Ann", 50, 0, 0));
            world.run(ms(300));
        }
        assert!(answers.contains(&Err(expected)), "{answers:?}");
    }
}

#[test]
fn a_user_without_the_right_to_move_locks_no_account() {
    let forbids = vec!["ContinuousMove", "Stop", "GetPresets", "CreatePullPointSubscription"];
    let camera = Camera { wants: Some("right"), forbids, ..Camera::default() };
    let mut world = World::ready(camera);
    world.camera.refused = 0;
    let mut told = 0;
    for _ in 0..200 {
        let moved = world.moves("Ann", 50, 0, 0);
        told += usize::from(moved == Err(Refusal::NotPermitted));
        world.run(ms(300));
    }
    assert!(told > 180, "{told}");
    assert!(world.camera.refused <= 6, "{} in a minute", world.camera.refused);
    world.camera.forbids.clear();
    world.run(Duration::from_secs(61));
    world.moves("Ann", 50, 0, 0).unwrap();
    world.run(ms(100));
    assert!(world.is_moving(), "a right that is given counts within a minute");
}

#[test]
fn for_a_day_there_is_one_subscription_and_it_is_given_back() {
    type Case = (&'static str, Camera, u32);
    let camera = Camera::default;
    let cases: Vec<Case> = vec![
        ("renewed", camera(), 1),
        ("a clock half a year ahead", Camera { ahead_s: 15_811_200, ..camera() }, 1),
        ("a relative time", Camera { times: "relative", ..camera() }, 1),
        ("an end without a beginning", Camera { times: "end only", ..camera() }, 1),
        ("an end before its beginning", Camera { times: "backwards", ..camera() }, 1),
        ("no times", Camera { times: "", ..camera() }, 1),
        (
            "a time of its own",
            Camera { lacks: vec!["InitialTerminationTime"], lifetime: ms(600_000), ..camera() },
            1,
        ),
        ("no synchronization", Camera { lacks: vec!["SetSynchronizationPoint"], ..camera() }, 1),
        ("a reference without an address", Camera { reference: "", ..camera() }, 1),
        ("a renewal that is refused once", Camera { refuses_renewals: 1, ..camera() }, 2),
        ("not renewed", Camera { lacks: vec!["Renew"], ..camera() }, 86_400 / 30),
        (
            "neither renewed nor given back",
            Camera { lacks: vec!["Renew", "Unsubscribe"], ..camera() },
            86_400 / 30,
        ),
        (
            "lost answers",
            Camera {
                loses: vec![("Renew", 5), ("PullMessages", 20), ("CreatePullPointSubscription", 2)],
                ..camera()
            },
            9,
        ),
    ];
    for (name, camera, most_made) in cases {
        let mut world = World::new(camera, 1);
        for hour in 0..24 {
            world.run(DAY / 24);
            world.camera.log.clear();
            assert!(world.camera.most_slots <= 1, "{name} in hour {hour}");
        }
        let made = world.camera.made_slots;
        assert!((1..=most_made).contains(&made), "{name}: {made}");
        let has_one = !world.camera.slots.is_empty();
        assert!(has_one || name.starts_with("neither"), "{name}");
        world.control.close(world.now);
        world.run(Duration::from_secs(3));
        assert!(world.is_closed, "{name}");
        let is_kept = world.camera.lacks.contains(&"Unsubscribe");
        assert!(is_kept || world.camera.slots.is_empty(), "{name}");
    }
}

#[test]
fn a_subscription_that_is_being_made_at_the_end_is_given_back_too() {
    for at in [1, 30, 45, 60, 75, 90, 110, 115, 125, 130, 140, 150, 170] {
        let mut world = World::new(Camera::default(), 1);
        world.run(ms(at));
        world.control.close(world.now);
        world.run(Duration::from_secs(3));
        assert!(world.is_closed && world.camera.slots.is_empty(), "closed after {at} ms");
    }
}

#[test]
fn a_camera_that_moves_at_the_end_is_stopped() {
    let mut world = World::ready(Camera::default());
    world.moves("Ann", 50, 0, 0).unwrap();
    world.run(ms(100));
    world.control.close(world.now);
    world.run(ms(100));
    assert!(world.is_closed && !world.is_moving() && world.camera.slots.is_empty());
    let mut world = World::ready(Camera { loses: vec![("Stop", 99)], ..Camera::default() });
    world.moves("Ann", 50, 0, 0).unwrap();
    world.control.close(world.now);
    world.run(Duration::from_secs(2));
    assert!(world.is_closed, "the end is not waited for longer");
}

#[test]
fn motion_is_told_soon_whatever_became_of_the_subscription() {
    type Case = (&'static str, fn(&mut World), u64);
    let cases: &[Case] = &[
        ("while a pull waits", |_| {}, 100),
        ("after a quiet hour", |world| world.run(ms(3_600_000)), 100),
        (
            "after the subscription was lost",
            |world| {
                world.run(Duration::from_secs(20));
                world.lose_subscription();
                world.camera.initial = MOTION.with(|it| *it);
            },
            1000,
        ),
        (
            "after a restart of the camera",
            |world| {
                world.run(Duration::from_secs(20));
                world.camera.is_away = true;
                world.lose_subscription();
                world.run(Duration::from_secs(20));
                world.camera.is_away = false;
                world.camera.initial = MOTION.with(|it| *it);
            },
            25_000,
        ),
    ];
    thread_local!(static MOTION: &'static str = motion("true").leak());
    for (name, before, within_ms) in cases {
        let mut world = World::ready(Camera::default());
        world.tell(&motion("false"));
        world.run(ms(1000));
        assert_eq!(world.state.motion, Some(Seen { active: false, began: None }), "{name}");
        before(&mut world);
        let began = world.now;
        if world.camera.initial.is_empty() {
            world.tell(&motion("true"));
        }
        world.run(ms(*within_ms));
        let seen = world.state.motion.unwrap();
        assert!(seen.active && seen.began.is_some_and(|at| at >= began), "{name}: {seen:?}");
        assert!(world.camera.most_slots <= 1, "{name}");
    }
}

#[test]
fn a_motion_ends_when_it_is_told_or_not_told_again() {
    let mut world = World::ready(Camera::default());
    world.tell(&motion("true"));
    world.run(Duration::from_secs(59));
    assert!(world.state.motion.unwrap().active);
    world.run(Duration::from_secs(2));
    assert!(!world.state.motion.unwrap().active, "nobody has told it for a minute");
    world.tell(&(motion("true") + &event("tns1:VideoSource/MotionAlarm", "c1", "State", "1")));
    world.run(Duration::from_secs(2));
    world.tell(&motion("false"));
    world.run(Duration::from_secs(2));
    assert!(world.state.motion.unwrap().active, "the other rule sees it still");
    world.tell(&event("tns1:VideoSource/MotionAlarm", "c1", "State", "0"));
    world.run(ms(100));
    assert!(!world.state.motion.unwrap().active);
    // A rule that flickers.
    let before = world.states.len();
    for _ in 0..50 {
        world.tell(&motion("true"));
        world.run(ms(100));
        world.tell(&motion("false"));
        world.run(ms(100));
    }
    let changes = world.states.len() - before;
    assert!((8..=24).contains(&changes), "{changes} changes in ten seconds");
}

#[test]
fn only_the_motion_of_its_own_source_counts_on_a_recorder() {
    for (number, source, expected) in
        [(2, "c2", true), (2, "s2", true), (2, "main2", true), (2, "c1", false), (2, "", false)]
    {
        let mut world = World::new(Camera { sources: 3, ..Camera::default() }, number);
        world.run(Duration::from_secs(1));
        world.tell(&event("tns1:VideoSource/MotionAlarm", source, "State", "true"));
        world.run(Duration::from_secs(1));
        let is_seen = world.state.motion.is_some_and(|seen| seen.active);
        assert_eq!(is_seen, expected, "{source}");
    }
}

#[test]
fn a_camera_that_has_no_events_or_is_away_is_asked_rarely() {
    type Case = (&'static str, Camera, &'static str, usize);
    let camera = Camera::default;
    let cases: Vec<Case> = vec![
        (
            "no such call",
            Camera { lacks: vec!["CreatePullPointSubscription"], ..camera() },
            "CreatePullPointSubscription",
            97,
        ),
        (
            "no events",
            Camera { lacks: vec!["events"], ..camera() },
            "CreatePullPointSubscription",
            0,
        ),
        ("nothing at all", Camera { lacks: vec!["events", "PTZ"], ..camera() }, "GetServices", 25),
        (
            "lost pulls",
            Camera { loses: vec![("PullMessages", 99_999)], ..camera() },
            "PullMessages",
            20_000,
        ),
        ("another password", Camera { wants: Some("another"), ..camera() }, "GetServices", 100),
    ];
    for (name, camera, call, most) in cases {
        let mut world = World::new(camera, 1);
        world.run(DAY);
        let count = world.count(call);
        assert!(count <= most, "{name}: {count}");
        assert!(world.failures <= 1, "{name}: it is told once");
        assert!(world.camera.most_slots <= 1, "{name}");
    }
    let mut world = World::new(Camera { is_away: true, ..camera() }, 1);
    world.run(DAY);
    world.camera.is_away = false;
    world.run(Duration::from_secs(301));
    assert!(world.state.abilities.is_some(), "a camera that returns is found");
}

#[test]
fn a_wrong_password_is_refused_twice_and_then_left_alone_for_an_hour() {
    let mut world = World::new(Camera { wants: Some("another"), ..Camera::default() }, 1);
    world.run(Duration::from_secs(3599));
    assert!((1..=2).contains(&world.camera.refused), "{}", world.camera.refused);
    world.run(Duration::from_secs(7200));
    assert!(world.camera.refused <= 6, "{}", world.camera.refused);
}

#[test]
fn the_headers_that_a_subscription_asks_for_are_sent_back() {
    let mut world = World::ready(Camera::default());
    world.run(Duration::from_secs(40));
    for call in ["PullMessages", "Renew"] {
        let (_, _, text) = world.camera.log.iter().find(|(_, it, _)| it == call).unwrap();
        for part in [
            "POST /onvif/pull?id=1 HTTP/1.1",
            "<p:Id xmlns:p=\"urn:d\"",
            ">1</p:Id>",
            ">http://192.0.2.9:8080/onvif/pull?id=1</a:To>",
            "Request</a:Action>",
        ] {
            assert!(text.contains(part), "{call}: {part} in {text}");
        }
    }
}
