//! Bounds on the number of allocations, with each unit owned by a guard that releases it.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::bandwidth::Bucket;
use crate::trimmed_capacity;

/// Bounds on the number of living allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Allocations of one user; with time-limited credentials, of one user id.
    pub per_user: usize,
    /// Allocations of one client address (IPv4) or /64 (IPv6), which many clients may share behind
    /// a NAT.
    pub per_source: usize,
    /// Allocations in total.
    pub total: usize,
}

impl Default for QuotaLimits {
    /// Returns bounds that suffice for a gateway with a hundred viewers, an office behind one
    /// address, and the memory of a small server.
    fn default() -> Self {
        Self { per_user: 128, per_source: 1024, total: 16_384 }
    }
}

/// The bound that an allocation would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaReached {
    /// The bound of the user or the source, reported as 486.
    Own,
    /// The bound of all allocations, reported as 508.
    Total,
}

/// A source of quota units. A [`LocalQuota`] is one for a single worker; several workers use
/// handles to a shared one.
pub trait AllocationQuota: std::fmt::Debug + Send {
    /// Acquires the unit for an allocation of this user from this source.
    ///
    /// # Errors
    ///
    /// [`QuotaReached`] if a bound does not allow another allocation.
    fn acquire(
        &mut self,
        user: &str,
        source: IpAddr,
        now: Instant,
    ) -> Result<QuotaUnit, QuotaReached>;

    /// Frees memory of users and sources without units. Called after many were released.
    fn shrink(&mut self);
}

/// The quota unit of one allocation, released when it is dropped.
#[derive(Debug)]
pub struct QuotaUnit {
    user: Arc<UserShare>,
    _source: Count,
    _total: Count,
}

/// The state that all allocations of one user share.
#[derive(Debug)]
pub(super) struct UserShare {
    pub(super) bucket: Bucket,
    /// The number of TCP connections to and from peers.
    pub(super) connections: Count,
}

impl QuotaUnit {
    pub(super) fn user(&self) -> &UserShare {
        &self.user
    }
}

/// A counter whose value is the number of its clones, so that releasing needs no table and no
/// lock.
pub(super) type Count = Arc<()>;

pub(super) fn used<T>(count: &Arc<T>) -> usize {
    Arc::strong_count(count) - 1
}

/// The quota of one server: the number of allocations of each user, of each source, and of all.
#[derive(Debug)]
pub struct LocalQuota {
    limits: QuotaLimits,
    users: HashMap<Box<str>, Arc<UserShare>>,
    sources: HashMap<IpAddr, Count>,
    total: Count,
}

impl LocalQuota {
    /// Creates a quota with all units free.
    pub fn new(limits: QuotaLimits) -> Self {
        let total = Count::default();
        Self { limits, users: HashMap::new(), sources: HashMap::new(), total }
    }

    /// Changes the bounds for new allocations; those that exist stay.
    pub fn set_limits(&mut self, limits: QuotaLimits) {
        self.limits = limits;
    }

    /// Returns the number of units in use, which is that of living allocations.
    pub fn in_use(&self) -> usize {
        used(&self.total)
    }

    /// Returns a handle that tells the number of units in use after the quota was moved into a
    /// server.
    pub fn usage(&self) -> QuotaUsage {
        QuotaUsage(Arc::downgrade(&self.total))
    }

    /// Forgets users and sources without allocations, before they outnumber those with.
    fn prune(&mut self) {
        /// Entries that are kept, since so few are not worth the search.
        const SLACK: usize = 64;
        let bound = 2 * self.in_use() + SLACK;
        if self.users.len() > bound {
            retain_used(&mut self.users);
        }
        if self.sources.len() > bound {
            retain_used(&mut self.sources);
        }
    }
}

fn retain_used<K: Eq + Hash, T>(counts: &mut HashMap<K, Arc<T>>) {
    counts.retain(|_, count| used(count) > 0);
    if let Some(capacity) = trimmed_capacity(counts.len(), counts.capacity()) {
        counts.shrink_to(capacity);
    }
}

/// A handle to the number of units in use of a [`LocalQuota`], which needs no lock.
#[derive(Clone, Debug)]
pub struct QuotaUsage(Weak<()>);

impl QuotaUsage {
    /// Returns the number of units in use, as [`LocalQuota::in_use`] does. The quota must live.
    pub fn in_use(&self) -> usize {
        self.0.strong_count().saturating_sub(1)
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
        let user_units = self.users.get(user).map_or(0, used);
        let source_units = self.sources.get(&source).map_or(0, used);
        if user_units >= self.limits.per_user || source_units >= self.limits.per_source {
            return Err(QuotaReached::Own);
        }
        self.prune();
        let new_user =
            || Arc::new(UserShare { bucket: Bucket::new(now), connections: Count::default() });
        Ok(QuotaUnit {
            user: Arc::clone(self.users.entry(user.into()).or_insert_with(new_user)),
            _source: Arc::clone(self.sources.entry(source).or_default()),
            _total: Arc::clone(&self.total),
        })
    }

    fn shrink(&mut self) {
        self.prune();
    }
}

/// Returns the block that counts as one source: an IPv4 address, or an IPv6 /64, since a
/// subscriber has all of it.
fn source_block(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}
