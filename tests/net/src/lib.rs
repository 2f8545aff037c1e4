//! The best way that two NATs leave open, pair by pair.

use porthole_test_support::lab::Nat;

/// How media gets from one side to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Between the two hosts, over UDP.
    Direct,
    /// Through the TURN server.
    Relay,
}

use Path::{Direct as D, Relay as R};

/// Rows: the gateway's NAT; columns: the viewer's; both in the order of [`Nat::ALL`].
///
/// Direct wherever RFC 4787's behaviours allow it. A symmetric NAT shows each peer a new port, so
/// it meets only a side that lets any port of a known address in. Without UDP there is TURN only,
/// over TCP.
#[rustfmt::skip]
pub const PATHS: [(Nat, [Path; 6]); 6] = [
    //                     open  full-cone  restricted  port-restricted  symmetric  udp-blocked
    (Nat::Open,           [D,    D,         D,          D,               D,         R]),
    (Nat::FullCone,       [D,    D,         D,          D,               D,         R]),
    (Nat::Restricted,     [D,    D,         D,          D,               D,         R]),
    (Nat::PortRestricted, [D,    D,         D,          D,               R,         R]),
    (Nat::Symmetric,      [D,    D,         D,          R,               R,         R]),
    (Nat::UdpBlocked,     [R,    R,         R,          R,               R,         R]),
];

/// All 36 pairs: gateway's NAT, viewer's NAT, expected path.
pub fn pairs() -> impl Iterator<Item = (Nat, Nat, Path)> {
    PATHS.into_iter().flat_map(|(gateway, row)| {
        Nat::ALL.into_iter().zip(row).map(move |(viewer, path)| (gateway, viewer, path))
    })
}
