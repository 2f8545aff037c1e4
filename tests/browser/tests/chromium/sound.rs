//! The sound of a camera, in the dashboard. The test camera beeps at each full second.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{report, scene};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ADMIN, PICTURE_DEADLINE, SHARED, create_admin, server_and_gateway};

const DEADLINE: Duration = Duration::from_secs(120);
const CAMERA: (&str, &str) = ("door", "test:640x360@15");
/// Time in which there are two beeps.
const LISTENING_S: u64 = 3;

/// The sound of a page, as `page/sound.js` measures it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sound {
    /// The highest `audioLevel`.
    level: f64,
    /// Number of sections for sound that are offered.
    sections: usize,
    videos: Vec<Video>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Video {
    is_muted: bool,
    /// Number of audio tracks.
    tracks: usize,
}

/// Returns what was measured by each step `sound`.
fn sounds(browser: &Browser) -> Result<Vec<Sound>> {
    let events = browser.program.events()?.into_iter().filter(|one| one["event"] == "sound");
    events.map(|one| serde_json::from_value(one).context("a measurement")).collect()
}

/// Returns the step that waits for a picture.
fn picture() -> Value {
    json!({ "watch": 1, "timeoutMs": PICTURE_DEADLINE.as_millis() })
}

fn check_silent(sound: &Sound) -> Result<()> {
    let has_none = sound.videos.iter().all(|video| video.is_muted && video.tracks == 0);
    ensure!(!sound.videos.is_empty() && has_none && sound.sections == 0, "{sound:?}");
    ensure!(sound.level == 0.0, "{sound:?}");
    Ok(())
}

/// Takes about 20 s.
#[test]
fn a_camera_is_heard_by_those_who_press_listen_and_not_on_the_wall() {
    let name = "a_camera_is_heard_by_those_who_press_listen_and_not_on_the_wall";
    scene(name, &SHARED, |scene| {
        let (server, _gateway, _) = server_and_gateway(scene, &[CAMERA])?;
        let listening = json!({ "sound": LISTENING_S });
        let file = scene.folder().join("listening.png");
        let mut steps = create_admin(&server.setup_link()?, ADMIN);
        steps.extend([
            json!({ "rates": 1, "playing": 1, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
            listening.clone(),
            json!({ "click": "door", "role": "link" }),
            json!({ "mark": "listen", "timeoutMs": PICTURE_DEADLINE.as_millis() }),
            picture(),
            // The picture of the tile has gone.
            json!({ "sound": 1 }),
            json!({ "hover": "Live video from door" }),
            json!({ "click": "Listen" }),
            listening.clone(),
            json!({ "rates": 1, "playing": 1 }),
            json!({ "screenshot": file }),
            json!({ "press": "m" }),
            json!({ "sound": 1 }),
            json!({ "rates": 1, "playing": 1 }),
        ]);
        let browser = Browser::dashboard(scene, "page", Place::Here, &steps, DEADLINE)?;
        let sounds = sounds(&browser)?;
        let [wall, before, on, off] = sounds.as_slice() else { panic!("{sounds:?}") };
        check_silent(wall).context("the wall")?;
        for (what, sound, is_muted) in
            [("at first", before, true), ("on", on, false), ("off", off, true)]
        {
            let [video] = sound.videos.as_slice() else { panic!("{what}: {sound:?}") };
            ensure!(video.is_muted == is_muted && video.tracks == 1, "{what}: {sound:?}");
            ensure!(sound.sections == 1, "{what}: {sound:?}");
        }
        ensure!(on.level > 0.0, "nothing is heard: {on:?}");
        report(&format!("the beep of the test camera: audioLevel {:.3}", on.level));
        Ok(())
    });
}

/// Takes about 15 s.
#[test]
fn a_token_without_listen_has_the_picture_only() {
    scene("a_token_without_listen_has_the_picture_only", &SHARED, |scene| {
        let (server, _gateway, hears) = server_and_gateway(scene, &[CAMERA])?;
        let sees = server.token("viewer", &["--no-listen"])?;
        for (name, token, may_listen) in [("hears", hears, true), ("sees", sees, false)] {
            let button = if may_listen { "mark" } else { "noMark" };
            let steps = [
                json!({ "token": token }),
                json!({ "goto": server.url("/camera/door") }),
                picture(),
                json!({ button: "listen" }),
                json!({ "press": "m" }),
                json!({ "sound": LISTENING_S }),
            ];
            let browser = Browser::dashboard(scene, name, Place::Here, &steps, DEADLINE)?;
            let sound = sounds(&browser)?.pop().context("nothing was measured")?;
            if may_listen {
                ensure!(sound.level > 0.0 && sound.sections == 1, "{name}: {sound:?}");
            } else {
                check_silent(&sound).context(name)?;
            }
            let decoded = browser.last(event("stats"))?.context("no statistics")?;
            ensure!(decoded["framesDecoded"].as_u64() > Some(0), "{name}: {decoded}");
        }
        Ok(())
    });
}
