//! `porthole bench signal`, and no wrong camera, at a small scale: the large runs are commands in
//! `docs/ref/signaling-benchmark.md`.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::binary;
use porthole_test_support::scene::{Need, report, scene};

/// Runs the command with these arguments. Returns its output, and what it said as text.
fn bench(arguments: &[&str]) -> Result<(Output, String)> {
    let mut command = Command::new(binary()?);
    command.args(["bench", "signal"]).args(arguments);
    run(&mut command)
}

fn run(command: &mut Command) -> Result<(Output, String)> {
    let output = command.output().context("the benchmark runs")?;
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    let said = said.concat();
    Ok((output, said))
}

#[test]
fn nothing_reaches_the_wrong_peer_over_real_connections() {
    scene("nothing_reaches_the_wrong_peer_over_real_connections", &[Need::Program], |_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_porthole-signaling-bench"));
        command.arg("--porthole").arg(binary()?);
        let (output, said) = run(command.args(["--gateways", "60", "--whose-camera", "120"]))?;
        ensure!(output.status.success(), "{said}");
        for line in said.lines() {
            report(line);
        }
        ensure!(said.contains(" 0 wrong") && said.contains("3 restarts"), "{said}");
        Ok(())
    });
}

#[test]
fn bench_signal_prints_the_memory_of_a_connection_and_the_times_of_set_ups() {
    let name = "bench_signal_prints_the_memory_of_a_connection_and_the_times_of_set_ups";
    scene(name, &[Need::Program], |_| {
        let few = ["--gateways", "150", "--rate", "20", "--seconds", "1", "--calm", "0"];
        let (output, said) = bench(&few)?;
        ensure!(output.status.success(), "{said}");
        for line in said.lines() {
            report(line);
        }
        for expected in [
            "150 gateways have enrolled and registered",
            "memory of each idle connection: ",
            " set-ups at 20 a second, 0 refused;",
            ": p50 ",
            ", p99 ",
            "all are back ",
        ] {
            ensure!(said.contains(expected), "{expected}: {said}");
        }
        Ok(())
    });
}

#[test]
fn bench_signal_refuses_what_cannot_be_with_what_to_do() {
    let name = "bench_signal_refuses_what_cannot_be_with_what_to_do";
    scene(name, &[Need::Program], |_| {
        let table: [(&[&str], &str); 3] = [
            (&["--gateways", "1000000"], "or raise the limit (`ulimit -Hn`)"),
            (&["--porthole", "no-such-program"], "name another with --porthole"),
            (&["--gateways", "many"], "invalid value"),
        ];
        for (arguments, expected) in table {
            let (output, said) = bench(arguments)?;
            ensure!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
        }
        Ok(())
    });
}
