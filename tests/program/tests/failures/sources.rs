//! Cameras that cannot be watched, next to one that can.

use std::net::SocketAddr;

use anyhow::ensure;
use porthole_test_support::cameras::{Camera, Kind};
use porthole_test_support::lab::Lab;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};

use crate::garbage::Garbage;
use crate::installation::{Installation, NEEDS};

const USER: &str = "watcher";
const RIGHT: &str = "right-geheim-4711";
const WRONG: &str = "wrong-geheim-4712";

#[test]
fn a_camera_that_refuses_connections_or_has_an_unknown_host_is_named() {
    scene("a_camera_that_refuses_connections_or_has_an_unknown_host_is_named", &NEEDS, |scene| {
        let closed = free_port()?;
        // A label longer than DNS allows, so that no name server is asked.
        let name = format!("{}.example", "x".repeat(64));
        let cameras = [
            ("closed", closed.to_string(), "check the port"),
            ("nameless", name, "check the name"),
        ];
        let flags = cameras.each_ref().map(|(id, host, _)| {
            ["--camera".to_owned(), format!("{id}=rtsp://{USER}:{RIGHT}@{host}/camera")]
        });
        let flags: Vec<_> = flags.as_flattened().iter().map(String::as_str).collect();
        let mut installation = Installation::start(scene, Place::Here, &flags)?;
        for (id, host, advice) in &cameras {
            installation.check_reason(id, &[host, advice], &[RIGHT])?;
        }
        installation.check_unharmed()
    });
}

/// Waits up to 5 s, the time in which a gateway must connect to a camera.
#[test]
fn a_camera_that_does_not_answer_is_named_with_its_address() {
    let needs = [&NEEDS[..], &[Need::Lab]].concat();
    scene("a_camera_that_does_not_answer_is_named_with_its_address", &needs, |scene| {
        let lab = Lab::new("failures")?;
        // No host has the first address; no router has a route to the second.
        let cameras = [("absent", "203.0.113.250:554"), ("blackhole", "198.51.100.7:554")];
        let flags = cameras.map(|(id, host)| {
            ["--camera".to_owned(), format!("{id}=rtsp://{USER}:{RIGHT}@{host}/camera")]
        });
        let flags: Vec<_> = flags.as_flattened().iter().map(String::as_str).collect();
        let mut installation = Installation::start(scene, Place::On(lab.server()), &flags)?;
        for (id, host) in cameras {
            installation.check_reason(id, &[host, "check", "camera is on"], &[RIGHT])?;
        }
        installation.check_unharmed()
    });
}

#[test]
fn a_wrong_camera_password_is_reported_and_never_shown() {
    let needs = [&NEEDS[..], &[Need::GstreamerRtsp]].concat();
    scene("a_wrong_camera_password_is_reported_and_never_shown", &needs, |scene| {
        let flags = ["--user", USER, "--password", RIGHT];
        let mut camera = Camera::with_flags(scene, Kind::GstreamerRtsp, &flags)?;
        camera.start()?;
        let address = camera.address();
        // Three cameras at the one RTSP server.
        let source = |id: &str, login: &str| format!("{id}=rtsp://{login}{address}/camera");
        let right = source("right", &format!("{USER}:{RIGHT}@"));
        let wrong = source("wrong", &format!("{USER}:{WRONG}@"));
        let none = source("none", "");
        let flags = ["--camera", &right, "--camera", &wrong, "--camera", &none];
        let mut installation = Installation::start(scene, Place::Here, &flags)?;
        let (host, secrets) = (address.to_string(), [RIGHT, WRONG]);
        installation.check_reason("wrong", &[&host, "user and password", "check"], &secrets)?;
        installation.check_reason("none", &[&host, "user and password", "add"], &secrets)?;
        installation.wait_for_live("right")?;
        installation.check_watchable("right")?;
        installation.check_unharmed()
    });
}

#[test]
fn an_unplayable_codec_is_named_with_the_setting_to_change() {
    let needs = [&NEEDS[..], &[Need::GstreamerRtsp]].concat();
    scene("an_unplayable_codec_is_named_with_the_setting_to_change", &needs, |scene| {
        let mut camera = Camera::with_flags(scene, Kind::GstreamerRtsp, &["--codec", "jpeg"])?;
        camera.start()?;
        let file = scene.folder().join("theora.sdp");
        let port = free_port()?.port();
        let sdp = format!(
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=video {port} RTP/AVP 96\r\na=rtpmap:96 theora/90000\r\n"
        );
        std::fs::write(&file, sdp)?;
        let pulled = format!("pulled={}", camera.source());
        let pushed = format!("pushed={}", file.display());
        let flags = ["--camera", &pulled, "--camera", &pushed];
        let mut installation = Installation::start(scene, Place::Here, &flags)?;
        installation.check_reason("pulled", &["JPEG", "set it to H.264"], &[])?;
        installation.check_reason("pushed", &["theora", "set it to H.264"], &[])?;
        installation.check_unharmed()
    });
}

#[test]
fn garbage_on_a_camera_port_does_not_stop_its_video() {
    let needs = [&NEEDS[..], &[Need::Tool("ffmpeg")]].concat();
    scene("garbage_on_a_camera_port_does_not_stop_its_video", &needs, |scene| {
        let mut camera = Camera::new(scene, Kind::FfmpegRtp)?;
        let noise = free_port()?;
        let yard = format!("yard={}", camera.source());
        let only_noise = format!("noise=rtp://{noise}?codec=h264");
        let flags = ["--camera", &yard, "--camera", &only_noise];
        let mut installation = Installation::start(scene, Place::Here, &flags)?;

        // Sent from before the valid stream starts until after the checks.
        let garbage = Garbage::send_to(&[camera.address(), noise])?;
        camera.start()?;
        installation.wait_for_live("yard")?;
        installation.check_watchable("yard")?;
        installation.check_reason("noise", &["check what sends to this port"], &[])?;
        installation.check_unharmed()?;
        installation.wait_for_live("yard")?;
        garbage.stop()?;

        for address in [camera.address(), noise] {
            let lines = warnings(&installation.server.output()?, address);
            ensure!((1..=MAX_WARNINGS).contains(&lines), "{lines} warnings about {address}");
        }
        Ok(())
    });
}

/// One log line in 10 s; the test takes less than a minute.
const MAX_WARNINGS: usize = 6;

/// Returns the number of log lines about datagrams dropped at this address.
fn warnings(log: &str, address: SocketAddr) -> usize {
    const ADVICE: &str = "dropped datagrams on an RTP port: check what else sends to it";
    let port = format!("port={}", address.port());
    log.lines().filter(|line| line.contains(ADVICE) && line.contains(&port)).count()
}
