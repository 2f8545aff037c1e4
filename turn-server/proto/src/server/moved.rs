//! Clients that have taken an allocation of another worker along (RFC 8016) and whose datagrams
//! the kernel brings here all the same.

use std::collections::HashMap;
use std::time::Instant;

use foldhash::fast::RandomState;

use super::{FiveTuple, MAX_LIFETIME};
use crate::spare_room;

/// As many as there may be allocations by default, 100 bytes each.
const MAX_MOVED: usize = 16_384;

/// Which worker they are served by.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Only who has shown a ticket of ours gets in, so a fast hash with a random seed does.
    by_client: HashMap<FiveTuple, Place, RandomState>,
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
        if self.by_client.len() >= MAX_MOVED {
            // Without a word from its client no allocation lives longer.
            self.by_client.retain(|_, place| now < place.heard + MAX_LIFETIME);
        }
        let room = self.by_client.len() < MAX_MOVED;
        if room {
            self.by_client.insert(*client, Place { worker, heard: now });
        }
        room
    }

    /// Unless it was heard since, or another worker serves it by now.
    pub(super) fn remove(&mut self, client: &FiveTuple, worker: u8, at: Instant) {
        let place = self.by_client.get(client);
        if place.is_some_and(|place| place.worker == worker && place.heard <= at) {
            self.by_client.remove(client);
        }
        if let Some(room) = spare_room(self.by_client.len(), self.by_client.capacity()) {
            self.by_client.shrink_to(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Transport;

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_silent() {
        let start = Instant::now();
        let client = |n: usize| {
            let [.., a, b, c] = n.to_be_bytes();
            let client = ([10, a, b, c], 1).into();
            FiveTuple { transport: Transport::Udp, client, server: ([192, 0, 2, 1], 1).into() }
        };
        let mut moved = Moved::default();
        assert!((0..MAX_MOVED).all(|n| moved.insert(&client(n), 1, start)));
        assert!(!moved.insert(&client(MAX_MOVED), 1, start), "full");
        let later = start + MAX_LIFETIME;
        assert_eq!(moved.worker_of(&client(7), later - Duration::from_secs(1)), Some(1));
        assert!(moved.insert(&client(MAX_MOVED), 2, later));
        assert_eq!(moved.len(), 2, "the silent ones are gone");
        for (worker, at, left) in [(1, start, 2), (2, later, 2), (1, later, 1)] {
            moved.remove(&client(7), worker, at);
            assert_eq!(moved.len(), left, "{worker}");
        }
    }
}
