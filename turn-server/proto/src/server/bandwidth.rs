//! Bandwidth limits: a token bucket for each allocation, and one that all allocations of a user
//! share, across all workers.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time by which a bucket may run ahead of its rate: a key frame is sent at once, and a
/// congestion-controlled transport needs time to notice that it is limited.
const BURST: Duration = Duration::from_secs(1);

/// Bandwidth limits in payload bytes per second, both directions together; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandwidthLimits {
    /// The limit of one allocation.
    pub per_allocation: Option<NonZeroU64>,
    /// The limit of one user, as the quota counts users.
    pub per_user: Option<NonZeroU64>,
}

impl BandwidthLimits {
    pub(super) const fn is_unlimited(&self) -> bool {
        self.per_allocation.is_none() && self.per_user.is_none()
    }
}

/// A token bucket. It counts time instead of bytes, so that a new rate takes effect at once.
#[derive(Debug)]
pub(super) struct Bucket {
    epoch: Instant,
    /// Time at which the bytes sent so far will have been covered by the rate, in nanoseconds
    /// since `epoch`.
    paid_ns: AtomicU64,
}

impl Bucket {
    /// Creates a bucket that nothing was taken from.
    pub(super) const fn new(now: Instant) -> Self {
        Self { epoch: now, paid_ns: AtomicU64::new(0) }
    }

    /// Takes a packet's bytes. Returns false if the packet must be dropped, because the bucket was
    /// overdrawn before it; the packet itself may overdraw it.
    pub(super) fn take(&self, now: Instant, len: usize, rate: NonZeroU64) -> bool {
        let (now_ns, cost) = (self.since_epoch(now), cost(len, rate));
        let spend = |paid_ns: u64| {
            let paid_ns = paid_ns.max(now_ns);
            (paid_ns - now_ns <= nanos(BURST)).then(|| paid_ns.saturating_add(cost))
        };
        self.paid_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }

    /// Returns how many bytes of a stream may be forwarded now. Pass those that were to
    /// [`Self::charge`].
    pub(super) fn available(&self, now: Instant, rate: NonZeroU64) -> usize {
        let ahead = self.paid_ns.load(Ordering::Relaxed).saturating_sub(self.since_epoch(now));
        let left = u128::from(nanos(BURST).saturating_sub(ahead)) * u128::from(rate.get());
        usize::try_from(left / 1_000_000_000).unwrap_or(usize::MAX)
    }

    pub(super) fn charge(&self, now: Instant, len: usize, rate: NonZeroU64) {
        let (now_ns, cost) = (self.since_epoch(now), cost(len, rate));
        let spend = |paid_ns: u64| Some(paid_ns.max(now_ns).saturating_add(cost));
        // The closure never returns `None`, so this cannot fail.
        let _ = self.paid_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
    }

    fn since_epoch(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }
}

/// Returns the time that `len` bytes take at this rate, in nanoseconds.
fn cost(len: usize, rate: NonZeroU64) -> u64 {
    let cost = u128::from(u64::try_from(len).unwrap_or(u64::MAX)) * 1_000_000_000;
    u64::try_from(cost / u128::from(rate.get())).unwrap_or(u64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes that are let through in so many milliseconds when 20 packets are tried in
    /// each.
    fn let_through(bucket: &Bucket, from: Instant, millis: u64, len: usize, rate: u64) -> usize {
        let at = |millis| from + Duration::from_millis(millis);
        let rate = NonZeroU64::new(rate).unwrap();
        let tries = (0..millis).flat_map(|m| [at(m); 20]);
        tries.filter(|now| bucket.take(*now, len, rate)).count() * len
    }

    #[test]
    fn the_rate_is_kept_after_a_burst_of_one_second() {
        let start = Instant::now();
        for (len, rate) in [(1200, 1_000_000), (160, 100_000), (1200, 2_400), (1, 100)] {
            let bucket = Bucket::new(start);
            for (seconds, burst) in [(1_usize, 1), (10, 0)] {
                let from = start + Duration::from_secs(if burst == 1 { 0 } else { 1 });
                let bytes = let_through(&bucket, from, 1000 * seconds as u64, len, rate);
                let most = usize::try_from(rate).unwrap() * (seconds + burst);
                assert!(bytes <= most + 2 * len, "{len} {rate}: {bytes} > {most}");
                assert!(bytes + 2 * len >= most, "{len} {rate}: {bytes} < {most}");
            }
        }
    }

    #[test]
    fn a_stream_that_uses_all_that_is_available_keeps_the_rate() {
        let start = Instant::now();
        for (rate, chunk) in [(1_000_000, 16_384), (100_000, usize::MAX), (500, 1)] {
            let (bucket, limit) = (Bucket::new(start), NonZeroU64::new(rate).unwrap());
            let mut bytes = 0;
            for millis in 0..10_000 {
                let now = start + Duration::from_millis(millis);
                let forwarded = bucket.available(now, limit).min(chunk);
                bucket.charge(now, forwarded, limit);
                bytes += forwarded;
            }
            let most = usize::try_from(rate).unwrap() * 11;
            assert!(bytes <= most && bytes + most / 100 >= most, "{rate}: {bytes} of {most}");
        }
    }

    #[test]
    fn a_new_rate_holds_at_once_and_silence_earns_no_more_than_the_burst() {
        let start = Instant::now();
        let bucket = Bucket::new(start);
        let later = start + Duration::from_secs(3600);
        let bytes = let_through(&bucket, later, 1000, 100, 10_000);
        assert!((19_900..=20_200).contains(&bytes), "{bytes}");
        let bytes = let_through(&bucket, later + Duration::from_secs(1), 1000, 100, 20_000);
        assert!((19_900..=20_200).contains(&bytes), "{bytes}");
    }
}
