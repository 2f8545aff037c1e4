//! The table of results: medians, ratios to coturn, and targets.

use serde::Serialize;

use crate::under_test::Contender;

/// The key of one line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) wanted: Wanted,
}

impl Row {
    pub(crate) fn new(title: String, unit: &'static str) -> Self {
        Self { title, unit, wanted: Wanted::Nothing }
    }

    pub(crate) fn wanted(self, wanted: Wanted) -> Self {
        Self { wanted, ..self }
    }
}

/// The target of our server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wanted {
    Nothing,
    /// At most this multiple of the value of coturn.
    Ratio(f64),
    AtMost(f64),
    AtLeast(f64),
}

impl Wanted {
    fn text(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Ratio(ratio) => format!("≤ {ratio}×"),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::AtLeast(least) => format!("≥ {least}"),
        }
    }

    fn is_met(self, ours: Option<f64>, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::Nothing => None,
            Self::Ratio(most) => ratio.map(|ratio| ratio <= most),
            Self::AtMost(most) => ours.map(|ours| ours <= most),
            Self::AtLeast(least) => ours.map(|ours| ours >= least),
        }
    }
}

/// The results of all measurements.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    /// The conditions of the measurement.
    pub(crate) conditions: Vec<String>,
    #[serde(skip)]
    contenders: Vec<Contender>,
    lines: Vec<Line>,
    /// Cases in which a foreign server failed.
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    row: Row,
    results: Vec<Results>,
}

#[derive(Debug, Serialize)]
struct Results {
    server: Contender,
    values: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct Failure {
    server: Contender,
    case: String,
    /// The number of repetitions that failed.
    times: usize,
    /// The error of the first failure.
    reason: String,
}

impl Table {
    pub(crate) fn new(conditions: Vec<String>, contenders: &[Contender]) -> Self {
        Self {
            conditions,
            contenders: contenders.to_vec(),
            lines: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, contender: Contender, row: Row, value: f64) {
        let found = self.lines.iter().position(|line| line.row == row);
        let index = found.unwrap_or_else(|| {
            let results =
                self.contenders.iter().map(|c| Results { server: *c, values: Vec::new() });
            self.lines.push(Line { row, results: results.collect() });
            self.lines.len() - 1
        });
        let line = self.lines.get_mut(index);
        let results = line.and_then(|l| l.results.iter_mut().find(|r| r.server == contender));
        if let Some(results) = results {
            results.values.push(value);
        }
    }

    /// Records a failure, which is printed below the table.
    pub(crate) fn fail(&mut self, server: Contender, case: String, reason: String) {
        let mut known = self.failures.iter_mut();
        match known.find(|failure| failure.server == server && failure.case == case) {
            Some(failure) => failure.times += 1,
            None => self.failures.push(Failure { server, case, times: 1, reason }),
        }
    }

    /// Returns the titles of missed targets.
    pub(crate) fn missed(&self) -> Vec<&str> {
        let missed = self.lines.iter().filter(|line| line.is_met() == Some(false));
        missed.map(|line| line.row.title.as_str()).collect()
    }

    /// Formats the table as text.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut cells = vec![self.head()];
        cells.extend(self.lines.iter().map(Line::cells));
        let columns = cells.first().map_or(0, Vec::len);
        let width = |column| {
            let widths = cells.iter().filter_map(|row: &Vec<String>| row.get(column));
            widths.map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let aligned = |row: &Vec<String>| {
            let cell = |(column, (cell, width)): (usize, (&String, &usize))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            };
            let line: String = row.iter().zip(&widths).enumerate().map(cell).collect();
            line.trim_end().to_owned()
        };
        let blank = [String::new()];
        let table = cells.iter().map(aligned).chain(self.failures.iter().map(Failure::text));
        self.conditions.iter().cloned().chain(blank).chain(table).collect()
    }

    fn head(&self) -> Vec<String> {
        let servers = self.contenders.iter().map(|contender| contender.name());
        let head = ["median"].into_iter().chain(servers).chain(["to coturn", "wanted", ""]);
        head.map(str::to_owned).collect()
    }
}

impl Failure {
    fn text(&self) -> String {
        let Self { server, case, times, reason } = self;
        format!("{case}: {} failed {times}×: {reason}", server.name())
    }
}

impl Line {
    fn median_of(&self, contender: Contender) -> Option<f64> {
        let results = self.results.iter().find(|results| results.server == contender)?;
        median(&results.values)
    }

    /// Returns the value of our server, with the fast path if that was measured.
    fn ours(&self) -> Option<f64> {
        self.median_of(Contender::PortholeKernel).or_else(|| self.median_of(Contender::Porthole))
    }

    /// Returns the ratio of our value to that of coturn.
    fn ratio(&self) -> Option<f64> {
        let theirs = self.median_of(Contender::Coturn).filter(|theirs| *theirs != 0.0)?;
        Some(self.ours()? / theirs)
    }

    /// Returns true if the target is met. `None` without a target, or without a value to compare
    /// with.
    fn is_met(&self) -> Option<bool> {
        self.row.wanted.is_met(self.ours(), self.ratio())
    }

    fn cells(&self) -> Vec<String> {
        let (ratio, met) = (self.ratio(), self.is_met());
        let number = |value: f64| format!("{} {}", rounded(value), self.row.unit);
        let mut cells = vec![self.row.title.clone()];
        cells.extend(self.results.iter().map(|r| median(&r.values).map_or_else(dash, number)));
        cells.push(ratio.map_or_else(dash, |ratio| format!("{ratio:.2}×")));
        cells.push(self.row.wanted.text());
        cells.push(met.map_or_else(String::new, |met| if met { "yes" } else { "NO" }.to_owned()));
        cells
    }
}

fn dash() -> String {
    "–".to_owned()
}

/// Returns the median; of an even number of values, the upper one of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Formats a value with at least three significant digits.
fn rounded(value: f64) -> String {
    let digits = match value {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_up_to_its_limit_and_not_beyond() {
        for (wanted, coturn, ours, verdict) in [
            (Wanted::Ratio(0.7), Some(100.0), 70.0, "yes"),
            (Wanted::Ratio(0.7), Some(100.0), 71.0, "NO"),
            (Wanted::AtMost(2.0), Some(100.0), 2.0, "yes"),
            (Wanted::AtMost(2.0), Some(100.0), 2.1, "NO"),
            (Wanted::AtLeast(2.0), Some(1.0), 2.0, "yes"),
            (Wanted::AtLeast(2.0), Some(1.0), 1.9, "NO"),
            // Without a value to compare with there is no verdict.
            (Wanted::Ratio(0.7), None, 71.0, ""),
            (Wanted::Ratio(0.7), Some(0.0), 71.0, ""),
            (Wanted::Nothing, Some(1.0), 100.0, ""),
        ] {
            let mut table = Table::new(Vec::new(), &[Contender::Coturn, Contender::Porthole]);
            let row = || Row::new("relay".to_owned(), "ns").wanted(wanted);
            // The median counts, not an outlier.
            for (outlier, times) in [(0.0, 1), (1.0, 3), (1000.0, 1)] {
                for _ in 0..times {
                    table.add(Contender::Porthole, row(), ours * outlier);
                    coturn.into_iter().for_each(|value| table.add(Contender::Coturn, row(), value));
                }
            }
            let cells = table.lines.first().map(Line::cells).expect("the row");
            assert_eq!(cells.last().map(String::as_str), Some(verdict), "{wanted:?} {cells:?}");
            assert_eq!(table.missed() == ["relay"], verdict == "NO", "{wanted:?}");
        }
    }

    #[test]
    fn a_failed_case_is_a_dash_and_a_reason_below() {
        let mut table = Table::new(Vec::new(), &[Contender::TurnCrate, Contender::Porthole]);
        table.add(Contender::Porthole, Row::new("packets lost".to_owned(), ""), 0.0);
        for reason in ["it ended at once", "again"] {
            table.fail(Contender::TurnCrate, "stall".to_owned(), reason.to_owned());
        }
        let lines = table.lines();
        let row = lines.iter().find(|line| line.starts_with("packets lost")).expect("the row");
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!(cells, ["packets", "lost", "–", "0", "–"]);
        let last = lines.last().expect("the reason");
        assert_eq!(last, "stall: turn crate failed 2×: it ended at once");
    }
}
