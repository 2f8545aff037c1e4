//! A camera that is added in the dashboard, from an empty data folder to the wall.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::cameras::start_on;
use porthole_test_support::lab::{Host, Lab};
use porthole_test_support::nat::NatKind;
use porthole_test_support::onvif::{Auth, Fake, PASSWORD, Running, Sockets, USER};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, report, scene};
use serde_json::{Value, json};

use crate::{ADMIN, PICTURE_DEADLINE, SHARED, create_admin};

const DEADLINE: Duration = Duration::from_secs(120);
const ONVIF_PORT: u16 = 80;
const RTSP_PORT: &str = "8554";
/// Longest time from the password to the picture, in milliseconds; it takes less than 3 s on a
/// machine that has nothing else to do.
const PICTURE_MS: u64 = 10_000;
/// A person types and clicks no more often than this, from the setup link to the picture.
const MAX_INPUTS: usize = 8;

/// Takes about 30 s.
#[test]
fn a_camera_is_added_from_an_empty_data_folder_with_eight_inputs() {
    let name = "a_camera_is_added_from_an_empty_data_folder_with_eight_inputs";
    let needs = [SHARED[0], SHARED[1], Need::Lab, Need::GstreamerRtsp];
    scene(name, &needs, |scene| {
        let lab = Lab::new("add")?;
        let home = lab.side(NatKind::PortRestricted)?;
        let camera_host = lab.host_behind(&home)?;
        let _streams = start_streams(scene, &camera_host)?;
        let camera = start_camera(&camera_host)?;
        let place = Place::On(&home.host);
        let server = Server::start(scene, place, &[])?;

        let to_picture = steps_to_picture(&server.setup_link()?);
        let inputs = to_picture.iter().filter(|step| is_input(step)).count();
        ensure!(inputs <= MAX_INPUTS, "{inputs} inputs");
        let steps: Vec<_> = to_picture.into_iter().chain(steps_to_wall()).collect();
        let browser = Browser::dashboard(scene, "add", place, &steps, DEADLINE)?;
        let playing = browser.first(event("playing"))?.context("no picture was shown")?;
        let ms = playing["afterMs"].as_u64().context("no time of the picture")?;
        report(&format!("{inputs} inputs; the picture came {ms} ms after the password"));
        ensure!(ms <= PICTURE_MS, "the picture came only {ms} ms after the password");
        let sample = browser.sample()?;
        ensure!(sample.frames_decoded >= 30, "the wall shows too few frames: {sample:?}");

        ensure!(camera.seen.log().contains("GetProfiles"), "{}", camera.seen.log());
        ensure!(!scene.logs().contains(PASSWORD), "the password is in a log");
        ensure_absent(server.data(), PASSWORD.as_bytes())
    });
}

/// Starts the streams of the camera at the machine that it is.
fn start_streams(scene: &Scene, host: &Host) -> Result<Program> {
    let flags = ["--port", RTSP_PORT, "--fps", "30", "--kbit", "1000", "--keyframe-interval", "1"];
    start_on(scene, host, "streams", "rtsp_server.py", &flags)
}

/// Starts the ONVIF side of the camera, which answers to searches and wants a password.
fn start_camera(host: &Host) -> Result<Running> {
    let address = IpAddr::V4(host.address());
    let sockets = host.inside(|| Sockets::open(address, ONVIF_PORT, true))??;
    let stream = Some(format!("rtsp://{address}:{RTSP_PORT}/camera"));
    Fake { auth: Auth::Digest("MD5"), stream, ..Fake::default() }.start(sockets)
}

/// Returns the steps of a new administrator up to the first picture.
fn steps_to_picture(setup_link: &str) -> Vec<Value> {
    let mut steps = create_admin(setup_link, ADMIN);
    steps.extend([
        json!({ "click": "Add Axis M1065" }),
        json!({ "see": "This page came over plain HTTP." }),
        json!({ "fill": "User", "value": USER }),
        json!({ "fill": "Password", "value": PASSWORD }),
        json!({ "click": "Show the picture" }),
        json!({ "watch": 1, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
    ]);
    steps
}

/// Returns the steps that store the camera and watch it from the wall.
fn steps_to_wall() -> Vec<Value> {
    vec![
        json!({ "see": "Ready to add", "timeoutMs": PICTURE_DEADLINE.as_millis() }),
        json!({ "fill": "Name", "value": "Front door" }),
        json!({ "click": "Add camera" }),
        json!({ "see": "Front door is added" }),
        json!({ "click": "Go to cameras", "role": "link" }),
        json!({ "click": "Front door", "role": "link" }),
        json!({ "watch": 2, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
    ]
}

fn is_input(step: &Value) -> bool {
    step.get("fill").is_some() || step.get("click").is_some()
}

/// Fails if a file of the folder contains the text.
pub(crate) fn ensure_absent(folder: &Path, text: &[u8]) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            ensure_absent(&path, text)?;
            continue;
        }
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let found = bytes.windows(text.len()).any(|window| window == text);
        ensure!(!found, "the password is in {}", path.display());
    }
    Ok(())
}
