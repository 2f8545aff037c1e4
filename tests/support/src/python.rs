//! A Python with the packages of `python/requirements.txt`, which Debian does not have.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

/// Whether it can be run here; if not, why not. Installs the packages, once.
pub(crate) fn available() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    let probe = || install().map_err(|error| format!("no aioice: {error:#}"));
    AVAILABLE.get_or_init(probe).clone()
}

/// The interpreter that has them.
pub fn interpreter() -> Result<PathBuf> {
    Ok(home()?.join("bin/python"))
}

/// All tests of a target folder share it.
fn home() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    // target/<profile>/deps/<test>
    let target = exe.ancestors().nth(3).context("the test runs outside of a target folder")?;
    Ok(target.join("python"))
}

fn install() -> Result<()> {
    let (requirements, home) = (requirements(), home()?);
    // Several test processes may find it missing at once.
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
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.lines().last().unwrap_or_default());
    Ok(())
}
