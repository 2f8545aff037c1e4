//! A gateway whose TURN server is full and names another one (RFC 8489 §10).

use std::time::Duration;

use anyhow::ensure;
use porthole_test_support::http;
use porthole_test_support::porthole::binary;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;

use crate::turn_over_tls::word;
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

        let (http, data) = (free_port()?, scene.data("server")?);
        let config = scene.folder().join("signaling.toml");
        let url = format!("turn:{}?transport=udp", full.address);
        let text = format!("[signaling]\nturn_urls = ['{url}']\nturn_secret = '{SECRET}'\n");
        std::fs::write(&config, text)?;
        let mut command = Place::Here.command(binary()?);
        command.arg("signaling").args(["--http", &http.to_string()]);
        command.arg("--data").arg(&data).arg("--config").arg(&config);
        let mut server = Program::start(scene, "signaling", &mut command)?;
        let server_url = format!("http://{http}");
        server.wait_for("the server responds", DEADLINE, |_| {
            Ok(http::get(Place::Here, &format!("{server_url}/healthz"), None).ok())
        })?;
        let token = word(&data, &["token", "create", "--role", "viewer", "--name", "test"])?;

        let claim = word(&data, &["claim", "create"])?;
        let mut command = Place::Here.command(binary()?);
        command.arg("gateway").args(["--server", &server_url, "--claim", &claim, "--turn-only"]);
        command.arg("--data").arg(scene.data("gateway")?);
        command.args(["--camera", "yard=test:320x180@15"]);
        let _gateway = Program::start(scene, "gateway", &mut command)?;
        wait::until("the camera is known", DEADLINE, || {
            let list = format!("{server_url}/api/v1/cameras");
            let list = http::get(Place::Here, &list, Some(&token))?.body;
            Ok(list.contains("\"yard\"").then_some(()))
        })?;

        let mut viewers = Vec::new();
        for name in ["first", "second"] {
            let place = Place::Here;
            let mut viewer = Viewer::start_as(scene, name, place, &server_url, &token, "yard")?;
            viewer.wait_for_frames(15, DEADLINE)?;
            viewers.push(viewer);
        }
        let series = "porthole_turn_relayed_packets_total\
            {direction=\"to_peer\",client_transport=\"udp\"}";
        ensure!(other.metric(series)? > 0, "nothing was relayed by the other server");
        Ok(())
    });
}
