use bytes::Bytes;

use super::*;
use crate::media::{Codec, RtpPacket};

fn camera(on_demand: bool) -> Camera {
    let id = "door".parse().unwrap();
    Camera::new(CameraSettings { id, name: "Door".to_owned(), on_demand }, 1)
}

/// 640x480, made by x264.
const SPS: &[u8] =
    b"\x67\x42\xc0\x1e\xd9\x00\xa0\x3d\xb0\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\
    \x0f\x16\x2e\x48";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";

fn connected() -> SourceEvent {
    SourceEvent::Connected(StreamDescription {
        codec: Codec::H264,
        parameter_sets: [SPS, PPS].map(Bytes::from_static).to_vec(),
        in_order: true,
    })
}

/// A key frame in one packet.
fn packet(now: Instant, sequence: u8) -> SourceEvent {
    let bytes = [0x80, 96, 0, sequence, 0, 0, 0, sequence, 0, 0, 0, 1, 0x65, 1, 2, 3];
    let packet = RtpPacket::parse(Bytes::copy_from_slice(&bytes)).unwrap();
    SourceEvent::Packet { arrival: now, packet }
}

fn failed(reason: &str) -> SourceEvent {
    SourceEvent::Ended { reason: reason.to_owned(), needs_a_person: false }
}

#[test]
fn a_camera_on_demand_is_connected_while_somebody_watches_and_a_little_longer() {
    let now = Instant::now();
    let mut camera = camera(true);
    assert_eq!((camera.poll_command(), camera.report().state), (None, CameraState::Idle));

    camera.add_viewer();
    assert_eq!(camera.poll_command(), Some(CameraCommand::Start));
    assert_eq!(camera.report().state, CameraState::Connecting);

    camera.handle_source(now, connected());
    camera.handle_source(now, packet(now, 1));
    assert!(camera.poll_packet().is_some());
    assert_eq!(camera.report().state, CameraState::Live);

    camera.remove_viewer(now);
    assert_eq!(camera.poll_timeout(), Some(now + LINGER));
    camera.handle_timeout(now + LINGER / 2);
    assert_eq!(camera.poll_command(), None, "a viewer who returns soon does not wait");
    camera.handle_timeout(now + LINGER);
    assert_eq!(camera.poll_command(), Some(CameraCommand::Stop));
    assert_eq!(camera.report().state, CameraState::Idle);
}

#[test]
fn a_returning_viewer_keeps_the_camera_connected() {
    let now = Instant::now();
    let mut camera = camera(true);
    camera.add_viewer();
    camera.poll_command();
    camera.remove_viewer(now);
    camera.add_viewer();
    camera.handle_timeout(now + LINGER);
    assert_eq!(camera.poll_command(), None);
}

#[test]
fn a_camera_that_is_not_on_demand_is_connected_at_once_and_always() {
    let now = Instant::now();
    let mut camera = camera(false);
    assert_eq!(camera.poll_command(), Some(CameraCommand::Start));
    camera.add_viewer();
    camera.remove_viewer(now);
    camera.handle_timeout(now + LINGER * 2);
    assert_eq!(camera.poll_command(), None);
}

#[test]
fn a_camera_that_fails_is_retried_and_reports_the_reason_until_it_is_back() {
    let mut now = Instant::now();
    let mut camera = camera(false);
    camera.poll_command();
    for round in 0..5 {
        camera.handle_source(now, failed("it is off"));
        let report = camera.report();
        assert_eq!(report.state, CameraState::Failed, "round {round}");
        assert_eq!(report.reason.as_deref(), Some("it is off"), "round {round}");
        let due = camera.poll_timeout().expect("a retry is planned");
        assert!(due - now <= Duration::from_secs(5), "round {round}");
        now = due;
        camera.handle_timeout(now);
        assert_eq!(camera.poll_command(), Some(CameraCommand::Start), "round {round}");
    }
    camera.handle_source(now, connected());
    camera.handle_source(now, packet(now, 1));
    camera.poll_packet();
    let report = camera.report();
    assert_eq!((report.state, report.reason), (CameraState::Live, None));
}

#[test]
fn a_camera_that_only_a_person_can_fix_is_retried_rarely() {
    let now = Instant::now();
    let mut camera = camera(false);
    camera.poll_command();
    let reason = "wrong password".to_owned();
    camera.handle_source(now, SourceEvent::Ended { reason, needs_a_person: true });
    assert_eq!(camera.poll_timeout(), Some(now + PERSON_INTERVAL));
}

#[test]
fn key_frames_are_requested_at_a_bounded_rate() {
    let now = Instant::now();
    let mut camera = camera(false);
    camera.poll_command();
    camera.request_key_frame(now);
    assert_eq!(camera.poll_command(), None, "the camera is not connected");
    camera.handle_source(now, connected());
    camera.handle_source(now, packet(now, 1));
    camera.poll_packet();
    for (after_ms, expected) in [(0, true), (100, false), (499, false), (500, true)] {
        camera.request_key_frame(now + Duration::from_millis(after_ms));
        let asked = camera.poll_command() == Some(CameraCommand::KeyFrame);
        assert_eq!(asked, expected, "after {after_ms} ms");
    }
}
