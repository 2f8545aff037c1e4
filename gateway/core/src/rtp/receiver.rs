//! The other end of a [`super::Sender`]: puts packets in order, asks for the lost ones and says
//! which frames arrived whole. The tests' viewer is made of it; it shows no picture.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use super::clock::to_compact;
use super::rtcp::{self, Packet, ReportBlock};
use super::sequence::extend;
use super::{REPORT_INTERVAL, ahead, ticks};
use crate::media::{Codec, RtpPacket, starts_key_slice};

/// Packets held while one before them is missing: a second of 8 Mbit/s.
const MAX_HELD: usize = 1024;

/// Numbers that are asked for at a time. More are not lost one by one: a key frame is due.
const MAX_MISSING: usize = 512;

/// A packet that is overtaken by others for less than this is not asked for.
const REORDERING: Duration = Duration::from_millis(10);

/// Between two requests for one packet, until it comes.
const NACK_INTERVAL: Duration = Duration::from_millis(60);

/// After this a missing packet is given up, and with it the picture until the next key frame.
const MAX_WAIT: Duration = Duration::from_millis(800);

/// Between two requests for a key frame.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(600);

/// Frames nobody has fetched yet; the oldest are dropped.
const MAX_FRAMES: usize = 1024;

/// How a stream is received.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// Our own, for what we report.
    pub ssrc: u32,
    pub cname: String,
    pub codec: Codec,
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
    /// As announced; otherwise the first that sends the payload type.
    pub remote_ssrc: Option<u32>,
}

/// A frame that arrived whole and can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedFrame {
    pub timestamp: u32,
    pub key: bool,
    pub packets: u32,
    pub bytes: usize,
    /// When its last packet came.
    pub at: Instant,
}

/// Counters of a received stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiverStatistics {
    pub packets: u64,
    pub bytes: u64,
    pub frames: u64,
    pub key_frames: u64,
    /// Frames with a hole, or that refer to one.
    pub broken_frames: u64,
    /// Packets that were asked for and came.
    pub recovered: u64,
    /// Packets that were given up.
    pub lost: u64,
    pub duplicates: u64,
    /// Numbers asked for, each time.
    pub nacks: u64,
    pub plis: u64,
}

/// Receives from one sender. Drain [`Self::poll_frame`] and [`Self::poll_rtcp`].
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    remote: Option<u32>,
    /// The next number in order; all before are done.
    due: Option<u64>,
    highest: u64,
    held: BTreeMap<u64, (Instant, RtpPacket)>,
    missing: BTreeMap<u64, Missing>,
    assembly: Assembly,
    frames: VecDeque<ReceivedFrame>,
    reports: Reports,
    next_report: Option<Instant>,
    /// When a key frame was last asked for, or the wait for the first began.
    key_frame_asked: Option<Instant>,
    statistics: ReceiverStatistics,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    since: Instant,
    asked: Option<Instant>,
}

/// The frame that is being put together.
#[derive(Debug, Default)]
struct Assembly {
    frame: Option<ReceivedFrame>,
    /// Something before is missing: only a key frame helps.
    broken: bool,
    /// A key frame was seen.
    started: bool,
}

/// What the next receiver report is made of (RFC 3550 A.3, A.8).
#[derive(Debug, Default)]
struct Reports {
    first: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    jitter: u32,
    last_transit: Option<u32>,
    /// The middle bits of the last sender report and when it came.
    sender_report: Option<(u32, Instant)>,
    begin: Option<Instant>,
}

impl Receiver {
    #[must_use]
    pub fn new(config: ReceiverConfig) -> Self {
        Self {
            remote: config.remote_ssrc,
            config,
            due: None,
            highest: 0,
            held: BTreeMap::new(),
            missing: BTreeMap::new(),
            assembly: Assembly::default(),
            frames: VecDeque::new(),
            reports: Reports::default(),
            next_report: None,
            key_frame_asked: None,
            statistics: ReceiverStatistics::default(),
        }
    }

    /// A decrypted RTP packet; what is not of our stream is dropped.
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
            // A repeat without payload only probes the path.
            let Ok(sequence) = packet.payload.try_get_u16() else { return };
            packet.header.sequence = sequence;
            self.insert(now, packet);
        }
    }

    fn insert(&mut self, now: Instant, packet: RtpPacket) {
        self.statistics.packets += 1;
        self.statistics.bytes += packet.payload.len() as u64;
        let wire = packet.header.sequence;
        let Some(due) = self.due else {
            // One circle up, so that a packet before the first has a number, too.
            let first = u64::from(wire) + (1 << 16);
            self.due = Some(first);
            self.highest = first;
            self.reports.first = first;
            self.next_report = Some(now + REPORT_INTERVAL);
            self.key_frame_asked = Some(now);
            self.held.insert(first, (now, packet));
            return self.advance();
        };
        let sequence = extend(wire, self.highest);
        if sequence < due || self.held.contains_key(&sequence) {
            self.statistics.duplicates += 1;
            return;
        }
        if self.missing.remove(&sequence).is_some_and(|missing| missing.asked.is_some()) {
            self.statistics.recovered += 1;
        }
        if sequence > self.highest {
            let room = MAX_MISSING.saturating_sub(self.missing.len());
            let gap = (self.highest + 1)..sequence;
            let missing = Missing { since: now, asked: None };
            self.missing.extend(gap.take(room).map(|number| (number, missing)));
            self.highest = sequence;
        }
        self.held.insert(sequence, (now, packet));
        self.advance();
        if self.held.len() > MAX_HELD {
            self.give_up();
        }
    }

    /// Takes what is in order.
    fn advance(&mut self) {
        while let Some(due) = self.due
            && let Some((at, packet)) = self.held.remove(&due)
        {
            self.due = Some(due + 1);
            self.assemble(at, &packet);
        }
    }

    /// Goes on behind the hole that holds everything up.
    fn give_up(&mut self) {
        let (Some(due), Some((next, _))) = (self.due, self.held.first_key_value()) else { return };
        let next = *next;
        self.statistics.lost += next - due;
        self.due = Some(next);
        self.missing = self.missing.split_off(&next);
        self.assembly.broken = true;
        if self.assembly.frame.take().is_some() {
            self.statistics.broken_frames += 1;
        }
        self.advance();
    }

    fn assemble(&mut self, at: Instant, packet: &RtpPacket) {
        let timestamp = packet.header.timestamp;
        if self.assembly.frame.is_some_and(|frame| frame.timestamp != timestamp) {
            self.finish();
        }
        let new = ReceivedFrame { timestamp, key: false, packets: 0, bytes: 0, at };
        let frame = self.assembly.frame.get_or_insert(new);
        frame.packets += 1;
        frame.bytes += packet.payload.len();
        frame.key |= starts_key_slice(self.config.codec, &packet.payload);
        frame.at = frame.at.max(at);
        if packet.header.marker {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let Some(frame) = self.assembly.frame.take() else { return };
        if frame.key {
            self.assembly.started = true;
            self.assembly.broken = false;
            self.statistics.key_frames += 1;
        }
        if self.assembly.broken || !self.assembly.started {
            self.statistics.broken_frames += 1;
            return;
        }
        self.statistics.frames += 1;
        if self.frames.len() == MAX_FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(frame);
    }

    /// A decrypted compound from the sender. Whether it has left.
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
                | Packet::BandwidthEstimate
                | Packet::TransportFeedback
                | Packet::Other(_) => {}
            }
        }
        left
    }

    fn is_remote(&self, ssrc: u32) -> bool {
        self.remote == Some(ssrc)
    }

    /// The next whole frame.
    pub fn poll_frame(&mut self) -> Option<ReceivedFrame> {
        self.frames.pop_front()
    }

    /// When [`Self::handle_timeout`] and [`Self::poll_rtcp`] have something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let missing = self.missing.values().map(Missing::ask_at);
        let hole = self.hole().map(|since| since + MAX_WAIT);
        let key_frame = self.lacks_key_frame().then_some(self.key_frame_asked).flatten();
        let key_frame = key_frame.map(|asked| asked + KEY_FRAME_INTERVAL);
        missing.chain(hole).chain(self.next_report).chain(key_frame).min()
    }

    /// Gives up what has been missing too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Each turn removes the oldest hole; there are at most as many as packets.
        for _ in 0..MAX_MISSING {
            if self.hole().is_none_or(|since| now < since + MAX_WAIT) {
                return;
            }
            self.give_up();
        }
    }

    /// Since when everything waits for a missing packet.
    fn hole(&self) -> Option<Instant> {
        let (_, (arrival, _)) = self.held.first_key_value()?;
        Some(self.missing.first_key_value().map_or(*arrival, |(_, missing)| missing.since))
    }

    fn lacks_key_frame(&self) -> bool {
        self.assembly.broken || !self.assembly.started
    }

    /// Writes the next compound that is due into `out`, replacing what is there.
    pub fn poll_rtcp(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let Some(remote) = self.remote else { return false };
        out.clear();
        let report = self.next_report.is_some_and(|due| due <= now);
        let lost = self.take_missing(now);
        let key_frame = self.takes_key_frame(now);
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

    fn take_missing(&mut self, now: Instant) -> Vec<u16> {
        let due = self.missing.iter_mut().filter(|(_, missing)| missing.ask_at() <= now);
        let due = due.take(rtcp::MAX_WRITTEN);
        due.map(|(sequence, missing)| {
            missing.asked = Some(now);
            #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
            let wire = *sequence as u16;
            wire
        })
        .collect()
    }

    fn takes_key_frame(&mut self, now: Instant) -> bool {
        let due = self.key_frame_asked.is_some_and(|asked| asked + KEY_FRAME_INTERVAL <= now);
        let takes = due && self.lacks_key_frame();
        if takes {
            self.key_frame_asked = Some(now);
        }
        takes
    }

    #[must_use]
    pub fn statistics(&self) -> ReceiverStatistics {
        self.statistics
    }
}

impl Missing {
    fn ask_at(&self) -> Instant {
        self.asked.map_or(self.since + REORDERING, |asked| asked + NACK_INTERVAL)
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
            // A sixteenth of the distance (RFC 3550 A.8).
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

#[cfg(test)]
mod tests;
