//! No wrong camera at a small scale: the large run is a command in
//! `docs/ref/signaling-benchmark.md`.

use std::process::Command;

use anyhow::{Context as _, ensure};
use porthole_test_support::porthole::binary;
use porthole_test_support::scene::{Need, report, scene};

#[test]
fn nothing_reaches_the_wrong_peer_over_real_connections() {
    scene("nothing_reaches_the_wrong_peer_over_real_connections", &[Need::Program], |_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_porthole-signaling-bench"));
        command.arg("--porthole").arg(binary()?);
        command.args(["--gateways", "60", "--whose-camera", "120"]);
        let output = command.output().context("the benchmark runs")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        for line in said.lines() {
            report(line);
        }
        ensure!(said.contains(" 0 wrong") && said.contains("3 restarts"), "{said}");
        Ok(())
    });
}
