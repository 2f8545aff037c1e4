//! The admin API and the metrics of each role, alone and together.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::http::{self, Response};
use porthole_test_support::porthole::{Gateway, Server, binary};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;
use serde_json::Value;

use crate::turn_server::TurnServer;

const DEADLINE: Duration = Duration::from_secs(20);
const TOKEN: &str = "a-token-of-the-admin-api";
const CAMERA: &str = "[camera.door]\nsource = 'test:'\n";

/// Returns the configuration of an admin API at this address.
fn settings(admin: SocketAddr) -> String {
    format!("[admin]\nlisten = '{admin}'\ntoken = '{TOKEN}'\n")
}

fn get(admin: SocketAddr, path: &str, token: Option<&str>) -> Result<Response> {
    http::get(Place::Here, &format!("http://{admin}{path}"), token)
}

/// Waits until the metrics have this line.
fn wait_for_metric(admin: SocketAddr, line: &str) -> Result<()> {
    wait::until(line, DEADLINE, || {
        let text = get(admin, "/metrics", Some(TOKEN))?.body;
        Ok(text.lines().any(|found| found == line).then_some(()))
    })
}

/// Checks which components the metrics are of.
fn check_components(admin: SocketAddr, expected: [bool; 3]) -> Result<()> {
    let text = get(admin, "/metrics", Some(TOKEN))?.body;
    let names = ["signaling", "gateway", "turn"];
    for (name, is_expected) in names.into_iter().zip(expected) {
        let is_there = text.contains(&format!("\nporthole_{name}_"));
        ensure!(is_there == is_expected, "{name}: {is_there}");
    }
    ensure!(text.contains("\nporthole_open_files "), "{text}");
    Ok(())
}

#[test]
fn one_admin_api_has_the_numbers_of_all_roles_of_up() {
    let name = "one_admin_api_has_the_numbers_of_all_roles_of_up";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let admin = free_port()?;
        let data = scene.data("server")?;
        std::fs::write(data.join("porthole.toml"), format!("{}{CAMERA}", settings(admin)))?;
        let mut server = Server::start_in(scene, Place::Here, data, &[])?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "door", DEADLINE)?;
        ensure!(get(admin, "/healthz", None)?.status == 200, "health needs no token");
        ensure!(get(admin, "/metrics", None)?.status == 401, "metrics need the token");
        check_components(admin, [true; 3])?;
        wait_for_metric(admin, "porthole_gateway_cameras{state=\"live\"} 1")?;
        wait_for_metric(admin, "porthole_signaling_cameras{state=\"live\"} 1")?;
        wait_for_metric(admin, "porthole_signaling_websockets{peer=\"gateway\"} 1")?;

        let mut viewer = Viewer::start(scene, Place::Here, &server.url(""), &token, "door")?;
        viewer.wait_for_frames(10, DEADLINE)?;
        for line in [
            "porthole_gateway_viewers{path=\"host\"} 1",
            "porthole_gateway_sessions_started_total{path=\"host\"} 1",
            "porthole_gateway_setup_seconds_count 1",
            "porthole_gateway_first_packet_seconds_count 1",
            "porthole_signaling_sessions{viewer=\"client\"} 1",
            "porthole_signaling_setup_seconds_count 1",
        ] {
            wait_for_metric(admin, line)?;
        }
        drop(viewer);
        wait::until("the end of the session", Duration::from_secs(60), || {
            let text = get(admin, "/metrics", Some(TOKEN))?.body;
            Ok(text.contains("porthole_gateway_viewers{path=\"host\"} 0\n").then_some(()))
        })?;
        let log = server.output()?;
        let ended = log.lines().find(|line| line.contains("ended: ")).unwrap_or_default();
        for field in ["path=\"direct\"", "duration_s=", "bytes=", "reason=\"", "session="] {
            ensure!(ended.contains(field), "{field} is missing: {ended}");
        }
        Ok(())
    });
}

#[test]
fn each_role_alone_has_an_admin_api_with_its_numbers_and_a_reload() {
    let name = "each_role_alone_has_an_admin_api_with_its_numbers_and_a_reload";
    scene(name, &[Need::Program], |scene| {
        let (admin, http) = (free_port()?, free_port()?);
        let file = scene.folder().join("signaling.toml");
        let write = |http: SocketAddr| {
            std::fs::write(&file, format!("{}[signaling]\nhttp = '{http}'\n", settings(admin)))
        };
        write(http)?;
        let mut command = Place::Here.command(binary()?);
        command.arg("signaling").arg("--config").arg(&file).arg("--data");
        command.arg(scene.data("signaling")?);
        let mut signaling = Program::start(scene, "signaling", &mut command)?;
        signaling.wait_for("the admin API answers", DEADLINE, |_| {
            Ok(get(admin, "/healthz", None).ok())
        })?;
        check_components(admin, [true, false, false])?;
        let reload = || {
            let url = format!("http://{admin}/reload");
            http::post(Place::Here, &url, Some(TOKEN), &Value::Null)
        };
        ensure!(reload()?.body == "[]", "nothing has changed");
        write(free_port()?)?;
        signaling.reload()?;
        let changes = reload()?.json()?;
        ensure!(changes[0]["setting"] == "signaling", "{changes}");
        ensure!(changes[0]["needs_restart"] == true, "{changes}");
        std::fs::write(&file, "[signaling]\nhtp = 'x'\n")?;
        let refused = reload()?;
        ensure!(refused.status == 422 && refused.body.contains("signaling.htp"), "{refused:?}");
        check_components(admin, [true, false, false])?;
        signaling.stop()?;

        let server = Server::start(scene, Place::Here, &[])?;
        let data = scene.data("gateway")?;
        std::fs::write(data.join("porthole.toml"), settings(admin))?;
        let cameras = [("door", "test:")];
        let _gateway = Gateway::start(scene, "gateway", Place::Here, &server, &cameras, &[])?;
        wait_for_answer(admin)?;
        wait_for_metric(admin, "porthole_gateway_cameras{state=\"live\"} 1")?;
        check_components(admin, [false, true, false])
    });
}

#[test]
fn the_former_name_of_the_setting_in_a_shared_file_is_for_the_turn_server_only() {
    let name = "the_former_name_of_the_setting_in_a_shared_file_is_for_the_turn_server_only";
    scene(name, &[Need::Program], |scene| {
        let turn = TurnServer::start(scene, "")?;
        let http = free_port()?;
        let mut command = Place::Here.command(binary()?);
        command.arg("signaling").args(["--http", &http.to_string()]);
        command.arg("--config").arg(turn.file()).arg("--data").arg(scene.data("signaling")?);
        let mut signaling = Program::start(scene, "signaling", &mut command)?;
        signaling.wait_for("the server answers", DEADLINE, |_| {
            Ok(get(http, "/healthz", None).ok().map(drop))
        })?;
        ensure!(turn.get("/metrics")?.body.contains("\nporthole_turn_"), "it has its own API");
        signaling.stop()
    });
}

fn wait_for_answer(admin: SocketAddr) -> Result<()> {
    wait::until("the admin API answers", DEADLINE, || {
        Ok(get(admin, "/healthz", None).ok().map(drop))
    })
}
