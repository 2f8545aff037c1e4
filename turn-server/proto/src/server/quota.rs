//! How many allocations there may be, each unit owned by a guard that gives it back.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use super::bandwidth::Bucket;
use crate::spare_room;

/// Bounds on living allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Of one user (with time-limited credentials: of one user id).
    pub per_user: usize,
    /// Of one client address (IPv4) or /64 (IPv6); many clients may share one behind a NAT.
    pub per_source: usize,
    /// Of all.
    pub total: usize,
}

impl Default for QuotaLimits {
    /// A gateway with a hundred viewers; an office behind one address; a small server's memory.
    fn default() -> Self {
        Self { per_user: 128, per_source: 1024, total: 16_384 }
    }
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaReached {
    /// The user's or the source's: answered with 486.
    Own,
    /// Everybody's: answered with 508.
    Total,
}

/// Hands out the right to one allocation. A server with several workers passes each of them a
/// handle to one [`LocalQuota`]; a single one passes that itself.
pub trait AllocationQuota: std::fmt::Debug + Send {
    /// One unit, if all bounds allow it.
    fn acquire(
        &mut self,
        user: &str,
        source: IpAddr,
        now: Instant,
    ) -> Result<QuotaUnit, QuotaReached>;

    /// Many units were given back: the time to forget whose they were.
    fn shrink(&mut self);
}

/// One allocation's worth of quota; counts as long as it lives.
#[derive(Debug)]
pub struct QuotaUnit {
    user: Arc<OfUser>,
    _source: Count,
    _total: Count,
}

/// What all allocations of one user share.
#[derive(Debug)]
pub(super) struct OfUser {
    pub(super) bucket: Bucket,
    /// TCP connections to and from peers.
    pub(super) connections: Count,
}

impl QuotaUnit {
    pub(super) fn of_user(&self) -> &OfUser {
        &self.user
    }
}

/// The number of clones less one is the count: giving back needs no table and no lock.
pub(super) type Count = Arc<()>;

pub(super) fn used<T>(count: &Arc<T>) -> usize {
    Arc::strong_count(count) - 1
}

/// The counts themselves.
#[derive(Debug)]
pub struct LocalQuota {
    limits: QuotaLimits,
    users: HashMap<Box<str>, Arc<OfUser>>,
    sources: HashMap<IpAddr, Count>,
    total: Count,
}

impl LocalQuota {
    /// Nothing in use.
    pub fn new(limits: QuotaLimits) -> Self {
        let total = Count::default();
        Self { limits, users: HashMap::new(), sources: HashMap::new(), total }
    }

    /// From now on; who has more already keeps it.
    pub fn set_limits(&mut self, limits: QuotaLimits) {
        self.limits = limits;
    }

    /// Living allocations.
    pub fn in_use(&self) -> usize {
        used(&self.total)
    }

    /// Forgets users and sources without allocations, before they outnumber those with.
    fn prune(&mut self) {
        /// Below this it is not worth the walk.
        const SLACK: usize = 64;
        let bound = 2 * self.in_use() + SLACK;
        if self.users.len() > bound {
            keep_used(&mut self.users);
        }
        if self.sources.len() > bound {
            keep_used(&mut self.sources);
        }
    }
}

fn keep_used<K: Eq + Hash, T>(counts: &mut HashMap<K, Arc<T>>) {
    counts.retain(|_, count| used(count) > 0);
    if let Some(room) = spare_room(counts.len(), counts.capacity()) {
        counts.shrink_to(room);
    }
}

impl AllocationQuota for LocalQuota {
    fn acquire(
        &mut self,
        user: &str,
        source: IpAddr,
        now: Instant,
    ) -> Result<QuotaUnit, QuotaReached> {
        if used(&self.total) >= self.limits.total {
            return Err(QuotaReached::Total);
        }
        let source = source_block(source);
        let of_user = self.users.get(user).map_or(0, used);
        let of_source = self.sources.get(&source).map_or(0, used);
        if of_user >= self.limits.per_user || of_source >= self.limits.per_source {
            return Err(QuotaReached::Own);
        }
        self.prune();
        let of_user =
            || Arc::new(OfUser { bucket: Bucket::new(now), connections: Count::default() });
        Ok(QuotaUnit {
            user: Arc::clone(self.users.entry(user.into()).or_insert_with(of_user)),
            _source: Arc::clone(self.sources.entry(source).or_default()),
            _total: Arc::clone(&self.total),
        })
    }

    fn shrink(&mut self) {
        self.prune();
    }
}

/// One subscriber has a whole /64.
fn source_block(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}
