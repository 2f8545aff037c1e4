//! Continuous timestamps for a camera that may restart its clock.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use super::stream::CLOCK_RATE;
use super::ticks::{ahead, ticks, ticks_at};

/// Maximum difference between the step of the timestamp and the time that really passed. More is a
/// new clock, not a late frame: no camera delays or reorders frames for so long.
pub(super) const MAX_JUMP: Duration = Duration::from_secs(10);

/// Maximum step back of the timestamp in a stream of pictures that are sent out of order, which
/// differ by a few frames. More is a new clock.
const MAX_STEP_BACK: Duration = Duration::from_secs(1);

/// Time within which a second step back shows that pictures are sent out of order (B pictures): to
/// a time between the two latest ones, since what is earlier has been sent before them. A
/// single one is a clock that was set, by whatever time: live555's proxy sets its clock back by 0.4
/// s once it has synchronized. A player would show what follows in the wrong order or too early.
const REORDER_WINDOW: Duration = Duration::from_secs(2);

/// Maximum number of steps back in a row of such pictures: each halves a distance, of which the
/// first is at most 16 pictures.
const MAX_BACK_IN_A_ROW: u32 = 4;

/// Time over which the pace of a camera's clock is compared with ours.
const PACE_WINDOW: Duration = Duration::from_secs(1);

/// Number of windows in a row that must agree before a clock is taken for a wrong one, or for a
/// right one again. A pause and the burst that follows it are over before.
const PACE_WINDOWS: u32 = 3;

/// Maps a camera's timestamps to continuous ones.
#[derive(Debug)]
pub(super) struct Timeline {
    /// The RTP clock rate in hertz.
    clock_rate: u32,
    offset: u32,
    last: Option<Last>,
    /// The pace of a clock of video; sound is played at its own.
    pace: Option<Pace>,
    /// The latest timestamp, and the one that was the latest before it.
    latest: (u32, u32),
    went_back_at: Option<Instant>,
    /// Number of steps back in a row.
    back_in_a_row: u32,
    restarted: bool,
}

/// The last packet.
#[derive(Debug, Clone, Copy)]
struct Last {
    timestamp: u32,
    arrival: Instant,
    /// Arrival of the first packet with its timestamp.
    began: Instant,
}

impl Default for Timeline {
    /// Creates the timeline of a track of video.
    fn default() -> Self {
        Self { pace: Some(Pace::default()), ..Self::with_rate(CLOCK_RATE) }
    }
}

impl Timeline {
    /// Creates the timeline of a track whose RTP clock has this rate, in hertz.
    pub(super) fn with_rate(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            offset: 0,
            last: None,
            pace: None,
            latest: (0, 0),
            went_back_at: None,
            back_in_a_row: 0,
            restarted: false,
        }
    }

    pub(super) fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// Returns true unless the camera's clock is too fast or too slow to be one.
    pub(super) fn is_trusted(&self) -> bool {
        !self.pace.as_ref().is_some_and(|pace| pace.is_wrong)
    }

    /// Returns what is added to the camera's timestamps now.
    pub(super) fn offset(&self) -> u32 {
        self.offset
    }

    fn ticks(&self, duration: Duration) -> u32 {
        ticks_at(duration, self.clock_rate)
    }

    /// Makes the next timestamp the first of a new clock.
    pub(super) fn restart(&mut self) {
        self.restarted = true;
    }

    /// Returns the continuous timestamp for one of the camera's.
    pub(super) fn map(&mut self, arrival: Instant, camera: u32) -> u32 {
        if let Some(pace) = &mut self.pace {
            pace.measure(arrival, camera);
        }
        let mut timestamp = camera.wrapping_add(self.offset);
        let mut is_new_clock = self.last.is_none();
        let mut began = arrival;
        if let Some(last) = self.last {
            let is_untimed = !self.is_trusted() && timestamp != last.timestamp;
            is_new_clock = self.restarted || is_untimed || self.jumps(arrival, last, timestamp);
            if is_new_clock {
                let passed = arrival.saturating_duration_since(last.began);
                timestamp = last.timestamp.wrapping_add(self.ticks(passed).max(1));
                self.offset = timestamp.wrapping_sub(camera);
            } else if timestamp == last.timestamp {
                began = last.began;
            }
        }
        self.restarted = false;
        if is_new_clock {
            // How far its pictures go back is not known yet.
            self.latest = (timestamp, timestamp.wrapping_sub(self.ticks(MAX_STEP_BACK)));
        } else if ahead(timestamp, self.latest.0) > 0 {
            self.latest = (timestamp, self.latest.0);
        }
        self.last = Some(Last { timestamp, arrival, began });
        timestamp
    }

    fn jumps(&mut self, arrival: Instant, last: Last, timestamp: u32) -> bool {
        let step = ahead(timestamp, last.timestamp);
        if step < 0 {
            self.back_in_a_row = self.back_in_a_row.saturating_add(1);
            let before = self.went_back_at.replace(arrival);
            let is_again = before
                .is_some_and(|before| arrival.saturating_duration_since(before) < REORDER_WINDOW);
            let is_between = ahead(timestamp, self.latest.1) > 0;
            let is_reordered =
                is_again && is_between && step.unsigned_abs() <= self.ticks(MAX_STEP_BACK);
            return !is_reordered || self.back_in_a_row > MAX_BACK_IN_A_ROW;
        }
        if step > 0 {
            self.back_in_a_row = 0;
        }
        let passed = arrival.saturating_duration_since(last.arrival);
        let error = i64::from(step) - i64::from(self.ticks(passed));
        error.unsigned_abs() > u64::from(self.ticks(MAX_JUMP))
    }
}

/// The pace of a camera's clock. Some count in milliseconds, or in units of their own.
#[derive(Debug)]
struct Pace {
    /// Arrival of the first picture of the window.
    began: Option<Instant>,
    /// Ticks of the camera since then.
    ticks: u64,
    /// The latest timestamp of the camera.
    latest: u32,
    /// Outcome of the last windows, and the number of those that agree.
    verdict: (Ordering, u32),
    is_wrong: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { began: None, ticks: 0, latest: 0, verdict: (Ordering::Equal, 0), is_wrong: false }
    }
}

impl Pace {
    /// Measures a packet. A clock that is set, or goes back, is measured from there on.
    fn measure(&mut self, arrival: Instant, camera: u32) {
        let step = ahead(camera, std::mem::replace(&mut self.latest, camera));
        if step == 0 {
            return;
        }
        let step = u32::try_from(step).ok().filter(|step| *step < ticks(MAX_JUMP));
        let (Some(began), Some(step)) = (self.began, step) else {
            (self.began, self.ticks) = (Some(arrival), 0);
            return;
        };
        self.ticks += u64::from(step);
        let passed = arrival.saturating_duration_since(began);
        if passed >= PACE_WINDOW {
            let expected = u64::from(ticks(passed));
            let sent = std::mem::take(&mut self.ticks);
            self.began = Some(arrival);
            self.judge(if sent > expected * 2 {
                Ordering::Greater
            } else if sent < expected / 2 {
                Ordering::Less
            } else {
                Ordering::Equal
            });
        }
    }

    fn judge(&mut self, verdict: Ordering) {
        let (before, count) = self.verdict;
        let count = if before == verdict { count.saturating_add(1) } else { 1 };
        self.verdict = (verdict, count);
        if count >= PACE_WINDOWS {
            self.is_wrong = verdict != Ordering::Equal;
        }
    }
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
    fn a_pause_is_left_alone() {
        let start = Instant::now();
        let mut timeline = Timeline::default();
        for (ms, camera) in [(0, 9000), (40, 12_600), (3_680_040, 331_212_600)] {
            assert_eq!(timeline.map(start + Duration::from_millis(ms), camera), camera);
        }
    }

    #[test]
    fn pictures_out_of_order_keep_their_distances_after_the_first() {
        let start = Instant::now();
        let mut timeline = Timeline::default();
        let frame = |number: u32| number * 3600;
        // Decoding order of groups of a P picture and three B pictures.
        let order = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11];
        let arrivals = (0..).map(|index| start + Duration::from_millis(40) * index);
        let mapped: Vec<_> =
            order.iter().zip(arrivals).map(|(n, at)| timeline.map(at, frame(*n))).collect();
        assert_eq!(mapped[..3], [frame(0), frame(4), frame(5)], "the first step back is a clock's");
        let expected: Vec<_> = order[2..].iter().map(|number| frame(number + 3)).collect();
        assert_eq!(mapped[2..], expected);
    }

    #[test]
    fn a_clock_that_is_set_back_by_any_time_continues() {
        let start = Instant::now();
        for back_ms in [1_u32, 33, 100, 400, 900, 1100, 9000] {
            let mut timeline = Timeline::default();
            let mut camera = 0x1000_0000_u32;
            let mut last = timeline.map(start, camera);
            for frame in 1..200_u32 {
                camera = camera.wrapping_add(3600);
                if frame == 50 || frame == 120 {
                    camera = camera.wrapping_sub(back_ms * 90);
                }
                let at = start + Duration::from_millis(40) * frame;
                let mapped = timeline.map(at, camera);
                let step = mapped.wrapping_sub(last);
                assert!((1..=3600).contains(&step), "{back_ms} ms, picture {frame}: {step}");
                last = mapped;
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_with_each_key_frame_runs_on() {
        let start = Instant::now();
        // Pictures of a group, and by how many of them its clock is set back.
        for (group, back) in [(2_u32, 2_u32), (5, 5), (15, 15), (15, 10), (15, 2), (30, 30)] {
            let mut timeline = Timeline::default();
            let mut last = timeline.map(start, 90_000);
            for picture in 1..200_u32 {
                let camera = 90_000 + (picture - picture / group * back) * 6000;
                let at = start + Duration::from_micros(66_667) * picture;
                let mapped = timeline.map(at, camera);
                let step = mapped.wrapping_sub(last);
                assert!((5999..=6001).contains(&step), "{group}, picture {picture}: {step}");
                last = mapped;
            }
        }
    }

    #[test]
    fn a_clock_that_counts_down_runs_on() {
        let start = Instant::now();
        let mut timeline = Timeline::default();
        let map = |picture: u32| {
            let at = start + Duration::from_millis(40) * picture;
            timeline.map(at, 900_000_000 - picture * 3600)
        };
        let mapped: Vec<_> = (0..100).map(map).collect();
        let back = mapped.windows(2).filter(|two| two[1] < two[0]).count();
        assert!(back < MAX_BACK_IN_A_ROW as usize, "{back}");
        assert!(mapped[10..].windows(2).all(|two| two[1] - two[0] == 3600));
    }

    #[test]
    fn a_clock_of_another_pace_is_replaced_by_the_arrivals() {
        let start = Instant::now();
        let map = |pictures: std::ops::Range<u32>, ticks: u32, timeline: &mut Timeline| {
            let map = |picture: u32| {
                let at = start + Duration::from_millis(40) * picture;
                timeline.map(at, picture * ticks)
            };
            pictures.map(map).collect::<Vec<_>>()
        };
        let is_steady = |mapped: &[u32]| mapped.windows(2).all(|two| two[1] - two[0] == 3600);
        for (case, ticks, is_right) in [
            ("milliseconds", 40, false),
            ("8 kHz", 320, false),
            ("microseconds", 40_000, false),
            ("a camera that says 15 pictures a second", 6000, true),
            ("one that says 30", 3000, true),
        ] {
            let mut timeline = Timeline::default();
            map(0..100, ticks, &mut timeline);
            assert_eq!(timeline.is_trusted(), is_right, "{case}");
            let later = map(100..200, ticks, &mut timeline);
            assert_eq!(is_steady(&later), !is_right, "{case}");
            // It is set right.
            map(200..300, 3600, &mut timeline);
            assert!(timeline.is_trusted(), "{case}");
            assert!(is_steady(&map(300..400, 3600, &mut timeline)), "{case}");
        }
    }

    #[test]
    fn a_pause_with_a_burst_behind_it_is_no_other_pace() {
        let start = Instant::now();
        let mut timeline = Timeline::default();
        for picture in 0..1000_u32 {
            // For five of each ten seconds nothing arrives.
            let at = if picture % 250 < 125 { picture / 250 * 250 + 125 } else { picture };
            let at = start + Duration::from_millis(40) * at;
            assert_eq!(timeline.map(at, picture * 3600), picture * 3600, "{picture}");
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
