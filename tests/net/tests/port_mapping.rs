//! Ports that a real router forwards at the gateway's request: MiniUPnPd, by each of its protocols.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_net_tests::play_all;
use porthole_test_support::lab::{Host, Lab, SERVER_ADDRESS};
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::Path;
use porthole_test_support::porthole::{Gateway, Server, binary};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;
use serde_json::Value;

const NEEDS: [Need; 4] = [Need::Lab, Need::Program, Need::Viewer, Need::Tool("miniupnpd")];
const SERVER_FLAGS: [&str; 2] = ["--allow-peer", "203.0.113.0/24"];
const DEADLINE: Duration = Duration::from_secs(30);
/// One second of the test camera.
const FRAMES: u64 = 30;

/// Takes about 10 s: the three protocols at a time. Without a mapping, two symmetric NATs need a
/// relay, as `matrix.rs` shows.
#[test]
fn two_symmetric_nats_connect_directly_through_a_mapped_port_that_is_given_back() {
    let name = "two_symmetric_nats_connect_directly_through_a_mapped_port_that_is_given_back";
    scene(name, &NEEDS, |_| {
        play_all(vec!["pcp", "nat-pmp", "upnp"], |protocol| {
            let took = Scene::play(protocol, |scene| play(scene, protocol))?;
            report(&format!("{protocol:8} direct after {} ms", took.as_millis()));
            Ok(())
        })
    });
}

/// Plays a camera behind a router that maps ports, and returns the time until the direct path.
fn play(scene: &Scene, protocol: &str) -> Result<Duration> {
    let lab = Lab::new(protocol)?;
    let (home, viewer_home) = (lab.side(NatKind::Symmetric)?, lab.side(NatKind::Symmetric)?);
    let (_router, external) = home.map_ports(scene)?;
    let mut server = Server::start(scene, Place::On(lab.server()), &SERVER_FLAGS)?;
    let config = scene.folder().join("gateway.toml");
    std::fs::write(&config, format!("[gateway]\nport_mapping = '{protocol}'\n"))?;
    let config = config.to_str().context("a path of text")?;
    let place = Place::On(&home.host);
    let cameras = [("yard", "test:")];
    let gateway =
        Gateway::start(scene, "gateway", place, &server, &cameras, &["--config", config])?;
    let token = server.token("viewer", &[])?;
    server.wait_for_camera(&token, "yard", DEADLINE)?;
    let mapped = wait::until("the router forwards a port", DEADLINE, || {
        Ok(Some(home.mapped_ports()?).filter(|ports| !ports.is_empty()))
    })?;
    let target = format!("dnat ip to {}:", home.host.address());
    ensure!(mapped.len() == 1 && mapped[0].contains(&target), "{mapped:?}");

    let start = Instant::now();
    let (url, place) = (server.url(""), Place::On(&viewer_home.host));
    let mut viewer = Viewer::start(scene, place, &url, &token, "yard")?;
    let pair = viewer.wait_for_path(Path::Direct, DEADLINE)?;
    let took = start.elapsed();
    ensure!(pair.remote.address() == Some(external), "through the mapped port: {pair:?}");
    viewer.wait_for_frames(FRAMES, DEADLINE)?;

    let log = gateway.program.output()?;
    let lines = log.lines().filter(|line| line.contains("the router forwards UDP port")).count();
    ensure!(lines == 1, "one line about the mapping, not {lines}");
    gateway.program.stop()?;
    ensure!(home.mapped_ports()?.is_empty(), "it is given back: {:?}", home.mapped_ports()?);
    Ok(took)
}

/// Takes about 15 s: a router that has begun to map ports is asked 10 s after the search that found
/// nothing.
#[test]
fn a_picture_that_is_relayed_becomes_direct_when_the_router_begins_to_map_ports() {
    let name = "a_picture_that_is_relayed_becomes_direct_when_the_router_begins_to_map_ports";
    scene(name, &NEEDS, |scene| {
        let lab = Lab::new("late")?;
        let (home, viewer_home) = (lab.side(NatKind::Symmetric)?, lab.side(NatKind::Symmetric)?);
        let mut server = Server::start(scene, Place::On(lab.server()), &SERVER_FLAGS)?;
        let place = Place::On(&home.host);
        let cameras = [("yard", "test:")];
        let mut gateway = Gateway::start(scene, "gateway", place, &server, &cameras, &[])?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "yard", DEADLINE)?;
        let (url, place) = (server.url(""), Place::On(&viewer_home.host));
        let mut viewer = Viewer::start(scene, place, &url, &token, "yard")?;
        viewer.wait_for_path(Path::Relay, DEADLINE)?;
        gateway.program.wait_for("the search finds nothing", DEADLINE, |program| {
            Ok(program.output()?.contains("no router forwards a port").then_some(()))
        })?;
        let (_router, external) = home.map_ports(scene)?;
        let pair = viewer.wait_for_path(Path::Direct, DEADLINE)?;
        ensure!(pair.remote.address() == Some(external), "through the mapped port: {pair:?}");
        viewer.wait_for_frames(FRAMES, DEADLINE)
    });
}

/// Routes of a VPN: for each half of the addresses, by a rule that leaves the LAN alone, and by one
/// that does not.
const VPNS: [&[&str]; 3] = [
    &["route add 0.0.0.0/1 dev vpn", "route add 128.0.0.0/1 dev vpn"],
    &[
        "route add default dev vpn table 77",
        "rule add pref 100 lookup 77",
        "rule add pref 99 lookup main suppress_prefixlength 0",
    ],
    &["route add default dev vpn table 77", "rule add pref 100 lookup 77"],
];

/// Runs `ip` on a host.
fn ip(host: &Host, arguments: &str) -> Result<()> {
    let status = host.command("ip").args(arguments.split(' ')).status()?;
    ensure!(status.success(), "ip {arguments}");
    Ok(())
}

/// Takes about 20 s.
#[test]
fn netcheck_tries_the_router_if_asked_and_leaves_nothing_behind() {
    let needs = [Need::Lab, Need::Program, Need::Tool("miniupnpd")];
    scene("netcheck_tries_the_router_if_asked_and_leaves_nothing_behind", &needs, |scene| {
        let lab = Lab::new("netcheck-mapping")?;
        let home = lab.side(NatKind::Symmetric)?;
        let (_router, external) = home.map_ports(scene)?;
        let server = SERVER_ADDRESS.to_string();
        let netcheck = |flags: &[&str]| -> Result<Value> {
            let mut command = Place::On(&home.host).command(binary()?);
            let command = command.args(["netcheck", "--server", &server, "--json"]).args(flags);
            Ok(serde_json::from_slice(&command.output()?.stdout)?)
        };
        let found = wait::until("the router maps ports", DEADLINE, || {
            Ok(Some(netcheck(&["--map-port"])?).filter(|found| found["router"]["pcp"] == true))
        })?;
        let router = &found["router"];
        ensure!(router["nat_pmp"] == true && router["upnp"] == true, "{found}");
        ensure!(router["mapped_by"] == "PCP", "{found}");
        ensure!(router["external_address"] == external.to_string(), "{found}");
        ensure!(home.mapped_ports()?.is_empty(), "{:?}", home.mapped_ports()?);
        let found = netcheck(&[])?;
        ensure!(found["router"]["pcp"] == true, "{found}");
        ensure!(found["router"]["mapped_by"].is_null(), "not asked to: {found}");

        ip(&home.host, "link add vpn type veth peer name vpn-peer")?;
        ip(&home.host, "addr add 10.8.0.2/24 dev vpn")?;
        ip(&home.host, "link set vpn up")?;
        ip(&home.host, "link set vpn-peer up")?;
        for routes in VPNS {
            routes.iter().try_for_each(|route| ip(&home.host, route))?;
            let found = netcheck(&["--map-port"])?;
            ensure!(found["router"].is_null(), "around a VPN: {routes:?} {found}");
            for route in routes {
                ip(&home.host, &route.replace(" add ", " del "))?;
            }
        }
        Ok(())
    });
}
