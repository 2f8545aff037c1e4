//! The native viewer, `porthole-viewer`, which plays a camera without a browser.
//!
//! It is started as `porthole-viewer --server URL --token TOKEN --camera ID` and prints JSON lines
//! until it is stopped:
//!
//! ```json
//! {"event":"path","pair":{"local":{"type":"host","protocol":"udp","relayProtocol":null,
//!  "address":"192.168.1.2","port":4000},"remote":{…},"roundTripMs":1.5}}
//! {"event":"frames","count":31}
//! {"event":"error","message":"…"}
//! ```
//!
//! A `path` line follows each change of the selected candidate pair. A `frames` line has the number
//! of complete frames since the start; it is printed several times a second while the number grows.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::path::{Pair, Path};
use crate::program::{Place, Program};
use crate::scene::Scene;

/// Returns the path of the viewer: `PORTHOLE_VIEWER_BIN`, or the one next to the test executable.
pub fn binary() -> Result<PathBuf> {
    crate::porthole::next_to_the_test("PORTHOLE_VIEWER_BIN", "porthole-viewer")
}

/// A running native viewer, stopped when dropped.
#[derive(Debug)]
pub struct Viewer {
    program: Program,
}

impl Viewer {
    /// Starts a viewer of one camera, with the log name `viewer`.
    pub fn start(
        scene: &Scene,
        place: Place<'_>,
        server: &str,
        token: &str,
        camera: &str,
    ) -> Result<Self> {
        Self::start_as(scene, "viewer", place, server, token, camera)
    }

    /// Starts one of several viewers in a scene; `name` is the name of its log.
    pub fn start_as(
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        server: &str,
        token: &str,
        camera: &str,
    ) -> Result<Self> {
        Self::start_with(scene, (name, place), (server, token, camera), &[])
    }

    /// Starts a viewer with this name of its log that is connected through a relay only.
    pub fn start_relayed(
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        server: &str,
        token: &str,
        camera: &str,
    ) -> Result<Self> {
        Self::start_with(scene, (name, place), (server, token, camera), &["--turn-only"])
    }

    fn start_with(
        scene: &Scene,
        (name, place): (&str, Place<'_>),
        (server, token, camera): (&str, &str, &str),
        flags: &[&str],
    ) -> Result<Self> {
        let mut command = place.command(binary()?);
        command.args(["--server", server, "--token", token, "--camera", camera]).args(flags);
        Ok(Self { program: Program::start(scene, name, &mut command)? })
    }

    /// Waits until media takes this path, and returns the selected pair.
    pub fn wait_for_path(&mut self, path: Path, deadline: Duration) -> Result<Pair> {
        let what = format!("media takes the path {path:?}");
        self.program.wait_for(&what, deadline, |program| {
            let last = program.events()?.into_iter().rev().find(|event| event["event"] == "path");
            let pair = last.map(|mut event| serde_json::from_value::<Pair>(event["pair"].take()));
            Ok(pair.transpose()?.filter(|pair| pair.path() == path))
        })
    }

    /// Returns the number of complete frames received so far.
    pub fn frames(&self) -> Result<u64> {
        frames(&self.program.events()?)
    }

    /// Waits until this many more frames have been received.
    pub fn wait_for_frames(&mut self, more: u64, deadline: Duration) -> Result<()> {
        let enough = self.frames()? + more;
        self.program.wait_for(&format!("{more} more frames are received"), deadline, |program| {
            Ok((frames(&program.events()?)? >= enough).then_some(()))
        })
    }
}

fn frames(events: &[Value]) -> Result<u64> {
    let last = events.iter().rev().find(|event| event["event"] == "frames");
    let Some(event) = last else { return Ok(0) };
    ensure!(event["count"].is_u64(), "no count in {event}");
    Ok(event["count"].as_u64().unwrap_or_default())
}
