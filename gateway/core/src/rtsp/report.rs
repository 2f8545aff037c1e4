//! Receiver reports (RFC 3550 §6.4.2), without which some cameras stop sending.

use std::time::Instant;

use bytes::Bytes;

use crate::media::{ClockReport, RtpHeader, ticks_at};
use crate::rtp::rtcp::{ReportBlock, Writer};

const SENDER_REPORT: u8 = 200;

/// Our name towards the camera; it identifies nobody.
const NAME: &str = "porthole";

/// Maximum number of packets that are read of one RTCP compound.
const MAX_PACKETS: usize = 16;

/// The reception of one track, as its reports describe it.
#[derive(Debug)]
pub(super) struct Reception {
    /// The RTP clock rate in hertz.
    clock_rate: u32,
    source: Option<Source>,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    epoch: Instant,
    first: u32,
    /// Highest sequence number, extended by its wraps.
    highest: u32,
    received: u32,
    /// Packets that were expected and received at the last report.
    reported: (u32, u32),
    jitter: u32,
    transit: u32,
    /// Middle bits of the time in the last sender report, and its arrival.
    sender_report: Option<(u32, Instant)>,
}

impl Reception {
    /// Begins the reception of a track whose RTP clock has this rate, in hertz.
    pub(super) fn new(clock_rate: u32) -> Self {
        Self { clock_rate, source: None }
    }

    /// Counts a packet that arrived. Another SSRC begins again.
    pub(super) fn handle_rtp(&mut self, now: Instant, header: &RtpHeader) {
        let sequence = u32::from(header.sequence);
        let source = match &mut self.source {
            Some(source) if source.ssrc == header.ssrc => source,
            _ => self.source.insert(Source {
                ssrc: header.ssrc,
                epoch: now,
                first: sequence,
                highest: sequence,
                received: 0,
                reported: (0, 0),
                jitter: 0,
                transit: 0,
                sender_report: None,
            }),
        };
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
        let ahead = header.sequence.wrapping_sub(source.highest as u16);
        if ahead < 0x8000 {
            source.highest = source.highest.wrapping_add(u32::from(ahead));
        }
        source.received = source.received.wrapping_add(1);
        // RFC 3550 §A.8.
        let transit = ticks_at(now - source.epoch, self.clock_rate).wrapping_sub(header.timestamp);
        #[expect(clippy::cast_possible_wrap, reason = "the distance on a circle has a sign")]
        let distance = (transit.wrapping_sub(source.transit) as i32).unsigned_abs();
        if source.received > 1 {
            let smoothed = source.jitter - source.jitter / 16;
            source.jitter = smoothed.saturating_add(distance / 16);
        }
        source.transit = transit;
    }

    /// Reads the sender report of a compound, for the round-trip time. Returns the clock in it.
    pub(super) fn handle_rtcp(&mut self, now: Instant, mut compound: &[u8]) -> Option<ClockReport> {
        let mut clock = None;
        for _ in 0..MAX_PACKETS {
            let Some(&[_, kind, high, low]) = compound.first_chunk::<4>() else { break };
            let len = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
            let ntp = compound.get(10..14).and_then(|middle| <[u8; 4]>::try_from(middle).ok());
            if let (SENDER_REPORT, Some(middle), Some(source)) = (kind, ntp, &mut self.source) {
                source.sender_report = Some((u32::from_be_bytes(middle), now));
            }
            if kind == SENDER_REPORT {
                clock = read_clock(compound).or(clock);
            }
            compound = compound.get(len..).unwrap_or_default();
        }
        clock
    }

    /// Returns a report in a compound with our name. `own` is our SSRC.
    pub(super) fn report(&mut self, now: Instant, own: u32) -> Bytes {
        let mut compound = Vec::new();
        let block = self.source.as_mut().map(|source| source.block(now));
        let mut writer = Writer::new(&mut compound, own);
        writer.receiver_report(block.as_ref());
        writer.description(NAME);
        compound.into()
    }
}

impl Source {
    /// Returns the report block, and begins the next interval.
    fn block(&mut self, now: Instant) -> ReportBlock {
        let expected = self.highest.wrapping_sub(self.first).wrapping_add(1);
        let lost = expected.saturating_sub(self.received).min(0x7f_ffff);
        let (expected_before, received_before) = self.reported;
        let expected_since = expected.wrapping_sub(expected_before);
        let received_since = self.received.wrapping_sub(received_before);
        let lost_since = expected_since.saturating_sub(received_since);
        let fraction = (u64::from(lost_since) << 8).checked_div(u64::from(expected_since));
        let fraction = u8::try_from(fraction.unwrap_or(0)).unwrap_or(u8::MAX);
        self.reported = (expected, self.received);
        let (last_report, delay) = match self.sender_report {
            Some((middle, arrival)) => {
                let delay = (now - arrival).as_micros() * 65_536 / 1_000_000;
                (middle, u32::try_from(delay).unwrap_or(u32::MAX))
            }
            None => (0, 0),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction,
            lost: i32::try_from(lost).unwrap_or(i32::MAX),
            highest_sequence: self.highest,
            jitter: self.jitter,
            last_report,
            delay,
        }
    }
}

/// Reads the clock of a sender report (RFC 3550 §6.4.1).
fn read_clock(report: &[u8]) -> Option<ClockReport> {
    let ntp = u64::from_be_bytes(*report.get(8..16)?.first_chunk()?);
    let timestamp = u32::from_be_bytes(*report.get(16..20)?.first_chunk()?);
    Some(ClockReport { ntp, timestamp })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::CLOCK_RATE;

    #[test]
    fn a_report_says_what_was_lost() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut reception = Reception::new(CLOCK_RATE);
        assert_eq!(reception.report(start, 7).len(), 8 + 20, "nothing has arrived yet");
        for (ms, sequence) in [(0, 65_534), (10, 65_535), (20, 1), (30, 2)] {
            let timestamp = u32::try_from(ms * 90).unwrap();
            let header =
                RtpHeader { marker: false, payload_type: 96, sequence, timestamp, ssrc: 9 };
            reception.handle_rtp(at(ms), &header);
        }
        let sender_report = [0x80, 200, 0, 6, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0];
        let clock = reception.handle_rtcp(at(100), &sender_report);
        assert_eq!(clock, Some(ClockReport { ntp: 0x0102_0304_0506_0708, timestamp: 0 }));
        let report = reception.report(at(1100), 7);
        let word = |at: usize| u32::from_be_bytes(report[at..at + 4].try_into().unwrap());
        assert_eq!((word(4), word(8)), (7, 9));
        assert_eq!(word(12), 51 << 24 | 1, "one of five is lost");
        assert_eq!(word(16), 0x1_0002, "the sequence wrapped");
        assert_eq!(word(20), 0, "nothing jittered");
        assert_eq!((word(24), word(28)), (0x0304_0506, 65_536), "one second ago");
        let again = reception.report(at(1200), 7);
        assert_eq!(again[12], 0, "nothing was lost since");
    }
}
