//! Passkeys in the dashboard, with an authenticator that Chromium plays.

use std::time::Duration;

use anyhow::Result;
use porthole_test_support::browser::Browser;
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Scene, scene};
use serde_json::{Value, json};

use crate::{ADMIN, PASSWORD, SHARED, create_admin};

const DEADLINE: Duration = Duration::from_secs(90);

/// Takes about 15 s.
#[test]
fn somebody_adds_a_passkey_signs_in_with_it_and_removes_it() {
    let name = "somebody_adds_a_passkey_signs_in_with_it_and_removes_it";
    scene(name, &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &[])?;
        let mut steps = vec![json!({ "authenticator": "internal" })];
        steps.extend(create_admin(&local(&server.setup_link()?), ADMIN));
        steps.extend(to_account());
        steps.extend(add());
        steps.extend([
            json!({ "screenshot": scene.folder().join("account.png"), "fullPage": true }),
            json!({ "axe": "account with a passkey" }),
            // A device makes one passkey for a user.
            json!({ "click": "Add a passkey" }),
            json!({ "fill": "Name of the passkey", "value": "Phone again" }),
            json!({ "fill": "Password", "value": PASSWORD }),
            json!({ "click": "Add a passkey" }),
            json!({ "see": "This device has a passkey for you already." }),
            json!({ "viewport": { "width": 390, "height": 844 } }),
            json!({ "screenshot": scene.folder().join("phone.png"), "fullPage": true }),
            json!({ "viewport": { "width": 1280, "height": 800 } }),
            json!({ "click": "Sign out everywhere" }),
            json!({ "press": "Tab" }),
            json!({ "press": "Enter" }),
            json!({ "see": "Sign in with a passkey" }),
            json!({ "screenshot": scene.folder().join("sign-in.png") }),
            json!({ "axe": "sign-in with a passkey" }),
            json!({ "click": "Sign in with a passkey" }),
        ]);
        steps.extend(to_account());
        steps.extend([
            json!({ "click": "Remove the passkey Phone" }),
            json!({ "press": "Tab" }),
            json!({ "press": "Enter" }),
            // The browser had signed in with it.
            json!({ "see": "Sign in with a passkey" }),
            json!({ "click": "Sign in with a passkey" }),
            json!({ "see": "The server does not know this passkey; it may have been removed." }),
        ]);
        Browser::dashboard(scene, "passkeys", Place::Here, &steps, DEADLINE)?;
        at_an_address(&server, scene)
    });
}

/// Takes about 10 s.
#[test]
fn a_passkey_is_added_with_a_code_by_somebody_with_a_second_factor() {
    let name = "a_passkey_is_added_with_a_code_by_somebody_with_a_second_factor";
    scene(name, &SHARED, |scene| {
        let server = Server::start(scene, Place::Here, &[])?;
        let mut steps = vec![json!({ "authenticator": "internal" })];
        steps.extend(create_admin(&local(&server.setup_link()?), ADMIN));
        steps.extend(to_account());
        steps.extend(set_second_factor_up());
        steps.extend([
            json!({ "click": "Add a passkey" }),
            json!({ "fill": "Name of the passkey", "value": "Phone" }),
            json!({ "fill": "Password", "value": PASSWORD }),
            json!({ "click": "Add a passkey" }),
            json!({ "fill": "Code", "value": "12345" }),
            json!({ "click": "Add a passkey" }),
            json!({ "see": "The code is wrong or was used before" }),
            json!({ "axe": "new passkey with a code" }),
            json!({ "viewport": { "width": 390, "height": 844 } }),
            json!({ "screenshot": scene.folder().join("phone.png"), "fullPage": true }),
            json!({ "axe": "new passkey with a code on a phone" }),
            json!({ "fill": "Code", "totp": 1 }),
            json!({ "click": "Add a passkey" }),
            json!({ "see": "The passkey “Phone” was added." }),
        ]);
        Browser::dashboard(scene, "code", Place::Here, &steps, DEADLINE).map(drop)
    });
}

/// Returns the steps on the page *Account* that set a second factor up.
pub(crate) fn set_second_factor_up() -> Vec<Value> {
    vec![
        json!({ "click": "Set up" }),
        json!({ "fill": "Current password", "value": PASSWORD }),
        json!({ "click": "Continue" }),
        json!({ "keep": "Secret for the app", "as": "secret" }),
        json!({ "fill": "Code", "totp": 0 }),
        json!({ "click": "Continue" }),
        json!({ "click": "I have saved them" }),
        json!({ "see": "10 recovery codes are left." }),
    ]
}

/// Returns the steps from the dashboard of somebody who has just signed in to the page *Account*.
fn to_account() -> [Value; 2] {
    [json!({ "click": format!("Account: {ADMIN}") }), json!({ "click": "Account", "role": "link" })]
}

/// Returns the steps that add a passkey.
fn add() -> Vec<Value> {
    vec![
        json!({ "see": "You have no passkey." }),
        json!({ "click": "Add a passkey" }),
        json!({ "fill": "Name of the passkey", "value": "Phone" }),
        json!({ "fill": "Password", "value": PASSWORD }),
        json!({ "click": "Add a passkey" }),
        json!({ "see": "The passkey “Phone” was added." }),
    ]
}

/// Shows the page at the address of the machine, for which no browser makes passkeys.
fn at_an_address(server: &Server<'_>, scene: &Scene) -> Result<()> {
    let mut steps = vec![
        json!({ "goto": server.url("/") }),
        json!({ "fill": "Username", "value": ADMIN }),
        json!({ "fill": "Password", "value": PASSWORD }),
        json!({ "click": "Sign in" }),
    ];
    steps.extend(to_account());
    steps.push(json!({ "see": "Passkeys can be added at http://localhost" }));
    Browser::dashboard(scene, "address", Place::Here, &steps, DEADLINE).map(drop)
}

/// Returns an address of this machine with its name, for which browsers make passkeys.
fn local(url: &str) -> String {
    url.replace("127.0.0.1", "localhost")
}
