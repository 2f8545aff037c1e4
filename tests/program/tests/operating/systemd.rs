//! The units of `deploy/` under a real systemd, which is booted in namespaces of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::porthole;
use porthole_test_support::program::Program;
use porthole_test_support::scene::{Need, Scene, scene};

/// All steps take about 7 s.
const DEADLINE: Duration = Duration::from_secs(90);
/// The exposure that `systemd-analyze security` may give, of 0 to 10.
const MAX_EXPOSURE: f32 = 2.0;
const UNITS: [&str; 2] = ["porthole.service", "porthole-gateway.service"];

#[test]
fn s14_the_units_start_refuse_a_reload_of_their_copy_restart_and_are_watched() {
    let name = "s14_the_units_start_refuse_a_reload_of_their_copy_restart_and_are_watched";
    scene(name, &[Need::Lab, Need::Program, Need::Tool("systemd-analyze")], |scene| {
        let findings = boot(scene)?;
        let expected = [
            ("started", "0"),
            ("healthy", "200"),
            // Its own user alone reads the data.
            ("data", "700"),
            // `systemctl reload` does not apply to it, and SIGHUP is refused with what to do.
            ("reloaded", "3"),
            ("refused", "0"),
            ("unchanged", "200"),
            ("restarted", "0"),
            ("changed", "200"),
            ("gateway", "0"),
            // Each admin API has a socket for its own user.
            ("sockets", "600 600"),
            // Killed and started again, because it was not alive.
            ("back", "0"),
            ("stopped", "0"),
            ("results", "success success"),
        ];
        for (what, value) in expected {
            ensure!(findings.contains(&format!("{what} {value}")), "{what}: {findings:?}");
        }
        ensure!(!findings.contains(&"user 0".to_owned()), "it runs as root: {findings:?}");
        Ok(())
    });
}

#[test]
fn the_units_expose_little() {
    scene("the_units_expose_little", &[Need::Tool("systemd-analyze")], |_| {
        for unit in UNITS {
            let mut analyze = Command::new("systemd-analyze");
            analyze.args(["security", "--offline=true", "--no-pager"]).arg(deploy().join(unit));
            let output = analyze.output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let exposure = text.rsplit_once("Overall exposure level for");
            let exposure = exposure.and_then(|(_, line)| line.split_whitespace().nth(1));
            let exposure: f32 = exposure.context("no exposure is shown")?.parse()?;
            ensure!(exposure <= MAX_EXPOSURE, "{unit}: {text}");
        }
        Ok(())
    });
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// Boots a systemd with the units, and returns what the steps have found.
fn boot(scene: &Scene) -> Result<Vec<String>> {
    let folder = scene.folder();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    std::fs::create_dir(folder.join("units"))?;
    for unit in UNITS {
        std::fs::copy(deploy().join(unit), folder.join("units").join(unit))?;
    }
    std::fs::copy(porthole::binary()?, folder.join("porthole"))?;
    std::fs::copy(scripts.join("steps"), folder.join("steps"))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--uts", "--ipc", "--net"]);
    command.args(["--cgroup", "--kill-child", "bash"]).arg(scripts.join("boot")).arg(folder);
    let mut systemd = Program::start(scene, "systemd", &mut command)?;
    let findings = systemd.wait_for("the end of the steps", DEADLINE, |_| {
        let text = std::fs::read_to_string(folder.join("steps.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let is_over = lines.last().is_some_and(|line| line.starts_with("results"));
        Ok(is_over.then_some(lines))
    })?;
    // It has nothing to shut down but the namespaces, which end with it.
    systemd.kill()?;
    Ok(findings)
}
