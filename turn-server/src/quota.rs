//! The quota of allocations, shared by all workers.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use porthole_turn_proto::server::{
    AllocationQuota, LocalQuota, QuotaLimits, QuotaReached, QuotaUnit,
};

/// A quota shared by all workers, locked once for each new allocation.
#[derive(Clone, Debug)]
pub(crate) struct SharedQuota(Arc<Mutex<LocalQuota>>);

impl SharedQuota {
    /// Makes a quota in which nothing is used.
    pub(crate) fn new(limits: QuotaLimits) -> Self {
        Self(Arc::new(Mutex::new(LocalQuota::new(limits))))
    }

    /// Locks the quota even after a panic, which cannot leave wrong counts: the units hold them.
    pub(crate) fn lock(&self) -> MutexGuard<'_, LocalQuota> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AllocationQuota for SharedQuota {
    fn acquire(
        &mut self,
        user: &str,
        source: IpAddr,
        now: Instant,
    ) -> Result<QuotaUnit, QuotaReached> {
        self.lock().acquire(user, source, now)
    }

    fn shrink(&mut self) {
        self.lock().shrink();
    }
}
