//! The general, gateway and camera settings, each by its effect.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;
use serde_json::Value;

/// Below the ephemeral ports of the system.
const FIRST_RELAY_PORT: u64 = 20_000;
const LAST_RELAY_PORT: u64 = 20_099;
const DEADLINE: Duration = Duration::from_secs(30);

/// Returns the item with this name in a list of the API.
fn find_named<'a>(list: &'a Value, key: &str, name: &str) -> Option<&'a Value> {
    list[key].as_array()?.iter().find(|item| item["name"] == name)
}

#[test]
fn every_general_gateway_and_camera_setting_takes_effect() {
    scene(
        "every_general_gateway_and_camera_setting_takes_effect",
        &[Need::Program, Need::Viewer],
        |scene| {
            let video = free_port()?;
            let file = scene.folder().join("porthole.toml");
            let text = format!(
                "[gateway]\nname = 'Attic'\nudp_port = {}\n\
             [camera.door]\nname = 'Front door'\nsource = 'test:640x360@15'\n\
             sub_source = 'test:320x180@15'\non_demand = true\n\
             rotation = 90\nmirrored = true\n\
             [camera.yard]\nsource = 'test:320x180@15'\n",
                video.port(),
            );
            std::fs::write(&file, text)?;
            let file = file.to_str().context("a path of text")?;
            let mut server = Server::start(scene, Place::Here, &["--config", file])?;
            let admin = server.token("admin", &[])?;
            let token = server.token("viewer", &[])?;

            // A camera is live all the time; one on demand waits for a viewer.
            let live = |camera: &Value| camera["state"] == "live";
            server.wait_for_camera_that("yard is live", &token, "yard", DEADLINE, live)?;
            let idle = |camera: &Value| camera["state"] == "idle";
            server.wait_for_camera_that("door is idle", &token, "door", DEADLINE, idle)?;
            let cameras = server.get("/api/v1/cameras", Some(&token))?.json()?;
            let door =
                find_named(&cameras, "cameras", "Front door").context("the camera's name")?;
            ensure!(door["id"] == "door", "{cameras}");
            ensure!(door["rotation"] == 90 && door["mirrored"] == true, "{cameras}");
            ensure!(
                find_named(&cameras, "cameras", "yard").is_some(),
                "a camera without a name is called by its id"
            );
            let gateways = server.get("/api/v1/gateways", Some(&admin))?.json()?;
            ensure!(find_named(&gateways, "gateways", "Attic").is_some(), "{gateways}");
            ensure!(
                UdpSocket::bind(("0.0.0.0", video.port())).is_err(),
                "the configured UDP port is free"
            );

            for (name, camera) in [("main", "door"), ("sub", "door.sub")] {
                let url = server.url("");
                let mut viewer = Viewer::start_as(scene, name, Place::Here, &url, &token, camera)?;
                viewer.wait_for_frames(15, DEADLINE).with_context(|| camera.to_owned())?;
            }
            ensure!(
                server.data().join("signaling.sqlite3").is_file(),
                "no database in the data folder"
            );
            Ok(())
        },
    );
}

#[test]
fn a_turn_only_gateway_sends_video_only_through_turn() {
    let name = "a_turn_only_gateway_sends_video_only_through_turn";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let ports = format!("{FIRST_RELAY_PORT}-{LAST_RELAY_PORT}");
        let flags =
            ["--demo", "--turn-only", "--allow-peer", "127.0.0.0/8", "--relay-ports", &ports];
        let mut server = Server::start(scene, Place::Here, &flags)?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "demo", DEADLINE)?;
        let url = server.url("");
        let mut viewer = Viewer::start(scene, Place::Here, &url, &token, "demo")?;
        viewer.wait_for_frames(30, DEADLINE)?;
        check_relayed(scene.folder(), &mut viewer)
    });
}

/// Checks that the remote candidate of the viewer's pair is a relayed address.
fn check_relayed(folder: &std::path::Path, viewer: &mut Viewer) -> Result<()> {
    let found = wait::until("a path", DEADLINE, || {
        let text = std::fs::read_to_string(folder.join("viewer.json"))?;
        let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(events.rfind(|event| event["event"] == "path"))
    })?;
    viewer.wait_for_frames(1, DEADLINE)?;
    let kind = &found["pair"]["remote"]["type"];
    ensure!(kind == "relay" || kind == "prflx", "{found}");
    let port = found["pair"]["remote"]["port"].as_u64().context("a port")?;
    ensure!((FIRST_RELAY_PORT..=LAST_RELAY_PORT).contains(&port), "{found}");
    Ok(())
}
