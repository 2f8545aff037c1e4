//! Counters and gauges of a running server.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

use porthole_turn_proto::server::Counters;

/// The state of a server now, and its counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Allocations that exist now.
    pub allocations: u64,
    /// Open TCP connections, with or without TLS.
    pub tcp_connections: u64,
    /// DTLS associations, unfinished handshakes included.
    pub dtls_associations: u64,
    /// Packets not sent because a socket or queue was full or the system refused them.
    pub not_sent: u64,
    /// Channels relayed by the kernel.
    pub offloaded_channels: u64,
    /// The counters of the protocol.
    pub counters: Counters,
}

impl Add for Stats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            allocations: self.allocations + other.allocations,
            tcp_connections: self.tcp_connections + other.tcp_connections,
            dtls_associations: self.dtls_associations + other.dtls_associations,
            not_sent: self.not_sent + other.not_sent,
            offloaded_channels: self.offloaded_channels + other.offloaded_channels,
            counters: self.counters + other.counters,
        }
    }
}

/// The number of values beside [`Counters`].
const OWN: usize = 5;

/// The values of one worker as it published them last.
#[derive(Debug)]
pub(crate) struct Published {
    own: [AtomicU64; OWN],
    counters: [AtomicU64; Counters::LEN],
}

impl Default for Published {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self { own: std::array::from_fn(zero), counters: std::array::from_fn(zero) }
    }
}

impl Published {
    pub(crate) fn store(&self, stats: Stats) {
        let own = [
            stats.allocations,
            stats.tcp_connections,
            stats.dtls_associations,
            stats.not_sent,
            stats.offloaded_channels,
        ];
        let counters = self.counters.iter().zip(stats.counters.to_array());
        for (cell, value) in self.own.iter().zip(own).chain(counters) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn load(&self) -> Stats {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let [allocations, tcp_connections, dtls_associations, not_sent, offloaded_channels] =
            self.own.each_ref().map(load);
        let counters = Counters::from_array(self.counters.each_ref().map(load));
        Stats {
            allocations,
            tcp_connections,
            dtls_associations,
            not_sent,
            offloaded_channels,
            counters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_published_and_summed() {
        let numbers = std::array::from_fn(|i| u64::try_from(i).unwrap() + 6);
        let counters = Counters::from_array(numbers);
        let one = Stats {
            allocations: 1,
            tcp_connections: 2,
            dtls_associations: 4,
            not_sent: 3,
            offloaded_channels: 5,
            counters,
        };
        let published = Published::default();
        published.store(one);
        assert_eq!(published.load(), one);
        let sum = one + one;
        assert_eq!((sum.allocations, sum.tcp_connections, sum.not_sent), (2, 4, 6));
        assert_eq!((sum.dtls_associations, sum.offloaded_channels), (8, 10));
        assert_eq!(sum.counters.to_array(), numbers.map(|number| 2 * number));
    }
}
