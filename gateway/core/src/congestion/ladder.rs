//! The ladder of a camera's streams: the main stream, the sub stream, the key frames of the sub
//! stream, and a picture that stands still. Down as soon as the path does not carry a rung, up when
//! it was shown to carry the next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Line;

/// Time over which changes are counted, and their limit: on a path that sits between two rungs, a
/// picture that changes all the time is worse than the smaller one.
const CHANGES_TIME: Duration = Duration::from_secs(60);
const MAX_CHANGES: usize = 4;

/// Time after a change in which the path is not judged: what was sent before is still on it.
const SETTLING: Duration = Duration::from_millis(800);

/// Time for which the picture stays on a rung before it goes up.
const STAY: Duration = Duration::from_secs(2);

/// Time within which a way down shows that the way up before it was wrong.
const REGRET: Duration = Duration::from_secs(10);

/// Time until the next way up after a wrong one, and its maximum after several.
const FIRST_PENALTY: Duration = Duration::from_secs(15);
const MAX_PENALTY: Duration = Duration::from_secs(120);

/// Time after which a viewer whose path cannot be probed is tried with the larger stream.
const TRIAL: Duration = Duration::from_secs(30);

/// Percentages of the rate of a rung that the path has to carry: to stay on it, to come to it, and
/// in a probe.
pub(super) const TO_STAY: u64 = 105;
pub(super) const TO_COME: u64 = 115;
const TO_PROBE: u64 = 130;

/// Percentage of the rate of a stream that has to be left of a cap for a viewer that sees it, or
/// for the only stream of a viewer to come.
pub(super) const ONLY_STREAM: u64 = 100;

/// Percentage of its rate that has to be left for the only stream of a viewer to stay: the rate
/// moves with each key frame.
pub(super) const STAY_CHOSEN: u64 = 95;

/// Part of the rate of a probe, in percent, that a probe that has passed shows at least.
const SHOWN: u64 = 90;

/// Rate that key frames take at least, in bits per second: one of 12 kB every second.
const MIN_KEY_FRAMES: u64 = 100_000;

/// A rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// No pictures: the last one stands still.
    Still,
    /// The key frames of the sub stream only.
    KeyFrames,
    /// The sub stream.
    Sub,
    /// The main stream.
    Main,
}

/// The rates of a camera's streams, in bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Rate of the main stream.
    pub main: u64,
    /// Rate of the sub stream.
    pub sub: u64,
}

impl Rates {
    /// Returns the rate of a rung in bits per second.
    #[must_use]
    pub fn of(&self, rung: Rung) -> u64 {
        match rung {
            Rung::Main => self.main,
            Rung::Sub => self.sub,
            // With less, a key frame takes longer than the time to the next one.
            Rung::KeyFrames => MIN_KEY_FRAMES.min(self.sub),
            Rung::Still => 0,
        }
    }
}

/// Decision about the stream that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on with what is shown.
    Stay,
    /// Go down to this rung at once.
    Down(Rung),
    /// Go up to this rung with its next key frame.
    Up(Rung),
}

/// Decides on the rung of one viewer.
#[derive(Debug)]
pub struct Ladder {
    rung: Rung,
    since: Instant,
    /// Time since which the picture is below the main stream.
    below_since: Instant,
    /// Times of the last changes, the newest last.
    changes: VecDeque<Instant>,
    /// Earliest time of the next way up.
    next_up: Instant,
    last_up: Option<Instant>,
    /// Ways up in succession that were wrong.
    regrets: u32,
    /// True for the main stream or nothing: the viewer has chosen it, or there is no other.
    has_no_other: bool,
}

impl Ladder {
    /// Creates the ladder of a viewer that sees the main stream.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            rung: Rung::Main,
            since: now,
            below_since: now,
            changes: VecDeque::new(),
            next_up: now,
            last_up: None,
            regrets: 0,
            has_no_other: false,
        }
    }

    /// Creates the ladder of a viewer that sees this one stream or nothing.
    #[must_use]
    pub fn without_others(now: Instant) -> Self {
        Self { has_no_other: true, ..Self::new(now) }
    }

    /// Returns true if there is one stream or nothing.
    #[must_use]
    pub fn has_no_other(&self) -> bool {
        self.has_no_other
    }

    /// Sets whether there is one stream or nothing.
    pub fn set_no_other(&mut self, has_no_other: bool) {
        self.has_no_other = has_no_other;
    }

    /// Begins with the sub stream, which is no change.
    pub fn begin_low(&mut self, now: Instant) {
        (self.rung, self.since, self.below_since) = (Rung::Sub, now, now);
    }

    /// Returns the rung that is shown.
    #[must_use]
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Returns the time since which less than the main stream is shown.
    #[must_use]
    pub fn below_since(&self) -> Instant {
        self.below_since
    }

    /// Decides what to do about the path, what a cap leaves for the viewer in bits per second, and
    /// these rates.
    #[must_use]
    pub fn decide(&self, now: Instant, line: &Line, left: Option<u64>, rates: &Rates) -> Decision {
        if !self.changes.is_empty() && now < self.since + SETTLING {
            return Decision::Stay;
        }
        if let Some(rung) = self.lower(line, left, rates) {
            return Decision::Down(rung);
        }
        match self.next(now) {
            Some(next) if line.is_clear && self.may_come(now, next, line, left, rates) => {
                Decision::Up(next)
            }
            Some(_) | None => Decision::Stay,
        }
    }

    /// Returns the rung to go down to, if the path or the cap does not carry what is shown.
    fn lower(&self, line: &Line, left: Option<u64>, rates: &Rates) -> Option<Rung> {
        let needed = |rung, percent| rates.of(rung).saturating_mul(percent) / 100;
        let exceeds = |percent| left.is_some_and(|left| left < needed(self.rung, percent));
        if self.has_no_other {
            // What was chosen is shown as long as anything of it can be seen, and it may be sent.
            let is_over = line.is_tripped || exceeds(STAY_CHOSEN);
            return (self.rung == Rung::Main && is_over).then_some(Rung::Still);
        }
        let known = line.estimate.into_iter().chain(left).min();
        let carries = |rung, percent| known.is_none_or(|known| known >= needed(rung, percent));
        let suffices = line.estimate.is_some_and(|known| known >= needed(self.rung, TO_STAY));
        // Where more is known, the queue says sooner and better what is too much.
        let is_tripped = line.is_tripped && !line.is_detailed;
        let fails = self.rung == Rung::KeyFrames && line.is_losing;
        let is_full = line.is_congested && !suffices;
        if !(is_full || exceeds(ONLY_STREAM) || is_tripped || fails) {
            return None;
        }
        match self.rung {
            Rung::Main if carries(Rung::Sub, TO_COME) => Some(Rung::Sub),
            Rung::Main | Rung::Sub => Some(Rung::KeyFrames),
            Rung::KeyFrames => Some(Rung::Still),
            // Nothing is sent, so nothing is too much.
            Rung::Still => None,
        }
    }

    /// Returns true if the path and the cap carry the next rung.
    fn may_come(
        &self,
        now: Instant,
        next: Rung,
        line: &Line,
        left: Option<u64>,
        rates: &Rates,
    ) -> bool {
        let rate = rates.of(next);
        let is_left = left.is_none_or(|left| left >= self.to_come(rate));
        let carries = if line.can_be_probed {
            // A cap leaves a probe less room.
            let shown = left.unwrap_or(u64::MAX) / 100 * SHOWN;
            let needed = (rate.saturating_mul(TO_COME) / 100).min(shown);
            line.estimate.is_none_or(|estimate| estimate >= needed)
        } else {
            now >= self.since + TRIAL
        };
        is_left && carries
    }

    /// Returns what a cap has to leave for a stream of this rate to come.
    fn to_come(&self, rate: u64) -> u64 {
        let percent = if self.has_no_other { ONLY_STREAM } else { TO_COME };
        rate.saturating_mul(percent) / 100
    }

    /// Returns the rate to probe for, in bits per second; `None` if nothing more is wanted now, or
    /// may be sent.
    #[must_use]
    pub fn goal(&self, now: Instant, left: Option<u64>, rates: &Rates) -> Option<u64> {
        let rate = rates.of(self.next(now)?);
        let most = left.unwrap_or(u64::MAX);
        let goal = (rate.saturating_mul(TO_PROBE) / 100).min(most);
        Some(goal).filter(|goal| *goal > 0 && most >= self.to_come(rate))
    }

    /// Returns the time from which a way up may be tried; `None` at the top.
    #[must_use]
    pub fn next_up(&self) -> Option<Instant> {
        (self.rung != Rung::Main).then(|| self.next_up.max(self.since + STAY))
    }

    /// Returns the next rung up, if it may be tried now.
    fn next(&self, now: Instant) -> Option<Rung> {
        // From each rung, the ways down from the next one must be left.
        let (next, left) = match self.rung {
            Rung::Main => return None,
            Rung::Sub => (Rung::Main, 2),
            Rung::KeyFrames => (Rung::Sub, 1),
            Rung::Still if self.has_no_other => (Rung::Main, 1),
            // The same pictures, so it is none of the changes that are counted.
            Rung::Still => return self.next_up().filter(|at| now >= *at).map(|_| Rung::KeyFrames),
        };
        let recent = |at: &&Instant| now.saturating_duration_since(**at) < CHANGES_TIME;
        let changes = self.changes.iter().filter(recent).count();
        let is_free = changes + 1 + left <= MAX_CHANGES;
        self.next_up().filter(|at| now >= *at && is_free).map(|_| next)
    }

    /// Notes that another rung is shown from now on.
    pub fn handle_change(&mut self, now: Instant, rung: Rung) {
        let is_up = rung > self.rung;
        let is_same = [rung, self.rung].contains(&Rung::Still) && !self.has_no_other;
        if self.rung == Rung::Main {
            self.below_since = now;
        }
        (self.rung, self.since) = (rung, now);
        if !is_same {
            if self.changes.len() == MAX_CHANGES {
                self.changes.pop_front();
            }
            self.changes.push_back(now);
        }
        if is_up {
            self.last_up = Some(now);
            return;
        }
        if self.last_up.is_some_and(|at| now.saturating_duration_since(at) < REGRET) {
            let penalty = FIRST_PENALTY.saturating_mul(1 << self.regrets.min(3));
            self.next_up = now + penalty.min(MAX_PENALTY);
            self.regrets = self.regrets.saturating_add(1);
        } else {
            self.regrets = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { main: 4_000_000, sub: 500_000 };

    fn line(kilobits: u64, is_congested: bool) -> Line {
        Line {
            estimate: Some(kilobits * 1000),
            is_congested,
            queue: Duration::ZERO,
            is_tripped: false,
            is_losing: false,
            is_clear: !is_congested,
            is_detailed: true,
            can_be_probed: true,
        }
    }

    /// Returns a ladder that has gone through these rungs, a second each, and the time after it.
    fn ladder(rungs: &[Rung], seconds: u64) -> (Ladder, Instant) {
        let mut now = Instant::now();
        let mut ladder = Ladder::new(now);
        for rung in rungs {
            now += Duration::from_secs(1);
            ladder.handle_change(now, *rung);
        }
        (ladder, now + Duration::from_secs(seconds))
    }

    #[test]
    fn the_rung_follows_the_path() {
        use Decision::{Down, Stay, Up};
        use Rung::{KeyFrames, Main, Still, Sub};
        let coarse = Line { is_detailed: false, can_be_probed: false, ..line(600, false) };
        let unprobed = Line { can_be_probed: false, ..line(600, false) };
        let busy = Line { is_clear: false, ..line(9000, false) };
        type Case<'a> = (&'a str, &'a [Rung], u64, Line, Decision);
        let unknown = Line { estimate: None, is_congested: true, is_clear: false, ..coarse };
        let tripped = Line { is_tripped: true, ..coarse };
        let table: [Case<'_>; 24] = [
            ("enough", &[], 9, line(9000, false), Stay),
            ("a small estimate without a queue", &[], 9, line(1000, false), Stay),
            ("a queue although it carries more", &[], 9, line(9000, true), Stay),
            ("too little", &[], 0, line(1000, true), Down(Sub)),
            ("too little for both", &[], 9, line(400, true), Down(KeyFrames)),
            ("what was sent before is on its way", &[Sub], 0, line(400, true), Stay),
            ("too little for the sub stream", &[Sub], 1, line(400, true), Down(KeyFrames)),
            ("enough for key frames", &[KeyFrames], 9, line(110, true), Stay),
            ("too little for them", &[KeyFrames], 9, line(100, true), Down(Still)),
            ("nothing is left", &[KeyFrames, Still], 9, line(10, true), Stay),
            (
                "it carries key frames again",
                &[KeyFrames, Still],
                3,
                line(120, false),
                Up(KeyFrames),
            ),
            ("it carries more again", &[Sub], 3, line(4700, false), Up(Main)),
            ("not enough more", &[Sub], 3, line(4500, false), Stay),
            ("enough, but it is busy", &[Sub], 3, busy, Stay),
            ("too soon", &[Sub], 1, line(9000, false), Stay),
            ("one rung after the other", &[KeyFrames], 3, line(9000, false), Up(Sub)),
            ("after a way up that was wrong", &[Sub, Main, Sub], 14, line(9000, false), Stay),
            ("nobody tells of each packet", &[Sub], 29, coarse, Stay),
            ("so it is tried", &[Sub], 31, coarse, Up(Main)),
            ("nobody takes the packets of a probe", &[Sub], 29, unprobed, Stay),
            ("so that is tried, too", &[Sub], 31, unprobed, Up(Main)),
            ("a picture that stands", &[KeyFrames, Still], 31, coarse, Up(KeyFrames)),
            ("whatever was too much before", &[KeyFrames, Still], 31, tripped, Up(KeyFrames)),
            ("nobody tells what it carries", &[], 9, unknown, Down(Sub)),
        ];
        for (case, rungs, seconds, line, expected) in table {
            let (ladder, now) = ladder(rungs, seconds);
            assert_eq!(ladder.decide(now, &line, None, &RATES), expected, "{case}");
        }
    }

    #[test]
    fn a_path_between_two_rungs_changes_the_picture_four_times_a_minute_at_most() {
        let start = Instant::now();
        let mut ladder = Ladder::new(start);
        let mut changes: Vec<Instant> = Vec::new();
        for step in 0..6000 {
            let now = start + Duration::from_millis(100) * step;
            // Whatever is shown is too much, and anything more would fit.
            let congested = line(400, true);
            let (worst, best) = (congested, line(9000, false));
            let line = if step % 20 < 10 { &worst } else { &best };
            let decision = ladder.decide(now, line, None, &RATES);
            if let Decision::Down(rung) | Decision::Up(rung) = decision {
                ladder.handle_change(now, rung);
                changes.push(now);
            }
        }
        check_rare(&changes, start);
    }

    /// Checks that there are not too many changes in any minute, and some all the same.
    fn check_rare(changes: &[Instant], start: Instant) {
        for at in changes {
            let minute = changes.iter().filter(|it| **it >= *at && **it < *at + CHANGES_TIME);
            assert!(minute.count() <= MAX_CHANGES, "{:?} after the start", *at - start);
        }
        assert!(changes.len() > 8, "it does not give up: {}", changes.len());
    }

    #[test]
    fn what_is_probed_for_is_what_the_next_rung_needs() {
        for (case, rungs, seconds, capped, expected) in [
            ("at the top", &[][..], 9, None, None),
            ("below it", &[Rung::Sub], 3, None, Some(5_200_000)),
            ("at the bottom", &[Rung::KeyFrames], 3, None, Some(650_000)),
            ("too soon", &[Rung::Sub], 1, None, None),
            ("just within a cap", &[Rung::Sub], 3, Some(4_600_000), Some(4_600_000)),
            ("beyond a cap", &[Rung::Sub], 3, Some(4_500_000), None),
            ("the only stream", &[Rung::Still], 3, Some(4_000_000), Some(4_000_000)),
            ("the only stream beyond a cap", &[Rung::Still], 3, Some(3_999_999), None),
        ] {
            let (mut ladder, now) = ladder(rungs, seconds);
            ladder.set_no_other(ladder.rung() == Rung::Still);
            assert_eq!(ladder.goal(now, capped, &RATES), expected, "{case}");
        }
    }

    #[test]
    fn a_breaker_takes_the_next_rung_and_a_chosen_stream_altogether() {
        use Decision::{Down, Stay, Up};
        use Rung::{KeyFrames, Main, Still, Sub};
        let known = Line { is_tripped: true, ..line(9000, false) };
        let tripped = Line { is_detailed: false, can_be_probed: false, ..known };
        let losing = Line { is_losing: true, ..line(9000, false) };
        for (case, rungs, alone, line, expected) in [
            ("the main stream", &[][..], false, tripped, Down(Sub)),
            ("the sub stream", &[Sub], false, tripped, Down(KeyFrames)),
            ("its key frames", &[KeyFrames], false, tripped, Down(Still)),
            ("loss of them", &[KeyFrames], false, losing, Down(Still)),
            ("loss of the sub stream", &[Sub], false, losing, Up(Main)),
            ("the main stream of a path that is known", &[], false, known, Stay),
            ("a chosen stream", &[], true, tripped, Down(Still)),
            ("a chosen stream of a path that is known", &[], true, known, Down(Still)),
            ("too little for a chosen stream", &[], true, self::line(1000, true), Stay),
            ("it fits again", &[Still], true, self::line(4600, false), Up(Main)),
            ("it does not", &[Still], true, self::line(4500, false), Stay),
        ] {
            let (mut ladder, now) = ladder(rungs, 3);
            ladder.set_no_other(alone);
            assert_eq!(ladder.decide(now, &line, None, &RATES), expected, "{case}");
        }
    }

    #[test]
    fn a_cap_binds_whoever_has_chosen_a_stream_and_lets_it_return_if_it_fits() {
        use Decision::{Down, Stay, Up};
        use Rung::{Main, Still};
        let (wide, narrow) = (line(9000, false), line(3700, false));
        let coarse = Line { is_detailed: false, can_be_probed: false, ..line(600, false) };
        type Case<'a> = (&'a str, &'a [Rung], u64, Line, u64, Decision);
        let table: [Case<'_>; 10] = [
            ("it fits", &[], 3, wide, 4_000, Stay),
            ("it moves with its key frames", &[], 3, wide, 3_800, Stay),
            ("it does not fit", &[], 3, wide, 3_799, Down(Still)),
            ("it still does not", &[Still], 3, wide, 3_999, Stay),
            ("it just fits again", &[Still], 3, wide, 4_000, Up(Main)),
            ("a probe has shown all that it may", &[Still], 3, narrow, 4_000, Up(Main)),
            ("it could show more", &[Still], 3, narrow, 9_000, Stay),
            ("its path cannot be probed", &[Still], 29, coarse, 4_000, Stay),
            ("so it is tried", &[Still], 31, coarse, 4_000, Up(Main)),
            ("if it fits", &[Still], 31, coarse, 3_999, Stay),
        ];
        for (case, rungs, seconds, line, left, expected) in table {
            let (mut ladder, now) = ladder(rungs, seconds);
            ladder.set_no_other(true);
            let left = Some(left * 1000);
            assert_eq!(ladder.decide(now, &line, left, &RATES), expected, "{case}");
        }
    }

    #[test]
    fn a_chosen_stream_at_the_edge_of_a_cap_stops_and_returns_four_times_a_minute_at_most() {
        let start = Instant::now();
        let mut ladder = Ladder::without_others(start);
        let mut changes: Vec<Instant> = Vec::new();
        for step in 0..6000 {
            let now = start + Duration::from_millis(100) * step;
            // Longer than what counts as a way up that was wrong.
            let left = if step % 250 < 125 { 3_700_000 } else { 4_100_000 };
            let decision = ladder.decide(now, &line(9000, false), Some(left), &RATES);
            if let Decision::Down(rung) | Decision::Up(rung) = decision {
                ladder.handle_change(now, rung);
                changes.push(now);
            }
        }
        check_rare(&changes, start);
    }

    #[test]
    fn a_cap_counts_beside_what_the_path_carries() {
        use Decision::{Down, Stay, Up};
        use Rung::{KeyFrames, Main, Still, Sub};
        let coarse = Line { is_detailed: false, can_be_probed: false, ..line(9000, false) };
        // What is left of the cap, in kbit/s.
        type Case<'a> = (&'a str, &'a [Rung], Line, u64, Decision);
        let table: [Case<'_>; 13] = [
            ("it suffices", &[], line(1000, false), 4000, Stay),
            ("it does not", &[], line(9000, false), 3999, Down(Sub)),
            ("the path carries less", &[], line(400, true), 3999, Down(KeyFrames)),
            ("it suffices, and the path does not", &[], line(3000, true), 9000, Down(Sub)),
            ("nothing is left for the sub stream", &[], line(9000, false), 500, Down(KeyFrames)),
            ("the sub stream fits", &[Sub], line(1000, false), 500, Stay),
            ("it does not fit", &[Sub], line(1000, false), 499, Down(KeyFrames)),
            ("nor do its key frames", &[KeyFrames], line(1000, false), 99, Down(Still)),
            ("nothing is left to go up", &[Sub], line(9000, false), 4599, Stay),
            ("enough is left", &[Sub], line(9000, false), 4600, Up(Main)),
            ("the path carries no more", &[Sub], line(1000, false), 4600, Stay),
            ("a trial beyond it", &[Sub], coarse, 4500, Stay),
            ("a trial within it", &[Sub], coarse, 4600, Up(Main)),
        ];
        for (case, rungs, line, left, expected) in table {
            let (ladder, now) = ladder(rungs, if line.can_be_probed { 3 } else { 31 });
            assert_eq!(ladder.decide(now, &line, Some(left * 1000), &RATES), expected, "{case}");
        }
    }
}
