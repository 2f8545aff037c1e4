//! A map of values with timers, which knows the next one that is due without asking all of them.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::camera::{Camera, Stream};
use crate::session::Session;

/// A value with timers.
pub(super) trait Timer {
    /// Returns the time at which the value has something to do.
    fn due(&self) -> Option<Instant>;
}

impl Timer for Session {
    fn due(&self) -> Option<Instant> {
        self.poll_timeout()
    }
}

impl Timer for Camera {
    fn due(&self) -> Option<Instant> {
        self.streams().filter_map(Stream::poll_timeout).min()
    }
}

/// A map of values with timers. A value that may have changed is asked once for its time, and the
/// others not at all.
#[derive(Debug)]
pub(super) struct Timed<K, V> {
    /// The places of the values in `slots`, in the order of the keys.
    places: BTreeMap<K, usize>,
    slots: Vec<Option<Slot<K, V>>>,
    /// The times at which the values of the slots are due. They lie together, so that comparing all
    /// of them costs little.
    dues: Vec<Option<Instant>>,
    free: Vec<usize>,
    /// The slots whose `due` may be wrong.
    untimed: Vec<usize>,
    /// The slots that [`Self::take_touched`] has not returned.
    touched: Vec<usize>,
    /// The earliest of `dues`; `None` if it has to be found again.
    earliest: Option<Option<Instant>>,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    is_untimed: bool,
    is_touched: bool,
}

impl<K, V> Default for Timed<K, V> {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            slots: Vec::new(),
            dues: Vec::new(),
            free: Vec::new(),
            untimed: Vec::new(),
            touched: Vec::new(),
            earliest: None,
        }
    }
}

impl<K: Clone + Ord, V: Timer> Timed<K, V> {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.places.contains_key(key)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.at(*self.places.get(key)?).map(|slot| &slot.value)
    }

    /// Returns a value for changes.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = *self.places.get(key)?;
        self.touch(place)
    }

    /// Returns the values with their keys, in the order of the keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let slots = self.places.values().filter_map(|place| self.at(*place));
        slots.map(|slot| (&slot.key, &slot.value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.places.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Adds a value, in the place of one with the same key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        let place = self.free.pop().unwrap_or(self.slots.len());
        if place == self.slots.len() {
            self.slots.push(None);
            self.dues.push(None);
        }
        self.places.insert(key.clone(), place);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(Slot { key, value, is_untimed: false, is_touched: false });
        }
        self.touch(place);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.places.remove(key)?;
        self.set_due(place, None);
        self.free.push(place);
        // The lists are cut to what exists, so that they do not grow.
        self.untimed.retain(|other| *other != place);
        self.touched.retain(|other| *other != place);
        Some(self.slots.get_mut(place)?.take()?.value)
    }

    /// Returns the time of the first timer of all values.
    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        self.refresh();
        if let Some(earliest) = self.earliest {
            return earliest;
        }
        let earliest = self.dues.iter().flatten().min().copied();
        self.earliest = Some(earliest);
        earliest
    }

    /// Returns the keys of the values that are due, in their order.
    pub(super) fn due(&mut self, now: Instant) -> Vec<K> {
        if self.poll_timeout().is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let due = self.dues.iter().zip(&self.slots).filter_map(|(due, slot)| {
            due.filter(|due| *due <= now)?;
            Some(slot.as_ref()?.key.clone())
        });
        let mut keys: Vec<_> = due.collect();
        keys.sort();
        keys
    }

    /// Passes the values to `look` that may have changed since the last call.
    pub(super) fn take_touched(&mut self, mut look: impl FnMut(&mut V)) {
        for place in std::mem::take(&mut self.touched) {
            if let Some(slot) = self.slots.get_mut(place).and_then(Option::as_mut) {
                slot.is_touched = false;
                look(&mut slot.value);
            }
        }
    }

    fn at(&self, place: usize) -> Option<&Slot<K, V>> {
        self.slots.get(place)?.as_ref()
    }

    /// Returns a value for changes, and notes that it may change.
    fn touch(&mut self, place: usize) -> Option<&mut V> {
        let slot = self.slots.get_mut(place)?.as_mut()?;
        if !std::mem::replace(&mut slot.is_untimed, true) {
            self.untimed.push(place);
        }
        if !std::mem::replace(&mut slot.is_touched, true) {
            self.touched.push(place);
        }
        Some(&mut slot.value)
    }

    /// Asks the values that may have changed for their time.
    fn refresh(&mut self) {
        while let Some(place) = self.untimed.pop() {
            if let Some(slot) = self.slots.get_mut(place).and_then(Option::as_mut) {
                slot.is_untimed = false;
                let due = slot.value.due();
                self.set_due(place, due);
            }
        }
    }

    fn set_due(&mut self, place: usize, due: Option<Instant>) {
        let Some(known) = self.dues.get_mut(place) else { return };
        let before = std::mem::replace(known, due);
        let Some(earliest) = self.earliest else { return };
        if due.is_some() && earliest.is_none_or(|earliest| due <= Some(earliest)) {
            self.earliest = Some(due);
        } else if before.is_some() && before == earliest {
            self.earliest = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    /// A timer, with the number of times that it was asked.
    #[derive(Debug, Clone, Default)]
    struct Alarm {
        at: Option<Instant>,
        asked: std::cell::Cell<usize>,
    }

    impl Timer for Alarm {
        fn due(&self) -> Option<Instant> {
            self.asked.set(self.asked.get() + 1);
            self.at
        }
    }

    /// The walk over all values that [`Timed`] does without.
    fn walk(model: &BTreeMap<u16, Alarm>) -> Option<Instant> {
        model.values().filter_map(|alarm| alarm.at).min()
    }

    #[test]
    fn the_next_timer_is_the_one_that_a_walk_over_all_of_them_finds() {
        for seed in 0..64 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut now = Instant::now();
            let (mut timed, mut model) = (Timed::default(), BTreeMap::new());
            for step in 0..2000 {
                let key: u16 = rng.random_range(0..40);
                let wait = Duration::from_millis(rng.random_range(0..500));
                let at = rng.random_bool(0.8).then_some(now + wait);
                let alarm = Alarm { at, ..Alarm::default() };
                match rng.random_range(0..10) {
                    0 => {
                        timed.insert(key, alarm.clone());
                        model.insert(key, alarm);
                    }
                    1 => {
                        let (removed, known) = (timed.remove(&key), model.remove(&key));
                        assert_eq!(removed.map(|a| a.at), known.map(|a| a.at));
                    }
                    2..7 => {
                        if let Some(known) = timed.get_mut(&key) {
                            known.at = at;
                        }
                        if let Some(known) = model.get_mut(&key) {
                            known.at = at;
                        }
                    }
                    _ => {
                        now += wait;
                        let due = model.iter().filter(|(_, a)| a.at.is_some_and(|at| at <= now));
                        let due: Vec<_> = due.map(|(key, _)| *key).collect();
                        assert_eq!(timed.due(now), due, "seed {seed}, step {step}");
                    }
                }
                if rng.random_bool(0.5) {
                    assert_eq!(timed.poll_timeout(), walk(&model), "seed {seed}, step {step}");
                }
                assert_eq!(timed.len(), model.len());
                assert!(timed.keys().eq(model.keys()), "in the order of the keys");
                assert!(timed.values().map(|a| a.at).eq(model.values().map(|a| a.at)));
            }
        }
    }

    #[test]
    fn only_values_that_may_have_changed_are_asked_for_their_time() {
        let now = Instant::now();
        let mut timed = Timed::default();
        for key in 0..100_u16 {
            let at = Some(now + Duration::from_secs(u64::from(key)));
            timed.insert(key, Alarm { at, ..Alarm::default() });
        }
        timed.poll_timeout();
        for _ in 0..10 {
            timed.get_mut(&7).unwrap();
            timed.poll_timeout();
        }
        let asked: Vec<_> = timed.values().map(|alarm| alarm.asked.get()).collect();
        assert_eq!((asked.get(7), asked.iter().sum()), (Some(&11), 110));
    }

    #[test]
    fn each_value_that_was_touched_is_looked_at_once() {
        let mut timed = Timed::default();
        for key in 0..5_u16 {
            timed.insert(key, Alarm::default());
        }
        for (name, touched, expected) in [
            ("the new ones", vec![], 5),
            ("none", vec![], 0),
            ("one twice, another once", vec![3, 1, 3], 2),
            ("one that does not exist", vec![9], 0),
        ] {
            touched.iter().for_each(|key| {
                let _ = timed.get_mut(key);
            });
            timed.poll_timeout();
            let mut looked = 0;
            timed.take_touched(|_| looked += 1);
            assert_eq!(looked, expected, "{name}");
        }
        timed.get_mut(&2).unwrap();
        timed.remove(&2);
        timed.take_touched(|_| panic!("it was removed"));
    }
}
