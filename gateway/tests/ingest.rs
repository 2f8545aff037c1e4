//! Ingest from the senders of other projects: tests the packets, their decoding, and the error if
//! nothing arrives. Traffic stays on loopback.
//!
//! A test whose sender is not installed says so, and fails where every test must run.

mod ingest_support;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use porthole_gateway::ingest::{Source, SourceControl, SourceError, Timeouts};
use porthole_gateway_core::media::{Codec, MediaPacket};
use tokio::net::UdpSocket;

use ingest_support::{
    Camera, Sender, Watch, decoded_pictures, free_udp_port, live555, rtsp_server, watch,
    watch_source,
};

/// Time limit of a test: software encoders take long to start on two busy cores.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns true after two key frames and some frames between them.
fn two_key_frames(watch: &Watch) -> bool {
    watch.feed.statistics().key_frames >= 2 && watch.packets.len() > 40
}

/// Checks what must hold for the feed of every camera.
fn assert_sound(watch: &Watch) {
    assert_eq!(watch.feed.statistics().refused, 0);
    for pair in watch.packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1, "no packet is lost on loopback");
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(step < 90_000, "timestamps go on by less than a second: {step}");
        assert_eq!(pair[0].marker, step != 0, "the marker ends an access unit");
    }
    assert!(watch.packets[0].starts_key_frame);
    let gop = watch.feed.gop().packets();
    assert!(gop.first().is_some_and(|packet| packet.starts_key_frame));
}

fn access_units(packets: &[MediaPacket]) -> usize {
    packets.iter().map(|packet| packet.timestamp).collect::<HashSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn rtsp_cameras_of_every_kind_are_watched() {
    let table: [(&str, &[&str], &str, &str, Codec); 7] = [
        ("TCP", &[], "", "", Codec::H264),
        ("UDP", &[], "", "#transport=udp", Codec::H264),
        ("digest", &["--user=ada", "--password=p@ss:w/d"], "ada:p%40ss%3Aw%2Fd@", "", Codec::H264),
        ("basic", &["--user=ada", "--password=x", "--basic"], "ada:x@", "", Codec::H264),
        ("sets in the SDP only", &["--sets-in-sdp-only"], "", "", Codec::H264),
        ("large packets", &["--mtu=9000", "--kbit=3000"], "", "", Codec::H264),
        ("H.265", &["--codec=h265"], "", "", Codec::H265),
    ];
    for (case, flags, user, suffix, codec) in table {
        let Some(server) = rtsp_server(flags) else { return };
        let source = format!("rtsp://{user}127.0.0.1:{}/camera{suffix}", server.port);
        let watch = watch(&source, PATIENCE, two_key_frames).await.expect(case);
        assert_sound(&watch);
        let format = watch.feed.format().expect(case);
        assert_eq!((format.codec, format.width, format.height), (codec, 640, 360), "{case}");
        if codec == Codec::H264 {
            let pictures = decoded_pictures(&watch.packets);
            let sent = access_units(&watch.packets);
            assert!(pictures + 1 >= sent, "{case}: {pictures} of {sent} decoded");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live555_camera_is_watched() {
    let Some(server) = live555() else { return };
    let source = format!("rtsp://127.0.0.1:{}/proxyStream", server.port);
    let mut watched = watch(&source, PATIENCE, two_key_frames).await.expect("live555");
    // It marks every slice; their number is known only after the first picture.
    let second = watched.packets.iter().rposition(|packet| packet.starts_key_frame);
    watched.packets.drain(..second.expect("two key frames"));
    assert_sound(&watched);
    assert!(decoded_pictures(&watched.packets) + 1 >= access_units(&watched.packets));

    let udp = watch(&format!("{source}#transport=udp"), PATIENCE, two_key_frames).await;
    assert!(udp.is_ok_and(|watch| !watch.packets.is_empty()), "it plays over UDP, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_rtsp_cameras_are_explained() {
    let user = "--user=ada";
    let Some(guarded) = rtsp_server(&[user, "--password=secret"]) else { return };
    let Some(jpeg) = rtsp_server(&["--codec=jpeg"]) else { return };
    let table = [
        (
            format!("rtsp://ada:wrong@127.0.0.1:{}/camera", guarded.port),
            "refuses user and password",
            true,
        ),
        (format!("rtsp://127.0.0.1:{}/camera", guarded.port), "requires user and password", true),
        (format!("rtsp://127.0.0.1:{}/nothing", jpeg.port), "no stream at /nothing", false),
        (format!("rtsp://127.0.0.1:{}/camera", jpeg.port), "Motion JPEG", true),
        ("rtsp://127.0.0.1:9/".to_owned(), "refuses the connection", false),
        ("rtsp://camera.invalid/".to_owned(), "no address is known for camera.invalid", false),
    ];
    for (source, expected, needs_a_person) in table {
        let error = watch(&source, PATIENCE, |_| false).await.expect_err(&source);
        let text = error.to_string();
        assert!(text.contains(expected), "{source}: {text}");
        assert!(!text.contains('\n') && !text.contains("wrong"), "one clear sentence: {text}");
        assert_eq!(error.needs_a_person(), needs_a_person, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_accepts_connections_and_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let start = Instant::now();
    let timeouts = Timeouts { connect: Duration::from_secs(2), ..Timeouts::default() };
    let source: Source = format!("rtsp://{address}/").parse().expect("valid");
    let result = watch_source(&source.with_timeouts(timeouts), PATIENCE, |_| false).await;
    assert!(matches!(result, Err(SourceError::NoAnswer { .. })), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_ends_or_falls_silent_is_detected_in_time() {
    let Some(mut server) = rtsp_server(&[]) else { return };
    let source = format!("rtsp://127.0.0.1:{}/camera", server.port);
    let mut killed = None;
    let result = watch(&source, PATIENCE, |watch| {
        if killed.is_none() && watch.packets.len() > 10 {
            server.kill();
            killed = Some(Instant::now());
        }
        false
    });
    assert!(matches!(result.await, Err(SourceError::Ended)));
    assert!(killed.expect("it was watched").elapsed() < Duration::from_secs(1));

    let Some(server) = rtsp_server(&[]) else { return };
    let source = format!("rtsp://127.0.0.1:{}/camera#transport=udp", server.port);
    let mut stopped = None;
    let timeouts = Timeouts { silence: Duration::from_secs(3), ..Timeouts::default() };
    let source = source.parse::<Source>().expect("valid").with_timeouts(timeouts);
    let result = watch_source(&source, PATIENCE, |watch| {
        if stopped.is_none() && watch.packets.len() > 10 {
            server.signal("STOP");
            stopped = Some(Instant::now());
        }
        false
    });
    assert!(matches!(result.await, Err(SourceError::Silent { .. })));
    let noticed = stopped.expect("it was watched").elapsed();
    assert!(noticed < Duration::from_secs(5), "{noticed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rtp_pushed_by_ffmpeg_is_received() {
    for (codec, name) in [(Codec::H264, "libx264"), (Codec::H265, "libx265")] {
        let port = free_udp_port();
        let Some(_ffmpeg) = Sender::ffmpeg(name, port, &[]) else { return };
        let query = codec.encoding_name().to_ascii_lowercase();
        let source = format!("rtp://127.0.0.1:{port}?codec={query}");
        let watch = watch(&source, PATIENCE, two_key_frames).await.expect(name);
        assert_sound(&watch);
        let format = watch.feed.format().expect(name);
        assert_eq!((format.codec, format.width, format.height), (codec, 320, 180));
        if codec == Codec::H264 {
            assert!(decoded_pictures(&watch.packets) + 1 >= access_units(&watch.packets));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rtp_described_by_an_sdp_file_of_ffmpeg_is_received() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("camera.sdp");
    let missing = watch(file.to_str().expect("a name"), PATIENCE, |_| false).await;
    assert!(matches!(missing, Err(SourceError::File { .. })), "{missing:?}");

    let port = free_udp_port();
    // Only the file contains the parameter sets.
    let flags = ["-flags", "+global_header", "-sdp_file", file.to_str().expect("a name")];
    let Some(_ffmpeg) = Sender::ffmpeg("libx264", port, &flags) else { return };
    let deadline = Instant::now() + PATIENCE;
    while std::fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
        assert!(Instant::now() < deadline, "ffmpeg writes the file");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let source = format!("rtp+sdp:{}", file.display());
    let watch = watch(&source, PATIENCE, two_key_frames).await.expect("ffmpeg");
    assert_sound(&watch);
    assert!(decoded_pictures(&watch.packets) + 1 >= access_units(&watch.packets));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_port_does_no_harm() {
    let port = free_udp_port();
    let Some(_ffmpeg) = Sender::ffmpeg("libx264", port, &[]) else { return };
    let attack = tokio::spawn(async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
        let garbage: [&[u8]; 6] = [
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            &[0x80; 11],
            &[0xff; 1400],
            // Another sender's RTP, and RTCP.
            b"\x80\x60\0\x01\0\0\0\x01\x12\x34\x56\x78\x41garbage",
            b"\x80\xc8\0\x06aaaaaaaaaaaaaaaaaaaaaaaa",
        ];
        // The test ends this loop; the bound is a safety net.
        for round in 0..10_000_usize {
            let _ = socket.send_to(garbage[round % garbage.len()], ("127.0.0.1", port)).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    // A payload type that neither the camera nor the attacker sends.
    let source = format!("rtp://127.0.0.1:{port}?codec=h264&payload_type=97");
    let result = watch(&source, Duration::from_secs(6), |_| false).await;
    assert!(result.expect("it listens").silent, "no packet of this type is there");

    let source = format!("rtp://127.0.0.1:{port}?codec=h264");
    attack.abort();
    let watch = watch(&source, PATIENCE, two_key_frames).await.expect("ffmpeg");
    assert_sound(&watch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_returns_is_received_at_once() {
    let port = free_udp_port();
    let Some(ffmpeg) = Sender::ffmpeg("libx264", port, &[]) else { return };
    let mut ffmpeg = Some(ffmpeg);
    let mut before = 0;
    let mut returned = None;
    let source = format!("rtp://127.0.0.1:{port}?codec=h264");
    let watch = watch(&source, PATIENCE * 2, |watch| {
        if before == 0 && two_key_frames(watch) {
            ffmpeg = None;
            before = watch.packets.len();
        } else if ffmpeg.is_none() && before > 0 && watch.silent {
            ffmpeg = Sender::ffmpeg("libx264", port, &[]);
            returned = Some(Instant::now());
        }
        before > 0 && watch.feed.statistics().restarts > 0 && watch.packets.len() > before + 20
    })
    .await
    .expect("it listens on");
    assert!(returned.expect("it was silent").elapsed() < Duration::from_secs(10));
    let step = |pair: &[MediaPacket]| pair[1].timestamp.wrapping_sub(pair[0].timestamp);
    let pause = watch.packets.windows(2).find(|pair| step(pair) > 90_000).expect("it was away");
    assert!(pause[1].starts_key_frame, "packets before a key frame are useless");
    assert!((4 * 90_000..60 * 90_000).contains(&step(pause)), "time went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_picture_keeps_its_rate_and_makes_key_frames_on_request() {
    let start = Instant::now();
    let mut requested = None;
    let mut answered = None;
    let watch = watch("test:640x360@30", PATIENCE, |watch| {
        let keys = watch.feed.statistics().key_frames;
        if requested.is_none() && start.elapsed() > Duration::from_millis(700) {
            watch.send_control(SourceControl::RequestKeyFrame);
            requested = Some(Instant::now());
        }
        if keys >= 2 && answered.is_none() {
            answered = Some(Instant::now());
        }
        start.elapsed() > Duration::from_secs(3)
    })
    .await
    .expect("in-process");
    assert_sound(&watch);
    let waited = answered.expect("a key frame").duration_since(requested.expect("requested"));
    assert!(waited < Duration::from_millis(500), "{waited:?}");
    // Other tests run at the same time, and late frames are skipped by design.
    let pictures = access_units(&watch.packets);
    assert!((45..=95).contains(&pictures), "{pictures} pictures in 3 s");
    assert!(decoded_pictures(&watch.packets) + 1 >= pictures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_reported() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let source = format!("rtp://{}?codec=h264", taken.local_addr().expect("bound"));
    let error = watch(&source, PATIENCE, |_| false).await.expect_err("it is taken");
    assert!(error.to_string().contains("cannot listen on 127.0.0.1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_camera_ends_at_once() {
    for source in ["test:256x144@5", "rtp://127.0.0.1:0?codec=h264"] {
        let source: Source = match source.parse() {
            Ok(source) => source,
            Err(_) => {
                format!("rtp://127.0.0.1:{}?codec=h264", free_udp_port()).parse().expect("valid")
            }
        };
        let mut camera = Camera::start(&source);
        assert!(camera.events.recv().await.is_some(), "it is connected");
        camera.cancel.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(1), camera.task).await;
        assert!(matches!(ended, Ok(Ok(Ok(())))), "{ended:?}");
    }
}
