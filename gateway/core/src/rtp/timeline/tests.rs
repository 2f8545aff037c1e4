use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const FRAME: u32 = 3600;
const MS: Duration = Duration::from_millis(1);

fn at(camera: u32, arrival: Instant) -> MediaPacket {
    packet(arrival, camera, 0)
}

fn packet(start: Instant, camera: u32, ms: u32) -> MediaPacket {
    MediaPacket {
        payload: Bytes::new(),
        timestamp: camera,
        marker: true,
        sequence: 0,
        starts_key_frame: false,
        arrival: start + MS * ms,
        captured: start + MS * ms,
    }
}

/// Returns `count` frames at 25 Hz, two packets each.
fn group(start: Instant, camera: u32, count: u32) -> Vec<MediaPacket> {
    let frames = (0..count).flat_map(|frame| [frame, frame]);
    frames.map(|frame| packet(start, camera.wrapping_add(frame * FRAME), frame * 40)).collect()
}

#[test]
fn a_group_is_squeezed_in_front_of_the_live_edge() {
    let start = Instant::now();
    for (case, camera, count) in
        [("one frame", 0, 1), ("4 s", 7, 100), ("wrap", u32::MAX - FRAME, 100), ("80 s", 1, 2000)]
    {
        let mut timeline = Timeline::new(50_000, CLOCK_RATE);
        let group = group(start, camera, count);
        timeline.begin_burst(&group);
        let mut last: Option<(u32, u32)> = None;
        for packet in &group {
            let viewer = timeline.map(&at(packet.timestamp, packet.arrival));
            match last {
                Some((camera, before)) if camera == packet.timestamp => assert_eq!(viewer, before),
                Some((_, before)) => {
                    let step = ahead(viewer, before);
                    assert!((1..=9).contains(&step), "{case}: {step}");
                }
                None => assert!(ahead(viewer, 50_000) > 0, "{case}"),
            }
            last = Some((packet.timestamp, viewer));
        }
        let (newest, viewer) = last.unwrap();
        assert!(ahead(viewer, 50_000) <= 2000, "{case}: the whole burst is short");
        for live in 1..50 {
            let now = start + MS * 40 * (count - 1 + live);
            let mapped = timeline.map(&at(newest.wrapping_add(live * FRAME), now));
            assert_eq!(mapped, viewer.wrapping_add(live * FRAME), "{case}: frame {live}");
        }
        assert!(timeline.burst.is_none(), "{case}: the group is forgotten");
    }
}

#[test]
fn a_group_in_the_middle_follows_the_last_frame() {
    let start = Instant::now();
    let mut timeline = Timeline::new(1000, CLOCK_RATE);
    let group = group(start, 0, 100);
    let mut last = 0;
    for packet in &group {
        last = timeline.map(&at(packet.timestamp, packet.arrival));
    }
    assert_eq!(last, 1000 + 99 * FRAME, "live, nothing is squeezed");
    timeline.begin_burst(&group);
    let first = timeline.map(&at(0, start));
    assert!(first > last, "after the last frame");
    let end = timeline.map(&at(99 * FRAME, start));
    assert_eq!(end, last + 900, "the timeline moves by the burst alone");
    assert_eq!(timeline.map(&at(100 * FRAME, start + MS * 4000)), end + FRAME);
}

#[test]
fn another_clock_continues_after_the_time_that_passed() {
    let start = Instant::now();
    type Case<'a> = (&'a str, bool, u32, u32, u32);
    let table: [Case<'_>; 6] = [
        ("next frame", false, FRAME, 40, FRAME),
        ("a pause", false, 90_000 * 60, 60_000, 90_000 * 60),
        ("a stall that caught up", false, FRAME, 5000, FRAME),
        ("a new clock", false, 0x7000_0000, 500, 45_000),
        ("a new clock behind", false, 0x9000_0000, 500, 45_000),
        ("another stream", true, 12, 2000, 180_000),
    ];
    for (case, splice, camera, ms, expected) in table {
        let mut timeline = Timeline::new(70, CLOCK_RATE);
        assert_eq!(timeline.map(&at(0, start)), 70);
        if splice {
            timeline.splice();
        }
        assert_eq!(timeline.map(&at(camera, start + MS * ms)), 70 + expected, "{case}");
        let next = timeline.map(&at(camera.wrapping_add(FRAME), start + MS * (ms + 40)));
        assert_eq!(next, 70 + expected + FRAME, "{case}: distances are kept");
    }
}

#[test]
fn the_group_of_another_stream_continues_after_the_time_that_passed() {
    let start = Instant::now();
    let mut timeline = Timeline::new(0, CLOCK_RATE);
    timeline.map(&at(0, start));
    timeline.splice();
    let group = group(start, 0x4000_0000, 50);
    timeline.begin_burst(&group);
    let end = timeline.map(&at(0x4000_0000 + 49 * FRAME, start));
    assert_eq!(end, 49 * FRAME, "its newest frame came 49 frames later");
    assert_eq!(timeline.map(&at(0x4000_0000 + 50 * FRAME, start + MS * 2000)), end + FRAME);
}

#[test]
fn b_frames_keep_their_order() {
    let start = Instant::now();
    // Decoded as I P B B P B B, shown as I B B P B B P; the last two arrive live.
    let order = [0, 3, 1, 2, 6, 4, 5];
    let packets: Vec<_> =
        (0..).zip(order).map(|(i, frame)| packet(start, frame * FRAME, i * 40)).collect();
    let mut timeline = Timeline::new(500, CLOCK_RATE);
    timeline.begin_burst(&packets[..5]);
    let mut mapped: Vec<_> =
        packets.iter().map(|p| (timeline.map(&at(p.timestamp, p.arrival)), p.timestamp)).collect();
    let shown = mapped[4].0;
    mapped.truncate(6);
    mapped.sort_unstable();
    assert!(mapped.is_sorted_by_key(|(_, camera)| *camera), "{mapped:?}");
    assert_eq!(timeline.map(&at(9 * FRAME, start + MS * 280)), shown + 3 * FRAME);
}

#[test]
fn reports_have_the_timestamp_of_now() {
    let start = Instant::now();
    let mut timeline = Timeline::new(9, CLOCK_RATE);
    assert_eq!(timeline.at(start), 9);
    timeline.map(&at(77, start));
    assert_eq!(timeline.at(start + MS * 10), 909);
}

proptest! {
    /// Tests bursts, splices and live frames in any order: timestamps never go back, and never
    /// ahead of time.
    #[test]
    fn timestamps_never_go_back(
        first in any::<u32>(),
        camera in any::<u32>(),
        events in prop::collection::vec((0_u8..6, any::<u32>()), 1..60),
    ) {
        let start = Instant::now();
        let mut timeline = Timeline::new(first, CLOCK_RATE);
        let (mut camera, mut ms, mut last) = (camera, 0_u32, first.wrapping_sub(1));
        let mut bursts = 0;
        for (event, jump) in events {
            if event == 0 {
                camera = camera.wrapping_add(jump);
                timeline.splice();
            }
            camera = camera.wrapping_add(FRAME);
            ms += 40;
            if event == 1 {
                bursts += 1;
                let back = 20 * FRAME;
                let mut group = group(start, camera.wrapping_sub(back), 21);
                let late = start + MS * ms;
                group.iter_mut().for_each(|packet| packet.arrival = late);
                timeline.begin_burst(&group);
                for packet in group.iter().step_by(2) {
                    let viewer = timeline.map(&at(packet.timestamp, packet.arrival));
                    prop_assert!(ahead(viewer, last) > 0);
                    last = viewer;
                }
            } else {
                let viewer = timeline.map(&at(camera, start + MS * ms));
                prop_assert!(ahead(viewer, last) > 0);
                last = viewer;
            }
        }
        let most = 1 + ms * 90 + bursts * BURST_SPAN;
        prop_assert!(last.wrapping_sub(first) <= most);
    }
}
