use proptest::prelude::*;

use super::*;
use crate::media::{
    Delivery, Feed, FeedOutput, MediaPacket, RtpHeader, RtpPacket, TrackDescription,
};

/// The first bytes of key frames of 320 × 240 pixels, by libvpx.
const VP8_KEY: &[u8] = &[0x70, 0x6e, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00, 0x00, 0x07];
const VP9_KEY: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0e, 0xf6, 0x04, 0x38];
/// A sequence header of 320 × 240 pixels by SVT-AV1, without its size field, and a frame.
const AV1_SEQUENCE: &[u8] =
    &[0x08, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xff, 0xbc, 0xfb, 0xf9, 0x00, 0x40];
const AV1_FRAME: &[u8] = &[0x30, 0x14, 0x00, 0xa2];

fn part(codec: Codec, descriptor: &[u8], frame: &[u8]) -> Option<Part> {
    Part::read(codec, &[descriptor, frame].concat())
}

#[test]
fn key_frames_are_found_behind_every_descriptor() {
    type Case<'a> = (&'a str, Codec, &'a [u8], &'a [u8], bool);
    let delta: &[u8] = &[0x71, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let vp9_delta: &[u8] = &[0x86, 0x00, 0x40, 0x92];
    // One layer of 320 × 240, and a group of two pictures with one reference each.
    let structure = [0x18_u8, 0x01, 0x40, 0x00, 0xf0, 2, 0x04, 1, 0x04, 1];
    let with_structure = [&[0x8a, 5][..], &structure].concat();
    let table: [Case<'_>; 16] = [
        ("the shortest descriptor", Codec::Vp8, &[0x10], VP8_KEY, true),
        ("a picture id of 7 bits", Codec::Vp8, &[0x90, 0x80, 0x11], VP8_KEY, true),
        ("a picture id of 15 bits", Codec::Vp8, &[0x90, 0x80, 0x91, 0x22], VP8_KEY, true),
        ("all fields", Codec::Vp8, &[0x90, 0xf0, 0x91, 0x22, 1, 0x20], VP8_KEY, true),
        ("a delta frame", Codec::Vp8, &[0x90, 0x80, 0x11], delta, false),
        ("the middle of a frame", Codec::Vp8, &[0x80, 0x80, 0x11], VP8_KEY, false),
        ("a later partition", Codec::Vp8, &[0x11], VP8_KEY, false),
        ("the shortest descriptor", Codec::Vp9, &[0x08], VP9_KEY, true),
        ("a picture id, layers", Codec::Vp9, &[0xa8, 0x91, 0x22, 0x00, 7], VP9_KEY, true),
        ("flexible mode", Codec::Vp9, &[0xb8, 0x11, 0x00], VP9_KEY, true),
        ("a scalability structure", Codec::Vp9, &with_structure, VP9_KEY, true),
        ("a predicted frame", Codec::Vp9, &[0xd8, 0x11, 0x03, 0x04], VP9_KEY, false),
        ("predicted and not said so", Codec::Vp9, &[0x08], vp9_delta, false),
        ("another layer", Codec::Vp9, &[0xa8, 0x91, 0x22, 0x02, 7], VP9_KEY, false),
        ("the middle of a frame", Codec::Vp9, &[0x80, 0x11], VP9_KEY, false),
        ("the end of a frame", Codec::Vp9, &[0x84, 0x11], VP9_KEY, false),
    ];
    for (case, codec, descriptor, frame, is_key) in table {
        let part = part(codec, descriptor, frame).unwrap();
        assert_eq!(part.is_key, is_key, "{codec}: {case}");
        assert_eq!(part.size, is_key.then_some((320, 240)), "{codec}: {case}");
    }
}

#[test]
fn new_sequences_of_av1_are_found() {
    type Case<'a> = (&'a str, Vec<u8>, bool, Option<(u32, u32)>);
    let with_lengths =
        [&[0x08, 12][..], AV1_SEQUENCE, &[u8::try_from(AV1_FRAME.len()).unwrap()], AV1_FRAME];
    let counted = [&[0x28, 12][..], AV1_SEQUENCE, AV1_FRAME].concat();
    let size = Some((320, 240));
    let table: [Case<'_>; 6] = [
        ("lengths", with_lengths.concat(), true, size),
        ("a count", counted.clone(), true, size),
        ("not marked", [&[0x20][..], &counted[1..]].concat(), true, size),
        ("marked, and the header is elsewhere", [&[0x18][..], AV1_FRAME].concat(), true, None),
        ("a frame", [&[0x10][..], AV1_FRAME].concat(), false, None),
        ("the rest of a unit", [&[0x90][..], AV1_SEQUENCE].concat(), false, None),
    ];
    for (case, payload, is_key, size) in table {
        let part = Part::read(Codec::Av1, &payload).unwrap();
        assert_eq!((part.is_key, part.size), (is_key, size), "{case}");
    }
    let profile = Part::read(Codec::Av1, &counted).unwrap().profile;
    assert_eq!(profile, Some(Profile::Av1 { profile: 0, level_idx: 0, is_high_tier: false }));
}

#[test]
fn a_descriptor_that_is_cut_off_is_refused() {
    for (codec, payload) in [
        (Codec::Vp8, &[][..]),
        (Codec::Vp8, &[0x90]),
        (Codec::Vp8, &[0x90, 0xf0, 0x91]),
        (Codec::Vp9, &[]),
        (Codec::Vp9, &[0x80]),
        (Codec::Vp9, &[0x8a, 0x11]),
        (Codec::Vp9, &[0x8a, 0x11, 0x18, 1]),
        (Codec::Av1, &[]),
        (Codec::Av1, &[0x00, 9, 1]),
        (Codec::Av1, &[0x00, 0x80, 0x80, 0x80, 0x80, 1]),
    ] {
        assert_eq!(Part::read(codec, payload), None, "{codec} {payload:?}");
    }
}

/// Joins the bodies of payloads that were split, and checks their descriptors.
fn joined(codec: Codec, payloads: &[Bytes]) -> Vec<u8> {
    let mut body = Vec::new();
    for (index, payload) in payloads.iter().enumerate() {
        let is_first = index == 0;
        match codec {
            Codec::Vp8 => {
                assert_eq!(payload[..3], [if is_first { 0x90 } else { 0x80 }, 0x80, 0x11]);
                body.extend_from_slice(&payload[3..]);
            }
            Codec::Vp9 => {
                let is_last = index + 1 == payloads.len();
                let first = match (is_first, is_last) {
                    (true, _) => 0x8a,
                    (false, true) => 0x84,
                    (false, false) => 0x80,
                };
                let len = if is_first { 7 } else { 2 };
                assert_eq!(payload[..2], [first, 0x11], "{index}");
                body.extend_from_slice(&payload[len..]);
            }
            Codec::H264 | Codec::H265 | Codec::Av1 => {
                assert_eq!(payload[0] & 0x80 != 0, !is_first, "{index}");
                assert_eq!(payload[0] & 0x08 != 0, is_first, "{index}");
                body.extend_from_slice(&payload[1..]);
            }
        }
    }
    body
}

#[test]
fn payloads_that_are_too_large_are_split() {
    let vp9 = [0x8e, 0x11, 0x10, 0x01, 0x40, 0x00, 0xf0];
    for (codec, descriptor) in
        [(Codec::Vp8, &[0x90, 0x80, 0x11][..]), (Codec::Vp9, &vp9), (Codec::Av1, &[0x18])]
    {
        let body: Vec<u8> = (0..=255).cycle().take(2500).collect();
        let payload: Bytes = [descriptor, &body].concat().into();
        let payloads = split(codec, payload.clone(), 1000);
        assert_eq!(payloads.len(), 3, "{codec}");
        assert!(payloads.iter().all(|payload| payload.len() <= 1000), "{codec}");
        assert!(payloads.iter().all(|payload| Part::read(codec, payload).is_some()), "{codec}");
        assert!(joined(codec, &payloads) == body, "{codec}");
        assert_eq!(split(codec, payload.clone(), 3000), [payload], "{codec}");
    }
}

#[test]
fn the_elements_of_av1_stay_apart_when_they_are_split() {
    let (one, two) = (vec![0x08; 150], vec![0x30; 250]);
    // Two elements of which the second goes on in the next packet.
    let payload: Bytes = [&[0x68, 0x96, 0x01][..], &one, &two].concat().into();
    let payloads = split(Codec::Av1, payload, 101);
    let headers: Vec<_> = payloads.iter().map(|payload| payload[0]).collect();
    assert_eq!(headers, [0x58, 0x90, 0x50, 0xd0, 0xd0]);
    let bodies: Vec<u8> = payloads.iter().flat_map(|payload| payload[1..].to_vec()).collect();
    assert!(bodies == [one, two].concat());
}

struct Camera {
    feed: Feed,
    sequence: u16,
    now: Instant,
}

impl Camera {
    fn new(codec: Codec) -> Self {
        let mut feed = Feed::new();
        let parameter_sets = Vec::new();
        feed.handle_description(&TrackDescription {
            codec,
            parameter_sets,
            delivery: Delivery::InOrder,
        });
        Self { feed, sequence: 0, now: Instant::now() }
    }

    fn send(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<FeedOutput> {
        let sequence = self.sequence;
        self.sequence += 1;
        let header = RtpHeader { marker, payload_type: 96, sequence, timestamp, ssrc: 1 };
        let packet = RtpPacket { header, payload: Bytes::copy_from_slice(payload) };
        self.feed.handle_packet(self.now, packet).unwrap();
        std::iter::from_fn(|| self.feed.poll_output()).collect()
    }
}

fn packets(outputs: Vec<FeedOutput>) -> Vec<MediaPacket> {
    let packet = |output| match output {
        FeedOutput::Packet(packet) => Some(packet),
        FeedOutput::Format(_) => None,
    };
    outputs.into_iter().filter_map(packet).collect()
}

#[test]
fn a_stream_begins_with_a_key_frame_and_its_format() {
    let mut camera = Camera::new(Codec::Vp8);
    assert!(camera.send(1, true, &[0x10, 0x71, 0, 0]).is_empty(), "nothing before a key frame");
    let key = [&[0x10][..], VP8_KEY].concat();
    let outputs = camera.send(2, false, &key);
    let Some(FeedOutput::Format(format)) = outputs.first() else { panic!("{outputs:?}") };
    assert_eq!((format.codec, format.width, format.height), (Codec::Vp8, 320, 240));
    let [packet] = &packets(outputs)[..] else { panic!("one packet") };
    assert!(packet.starts_key_frame && !packet.marker);
    assert_eq!(packet.payload[..], key, "it leaves as it came");
    let rest = packets(camera.send(2, true, &[0x00, 1, 2, 3]));
    assert!(rest[0].marker && !rest[0].starts_key_frame);
    camera.send(3, true, &[0x10, 0x71, 0, 0]);
    assert_eq!(camera.feed.gop().packets().len(), 3);
    let outputs = camera.send(4, true, &key);
    assert!(matches!(outputs[..], [FeedOutput::Packet(_)]), "the same format is not repeated");
    assert_eq!(camera.feed.gop().packets().len(), 1);
    assert_eq!(camera.feed.statistics().key_frames, 2);
}

#[test]
fn a_large_packet_is_split_and_its_marker_stays_last() {
    let mut camera = Camera::new(Codec::Vp9);
    let body = vec![0x55; 2 * MAX_PAYLOAD];
    let packets = packets(camera.send(1, true, &[&[0x0c][..], VP9_KEY, &body].concat()));
    assert_eq!(packets.len(), 3);
    assert!(packets.iter().all(|packet| packet.payload.len() <= MAX_PAYLOAD));
    let flags = packets.iter().map(|packet| (packet.starts_key_frame, packet.marker));
    assert_eq!(flags.collect::<Vec<_>>(), [(true, false), (false, false), (false, true)]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        codec in prop::sample::select(vec![Codec::Vp8, Codec::Vp9, Codec::Av1]),
        limit in 1_usize..64,
    ) {
        let _ = Part::read(codec, &bytes);
        let payloads = split(codec, bytes.clone().into(), limit);
        // A descriptor may be longer than the limit, but nothing grows.
        prop_assert!(payloads.iter().all(|payload| payload.len() <= limit.max(bytes.len())));
    }
}
