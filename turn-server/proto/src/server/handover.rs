//! Clients whose allocation another worker has, although the kernel delivers their datagrams to
//! this one: they resumed it from a new address (RFC 8016).

use std::collections::{HashMap, hash_map};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::limits::block_of;
use super::{FiveTuple, PERMISSION_LIFETIME};
use crate::trimmed_capacity;

/// Clients in the table: as many as there may be allocations by default, 100 bytes each.
const MAX_CLIENTS: usize = 16_384;
/// Clients of one block of addresses: a mobile network's gateway has many behind it. The holder of
/// one ticket can show it from as many ports.
const MAX_PER_BLOCK: usize = 512;
/// Least time between two searches of a full table for clients to forget.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// The worker that serves each client whose datagrams are handed over.
#[derive(Debug, Default)]
pub(super) struct HandoverTable {
    /// Only clients with a ticket of ours are added, so a fast hash with a random seed suffices.
    by_client: HashMap<FiveTuple, Entry, RandomState>,
    per_block: HashMap<IpAddr, usize, RandomState>,
    pruned_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    worker: u8,
    last_received: Instant,
}

impl HandoverTable {
    pub(super) fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// Returns the worker that serves a client which just sent a datagram.
    pub(super) fn worker_of(&mut self, client: &FiveTuple, now: Instant) -> Option<u8> {
        let entry = self.by_client.get_mut(client)?;
        entry.last_received = now;
        Some(entry.worker)
    }

    /// Adds a client or changes its worker. Returns false if there is no room.
    pub(super) fn insert(&mut self, client: &FiveTuple, worker: u8, now: Instant) -> bool {
        let entry = Entry { worker, last_received: now };
        if let Some(known) = self.by_client.get_mut(client) {
            *known = entry;
            return true;
        }
        if self.by_client.len() >= MAX_CLIENTS {
            self.prune(now);
        }
        let per_block = self.per_block.get(&block_of(client.client.ip())).copied().unwrap_or(0);
        let has_room = self.by_client.len() < MAX_CLIENTS && per_block < MAX_PER_BLOCK;
        if has_room {
            *self.per_block.entry(block_of(client.client.ip())).or_default() += 1;
            self.by_client.insert(*client, entry);
        }
        has_room
    }

    /// Forgets clients that were silent for so long that their permissions have expired.
    fn prune(&mut self, now: Instant) {
        if self.pruned_at.is_some_and(|at| now < at + PRUNE_INTERVAL) {
            return;
        }
        self.pruned_at = Some(now);
        let is_silent = |entry: &Entry| entry.last_received + PERMISSION_LIFETIME <= now;
        let Self { by_client, per_block, .. } = self;
        for (client, _) in by_client.extract_if(|_, entry| is_silent(entry)) {
            decrement(per_block, &client);
        }
    }

    /// Removes a client that `worker` no longer served at `at`, unless it has sent a datagram
    /// since or another worker serves it by now.
    pub(super) fn remove(&mut self, client: &FiveTuple, worker: u8, at: Instant) {
        let entry = self.by_client.get(client);
        if entry.is_some_and(|entry| entry.worker == worker && entry.last_received <= at) {
            self.by_client.remove(client);
            decrement(&mut self.per_block, client);
        }
        let Self { by_client, per_block, .. } = self;
        if let Some(capacity) = trimmed_capacity(by_client.len(), by_client.capacity()) {
            by_client.shrink_to(capacity);
        }
        if let Some(capacity) = trimmed_capacity(per_block.len(), per_block.capacity()) {
            per_block.shrink_to(capacity);
        }
    }
}

fn decrement(per_block: &mut HashMap<IpAddr, usize, RandomState>, client: &FiveTuple) {
    if let hash_map::Entry::Occupied(mut count) = per_block.entry(block_of(client.client.ip())) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    /// Returns client `n`, of a block that [`MAX_PER_BLOCK`] clients share.
    fn client(n: usize) -> FiveTuple {
        let [high, low] = u16::try_from(n / MAX_PER_BLOCK).unwrap().to_be_bytes();
        let port = u16::try_from(n % MAX_PER_BLOCK).unwrap();
        let client = ([10, high, low, 9], port).into();
        FiveTuple { transport: Transport::Udp, client, server: ([192, 0, 2, 1], 1).into() }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_silent_clients() {
        let start = Instant::now();
        let mut table = HandoverTable::default();
        assert!((0..MAX_CLIENTS).all(|n| table.insert(&client(n), 1, start)));
        assert!(table.insert(&client(0), 1, start), "a known client needs no room");
        assert!(!table.insert(&client(MAX_CLIENTS), 1, start), "full");
        let silent = start + PERMISSION_LIFETIME;
        assert_eq!(table.worker_of(&client(7), silent - Duration::from_secs(1)), Some(1));
        let early = silent - PRUNE_INTERVAL / 2;
        assert!(!table.insert(&client(MAX_CLIENTS), 1, early), "none was silent for long enough");
        assert!(!table.insert(&client(MAX_CLIENTS), 1, silent), "it is not searched each time");
        let later = early + PRUNE_INTERVAL;
        assert!(table.insert(&client(MAX_CLIENTS), 2, later));
        assert_eq!((table.len(), table.per_block.len()), (2, 2), "the silent ones are gone");
        for (worker, at, left) in [(1, start, 2), (2, later, 2), (1, later, 1)] {
            table.remove(&client(7), worker, at);
            assert_eq!((table.len(), table.per_block.len()), (left, left), "{worker}");
        }
    }

    #[test]
    fn one_block_of_addresses_leaves_room_for_the_others() {
        let start = Instant::now();
        let mut table = HandoverTable::default();
        assert!((0..MAX_PER_BLOCK).all(|n| table.insert(&client(n), 1, start)));
        let mut beside = client(0);
        beside.client = ([10, 0, 0, 77], 1).into();
        assert!(!table.insert(&beside, 1, start), "as many as may");
        assert!(table.insert(&client(MAX_PER_BLOCK), 1, start), "another block");
        table.remove(&client(3), 1, start);
        assert!(table.insert(&beside, 1, start), "one has gone");
    }
}
