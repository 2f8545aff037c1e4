use openh264::decoder::Decoder;
use porthole_gateway_core::media::{
    Feed, FeedOutput, MediaPacket, NalCodec, RtpPacket, byte_stream, timecode,
};

use super::*;

const PICTURE: TestPicture =
    TestPicture { width: 640, height: 360, frames_per_second: 30, bitrate: 600_000 };

/// The time that the first picture shows. Time is virtual, so that a slow machine encodes the same
/// frames.
const START: u64 = 1_800_000_000_000;

/// The built-in camera at 30 frames a second.
struct Recording(Camera);

impl Recording {
    fn new(picture: TestPicture) -> Self {
        assert_eq!(picture.frames_per_second, 30);
        Self(Camera::new(picture).unwrap())
    }

    fn frame(&mut self, number: u32, key_frame: bool) -> Vec<(Instant, RtpPacket)> {
        let elapsed = Duration::from_secs(1) * number / 30;
        let events = self.0.frame(elapsed, shown(number), key_frame).unwrap();
        let packets = events.into_iter().map(|event| {
            let SourceEvent::Packet { arrival, packet, .. } = event else { panic!("only packets") };
            (arrival, packet)
        });
        packets.collect()
    }
}

/// Returns the time that the picture with this number shows.
fn shown(number: u32) -> u64 {
    START + u64::from(number) * 1000 / 30
}

/// Records `count` frames, each as the packets that leave the feed.
fn frames(picture: TestPicture, count: u32, key_frame_at: Option<u32>) -> Vec<Vec<MediaPacket>> {
    let mut recording = Recording::new(picture);
    let mut feed = Feed::new();
    feed.handle_description(&TrackDescription {
        codec: Codec::H264,
        parameter_sets: Vec::new(),
        delivery: Delivery::InOrder,
    });
    let mut frames = Vec::new();
    for frame in 0..count {
        for (arrival, packet) in recording.frame(frame, key_frame_at == Some(frame)) {
            feed.handle_packet(arrival, packet).unwrap();
        }
        let mut packets = Vec::new();
        // The end of the first picture shows when nothing follows.
        if let Some(due) = feed.poll_timeout() {
            feed.handle_timeout(due);
        }
        while let Some(output) = feed.poll_output() {
            if let FeedOutput::Packet(packet) = output {
                packets.push(packet);
            }
        }
        frames.push(packets);
    }
    let format = feed.format().unwrap();
    assert_eq!((format.width, format.height), (picture.width, picture.height));
    frames
}

#[test]
fn the_time_in_the_picture_survives_encoder_packets_and_decoder() {
    let narrow = TestPicture { bitrate: 50_000, ..PICTURE };
    for (picture, wanted) in
        [(PICTURE, 45..=45), (TestPicture::default(), 45..=45), (narrow, 10..=44)]
    {
        let mut decoder = Decoder::new().unwrap();
        let mut read = 0;
        for (frame, packets) in (0..).zip(frames(picture, 45, None)) {
            // If the bit rate does not suffice, the encoder skips pictures.
            if packets.is_empty() {
                continue;
            }
            let decoded = decoder.decode(&byte_stream(NalCodec::H264, &packets)).unwrap();
            let Some(decoded) = decoded else { continue };
            let (stride, _, _) = decoded.strides();
            let time = timecode::decode(decoded.y(), stride).expect("a timecode in every picture");
            assert_eq!(time, shown(frame));
            read += 1;
        }
        assert!(wanted.contains(&read), "{read} pictures of {picture:?}");
    }
}

#[test]
fn key_frames_come_in_time_and_on_request_but_not_too_often() {
    let starts = |key_frame_at| -> Vec<usize> {
        let frames = frames(PICTURE, 150, key_frame_at);
        let starts_key = |packets: &Vec<MediaPacket>| packets.iter().any(|p| p.starts_key_frame);
        (0..).zip(&frames).filter(|(_, packets)| starts_key(packets)).map(|(i, _)| i).collect()
    };
    assert_eq!(starts(None), [0, 60, 120]);
    assert_eq!(starts(Some(30)), [0, 30, 90]);
    assert_eq!(starts(Some(3)), [0, 15, 75, 135]);
}

#[test]
fn the_stream_is_one_that_every_browser_decodes() {
    let mut recording = Recording::new(TestPicture::default());
    let mut bytes = 0;
    for frame in 0..60_u32 {
        for (_, packet) in recording.frame(frame, false) {
            bytes += packet.payload.len();
            if packet.payload[0] & 0x1f == 7 {
                // Constrained baseline: profile 66 with constraint_set1_flag.
                assert_eq!((packet.payload[1], packet.payload[2] & 0x40), (66, 0x40));
            }
        }
    }
    let bits_per_second = bytes * 8 / 2;
    assert!((1_000_000..3_000_000).contains(&bits_per_second), "{bits_per_second} bit/s");
}
