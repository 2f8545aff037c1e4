//! Two TURN servers, of which the one that relays a picture dies, with the dashboard in Chromium.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::lab::{Host, Lab, Side};
use porthole_test_support::nat::NatKind;
use porthole_test_support::porthole::binary;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::watching::{Watching, now_ms};
use porthole_test_support::{http, wait};

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::Browser];
const DEADLINE: Duration = Duration::from_secs(45);
/// Time for which the dashboard is watched, longer than all runs together.
const WATCHED_S: u64 = 900;
/// Time in which the picture has to be back: 3 s, and as much again as a loaded machine may need.
const LIMIT: Duration = Duration::from_millis(4500);
/// Time in which a picture that is going to stop stops, and after which its session is old enough
/// to be replaced at once.
const AFTERMATH: Duration = Duration::from_secs(9);
/// Time after which no check that began before a server was back can call it down.
const CHECKED: Duration = Duration::from_secs(4);
/// Time over which is looked at which server relays.
const LOOK: Duration = Duration::from_millis(500);
/// Bytes that only the server relays in that time that carries the picture.
const PICTURE_BYTES: u64 = 20_000;
const SECRET: &str = "the-secret-of-both";
const ADMIN: &str = "127.0.0.1:9641";
const TOKEN: &str = "a-token-of-the-admin-api";
/// The documentation addresses of the lab are not public.
const LAB: &str = "203.0.113.0/24";

/// Takes about 40 s. `PORTHOLE_RUNS` is the number of runs of each kind.
#[test]
fn the_picture_returns_when_the_turn_server_that_relays_it_dies() {
    scene("the_picture_returns_when_the_turn_server_that_relays_it_dies", &NEEDS, |scene| {
        let runs = match std::env::var("PORTHOLE_RUNS") {
            Ok(text) => text.parse().with_context(|| format!("{text} is no number"))?,
            Err(_) => 1,
        };
        let lab = Lab::new("turns")?;
        let hosts = [lab.side(NatKind::Open)?, lab.side(NatKind::Open)?];
        let homes = [lab.side(NatKind::Symmetric)?, lab.side(NatKind::Symmetric)?];
        let mut house = House::start(scene, &lab, &hosts, &homes[0])?;
        let mut watching = house.watch(scene, &homes[1])?;
        let mut failures = Vec::new();
        for (what, end) in ENDS {
            let mut times = Vec::new();
            for _ in 0..runs {
                house.wait_until_both_are_offered()?;
                let used = house.relaying()?;
                times.push(house.lose(scene, &mut watching, used, end).context(what)?);
            }
            report(&format!("the TURN server {what}: {times:?}"));
            let late = times.iter().filter(|time| **time > LIMIT);
            failures.extend(late.map(|time| format!("{what}: {time:?}")));
        }
        ensure!(failures.is_empty(), "no picture for long:\n{}", failures.join("\n"));
        Ok(())
    });
}

/// The end of a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The program ends: its port answers with ICMP, and an allocation is gone.
    Killed,
    /// The machine is cut off: nothing answers.
    CutOff,
}

const ENDS: [(&str, End); 2] = [("is killed", End::Killed), ("is cut off", End::CutOff)];

/// A signaling server, two TURN servers, and a gateway.
struct House<'a> {
    lab: &'a Lab,
    signaling: Program,
    data: PathBuf,
    turn: [Turn<'a>; 2],
    _gateway: Program,
}

/// A TURN server on a host of its own.
struct Turn<'a> {
    name: &'static str,
    host: &'a Host,
    file: PathBuf,
    program: Option<Program>,
}

impl<'a> Turn<'a> {
    fn start(scene: &Scene, name: &'static str, host: &'a Host) -> Result<Self> {
        let file = scene.folder().join(format!("{name}.toml"));
        let text = format!(
            "[admin]\nlisten = '{ADMIN}'\ntoken = '{TOKEN}'\n\
             [turn]\nlisten = ['{}:3478']\nsecret = '{SECRET}'\nallow_peers = ['{LAB}']\n",
            host.address()
        );
        std::fs::write(&file, text)?;
        let mut turn = Self { name, host, file, program: None };
        turn.run(scene)?;
        Ok(turn)
    }

    fn run(&mut self, scene: &Scene) -> Result<()> {
        let mut command = Place::On(self.host).command(binary()?);
        command.arg("turn").arg("--config").arg(&self.file);
        let program = self.program.insert(Program::start(scene, self.name, &mut command)?);
        program.wait_for("the TURN server runs", DEADLINE, |_| Ok(metrics(self.host).ok()))?;
        Ok(())
    }

    /// Returns the payload bytes that it has relayed.
    fn relayed(&self) -> Result<u64> {
        if self.program.is_none() {
            return Ok(0);
        }
        let text = metrics(self.host)?;
        let lines =
            text.lines().filter(|line| line.starts_with("porthole_turn_relayed_bytes_total{"));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(values.sum())
    }
}

/// Returns the metrics of the program on a host.
fn metrics(host: &Host) -> Result<String> {
    Ok(http::get(Place::On(host), &format!("http://{ADMIN}/metrics"), Some(TOKEN))?.body)
}

impl<'a> House<'a> {
    fn start(scene: &Scene, lab: &'a Lab, hosts: &'a [Side; 2], home: &Side) -> Result<Self> {
        let [north, south] = hosts;
        let turn =
            [Turn::start(scene, "north", &north.host)?, Turn::start(scene, "south", &south.host)?];
        let (data, file) = (scene.data("server")?, scene.folder().join("signaling.toml"));
        let tables: String = turn.iter().map(table).collect();
        let text = format!(
            "[admin]\nlisten = '{ADMIN}'\ntoken = '{TOKEN}'\n\
             [signaling]\nhttp = '{}:8080'\nturn_secret = '{SECRET}'\n{tables}",
            lab.server().address()
        );
        std::fs::write(&file, text)?;
        let place = Place::On(lab.server());
        let mut command = place.command(binary()?);
        command.arg("signaling").arg("--data").arg(&data).arg("--config").arg(&file);
        let mut signaling = Program::start(scene, "signaling", &mut command)?;
        signaling.wait_for("the signaling server runs", DEADLINE, |_| {
            Ok(http::get(place, &format!("{}/readyz", url(lab)), None).ok())
        })?;
        let claim = word(lab, &data, &["claim", "create"])?;
        let mut command = Place::On(&home.host).command(binary()?);
        command.arg("gateway").args(["--server", &url(lab), "--claim", &claim]);
        command.args(["--camera", "yard=test:"]).arg("--data").arg(scene.data("gateway")?);
        command.env("PORTHOLE__GATEWAY__ALLOW_ICE_SERVERS", LAB);
        let gateway = Program::start(scene, "gateway", &mut command)?;
        let house = Self { lab, signaling, data, turn, _gateway: gateway };
        let token = house.token()?;
        wait::until("the camera is live", DEADLINE, || {
            let list = format!("{}/api/v1/cameras", url(lab));
            let list = http::get(place, &list, Some(&token))?.body;
            Ok(list.contains("\"live\"").then_some(()))
        })?;
        Ok(house)
    }

    fn token(&self) -> Result<String> {
        let arguments = ["token", "create", "--role", "viewer", "--name", "test"];
        word(self.lab, &self.data, &arguments)
    }

    /// Opens the page of the camera.
    fn watch(&self, scene: &Scene, home: &Side) -> Result<Watching> {
        let page = format!("{}/camera/yard", url(self.lab));
        let place = Place::On(&home.host);
        Watching::start(scene, place, (&page, &self.token()?), WATCHED_S, DEADLINE)
    }

    /// Waits until the signaling server has found that both make allocations.
    fn wait_until_both_are_offered(&mut self) -> Result<()> {
        thread::sleep(CHECKED);
        let server = self.lab.server();
        self.signaling.wait_for("both TURN servers work", DEADLINE, |_| {
            let text = metrics(server)?;
            let is_up = |turn: &Turn<'_>| {
                let name = turn.name;
                let up = format!(
                    "porthole_signaling_turn_server_state{{server=\"{name}\",state=\"up\"}} 1"
                );
                text.lines().any(|line| line == up)
            };
            Ok(self.turn.iter().all(is_up).then_some(()))
        })
    }

    /// Returns the index of the server that relays the picture.
    fn relaying(&self) -> Result<usize> {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            let before = [self.turn[0].relayed()?, self.turn[1].relayed()?];
            thread::sleep(LOOK);
            for (index, before) in before.iter().enumerate() {
                if self.turn[index].relayed()? > before + PICTURE_BYTES {
                    return Ok(index);
                }
            }
        }
        bail!("neither server relays the picture")
    }

    /// Takes a server away, and returns the longest time without a picture; then it is back.
    fn lose(
        &mut self,
        scene: &Scene,
        watching: &mut Watching,
        used: usize,
        end: End,
    ) -> Result<Duration> {
        let start = watching.frame_after(now_ms()?, DEADLINE)?;
        let turn = &mut self.turn[used];
        match end {
            End::Killed => turn.program.take().context("it runs")?.kill()?,
            End::CutOff => self.lab.cut(turn.host)?,
        }
        thread::sleep(AFTERMATH);
        let standing = watching.longest_standstill(start, DEADLINE)?;
        ensure!(self.relaying()? != used, "the picture comes through the other server");
        let turn = &mut self.turn[used];
        match end {
            End::Killed => turn.run(scene)?,
            End::CutOff => self.lab.restore(turn.host)?,
        }
        Ok(standing)
    }
}

fn table(turn: &Turn<'_>) -> String {
    let (name, address) = (turn.name, turn.host.address());
    format!(
        "[signaling.turn_server.{name}]\nurls = ['stun:{address}:3478', \
         'turn:{address}:3478?transport=udp', 'turn:{address}:3478?transport=tcp']\n"
    )
}

fn url(lab: &Lab) -> String {
    format!("http://{}:8080", lab.server().address())
}

/// Runs a command of the program beside the signaling server, and returns the word that it prints.
fn word(lab: &Lab, data: &PathBuf, arguments: &[&str]) -> Result<String> {
    let mut command = Place::On(lab.server()).command(binary()?);
    let output = command.args(arguments).arg("--data").arg(data).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
