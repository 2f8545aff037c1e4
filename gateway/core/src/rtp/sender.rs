//! The sending side of one viewer's stream: the camera's packets, renumbered.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::clock::{Clock, from_compact};
use super::header::ExtensionBlock;
use super::history::{History, SentPacket};
use super::rtcp::{Packet, ReportBlock};
use super::sequence::Numbering;
use super::timeline::Timeline;
use super::{REPORT_INTERVAL, header, rtcp};
use crate::media::{MediaPacket, RtpHeader, ahead};

/// Minimum time between two key frame requests of one viewer that are honored: a key frame costs
/// the camera and every other viewer.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Maximum plausible round trip; a report with a longer one is wrong.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);

/// Settings of a viewer's stream.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// SSRC of the media stream.
    pub ssrc: u32,
    /// SSRC of the retransmission stream (RFC 4588).
    pub rtx_ssrc: u32,
    /// Negotiated payload type of the media stream.
    pub payload_type: u8,
    /// RTP clock rate of the media stream in hertz.
    pub clock_rate: u32,
    /// Negotiated payload type of the retransmission stream. With `None`, lost packets are sent
    /// again unchanged.
    pub rtx_payload_type: Option<u8>,
    /// Canonical name of the source.
    pub cname: String,
    /// Id and value of the mid header extension, if it was negotiated.
    pub mid: Option<(u8, String)>,
    /// Id of the playout delay header extension, if it was negotiated; its value is "play at once".
    pub playout_delay: Option<u8>,
    /// Id of the header extension for the transport-wide number, if it was negotiated. Each packet
    /// has room for the number, which its transport writes.
    pub transport_cc: Option<u8>,
    /// First sequence number of the media stream; random (RFC 3550 §5.1).
    pub first_sequence: u16,
    /// First sequence number of the retransmission stream; random (RFC 3550 §5.1).
    pub first_rtx_sequence: u16,
    /// First timestamp; random (RFC 3550 §5.1).
    pub first_timestamp: u32,
    /// Seed of the generator that spreads the reports.
    pub seed: u64,
    /// The clock of the sender reports.
    pub clock: Clock,
}

/// The part of a viewer's feedback that the session must act on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Feedback {
    /// The viewer needs a key frame. True at most every 500 ms, however often the viewer asks.
    pub key_frame_requested: bool,
    /// The latest reception report on this stream.
    pub report: Option<ReceptionReport>,
    /// The viewer has left.
    pub goodbye: bool,
}

/// A viewer's report on the packets it received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceptionReport {
    /// Fraction of packets lost since the viewer's last report, in 1/256.
    pub fraction_lost: u8,
    /// Cumulative packets lost (RFC 3550 §6.4.1); negative if duplicates arrived.
    pub lost: i32,
    /// Interarrival jitter, at most one second.
    pub jitter: Duration,
    /// Round-trip time; `None` if the report does not refer to one of our reports.
    pub round_trip: Option<Duration>,
    /// Extended highest sequence number received.
    pub highest_sequence: u32,
}

/// Counters of a viewer's stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderStatistics {
    /// Packets sent, without retransmissions.
    pub packets: u64,
    /// Payload bytes sent, without retransmissions.
    pub bytes: u64,
    /// Packets retransmitted after a NACK.
    pub retransmitted: u64,
    /// Payload bytes retransmitted.
    pub retransmitted_bytes: u64,
    /// Payload bytes sent again without a request, to probe the path.
    pub padding_bytes: u64,
    /// Packets that the viewer has reported as lost, at most as many as were sent.
    pub lost: u64,
    /// Packets that the viewer requested again.
    pub nacks: u64,
    /// Picture loss indications, including those that came too often.
    pub plis: u64,
    /// Full intra requests, including those that came too often.
    pub firs: u64,
    /// The viewer's latest report.
    pub report: Option<ReceptionReport>,
    /// The latest known round-trip time.
    pub round_trip: Option<Duration>,
}

/// Writes the RTP and RTCP packets for one viewer.
///
/// Pass each packet to [`Self::write_packet`], drain [`Self::poll_retransmission`] and
/// [`Self::poll_report`], and come back at [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    /// The extensions of packets that name the stream, and those of all others.
    extensions: [ExtensionBlock; 2],
    numbering: Numbering,
    timeline: Timeline,
    history: History,
    rtx_sequence: u16,
    /// The viewer has reported on this stream, so it knows the SSRC.
    is_known: bool,
    rng: StdRng,
    next_report: Option<Instant>,
    last_key_frame_request: Option<Instant>,
    /// Time that packets wait on the path, in addition to the round trip.
    queue: Duration,
    /// Sender and number of the last FIR.
    last_fir: Option<(u32, u8)>,
    statistics: SenderStatistics,
}

impl Sender {
    /// Creates the sender of a stream.
    #[must_use]
    pub fn new(config: SenderConfig) -> Self {
        let mid = config.mid.as_ref().map(|(id, mid)| (*id, mid.as_str()));
        Self {
            extensions: [
                ExtensionBlock::new(config.transport_cc, mid, config.playout_delay),
                ExtensionBlock::new(config.transport_cc, None, None),
            ],
            numbering: Numbering::new(config.first_sequence),
            timeline: Timeline::new(config.first_timestamp, config.clock_rate),
            history: History::new(),
            rtx_sequence: config.first_rtx_sequence,
            is_known: false,
            rng: StdRng::seed_from_u64(config.seed),
            next_report: None,
            last_key_frame_request: None,
            queue: Duration::ZERO,
            last_fir: None,
            statistics: SenderStatistics::default(),
            config,
        }
    }

    /// Announces that the next packets are those of a cached group, which are sent at `times`,
    /// followed by the live ones that queue behind it.
    pub fn begin_burst(&mut self, now: Instant, group: &[MediaPacket], times: &[Instant]) {
        self.timeline.begin_burst(now, group, times);
        self.numbering.splice();
    }

    /// Announces that nothing queues behind the group any more.
    pub fn end_burst(&mut self) {
        self.timeline.end_burst();
    }

    /// Announces that the next packets belong to another stream, which begins with a key frame. The
    /// lost packets of the former one are not sent again: the picture does not need them any more.
    pub fn splice(&mut self) {
        self.timeline.splice();
        self.numbering.splice();
        self.history.drop_requests();
    }

    /// Announces that packets of the stream were left out on purpose before the next one, which
    /// begins a key frame.
    pub fn skip(&mut self) {
        self.numbering.splice();
    }

    /// Writes one packet for this viewer into `out`, replacing its contents.
    pub fn write_packet(&mut self, now: Instant, packet: &MediaPacket, out: &mut Vec<u8>) {
        let sent = SentPacket {
            sequence: self.numbering.number(packet.sequence),
            timestamp: self.timeline.map(now, packet),
            marker: packet.marker,
            // A viewer needs them until it knows the stream; key frames always carry them, in case
            // the player has restarted.
            has_extensions: !self.is_known || packet.starts_key_frame,
            starts_key_frame: packet.starts_key_frame,
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
        header::write(out, &header, Some(self.extensions(sent.has_extensions)));
        out.extend_from_slice(&sent.payload);
        self.statistics.packets += 1;
        self.statistics.bytes += sent.payload.len() as u64;
        // The first report is sent with the first packet, so that the round trip is known early.
        self.next_report.get_or_insert(now);
        self.history.push(sent);
    }

    /// Handles an RTCP compound from the viewer. A malformed one is ignored.
    pub fn handle_rtcp(&mut self, now: Instant, compound: &[u8]) -> Feedback {
        self.handle_feedback(now, &rtcp::read(compound).unwrap_or_default())
    }

    /// Handles the packets of an RTCP compound from the viewer, as far as they are about this
    /// stream.
    pub fn handle_feedback(&mut self, now: Instant, packets: &[Packet]) -> Feedback {
        let mut feedback = Feedback::default();
        for packet in packets {
            match packet {
                Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                    feedback.report = self.handle_blocks(now, blocks).or(feedback.report);
                }
                Packet::Nack { media, lost, .. } => self.handle_nack(*media, lost),
                Packet::PictureLoss { media, .. } => {
                    feedback.key_frame_requested |= self.handle_picture_loss(now, *media);
                }
                Packet::FullIntra { sender, entries } => {
                    feedback.key_frame_requested |= self.handle_full_intra(now, *sender, entries);
                }
                Packet::Goodbye { .. } => feedback.goodbye = true,
                Packet::Description { .. }
                | Packet::BandwidthEstimate(_)
                | Packet::TransportFeedback(_)
                | Packet::Other(_) => {}
            }
        }
        feedback
    }

    fn handle_blocks(&mut self, now: Instant, blocks: &[ReportBlock]) -> Option<ReceptionReport> {
        let clock_rate = self.config.clock_rate;
        let block = blocks.iter().find(|block| block.ssrc == self.config.ssrc)?;
        self.is_known = true;
        let round_trip = self.round_trip(now, block);
        self.statistics.round_trip = round_trip.or(self.statistics.round_trip);
        let report = ReceptionReport {
            fraction_lost: block.fraction_lost,
            lost: block.lost,
            jitter: Duration::from_secs(1) * block.jitter.min(clock_rate) / clock_rate,
            round_trip,
            highest_sequence: block.highest_sequence,
        };
        self.statistics.report = Some(report);
        let lost = u64::try_from(block.lost).unwrap_or(0).min(self.statistics.packets);
        self.statistics.lost = self.statistics.lost.max(lost);
        Some(report)
    }

    /// Returns the time from our report to this one, less the viewer's delay (RFC 3550 §6.4.1).
    fn round_trip(&self, now: Instant, block: &ReportBlock) -> Option<Duration> {
        if block.last_report == 0 {
            return None;
        }
        let arrival = self.config.clock.ntp(now).compact();
        let span = ahead(arrival, block.last_report.wrapping_add(block.delay));
        // Rounding may make a very short one negative.
        let span = u32::try_from(span.max(if span > -64 { 0 } else { span })).ok()?;
        Some(from_compact(span)).filter(|span| *span <= MAX_ROUND_TRIP)
    }

    fn handle_nack(&mut self, media: u32, lost: &[u16]) {
        if media != self.config.ssrc {
            return;
        }
        self.statistics.nacks += lost.len() as u64;
        lost.iter().for_each(|sequence| self.history.request(*sequence));
    }

    fn handle_picture_loss(&mut self, now: Instant, media: u32) -> bool {
        if media != self.config.ssrc {
            return false;
        }
        self.statistics.plis += 1;
        self.admit_key_frame_request(now)
    }

    /// Handles a FIR. The viewer repeats it with the same number until the key frame arrives
    /// (RFC 5104 §4.3.1.2).
    fn handle_full_intra(&mut self, now: Instant, sender: u32, entries: &[(u32, u8)]) -> bool {
        let Some((_, number)) = entries.iter().find(|(ssrc, _)| *ssrc == self.config.ssrc) else {
            return false;
        };
        if self.last_fir == Some((sender, *number)) {
            return false;
        }
        self.last_fir = Some((sender, *number));
        self.statistics.firs += 1;
        self.admit_key_frame_request(now)
    }

    /// Returns true if the last request was long enough ago.
    fn admit_key_frame_request(&mut self, now: Instant) -> bool {
        let soon = |at: Instant| now.saturating_duration_since(at) < KEY_FRAME_INTERVAL;
        if self.last_key_frame_request.is_some_and(soon) {
            return false;
        }
        self.last_key_frame_request = Some(now);
        true
    }

    /// Sets the time that packets wait in queues of the path now: what was sent again is not sent
    /// once more before it can have arrived.
    pub fn set_queue(&mut self, queue: Duration) {
        self.queue = queue;
    }

    fn extensions(&self, names_stream: bool) -> &ExtensionBlock {
        let [naming, others] = &self.extensions;
        if names_stream { naming } else { others }
    }

    /// Writes the next retransmission into `out`, replacing its contents. Returns false if there is
    /// none.
    pub fn poll_retransmission(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let round_trip = self.statistics.round_trip.map(|round_trip| round_trip + self.queue);
        let Some(sent) = self.history.next_retransmission(now, round_trip) else {
            return false;
        };
        self.write_again(&sent, out);
        self.statistics.retransmitted += 1;
        self.statistics.retransmitted_bytes += sent.payload.len() as u64;
        true
    }

    /// Writes a packet that the viewer probably has already into `out`, replacing its contents, to
    /// find out whether the path carries more. Returns false if the viewer takes no
    /// retransmissions, or if nothing has been sent.
    pub fn write_padding(&mut self, out: &mut Vec<u8>) -> bool {
        if self.config.rtx_payload_type.is_none() {
            return false;
        }
        let Some(sent) = self.history.next_padding() else { return false };
        self.write_again(&sent, out);
        self.statistics.padding_bytes += sent.payload.len() as u64;
        true
    }

    /// Writes a packet again, as a retransmission if the viewer takes any.
    fn write_again(&mut self, sent: &SentPacket, out: &mut Vec<u8>) {
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
        header::write(out, &header, Some(self.extensions(sent.has_extensions)));
        if rtx.is_some() {
            // The original sequence number (RFC 4588 §4).
            out.extend(sent.sequence.to_be_bytes());
        }
        out.extend_from_slice(&sent.payload);
    }

    /// Returns the time of the next report; `None` before the first packet.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_report
    }

    /// Writes the sender report into `out`, replacing its contents. Returns false if it is not due.
    pub fn poll_report(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        if self.next_report.is_none_or(|due| now < due) {
            return false;
        }
        // Spread over half to one and a half of the interval, so that the reports of sessions that
        // began together do not stay together (RFC 3550 §6.3.1).
        self.next_report = Some(now + REPORT_INTERVAL.mul_f64(self.rng.random_range(0.5..1.5)));
        out.clear();
        self.write_report(now, out);
        true
    }

    /// Writes the BYE that ends the stream, with a last report, into `out`, replacing its contents.
    /// Returns false if nothing was ever sent: there is nothing to end then (RFC 3550 §6.3.7).
    pub fn write_goodbye(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        out.clear();
        if self.next_report.is_none() {
            return false;
        }
        self.write_report(now, out);
        let rtx = self.config.rtx_payload_type.map(|_| self.config.rtx_ssrc);
        rtcp::Writer::new(out, self.config.ssrc).goodbye(rtx);
        true
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

    /// Returns the counters since the stream began.
    #[must_use]
    pub fn statistics(&self) -> SenderStatistics {
        self.statistics
    }
}

#[cfg(test)]
mod tests;
