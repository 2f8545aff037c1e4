//! The receiving side of a gateway's `Sender`: puts packets in order, requests lost ones and
//! reports which frames arrived whole. It decodes no picture.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use porthole_gateway_core::media::{Codec, RtpPacket, ahead, starts_key_slice, ticks};
use porthole_gateway_core::rtp::rtcp::{self, Packet, ReportBlock};

/// Interval of receiver reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of packets held while an earlier one is missing: a second at 8 Mbit/s.
const MAX_HELD: usize = 1024;

/// Maximum number of missing packets that are requested. After a larger loss a key frame is needed
/// anyway.
const MAX_MISSING: usize = 512;

/// Time a packet may be overtaken by others before it is requested.
const REORDERING: Duration = Duration::from_millis(10);

/// Time between two requests for one packet.
const NACK_INTERVAL: Duration = Duration::from_millis(60);

/// Time after which a missing packet is given up, and with it the picture until the next key frame.
const MAX_WAIT: Duration = Duration::from_millis(800);

/// Time after which a whole key frame behind a missing packet is shown instead of waiting for it,
/// as in the jitter buffer of a browser.
const KEY_FRAME_WAIT: Duration = Duration::from_millis(150);

/// Time between two requests for a key frame.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(600);

/// Maximum number of frames that wait for [`Receiver::poll_frame`]; the oldest are dropped.
const MAX_FRAMES: usize = 1024;

/// Settings of a received stream.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// SSRC of the RTCP packets we send.
    pub ssrc: u32,
    /// Canonical name in the RTCP packets we send.
    pub cname: String,
    /// Codec of the stream.
    pub codec: Codec,
    /// Negotiated payload type of the media stream.
    pub payload_type: u8,
    /// Negotiated payload type of the retransmission stream.
    pub rtx_payload_type: Option<u8>,
    /// SSRC of the media stream, if announced; otherwise the first one with the payload type.
    pub remote_ssrc: Option<u32>,
}

/// A frame that arrived whole and can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedFrame {
    /// RTP timestamp of the frame.
    pub timestamp: u32,
    /// True for a key frame.
    pub is_key: bool,
    /// Number of packets of the frame.
    pub packets: u32,
    /// Payload bytes of the frame.
    pub bytes: usize,
    /// Arrival time of the last packet.
    pub at: Instant,
}

/// Counters of a received stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiverStatistics {
    /// Packets received, including retransmissions.
    pub packets: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Frames that can be decoded.
    pub frames: u64,
    /// Key frames received.
    pub key_frames: u64,
    /// Frames that miss packets, or that refer to such a frame.
    pub broken_frames: u64,
    /// Packets that arrived after a request.
    pub recovered: u64,
    /// Packets that were given up.
    pub lost: u64,
    /// Packets that arrived twice or too late.
    pub duplicates: u64,
    /// Packets requested; each request counts.
    pub nacks: u64,
    /// Picture loss indications sent.
    pub plis: u64,
}

/// Receives the stream of one sender. Drain [`Self::poll_frame`] and [`Self::poll_rtcp`].
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    remote: Option<u32>,
    /// Extended sequence number of the next packet; all before it are done.
    next: Option<u64>,
    highest: u64,
    held: BTreeMap<u64, (Instant, RtpPacket)>,
    missing: BTreeMap<u64, Missing>,
    assembly: Assembly,
    frames: VecDeque<ReceivedFrame>,
    reports: Reports,
    next_report: Option<Instant>,
    /// Time of the last key frame request, or of the first packet.
    last_key_frame_request: Option<Instant>,
    statistics: ReceiverStatistics,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    since: Instant,
    requested: Option<Instant>,
}

/// The frame that is being assembled.
#[derive(Debug, Default)]
struct Assembly {
    frame: Option<ReceivedFrame>,
    /// An earlier packet is missing, so that frames cannot be decoded until the next key frame.
    is_broken: bool,
    /// A key frame has arrived.
    has_started: bool,
}

/// State of the receiver reports (RFC 3550 A.3, A.8).
#[derive(Debug, Default)]
struct Reports {
    first: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    jitter: u32,
    last_transit: Option<u32>,
    /// Middle bits of the last sender report's timestamp, and its arrival time.
    sender_report: Option<(u32, Instant)>,
    begin: Option<Instant>,
}

impl Receiver {
    /// Creates the receiver of a stream.
    #[must_use]
    pub fn new(config: ReceiverConfig) -> Self {
        Self {
            remote: config.remote_ssrc,
            config,
            next: None,
            highest: 0,
            held: BTreeMap::new(),
            missing: BTreeMap::new(),
            assembly: Assembly::default(),
            frames: VecDeque::new(),
            reports: Reports::default(),
            next_report: None,
            last_key_frame_request: None,
            statistics: ReceiverStatistics::default(),
        }
    }

    /// Handles a decrypted RTP packet; packets of other streams are dropped.
    pub fn handle_rtp(&mut self, now: Instant, datagram: Bytes) {
        let Ok(mut packet) = RtpPacket::parse(datagram) else { return };
        let payload_type = packet.header.payload_type;
        if payload_type == self.config.payload_type {
            let ssrc = *self.remote.get_or_insert(packet.header.ssrc);
            if ssrc == packet.header.ssrc {
                self.reports.count(now, &packet);
                self.insert(now, packet);
            }
        } else if Some(payload_type) == self.config.rtx_payload_type {
            // A retransmission without payload only probes the path.
            let Ok(sequence) = packet.payload.try_get_u16() else { return };
            packet.header.sequence = sequence;
            self.insert(now, packet);
        }
    }

    fn insert(&mut self, now: Instant, packet: RtpPacket) {
        self.statistics.packets += 1;
        self.statistics.bytes += packet.payload.len() as u64;
        let wire = packet.header.sequence;
        let Some(next) = self.next else {
            // One cycle up, so that a packet before the first has a number, too.
            let first = u64::from(wire) + (1 << 16);
            self.next = Some(first);
            self.highest = first;
            self.reports.first = first;
            self.next_report = Some(now + REPORT_INTERVAL);
            self.last_key_frame_request = Some(now);
            self.held.insert(first, (now, packet));
            return self.advance();
        };
        let sequence = extend(wire, self.highest);
        if sequence < next || self.held.contains_key(&sequence) {
            self.statistics.duplicates += 1;
            return;
        }
        if self.missing.remove(&sequence).is_some_and(|missing| missing.requested.is_some()) {
            self.statistics.recovered += 1;
        }
        if sequence > self.highest {
            let room = MAX_MISSING.saturating_sub(self.missing.len());
            let gap = (self.highest + 1)..sequence;
            let missing = Missing { since: now, requested: None };
            self.missing.extend(gap.take(room).map(|number| (number, missing)));
            self.highest = sequence;
        }
        let may_end_frame = packet.header.marker || sequence < self.highest;
        self.held.insert(sequence, (now, packet));
        self.advance();
        let is_late = self.gap_since().is_some_and(|since| now >= since + KEY_FRAME_WAIT);
        if may_end_frame
            && is_late
            && let Some(start) = self.held_key_frame()
        {
            self.skip_to(start);
        }
        if self.held.len() > MAX_HELD {
            self.skip_gap();
        }
    }

    /// Assembles the packets that are in order.
    fn advance(&mut self) {
        while let Some(next) = self.next
            && let Some((at, packet)) = self.held.remove(&next)
        {
            self.next = Some(next + 1);
            self.assemble(at, &packet);
        }
    }

    /// Returns the number of the first packet of a whole key frame behind a gap: a decoder needs
    /// nothing that came before it.
    fn held_key_frame(&self) -> Option<u64> {
        let mut start: Option<(u64, u32)> = None;
        let (mut expected, mut is_key) = (None, false);
        for (number, (_, packet)) in &self.held {
            let timestamp = packet.header.timestamp;
            let follows = expected == Some(*number);
            match start {
                Some((_, known)) if follows && known == timestamp => {}
                // A frame begins after another one, or with the parameter sets of a key frame.
                Some(_) | None => {
                    let begins = follows || starts_key_frame(self.config.codec, &packet.payload);
                    start = begins.then_some((*number, timestamp));
                    is_key = false;
                }
            }
            is_key |= starts_key_slice(self.config.codec, &packet.payload);
            if packet.header.marker
                && is_key
                && let Some((start, _)) = start
            {
                return Some(start);
            }
            expected = Some(number + 1);
        }
        None
    }

    /// Gives up the missing packets that hold up the next held one.
    fn skip_gap(&mut self) {
        if let Some((held, _)) = self.held.first_key_value() {
            self.skip_to(*held);
        }
    }

    /// Gives up everything before the packet with this number, which is held.
    fn skip_to(&mut self, held: u64) {
        let Some(next) = self.next.filter(|next| *next < held) else { return };
        let arrived = self.held.range(..held).count() as u64;
        self.held = self.held.split_off(&held);
        self.statistics.lost += held - next - arrived;
        self.next = Some(held);
        self.missing = self.missing.split_off(&held);
        self.assembly.is_broken = true;
        if self.assembly.frame.take().is_some() {
            self.statistics.broken_frames += 1;
        }
        self.advance();
    }

    fn assemble(&mut self, at: Instant, packet: &RtpPacket) {
        let timestamp = packet.header.timestamp;
        if self.assembly.frame.is_some_and(|frame| frame.timestamp != timestamp) {
            self.finish_frame();
        }
        let new = ReceivedFrame { timestamp, is_key: false, packets: 0, bytes: 0, at };
        let frame = self.assembly.frame.get_or_insert(new);
        frame.packets += 1;
        frame.bytes += packet.payload.len();
        frame.is_key |= starts_key_slice(self.config.codec, &packet.payload);
        frame.at = frame.at.max(at);
        if packet.header.marker {
            self.finish_frame();
        }
    }

    fn finish_frame(&mut self) {
        let Some(frame) = self.assembly.frame.take() else { return };
        if frame.is_key {
            self.assembly.has_started = true;
            self.assembly.is_broken = false;
            self.statistics.key_frames += 1;
        }
        if self.assembly.is_broken || !self.assembly.has_started {
            self.statistics.broken_frames += 1;
            return;
        }
        self.statistics.frames += 1;
        if self.frames.len() == MAX_FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(frame);
    }

    /// Handles a decrypted RTCP compound. Returns true if the sender has left.
    pub fn handle_rtcp(&mut self, now: Instant, compound: &[u8]) -> bool {
        let mut left = false;
        for packet in rtcp::read(compound).unwrap_or_default() {
            match packet {
                Packet::SenderReport { ssrc, ntp, .. } if self.is_remote(ssrc) => {
                    self.reports.sender_report = Some((ntp.compact(), now));
                }
                Packet::Goodbye { ssrcs } => left |= ssrcs.iter().any(|s| self.is_remote(*s)),
                Packet::SenderReport { .. }
                | Packet::ReceiverReport { .. }
                | Packet::Description { .. }
                | Packet::Nack { .. }
                | Packet::PictureLoss { .. }
                | Packet::FullIntra { .. }
                | Packet::BandwidthEstimate(_)
                | Packet::TransportFeedback(_)
                | Packet::Other(_) => {}
            }
        }
        left
    }

    fn is_remote(&self, ssrc: u32) -> bool {
        self.remote == Some(ssrc)
    }

    /// Returns the next whole frame.
    pub fn poll_frame(&mut self) -> Option<ReceivedFrame> {
        self.frames.pop_front()
    }

    /// Returns the time at which [`Self::handle_timeout`] and [`Self::poll_rtcp`] are due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let missing = self.missing.values().map(Missing::request_at);
        let gap = self.gap_since().map(|since| since + MAX_WAIT);
        let key_frame = self.needs_key_frame().then_some(self.last_key_frame_request).flatten();
        let key_frame = key_frame.map(|last| last + KEY_FRAME_INTERVAL);
        missing.chain(gap).chain(self.next_report).chain(key_frame).min()
    }

    /// Gives up the packets that have been missing for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Each iteration removes the oldest gap; there are at most as many gaps as missing packets.
        for _ in 0..MAX_MISSING {
            if self.gap_since().is_none_or(|since| now < since + MAX_WAIT) {
                return;
            }
            self.skip_gap();
        }
    }

    /// Returns the time since which packets wait for a missing one.
    fn gap_since(&self) -> Option<Instant> {
        let (_, (arrival, _)) = self.held.first_key_value()?;
        Some(self.missing.first_key_value().map_or(*arrival, |(_, missing)| missing.since))
    }

    fn needs_key_frame(&self) -> bool {
        self.assembly.is_broken || !self.assembly.has_started
    }

    /// Writes the next compound into `out`, replacing its contents. Returns false if none is due.
    pub fn poll_rtcp(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let Some(remote) = self.remote else { return false };
        out.clear();
        let report = self.next_report.is_some_and(|due| due <= now);
        let lost = self.due_nacks(now);
        let key_frame = self.is_key_frame_request_due(now);
        if !report && lost.is_empty() && !key_frame {
            return false;
        }
        let block = report.then(|| {
            self.next_report = Some(now + REPORT_INTERVAL);
            self.reports.block(now, remote, self.highest)
        });
        let mut writer = rtcp::Writer::new(out, self.config.ssrc);
        writer.receiver_report(block.as_ref());
        writer.description(&self.config.cname);
        if !lost.is_empty() {
            writer.nack(remote, &lost);
            self.statistics.nacks += lost.len() as u64;
        }
        if key_frame {
            writer.picture_loss(remote);
            self.statistics.plis += 1;
        }
        true
    }

    /// Returns the sequence numbers to request now.
    fn due_nacks(&mut self, now: Instant) -> Vec<u16> {
        let due = self.missing.iter_mut().filter(|(_, missing)| missing.request_at() <= now);
        let due = due.take(rtcp::MAX_WRITTEN);
        due.map(|(sequence, missing)| {
            missing.requested = Some(now);
            #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
            let wire = *sequence as u16;
            wire
        })
        .collect()
    }

    /// Returns true if a key frame must be requested now, and restarts the interval.
    fn is_key_frame_request_due(&mut self, now: Instant) -> bool {
        let due = self.last_key_frame_request.is_some_and(|last| last + KEY_FRAME_INTERVAL <= now);
        let is_due = due && self.needs_key_frame();
        if is_due {
            self.last_key_frame_request = Some(now);
        }
        is_due
    }

    /// Returns the counters since the stream began.
    #[must_use]
    pub fn statistics(&self) -> ReceiverStatistics {
        self.statistics
    }
}

impl Missing {
    fn request_at(&self) -> Instant {
        self.requested.map_or(self.since + REORDERING, |last| last + NACK_INTERVAL)
    }
}

impl Reports {
    fn count(&mut self, now: Instant, packet: &RtpPacket) {
        self.received += 1;
        let begin = *self.begin.get_or_insert(now);
        let arrival = ticks(now.saturating_duration_since(begin));
        let transit = arrival.wrapping_sub(packet.header.timestamp);
        if let Some(before) = self.last_transit.replace(transit) {
            let difference = ahead(transit, before).unsigned_abs();
            // A sixteenth of the difference (RFC 3550 A.8).
            self.jitter = self.jitter.saturating_add(difference / 16) - self.jitter / 16;
        }
    }

    fn block(&mut self, now: Instant, ssrc: u32, highest: u64) -> ReportBlock {
        let expected = (highest + 1).saturating_sub(self.first);
        let lost =
            i64::try_from(expected).unwrap_or(i64::MAX).saturating_sub_unsigned(self.received);
        let expected_since = expected.saturating_sub(self.expected_before);
        let lost_since =
            expected_since.saturating_sub(self.received.saturating_sub(self.received_before));
        (self.expected_before, self.received_before) = (expected, self.received);
        let fraction = (lost_since * 256).checked_div(expected_since).unwrap_or(0);
        let (last_report, delay) = self
            .sender_report
            .map_or((0, 0), |(report, at)| (report, to_compact(now.saturating_duration_since(at))));
        #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the wire's")]
        let highest_sequence = highest.wrapping_sub(1 << 16) as u32;
        ReportBlock {
            ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: i32::try_from(lost.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or(0),
            highest_sequence,
            jitter: self.jitter,
            last_report,
            delay,
        }
    }
}

/// Returns true if a payload is the first of a key frame as the gateway sends it: its parameter
/// sets, or else its first slice.
fn starts_key_frame(codec: Codec, payload: &Bytes) -> bool {
    let first = payload.first().copied().unwrap_or_default();
    match codec {
        // An aggregate or a sequence parameter set.
        Codec::H264 => matches!(first & 0x1f, 7 | 24),
        Codec::H265 => matches!(first >> 1 & 0x3f, 32 | 33 | 48),
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 => starts_key_slice(codec, payload),
    }
}

/// Extends a sequence number: returns the number nearest to `reference` that has these low 16 bits.
fn extend(sequence: u16, reference: u64) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
    let ahead = sequence.wrapping_sub(reference as u16);
    let behind = u64::from(ahead.wrapping_neg());
    if ahead < 0x8000 || behind > reference {
        reference + u64::from(ahead)
    } else {
        reference - behind
    }
}

/// Converts a duration to units of 1/65536 s, which receiver reports use.
fn to_compact(span: Duration) -> u32 {
    u32::try_from((span.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
