//! A timer wheel: which slots of a table are due when, to the second, without ordering them.

use std::time::{Duration, Instant};

use crate::give_back;

/// What it tells apart. An allocation may live that much longer than it was promised.
const TICK: Duration = Duration::from_secs(1);
/// More ticks than the longest lifetime has (`MAX_LIFETIME`, an hour), so that all that is due in
/// one place is due at the same time, unless nobody looked for as long.
const PLACES: usize = 4096;
const NONE: u32 = u32::MAX;

/// Each entry is in a list of those due in the same tick.
#[derive(Debug)]
pub(super) struct Wheel {
    /// Tick 0: when the first entry was made.
    epoch: Option<Instant>,
    /// Everything due before this tick is out.
    next_tick: u64,
    heads: Box<[u32]>,
    links: Vec<Link>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    /// `None` is not in any list.
    tick: Option<u64>,
}

impl Default for Wheel {
    fn default() -> Self {
        let heads = vec![NONE; PLACES].into_boxed_slice();
        Self { epoch: None, next_tick: 0, heads, links: Vec::new(), len: 0 }
    }
}

impl Wheel {
    /// Lets this entry be due then, and not when it was before.
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
        let head = std::mem::replace(&mut self.heads[place(tick)], entry);
        if let Some(after) = self.link(head) {
            after.before = entry;
        }
        self.links[index] = Link { before: NONE, after: head, tick: Some(tick) };
        self.len += 1;
    }

    /// Lets it never be due.
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
            None => self.heads[place(tick)] = after,
        }
        self.len -= 1;
    }

    /// Forgets that there were entries from this one on, none of which is due any more.
    pub(super) fn truncate(&mut self, len: usize) {
        self.links.truncate(len);
        give_back(&mut self.links);
    }

    /// Takes out one that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let now_tick = now.checked_duration_since(self.epoch?)?.as_secs();
        if self.len == 0 {
            self.next_tick = self.next_tick.max(now_tick);
            return None;
        }
        // Once round the wheel is everything, however long nobody looked.
        let last = now_tick.min(self.next_tick + ticks(PLACES) - 1);
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

    /// When to ask [`Self::pop_due`] again: not later than something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let ahead = self.next_tick..self.next_tick + ticks(PLACES);
        let tick = ahead.into_iter().find(|tick| self.heads[place(*tick)] != NONE)?;
        Some(self.epoch? + TICK * u32::try_from(tick).unwrap_or(u32::MAX))
    }

    fn list(&self, tick: u64) -> impl Iterator<Item = u32> {
        let head = self.heads[place(tick)];
        let after = |entry: &u32| self.links.get(index(*entry)).map(|link| link.after);
        std::iter::successors(Some(head), after).take_while(|entry| *entry != NONE)
    }

    fn link(&mut self, entry: u32) -> Option<&mut Link> {
        self.links.get_mut(index(entry))
    }
}

/// [`NONE`] is behind every end.
fn index(entry: u32) -> usize {
    usize::try_from(entry).unwrap_or(usize::MAX)
}

fn place(tick: u64) -> usize {
    usize::try_from(tick % ticks(PLACES)).unwrap_or(0)
}

fn ticks(places: usize) -> u64 {
    u64::try_from(places).unwrap_or(u64::MAX)
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
        /// Beside a map that is looked through: nothing is early, nothing more than a tick late,
        /// and [`Wheel::next`] is not later than that.
        #[test]
        fn everything_is_due_once_and_on_time(
            steps in proptest::collection::vec(any_step(), 0..200),
        ) {
            let start = Instant::now();
            let (mut wheel, mut model) = (Wheel::default(), BTreeMap::new());
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
