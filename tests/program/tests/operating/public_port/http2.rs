//! HTTP/2 at the public port, with a client that is not ours.

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};

use super::client::Registered;
use super::{OFFER, Port};

/// Runs curl for some paths. Returns what it has read, then for each path the version of HTTP, the
/// status and the number of connections that it has made for it.
fn curl(port: &Port<'_>, arguments: &[&str], paths: &[&str]) -> Result<(String, Vec<String>)> {
    let mut curl = Place::Here.command("curl");
    curl.args(["--silent", "--show-error", "--cacert", &port.authority, "--max-time", "20"]);
    curl.args(["--write-out", "\n=porthole= %{http_version} %{http_code} %{num_connects}\n"]);
    curl.args(arguments);
    for path in paths {
        curl.arg(format!("https://localhost:{}{path}", port.address.port()));
    }
    let output = curl.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?} {paths:?}: {errors}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let results =
        text.lines().filter_map(|line| line.strip_prefix("=porthole= ")).map(str::to_owned);
    let results = results.collect();
    Ok((text, results))
}

/// Returns the paths of the dashboard's scripts and styles.
fn assets(page: &str) -> Vec<String> {
    let addresses = page.split("=\"./").skip(1).filter_map(|rest| rest.split('"').next());
    addresses.filter(|path| path.starts_with("assets/")).map(|path| format!("/{path}")).collect()
}

#[test]
fn the_dashboard_and_players_have_http_2_and_a_websocket_beside_it() {
    let name = "the_dashboard_and_players_have_http_2_and_a_websocket_beside_it";
    let needs = [Need::Program, Need::Tool("openssl"), Need::Tool("curl")];
    scene(name, &needs, |scene| {
        let mut port = Port::start(scene)?;
        let token = viewer(&mut port.server)?;
        let (page, results) = curl(&port, &["--http2"], &["/"])?;
        ensure!(results == ["2 200 1"] && page.contains("<html"), "{results:?}: {page}");
        let assets = assets(&page);
        ensure!(!assets.is_empty(), "{page}");
        let paths: Vec<_> = assets.iter().map(String::as_str).collect();
        let (_, results) = curl(&port, &["--http2"], &paths)?;
        ensure!(results.first().is_some_and(|first| first == "2 200 1"), "{results:?}");
        ensure!(results.iter().skip(1).all(|rest| rest == "2 200 0"), "{results:?}");

        let bearer = format!("Authorization: Bearer {token}");
        let camera = ["--http2", "--header", &bearer, "--header", "Content-Type: application/sdp"];
        let long = "x".repeat(64 * 1024 + 1);
        let long = [&camera[..], &["--data-raw", &long]].concat();
        let offer = [&camera[..], &["--data-raw", OFFER]].concat();
        for (what, arguments, path, expected) in [
            ("HTTP/1.1", &["--http1.1"][..], "/healthz", "1.1 200 1"),
            ("HTTP/2", &["--http2"], "/healthz", "2 200 1"),
            ("an API without a credential", &["--http2"], "/api/v1/cameras", "2 401 1"),
            ("an API", &["--http2", "--header", &bearer], "/api/v1/cameras", "2 200 1"),
            ("a preflight", &["--http2", "--request", "OPTIONS"], "/whep/cam", "2 200 1"),
            ("a WebSocket without an upgrade", &["--http2"], "/ws", "2 426 1"),
            ("a long body", &long, "/whep/cam", "2 413 1"),
        ] {
            let (text, results) = curl(&port, arguments, &[path])?;
            ensure!(results == [expected], "{what}: {results:?}: {text}");
        }
        let (refusal, results) = curl(&port, &offer, &["/whep/cam"])?;
        ensure!(results == ["2 400 1"] || results == ["2 422 1"], "{results:?}: {refusal}");

        // Browsers, too, open a connection of their own for it, and offer only this.
        Registered::connect(port.connect(&["http/1.1"])?, &token)?.check()?;
        Ok(())
    });
}

/// Returns a token of a viewer, once the camera is there.
fn viewer(server: &mut Server<'_>) -> Result<String> {
    let token = server.token("viewer", &[])?;
    server.wait_for_camera(&token, "cam", super::DEADLINE).context("the camera")?;
    Ok(token)
}
