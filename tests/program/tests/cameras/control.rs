//! A camera is moved, remembers places and tells of motion, through a gateway that runs.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::onvif::{Auth, Fake, Mechanics, Running, Sockets, USER};
use porthole_test_support::porthole::binary;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;
use serde_json::{Value, json};

use crate::server::{Connected, ScriptedServer};

const PASSWORD: &str = "geheim";

/// Longest time from the last request of a person to the standstill of the camera.
const STOPPED: Duration = Duration::from_secs(2);

/// Longest time from motion to the report of it.
const TOLD: Duration = Duration::from_secs(1);

/// Interval at which a browser asks for a movement while the button is held.
const RENEWAL: Duration = Duration::from_millis(300);

/// Time for a gateway to find out what a camera can do.
const READY: Duration = Duration::from_secs(20);

#[test]
fn a_camera_follows_one_person_and_tells_of_motion() {
    let name = "a_camera_follows_one_person_and_tells_of_motion";
    let cases = [
        Fake { mechanics: Mechanics::Full, auth: Auth::Token, ahead_s: 99_999, ..Fake::default() },
        Fake {
            mechanics: Mechanics::WithoutStop,
            auth: Auth::Digest("MD5"),
            named: Some("10.99.0.7"),
            ..Fake::default()
        },
    ];
    scene(name, &[Need::Program], |scene| {
        for fake in cases {
            let sockets = Sockets::open_http(Ipv4Addr::LOCALHOST.into(), 0)?;
            let camera = Fake { password: PASSWORD, event_slots: 1, ..fake }.start(sockets)?;
            let server = ScriptedServer::bind()?;
            let gateway = start(scene, &server, &camera)?;
            let mut asking = server.accept()?;
            asking.wait_for("its abilities", READY, |it| it["control"]["panTilt"] == true)?;
            check_movement(&mut asking, &camera)?;
            check_presets(&mut asking, &camera)?;
            check_motion(&mut asking, &camera)?;
            check_ends(asking, gateway, &camera)?;
        }
        Ok(())
    });
}

fn start(scene: &Scene, server: &ScriptedServer, camera: &Running) -> Result<Program> {
    let config = scene.folder().join("porthole.toml");
    let at = camera.http;
    let text = format!(
        "[gateway]\nnetworks = ['127.0.0.0/8']\n[camera.door]\n\
         source = 'rtsp://{USER}:{PASSWORD}@{at}/live'\non_demand = true\n\
         onvif = 'http://{at}/onvif/device_service'\n"
    );
    std::fs::write(&config, text)?;
    let mut command = Place::Here.command(binary()?);
    command.arg("gateway").args(["--server", &format!("http://{}", server.address()?)]);
    command.arg("--config").arg(&config).arg("--data").arg(scene.data("gateway")?);
    Program::start(scene, "gateway", &mut command)
}

fn move_by(asking: &mut Connected, by: &str, pan: i32) -> Result<Value> {
    asking.ask("portholeMove", json!({ "camera": "door", "pan": pan, "by": by }))
}

/// Holds a button for a while, and returns the time at which it was let go.
fn hold(asking: &mut Connected, camera: &Running) -> Result<Instant> {
    for _ in 0..6 {
        move_by(asking, "Ann", 60)?;
        thread::sleep(RENEWAL);
    }
    let last = Instant::now();
    move_by(asking, "Ann", 60)?;
    ensure!(camera.seen.movement.is_moving(), "{:?}", camera.seen.movement.calls());
    Ok(last)
}

/// Waits until a camera has stopped by itself, and checks when it did.
fn check_stopped(camera: &Running, last: Instant) -> Result<()> {
    let movement = &camera.seen.movement;
    wait::until("the standstill of the camera", STOPPED * 2, || {
        Ok((!movement.is_moving()).then_some(()))
    })?;
    let after = movement.stopped().context("it has stopped")?.duration_since(last);
    ensure!(after <= STOPPED, "it has stopped after {after:?}: {:?}", movement.calls());
    Ok(())
}

fn check_movement(asking: &mut Connected, camera: &Running) -> Result<()> {
    let last = hold(asking, camera)?;
    let refused = move_by(asking, "Ben", -60).map_err(|error| error.to_string());
    let is_told =
        |text: &String| text.contains("409") && text.contains("Ann is moving this camera");
    ensure!(refused.as_ref().is_err_and(is_told), "{refused:?}");
    check_stopped(camera, last)?;
    asking.wait_for("who holds it", READY, |it| it["control"]["heldBy"].is_null())?;
    move_by(asking, "Ben", -60)?;
    asking.wait_for("who holds it", READY, |it| it["control"]["heldBy"] == "Ben")?;
    move_by(asking, "Ben", 0)?;
    check_stopped(camera, Instant::now())?;
    let unknown = asking.ask("portholeMove", json!({ "camera": "yard", "pan": 1 }));
    ensure!(unknown.is_err_and(|error| error.to_string().contains("404")));
    asking.wait_for("that nobody holds it", READY, |it| it["control"]["heldBy"].is_null())?;
    Ok(())
}

fn check_presets(asking: &mut Connected, camera: &Running) -> Result<()> {
    let of_camera = |more: Value| {
        let mut params = json!({ "camera": "door", "by": "Ann" });
        for (key, value) in more.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        params
    };
    let saved = asking.ask("portholeSavePreset", of_camera(json!({ "name": "Gate" })))?;
    ensure!(saved["name"] == "Gate", "{saved}");
    let listed = asking.ask("portholePresets", of_camera(json!({})))?;
    ensure!(listed == json!({ "presets": [saved] }), "{listed}");
    let preset = of_camera(json!({ "preset": saved["token"] }));
    asking.ask("portholeGoToPreset", preset.clone())?;
    let calls = camera.seen.movement.calls();
    ensure!(calls.last().is_some_and(|(_, call)| call == "GotoPreset"), "{calls:?}");
    asking.ask("portholeRemovePreset", preset)?;
    let listed = asking.ask("portholePresets", of_camera(json!({})))?;
    ensure!(listed == json!({ "presets": [] }), "{listed}");
    Ok(())
}

fn check_motion(asking: &mut Connected, camera: &Running) -> Result<()> {
    let events = &camera.seen.events;
    asking.wait_for("that nothing moves", READY, |it| it["motion"]["active"] == false)?;
    events.set_motion(true);
    asking.wait_for("motion", TOLD, |it| it["motion"]["active"] == true)?;
    events.set_motion(false);
    asking.wait_for("its end", READY, |it| it["motion"]["active"] == false)?;
    // Motion begins while the camera has forgotten who listens.
    thread::sleep(Duration::from_secs(5));
    events.forget();
    events.set_motion(true);
    let report = asking.wait_for("motion again", TOLD, |it| it["motion"]["active"] == true)?;
    ensure!(report["motion"]["lastS"].as_u64().is_some_and(|at| at > 1_700_000_000), "{report}");
    let (open, most, made) = events.counts();
    ensure!((open, most, made) == (1, 1, 2), "{open} open, {most} at once, {made} in all");
    Ok(())
}

/// Checks that a camera stops when its gateway is cut off, and has its subscription back at the
/// end.
fn check_ends(mut asking: Connected, gateway: Program, camera: &Running) -> Result<()> {
    let last = hold(&mut asking, camera)?;
    drop(asking);
    check_stopped(camera, last)?;
    gateway.stop()?;
    ensure!(camera.seen.events.counts().0 == 0, "a subscription is left");
    Ok(())
}
