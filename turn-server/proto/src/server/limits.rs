//! Rate limits of responses to unauthenticated clients.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Instant;

/// Buckets of one limiter, which take 32 KiB, however many sources there are. Sources whose hashes
/// collide share a bucket; the hash is keyed, so that an attacker cannot choose whom to collide
/// with.
const BUCKETS: usize = 4096;

/// A rate of responses, and how many may be sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) per_second: u32,
    pub(super) burst: u32,
}

impl Rate {
    /// Returns the time between two responses, in nanoseconds.
    const fn interval(self) -> u64 {
        1_000_000_000 / self.per_second as u64
    }
}

/// Rate of responses to one block of addresses that may be forged: enough for an office behind one
/// address that signs in at once, and less than a modem's worth of traffic for a victim.
pub(super) const UNVERIFIED_PER_BLOCK: Rate = Rate { per_second: 500, burst: 2000 };
/// Rate of responses of one worker to all addresses that may be forged.
pub(super) const UNVERIFIED_TOTAL: Rate = Rate { per_second: 100_000, burst: 100_000 };
/// Rate of responses to wrong passwords of one source: guessing gets five tries a second.
pub(super) const WRONG_PASSWORDS: Rate = Rate { per_second: 5, burst: 50 };

/// Token buckets in a table of fixed size, each stored as the time when it is full again (GCRA).
pub(super) struct Limiter {
    rate: Rate,
    full_at: Box<[u64]>,
    hasher: RandomState,
    origin: Option<Instant>,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Limiter {
    /// Creates a limiter with a bucket for each block of addresses.
    pub(super) fn per_block(rate: Rate) -> Self {
        Self::new(rate, BUCKETS)
    }

    /// Creates a limiter with one bucket for all.
    pub(super) fn total(rate: Rate) -> Self {
        Self::new(rate, 1)
    }

    fn new(rate: Rate, buckets: usize) -> Self {
        let full_at = vec![0; buckets].into_boxed_slice();
        Self { rate, full_at, hasher: RandomState::new(), origin: None }
    }

    /// Takes a token. Returns false if none is left.
    pub(super) fn take(&mut self, block: IpAddr, now: Instant) -> bool {
        let origin = *self.origin.get_or_insert(now);
        let since = now.saturating_duration_since(origin);
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let hash = usize::try_from(self.hasher.hash_one(block)).unwrap_or(0);
        let buckets = self.full_at.len();
        let Some(full_at) = self.full_at.get_mut(hash % buckets) else { return false };
        let filled = (*full_at).max(now) + self.rate.interval();
        let room = u64::from(self.rate.burst) * self.rate.interval();
        if filled - now > room {
            return false;
        }
        *full_at = filled;
        true
    }
}

/// Returns the /24 or /56 of an address: an attacker that can forge one address can forge its
/// neighbours.
pub(super) fn block_of(ip: IpAddr) -> IpAddr {
    const HOST_BITS_V4: u32 = 8;
    const HOST_BITS_V6: u32 = 72;
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() >> HOST_BITS_V4 << HOST_BITS_V4).into()),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> HOST_BITS_V6 << HOST_BITS_V6).into()),
    }
}

/// The limiters of one worker.
#[derive(Debug)]
pub(super) struct Limits {
    per_block: Limiter,
    total: Limiter,
    wrong_passwords: Limiter,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_block: Limiter::per_block(UNVERIFIED_PER_BLOCK),
            total: Limiter::total(UNVERIFIED_TOTAL),
            wrong_passwords: Limiter::per_block(WRONG_PASSWORDS),
        }
    }
}

impl Limits {
    /// Returns true if a source that may be forged gets a response.
    pub(super) fn may_respond(&mut self, source: IpAddr, now: Instant) -> bool {
        let block = block_of(source);
        self.per_block.take(block, now) && self.total.take(block, now)
    }

    /// Returns true if a source with a wrong password gets a response.
    pub(super) fn may_reject_password(&mut self, source: IpAddr, now: Instant) -> bool {
        let source = source.to_canonical();
        self.wrong_passwords.take(if source.is_ipv4() { source } else { block_of(source) }, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        let start = Instant::now();
        let mut limiter = Limiter::per_block(Rate { per_second: 10, burst: 5 });
        for (at_ms, tried, allowed) in
            [(0, 20, 5), (50, 5, 0), (100, 5, 1), (1100, 20, 5), (1100, 5, 0), (1350, 5, 2)]
        {
            let now = start + Duration::from_millis(at_ms);
            let taken = (0..tried).filter(|_| limiter.take(source, now)).count();
            assert_eq!(taken, allowed, "{at_ms} ms");
        }
    }

    #[test]
    fn a_block_is_a_24_of_ipv4_or_a_56_of_ipv6() {
        for (ip, block) in [
            ("192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2345::1", "2001:db8:1:2300::"),
        ] {
            assert_eq!(block_of(ip.parse().unwrap()), block.parse::<IpAddr>().unwrap(), "{ip}");
        }
    }
}
