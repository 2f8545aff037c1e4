//! A port that another program has.

use std::net::{TcpListener, UdpSocket};

use anyhow::{Context as _, Result};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Scene, scene};

use crate::house::{House, NEEDS, porthole, run_to_end};

#[test]
fn a_port_in_use_is_named_and_whoever_has_it_keeps_it() {
    scene("a_port_in_use_is_named_and_whoever_has_it_keeps_it", &NEEDS, |scene| {
        let mut house = House::start(scene, Place::Here, &[])?;
        let (udp, tcp) = (free_port()?, free_port()?);
        let _udp = UdpSocket::bind(udp)?;
        let _tcp = TcpListener::bind(tcp)?;
        let (udp_port, http, turn) =
            (udp.port().to_string(), house.server.http(), house.server.turn());
        for (case, flags, named) in [
            ("http", ["--http", &http.to_string()], http.to_string()),
            ("turn", ["--turn", &turn.to_string()], turn.to_string()),
            ("turn over UDP", ["--turn", &udp.to_string()], udp.to_string()),
            ("turn over TCP", ["--turn", &tcp.to_string()], tcp.to_string()),
            ("video", ["--udp-port", &udp_port], udp_port.clone()),
        ] {
            refuse(scene, case, flags, &named).context(case)?;
        }
        house.check_unharmed()
    });
}

/// A second server ends for want of the one port; the others it has are free.
fn refuse(scene: &Scene, case: &str, [flag, value]: [&str; 2], named: &str) -> Result<()> {
    let mut command = porthole(&["up", "--demo", flag, value])?;
    for other in ["--http", "--turn"].into_iter().filter(|other| *other != flag) {
        command.args([other, &free_port()?.to_string()]);
    }
    command.arg("--data").arg(scene.data(case)?);
    run_to_end(scene, case, &mut command)?.check(1, &[named, "another port"], &[])
}

#[test]
fn a_cameras_port_in_use_is_that_cameras_trouble_only() {
    scene("a_cameras_port_in_use_is_that_cameras_trouble_only", &NEEDS, |scene| {
        let taken = free_port()?;
        let holder = UdpSocket::bind(taken)?;
        let camera = format!("yard=rtp://{taken}?codec=h264");
        let mut house = House::start(scene, Place::Here, &["--camera", &camera])?;
        house.check_reason("yard", &[&taken.to_string(), "another port"], &[])?;
        drop(holder);
        house.check_unharmed()
    });
}
