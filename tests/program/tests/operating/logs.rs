//! What is logged, and in colours or not.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::pty::openpty;
use porthole_test_support::porthole::binary;
use porthole_test_support::ports::free_port;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;

use crate::turn::Turn;

const PROGRAM: [Need; 1] = [Need::Program];
const DEADLINE: Duration = Duration::from_secs(20);
const VARIABLES: [&str; 2] = ["PORTHOLE_LOG", "NO_COLOR"];
/// Logged at INFO, before the admin API answers.
const STARTED: &str = "the TURN server runs";
/// What every colour begins with.
const ESCAPE: &str = "\x1b[";

#[test]
fn what_is_logged_is_what_the_environment_says() {
    scene("what_is_logged_is_what_the_environment_says", &PROGRAM, |scene| {
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
            let turn = Turn::start_with(scene, &format!("turn-{number}"), "", |command| {
                set(command, "PORTHOLE_LOG", value);
            })?;
            let log = turn.program.output()?;
            ensure!(log.contains(STARTED) == is_logged, "{value:?}: {log}");
        }
        Ok(())
    });
}

#[test]
fn there_are_colours_on_a_terminal_unless_they_are_not_wanted() {
    let name = "there_are_colours_on_a_terminal_unless_they_are_not_wanted";
    scene(name, &PROGRAM, |scene| {
        for (number, (value, coloured)) in
            [(None, true), (Some(""), true), (Some("1"), false)].into_iter().enumerate()
        {
            let log = on_a_terminal(scene, &format!("terminal-{number}"), value)?;
            ensure!(log.contains(ESCAPE) == coloured, "NO_COLOR={value:?}: {log:?}");
        }
        let turn = Turn::start_with(scene, "file", "", |command| set(command, "NO_COLOR", None))?;
        let log = turn.program.output()?;
        ensure!(log.contains(STARTED) && !log.contains(ESCAPE), "in a file: {log:?}");
        Ok(())
    });
}

/// This one of the variables, and none that the tests were started with.
fn set(command: &mut Command, variable: &str, value: Option<&str>) {
    for name in VARIABLES {
        command.env_remove(name);
    }
    if let Some(value) = value {
        command.env(variable, value);
    }
}

/// A child that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it says on a terminal until it runs.
fn on_a_terminal(scene: &Scene, name: &str, no_color: Option<&str>) -> Result<String> {
    let (config, log) = (format!("{name}.toml"), format!("{name}.log"));
    let (config, log) = (scene.folder().join(config), scene.folder().join(log));
    let text = format!("[turn]\nlisten = ['{}']\nusers.anna = 'secret'\n", free_port()?);
    std::fs::write(&config, text)?;
    let terminal = openpty(None, None)?;
    let mut command = Command::new(binary()?);
    set(&mut command, "NO_COLOR", no_color);
    command.arg("turn").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    let _running = Running(command.stderr(terminal.slave).spawn()?);
    // Until the last of those who may write has closed it.
    let (mut screen, mut file) = (File::from(terminal.master), File::create(&log)?);
    std::thread::spawn(move || std::io::copy(&mut screen, &mut file));
    wait::until("it runs", DEADLINE, || {
        let said = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
        Ok(said.contains(STARTED).then_some(said))
    })
}
