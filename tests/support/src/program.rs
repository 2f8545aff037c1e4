//! Programs that a test starts and stops, with their output kept in the scene.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
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

/// Time for a reload on a busy machine.
const RELOAD_DEADLINE: Duration = Duration::from_secs(30);
/// The message of a reload because of SIGHUP.
const RELOADED: &str = "configuration reloaded cause=\"SIGHUP\"";

/// The setting that keeps a gateway from asking the router of the machine for a port.
const PORT_MAPPING: &str = "PORTHOLE__GATEWAY__PORT_MAPPING";

/// The machine on which something runs.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// This machine, over loopback.
    Here,
    /// A host in the lab.
    On(&'a Host),
}

/// A running program, stopped when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    output: PathBuf,
}

impl Place<'_> {
    /// Returns a command that will run in this place.
    pub fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self {
            Self::Here => {
                let mut command = Command::new(program);
                // The router of the machine that runs the tests is left alone.
                command.env(PORT_MAPPING, "off");
                command
            }
            Self::On(host) => host.command(program),
        }
    }

    /// Runs a closure so that the sockets it opens belong to this place.
    pub fn inside<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T> {
        match self {
            Self::Here => Ok(work()),
            Self::On(host) => host.inside(work),
        }
    }
}

impl Program {
    /// Starts a command. Its standard error goes to `<name>.log` in the scene, its standard output
    /// to
    /// `<name>.json`; a restart appends to both.
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

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGHUP, on which programs read their configuration again.
    pub fn hang_up(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?);
        Ok(kill(pid, Signal::SIGHUP)?)
    }

    /// Makes Porthole read its configuration again with SIGHUP, and waits until its log says it
    /// has done so for this reason: a change of the file alone makes it do so, too, but later.
    pub fn reload(&self) -> Result<()> {
        let reloads = || Ok::<_, anyhow::Error>(self.output()?.matches(RELOADED).count());
        let before = reloads()?;
        self.hang_up()?;
        wait::until("the reload is logged", RELOAD_DEADLINE, || {
            Ok((reloads()? > before).then_some(()))
        })
    }

    /// Returns the standard output and standard error so far.
    pub fn output(&self) -> Result<String> {
        let both = [std::fs::read(&self.output)?, std::fs::read(&self.log)?].concat();
        Ok(String::from_utf8_lossy(&both).into_owned())
    }

    /// Returns the JSON lines of the standard output so far, without the other lines.
    pub fn events(&self) -> Result<Vec<Value>> {
        let text = String::from_utf8_lossy(&std::fs::read(&self.output)?).into_owned();
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Returns the JSON lines of the standard output that were completed after the first `seen`
    /// bytes, and moves `seen` behind them: for programs that print a lot.
    pub fn new_events(&self, seen: &mut u64) -> Result<Vec<Value>> {
        let mut file = File::open(&self.output)?;
        file.seek(SeekFrom::Start(*seen))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
        *seen += u64::try_from(bytes.len())?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Fails if the program has ended although it should be running.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended early: {status}", self.name),
            None => Ok(()),
        }
    }

    /// Waits for a condition while the program runs; see [`wait::until`].
    ///
    /// # Errors
    ///
    /// Fails after the deadline, and as soon as the program has ended without the condition.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut poll: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        wait::until(what, deadline, || {
            // Before the check, so that the last output of a program counts.
            let value = poll(self)?;
            if value.is_none() {
                self.check()?;
            }
            Ok(value)
        })
    }

    /// Waits for a JSON line for which the closure returns a value.
    pub fn wait_for_event<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        pick: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        self.wait_for(what, deadline, |program| Ok(program.events()?.iter().find_map(&pick)))
    }

    /// Waits until the program ends by itself.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait::until(&what, deadline, || Ok(self.child.try_wait()?))
    }

    /// Stops the program with SIGTERM, as an operator would, and checks that it ends with status 0.
    pub fn stop(mut self) -> Result<()> {
        self.check()?;
        self.signal(Signal::SIGTERM)?;
        let status = self.wait(STOP_DEADLINE)?;
        ensure!(status.success(), "{} ended with {status} after SIGTERM", self.name);
        Ok(())
    }

    /// Sends SIGTERM and does not wait for the end, for a program that drains.
    pub fn begin_to_stop(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Kills the program, as a power cut would.
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
