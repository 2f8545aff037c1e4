//! Reloading the configuration of a running server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;
use serde_json::Value;

use crate::turn_server::{TOKEN, TurnServer};

const DEADLINE: Duration = Duration::from_secs(30);
/// One second of the test picture.
const FRAMES: u64 = 30;

#[test]
fn sighup_reloads_the_configuration() {
    scene("sighup_reloads_the_configuration", &[Need::Program], |scene| {
        let turn = TurnServer::start(scene, "")?;
        turn.check_accepts("anna:secret")?;
        turn.check_refuses("berta:geheim-4711")?;
        turn.write_config("users.berta = 'geheim-4711'\nworkers = 2")?;
        turn.program.reload()?;
        turn.check_accepts("berta:geheim-4711")?;
        turn.check_accepts("anna:secret")?;
        let log = turn.program.output()?;
        ensure!(log.contains("users: 1 new or changed"), "{log}");
        ensure!(log.contains("workers: 1 becomes 2; takes a restart"), "{log}");
        ensure!(!log.contains("geheim-4711"), "the log has a password: {log}");
        Ok(())
    });
}

#[test]
fn a_changed_file_is_loaded_by_itself_and_an_invalid_one_changes_nothing() {
    let name = "a_changed_file_is_loaded_by_itself_and_an_invalid_one_changes_nothing";
    scene(name, &[Need::Program], |scene| {
        let mut turn = TurnServer::start(scene, "")?;
        turn.write_config("users.berta = 'geheim-4711'\nrelm = 'x'")?;
        turn.program.wait_for("the error is logged", DEADLINE, |program| {
            Ok(program.output()?.contains("not reloaded").then_some(()))
        })?;
        turn.check_refuses("berta:geheim-4711")?;
        turn.write_config("users.berta = 'geheim-4711'")?;
        turn.program.wait_for("the reload is logged", DEADLINE, |program| {
            Ok(program.output()?.contains("configuration reloaded").then_some(()))
        })?;
        turn.check_accepts("berta:geheim-4711")?;
        let log = turn.program.output()?;
        ensure!(log.matches("not reloaded").count() == 1, "it is told once: {log}");
        std::fs::write(turn.file(), "")?;
        turn.program.wait_for("the empty file is noticed", DEADLINE, |program| {
            Ok(program.output()?.contains("the configuration file is empty").then_some(()))
        })?;
        turn.check_accepts("berta:geheim-4711")?;
        Ok(())
    });
}

#[test]
fn under_systemd_a_reload_of_its_old_copy_is_refused_with_what_to_do() {
    let name = "under_systemd_a_reload_of_its_old_copy_is_refused_with_what_to_do";
    scene(name, &[Need::Program], |scene| {
        let mut turn = TurnServer::start_with(scene, "turn", "", |command| {
            command.env("CREDENTIALS_DIRECTORY", scene.folder());
        })?;
        turn.write_config("users.anna = 'other'")?;
        let response = turn.reload()?;
        let is_refused = response.status == 422 && response.body.contains("systemctl restart");
        ensure!(is_refused, "{response:?}");
        turn.program.hang_up()?;
        turn.program.wait_for("the reason is logged", DEADLINE, |program| {
            Ok(program.output()?.contains("systemctl restart").then_some(()))
        })?;
        turn.check_accepts("anna:secret").map(drop)
    });
}

#[test]
fn an_invalid_file_changes_nothing() {
    scene("an_invalid_file_changes_nothing", &[Need::Program], |scene| {
        let mut turn = TurnServer::start(scene, "")?;
        for (wrong, named) in [
            ("users.anna = 'other'\nrelm = 'x'", "`turn.relm`"),
            ("users.anna = 'other'\nmax_allocations = 0", "0 is not between 1 and 131072"),
            ("users.anna = 'other'\nrelay_ports = '9-1'", "`turn.relay_ports`"),
            ("users.anna = 'other'\nexternal_address = 'interface:none9'", "none9"),
        ] {
            turn.write_config(wrong)?;
            let response = turn.reload()?;
            let is_refused = response.status == 422 && response.body.contains(named);
            ensure!(is_refused, "{response:?}");
            turn.program.hang_up()?;
            turn.program.wait_for("the error is logged", DEADLINE, |program| {
                let log = program.output()?;
                let mut lines = log.lines().filter(|line| line.contains("not reloaded"));
                Ok(lines.any(|line| line.contains(named)).then_some(()))
            })?;
            turn.check_accepts("anna:secret")?;
        }
        Ok(())
    });
}

#[test]
fn a_reload_names_the_settings_that_need_a_restart() {
    scene("a_reload_names_the_settings_that_need_a_restart", &[Need::Program], |scene| {
        let turn = TurnServer::start(scene, "drain_s = 3")?;
        turn.write_config("drain_s = 9\nrealm = 'elsewhere'\nmax_allocations = 7")?;
        let changes = turn.reload()?.json()?;
        let change = |setting: &str| {
            let found = changes.as_array()?.iter().find(|change| change["setting"] == setting)?;
            found["needs_restart"].as_bool()
        };
        ensure!(change("realm") == Some(true), "{changes}");
        ensure!(change("quota") == Some(false), "{changes}");
        ensure!(change("drain_s") == Some(true), "{changes}");
        let log = turn.program.output()?;
        ensure!(log.contains("drain_s: 3 becomes 9; takes a restart"), "{log}");
        Ok(())
    });
}

#[test]
fn a_reload_of_up_applies_all_of_a_configuration_or_nothing() {
    let name = "a_reload_of_up_applies_all_of_a_configuration_or_nothing";
    scene(name, &[Need::Program], |scene| {
        let (data, admin) = (scene.data("server")?, free_port()?);
        let file = data.join("porthole.toml");
        let write = |text: &str| {
            let admin = format!("[admin]\nlisten = '{admin}'\ntoken = '{TOKEN}'\n");
            std::fs::write(&file, format!("{admin}{text}\n"))
        };
        write("")?;
        let server = Server::start_in(scene, Place::Here, data.clone(), &[])?;
        let reload = || {
            let url = format!("http://{admin}/reload");
            http::post(Place::Here, &url, Some(TOKEN), &Value::Null)
        };
        wait::until("the admin API answers", DEADLINE, || Ok(reload().ok().map(drop)))?;
        let users = "[turn]\nusers.berta = 'geheim-4711'\n";
        for (wrong, named) in [
            ("[camera.\"probe.x\"]\nsource = 'test:'", "probe.x"),
            ("[gateway]\nca_certificates = '/nonexistent'", "/nonexistent"),
            ("[public]\nkey = '/nonexistent'", "public.listen"),
        ] {
            write(&format!("{users}{wrong}"))?;
            let response = reload()?;
            let is_refused = response.status == 422 && response.body.contains(named);
            ensure!(is_refused, "{response:?}");
        }
        write(users)?;
        let response = reload()?;
        let is_new = response.status == 200 && response.body.contains("1 new or changed");
        ensure!(is_new, "the user is new now, not before: {response:?}");
        ensure!(server.output()?.matches("users: 1 new or changed").count() == 1, "once");
        write(&format!("{users}[gateway]\nmax_uplink_kbit_per_s = 4000"))?;
        let changes = reload()?.json()?;
        let limit = serde_json::json!({
            "setting": "gateway.max_uplink_kbit_per_s", "what": "none becomes 4000",
            "needs_restart": false,
        });
        ensure!(changes == serde_json::json!([limit]), "{changes}");
        Ok(())
    });
}

/// Cameras before the reload, and after it: `door` has another name, `gate` another picture, `shed`
/// is gone and `yard` is new.
const BEFORE: &str = "\
    camera.door = { source = 'test:320x240' }\n\
    camera.gate = { source = 'test:320x240' }\n\
    camera.shed = { source = 'test:320x240' }\n";
const AFTER: &str = "\
    camera.door = { source = 'test:320x240', name = 'Front door' }\n\
    camera.gate = { source = 'test:640x360' }\n\
    camera.yard = { source = 'test:320x240' }\n";

#[test]
fn cameras_of_a_running_gateway_are_added_changed_and_removed() {
    let name = "cameras_of_a_running_gateway_are_added_changed_and_removed";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let file = scene.folder().join("gateway.toml");
        std::fs::write(&file, BEFORE)?;
        let config = ["--config", file.to_str().context("a path in UTF-8")?];
        let mut server = Server::start(scene, Place::Here, &[])?;
        let gateway = Gateway::start(scene, "gateway", Place::Here, &server, &[], &config)?;
        check_reload(scene, &mut server, &file, |_| gateway.reload())
    });
}

#[test]
fn cameras_of_a_running_up_are_added_changed_and_removed() {
    let name = "cameras_of_a_running_up_are_added_changed_and_removed";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let file = scene.folder().join("up.toml");
        std::fs::write(&file, BEFORE)?;
        let config = ["--config", file.to_str().context("a path in UTF-8")?];
        let mut server = Server::start(scene, Place::Here, &config)?;
        check_reload(scene, &mut server, &file, |server| server.reload())
    });
}

/// Reloads while somebody watches `door`, and checks the cameras and the picture.
fn check_reload(
    scene: &Scene,
    server: &mut Server<'_>,
    file: &Path,
    reload: impl Fn(&Server<'_>) -> Result<()>,
) -> Result<()> {
    let token = server.token("viewer", &[])?;
    for id in ["door", "gate", "shed"] {
        server.wait_for_camera(&token, id, DEADLINE)?;
    }
    let mut viewer = Viewer::start(scene, Place::Here, &server.url(""), &token, "door")?;
    viewer.wait_for_frames(FRAMES, DEADLINE)?;

    std::fs::write(file, AFTER)?;
    reload(server)?;
    server.wait_for_camera(&token, "yard", DEADLINE)?;
    server.wait_for_camera_that("its name", &token, "door", DEADLINE, |camera| {
        camera["name"] == "Front door" && camera["viewers"] == 1
    })?;
    let is_large = |camera: &Value| camera["width"] == 640;
    server.wait_for_camera_that("its picture", &token, "gate", DEADLINE, is_large)?;
    let cameras = server.get("/api/v1/cameras", Some(&token))?;
    ensure!(!cameras.body.contains("shed"), "{cameras:?}");
    viewer.wait_for_frames(FRAMES, DEADLINE)
}
