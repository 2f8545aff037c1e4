//! Cameras that give no picture, or a bad one, and what people and players are told about them.

use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::browser::Browser;
use porthole_test_support::cameras::{Camera, Kind};
use porthole_test_support::http;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};
use serde_json::{Value, json};

use crate::{ADMIN, CAMERA_DEADLINE, SHARED, create_admin};

const DEADLINE: Duration = Duration::from_secs(90);
const OFFER: &str =
    include_str!("../../../../gateway/core/src/sdp/samples/chromium-offer-video.sdp");

/// Options of an encoder that refreshes its picture gradually: it sends a key frame only once, when
/// it starts, before the gateway listens.
const INTRA_REFRESH: [&str; 2] = ["-x264-params", "intra-refresh=1:keyint=60:scenecut=0"];

/// Options of an encoder that sends B pictures.
const B_PICTURES: [&str; 8] =
    ["-preset", "veryfast", "-tune", "film", "-profile:v", "main", "-x264-params", "bframes=2"];

/// Takes about 25 s.
#[test]
fn a_camera_without_key_frames_says_so_in_its_tile_its_player_and_to_whep() {
    let needs = [SHARED[0], SHARED[1], Need::Tool("ffmpeg")];
    let name = "a_camera_without_key_frames_says_so_in_its_tile_its_player_and_to_whep";
    scene(name, &needs, |scene| {
        let mut camera = Camera::with_flags(scene, Kind::FfmpegRtp, &INTRA_REFRESH)?;
        camera.start()?;
        std::thread::sleep(Duration::from_secs(2));
        let mut server = Server::start(scene, Place::Here, &[])?;
        let token = server.token("viewer", &[])?;
        let source = camera.source();
        let cameras = [("garden", source.as_str())];
        let _gateway = Gateway::start(scene, "gateway", Place::Here, &server, &cameras, &[])?;
        let has_reason = |camera: &Value| {
            camera["reason"].as_str().is_some_and(|reason| reason.contains("key frame"))
        };
        server.wait_for_camera_that("a reason", &token, "garden", CAMERA_DEADLINE, has_reason)?;

        let url = server.url("/whep/garden");
        let refused = http::post_offer(Place::Here, &url, &token, OFFER)?;
        ensure!(refused.status == 503, "{refused:?}");
        ensure!(refused.body.contains("key frame"), "{refused:?}");

        let mut steps = create_admin(&server.setup_link()?, ADMIN);
        steps.extend([
            json!({ "see": ["key frame"] }),
            json!({ "screenshot": scene.folder().join("tile.png") }),
            json!({ "click": "garden", "role": "link" }),
            json!({ "see": ["No picture from the camera"] }),
            json!({ "see": ["key frame"] }),
            json!({ "screenshot": scene.folder().join("player.png") }),
        ]);
        run(scene, "dashboard", &steps)
    });
}

/// Takes about 15 s.
#[test]
fn a_camera_with_b_pictures_plays_with_a_warning() {
    let needs = [SHARED[0], SHARED[1], Need::Tool("ffmpeg")];
    scene("a_camera_with_b_pictures_plays_with_a_warning", &needs, |scene| {
        let mut camera = Camera::with_flags(scene, Kind::FfmpegRtp, &B_PICTURES)?;
        let mut server = Server::start(scene, Place::Here, &[])?;
        let token = server.token("viewer", &[])?;
        let source = camera.source();
        let cameras = [("garden", source.as_str())];
        let _gateway = Gateway::start(scene, "gateway", Place::Here, &server, &cameras, &[])?;
        camera.start()?;
        let is_warned = |camera: &Value| {
            let reason = camera["reason"].as_str().unwrap_or_default();
            camera["state"] == "live" && reason.contains("B pictures")
        };
        server.wait_for_camera_that("a warning", &token, "garden", CAMERA_DEADLINE, is_warned)?;
        let mut steps = create_admin(&server.setup_link()?, ADMIN);
        steps.extend([
            json!({ "see": ["B pictures"] }),
            json!({ "screenshot": scene.folder().join("tile.png") }),
            json!({ "click": "garden", "role": "link" }),
            json!({ "watch": 2, "timeoutMs": 30_000 }),
            json!({ "see": ["B pictures"] }),
            json!({ "screenshot": scene.folder().join("player.png") }),
        ]);
        run(scene, "dashboard", &steps)
    });
}

fn run(scene: &porthole_test_support::scene::Scene, name: &str, steps: &[Value]) -> Result<()> {
    Browser::dashboard(scene, name, Place::Here, steps, DEADLINE).map(drop)
}
