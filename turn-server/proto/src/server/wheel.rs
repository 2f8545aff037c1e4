//! A timer wheel: finds the entries of a table that are due, to the second, without ordering them.

use std::time::{Duration, Instant};

use crate::trim;

/// Resolution of the wheel, by which an allocation may outlive its lifetime.
const TICK: Duration = Duration::from_secs(1);
/// Buckets of the wheel. They cover more ticks than the longest lifetime (`MAX_LIFETIME`, an hour),
/// so that all entries of one bucket are due in the same tick, unless the wheel was not polled for
/// as long.
const BUCKETS: usize = 4096;
/// Index that ends a list.
const NONE: u32 = u32::MAX;

/// A timer for each entry of a table, by the index of the entry.
#[derive(Debug)]
pub(super) struct TimerWheel {
    /// Time of tick 0, at which the first timer was set.
    epoch: Option<Instant>,
    /// The first tick that may have entries; those of all ticks before were removed.
    next_tick: u64,
    /// The first entry of each bucket, whose entries form a doubly linked list.
    heads: Box<[u32]>,
    links: Vec<Link>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    /// The tick in which the entry is due; `None` if it is not in any list.
    tick: Option<u64>,
}

impl Default for TimerWheel {
    fn default() -> Self {
        let heads = vec![NONE; BUCKETS].into_boxed_slice();
        Self { epoch: None, next_tick: 0, heads, links: Vec::new(), len: 0 }
    }
}

impl TimerWheel {
    /// Sets the timer of an entry, replacing the time it had.
    pub(super) fn set(&mut self, entry: u32, now: Instant, at: Instant) {
        self.clear(entry);
        let index = index(entry);
        if self.links.len() <= index {
            self.links.resize(index + 1, Link { before: NONE, after: NONE, tick: None });
        }
        let epoch = *self.epoch.get_or_insert(now);
        let since = at.saturating_duration_since(epoch);
        let tick = since.as_secs() + u64::from(since.subsec_nanos() > 0);
        let tick = tick.max(self.next_tick);
        let head = std::mem::replace(&mut self.heads[bucket(tick)], entry);
        if let Some(after) = self.link(head) {
            after.before = entry;
        }
        self.links[index] = Link { before: NONE, after: head, tick: Some(tick) };
        self.len += 1;
    }

    /// Clears the timer of an entry.
    pub(super) fn clear(&mut self, entry: u32) {
        let Some(link) = self.link(entry) else { return };
        let Link { before, after, tick } = *link;
        let Some(tick) = tick else { return };
        link.tick = None;
        if let Some(after) = self.link(after) {
            after.before = before;
        }
        match self.link(before) {
            Some(before) => before.after = after,
            None => self.heads[bucket(tick)] = after,
        }
        self.len -= 1;
    }

    /// Frees the memory of entries from index `len` on, whose timers must be clear.
    pub(super) fn truncate(&mut self, len: usize) {
        self.links.truncate(len);
        trim(&mut self.links);
    }

    /// Clears the timer of an entry that is due and returns the entry.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let now_tick = now.checked_duration_since(self.epoch?)?.as_secs();
        if self.len == 0 {
            self.next_tick = self.next_tick.max(now_tick);
            return None;
        }
        // One turn visits all buckets, however long the wheel was not polled.
        let last = now_tick.min(self.next_tick + ticks(BUCKETS) - 1);
        while self.next_tick <= last {
            let due = |entry: &u32| {
                let link = self.links.get(index(*entry));
                link.and_then(|link| link.tick).is_some_and(|tick| tick <= now_tick)
            };
            let found = self.list(self.next_tick).find(due);
            if let Some(entry) = found {
                self.clear(entry);
                return Some(entry);
            }
            self.next_tick += 1;
        }
        self.next_tick = now_tick + 1;
        None
    }

    /// Returns the time at which to call [`Self::pop_due`] again, at most one tick after the first
    /// entry is due.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let ahead = self.next_tick..self.next_tick + ticks(BUCKETS);
        let tick = ahead.into_iter().find(|tick| self.heads[bucket(*tick)] != NONE)?;
        Some(self.epoch? + TICK * u32::try_from(tick).unwrap_or(u32::MAX))
    }

    fn list(&self, tick: u64) -> impl Iterator<Item = u32> {
        let head = self.heads[bucket(tick)];
        let after = |entry: &u32| self.links.get(index(*entry)).map(|link| link.after);
        std::iter::successors(Some(head), after).take_while(|entry| *entry != NONE)
    }

    fn link(&mut self, entry: u32) -> Option<&mut Link> {
        self.links.get_mut(index(entry))
    }
}

/// Returns the index of an entry in the list of links; that of [`NONE`] is behind its end.
fn index(entry: u32) -> usize {
    usize::try_from(entry).unwrap_or(usize::MAX)
}

fn bucket(tick: u64) -> usize {
    usize::try_from(tick % ticks(BUCKETS)).unwrap_or(0)
}

fn ticks(buckets: usize) -> u64 {
    u64::try_from(buckets).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u64),
        Clear(u32),
        Wait(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u32..20, 0_u64..3_700_000).prop_map(|(entry, ms)| Step::Set(entry, ms)),
            1 => (0_u32..20).prop_map(Step::Clear),
            3 => prop_oneof![0_u64..5_000, 0_u64..10_000_000].prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Compares the wheel with a map: nothing is early, nothing is more than a tick late, and
        /// [`TimerWheel::next`] is not later than that.
        #[test]
        fn everything_is_due_once_and_on_time(
            steps in proptest::collection::vec(any_step(), 0..200),
        ) {
            let start = Instant::now();
            let (mut wheel, mut model) = (TimerWheel::default(), BTreeMap::new());
            let mut now = start;
            for step in steps {
                match step {
                    Step::Set(entry, ms) => {
                        let at = now + Duration::from_millis(ms);
                        wheel.set(entry, now, at);
                        model.insert(entry, at);
                    }
                    Step::Clear(entry) => {
                        wheel.clear(entry);
                        model.remove(&entry);
                    }
                    Step::Wait(ms) => now += Duration::from_millis(ms),
                }
                while let Some(entry) = wheel.pop_due(now) {
                    let at = model.remove(&entry);
                    prop_assert!(at.is_some_and(|at| at <= now), "{entry} is early");
                }
                let late = model.values().any(|at| *at + TICK <= now);
                prop_assert!(!late, "{model:?} {now:?}");
                prop_assert_eq!(wheel.len, model.len());
                let first = model.values().min();
                prop_assert_eq!(wheel.next().is_some(), first.is_some());
                if let (Some(next), Some(first)) = (wheel.next(), first) {
                    prop_assert!(next < *first + TICK && next > now, "{next:?} {first:?} {now:?}");
                }
            }
        }
    }
}
