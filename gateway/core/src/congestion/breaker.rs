//! The circuit breaker of a stream (RFC 8083 §4.2 and §4.3): what stops it when congestion control
//! has failed or has nothing to go by, from the reports that every player sends. A stream may take
//! ten times what a TCP connection would get on the same path, and not more for long; and it has to
//! arrive at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtp::ReceptionReport;

/// Multiple of the throughput of TCP from which a stream is too much.
const MAX_MULTIPLE: f64 = 10.0;

/// Number of reports over which it is too much, at least and at most: the interval of the RFC for
/// reports that come every second, and round trips of up to a second and a half.
const MIN_REPORTS: usize = 3;
const MAX_REPORTS: usize = 15;

/// Number of successive reports that know of no new packet.
const MAX_STANDSTILL: u32 = 5;

/// Minimum time between two reports that are counted: some players send several at once.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// Time after the first report in which nothing is judged: the first group of pictures is sent
/// faster than the stream.
const GRACE: Duration = Duration::from_secs(3);

/// Round trip of a path that no report has told.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);

/// Counters of the packets of a stream, since it began. What else its path carries, such as sound
/// and probes, is not the stream's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets that were sent for the first time.
    pub packets: u64,
    /// Packets that were sent again because they were lost.
    pub again: u64,
}

/// Time between two reports, with the packets that were sent in it and the part that was lost.
#[derive(Debug, Clone, Copy)]
struct Interval {
    time: Duration,
    packets: u64,
    lost: f64,
}

/// A report that was counted, with its time.
#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Instant,
    highest_sequence: u32,
    sent: Sent,
}

/// The circuit breaker of one stream.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    intervals: VecDeque<Interval>,
    /// Time of the first report.
    began: Option<Instant>,
    last: Option<Counted>,
    standstill: u32,
    round_trip: Option<Duration>,
}

impl Breaker {
    /// Handles a report on a stream of which so much was sent. Returns true if the stream has to
    /// stop, or to become smaller.
    pub(super) fn handle_report(
        &mut self,
        now: Instant,
        report: &ReceptionReport,
        sent: Sent,
    ) -> bool {
        self.round_trip = report.round_trip.or(self.round_trip);
        let highest_sequence = report.highest_sequence;
        let counted = Counted { at: now, highest_sequence, sent };
        let began = *self.began.get_or_insert(now);
        let is_early = now.saturating_duration_since(began) < GRACE;
        let Some(last) = self.last.filter(|_| !is_early) else {
            self.last = Some(counted);
            return false;
        };
        let time = now.saturating_duration_since(last.at);
        if time < MIN_INTERVAL {
            return false;
        }
        let first = sent.packets.saturating_sub(last.sent.packets);
        let is_standing = first > 0 && highest_sequence == last.highest_sequence;
        self.standstill = if is_standing { self.standstill + 1 } else { 0 };
        let packets = first + sent.again.saturating_sub(last.sent.again);
        let lost = f64::from(report.fraction_lost) / 256.0;
        self.intervals.push_back(Interval { time, packets, lost });
        self.last = Some(counted);
        if self.intervals.len() > MAX_REPORTS {
            self.intervals.pop_front();
        }
        self.standstill >= MAX_STANDSTILL || self.is_excessive()
    }

    /// Returns true if more was sent over the last reports than is fair.
    fn is_excessive(&self) -> bool {
        let round_trip = self.round_trip.unwrap_or(DEFAULT_ROUND_TRIP).as_secs_f64();
        let Some(newest) = self.intervals.back() else { return false };
        let count = reports(newest.time.as_secs_f64(), round_trip);
        if self.intervals.len() < count {
            return false;
        }
        let late = || self.intervals.iter().rev().take(count);
        let time: f64 = late().map(|it| it.time.as_secs_f64()).sum();
        let lost = late().map(|it| it.lost).sum::<f64>() / float(count as u64);
        let packets: u64 = late().map(|it| it.packets).sum();
        if packets == 0 || lost <= 0.0 {
            return false;
        }
        // What TCP gets, in packets of the same size (RFC 8083 §4.3, the simpler equation).
        let fair = 1.0 / (round_trip.max(0.001) * (2.0 * lost / 3.0).sqrt());
        float(packets) / time > MAX_MULTIPLE * fair
    }
}

/// Returns the number of reports to judge by, for reports so many seconds apart.
fn reports(interval: f64, round_trip: f64) -> usize {
    let interval = interval.max(0.1);
    let span = (10.0 * round_trip).max(3.0 * interval).min((3.0 * interval).max(15.0));
    #[expect(clippy::cast_possible_truncation, reason = "it is a small number")]
    #[expect(clippy::cast_sign_loss, reason = "it is positive")]
    let count = (span / interval).ceil() as usize;
    count.clamp(MIN_REPORTS, MAX_REPORTS)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2⁵²")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a report that knows no round trip.
    fn report(fraction_lost: u8, highest_sequence: u32) -> ReceptionReport {
        let (lost, jitter, round_trip) = (0, Duration::ZERO, None);
        ReceptionReport { fraction_lost, lost, jitter, round_trip, highest_sequence }
    }

    /// Returns the report after which the breaker has stopped the stream, of thirty that come every
    /// second.
    fn stopped(kilobits: u64, percent_lost: u8, round_trip: u64, moves: bool) -> Option<u32> {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        let mut sent = Sent::default();
        for number in 0..30 {
            sent.packets += kilobits * 125 / 1250;
            now += Duration::from_secs(1);
            let lost = u8::try_from(u16::from(percent_lost) * 256 / 100).unwrap_or(255);
            let round_trip = Some(Duration::from_millis(round_trip));
            let report =
                ReceptionReport { round_trip, ..report(lost, if moves { number } else { 7 }) };
            if breaker.handle_report(now, &report, sent) {
                return Some(number);
            }
        }
        None
    }

    #[test]
    fn a_stream_may_take_ten_times_what_tcp_gets_and_has_to_arrive() {
        for (case, kilobits, lost, round_trip, moves, expected) in [
            ("nothing is lost", 50_000, 0, 50, true, None),
            ("a radio link", 4_000, 10, 30, true, None),
            ("a third of it is lost", 4_000, 33, 100, true, Some(5)),
            ("of little, it is fair", 400, 33, 100, true, None),
            ("a full queue", 4_000, 50, 330, true, Some(6)),
            ("a long way takes more reports", 4_000, 50, 1_000, true, Some(12)),
            ("a round trip of nothing", 4_000, 20, 0, true, None),
            ("nothing arrives", 100, 0, 50, false, Some(7)),
            ("nothing is sent", 0, 0, 50, false, None),
        ] {
            assert_eq!(stopped(kilobits, lost, round_trip, moves), expected, "{case}");
        }
    }

    #[test]
    fn reports_that_come_at_once_count_as_one() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for number in 0..100 {
            let sent = Sent { packets: number, again: 0 };
            let at = now + GRACE * u32::from(number > 0) + Duration::from_millis(number);
            assert!(!breaker.handle_report(at, &report(255, 0), sent));
        }
        assert_eq!(breaker.intervals.len(), 1, "the first after the grace, and none of the rest");
    }

    #[test]
    fn a_stream_that_pauses_is_none_that_does_not_arrive() {
        // Packets between two reports that know of no new packet, and the report that stops it.
        for (case, packets, expected) in [
            ("a picture that stands", &[0][..], None),
            ("a key frame now and then", &[10, 0, 0], None),
            ("packets all the time", &[10], Some(7)),
        ] {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            let mut sent = Sent::default();
            let mut stopped = None;
            for number in 0..30 {
                now += Duration::from_secs(1);
                sent.packets += packets[number % packets.len()];
                if breaker.handle_report(now, &report(0, 7), sent) {
                    stopped = stopped.or(Some(number));
                }
            }
            assert_eq!(stopped, expected, "{case}");
        }
    }
}
