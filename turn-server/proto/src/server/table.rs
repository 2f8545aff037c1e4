//! All allocations: by id, by client, by expiry.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::FiveTuple;
use super::allocation::{Allocation, AllocationId};

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_client: HashMap<FiveTuple, AllocationId>,
    expiries: BTreeSet<(Instant, AllocationId)>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    allocation: Option<Allocation>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    pub(super) fn id_of(&self, client: &FiveTuple) -> Option<AllocationId> {
        self.by_client.get(client).copied()
    }

    pub(super) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        let slot = self.slots.get(usize::try_from(id.index).ok()?)?;
        slot.allocation.as_ref().filter(|_| slot.generation == id.generation)
    }

    /// For everything but the expiry, see [`Self::expire_at`].
    pub(super) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        let slot = self.slots.get_mut(usize::try_from(id.index).ok()?)?;
        slot.allocation.as_mut().filter(|_| slot.generation == id.generation)
    }

    pub(super) fn of_client(&self, client: &FiveTuple) -> Option<(AllocationId, &Allocation)> {
        let id = self.id_of(client)?;
        Some((id, self.get(id)?))
    }

    /// `None` when the client has one already, or there are four billion.
    pub(super) fn insert(&mut self, allocation: Allocation) -> Option<AllocationId> {
        if self.by_client.contains_key(&allocation.client) {
            return None;
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot::default());
                index
            }
        };
        let slot = self.slots.get_mut(usize::try_from(index).ok()?)?;
        let id = AllocationId { index, generation: slot.generation };
        self.by_client.insert(allocation.client, id);
        self.expiries.insert((allocation.expires_at, id));
        slot.allocation = Some(allocation);
        Some(id)
    }

    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Allocation> {
        self.get(id)?;
        let slot = self.slots.get_mut(usize::try_from(id.index).ok()?)?;
        let allocation = slot.allocation.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        self.by_client.remove(&allocation.client);
        self.expiries.remove(&(allocation.expires_at, id));
        Some(allocation)
    }

    /// To look at it and at the rest at once; [`Self::put`] it back.
    pub(super) fn take(&mut self, id: AllocationId) -> Option<Allocation> {
        let slot = self.slots.get_mut(usize::try_from(id.index).ok()?)?;
        slot.allocation.take_if(|_| slot.generation == id.generation)
    }

    pub(super) fn put(&mut self, id: AllocationId, allocation: Allocation) {
        let slot = usize::try_from(id.index).ok().and_then(|index| self.slots.get_mut(index));
        if let Some(slot) = slot {
            slot.allocation = Some(allocation);
        }
    }

    /// The client has another address now, which no other allocation has.
    pub(super) fn move_to(&mut self, id: AllocationId, client: &FiveTuple) {
        let Some(allocation) = self.get_mut(id) else { return };
        let before = std::mem::replace(&mut allocation.client, *client);
        self.by_client.remove(&before);
        self.by_client.insert(*client, id);
    }

    pub(super) fn expire_at(&mut self, id: AllocationId, at: Instant) {
        let Some(allocation) = self.get_mut(id) else { return };
        let before = std::mem::replace(&mut allocation.expires_at, at);
        self.expiries.remove(&(before, id));
        self.expiries.insert((at, id));
    }

    pub(super) fn next_expiry(&self) -> Option<(Instant, AllocationId)> {
        self.expiries.first().copied()
    }

    pub(super) fn beginning_at(
        &self,
        first: u32,
    ) -> impl Iterator<Item = (AllocationId, &Allocation)> {
        (first..)
            .zip(self.slots.iter().skip(usize::try_from(first).unwrap_or(usize::MAX)))
            .filter_map(|(index, slot)| {
                let id = AllocationId { index, generation: slot.generation };
                Some((id, slot.allocation.as_ref()?))
            })
    }

    pub(super) fn ids(&self) -> Vec<AllocationId> {
        self.expiries.iter().map(|(_, id)| *id).collect()
    }
}
