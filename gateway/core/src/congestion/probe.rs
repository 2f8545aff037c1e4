//! Probes: more than the stream is sent for a moment, to find out whether a larger one would fit.
//!
//! A probe has stages of the same rate, each with twice the bytes of the one before. The first
//! fills no queue for long on a path that carries no more than it did; the last is longer than what
//! the bucket of a shaped line lets through at once.

use std::time::Duration;

use tracing::debug;

use super::{Arrival, bits_per_second};

/// Number of stages of a probe.
const STAGES: u32 = 4;

/// Time for which the first stage would fill a path that carries what it is known to carry, in
/// microseconds, and the bounds of its bytes.
const FIRST_TIME: u64 = 100_000;
const FIRST_BYTES: std::ops::RangeInclusive<u64> = 5_000..=20_000;

/// Longest time for which a stage is sent, in microseconds: a report on it has to come in time.
const MAX_STAGE_TIME: u64 = 600_000;

/// Time in which padding is sent together, in microseconds.
const SLICE: i64 = 5_000;

/// Time between two stages, in microseconds, after the viewer has reported on the first.
const PAUSE: i64 = 50_000;

/// Time after which a stage without a report has failed, in microseconds.
const REPORT_TIME: i64 = 1_500_000;

/// Time from one probe to the next: an eighth of the time for which the path has carried too
/// little, within these bounds; in microseconds.
const INTERVAL: std::ops::RangeInclusive<i64> = 3_000_000..=30_000_000;
const INTERVAL_DIVISOR: i64 = 8;

/// Part of a stage's rate that has to arrive, in percent, and part that may be lost.
const MIN_ARRIVED: u64 = 90;
const MAX_LOST: u64 = 15;

/// Queueing delay that ends a probe.
pub(super) const MAX_QUEUE: Duration = Duration::from_millis(120);

/// The probes of a path.
#[derive(Debug, Default)]
pub(super) struct Probing {
    goal: Option<Goal>,
    /// Time of the next stage, in microseconds.
    next: i64,
    /// Stages that have passed.
    passed: u32,
    stage: Option<Stage>,
}

#[derive(Debug, Clone, Copy)]
struct Goal {
    bits_per_second: u64,
    /// Bytes of the first stage.
    first_bytes: u64,
    /// Time since which the path carries less, in microseconds.
    since: i64,
}

/// A stage that is being sent, or waits for the viewer's report.
#[derive(Debug)]
struct Stage {
    began: i64,
    /// Bytes to send, and those that were sent with everything that was sent meanwhile.
    bytes: u64,
    sent: u64,
    /// Numbers of its packets.
    numbers: Option<(u64, u64)>,
    is_sent: bool,
    arrived: u64,
    count: u64,
    /// Arrival of the first and the last packet, and the bytes of the first.
    times: Option<(i64, i64, u64)>,
}

impl Probing {
    /// Sets the rate to probe for; `estimate` is what the path is known to carry.
    pub(super) fn set_goal(&mut self, now: i64, goal: Option<u64>, estimate: u64, since: i64) {
        let Some(bits_per_second) = goal else {
            (self.goal, self.stage, self.passed) = (None, None, 0);
            return;
        };
        let first =
            (estimate * FIRST_TIME / 8_000_000).clamp(*FIRST_BYTES.start(), *FIRST_BYTES.end());
        let before = self.goal.replace(Goal { bits_per_second, first_bytes: first, since });
        if before.is_none() {
            self.next = self.next.max(now);
        }
    }

    /// Ends the probe, and waits before the next one.
    pub(super) fn fail(&mut self, now: i64) {
        let Some(goal) = &self.goal else { return };
        if self.stage.take().is_none() && self.passed == 0 {
            return;
        }
        let wait = (now - goal.since) / INTERVAL_DIVISOR;
        self.next = now + wait.clamp(*INTERVAL.start(), *INTERVAL.end());
        self.passed = 0;
    }

    /// Returns true if a packet is to be sent now; begins a stage if it is due and the path is
    /// clear.
    pub(super) fn wants_padding(&mut self, now: i64, is_clear: bool) -> bool {
        let Some(goal) = self.goal else { return false };
        if self.stage.is_none() {
            if now < self.next {
                return false;
            }
            if !is_clear {
                // A path that is busy has nothing to spare.
                self.next = now + *INTERVAL.start() / 4;
                return false;
            }
            let most = goal.bits_per_second * MAX_STAGE_TIME / 8_000_000;
            self.stage = Some(Stage::new(now, (goal.first_bytes << self.passed).min(most)));
        }
        let Some(stage) = &mut self.stage else { return false };
        if stage.is_sent {
            if now - stage.began > REPORT_TIME {
                self.fail(now);
            }
            return false;
        }
        if stage.sent >= stage.bytes {
            stage.is_sent = true;
            return false;
        }
        now >= stage.due(goal.bits_per_second)
    }

    /// Handles a packet that is sent now.
    pub(super) fn handle_sent(&mut self, number: u64, bytes: u32) {
        if let Some(stage) = self.stage.as_mut().filter(|stage| !stage.is_sent) {
            let first = stage.numbers.map_or(number, |(first, _)| first);
            stage.numbers = Some((first, number));
            stage.sent += u64::from(bytes);
        }
    }

    /// Handles a report on all packets before `end`. Returns the rate that the path is known to
    /// carry now, in bits per second, if the probe has passed.
    pub(super) fn handle_arrivals(
        &mut self,
        now: i64,
        end: u64,
        arrivals: &[Arrival],
    ) -> Option<u64> {
        let (goal, stage) = (self.goal?, self.stage.as_mut()?);
        let (first, last) = stage.numbers?;
        for arrival in arrivals.iter().filter(|it| (first..=last).contains(&it.number)) {
            stage.add(arrival);
        }
        if !stage.is_sent || end <= last {
            return None;
        }
        let rate = stage.rate(last - first + 1);
        debug!(stage = self.passed, goal = goal.bits_per_second, ?rate, "the path was probed");
        self.stage = None;
        if rate.is_none_or(|rate| rate * 100 < goal.bits_per_second * MIN_ARRIVED) {
            self.passed = self.passed.max(1);
            self.fail(now);
            return None;
        }
        self.passed += 1;
        self.next = now + PAUSE;
        if self.passed < STAGES {
            return None;
        }
        self.passed = 0;
        self.next = now + *INTERVAL.start();
        rate.map(|rate| rate.min(goal.bits_per_second))
    }

    pub(super) fn poll_timeout(&self) -> Option<i64> {
        let goal = self.goal?;
        let Some(stage) = &self.stage else { return Some(self.next) };
        Some(if stage.is_sent {
            stage.began + REPORT_TIME + 1
        } else if stage.sent >= stage.bytes {
            stage.began
        } else {
            stage.due(goal.bits_per_second)
        })
    }
}

impl Stage {
    fn new(began: i64, bytes: u64) -> Self {
        Self {
            began,
            bytes,
            sent: 0,
            numbers: None,
            is_sent: false,
            arrived: 0,
            count: 0,
            times: None,
        }
    }

    /// Returns the time of the next packet: the begin of the slice in which it is to be sent.
    fn due(&self, rate: u64) -> i64 {
        let time = i64::try_from(self.sent * 8_000_000 / rate.max(1)).unwrap_or(i64::MAX / 2);
        self.began.saturating_add(time / SLICE * SLICE)
    }

    fn add(&mut self, arrival: &Arrival) {
        let bytes = u64::from(arrival.bytes);
        self.count += 1;
        self.arrived += bytes;
        self.times = Some(self.times.map_or(
            (arrival.received, arrival.received, bytes),
            |(first, last, before)| {
                (first.min(arrival.received), last.max(arrival.received), before)
            },
        ));
    }

    /// Returns the rate at which the packets have arrived, in bits per second; `None` if too many
    /// of them were lost.
    fn rate(&self, packets: u64) -> Option<u64> {
        let (first, last, before) = self.times?;
        if (packets.saturating_sub(self.count)) * 100 > packets * MAX_LOST {
            return None;
        }
        // Those that were lost at random would have taken their time, too.
        let arrived = self.arrived.saturating_sub(before) * packets / self.count.max(1);
        bits_per_second(arrived, (last - first).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends probes over a path that carries `capacity` bits per second after a bucket of `bucket`
    /// bytes, and loses every `lost`th packet. Returns what was proven in 10 s, and the bytes sent.
    fn probe(goal: u64, capacity: u64, bucket: u64, lost: u64) -> (Option<u64>, u64) {
        let mut probing = Probing::default();
        let (mut now, mut number, mut sent) = (0, 0, 0);
        let mut free = 0;
        let mut tokens = bucket;
        let mut reported = 0;
        let mut on_the_way: Vec<Arrival> = Vec::new();
        probing.set_goal(now, Some(goal), 500_000, 0);
        while now < 10_000_000 {
            while probing.wants_padding(now, true) {
                probing.handle_sent(number, 1250);
                let waits = if tokens >= 1250 { 0 } else { 1250 * 8_000_000 / capacity };
                tokens = tokens.saturating_sub(1250);
                free = now.max(free) + i64::try_from(waits).unwrap();
                let arrival = Arrival { number, sent: now, received: free + 20_000, bytes: 1250 };
                if lost == 0 || !(number + 1).is_multiple_of(lost) {
                    on_the_way.push(arrival);
                }
                (number, sent) = (number + 1, sent + 1250);
            }
            tokens = bucket.min(tokens + capacity / 8000);
            now += 1000;
            if now % 50_000 == 0 {
                let arrived: Vec<_> =
                    on_the_way.extract_if(.., |arrival| arrival.received <= now).collect();
                reported = arrived.last().map_or(reported, |last| last.number + 1);
                if let Some(rate) = probing.handle_arrivals(now, reported, &arrived) {
                    return (Some(rate), sent);
                }
            }
        }
        (None, sent)
    }

    #[test]
    fn a_probe_passes_if_the_path_carries_its_rate_for_long_enough() {
        for (case, capacity, bucket, lost, passes, most) in [
            ("a wide path", 100_000_000, 0, 0, true, 100_000),
            ("just enough", 5_200_000, 0, 0, true, 100_000),
            ("a tenth is lost", 20_000_000, 0, 10, true, 100_000),
            ("a narrow path", 1_000_000, 0, 0, false, 40_000),
            ("behind a bucket", 1_000_000, 16_000, 0, false, 150_000),
            ("behind a larger one", 1_000_000, 40_000, 0, false, 300_000),
            ("a third is lost", 20_000_000, 0, 3, false, 40_000),
        ] {
            let (found, sent) = probe(5_000_000, capacity, bucket, lost);
            assert_eq!(found.is_some(), passes, "{case}: {found:?}");
            assert!(found.is_none_or(|rate| (4_500_000..=5_000_000).contains(&rate)), "{found:?}");
            assert!(sent <= most, "{case}: {sent} bytes in 10 s");
        }
    }

    #[test]
    fn a_probe_of_a_small_rate_ends_in_time() {
        for (case, capacity, passes) in [("enough", 200_000, true), ("too little", 80_000, false)] {
            let (found, sent) = probe(130_000, capacity, 0, 0);
            assert_eq!(found.is_some(), passes, "{case}: {found:?}");
            assert!(sent <= 50_000, "{case}: {sent} bytes");
        }
    }

    #[test]
    fn probes_become_rare_on_a_path_that_stays_narrow() {
        for (seconds, expected) in [(0, 3), (24, 3), (80, 10), (1000, 30)] {
            let now = seconds * 1_000_000;
            let mut probing = Probing::default();
            probing.set_goal(now, Some(1_000_000), 100_000, 0);
            assert!(probing.wants_padding(now, true));
            probing.fail(now);
            assert_eq!(probing.poll_timeout(), Some(now + expected * 1_000_000), "{seconds} s");
            assert!(!probing.wants_padding(now, true));
            probing.set_goal(now, None, 0, 0);
            assert_eq!(probing.poll_timeout(), None, "nothing is wanted");
        }
    }

    #[test]
    fn a_probe_waits_for_a_clear_path_and_for_a_report() {
        let mut probing = Probing::default();
        probing.set_goal(0, Some(8_000_000), 0, 0);
        assert!(!probing.wants_padding(0, false), "the path is busy");
        assert!(!probing.wants_padding(100_000, true), "a while after that");
        let mut now = 750_000;
        assert_eq!(probing.poll_timeout(), Some(now));
        for number in 0..4 {
            assert!(probing.wants_padding(now, number == 0), "a stage is not interrupted");
            probing.handle_sent(number, 1250);
            now = probing.poll_timeout().unwrap();
        }
        assert!(!probing.wants_padding(now, true), "5 kB are sent");
        let due = probing.poll_timeout().unwrap();
        assert_eq!(due, 750_000 + REPORT_TIME + 1);
        assert!(!probing.wants_padding(due, true));
        assert_eq!(probing.poll_timeout(), Some(due + *INTERVAL.start()), "it has failed");
    }
}
