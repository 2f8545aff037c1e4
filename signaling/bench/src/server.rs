//! The server's process, on a core of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;

/// Open files that are wanted, for tens of thousands of connections.
const OPEN_FILES: u64 = 65_536;
/// Time until the server listens, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

/// The server, and its data folder.
#[derive(Debug)]
pub(crate) struct Server {
    binary: PathBuf,
    data: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
}

/// Raises the limit of open files, for this process and the server, and returns it.
pub(crate) fn raise_open_files() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = OPEN_FILES.max(hard);
    // Only root may raise the hard limit.
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

impl Server {
    pub(crate) fn new(binary: PathBuf, data: PathBuf) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self { binary, data, address, child: None })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Starts the process on the first core, and returns once it listens.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.arg("signaling").args(["--http", &self.address.to_string()]).arg("--data");
        command.arg(&self.data).stdin(Stdio::null()).stdout(Stdio::null());
        let log = fs::File::create(self.data.join("server.log"))?;
        command.stderr(log).env("PORTHOLE_LOG", "warn");
        self.child = Some(on_first_core(|| Ok(command.spawn()?))?);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).await.is_err() {
            if Instant::now() > until {
                bail!("the server does not listen: {}", self.log());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data.join("server.log")).unwrap_or_default()
    }

    fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the server does not run")?.id())
    }

    /// Stops the process, as an operator would.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()?)?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let mut child = self.child.take().context("the server does not run")?;
        let until = Instant::now() + PATIENCE;
        while child.try_wait()?.is_none() {
            if Instant::now() > until {
                child.kill()?;
                bail!("the server does not stop");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Ends the process at once, as a power cut would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the server does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Returns the memory that it has allocated, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid()?))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kilobytes.context("the kernel does not tell its memory")?.parse::<u64>()? * 1024)
    }

    /// Returns the time that all of its threads have run so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()?))? {
            // A thread may have ended meanwhile.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let ran = text.split_whitespace().next().context("schedstat is empty")?;
            sum += ran.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Keeps this thread, and those that it starts, off the first core if there is another.
pub(crate) fn leave_first_core() -> Result<()> {
    let this = Pid::from_raw(0);
    let mut others = sched_getaffinity(this)?;
    others.unset(0)?;
    if (0..CpuSet::count()).any(|core| others.is_set(core).unwrap_or(false)) {
        sched_setaffinity(this, &others)?;
    }
    Ok(())
}

/// Starts something on the first core, which children inherit, and returns to the cores of before.
fn on_first_core<T>(start: impl FnOnce() -> Result<T>) -> Result<T> {
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this)?;
    let mut first = CpuSet::new();
    first.set(0)?;
    sched_setaffinity(this, &first)?;
    let started = start();
    sched_setaffinity(this, &before)?;
    started
}
