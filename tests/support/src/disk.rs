//! A disk so small that a test can fill it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::scene::Scene;

/// What the kernel hands out at a time.
const PAGE: u64 = 4096;
/// Every disk of ours is called `porthole-<pid>`, so that a later run knows whose it was.
const PREFIX: &str = "porthole-";
const BALLAST: &str = "ballast";

/// A disk in memory. Taken away when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// A disk of this many pages of 4 kB, in a folder of the scene.
    pub fn new(scene: &Scene, pages: u64) -> Result<Self> {
        sweep();
        let folder = scene.folder().join("disk");
        std::fs::create_dir_all(&folder)?;
        Self::mount(folder, pages)
    }

    fn mount(folder: PathBuf, pages: u64) -> Result<Self> {
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={}", pages * PAGE)])
            .arg(format!("{PREFIX}{}", std::process::id()))
            .arg(&folder)
            .output()
            .context("mount is not installed")?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "no disk can be mounted: {}", why.trim());
        Ok(Self { folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fills it up to this many free pages.
    pub fn fill(&self, free: u64) -> Result<()> {
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.ballast())?;
        let page = vec![0; usize::try_from(PAGE)?];
        loop {
            match ballast.write_all(&page) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
        let full = ballast.metadata()?.len();
        let rest = full.checked_sub(free * PAGE).context("the disk is smaller than that")?;
        Ok(ballast.set_len(rest)?)
    }

    /// Makes room again.
    pub fn clear(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join(BALLAST)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nobody is left to tell: what cannot be taken away now is swept by the next run.
        unmount(&self.folder);
    }
}

/// Why no disk can be mounted here, if none can.
pub(crate) fn available() -> Result<(), String> {
    let try_it = || {
        let folder = tempfile::tempdir()?;
        SmallDisk::mount(folder.path().to_owned(), 1).map(drop)
    };
    try_it().map_err(|error| format!("{error:#}"))
}

/// Lazily, since a program that was killed may still hold a file.
fn unmount(folder: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(folder).output();
}

/// Takes away the disks of runs that were killed.
fn sweep() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(name), Some(folder)) = (words.next(), words.next()) else { continue };
        let owner = name.strip_prefix(PREFIX).and_then(|pid| pid.parse().ok());
        let gone = |pid: i32| kill(Pid::from_raw(pid), None).is_err();
        if owner.is_some_and(gone) {
            unmount(Path::new(folder));
        }
    }
}
