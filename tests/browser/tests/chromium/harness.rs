//! Tests of the browser driver itself, without Porthole.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::browser;
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_page_is_used_and_its_video_is_measured() {
    scene("a_page_is_used_and_its_video_is_measured", &[Need::SharedBrowser], |scene| {
        loopback(scene, Place::Here)
    });
}

#[test]
fn the_driver_works_behind_a_nat() {
    scene("the_driver_works_behind_a_nat", &[Need::SharedBrowser, Need::Lab], |scene| {
        let lab = Lab::new("harness")?;
        loopback(scene, Place::On(&lab.side(NatKind::Symmetric)?.host))
    });
}

fn loopback(scene: &Scene, place: Place<'_>) -> Result<()> {
    let page = browser::folder().join("driver/page/loopback.html");
    let screenshot = scene.folder().join("screenshot.png");
    let steps = [
        json!({ "goto": format!("file://{}", page.display()) }),
        json!({ "fill": "Name", "value": "World" }),
        json!({ "click": "Play" }),
        json!({ "see": "Hello World" }),
        json!({ "watch": 2 }),
        json!({ "read": "State", "role": "status" }),
        json!({ "screenshot": screenshot }),
        json!({ "delay": 60 }),
    ];
    let browser = Browser::dashboard(scene, "browser", place, &steps, DEADLINE)?;

    let sample = browser.sample()?;
    ensure!(sample.frames_decoded > 30, "too few frames: {sample:?}");
    ensure!((sample.frame_width, sample.frame_height) == (640, 360), "{sample:?}");
    ensure!(sample.pair.context("no pair")?.local.kind == "host");
    let read = browser.last(event("read"))?.context("nothing was read")?;
    ensure!(read["text"] == "playing", "{read}");
    ensure!(std::fs::metadata(screenshot)?.len() > 0, "an empty screenshot");
    let delay = browser.last(event("delay"))?.context("no delay was measured")?;
    ensure!(delay["medianMs"].as_f64().is_some_and(|ms| (0.0..500.0).contains(&ms)), "{delay}");
    Ok(())
}
