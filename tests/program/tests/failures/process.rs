//! `porthole` commands that end by themselves, and what they printed.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::porthole::binary;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::Scene;

use crate::sentence::{check_secrets, check_sentence};

/// A program that cannot continue ends within moments; SQLite waits 5 s for a lock.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// The exit code and the output of a program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
}

/// Returns the command `porthole` with these arguments.
pub(crate) fn porthole(arguments: &[&str]) -> Result<Command> {
    let mut command = Place::Here.command(binary()?);
    command.args(arguments);
    Ok(command)
}

/// Runs a command until it ends by itself; `name` is the name of its log.
pub(crate) fn run_to_end(scene: &Scene, name: &str, command: &mut Command) -> Result<Ended> {
    let mut program = Program::start(scene, name, command)?;
    let code = program.wait(END_DEADLINE)?.code();
    Ok(Ended { code, output: program.output()? })
}

impl Ended {
    /// Checks the exit code, that one sentence was printed with each of `names` in it, and that
    /// none of `secrets` appears in the output.
    pub(crate) fn check(&self, code: i32, names: &[&str], secrets: &[&str]) -> Result<()> {
        ensure!(self.code == Some(code), "exit code {:?} instead of {code}", self.code);
        let lines: Vec<_> =
            self.output.lines().filter_map(|line| line.strip_prefix("porthole: ")).collect();
        let [sentence] = lines.as_slice() else {
            anyhow::bail!("{} sentences instead of one: {lines:?}", lines.len());
        };
        check_sentence(sentence, names, secrets)?;
        check_secrets(&self.output, secrets)
    }

    /// Checks that the command line was refused (exit code 2) with `expected` in the output.
    pub(crate) fn check_usage(&self, expected: &str, secrets: &[&str]) -> Result<()> {
        ensure!(self.code == Some(2), "exit code {:?} instead of 2", self.code);
        ensure!(self.output.contains(expected), "no “{expected}” in {}", self.output);
        check_secrets(&self.output, secrets)
    }
}
