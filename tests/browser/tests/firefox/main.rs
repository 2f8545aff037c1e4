//! Firefox ESR, as Debian has it: it decodes VP8, and H.264 only with a plugin that is downloaded.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::browser::Browser;
use porthole_test_support::cameras::{Camera, Kind};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use serde_json::{Value, json};

const CAMERA_DEADLINE: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(120);

/// The SRTP profile that the gateway and Firefox agree on.
const AES_GCM: &str = "SRTP_AEAD_AES_128_GCM";

#[test]
fn firefox_plays_vp8_from_a_plain_page_and_from_the_dashboard() {
    let name = "firefox_plays_vp8_from_a_plain_page_and_from_the_dashboard";
    let tools = [Need::Tool("firefox-esr"), Need::Tool("node"), Need::Tool("ffmpeg")];
    let needs = [&[Need::Program][..], &tools].concat();
    scene(name, &needs, |scene| {
        let mut camera = Camera::new(scene, Kind::FfmpegVp8)?;
        camera.start()?;
        let source = format!("door={}", camera.source());
        let mut server = Server::start(scene, Place::Here, &["--camera", &source])?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "door", CAMERA_DEADLINE)?;

        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/whep.html");
        let page = page.canonicalize()?;
        let whep = server.url("/whep/door");
        let url = format!("file://{}#url={whep}&token={token}", page.display());
        play(scene, "whep-page", &url, &json!([]))?;

        let steps = json!([
            { "fill": "Username", "value": "ada" },
            { "fill": "Password", "value": "a porthole in the hull" },
            { "click": "Create account" },
            { "click": "door" },
        ]);
        let ciphers = play(scene, "dashboard", &server.setup_link()?, &steps)?;
        // The tile of the camera may have a session of its own before its page has one.
        ensure!(!ciphers.is_empty() && ciphers.iter().all(|it| it == AES_GCM), "{ciphers:?}");
        let log = server.output()?;
        let with_gcm = log.matches(&format!("srtp=\"{AES_GCM}\"")).count();
        let sessions = log.matches("srtp=\"").count();
        ensure!(with_gcm == sessions && sessions >= 2, "{with_gcm} have AES-GCM: {log}");
        Ok(())
    });
}

#[test]
fn firefox_hears_a_camera() {
    let name = "firefox_hears_a_camera";
    let needs = [Need::Program, Need::Tool("firefox-esr"), Need::Tool("node"), Need::GstreamerRtsp];
    scene(name, &needs, |scene| {
        for (sound, codec) in [("pcma", "audio/PCMA"), ("aac", "audio/opus")] {
            let flags = ["--codec", "vp8", "--size", "320x240", "--sound", sound];
            let mut camera = Camera::with_flags(scene, Kind::GstreamerRtsp, &flags)?;
            camera.start()?;
            let source = format!("door={}", camera.source());
            let data = scene.data(sound)?;
            let mut server = Server::start_in(scene, Place::Here, data, &["--camera", &source])?;
            let token = server.token("viewer", &[])?;
            server.wait_for_camera(&token, "door", CAMERA_DEADLINE)?;
            let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("driver/page/whep.html");
            let listen = json!({
                "url": server.url("/whep/door"),
                "token": token,
                "trickle": false,
                "policy": "all",
                "audio": true,
            });
            let url = format!("file://{}", page.display());
            let arguments = json!({ "url": url, "pictures": 10, "listen": listen });
            let mut browser =
                Browser::script(scene, sound, Place::Here, "firefox.mjs", &arguments)?;
            browser.finish(DEADLINE).context(sound)?;
            let is_playing = |value: &Value| (value["event"] == "playing").then(|| value.clone());
            let playing = browser.last(is_playing)?.context("no picture")?;
            ensure!(playing["sound"]["codec"] == codec, "{sound}: {playing}");
            server.stop()?;
        }
        Ok(())
    });
}

/// Plays until there is a picture. Returns the SRTP profiles in `getStats`: none of the plain page,
/// which makes its connection before it can be recorded.
fn play(scene: &Scene, name: &str, url: &str, steps: &Value) -> Result<Vec<Value>> {
    let arguments = json!({ "url": url, "pictures": 10, "steps": steps });
    let mut browser = Browser::script(scene, name, Place::Here, "firefox.mjs", &arguments)?;
    browser.finish(DEADLINE).context(name.to_owned())?;
    let playing = browser.last(|value| (value["event"] == "playing").then(|| value.clone()))?;
    let playing = playing.context("no picture")?;
    let size = (&playing["width"], &playing["height"]);
    ensure!(size == (&json!(320), &json!(240)), "{name}: {playing}");
    playing["srtpCiphers"].as_array().cloned().with_context(|| format!("{name}: {playing}"))
}
