//! The connections that are being opened: their number is bounded, in total and for each network,
//! and the oldest makes room.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All connections that are being opened, in the order of their arrival.
#[derive(Debug)]
pub(super) struct Openings {
    limits: Limits,
    state: Mutex<State>,
}

/// Bounds on the number of connections that are being opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most of them in total.
    pub(super) total: usize,
    /// Most of them from one address (IPv6: /64).
    pub(super) per_network: usize,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    open: BTreeMap<u64, Open>,
    /// Those of each network; never empty.
    networks: HashMap<Network, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Open {
    network: Option<Network>,
    lost: CancellationToken,
}

/// An address, of which the last half does not count if it is one of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(u128);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
        })
    }
}

/// A connection that is being opened; no longer when this is dropped.
#[derive(Debug)]
pub(super) struct Opening {
    all: Arc<Openings>,
    id: u64,
    lost: CancellationToken,
}

impl Openings {
    /// Begins with none.
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// Adds a connection, for which the oldest makes room if there are too many: the oldest of its
    /// own network first. One of a load balancer is of no network.
    pub(super) fn begin(self: &Arc<Self>, from: Option<IpAddr>) -> Opening {
        let network = from.map(Network::from);
        let mut state = self.lock();
        let held = network.and_then(|network| state.networks.get(&network));
        let own = held.filter(|held| held.len() >= self.limits.per_network);
        let own = own.and_then(BTreeSet::first).copied();
        let is_full = state.open.len() >= self.limits.total;
        let oldest = state.open.keys().next().copied().filter(|_| is_full);
        if let Some(open) = own.or(oldest).and_then(|id| state.remove(id)) {
            open.lost.cancel();
        }
        state.last += 1;
        let (id, lost) = (state.last, CancellationToken::new());
        if let Some(network) = network {
            state.networks.entry(network).or_default().insert(id);
        }
        state.open.insert(id, Open { network, lost: lost.clone() });
        drop(state);
        Opening { all: Arc::clone(self), id, lost }
    }

    /// Locks the state even after a panic: it is changed in single steps.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, id: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        if let Some(network) = open.network
            && let Some(held) = self.networks.get_mut(&network)
        {
            held.remove(&id);
            if held.is_empty() {
                self.networks.remove(&network);
            }
        }
        Some(open)
    }
}

impl Opening {
    /// Waits until the connection must make room for another one.
    pub(super) async fn crowded_out(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.all.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins with a connection from each of these addresses; `-` is a load balancer. Returns the
    /// indices of those that had to make room.
    fn lost(limits: Limits, from: &[&str]) -> Vec<usize> {
        let all = Openings::new(limits);
        let begin = |from: &&str| all.begin((*from != "-").then(|| from.parse().unwrap()));
        let openings: Vec<_> = from.iter().map(begin).collect();
        let is_lost = |index: &usize| openings[*index].lost.is_cancelled();
        let lost: Vec<_> = (0..openings.len()).filter(is_lost).collect();
        assert_eq!(all.lock().open.len(), openings.len() - lost.len(), "{from:?}");
        drop(openings);
        let state = all.lock();
        assert!(state.open.is_empty() && state.networks.is_empty(), "{from:?}: {state:?}");
        lost
    }

    #[test]
    fn the_oldest_makes_room_and_first_the_oldest_of_the_own_network() {
        let limits = Limits { total: 4, per_network: 2 };
        for (from, expected) in [
            (&["10.0.0.1", "10.0.0.1"][..], &[][..]),
            (&["10.0.0.1", "10.0.0.1", "10.0.0.1"], &[0]),
            (&["10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"], &[1, 2]),
            (&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"], &[0]),
            (&["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"], &[0]),
            (&["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"], &[0]),
            (&["-", "-", "-", "-"], &[]),
            (&["-", "-", "-", "-", "-"], &[0]),
        ] {
            assert_eq!(lost(limits, from), expected, "{from:?}");
        }
    }
}
