//! Changes of the network under a picture in the dashboard, with Chromium.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_net_tests::play_all;
use porthole_test_support::browser::Browser;
use porthole_test_support::lab::{Lab, Side};
use porthole_test_support::nat::NatKind;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::watching::{Watching, now_ms};

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::Browser];
const SERVER_FLAGS: [&str; 2] = ["--allow-peer", "203.0.113.0/24"];
const CAMERA_DEADLINE: Duration = Duration::from_secs(30);
const PICTURE_DEADLINE: Duration = Duration::from_secs(40);
/// Time for which the dashboard is watched, longer than all changes together.
const WATCHED_S: u64 = 900;
/// Time in which the picture has to be back once the network is: 3 s, and as much again as a loaded
/// machine may need. Without the browser's own watch it is 5 to 10 s.
const LIMIT: Duration = Duration::from_millis(4500);
const DEADLINE: Duration = Duration::from_secs(45);
/// Time without a change, in which a picture that is going to stop stops. A session that has played
/// for less than 5 s is not replaced at once.
const AFTERMATH: Duration = Duration::from_secs(9);
const RESTART: Duration = Duration::from_secs(2);
const OUTAGE: Duration = Duration::from_secs(5);
const LONG_OUTAGE: Duration = Duration::from_secs(20);
const SLEEP: Duration = Duration::from_secs(30);

use NatKind::{PortRestricted, Symmetric};

/// Takes about 2 min: both homes at the same time, one change after the other.
#[test]
fn the_picture_returns_by_itself_after_each_change_of_the_network() {
    let name = "the_picture_returns_by_itself_after_each_change_of_the_network";
    scene(name, &NEEDS, |_| {
        play_all(vec![PortRestricted, Symmetric], |nat| {
            Scene::play(nat.name(), |scene| {
                let lab = Lab::new(nat.name())?;
                let mut house = House::start(scene, &lab, nat)?;
                let mut watching = house.watch(scene)?;
                let mut failures = Vec::new();
                for (what, change) in CHANGES {
                    let took = house.change(&mut watching, change).context(what)?;
                    report(&format!("{nat:15} {what:40} {took:?}"));
                    if took > LIMIT {
                        failures.push(format!("{what}: {took:?}"));
                    }
                }
                ensure!(failures.is_empty(), "no picture for long:\n{}", failures.join("\n"));
                Ok(())
            })
        })
    });
}

/// A change of the network; the network is back when it returns.
type Change = fn(&mut House<'_>, &Browser) -> Result<()>;

const CHANGES: [(&str, Change); 9] = [
    ("the viewer's router is renumbered", |house, _| house.lab.renumber(&mut house.viewer)),
    ("the gateway's router is renumbered", |house, _| house.lab.renumber(&mut house.home)),
    ("the viewer's router is restarted", |house, _| house.lab.rebind(&house.viewer)),
    ("both routers are restarted", |house, _| {
        house.lab.rebind(&house.viewer)?;
        house.lab.rebind(&house.home)
    }),
    ("the viewer is cut off for 5 s", |house, _| {
        house.lab.cut(&house.viewer.host)?;
        thread::sleep(OUTAGE);
        house.lab.restore(&house.viewer.host)
    }),
    ("the gateway is cut off for 5 s", |house, _| {
        house.lab.cut(&house.home.host)?;
        thread::sleep(OUTAGE);
        house.lab.restore(&house.home.host)
    }),
    ("the gateway is cut off for 20 s", |house, _| {
        house.lab.cut(&house.home.host)?;
        thread::sleep(LONG_OUTAGE);
        house.lab.restore(&house.home.host)
    }),
    ("the server is killed, and back after 2 s", |house, _| {
        house.server.kill()?;
        thread::sleep(RESTART);
        house.server.run()
    }),
    ("the viewer sleeps for 30 s", |_, browser| {
        browser.sleep()?;
        thread::sleep(SLEEP);
        browser.wake()
    }),
];

/// A gateway and a viewer, each in a home of its own.
struct House<'a> {
    lab: &'a Lab,
    server: Server<'a>,
    _gateway: Gateway,
    home: Side,
    viewer: Side,
}

impl<'a> House<'a> {
    fn start(scene: &'a Scene, lab: &'a Lab, nat: NatKind) -> Result<Self> {
        let mut server = Server::start(scene, Place::On(lab.server()), &SERVER_FLAGS)?;
        let (home, viewer) = (lab.side(nat)?, lab.side(nat)?);
        let place = Place::On(&home.host);
        let gateway = Gateway::start(scene, "gateway", place, &server, &[("yard", "test:")], &[])?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "yard", CAMERA_DEADLINE)?;
        Ok(Self { lab, server, _gateway: gateway, home, viewer })
    }

    /// Opens the page of the camera.
    fn watch(&self, scene: &Scene) -> Result<Watching> {
        let token = self.server.token("viewer", &[])?;
        let page = self.server.url("/camera/yard");
        let place = Place::On(&self.viewer.host);
        Watching::start(scene, place, (&page, &token), WATCHED_S, PICTURE_DEADLINE)
    }

    /// Changes the network, and returns the time from its return to that of the picture.
    fn change(&mut self, watching: &mut Watching, change: Change) -> Result<Duration> {
        change(self, watching.browser())?;
        let back = now_ms()?;
        // A picture that comes at once may yet stop, when what was under way has arrived.
        thread::sleep(AFTERMATH);
        watching.longest_standstill(back, DEADLINE)
    }
}
