//! All allocations: by id, by client, by expiry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher as _;
use std::time::Instant;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::FiveTuple;
use super::allocation::{Allocation, AllocationId};
use super::wheel::Wheel;
use crate::{give_back, spare_room};

#[derive(Debug, Default)]
pub(super) struct Table {
    /// The last one is taken.
    slots: Vec<Slot>,
    /// Empty ones; the lowest are filled first, so that those at the end become empty. It may name
    /// some that are not there any more.
    free: BinaryHeap<Reverse<u32>>,
    /// Asked for every packet, and small, so that it stays in the cache: who the client is, the
    /// allocation says, which is looked at anyway.
    by_client: HashTable<Entry>,
    /// Only who has proved a password gets in, so a fast hash with a random seed does.
    hasher: RandomState,
    expiries: Wheel,
    /// Living ones, those without a client included.
    len: usize,
    /// Of the next allocation, in whichever slot: no two have the same for a long time.
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Of the client.
    hash: u64,
    id: AllocationId,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    /// On the heap: what many allocations took is given back when they end.
    allocation: Option<Box<Allocation>>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn id_of(&self, client: &FiveTuple) -> Option<AllocationId> {
        self.of_client(client).map(|(id, _)| id)
    }

    pub(super) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        let slot = self.slots.get(usize::try_from(id.index).ok()?)?;
        slot.allocation.as_deref().filter(|_| slot.generation == id.generation)
    }

    /// For everything but the expiry, see [`Self::expire_at`].
    pub(super) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        let slot = self.slots.get_mut(usize::try_from(id.index).ok()?)?;
        slot.allocation.as_deref_mut().filter(|_| slot.generation == id.generation)
    }

    pub(super) fn of_client(&self, client: &FiveTuple) -> Option<(AllocationId, &Allocation)> {
        let hash = self.hasher.hash_one(client);
        let entry = self.by_client.find(hash, |entry| {
            entry.hash == hash && self.get(entry.id).is_some_and(|a| a.client == *client)
        })?;
        Some((entry.id, self.get(entry.id)?))
    }

    /// `None` when the client has one already, or there are four billion.
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
        self.list(&client, id);
        self.len += 1;
        self.expiries.set(index, created_at, expires_at);
        Some(id)
    }

    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        self.get(id)?;
        let slot = self.slots.get_mut(usize::try_from(id.index).ok()?)?;
        let allocation = slot.allocation.take()?;
        self.unlist(&allocation.client, id);
        self.len = self.len.saturating_sub(1);
        self.expiries.clear(id.index);
        self.free.push(Reverse(id.index));
        while self.slots.pop_if(|slot| slot.allocation.is_none()).is_some() {}
        Some(allocation)
    }

    /// Gives back what room lies idle. Whether there was some.
    pub(super) fn shrink(&mut self) -> bool {
        let by_client = spare_room(self.by_client.len(), self.by_client.capacity());
        if let Some(room) = by_client {
            self.by_client.shrink_to(room, |entry| entry.hash);
        }
        let slots = give_back(&mut self.slots);
        if slots {
            self.expiries.truncate(self.slots.len());
            let living = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            let mut free = std::mem::take(&mut self.free).into_vec();
            free.retain(|Reverse(index)| *index < living);
            give_back(&mut free);
            self.free = free.into();
        }
        by_client.is_some() || slots
    }

    fn list(&mut self, client: &FiveTuple, id: AllocationId) {
        let hash = self.hasher.hash_one(client);
        self.by_client.insert_unique(hash, Entry { hash, id }, |entry| entry.hash);
    }

    fn unlist(&mut self, client: &FiveTuple, id: AllocationId) {
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

    /// To look at it and at the rest at once; [`Self::put`] it back.
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

    /// The client has another address now, which no other allocation has.
    pub(super) fn move_to(&mut self, id: AllocationId, client: &FiveTuple) {
        let Some(allocation) = self.get_mut(id) else { return };
        let before = std::mem::replace(&mut allocation.client, *client);
        allocation.is_detached = false;
        self.unlist(&before, id);
        self.list(client, id);
    }

    /// Its client is gone, and whoever has the address next is somebody else.
    pub(super) fn detach(&mut self, id: AllocationId) {
        let Some(allocation) = self.get_mut(id) else { return };
        allocation.is_detached = true;
        let client = allocation.client;
        self.unlist(&client, id);
    }

    pub(super) fn expire_at(&mut self, id: AllocationId, now: Instant, at: Instant) {
        let Some(allocation) = self.get_mut(id) else { return };
        allocation.expires_at = at;
        self.expiries.set(id.index, now, at);
    }

    /// One that has expired; it is to be removed.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<AllocationId> {
        let index = self.expiries.pop_due(now)?;
        let slot = self.slots.get(usize::try_from(index).ok()?)?;
        Some(AllocationId { index, generation: slot.generation })
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.next()
    }

    pub(super) fn beginning_at(
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
        self.beginning_at(0).map(|(id, _)| id).collect()
    }
}
