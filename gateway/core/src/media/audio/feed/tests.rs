use opus_rs::OpusDecoder;

use super::*;
use crate::media::audio::aac::AacFormat;
use crate::media::audio::format::Law;
use crate::media::{RtpHeader, ahead};

const MS: Duration = Duration::from_millis(1);

/// Half a second and more of a tone of 440 Hz, by ffmpeg's encoder.
const TONES: [(u32, u8, &[u8]); 8] = [
    (8_000, 1, include_bytes!("../samples/tone-8000-1.aac")),
    (8_000, 2, include_bytes!("../samples/tone-8000-2.aac")),
    (16_000, 1, include_bytes!("../samples/tone-16000-1.aac")),
    (16_000, 2, include_bytes!("../samples/tone-16000-2.aac")),
    (44_100, 1, include_bytes!("../samples/tone-44100-1.aac")),
    (44_100, 2, include_bytes!("../samples/tone-44100-2.aac")),
    (48_000, 1, include_bytes!("../samples/tone-48000-1.aac")),
    (48_000, 2, include_bytes!("../samples/tone-48000-2.aac")),
];

fn telephone(law: Law) -> AudioFormat {
    AudioFormat { encoding: AudioEncoding::G711(law), clock_rate: 8_000, channels: 1 }
}

fn description(format: AudioFormat, delivery: Delivery) -> AudioDescription {
    AudioDescription { codec: "any".to_owned(), format: Ok(format), delivery }
}

fn listening(format: AudioFormat, delivery: Delivery) -> AudioFeed {
    let mut feed = AudioFeed::default();
    feed.handle_description(Some(&description(format, delivery)));
    feed.set_wanted(true);
    feed
}

fn packet(sequence: u16, timestamp: u32, payload: &[u8]) -> RtpPacket {
    let header = RtpHeader { marker: false, payload_type: 97, sequence, timestamp, ssrc: 5 };
    RtpPacket { header, payload: Bytes::copy_from_slice(payload) }
}

fn outputs(feed: &mut AudioFeed) -> Vec<MediaPacket> {
    std::iter::from_fn(|| feed.poll_output()).collect()
}

/// Splits a file of ADTS into its access units.
fn access_units(mut file: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while let Some(&[_, _, _, third, fourth, fifth, _]) = file.first_chunk::<7>() {
        let len = usize::from(third & 3) << 11 | usize::from(fourth) << 3 | usize::from(fifth >> 5);
        units.push(&file[7..len]);
        file = &file[len..];
    }
    units
}

fn aac(sample_rate: u32, channels: u8) -> AudioFormat {
    let none = |_: &str| None;
    let aac = AacFormat::generic(none, sample_rate, channels).unwrap();
    AudioFormat { encoding: AudioEncoding::Aac(aac), clock_rate: sample_rate, channels }
}

/// Returns the packets of a tone, `together` access units in each.
fn aac_packets(file: &[u8], together: usize, first: u32) -> Vec<RtpPacket> {
    let units = access_units(file);
    let groups = units.chunks(together).enumerate();
    let packets = groups.map(|(index, units)| {
        let mut payload = u16::try_from(units.len() * 16).unwrap().to_be_bytes().to_vec();
        for unit in units {
            payload.extend((u16::try_from(unit.len()).unwrap() << 3).to_be_bytes());
        }
        units.iter().for_each(|unit| payload.extend_from_slice(unit));
        let number = u32::try_from(index * together).unwrap();
        packet(u16::try_from(index).unwrap(), first.wrapping_add(number * 1024), &payload)
    });
    packets.collect()
}

/// Decodes packets of Opus at 48 kHz and returns the loudness of the first channel, without the
/// first 100 ms and what follows the tone, and the part of it that is a tone of 440 Hz.
fn measure(packets: &[MediaPacket], channels: u8) -> (f32, f32) {
    let channels = usize::from(channels);
    let mut decoder = OpusDecoder::new(48_000, channels).unwrap();
    let mut samples = Vec::new();
    for packet in packets {
        let mut frame = vec![0.0; 960 * channels];
        let count = decoder.decode(&packet.payload, 960, &mut frame).unwrap();
        assert_eq!(count, 960);
        samples.extend(frame.chunks(channels).map(|each| each[0]));
    }
    let heard = &samples[4_800..24_000];
    let count = heard.len() as f32;
    let power = heard.iter().map(|s| s * s).sum::<f32>() / count;
    let angle = |number: usize| std::f32::consts::TAU * 440.0 * number as f32 / 48_000.0;
    let sum = |wave: fn(f32) -> f32| {
        heard.iter().enumerate().map(|(number, s)| s * wave(angle(number))).sum::<f32>()
    };
    let (real, imaginary) = (sum(f32::cos), sum(f32::sin));
    let tone = 2.0 * (real * real + imaginary * imaginary) / (count * count);
    (power.sqrt(), tone / power)
}

#[test]
fn a_tone_in_aac_is_the_same_tone_in_opus() {
    for (rate, channels, file) in TONES {
        for together in [1, 3] {
            let case = format!("{rate} Hz, {channels} channels, {together} units a packet");
            let mut feed = listening(aac(rate, channels), Delivery::Udp);
            let now = Instant::now();
            for packet in aac_packets(file, together, u32::MAX - 5_000) {
                feed.handle_packet(now, packet);
            }
            let packets = outputs(&mut feed);
            let steps = packets.windows(2).map(|pair| ahead(pair[1].timestamp, pair[0].timestamp));
            let odd: Vec<i32> = steps.filter(|step| *step != 960).collect();
            assert!(odd.is_empty(), "{case}: {odd:?}");
            let length = u32::try_from(packets.len()).unwrap() * 20;
            assert!((560..=760).contains(&length), "{case}: {length} ms");
            let (loudness, tone) = measure(&packets, channels);
            // ffmpeg's tone has an amplitude of 1/8.
            assert!((0.05..0.13).contains(&loudness), "{case}: loudness {loudness}");
            assert!((0.85..1.05).contains(&tone), "{case}: {tone} of it is the tone");
            let codec = Some(AudioCodec::Opus { is_stereo: channels == 2 });
            assert_eq!(feed.codec(), codec, "{case}");
        }
    }
}

#[test]
fn telephone_sound_of_unusual_rates_and_linear_samples_become_opus() {
    let table = [
        (AudioEncoding::G711(Law::A), 16_000, 1),
        (AudioEncoding::G711(Law::Mu), 8_000, 2),
        (AudioEncoding::Linear, 44_100, 1),
        (AudioEncoding::Linear, 8_000, 1),
        (AudioEncoding::Linear, 48_000, 2),
    ];
    for (encoding, clock_rate, channels) in table {
        let format = AudioFormat { encoding, clock_rate, channels };
        let case = format!("{format:?}");
        assert!(!format.passes(), "{case}");
        let width = if format.encoding == AudioEncoding::Linear { 2 } else { 1 };
        let samples = clock_rate / 50;
        let mut feed = listening(format, Delivery::Udp);
        for number in 0..50 {
            let len = samples as usize * usize::from(channels) * width;
            let packet = packet(number, u32::from(number) * samples, &vec![0xd5; len]);
            feed.handle_packet(Instant::now(), packet);
        }
        let count = outputs(&mut feed).len();
        assert!((48..=50).contains(&count), "{case}: {count} packets");
    }
}

#[test]
fn sound_that_browsers_play_leaves_as_it_came() {
    let table: [(AudioFormat, &[usize]); 4] = [
        (telephone(Law::A), &[160, 160, 160]),
        (telephone(Law::Mu), &[161, 1, 333]),
        (AudioFormat { encoding: AudioEncoding::G722, ..telephone(Law::A) }, &[160, 320]),
        (
            AudioFormat { encoding: AudioEncoding::Opus, clock_rate: 48_000, channels: 2 },
            &[3, 400, 1_180],
        ),
    ];
    for (format, lengths) in table {
        let mut feed = listening(format, Delivery::Udp);
        let now = Instant::now();
        let mut timestamp = u32::MAX - 100;
        for (number, len) in (0..).zip(lengths) {
            feed.handle_packet(now, packet(number, timestamp, &vec![7; *len]));
            timestamp = timestamp.wrapping_add(u32::try_from(*len).unwrap());
        }
        let packets = outputs(&mut feed);
        let found: Vec<_> = packets.iter().map(|packet| packet.payload.len()).collect();
        assert_eq!(found, lengths);
        assert!(packets.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
        assert_eq!(packets[0].timestamp, u32::MAX - 100);
    }
}

#[test]
fn a_packet_of_the_telephone_that_is_too_long_is_split() {
    let mut feed = listening(telephone(Law::A), Delivery::Udp);
    feed.handle_packet(Instant::now(), packet(0, 1_000, &[7; 2_500]));
    let packets = outputs(&mut feed);
    let found: Vec<_> = packets.iter().map(|p| (p.timestamp, p.payload.len())).collect();
    assert_eq!(found, [(1_000, 960), (1_960, 960), (2_920, 580)]);
    let passed = packets[2].captured - packets[0].captured;
    assert_eq!(passed, Duration::from_micros(1_920 * 125));
}

#[test]
fn a_gap_in_the_numbers_is_a_loss_over_udp_only() {
    for (delivery, expected) in [(Delivery::Udp, 3), (Delivery::Tcp, 1)] {
        let mut feed = listening(telephone(Law::A), delivery);
        let now = Instant::now();
        feed.handle_packet(now, packet(10, 0, &[1; 160]));
        feed.handle_packet(now, packet(13, 480, &[2; 160]));
        feed.handle_timeout(now + 100 * MS);
        let packets = outputs(&mut feed);
        assert_eq!(packets[1].sequence - packets[0].sequence, expected, "{delivery:?}");
    }
}

#[test]
fn a_gap_in_sound_that_is_encoded_is_a_gap_in_its_timestamps() {
    let (rate, channels, file) = TONES[2];
    let mut feed = listening(aac(rate, channels), Delivery::Udp);
    let now = Instant::now();
    for packet in aac_packets(file, 1, 0) {
        if !(3..5).contains(&packet.header.sequence) {
            feed.handle_packet(now, packet);
        }
        feed.handle_timeout(now + 100 * MS);
    }
    let packets = outputs(&mut feed);
    let span = ahead(packets.last().unwrap().timestamp, packets[0].timestamp) + 960;
    let sounded = i32::try_from(packets.len()).unwrap() * 960;
    // Two units of 64 ms are missing, less the silence that fills the frame before them.
    let missing = (span - sounded) / 48;
    assert!((100..=128).contains(&missing), "{missing} ms");
}

#[test]
fn nothing_is_done_without_a_listener_and_timestamps_go_on_after_a_pause() {
    for (rate, format) in [(8_000, telephone(Law::A)), (16_000, aac(16_000, 1))] {
        let mut feed = listening(format.clone(), Delivery::Udp);
        let start = Instant::now();
        let packets = |first: u32| match &format.encoding {
            AudioEncoding::Aac(_) => aac_packets(TONES[2].2, 1, first),
            AudioEncoding::G711(_)
            | AudioEncoding::G722
            | AudioEncoding::Opus
            | AudioEncoding::Linear => {
                (0..9).map(|n| packet(n, first + u32::from(n) * 160, &[7; 160])).collect()
            }
        };
        packets(0).into_iter().for_each(|packet| feed.handle_packet(start, packet));
        let last = outputs(&mut feed).pop().unwrap().timestamp;
        feed.set_wanted(false);
        packets(50_000).into_iter().for_each(|packet| feed.handle_packet(start, packet));
        assert_eq!(outputs(&mut feed), [], "{rate}");
        feed.set_wanted(true);
        let later = start + Duration::from_secs(2);
        // The camera has a new clock.
        packets(0x9000_0000).into_iter().for_each(|packet| feed.handle_packet(later, packet));
        let first = outputs(&mut feed)[0].timestamp;
        let passed = ahead(first, last);
        let clock = i32::try_from(feed.codec().unwrap().clock_rate()).unwrap();
        assert!((clock..=clock * 3).contains(&passed), "{rate}: {passed} ticks");
    }
}

#[test]
fn sound_that_cannot_be_decoded_is_given_up_with_a_sentence() {
    let mut feed = listening(aac(16_000, 1), Delivery::Udp);
    for number in 0..60 {
        let payload = [0, 16, 0, 8 * 4, 1, 0x7f, 0x35, number];
        feed.handle_packet(
            Instant::now(),
            packet(number.into(), u32::from(number) * 1024, &payload),
        );
    }
    assert_eq!(outputs(&mut feed).len(), 0);
    let (_, problem) = feed.sound().unwrap();
    assert_eq!(problem, Some(&AudioProblem::Undecodable));
    assert_eq!(feed.codec(), None);
}

#[test]
fn a_packet_was_recorded_before_it_arrived_unless_the_camera_says_when() {
    let mut feed = listening(telephone(Law::A), Delivery::Udp);
    let now = Instant::now();
    feed.handle_packet(now, packet(0, 0, &[7; 320]));
    assert_eq!(now - outputs(&mut feed)[0].captured, 40 * MS);
    let at = now - 300 * MS;
    feed.set_reference(Some(Reference { at, timestamp: 0, clock_rate: 8_000 }));
    feed.handle_packet(now, packet(1, 320, &[7; 320]));
    assert_eq!(outputs(&mut feed)[0].captured - at, 40 * MS);
    let nonsense = Reference { at: now + Duration::from_secs(60), timestamp: 0, clock_rate: 8_000 };
    feed.set_reference(Some(nonsense));
    feed.handle_packet(now, packet(2, 640, &[7; 320]));
    assert_eq!(now - outputs(&mut feed)[0].captured, 40 * MS, "each track has a clock of its own");
}
