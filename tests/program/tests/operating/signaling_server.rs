//! A signaling server that gives its peers a TURN server of another process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole::binary;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::Scene;
use porthole_test_support::wait;

const DEADLINE: Duration = Duration::from_secs(30);

/// A running signaling server.
#[derive(Debug)]
pub(crate) struct SignalingServer {
    program: Program,
    config: PathBuf,
    data: PathBuf,
    pub(crate) url: String,
    /// The token of a viewer.
    pub(crate) token: String,
}

impl SignalingServer {
    /// Starts one that gives out the TURN server at a URI, with which it shares a secret.
    pub(crate) fn start(scene: &Scene, turn: &str, secret: &str) -> Result<Self> {
        Self::start_with(scene, &config_text(turn, secret))
    }

    /// Starts one with this configuration.
    pub(crate) fn start_with(scene: &Scene, text: &str) -> Result<Self> {
        let (address, data) = (free_port()?, scene.data("server")?);
        let config = scene.folder().join("signaling.toml");
        std::fs::write(&config, text)?;
        let mut command = Place::Here.command(binary()?);
        command.arg("signaling").args(["--http", &address.to_string()]);
        command.arg("--data").arg(&data).arg("--config").arg(&config);
        let mut program = Program::start(scene, "signaling", &mut command)?;
        let url = format!("http://{address}");
        program.wait_for("the server responds", DEADLINE, |_| {
            Ok(http::get(Place::Here, &format!("{url}/healthz"), None).ok())
        })?;
        let token = word(&data, &["token", "create", "--role", "viewer", "--name", "test"])?;
        Ok(Self { program, config, data, url, token })
    }

    /// Makes it give out this TURN server and sign with this secret from now on.
    pub(crate) fn reload(&self, turn: &str, secret: &str) -> Result<()> {
        self.reload_with(&config_text(turn, secret))
    }

    /// Makes it use this configuration from now on.
    pub(crate) fn reload_with(&self, text: &str) -> Result<()> {
        std::fs::write(&self.config, text)?;
        self.program.reload()
    }

    /// Returns everything that it has printed.
    pub(crate) fn output(&self) -> Result<String> {
        self.program.output()
    }

    /// Creates a claim code for a gateway.
    pub(crate) fn claim(&self) -> Result<String> {
        word(&self.data, &["claim", "create"])
    }

    /// Waits until a gateway has reported a camera.
    pub(crate) fn wait_for_camera(&self, camera: &str) -> Result<()> {
        wait::until("the camera is known", DEADLINE, || {
            let list = format!("{}/api/v1/cameras", self.url);
            let list = http::get(Place::Here, &list, Some(&self.token))?.body;
            Ok(list.contains(&format!("\"{camera}\"")).then_some(()))
        })
    }
}

fn config_text(turn: &str, secret: &str) -> String {
    format!("[signaling]\nturn_urls = ['{turn}']\nturn_secret = '{secret}'\n")
}

/// Runs a command of the program on a data folder, and returns the word that it prints.
fn word(data: &Path, arguments: &[&str]) -> Result<String> {
    let output = Place::Here.command(binary()?).args(arguments).arg("--data").arg(data).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
