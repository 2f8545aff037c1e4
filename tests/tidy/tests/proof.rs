//! The proofs that documents claim exist: every row of their tables names tests that exist, and
//! every rule and advisory has a test that is named after it.

use porthole_tidy::{files, report, root};

const SAFETY: &str = "docs/ref/turn-safety.md";
const PROOFS: [&str; 6] = [
    "docs/ref/turn.md",
    SAFETY,
    "docs/ref/cameras.md",
    "docs/design/threat-model.md",
    "docs/guide/coming-from-coturn.md",
    "docs/guide/coming-from-go2rtc.md",
];
/// The header of the last column of a table with proofs.
const PROVED: &str = "| proved by |";
/// A document with fewer rows has lost a table, or it is not parsed correctly.
const MIN_ROWS: usize = 20;

#[test]
fn r15_every_row_of_a_proof_names_a_test_that_is_there() {
    let mut complaints = Vec::new();
    for document in PROOFS {
        for row in rows(document) {
            let tests = tests_of(&row);
            if tests.is_empty() {
                complaints.push(format!("{document}: no test in {row}"));
            }
            let missing = tests.iter().filter(|test| !is_a_test(test));
            complaints.extend(missing.map(|test| format!("{document}: there is no {test}")));
        }
    }
    report("Every row names the tests that prove it, as `path::function`.", &complaints);
}

#[test]
fn r15_every_rule_and_every_advisory_has_a_test_that_is_named_after_it() {
    let mut complaints = Vec::new();
    for row in rows(SAFETY) {
        let name = row.split('|').nth(1).unwrap_or_default();
        let prefix = prefix(name);
        let functions = tests_of(&row).into_iter().filter_map(|test| test.split("::").nth(1));
        if !functions.into_iter().any(|function| function.starts_with(&prefix)) {
            complaints.push(format!("{SAFETY}: no test of {} begins with {prefix}", name.trim()));
        }
    }
    report("Every rule and advisory has a test that is named after it.", &complaints);
}

/// The findings of the audit of the signaling server, S1 to S15.
#[test]
fn every_finding_of_the_audit_has_a_test_that_is_named_after_it() {
    let files = files().expect("the files of the repository");
    let tests: Vec<_> = files
        .iter()
        .filter(|file| file.has_extension(&["rs"]))
        .flat_map(|file| file.text.lines().map(str::trim))
        .filter_map(|line| line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn "))
        .collect();
    let has = |number| tests.iter().any(|name| name.starts_with(&format!("s{number}_")));
    let missing = (1..=15).filter(|number| !has(*number));
    let complaints: Vec<_> =
        missing.map(|number| format!("no test begins with s{number}_")).collect();
    report("Every finding has a test that is named after it.", &complaints);
}

/// Honesty about a hostile server, whose powers are no secret.
#[test]
fn s6_the_documents_say_that_a_hacked_server_can_watch_and_sit_in_the_middle() {
    for document in ["SECURITY.md", "docs/design/threat-model.md"] {
        let text = std::fs::read_to_string(root().join(document)).expect("the document");
        for part in ["can watch", "can sit in the middle"] {
            assert!(text.replace("**", "").contains(part), "{document} does not say: {part}");
        }
    }
}

#[test]
fn a_name_becomes_the_beginning_of_a_function() {
    for (name, wanted) in [
        (" R7 ", "r7_"),
        (" CVE-2026-43994 (coturn) ", "cve_2026_43994_"),
        (" coturn #780 ", "coturn_780_"),
    ] {
        assert_eq!(prefix(name), wanted);
    }
}

/// Returns how the names of tests begin for a rule or an advisory, without the product in brackets.
fn prefix(name: &str) -> String {
    let name = name.split('(').next().unwrap_or_default().to_lowercase();
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.flat_map(|word| [word, "_"]).collect()
}

/// Returns the rows of all tables with a column of proofs, without their headers.
fn rows(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).expect("the document");
    let mut rows = Vec::new();
    let mut proves = false;
    for line in text.lines() {
        if line.ends_with(PROVED) {
            proves = true;
        } else if !line.starts_with('|') {
            proves = false;
        } else if proves && !line.starts_with("|---") {
            rows.push(line.to_owned());
        }
    }
    assert!(rows.len() >= MIN_ROWS, "{document} has {} rows", rows.len());
    rows
}

fn tests_of(row: &str) -> Vec<&str> {
    row.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains(".rs::")).collect()
}

/// Returns true if the function exists and has `#[test]` above it.
fn is_a_test(place: &str) -> bool {
    let Some((path, name)) = place.split_once("::") else { return false };
    let Ok(text) = std::fs::read_to_string(root().join(path)) else { return false };
    let mut is_marked = false;
    for line in text.lines().map(str::trim) {
        let line = line.strip_prefix("async ").unwrap_or(line);
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_marked = true;
        } else if line.starts_with("fn ") {
            let found = line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name));
            if is_marked && found.is_some_and(|rest| rest.starts_with('(')) {
                return true;
            }
            is_marked = false;
        }
    }
    false
}

#[test]
fn r13_the_services_run_with_the_least_rights() {
    const LEAST: [&str; 10] = [
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateDevices=yes",
        "PrivateTmp=yes",
        "MemoryDenyWriteExecute=yes",
        "RestrictNamespaces=yes",
        "SystemCallFilter=@system-service",
        "SystemCallArchitectures=native",
    ];
    let mut complaints = Vec::new();
    for unit in ["deploy/porthole.service", "deploy/porthole-gateway.service"] {
        let text = std::fs::read_to_string(root().join(unit)).expect("the unit");
        let lacking = LEAST.iter().filter(|setting| !text.lines().any(|line| line == **setting));
        complaints.extend(lacking.map(|setting| format!("{unit} lacks {setting}")));
    }
    report("A service has no right that it does not need.", &complaints);
}

#[test]
fn the_services_make_the_folders_of_the_sockets_that_the_guide_names() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("the file");
    let guide = read("docs/guide/README.md");
    let mut complaints = Vec::new();
    for service in ["porthole", "porthole-gateway"] {
        let unit = format!("deploy/{service}.service");
        let folder = format!("RuntimeDirectory={service}");
        if !read(&unit).lines().any(|line| line == folder) {
            complaints.push(format!("{unit} lacks {folder}"));
        }
        if !guide.contains(&format!("unix:/run/{service}/admin.sock")) {
            complaints.push(format!("the guide names no socket of {service}"));
        }
    }
    report("The recommended socket can be made.", &complaints);
}

/// The rights for the fast path are apart, for those who want it.
#[test]
fn r13_the_fast_path_needs_two_capabilities_and_a_system_call() {
    const CAPABILITIES: &str = "CAP_BPF CAP_NET_ADMIN";
    let unit = "deploy/porthole.service.d/fast-path.conf";
    let text = std::fs::read_to_string(root().join(unit)).expect("the drop-in");
    let settings: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let ambient = format!("AmbientCapabilities={CAPABILITIES}");
    let bounding = format!("CapabilityBoundingSet={CAPABILITIES}");
    assert_eq!(settings, ["[Service]", &*ambient, &*bounding, "SystemCallFilter=bpf"]);
}
