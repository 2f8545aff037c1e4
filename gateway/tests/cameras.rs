//! Cameras that differ from the standards: each must be seen at its 15 pictures a second. The
//! cameras are scripts that run on loopback; their pictures come from ffmpeg's encoder.
//!
//! A test without ffmpeg says that it did not run, and fails where every test must run.

mod adding;
#[allow(dead_code, reason = "ingest.rs uses the rest")]
mod ingest_support;
mod scripted_camera;

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use porthole_gateway::ingest::{Source, SourceError, Timeouts};
use porthole_gateway_core::media::{Codec, MediaPacket};
use tokio::process::Command;

use ingest_support::{Watch, free_udp_port, not_run, try_decode, watch, watch_source};
use scripted_camera::{
    Picture, Quirk, Reply, ScriptedCamera, TICKS, all_quirks, groups, pictures, push, tls_proxy,
    tls_refusal, tunnel,
};

/// Time limit of one camera: the slowest needs 5 s, and others run at the same time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Number of cameras that run at the same time.
const AT_ONCE: usize = 8;

/// Number of cameras that are compared at once: nearly all of their time is waiting.
const COMPARED_AT_ONCE: usize = 24;

/// Pictures of a group, from one key frame to the next.
const GROUP: usize = 15;

type Cache = Mutex<HashMap<(bool, Vec<&'static str>), Option<Vec<Picture>>>>;

/// Returns the pictures of H.264.
fn encoded(more: &[&'static str]) -> Option<Vec<Picture>> {
    encoded_as(Codec::H264, more)
}

/// Returns the pictures with these parameters of the encoder, which runs once for each of them.
fn encoded_as(codec: Codec, more: &[&'static str]) -> Option<Vec<Picture>> {
    static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);
    let mut cache = CACHE.lock().expect("no test panics with it");
    let key = (codec == Codec::H265, more.to_vec());
    let known = cache.entry(key).or_insert_with(|| pictures(codec, more));
    known.clone().or_else(|| not_run("ffmpeg is not installed"))
}

/// Watches until there are this many key frames.
fn key_frames(count: u64) -> impl FnMut(&Watch) -> bool {
    move |watch| watch.feed.statistics().key_frames >= count
}

/// Checks a stream whose timestamps tell the distance of its pictures.
fn check(watch: &Watch, codec: Codec) -> Result<(), String> {
    check_with(watch, codec, true)
}

/// Checks the packets from the second key frame to the last one: 15 pictures a second, none lost,
/// each marked once, and all decodable. How a camera marks slices shows in its first pictures.
fn check_with(watch: &Watch, codec: Codec, has_clock: bool) -> Result<(), String> {
    let packets = &watch.packets;
    let starts: Vec<_> = (0..packets.len()).filter(|at| packets[*at].starts_key_frame).collect();
    // That a clock is wrong shows after some seconds.
    let begin = if has_clock { 1 } else { starts.len().saturating_sub(3) };
    let (Some(&first), Some(&last), 3..) = (starts.get(begin), starts.last(), starts.len()) else {
        return Err(format!("{} key frames in {} packets", starts.len(), packets.len()));
    };
    let groups = starts.len() - 1 - begin;
    let end = packets[last].timestamp;
    let packets: &[MediaPacket] = &packets[first..last];
    let pictures = packets.chunk_by(|a, b| a.timestamp == b.timestamp).count();
    let markers = packets.iter().filter(|packet| packet.marker).count();
    let expected = GROUP * groups;
    let steps = packets.windows(2).map(|p| p[1].timestamp.wrapping_sub(p[0].timestamp));
    let is_steady = if has_clock {
        steps.clone().all(|step| step == 0 || step == TICKS)
    } else {
        // Pictures have the times of their arrival, on a machine that has other work.
        let whole = TICKS * u32::try_from(expected).unwrap_or_default();
        let passed = end.wrapping_sub(packets[0].timestamp);
        steps.clone().all(|step| step < 90_000) && (whole * 3 / 4..whole * 3 / 2).contains(&passed)
    };
    let lost = packets.windows(2).any(|pair| pair[1].sequence != pair[0].sequence + 1);
    let back = watch.feed.statistics().pictures_back;
    let decoded = try_decode(codec, packets)?;
    let counts = (pictures, markers, decoded);
    // Five are called B pictures.
    let has_b = back >= 5;
    if counts != (expected, expected, expected) || has_b || !is_steady || lost {
        return Err(format!(
            "{pictures} pictures, {markers} markers and {decoded} decoded of {expected}, \
             {back} back in time, steady: {is_steady}, lost: {lost}"
        ));
    }
    Ok(())
}

/// Plays one quirk. Returns what is wrong with the result.
async fn play(quirk: &Quirk, count: u64) -> Result<(), String> {
    let Some(pictures) = encoded_as(quirk.codec, quirk.encoder) else { return Ok(()) };
    let camera = (quirk.script)(ScriptedCamera::new(pictures)).start().await;
    let address = format!("{}{}", quirk.url(camera.port), quirk.options);
    let count = count.max(quirk.key_frames);
    let watched = watch(&address, PATIENCE, key_frames(count)).await;
    let result = watched.map_err(|error| error.to_string());
    result.and_then(|watch| check_with(&watch, quirk.codec, quirk.has_clock))
}

/// Plays every quirk of a group until there are this many key frames.
async fn all_play_until(quirks: Vec<Quirk>, count: u64) {
    let results =
        stream::iter(&quirks).map(async |quirk| (quirk.label(), play(quirk, count).await));
    let failures: Vec<_> = results
        .buffer_unordered(AT_ONCE)
        .filter_map(async |(name, result)| Some((name, result.err()?)))
        .collect()
        .await;
    assert!(failures.is_empty(), "{failures:#?}");
}

async fn all_play(quirks: Vec<Quirk>) {
    all_play_until(quirks, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_does_everything_right_plays() {
    let Some(pictures) = encoded(&[]) else { return };
    let camera = ScriptedCamera::new(pictures).start().await;
    let watch = watch(&camera.url(""), PATIENCE, key_frames(3)).await.expect("it plays");
    check(&watch, Codec::H264).expect("at its rate");
    let format = watch.feed.format().expect("it is known");
    assert_eq!((format.codec, format.width, format.height), (Codec::H264, 640, 360));
    let methods: Vec<_> = camera.requests().iter().map(|r| r.method().to_owned()).collect();
    assert_eq!(methods[..4], ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]);
    // The session ends with the source.
    let deadline = Instant::now() + PATIENCE;
    while camera.count("TEARDOWN") == 0 {
        assert!(Instant::now() < deadline, "it is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_redirects_plays() {
    all_play(groups::redirects()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_sends_a_key_frame_as_one_unit_plays() {
    all_play(groups::hidden_units()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_ssrc_is_not_the_announced_one_plays() {
    all_play(groups::sources()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_folds_headers_plays() {
    all_play(groups::folded_headers()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_packets_overtake_each_other_loses_none() {
    all_play_until(groups::order(), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_a_careless_description_plays() {
    all_play(groups::descriptions()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_marks_every_slice_plays_at_its_rate() {
    all_play_until(groups::markers(), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_several_challenges_plays() {
    all_play(groups::challenges()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_sends_requests_plays_without_a_pause() {
    all_play_until(groups::camera_requests(), 4).await;
    // Each request is answered.
    let Some(pictures) = encoded(&[]) else { return };
    let camera = ScriptedCamera::new(pictures).aside(|number| {
        let request = format!("OPTIONS * RTSP/1.0\r\nCSeq: {number}\r\nSession: 12345678\r\n\r\n");
        if number % 5 == 0 { request.into_bytes() } else { Vec::new() }
    });
    let camera = camera.start().await;
    watch(&camera.url(""), PATIENCE, key_frames(3)).await.expect("it plays");
    let answers = camera.requests();
    let answers = answers.iter().filter(|answer| answer.text.starts_with("RTSP/1.0 200 OK"));
    let numbers: Vec<_> = answers.filter_map(|a| a.header("CSeq").map(str::to_owned)).collect();
    assert!(numbers.starts_with(&["0".to_owned(), "5".to_owned(), "10".to_owned()]), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_a_blank_in_its_session_id_plays() {
    all_play(groups::sessions()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_a_short_transport_reply_plays() {
    all_play(groups::transports()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_a_password_in_its_path_plays_and_shows_it_to_nobody() {
    all_play(groups::paths()).await;
    for quirk in groups::paths() {
        let source: Source = quirk.url(554).parse().expect("valid");
        assert!(!format!("{source} {source:?}").contains("secret"), "{source}");
        // The address is in the sentence about a path without a stream.
        let camera =
            ScriptedCamera::new(Vec::new()).answer(|_, reply| reply.status("404 Not Found"));
        let camera = camera.start().await;
        let error = watch(&quirk.url(camera.port), PATIENCE, |_| false).await.expect_err("404");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_rtp_is_received_although_the_description_names_the_sender() {
    let Some(pictures) = encoded(&[]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for (name, connection) in [
        ("the sender", "c=IN IP4 192.0.2.10\r\n"),
        ("IPv6", "c=IN IP6 2001:db8::10\r\n"),
        ("this machine", "c=IN IP4 127.0.0.1\r\n"),
        ("nothing", ""),
    ] {
        let port = free_udp_port();
        let file = folder.path().join("camera.sdp");
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=x\r\n{connection}t=0 0\r\n\
             m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        );
        std::fs::write(&file, sdp).expect("a file");
        let sender = tokio::spawn(push(ScriptedCamera::new(pictures.clone()), port));
        let source = format!("rtp+sdp:{}", file.display());
        let watched = watch(&source, PATIENCE, key_frames(3)).await;
        sender.abort();
        check(&watched.expect(name), Codec::H264).expect(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_rtp_plays_whatever_the_ports_and_the_order_of_its_packets() {
    let Some(pictures) = encoded(&[]) else { return };
    type Script = fn(ScriptedCamera) -> ScriptedCamera;
    fn another_ssrc(camera: ScriptedCamera) -> ScriptedCamera {
        camera.packets(|number, packets| {
            let number = u32::try_from(number).expect("a short test");
            packets.iter_mut().for_each(|packet| packet.ssrc = number);
        })
    }
    let table: [(&str, Script); 7] = [
        ("another port for each picture", ScriptedCamera::moving),
        ("another port and SSRC for each picture", |camera| another_ssrc(camera.moving())),
        ("another port for each picture, reversed", |camera| {
            camera.moving().packets(|_, packets| packets.reverse())
        }),
        ("each picture twice, from one port", |camera| {
            camera.packets(|_, packets| packets.extend_from_within(..))
        }),
        ("another SSRC for each picture", another_ssrc),
        ("groups of five, reversed", |camera| {
            camera.packets(|_, packets| packets.chunks_mut(5).for_each(<[_]>::reverse))
        }),
        ("whole pictures, reversed", |camera| camera.packets(|_, packets| packets.reverse())),
    ];
    for (case, script) in table {
        let port = free_udp_port();
        let sender = tokio::spawn(push(script(ScriptedCamera::new(pictures.clone())), port));
        let source = format!("rtp://127.0.0.1:{port}?codec=h264");
        let watched = watch(&source, PATIENCE, key_frames(4)).await;
        sender.abort();
        check(&watched.expect(case), Codec::H264).expect(case);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_odd_replies_plays() {
    all_play(groups::replies()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_sends_noise_plays() {
    all_play(groups::noise()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_odd_addresses_of_its_tracks_plays() {
    all_play(groups::addresses()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_refuses_one_way_is_asked_in_another() {
    all_play(groups::refusals()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_plays_only_with_all_its_tracks_plays() {
    all_play(groups::all_tracks()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_odd_numbers_and_sources_of_its_packets_plays_at_its_rate() {
    all_play(groups::numbers()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_packets_come_twice_plays_each_once() {
    all_play(groups::repeated()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_odd_timestamps_plays_at_its_rate() {
    all_play(groups::timestamps()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_odd_units_plays() {
    all_play(groups::units()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_sessions_end_is_kept_alive() {
    all_play_until(groups::keepalives(), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_nonces_expire_plays() {
    all_play_until(groups::expiring_nonces(), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_several_video_tracks_plays_the_one_that_browsers_play() {
    all_play(groups::several_tracks()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_sends_its_parameter_sets_in_its_description_only_plays() {
    all_play(groups::sparse()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_late_and_sparse_pictures_stays_connected() {
    let Some(pictures) = encoded(&[]) else { return };
    // Nothing for 6 s, then one picture, a key frame, every two seconds.
    let camera = ScriptedCamera::new(pictures).packets(|number, packets| {
        if number < 90 || number % 30 != 0 {
            packets.clear();
        }
    });
    let camera = camera.start().await;
    let address = camera.url("");
    let watch = watch(&address, PATIENCE, |watch| {
        let pictures = watch.packets.chunk_by(|a, b| a.timestamp == b.timestamp).count();
        pictures >= 3
    });
    let watch = watch.await.expect("it is waited for");
    assert_eq!(watch.feed.statistics().restarts, 0);
    assert_eq!(camera.count("PLAY"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_tls_plays_and_is_verified_if_required() {
    let Some(pictures) = encoded(&[]) else { return };
    let camera = ScriptedCamera::new(pictures).start().await;
    type Change = fn(&[u8]) -> Vec<u8>;
    let table: [(&str, Change); 2] = [
        ("one of its own", <[u8]>::to_vec),
        // As with X.509 v1 and RSA of 1024 bits, which the library cannot read either.
        ("one that cannot be read", |certificate| certificate[1..].to_vec()),
    ];
    for (case, change) in table {
        let port = tls_proxy(camera.port, change).await;
        let address = format!("rtsps://127.0.0.1:{port}/live");
        let watched = watch(&address, PATIENCE, key_frames(3)).await.expect(case);
        check(&watched, Codec::H264).expect(case);
        let error = watch(&format!("{address}#tls=verify"), PATIENCE, |_| false).await;
        let text = error.expect_err("nobody has signed it").to_string();
        assert!(text.contains("no TLS connection") && text.contains("#tls=verify"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_tls_is_too_old_gets_one_sentence() {
    for (case, alert, is_old) in [
        ("handshake_failure", 40, true),
        ("protocol_version", 70, true),
        ("insufficient_security", 71, true),
        ("internal_error", 80, false),
    ] {
        let address = format!("rtsps://127.0.0.1:{}/live", tls_refusal(alert).await);
        let error = watch(&address, PATIENCE, |_| false).await.expect_err(case);
        assert_eq!(matches!(error, SourceError::OldTls { .. }), is_old, "{case}: {error}");
        assert_eq!(error.needs_a_person(), is_old, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_behind_an_http_tunnel_plays() {
    let Some(pictures) = encoded(&[]) else { return };
    let camera = ScriptedCamera::new(pictures).start().await;
    let port = tunnel(camera.port).await;
    let address = format!("rtsp://127.0.0.1:{port}/live#transport=http");
    let watched = watch(&address, PATIENCE, key_frames(3)).await.expect("it plays");
    check(&watched, Codec::H264).expect("at its rate");
    assert_eq!(camera.count("PLAY"), 1, "the requests came in base64");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_host_is_refused_with_its_address() {
    let camera = ScriptedCamera::new(Vec::new()).answer(|_, reply| {
        reply.status("302 Moved").with("Location", "rtsp://u:secret@192.0.2.7/x?pwd=secret")
    });
    let camera = camera.start().await;
    let address = camera.url("").replace("rtsp://", "rtsp://ada:secret@");
    let error = watch(&address, PATIENCE, |_| false).await.expect_err("it is not followed");
    let text = error.to_string();
    assert!(text.contains("rtsp://192.0.2.7/x?pwd=***") && text.contains("another host"), "{text}");
    assert!(!text.contains("secret") && error.needs_a_person(), "{text}");
}

/// Replies with bytes of its own to every request.
fn hostile(bytes: Vec<u8>) -> ScriptedCamera {
    ScriptedCamera::new(Vec::new())
        .answer(move |_, reply| Reply { raw: Some(bytes.clone()), ..reply })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_camera_costs_little_and_gets_one_sentence() {
    let described = |sdp: String| {
        ScriptedCamera::new(Vec::new()).answer(move |request, reply| match request.method() {
            "DESCRIBE" => reply.body(&sdp),
            _ => reply,
        })
    };
    let around = |_: &scripted_camera::Request, reply: Reply| {
        reply.status("302 Moved").with("Location", "/around")
    };
    let endless = [b"RTSP/1.0 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(100_000)].concat();
    let replies = b"RTSP/1.0 200 OK\r\nCSeq: 9999\r\n\r\n".repeat(10_000);
    let attributes = "m=video 0 RTP/AVP 96\r\n".to_owned() + &"a=x:y\r\n".repeat(30_000);
    let video = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 ";
    let srtp = format!("{video}H264/90000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNf\r\n");
    let srtp = srtp.replace("RTP/AVP", "RTP/SAVP");
    let table: Vec<(&str, ScriptedCamera, &str)> = vec![
        ("an endless header", hostile(endless), "a header of more than 16384 bytes"),
        ("an endless line", hostile(vec![b'A'; 1 << 20]), "a header of more than 16384 bytes"),
        ("endless noise", hostile(vec![0xfe; 4 << 20]), "neither RTSP nor RTP"),
        ("replies to nothing", hostile(replies), "has no video"),
        ("1 MB of description", described("a=x\r\n".repeat(200_000)), "longer than 262144 bytes"),
        (
            "sections without end",
            described("m=video 0 RTP/AVP 26\r\n".repeat(9_000)),
            "Motion JPEG",
        ),
        ("attributes without end", described(attributes), "an unnamed codec"),
        ("a redirect in a circle", ScriptedCamera::new(Vec::new()).answer(around), "too often"),
        ("nothing", hostile(b"\r\n".to_vec()), "does not answer within 2 s"),
        ("Motion JPEG", described("m=video 0 RTP/AVP 26\r\n".into()), "no browser can play"),
        ("MPEG-TS", described("m=video 0 RTP/AVP 33\r\n".into()), "MP2T, which no browser can"),
        ("MPEG-4", described(format!("{video}MP4V-ES/90000\r\n")), "MPEG-4 Part 2, which no"),
        ("SRTP", described(srtp), "encrypts its stream with SRTP: turn that off"),
    ];
    // Another camera notices nothing of them.
    let Some(pictures) = encoded(&[]) else { return };
    let healthy = ScriptedCamera::new(pictures).start().await;
    let address = healthy.url("");
    let beside = async move { watch(&address, PATIENCE, key_frames(7)).await };
    let beside = tokio::spawn(beside);
    for (case, camera, expected) in table {
        let camera = camera.start().await;
        let timeouts = Timeouts { connect: Duration::from_secs(2), ..Timeouts::default() };
        let source: Source = camera.url("").parse().expect("valid");
        let start = Instant::now();
        let result = watch_source(&source.with_timeouts(timeouts), PATIENCE, |_| false).await;
        let text = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains(expected) && !text.contains('\n'), "{case}: {text}");
        assert!(start.elapsed() < Duration::from_secs(8), "{case}: {:?}", start.elapsed());
    }
    let watched = beside.await.expect("no panic").expect("it plays");
    check(&watched, Codec::H264).expect("at its rate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_drips_is_given_up_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        loop {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"R").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let timeouts = Timeouts { connect: Duration::from_secs(2), ..Timeouts::default() };
    let source: Source = format!("rtsp://{address}/").parse().expect("valid");
    let start = Instant::now();
    let result = watch_source(&source.with_timeouts(timeouts), PATIENCE, |_| false).await;
    assert!(matches!(result, Err(SourceError::NoAnswer { .. })), "it is given up");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_pictures_and_endless_units_stay_within_bounds() {
    let Some(pictures) = encoded(&[]) else { return };
    let huge = ScriptedCamera::new(pictures.clone()).packetize(|picture| {
        if !picture.is_key() {
            return picture.payloads(1400);
        }
        // 5 MB in packets of 60 kB.
        let mut large = picture.clone();
        for unit in large.units.iter_mut().filter(|unit| unit[0] & 0x1f == 5) {
            unit.resize(5 << 20, 0x55);
        }
        large.payloads(60_000)
    });
    let endless = ScriptedCamera::new(pictures).packetize(|_| {
        let first = (b"\x7c\x85".iter().chain(&[7; 1000]).copied().collect(), false);
        let more = (b"\x7c\x05".iter().chain(&[7; 50_000]).copied().collect(), false);
        [vec![first], vec![more; 10]].concat()
    });
    for (case, camera) in [("huge", huge), ("endless", endless)] {
        let camera = camera.start().await;
        let start = Instant::now();
        let mut largest = 0;
        let address = camera.url("");
        let watched = watch(&address, PATIENCE, |watch| {
            largest = largest.max(watch.feed.gop().bytes());
            start.elapsed() > Duration::from_secs(4)
        });
        let watched = watched.await.expect(case);
        assert!(watched.packets.len() > 100, "{case}: it is forwarded all the same");
        assert!(largest <= 8 << 20, "{case}: {largest} bytes are kept for new viewers");
    }
}

/// Returns how many pictures ffmpeg decodes in 3 s of the stream.
async fn ffmpeg_pictures(address: &str, transport: &str) -> Option<usize> {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "quiet", "-nostdin", "-rtsp_transport", transport])
        .args(["-timeout", "5000000", "-i", address, "-t", "3", "-f", "null", "-"])
        .args(["-progress", "pipe:1"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.strip_prefix("frame=")?.trim().parse().ok()).next_back()
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_ffmpeg_plays_we_play_at_its_rate() {
    if encoded(&[]).is_none() {
        return;
    }
    let quirks = all_quirks();
    let compare = async |quirk: &Quirk| {
        let pictures = encoded_as(quirk.codec, quirk.encoder).unwrap_or_default();
        let camera = (quirk.script)(ScriptedCamera::new(pictures)).start().await;
        let transport = if quirk.options.contains("udp") { "udp" } else { "tcp" };
        let theirs = ffmpeg_pictures(&quirk.url(camera.port), transport).await.unwrap_or(0);
        // A camera that keeps count begins again.
        let ours = play(quirk, 3).await;
        (quirk.label(), theirs, ours)
    };
    let mut results = stream::iter(&quirks).map(compare).buffered(COMPARED_AT_ONCE);
    let mut failures = Vec::new();
    while let Some((name, theirs, ours)) = results.next().await {
        let shown = ours.as_ref().map_or_else(String::as_str, |()| "15 pictures a second");
        println!("{name:52} ffmpeg: {theirs:2} in 3 s, ours: {shown}");
        if theirs > 0 && ours.is_err() {
            failures.push((name, theirs, ours));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
