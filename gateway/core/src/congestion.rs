//! Congestion control for the path to one viewer (RFC 8834 §7): what the path carries, and which of
//! a camera's streams that is enough for.
//!
//! Each packet gets a number of its transport, and the viewer reports when it arrived
//! ([`crate::rtp::rtcp::TransportFeedback`]). From that [`Congestion`] estimates what the path
//! carries, in the way of Google Congestion Control (draft-ietf-rmcat-gcc-02): `delay` detects that
//! delays grow, `queue` that a queue stands, `loss` that packets are lost, and `rate` moves the
//! estimate. A small stream never shows that a large one would fit, so `probe` sends more than the
//! stream for a moment. [`Uplink`] has what a cap leaves for each viewer, and [`Ladder`] decides on
//! the stream.
//!
//! Architecture invariant: nothing here knows a camera, a socket or a packet's contents, and what
//! is kept for a viewer is bounded by count and by age.

mod breaker;
mod delay;
mod ladder;
mod loss;
mod probe;
mod queue;
mod rate;
mod sent;
mod uplink;

use std::time::{Duration, Instant};

use crate::rtp::rtcp::{Packet, TICK, TransportFeedback};
use crate::rtp::{ReceptionReport, stamp};
use breaker::Breaker;
use delay::{DelayDetector, Signal};
use loss::Loss;
use probe::Probing;
use queue::Queue;
use rate::RateControl;
use sent::SentRecord;

pub use breaker::Sent;
pub use ladder::{Decision, Ladder, Rates, Rung};
pub use uplink::{Shown, Uplink};

/// Bytes that a datagram has around an RTP packet: IPv4, UDP and the tag of SRTP.
const OVERHEAD: usize = 20 + 8 + 16;

/// Fraction of packets lost, in 1/256, from which a report without more detail speaks of
/// congestion: a quarter, which no radio link loses all the time.
const BAD_FRACTION: u8 = 64;

/// Number of successive bad reports from which a viewer without transport-wide feedback counts as
/// congested: about two seconds.
const BAD_REPORTS: u32 = 2;

/// Time for which packets are sent without a report on any of them, after which the viewer no
/// longer tells of each packet, in microseconds.
const UNANSWERED: i64 = 3_000_000;

/// Time without a packet after which a path counts as empty, in microseconds: longer than the
/// queues that are met.
const IDLE: i64 = 2_000_000;

/// The state of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// The estimate of what it carries in bits per second; `None` before the first feedback.
    pub estimate: Option<u64>,
    /// True if it carries less than is sent: a queue stands and grows, or packets are lost.
    pub is_congested: bool,
    /// The time that the last packet has waited in queues.
    pub queue: Duration,
    /// True if the stream takes far more than is fair, or does not arrive, by the viewer's reports.
    pub is_tripped: bool,
    /// True if a quarter was lost by the viewer's last reports.
    pub is_losing: bool,
    /// True if no queue stands, and few packets are lost.
    pub is_clear: bool,
    /// True if the viewer tells of each packet.
    pub is_detailed: bool,
    /// True if the path can be probed: the viewer also takes packets that are sent again.
    pub can_be_probed: bool,
}

/// The congestion control of one path. Number each packet with [`Self::stamp`], pass in the
/// viewer's reports, and send what [`Self::wants_padding`] asks for.
#[derive(Debug)]
pub struct Congestion {
    /// Id of the header extension that has the number.
    id: Option<u8>,
    /// The viewer takes packets that are sent again, which is what probes are made of.
    takes_padding: bool,
    epoch: Instant,
    sent: SentRecord,
    /// Time of the newest arrival, in ticks of the viewer's clock.
    last_arrival: Option<i64>,
    detector: DelayDetector,
    queue: Queue,
    loss: Loss,
    rate: RateControl,
    probing: Probing,
    /// The viewer's own estimate.
    remb: Option<u64>,
    bad_reports: u32,
    breaker: Breaker,
    /// Time of the last packet.
    last_sent: i64,
    /// Time of the first packet since the last report on one.
    unanswered: Option<i64>,
    /// Number of the first packet of the stream that is sent now.
    first_of_stream: u64,
    /// True while no packet of the stream is sent.
    is_paused: bool,
    line: Line,
}

/// A packet that has arrived. Times are in microseconds, each on the clock of its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrival {
    number: u64,
    sent: i64,
    received: i64,
    bytes: u32,
}

impl Congestion {
    /// Creates the control of a path. `id`: that of the header extension with the transport-wide
    /// number, if it was negotiated. `takes_padding`: retransmissions as a stream of their own
    /// were negotiated, too.
    #[must_use]
    pub fn new(now: Instant, id: Option<u8>, takes_padding: bool) -> Self {
        Self {
            id,
            takes_padding,
            epoch: now,
            sent: SentRecord::default(),
            last_arrival: None,
            detector: DelayDetector::default(),
            queue: Queue::default(),
            loss: Loss::default(),
            rate: RateControl::default(),
            probing: Probing::default(),
            remb: None,
            bad_reports: 0,
            breaker: Breaker::default(),
            last_sent: 0,
            unanswered: None,
            first_of_stream: 0,
            is_paused: false,
            line: Line::default(),
        }
    }

    /// Numbers a packet that is sent now, if it has room for the number.
    pub fn stamp(&mut self, now: Instant, packet: &mut [u8]) {
        let Some(id) = self.id else { return };
        let number = self.sent.next();
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
        if stamp(packet, id, number as u16) {
            let bytes = u32::try_from(packet.len() + OVERHEAD).unwrap_or(u32::MAX);
            self.last_sent = micros(self.epoch, now);
            self.unanswered.get_or_insert(self.last_sent);
            self.sent.push(self.last_sent, bytes);
            self.probing.handle_sent(number, bytes);
        }
    }

    /// Returns the state of the path.
    #[must_use]
    pub fn line(&self) -> Line {
        self.line
    }

    /// Handles the packets of an RTCP compound of the viewer. Returns true if one of them has told
    /// about the path.
    pub fn handle_feedback(&mut self, now: Instant, packets: &[Packet]) -> bool {
        let mut told = false;
        for packet in packets {
            match packet {
                Packet::TransportFeedback(feedback) if self.id.is_some() => {
                    self.handle_arrivals(now, feedback);
                    told = true;
                }
                Packet::BandwidthEstimate(estimate) if self.last_arrival.is_none() => {
                    self.remb = Some(estimate.bits_per_second);
                }
                Packet::TransportFeedback(_)
                | Packet::BandwidthEstimate(_)
                | Packet::SenderReport { .. }
                | Packet::ReceiverReport { .. }
                | Packet::Description { .. }
                | Packet::Goodbye { .. }
                | Packet::Nack { .. }
                | Packet::PictureLoss { .. }
                | Packet::FullIntra { .. }
                | Packet::Other(_) => {}
            }
        }
        told
    }

    /// Handles a receiver's report on the stream, which is all that some viewers tell. Returns true
    /// if it has told about the path.
    pub fn handle_report(&mut self, now: Instant, report: &ReceptionReport, sent: Sent) -> bool {
        if self.is_paused {
            return false;
        }
        self.line.is_tripped = self.breaker.handle_report(now, report, sent);
        let is_bad = report.fraction_lost >= BAD_FRACTION;
        self.bad_reports = if is_bad { self.bad_reports.saturating_add(1) } else { 0 };
        self.line.is_losing = self.bad_reports >= BAD_REPORTS;
        let now = micros(self.epoch, now);
        let is_answered = self.unanswered.is_none_or(|since| now - since < UNANSWERED);
        if self.line.is_detailed && is_answered {
            return self.line.is_tripped || self.line.is_losing;
        }
        self.line = Line {
            estimate: self.remb,
            is_congested: self.line.is_losing,
            queue: Duration::ZERO,
            is_clear: !is_bad,
            is_detailed: false,
            can_be_probed: false,
            ..self.line
        };
        true
    }

    fn handle_arrivals(&mut self, now: Instant, feedback: &TransportFeedback) {
        let now = micros(self.epoch, now);
        let (mut lost, mut received) = (0, 0);
        let mut arrivals = Vec::new();
        let first = self.sent.extend(feedback.first);
        for (number, arrival) in (first..).zip(&feedback.arrivals) {
            let Some(arrival) = arrival else {
                let is_new = self.sent.lose(number) && number >= self.first_of_stream;
                lost += u32::from(is_new);
                continue;
            };
            let last = self.last_arrival.unwrap_or(*arrival);
            let arrival = TransportFeedback::unwrap(*arrival, last);
            if let Some(sent) = self.sent.take(number) {
                // Numbers that were never sent move nothing.
                self.last_arrival = Some(arrival.max(last));
                let at = arrival.saturating_mul(TICK_MICROS);
                arrivals.push(Arrival { number, sent: sent.at, received: at, bytes: sent.bytes });
                received += u32::from(number >= self.first_of_stream);
            }
        }
        self.sent.forget_before(now);
        if arrivals.is_empty() && lost == 0 {
            return;
        }
        self.unanswered = None;
        self.loss.add(now, received, lost);
        // As they arrived: what was overtaken says nothing about a queue.
        arrivals.sort_by_key(|arrival| (arrival.received, arrival.sent));
        for arrival in &arrivals {
            self.queue.add(arrival);
            self.detector.add(arrival);
        }
        self.judge(now);
        self.finish_probe(now, first, feedback.arrivals.len() as u64, &arrivals);
        self.line = Line {
            estimate: self.rate.estimate(),
            queue: self.queue.last(),
            is_clear: self.queue.is_clear() && self.loss.is_fine(),
            is_detailed: true,
            can_be_probed: self.takes_padding,
            ..self.line
        };
        if self.is_paused && !self.takes_padding {
            self.free_line();
        }
    }

    /// Moves the estimate by what the arrivals have shown.
    fn judge(&mut self, now: i64) {
        let acknowledged = self.queue.acknowledged();
        self.rate.update(now, self.detector.signal(), acknowledged);
        let is_standing = self.queue.is_standing(self.loss.is_noticeable());
        if is_standing && let Some(capacity) = self.queue.capacity() {
            self.rate.limit(capacity);
        }
        if self.loss.is_heavy() {
            // So few packets that no rate can be measured are next to nothing.
            self.rate.limit(acknowledged.unwrap_or(0));
        }
        self.line.is_congested = is_standing || self.loss.is_heavy();
    }

    fn finish_probe(&mut self, now: i64, first: u64, count: u64, arrivals: &[Arrival]) {
        let is_disturbed = self.line.is_congested || self.detector.signal() == Signal::Overuse;
        let found = self.probing.handle_arrivals(now, first + count, arrivals);
        if let Some(rate) = found {
            self.rate.prove(rate);
        }
        // What a probe does to the path is what it is sent for. A queue that stays ends it.
        if is_disturbed && self.queue.last() > probe::MAX_QUEUE {
            self.probing.fail(now);
        }
    }

    /// Notes that another stream begins. What is lost of the former one says nothing about it.
    pub fn handle_change(&mut self) {
        self.first_of_stream = self.sent.next();
        self.loss = Loss::default();
        self.bad_reports = 0;
        self.breaker = Breaker::default();
        self.is_paused = false;
        self.unanswered = None;
        (self.line.is_tripped, self.line.is_losing) = (false, false);
    }

    /// Notes that nothing of the stream is sent from now on. The path is free then, and nobody
    /// reports that it is.
    pub fn handle_pause(&mut self) {
        self.handle_change();
        self.is_paused = true;
        self.free_line();
    }

    fn free_line(&mut self) {
        self.line.is_congested = false;
        // Where the path can be probed, the packets of the probe say if it is clear.
        self.line.is_clear |= !self.line.can_be_probed;
    }

    /// Sets the rate that the path is to be probed for, or ends probing. `since`: time from which
    /// less than that is sent.
    pub fn set_goal(&mut self, now: Instant, goal: Option<u64>, since: Instant) {
        let goal = goal.filter(|_| self.line.can_be_probed);
        let start = self.rate.estimate().unwrap_or_default();
        let (now, since) = (micros(self.epoch, now), micros(self.epoch, since));
        self.probing.set_goal(now, goal, start, since);
    }

    /// Returns true if the path has something to spare. Where nothing was sent for a while, the
    /// last report says nothing any more.
    fn is_free(&self, now: i64) -> bool {
        self.line.is_clear || now - self.last_sent >= IDLE
    }

    /// Returns true if a packet is to be sent now that only probes the path. Ask again after it.
    pub fn wants_padding(&mut self, now: Instant) -> bool {
        let now = micros(self.epoch, now);
        let is_free = self.is_free(now);
        self.probing.wants_padding(now, is_free)
    }

    /// Ends a probe that nothing can be sent for.
    pub fn give_up_padding(&mut self, now: Instant) {
        self.probing.fail(micros(self.epoch, now));
    }

    /// Returns the time at which [`Self::wants_padding`] has to be asked.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let at = u64::try_from(self.probing.poll_timeout()?).unwrap_or_default();
        Some(self.epoch + Duration::from_micros(at))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a tick has 250 microseconds")]
const TICK_MICROS: i64 = TICK.as_micros() as i64;

/// Returns the time since the epoch in microseconds.
fn micros(epoch: Instant, at: Instant) -> i64 {
    i64::try_from(at.saturating_duration_since(epoch).as_micros()).unwrap_or(i64::MAX)
}

/// Returns the rate of so many bytes in so many microseconds, in bits per second.
fn bits_per_second(bytes: u64, span: i64) -> Option<u64> {
    let span = u64::try_from(span).ok().filter(|span| *span > 0)?;
    Some(bytes.saturating_mul(8_000_000) / span)
}

#[cfg(test)]
mod tests;
