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

/// Returns `count` times, a millisecond apart.
fn times(start: Instant, count: usize) -> Vec<Instant> {
    (0..).take(count).map(|i| start + MS * i).collect()
}

#[test]
fn every_frame_of_a_group_has_the_time_at_which_it_is_sent() {
    let start = Instant::now();
    for (case, camera, count) in
        [("one frame", 0, 1), ("4 s", 7, 100), ("wrap", u32::MAX - FRAME, 100), ("80 s", 1, 2000)]
    {
        let mut timeline = Timeline::new(50_000, CLOCK_RATE);
        let group = group(start, camera, count);
        let newest = group.last().unwrap().timestamp;
        let join = start + MS * (40 * count);
        let times = times(join, group.len());
        timeline.begin_burst(join, &group, &times);
        for (packet, time) in group.iter().zip(&times) {
            // Both packets of a frame have the time of the first one.
            let frame = packet.timestamp.wrapping_sub(camera) / FRAME;
            let mapped = timeline.map(*time, packet);
            assert_eq!(mapped, 50_000 + 2 * 90 * frame, "{case}: frame {frame}");
            let report = 50_000 + 90 * u32::try_from((*time - join).as_millis()).unwrap();
            assert_eq!(timeline.at(*time), report, "{case}: as the live frames");
        }
        // Two live frames queue; the rest do not.
        let sent = *times.last().unwrap();
        let queued = [1, 2].map(|i| at(newest.wrapping_add(i * FRAME), join + MS));
        for (packet, ms) in queued.iter().zip([1, 2]) {
            let expected = timeline.at(sent + MS * ms);
            assert_eq!(timeline.map(sent + MS * ms, packet), expected, "{case}: queued");
        }
        timeline.end_burst();
        let live = sent + MS * 25;
        let first = timeline.at(live);
        for frame in 0..50 {
            let now = live + MS * 40 * frame;
            let packet = at(newest.wrapping_add((3 + frame) * FRAME), now);
            let mapped = timeline.map(now, &packet);
            assert_eq!(mapped, first.wrapping_add(frame * FRAME), "{case}: frame {frame}");
            assert_eq!(timeline.at(now), mapped, "{case}: frame {frame}");
        }
        assert!(timeline.burst.is_none(), "{case}: the group is forgotten");
    }
}

#[test]
fn frames_that_are_sent_at_once_are_told_apart() {
    let start = Instant::now();
    let mut timeline = Timeline::new(7, CLOCK_RATE);
    let group = group(start, 0, 100);
    timeline.begin_burst(start, &group, &vec![start; group.len()]);
    for packet in &group {
        let expected = 7 + MIN_STEP * (packet.timestamp / FRAME);
        assert_eq!(timeline.map(start, packet), expected);
    }
}

#[test]
fn a_group_in_the_middle_does_not_move_the_timeline() {
    let start = Instant::now();
    let mut timeline = Timeline::new(1000, CLOCK_RATE);
    let group = group(start, 0, 100);
    for packet in &group {
        timeline.map(packet.arrival, packet);
    }
    let now = start + MS * (99 * 40 + 10);
    let times = times(now, group.len());
    timeline.begin_burst(now, &group, &times);
    let sent = group.iter().zip(&times).map(|(packet, time)| timeline.map(*time, packet));
    let sent: Vec<_> = sent.collect();
    assert_eq!(sent[0], 1000 + 99 * FRAME + 900, "after the last frame");
    assert!(sent.is_sorted());
    timeline.end_burst();
    let late = now + MS * 390;
    let expected = 1000 + 109 * FRAME;
    assert_eq!(timeline.map(late, &at(109 * FRAME, late)), expected, "as if it had not been sent");
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
        assert_eq!(timeline.map(start, &at(0, start)), 70);
        if splice {
            timeline.splice();
        }
        let now = start + MS * ms;
        assert_eq!(timeline.map(now, &at(camera, now)), 70 + expected, "{case}");
        let later = now + MS * 40;
        let next = timeline.map(later, &at(camera.wrapping_add(FRAME), later));
        assert_eq!(next, 70 + expected + FRAME, "{case}: distances are kept");
    }
}

#[test]
fn the_group_of_another_stream_continues_after_the_time_that_passed() {
    let start = Instant::now();
    let mut timeline = Timeline::new(0, CLOCK_RATE);
    timeline.map(start, &at(0, start));
    timeline.splice();
    let group = group(start, 0x4000_0000, 50);
    let now = start + MS * 2000;
    timeline.begin_burst(now, &group, &times(now, group.len()));
    let first = timeline.map(now, &group[0]);
    assert_eq!(first, 50 * FRAME, "50 frames later");
    timeline.end_burst();
    let live = now + MS * 200;
    assert_eq!(timeline.map(live, &at(0x4000_0000 + 50 * FRAME, live)), 55 * FRAME);
}

#[test]
fn b_frames_keep_their_order() {
    let start = Instant::now();
    // Decoded as I P B B P B B, shown as I B B P B B P; the last two arrive live.
    let order = [0, 3, 1, 2, 6, 4, 5];
    let packets: Vec<_> =
        (0..).zip(order).map(|(i, frame)| packet(start, frame * FRAME, i * 40)).collect();
    let mut timeline = Timeline::new(500, CLOCK_RATE);
    timeline.begin_burst(start, &packets[..5], &times(start, 5));
    timeline.end_burst();
    let mut mapped: Vec<_> =
        packets.iter().map(|p| (timeline.map(p.arrival, p), p.timestamp)).collect();
    mapped.sort_unstable();
    assert!(mapped.is_sorted_by_key(|(_, camera)| *camera), "{mapped:?}");
    let later = start + MS * 280;
    let next = timeline.map(later, &at(9 * FRAME, later));
    assert!(mapped.iter().all(|(viewer, _)| *viewer < next), "{mapped:?} {next}");
}

#[test]
fn reports_have_the_timestamp_of_now() {
    let start = Instant::now();
    let mut timeline = Timeline::new(9, CLOCK_RATE);
    assert_eq!(timeline.at(start), 9);
    timeline.map(start, &at(77, start));
    assert_eq!(timeline.at(start + MS * 10), 909);
}

proptest! {
    /// Tests bursts, splices and live frames in any order: timestamps never go back, and never
    /// ahead of time by more than the smallest step a frame.
    #[test]
    fn timestamps_never_go_back(
        first in any::<u32>(),
        camera in any::<u32>(),
        events in prop::collection::vec((0_u8..6, any::<u32>()), 1..60),
    ) {
        let start = Instant::now();
        let mut timeline = Timeline::new(first, CLOCK_RATE);
        let (mut camera, mut ms, mut last) = (camera, 0_u32, first.wrapping_sub(1));
        let (mut frames, mut bursts) = (0, 0);
        for (event, jump) in events {
            if event == 0 {
                camera = camera.wrapping_add(jump);
                timeline.splice();
            }
            camera = camera.wrapping_add(FRAME);
            ms += 40;
            let now = start + MS * ms;
            let sent = if event == 1 {
                bursts += 1;
                let mut group = group(start, camera.wrapping_sub(20 * FRAME), 21);
                group.iter_mut().for_each(|packet| packet.arrival = now);
                timeline.begin_burst(now, &group, &times(now, group.len()));
                group.into_iter().step_by(2).collect()
            } else {
                if event == 2 {
                    timeline.end_burst();
                }
                vec![at(camera, now)]
            };
            for packet in sent {
                let viewer = timeline.map(now, &packet);
                prop_assert!(ahead(viewer, last) > 0);
                last = viewer;
                frames += 1;
            }
        }
        let most = 1 + (ms + 42 * bursts) * 90 + frames * MIN_STEP;
        prop_assert!(last.wrapping_sub(first) <= most);
    }
}
