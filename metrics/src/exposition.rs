//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use crate::{Label, Tally, TimeHistogram};

/// Capacity to begin with: the usual length of the text.
const USUAL_SIZE: usize = 16 * 1024;

/// Writer of metrics in the text format of Prometheus, one family after the other.
#[derive(Debug)]
pub struct Exposition(String);

impl Default for Exposition {
    fn default() -> Self {
        Self(String::with_capacity(USUAL_SIZE))
    }
}

impl Exposition {
    /// The media type of the text.
    pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Returns the text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }

    /// Writes a value that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.gauges(name, help, &[("", value)]);
    }

    /// Writes values that go up and down, each with its labels: `name="value"`, separated by
    /// commas.
    pub fn gauges(&mut self, name: &str, help: &str, samples: &[(impl Display, u64)]) {
        self.family(name, help, "gauge", samples);
    }

    /// Writes values that only go up, each with its labels. The name ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str, samples: &[(impl Display, u64)]) {
        self.family(name, help, "counter", samples);
    }

    /// Writes values that go up and down, by the values of one label.
    pub fn gauges_by<L: Label>(&mut self, name: &str, help: &str, tally: &Tally<L>) {
        self.family(name, help, "gauge", &labelled(tally));
    }

    /// Writes values that only go up, by the values of one label.
    pub fn counter_by<L: Label>(&mut self, name: &str, help: &str, tally: &Tally<L>) {
        self.family(name, help, "counter", &labelled(tally));
    }

    /// Writes a histogram of times. The name ends with `_seconds`.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &TimeHistogram) {
        self.head(name, help, "histogram");
        let mut count = 0;
        for (bound, inside) in histogram.buckets() {
            count += inside;
            match bound {
                Some(bound) => {
                    let bound = bound.as_secs_f64();
                    self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
                }
                None => self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}")),
            }
        }
        self.line(format_args!("{name}_sum {}", histogram.sum().as_secs_f64()));
        self.line(format_args!("{name}_count {count}"));
    }

    fn family(&mut self, name: &str, help: &str, kind: &str, samples: &[(impl Display, u64)]) {
        self.head(name, help, kind);
        for (labels, value) in samples {
            let labels = labels.to_string();
            if labels.is_empty() {
                self.line(format_args!("{name} {value}"));
            } else {
                self.line(format_args!("{name}{{{labels}}} {value}"));
            }
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}."));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn labelled<L: Label>(tally: &Tally<L>) -> Vec<(String, u64)> {
    let sample = |(label, count): (L, u64)| (format!("{}=\"{}\"", L::NAME, label.value()), count);
    tally.iter().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tally::tests::Colour;

    #[test]
    fn families_have_their_help_their_type_and_their_samples() {
        let mut out = Exposition::default();
        out.gauge("a_open", "Open things", 3);
        out.counter("a_made_total", "Things made", &[("by=\"hand\",on=\"monday\"", 4)]);
        let mut tally = Tally::default();
        tally.add(Colour::Red, 5);
        out.counter_by("a_painted_total", "Things painted", &tally);
        let mut times = TimeHistogram::new(&[10, 1_500]);
        for ms in [10, 11, 1_500, 1_501] {
            times.record(Duration::from_millis(ms));
        }
        out.histogram("a_wait_seconds", "Time waited", &times);
        let lines = [
            "# HELP a_open Open things.",
            "# TYPE a_open gauge",
            "a_open 3",
            "# HELP a_made_total Things made.",
            "# TYPE a_made_total counter",
            "a_made_total{by=\"hand\",on=\"monday\"} 4",
            "# HELP a_painted_total Things painted.",
            "# TYPE a_painted_total counter",
            "a_painted_total{colour=\"red\"} 5",
            "a_painted_total{colour=\"blue\"} 0",
            "# HELP a_wait_seconds Time waited.",
            "# TYPE a_wait_seconds histogram",
            "a_wait_seconds_bucket{le=\"0.01\"} 1",
            "a_wait_seconds_bucket{le=\"1.5\"} 3",
            "a_wait_seconds_bucket{le=\"+Inf\"} 4",
            "a_wait_seconds_sum 3.022",
            "a_wait_seconds_count 4",
        ];
        assert_eq!(out.into_text().lines().collect::<Vec<_>>(), lines);
    }
}
