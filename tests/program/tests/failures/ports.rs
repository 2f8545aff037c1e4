//! Ports that another program uses.

use std::net::{TcpListener, UdpSocket};

use anyhow::{Context as _, Result};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Scene, scene};

use crate::installation::{Installation, NEEDS};
use crate::process::{porthole, run_to_end};

#[test]
fn a_port_in_use_is_named_and_its_owner_keeps_it() {
    scene("a_port_in_use_is_named_and_its_owner_keeps_it", &NEEDS, |scene| {
        let mut installation = Installation::start(scene, Place::Here, &[])?;
        let (udp, tcp) = (free_port()?, free_port()?);
        let _udp = UdpSocket::bind(udp)?;
        let _tcp = TcpListener::bind(tcp)?;
        let (udp_port, http, turn) =
            (udp.port().to_string(), installation.server.http(), installation.server.turn());
        for (case, flags, named) in [
            ("http", ["--http", &http.to_string()], http.to_string()),
            ("turn", ["--turn", &turn.to_string()], turn.to_string()),
            ("turn over UDP", ["--turn", &udp.to_string()], udp.to_string()),
            ("turn over TCP", ["--turn", &tcp.to_string()], tcp.to_string()),
            ("video", ["--udp-port", &udp_port], udp_port.clone()),
        ] {
            check_start_fails(scene, case, flags, &named).context(case)?;
        }
        installation.check_unharmed()
    });
}

/// Checks that a second server ends because of the one port; its other ports are free.
fn check_start_fails(
    scene: &Scene,
    case: &str,
    [flag, value]: [&str; 2],
    named: &str,
) -> Result<()> {
    let mut command = porthole(&["up", "--demo", flag, value])?;
    for other in ["--http", "--turn"].into_iter().filter(|other| *other != flag) {
        command.args([other, &free_port()?.to_string()]);
    }
    command.arg("--data").arg(scene.data(case)?);
    run_to_end(scene, case, &mut command)?.check(1, &[named, "another port"], &[])
}

#[test]
fn a_camera_port_in_use_affects_only_that_camera() {
    scene("a_camera_port_in_use_affects_only_that_camera", &NEEDS, |scene| {
        let taken = free_port()?;
        let holder = UdpSocket::bind(taken)?;
        let camera = format!("yard=rtp://{taken}?codec=h264");
        let mut installation = Installation::start(scene, Place::Here, &["--camera", &camera])?;
        installation.check_reason("yard", &[&taken.to_string(), "another port"], &[])?;
        drop(holder);
        installation.check_unharmed()
    });
}
