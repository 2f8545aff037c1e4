//! Relay ports, each owned by a guard that gives it back.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;

/// How often chance may hit a taken port before the range is searched in order.
const RANDOM_TRIES: u32 = 16;

/// An advertised address and its ports. Workers of one server share the ports: clones do.
#[derive(Clone, Debug)]
pub struct RelayAddress {
    /// What clients and peers are told.
    pub ip: IpAddr,
    /// Its ports.
    pub ports: Arc<PortPool>,
}

/// A range of ports, one bit each; taken and given back by any number of workers.
#[derive(Debug)]
pub struct PortPool {
    first: u16,
    len: u32,
    taken: Vec<AtomicU64>,
}

impl PortPool {
    /// All free.
    pub fn new(range: RangeInclusive<u16>) -> Arc<Self> {
        let len = (u32::from(*range.end()) + 1).saturating_sub(u32::from(*range.start()));
        let words = usize::try_from(len.div_ceil(64)).unwrap_or(0);
        let taken = (0..words).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { first: *range.start(), len, taken })
    }

    /// A free port at random (RFC 8656 §7.2: unpredictable), or `None` if there is none.
    pub(super) fn take(self: &Arc<Self>, rng: &mut impl Rng) -> Option<PortGuard> {
        if self.len == 0 {
            return None;
        }
        for _ in 0..RANDOM_TRIES {
            if let Some(guard) = self.take_at(rng.random_range(0..self.len)) {
                return Some(guard);
            }
        }
        let start = rng.random_range(0..self.len);
        (0..self.len).find_map(|step| self.take_at((start + step) % self.len))
    }

    /// Whether somebody has it.
    pub fn is_taken(&self, port: u16) -> bool {
        let Some(index) = port.checked_sub(self.first).map(u32::from) else { return false };
        let (word, bit) = position(index);
        self.taken.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// How many are taken.
    pub fn taken(&self) -> u32 {
        self.taken.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }

    fn take_at(self: &Arc<Self>, index: u32) -> Option<PortGuard> {
        let (word, bit) = position(index);
        let before = self.taken.get(word)?.fetch_or(bit, Ordering::Relaxed);
        let offset = u16::try_from(index).ok()?;
        (before & bit == 0).then(|| PortGuard { pool: Arc::clone(self), port: self.first + offset })
    }

    fn give_back(&self, port: u16) {
        let (word, bit) = position(u32::from(port - self.first));
        if let Some(word) = self.taken.get(word) {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

fn position(index: u32) -> (usize, u64) {
    (usize::try_from(index / 64).unwrap_or(usize::MAX), 1 << (index % 64))
}

/// Owns one port.
#[derive(Debug)]
pub(super) struct PortGuard {
    pool: Arc<PortPool>,
    port: u16,
}

impl PortGuard {
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PortGuard {
    fn drop(&mut self) {
        self.pool.give_back(self.port);
    }
}
