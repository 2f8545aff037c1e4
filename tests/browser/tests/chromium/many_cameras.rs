//! The odd cameras of a house, added at once behind one NAT and watched behind another one.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::browser::Browser;
use porthole_test_support::cameras::start_on;
use porthole_test_support::lab::{Host, Lab, Side};
use porthole_test_support::memory;
use porthole_test_support::nat::NatKind;
use porthole_test_support::onvif::{Auth, Fake, PASSWORD, Running, Sockets, USER};
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, report, scene};
use serde_json::json;

use crate::add_camera::ensure_absent;
use crate::{ADMIN, NEEDS, PICTURE_DEADLINE, create_admin, sign_in};

const DEADLINE: Duration = Duration::from_secs(240);
/// Longest time until a camera is found, in milliseconds, and until all are. Both take less than
/// 100 ms on a machine that has nothing else to do.
const FOUND_MS: [u64; 2] = [1_000, 5_000];
/// Name of the gateway at home; that of the server sees none of the devices.
const HOME: &str = "Home";
/// A clock that is half a year ahead.
const HALF_A_YEAR_S: i64 = 183 * 86_400;
/// Number of cameras in the recorder.
const SOURCES: usize = 4;
/// Number of devices, and of the cameras in them.
const DEVICES: usize = 6;
const CAMERAS: usize = DEVICES - 1 + SOURCES;

/// Takes about 40 s.
#[test]
fn six_odd_devices_are_added_with_one_password_and_play_behind_another_nat() {
    let name = "six_odd_devices_are_added_with_one_password_and_play_behind_another_nat";
    let needs = [NEEDS[0], NEEDS[1], Need::Lab, Need::GstreamerRtsp, Need::Zeroconf];
    scene(name, &needs, |scene| {
        let lab = Lab::new("six")?;
        let (home, away) = (lab.side(NatKind::PortRestricted)?, lab.side(NatKind::PortRestricted)?);
        let _devices = start_devices(scene, &lab, &home)?;
        let mut server = Server::start(scene, Place::On(lab.server()), &[])?;
        let at_home = Place::On(&home.host);
        let gateway =
            Gateway::start(scene, "gateway", at_home, &server, &[], &["--gateway-name", HOME])?;

        add_all(scene, &away, &server)?;
        let ids = ids(&mut server)?;
        ensure!(ids.len() == CAMERAS, "{ids:?}");
        watch_each(scene, &away, &server, &ids)?;

        ensure!(!scene.logs().contains(PASSWORD), "the password is in a log");
        ensure_absent(server.data(), PASSWORD.as_bytes())?;
        ensure_absent(&scene.data("gateway")?, PASSWORD.as_bytes())?;
        let holds = |pid| memory::contains(pid, PASSWORD.as_bytes());
        ensure!(holds(gateway.program.pid())?, "the gateway is said not to know the password");
        ensure!(!holds(server.pid()?)?, "the password is in the memory of the server");
        Ok(())
    });
}

/// The parts of one device that run until they are dropped, and its machine.
type Device = (Vec<Program>, Option<Running>, Host);

/// Starts each device on a machine of its own, with real streams.
fn start_devices(scene: &Scene, lab: &Lab, home: &Side) -> Result<Vec<Device>> {
    let digest = Auth::Digest("MD5");
    let odd = [
        Fake { model: "Wrong-Address", named: Some("10.99.0.7"), auth: digest, ..Fake::default() },
        Fake { model: "Wrong-Clock", ahead_s: HALF_A_YEAR_S, auth: Auth::Token, ..Fake::default() },
        Fake {
            model: "Second-Media",
            media2_only: true,
            auth: Auth::Digest("SHA-256"),
            ..Fake::default()
        },
        Fake { model: "Readable", auth: Auth::Text, ..Fake::default() },
        Fake { model: "Recorder", sources: SOURCES, auth: digest, ..Fake::default() },
    ];
    let mut devices = Vec::new();
    for (number, fake) in odd.into_iter().enumerate() {
        let host = lab.host_behind(home)?;
        let streams = start_streams(scene, &host, fake.model, "8554", "/camera")?;
        let ip = IpAddr::V4(host.address());
        // The address of the stream is as wrong as that of the service.
        let own = ip.to_string();
        let named = fake.named.unwrap_or(&own);
        let stream = Some(format!("rtsp://{named}:8554/camera?TOKEN"));
        let sockets = host.inside(|| Sockets::open(ip, 80, true))??;
        let first = number * 16;
        let running = Fake { stream, first, ..fake }.start(sockets)?;
        devices.push((vec![streams], Some(running), host));
    }
    let host = lab.host_behind(home)?;
    let streams = start_streams(scene, &host, "rtsp", "554", "/stream1")?;
    devices.push((vec![streams, announce(scene, &host)?], None, host));
    Ok(devices)
}

fn start_streams(
    scene: &Scene,
    host: &Host,
    name: &str,
    port: &str,
    path: &str,
) -> Result<Program> {
    let at = ["--port", port, "--path", path, "--user", USER, "--password", PASSWORD];
    let picture = ["--size", "320x240", "--fps", "10", "--kbit", "200"];
    let flags = [&at[..], &picture].concat();
    start_on(scene, host, &format!("streams-{name}"), "rtsp_server.py", &flags)
}

/// Announces the camera that has RTSP alone.
fn announce(scene: &Scene, host: &Host) -> Result<Program> {
    let service = ["--service", "_rtsp._tcp.local.", "--port", "554"];
    let flags = [&service[..], &["--name", "Plain", "--mac", "00408CABCDEF"]].concat();
    start_on(scene, host, "announce", "announce.py", &flags)
}

/// Creates the first administrator and adds every device that is found.
fn add_all(scene: &Scene, away: &Side, server: &Server<'_>) -> Result<()> {
    let picture_ms = PICTURE_DEADLINE.as_millis();
    let search = json!({ "click": HOME });
    let mut steps = create_admin(&server.setup_link()?, ADMIN);
    steps.extend([
        // It may not have connected yet.
        json!({ "see": HOME, "timeoutMs": picture_ms }),
        search.clone(),
        json!({ "see": "Looking for cameras" }),
        json!({ "see": ["Wrong-Address", "Wrong-Clock", "Second-Media", "Readable", "Recorder"] }),
        json!({ "see": format!("Add all {DEVICES} with one password") }),
        json!({ "click": format!("Add all {DEVICES} with one password") }),
        json!({ "fill": "User", "value": USER }),
        json!({ "fill": "Password", "value": PASSWORD }),
        json!({ "click": "Show the picture" }),
        json!({ "click": "Try the usual addresses", "timeoutMs": 60_000 }),
        json!({ "click": "Type another password", "timeoutMs": 60_000 }),
        json!({ "click": "Send the password as readable text", "role": "checkbox" }),
        json!({ "fill": "User", "value": USER }),
        json!({ "fill": "Password", "value": PASSWORD }),
        json!({ "click": "Show the picture" }),
        json!({ "see": "The picture works without ONVIF.", "timeoutMs": picture_ms }),
        json!({ "click": format!("Add {CAMERAS} cameras"), "timeoutMs": 120_000 }),
        json!({ "see": format!("{CAMERAS} cameras are added"), "timeoutMs": picture_ms }),
    ]);
    let at = steps.iter().position(|step| *step == search).context("no search")?;
    let browser = Browser::dashboard(scene, "add", Place::On(&away.host), &steps, DEADLINE)?;
    let times = browser.step_times()?;
    let after = |step: usize| times.get(step).zip(times.get(at)).map(|(one, start)| one - start);
    let first = after(at + 2).context("no time of the first camera")?;
    let all = after(at + 3).context("no time of all cameras")?;
    report(&format!("the first camera was found after {first} ms, all {DEVICES} after {all} ms"));
    ensure!(first <= FOUND_MS[0] && all <= FOUND_MS[1], "found after {first} and {all} ms");
    Ok(())
}

/// Returns the addresses of all cameras in the dashboard.
fn ids(server: &mut Server<'_>) -> Result<Vec<String>> {
    let token = server.token("viewer", &[])?;
    let cameras = server.get("/api/v1/cameras", Some(&token))?.json()?;
    let list = cameras["cameras"].as_array().context("a list of cameras")?;
    Ok(list.iter().filter_map(|camera| camera["id"].as_str().map(str::to_owned)).collect())
}

fn watch_each(scene: &Scene, away: &Side, server: &Server<'_>, ids: &[String]) -> Result<()> {
    let mut steps = sign_in(server, ADMIN);
    steps.push(json!({ "see": "all ready", "timeoutMs": PICTURE_DEADLINE.as_millis() }));
    for id in ids {
        steps.push(json!({ "goto": server.url(&format!("/camera/{id}")) }));
        steps.push(json!({ "watch": 1, "timeoutMs": PICTURE_DEADLINE.as_millis() }));
    }
    Browser::dashboard(scene, "watch", Place::On(&away.host), &steps, DEADLINE).map(drop)
}
