//! Diagnosis of a stream that is connected but gives no picture, or a bad one.
//!
//! Everything is derived from the counters of the stream's [`FeedStatistics`] and the time, so no
//! packet is looked at twice. A problem is named once it is certain; what is only late is shown
//! with the time it has taken so far.

use std::fmt;
use std::time::{Duration, Instant};

use crate::media::FeedStatistics;

/// Time after the first packet from which the wait for a key frame is reported. Most cameras send
/// one every second or two.
const KEY_FRAME_LATE: Duration = Duration::from_secs(5);

/// Time after which no key frame is expected any more. Smart codecs reach intervals of 20 s.
const KEY_FRAME_NEVER: Duration = Duration::from_secs(30);

/// Interval at which the reported time is updated.
const UPDATE_INTERVAL: Duration = Duration::from_secs(5);

/// Number of slices after which broken slice headers are taken for encryption, and not for a loss.
const MIN_SLICES: u64 = 40;

/// Number of pictures that must go back in time before they are taken for B pictures.
const MIN_PICTURES_BACK: u64 = 5;

/// Time after the last picture that went back in time at which the warning ends.
const WARNING_TIME: Duration = Duration::from_secs(30);

/// The result of a diagnosis. It is made for every packet, its sentence only when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// No problem, or none that has lasted long enough.
    Fine,
    /// No picture, for this reason.
    NoPicture(Problem),
    /// A picture that this spoils.
    Spoiled(Warning),
}

/// A reason for which there is no picture. Its text is for the person who looks after the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// Headers of slices are broken.
    Encrypted,
    /// Data beside pictures only, for this time.
    OnlyData { seconds: u64 },
    /// Units that are recognized as no picture, for this time.
    Unrecognized { seconds: u64 },
    /// Absence of key frames for this time.
    KeyFrameIsLate { seconds: u64 },
    /// Absence of key frames for so long that none is expected.
    NoKeyFrames,
    /// Pictures are refreshed gradually, without key frames.
    GradualRefresh,
    /// Key frames come without the parameter sets that they need, for this time.
    NoParameterSets { seconds: u64 },
}

/// A reason for which the picture is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warning {
    /// Pictures go back in time.
    BPictures,
    /// A new viewer waits for a key frame; the last one was this long ago.
    RareKeyFrames { seconds: u64 },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let never = |f: &mut fmt::Formatter<'_>, setting| {
            write!(
                f,
                "the camera never sends a key frame (IDR), so browsers cannot start its picture: \
                 set its I-frame interval (GOP) to 1 or 2 s, and its {setting}"
            )
        };
        match self {
            Self::Encrypted => f.write_str(
                "the camera's pictures are encrypted or damaged: turn its stream encryption off",
            ),
            Self::OnlyData { seconds } => write!(
                f,
                "the camera has sent no picture for {seconds} s, only data beside pictures (SEI, \
                 parameter sets): restart it, and check the settings of its encoder"
            ),
            Self::Unrecognized { seconds } => write!(
                f,
                "the camera has sent no picture that can be recognized for {seconds} s: set its \
                 video to H.264"
            ),
            Self::KeyFrameIsLate { seconds } => write!(
                f,
                "no key frame for {seconds} s; a picture can only start at one: set the camera's \
                 I-frame interval (GOP) to 1 or 2 s, and its smart codec off"
            ),
            Self::NoParameterSets { seconds } => write!(
                f,
                "for {seconds} s the camera has sent key frames without the parameter sets (SPS, \
                 PPS) that say how to decode them: restart it, or set its codec or resolution anew"
            ),
            Self::NoKeyFrames => never(f, "smart codec off"),
            Self::GradualRefresh => never(f, "intra refresh off"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BPictures => f.write_str(
                "the camera sends B pictures, which browsers cannot show smoothly: set its \
                 profile to Baseline, or the number of B frames to 0",
            ),
            Self::RareKeyFrames { seconds } => write!(
                f,
                "the last key frame was {seconds} s ago, so a new viewer waits for the next one: \
                 set the camera's I-frame interval (GOP) to 1 or 2 s"
            ),
        }
    }
}

/// The diagnosis of one connection of a stream.
#[derive(Debug, Default)]
pub(super) struct Diagnosis {
    /// Counters when the connection began.
    before: FeedStatistics,
    first_packet: Option<Instant>,
    last_key_frame: Option<Instant>,
    key_frames: u64,
    pictures_back: u64,
    went_back_at: Option<Instant>,
    /// Time at which the finding must be computed again although no packet arrives.
    next: Option<Instant>,
}

impl Diagnosis {
    /// Begins the diagnosis of a new connection, whose counters continue from `before`.
    pub(super) fn new(before: FeedStatistics) -> Self {
        Self {
            before,
            key_frames: before.key_frames,
            pictures_back: before.pictures_back,
            ..Self::default()
        }
    }

    /// Returns the time at which [`Self::examine`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Examines the counters; `group_is_too_large` tells that a new viewer cannot be sent the group
    /// of pictures.
    pub(super) fn examine(
        &mut self,
        now: Instant,
        statistics: &FeedStatistics,
        group_is_too_large: bool,
    ) -> Finding {
        if statistics.received == self.before.received {
            return Finding::Fine;
        }
        let first = *self.first_packet.get_or_insert(now);
        if statistics.key_frames > self.key_frames {
            self.key_frames = statistics.key_frames;
            self.last_key_frame = Some(now);
        }
        let finding = match self.last_key_frame {
            None => self.explain_missing_key_frame(now, first, statistics),
            Some(last) => self.warn(now, last, statistics, group_is_too_large),
        };
        let since = now.saturating_duration_since(first);
        self.next = match &finding {
            Finding::Fine if self.last_key_frame.is_none() => Some(first + KEY_FRAME_LATE),
            Finding::NoPicture(_) if since < KEY_FRAME_NEVER => {
                Some(first + whole_intervals(since) + UPDATE_INTERVAL)
            }
            Finding::Spoiled(_) => Some(now + UPDATE_INTERVAL),
            Finding::Fine | Finding::NoPicture(_) => None,
        };
        finding
    }

    fn explain_missing_key_frame(
        &self,
        now: Instant,
        first: Instant,
        statistics: &FeedStatistics,
    ) -> Finding {
        let since = now.saturating_duration_since(first);
        let slices = statistics.slices - self.before.slices;
        if is_encrypted(&self.before, statistics) {
            return Finding::NoPicture(Problem::Encrypted);
        }
        if since < KEY_FRAME_LATE {
            return Finding::Fine;
        }
        let seconds = whole_intervals(since).as_secs();
        Finding::NoPicture(if statistics.bare_key_frames > self.before.bare_key_frames {
            Problem::NoParameterSets { seconds }
        } else if slices > 0 && since < KEY_FRAME_NEVER {
            Problem::KeyFrameIsLate { seconds }
        } else if slices > 0 && statistics.recovery_points > self.before.recovery_points {
            Problem::GradualRefresh
        } else if slices > 0 {
            Problem::NoKeyFrames
        } else if statistics.other_units > self.before.other_units {
            Problem::OnlyData { seconds }
        } else {
            Problem::Unrecognized { seconds }
        })
    }

    fn warn(
        &mut self,
        now: Instant,
        last_key_frame: Instant,
        statistics: &FeedStatistics,
        group_is_too_large: bool,
    ) -> Finding {
        if statistics.pictures_back >= self.pictures_back + MIN_PICTURES_BACK {
            self.pictures_back = statistics.pictures_back;
            self.went_back_at = Some(now);
        }
        let recently = |at: Instant| now.saturating_duration_since(at) < WARNING_TIME;
        if self.went_back_at.is_some_and(recently) {
            return Finding::Spoiled(Warning::BPictures);
        }
        let since = now.saturating_duration_since(last_key_frame);
        if group_is_too_large && since >= KEY_FRAME_LATE {
            let seconds = whole_intervals(since).as_secs();
            return Finding::Spoiled(Warning::RareKeyFrames { seconds });
        }
        Finding::Fine
    }
}

/// Returns true if so many slice headers are broken that a key must be missing. An encrypted header
/// is a valid one by chance about every second time.
fn is_encrypted(before: &FeedStatistics, now: &FeedStatistics) -> bool {
    let slices = now.slices - before.slices;
    slices >= MIN_SLICES && (now.broken_slices - before.broken_slices) * 4 >= slices
}

fn whole_intervals(since: Duration) -> Duration {
    let count = since.as_secs() / UPDATE_INTERVAL.as_secs();
    UPDATE_INTERVAL.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examines counters after each of these seconds since the first packet.
    fn findings(
        statistics: FeedStatistics,
        too_large: bool,
        seconds: &[u64],
    ) -> Vec<(u64, Finding)> {
        let start = Instant::now();
        let mut diagnosis = Diagnosis::new(FeedStatistics::default());
        let first = FeedStatistics { received: 1, ..FeedStatistics::default() };
        assert_eq!(diagnosis.examine(start, &first, false), Finding::Fine);
        let examine = |&after: &u64| {
            let now = start + Duration::from_secs(after);
            (after, diagnosis.examine(now, &statistics, too_large))
        };
        seconds.iter().map(examine).collect()
    }

    #[test]
    fn a_missing_key_frame_is_named_from_five_seconds_and_called_never_after_thirty() {
        let base = FeedStatistics { received: 900, slices: 450, ..FeedStatistics::default() };
        let table = [
            ("late", base, 5, "no key frame for 5 s"),
            ("later", base, 14, "no key frame for 10 s"),
            ("smart codec", base, 30, "never sends a key frame (IDR)"),
            (
                "intra refresh",
                FeedStatistics { recovery_points: 30, ..base },
                31,
                "its intra refresh off",
            ),
            (
                "nothing but SEI",
                FeedStatistics { slices: 0, other_units: 900, ..base },
                5,
                "only data beside pictures (SEI",
            ),
            ("nothing known", FeedStatistics { slices: 0, ..base }, 5, "set its video to H.264"),
            (
                "no parameter sets",
                FeedStatistics { bare_key_frames: 5, ..base },
                5,
                "without the parameter sets (SPS, PPS)",
            ),
            ("encrypted", FeedStatistics { broken_slices: 200, ..base }, 1, "encryption off"),
        ];
        for (case, statistics, seconds, expected) in table {
            match findings(statistics, false, &[seconds]).as_slice() {
                [(_, Finding::NoPicture(problem))] => {
                    let why = problem.to_string();
                    assert!(why.contains(expected), "{case}: {why}");
                }
                other => panic!("{case}: {other:?}"),
            }
        }
        assert_eq!(findings(base, false, &[4])[0].1, Finding::Fine, "four seconds are usual");
    }

    #[test]
    fn a_picture_that_browsers_show_badly_is_warned_about_while_it_lasts() {
        let live =
            FeedStatistics { received: 9, slices: 9, key_frames: 1, ..FeedStatistics::default() };
        let back = FeedStatistics { pictures_back: 20, ..live };
        let spoiled = |found: &(u64, Finding)| (found.0, matches!(found.1, Finding::Spoiled(_)));
        let run = |statistics, too_large| -> Vec<_> {
            findings(statistics, too_large, &[1, 20, 40]).iter().map(spoiled).collect()
        };
        assert_eq!(run(live, false), [(1, false), (20, false), (40, false)]);
        assert_eq!(run(back, false), [(1, true), (20, true), (40, false)]);
        assert_eq!(run(live, true), [(1, false), (20, true), (40, true)]);
    }

    #[test]
    fn the_wait_for_a_key_frame_is_examined_again_in_time() {
        let start = Instant::now();
        let mut diagnosis = Diagnosis::new(FeedStatistics::default());
        let statistics = FeedStatistics { received: 1, slices: 1, ..FeedStatistics::default() };
        let mut due = Vec::new();
        let mut now = start;
        for _ in 0..20 {
            diagnosis.examine(now, &statistics, false);
            let Some(next) = diagnosis.poll_timeout() else { break };
            assert!(next > now, "no busy loop");
            now = next;
            due.push((now - start).as_secs());
        }
        assert_eq!(due, [5, 10, 15, 20, 25, 30], "then the finding is final");
    }
}
