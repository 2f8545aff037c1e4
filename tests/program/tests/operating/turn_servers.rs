//! Several TURN servers: new sessions are offered those that make allocations.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole::{Server, binary};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;
use serde_json::Value;

use crate::signaling_server::SignalingServer;
use crate::turn_client::Client;
use crate::turn_server::{TOKEN, TurnServer};

/// A server is looked at every 15 s, and a second time 2 s after a failure.
const DEADLINE: Duration = Duration::from_secs(40);
const CAMERA: &str = "[camera.yard]\nsource = 'test:320x180@15'\n";

/// Takes about 35 s: one is stopped while a client is there, comes back, the other one is killed,
/// and at last none is left.
#[test]
fn new_sessions_are_offered_the_turn_servers_that_take_clients() {
    scene(
        "new_sessions_are_offered_the_turn_servers_that_take_clients",
        &[Need::Program],
        |scene| {
            let north = TurnServer::start_named(scene, "north", "secret = 'north'\ndrain_s = 600")?;
            let south = TurnServer::start_named(scene, "south", "secret = 'south'")?;
            let servers = [("north", north.address), ("south", south.address)];
            let (both, only_north) = ([north.address, south.address], [north.address]);
            let admin = free_port()?;
            let server = SignalingServer::start_with(scene, &config_text(admin, &servers))?;
            let _gateway = start_gateway(scene, &server)?;
            let offers = Offers { server: &server, admin };
            offers.wait_for(&both, "at the start")?;

            // It waits for the client that it has.
            let client = Client::allocate(north.address, "anna:secret")?;
            north.program.begin_to_stop()?;
            offers.wait_for(&[south.address], "when one drains")?;
            offers.wait_for_state("north", "draining")?;
            Client::allocate(south.address, &offers.account()?)?;
            drop(client);
            let north = north.replace_program(scene, "north")?;
            offers.wait_for(&both, "when it is back")?;

            south.program.kill()?;
            offers.wait_for(&only_north, "when the other one is killed")?;
            offers.wait_for_state("south", "down")?;
            wait::until("the checks leave no allocation", DEADLINE, || {
                Ok((north.metric("porthole_turn_allocations")? == 0).then_some(()))
            })?;

            // A table that is gone is neither offered nor checked.
            server.reload_with(&config_text(admin, &servers[..1]))?;
            offers.wait_for(&only_north, "after a reload")?;
            ensure!(!offers.metrics()?.contains("server=\"south\""), "it has no metric");

            north.program.kill()?;
            offers.wait_for_state("north", "down")?;
            offers.wait_for(&only_north, "when none works")?;
            let ready = http::get(Place::Here, &format!("{}/readyz", server.url), None)?;
            ensure!(ready.status == 200, "{ready:?}");
            check_log(&server.output()?)
        },
    );
}

/// Takes about 5 s.
#[test]
fn up_offers_further_turn_servers_beside_its_own_and_a_reload_counts_at_once() {
    let name = "up_offers_further_turn_servers_beside_its_own_and_a_reload_counts_at_once";
    scene(name, &[Need::Program], |scene| {
        let north = TurnServer::start_named(scene, "north", "secret = 'north'")?;
        let file = scene.folder().join("up.toml");
        let table = table(&("north", north.address));
        let write = |table: &str| std::fs::write(&file, format!("{CAMERA}{table}"));
        write(&table)?;
        let config = file.to_str().context("a path in UTF-8")?;
        let mut server = Server::start(scene, Place::Here, &["--config", config])?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "yard", DEADLINE)?;
        let own = server.turn().to_string();
        for (table, further) in [(table.as_str(), true), ("", false), (table.as_str(), true)] {
            write(table)?;
            server.reload()?;
            let list = server.get("/api/v1/ice-servers", Some(&token))?.json()?;
            let found = addresses(&servers_of(&list)?)?;
            let mut expected = BTreeSet::from([own.clone()]);
            expected.extend(further.then(|| north.address.to_string()));
            ensure!(found == expected, "{found:?}, not {expected:?}");
        }
        Ok(())
    });
}

/// Checks that each change of a server is a line that says what follows, without a secret.
fn check_log(log: &str) -> Result<()> {
    for sentence in [
        "the TURN server takes no new clients (the TURN server is full): new sessions are offered \
         others server=\"north\"",
        "the TURN server makes allocations again server=\"north\"",
        "the TURN server is down (connection refused): new sessions are offered others \
         server=\"south\"",
        "the TURN server is down (connection refused): no other works, so that sessions are \
         offered all of them server=\"north\"",
    ] {
        ensure!(log.matches(sentence).count() == 1, "not once: {sentence}\n{log}");
    }
    ensure!(!log.contains("health-check"), "the user of the checks is logged");
    Ok(())
}

fn config_text(admin: SocketAddr, servers: &[(&str, SocketAddr)]) -> String {
    let tables: String = servers.iter().map(table).collect();
    format!("[admin]\nlisten = '{admin}'\ntoken = '{TOKEN}'\n{tables}")
}

fn table((name, address): &(&str, SocketAddr)) -> String {
    format!(
        "[signaling.turn_server.{name}]\nurls = ['turn:{address}?transport=udp', \
         'turn:{address}?transport=tcp']\nsecret = '{name}'\n"
    )
}

/// Returns the servers of a list of ICE servers.
fn servers_of(list: &Value) -> Result<Vec<Value>> {
    Ok(list["iceServers"].as_array().with_context(|| format!("{list}"))?.clone())
}

/// Returns the address of each URL.
fn addresses(servers: &[Value]) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for server in servers {
        for url in server["urls"].as_array().context("a list of URLs")? {
            let (_, at) = url.as_str().and_then(|url| url.split_once(':')).context("a URL")?;
            found.extend(at.split('?').next().map(str::to_owned));
        }
    }
    Ok(found)
}

/// Starts a gateway with a camera: without one, nobody needs a TURN server.
fn start_gateway(scene: &Scene, server: &SignalingServer) -> Result<Program> {
    let mut command = Place::Here.command(binary()?);
    command.arg("gateway").args(["--server", &server.url, "--claim", &server.claim()?]);
    command.args(["--camera", "yard=test:"]).arg("--data").arg(scene.data("gateway")?);
    let program = Program::start(scene, "gateway", &mut command)?;
    server.wait_for_camera("yard")?;
    Ok(program)
}

/// The TURN servers that a new session is offered.
struct Offers<'a> {
    server: &'a SignalingServer,
    admin: SocketAddr,
}

impl Offers<'_> {
    /// Waits until exactly these are offered.
    fn wait_for(&self, expected: &[SocketAddr], when: &str) -> Result<()> {
        let expected: BTreeSet<_> = expected.iter().map(ToString::to_string).collect();
        wait::until(&format!("the TURN servers {when}"), DEADLINE, || {
            Ok((self.offered()? == expected).then_some(()))
        })
    }

    /// Waits until a server is in a state, by the metrics.
    fn wait_for_state(&self, name: &str, state: &str) -> Result<()> {
        let series = format!(
            "porthole_signaling_turn_server_state{{server=\"{name}\",state=\"{state}\"}} 1"
        );
        wait::until(&series, DEADLINE, || {
            Ok(self.metrics()?.lines().any(|line| line == series).then_some(()))
        })
    }

    fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.admin);
        Ok(http::get(Place::Here, &url, Some(TOKEN))?.body)
    }

    fn list(&self) -> Result<Vec<Value>> {
        let url = format!("{}/api/v1/ice-servers", self.server.url);
        servers_of(&http::get(Place::Here, &url, Some(&self.server.token))?.json()?)
    }

    /// Returns the credentials of the first server, as `NAME:PASSWORD`.
    fn account(&self) -> Result<String> {
        let servers = self.list()?;
        let text = |key: &str| servers.first().and_then(|server| server[key].as_str());
        let (name, password) = text("username").zip(text("credential")).context("credentials")?;
        Ok(format!("{name}:{password}"))
    }

    fn offered(&self) -> Result<BTreeSet<String>> {
        addresses(&self.list()?)
    }
}
