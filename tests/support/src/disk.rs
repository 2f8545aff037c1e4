//! A disk that is small enough for a test to fill it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::scene::Scene;

/// The unit in which the kernel allocates memory for a disk, in bytes.
const PAGE: u64 = 4096;
/// Disks are named `porthole-<pid>`, so that a later run can remove those of a process that ended.
const PREFIX: &str = "porthole-";
/// The file that fills the disk.
const BALLAST: &str = "ballast";

/// A disk in memory, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of this many pages of 4 kB in a folder of the scene.
    ///
    /// # Errors
    ///
    /// Fails if the process may not mount a file system.
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

    /// Returns the folder where the disk is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fills the disk until this many pages are free.
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

    /// Removes what [`Self::fill`] has written.
    pub fn clear(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join(BALLAST)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // If this fails, the next run unmounts it.
        unmount(&self.folder);
    }
}

/// Mounts a disk for a moment; an error says why that is not possible here.
pub(crate) fn available() -> Result<(), String> {
    let try_it = || {
        let folder = tempfile::tempdir()?;
        SmallDisk::mount(folder.path().to_owned(), 1).map(drop)
    };
    try_it().map_err(|error| format!("{error:#}"))
}

/// Unmounts lazily, because a killed program may still hold a file.
fn unmount(folder: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(folder).output();
}

/// Unmounts the disks of processes that no longer exist.
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
