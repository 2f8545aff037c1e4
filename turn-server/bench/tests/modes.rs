//! Every mode in a small size: what it says makes sense. Times are not looked at: other tests run
//! beside.

use std::process::Command;

fn bench(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole-turn-bench"));
    let output = command.args(arguments).output().expect("the benchmark runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_table_has_a_value_for_every_measurement() {
    let small = ["--servers", "porthole", "--seconds", "0.1", "--repetitions", "1", "--no-pin"];
    let few = ["--allocations", "100"];
    let arguments = [&["compare", "--json"][..], &small, &few].concat();
    let table: serde_json::Value = serde_json::from_str(&bench(&arguments)).expect("JSON");
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
