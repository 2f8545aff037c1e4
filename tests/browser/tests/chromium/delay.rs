//! Glass-to-glass delay, from the clock in the test picture as Chromium shows it.

use std::time::Duration;

use anyhow::{Context, ensure};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{report, scene};
use serde_json::json;

use crate::{NEEDS, server_and_gateway};

const DEADLINE: Duration = Duration::from_secs(60);
const FRAMES: u64 = 150;
const MAX_MEDIAN_MS: f64 = 150.0;

/// Takes about 10 s.
#[test]
fn the_test_camera_is_at_most_150_ms_behind() {
    scene("the_test_camera_is_at_most_150_ms_behind", &NEEDS, |scene| {
        let (server, _gateway, token) = server_and_gateway(scene, &[("clock", "test:")])?;
        let arguments = json!({
            "url": server.url("/whep/clock"), "token": token, "seconds": 2, "delay": FRAMES,
        });
        let mut browser = Browser::script(scene, "browser", Place::Here, "whep.mjs", &arguments)?;
        browser.finish(DEADLINE)?;
        let delay = browser.last(event("delay"))?.context("no delay was measured")?;
        report(&format!("glass to glass: {delay}"));
        ensure!(delay["frames"].as_u64() >= Some(100), "too few frames could be read: {delay}");
        let median = delay["medianMs"].as_f64().context("no median")?;
        ensure!((0.0..=MAX_MEDIAN_MS).contains(&median), "the median is {median} ms: {delay}");
        Ok(())
    });
}
