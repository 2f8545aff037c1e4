//! Retransmission and timeout of a request (RFC 8489 §6.2.1, §6.2.2).

use std::time::{Duration, Instant};

use crate::Transport;

/// Time until the first retransmission over UDP; doubled each time.
const RTO: Duration = Duration::from_millis(500);
/// Rc: times a request is sent, the first one included.
const SENDS: u8 = 7;
/// Rm: RTOs to wait after the last transmission.
const LAST_WAIT: u32 = 16;
/// Ti: time to wait for the response on a reliable transport, where nothing is retransmitted.
const RELIABLE_WAIT: Duration = Duration::from_millis(39_500);

/// The retransmission timer of one request.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    next: Instant,
    wait: Duration,
    left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Resend,
    GiveUp,
}

impl Schedule {
    /// Creates the timer of a request that is sent at `now`.
    pub(super) fn new(transport: Transport, now: Instant) -> Self {
        match transport {
            Transport::Udp | Transport::Dtls => {
                Self { next: now + RTO, wait: RTO, left: SENDS - 1 }
            }
            Transport::Tcp | Transport::Tls => {
                Self { next: now + RELIABLE_WAIT, wait: RELIABLE_WAIT, left: 0 }
            }
        }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Returns what is due at `now`, and moves on to the next deadline.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if now < self.next {
            return Due::Nothing;
        }
        if self.left == 0 {
            return Due::GiveUp;
        }
        self.left -= 1;
        self.wait *= 2;
        // Counted from now, so that a driver that was late does not send a burst.
        self.next = now + if self.left == 0 { RTO * LAST_WAIT } else { self.wait };
        Due::Resend
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_over_udp_are_retransmitted_as_rfc_8489_says() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Transport::Udp, start);
        let mut sent_ms = vec![0];
        loop {
            let now = schedule.next();
            match schedule.due(now) {
                Due::Resend => sent_ms.push((now - start).as_millis()),
                Due::GiveUp => {
                    assert_eq!((now - start).as_millis(), 39_500);
                    break;
                }
                Due::Nothing => panic!("due at its own deadline"),
            }
        }
        assert_eq!(sent_ms, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    }

    #[test]
    fn requests_over_tcp_are_sent_once() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Transport::Tcp, start);
        assert_eq!(schedule.due(start + Duration::from_secs(39)), Due::Nothing);
        assert_eq!(schedule.due(start + Duration::from_secs(40)), Due::GiveUp);
    }
}
