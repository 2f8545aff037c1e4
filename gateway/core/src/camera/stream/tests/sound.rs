use super::*;
use crate::media::{
    AudioDescription, AudioEncoding, AudioFormat, AudioProblem, ClockReport, Law, ahead,
};
use crate::rtp::rtcp::Packet;
use crate::rtp::{Clock, Sender, SenderConfig, rtcp};

const MS: Duration = Duration::from_millis(1);

fn with_sound(format: Result<AudioFormat, AudioProblem>) -> SourceEvent {
    let SourceEvent::Connected(description) = connected() else { panic!("it is connected") };
    let audio = AudioDescription { codec: "PCMA".to_owned(), format, delivery: Delivery::Udp };
    SourceEvent::Connected(StreamDescription { audio: Some(audio), ..description })
}

fn telephone() -> AudioFormat {
    AudioFormat { encoding: AudioEncoding::G711(Law::A), clock_rate: 8_000, channels: 1 }
}

fn sound(now: Instant, sequence: u16, timestamp: u32) -> SourceEvent {
    let header = RtpHeader { marker: false, payload_type: 8, sequence, timestamp, ssrc: 2 };
    let packet = RtpPacket { header, payload: Bytes::from_static(&[7; 160]) };
    SourceEvent::Packet { track: MediaKind::Audio, arrival: now, packet }
}

fn picture(now: Instant, sequence: u16, timestamp: u32) -> SourceEvent {
    let header = RtpHeader { marker: true, payload_type: 96, sequence, timestamp, ssrc: 1 };
    let packet = RtpPacket { header, payload: Bytes::from_static(&[0x65, 0x88, 0x84, 3]) };
    SourceEvent::Packet { track: MediaKind::Video, arrival: now, packet }
}

#[test]
fn sound_flows_while_somebody_listens() {
    let now = Instant::now();
    let mut stream = stream(false);
    stream.handle_source(now, with_sound(Ok(telephone())));
    stream.handle_source(now, sound(now, 1, 0));
    assert_eq!(stream.poll_audio(), None, "nobody listens");
    let listener = Viewer { session: session(), section: 1 };
    stream.add_viewer(viewer());
    stream.add_listener(listener.clone());
    stream.handle_source(now, sound(now, 2, 160));
    assert!(stream.poll_audio().is_some());
    assert_eq!(stream.listeners().iter().collect::<Vec<_>>(), [&listener]);
    assert_eq!(stream.viewers().len(), 1, "a listener is counted once");
    stream.remove_session(now, &session());
    stream.handle_source(now, sound(now, 3, 320));
    assert_eq!(stream.poll_audio(), None, "the listener has left");
}

#[test]
fn the_report_says_what_sounds_or_why_nothing_does() {
    let now = Instant::now();
    let refused = AudioProblem::Refused(454);
    for (format, reason) in [
        (Ok(telephone()), None),
        (Err(refused), Some("the camera refuses to send its sound (RTSP status 454)".to_owned())),
    ] {
        let mut stream = stream(false);
        assert_eq!(stream.sound(), None);
        stream.handle_source(now, with_sound(format));
        let expected = Some(SoundReport { codec: "PCMA".to_owned(), reason });
        assert_eq!(stream.sound(), expected);
        stream.handle_source(now, failed("the camera is away"));
        assert_eq!(stream.sound(), expected, "it stays known");
        stream.handle_source(now, connected());
        assert_eq!(stream.sound(), None, "the sound is gone");
    }
}

/// A viewer's track with the camera's time of its last packet.
struct Track {
    sender: Sender,
    /// The camera's time of the last packet, and its timestamp for the viewer.
    last: (Duration, u32),
}

impl Track {
    fn new(now: Instant, ssrc: u32, clock_rate: u32) -> Self {
        let sender = Sender::new(SenderConfig {
            ssrc,
            rtx_ssrc: ssrc + 1,
            payload_type: 96,
            clock_rate,
            rtx_payload_type: None,
            cname: "camera".to_owned(),
            mid: None,
            playout_delay: None,
            transport_cc: None,
            first_sequence: 9,
            first_rtx_sequence: 9,
            first_timestamp: u32::MAX - ssrc,
            seed: 1,
            clock: Clock::since(now),
        });
        Self { sender, last: (Duration::ZERO, 0) }
    }

    fn write(&mut self, now: Instant, at: Duration, packet: &MediaPacket) {
        let mut out = Vec::new();
        self.sender.write_packet(now, packet, &mut out);
        self.last = (at, RtpPacket::parse(out.into()).unwrap().header.timestamp);
    }

    /// Returns the time in the next sender report, and which time of the camera it is.
    fn report(&mut self, mut now: Instant, rate: u32) -> (u64, f64) {
        let mut out = Vec::new();
        while !self.sender.poll_report(now, &mut out) {
            now += MS;
        }
        let packets = rtcp::read(&out).unwrap();
        let Some(Packet::SenderReport { ntp, timestamp, .. }) = packets.into_iter().next() else {
            panic!("a report begins with the sender's")
        };
        let (at, last) = self.last;
        (ntp.0, at.as_secs_f64() + f64::from(ahead(timestamp, last)) / f64::from(rate))
    }
}

/// Both reports of a viewer name a time of ours and a timestamp. Whatever the network delays, the
/// same time of ours must be the same time of the camera in both.
#[test]
fn a_viewers_reports_put_both_tracks_where_the_camera_put_them() {
    // Delays of picture and sound on their way, in milliseconds.
    for (video_delay, audio_delay) in [(40, 40), (40, 700), (900, 5), (0, 0)] {
        let start = Instant::now();
        let mut stream = stream(false);
        stream.add_listener(Viewer { session: session(), section: 1 });
        stream.handle_source(start, with_sound(Ok(telephone())));
        let mut video = Track::new(start, 100, 90_000);
        let mut audio = Track::new(start, 200, 8_000);
        let mut now = start;
        for millisecond in 0..8_000_u32 {
            now = start + MS * millisecond;
            if millisecond % 1_000 == 900 {
                for (track, rate, first) in
                    [(MediaKind::Video, 90, 5_000), (MediaKind::Audio, 8, 77)]
                {
                    let ntp = u64::from(millisecond) * (1 << 32) / 1_000 + (1_000 << 32);
                    let timestamp = first + millisecond * rate;
                    let report = ClockReport { ntp, timestamp };
                    stream.handle_source(now, SourceEvent::Clock { track, report });
                }
            }
            let number =
                |delay: u32, step: u32| millisecond.checked_sub(delay).filter(|at| at % step == 0);
            if let Some(at) = number(video_delay, 40) {
                let sequence = u16::try_from(at / 40).unwrap();
                stream.handle_source(now, picture(now, sequence, 5_000 + at * 90));
                while let Some(packet) = stream.poll_packet() {
                    video.write(now, MS * at, &packet);
                }
            }
            // A packet leaves when its last sample is recorded.
            if let Some(at) = number(audio_delay + 20, 20) {
                let sequence = u16::try_from(at / 20).unwrap();
                stream.handle_source(now, sound(now, sequence, 77 + at * 8));
                while let Some(packet) = stream.poll_audio() {
                    audio.write(now, MS * at, &packet);
                }
            }
        }
        let later = now + Duration::from_secs(10);
        let (one, shown) = video.report(later, 90_000);
        let (other, heard) = audio.report(later, 8_000);
        let apart = (one.wrapping_sub(other).cast_signed()) as f64 / 4_294_967_296.0;
        let error = (shown - heard - apart).abs();
        let case = format!("{video_delay} and {audio_delay} ms: {error} s");
        assert!(error < 0.001, "{case}");
    }
}
