//! The secret of a TURN server, and other settings, change while pictures and relays run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole::{Server, binary};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;
use porthole_turn_proto::credentials::rest_credentials;

use crate::signaling_server::SignalingServer;
use crate::turn_client::Client;
use crate::turn_server::{TOKEN, TurnServer};

const DEADLINE: Duration = Duration::from_secs(30);
/// Most time for all changes together.
const CHANGES: Duration = Duration::from_secs(120);
/// Longest time for which a picture may stand still.
pub(crate) const FREEZE: Duration = Duration::from_secs(1);
/// Pictures after which a viewer counts as watching.
const FRAMES: u64 = 15;
pub(crate) const FIRST: &str = "the-first-secret";
pub(crate) const SECOND: &str = "the-second-secret";
const CAMERA: &str = "[camera.yard]\nsource = 'test:320x180@15'\n";

/// Takes about 15 s: the steps of the guide, with a new viewer after each, and a camera that is
/// added. Everything is relayed.
#[test]
fn the_secret_and_cameras_change_under_a_picture_and_a_relay() {
    let name = "the_secret_and_cameras_change_under_a_picture_and_a_relay";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let turn = TurnServer::start(scene, &turn_lines(FIRST, ""))?;
        let url = format!("turn:{}?transport=udp", turn.address);
        let server = SignalingServer::start(scene, &url, FIRST)?;
        let gateway = RelayedGateway::start(scene, &server)?;
        let running = watch(scene, "running", &server.url, &server.token)?;
        let mut relay = Client::allocate(turn.address, &account(FIRST)?)?;
        ensure!(relay.reaches_loopback()?, "it relays");

        let steps = || -> Result<()> {
            for (number, (accepted, signed_with)) in [
                (turn_lines(FIRST, SECOND), FIRST),
                (turn_lines(FIRST, SECOND), SECOND),
                (turn_lines(SECOND, FIRST), SECOND),
                (turn_lines(SECOND, ""), SECOND),
            ]
            .iter()
            .enumerate()
            {
                turn.write_config(accepted)?;
                let response = turn.reload()?;
                ensure!(response.status == 200, "{response:?}");
                server.reload(&url, signed_with)?;
                gateway.write(&format!("[camera.gate-{number}]\nsource = 'test:'\n"))?;
                gateway.program.reload()?;
                server.wait_for_camera(&format!("gate-{number}"))?;
                watch(scene, &format!("viewer-{number}"), &server.url, &server.token)?;
            }
            Ok(())
        };
        let longest = longest_pause(&running, steps)?;
        ensure!(longest <= FREEZE, "the picture stood still for {longest:?}");
        ensure!(relay.reaches_loopback()?, "the relay of the first secret goes on");
        let refused = Client::try_allocate(turn.address, &account(FIRST)?)?;
        ensure!(refused.is_err(), "the first secret counts no more");
        gateway.check_all_started(5)
    });
}

/// Takes about 5 s.
#[test]
fn up_takes_another_secret_on_both_sides_at_once() {
    let name = "up_takes_another_secret_on_both_sides_at_once";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let file = scene.folder().join("up.toml");
        let write = |secret: &str| std::fs::write(&file, format!("{secret}\n{CAMERA}"));
        write("turn.secret = 'the-first-secret'")?;
        let config = file.to_str().context("a path in UTF-8")?;
        let flags = ["--config", config, "--turn-only", "--allow-peer", "127.0.0.0/8"];
        let mut server = Server::start(scene, Place::Here, &flags)?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "yard", DEADLINE)?;
        let url = server.url("");
        let running = watch(scene, "running", &url, &token)?;
        let steps = || -> Result<()> {
            // Without one in the file, it is the one in the data folder.
            for (number, secret) in ["turn.secret = 'the-second-secret'", ""].iter().enumerate() {
                write(secret)?;
                server.reload()?;
                watch(scene, &format!("viewer-{number}"), &url, &token)?;
            }
            Ok(())
        };
        let longest = longest_pause(&running, steps)?;
        ensure!(longest <= FREEZE, "the picture stood still for {longest:?}");
        Ok(())
    });
}

/// Returns the settings of a TURN server with these secrets.
pub(crate) fn turn_lines(secret: &str, old: &str) -> String {
    let old = if old.is_empty() { String::new() } else { format!("'{old}'") };
    format!("allow_peers = ['127.0.0.0/8']\nsecret = '{secret}'\nold_secrets = [{old}]\n")
}

/// Returns an account of the next hour that is signed with a secret.
pub(crate) fn account(secret: &str) -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let (name, password) = rest_credentials(secret, "relay", now.as_secs() + 3600);
    Ok(format!("{name}:{password}"))
}

/// Starts a viewer that gets a picture.
pub(crate) fn watch(scene: &Scene, name: &str, url: &str, token: &str) -> Result<Viewer> {
    let mut viewer = Viewer::start_as(scene, name, Place::Here, url, token, "yard")?;
    viewer.wait_for_frames(FRAMES, DEADLINE)?;
    Ok(viewer)
}

/// Returns the longest time for which a viewer got no picture during the steps.
pub(crate) fn longest_pause(
    viewer: &Viewer,
    steps: impl FnOnce() -> Result<()> + Send,
) -> Result<Duration> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let stepping = threads.spawn(|| {
            let done = steps();
            is_over.store(true, Ordering::Relaxed);
            done
        });
        let (mut frames, mut since) = (viewer.frames()?, Instant::now());
        let mut longest = Duration::ZERO;
        wait::until("all changes are made", CHANGES, || {
            let found = viewer.frames()?;
            longest = longest.max(since.elapsed());
            if found > frames {
                (frames, since) = (found, Instant::now());
            }
            Ok(is_over.load(Ordering::Relaxed).then_some(()))
        })?;
        stepping.join().map_err(|_| anyhow!("a step has panicked"))??;
        Ok(longest)
    })
}

/// A gateway that relays only, with an admin API.
pub(crate) struct RelayedGateway {
    pub(crate) program: Program,
    admin: SocketAddr,
    file: PathBuf,
}

impl RelayedGateway {
    pub(crate) fn start(scene: &Scene, server: &SignalingServer) -> Result<Self> {
        let (admin, file) = (free_port()?, scene.folder().join("gateway.toml"));
        let mut command = Place::Here.command(binary()?);
        command.arg("gateway").args(["--server", &server.url, "--claim", &server.claim()?]);
        command.arg("--turn-only").arg("--config").arg(&file);
        command.arg("--data").arg(scene.data("gateway")?);
        write(&file, admin, "")?;
        let program = Program::start(scene, "gateway", &mut command)?;
        server.wait_for_camera("yard")?;
        Ok(Self { program, admin, file })
    }

    /// Rewrites its configuration, with further tables.
    pub(crate) fn write(&self, tables: &str) -> Result<()> {
        write(&self.file, self.admin, tables)
    }

    /// Checks that so many sessions have begun to watch through a relay, and that none has failed.
    pub(crate) fn check_all_started(&self, count: u64) -> Result<()> {
        let url = format!("http://{}/metrics", self.admin);
        let text = http::get(Place::Here, &url, Some(TOKEN))?.body;
        let failed = |line: &&str| line.starts_with("porthole_gateway_sessions_failed_total{");
        let failed: Vec<_> = text.lines().filter(failed).collect();
        ensure!(!failed.is_empty() && failed.iter().all(|line| line.ends_with(" 0")), "{failed:?}");
        let started = format!("porthole_gateway_sessions_started_total{{path=\"relay\"}} {count}");
        ensure!(text.lines().any(|line| line == started), "{started} of {text}");
        Ok(())
    }
}

fn write(file: &Path, admin: SocketAddr, tables: &str) -> Result<()> {
    let admin = format!("[admin]\nlisten = '{admin}'\ntoken = '{TOKEN}'\n");
    Ok(std::fs::write(file, admin + CAMERA + tables)?)
}
