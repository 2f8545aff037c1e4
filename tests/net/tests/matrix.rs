//! Every pair of NATs, with the native viewer: video is received over the best possible path.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use porthole_net_tests::{World, homes, pairs, play_all};
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::{Pair, Path};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::viewer::Viewer;

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::Viewer];
/// ICE selects the best pair within a few seconds; this is for a loaded machine.
const PATH_DEADLINE: Duration = Duration::from_secs(20);
const FRAMES_DEADLINE: Duration = Duration::from_secs(20);
/// One second of the test camera.
const FRAMES: u64 = 30;

/// Takes about 6 s: 36 pairs, four at a time. Each waits for the best path and then for one second
/// of video.
#[test]
fn all_36_pairs_of_nats_play_over_the_best_path() {
    scene("all_36_pairs_of_nats_play_over_the_best_path", &NEEDS, |scene| {
        let lab = Lab::new("matrix")?;
        let homes = homes(&lab, &NatKind::ALL)?;
        let world = World::start(scene, &lab, &homes)?;
        let all: Vec<_> = pairs().collect();
        ensure!(all.len() == 36, "{} pairs", all.len());
        play_all(all, |(gateway, viewer, path)| {
            let name = format!("{gateway:15} → {viewer:15} {path:?}");
            let played =
                Scene::play(&name, |scene| play(scene, &lab, &world, gateway, viewer, path));
            report(&format!("{name:40} {}", played?));
            Ok(())
        })
    });
}

#[test]
fn behind_one_router_media_stays_inside_the_lan() {
    scene("behind_one_router_media_stays_inside_the_lan", &NEEDS, |scene| {
        let lab = Lab::new("one-lan")?;
        let nats = [NatKind::PortRestricted, NatKind::Symmetric, NatKind::UdpBlocked];
        let homes = homes(&lab, &nats)?;
        let world = World::start(scene, &lab, &homes)?;
        for nat in nats {
            let home = world.home(nat).context("a home")?;
            let host = lab.host_behind(home)?;
            Scene::play(&format!("one LAN behind {nat}"), |scene| {
                let url = world.server.url("");
                let place = Place::On(&host);
                let mut viewer = Viewer::start(scene, place, &url, &world.token, nat.name())?;
                let pair = viewer.wait_for_path(Path::Lan, PATH_DEADLINE)?;
                ensure!(pair.remote.address() == Some(home.host.address()), "{pair:?}");
                viewer.wait_for_frames(FRAMES, FRAMES_DEADLINE)
            })?;
        }
        Ok(())
    });
}

/// Plays one pair, and returns the time until the best path and the types of its candidates.
fn play(
    scene: &Scene,
    lab: &Lab,
    world: &World<'_>,
    gateway: NatKind,
    nat: NatKind,
    path: Path,
) -> Result<String> {
    let side = lab.side(nat)?;
    let start = Instant::now();
    let (url, place) = (world.server.url(""), Place::On(&side.host));
    let mut viewer = Viewer::start(scene, place, &url, &world.token, gateway.name())?;
    let pair = viewer.wait_for_path(path, PATH_DEADLINE)?;
    let elapsed = start.elapsed();
    check_relay_protocol(nat, &pair)?;
    viewer.wait_for_frames(FRAMES, FRAMES_DEADLINE)?;
    Ok(format!("{:5} ms  {} – {}", elapsed.as_millis(), pair.local.kind, pair.remote.kind))
}

/// Checks that a side without UDP reaches its TURN server over TCP.
fn check_relay_protocol(nat: NatKind, pair: &Pair) -> Result<()> {
    let protocol = pair.local.relay_protocol.as_deref();
    ensure!(
        nat != NatKind::UdpBlocked || protocol == Some("tcp"),
        "relay over {protocol:?}: {pair:?}"
    );
    Ok(())
}
