//! Signing in with an account elsewhere, at a provider of another project.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use porthole_test_support::browser::{Browser, event, folder};
use porthole_test_support::porthole::Server;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Scene, scene};
use serde_json::{Value, json};

use crate::passkeys::set_second_factor_up;
use crate::{ADMIN, PASSWORD, SHARED, create_admin};

const DEADLINE: Duration = Duration::from_secs(120);

/// Takes about 25 s.
#[test]
fn somebody_links_an_account_signs_in_with_it_and_unlinks_it() {
    let name = "somebody_links_an_account_signs_in_with_it_and_unlinks_it";
    scene(name, &SHARED, |scene| {
        let (server, _provider) = start(scene, "")?;
        let mut steps = create_admin(&local(&server.setup_link()?), ADMIN);
        // The first page of a new server opens another one.
        steps.push(json!({ "see": "Cameras near gateway" }));
        steps.extend(to_account(ADMIN));
        steps.extend(set_second_factor_up());
        steps.extend([
            json!({ "see": "You have linked no account." }),
            json!({ "click": "Link an account" }),
            json!({ "fill": "Password", "value": "not the password" }),
            json!({ "click": "Continue at Home" }),
            json!({ "see": "The password is wrong." }),
        ]);
        steps.extend(fill_own_password());
        steps.extend([
            json!({ "fill": "Code", "value": "12345" }),
            json!({ "click": "Continue at Home" }),
            json!({ "see": "The code is wrong or was used before" }),
            json!({ "axe": "linking an account with a code" }),
            json!({ "fill": "Code", "totp": 1 }),
            json!({ "click": "Continue at Home" }),
        ]);
        steps.extend(at_provider("ann"));
        steps.extend([
            json!({ "see": "linked" }),
            json!({ "see": "ann" }),
            json!({ "screenshot": scene.folder().join("account.png"), "fullPage": true }),
            json!({ "axe": "account with a linked account" }),
            json!({ "viewport": { "width": 390, "height": 844 } }),
            json!({ "screenshot": scene.folder().join("phone.png"), "fullPage": true }),
            json!({ "axe": "account with a linked account on a phone" }),
            json!({ "viewport": { "width": 1280, "height": 800 } }),
            json!({ "in": "other" }),
            json!({ "goto": local(&server.url("/")) }),
            json!({ "see": "Sign in with Home" }),
            json!({ "screenshot": scene.folder().join("sign-in.png") }),
            json!({ "axe": "sign-in with a provider" }),
            json!({ "click": "Sign in with Home" }),
            json!({ "click": "Do not" }),
            json!({ "see": "The sign-in service signed nobody in (access_denied)." }),
            json!({ "axe": "a sign-in that was refused" }),
            json!({ "viewport": { "width": 390, "height": 844 } }),
            json!({ "screenshot": scene.folder().join("refused.png") }),
            json!({ "viewport": { "width": 1280, "height": 800 } }),
            json!({ "click": "Back to the sign-in page", "role": "link" }),
            json!({ "click": "Sign in with Home" }),
        ]);
        steps.extend(at_provider("ann"));
        steps.extend(to_account(ADMIN));
        steps.extend([
            json!({ "see": "as ann" }),
            json!({ "click": "Unlink ann" }),
            json!({ "confirm": "Unlink" }),
            // The browser had signed in with it.
            json!({ "see": "Sign in with Home" }),
            json!({ "click": "Sign in with Home" }),
            json!({ "see": "Nobody here has linked this account" }),
        ]);
        Browser::dashboard(scene, "link", Place::Here, &steps, DEADLINE).map(drop)
    });
}

/// Takes about 15 s.
#[test]
fn a_member_of_the_group_joins_and_an_invited_person_accepts_with_an_account() {
    let name = "a_member_of_the_group_joins_and_an_invited_person_accepts_with_an_account";
    let rules = "join = \"viewer\"\ngroups = [\"bob\", \"cid\"]\n\
        scopes = [\"profile\", \"groups\"]";
    scene(name, &SHARED, |scene| {
        let (server, _provider) = start(scene, rules)?;
        let mut steps = create_admin(&local(&server.setup_link()?), ADMIN);
        steps.extend([
            json!({ "see": ADMIN }),
            json!({ "in": "stranger" }),
            json!({ "goto": local(&server.url("/")) }),
            json!({ "click": "Sign in with Home" }),
        ]);
        steps.extend(at_provider("eve"));
        steps.extend([
            json!({ "see": "Your account there is in no group that may sign in here." }),
            json!({ "in": "member" }),
            json!({ "goto": local(&server.url("/")) }),
            json!({ "click": "Sign in with Home" }),
        ]);
        steps.extend(at_provider("bob"));
        steps.extend(to_account("bob"));
        steps.extend([json!({ "see": "Viewer" }), json!({ "in": "invited", "phone": true })]);
        let link = server.command(&["invite", "create", "--role", "admin", "Cid"])?;
        let token = link.split_once("#t=").context("a link")?.1;
        steps.extend([
            json!({ "goto": local(&server.url(&format!("/invitation#t={token}"))) }),
            json!({ "see": "Join with Home" }),
            json!({ "screenshot": scene.folder().join("invited.png"), "fullPage": true }),
            json!({ "axe": "an invitation with a provider" }),
            json!({ "click": "Join with Home" }),
        ]);
        steps.extend(at_provider("cid"));
        steps.extend(to_account("Cid"));
        steps.push(json!({ "see": "Administrator" }));
        Browser::dashboard(scene, "join", Place::Here, &steps, DEADLINE).map(drop)
    });
}

/// Starts a provider, and a server that trusts it with these further settings.
fn start<'a>(scene: &'a Scene, settings: &str) -> Result<(Server<'a>, Program)> {
    let (http, port) = (free_port()?, free_port()?.port());
    let provider = folder().join("driver/provider.mjs");
    let mut command = Place::Here.command("node");
    command.arg(provider).arg(port.to_string()).arg(redirect(http));
    let mut provider = Program::start(scene, "provider", &mut command)?;
    provider.wait_for_event("the provider listens", DEADLINE, event("listening"))?;
    let file = scene.folder().join("porthole.toml");
    let text = format!(
        "[signaling.openid_connect]\nissuer = \"http://127.0.0.1:{port}\"\n\
         client_id = \"porthole\"\nclient_secret = \"a secret: 100%\"\nname = \"Home\"\n\
         {settings}\n"
    );
    std::fs::write(&file, text)?;
    let server = Server::start_at(scene, http, &["--config", &file.display().to_string()])?;
    Ok((server, provider))
}

/// Returns the address to which the provider sends browsers back.
fn redirect(http: SocketAddr) -> String {
    format!("http://localhost:{}/provider", http.port())
}

/// Returns the steps at the provider, after which the browser is back.
fn at_provider(account: &str) -> [Value; 3] {
    [
        json!({ "see": "The provider" }),
        json!({ "fill": "Account", "value": account }),
        json!({ "click": "Continue" }),
    ]
}

fn fill_own_password() -> [Value; 2] {
    [json!({ "fill": "Password", "value": PASSWORD }), json!({ "click": "Continue at Home" })]
}

/// Returns the steps from the dashboard of somebody who has just signed in to the page *Account*.
fn to_account(name: &str) -> [Value; 2] {
    [json!({ "click": format!("Account: {name}") }), json!({ "click": "Account", "role": "link" })]
}

/// Returns an address of this machine with its name, to which the provider sends browsers back.
fn local(url: &str) -> String {
    url.replace("127.0.0.1", "localhost")
}
