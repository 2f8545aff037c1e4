//! Places of TCP connections. A connection is a stranger's until it has shown a valid credential;
//! then it is its owner's. Strangers make room for newcomers, the oldest first, so that nobody can
//! take all places; owners have a bounded number each, and a share that strangers do not get.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::PlaceLimits;
use crate::network::Network;

/// All places, and who has them.
#[derive(Debug)]
pub(crate) struct Places {
    limits: PlaceLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    /// The places that are taken, in the order in which they were.
    taken: BTreeMap<u64, Taken>,
    /// Those of strangers.
    strangers: BTreeSet<u64>,
    /// Those of strangers by network; never empty. A proxy's own connections are in none.
    networks: HashMap<Network, BTreeSet<u64>>,
    /// The number of places of each owner; never zero.
    owners: HashMap<String, usize>,
}

#[derive(Debug)]
struct Taken {
    holder: Holder,
    lost: CancellationToken,
}

#[derive(Debug, Clone)]
enum Holder {
    /// A client that has shown no credential, by its address; a proxy before a request has no
    /// address of its own.
    Stranger(Option<IpAddr>),
    /// A user, a token or a gateway.
    Owner(String),
}

/// The error that an owner has too many places.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The place of a connection, free again when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<Guard>);

#[derive(Debug)]
struct Guard {
    places: Arc<Places>,
    id: u64,
    lost: CancellationToken,
}

impl Places {
    pub(crate) fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// Takes a place for a stranger at this address, for which another stranger may lose its own.
    /// `None` if only owners are left.
    pub(crate) fn take(self: &Arc<Self>, from: Option<IpAddr>) -> Option<Place> {
        let mut state = self.lock();
        state.make_room_in_networks(from, &self.limits);
        let is_full = state.strangers.len() >= self.limits.strangers
            || state.taken.len() >= self.limits.total;
        if is_full {
            let oldest = state.strangers.first().copied()?;
            state.evict(oldest);
        }
        state.last += 1;
        let (id, lost) = (state.last, CancellationToken::new());
        let holder = Holder::Stranger(from);
        state.index(id, &holder);
        state.taken.insert(id, Taken { holder, lost: lost.clone() });
        drop(state);
        Some(Place(Arc::new(Guard { places: Arc::clone(self), id, lost })))
    }

    /// Returns the number of places of strangers, and of owners.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.strangers.len(), state.taken.len() - state.strangers.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes room for one more in the networks of an address: their oldest stranger leaves.
    fn make_room_in_networks(&mut self, address: Option<IpAddr>, limits: &PlaceLimits) {
        for network in address.into_iter().flat_map(Network::all) {
            let Some(held) = self.networks.get(&network) else { continue };
            let is_full = held.len() >= limits.per_network * network.share();
            if let Some(oldest) = held.first().copied().filter(|_| is_full) {
                self.evict(oldest);
            }
        }
    }

    /// Takes a place away from a stranger, whose connection then ends.
    fn evict(&mut self, id: u64) {
        if let Some(taken) = self.remove(id) {
            debug!("a stranger's connection makes room for another");
            taken.lost.cancel();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Taken> {
        let taken = self.taken.remove(&id)?;
        self.unindex(id, &taken.holder);
        Some(taken)
    }

    /// Gives a place to another holder.
    fn pass(&mut self, id: u64, holder: Holder) {
        if let Some(taken) = self.remove(id) {
            self.index(id, &holder);
            self.taken.insert(id, Taken { holder, ..taken });
        }
    }

    fn index(&mut self, id: u64, holder: &Holder) {
        match holder {
            Holder::Stranger(address) => {
                self.strangers.insert(id);
                for network in address.iter().copied().flat_map(Network::all) {
                    self.networks.entry(network).or_default().insert(id);
                }
            }
            Holder::Owner(owner) => *self.owners.entry(owner.clone()).or_default() += 1,
        }
    }

    fn unindex(&mut self, id: u64, holder: &Holder) {
        match holder {
            Holder::Stranger(address) => {
                self.strangers.remove(&id);
                for network in address.iter().copied().flat_map(Network::all) {
                    let Some(held) = self.networks.get_mut(&network) else { continue };
                    held.remove(&id);
                    if held.is_empty() {
                        self.networks.remove(&network);
                    }
                }
            }
            Holder::Owner(owner) => {
                let Some(count) = self.owners.get_mut(owner) else { return };
                *count -= 1;
                if *count == 0 {
                    self.owners.remove(owner);
                }
            }
        }
    }
}

impl Place {
    /// Notes that a request on this connection comes from another client: a proxy passes on those
    /// of many. The client is a stranger again.
    pub(crate) fn note_client(&self, address: Option<IpAddr>) {
        let Guard { places, id, .. } = &*self.0;
        let mut state = places.lock();
        let Some(taken) = state.taken.get(id) else { return };
        if matches!(taken.holder, Holder::Stranger(before) if before == address) {
            return;
        }
        state.pass(*id, Holder::Stranger(None));
        state.make_room_in_networks(address, &places.limits);
        state.pass(*id, Holder::Stranger(address));
    }

    /// Notes that the client has a valid credential of this owner.
    ///
    /// # Errors
    /// Fails if the owner has as many places as it may have. The place stays the stranger's.
    pub(crate) fn note_owner(&self, owner: &str) -> Result<(), Full> {
        let Guard { places, id, .. } = &*self.0;
        let mut state = places.lock();
        let Some(taken) = state.taken.get(id) else { return Ok(()) };
        if matches!(&taken.holder, Holder::Owner(before) if before == owner) {
            return Ok(());
        }
        if state.owners.get(owner).is_some_and(|count| *count >= places.limits.per_owner) {
            return Err(Full);
        }
        state.pass(*id, Holder::Owner(owner.to_owned()));
        Ok(())
    }

    /// Waits until the place is lost to another connection.
    pub(crate) async fn lost(&self) {
        self.0.lost.cancelled().await;
    }
}

/// Waits until a place is lost; for ever without one.
pub(crate) async fn lost(place: Option<&Place>) {
    match place {
        Some(place) => place.lost().await,
        None => future::pending().await,
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.places.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests;
