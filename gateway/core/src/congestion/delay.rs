//! The trend of the delay (draft-ietf-rmcat-gcc-02 §5): whether a queue begins to grow, before it
//! is long. Packets sent together are a group; the differences between groups are summed up, and
//! the slope of the sum is compared with a threshold that adapts to the path.

use std::collections::VecDeque;

use super::Arrival;

/// Packets sent within this time are one group, in microseconds.
const GROUP: i64 = 5_000;

/// Packets that arrive within this time after each other, faster than they were sent, are one group
/// as well: they waited for the same turn of a radio. In microseconds, with the longest such group.
const BURST: i64 = 5_000;
const MAX_BURST: i64 = 100_000;

/// Number of groups whose slope counts.
const WINDOW: usize = 20;

/// Part of the former sum in the smoothed one.
const SMOOTHING: f64 = 0.9;

/// Factor of the slope in what is compared with the threshold.
const GAIN: f64 = 4.0;
/// Maximum number of groups by which the slope is multiplied.
const MAX_GROUPS: f64 = 60.0;

/// The threshold in milliseconds: its first value, its bounds, and how fast it follows a slope
/// above and below it, per millisecond (draft §5.4).
const THRESHOLD: f64 = 12.5;
const THRESHOLDS: std::ops::RangeInclusive<f64> = 6.0..=600.0;
const FOLLOW_UP: f64 = 0.0087;
const FOLLOW_DOWN: f64 = 0.039;

/// A slope so far above the threshold does not move it, in milliseconds.
const MAX_EXCESS: f64 = 15.0;

/// Time for which a slope must be above the threshold, in milliseconds.
const OVERUSE_TIME: f64 = 10.0;

/// Verdict of the trend of the delay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Signal {
    /// The queue empties.
    Underuse,
    /// The queue stays as it is.
    #[default]
    Normal,
    /// The queue grows.
    Overuse,
}

/// Packets that were sent, or arrived, together; times in microseconds.
#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_received: i64,
    last_received: i64,
}

impl Group {
    fn new(arrival: &Arrival) -> Self {
        let Arrival { sent, received, .. } = *arrival;
        Self {
            first_sent: sent,
            last_sent: sent,
            first_received: received,
            last_received: received,
        }
    }

    fn has(&self, arrival: &Arrival) -> bool {
        let sent_later = arrival.sent - self.last_sent;
        let received_later = arrival.received - self.last_received;
        arrival.sent - self.first_sent <= GROUP
            || received_later <= BURST
                && received_later < sent_later
                && arrival.received - self.first_received < MAX_BURST
    }
}

/// Detects that a queue grows or empties.
#[derive(Debug)]
pub(super) struct DelayDetector {
    before: Option<Group>,
    current: Option<Group>,
    sum: f64,
    smoothed: f64,
    /// Arrival times and smoothed sums of groups, in milliseconds.
    points: VecDeque<(f64, f64)>,
    groups: f64,
    /// Time of the first arrival, in microseconds.
    origin: Option<i64>,
    threshold: f64,
    trend: f64,
    above: f64,
    above_count: u32,
    signal: Signal,
}

impl Default for DelayDetector {
    fn default() -> Self {
        Self {
            before: None,
            current: None,
            sum: 0.0,
            smoothed: 0.0,
            points: VecDeque::new(),
            groups: 0.0,
            origin: None,
            threshold: THRESHOLD,
            trend: 0.0,
            above: 0.0,
            above_count: 0,
            signal: Signal::Normal,
        }
    }
}

impl DelayDetector {
    pub(super) fn signal(&self) -> Signal {
        self.signal
    }

    pub(super) fn add(&mut self, arrival: &Arrival) {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::new(arrival));
            return;
        };
        if arrival.sent < current.first_sent {
            // It was overtaken by a later group.
            return;
        }
        if current.has(arrival) {
            current.last_sent = current.last_sent.max(arrival.sent);
            current.last_received = current.last_received.max(arrival.received);
            return;
        }
        let done = *current;
        self.current = Some(Group::new(arrival));
        if let Some(before) = self.before.replace(done) {
            let sent = milliseconds(done.last_sent - before.last_sent);
            let received = milliseconds(done.last_received - before.last_received);
            self.handle_difference(done.last_received, sent, received - sent);
        }
    }

    /// Handles a group that was sent `sent` milliseconds after the one before, and whose delay is
    /// longer by `longer`.
    fn handle_difference(&mut self, at: i64, sent: f64, longer: f64) {
        self.groups = (self.groups + 1.0).min(MAX_GROUPS);
        self.sum += longer;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.sum;
        let origin = *self.origin.get_or_insert(at);
        if self.points.len() == WINDOW {
            self.points.pop_front();
        }
        self.points.push_back((milliseconds(at - origin), self.smoothed));
        if self.points.len() == WINDOW {
            let trend = slope(&self.points).unwrap_or(self.trend) * self.groups * GAIN;
            self.detect(trend, sent);
        }
    }

    fn detect(&mut self, trend: f64, sent: f64) {
        if trend > self.threshold {
            self.above = if self.above_count == 0 { sent / 2.0 } else { self.above + sent };
            self.above_count += 1;
            if self.above > OVERUSE_TIME && self.above_count > 1 && trend >= self.trend {
                self.signal = Signal::Overuse;
            }
        } else {
            (self.above, self.above_count) = (0.0, 0);
            let empties = trend < -self.threshold;
            self.signal = if empties { Signal::Underuse } else { Signal::Normal };
        }
        self.trend = trend;
        let excess = trend.abs() - self.threshold;
        if excess <= MAX_EXCESS {
            let follow = if excess < 0.0 { FOLLOW_DOWN } else { FOLLOW_UP };
            let moved = self.threshold + follow * excess * sent.clamp(0.0, 100.0);
            self.threshold = moved.clamp(*THRESHOLDS.start(), *THRESHOLDS.end());
        }
    }
}

/// Returns the slope of a line through the points with the least squares; `None` if they have one
/// time.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "there are twenty points")]
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (x / count, y / count);
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        (over + (point.0 - x) * (point.1 - y), under + (point.0 - x) * (point.0 - x))
    });
    (under > 0.0).then(|| over / under)
}

#[expect(clippy::cast_precision_loss, reason = "differences of times are far below 2⁵² µs")]
fn milliseconds(micros: i64) -> f64 {
    micros as f64 / 1000.0
}
