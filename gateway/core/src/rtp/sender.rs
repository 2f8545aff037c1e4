//! One viewer's stream: the camera's packets, renumbered.

use std::time::{Duration, Instant};

use super::clock::{Clock, from_compact};
use super::header::{self, ExtensionBlock};
use super::history::{History, Sent};
use super::rtcp::{self, Packet, ReportBlock};
use super::sequence::Numbering;
use super::timeline::Timeline;
use super::{REPORT_INTERVAL, ahead};
use crate::media::{CLOCK_RATE, RtpHeader, VideoPacket};

/// Key frames cost the camera and every other viewer; nobody gets more than two a second.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// A longer round trip is a wrong report.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);

/// How a viewer's stream is written.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    pub ssrc: u32,
    pub rtx_ssrc: u32,
    pub payload_type: u8,
    /// Without it, lost packets are repeated as they were.
    pub rtx_payload_type: Option<u8>,
    pub cname: String,
    /// Number and value of the header extension.
    pub mid: Option<(u8, String)>,
    /// Number of the header extension; its value is "play at once".
    pub playout_delay: Option<u8>,
    /// These four are random (RFC 3550 §5.1).
    pub first_sequence: u16,
    pub first_rtx_sequence: u16,
    pub first_timestamp: u32,
    pub clock: Clock,
}

/// What a viewer told, as far as somebody else must act.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Feedback {
    /// It cannot go on without a key frame; at most one in [`KEY_FRAME_INTERVAL`] is passed on.
    pub key_frame_requested: bool,
    pub report: Option<ReceptionReport>,
    /// It has left.
    pub goodbye: bool,
}

/// What the viewer gets of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceptionReport {
    /// Of 256, since its last report.
    pub fraction_lost: u8,
    /// In all; less than none when packets came twice.
    pub lost: i32,
    pub jitter: Duration,
    pub round_trip: Option<Duration>,
}

/// Counters, for people and for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderStatistics {
    /// Sent for the first time, and their payload.
    pub packets: u64,
    pub bytes: u64,
    /// Sent again.
    pub retransmitted: u64,
    pub retransmitted_bytes: u64,
    /// Packets the viewer asked for.
    pub nacks: u64,
    /// Requests for a key frame, also those that were too many.
    pub plis: u64,
    pub firs: u64,
    /// The viewer's last word.
    pub report: Option<ReceptionReport>,
    pub round_trip: Option<Duration>,
}

/// Sends to one viewer. Give it each packet, drain [`Self::poll_retransmission`] and
/// [`Self::poll_report`]; [`Self::poll_timeout`] says when to come again.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    extensions: ExtensionBlock,
    numbering: Numbering,
    timeline: Timeline,
    history: History,
    rtx_sequence: u16,
    /// The viewer has reported on this stream: it knows what it gets.
    known: bool,
    next_report: Option<Instant>,
    key_frame_passed_on: Option<Instant>,
    /// Sender and number of the last FIR.
    last_fir: Option<(u32, u8)>,
    statistics: SenderStatistics,
}

impl Sender {
    #[must_use]
    pub fn new(config: SenderConfig) -> Self {
        let mid = config.mid.as_ref().map(|(id, mid)| (*id, mid.as_str()));
        Self {
            extensions: ExtensionBlock::new(mid, config.playout_delay),
            numbering: Numbering::new(config.first_sequence),
            timeline: Timeline::new(config.first_timestamp),
            history: History::new(),
            rtx_sequence: config.first_rtx_sequence,
            known: false,
            next_report: None,
            key_frame_passed_on: None,
            last_fir: None,
            statistics: SenderStatistics::default(),
            config,
        }
    }

    /// The packets that follow are this cached group, and then the live ones behind it. Its old
    /// frames get timestamps closely before the live edge.
    pub fn begin_burst(&mut self, group: &[VideoPacket]) {
        self.timeline.begin_burst(group);
        self.numbering.splice();
    }

    /// The packets that follow are of another stream; its first is a key frame.
    pub fn splice(&mut self) {
        self.timeline.splice();
        self.numbering.splice();
    }

    /// Writes one packet for this viewer into `out`, replacing what is there.
    pub fn write_packet(&mut self, now: Instant, packet: &VideoPacket, out: &mut Vec<u8>) {
        let sent = Sent {
            sequence: self.numbering.number(packet.sequence),
            timestamp: self.timeline.map(packet.timestamp, packet.arrival),
            marker: packet.marker,
            // A viewer needs them until it knows the stream; key frames carry them on, in case
            // its player began anew.
            extended: !self.known || packet.starts_key_frame,
            payload: packet.payload.clone(),
            at: now,
            retransmitted: None,
        };
        let header = RtpHeader {
            marker: sent.marker,
            payload_type: self.config.payload_type,
            sequence: sent.sequence,
            timestamp: sent.timestamp,
            ssrc: self.config.ssrc,
        };
        out.clear();
        header::write(out, &header, sent.extended.then_some(&self.extensions));
        out.extend_from_slice(&sent.payload);
        self.statistics.packets += 1;
        self.statistics.bytes += sent.payload.len() as u64;
        // The first report goes out with the first packet: the round trip is known early.
        self.next_report.get_or_insert(now);
        self.history.push(sent);
    }

    /// A compound from the viewer. One that cannot be read says nothing.
    pub fn handle_rtcp(&mut self, now: Instant, compound: &[u8]) -> Feedback {
        let mut feedback = Feedback::default();
        for packet in rtcp::read(compound).unwrap_or_default() {
            match packet {
                Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                    feedback.report = self.blocks(now, &blocks).or(feedback.report);
                }
                Packet::Nack { media, lost, .. } => self.nack(media, &lost),
                Packet::PictureLoss { media, .. } => {
                    feedback.key_frame_requested |= self.picture_loss(now, media);
                }
                Packet::FullIntra { sender, entries } => {
                    feedback.key_frame_requested |= self.full_intra(now, sender, &entries);
                }
                Packet::Goodbye { .. } => feedback.goodbye = true,
                Packet::Description { .. }
                | Packet::BandwidthEstimate
                | Packet::TransportFeedback
                | Packet::Other(_) => {}
            }
        }
        feedback
    }

    fn blocks(&mut self, now: Instant, blocks: &[ReportBlock]) -> Option<ReceptionReport> {
        let block = blocks.iter().find(|block| block.ssrc == self.config.ssrc)?;
        self.known = true;
        let round_trip = self.round_trip(now, block);
        self.statistics.round_trip = round_trip.or(self.statistics.round_trip);
        let report = ReceptionReport {
            fraction_lost: block.fraction_lost,
            lost: block.lost,
            jitter: Duration::from_secs(1) * block.jitter.min(CLOCK_RATE) / CLOCK_RATE,
            round_trip,
        };
        self.statistics.report = Some(report);
        Some(report)
    }

    /// From our report to this one, less the time it lay there (RFC 3550 §6.4.1).
    fn round_trip(&self, now: Instant, block: &ReportBlock) -> Option<Duration> {
        if block.last_report == 0 {
            return None;
        }
        let arrival = self.config.clock.ntp(now).compact();
        let span = ahead(arrival, block.last_report.wrapping_add(block.delay));
        // Rounding may leave less than nothing of a very short one.
        let span = u32::try_from(span.max(if span > -64 { 0 } else { span })).ok()?;
        Some(from_compact(span)).filter(|span| *span <= MAX_ROUND_TRIP)
    }

    fn nack(&mut self, media: u32, lost: &[u16]) {
        if media != self.config.ssrc {
            return;
        }
        self.statistics.nacks += lost.len() as u64;
        lost.iter().for_each(|sequence| self.history.request(*sequence));
    }

    fn picture_loss(&mut self, now: Instant, media: u32) -> bool {
        if media != self.config.ssrc {
            return false;
        }
        self.statistics.plis += 1;
        self.pass_on(now)
    }

    /// A request is repeated with its number until the key frame comes (RFC 5104 §4.3.1.2).
    fn full_intra(&mut self, now: Instant, sender: u32, entries: &[(u32, u8)]) -> bool {
        let Some((_, number)) = entries.iter().find(|(ssrc, _)| *ssrc == self.config.ssrc) else {
            return false;
        };
        if self.last_fir == Some((sender, *number)) {
            return false;
        }
        self.last_fir = Some((sender, *number));
        self.statistics.firs += 1;
        self.pass_on(now)
    }

    fn pass_on(&mut self, now: Instant) -> bool {
        let soon = |at: Instant| now.saturating_duration_since(at) < KEY_FRAME_INTERVAL;
        if self.key_frame_passed_on.is_some_and(soon) {
            return false;
        }
        self.key_frame_passed_on = Some(now);
        true
    }

    /// Writes the next packet the viewer lost into `out`, replacing what is there.
    pub fn poll_retransmission(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let Some(sent) = self.history.next(now, self.statistics.round_trip) else {
            return false;
        };
        let mut header = RtpHeader {
            marker: sent.marker,
            payload_type: self.config.payload_type,
            sequence: sent.sequence,
            timestamp: sent.timestamp,
            ssrc: self.config.ssrc,
        };
        let rtx = self.config.rtx_payload_type;
        if let Some(payload_type) = rtx {
            header.payload_type = payload_type;
            header.sequence = self.rtx_sequence;
            header.ssrc = self.config.rtx_ssrc;
            self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        }
        out.clear();
        header::write(out, &header, sent.extended.then_some(&self.extensions));
        if rtx.is_some() {
            // The original sequence number (RFC 4588 §4).
            out.extend(sent.sequence.to_be_bytes());
        }
        out.extend_from_slice(&sent.payload);
        self.statistics.retransmitted += 1;
        self.statistics.retransmitted_bytes += sent.payload.len() as u64;
        true
    }

    /// When [`Self::poll_report`] has something; never before the first packet.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_report
    }

    /// Writes the sender report, if it is due, into `out`, replacing what is there.
    pub fn poll_report(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        if self.next_report.is_none_or(|due| now < due) {
            return false;
        }
        self.next_report = Some(now + REPORT_INTERVAL);
        out.clear();
        self.write_report(now, out);
        true
    }

    /// Writes the packet that ends the stream into `out`, replacing what is there.
    pub fn write_goodbye(&mut self, now: Instant, out: &mut Vec<u8>) {
        out.clear();
        self.write_report(now, out);
        rtcp::Writer::new(out, self.config.ssrc).goodbye();
    }

    fn write_report(&self, now: Instant, out: &mut Vec<u8>) {
        let SenderStatistics { packets, bytes, .. } = self.statistics;
        // Both wrap at 32 bits (RFC 3550 §6.4.1).
        #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the wire's")]
        let (packets, octets) = (packets as u32, bytes as u32);
        let mut writer = rtcp::Writer::new(out, self.config.ssrc);
        let ntp = self.config.clock.ntp(now);
        writer.sender_report(ntp, self.timeline.at(now), packets, octets);
        writer.description(&self.config.cname);
    }

    #[must_use]
    pub fn statistics(&self) -> SenderStatistics {
        self.statistics
    }
}

#[cfg(test)]
mod tests;
