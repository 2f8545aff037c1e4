//! Tables of values that own a socket: each is stored at a small number, its slot, which its mio
//! token carries.
//!
//! The last place is always occupied and unused memory is given back, so that a past peak costs
//! nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use porthole_turn_proto::server::RelayId;
use porthole_turn_proto::trim;

/// A table that chooses the slots of its values itself.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    /// Empty slots, the lowest first. It may hold slots beyond the end of `places`.
    free: BinaryHeap<Reverse<usize>>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: BinaryHeap::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// Returns the slot of the next [`Self::insert`].
    pub(crate) fn next_slot(&mut self) -> usize {
        while let Some(Reverse(slot)) = self.free.peek() {
            if *slot < self.places.len() {
                return *slot;
            }
            self.free.pop();
        }
        self.places.len()
    }

    /// Stores a value at [`Self::next_slot`] and returns the slot.
    pub(crate) fn insert(&mut self, value: T) -> usize {
        let slot = self.next_slot();
        self.free.pop();
        put(&mut self.places, slot, value);
        self.len += 1;
        slot
    }

    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, slot: usize) -> Option<&T> {
        self.places.get(slot)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.places.get_mut(slot)?.as_mut()
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<T> {
        let removed = self.places.get_mut(slot)?.take()?;
        self.len -= 1;
        self.free.push(Reverse(slot));
        if shrink(&mut self.places) {
            let mut free = std::mem::take(&mut self.free).into_vec();
            free.retain(|Reverse(slot)| *slot < self.places.len());
            trim(&mut free);
            self.free = free.into();
        }
        Some(removed)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let all = self.places.iter_mut().enumerate();
        all.filter_map(|(slot, value)| Some((slot, value.as_mut()?)))
    }
}

/// A table of values that belong to relayed addresses, stored at the slot of their [`RelayId`].
#[derive(Debug)]
pub(crate) struct ByRelay<T>(Vec<Option<(RelayId, T)>>);

impl<T> Default for ByRelay<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByRelay<T> {
    /// Stores a value and drops the one that was in its slot.
    pub(crate) fn insert(&mut self, id: RelayId, value: T) {
        put(&mut self.0, id.slot(), (id, value));
    }

    /// Returns the value in a slot, with the relay that occupies it now.
    pub(crate) fn at(&self, slot: usize) -> Option<(RelayId, &T)> {
        self.0.get(slot)?.as_ref().map(|(id, value)| (*id, value))
    }

    pub(crate) fn at_mut(&mut self, slot: usize) -> Option<(RelayId, &mut T)> {
        self.0.get_mut(slot)?.as_mut().map(|(id, value)| (*id, value))
    }

    pub(crate) fn get(&self, id: RelayId) -> Option<&T> {
        self.at(id.slot()).filter(|(found, _)| *found == id).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, id: RelayId) -> Option<&mut T> {
        let (found, value) = self.0.get_mut(id.slot())?.as_mut()?;
        (*found == id).then_some(value)
    }

    /// Removes the value, unless another relay has taken over the slot.
    pub(crate) fn remove(&mut self, id: RelayId) {
        let place = self.0.get_mut(id.slot());
        if place.and_then(|place| place.take_if(|(found, _)| *found == id)).is_some() {
            shrink(&mut self.0);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn put<T>(places: &mut Vec<Option<T>>, slot: usize, value: T) {
    if places.len() <= slot {
        places.resize_with(slot + 1, || None);
    }
    if let Some(place) = places.get_mut(slot) {
        *place = Some(value);
    }
}

/// Drops the empty places at the end. Returns true if memory was given back.
fn shrink<T>(places: &mut Vec<Option<T>>) -> bool {
    while places.pop_if(|place| place.is_none()).is_some() {}
    trim(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_from_below_and_given_back_from_above() {
        let mut slab = Slab::default();
        assert!((0..1000).all(|i| slab.next_slot() == i && slab.insert(i) == i));
        for (slot, taken) in [(999, true), (3, true), (998, true), (7, true), (3, false)] {
            assert_eq!(slab.remove(slot).is_some(), taken, "{slot}");
        }
        for (place, value) in [(3, "a"), (7, "b"), (998, "c"), (999, "d"), (1000, "e")] {
            assert_eq!(slab.insert(value.len()), place, "{value}");
        }
        for slot in 0..=1000 {
            slab.remove(slot);
        }
        assert!(slab.iter_mut().next().is_none());
        assert!(slab.places.capacity() + slab.free.capacity() < 300, "{slab:?}");
        assert_eq!(slab.insert(1), 0);
    }
}
