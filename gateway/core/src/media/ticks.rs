//! Arithmetic with RTP timestamps.

use std::time::Duration;

use super::stream::CLOCK_RATE;

/// Converts to ticks of the RTP clock of video. Saturates after 13 hours, when 32 bits have wrapped
/// anyway.
#[must_use]
pub fn ticks(duration: Duration) -> u32 {
    ticks_at(duration, CLOCK_RATE)
}

/// Converts to ticks of an RTP clock of this rate, in hertz. Saturates when 32 bits are full.
#[must_use]
pub fn ticks_at(duration: Duration, clock_rate: u32) -> u32 {
    let ticks = duration.as_micros() * u128::from(clock_rate) / 1_000_000;
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Returns the number of ticks by which `timestamp` is ahead of `of`; negative if it is behind.
#[expect(clippy::cast_possible_wrap, reason = "the distance on a circle has a sign")]
#[must_use]
pub fn ahead(timestamp: u32, of: u32) -> i32 {
    timestamp.wrapping_sub(of) as i32
}
