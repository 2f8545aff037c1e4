//! The log filter and the colours of the log.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::pty::openpty;
use porthole_test_support::porthole::{Server, binary};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;

use crate::turn_server::TurnServer;

const PROGRAM: [Need; 1] = [Need::Program];
const DEADLINE: Duration = Duration::from_secs(20);
const VARIABLES: [&str; 2] = ["PORTHOLE_LOG", "NO_COLOR"];
/// A line logged at INFO before the admin API responds.
const STARTED: &str = "the TURN server is running";
/// The beginning of every colour sequence.
const ESCAPE: &str = "\x1b[";

#[test]
fn porthole_log_sets_what_is_logged() {
    scene("porthole_log_sets_what_is_logged", &PROGRAM, |scene| {
        for (number, (value, is_logged)) in [
            (None, true),
            (Some("error"), false),
            (Some("warn"), false),
            (Some("info"), true),
            (Some("debug"), true),
            (Some("error,porthole_turn_server=info"), true),
            (Some("info,porthole_turn_server=error"), false),
        ]
        .into_iter()
        .enumerate()
        {
            let turn = TurnServer::start_with(scene, &format!("turn-{number}"), "", |command| {
                set(command, "PORTHOLE_LOG", value);
            })?;
            let log = turn.program.output()?;
            ensure!(log.contains(STARTED) == is_logged, "{value:?}: {log}");
        }
        Ok(())
    });
}

#[test]
fn the_finest_log_has_no_credentials_of_turn_and_no_passwords_of_ice() {
    let name = "the_finest_log_has_no_credentials_of_turn_and_no_passwords_of_ice";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let data = scene.data("server")?;
        let config = "[camera.door]\nsource = 'test:'\n";
        std::fs::write(data.join("porthole.toml"), config)?;
        let mut server = Server::start_in(scene, Place::Here, data, &[])?;
        server.log("trace")?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "door", DEADLINE)?;
        let url = server.url("");
        let mut viewer = Viewer::start(scene, Place::Here, &url, &token, "door")?;
        viewer.wait_for_frames(1, DEADLINE)?;
        let log = server.output()?;
        ensure!(log.contains("TRACE"), "it is the finest");
        for secret in ["ice-pwd", "\"credential\"", token.as_str()] {
            let lines: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
            ensure!(lines.is_empty(), "{secret}: {lines:?}");
        }
        Ok(())
    });
}

#[test]
fn a_log_in_json_has_one_object_a_line() {
    scene("a_log_in_json_has_one_object_a_line", &PROGRAM, |scene| {
        let turn = TurnServer::start_with(scene, "json", "", |command| {
            command.args(["--log-format", "json"]);
        })?;
        let log = turn.program.output()?;
        ensure!(log.contains("\"message\":\"the TURN server is running;"), "{log}");
        for line in log.lines() {
            let event: serde_json::Value = serde_json::from_str(line)?;
            ensure!(event["level"].is_string() && event["message"].is_string(), "{line}");
        }
        turn.write_config("relm = 'x'")?;
        turn.program.hang_up()?;
        wait::until("the refusal", DEADLINE, || {
            let log = turn.program.output()?;
            let refused = log.lines().find(|line| line.contains("turn.relm"));
            Ok(refused.map(serde_json::from_str::<serde_json::Value>).transpose()?)
        })?;
        Ok(())
    });
}

#[test]
fn logs_have_colours_on_a_terminal_unless_no_color_is_set() {
    let name = "logs_have_colours_on_a_terminal_unless_no_color_is_set";
    scene(name, &PROGRAM, |scene| {
        for (number, (value, coloured)) in
            [(None, true), (Some(""), true), (Some("1"), false)].into_iter().enumerate()
        {
            let log = log_on_terminal(scene, &format!("terminal-{number}"), value)?;
            ensure!(log.contains(ESCAPE) == coloured, "NO_COLOR={value:?}: {log:?}");
        }
        let turn =
            TurnServer::start_with(scene, "file", "", |command| set(command, "NO_COLOR", None))?;
        let log = turn.program.output()?;
        ensure!(log.contains(STARTED) && !log.contains(ESCAPE), "in a file: {log:?}");
        Ok(())
    });
}

/// Sets one of the variables, and removes those that the tests were started with.
fn set(command: &mut Command, variable: &str, value: Option<&str>) {
    for name in VARIABLES {
        command.env_remove(name);
    }
    if let Some(value) = value {
        command.env(variable, value);
    }
}

/// A process that is killed when its owner is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on a terminal, and returns its log once it runs.
fn log_on_terminal(scene: &Scene, name: &str, no_color: Option<&str>) -> Result<String> {
    let in_folder = |extension: &str| scene.folder().join(format!("{name}.{extension}"));
    let (config, log_file) = (in_folder("toml"), in_folder("log"));
    let text = format!("[turn]\nlisten = ['{}']\nusers.anna = 'secret'\n", free_port()?);
    std::fs::write(&config, text)?;
    let terminal = openpty(None, None)?;
    let mut command = Place::Here.command(binary()?);
    set(&mut command, "NO_COLOR", no_color);
    command.arg("turn").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    let _running = Running(command.stderr(terminal.slave).spawn()?);
    // The thread ends when the last writer has closed the terminal.
    let (mut screen, mut file) = (File::from(terminal.master), File::create(&log_file)?);
    std::thread::spawn(move || std::io::copy(&mut screen, &mut file));
    wait::until("the server runs", DEADLINE, || {
        let log = String::from_utf8_lossy(&std::fs::read(&log_file)?).into_owned();
        Ok(log.contains(STARTED).then_some(log))
    })
}
