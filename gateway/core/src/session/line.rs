//! A session whose picture follows its path: the stream that is shown is the largest that the path
//! carries. What a camera's streams need, the gateway says.

use std::time::{Duration, Instant};

use super::media::numbered;
use super::{Section, Session, SessionOutput};
use crate::camera::StreamId;
use crate::congestion::{Decision, Ladder, Line, Rates, Rung};
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

/// The state of the section whose stream follows the path.
#[derive(Debug)]
pub(super) struct Following {
    section: usize,
    ladder: Ladder,
    /// The main stream is to be shown from its next key frame on.
    awaits_main: bool,
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
        self.following = Some(Following { section, ladder: Ladder::new(now), awaits_main: false });
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

    /// Returns true if a section shows less than the main stream because of its path.
    #[must_use]
    pub fn is_below_main(&self, section: usize) -> bool {
        self.following().is_some_and(|(at, rung)| at == section && rung != Rung::Main)
    }

    /// Returns what is known about the path.
    #[must_use]
    pub fn line(&self) -> Line {
        self.congestion.as_ref().map(|congestion| congestion.line()).unwrap_or_default()
    }

    /// Decides which stream to show, after [`SessionOutput::Line`], from the rates of the streams.
    /// A way down is to be done with [`Self::go_down`]; a way up is prepared here.
    pub fn follow_line(&mut self, now: Instant, rates: &Rates) -> Decision {
        let (Some(following), Some(congestion)) = (&mut self.following, &mut self.congestion)
        else {
            return Decision::Stay;
        };
        let ladder = &mut following.ladder;
        let decision = ladder.decide(now, &congestion.line(), rates);
        following.awaits_main = decision == Decision::Up(Rung::Main);
        if let Some(section) = self.sections.get_mut(following.section) {
            section.raise_pace(congestion.line().estimate.map(pace_of));
        }
        if decision == Decision::Up(Rung::Sub)
            && let Some(section) = self.sections.get_mut(following.section)
        {
            section.show_all();
            ladder.handle_change(now, Rung::Sub);
        }
        let goal = ladder.goal(now, rates).filter(|_| !following.awaits_main);
        congestion.set_goal(now, goal, ladder.below_since());
        decision
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

    /// Handles what the viewer says about the path.
    pub(super) fn handle_line(
        &mut self,
        now: Instant,
        packets: &[Packet],
        report: Option<ReceptionReport>,
    ) {
        let Some(congestion) = &mut self.congestion else { return };
        let mut told = congestion.handle_feedback(now, packets);
        if let Some(report) = report {
            told |= congestion.handle_report(&report);
        }
        let queue = congestion.line().queue;
        self.sections.iter_mut().filter_map(Section::sender).for_each(|it| it.set_queue(queue));
        if told && self.following.is_some() {
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
        self.following.as_ref().filter(|_| self.started)?;
        self.congestion.as_ref()?.poll_timeout()
    }
}

/// Returns the pace for this estimate, in bits per second.
fn pace_of(estimate: u64) -> u64 {
    (estimate.saturating_mul(PACE) / 100).max(MIN_PACE)
}

/// Returns the packets of the key frame that a group begins with.
fn key_frame(group: &[MediaPacket]) -> &[MediaPacket] {
    let end = group.iter().position(|packet| packet.marker).map_or(group.len(), |end| end + 1);
    group.get(..end).unwrap_or_default()
}
