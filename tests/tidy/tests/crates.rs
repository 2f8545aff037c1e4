//! A boundary is a crate and a check.

use porthole_tidy::{files, output, report, root};

/// Pure crates, which hold values only, and their folders.
const PURE: &[(&str, &str)] = &[
    ("porthole-clock", "clock/src/"),
    ("porthole-gateway-core", "gateway/core/src/"),
    ("porthole-metrics", "metrics/src/"),
    ("porthole-signaling-core", "signaling/core/src/"),
    ("porthole-signaling-proto", "signaling/proto/src/"),
    ("porthole-turn-proto", "turn-server/proto/src/"),
];

/// Dependencies that do I/O.
const IO_CRATES: &[&str] =
    &["tokio", "mio", "socket2", "async-io", "smol", "quinn-udp", "if-addrs"];

/// Names by which code does I/O, reads a clock, locks or waits.
const IO_NAMES: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "thread::spawn",
    "thread::sleep",
    "std::fs",
    "std::env",
    "std::process",
    "Mutex",
    "RwLock",
    "mpsc",
    "async fn",
];

/// Crates of ours that each crate may depend on. Only the program knows all components.
const MAY_USE: &[(&str, &[&str])] = &[
    ("porthole-clock", &[]),
    ("porthole-names", &[]),
    ("porthole-signaling-proto", &[]),
    ("porthole-turn-proto", &["porthole-clock"]),
    ("porthole-turn-fastpath", &[]),
    ("porthole-web", &[]),
    (
        "porthole-signaling-core",
        &["porthole-clock", "porthole-metrics", "porthole-signaling-proto"],
    ),
    (
        "porthole-signaling",
        &[
            "porthole-clock",
            "porthole-metrics",
            "porthole-signaling-core",
            "porthole-signaling-proto",
        ],
    ),
    ("porthole-signaling-bench", &["porthole-signaling", "porthole-signaling-proto"]),
    ("porthole-turn-server", &["porthole-clock", "porthole-turn-fastpath", "porthole-turn-proto"]),
    ("porthole-metrics", &[]),
    ("porthole-admin", &["porthole-metrics"]),
    (
        "porthole-turn-admin",
        &["porthole-admin", "porthole-metrics", "porthole-turn-proto", "porthole-turn-server"],
    ),
    ("porthole-turn-bench", &["porthole-turn-proto", "porthole-turn-server"]),
    (
        "porthole-gateway-core",
        &["porthole-metrics", "porthole-signaling-proto", "porthole-turn-proto"],
    ),
    (
        "porthole-gateway",
        &[
            "porthole-gateway-core",
            "porthole-metrics",
            "porthole-signaling-proto",
            "porthole-turn-proto",
        ],
    ),
    (
        "porthole-gateway-bench",
        &["porthole-gateway-core", "porthole-signaling-proto", "porthole-viewer"],
    ),
];

/// Returns the names of all dependencies of a crate that is built alone, without itself.
fn dependencies(package: &str, depth: &str) -> Vec<String> {
    let arguments = [
        &["tree", "--offline", "--locked", "--prefix", "none", "--edges", "normal"][..],
        &["--format", "{p}", "--package", package, "--depth", depth],
    ];
    let listed = output("cargo", &arguments.concat()).expect("cargo knows the crate");
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let mut names: Vec<_> = listed.lines().map(name).filter(|name| name != package).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn a_pure_crate_depends_on_nothing_that_does_io() {
    let mut complaints = Vec::new();
    for (package, _) in PURE {
        let all = dependencies(package, "99");
        let named = all.iter().filter(|name| IO_CRATES.contains(&name.as_str()));
        complaints.extend(named.map(|name| format!("{package} depends on {name}")));
    }
    report("Bytes, events and `now` go in, outputs come out; no runtime, no socket.", &complaints);
}

#[test]
fn a_pure_crate_does_no_io_and_reads_no_clock() {
    let mut complaints = Vec::new();
    for file in files().unwrap().iter().filter(|file| !file.is_test()) {
        if !PURE.iter().any(|(_, folder)| file.path.starts_with(folder)) {
            continue;
        }
        for (number, line) in file.code() {
            let named = IO_NAMES.iter().filter(|name| line.contains(**name));
            complaints.extend(named.map(|name| format!("{}:{number} names {name}", file.path)));
        }
    }
    report("A core is a value: no clock, socket, task, lock or channel inside.", &complaints);
}

#[test]
fn a_component_knows_only_what_it_may() {
    let mut complaints = Vec::new();
    for (package, allowed) in MAY_USE {
        let all = dependencies(package, "1");
        let ours = all.iter().filter(|name| name.starts_with("porthole"));
        let foreign = ours.filter(|name| !allowed.contains(&name.as_str()));
        complaints.extend(foreign.map(|name| format!("{package} depends on {name}")));
    }
    report(
        "Components meet in their `proto` crates; only the program knows them all.",
        &complaints,
    );
}

/// Complains about every line of code, outside tests and `home`, that contains one of `words`.
fn confined(folders: &[&str], words: &[&str], home: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files().expect("git lists the files") {
        let within = folders.iter().any(|folder| file.path.starts_with(folder));
        if !within || !file.has_extension(&["rs"]) || file.is_test() || home(&file.path) {
            continue;
        }
        for (number, line) in file.code() {
            let line = line.to_ascii_lowercase();
            let named = words.iter().filter(|word| line.contains(**word));
            complaints.extend(named.map(|word| format!("{}:{number} names {word}", file.path)));
        }
    }
    complaints
}

#[test]
fn only_the_signaling_protocol_knows_the_json() {
    let folders = ["gateway/", "signaling/core/", "turn-server/"];
    report(
        "JSON is read and written in signaling/proto; others may pass a value on.",
        &confined(&folders, &["json!", "serde_json::from_", "serde_json::to_"], |path| {
            // Requests to other gateways, the report and the file of cameras are not the protocol.
            path.starts_with("gateway/bench/")
                || ["gateway/core/src/store/format.rs", "turn-server/bench/src/report.rs"]
                    .contains(&path)
        }),
    );
}

#[test]
fn only_the_turn_protocol_knows_the_bytes_of_stun() {
    let home = |path: &str| path.starts_with("turn-server/proto/");
    report(
        "STUN is read and written in turn-server/proto.",
        &confined(
            &["src/", "gateway/", "signaling/", "turn-server/"],
            &["2112_a442", "2112a442"],
            home,
        ),
    );
}

#[test]
fn only_one_module_names_the_engine() {
    let home = |path: &str| path.starts_with("gateway/core/src/dtls_srtp");
    report(
        "Only gateway/core/src/dtls_srtp names the WebRTC engine, so that it can be replaced.",
        &confined(
            &["src/", "gateway/", "signaling/"],
            &["use rtc", " rtc::", "(rtc::", "<rtc::"],
            home,
        ),
    );
}

#[test]
fn the_transport_knows_no_descriptions_and_no_cameras() {
    report(
        "gateway/core/src/transport.rs serves every owner: the session reads SDP and knows media.",
        &confined(
            &["gateway/core/src/transport"],
            &["crate::sdp", "crate::session", "crate::camera", "crate::media", "crate::rtp"],
            |_| false,
        ),
    );
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    /// Crates without them, each with its reason.
    const EXCEPT: &[(&str, &str)] =
        &[("names", "it calls one function of the C library that no crate has")];
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let workspace: toml::Table = text.parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap().iter();
    let folders = members.map(|member| member.as_str().unwrap()).chain(["."]);
    let lacking = folders.filter(|folder| {
        let text = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        inherits.and_then(toml::Value::as_bool) != Some(true)
            && !EXCEPT.iter().any(|(except, _reason)| except == folder)
    });
    let complaints: Vec<_> = lacking.map(|folder| format!("{folder}/Cargo.toml")).collect();
    report("Each manifest ends with `[lints] workspace = true`.", &complaints);
}

#[test]
fn every_library_warns_about_missing_documentation() {
    let lacks = |file: &porthole_tidy::File| !file.text.contains("#![warn(missing_docs)]");
    let libraries = files().unwrap().into_iter().filter(|file| file.path.ends_with("src/lib.rs"));
    let complaints: Vec<_> = libraries.filter(lacks).map(|file| file.path).collect();
    report("A library begins with `#![warn(missing_docs)]`.", &complaints);
}
