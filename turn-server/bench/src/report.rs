//! Prints results on standard output, as text or as JSON.

use std::io;
use std::io::Write as _;

use serde::Serialize;

/// Prints a result as JSON or as lines.
pub(crate) fn print(json: bool, result: &impl Serialize, lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, result)?;
        return writeln!(out);
    }
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}
