//! Players of other projects watch the built-in camera over WHEP, and hear it where they ask for
//! sound. Their offers have sections for audio and data beside the video, in any order, in one
//! bundle or in none.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::{cameras, python};

mod comings;
mod sources;
mod tone;
mod webrtc_crate;

/// Pictures that a player must decode, so that more than the first burst has arrived.
const PICTURES: usize = 20;
/// Packets of sound that a player must get: a second of it.
const SOUNDS: usize = 50;
/// Start of an interpreter and a connection on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time until the demo camera is live.
const CAMERA_DEADLINE: Duration = Duration::from_secs(30);

/// The sections of the offers, in their order.
const ORDERS: [&str; 8] = [
    "video",
    "video,audio",
    "audio,video",
    "video,data",
    "data,video",
    "video,audio,data",
    "data,audio,video",
    "audio,data,video",
];

/// A player, as the command that starts it.
#[derive(Clone, Copy)]
enum Player {
    Aiortc,
    Webrtcbin,
    Werift,
}

impl Player {
    /// Returns true for the offers with which aiortc 1.16 stops its only transport: with max-bundle
    /// its data channel, if it is made first, owns the transport, which an answer then replaces.
    fn stops_itself(self, sections: &str, bundle: &str) -> bool {
        matches!(self, Self::Aiortc) && sections.starts_with("data") && bundle == "max-bundle"
    }

    fn command(self) -> Result<Command> {
        let (interpreter, script) = match self {
            Self::Aiortc => (python::interpreter()?, "aiortc_player.py"),
            Self::Webrtcbin => (PathBuf::from(cameras::PYTHON), "webrtcbin_player.py"),
            Self::Werift => (PathBuf::from("node"), "werift/player.mjs"),
        };
        let mut command = Command::new(interpreter);
        command.arg(folder().join(script));
        Ok(command)
    }
}

/// Returns the number of packets of sound that must come: none without a section for them.
fn sounds(sections: &str) -> usize {
    if sections.contains("audio") { SOUNDS } else { 0 }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players")
}

/// A running program with one camera, and a viewer's token.
struct Installation<'a> {
    scene: &'a Scene,
    server: Server<'a>,
    token: String,
    /// The most packets of sound that the camera has: none if it is without.
    sounds: usize,
}

impl<'a> Installation<'a> {
    fn start(scene: &'a Scene, name: &str, source: &str) -> Result<Self> {
        let camera = format!("camera={source}");
        let data = scene.data(name)?;
        let mut server = Server::start_in(scene, Place::Here, data, &["--camera", &camera])?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "camera", CAMERA_DEADLINE)?;
        Ok(Self { scene, server, token, sounds: SOUNDS })
    }

    /// Lets a player watch until it has its pictures, and returns what it has printed.
    fn play(&self, player: Player, sections: &str, bundle: &str) -> Result<String> {
        let name = format!("{sections}-{bundle}");
        let sounds = sounds(sections).min(self.sounds);
        let mut command = player.command()?;
        command.arg(self.server.url("/whep/camera")).args([
            &self.token,
            sections,
            bundle,
            &PICTURES.to_string(),
            &sounds.to_string(),
        ]);
        let what = || format!("an offer of {sections}, bundled as {bundle}");
        let mut program = Program::start(self.scene, &name, &mut command)?;
        let status = program.wait(PATIENCE).with_context(what)?;
        ensure!(status.success(), "{}: {status}", what());
        program.output()
    }

    /// Lets a player watch, and returns the sizes of the pictures that it has printed.
    fn watch(&self, player: Player, sections: &str, bundle: &str) -> Result<Vec<String>> {
        let output = self.play(player, sections, bundle)?;
        let pictures = output.lines().filter(|line| line.starts_with("picture"));
        let pictures: Vec<_> = pictures.map(str::to_owned).collect();
        let count = pictures.len();
        ensure!(count >= PICTURES, "an offer of {sections}, bundled as {bundle}: {count} pictures");
        Ok(pictures)
    }

    /// Lets a player watch with every order of sections and each of these ways to bundle them.
    fn watch_all(&self, player: Player, bundles: &[&str], last: &str) -> Result<()> {
        for bundle in bundles {
            for sections in ORDERS {
                if player.stops_itself(sections, bundle) {
                    continue;
                }
                let pictures = self.watch(player, sections, bundle)?;
                let shown = pictures.last().map(String::as_str);
                ensure!(shown == Some(last), "{sections}, {bundle}: {shown:?}");
            }
        }
        Ok(())
    }
}

#[test]
fn aiortc_plays_whatever_else_it_offers() {
    let needs = [Need::Program, Need::PythonPackages];
    scene("aiortc_plays_whatever_else_it_offers", &needs, |scene| {
        let installation = Installation::start(scene, "server", "test:640x360")?;
        let bundles = ["max-bundle", "balanced", "none"];
        installation.watch_all(Player::Aiortc, &bundles, "picture 640x360")
    });
}

#[test]
fn webrtcbin_plays_whatever_else_it_offers() {
    let needs = [Need::Program, Need::Webrtcbin];
    scene("webrtcbin_plays_whatever_else_it_offers", &needs, |scene| {
        let installation = Installation::start(scene, "server", "test:640x360")?;
        let bundles = ["max-bundle", "max-compat", "none"];
        installation.watch_all(Player::Webrtcbin, &bundles, "picture 640x360")
    });
}

#[test]
fn werift_plays_whatever_else_it_offers() {
    let needs = [Need::Program, Need::NodePackages("interop/tests/players/werift")];
    scene("werift_plays_whatever_else_it_offers", &needs, |scene| {
        let installation = Installation::start(scene, "server", "test:640x360")?;
        let bundles = ["max-bundle", "max-compat", "disable"];
        installation.watch_all(Player::Werift, &bundles, "picture")
    });
}
