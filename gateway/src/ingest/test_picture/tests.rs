use openh264::decoder::Decoder;
use porthole_gateway_core::media::{Feed, FeedOutput, VideoPacket, byte_stream, clockbar};

use super::*;

const PICTURE: TestPicture =
    TestPicture { width: 640, height: 360, frames_per_second: 30, bitrate: 600_000 };

/// Takes frames until `count` are there, each as the packets that leave the feed.
fn frames(picture: TestPicture, count: u32, key_frame_at: Option<u32>) -> Vec<Vec<VideoPacket>> {
    let mut camera = Camera::new(picture).unwrap();
    let mut feed = Feed::new();
    feed.handle_description(&StreamDescription {
        codec: Codec::H264,
        parameter_sets: Vec::new(),
        in_order: true,
    });
    let mut frames = Vec::new();
    for frame in 0..count {
        let elapsed = Duration::from_secs(1) * frame / picture.frames_per_second;
        for event in camera.frame(elapsed, key_frame_at == Some(frame)).unwrap() {
            let SourceEvent::Packet { arrival, packet } = event else { panic!("only packets") };
            feed.handle_packet(arrival, packet).unwrap();
        }
        let mut packets = Vec::new();
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
    for picture in [PICTURE, TestPicture::default(), TestPicture { bitrate: 50_000, ..PICTURE }] {
        let before = epoch_milliseconds();
        let frames = frames(picture, 45, None);
        let mut decoder = Decoder::new().unwrap();
        let mut last = before;
        let mut read = 0;
        for packets in frames.iter().filter(|packets| !packets.is_empty()) {
            let decoded = decoder.decode(&byte_stream(Codec::H264, packets)).unwrap();
            let Some(decoded) = decoded else { continue };
            let (stride, _, _) = decoded.strides();
            let time = clockbar::decode(decoded.y(), stride).expect("a bar in every picture");
            assert!((last..=epoch_milliseconds()).contains(&time));
            last = time;
            read += 1;
        }
        assert!(read >= 20, "{read} pictures of {picture:?}");
    }
}

#[test]
fn key_frames_come_in_time_and_on_request_but_not_too_often() {
    let starts = |key_frame_at| -> Vec<usize> {
        let frames = frames(PICTURE, 150, key_frame_at);
        let starts_key = |packets: &Vec<VideoPacket>| packets.iter().any(|p| p.starts_key_frame);
        (0..).zip(&frames).filter(|(_, packets)| starts_key(packets)).map(|(i, _)| i).collect()
    };
    assert_eq!(starts(None), [0, 60, 120]);
    assert_eq!(starts(Some(30)), [0, 30, 90]);
    assert_eq!(starts(Some(3)), [0, 15, 75, 135]);
}

#[test]
fn the_stream_is_what_every_browser_decodes() {
    let mut camera = Camera::new(TestPicture::default()).unwrap();
    let mut bytes = 0;
    for frame in 0..60_u32 {
        for event in camera.frame(Duration::from_secs(1) * frame / 30, false).unwrap() {
            let SourceEvent::Packet { packet, .. } = event else { panic!("only packets") };
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
