//! Ports of relayed addresses, each owned by a guard that releases it.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rand::Rng;

use super::RelayProtocol;

/// Random ports that are tried before the range is searched in order.
const RANDOM_TRIES: u32 = 16;
/// Id of a port that is not reserved.
const NOT_RESERVED: u32 = 0;

/// The address of relayed addresses and its ports. Clones, such as those of the workers of one
/// server, share the ports.
#[derive(Clone, Debug)]
pub struct RelayAddress {
    /// The public address, as clients and peers see it.
    pub ip: IpAddr,
    /// The ports to relay from.
    pub ports: Arc<PortPool>,
}

/// A range of ports, a few bytes each, which any number of workers may take and release.
#[derive(Debug)]
pub struct PortPool {
    first: u16,
    len: u32,
    taken: Bits,
    /// The id of the reservation for each port, which is also taken. Removing the id claims the
    /// port.
    reserved: Box<[AtomicU32]>,
    /// The id of the last reservation.
    last_reservation: AtomicU32,
    /// Ports with an open socket of ours, for UDP and for TCP. At other ports, or for the other
    /// protocol, another program of this host may have one.
    open: [Bits; 2],
}

impl PortPool {
    /// Creates a pool of free ports.
    pub fn new(range: RangeInclusive<u16>) -> Arc<Self> {
        let len = (u32::from(*range.end()) + 1).saturating_sub(u32::from(*range.start()));
        Arc::new(Self {
            first: *range.start(),
            len,
            taken: Bits::new(len),
            reserved: (0..len).map(|_| AtomicU32::new(NOT_RESERVED)).collect(),
            last_reservation: AtomicU32::new(NOT_RESERVED),
            open: [Bits::new(len), Bits::new(len)],
        })
    }

    /// Takes a random free port, because ports must be unpredictable (RFC 8656 §7.2). Returns
    /// `None` if all are taken.
    pub(super) fn take(self: &Arc<Self>, rng: &mut impl Rng) -> Option<PortGuard> {
        self.find(rng, |index| self.take_at(index))
    }

    /// Takes an even port, as [`Self::take`] does.
    pub(super) fn take_even(self: &Arc<Self>, rng: &mut impl Rng) -> Option<PortGuard> {
        self.find(rng, |index| self.take_at(self.even(index)?))
    }

    /// Takes an even port and the next one.
    pub(super) fn take_pair(self: &Arc<Self>, rng: &mut impl Rng) -> Option<[PortGuard; 2]> {
        self.find(rng, |index| {
            let even = self.even(index)?;
            Some([self.take_at(even)?, self.take_at(even + 1)?])
        })
    }

    /// Returns the reservation of this port, if there is one.
    pub(super) fn reservation(&self, port: u16) -> Option<ReservationId> {
        let id = self.reserved_at(port)?.load(Ordering::Acquire);
        (id != NOT_RESERVED).then_some(ReservationId(id))
    }

    /// Claims a port that is reserved under this id.
    pub(super) fn claim(self: &Arc<Self>, port: u16, id: ReservationId) -> Option<PortGuard> {
        let index = self.index(port)?;
        let (ours, none) = (id.0, NOT_RESERVED);
        let reserved = self.reserved_at(port)?;
        reserved.compare_exchange(ours, none, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        self.guard(index)
    }

    fn reserve(&self, port: u16) -> ReservationId {
        let next = self.last_reservation.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let id = if next == NOT_RESERVED { NOT_RESERVED + 1 } else { next };
        if let Some(reserved) = self.reserved_at(port) {
            reserved.store(id, Ordering::Release);
        }
        ReservationId(id)
    }

    fn reserved_at(&self, port: u16) -> Option<&AtomicU32> {
        self.reserved.get(usize::try_from(self.index(port)?).ok()?)
    }

    /// Returns true if a relay socket of this protocol is open at the port.
    pub(super) fn is_open(&self, port: u16, protocol: RelayProtocol) -> bool {
        self.index(port).is_some_and(|index| self.open_for(protocol).get(index))
    }

    /// Returns the number of ports that are taken.
    pub fn taken(&self) -> u32 {
        self.taken.count()
    }

    /// Calls `take` with a few random indices, then with all in order, until it returns a value.
    fn find<T>(&self, rng: &mut impl Rng, take: impl Fn(u32) -> Option<T>) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        for _ in 0..RANDOM_TRIES {
            if let Some(taken) = take(rng.random_range(0..self.len)) {
                return Some(taken);
            }
        }
        let start = rng.random_range(0..self.len);
        (0..self.len).find_map(|step| take((start + step) % self.len))
    }

    /// Returns the index of this port or the next one, whichever is even, if it is in the range.
    fn even(&self, index: u32) -> Option<u32> {
        let even = index + (u32::from(self.first) + index) % 2;
        (even < self.len).then_some(even)
    }

    fn take_at(self: &Arc<Self>, index: u32) -> Option<PortGuard> {
        (index < self.len && self.taken.set(index)).then(|| self.guard(index)).flatten()
    }

    fn guard(self: &Arc<Self>, index: u32) -> Option<PortGuard> {
        let port = self.first.checked_add(u16::try_from(index).ok()?)?;
        Some(PortGuard { pool: Arc::clone(self), port, owned: true })
    }

    fn index(&self, port: u16) -> Option<u32> {
        port.checked_sub(self.first).map(u32::from).filter(|index| *index < self.len)
    }

    fn open_for(&self, protocol: RelayProtocol) -> &Bits {
        let [datagrams, connections] = &self.open;
        match protocol {
            RelayProtocol::Udp => datagrams,
            RelayProtocol::Tcp => connections,
        }
    }

    fn release(&self, port: u16) {
        if let Some(index) = self.index(port) {
            for open in &self.open {
                open.clear(index);
            }
            self.taken.clear(index);
        }
    }
}

/// A taken port, released when the guard is dropped.
#[derive(Debug)]
pub(super) struct PortGuard {
    pool: Arc<PortPool>,
    port: u16,
    owned: bool,
}

impl PortGuard {
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Marks the port as having an open relay socket.
    pub(super) fn opened(&self, protocol: RelayProtocol) {
        if let Some(index) = self.pool.index(self.port) {
            self.pool.open_for(protocol).set(index);
        }
    }

    /// Turns the port into a reserved one, which can be claimed once.
    pub(super) fn reserve(mut self) -> ReservedPort {
        self.owned = false;
        let id = self.pool.reserve(self.port);
        ReservedPort { pool: Arc::clone(&self.pool), port: self.port, id }
    }
}

impl Drop for PortGuard {
    fn drop(&mut self) {
        if self.owned {
            self.pool.release(self.port);
        }
    }
}

/// A taken port that waits to be claimed, released when this is dropped before that.
#[derive(Debug)]
pub(super) struct ReservedPort {
    pool: Arc<PortPool>,
    port: u16,
    id: ReservationId,
}

impl ReservedPort {
    pub(super) const fn id(&self) -> ReservationId {
        self.id
    }

    /// Returns true if the port was not claimed yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.pool.reservation(self.port) == Some(self.id)
    }
}

impl Drop for ReservedPort {
    fn drop(&mut self) {
        // If it was claimed, the claimant's guard owns the port and this claim fails.
        drop(self.pool.claim(self.port, self.id));
    }
}

/// The id of a reservation, unique among four billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReservationId(u32);

impl ReservationId {
    pub(super) const fn to_be_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// A set of bits that any thread may set and clear.
#[derive(Debug)]
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(len: u32) -> Self {
        Self((0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets a bit. Returns true if it was clear before.
    fn set(&self, index: u32) -> bool {
        let (word, bit) = self.at(index);
        word.is_some_and(|word| word.fetch_or(bit, Ordering::AcqRel) & bit == 0)
    }

    /// Clears a bit. Returns true if it was set before.
    fn clear(&self, index: u32) -> bool {
        let (word, bit) = self.at(index);
        word.is_some_and(|word| word.fetch_and(!bit, Ordering::AcqRel) & bit != 0)
    }

    fn get(&self, index: u32) -> bool {
        let (word, bit) = self.at(index);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }

    fn at(&self, index: u32) -> (Option<&AtomicU64>, u64) {
        let word = usize::try_from(index / 64).ok().and_then(|word| self.0.get(word));
        (word, 1 << (index % 64))
    }
}
