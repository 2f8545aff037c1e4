//! A Python environment with the packages of `python/requirements.txt`, which are not in Debian.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

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
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
    run(Command::new(interpreter()?).args(pip).arg("--requirement").arg(&requirements))?;
    std::fs::copy(&requirements, installed)?;
    Ok(())
}

fn requirements() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/requirements.txt")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("could not start {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", errors.lines().last().unwrap_or_default());
    Ok(())
}
