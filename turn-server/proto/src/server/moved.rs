//! Clients that have taken an allocation of another worker along (RFC 8016) and whose datagrams
//! the kernel brings here all the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::limits::block_of;
use super::{FiveTuple, PERMISSION_LIFETIME};
use crate::spare_room;

/// As many as there may be allocations by default, 100 bytes each.
const MAX_MOVED: usize = 16_384;
/// Of one block of client addresses: a mobile network's gateway has many behind it. Who has one
/// ticket can show it from as many ports.
const MAX_OF_BLOCK: usize = 512;
/// How often a full table is walked for those to forget.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// Which worker they are served by.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Only who has shown a ticket of ours gets in, so a fast hash with a random seed does.
    by_client: HashMap<FiveTuple, Place, RandomState>,
    of_block: HashMap<IpAddr, usize, RandomState>,
    pruned_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    worker: u8,
    heard: Instant,
}

impl Moved {
    pub(super) fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// Who serves this client, which has just been heard.
    pub(super) fn worker_of(&mut self, client: &FiveTuple, now: Instant) -> Option<u8> {
        let place = self.by_client.get_mut(client)?;
        place.heard = now;
        Some(place.worker)
    }

    /// Whether there was room.
    pub(super) fn insert(&mut self, client: &FiveTuple, worker: u8, now: Instant) -> bool {
        let place = Place { worker, heard: now };
        if let Some(known) = self.by_client.get_mut(client) {
            *known = place;
            return true;
        }
        if self.by_client.len() >= MAX_MOVED {
            self.prune(now);
        }
        let of_block = self.of_block.get(&block_of(client.client.ip())).copied().unwrap_or(0);
        let room = self.by_client.len() < MAX_MOVED && of_block < MAX_OF_BLOCK;
        if room {
            *self.of_block.entry(block_of(client.client.ip())).or_default() += 1;
            self.by_client.insert(*client, place);
        }
        room
    }

    /// Forgets those that have let their permissions go: nothing is relayed to them.
    fn prune(&mut self, now: Instant) {
        if self.pruned_at.is_some_and(|at| now < at + PRUNE_INTERVAL) {
            return;
        }
        self.pruned_at = Some(now);
        let is_silent = |place: &Place| place.heard + PERMISSION_LIFETIME <= now;
        let Self { by_client, of_block, .. } = self;
        for (client, _) in by_client.extract_if(|_, place| is_silent(place)) {
            give_back(of_block, &client);
        }
    }

    /// Unless it was heard since, or another worker serves it by now.
    pub(super) fn remove(&mut self, client: &FiveTuple, worker: u8, at: Instant) {
        let place = self.by_client.get(client);
        if place.is_some_and(|place| place.worker == worker && place.heard <= at) {
            self.by_client.remove(client);
            give_back(&mut self.of_block, client);
        }
        let Self { by_client, of_block, .. } = self;
        if let Some(room) = spare_room(by_client.len(), by_client.capacity()) {
            by_client.shrink_to(room);
        }
        if let Some(room) = spare_room(of_block.len(), of_block.capacity()) {
            of_block.shrink_to(room);
        }
    }
}

fn give_back(of_block: &mut HashMap<IpAddr, usize, RandomState>, client: &FiveTuple) {
    if let Entry::Occupied(mut count) = of_block.entry(block_of(client.client.ip())) {
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

    /// In blocks of [`MAX_OF_BLOCK`].
    fn client(n: usize) -> FiveTuple {
        let [high, low] = u16::try_from(n / MAX_OF_BLOCK).unwrap().to_be_bytes();
        let port = u16::try_from(n % MAX_OF_BLOCK).unwrap();
        let client = ([10, high, low, 9], port).into();
        FiveTuple { transport: Transport::Udp, client, server: ([192, 0, 2, 1], 1).into() }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_silent() {
        let start = Instant::now();
        let mut moved = Moved::default();
        assert!((0..MAX_MOVED).all(|n| moved.insert(&client(n), 1, start)));
        assert!(moved.insert(&client(0), 1, start), "who is there already needs no room");
        assert!(!moved.insert(&client(MAX_MOVED), 1, start), "full");
        let silent = start + PERMISSION_LIFETIME;
        assert_eq!(moved.worker_of(&client(7), silent - Duration::from_secs(1)), Some(1));
        let early = silent - PRUNE_INTERVAL / 2;
        assert!(!moved.insert(&client(MAX_MOVED), 1, early), "nobody is silent for long");
        assert!(!moved.insert(&client(MAX_MOVED), 1, silent), "it is not walked each time");
        let later = early + PRUNE_INTERVAL;
        assert!(moved.insert(&client(MAX_MOVED), 2, later));
        assert_eq!((moved.len(), moved.of_block.len()), (2, 2), "the silent ones are gone");
        for (worker, at, left) in [(1, start, 2), (2, later, 2), (1, later, 1)] {
            moved.remove(&client(7), worker, at);
            assert_eq!((moved.len(), moved.of_block.len()), (left, left), "{worker}");
        }
    }

    #[test]
    fn one_block_of_addresses_leaves_room_for_the_others() {
        let start = Instant::now();
        let mut moved = Moved::default();
        assert!((0..MAX_OF_BLOCK).all(|n| moved.insert(&client(n), 1, start)));
        let mut beside = client(0);
        beside.client = ([10, 0, 0, 77], 1).into();
        assert!(!moved.insert(&beside, 1, start), "as many as may");
        assert!(moved.insert(&client(MAX_OF_BLOCK), 1, start), "another block");
        moved.remove(&client(3), 1, start);
        assert!(moved.insert(&beside, 1, start), "one has gone");
    }
}
