//! Chromium on a host of its own, which only uses our TURN server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::lab::{Lab, SERVER_ADDRESS};
use porthole_test_support::nat::NatKind;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;
use porthole_turn_server::{Config, Server};
use serde_json::json;

use crate::authority::Authority;
use crate::{PASSWORD, USER, config, start};

const DEADLINE: Duration = Duration::from_secs(90);
const MESSAGES: u64 = 50;
const PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;
/// Chromium's network error for an unknown authority.
const ERR_CERT_AUTHORITY_INVALID: i32 = -202;

#[test]
fn chromium_relays_over_udp_and_tcp() {
    let needs = [Need::Browser, Need::Lab];
    scene("chromium_relays_over_udp_and_tcp", &needs, |scene| {
        let lab = Lab::new("turn")?;
        let server = lab.server().inside(|| start(in_the_lab()?))??;
        let browser = lab.side(NatKind::Open)?;
        for transport in ["udp", "tcp"] {
            let url = format!("turn:{SERVER_ADDRESS}:{PORT}?transport={transport}");
            relay(scene, Place::On(&browser.host), &server, transport, &url, "")
                .with_context(|| transport.to_owned())?;
        }
        Ok(())
    });
}

/// Takes about 25 s.
#[test]
fn chromium_relays_over_tls() {
    let needs = [Need::Browser, Need::Lab];
    scene("chromium_relays_over_tls", &needs, |scene| {
        let lab = Lab::new("turns")?;
        let authority = Authority::new(scene, &[SERVER_ADDRESS.into()])?;
        let config = Config {
            listen_tls: vec![(SERVER_ADDRESS, TLS_PORT).into()],
            tls: Some(authority.server.clone()),
            ..in_the_lab()?
        };
        let server = lab.server().inside(|| start(config))??;
        let browser = lab.side(NatKind::Open)?;
        let url = format!("turns:{SERVER_ADDRESS}:{TLS_PORT}?transport=tcp");
        let place = Place::On(&browser.host);
        relay(scene, place, &server, "tls", &url, &authority.key_digest)?;
        // An unknown authority is not trusted, and nothing else fails.
        let challenged = server.stats().counters.challenged;
        let unknown = relay(scene, place, &server, "tls", &url, "");
        ensure!(unknown.is_err(), "any certificate is accepted");
        let log = std::fs::read_to_string(log_file(scene, "tls"))?;
        let refused = format!("Error from connecting socket, result={ERR_CERT_AUTHORITY_INVALID}");
        ensure!(log.contains(&refused), "{log}");
        let stats = server.stats();
        ensure!(stats.counters.challenged == challenged, "it sent a request: {stats:?}");
        Ok(())
    });
}

/// Returns the path of Chromium's log.
fn log_file(scene: &Scene, protocol: &str) -> PathBuf {
    scene.folder().join(format!("chromium-{protocol}.log"))
}

fn in_the_lab() -> Result<Config> {
    Ok(Config { listen: vec![(SERVER_ADDRESS, PORT).into()], ..config()? })
}

fn relay(
    scene: &Scene,
    place: Place<'_>,
    server: &Server,
    protocol: &str,
    url: &str,
    trusted_key: &str,
) -> Result<()> {
    let before = server.stats().counters;
    let arguments = json!({
        "urls": [url], "username": USER, "credential": PASSWORD, "messages": MESSAGES,
        "trustedKey": trusted_key, "log": log_file(scene, protocol),
    });
    let mut browser = Browser::script(scene, protocol, place, "turn.mjs", &arguments)?;
    browser.finish(DEADLINE)?;
    let relayed = browser.last(event("relayed"))?.context("no result")?;
    ensure!(relayed["echoed"] == MESSAGES, "{relayed}");
    for end in 0..2 {
        let pair = &relayed["pairs"][end];
        ensure!(pair["type"] == "relay" && pair["relayProtocol"] == protocol, "{relayed}");
    }
    // Each message goes through both allocations in both directions. The counters are published a
    // moment later.
    wait::until("all packets to be counted", DEADLINE, || {
        let after = server.stats().counters;
        let allocations = after.allocations_made - before.allocations_made;
        let packets = after.to_peers().packets - before.to_peers().packets;
        Ok((allocations >= 2 && packets >= 2 * MESSAGES).then_some(()))
    })
    .with_context(|| format!("{:?}", server.stats()))
}
