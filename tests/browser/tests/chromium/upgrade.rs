//! The server and the gateway are upgraded while the dashboard shows a picture.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::cameras::{Camera, Kind};
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::watching::{Watching, now_ms};

use crate::{CAMERA_DEADLINE, NEEDS, PICTURE_DEADLINE};

/// Time for which the dashboard is watched, longer than all upgrades together.
const WATCHED_S: u64 = 300;
/// Time before an upgrade in which the picture must play: a session that has played for less than
/// 5 s is not replaced at once.
const BEFORE: Duration = Duration::from_secs(7);
/// Time after an upgrade in which a picture that is going to stop stops.
const AFTER: Duration = Duration::from_secs(9);
const DEADLINE: Duration = Duration::from_secs(45);
/// Longest standstill of a picture that has to come back: 3 s, and half as much again as a loaded
/// machine may need.
const BACK: Duration = Duration::from_millis(4500);
/// Longest standstill of a picture that nothing has to interrupt.
const HITCH: Duration = Duration::from_secs(1);

/// A program that is upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upgraded {
    Server,
    Gateway,
}

/// Takes about 90 s: one path after the other, each with one upgrade after the other.
#[test]
fn pictures_are_back_soon_after_an_upgrade() {
    let name = "pictures_are_back_soon_after_an_upgrade";
    scene(name, &[NEEDS[0], NEEDS[1], Need::GstreamerRtsp], |_| {
        for (path, flags, steps) in [
            ("direct", &[][..], [(Upgraded::Server, HITCH), (Upgraded::Gateway, BACK)]),
            ("relayed", &["--turn-only"], [(Upgraded::Server, BACK), (Upgraded::Gateway, BACK)]),
        ] {
            Scene::play(path, |scene| {
                let mut house = House::start(scene, flags)?;
                for (upgraded, limit) in steps {
                    let stood = house.upgrade(upgraded).with_context(|| format!("{upgraded:?}"))?;
                    report(&format!("{path:10} {upgraded:8?} the picture stood for {stood:.1?}"));
                    ensure!(stood <= limit, "{upgraded:?}: no picture for {stood:?}");
                }
                Ok(())
            })?;
        }
        Scene::play("own camera", |scene| {
            let stood = upgrade_with_own_camera(scene)?;
            report(&format!("own camera Server   the picture stood for {stood:.1?}"));
            ensure!(stood <= BACK, "no picture for {stood:?}");
            Ok(())
        })
    });
}

/// A server, and a gateway with an RTSP camera that the dashboard shows.
struct House<'a> {
    scene: &'a Scene,
    _camera: Camera<'a>,
    server: Server<'a>,
    gateway: Option<Gateway>,
    watching: Watching,
}

impl<'a> House<'a> {
    fn start(scene: &'a Scene, flags: &[&str]) -> Result<Self> {
        let mut camera = Camera::new(scene, Kind::GstreamerRtsp)?;
        camera.start()?;
        let mut server = Server::start(scene, Place::Here, &["--allow-peer", "127.0.0.0/8"])?;
        let cameras = [("yard", camera.source())];
        let cameras = cameras.each_ref().map(|(id, source)| (*id, source.as_str()));
        let gateway = Gateway::start(scene, "gateway", Place::Here, &server, &cameras, flags)?;
        let watching = watch(scene, &mut server)?;
        Ok(Self { scene, _camera: camera, server, gateway: Some(gateway), watching })
    }

    /// Upgrades a program, and returns the longest time for which the picture stood still.
    fn upgrade(&mut self, upgraded: Upgraded) -> Result<Duration> {
        let Self { scene, server, gateway, watching, .. } = self;
        longest_standstill(watching, || match upgraded {
            Upgraded::Server => server.upgrade(),
            Upgraded::Gateway => {
                let running = gateway.take().context("a gateway")?;
                *gateway = Some(running.upgrade(scene, Place::Here)?);
                Ok(())
            }
        })
    }
}

/// Upgrades a server that has the camera itself.
fn upgrade_with_own_camera(scene: &Scene) -> Result<Duration> {
    let mut camera = Camera::new(scene, Kind::GstreamerRtsp)?;
    camera.start()?;
    let flags = ["--camera", &format!("yard={}", camera.source())];
    let mut server = Server::start(scene, Place::Here, &flags)?;
    let mut watching = watch(scene, &mut server)?;
    longest_standstill(&mut watching, || server.upgrade())
}

/// Opens the page of the camera, and waits for the picture.
fn watch(scene: &Scene, server: &mut Server<'_>) -> Result<Watching> {
    let token = server.token("viewer", &[])?;
    server.wait_for_camera(&token, "yard", CAMERA_DEADLINE)?;
    let page = server.url("/camera/yard");
    Watching::start(scene, Place::Here, (&page, &token), WATCHED_S, PICTURE_DEADLINE)
}

/// Returns the longest time without a picture from the beginning of the change to its end, and for
/// a while after it.
fn longest_standstill(
    watching: &mut Watching,
    change: impl FnOnce() -> Result<()>,
) -> Result<Duration> {
    thread::sleep(BEFORE);
    let begin = now_ms()?;
    change()?;
    thread::sleep(AFTER);
    watching.longest_standstill(begin, DEADLINE)
}
