//! The wall of cameras that people leave open.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::memory;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, report, scene};
use serde_json::{Value, json};

use crate::{ADMIN, CAMERA_DEADLINE, NEEDS, create_admin};

const CAMERAS: usize = 9;
/// Time in which each tile shows a new picture after a restart. A gateway tries again after at most
/// 30 s, and a still is refreshed every 15 s.
const BACK: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

/// Returns a number from the environment, for runs that are longer than those of the suite.
fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text} is no number")),
        Err(_) => Ok(default),
    }
}

/// Nine cameras of 640 x 360 pixels and 15 frames per second, which cost next to nothing: one
/// program sends a clip that was encoded before to nine ports.
struct Cameras {
    clip: PathBuf,
    ports: Vec<SocketAddr>,
    sender: Option<Program>,
    starts: u32,
}

impl Cameras {
    fn start(scene: &Scene) -> Result<Self> {
        let clip = scene.folder().join("clip.ts");
        let mut encode = Command::new("ffmpeg");
        encode.args(["-hide_banner", "-loglevel", "error", "-nostdin", "-f", "lavfi"]);
        encode.args(["-i", "testsrc2=size=640x360:rate=15:duration=20", "-c:v", "libx264"]);
        // The parameter sets come with each key frame, as a copy needs them.
        encode.args(["-x264-params", "repeat-headers=1"]);
        encode.args(["-preset", "veryfast", "-tune", "zerolatency", "-g", "30"]);
        encode.args(["-profile:v", "baseline", "-pix_fmt", "yuv420p", "-b:v", "500k"]).arg(&clip);
        ensure!(encode.status()?.success(), "ffmpeg made no clip");
        let ports = (0..CAMERAS).map(|_| free_port()).collect::<Result<_>>()?;
        let mut cameras = Self { clip, ports, sender: None, starts: 0 };
        cameras.run(scene)?;
        Ok(cameras)
    }

    fn run(&mut self, scene: &Scene) -> Result<()> {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-re"]);
        command.args(["-stream_loop", "-1", "-i"]).arg(&self.clip);
        for port in &self.ports {
            command.args(["-map", "0:v", "-c", "copy", "-f", "rtp"]);
            command.arg(format!("rtp://{port}?pkt_size=1200"));
        }
        self.starts += 1;
        let name = format!("sender-{}", self.starts);
        self.sender = Some(Program::start(scene, &name, &mut command)?);
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        self.sender.take().context("the cameras do not run")?.kill()
    }

    fn sources(&self) -> Vec<(String, String)> {
        let source = |(index, port): (usize, &SocketAddr)| {
            (format!("cam{}", index + 1), format!("rtp://{port}?codec=h264"))
        };
        self.ports.iter().enumerate().map(source).collect()
    }
}

fn start_gateway(scene: &Scene, server: &Server<'_>, cameras: &Cameras) -> Result<Gateway> {
    let sources = cameras.sources();
    let sources: Vec<_> = sources.iter().map(|(id, url)| (id.as_str(), url.as_str())).collect();
    Gateway::start(scene, "gateway", Place::Here, server, &sources, &[])
}

/// Starts everything but the browser.
fn start(scene: &Scene) -> Result<(Server<'_>, Gateway, Cameras)> {
    let mut server = Server::start(scene, Place::Here, &[])?;
    let cameras = Cameras::start(scene)?;
    let gateway = start_gateway(scene, &server, &cameras)?;
    let token = server.token("viewer", &[])?;
    for (id, _) in cameras.sources() {
        server.wait_for_camera(&token, &id, CAMERA_DEADLINE)?;
    }
    Ok((server, gateway, cameras))
}

/// Steps from the setup link to the wall.
fn to_the_wall(server: &Server<'_>) -> Result<Vec<Value>> {
    let mut steps = create_admin(&server.setup_link()?, ADMIN);
    steps.push(json!({ "see": "cam9" }));
    Ok(steps)
}

/// Takes about 30 s; `PORTHOLE_WALL_S` is the time in seconds for which the wall is watched.
#[test]
fn nine_cameras_play_on_the_wall() {
    let needs = [NEEDS[0], NEEDS[1], Need::Tool("ffmpeg")];
    scene("nine_cameras_play_on_the_wall", &needs, |scene| {
        let seconds = number("PORTHOLE_WALL_S", 5)?;
        let (server, _gateway, _cameras) = start(scene)?;
        let mut steps = to_the_wall(&server)?;
        // The second measurement is the one that counts: the first is the warm-up.
        for time in [5, seconds] {
            steps.push(json!({ "rates": time, "playing": CAMERAS, "timeoutMs": 60_000 }));
        }
        steps.push(json!({ "screenshot": scene.folder().join("wall.png") }));
        let mut browser = Browser::begin(scene, "wall", Place::Here, &steps)?;
        let deadline = Duration::from_secs(120 + seconds);
        browser.program.wait_for_event("all play", deadline, event("rates"))?;
        let before = memory::used_by_family(browser.program.pid())?;
        let measured = |program: &Program| {
            let rates = program.events()?.into_iter().filter(|one| one["event"] == "rates");
            Ok(rates.skip(1).last())
        };
        let mut last = 0;
        let rates = browser.program.wait_for("the rates", deadline, |program| {
            last = memory::used_by_family(program.pid())?;
            measured(program)
        })?;
        browser.finish(deadline)?;
        let videos = rates["videos"].as_array().context("no videos")?;
        let rates: Vec<_> =
            videos.iter().filter_map(|video| video["framesPerSecond"].as_f64()).collect();
        report(&format!(
            "{seconds} s of the wall: {rates:.1?} frames/s; memory of Chromium {} MiB, then {} MiB",
            before / MIB,
            last / MIB
        ));
        ensure!(rates.len() == CAMERAS && rates.iter().all(|rate| *rate > 1.0), "{rates:?}");
        Ok(())
    });
}

/// Takes about 2 min; `PORTHOLE_WALL_ROUNDS` is the number of rounds, `PORTHOLE_WALL_PAUSE_S` the
/// time in seconds between restarts.
#[test]
fn the_wall_shows_every_picture_again_by_itself() {
    let name = "the_wall_shows_every_picture_again_by_itself";
    scene(name, &[NEEDS[0], NEEDS[1], Need::Tool("ffmpeg")], |scene| {
        let rounds = number("PORTHOLE_WALL_ROUNDS", 1)?;
        let pause = Duration::from_secs(number("PORTHOLE_WALL_PAUSE_S", 1)?);
        let (mut server, gateway, mut cameras) = start(scene)?;
        let mut gateway = Some(gateway);
        let mut steps = to_the_wall(&server)?;
        let longest = rounds * 3 * (BACK.as_secs() + pause.as_secs()) + 120;
        steps.push(json!({ "tiles": longest }));
        let mut browser = Browser::begin(scene, "wall", Place::Here, &steps)?;
        wait_for_new_pictures(&mut browser, "the start")?;
        for round in 1..=rounds {
            server.kill()?;
            std::thread::sleep(pause);
            server.run()?;
            let after_server = wait_for_new_pictures(&mut browser, "the server")?;
            drop(gateway.take());
            std::thread::sleep(pause);
            gateway = Some(start_gateway(scene, &server, &cameras)?);
            let after_gateway = wait_for_new_pictures(&mut browser, "the gateway")?;
            cameras.kill()?;
            std::thread::sleep(pause);
            cameras.run(scene)?;
            let after_cameras = wait_for_new_pictures(&mut browser, "the cameras")?;
            report(&format!(
                "round {round}: new pictures on all tiles {after_server:.1?} after the restart of \
                 the server, {after_gateway:.1?} of the gateway, {after_cameras:.1?} of the cameras"
            ));
        }
        Ok(())
    });
}

/// Waits until each tile has shown two pictures that it had not shown before this call. Returns how
/// long it took.
fn wait_for_new_pictures(browser: &mut Browser, after: &str) -> Result<Duration> {
    let start = Instant::now();
    let seen = browser.program.events()?.len();
    let mut shown: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    let mut at = seen;
    loop {
        browser.program.check()?;
        let events = browser.program.events()?;
        for one in events.iter().skip(at).filter(|one| one["event"] == "tiles") {
            note(&mut shown, one)?;
        }
        at = events.len();
        if shown.len() == CAMERAS && shown.values().all(|pictures| pictures.len() > 2) {
            return Ok(start.elapsed());
        }
        if start.elapsed() > BACK {
            let last = events.iter().rev().find(|one| one["event"] == "tiles");
            bail!("not all tiles have new pictures after the restart of {after}: {last:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn note(shown: &mut BTreeMap<usize, Vec<u64>>, event: &Value) -> Result<()> {
    let tiles = event["tiles"].as_array().context("no tiles")?;
    for (index, tile) in tiles.iter().enumerate() {
        let picture = tile["picture"].as_u64().context("no picture")?;
        let pictures = shown.entry(index).or_default();
        if picture != 0 && !pictures.contains(&picture) && pictures.len() < 8 {
            pictures.push(picture);
        }
    }
    Ok(())
}
