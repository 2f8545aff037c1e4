//! Every mode in a small size: what it says makes sense. Times are not looked at: other programs
//! run beside.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::scene::{Need, scene};
use serde_json::Value;

/// One mode has the machine for itself: each of them takes what it can get, and would take it from
/// the relay that must lose nothing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a mode; it fails by itself if what it measures is not as it must be.
fn bench(arguments: &[&str]) -> Value {
    // What failed before says nothing about this one.
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole-turn-bench"));
    let output = command.args(arguments).output().expect("the benchmark runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_table_has_a_value_for_every_measurement() {
    let small = ["--servers", "porthole", "--seconds", "0.1", "--repetitions", "1", "--no-pin"];
    let few = ["--allocations", "100"];
    let arguments = [&["compare", "--json"][..], &small, &few].concat();
    let table = bench(&arguments);
    let lines = table["lines"].as_array().expect("lines");
    // The system counts time in ticks and memory in pages: little may be nothing.
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
fn the_turn_crate_stands_beside_ours() {
    scene("the_turn_crate_stands_beside_ours", &[], |_| beside_ours("turn-crate", "turn crate 0"));
}

#[test]
fn coturn_stands_beside_ours() {
    let needs = [Need::Tool("turnserver")];
    scene("coturn_stands_beside_ours", &needs, |_| beside_ours("coturn", "coturn 4"));
}

/// One short case, with both columns, and with the other one's version.
fn beside_ours(other: &str, version: &str) -> Result<()> {
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

#[test]
fn a_flood_from_100_000_addresses_costs_no_memory_and_no_packet_of_a_relay() {
    // Slowly: other programs may take the server's core away for half a second.
    let report = bench(&["flood", "--json", "--no-pin", "--rate", "10000"]);
    assert_eq!(report["strangers"], 100_000);
    assert_eq!(report["lost"], 0);
    assert!(report["relayed"].as_u64().expect("a number") > 5_000, "{report}");
    for kind in report["kinds"].as_array().expect("kinds") {
        assert!(kind["sent"].as_u64().expect("a number") > 8_000, "{kind}");
        let is_question = kind["kind"] == "binding" || kind["kind"] == "allocate";
        assert!(!is_question || kind["answers"] != 0, "the server does not see it: {kind}");
    }
}

#[test]
fn ports_quota_and_memory_of_10_000_allocations_come_back() {
    let needs = [Need::OpenFiles(10_100)];
    scene("ports_quota_and_memory_of_10_000_allocations_come_back", &needs, |_| {
        let how = ["--json", "--no-pin", "--hold", "4", "--allocations", "10000"];
        let report = bench(&[&["soak"][..], &how].concat());
        let timeline = report["timeline"].as_array().context("a timeline")?;
        let most = timeline.iter().filter_map(|moment| moment["descriptors"].as_u64()).max();
        ensure!(most > Some(10_000), "each allocation has a socket: {report}");
        Ok(())
    });
}
