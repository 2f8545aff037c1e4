//! The browser tests, in one binary because linking takes longer than running.

mod access;
mod add_camera;
mod audio;
mod av1;
mod dashboard;
mod delay;
mod examples;
mod harness;
mod in_the_hand;
mod many_cameras;
mod openid;
mod outage;
mod passkeys;
mod reasons;
mod share;
mod sound;
mod sources;
mod upgrade;
mod wall;
mod whep;

use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::browser::{Browser, Sample};
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene};
use serde_json::{Value, json};

const NEEDS: [Need; 2] = [Need::Program, Need::Browser];
/// Needs of tests whose bounds a loaded machine keeps as well: they run beside each other.
const SHARED: [Need; 2] = [Need::Program, Need::SharedBrowser];
const CAMERA_DEADLINE: Duration = Duration::from_secs(30);
const PICTURE_DEADLINE: Duration = Duration::from_secs(30);

/// The first administrator, and the password of everybody in these tests.
const ADMIN: &str = "ada";
const PASSWORD: &str = "a porthole in the hull";

/// Longest standstill, in seconds, that a loaded machine causes by itself. A player that waits for
/// the next key frame of a camera stands still for up to two seconds.
const HITCH: f64 = 0.5;

/// Returns the seconds for which the video stood still between two samples.
fn froze_for(before: &Sample, after: &Sample) -> f64 {
    after.total_freezes_duration - before.total_freezes_duration
}

/// Starts a server on loopback, and a gateway with these cameras in a separate process.
fn server_and_gateway<'a>(
    scene: &'a Scene,
    cameras: &[(&str, &str)],
) -> Result<(Server<'a>, Gateway, String)> {
    let mut server = Server::start(scene, Place::Here, &[])?;
    let token = server.token("viewer", &[])?;
    let gateway = Gateway::start(scene, "gateway", Place::Here, &server, cameras, &[])?;
    for (id, _) in cameras {
        server.wait_for_camera(&token, id, CAMERA_DEADLINE)?;
    }
    Ok((server, gateway, token))
}

/// Returns the steps that create the first administrator, who is then signed in.
fn create_admin(setup_link: &str, name: &str) -> Vec<Value> {
    vec![
        json!({ "goto": setup_link }),
        json!({ "fill": "Username", "value": name }),
        json!({ "fill": "Password", "value": PASSWORD }),
        json!({ "click": "Create account" }),
    ]
}

/// Returns the steps that sign somebody in.
fn sign_in(server: &Server<'_>, name: &str) -> Vec<Value> {
    vec![
        json!({ "goto": server.url("/") }),
        json!({ "fill": "Username", "value": name }),
        json!({ "fill": "Password", "value": PASSWORD }),
        json!({ "click": "Sign in" }),
    ]
}

/// Opens a plain WHEP player and waits for its first frame.
fn watch(
    scene: &Scene,
    name: &str,
    server: &Server<'_>,
    token: &str,
    camera: &str,
) -> Result<Browser> {
    let url = server.url(&format!("/whep/{camera}"));
    let mut browser = Browser::whep(scene, name, Place::Here, &url, token)?;
    browser.wait_for_picture(PICTURE_DEADLINE)?;
    Ok(browser)
}

/// Watches until `frames` more are decoded, and fails if the video freezes or loses packets.
fn watch_smoothly(browser: &mut Browser, frames: u64, deadline: Duration) -> Result<Sample> {
    let before = browser.sample()?;
    let after = browser.wait_for_frames(frames, deadline)?;
    ensure!(froze_for(&before, &after) <= HITCH, "the video froze: {before:?} {after:?}");
    ensure!(after.packets_lost <= before.packets_lost, "packets were lost: {before:?} {after:?}");
    Ok(after)
}
