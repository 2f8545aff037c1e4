//! Holding on to one sender on a port where anybody may send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::rtp::RtpHeader;

/// A sender silent for longer makes room for another: a restarted camera comes back with a new
/// SSRC and perhaps a new port, and a frame rate under one per second is no picture.
const SILENCE: Duration = Duration::from_secs(1);

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// From the sender that is being watched.
    Accepted,
    /// From another sender while ours still sends, or of another payload type.
    Foreign,
}

/// One sender: address, SSRC and payload type.
#[derive(Debug)]
pub struct SourceLock {
    payload_type: Option<u8>,
    sender: Option<(SocketAddr, u32, u8)>,
    last: Option<Instant>,
}

impl SourceLock {
    /// `payload_type`: the only one to accept; else the first sender's dynamic one (RFC 3551 §6).
    #[must_use]
    pub fn new(payload_type: Option<u8>) -> Self {
        Self { payload_type, sender: None, last: None }
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
        if self.sender != Some(sender) && !silent {
            return Verdict::Foreign;
        }
        self.sender = Some(sender);
        self.last = Some(now);
        Verdict::Accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sender_at_a_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let header = |ssrc, payload_type| RtpHeader {
            marker: false,
            payload_type,
            sequence: 0,
            timestamp: 0,
            ssrc,
        };
        let (a, b) = ("192.0.2.1:5000".parse().unwrap(), "192.0.2.2:5000".parse().unwrap());
        let mut lock = SourceLock::new(None);
        let table = [
            ("static type", 0, a, header(1, 0), Verdict::Foreign),
            ("the first", 0, a, header(1, 96), Verdict::Accepted),
            ("another address", 10, b, header(1, 96), Verdict::Foreign),
            ("another SSRC", 20, a, header(2, 96), Verdict::Foreign),
            ("another type", 30, a, header(1, 97), Verdict::Foreign),
            ("the first again", 900, a, header(1, 96), Verdict::Accepted),
            ("too soon", 1900, b, header(7, 96), Verdict::Foreign),
            ("after silence", 1901, b, header(7, 98), Verdict::Accepted),
            ("the first is foreign now", 1902, a, header(1, 96), Verdict::Foreign),
        ];
        for (case, ms, from, header, expected) in table {
            assert_eq!(lock.handle(at(ms), from, &header), expected, "{case}");
        }
        let mut lock = SourceLock::new(Some(35));
        assert_eq!(lock.handle(start, a, &header(1, 96)), Verdict::Foreign);
        assert_eq!(lock.handle(start, a, &header(1, 35)), Verdict::Accepted);
    }
}
