//! A viewer in a network with IPv6 alone (NAT64 and DNS64), and a gateway with IPv4 alone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use porthole_net_tests::play_all;
use porthole_test_support::lab::{Lab, SERVER_NAME};
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::Path;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::viewer::Viewer;

const DEADLINE: Duration = Duration::from_secs(30);
/// One second of the test camera.
const FRAMES: u64 = 30;

use NatKind::{Open, PortRestricted, Symmetric, UdpBlocked};

/// Takes about 10 s. The two have no family of addresses in common, so that the picture is relayed;
/// the viewer reaches the TURN server because that has a name.
#[test]
fn a_viewer_with_ipv6_alone_watches_a_gateway_with_ipv4_alone() {
    let needs =
        [Need::Lab, Need::Program, Need::Viewer, Need::Tool("tayga"), Need::Tool("unbound")];
    scene("a_viewer_with_ipv6_alone_watches_a_gateway_with_ipv4_alone", &needs, |_| {
        play_all(vec![Open, PortRestricted, Symmetric, UdpBlocked], |gateway| {
            let took = Scene::play(gateway.name(), |scene| play(scene, gateway))?;
            report(&format!("{gateway:15} → IPv6 alone, relayed: {} ms", took.as_millis()));
            Ok(())
        })
    });
}

/// Plays a camera, and returns the time until the first picture.
fn play(scene: &Scene, gateway: NatKind) -> Result<Duration> {
    let lab = Lab::new(&format!("nat64-{gateway}"))?;
    let _names = lab.serve_names(scene)?;
    let config = scene.folder().join("server.toml");
    let urls = ["udp", "tcp"].map(|over| format!("'turn:{SERVER_NAME}:3478?transport={over}'"));
    std::fs::write(&config, format!("[signaling]\nturn_urls = [{}]\n", urls.join(", ")))?;
    let config = config.to_str().context("a path of text")?;
    let flags = ["--allow-peer", "203.0.113.0/24", "--config", config];
    let mut server = Server::start(scene, Place::On(lab.server()), &flags)?;
    let home = lab.side(gateway)?;
    let place = Place::On(&home.host);
    let _gateway = Gateway::start(scene, "gateway", place, &server, &[("yard", "test:")], &[])?;
    let token = server.token("viewer", &[])?;
    server.wait_for_camera(&token, "yard", DEADLINE)?;

    let phone = lab.ipv6_home(scene, PortRestricted)?;
    let start = Instant::now();
    let url = format!("http://{SERVER_NAME}:8080");
    let mut viewer = Viewer::start(scene, Place::On(&phone.side.host), &url, &token, "yard")?;
    viewer.wait_for_frames(1, DEADLINE)?;
    let first = start.elapsed();
    viewer.wait_for_path(Path::Relay, DEADLINE)?;
    viewer.wait_for_frames(FRAMES, DEADLINE)?;
    Ok(first)
}
