//! A root file system with the program and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole;
use porthole_test_support::program::Place;

/// The root of a file system in which there is the static program, a folder for its data, and the
/// address of a name server.
pub(crate) struct Bare {
    root: PathBuf,
}

impl Bare {
    /// Makes one in a folder of this name.
    pub(crate) fn create(folder: &Path, name: &str, name_server: &str) -> Result<Self> {
        let root = folder.join(name);
        for inner in ["etc", "data"] {
            std::fs::create_dir_all(root.join(inner))?;
        }
        std::fs::copy(porthole::packaged()?, root.join("porthole"))?;
        std::fs::write(root.join("etc/resolv.conf"), format!("nameserver {name_server}\n"))?;
        Ok(Self { root })
    }

    /// Returns a file of it.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// Returns a command that runs a program of it there.
    pub(crate) fn command(&self, place: Place<'_>, program: &str) -> Command {
        let mut command = place.command("chroot");
        command.arg(&self.root).arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("PORTHOLE__DATA", "/data");
        command
    }

    /// Runs the program there to its end, and returns what it prints.
    pub(crate) fn output(&self, place: Place<'_>, arguments: &[&str]) -> Result<String> {
        let output = self.command(place, "/porthole").args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "porthole {}: {errors}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout).context("no text")?.trim().to_owned())
    }
}
