//! The best way that two NATs leave open, pair by pair, and the places where it is tried.

use std::time::Duration;

use anyhow::Result;
use porthole_test_support::lab::{Lab, Side};
use porthole_test_support::nat::NatKind;
use porthole_test_support::path::Path;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::Scene;

use Path::{Direct as D, Relay as R};

/// Rows: the gateway's NAT; columns: the viewer's; both in the order of [`NatKind::ALL`].
///
/// Direct wherever RFC 4787's behaviours allow it. A symmetric NAT shows each peer a new port, so
/// it meets only a side that lets any port of a known address in. Without UDP there is TURN only,
/// over TCP.
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
/// when it is told to.
const SERVER_FLAGS: [&str; 2] = ["--allow-peer", "203.0.113.0/24"];
const CAMERA_DEADLINE: Duration = Duration::from_secs(30);

/// All 36 pairs: gateway's NAT, viewer's NAT, expected path.
pub fn pairs() -> impl Iterator<Item = (NatKind, NatKind, Path)> {
    PATHS.into_iter().flat_map(|(gateway, row)| {
        NatKind::ALL.into_iter().zip(row).map(move |(viewer, path)| (gateway, viewer, path))
    })
}

/// The expected path for one pair.
pub fn best_path(gateway: NatKind, viewer: NatKind) -> Option<Path> {
    pairs().find(|pair| (pair.0, pair.1) == (gateway, viewer)).map(|pair| pair.2)
}

/// One gateway behind each kind of NAT, with a camera that is named after the NAT.
#[derive(Debug)]
pub struct World<'a> {
    pub server: Server<'a>,
    pub token: String,
    homes: &'a [Side],
    /// Held while the world is in use.
    _gateways: Vec<Gateway>,
}

/// A home of each kind, for [`World::start`].
pub fn homes(lab: &Lab, nats: &[NatKind]) -> Result<Vec<Side>> {
    nats.iter().map(|nat| lab.side(*nat)).collect()
}

impl<'a> World<'a> {
    /// Starts the server, and a gateway in each home; returns when every camera can be watched.
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

    /// The home of the gateway behind this NAT.
    pub fn home(&self, nat: NatKind) -> Option<&Side> {
        self.homes.iter().find(|home| home.nat == nat)
    }
}
