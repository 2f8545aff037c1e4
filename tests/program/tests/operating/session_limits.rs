//! The limits of TURN credentials that `porthole up` makes for a session.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole::Server;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::turn_client::TestTurnClient;
use porthole_test_support::wait;
use porthole_turn_proto::{ClientConfig, Transport, rest_credentials};
use serde_json::{Value, json};

use crate::manager::Manager;

const TOKEN: &str = "a-token-of-the-admin-api";
/// The allocations that a session may have, as docs/ref/config.md says.
const OF_A_SESSION: usize = 24;

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

/// Time in which the relays of a session must end with it, and those of others with their token.
const END: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(20);

/// Lifetime of a token whose relays are watched to its end: longer than two allocations take on a
/// loaded machine.
const LIFETIME: Duration = Duration::from_secs(10);

/// The name and password of a TURN user.
struct TurnUser {
    name: String,
    password: String,
}

impl TurnUser {
    /// Returns the TURN user among ICE servers.
    fn among(servers: &Value) -> Result<Self> {
        let servers = servers["iceServers"].as_array().context("ICE servers")?;
        let turn = servers.iter().find(|one| one["credential"].is_string()).context("TURN")?;
        let text = |key: &str| turn[key].as_str().map(str::to_owned).context("a text");
        Ok(Self { name: text("username")?, password: text("credential")? })
    }

    /// Asks for one with a token, without a session.
    fn without_session(server: &Server<'_>, token: &str) -> Result<Self> {
        Self::among(&server.get("/api/v1/ice-servers", Some(token))?.json()?)
    }

    fn allocate(&self, server: &Server<'_>) -> Result<TestTurnClient> {
        let (user, password) = (self.name.clone(), self.password.clone());
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
        Ok(listed.iter().filter(|one| one["username"] == self.name.as_str()).count())
    }

    fn wait_for_the_end(&self, admin: SocketAddr, deadline: Duration) -> Result<()> {
        let what = format!("the relays of {} end", self.name);
        wait::until(&what, deadline, || Ok((self.relays(admin)? == 0).then_some(())))
    }
}

/// A session, and its TURN user.
struct Watched {
    session: Value,
    user: TurnUser,
}

impl Watched {
    fn start(viewer: &mut Manager) -> Result<Self> {
        let connected = viewer.ask("connect", json!({ "profile": "door" }))?;
        let user = TurnUser::among(&connected)?;
        Ok(Self { session: connected["session"].clone(), user })
    }
}

/// Starts a server with the camera `door`. Returns it with the token of an admin, the gateway of
/// the camera, and the address at which the TURN server lists its allocations.
fn start(scene: &Scene) -> Result<(Server<'_>, String, String, SocketAddr)> {
    let (data, admin) = (scene.data("server")?, free_port()?);
    let turn = format!("turn.admin = '{admin}'\nturn.admin_token = '{TOKEN}'\n");
    let settings = format!("{turn}[camera.door]\nsource = 'test:'\n");
    let config = data.join("porthole.toml");
    std::fs::write(&config, settings)?;
    let config = config.to_str().context("a path of text")?.to_owned();
    let mut server = Server::start_in(scene, Place::Here, data, &["--config", &config])?;
    let token = server.token("admin", &[])?;
    let is_there = |camera: &Value| camera["gateway"].is_string();
    let camera = server.wait_for_camera_that("it is there", &token, "door", DEADLINE, is_there)?;
    let gateway = camera["gateway"].as_str().context("a gateway")?.to_owned();
    Ok((server, token, gateway, admin))
}

#[test]
fn s7_the_credentials_and_relays_of_a_session_end_with_it_and_others_go_on() {
    let name = "s7_the_credentials_and_relays_of_a_session_end_with_it_and_others_go_on";
    scene(name, &[Need::Program], |scene| {
        let (server, token, gateway, admin) = start(scene)?;
        let mut viewer = Manager::connect(Place::Here, &server, &token, gateway.leak())?;
        let (ending, running) = (Watched::start(&mut viewer)?, Watched::start(&mut viewer)?);
        let _clients = [ending.user.allocate(&server)?, running.user.allocate(&server)?];
        ensure!(ending.user.relays(admin)? > 0, "there is a relay");

        viewer.tell("portholeClose", &json!({ "session": ending.session }))?;
        ending.user.wait_for_the_end(admin, END)?;
        ensure!(ending.user.allocate(&server).is_err(), "the credentials are accepted");
        ensure!(running.user.relays(admin)? > 0, "the other session has lost its relay");
        running.user.allocate(&server)?;
        Ok(())
    });
}

#[test]
fn s7_relays_of_credentials_without_a_session_end_with_the_token_and_with_its_time() {
    let name = "s7_relays_of_credentials_without_a_session_end_with_the_token_and_with_its_time";
    scene(name, &[Need::Program], |scene| {
        let (server, _, _, admin) = start(scene)?;
        let create = ["token", "create", "--role", "viewer", "--name"];
        let token = |flags: &[&str]| server.command(&[&create[..], flags].concat());
        let (revoked, running) = (token(&["leaving"])?, token(&["staying"])?);
        let running = TurnUser::without_session(&server, &running)?;
        let ending = TurnUser::without_session(&server, &revoked)?;
        ensure!(running.name != ending.name, "two tokens share a TURN user");
        let _clients = [running.allocate(&server)?, ending.allocate(&server)?];
        ensure!(ending.relays(admin)? == 1, "there is a relay");

        let list = server.command(&["token", "list"])?;
        let is_it = |line: &&str| line.split_whitespace().nth(1) == Some("leaving");
        let line = list.lines().find(is_it).context("no such token")?;
        let number = line.split_whitespace().next().context("a number")?;
        server.command(&["token", "revoke", number])?;
        ending.wait_for_the_end(admin, END)?;
        ensure!(ending.allocate(&server).is_err(), "the credentials are accepted");

        let lifetime = format!("{}s", LIFETIME.as_secs());
        let brief = token(&["brief", "--expires", &lifetime])?;
        let ending = TurnUser::without_session(&server, &brief)?;
        let _client = ending.allocate(&server)?;
        ensure!(ending.relays(admin)? == 1, "it has ended before its time");
        ending.wait_for_the_end(admin, LIFETIME + END)?;
        ensure!(ending.allocate(&server).is_err(), "the credentials are accepted");
        ensure!(running.relays(admin)? == 1, "another token has lost its relay");
        running.allocate(&server)?;
        Ok(())
    });
}
