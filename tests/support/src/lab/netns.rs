//! Network namespaces: creating, entering and removing them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Namespaces are named `porthole-<pid>-…`, so that a later run can remove those of a process that
/// ended.
const PREFIX: &str = "porthole-";
const FOLDER: &str = "/run/netns";
/// The folder in which `ip netns exec` finds the files that a namespace has in place of `/etc`.
const ETC: &str = "/etc/netns";

/// A network namespace, removed when dropped.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    pub(super) fn create(name: &str) -> Result<Self> {
        let namespace = Self { name: format!("{PREFIX}{}-{name}", std::process::id()) };
        run(Command::new("ip").args(["netns", "add", &namespace.name]), "")?;
        // IPv4 only: with a global IPv6 address on each side there would be no NAT to traverse.
        namespace.sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
        namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs lines of `ip` in this namespace.
    pub(super) fn ip(&self, lines: &str) -> Result<()> {
        run(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines)
    }

    /// Gives the programs in this namespace a file of their own in place of one in `/etc`.
    pub(super) fn set_etc(&self, file: &str, text: &str) -> Result<()> {
        let folder = Path::new(ETC).join(&self.name);
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join(file), text)?)
    }

    pub(super) fn nft(&self, rules: &str) -> Result<()> {
        run(self.command("nft").args(["-f", "-"]), rules)
    }

    /// Runs lines of `tc` in this namespace.
    pub(super) fn tc(&self, lines: &str) -> Result<()> {
        run(Command::new("tc").args(["-n", &self.name, "-batch", "-"]), lines)
    }

    pub(super) fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.inside(|| std::fs::write(&path, value))?
            .with_context(|| format!("could not write {} in {}", path.display(), self.name))
    }

    /// Runs a closure on a new thread that has entered this namespace. A socket opened there stays
    /// in the namespace.
    pub(super) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = std::fs::File::open(Path::new(FOLDER).join(&self.name))
            .with_context(|| format!("namespace {} is gone", self.name))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                anyhow::Ok(work())
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // If this fails, the next run removes it.
        let _ = remove(&self.name);
    }
}

/// Removes the namespaces of processes that no longer exist.
pub(super) fn sweep() {
    let Ok(entries) = std::fs::read_dir(FOLDER) else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if let Some(pid) = owner.filter(|pid| pid.parse::<u32>().is_ok())
            && !PathBuf::from(format!("/proc/{pid}")).exists()
        {
            let _ = remove(&name);
        }
    }
}

fn remove(name: &str) -> Result<()> {
    let pids = Command::new("ip").args(["netns", "pids", name]).output()?.stdout;
    for pid in String::from_utf8_lossy(&pids).lines().filter_map(|line| line.trim().parse().ok()) {
        // The process may have ended already.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    // Only a few have files of their own.
    let _ = std::fs::remove_dir_all(Path::new(ETC).join(name));
    run(Command::new("ip").args(["netns", "del", name]), "")
}

fn run(command: &mut Command, input: &str) -> Result<()> {
    let what = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {what}"))?;
    let Some(mut stdin) = child.stdin.take() else { bail!("{what} has no standard input") };
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{what} failed: {}{}\n{input}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    Ok(())
}
