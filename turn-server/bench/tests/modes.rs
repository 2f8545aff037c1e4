//! Every mode at a small scale, with plausible results. Times are not checked: other programs run
//! at the same time.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::scene::{Need, scene};
use serde_json::Value;

/// Lock so that one mode runs at a time: each takes all the CPU it can get, which could make the
/// flood lose relayed packets.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a mode, which fails if a measurement is not as required.
fn bench(arguments: &[&str]) -> Value {
    // A test that panicked while holding the lock does not matter here.
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole-turn-bench"));
    let output = command.args(arguments).output().expect("the benchmark runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_table_has_a_value_for_every_measurement() {
    let small = ["--servers", "porthole", "--seconds", "0.1", "--repetitions", "1", "--no-pin"];
    let few = ["--allocations", "100"];
    let arguments = [&["compare", "--json"][..], &small, &few].concat();
    let table = bench(&arguments);
    let lines = table["lines"].as_array().expect("lines");
    // The system counts time in ticks and memory in pages: small values may be zero.
    for (measured, may_be_zero) in [
        ("CPU per packet, 1 flows, 160 B", true),
        ("CPU per packet, 1000 flows, 1200 B", true),
        ("CPU per packet, bursts of 8 × 1200 B, receivers: GRO", true),
        ("authenticated Allocates per second", false),
        ("memory per allocation with a channel, 100", true),
        ("packets lost, 20 000/s of 1000 B, 50 ms stalls", true),
        ("favoured direction at saturation", false),
        ("latency p99 at 2000 packets/s", false),
    ] {
        let line = lines.iter().find(|line| line["title"] == measured);
        let line = line.unwrap_or_else(|| panic!("no {measured:?} in {table}"));
        let value = line["results"][0]["values"][0].as_f64().expect("a value");
        assert!(value.is_finite() && (value > 0.0 || may_be_zero), "{measured}: {value}");
    }
}

#[test]
fn the_turn_crate_is_measured_beside_ours() {
    scene("the_turn_crate_is_measured_beside_ours", &[], |_| {
        measures_both("turn-crate", "turn crate 0")
    });
}

#[test]
fn coturn_is_measured_beside_ours() {
    let needs = [Need::Tool("turnserver")];
    scene("coturn_is_measured_beside_ours", &needs, |_| measures_both("coturn", "coturn 4"));
}

/// Runs one short case, which must have both columns and the version of the other server.
fn measures_both(other: &str, version: &str) -> Result<()> {
    let servers = format!("{other},porthole");
    let arguments = ["compare", "--json", "--servers", &servers, "--only", "relay 10 flows 160 B"];
    let small = ["--seconds", "0.1", "--repetitions", "1", "--no-pin"];
    let table = bench(&[&arguments[..], &small].concat());
    ensure!(table["failures"] == serde_json::json!([]), "{table}");
    let results = table["lines"][0]["results"].as_array().context("results")?;
    let servers: Vec<_> = results.iter().map(|result| result["server"].as_str()).collect();
    ensure!(servers == [Some(other), Some("porthole")], "{table}");
    for result in results {
        ensure!(result["values"].as_array().map(Vec::len) == Some(1), "{table}");
    }
    let conditions = table["conditions"].as_array().context("conditions")?;
    let is_named = |line: &Value| line.as_str().is_some_and(|line| line.starts_with(version));
    ensure!(conditions.iter().any(is_named), "{table}");
    Ok(())
}

/// Takes about 11 s.
#[test]
fn a_flood_from_100_000_addresses_takes_no_memory_and_loses_no_relayed_packet() {
    // Slowly: other programs may occupy the server's core for half a second.
    let report = bench(&["flood", "--json", "--no-pin", "--rate", "10000"]);
    assert_eq!(report["strangers"], 100_000);
    assert_eq!(report["lost"], 0);
    assert!(report["relayed"].as_u64().expect("a number") > 5_000, "{report}");
    for kind in report["kinds"].as_array().expect("kinds") {
        assert!(kind["sent"].as_u64().expect("a number") > 8_000, "{kind}");
        let is_request = kind["kind"] == "binding" || kind["kind"] == "allocate";
        assert!(!is_request || kind["answers"] != 0, "the server did not receive it: {kind}");
    }
}

/// Takes about 11 s.
#[test]
fn ports_quota_and_memory_of_10_000_allocations_are_freed() {
    let needs = [Need::OpenFiles(10_100)];
    scene("ports_quota_and_memory_of_10_000_allocations_are_freed", &needs, |_| {
        let options = ["--json", "--no-pin", "--hold", "4", "--allocations", "10000"];
        let report = bench(&[&["soak"][..], &options].concat());
        let timeline = report["timeline"].as_array().context("a timeline")?;
        let most = timeline.iter().filter_map(|moment| moment["descriptors"].as_u64()).max();
        ensure!(most > Some(10_000), "each allocation has a socket: {report}");
        Ok(())
    });
}
