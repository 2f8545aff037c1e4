//! npm packages of the tests' scripts, installed beside them.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Installs the packages of the `package-lock.json` in a folder, unless they are there.
///
/// # Errors
///
/// Fails if node or npm is missing, or cannot install.
pub(crate) fn install(folder: &Path) -> Result<()> {
    Command::new("node").arg("--version").output().context("node is not installed")?;
    // Several test processes may want to install at the same time.
    let lock = File::open(folder.join("package-lock.json"))?;
    lock.lock()?;
    let installed = folder.join("node_modules/.package-lock.json");
    let modified = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
    if modified(&installed) >= modified(&folder.join("package-lock.json")) {
        return Ok(());
    }
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let output = Command::new("npm").args(arguments).current_dir(folder).output()?;
    ensure!(output.status.success(), "npm ci failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Installs the packages of a folder of `tests`; an error says why they cannot be used here.
pub(crate) fn available(folder: &str) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    install(&folder).map_err(|error| format!("no npm packages: {error:#}"))
}
