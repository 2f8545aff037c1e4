//! Plays the demo camera with each page in `examples/`, opened as a file.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::browser::Browser;
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Scene, scene};
use serde_json::{Value, json};

use crate::{CAMERA_DEADLINE, PICTURE_DEADLINE, SHARED};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn the_whep_example_plays_the_demo_camera() {
    scene("the_whep_example_plays_the_demo_camera", &SHARED, |scene| {
        let (server, token, _) = demo(scene)?;
        let parameters = format!("url={}&token={token}", server.url("/whep/demo"));
        play(scene, "whep.html", &parameters)
    });
}

#[test]
fn the_onvif_example_plays_the_demo_camera() {
    scene("the_onvif_example_plays_the_demo_camera", &SHARED, |scene| {
        let (server, token, gateway) = demo(scene)?;
        let url = format!("ws://{}/ws", server.http());
        let parameters = format!("url={url}&token={token}&peer={gateway}&profile=demo");
        play(scene, "onvif-client.html", &parameters)
    });
}

/// Starts everything, and returns a viewer's token and the id of the demo camera's gateway.
fn demo(scene: &Scene) -> Result<(Server<'_>, String, String)> {
    let mut server = Server::start(scene, Place::Here, &["--demo"])?;
    let token = server.token("viewer", &[])?;
    let what = "the demo camera is online";
    let is_online = |camera: &Value| camera["state"] != "offline";
    let camera = server.wait_for_camera_that(what, &token, "demo", CAMERA_DEADLINE, is_online)?;
    let gateway = camera["gateway"].as_str().context("a camera has a gateway")?.to_owned();
    Ok((server, token, gateway))
}

fn play(scene: &Scene, page: &str, parameters: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(page);
    let path = path.canonicalize()?;
    let steps = [
        json!({ "goto": format!("file://{}#{parameters}", path.display()) }),
        json!({ "watch": 3, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
    ];
    let browser = Browser::dashboard(scene, page, Place::Here, &steps, DEADLINE)?;
    let sample = browser.sample()?;
    ensure!(sample.frames_decoded >= 45, "too few frames in 3 s: {sample:?}");
    ensure!(sample.connections == 1, "{sample:?}");
    Ok(())
}
