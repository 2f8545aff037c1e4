//! Output for people: results on standard output; progress, logs and failures on standard error.
//!
//! Architecture invariant: no other module prints.

#![expect(clippy::print_stderr, reason = "the only module that prints")]

use std::fmt;
use std::io;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::Context as _;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config;
use crate::config::LogFormat;

/// The environment variable with the log filter.
const LOG_VARIABLE: &str = "PORTHOLE_LOG";
/// The default log filter. `rtc_dtls` warns about every extension that it does not know, and every
/// browser's ClientHello has some.
const DEFAULT_LOG: &str = "info,rtc_dtls=error";
/// The libraries whose finest level has whole messages, with the secrets in them: tokens, TURN
/// credentials and the passwords of ICE.
const WITHOUT_TRACE: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// The exit code for an invalid command line, as clap uses it.
const USAGE: u8 = 2;

/// The form of the log; unset until it is known.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Chooses the form of the log before the configuration is read, which may fail.
pub fn choose_log_format(format: LogFormat) {
    FORMAT.get_or_init(|| format);
}

/// Starts logging to standard error.
pub fn start_logging(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .try_from_env()
        .unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match FORMAT.get_or_init(|| format) {
        LogFormat::Text => {
            let ansi = Paint::of(&io::stderr()).0;
            log.with_ansi(ansi).finish().with(filter_fn(has_no_secrets)).init();
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_current_span(false).finish();
            log.with(filter_fn(has_no_secrets)).init();
        }
    }
}

/// Returns true if standard error is for programs, and every line of it is JSON.
fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Returns false for what would log whole messages.
fn has_no_secrets(what: &Metadata<'_>) -> bool {
    let is_of = |library: &&str| what.target().starts_with(*library);
    *what.level() != Level::TRACE || !WITHOUT_TRACE.iter().any(is_of)
}

/// Prints one line of a result.
pub fn print_line(text: impl fmt::Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Returns true if somebody sits at a terminal, and can be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks a question whose answer is no unless it is said to be yes.
pub fn ask(question: impl fmt::Display) -> anyhow::Result<bool> {
    print_line(format_args!("{question} [y/N]"))?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("cannot read from the terminal")?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Prints what the program is doing.
pub fn print_progress(text: impl fmt::Display) {
    if is_json() {
        return tracing::info!("{text}");
    }
    eprintln!("{text}");
}

/// Prints in one sentence why the program ends, and returns its exit code.
pub fn print_failure(error: &anyhow::Error) -> ExitCode {
    match is_json() {
        true => eprintln!("{}", json_line(&sentence(error))),
        false => eprintln!("porthole: {}", sentence(error)),
    }
    match error.downcast_ref() {
        Some(config::Error::Invalid(error)) if error.is_usage_error() => ExitCode::from(USAGE),
        None if is_usage(error) => ExitCode::from(USAGE),
        _ => ExitCode::FAILURE,
    }
}

/// Returns a line as the log writes it. It is not for the log, whose filter may drop it: without it
/// nobody learns why the program has ended.
fn json_line(message: &str) -> serde_json::Value {
    let mut timestamp = String::new();
    // It only fails if the clock cannot be read; the line matters more.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    serde_json::json!({
        "timestamp": timestamp,
        "level": Level::ERROR.as_str(),
        "message": message,
        "target": module_path!(),
    })
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<config::AllErrors>().is_some_and(config::AllErrors::are_usage_errors)
}

/// Joins an error and its causes. A cause that an earlier message contains is not repeated.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(|cause| without_error_number(&cause.to_string())) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Removes the error number that the standard library appends to messages of the system.
fn without_error_number(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" (os error ") else { return text.to_owned() };
    match rest.split_once(')') {
        Some((_number, after)) => format!("{before}{after}"),
        None => text.to_owned(),
    }
}

/// Prints that the configuration is valid, and a warning for each file with secrets that others can
/// read.
pub fn print_valid(file: Option<&Path>, readable: &[PathBuf]) -> anyhow::Result<()> {
    for secrets in readable {
        print_line(format_args!("warning: {}", readable_secrets(secrets)))?;
    }
    match file {
        Some(file) => print_line(format_args!("{}: ok", file.display())),
        None => print_line("ok: no configuration file; the defaults apply"),
    }
}

/// Warns of each file with secrets that others can read.
pub fn warn_of_readable(files: &[PathBuf]) {
    for file in files {
        tracing::warn!("{}", readable_secrets(file));
    }
}

fn readable_secrets(file: &Path) -> String {
    let file = file.display();
    format!(
        "every user of this machine can read the secrets in {file}; \
         make it private with: chmod 600 {file}"
    )
}

/// Warns that a password is among the arguments.
pub fn warn_of_password() {
    tracing::warn!(
        "a password is among the arguments of this command, where every user of this machine can \
         read it: put it into the configuration file instead, with mode 600"
    );
}

/// Prints the URL of the dashboard, and the setup link if there is no admin yet.
pub fn print_welcome(address: &str, setup_link: Option<&str>) -> anyhow::Result<()> {
    let paint = Paint::of(&io::stdout());
    print_line("")?;
    match setup_link {
        Some(link) => {
            print_line(format_args!("  Porthole is running at {}", paint.bold(address)))?;
            print_line("  Open this link to create the first admin; it works once:")?;
            print_line("")?;
            print_line(format_args!("    {}", paint.bold(link)))?;
        }
        None => print_line(format_args!("  Open {}", paint.bold(address)))?,
    }
    print_line("")
}

/// Writes with colours on a terminal, unless NO_COLOR is set and not empty.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// Returns the setting for this stream.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let is_disabled = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(stream.is_terminal() && !is_disabled)
    }

    /// Formats text in bold.
    pub fn bold(self, text: impl fmt::Display) -> String {
        if self.0 { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_last_error_in_json_is_a_line_of_the_log() {
        let line = json_line("cannot read \"a\"\nor b");
        assert_eq!(
            (&line["level"], &line["target"]),
            (&"ERROR".into(), &"porthole::console".into())
        );
        assert_eq!(line["message"], "cannot read \"a\"\nor b");
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(timestamp.starts_with("20") && timestamp.ends_with('Z'), "{timestamp}");
        assert!(!line.to_string().contains('\n'), "it is one line");
    }

    #[test]
    fn a_failure_is_one_sentence_without_repetition() {
        let io = || io::Error::from_raw_os_error(98);
        let wrapped =
            anyhow::Error::new(io()).context(format!("port 1 is taken: {}; stop it", io()));
        assert_eq!(sentence(&wrapped), "port 1 is taken: Address already in use; stop it");
        let chained = Err::<(), _>(io()).context("cannot listen").unwrap_err();
        assert_eq!(sentence(&chained), "cannot listen: Address already in use");
    }
}
