//! Cameras with sound, heard in Chromium by a plain WHEP player.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::browser::{Audio, Browser, Sample, event};
use porthole_test_support::cameras::{Camera, Kind};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use serde_json::json;

use crate::{HITCH, NEEDS, PICTURE_DEADLINE, SHARED, froze_for, server_and_gateway};

/// Time until the sound is heard; Chromium has begun to play by then.
const HEARD_DEADLINE: Duration = Duration::from_secs(15);
/// Loudness from which a tone is heard. That of the cameras has an amplitude of a half, the beep of
/// the built-in camera 0.4.
const HEARD: f64 = 0.1;
/// Frames that are watched while the sound is measured: two seconds.
const FRAMES: u64 = 30;
const FRAMES_DEADLINE: Duration = Duration::from_secs(20);
/// Time until Chromium has the sender reports of both tracks, which come every few seconds.
const SYNC_DEADLINE: Duration = Duration::from_secs(30);
/// Frames until it has moved sound and picture together: twelve seconds.
const SETTLED_FRAMES: u64 = 360;
/// Distance of sound and picture in milliseconds that is a defect, and not a loaded machine.
const OUT_OF_SYNC_MS: f64 = 250.0;
/// Seconds until sound and picture are together, beeps that are measured then, and time for all.
const SETTLED_S: u64 = 20;
const BEEPS: u64 = 20;
const BEEPS_DEADLINE: Duration = Duration::from_secs(90);
/// Largest part of the sound that is made up, once it plays: a loaded machine is late at times.
const CONCEALED: f64 = 0.05;

/// The name and flags of GStreamer's camera, and the codec and channels that Chromium hears.
type Case = (&'static str, &'static [&'static str], &'static str, u32);

const CASES: [Case; 8] = [
    ("pcma", &["--sound", "pcma"], "audio/PCMA", 1),
    ("pcmu", &["--sound", "pcmu"], "audio/PCMU", 1),
    ("opus", &["--sound", "opus", "--rate", "48000", "--channels", "2"], "audio/opus", 2),
    ("aac8", &["--sound", "aac", "--rate", "8000"], "audio/opus", 2),
    ("aac16", &["--sound", "aac", "--rate", "16000"], "audio/opus", 2),
    ("aac44", &["--sound", "aac", "--rate", "44100", "--channels", "2"], "audio/opus", 2),
    ("aac48", &["--sound", "aac", "--rate", "48000"], "audio/opus", 2),
    ("latm", &["--sound", "latm", "--rate", "16000"], "audio/opus", 2),
];

/// A picture that costs little, because all cameras run at once.
const SMALL_PICTURE: [&str; 4] = ["--size", "320x180", "--fps", "15"];

/// Longest standstill of the picture in seconds, on a machine that runs eight cameras.
const STANDSTILL: f64 = 2.0 * HITCH;

fn listen(scene: &Scene, server: &Server<'_>, token: &str, camera: &str) -> Result<Browser> {
    let url = server.url(&format!("/whep/{camera}"));
    let mut browser = Browser::whep_with_sound(scene, camera, Place::Here, &url, token)?;
    browser.wait_for_picture(PICTURE_DEADLINE)?;
    Ok(browser)
}

fn is_heard(sample: &Sample) -> bool {
    sample.audio.as_ref().is_some_and(|audio| audio.audio_level > HEARD)
}

fn audio_of(sample: &Sample) -> Result<Audio> {
    sample.audio.clone().context("no sound in the statistics")
}

/// Takes about a minute: each camera is watched for some seconds.
#[test]
fn cameras_are_heard_whatever_encodes_their_sound() {
    let name = "cameras_are_heard_whatever_encodes_their_sound";
    scene(name, &[NEEDS[0], NEEDS[1], Need::GstreamerRtsp], |scene| {
        let mut cameras = Vec::new();
        for (_, flags, ..) in CASES {
            let flags = [flags, &SMALL_PICTURE[..]].concat();
            let mut camera = Camera::with_flags(scene, Kind::GstreamerRtsp, &flags)?;
            camera.start()?;
            cameras.push(camera);
        }
        let sources: Vec<_> = cameras.iter().map(Camera::source).collect();
        let named: Vec<_> =
            CASES.iter().zip(&sources).map(|(case, source)| (case.0, source.as_str())).collect();
        let (server, _gateway, token) = server_and_gateway(scene, &named)?;
        for case in CASES {
            hear(scene, &server, &token, case).context(case.0)?;
        }
        Ok(())
    });
}

fn hear(scene: &Scene, server: &Server<'_>, token: &str, case: Case) -> Result<()> {
    let (camera, _, codec, channels) = case;
    let mut browser = listen(scene, server, token, camera)?;
    browser.wait_for_sample("the camera is heard", HEARD_DEADLINE, is_heard)?;
    // Chromium learns how unevenly the sound arrives: in frames of AAC, of up to 128 ms.
    let before = browser.wait_for_frames(FRAMES, FRAMES_DEADLINE)?;
    let after = browser.wait_for_frames(FRAMES, FRAMES_DEADLINE)?;
    let (first, last) = (audio_of(&before)?, audio_of(&after)?);
    ensure!(last.codec.as_deref() == Some(codec) && last.channels == channels, "{last:?}");
    ensure!(is_heard(&after), "it fell silent: {after:?}");
    ensure!(froze_for(&before, &after) <= STANDSTILL, "the picture froze: {before:?} {after:?}");
    ensure!(last.packets_lost <= 0, "packets of sound were lost: {last:?}");
    let samples = last.total_samples_received - first.total_samples_received;
    let concealed = last.concealed_samples - first.concealed_samples;
    #[expect(clippy::cast_precision_loss, reason = "some seconds of samples")]
    let part = concealed as f64 / samples.max(1) as f64;
    report(&format!("{camera}: {} of {samples} samples made up", concealed));
    ensure!(part <= CONCEALED, "{concealed} of {samples} samples were made up");
    Ok(())
}

#[test]
fn the_built_in_camera_beeps_at_each_full_second() {
    scene("the_built_in_camera_beeps_at_each_full_second", &SHARED, |scene| {
        let (server, _gateway, token) = server_and_gateway(scene, &[("card", "test:640x360")])?;
        let mut browser = listen(scene, &server, &token, "card")?;
        let before = browser.wait_for_frames(FRAMES, FRAMES_DEADLINE)?;
        let after = browser.wait_for_frames(FRAMES * 3, FRAMES_DEADLINE)?;
        let (first, last) = (audio_of(&before)?, audio_of(&after)?);
        let energy = last.total_audio_energy - first.total_audio_energy;
        ensure!(energy > 0.005, "no beep was heard: {first:?} {last:?}");
        let known = |sample: &Sample| sample.audio.as_ref().is_some_and(|it| it.ahead_ms.is_some());
        browser.wait_for_sample("both tracks are on one clock", SYNC_DEADLINE, known)?;
        let settled = browser.wait_for_frames(SETTLED_FRAMES, SYNC_DEADLINE)?;
        let ahead = audio_of(&settled)?.ahead_ms.context("no longer on one clock")?;
        report(&format!("the sound is {ahead:.0} ms ahead of the picture"));
        ensure!(ahead.abs() < OUT_OF_SYNC_MS, "the sound is {ahead} ms ahead of the picture");
        Ok(())
    });
}

/// Takes about 40 s: Chromium needs some of them to move sound and picture together.
#[test]
fn a_beep_is_heard_when_its_second_is_seen() {
    scene("a_beep_is_heard_when_its_second_is_seen", &SHARED, |scene| {
        let (server, _gateway, token) = server_and_gateway(scene, &[("card", "test:640x360")])?;
        let arguments = json!({
            "url": server.url("/whep/card"), "token": token, "audio": true,
            "seconds": SETTLED_S, "beeps": BEEPS,
        });
        let mut browser = Browser::script(scene, "browser", Place::Here, "whep.mjs", &arguments)?;
        browser.finish(BEEPS_DEADLINE)?;
        let beeps = browser.last(event("beeps"))?.context("no beep was measured")?;
        report(&format!("sound after the picture: {beeps}"));
        ensure!(beeps["count"].as_u64() >= Some(BEEPS / 2), "too few beeps were heard: {beeps}");
        let late = beeps["medianMs"].as_f64().context("no median")?;
        ensure!(late.abs() < OUT_OF_SYNC_MS, "the sound is {late} ms late");
        Ok(())
    });
}

/// A camera whose sound no browser plays is seen, and says why it is not heard.
#[test]
fn a_camera_whose_sound_cannot_be_carried_is_seen() {
    let name = "a_camera_whose_sound_cannot_be_carried_is_seen";
    scene(name, &[NEEDS[0], NEEDS[1], Need::GstreamerRtsp], |scene| {
        let mut camera = Camera::with_flags(scene, Kind::GstreamerRtsp, &["--sound", "g726"])?;
        camera.start()?;
        let (server, _gateway, token) = server_and_gateway(scene, &[("yard", &camera.source())])?;
        let mut browser = listen(scene, &server, &token, "yard")?;
        let sample = browser.wait_for_frames(FRAMES, FRAMES_DEADLINE)?;
        ensure!(
            sample.audio.as_ref().is_none_or(|audio| audio.packets_received == 0),
            "{sample:?}"
        );
        let list = server.get("/api/v1/cameras", Some(&token))?.body;
        ensure!(list.contains("G.726, which no browser plays"), "{list}");
        Ok(())
    });
}
