//! People and access in the dashboard: what is given or revoked in one browser begins or ends in
//! another.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Scene, report, scene};
use serde_json::{Value, json};

use crate::{ADMIN, PASSWORD, PICTURE_DEADLINE, SHARED, create_admin, sign_in};

const DEADLINE: Duration = Duration::from_secs(120);
/// Longest time in milliseconds from the click that revokes access to the last frame of a picture.
const STOP_MS: u64 = 2_000;
/// Least number of frames in the second before that click.
const MIN_FRAMES: u64 = 10;

/// Takes about 25 s.
#[test]
fn a_picture_stops_when_its_token_is_revoked_in_the_dashboard() {
    scene("a_picture_stops_when_its_token_is_revoked_in_the_dashboard", &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &["--demo"])?;
        let mut steps = create_admin(&setup_page(&server)?, ADMIN);
        steps.push(json!({ "see": "Demo camera" }));
        steps.extend(create_token(&server));
        steps.extend([
            json!({ "in": "tablet" }),
            json!({ "token": true }),
            json!({ "goto": server.url("/camera/demo") }),
            json!({ "watch": 3, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
            json!({ "in": "" }),
            json!({ "click": "Revoke Kitchen tablet" }),
            json!({ "see": "lose their access at once" }),
            json!({ "stops": "Revoke", "of": "tablet" }),
            json!({ "see": "Kitchen tablet was removed. Ended with it: 1 picture." }),
            json!({ "see": "No access token yet." }),
            json!({ "in": "tablet" }),
            json!({ "see": "Sign in" }),
        ]);
        check_stop(&run(scene, "revoked", &steps)?)
    });
}

/// Takes about 10 s.
#[test]
fn a_token_for_a_program_is_limited_to_what_it_needs() {
    scene("a_token_for_a_program_is_limited_to_what_it_needs", &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &["--demo"])?;
        let mut steps = create_admin(&setup_page(&server)?, ADMIN);
        steps.extend([
            json!({ "see": "Demo camera" }),
            json!({ "goto": server.url("/access/tokens") }),
            json!({ "click": "New access token" }),
            json!({ "fill": "Name", "value": "Monitor" }),
            // Administer, and only some of it: with the keys.
            json!({ "press": "Tab" }),
            json!({ "press": "ArrowRight" }),
            json!({ "see": "What it may do" }),
            json!({ "press": "Tab" }),
            json!({ "press": "ArrowRight" }),
            json!({ "see": "Read the log" }),
            json!({ "click": "Create" }),
            json!({ "see": "Choose at least one." }),
            json!({ "click": "See all lists", "role": "checkbox" }),
            json!({ "click": "Read the log", "role": "checkbox" }),
            json!({ "axe": "new access token with scopes" }),
            json!({ "screenshot": scene.folder().join("wide.png"), "fullPage": true }),
            json!({ "viewport": { "width": 390, "height": 844 } }),
            json!({ "axe": "new access token with scopes on a phone" }),
            json!({ "screenshot": scene.folder().join("phone.png"), "fullPage": true }),
            json!({ "click": "Create" }),
            json!({ "click": "I have copied it" }),
            json!({ "see": "only: read, audit" }),
        ]);
        run(scene, "scopes", &steps)?;
        let table = server.command(&["token", "list"])?;
        ensure!(table.contains("admin: read audit"), "{table}");
        Ok(())
    });
}

/// Takes about 40 s.
#[test]
fn a_person_joins_on_a_phone_with_a_second_factor_until_it_is_removed() {
    scene("a_person_joins_on_a_phone_with_a_second_factor", &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &["--demo"])?;
        let mut steps = create_admin(&setup_page(&server)?, ADMIN);
        steps.push(json!({ "see": "Demo camera" }));
        steps.extend(invite(&server));
        steps.push(json!({ "in": "phone", "phone": true }));
        steps.extend(join());
        steps.extend(set_second_factor_up(&server));
        steps.extend(sign_in_again(&server));
        steps.extend([
            json!({ "goto": server.url("/camera/demo") }),
            json!({ "watch": 2, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
            json!({ "in": "" }),
            json!({ "see": "1 browser signed in" }),
            json!({ "see": "second factor" }),
            json!({ "click": "Remove bob" }),
            json!({ "see": "1 browser is signed out" }),
            json!({ "stops": "Remove", "of": "phone" }),
            json!({ "see": "bob was removed. Ended with it: 1 sign-in, 1 picture." }),
            json!({ "in": "phone" }),
            json!({ "see": "Watch your cameras from anywhere." }),
        ]);
        check_stop(&run(scene, "joined", &steps)?)
    });
}

/// Returns the setup link with the host of the other pages: a cookie is for one host.
fn setup_page(server: &Server<'_>) -> Result<String> {
    let link = server.setup_link()?;
    let (_, token) = link.split_once('#').context("a link without a token")?;
    Ok(server.url(&format!("/setup#{token}")))
}

/// Returns the steps that invite a viewer, and keep the link.
fn invite(server: &Server<'_>) -> Vec<Value> {
    vec![
        json!({ "goto": server.url("/access") }),
        json!({ "click": "Invite a person" }),
        json!({ "fill": "Name", "value": "bob" }),
        json!({ "axe": "invitation" }),
        json!({ "click": "Create link" }),
        json!({ "see": "It works once" }),
        json!({ "keep": "Link", "as": "link" }),
        json!({ "click": "I have sent it" }),
        json!({ "see": "Invitations" }),
    ]
}

/// Returns the steps that accept the link that was kept. It works once.
fn join() -> Vec<Value> {
    vec![
        json!({ "goto": true }),
        json!({ "see": "You are invited" }),
        json!({ "axe": "link of an invitation" }),
        json!({ "fill": "New password", "value": PASSWORD }),
        json!({ "tap": "Create account" }),
        json!({ "see": "Demo camera" }),
        json!({ "goto": true }),
        json!({ "see": "This link does not work" }),
    ]
}

fn set_second_factor_up(server: &Server<'_>) -> Vec<Value> {
    vec![
        json!({ "goto": server.url("/account") }),
        json!({ "tap": "Set up" }),
        json!({ "fill": "Current password", "value": PASSWORD }),
        json!({ "tap": "Continue" }),
        json!({ "see": "Scan this with an authenticator app" }),
        json!({ "keep": "Secret for the app", "as": "secret" }),
        json!({ "fill": "Code", "totp": 0 }),
        json!({ "tap": "Continue" }),
        json!({ "see": "They are shown only now." }),
        json!({ "tap": "I have saved them" }),
        json!({ "see": "10 recovery codes are left." }),
    ]
}

/// Returns the steps that sign out, and in again with the next code: each counts once.
fn sign_in_again(server: &Server<'_>) -> Vec<Value> {
    let mut steps = vec![
        json!({ "tap": "Account: bob" }),
        json!({ "tap": "Sign out" }),
        json!({ "see": "Watch your cameras from anywhere." }),
    ];
    steps.extend(sign_in(server, "bob"));
    steps.extend([
        json!({ "see": "Enter the code that your authenticator app shows." }),
        json!({ "fill": "Code", "value": "12345" }),
        json!({ "tap": "Sign in" }),
        json!({ "see": "The code is wrong or was used before" }),
        json!({ "fill": "Code", "totp": 1 }),
        json!({ "tap": "Sign in" }),
        json!({ "see": "Demo camera" }),
    ]);
    steps
}

/// Returns the steps that create an access token in the page, and keep it.
fn create_token(server: &Server<'_>) -> Vec<Value> {
    vec![
        json!({ "goto": server.url("/access/tokens") }),
        json!({ "click": "New access token" }),
        json!({ "fill": "Name", "value": "Kitchen tablet" }),
        json!({ "axe": "new access token" }),
        json!({ "click": "Create" }),
        json!({ "see": "shown only this once" }),
        json!({ "keep": "Access token", "as": "token" }),
        json!({ "click": "I have copied it" }),
    ]
}

/// Checks that a picture played, and stopped soon after the click that revoked it.
fn check_stop(browser: &Browser) -> Result<()> {
    let stopped = browser.last(event("stopped"))?.context("nothing was measured")?;
    let ms = stopped["afterMs"].as_u64().context("no time")?;
    let frames = stopped["frames"].as_u64().context("no frames")?;
    report(&format!("the last frame came {ms} ms after the click"));
    ensure!(frames >= MIN_FRAMES, "the picture did not play: {stopped}");
    ensure!(ms <= STOP_MS, "the picture went on for {ms} ms");
    Ok(())
}

fn run(scene: &Scene, name: &str, steps: &[Value]) -> Result<Browser> {
    Browser::dashboard(scene, name, Place::Here, steps, DEADLINE)
}
