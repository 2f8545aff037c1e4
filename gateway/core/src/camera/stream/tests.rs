mod sound;

use bytes::Bytes;

use super::*;
use crate::media::{
    Codec, Delivery, MediaKind, RtpHeader, RtpPacket, StreamDescription, TrackDescription,
};

fn stream(on_demand: bool) -> Stream {
    Stream::new(StreamId::main("door".parse().unwrap()), on_demand, 1)
}

fn viewer() -> Viewer {
    Viewer { session: session(), section: 0 }
}

fn session() -> SessionId {
    "s1".parse().unwrap()
}

/// 640x480, made by x264.
const SPS: &[u8] =
    b"\x67\x42\xc0\x1e\xd9\x00\xa0\x3d\xb0\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\
    \x0f\x16\x2e\x48";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";

fn connected() -> SourceEvent {
    SourceEvent::Connected(StreamDescription::video(TrackDescription {
        codec: Codec::H264,
        parameter_sets: [SPS, PPS].map(Bytes::from_static).to_vec(),
        delivery: Delivery::InOrder,
    }))
}

/// A key frame in one packet.
fn packet(now: Instant, sequence: u8) -> SourceEvent {
    let bytes = [0x80, 96, 0, sequence, 0, 0, 0, sequence, 0, 0, 0, 1, 0x65, 1, 2, 3];
    let packet = RtpPacket::parse(Bytes::copy_from_slice(&bytes)).unwrap();
    SourceEvent::Packet { track: MediaKind::Video, arrival: now, packet }
}

fn failed(reason: &str) -> SourceEvent {
    SourceEvent::Ended { reason: reason.to_owned(), needs_a_person: false }
}

#[test]
fn a_camera_on_demand_is_connected_while_somebody_watches_and_a_little_longer() {
    let now = Instant::now();
    let mut stream = stream(true);
    assert_eq!(
        (stream.poll_command(), stream.report("door".parse().unwrap()).state),
        (None, CameraState::Idle)
    );

    stream.add_viewer(viewer());
    assert_eq!(stream.poll_command(), Some(SourceCommand::Start));
    assert_eq!(stream.report("door".parse().unwrap()).state, CameraState::Connecting);

    stream.handle_source(now, connected());
    stream.handle_source(now, packet(now, 1));
    assert!(stream.poll_packet().is_some());
    assert_eq!(stream.report("door".parse().unwrap()).state, CameraState::Live);

    stream.remove_session(now, &session());
    assert_eq!(stream.poll_timeout(), Some(now + LINGER));
    stream.handle_timeout(now + LINGER / 2);
    assert_eq!(stream.poll_command(), None, "a viewer who returns soon does not wait");
    stream.handle_timeout(now + LINGER);
    assert_eq!(stream.poll_command(), Some(SourceCommand::Stop));
    assert_eq!(stream.report("door".parse().unwrap()).state, CameraState::Idle);
}

#[test]
fn a_stream_that_may_be_needed_at_any_moment_is_connected_and_has_no_viewer() {
    let now = Instant::now();
    let mut stream = stream(true);
    let viewers = |stream: &Stream| (stream.viewers().len(), stream.standby().len());
    stream.add_standby(viewer());
    assert_eq!((stream.poll_command(), viewers(&stream)), (Some(SourceCommand::Start), (0, 1)));
    stream.add_viewer(viewer());
    assert_eq!(viewers(&stream), (1, 0), "now it is needed");
    stream.add_standby(viewer());
    stream.add_standby(viewer());
    assert_eq!(viewers(&stream), (0, 1), "and no longer");
    stream.handle_timeout(now + LINGER);
    assert_eq!(stream.poll_command(), None);
    stream.remove_session(now, &session());
    assert_eq!((viewers(&stream), stream.poll_timeout()), ((0, 0), Some(now + LINGER)));
}

#[test]
fn a_returning_viewer_keeps_the_camera_connected() {
    let now = Instant::now();
    let mut stream = stream(true);
    stream.add_viewer(viewer());
    stream.poll_command();
    stream.remove_session(now, &session());
    stream.add_viewer(viewer());
    stream.handle_timeout(now + LINGER);
    assert_eq!(stream.poll_command(), None);
}

#[test]
fn a_camera_that_is_not_on_demand_is_connected_at_once_and_always() {
    let now = Instant::now();
    let mut stream = stream(false);
    assert_eq!(stream.poll_command(), Some(SourceCommand::Start));
    stream.add_viewer(viewer());
    stream.remove_session(now, &session());
    stream.handle_timeout(now + LINGER * 2);
    assert_eq!(stream.poll_command(), None);
}

#[test]
fn a_camera_that_fails_is_retried_and_reports_the_reason_until_it_is_back() {
    let mut now = Instant::now();
    let mut stream = stream(false);
    stream.poll_command();
    for round in 0..5 {
        stream.handle_source(now, failed("it is off"));
        let report = stream.report("door".parse().unwrap());
        assert_eq!(report.state, CameraState::Failed, "round {round}");
        assert_eq!(report.reason.as_deref(), Some("it is off"), "round {round}");
        let due = stream.poll_timeout().expect("a retry is planned");
        assert!(due - now <= Duration::from_secs(5), "round {round}");
        now = due;
        stream.handle_timeout(now);
        assert_eq!(stream.poll_command(), Some(SourceCommand::Start), "round {round}");
    }
    stream.handle_source(now, connected());
    stream.handle_source(now, packet(now, 1));
    stream.poll_packet();
    let report = stream.report("door".parse().unwrap());
    assert_eq!((report.state, report.reason), (CameraState::Live, None));
}

#[test]
fn a_camera_that_only_a_person_can_fix_is_retried_rarely() {
    let mut now = Instant::now();
    let mut stream = stream(false);
    // The event of an attempt, the time until the next one.
    let wrong = || SourceEvent::Ended { reason: "wrong password".to_owned(), needs_a_person: true };
    let (first, further) = (Some(PERSON_INTERVAL), Some(LONG_PERSON_INTERVAL));
    for (event, expected) in [
        (wrong(), first),
        (wrong(), further),
        // A camera that locks the account may end connections at once.
        (failed("it is off"), None),
        (wrong(), further),
        (wrong(), further),
        (connected(), None),
        (wrong(), first),
    ] {
        let is_live = matches!(event, SourceEvent::Connected(_));
        let case = format!("{event:?}");
        stream.poll_command();
        stream.handle_source(now, event);
        if is_live {
            stream.handle_source(now, packet(now, 1));
            stream.poll_packet();
            continue;
        }
        let due = stream.poll_timeout().expect("a retry is planned");
        assert!(expected.is_none_or(|expected| due - now == expected), "{case}");
        assert!(expected.is_some() || due - now < PERSON_INTERVAL, "{case}");
        now = due;
        stream.handle_timeout(now);
    }
}

#[test]
fn viewers_who_come_and_go_try_a_wrong_password_no_more_often() {
    let now = Instant::now();
    let mut stream = stream(true);
    stream.add_viewer(viewer());
    stream.poll_command();
    let reason = "wrong password".to_owned();
    stream.handle_source(now, SourceEvent::Ended { reason, needs_a_person: true });
    stream.remove_session(now, &session());
    stream.handle_timeout(now + LINGER);
    assert_eq!(stream.poll_command(), Some(SourceCommand::Stop));
    stream.add_viewer(viewer());
    assert_eq!(stream.poll_command(), None);
    let report = stream.report("door".parse().unwrap());
    assert_eq!(report.state, CameraState::Failed);
    assert_eq!(report.reason.as_deref(), Some("wrong password"));
    stream.handle_timeout(now + PERSON_INTERVAL);
    assert_eq!(stream.poll_command(), Some(SourceCommand::Start));
}

#[test]
fn key_frames_are_requested_at_a_bounded_rate() {
    let now = Instant::now();
    let mut stream = stream(false);
    stream.poll_command();
    stream.request_key_frame(now);
    assert_eq!(stream.poll_command(), None, "the camera is not connected");
    stream.handle_source(now, connected());
    stream.handle_source(now, packet(now, 1));
    stream.poll_packet();
    for (after_ms, expected) in [(0, true), (100, false), (499, false), (500, true)] {
        stream.request_key_frame(now + Duration::from_millis(after_ms));
        let asked = stream.poll_command() == Some(SourceCommand::KeyFrame);
        assert_eq!(asked, expected, "after {after_ms} ms");
    }
}

/// A camera that sends five pictures a second, of two packets each, a key frame every two seconds.
struct Source {
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    pictures: u64,
}

impl Source {
    const INTERVAL: Duration = Duration::from_millis(200);

    fn send(&mut self, now: Instant, stream: &mut Stream) {
        let kind = if self.pictures.is_multiple_of(10) { 0x65 } else { 0x41 };
        for marker in [false, true] {
            let header = RtpHeader {
                marker,
                payload_type: 96,
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: self.ssrc,
            };
            let packet = RtpPacket { header, payload: Bytes::from(vec![kind, 0x88, 0x84, 3]) };
            stream.handle_source(
                now,
                SourceEvent::Packet { track: MediaKind::Video, arrival: now, packet },
            );
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.pictures += 1;
        self.timestamp = self.timestamp.wrapping_add(18_000);
    }
}

#[test]
fn a_day_with_wraps_jumps_and_reboots_is_one_timeline() {
    const DAY: u64 = 24 * 3600 * 5;
    let start = Instant::now();
    let mut stream = stream(false);
    stream.handle_source(start, connected());
    let mut source = Source { sequence: 65_000, timestamp: u32::MAX - 9000, ssrc: 1, pictures: 0 };
    let (mut packets, mut last) = (0_u64, None::<MediaPacket>);
    for picture in 0..DAY {
        let now = start + Source::INTERVAL * u32::try_from(picture).unwrap();
        match picture {
            // The camera's clock is set, forward and back.
            40_000 => source.timestamp = source.timestamp.wrapping_add(90_000 * 3600),
            80_000 => source.timestamp = source.timestamp.wrapping_sub(90_000 * 7200),
            100_000 => source.timestamp = source.timestamp.wrapping_sub(45_000),
            // It restarts its stream in the same connection.
            120_000 => {
                source = Source { sequence: 7, timestamp: 1, ssrc: 2, pictures: 0 };
            }
            // It reboots: the connection ends, and the next one has other numbers.
            200_000 | 300_000 | 400_000 => {
                stream.handle_source(now, failed("it reboots"));
                stream.handle_timeout(stream.poll_timeout().unwrap());
                stream.handle_source(now, connected());
                source = Source { sequence: 9, timestamp: 77, ssrc: 3, pictures: 0 };
            }
            _ => {}
        }
        source.send(now, &mut stream);
        stream.handle_timeout(now);
        while let Some(packet) = stream.poll_packet() {
            packets += 1;
            if let Some(last) = last.as_ref().filter(|last| last.timestamp != packet.timestamp) {
                let step = packet.timestamp.wrapping_sub(last.timestamp);
                assert!((17_000..20_000).contains(&step), "picture {picture}: step of {step}");
            }
            last = Some(packet);
        }
        assert!(stream.group_of_pictures().len() <= 40, "picture {picture}");
        assert_eq!(stream.state(), CameraState::Live, "picture {picture}");
    }
    // Each key frame is preceded by a packet of parameter sets.
    assert_eq!(packets, DAY * 2 + DAY / 10);
}
