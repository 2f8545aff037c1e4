//! The folder and the logs of one test, and the rule for a test that cannot run here.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{PoisonError, RwLock};

use anyhow::{Context, Result, anyhow};
use nix::sys::resource::{Resource, getrlimit};

use crate::lab::Lab;
use crate::{browser, cameras, debian, disk, home_assistant, npm, porthole, python, viewer};

/// The environment variable that, when set to 1, makes a test fail instead of being skipped.
const REQUIRE_ALL: &str = "PORTHOLE_REQUIRE_ALL";
/// Lines of each log that an error shows: enough to see what went wrong, and few enough to find the
/// error.
const MAX_LOG_LINES: usize = 150;

/// A requirement of a test on the machine it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The NAT lab: root, `ip` and `nft`.
    Lab,
    /// The `porthole` program.
    Program,
    /// The program as it is packaged: `scripts/package program` has been run.
    Package,
    /// The native viewer.
    Viewer,
    /// Chromium and node. No other test with a browser runs meanwhile.
    Browser,
    /// The same for a test that measures no times: such tests run beside each other.
    SharedBrowser,
    /// GStreamer's RTSP server, with Debian's Python bindings.
    GstreamerRtsp,
    /// Debian's zeroconf for Python, which announces services with multicast DNS.
    Zeroconf,
    /// live555's RTSP server, downloaded once if it is not installed.
    Live555,
    /// GStreamer's WebRTC element, with decoders and Debian's Python bindings.
    Webrtcbin,
    /// The packages from PyPI, such as aioice and aiortc, downloaded once.
    PythonPackages,
    /// Home Assistant, downloaded once with the Debian that it runs on.
    HomeAssistant,
    /// A bare Debian, downloaded once.
    Debian,
    /// The npm packages of a folder of `tests`, downloaded once.
    NodePackages(&'static str),
    /// Permission to mount a file system.
    SmallDisk,
    /// A program of this name in `PATH`, from the packages that the README lists.
    Tool(&'static str),
    /// A clang whose version starts with this.
    Clang(&'static str),
    /// A limit of at least this many open files per process.
    OpenFiles(u64),
}

/// A folder for everything that one test starts. It is removed at the end of the test; if the test
/// failed, its logs are shown first.
#[derive(Debug)]
pub struct Scene {
    folder: tempfile::TempDir,
}

/// Runs a test, or prints its name and why it cannot run here.
///
/// # Panics
///
/// Panics if `body` fails, with the logs in the message; and if something is missing although
/// `PORTHOLE_REQUIRE_ALL` is 1.
pub fn scene(name: &str, needs: &[Need], body: impl FnOnce(&Scene) -> Result<()>) {
    let missing: Vec<String> = needs.iter().filter_map(|need| need.missing()).collect();
    if missing.is_empty() {
        // Two browsers compete for the cores, which shows where a test measures times.
        static BROWSER: RwLock<()> = RwLock::new(());
        let (alone, shared) =
            (needs.contains(&Need::Browser), needs.contains(&Need::SharedBrowser));
        let _alone = alone.then(|| BROWSER.write().unwrap_or_else(PoisonError::into_inner));
        let _shared = shared.then(|| BROWSER.read().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = Scene::play(name, body) {
            panic!("{error:#}");
        }
        return;
    }
    let message = format!("NOT RUN: {name}: {}", missing.join("; "));
    assert!(std::env::var(REQUIRE_ALL).as_deref() != Ok("1"), "{message}");
    // Not captured by the test harness: a skipped test must be visible.
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}

impl Scene {
    /// Runs a part of a test in a folder of its own. An error contains the logs.
    pub fn play<T>(name: &str, body: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let folder = tempfile::Builder::new().prefix("porthole-test-").tempdir()?;
        let scene = Self { folder };
        body(&scene).map_err(|error| anyhow!("{name}: {error:#}{}", scene.logs()))
    }

    /// Returns the folder of the scene.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Creates the data folder of `owner` and returns its path.
    pub fn data(&self, owner: &str) -> Result<PathBuf> {
        let path = self.folder().join(format!("{owner}.data"));
        std::fs::create_dir_all(&path).with_context(|| format!("no folder {}", path.display()))?;
        Ok(path)
    }

    /// Returns the last lines of every log.
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
    /// Returns why the need is not met, if it is not.
    fn missing(self) -> Option<String> {
        match self {
            Self::Lab => Lab::available().err(),
            Self::Program => porthole::binary().err().map(|error| format!("{error:#}")),
            Self::Package => porthole::packaged().err().map(|error| format!("{error:#}")),
            Self::Viewer => viewer::binary().err().map(|error| format!("{error:#}")),
            Self::Browser | Self::SharedBrowser => browser::available().err(),
            Self::Zeroconf => cameras::zeroconf().err().map(|error| format!("{error:#}")),
            Self::GstreamerRtsp => cameras::gstreamer().err().map(|error| format!("{error:#}")),
            Self::Live555 => cameras::live555().err(),
            Self::Webrtcbin => cameras::webrtcbin().err().map(|error| format!("{error:#}")),
            Self::PythonPackages => python::available().err(),
            Self::HomeAssistant => home_assistant::available().err(),
            Self::Debian => debian::available().err(),
            Self::NodePackages(folder) => npm::available(folder).err(),
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
    is_another.then(|| format!("clang {wanted}x is needed, not {version}"))
}

fn missing_files(wanted: u64) -> Option<String> {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard >= wanted => None,
        Ok((_, hard)) => Some(format!("{wanted} open files are needed, {hard} are allowed")),
        Err(error) => Some(format!("the limit of open files: {error}")),
    }
}

fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Prints a line that is shown even if the test passes.
pub fn report(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
