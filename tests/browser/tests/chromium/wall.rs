//! The wall of cameras that people leave open.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::browser::Browser;
use porthole_test_support::clip::{Clip, Looks};
use porthole_test_support::memory::{self, Used};
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
/// Time in which Chromium fills its caches, whatever the page.
const WARM_UP_S: u64 = 60;
/// Growth of the page after its warm-up, by the values of the `memory` event: room for what comes
/// and goes.
const PAGE_GROWTH: [(&str, u64); 4] =
    [("heap", MIB / 2), ("nodes", 100), ("listeners", 50), ("connections", 2)];
/// Growth of Chromium that is allowed beyond that with a plain page, whose memory may as well
/// shrink: in a few seconds both go up and down by up to 15 MiB.
const GROWTH_MIB: f64 = 40.0;
/// Connections that a page has at most: one for each tile, one that replaces it, and one that is
/// being closed.
const MOST_CONNECTIONS: u64 = 3 * CAMERAS as u64;
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Returns a number from the environment, for runs that are longer than those of the suite.
fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text} is no number")),
        Err(_) => Ok(default),
    }
}

/// Nine cameras of 640 x 360 pixels and 15 frames per second.
struct Cameras {
    clip: Clip,
    ports: Vec<SocketAddr>,
    sender: Option<Program>,
    starts: u32,
}

impl Cameras {
    fn start(scene: &Scene) -> Result<Self> {
        let clip = Clip::encode(scene, Looks { size: (640, 360), rate: 15, group: 30, kbit: 500 })?;
        let ports = (0..CAMERAS).map(|_| free_port()).collect::<Result<_>>()?;
        let mut cameras = Self { clip, ports, sender: None, starts: 0 };
        cameras.run(scene)?;
        Ok(cameras)
    }

    fn run(&mut self, scene: &Scene) -> Result<()> {
        self.starts += 1;
        let name = format!("sender-{}", self.starts);
        self.sender = Some(self.clip.send(scene, &name, Place::Here, &self.ports)?);
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

/// Takes about 50 s; `PORTHOLE_WALL_S` is the time in seconds for which the wall is watched after
/// its warm-up, and a plain page with the same cameras after it.
#[test]
fn nine_cameras_play_on_the_wall() {
    let needs = [NEEDS[0], NEEDS[1], Need::Tool("ffmpeg")];
    scene("nine_cameras_play_on_the_wall", &needs, |scene| {
        let seconds = number("PORTHOLE_WALL_S", 5)?;
        let (server, _gateway, cameras) = start(scene)?;
        let warm_up = seconds.min(WARM_UP_S);
        let mut steps = to_the_wall(&server)?;
        steps.extend([
            json!({ "rates": warm_up, "playing": CAMERAS, "timeoutMs": 60_000 }),
            json!({ "memory": true }),
            json!({ "rates": seconds }),
            json!({ "memory": true }),
            json!({ "screenshot": scene.folder().join("wall.png") }),
        ]);
        let browser = Browser::begin(scene, "wall", Place::Here, &steps)?;
        let wall = Growth::of("the wall", browser, seconds)?;
        let token = server.token("viewer", &[])?;
        let url = |(id, _): &(String, String)| server.url(&format!("/whep/{id}"));
        let urls: Vec<_> = cameras.sources().iter().map(url).collect();
        let page = json!({ "urls": urls, "token": token, "warmUp": warm_up, "seconds": seconds,
            "width": 400, "height": 225 });
        let browser = Browser::script(scene, "plain", Place::Here, "plain.mjs", &page)?;
        let plain = Growth::of("a plain page", browser, seconds)?;
        wall.check(&plain)
    });
}

/// Frames that a page shows, and memory that it keeps after its warm-up and at the end.
struct Growth {
    /// Values of the page, by the names of the `memory` event.
    page: [Value; 2],
    /// Frames that each video has shown in a second.
    rates: Vec<f64>,
    /// Memory by part of Chromium.
    parts: [BTreeMap<String, Used>; 2],
}

impl Growth {
    /// Watches a page until its script ends, and reports on it.
    fn of(name: &str, mut browser: Browser, seconds: u64) -> Result<Self> {
        let deadline = Duration::from_secs(180 + seconds);
        let pid = browser.program.pid();
        let mut seen = 0;
        let mut told = Instant::now();
        let (mut page, mut parts, mut rates) = (Vec::new(), Vec::new(), Value::Null);
        browser.program.wait_for("the memory at the end", deadline, |program| {
            for one in program.new_events(&mut seen)? {
                if one["event"] == "memory" {
                    parts.push(memory::used_by_family(pid)?);
                    page.push(one);
                } else if one["event"] == "rates" {
                    rates = one;
                }
            }
            if told.elapsed() > REPORT_EVERY {
                told = Instant::now();
                report(&format!("{name}: {}", shown(&memory::used_by_family(pid)?)));
            }
            Ok((page.len() == 2).then_some(()))
        })?;
        browser.finish(deadline)?;
        let videos = rates["videos"].as_array().context("no videos")?;
        let rates: Vec<_> =
            videos.iter().filter_map(|video| video["framesPerSecond"].as_f64()).collect();
        report(&format!("{name} for {seconds} s: {rates:.1?} frames/s"));
        for (page, parts) in page.iter().zip(&parts) {
            report(&format!("{name}: {page}; {}", shown(parts)));
        }
        let few = "not two measurements";
        Ok(Self {
            page: page.try_into().ok().context(few)?,
            rates,
            parts: parts.try_into().ok().context(few)?,
        })
    }

    /// Fails if not all tiles play, if the page keeps more and more, or if Chromium
    /// grows more than with the plain page.
    fn check(&self, plain: &Self) -> Result<()> {
        let rates = &self.rates;
        ensure!(rates.len() == CAMERAS && rates.iter().all(|rate| *rate > 1.0), "{rates:?}");
        for (name, most) in PAGE_GROWTH {
            let [before, after] = self.page.each_ref().map(|page| page[name].as_u64());
            let (before, after) = before.zip(after).with_context(|| format!("no {name}"))?;
            ensure!(after <= before + most, "{name} have grown from {before} to {after}");
        }
        let (wall, plain) = (self.allocated(), plain.allocated());
        report(&format!("growth in MiB: the wall {wall:.1}, a plain page {plain:.1}"));
        ensure!(wall <= plain.max(0.0) + GROWTH_MIB, "the wall has grown by {wall:.1} MiB");
        Ok(())
    }

    /// Returns by how many MiB Chromium and its driver have grown.
    #[expect(clippy::cast_precision_loss, reason = "a browser has less than 2^52 bytes")]
    fn allocated(&self) -> f64 {
        let [before, after] = self.parts.each_ref().map(|parts| {
            parts.values().map(|used| used.allocated).sum::<u64>() as f64 / MIB as f64
        });
        after - before
    }
}

/// Returns the memory of each part in MiB: allocated, and mapped files.
fn shown(parts: &BTreeMap<String, Used>) -> String {
    let each = |(name, used): (&String, &Used)| {
        format!("{name} {} + {}", used.allocated / MIB, used.files / MIB)
    };
    let all: u64 = parts.values().map(|used| used.allocated).sum();
    let files: u64 = parts.values().map(|used| used.files).sum();
    let each: Vec<_> = parts.iter().map(each).collect();
    format!("MiB {} + {files}: {}", all / MIB, each.join(", "), files = files / MIB)
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
        let mut pictures = Pictures::default();
        pictures.wait_for_new(&mut browser, "the start")?;
        for round in 1..=rounds {
            server.kill()?;
            std::thread::sleep(pause);
            server.run()?;
            let after_server = pictures.wait_for_new(&mut browser, "the server")?;
            drop(gateway.take());
            std::thread::sleep(pause);
            gateway = Some(start_gateway(scene, &server, &cameras)?);
            let after_gateway = pictures.wait_for_new(&mut browser, "the gateway")?;
            cameras.kill()?;
            std::thread::sleep(pause);
            cameras.run(scene)?;
            let after_cameras = pictures.wait_for_new(&mut browser, "the cameras")?;
            report(&format!(
                "round {round}: new pictures on all tiles {after_server:.1?} after the restart of \
                 the server, {after_gateway:.1?} of the gateway, {after_cameras:.1?} of the cameras"
            ));
            let parts = memory::used_by_family(browser.program.pid())?;
            report(&format!("round {round}: {}; {}", pictures.memory, shown(&parts)));
            let connections = pictures.memory["connections"].as_u64().context("no memory")?;
            ensure!(connections <= MOST_CONNECTIONS, "{connections} connections are kept");
        }
        Ok(())
    });
}

/// The pictures of the tiles, as the script prints them.
#[derive(Default)]
struct Pictures {
    /// Length of the output that was read.
    seen: u64,
    /// The latest event about the tiles, and about the memory of the page.
    tiles: Value,
    memory: Value,
}

impl Pictures {
    /// Waits until each tile has shown two pictures that it had not shown before this call. Returns
    /// how long it took.
    fn wait_for_new(&mut self, browser: &mut Browser, after: &str) -> Result<Duration> {
        let start = Instant::now();
        self.read(browser, |_| Ok(()))?;
        let mut shown: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        loop {
            browser.program.check()?;
            self.read(browser, |tiles| note(&mut shown, tiles))?;
            if shown.len() == CAMERAS && shown.values().all(|pictures| pictures.len() > 2) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > BACK {
                let last = &self.tiles;
                bail!("not all tiles have new pictures after the restart of {after}: {last}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Reads the events since the last call.
    fn read(
        &mut self,
        browser: &Browser,
        mut note: impl FnMut(&Value) -> Result<()>,
    ) -> Result<()> {
        for one in browser.program.new_events(&mut self.seen)? {
            if one["event"] == "tiles" {
                note(&one)?;
                self.tiles = one;
            } else if one["event"] == "memory" {
                self.memory = one;
            }
        }
        Ok(())
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
