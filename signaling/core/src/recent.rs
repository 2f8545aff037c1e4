//! A table of bounded size that forgets what was used least recently, so that it always has room
//! for newcomers.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key, of which the least recently used make room for new ones.
#[derive(Debug)]
pub struct Recent<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// The keys in the order in which they were used.
    order: BTreeMap<u64, K>,
    uses: u64,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// The number of its latest use.
    used: u64,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    /// Creates an empty table for this many keys.
    pub fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), uses: 0, capacity }
    }

    /// Returns the value of a key, which `new` makes if there is none, and notes its use.
    pub fn entry(&mut self, key: &K, new: impl FnOnce() -> V) -> &mut V {
        self.uses += 1;
        match self.entries.get(key) {
            Some(entry) => {
                self.order.remove(&entry.used);
            }
            None => self.make_room(),
        }
        self.order.insert(self.uses, key.clone());
        let entry = self.entries.entry(key.clone());
        let entry = entry.or_insert_with(|| Entry { value: new(), used: 0 });
        entry.used = self.uses;
        &mut entry.value
    }

    /// Returns the value of a key, if there is one. It does not count as a use.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
        }
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if it has no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn make_room(&mut self) {
        while self.entries.len() >= self.capacity {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_makes_room_for_a_newcomer() {
        let mut table = Recent::new(2);
        for (key, found) in [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("a", 3), ("b", 1), ("c", 1)] {
            let value = table.entry(&key, || 0);
            *value += 1;
            assert_eq!(*value, found, "{key}");
            assert!(table.len() <= 2);
            assert_eq!(table.len(), table.order.len());
        }
        *table.get_mut(&"c").unwrap() += 1;
        assert_eq!((*table.entry(&"c", || 0), table.get_mut(&"a")), (2, None));
        table.remove(&"c");
        table.remove(&"c");
        assert_eq!((table.len(), table.order.len(), table.is_empty()), (1, 1, false));
    }
}
