//! Homes behind two routers: their own, and one of a provider that shares its public address
//! (CGNAT), as many mobile networks and some landlines do.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_net_tests::play_all;
use porthole_test_support::lab::{Lab, Side};
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::Path;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::viewer::Viewer;

const NEEDS: [Need; 3] = [Need::Lab, Need::Program, Need::Viewer];
const SERVER_FLAGS: [&str; 2] = ["--allow-peer", "203.0.113.0/24"];
const DEADLINE: Duration = Duration::from_secs(30);
/// One second of the test camera.
const FRAMES: u64 = 30;

use NatKind::{FullCone, Open, PortRestricted, Restricted, Symmetric, UdpBlocked};

/// The provider's router, the gateway's own, the viewer's, and the best path: that of the stricter
/// mapping and the stricter filtering of the two routers.
const TABLE: [(NatKind, NatKind, NatKind, Path); 8] = [
    (FullCone, FullCone, Symmetric, Path::Direct),
    (FullCone, PortRestricted, PortRestricted, Path::Direct),
    (Restricted, FullCone, Symmetric, Path::Direct),
    (PortRestricted, PortRestricted, Open, Path::Direct),
    (PortRestricted, PortRestricted, PortRestricted, Path::Direct),
    (PortRestricted, FullCone, Symmetric, Path::Relay),
    (Symmetric, FullCone, FullCone, Path::Direct),
    (PortRestricted, UdpBlocked, PortRestricted, Path::Relay),
];

/// Takes about 15 s: eight pairs, four at a time.
#[test]
fn behind_a_provider_that_shares_its_address_each_pair_plays_over_the_best_path() {
    let name = "behind_a_provider_that_shares_its_address_each_pair_plays_over_the_best_path";
    scene(name, &NEEDS, |_| {
        play_all(
            TABLE.into_iter().enumerate().collect(),
            |(number, (outer, inner, viewer, path))| {
                let name = format!("{outer} over {inner} → {viewer} {path:?}");
                let took = Scene::play(&name, |scene| {
                    let lab = Lab::new(&format!("two{number}"))?;
                    let home = lab.side_behind(&lab.shared_router(outer)?, inner)?;
                    let other = lab.side(viewer)?;
                    play(scene, &lab, &home, &other, path)
                })?;
                report(&format!("{name:60} {:5} ms", took.as_millis()));
                Ok(())
            },
        )
    });
}

/// Takes about 5 s. If the provider's router sends nothing back that is for its own address (no
/// hairpinning), two of its homes see each other through the relay only.
#[test]
fn two_homes_of_one_provider_see_each_other_directly_where_it_hairpins() {
    let name = "two_homes_of_one_provider_see_each_other_directly_where_it_hairpins";
    scene(name, &NEEDS, |_| {
        let table = [
            (FullCone, true, FullCone, Path::Direct),
            (FullCone, false, FullCone, Path::Relay),
            (PortRestricted, false, PortRestricted, Path::Relay),
        ];
        play_all(table.into(), |(outer, hairpins, inner, path)| {
            let name = format!("one provider, {outer} over {inner}, hairpinning: {hairpins}");
            let took = Scene::play(&name, |scene| {
                let lab = Lab::new(&format!("one-{outer}-{hairpins}"))?;
                let shared = lab.shared_router(outer)?;
                if hairpins {
                    lab.hairpin(&shared)?;
                }
                let home = lab.side_behind(&shared, inner)?;
                let other = lab.side_behind(&shared, PortRestricted)?;
                ensure!(home.public_address() == other.public_address(), "they share an address");
                play(scene, &lab, &home, &other, path)
            })?;
            report(&format!("{name:70} {path:?} {:5} ms", took.as_millis()));
            Ok(())
        })
    });
}

/// Plays a camera of one home in another one, and returns the time until the path.
fn play(scene: &Scene, lab: &Lab, home: &Side, other: &Side, path: Path) -> Result<Duration> {
    let mut server = Server::start(scene, Place::On(lab.server()), &SERVER_FLAGS)?;
    let place = Place::On(&home.host);
    let _gateway = Gateway::start(scene, "gateway", place, &server, &[("yard", "test:")], &[])?;
    let token = server.token("viewer", &[])?;
    server.wait_for_camera(&token, "yard", DEADLINE)?;
    let start = Instant::now();
    let (url, place) = (server.url(""), Place::On(&other.host));
    let mut viewer = Viewer::start(scene, place, &url, &token, "yard")?;
    viewer.wait_for_path(path, DEADLINE).context("the best path")?;
    let took = start.elapsed();
    viewer.wait_for_frames(FRAMES, DEADLINE)?;
    Ok(took)
}
