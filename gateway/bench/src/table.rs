//! The table of a comparison.

use std::fmt::Write as _;

use crate::case::{Case, Found};

/// The rows of each case: what is shown, and how.
type Figure = (&'static str, fn(&Found) -> f64, usize);

const FIGURES: [Figure; 10] = [
    ("CPU a packet, µs", |found| found.us_per_packet, 2),
    ("cores", |found| found.cores, 4),
    ("packets a send", |found| found.packets_per_send, 1),
    ("memory a viewer, kB", |found| found.kilobytes_per_viewer, 0),
    ("first frame, ms, p50", |found| found.first_frame_ms, 1),
    ("first frame, ms, p95", |found| found.first_frame_p95_ms, 1),
    ("latency, ms, p50", |found| found.latency_ms, 2),
    ("latency, ms, p99", |found| found.latency_p99_ms, 2),
    ("viewers that watch", |found| found.watching, 0),
    ("lost of a million", |found| found.lost_ppm, 0),
];

/// Writes the medians of each case, with least and most, and the ratio of the CPU time of the first
/// contender to each other one's.
pub(crate) fn write(names: &[&str], rows: &[(Case, Vec<Vec<Found>>)]) -> String {
    let rule = "---|".repeat(names.len());
    let mut text = format!("| | | {} |\n|---|---|{rule}\n", names.join(" | "));
    for (case, found) in rows {
        let watched = if case.viewers == 0 { 2 } else { FIGURES.len() };
        for (number, (name, figure, digits)) in FIGURES.iter().take(watched).enumerate() {
            if case.cameras > 1 && name.starts_with("latency") {
                continue;
            }
            let title = if number == 0 { case.to_string() } else { String::new() };
            let cells = found.iter().map(|list| cell(list, *figure, *digits, number == 0, found));
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "| {title} | {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
    }
    text
}

fn cell(
    list: &[Found],
    figure: fn(&Found) -> f64,
    digits: usize,
    has_ratio: bool,
    all: &[Vec<Found>],
) -> String {
    let mut values: Vec<f64> = list.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    let (least, most) = (values.first().copied(), values.last().copied());
    let median = median(&values);
    let mut text = format!("{median:.digits$}");
    if let (Some(least), Some(most)) = (least, most)
        && values.len() > 1
    {
        let _ = write!(text, " ({least:.digits$}–{most:.digits$})");
    }
    let mut first: Vec<f64> = all.first().into_iter().flatten().map(figure).collect();
    first.sort_by(f64::total_cmp);
    if has_ratio && all.first().is_some_and(|first| first != list) && median > 0.0 {
        let _ = write!(text, ", {:.2}×", self::median(&first) / median);
    }
    text
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_medians_their_range_and_the_ratio_to_the_first() {
        let found = |us| Found { us_per_packet: us, ..Found::default() };
        let case = Case { viewers: 0, cameras: 20, storm: 0 };
        let row = vec![[4.0, 2.0, 3.0].map(found).to_vec(), [2.0, 1.0, 1.5].map(found).to_vec()];
        let text = write(&["a", "b"], &[(case, row)]);
        let expected = "| | | a | b |\n|---|---|---|---|\n\
                        | 20 cameras, nobody watches | CPU a packet, µs \
                        | 3.00 (2.00–4.00) | 1.50 (1.00–2.00), 2.00× |\n\
                        |  | cores | 0.0000 (0.0000–0.0000) | 0.0000 (0.0000–0.0000) |\n";
        assert_eq!(text, expected);
    }
}
