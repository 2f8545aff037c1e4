//! Real sources, watched in Chromium; each is ended and comes back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use porthole_test_support::cameras::{Camera, Kind};
use porthole_test_support::scene::{Need, Scene, report, scene};

use crate::{server_and_gateway, watch, watch_smoothly};

/// Five seconds and a little.
const FRAMES: u64 = 160;
const FRAMES_DEADLINE: Duration = Duration::from_secs(20);
/// From the camera's return to the next decoded frame.
const RETURN: Duration = Duration::from_secs(10);

#[test]
fn an_rtsp_camera_of_gstreamer_is_watched_and_comes_back() {
    source("an_rtsp_camera_of_gstreamer_is_watched_and_comes_back", Kind::GstreamerRtsp);
}

#[test]
fn rtp_of_ffmpeg_is_watched_and_comes_back() {
    source("rtp_of_ffmpeg_is_watched_and_comes_back", Kind::FfmpegRtp);
}

fn source(name: &str, kind: Kind) {
    scene(name, &[Need::Program, Need::Browser, kind.need()], |scene| {
        let mut camera = Camera::new(scene, kind)?;
        camera.start()?;
        watch_through_a_restart(scene, &mut camera).context(kind.name())
    });
}

fn watch_through_a_restart(scene: &Scene, camera: &mut Camera<'_>) -> Result<()> {
    let (server, _gateway, token) = server_and_gateway(scene, &[("yard", &camera.source())])?;
    let mut browser = watch(scene, "browser", &server, &token, "yard")?;
    let sample = watch_smoothly(&mut browser, FRAMES, FRAMES_DEADLINE)?;
    ensure!((sample.frame_width, sample.frame_height) == (640, 360), "{sample:?}");

    camera.kill()?;
    let stopped = browser.wait_for_standstill(FRAMES_DEADLINE)?;
    camera.start()?;
    let returned = Instant::now();
    let what = "the picture returns by itself";
    browser
        .wait_for_sample(what, RETURN, |sample| sample.frames_decoded > stopped.frames_decoded)?;
    report(&format!("the picture was back {:.1?} after its camera", returned.elapsed()));
    browser.wait_for_frames(FRAMES, FRAMES_DEADLINE)?;
    ensure!(browser.sample()?.connections == 1, "the page had to connect again");
    Ok(())
}
