//! A lock on one sender, for a port on which any host may send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::rtp_packet::RtpHeader;

/// Time after which a silent sender may be replaced by another: a restarted camera comes back with
/// a new SSRC and perhaps a new port, and less than one frame a second is no video.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Time after which the sender may go on with another SSRC, or from another port: an encoder that
/// restarts does so at once. Two streams from one address are not taken for one, because each of
/// them sends more often.
const RESTART_TIMEOUT: Duration = Duration::from_millis(100);

/// The decision about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The packet comes from the sender that holds the lock.
    Accepted,
    /// The packet is the first from a possible new sender: keep it, the next packet decides.
    Probation,
    /// The packet follows the kept one in sequence: its sender now holds the lock, and both packets
    /// are accepted.
    Confirmed,
    /// The packet comes from another sender while the lock is held, or has another payload type.
    Foreign,
}

/// Address, SSRC and payload type of a sender.
type Sender = (SocketAddr, u32, u8);

/// Accepts the packets of one sender at a time.
///
/// A new sender is accepted after two packets in sequence, because noise that looks like RTP has no
/// sequence (RFC 3550 §A.1, with the smallest `MIN_SEQUENTIAL` it names).
#[derive(Debug)]
pub struct SourceLock {
    payload_type: Option<u8>,
    sender: Option<Sender>,
    /// A possible new sender, and the sequence number that would confirm it.
    probation: Option<(Sender, u16)>,
    last: Option<Instant>,
}

impl SourceLock {
    /// Creates a lock that accepts packets of `payload_type` only; with `None`, of the dynamic
    /// payload type (RFC 3551 §6) that the first sender uses.
    #[must_use]
    pub fn new(payload_type: Option<u8>) -> Self {
        Self { payload_type, sender: None, probation: None, last: None }
    }

    /// Decides about a packet, from its source address and header.
    pub fn handle_packet(&mut self, now: Instant, from: SocketAddr, header: &RtpHeader) -> Verdict {
        let acceptable = match self.payload_type {
            Some(expected) => header.payload_type == expected,
            None => header.payload_type >= 96,
        };
        if !acceptable {
            return Verdict::Foreign;
        }
        let sender = (from, header.ssrc, header.payload_type);
        let is_same = self.sender.is_some_and(|(address, ssrc, payload_type)| {
            let is_same_origin =
                address == from || (address.ip() == from.ip() && ssrc == header.ssrc);
            is_same_origin && payload_type == header.payload_type
        });
        let timeout = if is_same { RESTART_TIMEOUT } else { LOCK_TIMEOUT };
        let silent = self.last.is_none_or(|last| now.saturating_duration_since(last) > timeout);
        if self.sender == Some(sender) {
            self.probation = None;
            self.last = Some(now);
            return Verdict::Accepted;
        }
        if !silent {
            return Verdict::Foreign;
        }
        if self.probation != Some((sender, header.sequence)) {
            self.probation = Some((sender, header.sequence.wrapping_add(1)));
            return Verdict::Probation;
        }
        self.probation = None;
        self.sender = Some(sender);
        self.last = Some(now);
        Verdict::Confirmed
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
        let c = "192.0.2.2:6000".parse().unwrap();
        let mut lock = SourceLock::new(None);
        let table = [
            ("static type", 0, a, header(1, 0, 0), Verdict::Foreign),
            ("noise", 0, a, header(9, 96, 7), Verdict::Probation),
            ("the first", 0, a, header(1, 96, 65535), Verdict::Probation),
            ("noise in between", 0, a, header(8, 96, 0), Verdict::Probation),
            ("the first once more", 0, a, header(1, 96, 65535), Verdict::Probation),
            ("in sequence", 0, a, header(1, 96, 0), Verdict::Confirmed),
            ("another address", 10, b, header(1, 96, 1), Verdict::Foreign),
            ("another SSRC", 20, a, header(2, 96, 1), Verdict::Foreign),
            ("another type", 30, a, header(1, 97, 1), Verdict::Foreign),
            ("the first again, some lost", 900, a, header(1, 96, 9), Verdict::Accepted),
            ("too soon", 1900, b, header(7, 96, 1), Verdict::Foreign),
            ("after silence", 1901, b, header(7, 98, 1), Verdict::Probation),
            ("out of sequence", 1901, b, header(7, 98, 3), Verdict::Probation),
            ("and in sequence", 1901, b, header(7, 98, 4), Verdict::Confirmed),
            ("the first is foreign now", 1902, a, header(1, 96, 10), Verdict::Foreign),
            ("silence again", 2902, a, header(1, 96, 11), Verdict::Probation),
            ("but it was only a pause", 2902, b, header(7, 98, 5), Verdict::Accepted),
            ("another stream beside it", 2950, b, header(6, 98, 1), Verdict::Foreign),
            ("a new SSRC", 3003, b, header(5, 98, 1), Verdict::Probation),
            ("goes on", 3003, b, header(5, 98, 2), Verdict::Confirmed),
            ("a new port", 3104, c, header(5, 98, 3), Verdict::Probation),
            ("goes on as well", 3104, c, header(5, 98, 4), Verdict::Confirmed),
        ];
        for (case, ms, from, header, expected) in table {
            assert_eq!(lock.handle_packet(at(ms), from, &header), expected, "{case}");
        }
        let mut lock = SourceLock::new(Some(35));
        assert_eq!(lock.handle_packet(start, a, &header(1, 96, 0)), Verdict::Foreign);
        assert_eq!(lock.handle_packet(start, a, &header(1, 35, 0)), Verdict::Probation);
        assert_eq!(lock.handle_packet(start, a, &header(1, 35, 1)), Verdict::Confirmed);
    }
}
