//! A strict reader of metrics in the text format of Prometheus, and their reference.

use std::collections::{BTreeMap, BTreeSet};

/// Labels that would have values which a client, a camera or a gateway chooses.
const FORBIDDEN: [&str; 10] = [
    "user",
    "username",
    "client",
    "peer_address",
    "address",
    "session",
    "camera",
    "gateway",
    "name",
    "id",
];
/// The most series of one component.
const MAX_SERIES: usize = 200;

/// A family of metrics, as a text has it.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    has_samples: bool,
    labels: BTreeSet<String>,
    values: BTreeSet<String>,
    /// The last cumulative number of a histogram's buckets.
    bucket: f64,
    has_infinity: bool,
}

/// Returns what is wrong with a text of metrics whose names begin with `prefix`, and where it
/// differs from the tables of its reference: each name with its type and its labels, each value of
/// a label in backquotes.
#[must_use]
pub fn complaints(text: &str, prefix: &str, reference: &str) -> Vec<String> {
    let mut reader = Reader::default();
    for line in text.lines() {
        reader.read(line, prefix);
    }
    reader.compare(prefix, reference);
    reader.complaints
}

#[derive(Debug, Default)]
struct Reader {
    families: BTreeMap<String, Family>,
    series: BTreeSet<String>,
    described: Option<String>,
    current: String,
    complaints: Vec<String>,
}

impl Reader {
    fn complain(&mut self, line: &str, why: &str) {
        self.complaints.push(format!("{line}: {why}"));
    }

    fn read(&mut self, line: &str, prefix: &str) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            if help.len() < 8 || !help.ends_with('.') {
                self.complain(line, "a help is a sentence");
            }
            self.described = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            self.begin(line, rest, prefix);
        } else {
            self.sample(line);
        }
    }

    fn begin(&mut self, line: &str, rest: &str, prefix: &str) {
        let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
        if self.described.take().as_deref() != Some(name) {
            self.complain(line, "its help must stand before it");
        }
        let is_plain =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !is_plain || !name.starts_with(prefix) {
            self.complain(line, "the name is not one of ours");
        }
        let fits = match kind {
            "counter" => name.ends_with("_total"),
            "histogram" => name.ends_with("_seconds"),
            "gauge" => !name.ends_with("_total"),
            _ => false,
        };
        if !fits {
            self.complain(line, "the name does not end as its type demands");
        }
        let family = Family { kind: kind.to_owned(), ..Family::default() };
        if self.families.insert(name.to_owned(), family).is_some() {
            self.complain(line, "it is there twice");
        }
        name.clone_into(&mut self.current);
    }

    fn sample(&mut self, line: &str) {
        let Some((series, value)) = line.rsplit_once(' ') else {
            return self.complain(line, "it has no value");
        };
        let Some(value) = value.parse::<f64>().ok().filter(|it| it.is_finite() && *it >= 0.0)
        else {
            return self.complain(line, "its value is no number");
        };
        if !self.series.insert(series.to_owned()) {
            self.complain(line, "the series is there twice");
        }
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let current = self.current.clone();
        let suffix = name.strip_prefix(current.as_str());
        let mut wrong = Vec::new();
        let Some(family) = self.families.get_mut(&current) else {
            return self.complain(line, "its type must stand before it");
        };
        match (family.kind.as_str(), suffix) {
            ("histogram", Some("_bucket" | "_sum" | "_count"))
            | ("counter" | "gauge", Some("")) => {}
            _ => wrong.push("it stands in another family"),
        }
        family.has_samples = true;
        for pair in labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once('=').unwrap_or((pair, ""));
            if FORBIDDEN.contains(&label) {
                wrong.push("others choose the values of this label");
            }
            if label == "le" {
                family.has_infinity |= value == "\"+Inf\"";
            } else {
                family.labels.insert(label.to_owned());
                family.values.insert(value.trim_matches('"').to_owned());
            }
        }
        if suffix == Some("_bucket") {
            if value < family.bucket {
                wrong.push("a bucket has less than the one before");
            }
            family.bucket = value;
        }
        if suffix == Some("_count") && (!family.has_infinity || family.bucket != value) {
            wrong.push("the last bucket does not have all");
        }
        wrong.into_iter().for_each(|why| self.complain(line, why));
    }

    fn compare(&mut self, prefix: &str, reference: &str) {
        if self.series.len() > MAX_SERIES {
            self.complaints.push(format!("{} series are too many", self.series.len()));
        }
        let shown: BTreeSet<String> = self
            .families
            .iter()
            .map(|(name, family)| {
                let labels: Vec<_> = family.labels.iter().map(String::as_str).collect();
                format!("{name} {} {}", family.kind, labels.join(" "))
            })
            .collect();
        let documented: BTreeSet<String> =
            reference.lines().filter_map(|line| documented(line, prefix)).collect();
        for lacking in shown.difference(&documented) {
            self.complaints.push(format!("the reference lacks: {lacking}"));
        }
        for unknown in documented.difference(&shown) {
            self.complaints.push(format!("the reference has, and nothing else: {unknown}"));
        }
        for (name, family) in &self.families {
            if !family.has_samples {
                self.complaints.push(format!("{name} has no samples"));
            }
            let is_lacking = |value: &&String| !reference.contains(&format!("`{value}`"));
            for value in family.values.iter().filter(is_lacking) {
                self.complaints.push(format!("the reference lacks the value `{value}` of {name}"));
            }
        }
    }
}

/// Reads a row of a reference: name, type and labels.
fn documented(line: &str, prefix: &str) -> Option<String> {
    let rest = line.strip_prefix("| `").filter(|rest| rest.starts_with(prefix))?;
    let mut cells = rest.split('|').map(str::trim);
    let name = cells.next()?.trim_end_matches('`');
    let kind = cells.next()?;
    let labels: BTreeSet<_> = cells.next()?.split('`').skip(1).step_by(2).collect();
    Some(format!("{name} {kind} {}", labels.into_iter().collect::<Vec<_>>().join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_open Open things.\n# TYPE a_open gauge\na_open 1\n\
        # HELP a_made_total Things made.\n# TYPE a_made_total counter\n\
        a_made_total{by=\"hand\"} 2\n\
        # HELP a_wait_seconds Time waited.\n# TYPE a_wait_seconds histogram\n\
        a_wait_seconds_bucket{le=\"1\"} 1\na_wait_seconds_bucket{le=\"+Inf\"} 3\n\
        a_wait_seconds_sum 2.5\na_wait_seconds_count 3\n";
    const REFERENCE: &str = "| `a_open` | gauge | | open |\n\
        | `a_made_total` | counter | `by` | made, by `hand` |\n\
        | `a_wait_seconds` | histogram | | waited |";

    #[test]
    fn what_is_wrong_with_metrics_is_found() {
        assert_eq!(complaints(GOOD, "a_", REFERENCE), [""; 0]);
        for (from, to, why) in [
            ("# HELP a_open Open things.\n", "", "its help must stand before it"),
            ("# TYPE a_open gauge\n", "", "its type must stand before it"),
            ("a_made_total{", "a_open{", "it stands in another family"),
            ("a_open 1", "a_open one", "its value is no number"),
            ("a_open 1\n", "a_open 1\na_open 1\n", "the series is there twice"),
            ("by=", "user=", "others choose the values of this label"),
            ("le=\"+Inf\"} 3", "le=\"+Inf\"} 2", "the last bucket does not have all"),
            ("le=\"1\"} 1", "le=\"1\"} 9", "a bucket has less than the one before"),
            ("a_made_total counter", "a_made_total gauge", "does not end as its type demands"),
            ("hand", "machine", "lacks the value `machine`"),
        ] {
            let found = complaints(&GOOD.replacen(from, to, 1), "a_", REFERENCE);
            assert!(found.iter().any(|found| found.contains(why)), "{to}: {found:?}");
        }
        let short = REFERENCE.replace("| `a_open`", "| `b_open`");
        assert_eq!(complaints(GOOD, "a_", &short), ["the reference lacks: a_open gauge "]);
        let long = format!("{REFERENCE}\n| `a_shut` | gauge | | shut |");
        let found = complaints(GOOD, "a_", &long);
        assert_eq!(found, ["the reference has, and nothing else: a_shut gauge "]);
    }
}
