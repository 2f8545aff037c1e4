//! Tables on standard output, and times in them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::console;

/// The cells of a row.
pub type Row<const N: usize> = [String; N];

/// Prints rows below their headings, each column as wide as its widest cell.
pub fn print_table<const N: usize>(
    headings: [&str; N],
    rows: impl Iterator<Item = Row<N>>,
) -> anyhow::Result<()> {
    let rows: Vec<Row<N>> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        console::print_line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Returns how long ago a time in seconds since 1970 is.
pub fn ago(time_s: Option<u64>) -> String {
    time_s.map_or_else(
        || "never".to_owned(),
        |at| format!("{} ago", span(now_s().saturating_sub(at))),
    )
}

/// Returns in what time a time in seconds since 1970 comes.
pub fn until(time_s: Option<u64>) -> String {
    match time_s.map(|end| end.saturating_sub(now_s())) {
        None => "never".to_owned(),
        Some(0) => "has ended".to_owned(),
        Some(left_s) => format!("in {}", span(left_s)),
    }
}

/// Returns a limit of what is sent; nothing without one.
pub fn rate(max_kbit_per_s: Option<u32>) -> String {
    max_kbit_per_s.map(|rate| format!("{rate} kbit/s")).unwrap_or_default()
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_they_are_near() {
        for (seconds, expected) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7200, "2 h"),
            (172_800, "2 d"),
            (90 * 86_400, "90 d"),
        ] {
            assert_eq!(span(seconds), expected);
        }
        assert_eq!((ago(None), until(None)), ("never".to_owned(), "never".to_owned()));
        assert_eq!(until(Some(1)), "has ended");
    }
}
