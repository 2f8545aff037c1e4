//! What should go on whatever happens: a server whose demo camera somebody watches.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::{Server, binary};
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene};
use porthole_test_support::viewer::Viewer;

use crate::words::{check_secrets, check_sentence};

/// What most tests here need.
pub(crate) const NEEDS: [Need; 2] = [Need::Program, Need::Viewer];

/// The demo camera begins with the server; a first picture takes two seconds on a busy machine.
pub(crate) const CAMERA_DEADLINE: Duration = Duration::from_secs(30);
/// A second of the demo camera.
const FRAMES: u64 = 30;
const FRAMES_DEADLINE: Duration = Duration::from_secs(20);
/// A program that cannot go on says so within moments; SQLite waits 5 s for a lock.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// `porthole up --demo`, and a viewer.
#[derive(Debug)]
pub(crate) struct House<'a> {
    scene: &'a Scene,
    place: Place<'a>,
    pub(crate) server: Server<'a>,
    /// Of a viewer, for all cameras.
    pub(crate) token: String,
    viewer: Viewer,
    newcomers: u32,
}

impl<'a> House<'a> {
    pub(crate) fn start(scene: &'a Scene, place: Place<'a>, flags: &[&str]) -> Result<Self> {
        Self::start_in(scene, place, scene.data("server")?, flags)
    }

    pub(crate) fn start_in(
        scene: &'a Scene,
        place: Place<'a>,
        data: PathBuf,
        flags: &[&str],
    ) -> Result<Self> {
        let flags = [&["--demo"], flags].concat();
        let mut server = Server::start_in(scene, place, data, &flags)?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "demo", CAMERA_DEADLINE)?;
        let mut viewer = Viewer::start(scene, place, &server.url(""), &token, "demo")?;
        viewer.wait_for_frames(FRAMES, CAMERA_DEADLINE)?;
        Ok(Self { scene, place, server, token, viewer, newcomers: 0 })
    }

    /// The demo camera is live, whoever watches it sees it move, and so does a newcomer.
    pub(crate) fn check_unharmed(&mut self) -> Result<()> {
        self.wait_for_live("demo")?;
        self.viewer.wait_for_frames(FRAMES, FRAMES_DEADLINE)?;
        self.check_watchable("demo")
    }

    /// Somebody new sees this camera move.
    pub(crate) fn check_watchable(&mut self, camera: &str) -> Result<()> {
        self.newcomers += 1;
        let (name, url) = (format!("newcomer-{}", self.newcomers), self.server.url(""));
        let mut viewer =
            Viewer::start_as(self.scene, &name, self.place, &url, &self.token, camera)?;
        viewer.wait_for_frames(FRAMES, CAMERA_DEADLINE)
    }

    pub(crate) fn wait_for_live(&mut self, camera: &str) -> Result<()> {
        let what = format!("camera {camera} is live");
        let live = |camera: &serde_json::Value| camera["state"] == "live";
        self.server.wait_for_camera_that(&what, &self.token, camera, CAMERA_DEADLINE, live)?;
        Ok(())
    }

    /// Why a camera gives no picture, as its list says.
    pub(crate) fn reason(&mut self, camera: &str) -> Result<String> {
        let what = format!("camera {camera} has failed, with a reason");
        let failed = |camera: &serde_json::Value| {
            camera["state"] == "failed" && camera["reason"].is_string()
        };
        let camera = self.server.wait_for_camera_that(
            &what,
            &self.token,
            camera,
            CAMERA_DEADLINE,
            failed,
        )?;
        Ok(camera["reason"].as_str().context("a reason is text")?.to_owned())
    }

    /// The list gives the reason in one sentence, the log has it too, and neither has a secret.
    pub(crate) fn check_reason(
        &mut self,
        camera: &str,
        names: &[&str],
        secrets: &[&str],
    ) -> Result<()> {
        let reason = self.reason(camera)?;
        check_sentence(&reason, names, secrets).with_context(|| format!("camera {camera}"))?;
        let log = self.server.output()?;
        check_secrets(&log, secrets)?;
        let told = log.lines().any(|line| line.contains(&reason) && line.contains(camera));
        ensure!(told, "the log does not tell why {camera} failed: {reason}");
        Ok(())
    }
}

/// What a program said before it ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    code: Option<i32>,
    pub(crate) output: String,
}

/// `porthole` with these arguments.
pub(crate) fn porthole(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.args(arguments);
    Ok(command)
}

/// Runs a command that ends by itself. `name` names its log.
pub(crate) fn run_to_end(scene: &Scene, name: &str, command: &mut Command) -> Result<Ended> {
    let mut program = Program::start(scene, name, command)?;
    let code = program.wait(END_DEADLINE)?.code();
    Ok(Ended { code, output: program.output()? })
}

impl Ended {
    /// It ended with this code and one sentence, and told no secret anywhere.
    pub(crate) fn check(&self, code: i32, names: &[&str], secrets: &[&str]) -> Result<()> {
        ensure!(self.code == Some(code), "exit code {:?} instead of {code}", self.code);
        let lines: Vec<_> =
            self.output.lines().filter_map(|line| line.strip_prefix("porthole: ")).collect();
        let [sentence] = lines.as_slice() else {
            anyhow::bail!("it said {} sentences: {lines:?}", lines.len());
        };
        check_sentence(sentence, names, secrets)?;
        check_secrets(&self.output, secrets)
    }

    /// The command line was refused, and what it should have been was named.
    pub(crate) fn check_usage(&self, named: &str, secrets: &[&str]) -> Result<()> {
        ensure!(self.code == Some(2), "exit code {:?} instead of 2", self.code);
        ensure!(self.output.contains(named), "it does not name “{named}”: {}", self.output);
        check_secrets(&self.output, secrets)
    }
}
