//! The time from the click to the first picture in Chromium, near and far.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::browser::{Browser, Sample};
use porthole_test_support::clip::{Clip, Looks};
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::Path;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use serde::Deserialize;
use serde_json::json;

const NEEDS: [Need; 4] = [Need::Lab, Need::Program, Need::Browser, Need::Tool("ffmpeg")];
/// Four seconds between two key frames, at 30 frames a second.
const LOOKS: Looks = Looks { size: (1280, 720), rate: 30, group: 120, kbit: 4000 };
const GROUP_MS: u32 = 4000;
const PORT: u16 = 5004;
const CAMERA_DEADLINE: Duration = Duration::from_secs(30);
/// Time for which each picture is watched for freezes.
const WATCHED_S: u32 = 2;
const JOIN_DEADLINE: Duration = Duration::from_secs(30);
/// The documentation addresses of the lab are not public.
const SERVER_FLAGS: [&str; 2] = ["--allow-peer", "203.0.113.0/24"];

/// Result of one join.
#[derive(Debug, Deserialize)]
struct Join {
    /// Milliseconds from the click to the first picture.
    ms: f64,
    #[serde(flatten)]
    sample: Sample,
}

/// Takes about 90 s. `PORTHOLE_JOINS` is the number of joins over each network. Times and freezes
/// are printed and have no bound here, because other programs may run on this machine.
#[test]
fn every_join_shows_a_picture() {
    // Gateway's NAT, viewer's NAT (`None`: in the gateway's LAN), path.
    let table = [
        ("LAN", NatKind::PortRestricted, None, Path::Lan),
        ("direct", NatKind::PortRestricted, Some(NatKind::PortRestricted), Path::Direct),
        ("relayed, UDP", NatKind::Symmetric, Some(NatKind::Symmetric), Path::Relay),
        ("relayed, TCP", NatKind::UdpBlocked, Some(NatKind::PortRestricted), Path::Relay),
    ];
    scene("every_join_shows_a_picture", &NEEDS, |scene| {
        let joins = match std::env::var("PORTHOLE_JOINS") {
            Ok(text) => text.parse().with_context(|| format!("{text} is no number"))?,
            Err(_) => 4,
        };
        let lab = Lab::new("first")?;
        let mut server = Server::start(scene, Place::On(lab.server()), &SERVER_FLAGS)?;
        let token = server.token("viewer", &[])?;
        let clip = Clip::encode(scene, LOOKS)?;
        for (name, gateway, viewer, path) in table {
            let home = lab.side(gateway)?;
            let port = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
            let (place, id) = (Place::On(&home.host), name.replace(", ", "-").to_lowercase());
            let sender = clip.send(scene, &format!("camera-{id}"), place, &[port])?;
            let source = format!("rtp://{port}?codec=h264");
            let name = format!("gateway-{id}");
            let cameras = [(id.as_str(), source.as_str())];
            let running = Gateway::start(scene, &name, place, &server, &cameras, &[])?;
            server.wait_for_camera(&token, &id, CAMERA_DEADLINE)?;
            let beside = lab.host_behind(&home)?;
            let away = viewer.map(|nat| lab.side(nat)).transpose()?;
            let host = away.as_ref().map_or(&beside, |side| &side.host);
            let arguments = json!({
                "url": server.url(&format!("/whep/{id}")), "token": token, "joins": joins,
                "group": GROUP_MS, "seconds": WATCHED_S,
            });
            let all = join(scene, &id, Place::On(host), &arguments, joins)?;
            check(&id, path, &all)?;
            drop((sender, running));
        }
        Ok(())
    });
}

/// Joins as often as asked, and returns what each join saw.
fn join(
    scene: &Scene,
    id: &str,
    place: Place<'_>,
    arguments: &serde_json::Value,
    joins: u32,
) -> Result<Vec<Join>> {
    let name = format!("browser-{id}");
    let mut browser = Browser::script(scene, &name, place, "joins.mjs", arguments)?;
    browser.finish(JOIN_DEADLINE * (joins + 2))?;
    let events = browser.program.events()?;
    let joined = events.into_iter().filter(|event| event["event"] == "join");
    joined.map(|event| Ok(serde_json::from_value(event)?)).collect()
}

/// Checks the joins over one network, and reports their times.
fn check(id: &str, path: Path, joins: &[Join]) -> Result<()> {
    ensure!(!joins.is_empty(), "{id}: no join");
    let mut times: Vec<_> = joins.iter().map(|join| join.ms).collect();
    times.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let lost: i64 = joins.iter().map(|join| join.sample.packets_lost).sum();
    let sum = |of: fn(&Sample) -> u64| joins.iter().map(|join| of(&join.sample)).sum::<u64>();
    let (freezes, again) = (sum(|s| s.freeze_count), sum(|s| s.retransmitted_packets_received));
    report(&format!(
        "{id}: {} joins, first picture after p50 {:.0}, p95 {:.0}, most {:.0} ms; {freezes} \
         freezes, {lost} packets lost, {again} sent again",
        joins.len(),
        at(50),
        at(95),
        at(100),
    ));
    for join in joins {
        let taken = join.sample.pair.as_ref().map(|pair| pair.path());
        ensure!(taken == Some(path), "{id}: the path is {taken:?}: {join:?}");
        ensure!(join.sample.frames_decoded > 0, "{id}: nothing was decoded: {join:?}");
    }
    Ok(())
}
