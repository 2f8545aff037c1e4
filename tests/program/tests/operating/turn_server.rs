//! `porthole turn` with a configuration file, checked with `porthole netcheck`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::http;
use porthole_test_support::http::Response;
use porthole_test_support::porthole::binary;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::Scene;
use serde_json::Value;

/// The server starts in milliseconds; this is for a loaded machine.
const READY_DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "a-token-of-the-admin-api";

/// A TURN server with a user `anna` whose password is `secret`, and with an admin API.
pub(crate) struct TurnServer {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    file: PathBuf,
    pub(crate) program: Program,
}

impl TurnServer {
    /// Starts a server with these additional lines in `[turn]`.
    pub(crate) fn start(scene: &Scene, lines: &str) -> Result<Self> {
        Self::start_named(scene, "turn", lines)
    }

    /// Starts one of several servers of a scene; `name` is the name of its file and log.
    pub(crate) fn start_named(scene: &Scene, name: &str, lines: &str) -> Result<Self> {
        Self::start_with(scene, name, lines, |_| {})
    }

    /// Starts a server whose command `prepare` may change.
    pub(crate) fn start_with(
        scene: &Scene,
        name: &str,
        lines: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let (address, admin) = (free_port()?, free_port()?);
        let file = scene.folder().join(format!("{name}.toml"));
        std::fs::write(&file, config_text(address, admin, lines))?;
        let mut command = Place::Here.command(binary()?);
        command.arg("turn").arg("--config").arg(&file);
        prepare(&mut command);
        let mut program = Program::start(scene, name, &mut command)?;
        let url = format!("http://{admin}/healthz");
        program.wait_for("the admin API answers", READY_DEADLINE, |_| {
            Ok(http::get(Place::Here, &url, None).ok())
        })?;
        Ok(Self { address, admin, file, program })
    }

    /// Kills the program, as a power cut would, and starts it again at the same ports.
    pub(crate) fn replace_program(self, scene: &Scene, name: &str) -> Result<Self> {
        let Self { address, admin, file, program } = self;
        program.kill()?;
        let mut command = Place::Here.command(binary()?);
        command.arg("turn").arg("--config").arg(&file);
        let program = Program::start(scene, name, &mut command)?;
        Ok(Self { address, admin, file, program })
    }

    /// Rewrites the configuration file, without a reload.
    pub(crate) fn write_config(&self, lines: &str) -> Result<()> {
        Ok(std::fs::write(&self.file, config_text(self.address, self.admin, lines))?)
    }

    /// Returns the path of its configuration file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn get(&self, path: &str) -> Result<Response> {
        http::get(Place::Here, &format!("http://{}{path}", self.admin), Some(TOKEN))
    }

    /// Sends `POST /reload` to the admin API.
    pub(crate) fn reload(&self) -> Result<Response> {
        let url = format!("http://{}/reload", self.admin);
        http::post(Place::Here, &url, Some(TOKEN), &Value::Null)
    }

    /// Sends `DELETE /sessions/ID` to the admin API.
    pub(crate) fn end_session(&self, id: &str) -> Result<()> {
        let url = format!("http://{}/sessions/{id}", self.admin);
        let response = http::delete(Place::Here, &url, Some(TOKEN))?;
        ensure!(response.status == 204, "{response:?}");
        Ok(())
    }

    /// Returns the result of `porthole netcheck` for TURN over UDP with this account.
    pub(crate) fn netcheck(&self, account: &str) -> Result<Value> {
        let server = self.address.to_string();
        let arguments = ["netcheck", "--server", &server, "--user", account, "--json"];
        let output = Place::Here.command(binary()?).args(arguments).output()?;
        let report: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("netcheck printed {}", String::from_utf8_lossy(&output.stderr))
        })?;
        let checks = report["checks"].as_array().context("a list of checks")?;
        let check = checks.iter().find(|check| check["what"] == "TURN over UDP");
        check.cloned().context("TURN over UDP was tried")
    }

    /// Checks that this account can allocate, and returns its relayed address.
    pub(crate) fn check_accepts(&self, account: &str) -> Result<SocketAddr> {
        let check = self.netcheck(account)?;
        ensure!(check["result"] == "ok", "{account} is refused: {check}");
        Ok(check["seen"].as_str().context("an address")?.parse()?)
    }

    pub(crate) fn check_refuses(&self, account: &str) -> Result<()> {
        let check = self.netcheck(account)?;
        ensure!(check["result"] == "failed", "{account} is accepted: {check}");
        Ok(())
    }

    /// Returns the value of a metric; `series` is its name with all its labels.
    pub(crate) fn metric(&self, series: &str) -> Result<u64> {
        let text = self.get("/metrics")?.body;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no {series} in {text}"))?.parse()?)
    }
}

/// Returns a configuration file in which `lines` replace the defaults of the same name.
fn config_text(turn: SocketAddr, admin: SocketAddr, lines: &str) -> String {
    let mut text = String::from("[turn]\n");
    let mut default = |name: &str, value: &str| {
        if !lines.lines().any(|line| line.starts_with(&format!("{name} ="))) {
            let _ = writeln!(text, "{name} = {value}");
        }
    };
    default("listen", &format!("[\"{turn}\"]"));
    default("admin", &format!("\"{admin}\""));
    default("admin_token", &format!("\"{TOKEN}\""));
    default("users.anna", "\"secret\"");
    default("workers", "1");
    // A test ends without waiting for the allocations that its clients still have.
    default("drain_s", "0");
    text.push_str(lines);
    text.push('\n');
    text
}
