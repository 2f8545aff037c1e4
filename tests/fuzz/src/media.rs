//! The targets for what a camera describes and sends.

use std::time::{Duration, Instant};

use porthole_gateway_core::media::{
    AudioFeed, Codec, Delivery, Feed, FeedOutput, MAX_PAYLOAD, NalCodec, RtpHeader, RtpPacket,
    TrackDescription, byte_stream, camera_sdp,
};

/// Maximum size of the group of pictures that is kept, in bytes, with its last packet.
const MAX_GROUP: usize = (8 << 20) + MAX_PAYLOAD;

/// Checks that a description is read within its bounds, and the same with other line ends.
pub fn camera_description(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let found = camera_sdp::find_video(&text);
    if let Ok(video) = &found {
        assert!(video.parameter_sets.iter().all(|set| !set.is_empty()));
        assert!(video.parameter_sets.iter().map(|set| set.len()).sum::<usize>() <= text.len());
    }
    let sound = camera_sdp::find_audio(&text);
    if text.len() * 2 <= camera_sdp::MAX_LEN {
        let other = text.replace('\n', "\r\n");
        assert_eq!(camera_sdp::find_video(&other), found);
        assert_eq!(camera_sdp::find_audio(&other), sound);
    }
}

/// Checks the packets that a feed makes of any payloads. The first byte chooses the codec; then
/// come payloads, each after its length and a byte of flags: marker, the next timestamp, a loss.
pub fn payloads(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let codecs = [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1];
    let codec = codecs[usize::from(choice & 0x3f) % codecs.len()];
    let mut now = Instant::now();
    let mut feed = Feed::new();
    let delivery = match choice >> 6 {
        0 | 1 => Delivery::InOrder,
        2 => Delivery::Udp,
        _ => Delivery::Tcp,
    };
    feed.handle_description(&TrackDescription { codec, parameter_sets: Vec::new(), delivery });
    let mut header =
        RtpHeader { marker: false, payload_type: 96, sequence: 0, timestamp: 0, ssrc: 1 };
    let mut packets = Vec::new();
    while let [high, low, flags, piece @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(piece.len());
        let (piece, after) = piece.split_at(len);
        rest = after;
        header.marker = flags & 1 != 0;
        header.timestamp = header.timestamp.wrapping_add(u32::from(flags >> 1 & 1) * 3000);
        header.sequence = header.sequence.wrapping_add(1 + u16::from(flags >> 2 & 3));
        now += Duration::from_millis(u64::from(flags >> 4));
        let packet = RtpPacket { header, payload: piece.to_vec().into() };
        let _ = feed.handle_packet(now, packet);
        feed.handle_timeout(now);
        while let Some(output) = feed.poll_output() {
            if let FeedOutput::Packet(packet) = output {
                packets.push(packet);
            }
        }
        assert!(feed.gop().bytes() <= MAX_GROUP);
        assert!(feed.poll_timeout().is_none_or(|due| due > now), "a deadline stays due");
    }
    for packet in &packets {
        assert!((1..=MAX_PAYLOAD).contains(&packet.payload.len()));
    }
    for pair in packets.windows(2) {
        assert!(pair[0].sequence < pair[1].sequence);
    }
    match codec {
        Codec::H264 => drop(byte_stream(NalCodec::H264, &packets)),
        Codec::H265 => drop(byte_stream(NalCodec::H265, &packets)),
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 => {}
    }
}

/// The descriptions of sound that [`sound`] chooses from.
const SOUNDS: [&str; 8] = [
    "0",
    "97\r\na=rtpmap:97 L16/44100/2",
    "97\r\na=rtpmap:97 opus/48000/2",
    "97\r\na=rtpmap:97 PCMA/16000",
    "97\r\na=rtpmap:97 mpeg4-generic/16000\r\na=fmtp:97 config=1408",
    "97\r\na=rtpmap:97 mpeg4-generic/44100/2\r\na=fmtp:97 config=1210",
    "97\r\na=rtpmap:97 mpeg4-generic/8000\r\na=fmtp:97 mode=AAC-lbr;config=1588",
    "97\r\na=rtpmap:97 MP4A-LATM/44100/2\r\na=fmtp:97 cpresent=0;config=400024203FC0",
];

/// Checks the packets of sound that a feed makes of any payloads. The first byte chooses the codec
/// and the way in which packets arrive; then come payloads as for [`payloads`].
pub fn sound(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let lines = SOUNDS[usize::from(*choice) % SOUNDS.len()];
    let described = camera_sdp::find_audio(&format!("m=audio 0 RTP/AVP {lines}"));
    let mut description = described.expect("each describes sound").description;
    description.delivery = if choice & 0x80 == 0 { Delivery::Udp } else { Delivery::Tcp };
    let mut feed = AudioFeed::default();
    feed.handle_description(Some(&description));
    feed.set_wanted(true);
    let mut now = Instant::now();
    let mut header =
        RtpHeader { marker: false, payload_type: 97, sequence: 0, timestamp: 0, ssrc: 1 };
    while let [high, low, flags, piece @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(piece.len());
        let (piece, after) = piece.split_at(len);
        rest = after;
        header.marker = flags & 1 != 0;
        header.timestamp = header.timestamp.wrapping_add(u32::from(flags >> 1 & 1) * 1024);
        header.sequence = header.sequence.wrapping_add(1 + u16::from(flags >> 2 & 3));
        now += Duration::from_millis(u64::from(flags >> 4));
        feed.handle_packet(now, RtpPacket { header, payload: piece.to_vec().into() });
        feed.handle_timeout(now);
        while let Some(packet) = feed.poll_output() {
            assert!(packet.payload.len() <= MAX_PAYLOAD);
        }
        assert!(feed.poll_timeout().is_none_or(|due| due > now), "a deadline stays due");
    }
}
