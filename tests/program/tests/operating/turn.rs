//! `porthole turn` with a configuration file, asked with `porthole netcheck`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::http::{self, Answer};
use porthole_test_support::porthole::binary;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::Scene;
use serde_json::Value;

/// Generous: it starts in milliseconds.
const READY_DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "a-token-of-the-admin-api";

/// A TURN server of its own, with a user `anna` whose password is `secret`.
pub(crate) struct Turn {
    pub(crate) turn: SocketAddr,
    pub(crate) admin: SocketAddr,
    file: PathBuf,
    pub(crate) program: Program,
}

impl Turn {
    /// With these lines of `[turn]` besides.
    pub(crate) fn start(scene: &Scene, lines: &str) -> Result<Self> {
        Self::start_named(scene, "turn", lines)
    }

    pub(crate) fn start_named(scene: &Scene, name: &str, lines: &str) -> Result<Self> {
        Self::start_with(scene, name, lines, |_| {})
    }

    /// What else the command needs is said in `prepare`.
    pub(crate) fn start_with(
        scene: &Scene,
        name: &str,
        lines: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let (turn, admin) = (free_port()?, free_port()?);
        let file = scene.folder().join(format!("{name}.toml"));
        std::fs::write(&file, text(turn, admin, lines))?;
        let mut command = Place::Here.command(binary()?);
        command.arg("turn").arg("--config").arg(&file);
        prepare(&mut command);
        let mut program = Program::start(scene, name, &mut command)?;
        let url = format!("http://{admin}/healthz");
        program.wait_for("the admin API answers", READY_DEADLINE, |_| {
            Ok(http::get(Place::Here, &url, None).ok())
        })?;
        Ok(Self { turn, admin, file, program })
    }

    /// Writes the file again; nobody is told.
    pub(crate) fn write(&self, lines: &str) -> Result<()> {
        Ok(std::fs::write(&self.file, text(self.turn, self.admin, lines))?)
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        http::get(Place::Here, &format!("http://{}{path}", self.admin), Some(TOKEN))
    }

    /// `POST /reload`.
    pub(crate) fn reload(&self) -> Result<Answer> {
        let url = format!("http://{}/reload", self.admin);
        http::post(Place::Here, &url, Some(TOKEN), &Value::Null)
    }

    /// `DELETE /sessions/ID`.
    pub(crate) fn end(&self, id: &str) -> Result<()> {
        let url = format!("http://{}/sessions/{id}", self.admin);
        let answer = http::delete(Place::Here, &url, Some(TOKEN))?;
        ensure!(answer.status == 204, "{answer:?}");
        Ok(())
    }

    /// What `porthole netcheck` says about TURN over UDP with this account.
    pub(crate) fn ask(&self, account: &str) -> Result<Value> {
        let server = self.turn.to_string();
        let arguments = ["netcheck", "--server", &server, "--user", account, "--json"];
        let output = Place::Here.command(binary()?).args(arguments).output()?;
        let report: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("netcheck said {}", String::from_utf8_lossy(&output.stderr))
        })?;
        let checks = report["checks"].as_array().context("a list of checks")?;
        let check = checks.iter().find(|check| check["what"] == "TURN over UDP");
        check.cloned().context("TURN over UDP was tried")
    }

    /// Where it relays for this account.
    pub(crate) fn relayed(&self, account: &str) -> Result<SocketAddr> {
        let check = self.ask(account)?;
        ensure!(check["result"] == "ok", "{account} is refused: {check}");
        Ok(check["seen"].as_str().context("an address")?.parse()?)
    }

    pub(crate) fn refuses(&self, account: &str) -> Result<()> {
        let check = self.ask(account)?;
        ensure!(check["result"] == "failed", "{account} is let in: {check}");
        Ok(())
    }

    /// A metric without labels, or with all of them.
    pub(crate) fn metric(&self, series: &str) -> Result<u64> {
        let text = self.get("/metrics")?.body;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no {series} in {text}"))?.parse()?)
    }
}

fn text(turn: SocketAddr, admin: SocketAddr, lines: &str) -> String {
    let mut text = String::from("[turn]\n");
    let mut key = |name: &str, value: &str| {
        if !lines.lines().any(|line| line.starts_with(&format!("{name} ="))) {
            let _ = writeln!(text, "{name} = {value}");
        }
    };
    key("listen", &format!("[\"{turn}\"]"));
    key("admin", &format!("\"{admin}\""));
    key("admin_token", &format!("\"{TOKEN}\""));
    key("users.anna", "\"secret\"");
    key("workers", "1");
    text.push_str(lines);
    text.push('\n');
    text
}
