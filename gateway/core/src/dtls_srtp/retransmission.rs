//! The timer of the handshake's retransmissions (RFC 6347 §4.2.4.1).

use std::time::{Duration, Instant};

/// Time before the first retransmission of a flight while the round trip is unknown
/// (RFC 6347 §4.2.4.1).
const INITIAL_INTERVAL: Duration = Duration::from_secs(1);

/// Least time before the first retransmission: the peer takes some to compute its answer.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Most time before the first retransmission, however long ICE's checks took: they may have waited
/// for others.
const MAX_INITIAL_INTERVAL: Duration = Duration::from_secs(3);

/// Most time between two retransmissions (RFC 6347 §4.2.4.1).
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum number of retransmissions of one flight; the engine gives up the association after
/// more. Doubling from 100 ms, the last one is sent after 13 s.
const MAX_RETRANSMISSIONS: u32 = 7;

/// Maximum number of these that the peer can cause by repeating its own flight.
const MAX_PROVOKED: u32 = 3;

/// Decides when the current flight is sent again.
#[derive(Debug)]
pub(super) struct Retransmission {
    initial: Duration,
    interval: Duration,
    /// Time of the next retransmission; `None`: no flight waits for a response.
    due: Option<Instant>,
    last_sent: Option<Instant>,
    count: u32,
    provoked: u32,
}

impl Retransmission {
    pub(super) fn new() -> Self {
        Self {
            initial: INITIAL_INTERVAL,
            interval: INITIAL_INTERVAL,
            due: None,
            last_sent: None,
            count: 0,
            provoked: 0,
        }
    }

    /// Sets the round-trip time of the path, for flights from now on. Twice as long a wait leaves
    /// time for a path that varies.
    pub(super) fn set_round_trip(&mut self, round_trip: Duration) {
        self.initial = (round_trip * 2).clamp(MIN_INTERVAL, MAX_INITIAL_INTERVAL);
    }

    /// Notes that a new flight was sent.
    pub(super) fn begin(&mut self, now: Instant) {
        self.interval = self.initial;
        self.due = Some(now + self.interval);
        self.last_sent = Some(now);
        self.count = 0;
        self.provoked = 0;
    }

    /// Notes that no flight waits for a response any more.
    pub(super) fn stop(&mut self) {
        self.due = None;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Returns true if the flight is to be sent again now, and doubles the interval.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        self.count += 1;
        self.interval = (self.interval * 2).min(MAX_INTERVAL);
        self.due = (self.count < MAX_RETRANSMISSIONS).then_some(now + self.interval);
        self.last_sent = Some(now);
        true
    }

    /// Returns true if the flight is to be sent again because the peer has repeated its own.
    pub(super) fn take_provoked(&mut self, now: Instant) -> bool {
        let recently = |at: Instant| now.saturating_duration_since(at) < MIN_INTERVAL;
        if self.due.is_none()
            || self.last_sent.is_none_or(recently)
            || self.provoked >= MAX_PROVOKED
            || self.count >= MAX_RETRANSMISSIONS
        {
            return false;
        }
        self.provoked += 1;
        self.count += 1;
        self.last_sent = Some(now);
        true
    }
}
