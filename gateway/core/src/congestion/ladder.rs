//! The ladder of a camera's streams: the main stream, the sub stream, the key frames of the sub
//! stream. Down as soon as the path does not carry a rung, up when it was shown to carry the next.

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

/// Time after which a viewer that does not tell of each packet is tried with the larger stream.
const TRIAL: Duration = Duration::from_secs(30);

/// Percentages of the rate of a rung that the path has to carry: to stay on it, to come to it, and
/// in a probe.
const TO_STAY: u64 = 105;
const TO_COME: u64 = 115;
const TO_PROBE: u64 = 130;

/// A rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
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
    fn of(&self, rung: Rung) -> u64 {
        match rung {
            Rung::Main => self.main,
            Rung::Sub => self.sub,
            // A key frame is a part of its stream that nothing tells here.
            Rung::KeyFrames => 0,
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
        }
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

    /// Decides what to do about the path and these rates.
    #[must_use]
    pub fn decide(&self, now: Instant, line: &Line, rates: &Rates) -> Decision {
        if !self.changes.is_empty() && now < self.since + SETTLING {
            return Decision::Stay;
        }
        let needed = |rung, percent| rates.of(rung).saturating_mul(percent) / 100;
        let carries =
            |rung, percent| line.estimate.is_none_or(|known| known >= needed(rung, percent));
        let suffices = line.estimate.is_some_and(|known| known >= needed(self.rung, TO_STAY));
        if line.is_congested && !suffices {
            return match self.rung {
                Rung::Main if carries(Rung::Sub, TO_COME) => Decision::Down(Rung::Sub),
                Rung::Main | Rung::Sub => Decision::Down(Rung::KeyFrames),
                Rung::KeyFrames => Decision::Stay,
            };
        }
        let Some(next) = self.next(now) else { return Decision::Stay };
        let tried = !line.is_detailed && now >= self.since + TRIAL;
        if line.is_clear && (tried || line.is_detailed && carries(next, TO_COME)) {
            return Decision::Up(next);
        }
        Decision::Stay
    }

    /// Returns the rate to probe for, in bits per second; `None` if nothing more is wanted now.
    #[must_use]
    pub fn goal(&self, now: Instant, rates: &Rates) -> Option<u64> {
        let next = self.next(now)?;
        Some(rates.of(next).saturating_mul(TO_PROBE) / 100).filter(|goal| *goal > 0)
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
        };
        let recent = |at: &&Instant| now.saturating_duration_since(**at) < CHANGES_TIME;
        let changes = self.changes.iter().filter(recent).count();
        let is_free = changes + 1 + left <= MAX_CHANGES;
        self.next_up().filter(|at| now >= *at && is_free).map(|_| next)
    }

    /// Notes that another rung is shown from now on.
    pub fn handle_change(&mut self, now: Instant, rung: Rung) {
        let is_up = rung > self.rung;
        if self.rung == Rung::Main {
            self.below_since = now;
        }
        (self.rung, self.since) = (rung, now);
        if self.changes.len() == MAX_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(now);
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
            is_clear: !is_congested,
            is_detailed: true,
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
        use Rung::{KeyFrames, Main, Sub};
        let coarse = Line { is_detailed: false, ..line(600, false) };
        let busy = Line { is_clear: false, ..line(9000, false) };
        type Case<'a> = (&'a str, &'a [Rung], u64, Line, Decision);
        let unknown = Line { estimate: None, is_detailed: false, ..line(0, true) };
        let table: [Case<'_>; 17] = [
            ("enough", &[], 9, line(9000, false), Stay),
            ("a small estimate without a queue", &[], 9, line(1000, false), Stay),
            ("a queue although it carries more", &[], 9, line(9000, true), Stay),
            ("too little", &[], 0, line(1000, true), Down(Sub)),
            ("too little for both", &[], 9, line(400, true), Down(KeyFrames)),
            ("what was sent before is on its way", &[Sub], 0, line(400, true), Stay),
            ("too little for the sub stream", &[Sub], 1, line(400, true), Down(KeyFrames)),
            ("nothing is left", &[KeyFrames], 9, line(10, true), Stay),
            ("it carries more again", &[Sub], 3, line(4700, false), Up(Main)),
            ("not enough more", &[Sub], 3, line(4500, false), Stay),
            ("enough, but it is busy", &[Sub], 3, busy, Stay),
            ("too soon", &[Sub], 1, line(9000, false), Stay),
            ("one rung after the other", &[KeyFrames], 3, line(9000, false), Up(Sub)),
            ("after a way up that was wrong", &[Sub, Main, Sub], 14, line(9000, false), Stay),
            ("nobody tells of each packet", &[Sub], 29, coarse, Stay),
            ("so it is tried", &[Sub], 31, coarse, Up(Main)),
            ("nobody tells what it carries", &[], 9, unknown, Down(Sub)),
        ];
        for (case, rungs, seconds, line, expected) in table {
            let (ladder, now) = ladder(rungs, seconds);
            assert_eq!(ladder.decide(now, &line, &RATES), expected, "{case}");
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
            let is_worst = step % 20 < 10;
            let decision = ladder.decide(now, if is_worst { &worst } else { &best }, &RATES);
            if let Decision::Down(rung) | Decision::Up(rung) = decision {
                ladder.handle_change(now, rung);
                changes.push(now);
            }
        }
        for at in &changes {
            let minute = changes.iter().filter(|it| **it >= *at && **it < *at + CHANGES_TIME);
            assert!(minute.count() <= MAX_CHANGES, "{:?} after the start", *at - start);
        }
        assert!(changes.len() > 8, "it does not give up: {}", changes.len());
    }

    #[test]
    fn what_is_probed_for_is_what_the_next_rung_needs() {
        for (case, rungs, seconds, expected) in [
            ("at the top", &[][..], 9, None),
            ("below it", &[Rung::Sub], 3, Some(5_200_000)),
            ("at the bottom", &[Rung::KeyFrames], 3, Some(650_000)),
            ("too soon", &[Rung::Sub], 1, None),
        ] {
            let (ladder, now) = ladder(rungs, seconds);
            assert_eq!(ladder.goal(now, &RATES), expected, "{case}");
        }
    }
}
