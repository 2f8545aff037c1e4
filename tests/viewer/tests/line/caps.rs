//! Viewers with an access token or a share link that has a limit.

use porthole_signaling_proto::method::{RateCap, ShownPicture, ShownReason};

use super::SECOND;
use super::link::Shape;
use super::scene::{MAIN, Player, SUB, Scene, Sub};

/// Returns a link that is never the reason for anything.
fn wide() -> Shape {
    Shape { rate: 100_000_000, ..Shape::default() }
}

fn cap(of: &str, max_kbit_per_s: u32) -> RateCap {
    RateCap { of: of.to_owned(), max_kbit_per_s }
}

#[test]
fn a_limit_holds_for_all_together_who_watch_with_it_and_for_nobody_else() {
    println!("{:>14} {:>7} {:>6} {:>14}", "limit", "viewers", "main", "sent");
    for (kilobits, viewers, mains) in
        [(12_000, 2, 2), (6_000, 2, 1), (6_000, 1, 1), (3_000, 1, 0), (1_600, 2, 0), (300, 1, 0)]
    {
        // The viewer without a limit is behind a link of its own, which is not counted.
        let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide(), wide()], None);
        scene.watch("free", "door", 1);
        scene.run(SECOND * 3);
        scene.caps = vec![cap("link", kilobits)];
        let start = scene.now;
        let names: Vec<_> = (0..viewers).map(|viewer| format!("s{viewer}")).collect();
        for name in &names {
            scene.watch(name, "door", 0);
            scene.run(SECOND * 3);
        }
        scene.run(SECOND * 10);
        let begin = scene.now;
        let sent = scene.rate(|link| link.bytes, 60);
        let sees_main = |name: &str| scene.watchers[name].first(begin, true).is_some();
        let seen = names.iter().filter(|name| sees_main(name)).count();
        println!("{kilobits:>7} kbit/s {viewers:>7} {seen:>6} {:>7} kbit/s", sent / 1000);
        assert_eq!(seen, mains, "{kilobits} kbit/s: main streams");
        assert!(sent <= u64::from(kilobits) * 1000, "{kilobits} kbit/s: {sent} bit/s");
        assert!(sees_main("free"), "{kilobits} kbit/s: it has no limit");
        assert!(scene.told("free", start).is_empty(), "{kilobits} kbit/s");
        for name in &names {
            let last = scene.told(name, start).last().map(|(_, shown)| shown.clone());
            let reason = last.and_then(|shown| shown.reason);
            let expected = (!sees_main(name)).then_some(ShownReason::Limit);
            assert_eq!(reason, expected, "{kilobits} kbit/s: {name}");
        }
        assert!(scene.watchers.values().all(|it| it.ended.is_empty()), "{kilobits} kbit/s");
    }
}

#[test]
fn of_several_limits_and_the_cap_of_the_uplink_the_least_counts_and_is_named() {
    let sub = (ShownPicture::Sub, Some(ShownReason::Limit));
    let by_cap = (ShownPicture::Sub, Some(ShownReason::Cap));
    // The cap of the uplink and the two limits in kbit/s, and what the viewer is told at last.
    for (uplink, own, first, expected) in [
        (None, 9_000, 9_000, None),
        (None, 1_000, 9_000, Some(sub)),
        (None, 9_000, 1_000, Some(sub)),
        (Some(9_000_000), 9_000, 1_000, Some(sub)),
        (Some(1_000_000), 9_000, 3_000, Some(by_cap)),
    ] {
        let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide()], uplink);
        scene.caps = vec![cap("own", own), cap("first", first)];
        let start = scene.now;
        scene.watch("s1", "door", 0);
        scene.run(SECOND * 10);
        let last = scene.told("s1", start).last().map(|(_, it)| (it.picture, it.reason));
        assert_eq!(last, expected, "{uplink:?} {own} {first}");
    }
}

#[test]
fn a_limit_binds_chosen_streams_and_viewers_that_report_nothing() {
    let silent = Player { is_silent: true, ..Player::default() };
    for (kilobits, profile, player) in [
        (3_000, "door", Player::default()),
        (400, "door.sub", Player::default()),
        (1_000, "door", silent),
        (64, "door.sub", silent),
    ] {
        let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide()], None);
        scene.caps = vec![cap("link", kilobits)];
        scene.watch_with("s1", profile, 0, player);
        scene.run(SECOND * 5);
        let sent = scene.rate(|link| link.bytes, 20);
        println!("{kilobits} kbit/s, {profile}, {player:?}: {} kbit/s", sent / 1000);
        assert!(sent <= u64::from(kilobits) * 1000, "{kilobits} kbit/s: {sent} bit/s");
    }
}

#[test]
fn what_one_viewer_of_a_link_leaves_is_for_the_next() {
    let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &[wide()], None);
    scene.caps = vec![cap("link", 6_000)];
    for name in ["s1", "s2"] {
        scene.watch(name, "door", 0);
        scene.run(SECOND * 5);
    }
    let both = scene.now;
    scene.run(SECOND * 20);
    assert_eq!(scene.watchers["s2"].first(both, true), None, "there is room for one");
    scene.leave("s1");
    let left = scene.now;
    scene.run(SECOND * 30);
    assert!(scene.watchers["s2"].first(left, true).is_some());
}
