//! A server's process, and what it uses.

use std::fs;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().with_context(|| format!("{} does not start", name.display()))?;
        Ok(Self(child))
    }

    /// Starts a process that reads lines and writes lines.
    pub(crate) fn start_to_talk(command: &mut Command) -> Result<(Self, ChildStdin, ChildStdout)> {
        let name = command.get_program().to_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child =
            command.spawn().with_context(|| format!("{} does not start", name.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let process = Self(child);
        Ok((process, input.context("no input")?, output.context("no output")?))
    }

    /// Returns the time that all of its threads have run so far; it should not end threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread may have ended meanwhile.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let ran = text.split_whitespace().next().context("schedstat is empty")?;
            sum += ran.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }

    /// Returns its resident memory in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kilobytes.context("the kernel does not tell its memory")?.parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap_or(i32::MAX));
        // It may have ended already.
        let _ = kill(pid, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// Returns the number of UDP sends in this network namespace so far: a run that is sent in one
/// call counts once.
pub(crate) fn sends() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next(), lines.next());
    let names = names.context("the kernel does not count UDP")?.split(' ');
    let mut both = names.zip(values.unwrap_or_default().split(' '));
    let (_, value) = both.find(|(name, _)| *name == "OutDatagrams").context("OutDatagrams")?;
    Ok(value.parse()?)
}
