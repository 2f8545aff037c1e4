//! Gaps and jumps in the numbers of packets, which mean a loss over UDP and not over TCP.

use super::*;

/// Returns a slice of the first macroblock with this header and frame number.
fn slice(header: u8, number: u8) -> Vec<u8> {
    vec![header, 0x9a | number >> 3, number << 5 | 0x1f, 7, 7]
}

/// Returns a later slice of the picture with this frame number.
fn later(number: u8) -> Vec<u8> {
    vec![0x41, 0x46, 0x87 | number << 3, 7, 7]
}

#[test]
fn a_gap_over_tcp_is_a_loss_only_if_something_is_missing() {
    const REFERENCE: u8 = 0x41;
    const OTHER: u8 = 0x01;
    let (one, two, three) = (slice(REFERENCE, 1), slice(REFERENCE, 2), slice(REFERENCE, 3));
    let (start, middle) = (fragment(1, START, 9), fragment(1, MIDDLE, 9));
    let end = fragment(1, END, 9);
    // Numbers left out, timestamp, marker and payload of packets after a key frame; what is lost,
    // and what over UDP.
    type Packets = Vec<(u16, u32, bool, Vec<u8>)>;
    let table: Vec<(&str, Packets, u64, u64)> = vec![
        (
            "between pictures",
            vec![(1, 1, true, one.clone()), (1, 2, true, two.clone()), (7, 3, true, three.clone())],
            0,
            2,
        ),
        ("a picture", vec![(0, 1, true, one.clone()), (1, 3, true, three.clone())], 1, 1),
        (
            "a picture before one with a delimiter",
            vec![
                (0, 1, true, one.clone()),
                (2, 3, false, DELIMITER.to_vec()),
                (1, 3, true, three.clone()),
            ],
            3,
            3,
        ),
        (
            "a picture that no other refers to",
            vec![(0, 1, true, slice(OTHER, 1)), (1, 3, true, one.clone())],
            0,
            1,
        ),
        (
            "a picture after one that no other refers to",
            vec![(0, 1, true, slice(OTHER, 1)), (1, 3, true, two.clone())],
            1,
            1,
        ),
        (
            "pictures before a key frame",
            vec![(0, 1, true, one.clone()), (9, 9, true, IDR.into())],
            0,
            9,
        ),
        ("between slices", vec![(0, 1, false, one.clone()), (1, 1, true, later(1))], 0, 1),
        ("a part of a unit", vec![(0, 1, false, start.clone()), (1, 1, true, end.clone())], 1, 1),
        ("the end of a unit", vec![(0, 1, false, start.clone()), (1, 2, true, two.clone())], 1, 1),
        (
            "the beginning of a unit",
            vec![(1, 1, false, middle.clone()), (0, 1, true, end.clone())],
            1,
            1,
        ),
        ("nothing", vec![(0, 1, false, start), (0, 1, false, middle), (0, 1, true, end)], 0, 0),
    ];
    for (case, packets, over_tcp, over_udp) in table {
        for (delivery, expected) in [(Delivery::Tcp, over_tcp), (Delivery::Udp, over_udp)] {
            let mut camera = Camera::new(&over(delivery));
            camera.send(0, true, IDR).expect(case);
            for (left_out, timestamp, marker, payload) in &packets {
                camera.next.sequence = camera.next.sequence.wrapping_add(*left_out);
                camera.send(*timestamp, *marker, payload).expect(case);
                camera.wait();
            }
            let lost = camera.feed.statistics().lost;
            assert_eq!(lost, expected, "{case}, {delivery:?}");
            let sent = camera.packets();
            let gaps = sent.windows(2).map(|two| two[1].sequence - two[0].sequence - 1);
            assert_eq!(gaps.sum::<u64>(), lost, "{case}, {delivery:?}: viewers see the same");
        }
    }
}

#[test]
fn a_gap_over_udp_is_no_loss_between_whole_pictures_that_follow_each_other() {
    const NEXT: u32 = 11 * 3600;
    let first_of_h265 = &b"\x02\x01\xd0slice"[..];
    // After ten pictures of H.264 or H.265, the last of which is ended by a marker or not: numbers
    // left out, timestamp and payload of the next packet; and what is lost.
    type Case<'a> = (&'a str, Codec, bool, u16, u32, Vec<u8>, u64);
    let table: [Case<'_>; 10] = [
        ("nothing", Codec::H264, true, 1, NEXT, slice(0x41, 11), 0),
        ("no more than SEI", Codec::H264, true, 8, NEXT, slice(0x41, 11), 0),
        ("too much", Codec::H264, true, 9, NEXT, slice(0x41, 11), 9),
        ("a picture", Codec::H264, true, 1, NEXT + 3600, slice(0x41, 12), 1),
        ("a picture, by its number", Codec::H264, true, 1, NEXT, slice(0x41, 12), 1),
        ("a picture, by its time", Codec::H264, true, 1, NEXT + 3600, slice(0x41, 11), 1),
        ("the end of a picture", Codec::H264, false, 1, NEXT, slice(0x41, 11), 1),
        ("the beginning of a picture", Codec::H264, true, 1, NEXT, later(11), 1),
        ("nothing", Codec::H265, true, 1, NEXT, first_of_h265.to_vec(), 0),
        ("a picture", Codec::H265, true, 1, NEXT + 3600, first_of_h265.to_vec(), 1),
    ];
    for (case, codec, is_marked, left_out, timestamp, payload, expected) in table {
        let is_h265 = codec == Codec::H265;
        let (sets, key): (&[&[u8]], &[u8]) = match is_h265 {
            true => (&[H265_VPS, H265_SPS, H265_PPS], b"\x26\x01\xaf"),
            false => (&[SPS, PPS], IDR),
        };
        let delivery = Delivery::Udp;
        let mut camera = Camera::new(&TrackDescription { delivery, ..description(codec, sets) });
        camera.send(0, true, key).expect(case);
        for number in 1..=10_u8 {
            let picture = if is_h265 { first_of_h265.to_vec() } else { slice(0x41, number) };
            let is_marked = is_marked || number < 10;
            camera.send(u32::from(number) * 3600, is_marked, &picture).expect(case);
        }
        camera.next.sequence = camera.next.sequence.wrapping_add(left_out);
        camera.send(timestamp, true, &payload).expect(case);
        camera.wait();
        let lost = camera.feed.statistics().lost;
        assert_eq!(lost, expected, "{case}, {codec}");
        let sent = camera.packets();
        let gaps = sent.windows(2).map(|two| two[1].sequence - two[0].sequence - 1);
        assert_eq!(gaps.sum::<u64>(), lost, "{case}, {codec}: viewers see the same");
    }
}

#[test]
fn a_stream_that_is_numbered_anew_goes_on_where_nothing_can_be_lost() {
    // Picture of three packets by its number: the first sequence number, SSRC and timestamp.
    type Numbers = fn(u32) -> (u16, u32, u32);
    // Name, numbers, and true if that holds over UDP, too.
    let table: Vec<(&str, Numbers, bool)> = vec![
        ("as they should be", |n| ((n * 3) as u16, 1, n * 3600), true),
        ("one left out after each picture", |n| ((n * 4) as u16, 1, n * 3600), false),
        ("again every 30 pictures", |n| ((n % 30 * 3) as u16, 1, n * 3600), false),
        ("at random", |n| ((n * 7919) as u16, 1, n * 3600), false),
        ("another SSRC for each picture", |n| ((n * 3) as u16, n, n * 3600), true),
        ("all of it", |n| ((n * 7919) as u16, n, n * 3600), false),
    ];
    for (case, numbers, over_udp) in table {
        for delivery in [Delivery::Tcp, Delivery::Udp].into_iter().take(1 + usize::from(over_udp)) {
            let mut camera = Camera::new(&over(delivery));
            for picture in 0..90_u32 {
                let (sequence, ssrc, timestamp) = numbers(picture);
                camera.next.sequence = sequence;
                camera.next.ssrc = ssrc;
                camera.now += Duration::from_millis(40);
                let number = (picture % 16) as u8;
                let first = if picture == 0 { IDR.to_vec() } else { slice(0x41, number) };
                for (payload, marker) in
                    [(first, false), (later(number), false), (later(number), true)]
                {
                    camera.send(timestamp, marker, &payload).expect(case);
                    camera.wait();
                }
            }
            let statistics = camera.feed.statistics();
            let what = format!("{case}, {delivery:?}: {statistics:?}");
            assert_eq!((statistics.lost, statistics.restarts), (0, 0), "{what}");
            let sent = camera.packets();
            let pictures = sent.chunk_by(|a, b| a.timestamp == b.timestamp);
            assert_eq!(pictures.count(), 90, "{what}");
            let is_gapless = |two: &[MediaPacket]| two[1].sequence == two[0].sequence + 1;
            assert!(sent.windows(2).all(is_gapless), "{what}");
        }
    }
}

#[test]
fn a_clock_that_is_set_back_with_each_key_frame_gives_no_pictures_back() {
    let mut camera = Camera::new(&over(Delivery::Tcp));
    for picture in 0..90_u32 {
        camera.now += Duration::from_millis(66);
        let payload = if picture % 15 == 0 { IDR } else { SLICE };
        camera.send(90_000 + picture % 15 * 6000, true, payload).unwrap();
    }
    assert_eq!(camera.feed.statistics().pictures_back, 0);
    let sent = camera.packets();
    assert!(sent.windows(2).all(|two| two[0].timestamp <= two[1].timestamp));
}
