//! A gateway whose TURN server is full and names another one (RFC 8489 §10).

use std::time::Duration;

use anyhow::ensure;
use porthole_test_support::porthole::binary;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::viewer::Viewer;

use crate::signaling_server::SignalingServer;
use crate::turn_server::TurnServer;

const SECRET: &str = "shared by all three";
const DEADLINE: Duration = Duration::from_secs(30);

/// Takes about 3 s. The gateway relays only, and the first server has room for one allocation: of
/// the two sessions, at least the second one needs the other server.
#[test]
fn a_gateway_follows_a_full_turn_server_to_the_one_that_it_names() {
    let name = "a_gateway_follows_a_full_turn_server_to_the_one_that_it_names";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let lines = format!("allow_peers = ['127.0.0.0/8']\nsecret = '{SECRET}'\n");
        let other = TurnServer::start_named(scene, "other", &lines)?;
        let full = format!("max_allocations = 1\nalternate_servers = ['{}']\n", other.address);
        let full = TurnServer::start_named(scene, "full", &(lines + &full))?;

        let url = format!("turn:{}?transport=udp", full.address);
        let server = SignalingServer::start(scene, &url, SECRET)?;
        let mut command = Place::Here.command(binary()?);
        command.arg("gateway").args(["--server", &server.url, "--claim", &server.claim()?]);
        command.arg("--turn-only").arg("--data").arg(scene.data("gateway")?);
        command.args(["--camera", "yard=test:320x180@15"]);
        let _gateway = Program::start(scene, "gateway", &mut command)?;
        server.wait_for_camera("yard")?;

        let mut viewers = Vec::new();
        for name in ["first", "second"] {
            let (place, SignalingServer { url, token, .. }) = (Place::Here, &server);
            let mut viewer = Viewer::start_as(scene, name, place, url, token, "yard")?;
            viewer.wait_for_frames(15, DEADLINE)?;
            viewers.push(viewer);
        }
        let series = "porthole_turn_relayed_packets_total\
            {direction=\"to_peer\",client_transport=\"udp\"}";
        ensure!(other.metric(series)? > 0, "nothing was relayed by the other server");
        Ok(())
    });
}
