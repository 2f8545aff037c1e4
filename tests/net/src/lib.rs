//! The best path between each pair of NATs, and the homes in which it is tested.

#![warn(missing_docs)]

pub mod authority;

use std::sync::Mutex;
use std::time::Duration;

use Path::{Direct as D, Relay as R};
use anyhow::{Result, ensure};
use porthole_test_support::lab::{Lab, Side};
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::Path;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::Scene;

/// The best path for each pair of NATs. Rows: the gateway's NAT; columns: the viewer's; both in the
/// order of [`NatKind::ALL`].
///
/// The path is direct wherever RFC 4787's behaviours allow it. A symmetric NAT uses a new port for
/// each peer, so it connects directly only to a side that accepts any port of a known address.
/// Without UDP there is only TURN over TCP.
#[rustfmt::skip]
pub const PATHS: [(NatKind, [Path; 6]); 6] = [
    //                         open  full-cone  restricted  port-restricted  symmetric  udp-blocked
    (NatKind::Open,           [D,    D,         D,          D,               D,         R]),
    (NatKind::FullCone,       [D,    D,         D,          D,               D,         R]),
    (NatKind::Restricted,     [D,    D,         D,          D,               D,         R]),
    (NatKind::PortRestricted, [D,    D,         D,          D,               R,         R]),
    (NatKind::Symmetric,      [D,    D,         D,          R,               R,         R]),
    (NatKind::UdpBlocked,     [R,    R,         R,          R,               R,         R]),
];

/// The public addresses of the lab are documentation addresses, to which a TURN server relays only
/// if it is configured to.
const SERVER_FLAGS: [&str; 2] = ["--allow-peer", "203.0.113.0/24"];
const CAMERA_DEADLINE: Duration = Duration::from_secs(30);

/// Returns all 36 pairs: the gateway's NAT, the viewer's NAT, the best path.
pub fn pairs() -> impl Iterator<Item = (NatKind, NatKind, Path)> {
    PATHS.into_iter().flat_map(|(gateway, row)| {
        NatKind::ALL.into_iter().zip(row).map(move |(viewer, path)| (gateway, viewer, path))
    })
}

/// Returns the best path for one pair.
pub fn best_path(gateway: NatKind, viewer: NatKind) -> Option<Path> {
    pairs().find(|pair| (pair.0, pair.1) == (gateway, viewer)).map(|pair| pair.2)
}

/// Number of pairs that are played at a time; they spend most of the time waiting for timers.
const WORKERS: usize = 4;

/// Plays pairs, several at a time, and fails with the failures of all. `play` reports its own
/// success.
pub fn play_all<T: Send>(pairs: Vec<T>, play: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    let count = pairs.len();
    let queue = Mutex::new(pairs.into_iter());
    let next = || queue.lock().ok()?.next();
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some(pair) = next() {
            if let Err(error) = play(pair)
                && let Ok(mut failures) = failures.lock()
            {
                failures.push(format!("{error:#}"));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(failures.is_empty(), "{} of {count} failed:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// A server, and a gateway behind each kind of NAT with a camera named after the NAT.
#[derive(Debug)]
pub struct World<'a> {
    /// Signaling, the dashboard and TURN, on a host of its own.
    pub server: Server<'a>,
    /// An API token of a viewer.
    pub token: String,
    homes: &'a [Side],
    /// Running as long as the world exists.
    _gateways: Vec<Gateway>,
}

/// Adds a home behind each of these NATs, for [`World::start`].
pub fn homes(lab: &Lab, nats: &[NatKind]) -> Result<Vec<Side>> {
    nats.iter().map(|nat| lab.side(*nat)).collect()
}

impl<'a> World<'a> {
    /// Starts the server and a gateway in each home, and returns once every camera can be watched.
    pub fn start(scene: &'a Scene, lab: &'a Lab, homes: &'a [Side]) -> Result<Self> {
        let mut server = Server::start(scene, Place::On(lab.server()), &SERVER_FLAGS)?;
        let token = server.token("viewer", &[])?;
        let mut gateways = Vec::new();
        for home in homes {
            let nat = home.nat.name();
            let (name, place) = (format!("gateway-{nat}"), Place::On(&home.host));
            gateways.push(Gateway::start(scene, &name, place, &server, &[(nat, "test:")], &[])?);
        }
        for home in homes {
            server.wait_for_camera(&token, home.nat.name(), CAMERA_DEADLINE)?;
        }
        Ok(Self { server, token, homes, _gateways: gateways })
    }

    /// Returns the home of the gateway behind this NAT.
    pub fn home(&self, nat: NatKind) -> Option<&Side> {
        self.homes.iter().find(|home| home.nat == nat)
    }
}
