//! The dashboard in a browser that shows a camera, and the times at which pictures came.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::json;

use crate::browser::{Browser, event};
use crate::program::Place;
use crate::scene::Scene;

/// A page with a picture, whose frames are noted.
#[derive(Debug)]
pub struct Watching {
    browser: Browser,
    /// Bytes of the browser's output that were read.
    seen: u64,
    times_ms: Vec<u64>,
}

impl Watching {
    /// Opens the page of a camera with an access token, and waits for the picture until `deadline`.
    /// The page is watched for `watched_s` seconds.
    pub fn start(
        scene: &Scene,
        place: Place<'_>,
        (url, token): (&str, &str),
        watched_s: u64,
        deadline: Duration,
    ) -> Result<Self> {
        let steps =
            [json!({ "token": token }), json!({ "goto": url }), json!({ "frames": watched_s })];
        let browser = Browser::begin(scene, "browser", place, &steps)?;
        let mut watching = Self { browser, seen: 0, times_ms: Vec::new() };
        watching.frame_after(0, deadline)?;
        Ok(watching)
    }

    /// Returns the browser.
    pub fn browser(&self) -> &Browser {
        &self.browser
    }

    /// Returns the time of the first picture that came after this one.
    pub fn frame_after(&mut self, after_ms: u64, deadline: Duration) -> Result<u64> {
        let Self { browser, seen, times_ms } = self;
        browser.program.wait_for("a picture comes", deadline, |program| {
            let events = program.new_events(seen)?;
            let frames = events.iter().filter_map(event("frames"));
            times_ms.extend(frames.filter_map(|value| value["at"].as_u64()));
            Ok(times_ms.iter().copied().find(|at| *at > after_ms))
        })
    }

    /// Returns the longest time without a picture from a moment until now. One that does not come
    /// back is waited for until `deadline`.
    pub fn longest_standstill(&mut self, since_ms: u64, deadline: Duration) -> Result<Duration> {
        let end = now_ms()?;
        let (mut last, mut longest) = (since_ms, 0);
        while last < end {
            let next = self.frame_after(last, deadline)?;
            longest = longest.max(next - last);
            last = next;
        }
        Ok(Duration::from_millis(longest))
    }
}

/// Returns the time in milliseconds since 1970, as the browser has it.
pub fn now_ms() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
