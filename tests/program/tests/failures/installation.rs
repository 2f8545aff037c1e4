//! An installation that must keep working: a server whose demo camera is being watched.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene};
use porthole_test_support::viewer::Viewer;

use crate::sentence::{check_secrets, check_sentence};

/// The needs of most tests here.
pub(crate) const NEEDS: [Need; 2] = [Need::Program, Need::Viewer];

/// The demo camera starts with the server; a first picture takes two seconds on a busy machine.
pub(crate) const CAMERA_DEADLINE: Duration = Duration::from_secs(30);
/// One second of the demo camera.
const FRAMES: u64 = 30;
const FRAMES_DEADLINE: Duration = Duration::from_secs(20);

/// `porthole up --demo` with a viewer that watches the demo camera all the time.
#[derive(Debug)]
pub(crate) struct Installation<'a> {
    scene: &'a Scene,
    place: Place<'a>,
    pub(crate) server: Server<'a>,
    /// A viewer's API token for all cameras.
    pub(crate) token: String,
    viewer: Viewer,
    new_viewers: u32,
}

impl<'a> Installation<'a> {
    /// Starts the server with these additional flags, and returns once its viewer has a picture.
    pub(crate) fn start(scene: &'a Scene, place: Place<'a>, flags: &[&str]) -> Result<Self> {
        Self::start_in(scene, place, scene.data("server")?, flags)
    }

    /// Starts the server in a given data folder.
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
        Ok(Self { scene, place, server, token, viewer, new_viewers: 0 })
    }

    /// Checks that the demo camera is live and that its viewer and a new one receive frames.
    pub(crate) fn check_unharmed(&mut self) -> Result<()> {
        self.wait_for_live("demo")?;
        self.viewer.wait_for_frames(FRAMES, FRAMES_DEADLINE)?;
        self.check_watchable("demo")
    }

    /// Checks that a new viewer receives frames from this camera.
    pub(crate) fn check_watchable(&mut self, camera: &str) -> Result<()> {
        self.new_viewers += 1;
        let (name, url) = (format!("new-viewer-{}", self.new_viewers), self.server.url(""));
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

    /// Waits until a camera has failed, and returns the reason from the list that somebody gets.
    fn wait_for_reason(&mut self, token: &str, camera: &str) -> Result<String> {
        let what = format!("camera {camera} has failed, with a reason");
        let failed = |camera: &serde_json::Value| {
            camera["state"] == "failed" && camera["reason"].is_string()
        };
        let camera =
            self.server.wait_for_camera_that(&what, token, camera, CAMERA_DEADLINE, failed)?;
        Ok(camera["reason"].as_str().context("a reason is text")?.to_owned())
    }

    /// Checks that the list of cameras gives the reason of a failure in one sentence, without
    /// addresses to those who do not manage the gateway, that the log contains it too, and that
    /// none contains a secret.
    pub(crate) fn check_reason(
        &mut self,
        camera: &str,
        names: &[&str],
        secrets: &[&str],
    ) -> Result<()> {
        let (admin, viewer) = (self.server.token("admin", &[])?, self.token.clone());
        let told = self.wait_for_reason(&viewer, camera)?;
        let is_address = |name: &&&str| name.contains(':');
        let shown = names.iter().filter(is_address).find(|name| told.contains(**name));
        ensure!(shown.is_none(), "a viewer is told the address of {camera}: {told}");
        let reason = self.wait_for_reason(&admin, camera)?;
        check_sentence(&reason, names, secrets).with_context(|| format!("camera {camera}"))?;
        let log = self.server.output()?;
        check_secrets(&log, secrets)?;
        let is_logged = log.lines().any(|line| line.contains(&reason) && line.contains(camera));
        ensure!(is_logged, "the log does not say why {camera} failed: {reason}");
        Ok(())
    }
}
