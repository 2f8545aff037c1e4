//! When a request is sent again and when it is given up (RFC 8489 §6.2.1, §6.2.2).

use std::time::{Duration, Instant};

use crate::Transport;

/// The first wait over UDP; doubled each time.
const RTO: Duration = Duration::from_millis(500);
/// Rc: how often a request is sent in all.
const SENDS: u8 = 7;
/// Rm: how many RTOs to wait after the last one.
const LAST_WAIT: u32 = 16;
/// Ti: how long to wait on a reliable transport, where nothing is sent again.
const RELIABLE_WAIT: Duration = Duration::from_millis(39_500);

/// The clock of one request.
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
    /// For a request that is sent at `now`.
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
    fn requests_over_udp_are_sent_when_rfc_8489_says() {
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
