//! The limits of TURN credentials that `porthole up` makes for a session.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole::Server;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::turn_client::TestTurnClient;
use porthole_test_support::wait;
use porthole_turn_proto::{ClientConfig, Transport, rest_credentials};
use serde_json::{Value, json};

use crate::manager::Manager;

const TOKEN: &str = "a-token-of-the-admin-api";
/// The allocations that a session may have, as docs/ref/config.md says.
const OF_A_SESSION: usize = 18;

#[test]
fn the_credentials_of_a_session_make_no_more_allocations_than_a_session_needs() {
    let name = "the_credentials_of_a_session_make_no_more_allocations_than_a_session_needs";
    scene(name, &[Need::Program], |scene| {
        let server = Server::start(scene, Place::Here, &[])?;
        let secret = std::fs::read_to_string(server.data().join("turn.secret"))?;
        let end_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 600;
        for session in ["s1", "s2"] {
            let mut clients = Vec::new();
            for number in 0..=OF_A_SESSION {
                let (user, password) = rest_credentials(secret.trim(), session, end_s);
                let config = ClientConfig::new(user, password, Transport::Udp);
                let mut client = TestTurnClient::connect(server.turn(), config)?;
                let is_allocated = client.allocate().is_ok();
                ensure!(is_allocated == (number < OF_A_SESSION), "{session}: allocation {number}");
                clients.push(client);
            }
        }
        Ok(())
    });
}

/// Time in which the relays of a session must end with it.
const END: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(20);

/// The name of a session, and the name and password of its TURN user.
struct Watched {
    session: Value,
    user: String,
    password: String,
}

impl Watched {
    fn start(viewer: &mut Manager) -> Result<Self> {
        let connected = viewer.ask("connect", json!({ "profile": "door" }))?;
        let servers = connected["iceServers"].as_array().context("ICE servers")?;
        let turn = servers.iter().find(|one| one["credential"].is_string()).context("TURN")?;
        let text = |key: &str| turn[key].as_str().map(str::to_owned).context("a text");
        let (user, password) = (text("username")?, text("credential")?);
        Ok(Self { session: connected["session"].clone(), user, password })
    }

    fn allocate(&self, server: &Server<'_>) -> Result<TestTurnClient> {
        let (user, password) = (self.user.clone(), self.password.clone());
        let config = ClientConfig::new(user, password, Transport::Udp);
        let mut client = TestTurnClient::connect(server.turn(), config)?;
        client.allocate()?;
        Ok(client)
    }

    /// Returns the number of allocations of this user that the TURN server lists.
    fn relays(&self, admin: SocketAddr) -> Result<usize> {
        let url = format!("http://{admin}/sessions");
        let listed = http::get(Place::Here, &url, Some(TOKEN))?.json()?;
        let listed = listed["sessions"].as_array().context("a list")?;
        Ok(listed.iter().filter(|one| one["username"] == self.user.as_str()).count())
    }
}

#[test]
fn s7_the_credentials_and_relays_of_a_session_end_with_it_and_others_go_on() {
    let name = "s7_the_credentials_and_relays_of_a_session_end_with_it_and_others_go_on";
    scene(name, &[Need::Program], |scene| {
        let (data, admin) = (scene.data("server")?, free_port()?);
        let turn = format!("turn.admin = '{admin}'\nturn.admin_token = '{TOKEN}'\n");
        let settings = format!("{turn}[camera.door]\nsource = 'test:'\n");
        let config = data.join("porthole.toml");
        std::fs::write(&config, settings)?;
        let config = config.to_str().context("a path of text")?.to_owned();
        let mut server = Server::start_in(scene, Place::Here, data, &["--config", &config])?;
        let token = server.token("admin", &[])?;
        let is_there = |camera: &Value| camera["gateway"].is_string();
        let camera =
            server.wait_for_camera_that("it is there", &token, "door", DEADLINE, is_there)?;
        let gateway = camera["gateway"].as_str().context("a gateway")?.to_owned();
        let mut viewer = Manager::connect(Place::Here, &server, &token, gateway.leak())?;
        let (ending, running) = (Watched::start(&mut viewer)?, Watched::start(&mut viewer)?);
        let _clients = [ending.allocate(&server)?, running.allocate(&server)?];
        ensure!(ending.relays(admin)? > 0, "there is a relay");

        viewer.tell("portholeClose", &json!({ "session": ending.session }))?;
        wait::until("the relays end", END, || Ok((ending.relays(admin)? == 0).then_some(())))?;
        ensure!(ending.allocate(&server).is_err(), "the credentials are accepted");
        ensure!(running.relays(admin)? > 0, "the other session has lost its relay");
        running.allocate(&server)?;
        Ok(())
    });
}
