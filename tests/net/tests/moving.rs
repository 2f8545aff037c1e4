//! A viewer whose router gets another public address in mid-picture, with the native viewer.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use porthole_net_tests::{World, homes};
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::Path;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::viewer::Viewer;

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::Viewer];
const DEADLINE: Duration = Duration::from_secs(20);
/// One second of the test camera.
const FRAMES: u64 = 30;
/// Time in which the picture has to be back, with half a second for a loaded machine.
const LIMIT: Duration = Duration::from_millis(3500);
/// Time after which a better pair alone is no reason to change:
/// `RENOMINATION_WINDOW` of the agent.
const RENOMINATION: Duration = Duration::from_secs(10);
/// Time for which frames are counted after each change, and interval at which.
const COUNTED: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(20);

/// Takes about 90 s: each of four routers is renumbered as soon as there is a picture, and again
/// when the agents no longer look for better pairs.
#[test]
fn a_viewer_whose_router_is_renumbered_sees_the_picture_again_within_three_seconds() {
    let name = "a_viewer_whose_router_is_renumbered_sees_the_picture_again_within_three_seconds";
    scene(name, &NEEDS, |scene| {
        let lab = Lab::new("moving")?;
        let homes = homes(&lab, &[NatKind::Open, NatKind::FullCone])?;
        let world = World::start(scene, &lab, &homes)?;
        for gateway in [NatKind::Open, NatKind::FullCone] {
            for nat in [NatKind::PortRestricted, NatKind::Symmetric] {
                Scene::play(&format!("{gateway} → {nat}"), |scene| {
                    let times = renumber(scene, &lab, &world, gateway, nat)?;
                    report(&format!("{gateway:10} → {nat:16} {times:?}"));
                    Ok(())
                })?;
            }
        }
        Ok(())
    });
}

/// Renumbers the viewer's router twice, and returns the times without a picture.
fn renumber(
    scene: &Scene,
    lab: &Lab,
    world: &World<'_>,
    gateway: NatKind,
    nat: NatKind,
) -> Result<[Duration; 2]> {
    let mut side = lab.side(nat)?;
    let url = world.server.url("");
    let place = Place::On(&side.host);
    let mut viewer = Viewer::start(scene, place, &url, &world.token, gateway.name())?;
    viewer.wait_for_path(Path::Direct, DEADLINE)?;
    viewer.wait_for_frames(FRAMES, DEADLINE)?;
    let mut times = [Duration::ZERO; 2];
    for (time, wait) in times.iter_mut().zip([Duration::ZERO, RENOMINATION]) {
        thread::sleep(wait);
        lab.renumber(&mut side)?;
        *time = longest_gap(&viewer)?;
        ensure!(*time <= LIMIT, "{time:?} without a picture");
    }
    Ok(times)
}

/// Counts frames for a while, and returns the longest time without any.
fn longest_gap(viewer: &Viewer) -> Result<Duration> {
    let start = Instant::now();
    let (mut count, mut last, mut longest) = (viewer.frames()?, start, Duration::ZERO);
    while start.elapsed() < COUNTED {
        thread::sleep(INTERVAL);
        let now = viewer.frames()?;
        longest = longest.max(last.elapsed());
        if now > count {
            (count, last) = (now, Instant::now());
        }
    }
    Ok(longest)
}
