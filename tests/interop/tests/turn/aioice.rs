//! aioice, the ICE and TURN library of aiortc, from PyPI.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::{python, wait};

use crate::authority::Authority;
use crate::{Echo, PASSWORD, PATIENCE, USER, run, secure, start};

fn client(
    scene: &Scene,
    to: SocketAddr,
    transport: &str,
    peer: SocketAddr,
    root: &Path,
) -> Result<(bool, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aioice/client.py");
    let mut command = Command::new(python::interpreter()?);
    command.arg(script);
    command.args([&to.ip().to_string(), &to.port().to_string(), USER, PASSWORD, transport]);
    command.env("PORTHOLE_TURN_CA", root);
    command.args([&peer.ip().to_string(), &peer.port().to_string()]);
    run(scene, transport, &mut command)
}

#[test]
fn aioice_relays_over_udp_tcp_and_tls() {
    scene("aioice_relays_over_udp_tcp_and_tls", &[Need::PythonPackages], |scene| {
        let authority = Authority::new(scene, &[[127, 0, 0, 1].into()])?;
        let server = start(secure(&authority)?)?;
        let echo = Echo::start("127.0.0.1")?;
        let (plain, tls) = (server.local_addrs()[0], server.tls_addrs()[0]);
        for (transport, to) in [("udp", plain), ("tcp", plain), ("tls", tls)] {
            let (succeeded, output) = client(scene, to, transport, echo.addr, &authority.root)?;
            ensure!(succeeded && output.contains("127.0.0.1"), "{transport}: {output}");
        }
        wait::until("three allocations to be made and released", PATIENCE, || {
            let stats = server.stats();
            Ok((stats.counters.allocations_made == 3 && stats.allocations == 0).then_some(()))
        })
        .with_context(|| format!("{:?}", server.stats()))
    });
}
