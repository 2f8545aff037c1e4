//! A program that a test starts: its output kept in the scene, its end awaited.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::lab::Host;
use crate::scene::Scene;
use crate::wait;

/// Draining sessions and closing a database takes well under a second.
const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// Where something runs.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// On this machine, over loopback.
    Here,
    /// On a host in the lab.
    On(&'a Host),
}

/// A running program. Stopped when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    output: PathBuf,
}

impl Place<'_> {
    pub fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self {
            Self::Here => Command::new(program),
            Self::On(host) => host.command(program),
        }
    }

    /// Runs a closure where its sockets belong to this place.
    pub fn inside<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T> {
        match self {
            Self::Here => Ok(work()),
            Self::On(host) => host.inside(work),
        }
    }
}

impl Program {
    /// Starts a command. `name` names its log: `<name>.log` holds what it writes to standard
    /// error, `<name>.json` what it writes to standard output. A restart appends to both.
    pub fn start(scene: &Scene, name: &str, command: &mut Command) -> Result<Self> {
        let log = scene.folder().join(format!("{name}.log"));
        let output = scene.folder().join(format!("{name}.json"));
        let append = |path: &PathBuf| File::options().create(true).append(true).open(path);
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&output)?)
            .stderr(append(&log)?)
            .spawn()
            .with_context(|| format!("could not start {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, log, output })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn output(&self) -> Result<String> {
        let both = [std::fs::read(&self.output)?, std::fs::read(&self.log)?].concat();
        Ok(String::from_utf8_lossy(&both).into_owned())
    }

    /// The JSON lines it has written to standard output so far; other lines are left out.
    pub fn events(&self) -> Result<Vec<Value>> {
        let text = String::from_utf8_lossy(&std::fs::read(&self.output)?).into_owned();
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Fails when the program has ended although it should be running.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended early: {status}", self.name),
            None => Ok(()),
        }
    }

    /// Waits for a condition while the program runs.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut ask: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        wait::until(what, deadline, || {
            // Asked first, so that the last words of a program count.
            let answer = ask(self)?;
            if answer.is_none() {
                self.check()?;
            }
            Ok(answer)
        })
    }

    /// Waits for a JSON line that the closure accepts.
    pub fn wait_for_event<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        pick: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        self.wait_for(what, deadline, |program| Ok(program.events()?.iter().find_map(&pick)))
    }

    /// Waits for the program to end by itself.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait::until(&what, deadline, || Ok(self.child.try_wait()?))
    }

    /// Asks it to end, as an operator would, and expects it to drain and say so with status 0.
    pub fn stop(mut self) -> Result<()> {
        self.check()?;
        self.signal(Signal::SIGTERM)?;
        let status = self.wait(STOP_DEADLINE)?;
        ensure!(status.success(), "{} did not end well after SIGTERM: {status}", self.name);
        Ok(())
    }

    /// Ends it without a warning, as a power cut would.
    pub fn kill(mut self) -> Result<()> {
        self.check()?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("a process id is positive")?;
        Ok(kill(Pid::from_raw(pid), signal)?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = self.signal(Signal::SIGTERM);
        if self.wait(STOP_DEADLINE).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
