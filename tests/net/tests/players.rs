//! Every pair of NATs, with WHEP players of few skills: they find a path to the gateway.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_net_tests::{World, homes};
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::python;
use porthole_test_support::scene::{Need, Scene, report, scene};

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::PythonPackages];
/// The player gives up after 20 s; the rest is for a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// Number of players that run at a time; they spend most of the time waiting.
const WORKERS: usize = 4;

/// The way a player learns of STUN and TURN servers.
#[derive(Clone, Copy)]
enum Skill {
    /// Ignores `Link`, and so has host candidates only.
    IgnoresLink,
    /// Sends `OPTIONS` before its offer.
    AsksFirst,
}

/// Takes about 40 s: 30 pairs, four at a time.
#[test]
fn a_player_that_ignores_link_connects_wherever_its_udp_is_open() {
    let name = "a_player_that_ignores_link_connects_wherever_its_udp_is_open";
    scene(name, &NEEDS, |scene| {
        play_pairs(scene, "no-link", Skill::IgnoresLink, |viewer| viewer != NatKind::UdpBlocked)
    });
}

/// Takes about 45 s: 36 pairs, four at a time.
#[test]
fn a_player_that_asks_first_connects_on_every_pair() {
    scene("a_player_that_asks_first_connects_on_every_pair", &NEEDS, |scene| {
        play_pairs(scene, "options", Skill::AsksFirst, |_| true)
    });
}

/// Plays every pair whose viewer is behind one of these NATs.
fn play_pairs(
    scene: &Scene,
    lab: &str,
    skill: Skill,
    viewers: impl Fn(NatKind) -> bool,
) -> Result<()> {
    let lab = Lab::new(lab)?;
    let homes = homes(&lab, &NatKind::ALL)?;
    let world = World::start(scene, &lab, &homes)?;
    let pairs = NatKind::ALL
        .into_iter()
        .flat_map(|gateway| NatKind::ALL.into_iter().map(move |viewer| (gateway, viewer)));
    let queue: Mutex<Vec<_>> = Mutex::new(pairs.filter(|(_, viewer)| viewers(*viewer)).collect());
    let failures = Mutex::new(Vec::new());
    let next = || queue.lock().ok()?.pop();
    let work = || {
        while let Some((gateway, viewer)) = next() {
            let name = format!("{gateway:15} → {viewer:15}");
            match Scene::play(&name, |scene| play(scene, &lab, &world, gateway, viewer, skill)) {
                Ok(line) => report(&format!("{name} {line}")),
                Err(error) => {
                    if let Ok(mut failures) = failures.lock() {
                        failures.push(format!("{error:#}"));
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(failures.is_empty(), "{} pairs failed:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Plays one pair, and returns the types of the selected candidates.
fn play(
    scene: &Scene,
    lab: &Lab,
    world: &World<'_>,
    gateway: NatKind,
    viewer: NatKind,
    skill: Skill,
) -> Result<String> {
    let side = lab.side(viewer)?;
    let transport = match (skill, viewer) {
        (Skill::IgnoresLink, _) => "none",
        (Skill::AsksFirst, NatKind::UdpBlocked) => "tcp",
        (Skill::AsksFirst, _) => "udp",
    };
    let url = world.server.url(&format!("/whep/{}", gateway.name()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players/whep_player.py");
    let mut command = Place::On(&side.host).command(python::interpreter()?);
    command.arg(script).args([url.as_str(), world.token.as_str(), transport]);
    let mut player = Program::start(scene, "player", &mut command)?;
    let status = player.wait(DEADLINE)?;
    let output = player.output()?;
    let connected = output.trim().strip_prefix("connected ").map(str::to_owned);
    ensure!(status.success(), "the player ended with {status}: {output}");
    connected.with_context(|| format!("no connection: {output}"))
}
