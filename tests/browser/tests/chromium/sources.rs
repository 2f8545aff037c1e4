//! Real sources watched in Chromium; each is killed and started again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use porthole_test_support::browser::Browser;
use porthole_test_support::cameras::{Camera, Kind};
use porthole_test_support::scene::{Need, Scene, report, scene};

use crate::{HITCH, froze_for, server_and_gateway, watch, watch_smoothly};

/// Frames before the measurement, until Chromium's buffer is stable. In the time that is measured,
/// the live555 proxy sets its clock back by the time its camera had waited.
const WARM_UP_FRAMES: u64 = 60;
/// Minimum time a source is watched; at 30 frames per second it has slightly fewer than `FRAMES`.
const WATCHED: Duration = Duration::from_secs(5);
const FRAMES: u64 = 160;
const FRAMES_DEADLINE: Duration = Duration::from_secs(20);
/// Time from the camera's restart to the next decoded frame.
const RECOVERY: Duration = Duration::from_secs(10);

/// Takes about 25 s: the camera is watched, killed, started again and watched again.
#[test]
fn an_rtsp_camera_of_gstreamer_is_watched_and_comes_back() {
    source("an_rtsp_camera_of_gstreamer_is_watched_and_comes_back", Kind::GstreamerRtsp);
}

#[test]
fn an_rtsp_camera_of_live555_is_watched_and_comes_back() {
    source("an_rtsp_camera_of_live555_is_watched_and_comes_back", Kind::Live555);
}

/// Takes about 25 s: the camera is watched, killed, started again and watched again.
#[test]
fn rtp_of_ffmpeg_is_watched_and_comes_back() {
    source("rtp_of_ffmpeg_is_watched_and_comes_back", Kind::FfmpegRtp);
}

fn source(name: &str, kind: Kind) {
    scene(name, &[Need::Program, Need::Browser, kind.need()], |scene| {
        let mut camera = Camera::new(scene, kind)?;
        camera.start()?;
        watch_through_a_restart(scene, kind, &mut camera).context(kind.name())
    });
}

fn watch_through_a_restart(scene: &Scene, kind: Kind, camera: &mut Camera<'_>) -> Result<()> {
    let (server, _gateway, token) = server_and_gateway(scene, &[("yard", &camera.source())])?;
    let mut browser = watch(scene, "browser", &server, &token, "yard")?;
    browser.wait_for_frames(WARM_UP_FRAMES, FRAMES_DEADLINE)?;
    watch_for_a_while(&mut browser)?;

    let (before, killed) = (browser.sample()?, Instant::now());
    camera.kill()?;
    let stopped = browser.wait_for_standstill(FRAMES_DEADLINE)?;
    let started = Instant::now();
    camera.start()?;
    let returned = Instant::now();
    let what = "the video returns without a new connection";
    browser
        .wait_for_sample(what, RECOVERY, |sample| sample.frames_decoded > stopped.frames_decoded)?;
    let (took, outage) = (returned.elapsed(), killed.elapsed());
    report(&format!(
        "{}: the video was back {took:.1?} after its camera, which took {:.1?} to start",
        kind.name(),
        returned.duration_since(started),
    ));
    ensure!(took <= RECOVERY, "the video was back {took:?} after its camera");
    let warm = browser.wait_for_frames(WARM_UP_FRAMES, FRAMES_DEADLINE)?;
    // The picture stands still while there is no camera, but not once more after its first picture,
    // as it would if a camera that marks every slice had sent two ends of that picture.
    let froze = froze_for(&before, &warm);
    ensure!(froze <= outage.as_secs_f64() + HITCH, "{froze} s frozen in an outage of {outage:?}");
    watch_for_a_while(&mut browser)?;
    ensure!(browser.sample()?.connections == 1, "the page had to connect again");
    Ok(())
}

/// Watches `FRAMES` frames; each of the samples, one per second, must have new ones.
fn watch_for_a_while(browser: &mut Browser) -> Result<()> {
    let seen = browser.samples()?.len();
    let last = watch_smoothly(browser, FRAMES, FRAMES_DEADLINE)?;
    ensure!((last.frame_width, last.frame_height) == (640, 360), "{last:?}");
    let samples = browser.samples()?;
    let samples = samples.get(seen.saturating_sub(1)..).unwrap_or_default();
    for two in samples.windows(2) {
        ensure!(two[1].frames_decoded > two[0].frames_decoded, "no new frames: {two:?}");
    }
    let (first, last) = (samples.first().context("no sample")?, samples.last());
    let watched = last.context("no sample")?.at_ms - first.at_ms;
    ensure!(watched >= WATCHED.as_secs_f64() * 1000.0, "watched for {watched} ms only");
    Ok(())
}
