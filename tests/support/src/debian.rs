//! Machines with a Debian of their own: bare, as a provider of servers installs it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::lab::Host;
use crate::program::Program;
use crate::scene::Scene;

/// The oldest release that the packages are for.
const RELEASE: &str = "bookworm";
/// The least that is needed to start a machine: essential packages, apt and systemd.
const OPTIONS: [&str; 3] = ["--quiet", "--variant=minbase", "--include=systemd-sysv"];
/// Lines that are shown of what a program says when it fails.
const SHOWN_LINES: usize = 6;
/// Mounts take milliseconds.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// The root of a machine in its namespace of mounts.
const TREE: &str = "/mnt/tree";
/// Makes a machine named `$2` of the root file system `$1`: what it writes is in memory, and ends
/// with this process. It has the names that an installer writes, and no DNS.
const BOOT: &str = "set -e
    mount --make-rprivate /
    hostname \"$2\"
    mount -t tmpfs -o mode=755 tmpfs /mnt
    mkdir /mnt/upper /mnt/work /mnt/tree
    mount -t overlay overlay -o \"lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work\" /mnt/tree
    for folder in proc dev; do mount --rbind \"/$folder\" \"/mnt/tree/$folder\"; done
    mount -t tmpfs -o mode=755 tmpfs /mnt/tree/run
    mount -t tmpfs -o mode=1777 tmpfs /mnt/tree/tmp
    printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n' \"$2\" >/mnt/tree/etc/hosts
    : >/mnt/tree/etc/resolv.conf
    echo ready
    exec sleep infinity";
/// The search path of root on Debian.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Runs a service as systemd does, as far as its user, its folders, its credentials and its
/// capabilities go: `sh -c SCRIPT sh USER STATE CREDENTIALS CAPABILITY COMMAND…`.
const SERVICE: &str = "set -e
    user=$1 state=$2 credentials=$3 capability=$4
    shift 4
    install -d -m 700 -o \"$user\" -g \"$user\" \"/var/lib/$state\" \"/run/credentials/$state\"
    for pair in $credentials; do
        install -m 400 -o \"$user\" \"${pair#*:}\" \"/run/credentials/$state/${pair%%:*}\"
    done
    exec setpriv --reuid \"$user\" --regid \"$user\" --clear-groups --no-new-privs \
        --bounding-set \"-all,+$capability\" --inh-caps \"-all,+$capability\" \
        --ambient-caps \"-all,+$capability\" \"$@\"";

/// A machine in the lab with a file system of its own. Nothing runs there until it is started: it
/// has no init.
#[derive(Debug)]
pub struct Machine<'a> {
    scene: &'a Scene,
    name: String,
    /// The owner of the namespaces.
    holder: Program,
}

/// Makes the root file system once; an error says why it cannot be used here.
pub(crate) fn available() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    let probe = || install().map_err(|error| format!("no bare Debian: {error:#}"));
    AVAILABLE.get_or_init(probe).clone()
}

impl<'a> Machine<'a> {
    /// Makes a machine of this name, on this host of the lab.
    pub fn new(scene: &'a Scene, host: &Host, name: &str) -> Result<Self> {
        let mut command = host.command("unshare");
        command.args(["--mount", "--uts", "sh", "-c", BOOT, "sh"]).arg(home()?.join("root"));
        let log = format!("machine-{name}");
        let mut holder = Program::start(scene, &log, command.arg(name))?;
        holder.wait_for("the machine has its file system", READY_DEADLINE, |holder| {
            Ok(holder.output()?.contains("ready").then_some(()))
        })?;
        Ok(Self { scene, name: name.to_owned(), holder })
    }

    /// Returns a command that runs there, as root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.pid().to_string(), "--mount", "--uts", "--net"]);
        command.args(["chroot", TREE, program]);
        command.env_clear().env("PATH", PATH).env("HOME", "/root").env("LANG", "C.UTF-8");
        // systemctl changes files there, and does not ask the systemd of the machine that tests.
        command.env("SYSTEMD_OFFLINE", "1");
        command
    }

    /// Returns a command that does what a person types, in root's folder.
    fn line(&self, line: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-c", &format!("cd /root && {line}")]);
        command
    }

    /// Runs what a person types to its end, and returns what it prints.
    pub fn type_line(&self, line: &str) -> Result<String> {
        let output = self.line(line).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {line}: {text}{errors}", self.name);
        Ok(text)
    }

    /// Runs what a person types to its failure, and returns the error that it prints.
    pub fn mistype_line(&self, line: &str) -> Result<String> {
        let output = self.line(line).output()?;
        ensure!(!output.status.success(), "{}: {line} has not failed", self.name);
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Begins with what a person types.
    pub fn start_line(&self, line: &str) -> Result<Program> {
        Program::start(self.scene, &format!("{}-typed", self.name), &mut self.line(line))
    }

    /// Returns a file of the machine. Links with an absolute path lead out of it.
    pub fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{TREE}{file}", self.holder.pid()))
    }

    /// Puts a copy of a file there.
    pub fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let to = self.path(to);
        std::fs::copy(from, &to).with_context(|| to.display().to_string())?;
        Ok(())
    }

    /// Writes a file there that everybody can read.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.path(file), text)?)
    }

    /// Returns true if the machine starts this service when it starts.
    pub fn is_enabled(&self, service: &str) -> bool {
        self.wanted(service).symlink_metadata().is_ok()
    }

    fn wanted(&self, service: &str) -> PathBuf {
        self.path(&format!("/etc/systemd/system/multi-user.target.wants/{service}.service"))
    }

    /// Starts a service that is enabled, in place of systemd, with these variables in addition.
    pub fn start(&self, service: &str, environment: &[(&str, &str)]) -> Result<Program> {
        let link = std::fs::read_link(self.wanted(service))?;
        let file = self.path(link.to_str().context("a path of text")?);
        let unit = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let value = |key: &str| {
            let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.with_context(|| format!("{service} has no {key}"))
        };
        ensure!(value("DynamicUser")? == "yes", "{service} runs as another user than its own");
        let state = value("StateDirectory")?;
        let capability = value("AmbientCapabilities")?.to_lowercase();
        let capability = capability.strip_prefix("cap_").context("a capability")?;
        let credentials = format!("/run/credentials/{state}");
        let line = value("ExecStart")?.replace("%d", &credentials);
        let mut command = self.command("sh");
        command.args(["-c", SERVICE, "sh", service, state, value("LoadCredential")?, capability]);
        command.args(line.split(' ')).envs(environment.iter().copied());
        Program::start(self.scene, &format!("{}-{service}", self.name), &mut command)
    }

    /// Returns the text of a file.
    pub fn read(&self, file: &str) -> Result<String> {
        std::fs::read_to_string(self.path(file)).with_context(|| file.to_owned())
    }

    /// Returns the name of the user of a file.
    pub fn owner(&self, file: &str) -> Result<String> {
        let uid = self.path(file).symlink_metadata()?.uid();
        let users = std::fs::read_to_string(self.path("/etc/passwd"))?;
        let user = users.lines().find(|line| line.split(':').nth(2) == Some(&*uid.to_string()));
        let name = user.and_then(|line| line.split(':').next()).context("a user")?;
        Ok(name.to_owned())
    }
}

/// Returns the folder with the root file system, which all tests of a target folder share.
fn home() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    // target/<profile>/deps/<test>
    let target = exe.ancestors().nth(3).context("the test runs outside of a target folder")?;
    Ok(target.join("debian"))
}

fn install() -> Result<()> {
    // Several test processes may want to install at the same time.
    let lock = std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))?;
    lock.lock()?;
    let found = Command::new("mmdebstrap").arg("--version").output();
    found.context("mmdebstrap is not installed")?;
    let (wanted, home) = (format!("{RELEASE} {}", OPTIONS.join(" ")), home()?);
    let installed = home.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    // Two attempts: a file may arrive damaged.
    install_afresh(&home).or_else(|_| install_afresh(&home))?;
    Ok(std::fs::write(installed, wanted)?)
}

/// Makes the root file system. Takes a minute.
fn install_afresh(home: &Path) -> Result<()> {
    if home.exists() {
        std::fs::remove_dir_all(home)?;
    }
    std::fs::create_dir_all(home)?;
    // What it mounts ends with it, however it ends: the folder may be removed later.
    let mut command = Command::new("unshare");
    command.args(["--mount", "mmdebstrap"]).args(OPTIONS).arg(RELEASE).arg(home.join("root"));
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
    ensure!(output.status.success(), anyhow!("{}", shown.join(" | ")));
    Ok(())
}
