//! The files of the repository as text, for the tests that check its rules.

#![warn(missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A text file of the repository.
#[derive(Debug)]
pub struct File {
    /// Its path from the root of the repository, with `/`.
    pub path: String,
    /// Its whole content.
    pub text: String,
}

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a program in the root of the repository and returns its standard output.
///
/// # Errors
/// If the program cannot be started, fails, or prints something that is not UTF-8.
pub fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {errors}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// Reads every text file that git tracks, or would track if it were added.
///
/// # Errors
/// If git cannot list them.
pub fn files() -> Result<Vec<File>> {
    let listed = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let read = |path: &str| {
        // A picture is no text, and a deleted file is still listed until it is committed.
        let text = String::from_utf8(std::fs::read(root().join(path)).ok()?).ok()?;
        Some(File { path: path.to_owned(), text })
    };
    Ok(listed.lines().filter_map(read).collect())
}

impl File {
    /// Returns true if its name ends with one of these extensions, given without the dot.
    pub fn has_extension(&self, extensions: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }

    /// Returns true if the whole file exists for tests, benchmarks or fuzzing.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.split('/').any(|folder| matches!(folder, "tests" | "benches" | "fuzz"))
    }

    /// Returns true for files that a program writes.
    pub fn is_generated(&self) -> bool {
        self.path.starts_with("web/src/protocol/")
    }

    /// Returns its lines with their numbers, without modules of tests at the end.
    pub fn lines_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut skipping = false;
        let mut lines = self.text.lines().enumerate().peekable();
        std::iter::from_fn(move || {
            loop {
                let (number, line) = lines.next()?;
                let next_is_body = lines.peek().is_some_and(|(_, next)| next.ends_with('{'));
                if line == "#[cfg(test)]" && next_is_body {
                    skipping = true;
                } else if skipping && line == "}" {
                    skipping = false;
                } else if !skipping {
                    return Some((number + 1, line));
                }
            }
        })
    }

    /// Returns the same lines without comments.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_comment = |line: &str| line.trim_start().starts_with("//");
        self.lines_without_tests().filter(move |(_, line)| !is_comment(line))
    }
}

/// Fails the test with the rule and every complaint, one per line, unless there are none.
///
/// # Panics
/// If there is a complaint.
#[track_caller]
pub fn report(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}\n  {}\n", complaints.join("\n  "));
}
