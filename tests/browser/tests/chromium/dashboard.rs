//! The dashboard as a person uses it: from the setup link to live video.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::browser::Browser;
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Scene, scene};
use serde_json::{Value, json};

use crate::{ADMIN, PICTURE_DEADLINE, SHARED, create_admin, sign_in};

const DEADLINE: Duration = Duration::from_secs(90);

/// Takes about 15 s.
#[test]
fn the_setup_link_leads_to_live_video() {
    scene("the_setup_link_leads_to_live_video", &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &["--demo"])?;
        let link = server.setup_link()?;
        let screenshot = scene.folder().join("player.png");
        let mut steps = create_admin(&link, ADMIN);
        steps.extend(video_steps());
        steps.push(json!({ "screenshot": screenshot }));
        play(scene, "setup", &steps)?;
        ensure!(std::fs::metadata(screenshot)?.len() > 0, "an empty screenshot");

        let mut steps = sign_in(&server, ADMIN);
        steps.extend(video_steps());
        play(scene, "sign-in", &steps)
    });
}

/// Takes about 15 s.
#[test]
fn the_dashboard_works_below_a_path() {
    scene("the_dashboard_works_below_a_path", &SHARED, |scene| {
        let flags = ["--demo", "--public-url", "http://host.example/cams"];
        let server = Server::start(scene, Place::Here, &flags)?;
        let link = server.setup_link()?;
        let below = link.strip_prefix("http://host.example/cams/").context(link.clone())?;
        let mut steps = create_admin(&server.url(&format!("/cams/{below}")), ADMIN);
        steps.extend(video_steps());
        // The page of a camera is one level deeper.
        steps.push(json!({ "goto": server.url("/cams/camera/demo") }));
        steps.extend(video_steps().split_off(1));
        play(scene, "below", &steps)
    });
}

/// Takes about 10 s.
#[test]
fn a_wrong_password_or_a_used_link_is_refused() {
    scene("a_wrong_password_or_a_used_link_is_refused", &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &["--demo"])?;
        let link = server.setup_link()?;
        let mut steps = create_admin(&link, ADMIN);
        steps.push(json!({ "see": "Demo camera" }));
        run(scene, "first", &steps)?;
        let alert = json!({ "see": "", "role": "alert" });
        let mut steps = create_admin(&link, "eve");
        steps.push(alert.clone());
        run(scene, "used-link", &steps)?;
        let mut steps = sign_in(&server, ADMIN);
        steps[2] = json!({ "fill": "Password", "value": "not the password" });
        steps.push(alert);
        run(scene, "wrong-password", &steps)?;
        Ok(())
    });
}

/// Takes about 10 s.
#[test]
fn a_menu_that_is_opened_while_a_page_loads_stays_open() {
    scene("a_menu_that_is_opened_while_a_page_loads_stays_open", &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &[])?;
        let mut steps = vec![json!({ "slow": "**/AddCamera-*.js", "ms": 1_500 })];
        steps.extend(create_admin(&server.setup_link()?, ADMIN));
        steps.extend([
            json!({ "click": format!("Account: {ADMIN}") }),
            json!({ "see": "Cameras near", "role": "heading" }),
            json!({ "click": "Gateways", "role": "link" }),
            json!({ "see": "Gateways", "role": "heading" }),
        ]);
        run(scene, "menu", &steps).map(drop)
    });
}

/// Steps from the list of cameras to live video and the name of its path.
fn video_steps() -> Vec<Value> {
    vec![
        json!({ "click": "Demo camera", "role": "link" }),
        json!({ "watch": 4, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
        json!({ "see": ["Local network", "Direct"] }),
    ]
}

/// Runs steps that include watching, and checks the last sample.
fn play(scene: &Scene, name: &str, steps: &[Value]) -> Result<()> {
    let browser = run(scene, name, steps)?;
    let sample = browser.sample()?;
    ensure!(sample.frames_decoded >= 60, "{name}: too few frames: {sample:?}");
    ensure!(sample.frame_width > 0, "{name}: {sample:?}");
    Ok(())
}

fn run(scene: &Scene, name: &str, steps: &[Value]) -> Result<Browser> {
    Browser::dashboard(scene, name, Place::Here, steps, DEADLINE)
}
