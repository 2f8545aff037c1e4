mod gaps;
mod hidden;
mod pictures;

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::media::nal::unit::Shape;
use crate::media::{
    Codec, MAX_PAYLOAD, MediaPacket, NalCodec, RtpHeader, annex_b_units, byte_stream,
};

/// 640x480, made by x264.
const SPS: &[u8] =
    b"\x67\x42\xc0\x1e\xd9\x00\xa0\x3d\xb0\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\
    \x0f\x16\x2e\x48";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";
/// 1280x720, made by x265.
const H265_VPS: &[u8] =
    b"\x40\x01\x0c\x01\xff\xff\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\
    \x00\x5d\x95\x98\x09";
const H265_SPS: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x5d\
    \xa0\x02\x80\x80\x2d\x16\x59\x59\xa4\x93\x2b\xc0\x5a\x02\x00\x00\x03\x00\x02\x00\x00\x03\
    \x00\x32\x10";
const H265_PPS: &[u8] = b"\x44\x01\xc1\x72\xb4\x62\x40";
/// The first slice of a key frame, and of another picture.
const IDR: &[u8] = b"\x65\x88idr";
const SLICE: &[u8] = b"\x41\x9aslice";
/// Later slices of them.
const LATER_IDR: &[u8] = b"\x65\x48idr";
const LATER: &[u8] = b"\x41\x5aslice";
const SEI: &[u8] = b"\x06sei";
const DELIMITER: &[u8] = b"\x09\xf0";

fn description(codec: Codec, parameter_sets: &[&[u8]]) -> TrackDescription {
    let parameter_sets = parameter_sets.iter().map(|unit| Bytes::copy_from_slice(unit)).collect();
    TrackDescription { codec, parameter_sets, delivery: Delivery::InOrder }
}

/// Returns the description of a track of H.264 that arrives in this way.
fn over(delivery: Delivery) -> TrackDescription {
    TrackDescription { delivery, ..description(Codec::H264, &[SPS, PPS]) }
}

/// A feed and a camera that numbers its packets.
struct Camera {
    feed: Feed,
    delivery: Delivery,
    now: Instant,
    next: RtpHeader,
}

impl Camera {
    fn new(description: &TrackDescription) -> Self {
        let mut feed = Feed::new();
        feed.handle_description(description);
        let next =
            RtpHeader { marker: false, payload_type: 96, sequence: 65_530, timestamp: 0, ssrc: 1 };
        Self { feed, delivery: description.delivery, now: Instant::now(), next }
    }

    fn send(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> Result<(), IngestError> {
        let header = RtpHeader { timestamp, marker, ..self.next };
        let packet = RtpPacket { header, payload: Bytes::copy_from_slice(payload) };
        self.next.sequence = self.next.sequence.wrapping_add(1);
        self.feed.handle_packet(self.now, packet)
    }

    /// Lets the feed wait in vain for another slice of the last picture.
    fn end_picture(&mut self) {
        if self.delivery == Delivery::InOrder {
            self.wait();
        }
    }

    fn wait(&mut self) {
        if let Some(due) = self.feed.poll_timeout() {
            self.feed.handle_timeout(due);
        }
    }

    fn packets(&mut self) -> Vec<MediaPacket> {
        self.end_picture();
        let outputs = std::iter::from_fn(|| self.feed.poll_output());
        outputs
            .filter_map(|output| match output {
                FeedOutput::Packet(packet) => Some(packet),
                FeedOutput::Format(_) => None,
            })
            .collect()
    }

    /// Returns the outputs in words: `^` starts a key frame, `!` has the marker.
    fn words(&mut self) -> String {
        self.end_picture();
        self.words_so_far()
    }

    fn words_so_far(&mut self) -> String {
        let mut words = Vec::new();
        while let Some(output) = self.feed.poll_output() {
            words.push(match output {
                FeedOutput::Format(format) => format!("{}x{}", format.width, format.height),
                FeedOutput::Packet(packet) => word(&packet),
            });
        }
        words.join(" ")
    }
}

fn word(packet: &MediaPacket) -> String {
    let &[first, ref rest @ ..] = &packet.payload[..] else { return "empty".to_owned() };
    let name = match (first & 0x1f, rest.first().map_or(0, |header| header & 0xc0)) {
        (1, _) => "slice",
        (5, _) => "idr",
        (12, _) => "filler",
        (24, _) => "sets",
        (28, 0x80) => "start",
        (28, 0x40) => "end",
        (28, _) => "middle",
        _ => "other",
    };
    let key = if packet.starts_key_frame { "^" } else { "" };
    let marker = if packet.marker { "!" } else { "" };
    format!("{name}{key}{marker}")
}

fn aggregate(units: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![0x78];
    for unit in units {
        payload.extend_from_slice(&u16::try_from(unit.len()).unwrap().to_be_bytes());
        payload.extend_from_slice(unit);
    }
    payload
}

fn fragment(unit_type: u8, flags: u8, len: usize) -> Vec<u8> {
    let mut payload = vec![0x7c, flags | unit_type];
    payload.resize(len + 2, 0xaa);
    payload
}

const START: u8 = 0x80;
const MIDDLE: u8 = 0;
const END: u8 = 0x40;

#[test]
fn packets_are_forwarded_with_sets_and_markers_in_place() {
    let none: &[&[u8]] = &[];
    let sdp = &[SPS, PPS][..];
    type Packets<'a> = Vec<(u32, bool, &'a [u8])>;
    let sets = aggregate(&[SPS, PPS]);
    let all = aggregate(&[SPS, PPS, SEI, IDR]);
    let two_slices = aggregate(&[SLICE, SLICE]);
    let (start, middle, end) = (fragment(5, START, 9), fragment(5, MIDDLE, 9), fragment(5, END, 9));
    let big = [IDR, &[7; 2000]].concat();
    let table: Vec<(&str, &[&[u8]], Packets<'_>, &str)> = vec![
        (
            "sets in band, each alone",
            none,
            vec![(0, false, SPS), (0, false, PPS), (0, true, IDR), (1, true, SLICE)],
            "640x480 sets^ idr! slice!",
        ),
        (
            "sets marked and with a time of their own",
            none,
            vec![(0, true, SPS), (1, true, PPS), (2, true, IDR)],
            "640x480 sets^ idr!",
        ),
        ("sets in one packet", none, vec![(0, false, &sets), (0, true, IDR)], "640x480 sets^ idr!"),
        ("all in one packet", none, vec![(0, true, &all)], "640x480 sets^ idr!"),
        ("sets in the SDP only", sdp, vec![(0, true, IDR)], "640x480 sets^ idr!"),
        (
            "every key frame gets them",
            sdp,
            vec![(0, true, IDR), (1, true, SLICE), (2, true, IDR)],
            "640x480 sets^ idr! slice! sets^ idr!",
        ),
        (
            "once for a key frame of two slices",
            sdp,
            vec![(0, false, IDR), (0, true, IDR)],
            "640x480 sets^ idr idr!",
        ),
        (
            "in fragments",
            sdp,
            vec![(0, false, &start), (0, false, &middle), (0, true, &end)],
            "640x480 sets^ start middle end!",
        ),
        ("two slices in one packet", sdp, vec![(0, true, IDR), (1, true, &two_slices)], {
            "640x480 sets^ idr! slice slice!"
        }),
        ("too large", sdp, vec![(0, true, &big)], "640x480 sets^ start end!"),
        ("before the first key frame", sdp, vec![(0, true, SLICE)], "640x480"),
        ("a key frame without sets", none, vec![(0, true, IDR), (1, true, SLICE)], ""),
        (
            "delimiters and SEI are removed",
            sdp,
            vec![(0, false, DELIMITER), (0, false, SEI), (0, true, IDR)],
            "640x480 sets^ idr!",
        ),
        (
            "the marker is on a removed unit",
            sdp,
            vec![(0, false, IDR), (0, true, SEI), (1, true, SLICE)],
            "640x480 sets^ idr filler! slice!",
        ),
        (
            "no marker at all",
            sdp,
            vec![(0, false, IDR), (1, false, SLICE), (2, false, SLICE)],
            "640x480 sets^ idr filler! slice filler! slice",
        ),
    ];
    for (case, sprop, packets, expected) in table {
        let mut camera = Camera::new(&description(Codec::H264, sprop));
        for (timestamp, marker, payload) in packets {
            camera.send(timestamp, marker, payload).expect(case);
        }
        assert_eq!(camera.words(), expected, "{case}");
    }
}

#[test]
fn new_sets_leave_before_the_slice_that_may_need_them() {
    let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
    camera.send(0, true, IDR).unwrap();
    camera.send(1, false, b"\x68\xcb\x83\xcb\x21").unwrap();
    camera.send(1, true, SLICE).unwrap();
    camera.send(2, true, SLICE).unwrap();
    // The format includes the sets, so it changes with them.
    assert_eq!(camera.words(), "640x480 sets^ idr! 640x480 sets slice! slice!");
}

#[test]
fn large_fragments_are_split_without_doubling_their_number() {
    let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
    let last = 20;
    for index in 0..=last {
        let flags = if index == 0 {
            START
        } else if index == last {
            END
        } else {
            MIDDLE
        };
        camera.send(0, index == last, &fragment(5, flags, 1400)).unwrap();
    }
    let packets = camera.packets();
    let bytes: usize = packets[1..].iter().map(|packet| packet.payload.len() - 2).sum();
    assert_eq!(bytes, 21 * 1400);
    assert_eq!(packets.len() - 1, bytes.div_ceil(MAX_PAYLOAD - 2));
    let words: Vec<_> = packets.iter().map(word).collect();
    assert_eq!(words[1], "start");
    assert_eq!(words.last().unwrap(), "end!");
    assert_eq!(words.iter().filter(|word| *word == "middle").count(), words.len() - 3);
}

#[test]
fn a_loss_leaves_a_gap_and_ends_the_group_of_pictures() {
    let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
    camera.send(0, true, IDR).unwrap();
    camera.end_picture();
    assert_eq!(camera.feed.gop().packets().len(), 2);
    camera.next.sequence = camera.next.sequence.wrapping_add(3);
    camera.send(1, true, SLICE).unwrap();
    let sequences: Vec<_> = camera.packets().iter().map(|packet| packet.sequence).collect();
    assert_eq!(sequences, [0, 1, 5]);
    assert_eq!(camera.feed.statistics().lost, 3);
    assert!(camera.feed.gop().packets().is_empty());
    camera.send(2, true, IDR).unwrap();
    assert!(camera.feed.gop().packets()[0].starts_key_frame);
    camera.feed.handle_end();
    assert!(camera.feed.gop().packets().is_empty());
}

#[test]
fn a_loss_within_fragments_keeps_the_rest_and_adds_no_filler() {
    let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
    camera.send(0, true, IDR).unwrap();
    camera.send(1, false, &fragment(1, START, 1300)).unwrap();
    camera.next.sequence = camera.next.sequence.wrapping_add(1);
    camera.send(1, false, &fragment(1, MIDDLE, 100)).unwrap();
    camera.next.sequence = camera.next.sequence.wrapping_add(1);
    camera.send(2, true, SLICE).unwrap();
    assert_eq!(camera.words(), "640x480 sets^ idr! start middle middle slice!");
}

#[test]
fn a_restarted_camera_continues_in_number_and_time() {
    for (case, ssrc, sequence) in [("SSRC", 2, 20_000), ("numbers", 1, 30_000)] {
        let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
        camera.send(90_000, true, IDR).unwrap();
        camera.now += Duration::from_secs(2);
        camera.next.ssrc = ssrc;
        camera.next.sequence = sequence;
        // This slice refers to a key frame that was never received.
        camera.send(5, true, SLICE).unwrap();
        camera.send(3005, true, IDR).unwrap();
        let packets = camera.packets();
        let summary: Vec<_> = packets.iter().map(|p| (p.sequence, p.timestamp)).collect();
        let second = 90_000 + 180_000 + 3000;
        assert_eq!(summary, [(0, 90_000), (1, 90_000), (2, second), (3, second)], "{case}");
        assert_eq!(camera.feed.statistics().restarts, 1);
    }
}

#[test]
fn a_camera_connected_again_may_have_another_format() {
    let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
    camera.send(0, true, IDR).unwrap();
    let units: Vec<&[u8]> = vec![H265_VPS, H265_SPS, H265_PPS];
    camera.feed.handle_description(&description(Codec::H265, &units));
    assert!(camera.feed.gop().packets().is_empty());
    camera.send(9, true, b"\x26\x01idr").unwrap();
    camera.send(10, true, b"\x02\x01slice").unwrap();
    let format = camera.feed.format().unwrap();
    assert_eq!((format.codec, format.width, format.height), (Codec::H265, 1280, 720));
    let packets = camera.packets();
    let keys: Vec<_> = packets.iter().map(|p| (p.sequence, p.starts_key_frame)).collect();
    assert_eq!(keys, [(0, true), (1, false), (2, true), (3, false), (4, false)]);
    let Ok(Shape::Aggregate(sets)) = Shape::of(NalCodec::H265, &packets[2].payload) else {
        panic!("the parameter sets lead");
    };
    assert_eq!(sets, units);
}

#[test]
fn packets_over_udp_are_put_in_order() {
    let mut camera = Camera::new(&over(Delivery::Udp));
    camera.send(0, true, IDR).unwrap();
    camera.wait();
    camera.next.sequence = camera.next.sequence.wrapping_add(1);
    camera.send(2, true, SLICE).unwrap();
    assert_eq!(camera.words(), "640x480 sets^ idr!");
    let timeout = camera.feed.poll_timeout().expect("one packet is missing");
    camera.next.sequence = camera.next.sequence.wrapping_sub(2);
    camera.send(1, false, SLICE).unwrap();
    assert_eq!(camera.words(), "slice filler! slice!");
    camera.next.sequence = camera.next.sequence.wrapping_add(2);
    camera.send(3, true, SLICE).unwrap();
    assert_eq!(camera.words(), "");
    camera.feed.handle_timeout(timeout);
    assert_eq!(camera.words(), "slice!");
    assert_eq!(camera.feed.statistics().lost, 1);
}

#[test]
fn packets_that_cannot_be_forwarded_are_errors() {
    let mut feed = Feed::new();
    let packet = RtpPacket::parse(Bytes::from_static(b"\x80\x60\0\0\0\0\0\0\0\0\0\0\x65")).unwrap();
    assert_eq!(feed.handle_packet(Instant::now(), packet), Err(IngestError::NotDescribed));

    let mut camera = Camera::new(&description(Codec::H264, &[SPS, PPS]));
    assert_eq!(camera.send(0, true, b""), Err(IngestError::Malformed("an empty payload")));
    assert_eq!(camera.send(0, true, b"\x67\xff"), Err(IngestError::ParameterSet));
    let interleaved = camera.send(0, true, b"\x79\0\0\0").unwrap_err();
    assert!(interleaved.is_lasting() && interleaved.to_string().contains("STAP-B"));
    assert_eq!(camera.feed.statistics().refused, 3);
    camera.send(1, true, IDR).unwrap();
    assert_eq!(camera.words(), "640x480 sets^ idr!");
}

/// Ways in which a camera may pack the NAL units of an access unit.
#[derive(Debug, Clone)]
enum Packing {
    Alone,
    Together,
    Fragments(usize),
}

fn any_packing() -> impl Strategy<Value = Packing> {
    prop_oneof![
        Just(Packing::Alone),
        Just(Packing::Together),
        (1_usize..3000).prop_map(Packing::Fragments),
    ]
}

fn pack(codec: Codec, units: &[Vec<u8>], packing: &Packing) -> Vec<Vec<u8>> {
    let header_len = if codec == Codec::H264 { 1 } else { 2 };
    match packing {
        Packing::Alone => units.to_vec(),
        Packing::Together => {
            let mut payload = if codec == Codec::H264 { vec![0x78] } else { vec![0x60, 1] };
            for unit in units {
                payload.extend_from_slice(&u16::try_from(unit.len()).unwrap().to_be_bytes());
                payload.extend_from_slice(unit);
            }
            vec![payload]
        }
        Packing::Fragments(len) => {
            let mut payloads = Vec::new();
            for unit in units {
                let (header, body) = unit.split_at(header_len);
                let chunks: Vec<_> = body.chunks(*len).collect();
                for (index, chunk) in chunks.iter().enumerate() {
                    let flags =
                        u8::from(index == 0) << 7 | u8::from(index + 1 == chunks.len()) << 6;
                    let mut payload = match *header {
                        [first] => vec![first & 0xe0 | 28, flags | first & 0x1f],
                        [first, second] => {
                            vec![first & 0x81 | 49 << 1, second, flags | first >> 1 & 0x3f]
                        }
                        _ => unreachable!("one or two bytes"),
                    };
                    payload.extend_from_slice(chunk);
                    payloads.push(payload);
                }
            }
            payloads
        }
    }
}

proptest! {
    #[test]
    fn every_slice_arrives_whole_however_it_is_packed(
        h265 in any::<bool>(),
        access_units in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(1_usize..6000, 1..4), any_packing()),
            1..12,
        ),
    ) {
        let (codec, sprop, key, delta): (_, &[&[u8]], &[u8], &[u8]) = if h265 {
            (Codec::H265, &[H265_VPS, H265_SPS, H265_PPS], &[0x26, 1], &[0x02, 1])
        } else {
            (Codec::H264, &[SPS, PPS], &[0x65], &[0x41])
        };
        let mut camera = Camera::new(&description(codec, sprop));
        let mut expected: Vec<Vec<u8>> = Vec::new();
        for (index, (is_key, lens, packing)) in access_units.iter().enumerate() {
            let is_key = *is_key || index == 0;
            let timestamp = u32::try_from(index * 3000).unwrap();
            let units: Vec<_> = lens
                .iter()
                .map(|len| [if is_key { key } else { delta }, &vec![0x55; *len]].concat())
                .collect();
            let payloads = pack(codec, &units, packing);
            for (number, payload) in payloads.iter().enumerate() {
                camera.send(timestamp, number + 1 == payloads.len(), payload).unwrap();
            }
            if is_key {
                expected.extend(sprop.iter().map(|unit| unit.to_vec()));
            }
            expected.extend(units);
        }
        let packets = camera.packets();
        let stream = byte_stream(codec.nal().unwrap(), &packets);
        prop_assert_eq!(annex_b_units(&stream).map(<[u8]>::to_vec).collect::<Vec<_>>(), expected);
        for (sequence, pair) in (0..).zip(packets.windows(2)) {
            prop_assert_eq!(pair[0].sequence, sequence);
            // The marker ends each access unit and nothing else.
            prop_assert_eq!(pair[0].marker, pair[0].timestamp != pair[1].timestamp);
            prop_assert!(pair[0].payload.len() <= MAX_PAYLOAD);
        }
        prop_assert!(packets.last().unwrap().marker);
        let cached = camera.feed.gop().packets();
        let start = packets.iter().rposition(|packet| packet.starts_key_frame).unwrap();
        prop_assert_eq!(cached, &packets[start..]);
    }

    #[test]
    fn no_packet_panics_or_grows_beyond_the_path(
        h265 in any::<bool>(),
        delivery in prop::sample::select(vec![Delivery::InOrder, Delivery::Tcp, Delivery::Udp]),
        payloads in prop::collection::vec(
            (
                prop::sample::select(vec![
                    0x65_u8, 0x41, 0x67, 0x68, 0x78, 0x7c, 0x79, 0x26, 0x02, 0x40, 0x42, 0x44, 0x60,
                    0x62,
                ]),
                prop::collection::vec(any::<u8>(), 0..20),
                0_usize..3000,
                any::<u16>(),
                0_u32..4,
                any::<bool>(),
            ),
            0..60,
        ),
    ) {
        let (codec, sprop): (_, &[&[u8]]) = if h265 {
            (Codec::H265, &[H265_VPS, H265_SPS, H265_PPS])
        } else {
            (Codec::H264, &[SPS, PPS])
        };
        let mut camera =
            Camera::new(&TrackDescription { delivery, ..description(codec, sprop) });
        camera.send(0, true, if h265 { b"\x26\x01k" } else { b"\x65kk" }).unwrap();
        let mut last = None;
        for (first, body, len, jump, timestamp, marker) in payloads {
            let mut payload = vec![first];
            payload.extend_from_slice(&body);
            payload.resize(payload.len() + len, 0x11);
            let skipped = if jump % 4 == 0 { jump } else { 0 };
            camera.next.sequence = camera.next.sequence.wrapping_add(skipped);
            camera.now += Duration::from_millis(u64::from(jump % 50));
            let _ = camera.send(timestamp, marker, &payload);
            for packet in camera.packets() {
                prop_assert!(packet.payload.len() <= MAX_PAYLOAD);
                prop_assert!(last.is_none_or(|last| last < packet.sequence));
                last = Some(packet.sequence);
            }
        }
    }
}
