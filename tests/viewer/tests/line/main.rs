//! A picture that follows the line: a gateway's camera with a main and a sub stream, viewers behind
//! links with token buckets, everything in virtual time.

#![expect(clippy::unwrap_used, reason = "unexpected values fail the test")]

mod caps;
mod house;
mod link;
mod scene;
mod still;
mod uplink;
mod watcher;

use std::time::Duration;

use porthole_signaling_proto::method::{ShownPicture, ShownReason};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use link::Shape;
use scene::{MAIN, SUB, Scene, StreamShape};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// A viewer of the camera behind each of these links, which has watched for a while. The group of
/// pictures that a viewer gets first is paced for faster links.
fn watched(sub: Option<StreamShape>, links: &[Shape]) -> Scene {
    let mut scene = Scene::new(MAIN, sub, links);
    for link in 0..links.len() {
        scene.watch(&format!("s{}", link + 1), "door", link);
    }
    scene.run(SECOND * 2);
    scene
}

#[test]
fn a_link_that_drops_below_the_main_stream_shows_the_sub_stream_until_it_recovers() {
    println!("{:>18} {:>8} {:>8} {:>8} {:>8}", "link", "down", "up", "frozen", "p95");
    let wide = Shape::default();
    for (case, shape, frozen_most) in [
        ("10 Mbit/s", wide, 750),
        ("behind a bucket", Shape { bucket: 20_000, ..wide }, 750),
        ("a short queue", Shape { queue: MS * 100, ..wide }, 750),
        ("a long queue", Shape { queue: SECOND * 2, ..wide }, 750),
        ("far away", Shape { delay: MS * 60, ..wide }, 750),
        ("a lossy link", Shape { lost: 3, ..wide }, 1500),
    ] {
        let mut scene = watched(Some(SUB), &[shape]);
        let begin = scene.now;
        scene.run(SECOND * 13);
        let dropped = scene.now;
        scene.links[0].shape.rate = 1_000_000;
        scene.run(SECOND * 20);
        let recovered = scene.now;
        scene.links[0].shape.rate = wide.rate;
        scene.run(SECOND * 25);
        let end = scene.now;
        let watcher = &scene.watchers["s1"];
        let down = watcher.first(dropped, false).unwrap() - dropped;
        let up = watcher.first(recovered, true).unwrap() - recovered;
        let frozen = watcher.frozen(dropped, end, MS * 150);
        let p95 = scene.links[0].percentile(begin, end, 95);
        println!("{case:>18} {down:>8.2?} {up:>8.2?} {frozen:>8.2?} {p95:>8.2?}");
        assert!(watcher.ended.is_empty(), "{case}: {:?}", watcher.ended);
        assert!(down <= MS * 1500, "{case}: down after {down:?}");
        assert!(up <= SECOND * 8, "{case}: up after {up:?}");
        assert!(p95 <= MS * 150, "{case}: packets wait {p95:?}");
        assert!(frozen <= MS * frozen_most, "{case}: {frozen:?} without a picture");
        assert_eq!(watcher.changes(begin, end), 2, "{case}");
    }
}

#[test]
fn a_link_that_carries_the_main_stream_shows_nothing_else() {
    let wide = Shape::default();
    for (case, shape) in [
        ("hardly enough", Shape { rate: 6_000_000, ..wide }),
        ("a radio link", Shape { rate: 30_000_000, queue: MS * 100, delay: MS * 3, ..wide }),
        ("the local network", Shape { rate: 1_000_000_000, delay: MS, ..wide }),
        ("a tenth is lost", Shape { rate: 20_000_000, lost: 10, ..wide }),
        ("on the other side of the earth", Shape { rate: 20_000_000, delay: MS * 150, ..wide }),
    ] {
        let mut scene = Scene::new(MAIN, Some(SUB), &[shape]);
        scene.watch("s1", "door", 0);
        scene.run(SECOND);
        let begin = scene.now;
        scene.run(SECOND * 60);
        let watcher = &scene.watchers["s1"];
        let small = watcher.first(begin - SECOND, false).map(|at| at - begin);
        // The cached group has no small pictures either.
        assert_eq!(small, None, "{case}");
        let gap = watcher.longest_gap(begin + SECOND * 2, scene.now);
        assert!(gap <= MS * 500, "{case}: {gap:?} without a picture");
        let pictures = watcher.frames.len();
        assert!(pictures > 1450, "{case}: {pictures} pictures in a minute");
        if case == "the local network" {
            let first = watcher.frames[0].at + SECOND - begin;
            assert!(first <= MS * 100, "{first:?} to the first picture");
        }
    }
}

#[test]
fn a_link_that_carries_not_even_the_sub_stream_shows_its_key_frames() {
    let mut scene = watched(Some(SUB), &[Shape::default()]);
    scene.run(SECOND * 5);
    scene.links[0].shape.rate = 300_000;
    scene.run(SECOND * 10);
    let begin = scene.now;
    scene.run(SECOND * 30);
    let watcher = &scene.watchers["s1"];
    let shown = watcher.frames.iter().filter(|frame| frame.at >= begin);
    let keys = shown.clone().filter(|frame| frame.is_key).count();
    assert!((13..=16).contains(&keys), "{keys} key frames in 30 s");
    assert_eq!(shown.count(), keys, "and nothing else");
    let p95 = scene.links[0].percentile(begin, scene.now, 95);
    assert!(p95 <= MS * 500, "a key frame takes 320 ms: {p95:?}");
    assert!(watcher.ended.is_empty());

    scene.links[0].shape.rate = 10_000_000;
    scene.run(SECOND * 10);
    let watcher = &scene.watchers["s1"];
    let sub = watcher.frames.iter().rev().take(100).filter(|frame| !frame.is_key).count();
    assert!(sub > 90, "the sub stream is back");
    scene.run(SECOND * 60);
    let watcher = &scene.watchers["s1"];
    assert!(watcher.first(scene.now - SECOND, true).is_some(), "and then the main stream");
}

#[test]
fn a_link_that_carries_no_picture_shows_the_last_one_and_the_next_by_itself() {
    use ShownPicture::{KeyFrames, Main, Still, Sub};
    for (case, rate) in [("40 kbit/s", 40_000), ("10 kbit/s", 10_000)] {
        let mut scene = watched(Some(SUB), &[Shape::default()]);
        scene.run(SECOND * 5);
        let wide = scene.links[0].shape;
        scene.links[0].shape = Shape { rate, ..wide };
        let narrowed = scene.now;
        scene.run(SECOND * 10);
        let begin = scene.now;
        let sent = scene.rate(|link| link.sent, 15);
        let told = scene.told("s1", narrowed);
        let last = told.last().map(|(_, shown)| shown.picture);
        assert_eq!(last, Some(Still), "{case}: {told:?}");
        let reason = told.last().and_then(|(_, shown)| shown.reason);
        assert_eq!(reason, Some(ShownReason::Path), "{case}");
        assert!(sent <= 60_000, "{case}: {sent} bit/s are still sent, to probe and to report");
        let frames = scene.watchers["s1"].frames.iter().filter(|frame| frame.at >= begin);
        assert_eq!(frames.count(), 0, "{case}");

        scene.links[0].shape = wide;
        let recovered = scene.now;
        scene.run(SECOND * 20);
        let watcher = &scene.watchers["s1"];
        assert!(watcher.ended.is_empty(), "{case}: {:?}", watcher.ended);
        let again = watcher.frames.iter().find(|it| it.at >= recovered).unwrap().at - recovered;
        println!("{case}: {sent} bit/s meanwhile, a picture {again:.1?} after it");
        assert!(again <= SECOND * 8, "{case}: a picture after {again:?}");
        let told: Vec<_> = scene.told("s1", recovered).iter().map(|(_, it)| it.picture).collect();
        assert_eq!(told[..2], [KeyFrames, Sub], "{case}");
        scene.run(SECOND * 60);
        let told = scene.told("s1", narrowed);
        assert_eq!(told.last().map(|(_, shown)| shown.picture), Some(Main), "{case}: {told:?}");
    }
}

#[test]
fn a_stream_without_another_stops_where_it_would_flood_the_link_and_goes_on() {
    for (case, rate, stops) in [("1 Mbit/s", 1_000_000, true), ("6 Mbit/s", 6_000_000, false)] {
        let mut scene = Scene::new(MAIN, None, &[Shape::default()]);
        scene.watch("s1", "door", 0);
        scene.run(SECOND * 5);
        let wide = scene.links[0].shape;
        scene.links[0].shape = Shape { rate, ..wide };
        let narrowed = scene.now;
        scene.run(SECOND * 20);
        let begin = scene.now;
        let sent = scene.rate(|link| link.sent, 20);
        println!("{case}: {} kbit/s are sent", sent / 1000);
        let told: Vec<_> = scene.told("s1", narrowed).iter().map(|(_, it)| it.picture).collect();
        let expected = if stops { vec![ShownPicture::Still] } else { Vec::new() };
        assert_eq!(told, expected, "{case}");
        assert_eq!(sent < 200_000, stops, "{case}: {sent} bit/s");
        assert_eq!(scene.watchers["s1"].first(begin, true).is_none(), stops, "{case}");

        scene.links[0].shape = wide;
        let recovered = scene.now;
        scene.run(SECOND * 20);
        let watcher = &scene.watchers["s1"];
        let again = watcher.first(recovered, true).unwrap() - recovered;
        assert!(again <= SECOND * 12, "{case}: a picture after {again:?}");
        assert!(watcher.ended.is_empty(), "{case}: {:?}", watcher.ended);
        let gap = watcher.longest_gap(scene.now - SECOND * 5, scene.now);
        assert!(gap <= MS * 300, "{case}: {gap:?} without a picture");
    }
}

#[test]
fn who_has_chosen_a_stream_keeps_it_and_so_does_who_has_no_other() {
    let narrow = Shape { rate: 2_000_000, queue: SECOND * 2, ..Shape::default() };
    for (case, profile, sub, large) in [
        ("the sub stream", "door.sub", Some(SUB), false),
        ("a camera without a sub stream", "door", None, true),
    ] {
        let mut scene = Scene::new(MAIN, sub, &[Shape::default()]);
        scene.watch("s1", profile, 0);
        scene.run(SECOND * 5);
        scene.links[0].shape = narrow;
        scene.run(SECOND * 30);
        scene.links[0].shape = Shape::default();
        let begin = scene.now + SECOND * 5;
        scene.run(SECOND * 30);
        let watcher = &scene.watchers["s1"];
        assert!(watcher.first(begin, large).is_some(), "{case}");
        assert_eq!(watcher.changes(begin, scene.now), 0, "{case}");
    }
}

#[test]
fn a_link_between_both_streams_changes_the_picture_four_times_a_minute_at_most() {
    for rate in [3_600_000, 4_000_000, 4_400_000, 4_800_000] {
        let mut scene = watched(Some(SUB), &[Shape { rate, ..Shape::default() }]);
        let begin = scene.now;
        scene.run(SECOND * 180);
        let watcher = &scene.watchers["s1"];
        for start in 0..120 {
            let from = begin + SECOND * start;
            let changes = watcher.changes(from, from + SECOND * 60);
            assert!(changes <= 4, "{rate} bit/s: {changes} in a minute");
        }
        let frozen = watcher.frozen(begin, scene.now, MS * 150);
        assert!(frozen <= SECOND * 9, "{rate} bit/s: {frozen:?} of 180 s without a picture");
    }
}

#[test]
fn two_viewers_on_one_uplink_share_it() {
    // What the uplink carries, and what both see at last.
    for (rate, large) in [(12_000_000, true), (1_600_000, false)] {
        let mut scene = Scene::new(MAIN, Some(SUB), &[Shape { rate, ..Shape::default() }]);
        scene.watch("s1", "door", 0);
        scene.run(SECOND * 3);
        scene.watch("s2", "door", 0);
        scene.run(SECOND * 15);
        let begin = scene.now;
        scene.run(SECOND * 30);
        let bytes: Vec<_> = scene
            .watchers
            .values()
            .map(|it| {
                assert!(it.first(begin, large).is_some(), "{rate} bit/s");
                assert_eq!(it.first(begin, !large), None, "{rate} bit/s");
                let frames = it.frames.iter().filter(|frame| frame.at >= begin);
                frames.map(|frame| frame.bytes).sum::<usize>()
            })
            .collect();
        let (least, most) = (bytes.iter().min().unwrap(), bytes.iter().max().unwrap());
        assert!(*most <= least * 2, "{rate} bit/s: {bytes:?}");
    }
}

/// Number of random links in a run: `PORTHOLE_LINKS` or this many.
const LINKS: u64 = 100;

/// Returns what was wrong with a random link.
fn random_link(seed: u64) -> Vec<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rate = || 10_f64.powf(rng.random_range(5.85..7.3)) as u64;
    let rates = [rate(), rate(), rate()];
    let shape = Shape {
        rate: 20_000_000,
        bucket: rng.random_range(2_000..20_000),
        queue: MS * rng.random_range(80..800),
        delay: MS * rng.random_range(3..80),
        lost: rng.random_range(0..3),
    };
    let mut wrong = Vec::new();
    let mut scene = watched(Some(SUB), &[shape]);
    scene.run(SECOND * 4);
    let begin = scene.now;
    for rate in rates {
        scene.links[0].shape.rate = rate;
        let from = scene.now;
        scene.run(SECOND * 30);
        let watcher = &scene.watchers["s1"];
        if rate < 3_500_000 && watcher.first(from + SECOND * 4, true).is_some() {
            let at = watcher.first(from + SECOND * 4, true).unwrap() - from;
            wrong.push(format!("{rate} bit/s: flooded after {at:?}"));
        }
        let free = watcher.changes(from.checked_sub(SECOND * 60).unwrap(), from) <= 1;
        if rate > 7_000_000 && free && watcher.first(scene.now - SECOND * 15, true).is_none() {
            wrong.push(format!("{rate} bit/s: the main stream does not come"));
        }
        let p95 = scene.links[0].percentile(from + SECOND * 5, scene.now, 95);
        if p95 > MS * 250 {
            wrong.push(format!("{rate} bit/s: packets wait {p95:?}"));
        }
        // A key frame leaves at once, so a queue that is shorter loses a part of it each time; and
        // a repetition takes a round trip.
        let key_frame = SECOND * 80_000 * 8 / u32::try_from(rate).unwrap();
        let patience = MS * 150 + shape.delay * 6 * shape.lost.min(1);
        let frozen = watcher.frozen(from + SECOND * 4, scene.now, patience);
        if frozen > SECOND * 2 && (rate < 3_500_000 || key_frame < shape.queue) {
            wrong.push(format!("{rate} bit/s: {frozen:?} without a picture"));
        }
    }
    let watcher = &scene.watchers["s1"];
    for start in 0..30 {
        let from = begin + SECOND * start;
        if watcher.changes(from, from + SECOND * 60) > 4 {
            wrong.push("more than four changes a minute".to_owned());
            break;
        }
    }
    wrong.extend(watcher.ended.clone());
    if !wrong.is_empty() {
        wrong.push(format!("{shape:?} {rates:?}"));
    }
    wrong
}

#[test]
fn random_links_are_neither_flooded_nor_left_idle() {
    let count = std::env::var("PORTHOLE_LINKS").ok().and_then(|count| count.parse().ok());
    let count = count.unwrap_or(LINKS);
    let wrong: Vec<_> = (0..count)
        .map(|seed| (seed, random_link(seed)))
        .filter(|(_, wrong)| !wrong.is_empty())
        .collect();
    for (seed, wrong) in &wrong {
        println!("link {seed}: {}", wrong.join("; "));
    }
    assert!(wrong.is_empty(), "{} of {count} links", wrong.len());
}
