//! The table of all allocations, by id, by client and by expiry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher as _;
use std::time::Instant;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::FiveTuple;
use super::allocation::{Allocation, AllocationId};
use super::wheel::TimerWheel;
use crate::{trim, trimmed_capacity};

#[derive(Debug, Default)]
pub(super) struct Table {
    /// The slots, the last of which is never empty.
    slots: Vec<Slot>,
    /// Indices of empty slots. The lowest are filled first, so that those at the end become empty
    /// and can be removed. May contain indices of slots that were.
    free: BinaryHeap<Reverse<u32>>,
    /// The index used for every packet. Its entries are small so that they stay in the CPU's
    /// cache: they leave out the client's address, which the allocation has.
    by_client: HashTable<Entry>,
    /// Only clients that have proved a password are added, so a fast hash with a random seed
    /// suffices.
    hasher: RandomState,
    expiries: TimerWheel,
    /// Number of living allocations, those without a client included.
    len: usize,
    /// The generation of the last allocation, whatever its slot, so that ids do not repeat for a
    /// long time.
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The hash of the client's five-tuple.
    hash: u64,
    id: AllocationId,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    /// On the heap, so that the memory of many allocations is freed when they end.
    allocation: Option<Box<Allocation>>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn id_of(&self, client: &FiveTuple) -> Option<AllocationId> {
        self.get_by_client(client).map(|(id, _)| id)
    }

    pub(super) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        let slot = self.slots.get(usize::try_from(id.index).ok()?)?;
        slot.allocation.as_deref().filter(|_| slot.generation == id.generation)
    }

    /// Returns an allocation to change, except for its expiry and its client: see
    /// [`Self::expire_at`] and [`Self::move_to`].
    pub(super) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        let slot = self.slots.get_mut(usize::try_from(id.index).ok()?)?;
        slot.allocation.as_deref_mut().filter(|_| slot.generation == id.generation)
    }

    pub(super) fn get_by_client(&self, client: &FiveTuple) -> Option<(AllocationId, &Allocation)> {
        let hash = self.hasher.hash_one(client);
        let entry = self.by_client.find(hash, |entry| {
            entry.hash == hash && self.get(entry.id).is_some_and(|a| a.client == *client)
        })?;
        Some((entry.id, self.get(entry.id)?))
    }

    /// Adds an allocation. Returns `None` if its client has one already, or if there are four
    /// billion.
    pub(super) fn insert(&mut self, allocation: Allocation) -> Option<AllocationId> {
        if self.id_of(&allocation.client).is_some() {
            return None;
        }
        let index = self.empty_slot()?;
        let slot = self.slots.get_mut(usize::try_from(index).ok()?)?;
        self.generation = self.generation.wrapping_add(1);
        slot.generation = self.generation;
        let id = AllocationId { index, generation: slot.generation };
        let (client, created_at, expires_at) =
            (allocation.client, allocation.created_at, allocation.expires_at);
        slot.allocation = Some(Box::new(allocation));
        self.index_client(&client, id);
        self.len += 1;
        self.expiries.set(index, created_at, expires_at);
        Some(id)
    }

    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        self.get(id)?;
        let slot = self.slots.get_mut(usize::try_from(id.index).ok()?)?;
        let allocation = slot.allocation.take()?;
        self.unindex_client(&allocation.client, id);
        self.len = self.len.saturating_sub(1);
        self.expiries.clear(id.index);
        self.free.push(Reverse(id.index));
        while self.slots.pop_if(|slot| slot.allocation.is_none()).is_some() {}
        Some(allocation)
    }

    /// Frees unused memory. Returns true if there was some to free.
    pub(super) fn shrink(&mut self) -> bool {
        let by_client = trimmed_capacity(self.by_client.len(), self.by_client.capacity());
        if let Some(capacity) = by_client {
            self.by_client.shrink_to(capacity, |entry| entry.hash);
        }
        let slots = trim(&mut self.slots);
        if slots {
            self.expiries.truncate(self.slots.len());
            let living = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            let mut free = std::mem::take(&mut self.free).into_vec();
            free.retain(|Reverse(index)| *index < living);
            trim(&mut free);
            self.free = free.into();
        }
        by_client.is_some() || slots
    }

    fn index_client(&mut self, client: &FiveTuple, id: AllocationId) {
        let hash = self.hasher.hash_one(client);
        self.by_client.insert_unique(hash, Entry { hash, id }, |entry| entry.hash);
    }

    fn unindex_client(&mut self, client: &FiveTuple, id: AllocationId) {
        let hash = self.hasher.hash_one(client);
        if let Ok(entry) = self.by_client.find_entry(hash, |entry| entry.id == id) {
            entry.remove();
        }
    }

    fn empty_slot(&mut self) -> Option<u32> {
        while let Some(Reverse(index)) = self.free.pop() {
            if usize::try_from(index).is_ok_and(|index| index < self.slots.len()) {
                return Some(index);
            }
        }
        let index = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot::default());
        Some(index)
    }

    /// Takes an allocation out, so that the caller can use it and the rest of the server at once.
    /// It must be returned by [`Self::put`].
    pub(super) fn take(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let slot = self.slots.get_mut(usize::try_from(id.index).ok()?)?;
        slot.allocation.take_if(|_| slot.generation == id.generation)
    }

    pub(super) fn put(&mut self, id: AllocationId, allocation: Box<Allocation>) {
        let slot = usize::try_from(id.index).ok().and_then(|index| self.slots.get_mut(index));
        if let Some(slot) = slot {
            slot.allocation = Some(allocation);
        }
    }

    /// Changes the client of an allocation to one that has none.
    pub(super) fn move_to(&mut self, id: AllocationId, client: &FiveTuple) {
        let Some(allocation) = self.get_mut(id) else { return };
        let before = std::mem::replace(&mut allocation.client, *client);
        allocation.is_detached = false;
        self.unindex_client(&before, id);
        self.index_client(client, id);
    }

    /// Separates an allocation from its client, whose five-tuple may be used by another one.
    pub(super) fn detach(&mut self, id: AllocationId) {
        let Some(allocation) = self.get_mut(id) else { return };
        allocation.is_detached = true;
        let client = allocation.client;
        self.unindex_client(&client, id);
    }

    pub(super) fn expire_at(&mut self, id: AllocationId, now: Instant, at: Instant) {
        let Some(allocation) = self.get_mut(id) else { return };
        allocation.expires_at = at;
        self.expiries.set(id.index, now, at);
    }

    /// Returns an allocation that has expired, which the caller must remove.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<AllocationId> {
        let index = self.expiries.pop_due(now)?;
        let slot = self.slots.get(usize::try_from(index).ok()?)?;
        Some(AllocationId { index, generation: slot.generation })
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.next()
    }

    pub(super) fn iter_from(
        &self,
        first: u32,
    ) -> impl Iterator<Item = (AllocationId, &Allocation)> {
        (first..)
            .zip(self.slots.iter().skip(usize::try_from(first).unwrap_or(usize::MAX)))
            .filter_map(|(index, slot)| {
                let id = AllocationId { index, generation: slot.generation };
                Some((id, slot.allocation.as_deref()?))
            })
    }

    pub(super) fn ids(&self) -> Vec<AllocationId> {
        self.iter_from(0).map(|(id, _)| id).collect()
    }
}
