//! The cap of the gateway's uplink: what all viewers together may get, given away in places.
//!
//! Everybody whose picture follows the path has a place for the sub stream, or for its key frames
//! where that is too much. Then whoever has chosen a stream has one, and as many as fit for the
//! main stream: who sees it keeps it, the earlier before the later. What is left over is for the
//! first who needs it.
//!
//! Architecture invariant: nothing that a viewer reports is looked at here. What it sees, and since
//! when it is there, is all that moves the others.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::ladder::{ONLY_STREAM, STAY_CHOSEN, TO_COME, TO_STAY};
use super::{Rates, Rung};

/// The stream that a viewer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The rung that is shown, or will be with its next key frame.
    pub rung: Rung,
    /// Rates of the streams.
    pub rates: Rates,
    /// The viewer has chosen its stream, which has the rate of the main stream here: it sees that
    /// one, or a picture that stands.
    pub is_fixed: bool,
}

/// A viewer behind the uplink.
#[derive(Debug)]
struct Member {
    /// Number of the viewer in the order of arrival.
    joined: u64,
    shown: Shown,
}

/// Bits per second that are given away in an order, and those that this viewer has got.
#[derive(Debug)]
struct Places<'a, K> {
    key: &'a K,
    left: u64,
    given: u64,
}

/// The uplink of viewers with keys of type `K`.
#[derive(Debug)]
pub struct Uplink<K> {
    members: BTreeMap<K, Member>,
    /// Number of the next viewer.
    next: u64,
    /// Limit of everything that is sent over it, in bits per second.
    cap: Option<u64>,
}

impl<K: Clone + Ord> Uplink<K> {
    /// Creates an uplink without viewers. `cap`: what all of them together may get, in bits per
    /// second.
    #[must_use]
    pub fn new(cap: Option<u64>) -> Self {
        Self { members: BTreeMap::new(), next: 0, cap }
    }

    /// Sets what all of them together may get, in bits per second; `None` for no limit.
    pub fn set_cap(&mut self, cap: Option<u64>) {
        self.cap = cap;
    }

    /// Returns what all of them together may get, in bits per second.
    #[must_use]
    pub fn cap(&self) -> Option<u64> {
        self.cap
    }

    /// Returns the rates of what all of them see, in bits per second.
    #[must_use]
    pub fn shown(&self) -> u64 {
        let rates = self.members.values().map(|it| it.shown.rates.of(it.shown.rung));
        rates.fold(0, u64::saturating_add)
    }

    /// Returns the viewers.
    pub fn viewers(&self) -> impl Iterator<Item = &K> {
        self.members.keys()
    }

    /// Adds a viewer, or notes that another stream is shown to it.
    pub fn show(&mut self, key: &K, shown: Shown) {
        if let Some(member) = self.members.get_mut(key) {
            member.shown = shown;
            return;
        }
        self.members.insert(key.clone(), Member { joined: self.next, shown });
        self.next += 1;
    }

    /// Removes a viewer that has left, or whose path leaves in another way.
    pub fn remove(&mut self, key: &K) {
        self.members.remove(key);
    }

    /// Returns the bits per second that are left for a viewer; `None` without a cap.
    #[must_use]
    pub fn left(&self, key: &K) -> Option<u64> {
        let cap = self.cap.filter(|_| self.members.contains_key(key))?;
        let (mut fixed, mut others): (Vec<_>, Vec<_>) =
            self.members.iter().partition(|(_, it)| it.shown.is_fixed);
        // A chosen stream that stands keeps no place, but it may have one before main streams.
        fixed.retain(|(other, it)| it.shown.rung != Rung::Still || *other == key);
        // Who sees more keeps it, the earlier before the later.
        fixed.sort_by_key(|(_, it)| (Reverse(it.shown.rung), it.joined));
        others.sort_by_key(|(_, it)| (Reverse(it.shown.rung.min(Rung::Sub)), it.joined));
        let mut places = Places { key, left: cap, given: 0 };
        let mut bases = BTreeMap::new();
        for (other, member) in &others {
            bases.insert(*other, places.give(other, &member.bases()));
        }
        for (other, member) in fixed {
            let rate = member.shown.rates.main;
            places.give(other, &[rate, percent(rate, STAY_CHOSEN)]);
        }
        for (other, member) in others.iter().filter(|(_, it)| it.shown.rung == Rung::Main) {
            let base = bases.get(other).copied().unwrap_or_default();
            let more = member.tops().map(|top| top.saturating_sub(base));
            places.give(other, &more);
        }
        Some(places.given.saturating_add(places.left))
    }
}

impl<K: PartialEq> Places<'_, K> {
    /// Gives a viewer the first of these places that there is. Returns what it has got.
    fn give(&mut self, key: &K, wanted: &[u64]) -> u64 {
        let found = wanted.iter().copied().find(|wanted| *wanted <= self.left).unwrap_or(0);
        self.left -= found;
        if key == self.key {
            self.given = self.given.saturating_add(found);
        }
        found
    }
}

impl Member {
    /// Returns what a viewer whose picture follows the path has a place for at least: the sub
    /// stream, just that if it sees it, or its key frames.
    fn bases(&self) -> [u64; 3] {
        let Shown { rung, rates, .. } = self.shown;
        let to_stay = if rung >= Rung::Sub { ONLY_STREAM } else { TO_COME };
        let key_frames = rates.of(Rung::KeyFrames);
        [percent(rates.sub, TO_COME), percent(rates.sub, to_stay), key_frames]
    }

    /// Returns what it has a place for if it shows the main stream: some more than that, or just
    /// that.
    fn tops(&self) -> [u64; 2] {
        [TO_STAY, ONLY_STREAM].map(|it| percent(self.shown.rates.main, it))
    }
}

fn percent(rate: u64, percent: u64) -> u64 {
    rate.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests;
