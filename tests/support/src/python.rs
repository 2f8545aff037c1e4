//! A Python environment with the packages of `python/requirements.txt`, which are not in Debian.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Error, Result, anyhow};

/// Lines that are shown of what a program says when it fails.
const SHOWN_LINES: usize = 6;

/// Installs the packages once; an error says why the environment cannot be used here.
pub(crate) fn available() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    let probe = || install().map_err(|error| format!("no Python packages: {error:#}"));
    AVAILABLE.get_or_init(probe).clone()
}

/// Returns the path of the interpreter that has the packages.
pub fn interpreter() -> Result<PathBuf> {
    Ok(home()?.join("bin/python"))
}

/// Returns the folder of the environment, which all tests of a target folder share.
fn home() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    // target/<profile>/deps/<test>
    let target = exe.ancestors().nth(3).context("the test runs outside of a target folder")?;
    Ok(target.join("python"))
}

fn install() -> Result<()> {
    let (requirements, home) = (requirements(), home()?);
    // Several test processes may want to install at the same time.
    let lock = std::fs::File::open(&requirements)?;
    lock.lock()?;
    let installed = home.join("requirements.txt");
    if std::fs::read(&installed).ok() == Some(std::fs::read(&requirements)?) {
        return Ok(());
    }
    // Three attempts: a file may arrive damaged.
    let attempt = || install_afresh(&requirements, &home);
    attempt().or_else(|_| attempt()).or_else(|_| attempt())?;
    std::fs::copy(&requirements, installed)?;
    Ok(())
}

/// Makes the environment and downloads every package, whatever pip's cache holds.
fn install_afresh(requirements: &Path, home: &Path) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
    let mut command = Command::new(interpreter()?);
    command.args(pip).arg("--no-cache-dir").arg("--requirement").arg(requirements);
    run(&mut command)
}

fn requirements() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/requirements.txt")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("could not start {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failure(&output.stderr))
}

/// Returns the last lines that say something.
fn failure(stderr: &[u8]) -> Error {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
    anyhow!("{}", shown.join(" | "))
}
