//! Every pair of NATs, with WHEP players of few skills: they find a path to the gateway.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_net_tests::{World, homes, pairs, play_all};
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::python;
use porthole_test_support::scene::{Need, Scene, report, scene};

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::PythonPackages];
/// The player gives up after 20 s; the rest is for a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);

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
    let pairs = pairs().map(|(gateway, viewer, _)| (gateway, viewer));
    let pairs = pairs.filter(|(_, viewer)| viewers(*viewer)).collect();
    play_all(pairs, |(gateway, viewer)| {
        let name = format!("{gateway:15} → {viewer:15}");
        let played = Scene::play(&name, |scene| play(scene, &lab, &world, gateway, viewer, skill));
        report(&format!("{name} {}", played?));
        Ok(())
    })
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
