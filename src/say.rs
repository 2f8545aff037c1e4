//! What the program says to people: results on standard output, progress, logs and failures on
//! standard error. The only module that prints.

#![expect(clippy::print_stderr, reason = "this is where printing is done")]

use crate::config;
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};
use tracing_subscriber::EnvFilter;

/// Sets what is logged.
const LOG_VARIABLE: &str = "PORTHOLE_LOG";
/// What is logged unless it is set. `rtc_dtls` warns of every extension it does not know, which
/// every browser's ClientHello has.
const DEFAULT_LOG: &str = "info,rtc_dtls=error";

/// The exit code when the command line is wrong; clap's own.
const USAGE: u8 = 2;

/// Sends logs to standard error.
pub fn start_logging() {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .try_from_env()
        .unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(Paint::of(&io::stderr()).0)
        .init();
}

/// One line of a result.
pub fn line(text: impl fmt::Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// What is being done, for whoever waits.
pub fn progress(text: impl fmt::Display) {
    eprintln!("{text}");
}

/// Why the program ends, in one sentence, and its exit code.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    eprintln!("porthole: {}", sentence(error));
    match error.downcast_ref() {
        Some(config::Error::Refused(refused)) if refused.is_usage() => ExitCode::from(USAGE),
        _ => ExitCode::FAILURE,
    }
}

/// The error with its causes, each said once, though some errors repeat what caused them.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(|cause| plain(&cause.to_string())) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Without the number that the standard library puts behind what the system says.
fn plain(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" (os error ") else { return text.to_owned() };
    match rest.split_once(')') {
        Some((_number, after)) => format!("{before}{after}"),
        None => text.to_owned(),
    }
}

/// That a configuration is right.
pub fn checked(file: Option<&Path>) -> anyhow::Result<()> {
    match file {
        Some(file) => line(format_args!("{}: ok", file.display())),
        None => line("ok: no configuration file, the defaults are in effect"),
    }
}

/// Where to go now that everything runs.
pub fn welcome(address: &str, setup_link: Option<&str>) -> anyhow::Result<()> {
    let paint = Paint::of(&io::stdout());
    line("")?;
    match setup_link {
        Some(link) => {
            line(format_args!("  Porthole runs at {}", paint.strong(address)))?;
            line("  Open this link to make the first admin; it works once:")?;
            line("")?;
            line(format_args!("    {}", paint.strong(link)))?;
        }
        None => line(format_args!("  Open {}", paint.strong(address)))?,
    }
    line("")
}

/// Whether to use colours: on a terminal, unless NO_COLOR is set and not empty.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// For this stream.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(stream.is_terminal() && !refused)
    }

    /// Strong.
    pub fn strong(self, text: impl fmt::Display) -> String {
        if self.0 { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_failure_is_one_sentence_that_says_nothing_twice() {
        let io = || io::Error::from_raw_os_error(98);
        let wrapped =
            anyhow::Error::new(io()).context(format!("port 1 is taken: {}; stop it", io()));
        assert_eq!(sentence(&wrapped), "port 1 is taken: Address already in use; stop it");
        let chained = Err::<(), _>(io()).context("cannot listen").unwrap_err();
        assert_eq!(sentence(&chained), "cannot listen: Address already in use");
    }
}
