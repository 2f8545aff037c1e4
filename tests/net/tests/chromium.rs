//! Chromium behind NATs: frames are decoded, and received over the best possible path.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_net_tests::{World, best_path, homes};
use porthole_test_support::browser::{Browser, Sample};
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::Path;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::Browser];
const PICTURE_DEADLINE: Duration = Duration::from_secs(40);
const PATH_DEADLINE: Duration = Duration::from_secs(20);
/// Two seconds of the test camera.
const FRAMES: u64 = 60;
/// The loss of a bad Wi-Fi network.
const LOSS_PERCENT: u8 = 5;
const LOSSY_FRAMES: u64 = 300;
const LOSSY_DEADLINE: Duration = Duration::from_secs(30);
/// A retransmission can be lost, too; the picture then freezes until the next key frame.
const MAX_FROZEN_S: f64 = 2.0;

use NatKind::{FullCone, Open, PortRestricted, Restricted, Symmetric, UdpBlocked};

/// Takes about 90 s: ten pairs, one at a time. Each starts Chromium and waits for two seconds of
/// video.
#[test]
fn chromium_plays_through_ten_pairs_of_nats_over_the_best_path() {
    // Gateway's NAT, browser's NAT.
    let table = [
        (Open, Symmetric),
        (FullCone, PortRestricted),
        (Restricted, Symmetric),
        (PortRestricted, PortRestricted),
        (PortRestricted, Symmetric),
        (Symmetric, PortRestricted),
        (Symmetric, Symmetric),
        (Open, UdpBlocked),
        (UdpBlocked, FullCone),
        (UdpBlocked, UdpBlocked),
    ];
    let name = "chromium_plays_through_ten_pairs_of_nats_over_the_best_path";
    scene(name, &NEEDS, |scene| {
        let lab = Lab::new("chromium")?;
        let homes = homes(&lab, &NatKind::ALL)?;
        let world = World::start(scene, &lab, &homes)?;
        let mut failures = Vec::new();
        for (gateway, nat) in table {
            let path = best_path(gateway, nat).context("every pair has a path")?;
            let name = format!("{gateway:15} → {nat:15} {path:?}");
            match Scene::play(&name, |scene| play(scene, &lab, &world, gateway, nat, path)) {
                Ok(line) => report(&format!("{name:40} {line}")),
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        let (failed, of) = (failures.len(), table.len());
        ensure!(failed == 0, "{failed} of {of} failed:\n{}", failures.join("\n"));
        Ok(())
    });
}

#[test]
fn chromium_in_the_gateways_lan_stays_inside_it() {
    scene("chromium_in_the_gateways_lan_stays_inside_it", &NEEDS, |scene| {
        let lab = Lab::new("chromium-lan")?;
        let homes = homes(&lab, &[Symmetric])?;
        let world = World::start(scene, &lab, &homes)?;
        let home = world.home(Symmetric).context("a home")?;
        let host = lab.host_behind(home)?;
        let sample = watch(scene, Place::On(&host), &world, Symmetric, Path::Lan)?;
        let pair = sample.pair.context("no pair")?;
        ensure!(pair.remote.address() == Some(home.host.address()), "{pair:?}");
        Ok(())
    });
}

/// Takes about 15 s, of which 10 s are the length of the 300 frames.
#[test]
fn lost_packets_are_retransmitted() {
    scene("lost_packets_are_retransmitted", &NEEDS, |scene| {
        let lab = Lab::new("chromium-loss")?;
        let homes = homes(&lab, &[PortRestricted])?;
        let world = World::start(scene, &lab, &homes)?;
        let side = lab.side(PortRestricted)?;
        let url = world.server.url(&format!("/whep/{PortRestricted}"));
        let mut browser =
            Browser::whep(scene, "browser", Place::On(&side.host), &url, &world.token)?;
        let before = browser.wait_for_picture(PICTURE_DEADLINE)?;
        lab.lose(&side.host, LOSS_PERCENT)?;
        let after = browser.wait_for_frames(LOSSY_FRAMES, LOSSY_DEADLINE)?;
        let retransmitted =
            after.retransmitted_packets_received - before.retransmitted_packets_received;
        let frozen = after.total_freezes_duration - before.total_freezes_duration;
        report(&format!(
            "{LOSS_PERCENT} % lost: {retransmitted} packets retransmitted, {frozen:.1} s frozen"
        ));
        ensure!(retransmitted > 0, "nothing was retransmitted: {after:?}");
        ensure!(frozen <= MAX_FROZEN_S, "the picture froze for {frozen} s: {after:?}");
        Ok(())
    });
}

/// Plays one pair, and returns the types of its candidates and the number of frames.
fn play(
    scene: &Scene,
    lab: &Lab,
    world: &World<'_>,
    gateway: NatKind,
    nat: NatKind,
    path: Path,
) -> Result<String> {
    let side = lab.side(nat)?;
    let sample = watch(scene, Place::On(&side.host), world, gateway, path)?;
    let pair = sample.pair.as_ref().context("no pair")?;
    if nat == UdpBlocked {
        let protocol = pair.local.relay_protocol.as_deref();
        ensure!(protocol == Some("tcp"), "relay over {protocol:?}: {pair:?}");
    }
    let (local, remote) = (&pair.local.kind, &pair.remote.kind);
    Ok(format!("{local} – {remote}, {} frames decoded", sample.frames_decoded))
}

/// Plays the camera of one gateway until enough frames have been decoded over the expected path.
fn watch(
    scene: &Scene,
    place: Place<'_>,
    world: &World<'_>,
    gateway: NatKind,
    path: Path,
) -> Result<Sample> {
    let url = world.server.url(&format!("/whep/{}", gateway.name()));
    let mut browser = Browser::whep(scene, "browser", place, &url, &world.token)?;
    browser.wait_for_picture(PICTURE_DEADLINE)?;
    browser.wait_for_sample(
        &format!("media takes the path {path:?}"),
        PATH_DEADLINE,
        |sample| sample.pair.as_ref().is_some_and(|pair| pair.path() == path),
    )?;
    let sample = browser.wait_for_frames(FRAMES, PATH_DEADLINE)?;
    let now = sample.pair.as_ref().map(|pair| pair.path());
    ensure!(now == Some(path), "the path became {now:?}: {sample:?}");
    Ok(sample)
}
