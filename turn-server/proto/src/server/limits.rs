//! How often sources that have proved nothing are answered.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Instant;

/// Buckets of one limiter: 32 KiB whatever comes. Sources whose hashes meet share one; the hash
/// is keyed, so that nobody can choose whom to meet.
const BUCKETS: usize = 4096;

/// So many, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) per_second: u32,
    pub(super) burst: u32,
}

impl Rate {
    /// Time that one takes, in nanoseconds.
    const fn interval(self) -> u64 {
        1_000_000_000 / self.per_second as u64
    }
}

/// To one block of addresses that may be forged: an office behind one address signs in at once,
/// and a victim gets less than a modem's worth.
pub(super) const UNVERIFIED_OF_BLOCK: Rate = Rate { per_second: 500, burst: 2000 };
/// To all addresses that may be forged, from one worker.
pub(super) const UNVERIFIED_IN_ALL: Rate = Rate { per_second: 100_000, burst: 100_000 };
/// Answers to wrong passwords of one source: who guesses gets five tries a second.
pub(super) const WRONG_PASSWORDS: Rate = Rate { per_second: 5, burst: 50 };

/// Token buckets in a table of fixed size, kept as the time when each is full again (GCRA).
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
    /// One bucket for each block of addresses.
    pub(super) fn of_each(rate: Rate) -> Self {
        Self::new(rate, BUCKETS)
    }

    /// One bucket for all.
    pub(super) fn of_all(rate: Rate) -> Self {
        Self::new(rate, 1)
    }

    fn new(rate: Rate, buckets: usize) -> Self {
        let full_at = vec![0; buckets].into_boxed_slice();
        Self { rate, full_at, hasher: RandomState::new(), origin: None }
    }

    /// Takes one, if there is one left.
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

/// The /24 or /56 that an address is of: who can forge one address can forge its neighbours.
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
    of_block: Limiter,
    in_all: Limiter,
    wrong_passwords: Limiter,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            of_block: Limiter::of_each(UNVERIFIED_OF_BLOCK),
            in_all: Limiter::of_all(UNVERIFIED_IN_ALL),
            wrong_passwords: Limiter::of_each(WRONG_PASSWORDS),
        }
    }
}

impl Limits {
    /// Whether a source that may be forged gets an answer.
    pub(super) fn may_answer(&mut self, source: IpAddr, now: Instant) -> bool {
        let block = block_of(source);
        self.of_block.take(block, now) && self.in_all.take(block, now)
    }

    /// Whether a source with a wrong password gets an answer.
    pub(super) fn may_fail(&mut self, source: IpAddr, now: Instant) -> bool {
        let source = source.to_canonical();
        self.wrong_passwords.take(if source.is_ipv4() { source } else { block_of(source) }, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        let start = Instant::now();
        let mut limiter = Limiter::of_each(Rate { per_second: 10, burst: 5 });
        for (at_ms, asked, given) in
            [(0, 20, 5), (50, 5, 0), (100, 5, 1), (1100, 20, 5), (1100, 5, 0), (1350, 5, 2)]
        {
            let now = start + Duration::from_millis(at_ms);
            let got = (0..asked).filter(|_| limiter.take(source, now)).count();
            assert_eq!(got, given, "{at_ms} ms");
        }
    }

    #[test]
    fn blocks_are_what_one_forger_can_forge() {
        for (ip, block) in [
            ("192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2345::1", "2001:db8:1:2300::"),
        ] {
            assert_eq!(block_of(ip.parse().unwrap()), block.parse::<IpAddr>().unwrap(), "{ip}");
        }
    }
}
