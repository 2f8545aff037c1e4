//! Settings that change while the server runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_test_support::scene::{Need, scene};

use crate::turn::Turn;

const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn a_hangup_reads_the_configuration_again() {
    scene("a_hangup_reads_the_configuration_again", &[Need::Program], |scene| {
        let mut turn = Turn::start(scene, "")?;
        turn.relayed("anna:secret")?;
        turn.refuses("berta:geheim-4711")?;
        turn.write("users.berta = 'geheim-4711'\nworkers = 2")?;
        hang_up(&turn)?;
        turn.program.wait_for("the reload is logged", DEADLINE, |program| {
            Ok(program.output()?.contains("configuration reloaded").then_some(()))
        })?;
        turn.relayed("berta:geheim-4711")?;
        turn.relayed("anna:secret")?;
        let log = turn.program.output()?;
        ensure!(log.contains("users: 1 new or changed"), "{log}");
        ensure!(log.contains("workers: 1 becomes 2; takes a restart"), "{log}");
        ensure!(!log.contains("geheim-4711"), "the log has a password: {log}");
        Ok(())
    });
}

#[test]
fn a_mistake_in_the_file_changes_nothing() {
    scene("a_mistake_in_the_file_changes_nothing", &[Need::Program], |scene| {
        let mut turn = Turn::start(scene, "")?;
        for (wrong, named) in [
            ("users.anna = 'other'\nrelm = 'x'", "`turn.relm`"),
            ("users.anna = 'other'\nmax_allocations = 0", "0 is not between 1 and 131072"),
            ("users.anna = 'other'\nrelay_ports = '9-1'", "`turn.relay_ports`"),
            ("users.anna = 'other'\nexternal_address = 'interface:none9'", "none9"),
        ] {
            turn.write(wrong)?;
            let answer = turn.reload()?;
            ensure!(answer.status == 422 && answer.body.contains(named), "{answer:?}");
            hang_up(&turn)?;
            turn.program.wait_for("the mistake is logged", DEADLINE, |program| {
                let log = program.output()?;
                let told = log.lines().any(|l| l.contains("not reloaded") && l.contains(named));
                Ok(told.then_some(()))
            })?;
            turn.relayed("anna:secret")?;
        }
        Ok(())
    });
}

#[test]
fn a_reload_names_what_takes_a_restart() {
    scene("a_reload_names_what_takes_a_restart", &[Need::Program], |scene| {
        let turn = Turn::start(scene, "")?;
        turn.write("drain_s = 9\nrealm = 'elsewhere'\nmax_allocations = 7")?;
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

fn hang_up(turn: &Turn) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(turn.program.pid())?);
    Ok(kill(pid, Signal::SIGHUP)?)
}
