//! Viewers behind an uplink with a cap.

use porthole_signaling_proto::method::{ShownPicture, ShownReason};

use super::link::Shape;
use super::scene::{MAIN, Player, SUB, Scene, Sub};
use super::watcher::Watcher;
use super::{MS, SECOND};

#[test]
fn a_cap_of_the_uplink_holds_whatever_the_line_carries() {
    println!("{:>14} {:>7} {:>6} {:>14}", "cap", "viewers", "main", "sent");
    for (kilobits, viewers, mains) in
        [(12_000, 2, 2), (6_000, 2, 1), (6_000, 1, 1), (3_000, 1, 0), (1_600, 2, 0), (300, 1, 0)]
    {
        let cap = kilobits * 1000;
        let wide = Shape { rate: 100_000_000, ..Shape::default() };
        let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide], Some(cap));
        for viewer in 0..viewers {
            scene.watch(&format!("s{viewer}"), "door", 0);
            scene.run(SECOND * 3);
        }
        scene.run(SECOND * 10);
        let begin = scene.now;
        let sent = scene.rate(|link| link.bytes, 60);
        let large = |it: &&Watcher| it.first(begin, true).is_some();
        let seen = scene.watchers.values().filter(large).count();
        println!("{kilobits:>7} kbit/s {viewers:>7} {seen:>6} {:>7} kbit/s", sent / 1000);
        assert_eq!(seen, mains, "{kilobits} kbit/s: main streams");
        assert!(sent <= cap, "{kilobits} kbit/s: {sent} bit/s");
        let watchers = || scene.watchers.values();
        assert!(watchers().all(|it| it.ended.is_empty()), "{kilobits} kbit/s");
        assert!(watchers().all(|it| it.first(begin, large(&it)).is_some()), "all see something");
    }
}

#[test]
fn a_cap_binds_chosen_streams_too_and_leaves_a_sub_stream_to_those_that_follow() {
    // The cap in kbit/s, the sub stream, what the viewers watch in the order of arrival, and the
    // last picture that each was told of; nobody is told of what it has asked for.
    type Case<'a> = (u64, Sub, &'a [&'a str], &'a [Option<ShownPicture>]);
    let still = Some(ShownPicture::Still);
    let table: [Case<'_>; 6] = [
        (9_000, Sub::Missing, &["door", "door"], &[None, None]),
        (6_000, Sub::Missing, &["door", "door"], &[None, still]),
        (3_000, Sub::Missing, &["door"], &[still]),
        (800, Sub::Plays(SUB), &["door.sub", "door.sub"], &[None, still]),
        (1_500, Sub::Plays(SUB), &["door.sub", "door"], &[None, Some(ShownPicture::Sub)]),
        (1_000, Sub::Plays(SUB), &["door.sub", "door"], &[still, Some(ShownPicture::Sub)]),
    ];
    for (kilobits, sub, profiles, expected) in table {
        let cap = kilobits * 1000;
        let wide = Shape { rate: 100_000_000, ..Shape::default() };
        let mut scene = Scene::with(MAIN, sub, &[wide], Some(cap));
        let start = scene.now;
        for (viewer, profile) in profiles.iter().enumerate() {
            scene.watch(&format!("s{viewer}"), profile, 0);
            scene.run(SECOND * 3);
        }
        scene.run(SECOND * 10);
        let sent = scene.rate(|link| link.bytes, 60);
        let case = format!("{kilobits} kbit/s, {profiles:?}");
        println!("{case}: {} kbit/s", sent / 1000);
        assert!(sent <= cap, "{case}: {sent} bit/s");
        let last = |viewer: usize| scene.told(&format!("s{viewer}"), start).last().cloned();
        let told: Vec<_> = (0..profiles.len()).map(last).collect();
        let pictures: Vec<_> =
            told.iter().map(|it| it.as_ref().map(|(_, shown)| shown.picture)).collect();
        assert_eq!(pictures, expected, "{case}");
        let reasons = told.iter().flatten().map(|(_, shown)| shown.reason);
        assert!(reasons.clone().all(|it| it == Some(ShownReason::Cap)), "{case}: {told:?}");
        assert!(scene.watchers.values().all(|it| it.ended.is_empty()), "{case}");
    }
}

#[test]
fn a_chosen_stream_that_a_cap_has_stopped_comes_when_another_viewer_leaves() {
    let wide = Shape { rate: 100_000_000, ..Shape::default() };
    let mut scene = Scene::with(MAIN, Sub::Missing, &[wide], Some(4_500_000));
    for viewer in ["s1", "s2"] {
        scene.watch(viewer, "door", 0);
        scene.run(SECOND * 5);
    }
    let stood = scene.now;
    scene.run(SECOND * 20);
    assert_eq!(scene.watchers["s2"].first(stood, true), None, "there is room for one");
    assert!(scene.watchers["s1"].longest_gap(stood, scene.now) <= MS * 200, "which sees it all");
    scene.leave("s1");
    let left = scene.now;
    scene.run(SECOND * 20);
    let again = scene.watchers["s2"].first(left, true).unwrap() - left;
    assert!(again <= SECOND * 10, "a picture after {again:?}");
}

#[test]
fn a_player_whose_path_cannot_be_probed_is_tried_within_the_cap() {
    for (kilobits, sees_main) in [(3_000, false), (6_000, true)] {
        for (is_detailed, takes_rtx) in [(false, true), (true, false)] {
            let wide = Shape { rate: 100_000_000, ..Shape::default() };
            let cap = kilobits * 1000;
            let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide], Some(cap));
            let player = Player { is_detailed, takes_rtx, ..Player::default() };
            scene.watch_with("s1", "door", 0, player);
            scene.run(SECOND * 5);
            let begin = scene.now;
            scene.run(SECOND * 90);
            let case = format!("{kilobits} kbit/s, {player:?}");
            assert_eq!(scene.watchers["s1"].first(begin, true).is_some(), sees_main, "{case}");
            assert!(scene.watchers["s1"].ended.is_empty(), "{case}");
        }
    }
}

#[test]
fn whoever_has_no_place_for_the_sub_stream_sees_its_key_frames_or_a_picture_that_stands() {
    // The cap in kbit/s, the number of viewers, and how many of them see the sub stream, its key
    // frames, and nothing that is new.
    for (kilobits, viewers, expected) in
        [(1_000, 6, [1, 3, 2]), (300, 5, [0, 3, 2]), (1_500, 3, [2, 1, 0])]
    {
        let cap = kilobits * 1000;
        let wide = Shape { rate: 100_000_000, ..Shape::default() };
        let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide], Some(cap));
        let start = scene.now;
        for viewer in 0..viewers {
            scene.watch(&format!("s{viewer}"), "door", 0);
            scene.run(SECOND * 3);
        }
        scene.run(SECOND * 10);
        let begin = scene.now;
        let sent = scene.rate(|link| link.bytes, 60);
        println!("{kilobits} kbit/s, {viewers} viewers: {} kbit/s", sent / 1000);
        assert!(sent <= cap, "{kilobits} kbit/s: {sent} bit/s");
        let last = |viewer| scene.told(&format!("s{viewer}"), start).last().cloned();
        let told: Vec<_> = (0..viewers).filter_map(last).map(|(_, shown)| shown).collect();
        let seen = |picture| told.iter().filter(|it| it.picture == picture).count();
        let found = [ShownPicture::Sub, ShownPicture::KeyFrames, ShownPicture::Still].map(seen);
        assert_eq!(found, expected, "{kilobits} kbit/s: {told:?}");
        assert!(told.iter().all(|it| it.reason == Some(ShownReason::Cap)), "{told:?}");
        let changes: usize = scene.watchers.values().map(|it| it.changes(begin, scene.now)).sum();
        assert_eq!(changes, 0, "{kilobits} kbit/s");
    }
}

#[test]
fn another_cap_counts_at_once_and_a_larger_one_when_the_path_was_shown_to_carry_it() {
    use ShownPicture::{KeyFrames, Main};
    let sub = Some(ShownPicture::Sub);
    let wide = Shape { rate: 100_000_000, ..Shape::default() };
    let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide], None);
    let start = scene.now;
    for viewer in ["s1", "s2"] {
        scene.watch(viewer, "door", 0);
        scene.run(SECOND * 3);
    }
    // The cap in kbit/s, the time until it has to hold, and what both see by then.
    for (cap, seconds, expected) in [
        (Some(12_000), 1, [None, None]),
        (Some(6_000), 1, [None, sub]),
        (Some(800), 3, [sub, Some(KeyFrames)]),
        (Some(6_000), 30, [Some(Main), sub]),
        (None, 30, [Some(Main), Some(Main)]),
    ] {
        scene.set_max_uplink(cap.map(|cap| cap * 1000));
        scene.run(SECOND * seconds);
        let last = |name| scene.told(name, start).last().map(|(_, shown)| shown.picture);
        let seen = ["s1", "s2"].map(last);
        assert_eq!(seen, expected, "{cap:?}");
        let sent = scene.rate(|link| link.bytes, 10);
        println!("{cap:?}: {seen:?}, {} kbit/s", sent / 1000);
        assert!(cap.is_none_or(|cap| sent <= cap * 1000), "{cap:?}: {sent} bit/s");
    }
    assert!(scene.watchers.values().all(|it| it.ended.is_empty()));
}

#[test]
fn a_cap_binds_viewers_that_report_nothing() {
    for (kilobits, profile) in [(1_000, "door"), (3_000, "door"), (50, "door.sub")] {
        let cap = kilobits * 1000;
        let wide = Shape { rate: 100_000_000, ..Shape::default() };
        let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide], None);
        let player = Player { is_silent: true, ..Player::default() };
        scene.watch_with("s1", profile, 0, player);
        scene.run(SECOND * 5);
        let free = scene.rate(|link| link.bytes, 5);
        assert!(free > cap, "{kilobits} kbit/s: it gets more than that without a cap");
        scene.set_max_uplink(Some(cap));
        scene.run(SECOND * 5);
        let sent = scene.rate(|link| link.bytes, 20);
        println!("{kilobits} kbit/s, {profile}: {} kbit/s after {}", sent / 1000, free / 1000);
        assert!(sent <= cap, "{kilobits} kbit/s: {sent} bit/s");
    }
}
