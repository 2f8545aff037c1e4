//! Pictures that stand because a line carries none: of viewers with sound, of players that tell
//! little, and of cameras whose sub stream cannot be shown.

use std::time::Duration;

use porthole_signaling_proto::method::ShownPicture::{self, KeyFrames, Main, Still};

use super::link::Shape;
use super::scene::{MAIN, Player, SUB, Scene, Sub};
use super::{MS, SECOND};

/// Returns the pictures that a viewer was told of since the scene began.
fn told(scene: &Scene, name: &str, since: std::time::Instant) -> Vec<ShownPicture> {
    scene.told(name, since).iter().map(|(_, shown)| shown.picture).collect()
}

#[test]
fn sound_goes_on_beside_a_picture_that_stands_and_does_not_keep_it_there() {
    let plain = Player::default();
    let loud = Player { has_sound: true, ..plain };
    let coarse = Player { is_detailed: false, ..loud };
    let (follows, only) = (Sub::Plays(SUB), Sub::Missing);
    // The sub stream, the player, what the line carries in kbit/s, and the time in seconds in which
    // a picture comes after it carries everything again.
    for (case, sub, player, kilobits, latest) in [
        ("without sound", follows, plain, 40, 8),
        ("with sound", follows, loud, 105, 8),
        ("a player that tells little", follows, coarse, 105, 36),
        ("the only stream without sound", only, plain, 1_000, 12),
        ("the only stream with sound", only, loud, 1_000, 12),
        ("the only stream of such a player", only, coarse, 1_000, 36),
        ("a player without RTX", only, Player { takes_rtx: false, ..loud }, 1_000, 36),
    ] {
        let wide = Shape::default();
        let mut scene = Scene::with(MAIN, sub, &[wide], None);
        scene.play_sound();
        scene.watch_with("s1", "door", 0, player);
        scene.run(SECOND * 6);
        scene.links[0].shape.rate = kilobits * 1000;
        let narrowed = scene.now;
        scene.run(SECOND * 60);
        let pictures = told(&scene, "s1", narrowed);
        assert!(pictures.contains(&Still), "{case}: {pictures:?}");

        scene.links[0].shape.rate = wide.rate;
        let recovered = scene.now;
        scene.run(SECOND * 40);
        let watcher = &scene.watchers["s1"];
        assert!(watcher.ended.is_empty(), "{case}: {:?}", watcher.ended);
        let again = watcher.frames.iter().find(|frame| frame.at >= recovered);
        let again = again.map(|frame| frame.at - recovered);
        println!("{case}: {pictures:?}, a picture {again:.1?} after it");
        assert!(again.is_some_and(|it| it <= SECOND * latest), "{case}: {again:?}");
        scene.run(SECOND * 90);
        let last = told(&scene, "s1", narrowed).last().copied();
        assert_eq!(last, Some(Main), "{case}: {:?}", told(&scene, "s1", narrowed));
    }
}

#[test]
fn a_sub_stream_that_cannot_be_shown_is_like_none() {
    for (case, sub) in [("it does not connect", Sub::Silent), ("another codec", Sub::H265)] {
        let wide = Shape::default();
        let mut scene = Scene::with(MAIN, sub, &[wide], None);
        scene.watch("s1", "door", 0);
        scene.run(SECOND * 6);
        scene.links[0].shape.rate = 1_000_000;
        let narrowed = scene.now;
        scene.run(SECOND * 20);
        let begin = scene.now;
        let sent = scene.rate(|link| link.sent, 20);
        println!("{case}: {} kbit/s are sent", sent / 1000);
        assert!(sent < 200_000, "{case}: {sent} bit/s flood the line");
        assert_eq!(told(&scene, "s1", narrowed), [Still], "{case}");
        assert_eq!(scene.watchers["s1"].first(begin, true), None, "{case}");

        scene.links[0].shape.rate = wide.rate;
        let recovered = scene.now;
        scene.run(SECOND * 20);
        let again = scene.watchers["s1"].first(recovered, true).map(|at| at - recovered);
        assert!(again.is_some_and(|it| it <= SECOND * 12), "{case}: {again:?}");
        let gap = scene.watchers["s1"].longest_gap(scene.now - SECOND * 5, scene.now);
        assert!(gap <= MS * 300, "{case}: {gap:?} without a picture");
    }
}

#[test]
fn a_sub_stream_that_ends_leaves_a_narrow_line_to_nothing_until_it_is_back() {
    for (case, kilobits) in [("the sub stream", 1_000), ("nothing", 20)] {
        let wide = Shape::default();
        let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide], None);
        scene.watch("s1", "door", 0);
        scene.run(SECOND * 6);
        scene.links[0].shape.rate = kilobits * 1000;
        let begin = scene.now;
        scene.run(SECOND * 30);
        scene.end_sub();
        let ended = scene.now;
        scene.run(SECOND * 20);
        let sent = scene.rate(|link| link.sent, 20);
        println!("{case}: {} kbit/s are sent", sent / 1000);
        assert!(sent < 200_000, "{case}: {sent} bit/s flood the line");
        let pictures = told(&scene, "s1", begin);
        assert_eq!(pictures.last(), Some(&Still), "{case}: {pictures:?}");
        let is_main = told(&scene, "s1", ended).contains(&Main);
        assert_eq!(is_main, kilobits == 1_000, "{case}: a picture that stands stays");

        scene.play_sub(SUB);
        let back = scene.now;
        scene.links[0].shape.rate = 1_000_000;
        scene.run(Duration::from_secs(60));
        let watcher = &scene.watchers["s1"];
        let again = watcher.first(back, false).map(|at| at - back);
        println!("{case}: the sub stream is back after {again:.1?}");
        let pictures = told(&scene, "s1", back);
        assert_eq!(pictures.first(), Some(&KeyFrames), "{case}: {pictures:?}");
        assert!(!pictures.contains(&Main), "{case}: {pictures:?}");
        assert!(again.is_some_and(|it| it <= SECOND * 30), "{case}: {again:?}");
        assert!(watcher.ended.is_empty(), "{case}: {:?}", watcher.ended);
    }
}

#[test]
fn a_sub_stream_that_ends_on_a_line_that_becomes_too_narrow_for_it_leaves_nothing() {
    // The line becomes narrow and the sub stream ends so long after the viewer has come. With the
    // next key frame of the main stream that one would be tried.
    let mut without_main = 0;
    for step in 0..8 {
        let wide = Shape::default();
        let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide], None);
        scene.watch("s1", "door", 0);
        scene.run(SECOND * 6);
        let begin = scene.now;
        scene.links[0].shape.rate = 1_000_000;
        scene.run(SECOND * 20 + MS * 250 * step);
        assert_eq!(told(&scene, "s1", begin), [ShownPicture::Sub], "{step}");
        scene.links[0].shape.rate = 150_000;
        let narrowed = scene.now;
        scene.run(MS * 400);
        scene.end_sub();
        scene.run(SECOND * 20);
        let pictures = told(&scene, "s1", narrowed);
        println!("after {step} times 250 ms: {pictures:?}");
        assert_eq!(pictures.last(), Some(&Still), "{step}");
        without_main += usize::from(!pictures.contains(&Main));

        scene.play_sub(SUB);
        let back = scene.now;
        scene.links[0].shape.rate = 1_000_000;
        scene.run(SECOND * 60);
        let pictures = told(&scene, "s1", back);
        assert_eq!(pictures.first(), Some(&KeyFrames), "{step}: {pictures:?}");
        assert!(!pictures.contains(&Main), "{step}: {pictures:?}");
    }
    assert!(without_main > 0, "the main stream was always tried on a line of 150 kbit/s");
}
