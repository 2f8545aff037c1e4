//! The alert rules and the boards: they name metrics that exist, and alerts fire when they must.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::scene::{Need, scene};
use serde_json::Value;

use crate::{repository, run};

const RULES: &str = "deploy/prometheus/porthole.rules.yml";
const BOARDS: [&str; 2] = ["deploy/grafana/porthole.json", "deploy/grafana/porthole-turn.json"];
/// Fewer panels than each board has.
const MIN_EXPRESSIONS: usize = 10;

#[test]
fn each_alert_fires_in_its_trouble_and_none_without() {
    let name = "each_alert_fires_in_its_trouble_and_none_without";
    scene(name, &[Need::Tool("promtool")], |scene| {
        let folder = scene.folder();
        let tests = repository().join("tests/program/packages/alerts.test.yml");
        std::fs::copy(repository().join(RULES), folder.join("porthole.rules.yml"))?;
        std::fs::copy(tests, folder.join("alerts.test.yml"))?;
        run(Command::new("promtool").args(["check", "rules"]).arg(repository().join(RULES)))?;
        let mut test = Command::new("promtool");
        run(test.args(["test", "rules", "alerts.test.yml"]).current_dir(folder))?;
        // The test of every alert is in the file, so that a new one is not forgotten.
        let tests = std::fs::read_to_string(folder.join("alerts.test.yml"))?;
        let rules = std::fs::read_to_string(folder.join("porthole.rules.yml"))?;
        let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
        for alert in alerts {
            ensure!(tests.contains(&format!("{{alertname=\"{alert}\"}}")), "{alert} never fires");
        }
        Ok(())
    });
}

#[test]
fn the_boards_ask_what_prometheus_understands() {
    let name = "the_boards_ask_what_prometheus_understands";
    scene(name, &[Need::Tool("promtool")], |scene| {
        let mut rules = String::from("groups:\n  - name: boards\n    rules:\n");
        let mut expressions = Vec::new();
        for board in BOARDS {
            let found = expressions_of(board)?;
            ensure!(found.len() >= MIN_EXPRESSIONS, "{board} has {} expressions", found.len());
            expressions.extend(found);
        }
        for (number, expression) in expressions.iter().enumerate() {
            let expression = expression.replace("$__rate_interval", "5m");
            rules += &format!("      - record: panel:{number}\n        expr: '{expression}'\n");
        }
        let file = scene.folder().join("boards.yml");
        std::fs::write(&file, rules)?;
        run(Command::new("promtool").args(["check", "rules"]).arg(file)).map(drop)
    });
}

#[test]
fn the_alerts_and_the_boards_name_metrics_that_exist() {
    let documented = std::fs::read_to_string(repository().join("docs/ref/metrics.md")).unwrap();
    let alerts = std::fs::read_to_string(repository().join(RULES)).unwrap();
    let boards: String = BOARDS.iter().flat_map(|board| expressions_of(board).unwrap()).collect();
    let named: Vec<_> = words(&alerts).chain(words(&boards)).collect();
    assert!(named.len() >= MIN_EXPRESSIONS, "{named:?}");
    for metric in named {
        // A histogram has one row for its buckets, their number and their sum.
        let metric = metric.trim_end_matches("_bucket");
        assert!(documented.contains(&format!("| `{metric}` |")), "{metric} is not documented");
    }
}

/// Returns the names of metrics in a text, each once.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics = words.filter(|word| word.starts_with("porthole_"));
    metrics.map(str::to_owned).collect::<BTreeSet<_>>().into_iter()
}

/// Returns the expressions of all panels of a board.
fn expressions_of(board: &str) -> Result<Vec<String>> {
    let board: Value = serde_json::from_slice(&std::fs::read(repository().join(board))?)?;
    let panels = board["panels"].as_array().context("it has no panels")?;
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    Ok(targets.filter_map(|target| target["expr"].as_str().map(str::to_owned)).collect())
}
