//! Home Assistant, in a root file system of Debian 13: it needs a newer Python than Debian 12 has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::program::Place;

/// The release whose Python runs the packages of `python/home-assistant.txt`.
const RELEASE: &str = "trixie";
/// Packages of Debian: Python, what its packages from PyPI link to, and what a script of the
/// add-on finds in its own image.
const PACKAGES: &str = "ca-certificates,jq,libstdc++6,python3,python3-venv";
/// Steps that follow in the root file system, whose folder is `$1`. It trusts whom this machine
/// trusts.
const STEPS: [&str; 6] = [
    "copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs",
    "chroot \"$1\" python3 -m venv /home-assistant",
    "mkdir \"$1/scene\"",
    "ln -s /scene/data \"$1/data\"",
    "chroot \"$1\" sh -c 'cat >/requirements.txt' <\"$REQUIREMENTS\"",
    "chroot \"$1\" /home-assistant/bin/pip install --quiet --no-deps --only-binary :all: \
     --no-cache-dir --requirement /requirements.txt",
];
/// Runs a command in the root file system `$1` with the folder `$2` at `/scene`. What is mounted
/// ends with the command.
const ENTER: &str = "mount --make-rprivate / && mount -t proc proc \"$1/proc\" && \
    mount --rbind /dev \"$1/dev\" && mount --bind \"$2\" \"$1/scene\" && \
    root=$1 && shift 2 && exec chroot \"$root\" \"$@\"";
/// The interpreter with the packages.
const PYTHON: &str = "/home-assistant/bin/python";
/// Lines that are shown of what a program says when it fails.
const SHOWN_LINES: usize = 6;

/// Makes the root file system once; an error says why it cannot be used here.
pub(crate) fn available() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    let probe = || install().map_err(|error| format!("no Home Assistant: {error:#}"));
    AVAILABLE.get_or_init(probe).clone()
}

/// Returns a command that runs there, with this folder at `/scene`.
pub fn command(place: Place<'_>, scene: &Path, program: &str) -> Result<Command> {
    let mut command = place.command("unshare");
    command.env_clear().env("PATH", "/scene:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", "/scene").env("LANG", "C.UTF-8");
    command.args(["--mount", "sh", "-c", ENTER, "sh"]).arg(home()?.join("root")).arg(scene);
    command.arg(program);
    Ok(command)
}

/// Returns a command that runs a Python program there.
pub fn python(place: Place<'_>, scene: &Path) -> Result<Command> {
    command(place, scene, PYTHON)
}

/// Returns the folder with the root file system, which all tests of a target folder share.
fn home() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    // target/<profile>/deps/<test>
    let target = exe.ancestors().nth(3).context("the test runs outside of a target folder")?;
    Ok(target.join("home-assistant"))
}

fn install() -> Result<()> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/home-assistant.txt");
    // Several test processes may want to install at the same time.
    let lock = std::fs::File::open(&requirements)?;
    lock.lock()?;
    let wanted = format!(
        "{RELEASE} {PACKAGES}\n{}\n{}",
        STEPS.join("\n"),
        std::fs::read_to_string(&requirements)?
    );
    let found = Command::new("mmdebstrap").arg("--version").output();
    found.context("mmdebstrap is not installed")?;
    let home = home()?;
    let installed = home.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    // Three attempts: a file may arrive damaged.
    let attempt = || install_afresh(&requirements, &home);
    attempt().or_else(|_| attempt()).or_else(|_| attempt())?;
    Ok(std::fs::write(installed, wanted)?)
}

/// Makes the root file system, and downloads every package. Takes two minutes.
fn install_afresh(requirements: &Path, home: &Path) -> Result<()> {
    if home.exists() {
        std::fs::remove_dir_all(home)?;
    }
    std::fs::create_dir_all(home)?;
    // What it mounts ends with it, however it ends: the folder may be removed later.
    let mut command = Command::new("unshare");
    command.args(["--mount", "mmdebstrap"]);
    command.env("REQUIREMENTS", requirements);
    command.args(["--quiet", "--variant=essential", &format!("--include={PACKAGES}")]);
    command.args(STEPS.map(|step| format!("--customize-hook={step}")));
    command.arg(RELEASE).arg(home.join("root"));
    let output = command.output()?;
    ensure!(output.status.success(), failure(&output.stderr));
    Ok(())
}

/// Returns the last lines that say something.
fn failure(stderr: &[u8]) -> anyhow::Error {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
    anyhow!("{}", shown.join(" | "))
}
