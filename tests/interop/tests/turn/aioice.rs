//! aioice, the ICE and TURN of aiortc, from PyPI.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use porthole_test_support::python;
use porthole_test_support::scene::{Need, Scene, scene};

use crate::{Echo, PASSWORD, PATIENCE, USER, run, server};

fn client(
    scene: &Scene,
    name: &str,
    to: SocketAddr,
    transport: &str,
    password: &str,
    peer: SocketAddr,
) -> Result<(bool, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aioice/client.py");
    let mut command = Command::new(python::interpreter()?);
    command.arg(script);
    command.args([&to.ip().to_string(), &to.port().to_string(), USER, password, transport]);
    command.args([&peer.ip().to_string(), &peer.port().to_string()]);
    run(scene, name, &mut command)
}

#[test]
fn aioice_relays_over_udp_and_tcp() {
    scene("aioice_relays_over_udp_and_tcp", &[Need::Aioice], |scene| {
        let server = server()?;
        let echo = Echo::start("127.0.0.1")?;
        for transport in ["udp", "tcp"] {
            let to = server.local_addrs()[0];
            let (well, said) = client(scene, transport, to, transport, PASSWORD, echo.addr)?;
            ensure!(well && said.contains("127.0.0.1"), "{transport}: {said}");
        }
        let deadline = Instant::now() + PATIENCE;
        while server.stats().allocations > 0 {
            ensure!(Instant::now() < deadline, "allocations are left: {:?}", server.stats());
            std::thread::yield_now();
        }
        let counters = server.stats().counters;
        ensure!(counters.allocations_made == 2, "{counters:?}");
        Ok(())
    });
}
