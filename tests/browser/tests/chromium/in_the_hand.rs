//! A camera in the hand: moved from afar, on a phone, by one person at a time.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::cameras::{PYTHON, start_on};
use porthole_test_support::lab::{Host, Lab, Side};
use porthole_test_support::nat::NatKind;
use porthole_test_support::onvif::{Auth, Fake, Mechanics, PASSWORD, Running, Sockets, USER};
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::wait;
use serde_json::{Value, json};

use crate::{ADMIN, NEEDS, PICTURE_DEADLINE, create_admin, sign_in};

const DEADLINE: Duration = Duration::from_secs(180);
/// Name of the gateway beside the camera.
const HOME: &str = "Home";
/// A person who may watch, and nothing else.
const VIEWER: &str = "bob";
/// Longest time for which a camera goes on after its viewer has vanished.
const STOPPED: Duration = Duration::from_secs(2);
/// Longest time from motion to the mark on the tile, on a loaded machine. The page has it 0.3 s
/// later if the machine has nothing else to do.
const TOLD: Duration = Duration::from_secs(5);

/// A camera at home, and everybody who uses it.
struct House<'a> {
    scene: &'a Scene,
    lab: &'a Lab,
    away: Side,
    other: Side,
    server: Server<'a>,
    camera: Running,
    /// The gateway and id of the camera.
    peer: String,
    id: String,
    /// Parts that run until they are dropped.
    _running: (Gateway, Program, Host, Side),
}

/// Takes about 2 min.
#[test]
fn a_camera_is_moved_from_afar_by_one_person_at_a_time_and_stands_still_without() {
    let name = "a_camera_is_moved_from_afar_by_one_person_at_a_time_and_stands_still_without";
    let needs = [NEEDS[0], NEEDS[1], Need::Lab, Need::GstreamerRtsp];
    scene(name, &needs, |scene| {
        let lab = Lab::new("hand")?;
        let house = House::new(scene, &lab)?;
        house.walk_on_a_phone()?;
        house.see_motion()?;
        house.cut_the_viewer_off()?;
        house.move_at_once()?;
        house.watch_without_the_permission()
    });
}

impl<'a> House<'a> {
    /// Starts everything, and adds the camera in the dashboard.
    fn new(scene: &'a Scene, lab: &'a Lab) -> Result<Self> {
        let nat = NatKind::PortRestricted;
        let (home, away, other) = (lab.side(nat)?, lab.side(nat)?, lab.side(nat)?);
        let host = lab.host_behind(&home)?;
        let flags = ["--port", "8554", "--fps", "15", "--kbit", "400", "--keyframe-interval", "1"];
        let streams = start_on(scene, &host, "streams", "rtsp_server.py", &flags)?;
        let ip = IpAddr::V4(host.address());
        let sockets = host.inside(|| Sockets::open(ip, 80, true))??;
        let camera = Fake {
            auth: Auth::Digest("MD5"),
            stream: Some(format!("rtsp://{ip}:8554/camera")),
            mechanics: Mechanics::Full,
            event_slots: 1,
            ..Fake::default()
        };
        let camera = camera.start(sockets)?;
        let mut server = Server::start(scene, Place::On(lab.server()), &[])?;
        let at_home = Place::On(&home.host);
        let gateway =
            Gateway::start(scene, "gateway", at_home, &server, &[], &["--gateway-name", HOME])?;
        add(scene, &away, &server)?;
        let token = server.token("admin", &[])?;
        let moves = |camera: &Value| camera["control"]["panTilt"] == true;
        let id = "front-door".to_owned();
        server.wait_for_camera_that("it can be moved", &token, &id, PICTURE_DEADLINE, moves)?;
        let list = server.get("/api/v1/cameras", Some(&token))?.json()?;
        let peer = list["cameras"][0]["gateway"].as_str().context("a gateway")?.to_owned();
        let _running = (gateway, streams, host, home);
        Ok(Self { scene, lab, away, other, server, camera, peer, id, _running })
    }

    /// Returns the steps to the wall.
    fn to_the_wall(&self, user: &str) -> Vec<Value> {
        let mut steps = sign_in(&self.server, user);
        steps.push(json!({ "see": "Front door" }));
        steps
    }

    fn page(&self) -> Value {
        json!({ "goto": self.server.url(&format!("/camera/{}", self.id)) })
    }

    /// Goes from the wall to the camera, turns it, takes a picture and changes its settings.
    fn walk_on_a_phone(&self) -> Result<()> {
        let file = |name: &str| self.scene.folder().join(name);
        let shot = |name: &str| json!({ "screenshot": file(&format!("phone-{name}.png")) });
        let mut steps = self.to_the_wall(ADMIN);
        steps.extend([
            json!({ "rates": 1, "playing": 1, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
            shot("wall"),
            json!({ "axe": "the wall" }),
            json!({ "tap": "Front door", "role": "link" }),
            json!({ "watch": 1, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
            shot("camera"),
            json!({ "hold": "Right", "ms": 1_500 }),
            json!({ "fill": "Name of this view", "value": "Gate" }),
            json!({ "tap": "Save view" }),
            json!({ "see": "Gate" }),
            shot("moved"),
            // The buttons over the picture hide themselves.
            json!({ "touch": "Live video from Front door" }),
            json!({ "download": "Save a snapshot", "file": file("snapshot") }),
            json!({ "tap": "Settings of this camera" }),
            json!({ "see": "Turned clockwise" }),
            json!({ "click": "Mirrored", "role": "checkbox" }),
            json!({ "see": "Connected only while somebody watches" }),
            shot("settings"),
            json!({ "axe": "the camera with its settings" }),
        ]);
        Browser::phone(self.scene, "phone", Place::On(&self.away.host), &steps, DEADLINE)?;
        let movement = &self.camera.seen.movement;
        let moves = movement.calls();
        let has = |name: &str| moves.iter().any(|(_, call)| call == name);
        ensure!(has("ContinuousMove") && has("SetPreset"), "{moves:?}");
        wait::until("the standstill of the camera", STOPPED, || {
            Ok((!movement.is_moving()).then_some(()))
        })?;
        let snapshot = std::fs::read(file("snapshot"))?;
        ensure!(snapshot.starts_with(&[0xff, 0xd8]), "the snapshot is no JPEG");
        let token = self.server.token("viewer", &[])?;
        let list = self.server.get("/api/v1/cameras", Some(&token))?.json()?;
        ensure!(list["cameras"][0]["mirrored"] == true, "{list}");
        Ok(())
    }

    /// Sees motion on the tile, also after the camera has lost its subscription.
    fn see_motion(&self) -> Result<()> {
        let events = &self.camera.seen.events;
        for (name, is_lost) in [("motion", false), ("motion-after-a-loss", true)] {
            events.set_motion(false);
            let mut steps = self.to_the_wall(ADMIN);
            let marked = json!({ "mark": "motion", "timeoutMs": DEADLINE.as_millis() });
            steps.extend([json!({ "noMark": "motion", "timeoutMs": 20_000 }), marked]);
            let before = steps.len() - 1;
            let place = Place::On(&self.away.host);
            let mut browser = Browser::begin(self.scene, name, place, &steps)?;
            let has_taken = |count: usize| {
                move |program: &Program| {
                    let events = program.events()?;
                    let taken = events.iter().filter_map(event("step")).count();
                    Ok((taken >= count).then_some(()))
                }
            };
            browser.program.wait_for("the wall", DEADLINE, has_taken(before))?;
            if is_lost {
                events.forget();
            }
            let start = Instant::now();
            events.set_motion(true);
            browser.program.wait_for("the mark of motion", TOLD, has_taken(before + 1))?;
            report(&format!("{name}: on the tile after {:.1?}", start.elapsed()));
            browser.finish(DEADLINE)?;
        }
        events.set_motion(false);
        Ok(())
    }

    /// Cuts the network of a person who holds a button down.
    fn cut_the_viewer_off(&self) -> Result<()> {
        let mut steps = self.to_the_wall(ADMIN);
        steps.extend([
            self.page(),
            json!({ "watch": 1, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
            json!({ "hold": "Left", "ms": 20_000, "timeoutMs": 60_000, "optional": true }),
        ]);
        let place = Place::On(&self.away.host);
        let _browser = Browser::begin(self.scene, "cut", place, &steps)?;
        let movement = &self.camera.seen.movement;
        wait::until("the movement", DEADLINE, || Ok(movement.is_moving().then_some(())))?;
        // Held for longer than one lease.
        std::thread::sleep(Duration::from_millis(1_500));
        ensure!(movement.is_moving(), "it does not go on while the button is held");
        let cut = Instant::now();
        self.lab.cut(&self.away.host)?;
        wait::until("the standstill of the camera", 2 * STOPPED, || {
            Ok((!movement.is_moving()).then_some(()))
        })?;
        let stopped = movement.stopped().context("it has stopped")?;
        let after = stopped.saturating_duration_since(cut);
        report(&format!("the camera stands still {after:.1?} after its viewer has vanished"));
        ensure!(after <= STOPPED, "it has gone on for {after:?}");
        self.lab.restore(&self.away.host)
    }

    /// Returns the step of another person who moves the camera.
    fn mover(&self, token: &str) -> Value {
        let (peer, camera) = (&self.peer, &self.id);
        json!({ "move": { "token": token, "peer": peer, "camera": camera, "seconds": 8 } })
    }

    /// Sees who moves the camera while somebody else does.
    fn move_at_once(&self) -> Result<()> {
        let token = self.server.token("viewer", &["--control", "--camera", &self.id])?;
        let steps = [json!({ "goto": self.server.url("/") }), self.mover(&token)];
        let mut mover = Browser::begin(self.scene, "mover", Place::On(&self.other.host), &steps)?;
        let mut steps = self.to_the_wall(ADMIN);
        steps.extend([self.page(), json!({ "see": "test is moving this camera" })]);
        steps.push(json!({ "screenshot": self.scene.folder().join("held.png") }));
        let place = Place::On(&self.away.host);
        let movement = &self.camera.seen.movement;
        wait::until("the movement", DEADLINE, || Ok(movement.is_moving().then_some(())))?;
        Browser::dashboard(self.scene, "second", place, &steps, DEADLINE)?;
        mover.finish(DEADLINE)?;
        let moved = mover.last(event("moved"))?.context("no end of the movement")?;
        ensure!(moved["refusals"] == json!([]), "{moved}");
        wait::until("the standstill of the camera", 2 * STOPPED, || {
            Ok((!movement.is_moving()).then_some(()))
        })
    }

    /// Watches as somebody who may not move the camera, and asks for it all the same.
    fn watch_without_the_permission(&self) -> Result<()> {
        self.add_viewer()?;
        let mut steps = self.to_the_wall(VIEWER);
        steps.extend([
            self.page(),
            json!({ "watch": 1, "timeoutMs": PICTURE_DEADLINE.as_millis() }),
            json!({ "gone": "Move the camera" }),
            json!({ "text": true }),
        ]);
        let token = self.server.token("viewer", &["--camera", &self.id])?;
        steps.push(self.mover(&token));
        let moves = || {
            let calls = self.camera.seen.movement.calls();
            calls.iter().filter(|(_, call)| call == "ContinuousMove").count()
        };
        let before = moves();
        let place = Place::On(&self.other.host);
        let browser = Browser::dashboard(self.scene, "viewer", place, &steps, DEADLINE)?;
        let text = browser.last(event("text"))?.context("no text")?;
        let text = text["text"].as_str().unwrap_or_default().to_owned();
        for control in ["Save view", "Settings of this camera"] {
            ensure!(!text.contains(control), "a viewer sees {control}: {text}");
        }
        let moved = browser.last(event("moved"))?.context("no end of the movement")?;
        let refusals = moved["refusals"].as_array().context("a list")?;
        let is_refused = |it: &Value| it.as_str().is_some_and(|text| text.starts_with("403"));
        ensure!(!refusals.is_empty() && refusals.iter().all(is_refused), "{moved}");
        ensure!(moves() == before, "the camera was moved by somebody who may not");
        Ok(())
    }

    /// Adds a user who may watch, straight into the database: there is no other way yet.
    fn add_viewer(&self) -> Result<()> {
        const INSERT: &str = "import sqlite3, sys\n\
            with sqlite3.connect(sys.argv[1]) as db:\n    \
            db.execute(\"INSERT INTO users (name, password, role, created_s) \
            SELECT ?, password, 'viewer', created_s FROM users\", (sys.argv[2],))";
        let file = self.server.data().join("signaling.sqlite3");
        let status = Command::new(PYTHON).args(["-c", INSERT]).arg(file).arg(VIEWER).status()?;
        ensure!(status.success(), "no user was added");
        Ok(())
    }
}

/// Creates the first administrator and adds the camera.
fn add(scene: &Scene, away: &Side, server: &Server<'_>) -> Result<()> {
    let picture_ms = PICTURE_DEADLINE.as_millis();
    let mut steps = create_admin(&server.setup_link()?, ADMIN);
    steps.extend([
        json!({ "see": HOME, "timeoutMs": picture_ms }),
        json!({ "click": HOME }),
        json!({ "click": "Add Axis M1065", "timeoutMs": picture_ms }),
        json!({ "fill": "User", "value": USER }),
        json!({ "fill": "Password", "value": PASSWORD }),
        json!({ "click": "Show the picture" }),
        json!({ "see": "Ready to add", "timeoutMs": picture_ms }),
        json!({ "fill": "Name", "value": "Front door" }),
        json!({ "click": "Add camera" }),
        json!({ "see": "Front door is added" }),
    ]);
    Browser::dashboard(scene, "add", Place::On(&away.host), &steps, DEADLINE).map(drop)
}
