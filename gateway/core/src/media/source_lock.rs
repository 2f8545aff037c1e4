//! Holding on to one sender on a port where anybody may send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::rtp_packet::RtpHeader;

/// A sender silent for longer makes room for another: a restarted camera comes back with a new
/// SSRC and perhaps a new port, and a frame rate under one per second is no picture.
const SILENCE: Duration = Duration::from_secs(1);

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// From the sender that is being watched.
    Accepted,
    /// The first of a sender that may be the next: keep it, as the one after it tells.
    Unproven,
    /// The one after it: this sender is the next, and the packet that was kept is its first.
    Proven,
    /// From another sender while ours still sends, or of another payload type.
    Foreign,
}

/// Address, SSRC and payload type.
type Sender = (SocketAddr, u32, u8);

/// One sender, believed when two packets of it came in sequence: noise that looks like RTP has no
/// sequence (RFC 3550 §A.1, with its least number for `MIN_SEQUENTIAL`).
#[derive(Debug)]
pub struct SourceLock {
    payload_type: Option<u8>,
    sender: Option<Sender>,
    /// Who may be next, and the sequence number that would prove it.
    candidate: Option<(Sender, u16)>,
    last: Option<Instant>,
}

impl SourceLock {
    /// `payload_type`: the only one to accept; else the first sender's dynamic one (RFC 3551 §6).
    #[must_use]
    pub fn new(payload_type: Option<u8>) -> Self {
        Self { payload_type, sender: None, candidate: None, last: None }
    }

    pub fn handle(&mut self, now: Instant, from: SocketAddr, header: &RtpHeader) -> Verdict {
        let acceptable = match self.payload_type {
            Some(expected) => header.payload_type == expected,
            None => header.payload_type >= 96,
        };
        if !acceptable {
            return Verdict::Foreign;
        }
        let sender = (from, header.ssrc, header.payload_type);
        let silent = self.last.is_none_or(|last| now.saturating_duration_since(last) > SILENCE);
        if self.sender == Some(sender) {
            self.candidate = None;
            self.last = Some(now);
            return Verdict::Accepted;
        }
        if !silent {
            return Verdict::Foreign;
        }
        if self.candidate != Some((sender, header.sequence)) {
            self.candidate = Some((sender, header.sequence.wrapping_add(1)));
            return Verdict::Unproven;
        }
        self.candidate = None;
        self.sender = Some(sender);
        self.last = Some(now);
        Verdict::Proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sender_at_a_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let header = |ssrc, payload_type, sequence| RtpHeader {
            marker: false,
            payload_type,
            sequence,
            timestamp: 0,
            ssrc,
        };
        let (a, b) = ("192.0.2.1:5000".parse().unwrap(), "192.0.2.2:5000".parse().unwrap());
        let mut lock = SourceLock::new(None);
        let table = [
            ("static type", 0, a, header(1, 0, 0), Verdict::Foreign),
            ("noise", 0, a, header(9, 96, 7), Verdict::Unproven),
            ("the first", 0, a, header(1, 96, 65535), Verdict::Unproven),
            ("noise in between", 0, a, header(8, 96, 0), Verdict::Unproven),
            ("the first once more", 0, a, header(1, 96, 65535), Verdict::Unproven),
            ("in sequence", 0, a, header(1, 96, 0), Verdict::Proven),
            ("another address", 10, b, header(1, 96, 1), Verdict::Foreign),
            ("another SSRC", 20, a, header(2, 96, 1), Verdict::Foreign),
            ("another type", 30, a, header(1, 97, 1), Verdict::Foreign),
            ("the first again, some lost", 900, a, header(1, 96, 9), Verdict::Accepted),
            ("too soon", 1900, b, header(7, 96, 1), Verdict::Foreign),
            ("after silence", 1901, b, header(7, 98, 1), Verdict::Unproven),
            ("out of sequence", 1901, b, header(7, 98, 3), Verdict::Unproven),
            ("and in sequence", 1901, b, header(7, 98, 4), Verdict::Proven),
            ("the first is foreign now", 1902, a, header(1, 96, 10), Verdict::Foreign),
            ("silence again", 2902, a, header(1, 96, 11), Verdict::Unproven),
            ("but it was only a pause", 2902, b, header(7, 98, 5), Verdict::Accepted),
        ];
        for (case, ms, from, header, expected) in table {
            assert_eq!(lock.handle(at(ms), from, &header), expected, "{case}");
        }
        let mut lock = SourceLock::new(Some(35));
        assert_eq!(lock.handle(start, a, &header(1, 96, 0)), Verdict::Foreign);
        assert_eq!(lock.handle(start, a, &header(1, 35, 0)), Verdict::Unproven);
        assert_eq!(lock.handle(start, a, &header(1, 35, 1)), Verdict::Proven);
    }
}
