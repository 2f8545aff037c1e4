//! The wall clock of sender reports.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time from 1900, where NTP begins, to 1970 (RFC 868).
const NTP_TO_UNIX: Duration = Duration::from_secs(2_208_988_800);

/// An NTP timestamp: seconds since 1900, with 32 fractional bits (RFC 3550 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Returns the middle 32 bits, which receiver reports echo.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "only the middle bits are wanted")]
    pub fn compact(self) -> u32 {
        (self.0 >> 16) as u32
    }

    fn add(self, duration: Duration) -> Self {
        let fraction = (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000;
        Self(self.0.wrapping_add(duration.as_secs() << 32).wrapping_add(fraction))
    }
}

impl From<SystemTime> for NtpTime {
    fn from(time: SystemTime) -> Self {
        Self(0).add(NTP_TO_UNIX + time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// Converts instants to wall-clock times, from one known pair of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    at: Instant,
    ntp: NtpTime,
}

impl Clock {
    /// Creates a clock that reads `time` at the instant `at`.
    #[must_use]
    pub fn new(at: Instant, time: SystemTime) -> Self {
        Self { at, ntp: time.into() }
    }

    /// Creates a clock that counts from `at` and does not know the wall-clock time. A sender may
    /// use it if its streams need no synchronization with others (RFC 3550 §6.4.1).
    #[must_use]
    pub fn since(at: Instant) -> Self {
        Self { at, ntp: NtpTime(1 << 32) }
    }

    /// Returns the NTP timestamp of an instant.
    #[must_use]
    pub fn ntp(&self, now: Instant) -> NtpTime {
        self.ntp.add(now.saturating_duration_since(self.at))
    }
}

/// Converts a duration from units of 1/65536 s, which receiver reports use.
pub(super) fn from_compact(span: u32) -> Duration {
    Duration::from_nanos((u64::from(span) * 1_000_000_000) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_time_advances_with_the_instant() {
        let at = Instant::now();
        let clock = Clock::new(at, UNIX_EPOCH + Duration::from_millis(500));
        assert_eq!(clock.ntp(at), NtpTime(2_208_988_800 << 32 | 1 << 31));
        assert_eq!(clock.ntp(at + Duration::from_millis(1500)), NtpTime(2_208_988_802 << 32));
        assert_eq!(Clock::since(at).ntp(at).compact(), 1 << 16);
        for milliseconds in [0, 1, 250, 65_000] {
            let span = Duration::from_millis(milliseconds);
            let back =
                from_compact(u32::try_from((span.as_nanos() << 16) / 1_000_000_000).unwrap());
            assert!(span - back < Duration::from_micros(31), "{span:?} {back:?}");
        }
    }
}
