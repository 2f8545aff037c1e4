//! Every pair of NATs, with the native viewer: video is received over the best possible path.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use porthole_net_tests::{World, homes, pairs, play_all};
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::{Pair, Path};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::viewer::Viewer;

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::Viewer];
/// ICE selects the best pair within a few seconds; this is for a loaded machine.
const PATH_DEADLINE: Duration = Duration::from_secs(20);
const FRAMES_DEADLINE: Duration = Duration::from_secs(20);
/// One second of the test camera.
const FRAMES: u64 = 30;

/// Takes about 6 s: 36 pairs, four at a time. Each waits for the best path and then for one second
/// of video.
#[test]
fn all_36_pairs_of_nats_play_over_the_best_path() {
    scene("all_36_pairs_of_nats_play_over_the_best_path", &NEEDS, |scene| {
        let lab = Lab::new("matrix")?;
        let homes = homes(&lab, &NatKind::ALL)?;
        let world = World::start(scene, &lab, &homes)?;
        let all: Vec<_> = pairs().collect();
        ensure!(all.len() == 36, "{} pairs", all.len());
        let firsts = Mutex::new(Vec::new());
        play_all(all, |(gateway, viewer, path)| {
            let name = format!("{gateway:15} → {viewer:15} {path:?}");
            let played =
                Scene::play(&name, |scene| play(scene, &lab, &world, gateway, viewer, path));
            let Played { first, line } = played?;
            report(&format!("{name:40} {line}"));
            let way = Way::of(gateway, viewer, path);
            firsts.lock().unwrap_or_else(PoisonError::into_inner).push((way, first));
            Ok(())
        })?;
        check_first_pictures(&firsts.into_inner().unwrap_or_else(PoisonError::into_inner))
    });
}

/// The way of a picture, which decides how soon it can be there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Direct,
    OverUdp,
    OverTcp,
}

impl Way {
    /// The ways, each with the time in which 95 of 100 first pictures are there.
    const ALL: [(Self, Duration); 3] = [
        (Self::Direct, Duration::from_millis(1000)),
        (Self::OverUdp, Duration::from_millis(1000)),
        (Self::OverTcp, Duration::from_millis(1500)),
    ];

    fn of(gateway: NatKind, viewer: NatKind, path: Path) -> Self {
        if path != Path::Relay {
            return Self::Direct;
        }
        let is_blocked = gateway == NatKind::UdpBlocked || viewer == NatKind::UdpBlocked;
        if is_blocked { Self::OverTcp } else { Self::OverUdp }
    }
}

/// Checks when the first pictures were there. The server and all homes share this machine, so that
/// these are times of the protocols, not of distances.
fn check_first_pictures(firsts: &[(Way, Duration)]) -> Result<()> {
    for (way, limit) in Way::ALL {
        let of_way = firsts.iter().filter(|(of, _)| *of == way).map(|(_, first)| *first);
        let mut times: Vec<_> = of_way.collect();
        times.sort();
        let p95 = times.get((times.len() * 95).div_ceil(100).saturating_sub(1));
        let p95 = *p95.context("a pair for each way")?;
        report(&format!("first picture {way:?}: p95 {} ms", p95.as_millis()));
        ensure!(p95 <= limit, "{way:?}: {p95:?}, not {limit:?}: {times:?}");
    }
    Ok(())
}

#[test]
fn behind_one_router_media_stays_inside_the_lan() {
    scene("behind_one_router_media_stays_inside_the_lan", &NEEDS, |scene| {
        let lab = Lab::new("one-lan")?;
        let nats = [NatKind::PortRestricted, NatKind::Symmetric, NatKind::UdpBlocked];
        let homes = homes(&lab, &nats)?;
        let world = World::start(scene, &lab, &homes)?;
        for nat in nats {
            let home = world.home(nat).context("a home")?;
            let host = lab.host_behind(home)?;
            Scene::play(&format!("one LAN behind {nat}"), |scene| {
                let url = world.server.url("");
                let place = Place::On(&host);
                let mut viewer = Viewer::start(scene, place, &url, &world.token, nat.name())?;
                let pair = viewer.wait_for_path(Path::Lan, PATH_DEADLINE)?;
                ensure!(pair.remote.address() == Some(home.host.address()), "{pair:?}");
                viewer.wait_for_frames(FRAMES, FRAMES_DEADLINE)
            })?;
        }
        Ok(())
    });
}

/// The times of one pair.
struct Played {
    /// Time from the start of the viewer to its first picture.
    first: Duration,
    /// A line with all times and the types of the candidates.
    line: String,
}

/// Plays one pair, and returns the times until the first picture and the best path.
fn play(
    scene: &Scene,
    lab: &Lab,
    world: &World<'_>,
    gateway: NatKind,
    nat: NatKind,
    path: Path,
) -> Result<Played> {
    let side = lab.side(nat)?;
    let start = Instant::now();
    let (url, place) = (world.server.url(""), Place::On(&side.host));
    let mut viewer = Viewer::start(scene, place, &url, &world.token, gateway.name())?;
    viewer.wait_for_frames(1, FRAMES_DEADLINE)?;
    let first = start.elapsed();
    let pair = viewer.wait_for_path(path, PATH_DEADLINE)?;
    let best = start.elapsed();
    check_relay_protocol(nat, &pair)?;
    viewer.wait_for_frames(FRAMES, FRAMES_DEADLINE)?;
    let times = format!("picture {:4} ms, path {:4} ms", first.as_millis(), best.as_millis());
    let line = format!("{times}  {} – {}", pair.local.kind, pair.remote.kind);
    Ok(Played { first, line })
}

/// Checks that a side without UDP reaches its TURN server over TCP.
fn check_relay_protocol(nat: NatKind, pair: &Pair) -> Result<()> {
    let protocol = pair.local.relay_protocol.as_deref();
    ensure!(
        nat != NatKind::UdpBlocked || protocol == Some("tcp"),
        "relay over {protocol:?}: {pair:?}"
    );
    Ok(())
}
