//! Continuous timestamps for a camera that may restart its clock.

use std::time::{Duration, Instant};

use super::stream::CLOCK_RATE;

/// Maximum difference between the step of the timestamp and the time that really passed. More is a
/// new clock, not a late frame: no camera delays or reorders frames for so long.
const MAX_JUMP: Duration = Duration::from_secs(10);

/// Maximum step back of the timestamp. More is a new clock, too: pictures that are sent out of
/// order differ by a few frames. live555's proxy sets its clock back by more than a second once it
/// has synchronized.
const MAX_STEP_BACK: Duration = Duration::from_secs(1);

/// Maps a camera's timestamps to continuous ones.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    offset: u32,
    last: Option<(Instant, u32)>,
    restarted: bool,
}

impl Timeline {
    /// Makes the next timestamp the first of a new clock.
    pub(super) fn restart(&mut self) {
        self.restarted = true;
    }

    /// Returns the continuous timestamp for one of the camera's.
    pub(super) fn map(&mut self, arrival: Instant, camera: u32) -> u32 {
        let mut timestamp = camera.wrapping_add(self.offset);
        if let Some((before, last)) = self.last {
            let passed = arrival.saturating_duration_since(before);
            if self.restarted || jumps(last, timestamp, passed) {
                timestamp = last.wrapping_add(ticks(passed).max(1));
                self.offset = timestamp.wrapping_sub(camera);
            }
        }
        self.restarted = false;
        self.last = Some((arrival, timestamp));
        timestamp
    }
}

fn jumps(last: u32, timestamp: u32, passed: Duration) -> bool {
    #[expect(clippy::cast_possible_wrap, reason = "the distance on a circle has a sign")]
    let step = timestamp.wrapping_sub(last) as i32;
    let error = i64::from(step) - i64::from(ticks(passed));
    let rate = u64::from(CLOCK_RATE);
    let is_back = step < 0 && u64::from(step.unsigned_abs()) > MAX_STEP_BACK.as_secs() * rate;
    is_back || error.unsigned_abs() > MAX_JUMP.as_secs() * rate
}

/// Converts to ticks of the RTP clock. Saturates after 13 hours, when 32 bits have wrapped anyway.
fn ticks(duration: Duration) -> u32 {
    let ticks = duration.as_micros() * u128::from(CLOCK_RATE) / 1_000_000;
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_clock_is_left_alone() {
        let start = Instant::now();
        let mut timeline = Timeline::default();
        for frame in 0..100_u32 {
            let arrival = start + Duration::from_millis(u64::from(frame) * 40);
            let camera = 0xffff_f000_u32.wrapping_add(frame * 3600);
            assert_eq!(timeline.map(arrival, camera), camera);
        }
    }

    #[test]
    fn frames_out_of_order_and_pauses_are_left_alone() {
        let start = Instant::now();
        let mut timeline = Timeline::default();
        for (ms, camera) in [(0, 9000), (40, 16200), (80, 12600), (3_680_080, 331_219_800)] {
            assert_eq!(timeline.map(start + Duration::from_millis(ms), camera), camera);
        }
    }

    #[test]
    fn a_new_clock_continues_where_the_old_one_stopped() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        for (case, restarted, camera) in [
            ("announced", true, 90_000),
            ("forward", false, 0x4000_0000),
            ("back", false, 0xc000_0000),
        ] {
            let mut timeline = Timeline::default();
            timeline.map(start, 0);
            if restarted {
                timeline.restart();
            }
            assert_eq!(timeline.map(start + second, camera), 90_000, "{case}");
            assert_eq!(timeline.map(start + second * 2, camera.wrapping_add(90_000)), 180_000);
        }
    }
}
