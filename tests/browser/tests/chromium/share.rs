//! Share links: watched on a phone without signing in, until their hour or until they are revoked.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::http;
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Scene, scene};
use serde_json::{Value, json};

use crate::{ADMIN, PICTURE_DEADLINE, SHARED, create_admin};

const DEADLINE: Duration = Duration::from_secs(120);
/// Longest time from the revocation to the sentence in place of the picture.
const PROMPT: Duration = Duration::from_secs(2);
/// Lifetime of a link that is watched to its end: longer than Chromium takes to start and to play
/// on a loaded machine.
const LIFETIME_S: u64 = 45;
/// Time that a picture may go on after the hour: the clock of the database counts whole seconds.
const LATE: Duration = Duration::from_secs(2);

/// Takes about 30 s.
#[test]
fn a_link_made_in_one_browser_plays_on_a_phone_without_signing_in_until_it_is_revoked() {
    let name = "a_link_made_in_one_browser_plays_on_a_phone_without_signing_in_until_it_is_revoked";
    scene(name, &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &["--demo"])?;
        let link = make_link(scene, &server)?;
        let mut steps = watch_steps(&link);
        steps.push(json!({ "see": "This link does not work", "timeoutMs": 60_000 }));
        steps.push(json!({ "noMark": "shared" }));
        let mut phone = on_a_phone(scene, "revoked", &steps)?;
        // The picture of the phone, the width of its page, and no sign of the dashboard.
        phone.program.wait_for_event("the link is watched", DEADLINE, step("axe"))?;
        let text = phone.last(event("text"))?.context("no text")?["text"].to_string();
        for foreign in ["Sign in", "Account", "Gateways", "Add camera"] {
            ensure!(!text.contains(foreign), "{foreign} on the page of a link: {text}");
        }
        let admin = server.token("admin", &[])?;
        let shares = server.get("/api/v1/shares", Some(&admin))?.json()?;
        let id = shares["shares"][0]["id"].as_i64().context("no share")?;
        let since = Instant::now();
        let url = server.url(&format!("/api/v1/shares/{id}"));
        let removed = http::delete(Place::Here, &url, Some(&admin))?.json()?;
        ensure!(removed["sessions"] == 1, "{removed}");
        let said = "the page says that the link was revoked";
        phone.program.wait_for_event(said, DEADLINE, step("noMark"))?;
        let elapsed = since.elapsed();
        println!("the picture was gone {elapsed:?} after the revocation began");
        ensure!(elapsed < PROMPT, "the picture went on for {elapsed:?}");
        phone.finish(DEADLINE)
    });
}

/// Takes about 60 s.
#[test]
fn a_link_stops_at_its_hour_on_a_phone_and_says_so() {
    scene("a_link_stops_at_its_hour_on_a_phone_and_says_so", &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &["--demo"])?;
        let lifetime = format!("{LIFETIME_S}s");
        let flags = ["share", "create", "Yard", "--camera", "demo", "--expires", &lifetime];
        let since = Instant::now();
        let link = server.command(&flags)?;
        let (_, path) = link.split_once("/share#").context(link.clone())?;
        let mut steps = watch_steps(&server.url(&format!("/share#{path}")));
        let ended = json!({ "see": "This link has ended", "timeoutMs": 1_000 * LIFETIME_S });
        steps.push(ended);
        steps.push(json!({ "noMark": "shared" }));
        steps.push(json!({ "screenshot": scene.folder().join("ended.png") }));
        let mut phone = on_a_phone(scene, "hour", &steps)?;
        phone.program.wait_for_event("the link has ended", DEADLINE, step("noMark"))?;
        let (elapsed, hour) = (since.elapsed(), Duration::from_secs(LIFETIME_S));
        println!("the picture was gone {elapsed:?} after a link for {hour:?} was made");
        ensure!(elapsed + Duration::from_secs(1) > hour, "it ended early: {elapsed:?}");
        ensure!(elapsed < hour + LATE, "it ended late: {elapsed:?}");
        phone.finish(DEADLINE)
    });
}

/// Makes a link to the demo camera in the dashboard, as an administrator does.
fn make_link(scene: &Scene, server: &Server<'_>) -> Result<String> {
    let mut steps = create_admin(&server.setup_link()?, ADMIN);
    steps.extend([
        json!({ "click": "Demo camera", "role": "link" }),
        json!({ "watch": 1, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
        json!({ "click": "Share" }),
        json!({ "fill": "Name of the link", "value": "For the neighbours" }),
        json!({ "click": "Make link" }),
        json!({ "see": "The link is ready" }),
        json!({ "text": true }),
    ]);
    let browser = Browser::dashboard(scene, "giver", Place::Here, &steps, DEADLINE)?;
    let text = browser.last(event("text"))?.context("no text")?["text"].clone();
    let text = text.as_str().context("no text")?;
    let link = text.split_whitespace().find(|word| word.contains("/share#t="));
    Ok(link.with_context(|| format!("no link in {text}"))?.to_owned())
}

/// Returns the steps to watch with a link, and to look at its page.
fn watch_steps(link: &str) -> Vec<Value> {
    vec![
        json!({ "goto": link }),
        json!({ "watch": 2, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
        json!({ "see": "Shared until" }),
        json!({ "text": true }),
        json!({ "axe": "share" }),
    ]
}

fn on_a_phone(scene: &Scene, name: &str, steps: &[Value]) -> Result<Browser> {
    let arguments = json!({ "steps": steps, "phone": true });
    Browser::script(scene, name, Place::Here, "dashboard.mjs", &arguments)
}

/// Returns the condition that a step with this name has ended.
fn step(name: &'static str) -> impl Fn(&Value) -> Option<()> {
    move |value| event("step")(value).filter(|event| event["step"] == name).map(drop)
}
