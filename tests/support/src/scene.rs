//! One test's folder, its logs, and the rule for a test that cannot run here.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use nix::sys::resource::{Resource, getrlimit};

use crate::{browser, cameras, disk, lab::Lab, porthole, python, viewer};

/// Set to 1 where every test must run: a test that lacks something then fails.
const REQUIRE_ALL: &str = "PORTHOLE_REQUIRE_ALL";
/// Enough to see what went wrong, not enough to bury the sentence that says it.
const MAX_LOG_LINES: usize = 150;

/// What a test needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Lab,
    Program,
    Viewer,
    Browser,
    /// GStreamer's RTSP server, with Debian's Python bindings.
    GstreamerRtsp,
    /// live555's RTSP server, fetched once where it is not installed.
    Live555,
    /// aioice, from PyPI, fetched once.
    Aioice,
    /// The right to mount a disk.
    SmallDisk,
    /// A program of this name, installed by the packages that the README lists.
    Tool(&'static str),
    /// clang, whose version begins so.
    Clang(&'static str),
    /// As many files as one process may have open at most.
    OpenFiles(u64),
}

/// A folder for everything that one test starts. Removed when the test is through; its logs are
/// shown first when it failed.
#[derive(Debug)]
pub struct Scene {
    folder: tempfile::TempDir,
}

/// Runs a test, or says by name why it cannot run here.
pub fn scene(name: &str, needs: &[Need], body: impl FnOnce(&Scene) -> Result<()>) {
    let missing: Vec<String> = needs.iter().filter_map(|need| need.missing()).collect();
    if missing.is_empty() {
        // Two browsers would fight over the cores, and what they show is measured in time.
        static BROWSER: Mutex<()> = Mutex::new(());
        let alone = needs.contains(&Need::Browser);
        let _guard = alone.then(|| BROWSER.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = Scene::play(name, body) {
            panic!("{error:#}");
        }
        return;
    }
    let message = format!("NOT RUN: {name}: {}", missing.join("; "));
    assert!(std::env::var(REQUIRE_ALL).as_deref() != Ok("1"), "{message}");
    // Past the capture of the test harness: a test that did not run must be seen.
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}

impl Scene {
    /// Runs a part of a test in a folder of its own. An error carries the logs.
    pub fn play<T>(name: &str, body: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let folder = tempfile::Builder::new().prefix("porthole-test-").tempdir()?;
        let scene = Self { folder };
        body(&scene).map_err(|error| anyhow!("{name}: {error:#}{}", scene.logs()))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new, empty folder for the data of `owner`.
    pub fn data(&self, owner: &str) -> Result<PathBuf> {
        let path = self.folder().join(format!("{owner}.data"));
        std::fs::create_dir_all(&path).with_context(|| format!("no folder {}", path.display()))?;
        Ok(path)
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let mut paths: Vec<_> = std::fs::read_dir(self.folder())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "log" || end == "json"))
            .collect();
        paths.sort();
        for path in paths {
            let log =
                String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(MAX_LOG_LINES)..];
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let _ = write!(text, "\n--- {name}\n{}", shown.join("\n"));
        }
        text
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr().lock(), "{}", self.logs());
        }
    }
}

impl Need {
    /// Why it is not there, if it is not.
    fn missing(self) -> Option<String> {
        match self {
            Self::Lab => Lab::available().err(),
            Self::Program => porthole::binary().err().map(|error| format!("{error:#}")),
            Self::Viewer => viewer::binary().err().map(|error| format!("{error:#}")),
            Self::Browser => browser::available().err(),
            Self::GstreamerRtsp => cameras::gstreamer().err().map(|error| format!("{error:#}")),
            Self::Live555 => cameras::live555().err(),
            Self::Aioice => python::available().err(),
            Self::SmallDisk => disk::available().err(),
            Self::Tool(name) => {
                find_tool(name).is_none().then(|| format!("{name} is not installed"))
            }
            Self::Clang(version) => missing_clang(version),
            Self::OpenFiles(count) => missing_files(count),
        }
    }
}

fn missing_clang(wanted: &str) -> Option<String> {
    let Ok(output) = Command::new("clang").arg("-dumpversion").output() else {
        return Some("clang is not installed".to_owned());
    };
    let version = String::from_utf8_lossy(&output.stdout);
    let version = version.trim();
    let is_another = !version.starts_with(wanted);
    is_another.then(|| format!("it needs clang {wanted}x, not {version}"))
}

fn missing_files(wanted: u64) -> Option<String> {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard >= wanted => None,
        Ok((_, hard)) => Some(format!("it needs {wanted} open files, and {hard} are allowed")),
        Err(error) => Some(format!("the limit of open files: {error}")),
    }
}

fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Says something about a test that people want to read although it passed.
pub fn report(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
