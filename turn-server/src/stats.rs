//! Numbers of a running server.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

use porthole_turn_proto::server::Counters;

/// What a server holds now and has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Living allocations.
    pub allocations: u64,
    /// Open TCP connections.
    pub tcp_connections: u64,
    /// Packets that a full socket, a full queue or the system refused.
    pub not_sent: u64,
    /// What the protocol counted.
    pub counters: Counters,
}

impl Add for Stats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_array(std::array::from_fn(|i| self.to_array()[i] + other.to_array()[i]))
    }
}

const FIELDS: usize = 13;

impl Stats {
    fn to_array(self) -> [u64; FIELDS] {
        let Self { allocations, tcp_connections, not_sent, counters: c } = self;
        [
            allocations,
            tcp_connections,
            not_sent,
            c.bindings,
            c.allocations_made,
            c.refused,
            c.challenged,
            c.to_peers,
            c.to_peers_bytes,
            c.to_clients,
            c.to_clients_bytes,
            c.dropped,
            c.malformed,
        ]
    }

    fn from_array(fields: [u64; FIELDS]) -> Self {
        let [
            allocations,
            tcp_connections,
            not_sent,
            bindings,
            allocations_made,
            refused,
            challenged,
            to_peers,
            to_peers_bytes,
            to_clients,
            to_clients_bytes,
            dropped,
            malformed,
        ] = fields;
        Self {
            allocations,
            tcp_connections,
            not_sent,
            counters: Counters {
                bindings,
                allocations_made,
                refused,
                challenged,
                to_peers,
                to_peers_bytes,
                to_clients,
                to_clients_bytes,
                dropped,
                malformed,
            },
        }
    }
}

/// One worker's numbers, as it published them last.
#[derive(Debug, Default)]
pub(crate) struct Published([AtomicU64; FIELDS]);

impl Published {
    pub(crate) fn store(&self, stats: Stats) {
        for (cell, value) in self.0.iter().zip(stats.to_array()) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn load(&self) -> Stats {
        Stats::from_array(std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_published_and_summed() {
        let one = Stats::from_array(std::array::from_fn(|i| u64::try_from(i).unwrap() + 1));
        let published = Published::default();
        published.store(one);
        assert_eq!(published.load(), one);
        let two = Stats::from_array(std::array::from_fn(|i| 2 * u64::try_from(i).unwrap() + 2));
        assert_eq!(one + one, two);
    }
}
