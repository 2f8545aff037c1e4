//! A server that is told to stop while a picture is relayed.

use std::time::Duration;

use anyhow::ensure;
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;

const DEADLINE: Duration = Duration::from_secs(30);
const FRAMES: u64 = 15;
/// Longer than the test takes: the drain ends with the last relay.
const DRAIN_S: u64 = 120;

#[test]
fn while_the_turn_server_of_up_drains_everything_else_goes_on() {
    let name = "while_the_turn_server_of_up_drains_everything_else_goes_on";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let data = scene.data("server")?;
        std::fs::write(data.join("porthole.toml"), format!("turn.drain_s = {DRAIN_S}\n"))?;
        let flags = ["--camera", "yard=test:320x180@15", "--allow-peer", "127.0.0.0/8"];
        let mut server = Server::start_in(scene, Place::Here, data, &flags)?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "yard", DEADLINE)?;
        let url = server.url("");
        let mut relayed =
            Viewer::start_relayed(scene, "relayed", Place::Here, &url, &token, "yard")?;
        relayed.wait_for_frames(FRAMES, DEADLINE)?;

        server.terminate()?;
        wait::until("it is stopping", DEADLINE, || {
            Ok(server.output()?.lines().any(|line| line == "stopping").then_some(()))
        })?;
        let mut other = Viewer::start_as(scene, "direct", Place::Here, &url, &token, "yard")?;
        other.wait_for_frames(FRAMES, DEADLINE)?;
        relayed.wait_for_frames(FRAMES, DEADLINE)?;
        drop(other);
        drop(relayed);
        let status = server.wait(DEADLINE)?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    });
}
