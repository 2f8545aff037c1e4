//! A camera that sends to a multicast group, in the gateway's network.

use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::cameras;
use porthole_test_support::lab::{Host, Lab};
use porthole_test_support::nat::NatKind;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::viewer::Viewer;

const NEEDS: [Need; 4] = [Need::Lab, Need::Program, Need::Viewer, Need::GstreamerRtsp];
const GROUP: &str = "239.255.77.7";
const DEADLINE: Duration = Duration::from_secs(30);
const FRAMES: u64 = 50;

/// The gateway has another interface, which the system would choose for the group.
#[test]
fn a_multicast_camera_is_watched_on_the_interface_through_which_it_is_reached() {
    let name = "a_multicast_camera_is_watched_on_the_interface_through_which_it_is_reached";
    scene(name, &NEEDS, |scene| {
        let lab = Lab::new("multicast")?;
        let home = lab.side(NatKind::Open)?;
        let camera = lab.host_behind(&home)?;
        let _camera = start_camera(scene, &camera)?;
        add_interface(&home.host)?;
        let mut server = Server::start(scene, Place::On(lab.server()), &[])?;
        let token = server.token("viewer", &[])?;
        let source = format!("rtsp://{}:554/camera#transport=multicast", camera.address());
        let place = Place::On(&home.host);
        let cameras = [("yard", source.as_str())];
        let _gateway = Gateway::start(scene, "gateway", place, &server, &cameras, &[])?;
        server.wait_for_camera(&token, "yard", DEADLINE)?;
        let viewer = lab.side(NatKind::Open)?;
        let place = Place::On(&viewer.host);
        let mut viewer = Viewer::start(scene, place, &server.url(""), &token, "yard")?;
        viewer.wait_for_frames(FRAMES, DEADLINE)
    });
}

fn start_camera(scene: &Scene, host: &Host) -> Result<Program> {
    let flags = ["--address", "0.0.0.0", "--port", "554", "--group", GROUP, "--interface", "eth0"];
    cameras::start_on(scene, host, "camera", "rtsp_server.py", &flags)
}

/// Adds an interface that leads nowhere, and a route of all groups through it.
fn add_interface(host: &Host) -> Result<()> {
    for line in [
        "link add other type veth peer name nowhere",
        "link set nowhere up",
        "address add 198.51.100.1/24 dev other",
        "link set other up",
        "route add 224.0.0.0/4 dev other",
    ] {
        let status = host.command("ip").args(line.split(' ')).status()?;
        ensure!(status.success(), "ip {line}: {status}");
    }
    Ok(())
}
