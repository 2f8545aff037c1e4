//! Reloading the configuration of a running server.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_test_support::scene::{Need, scene};

use crate::turn_server::TurnServer;

const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn sighup_reloads_the_configuration() {
    scene("sighup_reloads_the_configuration", &[Need::Program], |scene| {
        let mut turn = TurnServer::start(scene, "")?;
        turn.check_accepts("anna:secret")?;
        turn.check_refuses("berta:geheim-4711")?;
        turn.write_config("users.berta = 'geheim-4711'\nworkers = 2")?;
        hang_up(&turn)?;
        turn.program.wait_for("the reload is logged", DEADLINE, |program| {
            Ok(program.output()?.contains("configuration reloaded").then_some(()))
        })?;
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
            hang_up(&turn)?;
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

/// Sends SIGHUP to the server.
fn hang_up(turn: &TurnServer) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(turn.program.pid())?);
    Ok(kill(pid, Signal::SIGHUP)?)
}
