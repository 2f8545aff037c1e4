//! A session whose picture follows its path: the stream that is shown is the largest that the path
//! carries. What a camera's streams need, the gateway says.

use std::time::{Duration, Instant};

use super::media::numbered;
use super::{Section, Session, SessionOutput};
use crate::camera::StreamId;
use crate::congestion::{Congestion, Decision, Ladder, Line, Rates, Rung, Sent};
use crate::media::MediaPacket;
use crate::rtp::rtcp::Packet;
use crate::rtp::{Pace, ReceptionReport};

/// The part of a narrow path that a group of pictures is sent with, in percent of the estimate: the
/// rest is for the queue that stands on it.
const PACE: u64 = 90;

/// Lowest pace in bits per second: on a path with less no picture is seen, whatever its pace.
const MIN_PACE: u64 = 100_000;

/// Part of the queue that is left when a group of pictures begins, so that the path does not idle,
/// and the longest time that is waited for the rest.
const KEPT_QUEUE: Duration = Duration::from_millis(50);
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Pace of a group of pictures at least, in percent of the rate of its stream: with less, what is
/// live comes later and later behind it.
const LEAST_PACE: u64 = 120;

/// Time from one decision to the next while nothing is sent.
const DECIDE_INTERVAL: Duration = Duration::from_secs(1);

/// The state of the section whose stream follows the path.
#[derive(Debug)]
pub(super) struct Following {
    section: usize,
    ladder: Ladder,
    /// The main stream is to be shown from its next key frame on.
    awaits_main: bool,
    /// Time at which to decide without a report, while nothing is sent that could be reported.
    decide_at: Option<Instant>,
    /// The rung that the viewer was told of.
    told: Rung,
    /// True if the camera has a sub stream, of which no picture can be shown now.
    lacks_sub: bool,
}

impl Following {
    /// Returns true if this section follows the path.
    pub(super) fn is_of(&self, section: usize) -> bool {
        self.section == section
    }
}

impl Session {
    /// Lets the stream of a section follow the path from now on. It is the main stream at first.
    pub fn set_following(&mut self, now: Instant, section: usize) {
        self.following = Some(Following {
            section,
            ladder: Ladder::new(now),
            awaits_main: false,
            decide_at: None,
            told: Rung::Main,
            lacks_sub: false,
        });
    }

    /// Lets a section stop where its path does not carry its stream at all, and go on when it does.
    pub fn set_breaker(&mut self, now: Instant, section: usize) {
        self.set_following(now, section);
        if let Some(following) = &mut self.following {
            following.ladder = Ladder::without_others(now);
        }
    }

    /// Notes whether the sub stream cannot be shown to a viewer that follows its path. Meanwhile
    /// its section is like that of a viewer that has chosen its stream.
    pub fn set_lacks_sub(&mut self, lacks_sub: bool) {
        if let Some(following) = &mut self.following {
            following.lacks_sub = lacks_sub;
            following.ladder.set_no_other(lacks_sub);
        }
    }

    /// Returns true if there is a sub stream, of which nothing could be shown of late.
    #[must_use]
    pub fn lacks_sub(&self) -> bool {
        self.following.as_ref().is_some_and(|following| following.lacks_sub)
    }

    /// Returns true if the viewer has chosen its stream, or there is no other.
    #[must_use]
    pub fn has_no_other(&self) -> bool {
        self.following.as_ref().is_none_or(|following| following.ladder.has_no_other())
    }

    /// Returns the section whose stream follows the path, and what is shown in it.
    #[must_use]
    pub fn following(&self) -> Option<(usize, Rung)> {
        self.following.as_ref().map(|following| (following.section, following.ladder.rung()))
    }

    /// Returns true if a section is to show the main stream from its next key frame on.
    #[must_use]
    pub fn awaits_main(&self, section: usize) -> bool {
        self.following.as_ref().is_some_and(|it| it.section == section && it.awaits_main)
    }

    /// Returns true if a section shows the sub stream, or a part of it, because of its path.
    #[must_use]
    pub fn shows_sub(&self, section: usize) -> bool {
        self.following()
            .is_some_and(|(at, rung)| at == section && matches!(rung, Rung::Sub | Rung::KeyFrames))
    }

    /// Returns true if nothing is shown because of the path or the cap.
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.following().is_some_and(|(_, rung)| rung == Rung::Still)
    }

    /// Returns the rung that is shown, if that is news to the viewer.
    pub fn take_news(&mut self) -> Option<Rung> {
        let following = self.following.as_mut()?;
        let rung = following.ladder.rung();
        (std::mem::replace(&mut following.told, rung) != rung).then_some(rung)
    }

    /// Returns what is known about the path.
    #[must_use]
    pub fn line(&self) -> Line {
        self.congestion.as_ref().map(|congestion| congestion.line()).unwrap_or_default()
    }

    /// Returns the rung that is shown, or will be with its next key frame.
    #[must_use]
    pub fn coming_rung(&self) -> Option<Rung> {
        let following = self.following.as_ref()?;
        Some(if following.awaits_main { Rung::Main } else { following.ladder.rung() })
    }

    /// Sets the pace of the first group of pictures where there is a cap: `limit` is what is
    /// left of it, and `rate` that of the stream, in bits per second. Without a rate, there is no
    /// pace that would catch up with it.
    pub fn set_first_pace(&mut self, section: usize, limit: u64, rate: Option<u64>) {
        if let Some(section) = self.sections.get_mut(section) {
            section.set_pace(first_pace(limit, rate));
        }
    }

    /// Begins with the sub stream, for a viewer that the main stream is too much for: `group` is
    /// its cached group of pictures. `limit` and `rate` are those of its first pace.
    pub fn begin_low(
        &mut self,
        now: Instant,
        source: StreamId,
        group: &[MediaPacket],
        (limit, rate): (u64, Option<u64>),
    ) {
        let Some(following) = &mut self.following else { return };
        following.ladder.begin_low(now);
        let index = following.section;
        let Some(section) = self.sections.get_mut(index) else { return };
        section.set_source(source);
        self.set_first_pace(index, limit, rate);
        self.send_burst(now, index, group);
    }

    /// Decides which stream to show, after [`SessionOutput::Line`], from the rates of the streams
    /// and what a cap leaves for the viewer. A way down is to be done with [`Self::go_down`]; a way
    /// up is prepared here.
    pub fn follow_line(&mut self, now: Instant, rates: &Rates, left: Option<u64>) -> Decision {
        let (Some(following), Some(congestion)) = (&mut self.following, &mut self.congestion)
        else {
            return Decision::Stay;
        };
        let ladder = &mut following.ladder;
        let decision = ladder.decide(now, &congestion.line(), left, rates);
        following.awaits_main = decision == Decision::Up(Rung::Main);
        if let Some(section) = self.sections.get_mut(following.section) {
            section.raise_pace(congestion.line().estimate.map(pace_of));
        }
        if let (Decision::Up(rung), Some(section)) =
            (decision, self.sections.get_mut(following.section))
        {
            let stays = ladder.has_no_other();
            match rung {
                Rung::Main if stays => section.show_again(),
                Rung::Still | Rung::Main => {}
                Rung::KeyFrames => section.show_key_frames(),
                Rung::Sub => section.show_all(),
            }
            if rung != Rung::Main || stays {
                if ladder.rung() == Rung::Still {
                    congestion.handle_change();
                }
                ladder.handle_change(now, rung);
                following.awaits_main = false;
            }
        }
        let goal = ladder.goal(now, left, rates).filter(|_| !following.awaits_main);
        congestion.set_goal(now, goal, ladder.below_since());
        decision
    }

    /// Decides whether a cap allows what is shown, without news of the path. A way down is to be
    /// done with [`Self::go_down`] or [`Self::go_still`]; there are no ways up.
    #[must_use]
    pub fn follow_cap(&self, now: Instant, rates: &Rates, left: Option<u64>) -> Decision {
        let Some(following) = &self.following else { return Decision::Stay };
        let Line { estimate, can_be_probed, .. } = self.line();
        let line = Line { estimate, can_be_probed, ..Line::default() };
        following.ladder.decide(now, &line, left, rates)
    }

    /// Shows the last picture from now on.
    pub fn go_still(&mut self, now: Instant) {
        let Some(following) = &mut self.following else { return };
        (following.awaits_main, following.decide_at) = (false, Some(now + DECIDE_INTERVAL));
        following.ladder.handle_change(now, Rung::Still);
        if let Some(congestion) = &mut self.congestion {
            congestion.handle_pause();
        }
        if let Some(section) = self.sections.get_mut(following.section) {
            section.show_nothing();
        }
    }

    /// Lets the pictures come from another stream when they come again, while nothing is shown.
    pub fn wait_for(&mut self, source: StreamId) {
        let section = self.following.as_ref().map(|following| following.section);
        if let Some(section) = section.and_then(|index| self.sections.get_mut(index)) {
            section.set_source(source);
            section.show_nothing();
        }
    }

    /// Shows a lower rung of the ladder at once: `source` is the sub stream, `group` its cached
    /// group of pictures.
    pub fn go_down(&mut self, now: Instant, rung: Rung, source: StreamId, group: &[MediaPacket]) {
        let Line { estimate, queue, .. } = self.line();
        let pace = estimate.map(|estimate| Pace {
            bits_per_second: pace_of(estimate),
            wait: queue.saturating_sub(KEPT_QUEUE).min(MAX_WAIT),
        });
        let Some(following) = &mut self.following else { return };
        following.awaits_main = false;
        following.ladder.handle_change(now, rung);
        if let Some(congestion) = &mut self.congestion {
            congestion.handle_change();
        }
        let index = following.section;
        let Some(section) = self.sections.get_mut(index) else { return };
        let is_new = *section.source() != source;
        section.set_source(source);
        section.set_pace(pace);
        let group = match rung {
            Rung::Main | Rung::Sub => group,
            Rung::KeyFrames => {
                section.show_key_frames();
                key_frame(group)
            }
            // That is `go_still`, which needs no stream.
            Rung::Still => group.get(..0).unwrap_or_default(),
        };
        if is_new {
            self.send_burst(now, index, group);
        }
    }

    /// Shows the main stream, whose key frame these packets begin with.
    pub fn go_up(&mut self, now: Instant, source: StreamId, packets: &[MediaPacket]) {
        let Some(following) = &mut self.following else { return };
        following.awaits_main = false;
        following.ladder.handle_change(now, Rung::Main);
        if let Some(congestion) = &mut self.congestion {
            congestion.handle_change();
        }
        let index = following.section;
        if let Some(section) = self.sections.get_mut(index) {
            section.set_source(source);
            section.set_pace(None);
        }
        self.send_packets(now, index, packets);
    }

    /// Asks for a decision while nothing is sent: what nobody gets, nobody reports on.
    pub(super) fn decide_without_report(&mut self, now: Instant) {
        let Some(following) = &mut self.following else { return };
        if following.decide_at.is_some_and(|at| at <= now) {
            let is_still = following.ladder.rung() == Rung::Still;
            following.decide_at = is_still.then(|| now + DECIDE_INTERVAL);
            self.outbox.push_back(SessionOutput::Line);
        }
    }

    /// Handles what the viewer says about the path.
    pub(super) fn handle_line(
        &mut self,
        now: Instant,
        packets: &[Packet],
        report: Option<(ReceptionReport, Sent)>,
    ) {
        let Some(congestion) = &mut self.congestion else { return };
        let mut told = congestion.handle_feedback(now, packets);
        if let Some((report, sent)) = report {
            told |= congestion.handle_report(now, &report, sent);
        }
        let queue = congestion.line().queue;
        self.sections.iter_mut().filter_map(Section::sender).for_each(|it| it.set_queue(queue));
        if told {
            self.outbox.push_back(SessionOutput::Line);
        }
    }

    /// Sends the packets that probe the path, as far as they are due.
    pub(super) fn send_padding(&mut self, now: Instant) {
        let Some(index) = self.following.as_ref().map(|following| following.section) else {
            return;
        };
        // Each packet counts towards what is sent, so the probe has an end.
        while self.congestion.as_mut().is_some_and(|it| it.wants_padding(now)) {
            let section = self.sections.get_mut(index);
            let transport = section.as_ref().and_then(|it| self.transports.ready(it.transport()));
            let sent = section.zip(transport).is_some_and(|(section, transport)| {
                let written = section.sender().is_some_and(|it| it.write_padding(&mut self.plain));
                if written {
                    numbered(now, &mut self.congestion, transport)(&mut self.plain);
                }
                written
            });
            if !sent && let Some(congestion) = &mut self.congestion {
                congestion.give_up_padding(now);
            }
        }
    }

    /// Returns the time at which the path is to be probed.
    pub(super) fn line_timeout(&self) -> Option<Instant> {
        let following = self.following.as_ref().filter(|_| self.started)?;
        let probe = self.congestion.as_ref().and_then(Congestion::poll_timeout);
        following.decide_at.into_iter().chain(probe).min()
    }
}

/// Returns the pace for this estimate, in bits per second.
fn pace_of(estimate: u64) -> u64 {
    (estimate.saturating_mul(PACE) / 100).max(MIN_PACE)
}

/// Returns the pace of the first group where so much is left of the cap.
fn first_pace(limit: u64, rate: Option<u64>) -> Option<Pace> {
    let least = rate?.saturating_mul(LEAST_PACE) / 100;
    Some(Pace { bits_per_second: pace_of(limit).max(least), wait: Duration::ZERO })
}

/// Returns the packets of the key frame that a group begins with.
fn key_frame(group: &[MediaPacket]) -> &[MediaPacket] {
    let end = group.iter().position(|packet| packet.marker).map_or(group.len(), |end| end + 1);
    group.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pace_catches_up_with_the_stream() {
        // What is left of the cap and the rate of the stream, and the pace; in kbit/s.
        for (case, limit, rate, expected) in [
            ("more is left", 10_000, Some(4_000), Some(9_000)),
            ("just enough is left", 4_600, Some(4_000), Some(4_800)),
            ("less is left", 1_500, Some(4_000), Some(4_800)),
            ("nothing is left", 0, Some(500), Some(600)),
            ("the rate is not known", 0, None, None),
        ] {
            let pace = first_pace(limit * 1000, rate.map(|rate| rate * 1000));
            assert_eq!(pace.map(|pace| pace.bits_per_second / 1000), expected, "{case}");
        }
    }
}
