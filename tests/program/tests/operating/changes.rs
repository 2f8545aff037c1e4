//! Each key that counts at once changes while a picture and a relay run, and viewers begin.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::viewer::Viewer;

use crate::rotation::{
    FIRST, FREEZE, RelayedGateway, SECOND, account, longest_pause, turn_lines, watch,
};
use crate::signaling_server::SignalingServer;
use crate::turn_client::Client;
use crate::turn_server::TurnServer;

/// Another value of each key, as lines of its table. What is there while nothing is changed is in
/// [`turn_lines`] and [`GATE`].
const VALUES: &[(&str, &str)] = &[
    ("gateway.max_uplink_kbit_per_s", "max_uplink_kbit_per_s = 50000"),
    ("signaling.turn_urls", ""),
    ("signaling.turn_secret", ""),
    ("signaling.turn_server.NAME.urls", ""),
    ("signaling.turn_server.NAME.secret", "secret = 'the-first-secret'"),
    ("signaling.turn_server.NAME.weight", "weight = 50"),
    ("signaling.turn_server.NAME.region", "region = 'attic'"),
    ("turn.users", "users.berta = 'geheim'"),
    ("turn.secret", ""),
    ("turn.old_secrets", ""),
    ("turn.oauth_keys", "oauth_keys.north = 'MDEyMzQ1Njc4OTAxMjM0NQ=='"),
    ("turn.allow_peers", "allow_peers = ['127.0.0.0/8', '10.0.0.0/8']"),
    ("turn.deny_peers", "deny_peers = ['198.51.100.0/24']"),
    ("turn.lowest_peer_port", "lowest_peer_port = 1024"),
    ("turn.relayed_peers_only", "relayed_peers_only = true"),
    ("turn.alternate_servers", "alternate_servers = ['203.0.113.8:3478']"),
    ("turn.max_allocations_per_user", "max_allocations_per_user = 20"),
    ("turn.max_allocations_per_source", "max_allocations_per_source = 200"),
    ("turn.max_allocations", "max_allocations = 200"),
    ("turn.max_bytes_per_s_per_allocation", "max_bytes_per_s_per_allocation = 10000000"),
    ("turn.max_bytes_per_s_per_user", "max_bytes_per_s_per_user = 10000000"),
    ("turn.tcp_relaying", "tcp_relaying = false"),
    ("turn.mobility", "mobility = true"),
    ("turn.strict_expiry", "strict_expiry = true"),
    ("turn.rfc5766_channels", "rfc5766_channels = false"),
    ("camera.ID.name", "name = 'Gate'"),
    ("camera.ID.source", "source = 'test:320x180'"),
    ("camera.ID.sub_source", "sub_source = 'test:256x144'"),
    ("camera.ID.on_demand", "on_demand = true"),
    ("camera.ID.rotation", "rotation = 90"),
    ("camera.ID.mirrored", "mirrored = true"),
    ("camera.ID.onvif", "onvif = 'http://127.0.0.1:9/onvif/device_service'"),
    ("camera.ID.onvif_channel", "onvif_channel = 2"),
];

/// Camera that changes, and that nobody watches.
const GATE: &str = "[camera.gate]\nsource = 'test:256x144'\n";

/// Takes about 60 s: every key, with a new viewer after each. All pictures are relayed.
#[test]
fn every_key_that_counts_at_once_changes_under_a_picture_and_a_relay() {
    let name = "every_key_that_counts_at_once_changes_under_a_picture_and_a_relay";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let mut house = House::start(scene)?;
        let keys = keys_at_once()?;
        let mut longest = Duration::ZERO;
        for key in &keys {
            let begun = Instant::now();
            let paused = house.change(scene, key).with_context(|| (*key).to_owned())?;
            let took = begun.elapsed();
            report(&format!("{key:40} {took:5.1?}, the picture stood still for {paused:.2?}"));
            ensure!(paused <= FREEZE, "{key}: the picture stood still for {paused:?}");
            longest = longest.max(paused);
        }
        // One of them is the picture that runs all the time.
        house.gateway.check_all_started(keys.len() as u64 + 1)?;
        report(&format!("{} keys, longest standstill {longest:.2?}", keys.len()));
        Ok(())
    });
}

/// Returns the keys that count at once, as the reference lists them; a test of the program compares
/// that with the code.
fn keys_at_once() -> Result<Vec<&'static str>> {
    let reference = include_str!("../../../../docs/ref/config.md");
    let row = reference.lines().find(|line| line.starts_with("| at once |"));
    let keys: Vec<_> = row.context("the row of the keys")?.split('`').skip(1).step_by(2).collect();
    ensure!(!keys.is_empty(), "no key counts at once");
    for (key, _) in VALUES {
        ensure!(keys.contains(key), "{key} does not count at once");
    }
    Ok(keys)
}

/// A TURN server, a signaling server and a gateway, with a picture and a relay.
struct House {
    turn: TurnServer,
    url: String,
    server: SignalingServer,
    gateway: RelayedGateway,
    running: Viewer,
    relay: Client,
}

impl House {
    fn start(scene: &Scene) -> Result<Self> {
        let turn = TurnServer::start(scene, &turn_lines(FIRST, SECOND))?;
        let url = format!("turn:{}?transport=udp", turn.address);
        let server = SignalingServer::start(scene, &url, FIRST)?;
        let gateway = RelayedGateway::start(scene, &server)?;
        gateway.write(GATE)?;
        gateway.program.reload()?;
        let running = watch(scene, "running", &server.url, &server.token)?;
        let relay = Client::allocate(turn.address, &account(FIRST)?)?;
        Ok(Self { turn, url, server, gateway, running, relay })
    }

    /// Changes a key, and starts a viewer after that. Returns the longest time for which the
    /// picture that runs stood still.
    fn change(&mut self, scene: &Scene, key: &str) -> Result<Duration> {
        let Self { turn, url, server, gateway, running, relay } = self;
        let (_, value) = VALUES
            .iter()
            .find(|(other, _)| *other == key)
            .context("no other value in this test")?;
        let steps = || -> Result<()> {
            match key.split_once('.') {
                Some(("signaling", "turn_urls")) => {
                    server.reload(&format!("{url}', '{}", url.replace("udp", "tcp")), FIRST)?;
                }
                Some(("signaling", "turn_secret")) => server.reload(url, SECOND)?,
                Some(("signaling", _)) => server.reload_with(&with_north(url, value))?,
                Some(("turn", name)) => {
                    turn.write_config(&turn_with(name, value))?;
                    let response = turn.reload()?;
                    ensure!(response.status == 200, "{response:?}");
                    ensure!(response.body.contains("\"needs_restart\":false"), "{response:?}");
                }
                Some((table, _)) => {
                    gateway.write(&gateway_with(table, value))?;
                    gateway.program.reload()?;
                }
                None => anyhow::bail!("no table"),
            }
            watch(scene, &format!("viewer-{key}"), &server.url, &server.token).map(drop)
        };
        let paused = longest_pause(running, steps)?;
        ensure!(relay.reaches_loopback()?, "the relay goes on");
        turn.write_config(&turn_lines(FIRST, SECOND))?;
        let response = turn.reload()?;
        ensure!(response.status == 200, "{response:?}");
        server.reload(url, FIRST)?;
        gateway.write(GATE)?;
        gateway.program.reload()?;
        Ok(paused)
    }
}

/// Returns the settings of a signaling server that knows the TURN server by a second name, too.
fn with_north(url: &str, value: &str) -> String {
    format!(
        "[signaling]\nturn_urls = ['{url}']\nturn_secret = '{FIRST}'\n\
         [signaling.turn_server.north]\nurls = ['{url}']\n{value}\n"
    )
}

/// Returns the settings of the TURN server with another value of one key.
fn turn_with(name: &str, value: &str) -> String {
    match name {
        "secret" => turn_lines(SECOND, FIRST),
        "old_secrets" => turn_lines(FIRST, ""),
        "allow_peers" => {
            let before = turn_lines(FIRST, SECOND);
            let others = before.lines().filter(|line| !line.starts_with("allow_peers"));
            others.chain([value]).collect::<Vec<_>>().join("\n")
        }
        _ => turn_lines(FIRST, SECOND) + value,
    }
}

/// Returns the settings of the gateway with another value of one key.
fn gateway_with(table: &str, value: &str) -> String {
    match table {
        "gateway" => format!("[gateway]\n{value}\n{GATE}"),
        _ if value.starts_with("source") => format!("[camera.gate]\n{value}\n"),
        _ => format!("{GATE}{value}\n"),
    }
}
