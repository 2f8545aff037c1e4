//! Cameras whose timestamps, markers and units do not say where a picture ends.

use super::*;

/// Sends packets (ms since the start, timestamp, marker, payload), and returns the packets for
/// viewers after the first picture, as words with their timestamps.
fn send(packets: &[(u64, u32, bool, &[u8])]) -> Vec<(String, u32)> {
    let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
    let start = camera.now;
    for (ms, timestamp, marker, payload) in packets {
        camera.now = start + Duration::from_millis(*ms);
        camera.send(*timestamp, *marker, payload).unwrap();
    }
    camera.packets().iter().map(|packet| (word(packet), packet.timestamp)).collect()
}

fn words(packets: &[(String, u32)]) -> String {
    packets.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn pictures_with_one_timestamp_are_told_apart_by_their_slices() {
    let sent = send(&[
        (0, 9, true, IDR),
        (40, 9, true, SLICE),
        (80, 9, true, SLICE),
        (120, 9, true, IDR),
        (1000, 90_009, true, SLICE),
    ]);
    assert_eq!(words(&sent), "sets^ idr! slice! slice! sets^ idr! slice!");
    let times: Vec<_> = sent.iter().map(|(_, timestamp)| *timestamp).collect();
    assert_eq!(times, [9, 9, 3609, 7209, 10_809, 10_809, 90_009]);
}

#[test]
fn a_picture_whose_packets_have_several_timestamps_is_one() {
    let sent = send(&[
        (0, 9, false, IDR),
        (0, 10, true, LATER),
        (40, 3609, false, SLICE),
        (40, 3610, true, LATER),
        (80, 7209, false, &fragment(1, START, 900)),
        (80, 7210, false, &fragment(1, MIDDLE, 900)),
        (80, 7211, true, &fragment(1, END, 900)),
    ]);
    assert_eq!(words(&sent), "sets^ idr slice! slice slice! start middle end!");
    let times: Vec<_> = sent.iter().map(|(_, timestamp)| *timestamp).collect();
    assert_eq!(times, [9, 9, 9, 3609, 3609, 7209, 7209, 7209]);
}

#[test]
fn parameter_sets_may_have_any_timestamp() {
    let both = aggregate(&[SPS, PPS]);
    for (case, first, second) in [
        ("none", 0, 0),
        ("that of the picture before", 3609, 3609),
        ("an old one", 2709, 2809),
        ("a later one", 9009, 9109),
        ("another clock's", 0x8000_0000, 0x4000_0000),
    ] {
        let sent = send(&[
            (0, 9, true, IDR),
            (40, 3609, true, SLICE),
            (80, first, true, SPS),
            (80, second, false, PPS),
            (80, first, false, SEI),
            (80, second, true, &both),
            (80, 7209, false, IDR),
            (80, first, false, PPS),
            (80, 7209, true, LATER_IDR),
            (120, 10_809, true, SLICE),
        ]);
        assert_eq!(words(&sent), "sets^ idr! slice! sets^ idr idr! slice!", "{case}");
        let times: Vec<_> = sent.iter().map(|(_, timestamp)| *timestamp).collect();
        assert_eq!(times, [9, 9, 3609, 7209, 7209, 7209, 10_809], "{case}");
    }
}

#[test]
fn a_marker_within_a_unit_is_not_the_end_of_its_picture() {
    let marked = |len| {
        let parts = [fragment(1, START, len), fragment(1, MIDDLE, len), fragment(1, END, len)];
        let mut packets: Vec<(u64, u32, bool, Vec<u8>)> = vec![(0, 1, true, IDR.to_vec())];
        for picture in 1..3_u32 {
            for part in &parts {
                packets.push((u64::from(picture) * 40, picture * 3600, true, part.clone()));
            }
        }
        let packets: Vec<_> = packets.iter().map(|(ms, ts, m, p)| (*ms, *ts, *m, &p[..])).collect();
        words(&send(&packets))
    };
    assert_eq!(marked(900), "sets^ idr! start middle end! start middle end!");
    // Fragments that are too large for the path are split; the end bit is where the camera set it.
    let large = marked(1400);
    assert!(large.ends_with("start middle middle end!"), "{large}");
    assert_eq!(large.matches("end").count(), 2, "{large}");
}

#[test]
fn a_camera_without_end_bits_is_known_after_its_first_picture() {
    let parts = [fragment(1, START, 900), fragment(1, MIDDLE, 900)];
    let mut packets: Vec<(u64, u32, bool, &[u8])> = vec![(0, 1, true, IDR)];
    for picture in 1..4 {
        packets.push((u64::from(picture) * 40, picture * 3600, false, &parts[0]));
        packets.push((u64::from(picture) * 40, picture * 3600, true, &parts[1]));
    }
    let sent = words(&send(&packets));
    assert_eq!(sent, "sets^ idr! start middle filler! start middle! start middle!");
}

#[test]
fn a_damaged_part_of_an_aggregation_packet_leaves_the_others_alone() {
    let padded = [&aggregate(&[SPS, PPS, IDR])[..], b"\0\0\0"].concat();
    let cut = [&aggregate(&[SPS, PPS, IDR])[..], b"\0\x20cut"].concat();
    let bad = aggregate(&[b"\x67", SPS, PPS, IDR]);
    for (case, payload, is_error) in
        [("padded", padded, false), ("cut", cut, false), ("bad", bad, true)]
    {
        let mut camera = Camera::new(&description(Codec::H264, &[]));
        assert_eq!(camera.send(1, true, &payload).is_err(), is_error, "{case}");
        assert_eq!(camera.words(), "640x480 sets^ idr!", "{case}");
    }
    let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
    camera.send(1, true, IDR).unwrap();
    camera.packets();
    camera.send(2, true, &aggregate(&vec![&b"\x41"[..]; 20_000])).unwrap();
    assert!(camera.packets().len() <= 65, "one packet does not become thousands");
}

#[test]
fn many_and_large_parameter_sets_reach_the_viewer() {
    let mut camera = Camera::new(&description(Codec::H264, &[SPS]));
    for id in 0..12_u8 {
        // pic_parameter_set_id in Exp-Golomb code.
        let code = u32::from(id) + 1;
        let bits = 2 * (32 - code.leading_zeros()) - 1;
        let first = u16::try_from(code << (16 - bits)).unwrap().to_be_bytes();
        camera.send(1, false, &[&[0x68][..], &first, &[7; 500]].concat()).unwrap();
    }
    camera.send(1, true, IDR).unwrap();
    let packets = camera.packets();
    let sets: usize = packets[..packets.len() - 1].iter().map(|packet| packet.payload.len()).sum();
    assert!(sets > 12 * 500, "all twelve: {sets}");
    assert!(packets.iter().all(|packet| packet.payload.len() <= MAX_PAYLOAD));
}

#[test]
fn only_the_last_slice_of_a_picture_keeps_its_marker() {
    let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
    let picture = |camera: &mut Camera, timestamp, slices, key| {
        for index in 0..slices {
            let payload = match (key, index) {
                (true, 0) => IDR,
                (true, _) => LATER_IDR,
                (false, 0) => SLICE,
                (false, _) => LATER,
            };
            camera.send(timestamp, true, payload).unwrap();
        }
        camera.words_so_far()
    };
    // The end of the first picture is known when the next one begins.
    assert_eq!(picture(&mut camera, 0, 3, true), "640x480 sets^ idr idr");
    assert_eq!(picture(&mut camera, 1, 3, false), "idr! slice slice slice!");
    assert_eq!(picture(&mut camera, 2, 3, true), "sets^ idr idr idr!");
    // Fewer slices: the number may vary.
    assert_eq!(picture(&mut camera, 3, 1, false), "slice");
    assert_eq!(picture(&mut camera, 4, 4, false), "filler! slice slice slice");
    assert_eq!(picture(&mut camera, 5, 2, false), "slice! slice");
    // The end of a picture does not wait for the next one for long.
    let due = camera.feed.poll_timeout().unwrap();
    assert_eq!(due, camera.now + Duration::from_millis(50));
    camera.feed.handle_timeout(due);
    assert_eq!(camera.words_so_far(), "slice!");
    assert_eq!(camera.feed.poll_timeout(), None);
    // A slice that is later still is dropped.
    camera.send(5, true, LATER).unwrap();
    assert_eq!(camera.words_so_far(), "");
    assert_eq!(picture(&mut camera, 6, 2, false), "slice");
    for timestamp in 7..37 {
        assert_eq!(picture(&mut camera, timestamp, 2, false), "slice! slice", "{timestamp}");
    }
    assert_eq!(picture(&mut camera, 37, 2, false), "slice! slice slice!", "steady again");
}
