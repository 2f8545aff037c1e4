//! A lock on one sender, for a port on which any host may send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::rtp_packet::RtpHeader;
use super::ticks::{ahead, ticks};

/// Time after which a silent sender may be replaced by another: a restarted camera comes back with
/// a new SSRC and perhaps a new port, and less than one frame a second is no video.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Time after which the sender may go on with another SSRC, or from another port: an encoder that
/// restarts does so at once. Two streams from one address are not taken for one, because each of
/// them sends more often.
const RESTART_TIMEOUT: Duration = Duration::from_millis(100);

/// Maximum difference of the timestamps of a sender's packet and the next one from another port, or
/// with another SSRC.
const MAX_STEP: Duration = Duration::from_secs(1);

/// Maximum distance of the numbers of two packets of one stream, of which the second one comes from
/// another port: packets that overtake each other there.
const MAX_DISTANCE: u16 = 32;

/// The decision about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The packet comes from the sender that holds the lock.
    Accepted,
    /// The packet is the first from a possible new sender: keep it, the next packet decides.
    Probation,
    /// The packet is next to the kept one in sequence: its sender now holds the lock, and both
    /// packets are accepted.
    Confirmed,
    /// The packet comes from another sender while the lock is held, or has another payload type.
    Foreign,
}

/// Address, SSRC and payload type of a sender.
type Sender = (SocketAddr, u32, u8);

/// Accepts the packets of one sender at a time.
///
/// A new sender is accepted after two packets that are neighbours in sequence, whichever comes
/// first, because noise that looks like RTP has no sequence (RFC 3550 §A.1, with the smallest
/// `MIN_SEQUENTIAL` it names).
///
/// The sender may change its port and its SSRC from one packet to the next, as some do for every
/// picture: the packet must have the next number, or with another port alone one close to it, and a
/// timestamp close to the last one. Whoever cannot see the stream would have to guess these, and
/// its host, too.
#[derive(Debug)]
pub struct SourceLock {
    payload_type: Option<u8>,
    sender: Option<Sender>,
    /// A possible new sender, and the sequence number of its packet.
    probation: Option<(Sender, u16)>,
    /// Sequence number and timestamp of the newest packet of the sender.
    newest: Option<(u16, u32)>,
    last: Option<Instant>,
}

impl SourceLock {
    /// Creates a lock that accepts packets of `payload_type` only; with `None`, of the dynamic
    /// payload type (RFC 3551 §6) that the first sender uses.
    #[must_use]
    pub fn new(payload_type: Option<u8>) -> Self {
        Self { payload_type, sender: None, probation: None, newest: None, last: None }
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
        let of_host = self.sender.filter(|(address, _, payload_type)| {
            address.ip() == from.ip() && *payload_type == header.payload_type
        });
        let has_ssrc = of_host.is_some_and(|(_, ssrc, _)| ssrc == header.ssrc);
        let is_same = has_ssrc || of_host.is_some_and(|(address, ..)| address == from);
        let goes_on = of_host.is_some() && self.continues(header, has_ssrc);
        let timeout = if is_same { RESTART_TIMEOUT } else { LOCK_TIMEOUT };
        let silent = self.last.is_none_or(|last| now.saturating_duration_since(last) > timeout);
        if self.sender == Some(sender) || goes_on {
            self.accept(now, sender, header);
            return Verdict::Accepted;
        }
        if !silent {
            return Verdict::Foreign;
        }
        let kept = self.probation.replace((sender, header.sequence));
        let is_neighbour = |kept: u16| [1, u16::MAX].contains(&header.sequence.wrapping_sub(kept));
        if !kept.is_some_and(|(of, sequence)| of == sender && is_neighbour(sequence)) {
            return Verdict::Probation;
        }
        self.newest = None;
        self.accept(now, sender, header);
        Verdict::Confirmed
    }

    /// Returns true if a packet continues the stream, although its origin has changed.
    fn continues(&self, header: &RtpHeader, has_ssrc: bool) -> bool {
        self.newest.is_some_and(|(sequence, timestamp)| {
            let distance = header.sequence.wrapping_sub(sequence);
            let is_close = has_ssrc && distance.min(distance.wrapping_neg()) <= MAX_DISTANCE;
            (distance == 1 || is_close)
                && ahead(header.timestamp, timestamp).unsigned_abs() <= ticks(MAX_STEP)
        })
    }

    fn accept(&mut self, now: Instant, sender: Sender, header: &RtpHeader) {
        self.probation = None;
        self.sender = Some(sender);
        self.last = Some(now);
        let is_newer = |newest: u16| header.sequence.wrapping_sub(newest) < u16::MAX / 2;
        if self.newest.is_none_or(|(newest, _)| is_newer(newest)) {
            self.newest = Some((header.sequence, header.timestamp));
        }
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
            ("another SSRC", 20, a, header(2, 96, 2), Verdict::Foreign),
            ("another type", 30, a, header(1, 97, 1), Verdict::Foreign),
            ("the first again, some lost", 900, a, header(1, 96, 9), Verdict::Accepted),
            ("too soon", 1900, b, header(7, 96, 1), Verdict::Foreign),
            ("after silence", 1901, b, header(7, 98, 1), Verdict::Probation),
            ("out of sequence", 1901, b, header(7, 98, 4), Verdict::Probation),
            ("and in sequence, swapped", 1901, b, header(7, 98, 3), Verdict::Confirmed),
            ("the first is foreign now", 1902, a, header(1, 96, 10), Verdict::Foreign),
            ("silence again", 2902, a, header(1, 96, 11), Verdict::Probation),
            ("but it was only a pause", 2902, b, header(7, 98, 5), Verdict::Accepted),
            ("another stream beside it", 2950, b, header(6, 98, 1), Verdict::Foreign),
            ("a new SSRC", 3003, b, header(5, 98, 1), Verdict::Probation),
            ("goes on", 3003, b, header(5, 98, 2), Verdict::Confirmed),
            ("a new port", 3004, c, header(5, 98, 4), Verdict::Accepted),
            ("far off", 3005, b, header(5, 98, 99), Verdict::Foreign),
            ("both at once, far off", 3105, b, header(4, 98, 99), Verdict::Foreign),
            ("after silence", 4005, b, header(4, 98, 99), Verdict::Probation),
            ("goes on as well", 4005, b, header(4, 98, 100), Verdict::Confirmed),
        ];
        for (case, ms, from, header, expected) in table {
            assert_eq!(lock.handle_packet(at(ms), from, &header), expected, "{case}");
        }
        let header = |payload_type, sequence| header(1, payload_type, sequence);
        let mut lock = SourceLock::new(Some(35));
        assert_eq!(lock.handle_packet(start, a, &header(96, 0)), Verdict::Foreign);
        assert_eq!(lock.handle_packet(start, a, &header(35, 0)), Verdict::Probation);
        assert_eq!(lock.handle_packet(start, a, &header(35, 1)), Verdict::Confirmed);
    }

    #[test]
    fn one_sender_may_change_its_origin() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let header = |ssrc, sequence, timestamp| RtpHeader {
            marker: false,
            payload_type: 96,
            sequence,
            timestamp,
            ssrc,
        };
        let (a, b) = ("192.0.2.1:5000".parse().unwrap(), "192.0.2.2:5000".parse().unwrap());
        let (a2, a3) = ("192.0.2.1:5002".parse().unwrap(), "192.0.2.1:5004".parse().unwrap());
        let mut lock = SourceLock::new(None);
        let table = [
            ("the first", 0, a, header(1, 65533, 0), Verdict::Probation),
            ("in sequence", 0, a, header(1, 65534, 0), Verdict::Confirmed),
            ("another port", 1, a2, header(1, 65535, 6000), Verdict::Accepted),
            ("a third one", 2, a3, header(1, 0, 12_000), Verdict::Accepted),
            ("another SSRC", 3, a3, header(2, 1, 18_000), Verdict::Accepted),
            ("both at once", 4, a, header(3, 2, 24_000), Verdict::Accepted),
            ("another host", 4, b, header(3, 3, 24_000), Verdict::Foreign),
            ("both, and a number left out", 4, a2, header(4, 4, 24_000), Verdict::Foreign),
            ("both, and another time", 4, a2, header(4, 3, 900_000), Verdict::Foreign),
            ("another SSRC, and the number before", 4, a, header(4, 1, 24_000), Verdict::Foreign),
            ("another port, and a number left out", 4, a2, header(3, 4, 24_000), Verdict::Accepted),
            ("another port, and the one left out", 5, a3, header(3, 3, 24_000), Verdict::Accepted),
            ("another port, and a far number", 5, a, header(3, 40, 24_000), Verdict::Foreign),
            ("another port, and another time", 5, a, header(3, 5, 900_000), Verdict::Foreign),
            ("the next one all the same", 6, a, header(3, 5, 24_000), Verdict::Accepted),
        ];
        for (case, ms, from, header, expected) in table {
            assert_eq!(lock.handle_packet(at(ms), from, &header), expected, "{case}");
        }
    }
}
