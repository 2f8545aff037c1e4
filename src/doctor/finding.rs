//! The report: a list for people, and JSON for programs.

use std::fmt;

use serde::Serialize;

use crate::cli::DoctorRole;

/// The columns of text beside the subject: with it and the level, a terminal of 100.
const TEXT_WIDTH: usize = 72;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Level {
    Ok,
    Warning,
    Failure,
}

/// One check and its outcome, in a sentence.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) subject: String,
    pub(super) text: String,
    /// The next step of whoever reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject: subject.into(), text: text.into(), advice: None }
    }

    pub(super) fn warning(
        subject: impl Into<String>,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { level: Level::Warning, advice: Some(advice.into()), ..Self::ok(subject, text) }
    }

    pub(super) fn failure(
        subject: impl Into<String>,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { level: Level::Failure, advice: Some(advice.into()), ..Self::ok(subject, text) }
    }
}

/// The results of all checks.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    role: DoctorRole,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(role: DoctorRole, findings: Vec<Finding>) -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), role, findings }
    }

    /// Returns the number of checks.
    pub(super) fn count(&self) -> usize {
        self.findings.len()
    }

    /// Returns the number of checks that have failed.
    pub(super) fn failures(&self) -> usize {
        self.findings.iter().filter(|one| one.level == Level::Failure).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "porthole {}, as the command `{}` would run it", self.version, self.role)?;
        let width = self.findings.iter().map(|one| one.subject.chars().count()).max();
        let width = width.unwrap_or_default();
        for Finding { level, subject, text, advice } in &self.findings {
            let level = match level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Failure => "FAILED",
            };
            for (index, line) in wrapped(text, TEXT_WIDTH).into_iter().enumerate() {
                let (level, subject) =
                    if index == 0 { (level, subject.as_str()) } else { ("", "") };
                write!(f, "\n{level:7}  {subject:width$}  {line}")?;
            }
            for (index, line) in wrapped(advice.as_deref().unwrap_or_default(), TEXT_WIDTH - 2)
                .into_iter()
                .enumerate()
            {
                let mark = if index == 0 { "→" } else { " " };
                write!(f, "\n{:7}  {:width$}  {mark} {line}", "", "")?;
            }
        }
        Ok(())
    }
}

/// Breaks a text into lines of at most this many characters, between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_one_finding_after_the_other_with_what_to_do() {
        let report = Report::new(
            DoctorRole::Up,
            vec![
                Finding::ok("disk", "12 GB are free"),
                Finding::failure("port 443/tcp", "nginx has it", "stop nginx"),
            ],
        );
        let lines: Vec<_> = report.to_string().lines().skip(1).map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "ok       disk          12 GB are free",
                "FAILED   port 443/tcp  nginx has it",
                "                       → stop nginx",
            ]
        );
        assert_eq!((report.count(), report.failures()), (2, 1));
    }

    #[test]
    fn long_sentences_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensibilities", 7), ["incomprehensibilities"]);
        assert_eq!(wrapped("", 7), [""; 0]);
    }
}
